"""Closing a scheduler: asked once, delivered once, bounded by one timer, and never in need of a task.

The rules of this file
----------------------
Closing is a chain of callbacks on the loop. A caller of ``close`` or ``wait_and_close`` only waits for its
end, on a future of its own, so it may be cancelled, repeated or run beside others without any effect on the
chain (``SHUT-3``, ``SHUT-5``).

How it works
------------
1. ``_begin``: the phase changes, and from here on nothing starts (``SHUT-1``). The calls outside are refused,
   the queue is dismissed, and every running job and shielded awaitable gets its cancellation. Each of these calls
   out, and whatever one of them raises, the others are made (``BOOK-4``).
2. A cancellation is thrown into its coroutine one loop pass later, or two if the job has yet to take its
   first step (``START-1``). Behind all of them in the ready queue stands ``_arm``: when it runs each has been
   delivered, however many there are, and the time allowed begins (``SHUT-2``).
3. Either the last job ends (``consider``) or the deadline passes (``_expire``), which reports each job that
   still runs, once. The phase becomes closed and everyone who waits is woken.

Draining is waiting for the moment when nothing is left. New work may have come by the time the waiter wakes;
then it waits again, for another such moment, so it never spins (``SHUT-4``).

What is deliberately not here
-----------------------------
No second cancellation: a job that swallowed the first one is reported, and its slot is not given away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _reports
from ._callgraph import CALL_GRAPH, link_each, unlink_each
from ._calling import make_room
from ._lifecycle import Event, Outcome, Phase, PhaseEvent
from ._tasks import cancel, is_done, resolve

if TYPE_CHECKING:
    from ._engine import Engine
    from ._machine import JobMachine

__all__ = ("Shutdown",)

_Waiters = dict[asyncio.Future[bool], asyncio.Task[Any] | None]
"""Futures that callers await, each with the caller's task where there is a call graph."""
_OPEN, _CLOSING = Phase.OPEN, Phase.CLOSING
_CLOSE, _NEVER_STARTED = Event.CLOSE, Outcome.NEVER_STARTED


