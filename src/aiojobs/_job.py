"""A job as a user meets it: what it says of itself, and how to wait for it and to close it.

What happens then is in ``_machine``: the state, the task, and who receives what.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _arguments
from ._callgraph import CALL_GRAPH, link, link_each, unlink_each, waits_by
from ._calling import shown
from ._lifecycle import SEEN_AS_CLOSED, Outcome, State
from ._machine import JobMachine

if TYPE_CHECKING:
    from ._engine import Engine

__all__ = ("Job",)

_RETURNED, _RAISED = Outcome.RETURNED, Outcome.RAISED

_T_co = TypeVar("_T_co", covariant=True)


class Job(JobMachine, Generic[_T_co]):
    """A coroutine that a scheduler runs in the background; made by ``Scheduler.spawn``, never directly.

    A job is ``pending`` until a slot is given to it, ``active`` while its coroutine runs, ``closing`` from
    the moment it is asked to stop until it really has, and then for ever ``done`` (its coroutine ended by
    itself) or ``closed`` (it was stopped). ``spec/README.md`` has the picture.

    ``await job`` is ``await job.wait()``.
    """

    __slots__ = ()

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
        try:
            name = self.get_name()
        except BaseException as exc:  # noqa: BLE001 - a task of anybody's is asked, and there is more to show
            name = f"<get_name raised {type(exc).__qualname__}>"
        named = "" if name is None else f" name={shown(name)}"
        coro = self._coro if isinstance(self._coro, str) else shown(self._coro)
        return f"<Job {seen}{named} coro=<{coro}>>"

    # --- Asking without waiting -------------------------------------------------------------------

    def result(self) -> _T_co:
        """What the coroutine returned, without waiting (``WAIT-5``).

        Raises:
            asyncio.InvalidStateError: the job has not ended.
            JobClosed: the job was closed or cancelled.
            BaseException: what the coroutine raised.
        """
        if self._outcome is _RETURNED:
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
        if self._outcome is _RETURNED:
            return None
        if self._outcome is _RAISED:
            return cast("BaseException", self._result[0])
        return self._raise_why_no_result()

    def cancelled(self) -> bool:
        """Whether the job was closed or cancelled, so that it has no result (``WAIT-6``)."""
        return self._outcome is Outcome.CANCELLED or self._outcome is Outcome.NEVER_STARTED

    def add_done_callback(self, fn: Callable[[Job[Any]], object]) -> None:
        """Have the loop call ``fn(job)`` soon after the job has ended, or now if it already has.

        As with asyncio's futures it is called in a copy of the context of this call.

        Raises:
            TypeError: `fn` can't be called, or nobody would await what it returns.
        """
        _arguments.check_function("fn", fn)
        if self._outcome is not None:
            asyncio.get_running_loop().call_soon(fn, self)
            return
        scheduler = cast("Engine", self._scheduler)
        caller = None
        if CALL_GRAPH:
            caller = waits_by(fn, scheduler._loop)
            link(self._task, caller)
        scheduler._callbacks.setdefault(self, []).append((fn, contextvars.copy_context(), caller))

    def remove_done_callback(self, fn: Callable[[Job[Any]], object]) -> int:
        """Have ``fn`` not be called after the end of the job; how many times it would have been (``WAIT-6``)."""
        scheduler = self._scheduler
        if scheduler is None:
            return 0
        entries = scheduler._callbacks.get(self, [])
        kept = [entry for entry in entries if entry[0] != fn]
        if kept:
            scheduler._callbacks[self] = kept
        else:
            scheduler._callbacks.pop(self, None)
        if CALL_GRAPH:
            unlink_each((self._task,), [caller for _, _, caller in entries])
            link_each((self._task,), [caller for _, _, caller in kept])
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
        within = _arguments.seconds("timeout", timeout)
        scheduler = self._scheduler
        if scheduler is not None:
            self._check_waitable(scheduler, "wait for")
            if not await self._until_end(scheduler, within):
                await self._until_end(scheduler, scheduler._close_within, ask=True, receive=False)
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
        within = _arguments.seconds("timeout", timeout)
        scheduler = self._scheduler
        if scheduler is None:
            return
        self._check_waitable(scheduler, "close")
        if timeout is None:
            within = scheduler._close_within
        if not await self._until_end(scheduler, within, ask=True):
            raise TimeoutError(f"{shown(self)} did not stop within {within} s; it keeps its slot until it does")
        if self._outcome is _RAISED:
            try:
                self._raise_why_no_result()
            finally:
                del self

    def _check_waitable(self, scheduler: Engine, verb: str) -> None:
        scheduler._check_loop()
        if self._task is not None and scheduler._runs(self, asyncio.current_task(scheduler._loop)):
            raise RuntimeError(f"{shown(self)} can't {verb} itself: to end it, return from its coroutine or raise")
