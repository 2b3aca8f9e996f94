"""Traces: the records of a scheduler as lines of JSON, for a program that audits them.

    with TraceWriter.to_file(path, limit=8, pending_limit=16) as trace:
        scheduler = aiojobs.Scheduler(limit=8, pending_limit=16, observer=trace)
        ...

The format, version 2
---------------------
UTF-8 text; each line is one JSON object and ends with a line feed. The first line is the header, here in two:

    {"format": "aiojobs-trace", "version": 2, "limit": 8, "pending_limit": 16, "calls": true,
     "spec": "sha256:…"}

`limit` is null if there is none, `pending_limit` is 0 if there is none; `spec` is the digest of the lifecycle
that the scheduler obeyed (``SPEC_DIGEST``). Then one line for each `aiojobs.Record`, in the order of events:

    {"job": 1, "event": "accept", "source": null, "dest": "pending", "time": 0.001234, "name": "order 17"}
    {"job": 1, "event": "start", "source": "pending", "dest": "active", "time": 0.001234}
    {"job": null, "event": "close", "source": "open", "dest": "closing", "time": 0.754321}

`job` numbers the jobs from 1 in the order in which they were accepted; null means the scheduler itself.
`event`, `source` and `dest` are the words of `spec/job.toml` and `spec/scheduler.toml`, and "accept" is the
event of a new job, which has no source. `time` is in seconds since the first line, on the loop's clock, in
microseconds, and never decreases. `name` stands beside "accept" if the job was given one. A step that the
lifecycle declares a no-op leaves no line.

*Calls.* A scheduler tells of jobs, not of callers of `spawn` that are still blocked. If the
header says so, `calls` are announced by the program (`TraceWriter.call`), and then every one is:

    {"call": "order 17", "event": "call", "time": 0.001234}
    {"call": "order 17", "event": "return", "time": 0.001234}
    {"call": "order 18", "event": "raise", "error": "CancelledError", "time": 0.02}

The name of a call is that of its job; names of calls that are under way differ. With them arrival becomes
visible, and so do full queues, withdrawn calls and refused ones. Without them a reader has to take the
order of acceptance for that of arrival.

*The limit.* If it is changed (`Scheduler.set_limit`), a line says so before anything that is told under the new one,
that a job starts because of it included; null stands for no limit:

    {"limit": 4, "time": 0.5}

The last line says how many lines there are between it and the header, which jobs have not ended and which
calls have not been answered, so that a trace that was cut off is told from a complete one:

    {"end": 3120, "jobs": [], "calls": []}

What a reader may rely on: a number appears first with "accept", in order and without gaps, and not again
after "done" or "closed". Memory for the jobs that are alive is enough to read a trace of any length.

What a trace must obey is not said here: `spec/` says it, and a program that audits traces reads it there.
Version 1 knew no limit that moves, and was the same otherwise.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from aiojobs._events import ACCEPT
from aiojobs._lifecycle import SPEC_DIGEST, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path
    from typing import TextIO

    import aiojobs

__all__ = ["FORMAT", "VERSION", "TraceWriter"]

FORMAT: Final = "aiojobs-trace"
"""How the first line of a trace says what it is."""
VERSION: Final = 2
"""Of the format. A change after which a reader of this version would misread a trace gives it another number."""


def _nobody() -> None:
    """In place of a scheduler that is not known, or gone."""


class TraceWriter:
    """An observer that writes a trace to `file`; opening and closing the file is the caller's, or `to_file`'s.

    It writes one line a record, when the record is told, and keeps the numbers of the jobs that have not ended and
    nothing else, so a long run does not grow (``BOOK-3``). Give one writer to one scheduler, itself and not in a
    function of yours: it is attached to the scheduler, to see whether the limit was changed (``LIMIT-7``).

    Arguments:
        file: where to; UTF-8, line feeds.
        limit: the scheduler's.
        pending_limit: the scheduler's.
        calls: whether the program announces every call of ``spawn`` with `call`. Only then does the trace tell of
            blocked calls and their order (``LIMIT-4``, ``LIMIT-5``, ``SPAWN-1``).
    """

    def __init__(self, file: TextIO, *, limit: int | None, pending_limit: int, calls: bool = False) -> None:
        self._file = file
        self._announced = calls
        # The numbers of the jobs that have not ended, and the names of the calls that have not been answered.
        self._numbers: dict[aiojobs.Job[Any], int] = {}
        self._calls: dict[str, None] = {}
        self._accepted = 0
        self._lines = 0
        self._begin: float | None = None
        self._limit = limit
        self._scheduler: Callable[[], aiojobs.Scheduler | None] = _nobody
        self._write(
            {
                "format": FORMAT,
                "version": VERSION,
                "limit": limit,
                "pending_limit": pending_limit,
                "calls": calls,
                "spec": SPEC_DIGEST,
            }
        )

    @classmethod
    @contextmanager
    def to_file(
        cls, path: Path, *, limit: int | None, pending_limit: int, calls: bool = False
    ) -> Generator[TraceWriter]:
        """A writer to a new file, which gets its last line and is closed at the end of the ``with``.

        Arguments:
            path: of the file; one that is there is overwritten.
            limit: the scheduler's.
            pending_limit: the scheduler's.
            calls: as for the class.
        """
        with path.open("w", encoding="utf-8", newline="\n") as file:
            trace = cls(file, limit=limit, pending_limit=pending_limit, calls=calls)
            try:
                yield trace
            finally:
                trace.end()

    def attach(self, scheduler: aiojobs.Scheduler) -> None:
        """Be told by the scheduler, when it is made, which one it is."""
        self._scheduler = weakref.ref(scheduler)

    def __call__(self, record: aiojobs.Record) -> None:
        """Write one record: this is what makes it an observer.

        What writing raises is the observer's failure: the scheduler reports it and goes on (``BOOK-4``).
        """
        job, event, source, dest, time = record
        self._note_limit(time)
        line: dict[str, Any] = {
            "job": None if job is None else self._number(job, event, dest),
            "event": event,
            "source": source,
            "dest": dest,
            "time": self._since(time),
        }
        if event == ACCEPT and job is not None and (name := job.get_name()) is not None:
            line["name"] = name
        self._write_counted(line)

    @contextmanager
    def call(self, name: str) -> Generator[None]:
        """Announce the one ``spawn`` or ``spawn_nowait`` in the body of this ``with``, of a job of this name.

        Nothing before it in the body may suspend. What the body raises is written and goes on.

        Arguments:
            name: of the call, and of its job; names of calls that are under way differ.

        Raises:
            ValueError: the trace was not begun with ``calls=True``, or a call of this name is under way.
        """
        if not self._announced:
            raise ValueError("the header of this trace says that calls are not announced: give it calls=True")
        if name in self._calls:
            raise ValueError(f"a call named {name!r} is under way: names of calls that are must differ")
        self._write_call(name, "call")
        self._calls[name] = None
        try:
            yield
        except BaseException as error:
            del self._calls[name]
            self._write_call(name, "raise", error=type(error).__name__)
            raise
        del self._calls[name]
        self._write_call(name, "return")

    def end(self) -> None:
        """Write the last line: how many there are, and what has not ended. Nothing may follow it."""
        self._write({"end": self._lines, "jobs": [*self._numbers.values()], "calls": [*self._calls]})

    def _number(self, job: aiojobs.Job[Any], event: str, dest: object) -> int:
        if event == ACCEPT:
            self._accepted += 1
            self._numbers[job] = self._accepted
            return self._accepted
        return self._numbers.pop(job) if dest in TERMINAL else self._numbers[job]

    def _note_limit(self, time: float) -> None:
        """Write down what the limit has become, before anything that is told under it."""
        scheduler = self._scheduler()
        if scheduler is not None and scheduler.limit != self._limit:
            self._limit = scheduler.limit
            self._write_counted({"limit": self._limit, "time": self._since(time)})

    def _since(self, time: float) -> float:
        if self._begin is None:
            self._begin = time
        return round(time - self._begin, 6)

    def _write_call(self, name: str, event: str, **more: str) -> None:
        time = asyncio.get_running_loop().time()
        self._note_limit(time)
        self._write_counted({"call": name, "event": event, **more, "time": self._since(time)})

    def _write_counted(self, line: Mapping[str, Any]) -> None:
        # Counted first: if it can't be written, the last line tells.
        self._lines += 1
        self._write(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
