"""What happens to the jobs of one scheduler: asyncio's hands around the decisions of ``_admission``.

The rules of this file
----------------------
Policy is asked for, never made: what follows when a job ends or leaves the queue is what ``Admission``
answers. How jobs come in is ``_entrance``'s, closing is ``_shutdown``'s, a job's state is ``_machine``'s.
What is left is order, registries and tasks.

*An action is whole before anybody else's code runs* (``BOOK-4``). Each has two halves. The first changes states,
counts and registries, and calls nothing but what changes them: it can't be interrupted, and since those calls
are all of one depth and call no further, a stack that has room for the first has room for the last. The second
half calls out, each call on its own: what one of them does or raises keeps none of the others from being made.

How it works
------------
*Registries.* A job is in ``_queue`` while it is pending and in ``_running`` while it holds a slot, and counted
nowhere else. Both are ordered, and since jobs start first in, first out, the running ones followed by the
queue are in the order of spawning (``BOOK-2``). No set of jobs exists, so nothing depends on the order of
hashes.

*Starting.* A job's task is created the moment its slot is given. If the task does nothing but drive the job, the
job calls ``_ended`` in its last step; if not, the job is in ``_followed`` until its task is done (``START-3``).
``_ended`` completes the registries, wakes who waits, lets the next job start, and reports to the handler last.

What is deliberately not here
-----------------------------
No helper task: nothing that a stray ``task.cancel()`` could hit (``SHUT-5``). No search: every step finds its
job by position or by hash (``COST-1``). No threads: one loop, its thread, and an error for any other.
"""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from . import _reports
from ._admission import Admission, Next
from ._callgraph import CALL_GRAPH, link, unlink, unlink_each
from ._calling import exits, is_a, make_room, stop_loop, tell
from ._claims import foreign, qualified_name, release
from ._lifecycle import Event, Outcome, PhaseEvent, State
from ._machine import JobMachine
from ._outside import Outside
from ._queue import Queue
from ._records import ACCEPT, ExceptionHandler, Observer
from ._shutdown import Shutdown
from ._tasks import (
    End,
    Followed,
    cancel,
    cancel_current,
    coro_of_stock,
    create_inside,
    create_plainly,
    drives,
    end_of,
    failure_of,
    is_done,
    is_untouched,
    name_of,
    no_task,
    resolve,
    without_frames,
)

if TYPE_CHECKING:
    from contextvars import Context

    from ._shield import Shielded

__all__ = ("Engine",)

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_NOTHING, _START_NEXT, _ADMIT = Next.NOTHING, Next.START, Next.ADMIT
_PENDING, _ACTIVE = State.PENDING, State.ACTIVE
_GIVE_SLOT, _CLOSE = Event.START, Event.CLOSE
_RETURNED, _RAISED, _NEVER_STARTED = Outcome.RETURNED, Outcome.RAISED, Outcome.NEVER_STARTED
_Failure = tuple[BaseException, Any]
Caller = asyncio.Task[Any] | None


