"""One job as a state machine, and its task: the only file in which a job's state changes.

The rules of this file
----------------------
``_fire`` looks the event up in the table that was generated from ``spec/job.toml``, raises if the
cell is illegal, and assigns the state. Nothing else in the package assigns it (``__init__`` writes the
initial one), and a check of the source says so. Everything around it is asyncio's side of the story:
the task, who waits, who is told, and what is kept afterwards.

How it works
------------
*The task* runs ``_run``, which awaits the job's coroutine and tells the scheduler of its end in the very
step in which it ends. As soon as there is a task that drives ``_run`` and nothing else, ``_run`` is advanced to
its gate, so that it is entered whatever happens. A cancellation that comes before the first step finds it there,
lets the coroutine take that step, and is delivered after it (``START-1``).

*Any other task* - a task factory may have wrapped ``_run``, begun it at once, or dropped it - is followed by the
scheduler. What the coroutine comes to is then noted, and the job ends when its task does (``START-3``).

*What the task says* is what the coroutine came to: ``_run`` returns its result and raises its exception, and bears
its name (``EXC-5``). The exception is accounted for by the job, so asyncio is told that it was received.

*A failure* is seen one loop pass after it happened. Somebody whom the coroutine has woken in its last step
may be about to wait for the job or to close it, and is a better receiver than the handler (``CLOSE-3``).

*Waiters.* Each caller of ``wait``, ``close`` or ``await`` that has to wait owns one plain future in
``_waiters``. The end of the job, or the caller's deadline, wakes it; cancelling the caller cancels that
future and nothing else (``WAIT-1``).

*Who has received an exception* (``EXC-1``). Waking a waiter is not telling it: it may be cancelled in the
very loop pass in which it was woken. So after a failure ``_waiters`` holds those that may still receive the
exception. The first that resumes with it empties the dict, and the matter is settled. One that leaves
without it - cancelled, timed out, destroyed - takes itself out, and if it was the last, the exception
goes to the handler. A caller that only wants to see the job end leaves in the same way.

What is kept
------------
A job that has ended keeps its name, its outcome and its result, and the name of its coroutine for the
repr; coroutine, task, context and scheduler are let go (``BOOK-3``). Frames that raise a job's exception
drop ``self`` first: the traceback holds the frame, and would keep the job alive in a cycle.

What is deliberately not here
-----------------------------
No slot, no queue, no order: see ``_admission`` and ``_engine``. Nothing that a user may call: see ``_job``.
No helper task and no inner task, so there is none that somebody could cancel (``SHUT-5``).
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Coroutine, Generator
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn, cast

from ._callgraph import CALL_GRAPH, link, unlink
from ._calling import is_a, shown, tell
from ._exceptions import IllegalTransition, JobClosed
from ._lifecycle import INITIAL, TRANSITIONS, Event, Outcome, State
from ._queue import Link
from ._tasks import cancel, without_frames

if TYPE_CHECKING:
    import contextvars

    from ._engine import Engine

__all__ = ("JobMachine",)

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_PENDING = State.PENDING
_FINISH, _CANCEL = Event.FINISH, Event.CANCEL
_RETURNED, _RAISED, _CANCELLED = Outcome.RETURNED, Outcome.RAISED, Outcome.CANCELLED


class JobMachine(Link):
    """The private half of a job.

    Arguments:
        coro: what it runs, never started before.
        scheduler: whose it is.
        name: what the user called it.
        context: what it runs in, if not in the context of whoever launches it.
    """

    __slots__ = (
        "__weakref__",
        "_context",
        "_coro",
        "_name",
        "_outcome",
        "_result",
        "_scheduler",
        "_state",
        "_task",
        "_waiters",
    )

    _state: State
    """Only ``_fire`` changes it."""
    _outcome: Outcome | None
    """How it ended. Set by ``_end``, once: ``_outcome is None`` as long as the state is not terminal."""
    _result: Any
    """What it returned, or the pair of what it raised and that traceback. Before the end it is None, or
    that pair if the coroutine has failed and the scheduler has not seen it yet."""
    _coro: Coroutine[Any, Any, Any] | str
    """The coroutine; after the end only its name."""
    _task: asyncio.Task[Any] | None
    """Set when the job is launched or takes its first step, whichever is first; dropped by ``_end``."""
    _context: contextvars.Context | None
    """The context to start in, if it is not the starter's own; dropped when the task has taken it over."""
    _scheduler: Engine | None
    """None after the end, and only then."""
    _name: str | None
    _waiters: dict[asyncio.Future[bool], asyncio.Task[Any] | None] | None
    """Before the end, who waits; after a failure, who may still receive it. In order of arrival, each with the
    task of the caller where there is a call graph."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, Any],
        scheduler: Engine,
        name: str | None,
        context: contextvars.Context | None,
    ) -> None:
        self._state = INITIAL
        self._outcome = None
        self._result = None
        self._coro = coro
        self._task = None
        self._context = context
        self._scheduler = scheduler
        self._name = name
        self._waiters = None

    # --- The state ---------------------------------------------------------------------------------

    def _fire(self, event: Event) -> bool:
        """Take one step of the table; whether the state has changed.

        The observer is told by whoever fires, when the registries are complete (``BOOK-4``).

        Raises:
            IllegalTransition: the table forbids `event` here; nothing has changed.
        """
        source = self._state
        dest = TRANSITIONS[source][event]
        if dest is None:
            raise IllegalTransition(self, source, event)
        if dest is source:
            return False
        self._state = dest
        if self._scheduler._observer is not None:  # type: ignore[union-attr]
            self._scheduler._untold.append((self, event, source, dest))  # type: ignore[union-attr]
        return True

    def _end(self, outcome: Outcome, result: object) -> None:
        """Keep the outcome and let go of everything else (``BOOK-3``).

        The caller holds coroutine and task until the registries are complete: to free them may run anything.
        """
        self._outcome = outcome
        self._result = result
        coro = self._coro
        self._coro = coro.__qualname__ if type(coro) is CoroutineType else type(coro).__qualname__
        self._task = self._context = self._scheduler = None

    # --- The task ----------------------------------------------------------------------------------

    async def _run(self, scheduler: Engine, coro: Coroutine[Any, Any, Any]) -> Any:
        """What the task runs: the coroutine, and in the same step the end of the job."""
        steps: Awaitable[Any] = coro
        if self._task is None or (scheduler._followed and self in scheduler._followed):
            if scheduler._entered(self):
                steps = _cancelled_after_first_step(scheduler, self, coro, None)
        else:
            try:
                await _GATE
            except GeneratorExit:
                raise  # as below
            except BaseException as exc:  # noqa: BLE001 - a cancellation, or thrown in beside the task
                steps = _after_gate(scheduler, self, coro, exc)
        try:
            result = await steps
        except asyncio.CancelledError:
            scheduler._finished(self, _CANCEL, _CANCELLED, None)
            del self, scheduler, coro, steps
            raise
        except GeneratorExit as exc:
            if asyncio.current_task(scheduler._loop) is not self._task:
                raise  # nobody runs this task any more: it is being destroyed, and nothing can follow
            self._fail(scheduler, exc)
            del self, scheduler, coro, steps
            raise
        except BaseException as exc:
            self._fail(scheduler, exc)
            del self, scheduler, coro, steps  # from 3.12 on the frame in the traceback holds this one
            raise
        if scheduler._followed or self._outcome is not None:
            scheduler._finished(self, _FINISH, _RETURNED, result)
        else:
            scheduler._ended(self, _FINISH, _RETURNED, result)
        # An exception that the coroutine has caught, and whoever has it keeps, may know this frame.
        del self, scheduler, coro, steps
        try:
            return result
        finally:
            del result

    def _fail(self, scheduler: Engine, exc: BaseException) -> None:
        """Keep what the coroutine raised, without the frame of ``_run``, until it is seen."""
        failure = without_frames(exc, _OWN_CODE)
        followed = scheduler._followed.get(self)
        if followed is not None or self._outcome is not None:
            scheduler._finished(self, _FINISH, _RAISED, failure)
            if followed is not None and followed.run is not None:
                # The task that runs this need not be the one that is followed.
                scheduler._call_out("a task", _receive_later, asyncio.current_task())
            return
        self._result = failure
        scheduler._call_out("add_done_callback of a task", _receive_later, self._task)
        try:
            scheduler._loop.call_soon(self._see_failure)
        except BaseException:  # noqa: BLE001 - a loop that is closed has no later
            self._see_failure()

    def _see_failure(self) -> None:
        """The scheduler takes notice of a failure, unless it has done so before."""
        if self._scheduler is not None:
            self._scheduler._ended(self, _FINISH, _RAISED, self._result)

    # --- The waiters -------------------------------------------------------------------------------

    async def _until_end(
        self, scheduler: Engine, within: float | None, *, ask: bool = False, receive: bool = True
    ) -> bool:
        """Wait for the end of the job during `within` seconds, having asked it to stop if so told.

        Returns whether it has ended in time; a caller that is told so, and receives, has the outcome.
        """
        if self._outcome is not None:
            return True
        if ask and self._state is _PENDING:
            scheduler._ask_to_stop(self)
            return True
        waiter = scheduler._new_waiter()
        if self._waiters is None:
            self._waiters = {}
        # Not kept in this frame, which the traceback of the caller's task may hold (BOOK-3).
        self._waiters[waiter] = asyncio.current_task(scheduler._loop) if CALL_GRAPH else None
        timer = None
        try:
            if CALL_GRAPH:
                link(self._task, self._waiters[waiter])
            if within is not None:
                timer = scheduler._call_later(within, self._expire, waiter)
            if ask:
                scheduler._ask_to_stop(self)
            in_time = await waiter
        except BaseException:
            self._leave(waiter, scheduler)
            raise
        finally:
            if timer is not None:
                scheduler._call_out("a timer", cancel, timer)
        if in_time and receive:
            self._waiters = None
        else:
            self._leave(waiter, scheduler)
        return in_time

    def _expire(self, waiter: asyncio.Future[bool]) -> None:
        """A waiter's deadline has passed; a failure that has not been seen yet is still in time."""
        scheduler = self._scheduler
        if scheduler is not None:
            scheduler._see_end(self)
        if not waiter.done():
            waiter.set_result(False)

    def _leave(self, waiter: asyncio.Future[bool], scheduler: Engine) -> None:
        """A waiter goes without the outcome; the last one to go leaves a failure to the handler."""
        if self._waiters is None:
            return
        caller = self._waiters.pop(waiter)
        if CALL_GRAPH:
            unlink(self._task, caller)
        if not self._waiters:
            self._waiters = None
            if self._outcome is _RAISED:
                scheduler._report_failure(self)

    def _wake(self, loop: asyncio.AbstractEventLoop, *, received: bool) -> None:
        """Wake the waiters.

        A failure stays open until one of them has received it, unless somebody has already.
        """
        waiters = cast("dict[asyncio.Future[bool], asyncio.Task[Any] | None]", self._waiters)
        if received or self._outcome is not _RAISED:
            self._waiters = None
        for waiter in waiters:
            try:
                if not waiter.done():
                    waiter.set_result(True)
            except BaseException as exc:  # noqa: BLE001 - the others are to be woken all the same
                tell(loop, "a waiter", exc)

    def _raise_why_no_result(self) -> NoReturn:
        try:
            if self._outcome is None:
                raise asyncio.InvalidStateError(f"{shown(self)} has not ended: wait for it first")
            if self._outcome is _RAISED:
                exception, original = self._result
                BaseException.with_traceback(exception, original)
                raise exception
            how = "was closed before it ran" if self._outcome is Outcome.NEVER_STARTED else "was stopped"
            raise JobClosed(f"{shown(self)} {how}")
        finally:
            exception = None
            del self


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
    scheduler: Engine, job: JobMachine, coro: Coroutine[Any, Any, Any], again: tuple[Any, ...] | None
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
        scheduler._cancel_in_first_step(job, again)
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
    scheduler: Engine, job: JobMachine, coro: Coroutine[Any, Any, Any], exc: BaseException
) -> Awaitable[Any]:
    """What is to be awaited after `exc` was raised at the gate."""
    if is_a(exc, asyncio.CancelledError):
        return _cancelled_after_first_step(scheduler, job, coro, exc.args)
    return _raised_instead(scheduler, job, exc)


async def _raised_instead(scheduler: Engine, job: JobMachine, exc: BaseException) -> NoReturn:
    """What a coroutine comes to that was not begun because `exc` was raised in its place."""
    scheduler._close_coroutine(job._coro, job)
    try:
        raise exc
    finally:
        del job


_OWN_CODE = (JobMachine._run.__code__, _cancelled_after_first_step.__code__, _raised_instead.__code__)
"""Of the frames through which what a coroutine raises passes first."""


def _receive_later(task: asyncio.Future[Any] | None) -> None:
    if task is not None:
        task.add_done_callback(_receive)


def _receive(task: asyncio.Future[Any]) -> None:
    """Tell asyncio that the exception of a task is accounted for (``EXC-5``)."""
    if not task.cancelled():
        task.exception()
