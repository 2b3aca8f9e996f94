"""What happens to the jobs of one scheduler: asyncio's hands around the decisions of ``_admission``.

The rules of this file
----------------------
Policy is asked for, never made: what follows when a job ends or leaves the queue is what ``Admission``
answers. How jobs come in is ``_entrance``'s, closing is ``_shutdown``'s, a job's state is ``_machine``'s.
What is left is order, books and tasks.

How it works
------------
*Books.* A job is in ``_queue`` while it is pending and in ``_running`` while it holds a slot, and counted
nowhere else. Both are ordered, and since jobs start first in, first out, the running ones followed by the
queue are in the order of spawning (``BOOK-2``). No set of jobs exists, so nothing depends on the order of
hashes.

*Starting.* A job's task is created the moment its slot is given, and in its last step the job calls
``_ended``, which closes the books, wakes who waits, lets the next job start, and reports to the handler
last. So whatever user code does, it finds a scheduler in order.

What is deliberately not here
-----------------------------
No helper task: nothing that a stray ``task.cancel()`` could hit (``SHUT-5``). No search: every step finds its
job by position or by hash (``COST-1``). No threads: one loop, its thread, and an error for any other.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from . import _reports
from ._admission import Admission, Next
from ._claims import foreign, release
from ._lifecycle import Event, Outcome, PhaseEvent, State
from ._machine import JobMachine, qualified_name
from ._outside import Outside
from ._queue import Queue
from ._records import ACCEPT, ExceptionHandler, Observer
from ._shutdown import Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

    from ._shield import Shielded

__all__ = ("Engine",)

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_NOTHING, _START_NEXT, _ADMIT = Next.NOTHING, Next.START, Next.ADMIT
_PENDING, _CLOSING = State.PENDING, State.CLOSING
_GIVE_SLOT, _CLOSE = Event.START, Event.CLOSE
_RAISED, _NEVER_STARTED = Outcome.RAISED, Outcome.NEVER_STARTED


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
        # What to call after the end of a job, each in the context of whoever asked for it.
        self._callbacks: dict[JobMachine, list[tuple[Callable[[Any], object], Context]]] = {}
        # Jobs whose start has fired and whose task is to be created, in order. Nothing stays here for more
        # than a loop pass.
        self._to_launch: deque[JobMachine] = deque()

    def __del__(self) -> None:
        with suppress(AttributeError):
            for job in (*self._running, *self._queue, *self._blocked.values()):
                release(job._coro)
            for shielded in self._shielded.values():
                release(shielded.arg)

    def _move(self, event: PhaseEvent) -> None:
        """Change the phase through the table, and tell the observer."""
        source = self._admission.phase
        if event is PhaseEvent.CLOSE:
            self._admission.shutdown()
        else:
            self._admission.settle()
        if self._observer is not None:
            self._observe(None, event, source, self._admission.phase)

    # --- Starting ----------------------------------------------------------------------------------

    def _launch(self, job: JobMachine) -> BaseException | None:
        """Create the task of a job that has started; what the task factory raises is returned.

        With an eager task factory the first step runs in here, and the job may have ended on return.
        """
        loop = self._loop
        coro: Any = job._coro
        context = job._context
        run: Any = job._run(self, coro)
        try:
            run.__qualname__ = coro.__qualname__.plain
        except Exception:  # noqa: BLE001 - what is not Python's own may answer anything
            run.__qualname__ = qualified_name(coro)
        run.send(None)
        try:
            if context is None:
                task = loop.create_task(run, name=job._name)
            else:
                try:
                    task = loop.create_task(run, name=job._name, context=context)
                except TypeError:
                    if loop.get_task_factory() is None:
                        raise
                    # A factory from before there was `context`: its task copies the context it is called in.
                    # No other is called that way: an eager one would have to enter the context twice.
                    task = context.run(loop.create_task, run, name=job._name)
        except BaseException as exc:  # noqa: BLE001 - whatever the factory or an eager first step raises
            self._abandon(run)
            self._abandon(coro)
            del job, coro, run, context  # a traceback that was raised in here may hold this frame (BOOK-3)
            return exc
        if job._outcome is None:
            job._task = task
            job._context = None
            if job._result is None:
                return None
        del job, coro, run, context, task  # likewise
        return None

    def _fail_launch(self, job: JobMachine, exc: BaseException, *, received: bool) -> None:
        """End a job without a task, keeping the reason without the frame that knows the job (``BOOK-3``)."""
        if job._outcome is not None:
            return  # a factory has run its first step, and raised in spite of it
        original = exc.__traceback__ and exc.__traceback__.tb_next
        result = job._result or (exc.with_traceback(original), original)
        self._ended(job, Event.FINISH, Outcome.RAISED, result, received=received)

    def _start_next(self, next_: Next) -> None:
        """Give a slot to the job that has waited longest, and its place to the call that has.

        The job is launched now, or after those before it, or soon if a task factory might run it at once. In
        the last step of a job that another one follows, such a task would find the context entered that
        both may share, and one that ended at once would start the next one ever deeper.
        """
        job = self._queue.pop()
        self._running[job] = None
        job._fire(_GIVE_SLOT)
        if next_ is not _START_NEXT:
            self._admit_blocked()
        if self._to_launch or job in self._arriving or self._loop.get_task_factory() is not None:
            self._to_launch.append(job)
            self._launch_soon()
        elif (failure := self._launch(job)) is not None:
            # Not at once: when no task can be made, each failure would start the next one ever deeper.
            self._loop.call_soon(self._launch_failed, job, failure)
            del job, failure  # the traceback of the one holds this frame, which holds the other (BOOK-3)

    def _launch_soon(self) -> None:
        """Launch what waits for its turn."""
        if self._loop.get_task_factory() is None:
            self._launch_all()
        else:
            self._loop.call_soon(self._launch_all)

    def _launch_all(self) -> None:
        """Launch in the order of starting, up to a job whose caller has yet to wake (``LIMIT-5``)."""
        waiting = self._to_launch
        while waiting and waiting[0] not in self._arriving:
            job = waiting.popleft()
            if job._outcome is None:
                self._launch_late(job)
            del job

    def _launch_late(self, job: JobMachine) -> None:
        """Launch a job that may have been asked to stop since its slot was given."""
        asked_to_stop = job._state is _CLOSING
        failure = self._launch(job)
        if failure is not None:
            self._launch_failed(job, failure)
        elif asked_to_stop and job._task is not None:
            job._task.cancel()
        del job, failure

    def _launch_failed(self, job: JobMachine, failure: BaseException) -> None:
        """There is no caller left to tell that a task could not be made: the handler hears of it."""
        self._fail_launch(job, failure, received=False)
        if isinstance(failure, (SystemExit, KeyboardInterrupt)):
            _reports.stop_loop(self._loop, failure)

    def _forget_gone(self) -> None:
        """Callers at the head of the line that were cancelled in this very pass are not let in any more."""
        while self._blocked:
            place, job = self._blocked.popitem(last=False)
            if not place.cancelled():
                self._blocked[place] = job
                self._blocked.move_to_end(place, last=False)
                return
            self._admission.give_up()
            self._disown(job._coro)

    def _admit_blocked(self) -> None:
        """Accept the job of the call that has waited longest, on the call's behalf."""
        place, job = self._blocked.popitem(last=False)
        self._queue.join(job)
        self._arriving[job] = None
        if self._observer is not None:
            self._observe(job, ACCEPT, None, job._state)
        if not place.done():
            place.set_result(None)

    # --- Ending ------------------------------------------------------------------------------------

    def _ended(
        self, job: JobMachine, event: Event, outcome: Outcome, result: object, received: bool = False
    ) -> None:
        """A running job has really ended: close its books, wake who waits, start the next, report."""
        job._fire(event)
        del self._running[job]
        if foreign:
            release(job._coro)
        job._end(outcome, result)
        if self._blocked:
            self._forget_gone()
        next_ = self._admission.ended()
        if job._waiters is not None or self._callbacks:
            self._tell(job, received=received)
        unreceived = outcome is _RAISED and job._waiters is None and not received
        if next_ is not _NOTHING:
            self._start_next(next_)
        elif not self._running:
            self._shutdown.consider()
        if unreceived:
            self._report_failure(job)

    def _ask_to_stop(self, job: JobMachine) -> None:
        """``close`` was asked of a job that has not ended (``CLOSE-1``, ``CLOSE-3``, ``START-2``)."""
        if job._state is _PENDING or job in self._arriving:
            self._stop_unlaunched(job)
        elif job._result is not None:
            job._see_failure()
        elif job._fire(_CLOSE) and job._task is not None:
            job._task.cancel()

    def _stop_unlaunched(self, job: JobMachine) -> None:
        """Stop a job that has no task: it ends on the spot, and nothing of it ever runs."""
        if job._state is _PENDING:
            self._queue.leave(job)
            self._dismiss(job)
            self._forget_gone()
            next_ = self._admission.withdrawn()
            self._tell(job)
            if next_ is _ADMIT:
                self._admit_blocked()
        else:
            job._fire(_CLOSE)
            cast("Coroutine[Any, Any, Any]", job._coro).close()
            self._ended(job, Event.CANCEL, Outcome.CANCELLED, None)

    def _disown(self, coro: Any) -> None:
        """Close a coroutine that will never run and forget whose it was."""
        if foreign:
            release(coro)
        coro.close()

    def _abandon(self, coro: Any) -> None:
        """Close what a task factory may have begun before it failed; how a cleanup fails is not told."""
        with suppress(Exception):
            coro.close()

    def _dismiss(self, job: JobMachine) -> None:
        """Close a job that has left the queue without a start (``START-2``)."""
        job._fire(_CLOSE)
        self._disown(job._coro)
        job._end(_NEVER_STARTED, None)

    def _tell(self, job: JobMachine, received: bool = False) -> None:
        """Wake those who wait for a job that has ended."""
        if job._waiters is not None:
            job._wake(received=received)
        if self._callbacks:
            self._call_back(job)

    def _call_back(self, job: JobMachine) -> None:
        """Have the loop call what was to be called after the end of this job."""
        for callback, context in self._callbacks.pop(job, ()):
            self._loop.call_soon(callback, job, context=context)

    def _shielded_ended(self, inner: asyncio.Future[Any], unreceived: BaseException | None) -> None:
        release(self._shielded.pop(inner).arg)
        self._shutdown.consider()
        if unreceived is not None:
            self.call_exception_handler(_reports.shield_failure(inner, unreceived))