class Engine(Outside):
    """The private half of a scheduler.

    Arguments:
        admission: decides; nobody else writes to it.
        close_within: seconds that jobs have to stop when the scheduler closes; None for no deadline.
        exception_handler: the user's, or None for the loop's.
        observer: the user's, or None.
    """

    def __init__(
        self,
        admission: Admission,
        close_within: float | None,
        exception_handler: ExceptionHandler | None,
        observer: Observer | None,
    ) -> None:
        super().__init__(exception_handler, observer)
        self._admission = admission
        self._close_within = close_within
        self._shutdown = Shutdown(self)
        # Whenever user code runs, their lengths are what _admission counts.
        self._running: dict[JobMachine, None] = {}
        self._queue = Queue()
        self._blocked: OrderedDict[asyncio.Future[None], JobMachine] = OrderedDict()
        # Jobs that were accepted for a blocked spawn which has not returned yet.
        self._arriving: dict[JobMachine, None] = {}
        self._shielded: dict[asyncio.Future[Any], Shielded] = {}
        # What to call after the end of a job, in the context of whoever asked for it, and who waits for the call.
        self._callbacks: dict[JobMachine, list[tuple[Callable[[Any], object], Context, Caller]]] = {}
        # Jobs whose start has fired and whose task is to be created, in order. Nothing stays here for more
        # than a loop pass.
        self._to_launch: deque[JobMachine] = deque()
        # Jobs whose task may do something else beside driving them; their end is that of the task.
        self._followed: dict[JobMachine, Followed] = {}
        # Whether a task has ever begun a job at once: from then on each is given a stack of its own to begin on.
        self._begins_at_once = False

    def __del__(self) -> None:
        with suppress(AttributeError):
            for job in (*self._running, *self._queue, *self._blocked.values()):
                release(job._coro)
            for shielded in self._shielded.values():
                release(shielded.arg)

    def _move(self, event: PhaseEvent) -> None:
        """Change the phase through the table; the observer is told by whoever calls."""
        source = self._admission.phase
        if event is PhaseEvent.CLOSE:
            self._admission.shutdown()
        else:
            self._admission.settle()
        if self._observer is not None:
            self._untold.append((None, event, source, self._admission.phase))

    # --- Starting ----------------------------------------------------------------------------------

    def _launch(  # noqa: C901, PLR0912 - a call less is a call less, at every job
        self, job: JobMachine
    ) -> _Failure | None:
        """Create the task of a job that has started; what that raises is returned.

        A task that begins at once runs the first step in here, and the job may have ended on return.
        """
        loop = self._loop
        coro: Any = job._coro
        name = job._name
        context = job._context
        run: Any = None
        task: Any = None
        try:
            run = job._run(self, coro)
            try:
                run.__qualname__ = coro.__qualname__.plain
                run.__name__ = coro.__name__
            except BaseException:  # noqa: BLE001 - what is not Python's own may answer anything
                _take_name(run, coro)
            try:
                if context is None:
                    task = loop.create_task(run) if name is None else loop.create_task(run, name=name)
                elif self._create_task_is_replaced and not self._may_begin_at_once():
                    task = create_inside(loop, run, name, context)
                elif name is None:
                    task = loop.create_task(run, context=context)
                else:
                    task = loop.create_task(run, name=name, context=context)
            except TypeError as exc:
                task = create_plainly(loop, run, name, context, exc)
            if type(task) is Task and not self._followed and coro_of_stock(task) is run:
                job._task = task
                job._context = None
                run.send(None)
                if CALL_GRAPH and (job._waiters is not None or self._callbacks or self._shutdown.is_awaited):
                    self._show_callers(link, job, task)
                if job._state is not _ACTIVE:
                    self._cancel_task(job)  # closing has begun while the task was made
            else:
                self._follow(job, task, run)
                del job, coro, run, context, task  # a traceback of an eager first step holds this frame (BOOK-3)
        except BaseException as exc:  # noqa: BLE001 - whatever a task factory or an eager first step raises
            failure: _Failure = (exc, None)
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

    def _follow(self, job: JobMachine, task: Any, run: Any) -> None:
        """Have a job end with its task, unless it turns out that the task drives nothing else.

        Raises:
            BaseException: this can't be done: `task` is no future.
        """
        self._is_special = True
        followed = self._followed.get(job)
        entered = followed is not None
        if not callable(getattr(task, "add_done_callback", None)):
            raise no_task(task)
        job._task = task
        job._context = None
        if CALL_GRAPH:
            self._show_callers(link, job, task)
        if (followed is None or followed.end is None) and drives(task, run):
            self._followed.pop(job, None)
            if not entered:
                run.send(None)
        else:
            if followed is None:
                followed = self._followed[job] = Followed()
            followed.run = run
            if followed.runner is asyncio.current_task():
                followed.runner = None  # it was begun on the spot, by no task of its own
            if followed.end is not None and followed.end[1] is not _RAISED and task.done():
                self._task_ended(job, task)
            else:
                task.add_done_callback(partial(self._task_ended, job))
        if job._state is not _ACTIVE and job._outcome is None:
            self._cancel_task(job)

    def _show_callers(self, act: Callable[[object, object], None], job: JobMachine, task: object) -> None:
        """Link the task of a job with those of all who wait for it, or for everything, or part them (``WAIT-6``)."""
        try:
            if job._waiters is not None:
                for caller in job._waiters.values():
                    act(task, caller)
            for _, _, watcher in self._callbacks.get(job, ()):
                act(task, watcher)
            for drainer in self._shutdown.callers():
                act(task, drainer)
        except BaseException as exc:  # noqa: BLE001 - a task of somebody's own may object
            tell(self._loop, "the call graph", exc)

    def _not_launched(self, job: JobMachine, exc: BaseException, coro: Any, run: Any, task: Any) -> _Failure:
        """Leave nothing of what could not be launched, and return the reason."""
        failure = without_frames(exc, (Engine._launch.__code__,))
        followed = self._followed.get(job)
        end = None if followed is None else followed.end
        if followed is not None and job._task is not asyncio.current_task():
            task = job._task  # has begun the coroutine, and is to end without it
        if task is not None:
            self._call_out("cancel of a task", cancel, task)
        if run is not None and job._task is None and is_untouched(run):
            # What is closed at its gate lets go of its arguments.
            job._task = _NO_TASK
            try:
                run.send(None)
            finally:
                job._task = None
        if run is not None:
            self._close_coroutine(run, job)
        self._close_coroutine(coro, job)
        self._followed.pop(job, None)
        if end is not None:
            self._call_out("exception of a task", failure_of, job._task)  # it is received here
            if job._outcome is None and not (end[1] is _RAISED and end[2][0] is exc):
                self._ended(job, *end)  # the factory failed when the coroutine had ended already
        try:
            return failure
        finally:
            del job, exc, coro, run, task, failure

    def _entered(self, job: JobMachine) -> bool:
        """The coroutine of a job is begun by a task that is not known to drive it, or not known yet.

        Returns whether the job was asked to stop before that, which its task has to be told after this step.
        """
        task = asyncio.current_task()
        followed = self._followed.get(job)
        if followed is None:
            followed = self._followed[job] = Followed()
            self._begins_at_once = self._is_special = True
            job._task = task
            asked = False  # the task is being made: it is told when it has been
        else:
            asked = job._state is not _ACTIVE
        followed.entered = True
        followed.runner = task
        return asked and task is not None

    def _runs(self, job: JobMachine, task: object) -> bool:
        """Whether a task is the one that runs a job."""
        if job._task is task:
            return True
        followed = self._followed.get(job) if self._followed else None
        return followed is not None and followed.runner is task

    def _cancel_in_first_step(self, job: JobMachine, again: tuple[Any, ...] | None) -> None:
        """Deliver to the current task what was asked before its coroutine had taken a step (``START-1``)."""
        followed = self._followed.get(job)
        if followed is not None:
            followed.is_cancelled = True
        self._call_out("cancel of a task", cancel_current, again)

    def _finished(self, job: JobMachine, event: Event, outcome: Outcome, result: object) -> None:
        """The coroutine of a job has ended, and with it the job unless that ends with its task."""
        followed = self._followed.get(job)
        if followed is not None:
            followed.end = (event, outcome, result)
        elif job._outcome is None:
            self._ended(job, event, outcome, result)

    def _task_ended(self, job: JobMachine, task: Any) -> None:
        """The task of a job that is followed is done, and so is the job (``START-3``)."""
        followed = self._followed.pop(job, None)
        if followed is None:
            return
        failure = failure_of(task)
        coro = job._coro
        if followed.end is None:
            end = end_of(failure)
            if not followed.entered:
                self._close_coroutine(followed.run, job)
                self._close_coroutine(coro, job)
            del coro  # as there
            self._ended(job, *end)
        else:
            end = followed.end
            self._ended(job, *end)
            if failure is not None and not _is_expected(failure, end):
                self._report(job, _reports.task_failure(job, failure))

    def _cancel_task(self, job: JobMachine) -> None:
        """Deliver to a job's task that the job was asked to stop, once, and after its first step (``START-1``).

        A task that is being made is told when it has been.
        """
        task = job._task
        followed = self._followed.get(job) if self._followed else None
        if task is None or (followed is not None and followed.run is None):
            return
        if followed is None:
            self._call_out("cancel of a task", cancel, task)
        elif followed.entered:
            self._cancel_followed(job)
        else:
            # It has yet to take its first step, and may get to the coroutine in it.
            self._call_soon(self._cancel_followed, job)

    def _cancel_followed(self, job: JobMachine) -> None:
        """The same for a task that is followed, unless it was told in the coroutine's first step."""
        followed = self._followed.get(job)
        if followed is not None and not followed.is_cancelled:
            followed.is_cancelled = True
            self._call_out("cancel of a task", cancel, job._task)

    def _fail_soon(self, job: JobMachine, failure: _Failure) -> None:
        """End a job that got its slot from another and no task, but not at once: the next one may get none either.

        Each failure would start the next one ever deeper.
        """
        try:
            self._loop.call_soon(self._launch_failed, job, failure)
        except BaseException:  # noqa: BLE001 - a loop that is closed has no later
            self._launch_failed(job, failure)
        del job, failure  # the traceback of the one holds this frame, which holds the other (BOOK-3)

    def _may_begin_at_once(self) -> bool:
        return self._begins_at_once or self._has_task_factory()

    def _launch_soon(self) -> None:
        """Launch what waits for its turn."""
        if self._may_begin_at_once():
            self._call_soon(self._launch_all)
        else:
            self._launch_all()

    def _launch_all(self) -> None:
        """Launch in the order of starting, up to a job whose caller has yet to wake (``LIMIT-5``)."""
        waiting = self._to_launch
        while waiting and waiting[0] not in self._arriving:
            job = waiting.popleft()
            if job._outcome is None:
                self._launch_late(job)
            del job

    def _launch_late(self, job: JobMachine) -> None:
        """Launch a job whose caller is not waiting for that."""
        failure = self._launch(job)
        if failure is not None:
            self._launch_failed(job, failure)
        del job, failure

    def _launch_failed(self, job: JobMachine, failure: _Failure) -> None:
        """There is no caller left to tell that a task could not be made: the handler hears of it."""
        if job._outcome is None:
            self._ended(job, Event.FINISH, _RAISED, failure)
        if exits(failure[0]):
            stop_loop(self._loop, failure[0])

    def _forget_gone(self) -> list[JobMachine]:
        """Callers at the head of the line that were cancelled in this very pass are not let in any more.

        Returns their jobs, whose coroutines are to be closed.
        """
        gone: list[JobMachine] = []
        while self._blocked:
            place, job = self._blocked.popitem(last=False)
            if not place.cancelled():
                self._blocked[place] = job
                self._blocked.move_to_end(place, last=False)
                break
            self._admission.give_up()
            gone.append(job)
        return gone

    def _admit_blocked(self) -> None:
        """Accept the job of the call that has waited longest, on the call's behalf: the end of a first half."""
        place, job = self._blocked.popitem(last=False)
        self._queue.join(job)
        self._arriving[job] = None
        if self._observer is not None:
            self._untold.append((job, ACCEPT, None, job._state))
        self._call_out("a waiter", resolve, place, None)

    # --- Ending ------------------------------------------------------------------------------------

    def _ended(  # noqa: C901 - a call less is a call less, at every job
        self, job: JobMachine, event: Event, outcome: Outcome, result: object, received: bool = False
    ) -> None:
        """A running job has really ended: complete its registries, wake who waits, start the next, report."""
        # To free what a job lets go of may run anything: it is held to the end of the first half, here or by _run.
        held = None
        if outcome is not _RETURNED or self._is_special or foreign:
            held = (job._coro, job._task, job._context)
        task = job._task if CALL_GRAPH else None
        job._fire(event)
        del self._running[job]
        job._end(outcome, result)
        gone = self._forget_gone() if self._blocked else None
        next_ = self._admission.ended()
        following = None
        if next_ is not _NOTHING:
            following = self._queue.pop()
            self._running[following] = None
            following._fire(_GIVE_SLOT)
            if next_ is not _START_NEXT:
                self._admit_blocked()
        # Whole: from here on it calls out.
        if CALL_GRAPH and (job._waiters is not None or self._callbacks or self._shutdown.is_awaited):
            self._show_callers(unlink, job, task)
        if held is not None or gone:
            self._say_farewell(job, held, gone)
        held = task = None
        if job._waiters is not None or self._callbacks:
            self._tell(job, received=received)
        unreceived = outcome is _RAISED and job._waiters is None and not received
        if following is None:
            if not self._running:
                self._shutdown.consider()
        elif self._to_launch or following in self._arriving or (self._is_special and self._may_begin_at_once()):
            # In the last step of a job that another one follows, a task that begins at once would find the context
            # entered that both may share, and one that ended at once would start the next one ever deeper.
            self._to_launch.append(following)
            self._launch_soon()
        elif (failure := self._launch(following)) is not None:
            self._fail_soon(following, failure)
            del failure
        following = None  # what its task raised may hold this frame (BOOK-3)
        if unreceived:
            self._report_failure(job)

    def _say_farewell(
        self, job: JobMachine, held: tuple[Any, Any, Any] | None, gone: list[JobMachine] | None
    ) -> None:
        """What seldom has to be done for a job that has ended: names, claims, observer, callers that are gone.

        `held` are its coroutine, its task and its context, of which nothing else may know any more.
        """
        if held is not None:
            coro, task, _ = held
            if type(coro) is not CoroutineType:
                job._coro = qualified_name(coro)
                release(coro)
            if job._outcome is not _RETURNED and job._name is None and task is not None:
                job._name = self._call_out("get_name of a task", name_of, task)
        for departed in gone or ():
            self._disown(departed)
        if self._observer is not None:
            self._tell_observer()

    def _ask_to_stop(self, job: JobMachine) -> None:
        """``close`` was asked of a job that has not ended (``CLOSE-1``, ``CLOSE-3``, ``START-2``)."""
        if job._state is _PENDING:
            self._stop_pending(job)
            return
        make_room()
        if job in self._arriving:
            self._stop_arriving(job)
        elif not self._see_end(job) and job._fire(_CLOSE):
            if self._observer is not None:
                self._tell_observer()
            self._cancel_task(job)

    def _see_end(self, job: JobMachine) -> bool:
        """Take notice of an end that has come and was not seen yet; whether there was one."""
        if job._result is not None and job._outcome is None:
            job._see_failure()
            return True
        followed = self._followed.get(job) if self._followed else None
        if followed is None or followed.run is None or followed.end is None:
            return False
        if not self._call_out("a task", is_done, job._task):
            return False
        self._task_ended(job, job._task)
        return True

    def _has_ended_unseen(self, job: JobMachine) -> bool:
        """Whether `_see_end` would find that a job has ended, as far as nobody need be asked for that."""
        followed = self._followed.get(job) if self._followed else None
        if followed is None:
            return job._result is not None
        task = job._task
        return followed.run is not None and followed.end is not None and type(task) is Task and task.done()

    def _stop_pending(self, job: JobMachine) -> None:
        """A job that waits for a slot ends on the spot, and nothing of it ever runs (``START-2``)."""
        if job._waiters is not None or self._callbacks or self._blocked or self._is_special:
            make_room()
        coro, context = job._coro, job._context
        job._fire(_CLOSE)
        self._queue.leave(job)
        job._end(_NEVER_STARTED, None)
        gone = self._forget_gone()
        if self._admission.withdrawn() is _ADMIT:
            self._admit_blocked()
        # Whole: from here on it calls out, and to free what the job has let go of may run anything.
        del context
        try:
            cast("Coroutine[Any, Any, Any]", coro).close()
        except BaseException as exc:  # noqa: BLE001 - it changes nothing for anybody else
            self._report_cleanup(job, exc)
        if gone or self._is_special or type(coro) is not CoroutineType:
            self._say_farewell(job, (coro, None, None), gone)
        del coro  # as in _close_coroutine
        if job._waiters is not None or self._callbacks:
            self._tell(job)

    def _stop_arriving(self, job: JobMachine) -> None:
        """A job that has a slot, but no task since its spawn has not returned, never runs either (``SPAWN-1``)."""
        coro = job._coro
        job._fire(_CLOSE)
        self._ended(job, Event.CANCEL, Outcome.CANCELLED, None)
        self._close_coroutine(coro, job)
        del coro  # as there

    def _disown(self, job: JobMachine) -> None:
        """Close the coroutine of a job that was never accepted, and forget whose it was."""
        coro: Any = job._coro
        job._coro = qualified_name(coro)
        if foreign:
            release(coro)
        try:
            self._close_coroutine(coro, job)
        finally:
            del coro  # as there

    def _close_coroutine(self, coro: Any, job: JobMachine) -> None:
        """Close what will not run any more; what its cleanup raises goes to the handler (``START-2``).

        A finalizer may call back meanwhile, and what is raised then holds the frames that led to it: here and in
        whoever calls this, nothing bears the coroutine any more when it is closed (``BOOK-3``).
        """
        try:
            coro.close()
        except BaseException as exc:  # noqa: BLE001 - it changes nothing for anybody else
            self._report_cleanup(job, exc)
        finally:
            del coro

    def _tell(self, job: JobMachine, received: bool = False) -> None:
        """Wake those who wait for a job that has ended."""
        if job._waiters is not None:
            job._wake(self._loop, received=received)
        for callback, context, _ in self._callbacks.pop(job, ()) if self._callbacks else ():
            try:
                self._loop.call_soon(callback, job, context=context)
            except BaseException as exc:  # noqa: BLE001 - a debug loop refuses what it can't call
                tell(self._loop, "done callback", exc)

    def _shielded_ended(self, inner: asyncio.Future[Any], unreceived: BaseException | None) -> None:
        shielded = self._shielded.pop(inner)
        release(shielded.arg)
        if CALL_GRAPH:
            self._call_out("the call graph", unlink_each, (inner,), self._shutdown.callers())
        self._shutdown.consider()
        if unreceived is not None:
            self._report(None, _reports.shield_failure(inner, unreceived))


_NO_TASK: Any = object()
"""What a job has in the place of a task that could not be made, while it is given up."""


def _take_name(run: Any, coro: Any) -> None:
    """Give the coroutine that the task gets the name of one that is not Python's own (``EXC-5``)."""
    run.__qualname__ = qualified_name(coro)
    run.__name__ = run.__qualname__.rpartition(".")[2]


def _is_expected(failure: BaseException, end: End) -> bool:
    """Whether a task came to what its coroutine did: its exception, or a cancellation."""
    if is_a(failure, asyncio.CancelledError):
        return True
    return end[1] is _RAISED and end[2][0] is failure
