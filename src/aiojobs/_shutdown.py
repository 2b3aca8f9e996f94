"""Closing a scheduler: asked once, delivered once, bounded by one timer, and never in need of a task.

The rules of this file
----------------------
Closing is a chain of callbacks on the loop. A caller of ``close`` or ``wait_and_close`` only waits for its end, on
a future of its own, so it may be cancelled, repeated or run beside others without any effect on the chain
(``SHUT-3``, ``SHUT-5``).

How it works
------------
1. ``_begin``: the phase changes; the calls outside, the queue and then the running jobs are told. A job whose
   task has ended unseen gets the outcome it has earned (``CLOSE-3``). From here on nothing starts (``SHUT-1``).
2. One loop pass later ``_deliver`` cancels every task that is still there. By then each has taken its first
   step (``START-1``).
3. Behind all those cancellations in the ready queue stands ``_arm``: when it runs, each of them has been thrown
   into its coroutine, however many there are, and the time allowed begins (``SHUT-2``).
4. Either the last job ends (``consider``) or the deadline passes (``_expire``), which reports each job that
   still runs, once. The phase becomes closed and everyone who waits is woken.

Draining is waiting for the moment when nothing is left. New work may have come by the time the waiter wakes;
then it waits again, for another such moment, so it never spins (``SHUT-4``).

What is deliberately not here
-----------------------------
No second cancellation: a job that swallowed the first one is reported, and its slot is not given away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _reports
from ._lifecycle import Event, Phase, PhaseEvent

if TYPE_CHECKING:
    import asyncio

    from ._job import Job
    from ._scheduler import Scheduler

__all__ = ("Shutdown",)


class Shutdown:
    """The closing of one scheduler, and the waiting for its end."""

    __slots__ = ("_closers", "_deadline", "_drainers", "_scheduler")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        # Who waits for the end of closing, and who for the moment when nothing is left, in order of arrival.
        self._closers: dict[asyncio.Future[bool], None] = {}
        self._drainers: dict[asyncio.Future[bool], None] = {}
        # Armed from step 3 until closing is over.
        self._deadline: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Begin to close unless that has been done, and wait until closing is over."""
        if self._scheduler.phase is Phase.OPEN:
            self._begin()
        if self._scheduler.phase is Phase.CLOSING:
            await self._wait_among(self._closers)

    async def drain(self, within: float | None) -> None:
        """Wait until nothing is left, or closing begins, or `within` seconds have passed."""
        scheduler = self._scheduler
        deadline = None if within is None else scheduler._running_loop.time() + within
        while scheduler.phase is Phase.OPEN and not self._is_idle():
            if not await self._wait_among(self._drainers, deadline):
                return

    def consider(self) -> None:
        """Something has ended: if nothing is left, those who wait for that are told."""
        if self._is_idle():
            if self._scheduler.phase is Phase.CLOSING:
                self._finish()
            _wake(self._drainers)

    def _is_idle(self) -> bool:
        return not (self._scheduler._running or self._scheduler._shielded)

    async def _wait_among(
        self, waiters: dict[asyncio.Future[bool], None], deadline: float | None = None
    ) -> bool:
        """Wait to be woken together with the others; False if `deadline`, on the loop's clock, came first."""
        scheduler = self._scheduler
        waiter = scheduler._new_waiter()
        waiters[waiter] = None
        timer = None
        if deadline is not None:
            timer = scheduler._running_loop.call_at(deadline, _wake, {waiter: None}, False)
        try:
            return await waiter
        finally:
            waiters.pop(waiter, None)
            if timer is not None:
                timer.cancel()

    def _begin(self) -> None:
        """Step 1: nothing starts any more, and everything that is left is asked to stop."""
        scheduler = self._scheduler
        blocked = list(scheduler._blocked.items())
        pending = list(scheduler._queue)
        scheduler._blocked.clear()
        scheduler._queue.clear()
        scheduler._move(PhaseEvent.CLOSE)
        for place, job in blocked:
            scheduler._disown(job)
            if not place.done():
                place.set_result(None)
        for job in pending:
            scheduler._dismiss(job)
        self._ask_all()
        for job in pending:
            job._tell(scheduler)
        _wake(self._drainers)
        self.consider()

    def _ask_all(self) -> None:
        """Ask every running job to stop; those that have ended unseen, or have no task yet, end here."""
        scheduler = self._scheduler
        running = list(scheduler._running)
        over = [job for job in running if job in scheduler._arriving or _has_ended(job)]
        asked = [job for job in running if job not in scheduler._arriving and not _has_ended(job)]
        for job in asked:
            job._fire(Event.CLOSE)
        for job in over:
            if job._outcome is None:
                scheduler._ask_to_stop(job)
        if asked or scheduler._shielded:
            scheduler._call_soon(self._deliver, asked)

    def _deliver(self, asked: list[Job[Any]]) -> None:
        """Step 2: one cancellation for each job that was asked, and for each shielded awaitable."""
        scheduler = self._scheduler
        for job in asked:
            job._deliver()
        for inner in dict.fromkeys(shielded.inner for shielded in scheduler._shielded):
            inner.cancel()
        scheduler._call_soon(self._arm)

    def _arm(self) -> None:
        """Step 3: every cancellation has been thrown by now, so the time allowed begins."""
        scheduler = self._scheduler
        within = scheduler._close_within
        if scheduler.phase is Phase.CLOSING and within is not None:
            self._deadline = scheduler._call_later(within, self._expire)

    def _expire(self) -> None:
        """Step 4, the hard way: the deadline has passed, and what still runs is reported."""
        scheduler = self._scheduler
        for job in list(scheduler._running):
            if _has_ended(job):
                scheduler._ended(job)
        if scheduler.phase is not Phase.CLOSING:
            return
        late_jobs = list(scheduler._running)
        late_shielded = dict.fromkeys(
            shielded.inner for shielded in scheduler._shielded if not shielded.inner.done()
        )
        self._finish()
        within = scheduler._close_within
        for job in late_jobs:
            scheduler.call_exception_handler(_reports.timeout(job, within))
        for inner in late_shielded:
            scheduler.call_exception_handler(_reports.shield_timeout(inner, within))

    def _finish(self) -> None:
        """Closing is over."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._scheduler._move(PhaseEvent.SETTLED)
        _wake(self._closers)


def _has_ended(job: Job[Any]) -> bool:
    return job._task is not None and job._task.done()


def _wake(waiters: dict[asyncio.Future[bool], None], value: bool = True) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(value)
