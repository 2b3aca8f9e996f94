"""The parts of a scheduler that its core asks, as far as the core knows them.

They are made after it and connected by the scheduler; each knows the core, and the core of each what is here.

`Starter`, which is asked at every job, is a class to inherit from, so that the compiled build calls what stands in for
it without looking it up; the others have what they are asked for, and that is all: type checkers alone know them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._job import Job

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Iterable
    from typing import Protocol

__all__ = ("Failure", "Starter")

Failure = tuple[BaseException, Any]
"""What was raised, and its traceback."""


class Starter:
    """What makes the tasks of jobs that have a slot."""

    __slots__ = ()

    def launch(self, job: Job[Any]) -> Failure | None:
        """Make the task of a job; what that raises is returned."""
        raise NotImplementedError

    def begins_at_once(self) -> bool:
        """Whether a task may take its first step while it is made."""
        raise NotImplementedError

    def all(self) -> None:
        """Launch what waits, in order."""
        raise NotImplementedError

    def soon(self) -> None:
        """The same, on a stack of its own if need be."""
        raise NotImplementedError

    def fail_soon(self, job: Job[Any], failure: Failure) -> None:
        """End, in a moment, a job that got its slot from another and no task."""
        raise NotImplementedError


if TYPE_CHECKING:

    class Tasks(Protocol):
        """What knows the tasks of jobs once they are made."""

        def stop(self, job: Job[Any]) -> None:
            """Deliver to a job's task, once, that the job was asked to stop."""
            ...

        def runs(self, job: Job[Any], task: object) -> bool:
            """Whether a task, which need not be the one that was made for a job, has begun it."""
            ...

        def runners(self) -> Iterable[tuple[object, Job[Any]]]:
            """The tasks that have begun a job, though they need not be those that were made for them."""
            ...

        def see_end(self, job: Job[Any]) -> bool:
            """Take notice of the end of a task that has not told of it yet; whether there was one."""
            ...

        def has_only_task(self, job: Job[Any]) -> bool:
            """Whether the coroutine of a job has ended, and its task has not been seen to."""
            ...

        def has_ended_unseen(self, job: Job[Any]) -> bool:
            """Whether `see_end` would find that, its coroutine having ended, too, as far as nobody need be asked."""
            ...

    class Clock(Protocol):
        """What keeps the time of jobs that have a limit."""

        def start(self, job: Job[Any]) -> None:
            """The time of a job begins, if it has a limit."""
            ...

    class Line(Protocol):
        """The callers that are blocked because the queue is full."""

        def forget_gone(self) -> list[Job[Any]]:
            """Those at the head that were cancelled are not let in any more; their jobs, to be closed."""
            ...

        def admit(self) -> None:
            """Accept the job of the one that has waited longest: the end of a first half."""
            ...

        def accept_first(self) -> Future[None]:
            """The same without telling the caller; what is to be resolved for that."""
            ...
