"""One background coroutine and its life: the only file in which a job's state changes.

The rules of this file
----------------------
``Job._fire`` looks the event up in the table that was generated from ``spec/job.toml``, raises if the
cell is illegal, and assigns the state. Nothing else in the package assigns it (``__init__`` writes the
initial one), and a check of the source says so. Everything around it is asyncio's side of the story:
the task, who waits, who is told, and what is kept afterwards.

How it works
------------
*The task* runs ``_run``, which awaits the job's coroutine and tells the scheduler of its end in the very
step in which it ends. ``_run`` is advanced to its gate before the task gets it, so that it is entered
whatever happens. A cancellation that comes before the first step finds it there, lets the coroutine take
that step, and is delivered after it (``START-1``).

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
No slot, no queue, no order: see ``_admission`` and ``_scheduler``. No helper task and no inner task, so
there is none that somebody could cancel (``SHUT-5``).
"""

from __future__ import annotations

import asyncio
import os
import traceback
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from . import _arguments
from ._exceptions import IllegalTransition, JobClosed
from ._lifecycle import INITIAL, SEEN_AS_CLOSED, TRANSITIONS, Event, Outcome, State

if TYPE_CHECKING:
    import contextvars

    from ._scheduler import Scheduler

__all__ = ("Job", "qualified_name")

_T_co = TypeVar("_T_co", covariant=True)

_OWN_FILES = os.path.dirname(__file__)  # noqa: PTH120 - pathlib is much to import for this
"""Where the frames of this package come from."""