class Shutdown:
    """The closing of one scheduler, and the waiting for its end."""

    __slots__ = ("_closers", "_deadline", "_drainers", "_scheduler", "is_awaited")

    is_awaited: bool
    """Whether somebody waits for the end of everything."""

    def __init__(self, scheduler: Engine) -> None:
        self._scheduler = scheduler
        self.is_awaited = False
        # Who waits for the end of closing, and who for the moment when nothing is left, in order of arrival.
        self._closers: _Waiters = {}
        self._drainers: _Waiters = {}
        # Armed from step 2 until closing is over.
        self._deadline: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Begin to close unless that has been done, and wait until closing is over."""
        if self._scheduler._admission.phase is _OPEN:
            self._begin()
        if self._scheduler._admission.phase is _CLOSING:
            await self._wait_among(self._closers)

    def begin_unawaited(self) -> None:
        """Begin to close on behalf of a caller that can't wait, if the loop is there to go on with it."""
        scheduler = self._scheduler
        if (
            scheduler._admission.phase is _OPEN
            and scheduler._loop is not None
            and scheduler._loop.is_running()
        ):
            self._begin()

    async def drain(self, within: float | None) -> None:
        """Wait until nothing is left, or closing begins, or `within` seconds have passed."""
        scheduler = self._scheduler
        deadline = None if within is None else scheduler._loop.time() + within
        while scheduler._admission.phase is _OPEN and not self._is_idle():
            if not await self._wait_among(self._drainers, deadline):
                return

    def consider(self) -> None:
        """Something has ended: if nothing is left, those who wait for that are told."""
        if self._is_idle():
            if self._scheduler._admission.phase is _CLOSING:
                self._finish()
            self._wake(self._drainers)

    def _is_idle(self) -> bool:
        return not (self._scheduler._running or self._scheduler._shielded)

    async def _wait_among(self, waiters: _Waiters, deadline: float | None = None) -> bool:
        """Wait to be woken together with the others; False if `deadline`, on the loop's clock, came first."""
        scheduler = self._scheduler
        waiter = scheduler._new_waiter()
        # Not kept in this frame, which the traceback of the caller's task may hold (BOOK-3).
        waiters[waiter] = asyncio.current_task(scheduler._loop) if CALL_GRAPH else None
        self.is_awaited = True
        timer = None
        if deadline is not None:
            timer = scheduler._loop.call_at(deadline, self._wake, (waiter,), False)
        try:
            if CALL_GRAPH:
                link_each(self._awaited(), (waiters[waiter],))
            return await waiter
        finally:
            self._leave(waiters, waiter)
            if timer is not None:
                scheduler._call_out("a timer", cancel, timer)

    def _leave(self, waiters: _Waiters, waiter: asyncio.Future[bool]) -> None:
        """Somebody does not wait any more, and is not seen to."""
        caller = waiters.pop(waiter)
        self.is_awaited = bool(self._drainers or self._closers)
        if CALL_GRAPH:
            unlink_each(self._awaited(), (caller,))

    def callers(self) -> list[object]:
        """The tasks that wait for the end of everything (``WAIT-6``)."""
        return [*self._drainers.values(), *self._closers.values()]

    def _awaited(self) -> list[object]:
        """Everything that they wait for."""
        return [*(job._task for job in self._scheduler._running), *self._scheduler._shielded]

    def _begin(self) -> None:
        """Step 1: nothing starts any more, and everything that is left is asked to stop."""
        scheduler = self._scheduler
        make_room()
        blocked = list(scheduler._blocked.items())
        dropped = scheduler._queue.clear()
        # To free what they let go of may run anything.
        held: Any = [(job._coro, job._context) for job in dropped]
        scheduler._blocked.clear()
        scheduler._move(PhaseEvent.CLOSE)
        for job in dropped:
            job._fire(_CLOSE)
            job._end(_NEVER_STARTED, None)
        # Those that have ended unseen end by that, and not by being asked.
        asked = dict.fromkeys(
            job for job in scheduler._running if not scheduler._has_ended_unseen(job) and job._fire(_CLOSE)
        )
        # Whole: from here on it calls out.
        for place, job in blocked:
            scheduler._disown(job)
            scheduler._call_out("a waiter", resolve, place, None)
        for job, (coro, _) in zip(dropped, held, strict=True):
            scheduler._close_coroutine(coro, job)
            scheduler._say_farewell(job, (coro, None, None), None)
        held = coro = None  # as in _close_coroutine
        if scheduler._observer is not None:
            scheduler._tell_observer()
        self._ask_all(asked)
        for job in dropped:
            scheduler._tell(job)
        self._wake(self._drainers)
        self.consider()

    def _ask_all(self, asked: dict[JobMachine, None]) -> None:
        """Tell everything that runs that it is to stop, and have the time begin when all of it has been told."""
        scheduler = self._scheduler
        if self._is_idle():
            return
        for job in list(scheduler._running):
            if job._outcome is not None:
                continue  # by what was called out to
            if job in scheduler._arriving:
                scheduler._stop_arriving(job)
            elif not scheduler._see_end(job) and job in asked:
                scheduler._cancel_task(job)
        for inner in list(scheduler._shielded):
            scheduler._call_out("cancel of a shielded future", cancel, inner)
        scheduler._call_soon(scheduler._call_soon, self._arm)

    def _arm(self) -> None:
        """Step 2: every cancellation has been thrown by now, so the time allowed begins."""
        scheduler = self._scheduler
        within = scheduler._close_within
        if scheduler._admission.phase is _CLOSING and within is not None:
            self._deadline = scheduler._call_later(within, self._expire)

    def _expire(self) -> None:
        """Step 3, the hard way: the deadline has passed, and what still runs is reported."""
        scheduler = self._scheduler
        for job in list(scheduler._running):
            scheduler._see_end(job)
        if scheduler._admission.phase is not _CLOSING:
            return
        late_jobs = list(scheduler._running)
        late_shielded = [
            inner
            for inner in scheduler._shielded
            if not scheduler._call_out("done of a shielded future", is_done, inner)
        ]
        self._finish()
        within = scheduler._close_within
        for job in late_jobs:
            scheduler._report(job, _reports.timeout(job, within))
        for inner in late_shielded:
            scheduler._report(None, _reports.shield_timeout(inner, within))

    def _finish(self) -> None:
        """Closing is over."""
        scheduler = self._scheduler
        deadline, self._deadline = self._deadline, None
        scheduler._move(PhaseEvent.SETTLED)
        if deadline is not None:
            scheduler._call_out("a timer", cancel, deadline)
        if scheduler._observer is not None:
            scheduler._tell_observer()
        self._wake(self._closers)

    def _wake(self, waiters: Iterable[asyncio.Future[bool]], value: bool = True) -> None:
        for waiter in list(waiters):
            self._scheduler._call_out("a waiter", resolve, waiter, value)
