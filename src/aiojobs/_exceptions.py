"""The errors of this package, each a subclass of the error that existing code already catches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ._job import Job
    from ._lifecycle import Event, State
    from ._machine import JobMachine

__all__ = ("IllegalTransition", "JobClosed", "PendingQueueFull")


class IllegalTransition(RuntimeError):  # noqa: N818 - the noun of the specification
    """An event reached a job in a state for which the table of ``spec/job.toml`` declares it illegal.

    The job is left as it was. Nothing that a user calls leads here: the error means that the
    package broke its own specification, and says where.

    Attributes:
        job: the job, unchanged.
        state: the state it was and still is in.
        event: the event that was refused.
    """

    def __init__(self, job: JobMachine, state: State, event: Event) -> None:
        super().__init__(
            f"event {event.value!r} is illegal in state {state.value!r} (spec/job.toml); {job!r} is unchanged"
        )
        self.job: Job[Any] = cast("Job[Any]", job)
        self.state = state
        self.event = event


class JobClosed(asyncio.CancelledError):
    """The job that was waited for was closed or cancelled, so it has no result (``WAIT-3``).

    A subclass of :exc:`asyncio.CancelledError`, as code written for aiojobs 1.4 expects. A waiter that
    was cancelled itself gets a plain ``CancelledError``: ``except JobClosed`` tells the two apart.

    Before CPython 3.13 ``asyncio.TaskGroup`` and ``asyncio.timeout`` compare exact types: out of the body of a
    group it comes in a ``BaseExceptionGroup`` there, and out of a timeout that has expired as it is; from 3.13 on
    it is a cancellation to both. ``except JobClosed`` inside the block does the same on every version.
    """


class PendingQueueFull(asyncio.QueueFull):
    """``spawn_nowait`` found every slot and every place in the queue taken (``SPAWN-5``).

    ``await scheduler.spawn(...)`` would have waited. The coroutine has been closed.
    """
