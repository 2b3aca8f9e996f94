"""A job: what a user may ask of it, its waiters, and which of them received its exception.

What it holds and how its state changes is in ``_job_state``.

The life of a job
-----------------
What is true in each state:

=======  =======  ======  ======  ======  =============
state    pending  active  closed  done()  holds a slot
=======  =======  ======  ======  ======  =============
pending  yes
active            yes                     yes
closing                   yes             yes
done                      yes     yes
closed                    yes     yes
=======  =======  ======  ======  ======  =============

The longest life, and what is over after each point:

1. *accepted*: ``pending``, in the queue. It may still be withdrawn without having run (``START-2``).
2. *start*: ``active``, with a slot; its task is made. From here on its coroutine takes a first step (``START-1``).
3. *close*: ``closing``, asked once. No second cancellation is delivered (``CLOSE-1``).
4. *the deadline*: reported as late, once, and still in its slot (``CLOSE-2``, ``SHUT-2``).
5. *finish* or *cancel*: ``closed``; the slot goes to the next. The outcome does not change any more.
6. *told*: every waiter has its answer; what nobody received went to the handler. Only the result is kept (``BOOK-3``).

How it works
------------
*Waiters.* Each caller of ``wait``, ``close`` or ``await`` that has to wait owns one plain future in
``waiters``. The end of the job, or the caller's deadline, wakes it; cancelling the caller cancels that
future and nothing else (``WAIT-1``).

*Who has received an exception* (``EXC-1``). A waiter that was woken has received nothing yet: it may be cancelled
in the very loop pass in which it was woken. So after a failure ``waiters`` holds those that may still receive the
exception. The first that resumes with it empties the dict, and the matter is settled. One that leaves
without it - cancelled, timed out, destroyed - takes itself out, and if it was the last, the exception
goes to the handler. A caller that only wants to see the job end leaves in the same way.

*What is kept* is in ``_job_state``. Frames that raise a job's exception drop ``self`` first: the traceback holds the
frame, and would keep the job alive in a cycle (``BOOK-3``).

What is deliberately not here
-----------------------------
No slot, no order: see ``_admission`` and ``_core``. Not what its task runs: see ``_launching``. No helper task and no
inner task, so there is none that somebody could cancel (``SHUT-5``).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Generic, NoReturn, TypeVar, cast

from . import _validate
from ._callgraph import CALL_GRAPH, link, link_each, unlink, unlink_each, waits_by
from ._calling import call_out, cancel, shown
from ._exceptions import JobClosed
from ._job_state import JobState, Owner, accept
from ._lifecycle import SEEN_AS_CLOSED, Outcome, State
from ._ownership import qualified_name

__all__ = ("Job", "new_job")

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_PENDING = State.PENDING
_RETURNED, _RAISED, _TIMED_OUT = Outcome.RETURNED, Outcome.RAISED, Outcome.TIMED_OUT

_FAILURES: Final = (_RAISED, _TIMED_OUT)
"""The outcomes that are exceptions, which somebody has to receive (``EXC-1``)."""

_T_co = TypeVar("_T_co", covariant=True)


class Job(JobState, Generic[_T_co]):
    """A coroutine that a scheduler runs in the background; made by ``Scheduler.spawn``, never directly.

    A job is ``pending`` until a slot is given to it, ``active`` while its coroutine runs, ``closing`` from
    the moment it is asked to stop until it really has, and then for ever ``done`` (its coroutine ended by
    itself) or ``closed`` (it was stopped). ``spec/README.md`` has the picture.

    ``await job`` is ``await job.wait()``.
    """

    __slots__ = ()

    given_name: str | None

    # --- What a user sees -------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the job is in its life; compares equal to the plain string (``WAIT-5``)."""
        return self.current

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended: returned, raised, cancelled, timed out or never started; None before (``WAIT-5``)."""
        return self.ending

    @property
    def pending(self) -> bool:
        """Waits for a slot; nothing of it has run."""
        return self.current is State.PENDING

    @property
    def active(self) -> bool:
        """Runs, and has not been asked to stop."""
        return self.current is State.ACTIVE

    @property
    def closed(self) -> bool:
        """Has ended or has been asked to stop: true from the moment closing begins, as in aiojobs 1.4."""
        return self.current in SEEN_AS_CLOSED

    def done(self) -> bool:
        """Whether the job has ended, whichever way."""
        return self.ending is not None

    def get_name(self) -> str | None:
        """The name given, or else that of the task; None for an unnamed job that has none.

        An unnamed job has the name of its task from its start on. If it ends other than by returning
        it keeps that name, since somebody may have to report it.
        """
        if self.given_name is None and self.task is not None:
            return self.task.get_name()
        return self.given_name

    def set_name(self, name: str) -> None:
        """Name the job, and its task if it has one.

        Raises:
            TypeError: `name` is not a string.
        """
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r}")
        self.given_name = name
        if self.task is not None:
            self.task.set_name(name)

    @property
    def qualname(self) -> str:
        """The qualified name of its coroutine, for labels and reports: every job has one, and many have the same.

        A coroutine of another kind than Python's own, without a name, has that of its type.
        """
        coro = self.coro
        return str.__str__(coro) if isinstance(coro, str) else qualified_name(coro)

    def __repr__(self) -> str:
        try:
            name = self.get_name()
        except BaseException as exc:  # noqa: BLE001 - a task of anybody's is asked, and there is more to show
            name = f"<get_name raised {type(exc).__qualname__}>"
        named = "" if name is None else f" name={shown(name)}"
        coro = f"<{self.coro}>" if isinstance(self.coro, str) else shown(self.coro)
        return f"<Job {self.current.value}{named} coro={coro}>"

    # --- Asking without waiting -------------------------------------------------------------------

    def result(self) -> _T_co:
        """What the coroutine returned, without waiting (``WAIT-5``).

        Raises:
            asyncio.InvalidStateError: the job has not ended.
            JobClosed: the job was closed or cancelled.
            BaseException: what the coroutine raised.
        """
        if self.ending is _RETURNED:
            return cast("_T_co", self.kept)
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
        if self.ending is _RETURNED:
            return None
        if self.ending in _FAILURES:
            return cast("BaseException", self.kept[0])
        return self._raise_why_no_result()

    def cancelled(self) -> bool:
        """Whether the job was closed or cancelled, so that it has no result (``WAIT-6``)."""
        return self.ending is Outcome.CANCELLED or self.ending is Outcome.NEVER_STARTED

    def add_done_callback(self, fn: Callable[[Job[Any]], object]) -> None:
        """Have the loop call ``fn(job)`` soon after the job has ended, or now if it already has.

        As with asyncio's futures it is called in a copy of the context of this call.

        Raises:
            TypeError: `fn` can't be called, or nobody would await what it returns.
        """
        _validate.check_function("fn", fn)
        if self.ending is not None:
            asyncio.get_running_loop().call_soon(fn, self)
            return
        owner = cast("Owner", self.owner)
        caller = None
        if CALL_GRAPH:
            caller = waits_by(fn, owner.bound.loop)
            link(self.task, caller)
        owner.callbacks.setdefault(self, []).append((fn, contextvars.copy_context(), caller))

    def remove_done_callback(self, fn: Callable[[Job[Any]], object]) -> int:
        """Take ``fn`` out of the callbacks; return how many times it was among them (``WAIT-6``)."""
        owner = self.owner
        if owner is None:
            return 0
        entries = owner.callbacks.get(self, [])
        kept = [entry for entry in entries if entry[0] != fn]
        if kept:
            owner.callbacks[self] = kept
        else:
            owner.callbacks.pop(self, None)
        if CALL_GRAPH:
            unlink_each((self.task,), [caller for _, _, caller in entries])
            link_each((self.task,), [caller for _, _, caller in kept])
        return len(entries) - len(kept)

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
            JobClosed: the job was closed or cancelled, by whomever (``WAIT-3``). Catch it inside the body of an
                ``asyncio.TaskGroup``, which takes it for a failure before CPython 3.13.
            RuntimeError: the job waits for itself (``WAIT-4``), or the loop is another one.
            TypeError, ValueError: `timeout` makes no sense.
            BaseException: what the coroutine raised.
        """
        within = None if timeout is None else _validate.seconds("timeout", timeout)
        owner = self.owner
        if owner is not None:
            self._check_waitable(owner, "wait for")
            if not await self._until_end(owner, within):
                await self._until_end(owner, owner.close_within, ask=True, receive=False)
                raise TimeoutError(f"{shown(self)} did not end within {timeout} s and was closed")
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
        within = _validate.seconds("timeout", timeout)
        owner = self.owner
        if owner is None:
            return
        self._check_waitable(owner, "close")
        if timeout is None:
            within = owner.close_within
        if not await self._until_end(owner, within, ask=True):
            raise TimeoutError(
                f"{shown(self)} did not stop within {within} s; it keeps its slot until it does"
            )
        if self.ending is _RAISED:
            try:
                self._raise_why_no_result()
            finally:
                del self

    def _check_waitable(self, owner: Owner, verb: str) -> None:
        loop = owner.bound.check()
        if self.task is not None and owner.runs(self, asyncio.current_task(loop)):
            raise RuntimeError(
                f"{shown(self)} can't {verb} itself: to end it, return from its coroutine or raise"
            )

    async def _until_end(
        self, owner: Owner, within: float | None, *, ask: bool = False, receive: bool = True
    ) -> bool:
        """Wait for the end of the job during `within` seconds, having asked it to stop if so told.

        Returns whether it has ended in time; a caller that is told so, and receives, has the outcome.
        """
        if self.ending is not None:
            return True
        if ask and self.current is _PENDING:
            owner.ask_to_stop(self)
            return True
        loop = owner.bound.loop
        waiter: asyncio.Future[bool] = loop.create_future()
        if self.waiters is None:
            self.waiters = {}
        # Not kept in this frame, which the traceback of the caller's task may hold (BOOK-3).
        self.waiters[waiter] = asyncio.current_task(loop) if CALL_GRAPH else None
        timer = None
        try:
            if CALL_GRAPH:
                link(self.task, self.waiters[waiter])
            if within is not None:
                timer = loop.call_later(within, self._expire, waiter)
            if ask:
                owner.ask_to_stop(self)
            in_time = await waiter
        except BaseException:
            self._leave(waiter, owner)
            raise
        finally:
            if timer is not None:
                call_out(loop, "a timer", cancel, timer)
        if in_time and receive and not (ask and self.ending is Outcome.TIMED_OUT):
            self.waiters = None
        else:
            self._leave(waiter, owner)
        return in_time

    def _expire(self, waiter: asyncio.Future[bool]) -> None:
        """A waiter's deadline has passed; a failure that has not been seen yet is still in time."""
        if self.owner is not None:
            self.owner.see_end(self)
        if not waiter.done():
            waiter.set_result(False)

    def _leave(self, waiter: asyncio.Future[bool], owner: Owner) -> None:
        """A waiter goes without the outcome; the last one to go leaves a failure to the handler."""
        if self.waiters is None:
            return
        caller = self.waiters.pop(waiter)
        if CALL_GRAPH:
            unlink(self.task, caller)
        if not self.waiters:
            self.waiters = None
            if self.ending in _FAILURES:
                owner.unreceived(self)

    def _raise_why_no_result(self) -> NoReturn:
        try:
            if self.ending is None:
                raise asyncio.InvalidStateError(f"{shown(self)} has not ended: wait for it first")
            if self.ending in _FAILURES:
                exception, original = self.kept
                BaseException.with_traceback(exception, original)
                raise exception
            how = "was closed before it ran" if self.ending is Outcome.NEVER_STARTED else "was stopped"
            raise JobClosed(f"{shown(self)} {how}")
        finally:
            exception = None
            del self


def new_job(
    coro: Coroutine[Any, Any, _T_co], owner: Owner, name: str | None, context: contextvars.Context | None
) -> Job[_T_co]:
    """A job that nobody knows yet."""
    job: Job[_T_co] = Job.__new__(Job)  # pyright: ignore[reportUnknownVariableType]
    accept(job, coro, owner, name, context)
    return job
