"""Steps of a run that few jobs come to: a cancellation before the first step, and a failure.

Both kinds of runs (``_run``) share them.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, NoReturn

from ._calling import is_a
from ._core import Core
from ._following import Following
from ._job import Job
from ._lifecycle import Event, Outcome
from ._tasks import without_frames

__all__ = ("after_gate", "cancelled_after_first_step", "fail")

_OWN = (f"{__package__}._run", __name__)
"""The modules of the frames through which what a coroutine raises passes first."""


def fail(job: Job[Any], following: Following, exc: BaseException) -> None:
    """Keep what the coroutine raised, without the frames of this package that it came through, until it is seen."""
    core = following.core
    failure = without_frames(exc, _OWN)
    followed = following.jobs.get(job)
    if followed is not None or job.owner is None:
        following.finished(job, Event.FINISH, Outcome.RAISED, failure)
        if followed is not None and followed.run is not None:
            # The task that runs this need not be the one that is followed.
            core.bound.call_out("a task", _receive_later, asyncio.current_task())
        return
    job.kept = failure
    core.bound.call_out("add_done_callback of a task", _receive_later, job.task)
    try:
        core.bound.loop.call_soon(core.see_failure, job)
    except BaseException:  # noqa: BLE001 - a loop that is closed has no later
        core.see_failure(job)


@types.coroutine
def cancelled_after_first_step(
    following: Following, job: Job[Any], coro: Coroutine[Any, Any, Any], again: tuple[Any, ...] | None
) -> Generator[Any, Any, Any]:
    """Await a coroutine, and have its task cancelled if it suspends in its first step.

    One that has ended by then gets no cancellation, so that its task says how it ended (``EXC-5``). `again` are
    the arguments of a cancellation that has been delivered, and is to be delivered anew.
    """
    steps, waits_for = coro.__await__(), None
    try:
        try:
            waits_for = next(steps)
        except StopIteration as end:
            return end.value
        following.cancel_in_first_step(job, again)
        while True:
            try:
                yield waits_for
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it is the coroutine's
                try:
                    waits_for = steps.throw(exc)
                except StopIteration as end:
                    return end.value
            else:
                return (yield from steps)
    finally:
        del coro, steps
        waits_for = job = None  # type: ignore[assignment]


def after_gate(
    following: Following, job: Job[Any], coro: Coroutine[Any, Any, Any], exc: BaseException
) -> Awaitable[Any]:
    """What is to be awaited after `exc` was raised where the coroutine has yet to begin."""
    if is_a(exc, asyncio.CancelledError):
        return cancelled_after_first_step(following, job, coro, exc.args)
    return _raised_instead(following.core, job, exc)


async def _raised_instead(core: Core, job: Job[Any], exc: BaseException) -> NoReturn:
    """What a coroutine comes to that was not begun because `exc` was raised in its place."""
    core.close_coroutine(job.coro, job)
    try:
        raise exc
    finally:
        del job


def _receive_later(task: asyncio.Future[Any] | None) -> None:
    if task is not None:
        task.add_done_callback(_receive)


def _receive(task: asyncio.Future[Any]) -> None:
    """Tell asyncio that the exception of a task is accounted for (``EXC-5``)."""
    if not task.cancelled():
        task.exception()
