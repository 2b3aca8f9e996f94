"""Launching: the task of a job from its making to its last step, and the order in which tasks are made.

The rules of this file
----------------------
Policy is not made here: a job that is launched has its slot already. Whatever a task factory or an eager first step
raises, nothing is left of what could not be launched.

How it works
------------
*The task* drives ``run``, which awaits the job's coroutine and tells ``_core`` of its end in the very step in which it
ends. As soon as there is a task that drives ``run`` and nothing else, ``run`` is advanced to its gate, so that it is
entered whatever happens. A cancellation that comes before the first step finds it there, lets the coroutine take that
step, and is delivered after it (``START-1``). Any other task is followed to its end (``_following``).

*What the task says* is how the coroutine ended: ``run`` returns its result and raises its exception, and bears
its name (``EXC-5``). The exception is accounted for by the job, so asyncio is told that it was received.

*A failure* is seen one loop pass after it happened. Somebody whom the coroutine has woken in its last step
may be about to wait for the job or to close it, and is a better receiver than the handler (``CLOSE-3``).

*Order.* A job's task is made the moment its slot is given, but for two kinds: a job that was accepted for a blocked
spawn is launched when that spawn returns (``SPAWN-1``), and one that begins at once gets a stack of its own. These,
and all that start behind them, stand in line until it is their turn (``LIMIT-5``).
"""

from __future__ import annotations

import asyncio
import types
from asyncio import Task
from collections.abc import Awaitable, Coroutine, Generator
from contextlib import suppress
from typing import Any, NoReturn, cast

from ._callgraph import CALL_GRAPH, link
from ._calling import cancel, coro_of_stock, exits, failure_of, is_a, stop_loop
from ._core import Core, Failure
from ._following import Following
from ._job import Job
from ._lifecycle import Event, Outcome, State
from ._ownership import qualified_name
from ._tasks import create_inside, create_plainly, is_untouched, without_frames

__all__ = ("Launching",)

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_ACTIVE = State.ACTIVE
_FINISH, _CANCEL = Event.FINISH, Event.CANCEL
_RETURNED, _RAISED, _CANCELLED = Outcome.RETURNED, Outcome.RAISED, Outcome.CANCELLED


class Launching:
    """Makes the tasks of one scheduler's jobs."""

    __slots__ = ("_core", "_is_at_it", "following")

    _is_at_it: bool
    """Whether what waits is being launched: what comes to that meanwhile has its turn, and no stack of its own."""
    following: Following

    def __init__(self, core: Core) -> None:
        self._core = core
        self._is_at_it = False
        self.following = Following(core)

    def launch(self, job: Job[Any]) -> Failure | None:  # noqa: C901, PLR0912, PLR0915 - a call less is a call less, at every job
        """Make the task of a job that has started; what that raises is returned.

        A task that begins at once runs the first step in here, and the job may have ended on return.
        """
        core = self._core
        following = self.following
        loop = core.bound.loop
        coro: Any = job.coro
        name = job.given_name
        context = job.context
        run: Any = None
        task: Any = None
        try:
            if context is not None and core.terms:
                core.clock.start(job)
            run = _run(job, core, following, coro)
            try:
                run.__qualname__ = coro.__qualname__.plain
                run.__name__ = coro.__name__
            except BaseException:  # noqa: BLE001 - what is not Python's own may answer anything
                _take_name(run, coro)
            try:
                if context is None:
                    task = loop.create_task(run) if name is None else loop.create_task(run, name=name)
                elif core.bound.creates_elsewhere and not self.begins_at_once():
                    task = create_inside(loop, run, name, context)
                elif name is None:
                    task = loop.create_task(run, context=context)
                else:
                    task = loop.create_task(run, name=name, context=context)
            except TypeError as exc:
                task = create_plainly(loop, run, name, context, exc)
            if type(task) is Task and not following.jobs and coro_of_stock(task) is run:
                job.task = task
                job.context = None
                run.send(None)
                if CALL_GRAPH and (job.waiters is not None or core.callbacks or core.waiters):
                    core.show_callers(link, job, task)
                if job.current is not _ACTIVE:
                    following.stop(job)  # closing has begun while the task was made
            else:
                following.follow(job, task, run)
                del (
                    job,
                    coro,
                    run,
                    context,
                    task,
                )  # a traceback of an eager first step holds this frame (BOOK-3)
        except BaseException as exc:  # noqa: BLE001 - whatever a task factory or an eager first step raises
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
                del job, coro, run, context, task, failure  # likewise
        return None

    def _not_launched(self, job: Job[Any], exc: BaseException, coro: Any, run: Any, task: Any) -> Failure:
        """Leave nothing of what could not be launched, and return the reason."""
        core = self._core
        failure = without_frames(exc, (Launching.launch.__code__,))
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
                run.send(None)
            finally:
                job.task = None
        if run is not None:
            core.close_coroutine(run, job)
        core.close_coroutine(coro, job)
        self.following.jobs.pop(job, None)
        if end is not None:
            core.bound.call_out("exception of a task", failure_of, job.task)  # it is received here
            if job.owner is not None and not (end[1] is _RAISED and end[2][0] is exc):
                core.ended(job, *end)  # the factory failed when the coroutine had ended already
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


