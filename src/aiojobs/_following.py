"""Followed jobs: their task may do more than drive the coroutine, so they end with the task (``START-3``).

The rules of this file
----------------------
A task factory may have wrapped what a task is to run, begun it at once, or dropped it. Nothing is taken for granted
but that the task can be followed to its end.

How it works
------------
Most tasks drive nothing but their job, and are not here: their job ends in its last step (``_launching``). Of any
other a `Followed` notes what the coroutine comes to, and a callback of the task tells the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from ._callgraph import CALL_GRAPH, link
from ._calling import cancel, failure_of, is_a, is_done, tell
from ._core import Core
from ._job import Job
from ._lifecycle import Event, Outcome, State
from ._reporting import task_failure
from ._tasks import End, Followed, cancel_current, drives, end_of, no_task

__all__ = ("Following",)

_ACTIVE, _RAISED = State.ACTIVE, Outcome.RAISED


class Following:
    """The jobs of one scheduler that end with their tasks.

    Arguments:
        core: of that scheduler.
        to_gate: called with a run when its task drives nothing else.
    """

    __slots__ = ("_to_gate", "begins_at_once", "core", "jobs")

    core: Core
    jobs: dict[Job[Any], Followed]
    begins_at_once: bool
    """Whether a task has ever begun a job at once: from then on each is given a stack of its own to begin on."""

    def __init__(self, core: Core, to_gate: Callable[[Any], None]) -> None:
        self.core = core
        self._to_gate = to_gate
        self.jobs = {}
        self.begins_at_once = False

    def follow(self, job: Job[Any], task: Any, run: Any) -> None:
        """Have a job end with its task, unless it turns out that the task drives nothing else.

        Raises:
            BaseException: this can't be done: `task` is no future.
        """
        self.core.is_special = True
        followed = self.jobs.get(job)
        entered = followed is not None
        if not callable(getattr(task, "add_done_callback", None)):
            raise no_task(task)
        job.task = task
        job.context = None
        if CALL_GRAPH:
            self.core.show_callers(link, job, task)
        if (followed is None or followed.end is None) and drives(task, run):
            self.jobs.pop(job, None)
            if not entered:
                self._to_gate(run)
        else:
            if followed is None:
                followed = self.jobs[job] = Followed()
            followed.run = run
            if followed.runner is asyncio.current_task():
                followed.runner = None  # it was begun on the spot, by no task of its own
            if followed.end is not None and followed.end[1] is not _RAISED and task.done():
                self._task_ended(job, task)
            else:
                task.add_done_callback(partial(self._task_ended, job))
        if job.current is not _ACTIVE and job.owner is not None:
            self.stop(job)

    def entered(self, job: Job[Any]) -> bool:
        """The coroutine of a job is begun by a task that is not known to drive it, or not known yet.

        Returns whether the job was asked to stop before that, which its task has to be told after this step.
        """
        task = asyncio.current_task()
        followed = self.jobs.get(job)
        if followed is None:
            followed = self.jobs[job] = Followed()
            self.begins_at_once = self.core.is_special = True
            job.task = task
            asked = False  # the task is being made: it is told when it has been
        else:
            asked = job.current is not _ACTIVE
        followed.entered = True
        followed.runner = task
        return asked and task is not None

    def runs(self, job: Job[Any], task: object) -> bool:
        """Whether a task is the one that has begun a job."""
        followed = self.jobs.get(job)
        return followed is not None and task is not None and followed.runner is task

    def runners(self) -> list[tuple[object, Job[Any]]]:
        """The tasks that have begun a job, though they need not be those that were made for them."""
        return [(followed.runner, job) for job, followed in self.jobs.items() if followed.runner is not None]

    def finished(self, job: Job[Any], event: Event, outcome: Outcome, result: object) -> None:
        """The coroutine of a job has ended, and with it the job unless that ends with its task."""
        followed = self.jobs.get(job)
        if followed is not None:
            followed.end = (event, outcome, result)
        elif job.owner is not None:
            self.core.ended(job, event, outcome, result)

    def see_end(self, job: Job[Any]) -> bool:
        """Take notice of the end of a task that has not told of it yet; whether there was one."""
        followed = self.jobs.get(job)
        if followed is None or followed.run is None:
            return False
        if not self.core.bound.call_out("a task", is_done, job.task):
            return False
        self._task_ended(job, job.task)
        return True

    def has_only_task(self, job: Job[Any]) -> bool:
        """Whether the coroutine of a job has ended, and its task has not been seen to."""
        followed = self.jobs.get(job)
        return followed is not None and followed.end is not None

    def has_ended_unseen(self, job: Job[Any]) -> bool:
        """Whether `see_end` would find that a job and its coroutine have ended, as far as nobody need be asked."""
        followed = self.jobs.get(job)
        if followed is None or followed.run is None or followed.end is None:
            return False
        return type(job.task) is asyncio.Task and job.task.done()

    def stop(self, job: Job[Any]) -> None:
        """Deliver to a job's task that the job was asked to stop, once, and after its first step (``START-1``).

        A task that is being made is told when it has been.
        """
        task = job.task
        followed = self.jobs.get(job) if self.jobs else None
        if task is None or (followed is not None and followed.run is None):
            return
        if followed is None:
            try:
                task.cancel()  # without a call of the gate's own: when a scheduler is closed, for every job
            except BaseException as exc:  # noqa: BLE001 - what a task waits for may be anybody's
                tell(self.core.bound.loop, "cancel of a task", exc)
        elif followed.entered:
            self._cancel_followed(job)
        else:
            # It has yet to take its first step, and may get to the coroutine in it.
            self.core.bound.soon(self._cancel_followed, job)

    def cancel_in_first_step(self, job: Job[Any], again: tuple[Any, ...] | None) -> None:
        """Deliver to the current task what was asked before its coroutine had taken a step (``START-1``)."""
        followed = self.jobs.get(job)
        if followed is not None:
            followed.is_cancelled = True
        self.core.bound.call_out("cancel of a task", cancel_current, again)

    def _cancel_followed(self, job: Job[Any]) -> None:
        """Tell a task that is followed, unless it was told in the coroutine's first step."""
        followed = self.jobs.get(job)
        if followed is not None and not followed.is_cancelled:
            followed.is_cancelled = True
            self.core.bound.call_out("cancel of a task", cancel, job.task)

    def _task_ended(self, job: Job[Any], task: Any) -> None:
        """The task of a job that is followed is done, and so is the job."""
        followed = self.jobs.pop(job, None)
        if followed is None:
            return
        failure = failure_of(task)
        coro = job.coro
        end = followed.end
        event, outcome, result = end_of(failure) if end is None else end
        if end is None and not followed.entered:
            self.core.close_coroutine(followed.run, job)
            self.core.close_coroutine(coro, job)
        del coro  # as in close_coroutine
        self.core.ended(job, event, outcome, result)
        if end is not None and failure is not None and not _is_expected(failure, end):
            self.core.reporting.report(job, task_failure(job, failure))


def _is_expected(failure: BaseException, end: End) -> bool:
    """Whether a task came to what its coroutine did: its exception, or a cancellation."""
    if is_a(failure, asyncio.CancelledError):
        return True
    return end[1] is _RAISED and end[2][0] is failure
