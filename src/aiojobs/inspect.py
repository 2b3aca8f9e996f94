"""Looking into a running program: every scheduler of it, its jobs, who waits for whom, and which of them are stuck.

    aiojobs.inspect.dump_on_signal()   # from now on: kill -USR1 <pid>

It reads pictures (`aiojobs.Snapshot`, ``SEE-2``) and puts them into words; it changes nothing. What other people have
named is shown as text: characters that would steer a terminal are escaped.

What is deliberately not here: a server. `LivePage` answers requests of a service that there is; and from Python 3.14
on ``python -m asyncio pstree PID`` shows the tasks of another process, jobs and who waits for them included
(``WAIT-6``).
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal, TextIO

from ._live_page import LivePage
from ._scheduler import ALIVE, Scheduler
from ._snapshot import JobSnapshot, Snapshot, TaskSnapshot, stuck_among

__all__ = ("LivePage", "dump", "dump_on_signal", "schedulers", "snapshot", "stuck")

Format = Literal["text", "json"]


def schedulers() -> tuple[Scheduler, ...]:
    """Every scheduler of this process to which somebody still refers, in the order in which they were made.

    Those that were closed count too, and so do those of other threads.
    """
    found = [reference() for reference in ALIVE.valuerefs()]
    return tuple(scheduler for scheduler in found if scheduler is not None)


def snapshot() -> tuple[Snapshot, ...]:
    """A picture of each scheduler that can be seen from here: all but those whose loop runs in another thread."""
    return tuple(picture for picture in map(_picture, schedulers()) if picture is not None)


def stuck() -> tuple[JobSnapshot, ...]:
    """The jobs that can't go on, where those of one scheduler may wait for those of another (``SEE-2``)."""
    return stuck_among(snapshot())


def _picture(scheduler: Scheduler) -> Snapshot | None:
    """None if it belongs to a loop that runs in another thread."""
    try:
        return scheduler.snapshot()
    except RecursionError:
        raise
    except RuntimeError:
        return None


# --- In words -----------------------------------------------------------------------------------------


def dump(format: Format = "text") -> str:  # noqa: A002 - the word for it
    """All schedulers of this process in words, or as JSON.

    The JSON is an object: ``schedulers`` has the attributes of each `aiojobs.Snapshot` by their names, in the order
    of `schedulers`, and null for one whose loop runs in another thread; ``stuck`` has the ids of the jobs that can't
    go on.

    Raises:
        ValueError: there is no such format.
    """
    if format not in ("text", "json"):
        raise ValueError(f"format must be 'text' or 'json', got {format!r}")
    pictures = [_picture(scheduler) for scheduler in schedulers()]
    held = stuck_among(picture for picture in pictures if picture is not None)
    if format == "json":
        content = [None if picture is None else asdict(picture) for picture in pictures]
        return json.dumps({"schedulers": content, "stuck": [job.id for job in held]}, indent=1)
    lines = [line for number, picture in enumerate(pictures, 1) for line in _told(number, picture)]
    return "\n".join([*lines, *_told_of_stuck(held)]) + "\n"


def _told(number: int, picture: Snapshot | None) -> Iterator[str]:
    """One scheduler, line by line."""
    if picture is None:
        yield f"scheduler {number}: its loop runs in another thread"
        return
    slots = "slots" if picture.limit is None else f"of {picture.limit} slots"
    places = "pending" if picture.pending_limit == 0 else f"of {picture.pending_limit} pending"
    yield (
        f"scheduler {number}: {picture.phase}, {picture.active_count} {slots}, {picture.pending_count} {places}, "
        f"{picture.blocked_count} blocked, {picture.shielded_count} shielded"
    )
    everybody: list[JobSnapshot | TaskSnapshot] = [*picture.jobs, *picture.tasks]
    called = {each.id: _called(each) for each in everybody}
    for job in picture.jobs:
        yield f"  {job.id} {job.state} {called[job.id]}{_times(job)}"
        yield from _whereabouts(job, picture, called)
    for task in picture.tasks:
        yield f"  {task.id} task {called[task.id]}"
        yield from _whereabouts(task, picture, called)


def _whereabouts(one: JobSnapshot | TaskSnapshot, picture: Snapshot, called: dict[int, str]) -> Iterator[str]:
    """Where a job or a task is, and for whom it waits."""
    for place in one.stack:
        yield f"      at {_printable(str(place))}"
    for wait in picture.waits:
        if wait.waiter == one.id:
            what = "a slot" if wait.awaited is None else f"{wait.awaited} {called[wait.awaited]}"
            yield f"      waits for {what}{' or another' if wait.is_choice else ''}"
    if one.id in picture.idlers:
        yield "      waits until everything has ended"


def _times(job: JobSnapshot) -> str:
    """What is known of its times and its place."""
    told = {
        "place": None if job.place is None else str(job.place),
        "age": _seconds(job.age),
        "running": _seconds(job.running),
        "time left": _seconds(job.time_left),
    }
    known = [f", {what} {value}" for what, value in told.items() if value is not None]
    return "".join(known) + ("" if job.drain else ", not drained")


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"


def _told_of_stuck(held: tuple[JobSnapshot, ...]) -> Iterator[str]:
    if held:
        yield f"stuck: {', '.join(f'{job.id} {_called(job)}' for job in held)}"


def _called(one: JobSnapshot | TaskSnapshot) -> str:
    """Its name, if it has one, and what it runs."""
    name = "" if one.name is None else f"{_printable(one.name)} "
    return f"{name}({_printable(one.qualname)})"


def _printable(text: str) -> str:
    """The same without characters that would steer a terminal or begin a line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


# --- On a signal --------------------------------------------------------------------------------------


def dump_on_signal(
    signum: int | None = None,
    *,
    file: TextIO | None = None,
    format: Format = "text",  # noqa: A002 - as in dump
) -> None:
    """Have the running loop write a `dump` whenever the process gets this signal, from now on.

    It is written between two steps of the loop, so that each scheduler is in order; a loop that is blocked answers
    when it goes on, and ``faulthandler.register`` is for that. ``loop.remove_signal_handler(signum)`` ends it.

    Arguments:
        signum: the signal; None for SIGUSR1.
        file: where to; None for ``sys.stderr`` of that moment.
        format: as of `dump`.

    Raises:
        ValueError: there is no such format, or this is not the main thread.
        RuntimeError: no loop is running, or this operating system or loop has no such signals.
    """
    if format not in ("text", "json"):
        raise ValueError(f"format must be 'text' or 'json', got {format!r}")
    loop = asyncio.get_running_loop()
    number: Any = getattr(signal, "SIGUSR1", None) if signum is None else signum
    try:
        loop.add_signal_handler(number, _write, file, format)
    except (NotImplementedError, TypeError) as exc:
        raise RuntimeError(
            "this operating system or event loop can't do that: call aiojobs.inspect.dump() in the loop instead"
        ) from exc


def _write(file: TextIO | None, format: Format) -> None:  # noqa: A002 - as in dump
    out = sys.stderr if file is None else file
    out.write(dump(format))
    out.flush()