def _take_name(run: Any, coro: Any) -> None:
    """Give the coroutine that the task gets the name of one that is not Python's own (``EXC-5``)."""
    run.__qualname__ = qualified_name(coro)
    run.__name__ = run.__qualname__.rpartition(".")[2]


async def _run(job: Job[Any], core: Core, following: Following, coro: Coroutine[Any, Any, Any]) -> Any:
    """What the task runs: the coroutine, and in the same step the end of the job."""
    steps: Awaitable[Any] = coro
    if job.task is None or (following.jobs and job in following.jobs):
        if following.entered(job):
            steps = _cancelled_after_first_step(following, job, coro, None)
    else:
        try:
            await _GATE
        except GeneratorExit:
            raise  # as below
        except BaseException as exc:  # noqa: BLE001 - a cancellation, or thrown in beside the task
            steps = _after_gate(core, following, job, coro, exc)
    try:
        result = await steps
    except asyncio.CancelledError:
        following.finished(job, _CANCEL, _CANCELLED, None)
        del job, core, following, coro, steps
        raise
    except GeneratorExit as exc:
        if asyncio.current_task(core.bound.loop) is not job.task:
            raise  # nobody runs this task any more: it is being destroyed, and nothing can follow
        _fail(job, core, following, exc)
        del job, core, following, coro, steps
        raise
    except BaseException as exc:
        _fail(job, core, following, exc)
        del job, core, following, coro, steps  # from 3.12 on the frame in the traceback holds this one
        raise
    if following.jobs or job.owner is None:
        following.finished(job, _FINISH, _RETURNED, result)
    else:
        core.ended(job, _FINISH, _RETURNED, result)
    # An exception that the coroutine has caught, and whoever has it keeps, may know this frame.
    del job, core, following, coro, steps
    try:
        return result
    finally:
        del result


def _fail(job: Job[Any], core: Core, following: Following, exc: BaseException) -> None:
    """Keep what the coroutine raised, without the frame of ``_run``, until it is seen."""
    failure = without_frames(exc, _OWN_CODE)
    followed = following.jobs.get(job)
    if followed is not None or job.owner is None:
        following.finished(job, _FINISH, _RAISED, failure)
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


class _Gate(list[None]):
    """Awaiting it takes one step, in which None is passed up.

    There is nothing to build each time but an iterator, in C; of those of the standard types, the one that
    goes backwards is the quickest to come by, since it is a method and not a slot.
    """

    __slots__ = ()
    __await__ = list.__reversed__  # pyright: ignore[reportUnknownVariableType]


_GATE = cast("Awaitable[None]", _Gate((None,)))
"""Where ``_run`` stands when its task gets it; the task's first step passes."""


@types.coroutine
def _cancelled_after_first_step(
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


def _after_gate(
    core: Core, following: Following, job: Job[Any], coro: Coroutine[Any, Any, Any], exc: BaseException
) -> Awaitable[Any]:
    """What is to be awaited after `exc` was raised at the gate."""
    if is_a(exc, asyncio.CancelledError):
        return _cancelled_after_first_step(following, job, coro, exc.args)
    return _raised_instead(core, job, exc)


async def _raised_instead(core: Core, job: Job[Any], exc: BaseException) -> NoReturn:
    """What a coroutine comes to that was not begun because `exc` was raised in its place."""
    core.close_coroutine(job.coro, job)
    try:
        raise exc
    finally:
        del job


_OWN_CODE = (_run.__code__, _cancelled_after_first_step.__code__, _raised_instead.__code__)
"""Of the frames through which what a coroutine raises passes first."""


def _receive_later(task: asyncio.Future[Any] | None) -> None:
    if task is not None:
        task.add_done_callback(_receive)


def _receive(task: asyncio.Future[Any]) -> None:
    """Tell asyncio that the exception of a task is accounted for (``EXC-5``)."""
    if not task.cancelled():
        task.exception()
