"""Launching: the task of a job from its making to its last step, and the order in which tasks are made.

The rules of this file
----------------------
Policy is not made here: a job that is launched has its slot already. Whatever a task factory or an eager first step
raises, nothing is left of what could not be launched.

How it works
------------
*The task* drives a *run*, which drives the job's coroutine and tells ``_core`` of its end in the very step in which it
ends (``_run``). Any other task, one that somebody has made to run something else, is followed to its end
(``_following``).

*What the task says* is how the coroutine ended: the run returns its result and raises its exception, and bears
its name (``EXC-5``). The exception is accounted for by the job, so asyncio is told that it was received.

*A failure* is seen one loop pass after it happened. Somebody whom the coroutine has woken in its last step
may be about to wait for the job or to close it, and is a better receiver than the handler (``CLOSE-3``).

*Order.* A job's task is made the moment its slot is given, but for two kinds: a job that was accepted for a blocked
spawn is launched when that spawn returns (``SPAWN-1``), and one that begins at once gets a stack of its own. These,
and all that start behind them, stand in line until it is their turn (``LIMIT-5``).
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import Task
from contextlib import suppress
from typing import Any

from ._callgraph import CALL_GRAPH, link
from ._calling import cancel, coro_of_stock, exits, failure_of, stop_loop
from ._core import Core
from ._following import Following
from ._job import Job
from ._lifecycle import Event, Outcome, State
from ._parts import Failure, Starter
from ._run import IS_COROUTINE, is_untouched, make_run, take_name, to_gate
from ._tasks import create_inside, create_plainly, without_frames

__all__ = ("Launching",)

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_ACTIVE = State.ACTIVE
_FINISH, _RAISED = Event.FINISH, Outcome.RAISED


class Launching(Starter):
    """Makes the tasks of one scheduler's jobs."""

    __slots__ = ("_core", "_is_at_it", "following")

    _is_at_it: bool
    """Whether what waits is being launched: what comes to that meanwhile has its turn, and no stack of its own."""
    following: Following

    def __init__(self, core: Core) -> None:
        self._core = core
        self._is_at_it = False
        self.following = Following(core, to_gate)

    def launch(self, job: Job[Any]) -> Failure | None:
        """Make the task of a job that has started; what that raises is returned.

        A task that begins at once runs the first step in here, and the job may have ended on return.
        """
        core = self._core
        following = self.following
        coro: Any = job.coro
        context = job.context
        run: Any = None
        task: Any = None
        try:
            if context is not None and core.terms:
                core.clock.start(job)
            run = make_run(job, following, coro)
            if IS_COROUTINE:  # pragma: no branch - one of two builds
                try:
                    run.__qualname__ = coro.__qualname__.plain
                    run.__name__ = coro.__name__
                except BaseException:  # noqa: BLE001 - what is not Python's own may answer anything
                    take_name(run, coro)
            if context is None and job.given_name is None:
                task = core.bound.loop.create_task(run)
            else:
                task = self._create(run, job.given_name, context)
            if type(task) is not Task or following.jobs or coro_of_stock(task) is not run:
                following.follow(job, task, run)
                # A traceback of an eager first step holds this frame (BOOK-3).
                del job, coro, run, context, task
                return None
            job.task = task
            job.context = None
            if IS_COROUTINE:  # pragma: no branch - as above
                run.send(None)
            if CALL_GRAPH and (job.waiters is not None or core.callbacks or core.waiters):
                core.show_callers(link, job, task)
            if job.current is not _ACTIVE:
                following.stop(job)  # closing has begun while the task was made
        except BaseException as exc:  # noqa: BLE001 - whatever a task factory or an eager first step raises
            try:
                return self._failure(job, exc, coro, run, task)
            finally:
                del job, coro, run, context, task  # likewise
        return None

    def _create(self, run: Any, name: str | None, context: contextvars.Context | None) -> Any:
        """The task for a run, with a name or in a context of its own.

        Raises:
            BaseException: whatever a task factory or an eager first step raises.
        """
        bound = self._core.bound
        loop = bound.loop
        try:
            if context is None:
                return loop.create_task(run, name=name)
            if bound.creates_elsewhere and not self.begins_at_once():
                return create_inside(loop, run, name, context, is_untouched)
            if name is None:
                return loop.create_task(run, context=context)
            return loop.create_task(run, name=name, context=context)
        except TypeError as exc:
            return create_plainly(loop, run, name, context, exc, is_untouched)
        finally:
            del run, context  # likewise

    def _failure(self, job: Job[Any], exc: BaseException, coro: Any, run: Any, task: Any) -> Failure:
        """Why a task could not be made, of which nothing is left."""
        failure: Failure = (exc, None)
        try:
            failure = self._not_launched(job, exc, coro, run, task)
        except RecursionError:  # there is no room on the stack even for that
            for unfinished in (run, coro):
                with suppress(BaseException):
                    unfinished.close()
        try:
            return failure
        finally:
            del job, exc, coro, run, task, failure  # likewise

    def _not_launched(self, job: Job[Any], exc: BaseException, coro: Any, run: Any, task: Any) -> Failure:
        """Leave nothing of what could not be launched, and return the reason."""
        core = self._core
        failure = without_frames(exc, (__name__,))
        followed = self.following.jobs.get(job)
        end = None if followed is None else followed.end
        if followed is not None and job.task is not asyncio.current_task():
            task = job.task  # has begun the coroutine, and is to end without it
        if task is not None:
            core.bound.call_out("cancel of a task", cancel, task)
        if run is not None and job.task is None and is_untouched(run):
            # What is closed at its gate lets go of its arguments.
            job.task = _NO_TASK
            try:
                to_gate(run)
            finally:
                job.task = None
        if run is not None:
            core.close_coroutine(run, job)
        core.close_coroutine(coro, job)
        self.following.jobs.pop(job, None)
        if end is not None:
            core.bound.call_out("exception of a task", failure_of, job.task)  # it is received here
            if job.owner is not None and not (end[1] is _RAISED and end[2][0] is exc):
                # The factory failed when the coroutine had ended already.
                event, outcome, result = end
                core.ended(job, event, outcome, result)
        try:
            return failure
        finally:
            del job, exc, coro, run, task, failure

    def begins_at_once(self) -> bool:
        """Whether a task may take its first step while it is made."""
        return self.following.begins_at_once or self._core.bound.has_task_factory()

    def soon(self) -> None:
        """Launch what waits, on a stack of its own if tasks begin at once."""
        if self.begins_at_once():
            self._core.bound.soon(self.all)
        else:
            self.all()

    def all(self) -> None:
        """Launch in the order of starting, up to a job whose caller has yet to wake (``LIMIT-5``)."""
        waiting, arriving = self._core.waiting, self._core.arriving
        if self._is_at_it:
            return
        self._is_at_it = True
        while waiting and waiting[0] not in arriving:
            job = waiting.popleft()
            if job.owner is not None:
                self._launch_late(job)
            del job
        self._is_at_it = False

    def _launch_late(self, job: Job[Any]) -> None:
        """Launch a job whose caller is not waiting for that."""
        failure = self.launch(job)
        if failure is not None:
            self._failed(job, failure)
        del job, failure

    def fail_soon(self, job: Job[Any], failure: Failure) -> None:
        """End a job that got its slot from another and no task, but not at once: the next one may get none either.

        Each failure would start the next one ever deeper.
        """
        try:
            self._core.bound.loop.call_soon(self._failed, job, failure)
        except BaseException:  # noqa: BLE001 - a loop that is closed has no later
            self._failed(job, failure)
        del job, failure  # the traceback of the one holds this frame, which holds the other (BOOK-3)

    def _failed(self, job: Job[Any], failure: Failure) -> None:
        """There is no caller left to tell that a task could not be made: the handler hears of it."""
        if job.owner is not None:
            self._core.ended(job, _FINISH, _RAISED, failure)
        if exits(failure[0]):
            stop_loop(self._core.bound.loop, failure[0])


_NO_TASK: Any = object()
"""What a job has in the place of a task that could not be made, while it is given up."""
