"""The handle of what was given to a lane: it has no job until its turn comes, and answers as one from the start.

Attributes without an underscore that the API page does not name are for `aiojobs.lanes`.

How it works: whoever waits before the turn owns a future in ``waiters``. Those are woken just before the job is
spawned, so they wait for the job itself before its first step; if that step comes at once, as in an eager task, `run`
keeps a failure until they do. So it reaches them as any job's failure reaches its waiters (``EXC-1``).

What is deliberately not here: whose turn it is.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator, Hashable
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, cast

from . import _validate
from ._exceptions import JobClosed
from ._job import Job
from ._lifecycle import Outcome, State

__all__ = ("LaneJob", "Terms", "qualified_name", "run")

_T_co = TypeVar("_T_co", covariant=True)

_NOT_RUN: Final = (Outcome.CANCELLED, Outcome.NEVER_STARTED)


class Terms(NamedTuple):
    """What a job is spawned with, beside its coroutine."""

    name: str | None
    context: contextvars.Context
    timeout: float | None


class Owner(Protocol):
    """What a handle asks of the lanes."""

    def withdraw(self, piece: Any) -> None:
        """Take back what has no job yet, or whose job has ended and never began."""
        ...

    def has_begun(self, piece: Any) -> None:
        """The first step of a job has come."""
        ...


class LaneJob(Generic[_T_co]):
    """A coroutine that waits in the lane of its key, and then the job that it has become; made by `Lanes.spawn`.

    It has the methods of a `Job`, with the same meaning: ``pending`` while it waits in its lane or for a slot. It
    never runs if it is closed before its turn.

    Attributes:
        key: whose lane it is in.
        job: the job of the scheduler; None as long as its turn has not come, and for ever if it never does.
    """

    __slots__ = ("__weakref__", "callbacks", "coro", "job", "key", "name", "owner", "terms", "waiters")

    def __init__(self, key: Hashable, coro: Coroutine[Any, Any, _T_co], terms: Terms, owner: Owner) -> None:
        self.key: Hashable = key
        self.job: Job[_T_co] | None = None
        self.coro: Coroutine[Any, Any, _T_co] | None = coro
        """Until its first step."""
        self.terms: Terms | None = terms
        """Until it has a job."""
        self.name: tuple[str | None, str] = terms.name, qualified_name(coro)
        """The name given, and that of the coroutine."""
        self.owner: Owner | None = owner
        """Until it has begun or never will."""
        self.waiters: dict[asyncio.Future[None], None] | None = None
        """Who waits for its job and has not come to wait for that one yet."""
        self.callbacks: list[tuple[Callable[[LaneJob[Any]], object], contextvars.Context]] | None = None
        """What to call after its end, as long as it has no job that would."""

    # --- For the lanes ----------------------------------------------------------------------------

    def wake(self) -> None:
        """Have those who wait look whether there is a job."""
        for waiter in self.waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def become(self, job: Job[_T_co]) -> None:
        """Its turn has come."""
        self.job = job
        self.terms = None
        callbacks, self.callbacks = self.callbacks, None
        for function, context in callbacks or ():
            context.run(job.add_done_callback, self._telling(function))
        self.wake()

    def give_up(self) -> Coroutine[Any, Any, _T_co]:
        """It will never run; the coroutine, which the caller closes."""
        coro = cast("Coroutine[Any, Any, _T_co]", self.coro)
        self.coro = self.owner = self.terms = None
        self.wake()
        if self.job is None:
            callbacks, self.callbacks = self.callbacks, None
            for function, context in callbacks or ():
                asyncio.get_running_loop().call_soon(function, self, context=context)
        return coro

    def begin(self) -> Coroutine[Any, Any, _T_co]:
        """Its first step has come."""
        cast("Owner", self.owner).has_begun(self)
        coro, self.coro, self.owner = self.coro, None, None
        return cast("Coroutine[Any, Any, _T_co]", coro)

    # --- As a job ---------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """``pending`` as long as it waits; then that of its job, or ``closed`` if it never has one."""
        if self.job is not None:
            return self.job.state
        return State.CLOSED if self.owner is None else State.PENDING

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, as ``Job.outcome``; ``never_started`` too if its turn never came."""
        if self.job is not None:
            return self.job.outcome
        return Outcome.NEVER_STARTED if self.owner is None else None

    @property
    def pending(self) -> bool:
        """Waits in its lane, or for a slot; nothing of it has run."""
        return self.state is State.PENDING

    @property
    def active(self) -> bool:
        """Runs, and has not been asked to stop."""
        return self.state is State.ACTIVE

    @property
    def closed(self) -> bool:
        """Has ended or has been asked to stop."""
        return self.state not in (State.PENDING, State.ACTIVE)

    def done(self) -> bool:
        """Whether it has ended, whichever way."""
        return self.outcome is not None

    def cancelled(self) -> bool:
        """Whether it was closed or cancelled, so that it has no result."""
        return self.outcome in _NOT_RUN

    def get_name(self) -> str | None:
        """The name given, or else that of its job."""
        return self.name[0] if self.job is None else self.job.get_name()

    @property
    def qualname(self) -> str:
        """The qualified name of its coroutine."""
        return self.name[1]

    def result(self) -> _T_co:
        """As ``Job.result``: what the coroutine returned, or raises why there is none."""
        try:
            return self._ended().result()
        finally:
            del self

    def exception(self) -> BaseException | None:
        """As ``Job.exception``: what the coroutine raised, or None."""
        return self._ended().exception()

    def add_done_callback(self, fn: Callable[[LaneJob[Any]], object]) -> None:
        """Have the loop call ``fn(lane_job)`` soon after the end, in a copy of the context of this call.

        Raises:
            TypeError: `fn` can't be called, or nobody would await what it returns.
        """
        _validate.check_function("fn", fn)
        if self.job is not None:
            self.job.add_done_callback(self._telling(fn))
        elif self.owner is not None:
            self.callbacks = [*(self.callbacks or ()), (fn, contextvars.copy_context())]
        else:
            asyncio.get_running_loop().call_soon(fn, self)

    def __await__(self) -> Generator[Any, None, _T_co]:
        return self.wait().__await__()

    async def wait(self, *, timeout: float | None = None) -> _T_co:  # noqa: ASYNC109 - as Job.wait
        """As ``Job.wait``: wait for the end and return what the coroutine returned (``WAIT-1`` … ``WAIT-3``).

        `timeout` is in seconds and counts from this call, the time in the lane included; when they are over it is
        closed.

        Raises:
            TimeoutError: `timeout` expired.
            JobClosed: it was closed or cancelled, or closing the scheduler has dropped it.
            RuntimeError: it waits for itself.
            TypeError, ValueError: `timeout` makes no sense.
            BaseException: what the coroutine raised.
        """
        within = None if timeout is None else _validate.seconds("timeout", timeout)
        clock = asyncio.get_running_loop().time
        deadline = None if within is None else clock() + within
        await self._turn(deadline)
        try:
            left = None if deadline is None else max(deadline - clock(), 0)
            return await self._job_or_never().wait(timeout=left)
        finally:
            del self

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as Job.close
        """As ``Job.close``. Before its turn it leaves its lane on the spot and never runs (``START-2``).

        Raises:
            TimeoutError: it has not ended by the deadline.
            RuntimeError: it closes itself, or the loop is another one.
            TypeError, ValueError: `timeout` makes no sense.
            BaseException: what the coroutine raised while it stopped.
        """
        _validate.seconds("timeout", timeout)
        if self.job is None and self.owner is not None:
            self.owner.withdraw(self)
        job = self.job
        try:
            if job is not None:
                await job.close(timeout=timeout)
                if self.owner is not None:
                    self.owner.withdraw(self)
        finally:
            del self, job

    def __repr__(self) -> str:
        return f"<LaneJob {self.state.value} key={self.key!r} coro=<{self.qualname}>>"

    # --- Inside -----------------------------------------------------------------------------------

    def _telling(self, function: Callable[[LaneJob[Any]], object]) -> Callable[[Job[Any]], object]:
        return lambda _: function(self)

    def _job_or_never(self) -> Job[_T_co]:
        if self.job is None:
            raise JobClosed(f"{self!r} was closed before it ran")
        return self.job

    def _ended(self) -> Job[_T_co]:
        if self.job is None and self.owner is not None:
            raise asyncio.InvalidStateError(f"{self!r} has not ended: wait for it first")
        return self._job_or_never()

    async def _turn(self, deadline: float | None) -> None:
        """Wait until it has a job or never will; closed if that takes too long."""
        try:
            async with asyncio.timeout_at(deadline):
                while self.job is None and self.owner is not None:
                    await self._word()
        except TimeoutError:
            if self.job is None and self.owner is not None:
                self.owner.withdraw(self)
            if self.job is None:
                raise TimeoutError(f"{self!r} did not start in time and was closed") from None

    async def _word(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        if self.waiters is None:
            self.waiters = {}
        self.waiters[waiter] = None
        try:
            await waiter
        finally:
            del self.waiters[waiter]


async def run(piece: LaneJob[_T_co]) -> _T_co:
    """What the job runs: the coroutine, and nothing of it before the lanes know that it begins."""
    try:
        return await piece.begin()
    except Exception:
        while piece.waiters:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        raise
    finally:
        del piece  # what was raised holds this frame, and would hold the job that holds it (BOOK-3)


def qualified_name(coro: Coroutine[Any, Any, Any]) -> str:
    """That of a coroutine, or of its type if it has none."""
    return str(getattr(coro, "__qualname__", type(coro).__qualname__))