class Job(Generic[_T_co]):
    """A coroutine that a scheduler runs in the background; made by ``Scheduler.spawn``, never directly.

    A job is ``pending`` until a slot is given to it, ``active`` while its coroutine runs, ``closing`` from
    the moment it is asked to stop until it really has, and then for ever ``done`` (its coroutine ended by
    itself) or ``closed`` (it was stopped). ``spec/README.md`` has the picture.

    ``await job`` is ``await job.wait()``.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_context",
        "_coro",
        "_name",
        "_outcome",
        "_result",
        "_scheduler",
        "_source_traceback",
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
    _scheduler: Scheduler | None
    """None after the end, and only then."""
    _name: str | None
    _waiters: dict[asyncio.Future[bool], None] | None
    """Before the end, who waits; after a failure, who may still receive it. In order of arrival."""
    _callbacks: list[Callable[[Job[Any]], object]] | None
    _source_traceback: traceback.StackSummary | None
    """Where it was spawned; in debug mode only."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, _T_co],
        scheduler: Scheduler,
        name: str | None,
        context: contextvars.Context | None,
        debug: bool,
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
        self._callbacks = None
        self._source_traceback = _caller_stack() if debug else None

    # --- What a user sees -------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the job is in its life; compares equal to the plain string (``WAIT-5``)."""
        return self._state

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended: returned, raised, cancelled or never started; None before (``WAIT-5``)."""
        return self._outcome

    @property
    def pending(self) -> bool:
        """Waits for a slot; nothing of it has run."""
        return self._state is State.PENDING

    @property
    def active(self) -> bool:
        """Runs, and has not been asked to stop."""
        return self._state is State.ACTIVE

    @property
    def closed(self) -> bool:
        """Has ended or has been asked to stop: true from the moment closing begins, as in aiojobs 1.4."""
        return self._state in SEEN_AS_CLOSED

    def done(self) -> bool:
        """Whether the job has ended, whichever way."""
        return self._outcome is not None

    def get_name(self) -> str | None:
        """The name given, or else that of the task; None for an unnamed job that has none.

        An unnamed job has the name of its task from its start on. If it ends other than by returning
        it keeps that name, since somebody may have to report it.
        """
        if self._name is None and self._task is not None:
            return self._task.get_name()
        return self._name

    def set_name(self, name: str) -> None:
        """Name the job, and its task if it has one.

        Raises:
            TypeError: `name` is not a string.
        """
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r}")
        self._name = name
        if self._task is not None:
            self._task.set_name(name)

    def __repr__(self) -> str:
        state = self._state.value
        seen = f"closed state={state}" if self.closed and state != "closed" else state
        name = self.get_name()
        named = "" if name is None else f" name={name!r}"
        return f"<Job {seen}{named} coro=<{self._coro}>>"

    # --- Asking without waiting -------------------------------------------------------------------

    def result(self) -> _T_co:
        """What the coroutine returned, without waiting (``WAIT-5``).

        Raises:
            asyncio.InvalidStateError: the job has not ended.
            JobClosed: the job was closed or cancelled.
            BaseException: what the coroutine raised.
        """
        if self._outcome is Outcome.RETURNED:
            return cast("_T_co", self._result)
        try:
            self._raise_why_no_result()
        finally:
            del self

    def exception(self) -> BaseException | None:
        """What the coroutine raised, or None if it returned, without waiting (``WAIT-5``).

        Raises:
            asyncio.InvalidStateError: the job has not ended.
            JobClosed: the job was closed or cancelled.
        """
        if self._outcome is Outcome.RETURNED:
            return None
        if self._outcome is Outcome.RAISED:
            return cast("BaseException", self._result[0])
        return self._raise_why_no_result()

    def add_done_callback(self, fn: Callable[[Job[Any]], object]) -> None:
        """Have the loop call ``fn(job)`` soon after the job has ended; at once if it already has.

        Raises:
            TypeError: `fn` can't be called.
        """
        if not callable(fn):
            raise TypeError(f"fn must be callable, got {fn!r}")
        if self._outcome is not None:
            asyncio.get_running_loop().call_soon(fn, self)
        elif self._callbacks is None:
            self._callbacks = [fn]
        else:
            self._callbacks.append(fn)

    # --- Waiting and closing ----------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, _T_co]:
        return self.wait().__await__()

    async def wait(self, *, timeout: float | None = None) -> _T_co:  # noqa: ASYNC109 - the API of aiojobs 1.4
        """Wait for the end and return what the coroutine returned.

        Cancelling the caller leaves the job alone (``WAIT-1``). When `timeout` seconds were not enough the
        job is closed, its end is waited for during at most ``close_timeout`` more, and the caller gets
        ``TimeoutError`` and nothing else (``WAIT-2``); a pending job then never runs.

        Raises:
            TimeoutError: `timeout` expired.
            JobClosed: the job was closed or cancelled, by whomever (``WAIT-3``).
            RuntimeError: the job waits for itself (``WAIT-4``), or the loop is another one.
            TypeError, ValueError: `timeout` makes no sense.
            BaseException: what the coroutine raised.
        """
        within = _arguments.seconds("timeout", timeout)
        scheduler = self._scheduler
        if scheduler is not None:
            self._check_waitable(scheduler, "wait for")
            if not await self._until_end(scheduler, within):
                await self._until_end(scheduler, scheduler._close_within, ask=True, receive=False)
                raise TimeoutError(f"{self!r} did not end within {timeout} s and was closed")
        try:
            return self.result()
        finally:
            del self

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the API of aiojobs 1.4
        """Ask the job to stop and wait until it has; does nothing if it has ended (``CLOSE-3``).

        A pending job ends on the spot and never runs (``START-2``). An active one gets one cancellation
        (``CLOSE-1``). `timeout` is in seconds, None means the scheduler's ``close_timeout``. Cancelling the
        caller propagates and leaves the job closing (``CLOSE-4``).

        Raises:
            TimeoutError: the job has not ended by the deadline; it is still closing and keeps its slot
                until it really ends (``CLOSE-2``).
            RuntimeError: the job closes itself (``WAIT-4``), or the loop is another one.
            TypeError, ValueError: `timeout` makes no sense.
            BaseException: what the coroutine raised while it stopped.
        """
        within = _arguments.seconds("timeout", timeout)
        scheduler = self._scheduler
        if scheduler is None:
            return
        self._check_waitable(scheduler, "close")
        if timeout is None:
            within = scheduler._close_within
        if not await self._until_end(scheduler, within, ask=True):
            raise TimeoutError(f"{self!r} did not stop within {within} s; it keeps its slot until it does")
        if self._outcome is Outcome.RAISED:
            try:
                self._raise_why_no_result()
            finally:
                del self

    def _check_waitable(self, scheduler: Scheduler, verb: str) -> None:
        scheduler._check_loop()
        if self._task is not None and self._task is asyncio.current_task(scheduler._loop):
            raise RuntimeError(f"{self!r} can't {verb} itself: to end it, return from its coroutine or raise")

    async def _until_end(
        self, scheduler: Scheduler, within: float | None, *, ask: bool = False, receive: bool = True
    ) -> bool:
        """Wait for the end of the job during `within` seconds, having asked it to stop if so told.

        Returns whether it has ended in time; a caller that is told so, and receives, has the outcome.
        """
        if self._outcome is not None:
            return True
        if ask and self._state is State.PENDING:
            scheduler._ask_to_stop(self)
            return True
        waiter = scheduler._new_waiter()
        if self._waiters is None:
            self._waiters = {}
        self._waiters[waiter] = None
        timer = None
        try:
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
                timer.cancel()
        if in_time and receive:
            self._waiters = None
        else:
            self._leave(waiter, scheduler)
        return in_time

    def _expire(self, waiter: asyncio.Future[bool]) -> None:
        """A waiter's deadline has passed; a failure that has not been seen yet is still in time."""
        if self._result is not None:
            self._see_failure()
        if not waiter.done():
            waiter.set_result(False)

    def _leave(self, waiter: asyncio.Future[bool], scheduler: Scheduler) -> None:
        """A waiter goes without the outcome; the last one to go leaves a failure to the handler."""
        if self._waiters is None:
            return
        del self._waiters[waiter]
        if not self._waiters:
            self._waiters = None
            if self._outcome is Outcome.RAISED:
                scheduler._report_failure(self)

    def _raise_why_no_result(self) -> NoReturn:
        try:
            if self._outcome is None:
                raise asyncio.InvalidStateError(f"{self!r} has not ended: wait for it first")
            if self._outcome is Outcome.RAISED:
                exception, original = self._result
                raise exception.with_traceback(original)
            how = "was closed before it ran" if self._outcome is Outcome.NEVER_STARTED else "was stopped"
            raise JobClosed(f"{self!r} {how}")
        finally:
            exception = None
            del self

    # --- For the scheduler ------------------------------------------------------------------------

    def _fire(self, event: Event) -> bool:
        """Take one step of the table; whether the state has changed.

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
            self._scheduler._observe(self, event, source, dest)  # type: ignore[union-attr]
        return True

    def _end(self, outcome: Outcome, result: object) -> None:
        """Keep the outcome and let go of everything else (``BOOK-3``)."""
        if self._name is None and self._task is not None and outcome is not Outcome.RETURNED:
            self._name = self._task.get_name()
        self._outcome = outcome
        self._result = result
        self._coro = qualified_name(self._coro)
        self._task = None
        self._context = None
        self._scheduler = None

    def _wake(self, scheduler: Scheduler, *, received: bool) -> None:
        """Wake the waiters and have the callbacks called.

        A failure stays open until one of the waiters has received it, unless somebody has already.
        """
        waiters = self._waiters
        if waiters is not None:
            if received or self._outcome is not Outcome.RAISED:
                self._waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(True)
        if self._callbacks is not None:
            for callback in self._callbacks:
                scheduler._call_soon(callback, self)
            self._callbacks = None

    async def _run(self, scheduler: Scheduler, coro: Coroutine[Any, Any, Any]) -> None:
        """What the task runs: the coroutine, and in the same step the end of the job."""
        try:
            await _gate()
        except asyncio.CancelledError as exc:
            _cancel_later(exc)
        if self._task is None:
            self._task = asyncio.current_task()
        try:
            result = await coro
        except asyncio.CancelledError:
            scheduler._ended(self, Event.CANCEL, Outcome.CANCELLED, None)
            raise
        except (SystemExit, KeyboardInterrupt) as exc:
            self._fail(scheduler, exc)
            cast("asyncio.Task[Any]", self._task).add_done_callback(asyncio.Task.exception)
            del self
            raise  # out of the loop, as asyncio has it; the callback says that the task's copy is not lost
        except BaseException as exc:
            if isinstance(exc, GeneratorExit) and asyncio.current_task(scheduler._loop) is not self._task:
                raise  # nobody runs this task any more: it is being destroyed, and nothing can follow
            self._fail(scheduler, exc)
        else:
            scheduler._ended(self, Event.FINISH, Outcome.RETURNED, result)

    def _fail(self, scheduler: Scheduler, exc: BaseException) -> None:
        """Keep what the coroutine raised, without the frame of ``_run``, until it is seen."""
        original = exc.__traceback__ and exc.__traceback__.tb_next
        self._result = (exc.with_traceback(original), original)
        scheduler._call_soon(self._see_failure)

    def _see_failure(self) -> None:
        """The scheduler takes notice of a failure, unless it has done so before."""
        if self._scheduler is not None:
            self._scheduler._ended(self, Event.FINISH, Outcome.RAISED, self._result)


def qualified_name(coro: object) -> str:
    """The name of a coroutine for people; of an exotic one, that of its type."""
    return getattr(coro, "__qualname__", None) or type(coro).__qualname__


@types.coroutine
def _gate() -> Generator[None, None, None]:
    """Where ``_run`` stands when its task gets it; the task's first step passes."""
    yield


def _cancel_later(exc: asyncio.CancelledError) -> None:
    """Deliver the current task's cancellation again, at the first point where its coroutine suspends."""
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    task.uncancel()
    task.cancel(*exc.args)


def _caller_stack() -> traceback.StackSummary:
    """The stack that led to this package, which is not itself of interest."""
    stack = traceback.extract_stack()
    while stack and stack[-1].filename.startswith(_OWN_FILES):
        stack.pop()
    return stack
