"""Closing and draining: one request, one cancellation for each job, one timer, and no task.

The rules of this file
----------------------
Closing is a chain of callbacks on the loop. A caller of ``close`` or ``wait_and_close`` only waits for its
end, on a future of its own, so it may be cancelled, repeated or run beside others without any effect on the
chain (``SHUT-3``, ``SHUT-5``).

How it works
------------
1. ``_begin``: the phase changes, and from here on nothing starts (``SHUT-1``). Blocked callers are refused,
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
from collections.abc import Collection, Iterable
from typing import Any

from ._callgraph import CALL_GRAPH, link_each, unlink_each
from ._calling import cancel, is_done, make_room, resolve
from ._core import Core
from ._job import Job
from ._job_state import fire, let_go
from ._lifecycle import Event, Outcome, Phase, PhaseEvent
from ._reporting import shield_timeout, timeout
from ._shields import Shields
from ._shutdown_report import ShutdownReport, report_on

__all__ = ("Closing",)

_OPEN, _CLOSING = Phase.OPEN, Phase.CLOSING
_CLOSE, _NEVER_STARTED = Event.CLOSE, Outcome.NEVER_STARTED


class Closing:
    """The closing of one scheduler, and the waiting for the end of everything."""

    __slots__ = (
        "_began",
        "_closers",
        "_core",
        "_deadline",
        "_drainers",
        "_endless",
        "_left",
        "_shields",
        "report",
    )

    report: ShutdownReport | None
    """What closing has done to jobs; None until it is over."""
    _began: float
    """When closing began, by the loop's clock."""
    _left: list[Job[Any]]
    """The jobs that were there then; kept until the report on them (``SHUT-7``)."""
    _endless: list[Job[Any]]
    """Those of them that draining does not wait for."""

    _closers: dict[asyncio.Future[bool], None]
    """Who waits for the end of closing, in order of arrival."""
    _drainers: dict[asyncio.Future[bool], None]
    """Who waits for the moment when nothing is left, likewise."""
    _deadline: asyncio.TimerHandle | None
    """Armed from step 2 until closing is over."""

    def __init__(self, core: Core, shields: Shields) -> None:
        self._core = core
        self._shields = shields
        self._closers = {}
        self._drainers = {}
        self._deadline = None
        self.report = None
        self._began = 0.0
        self._left = []
        self._endless = []

    def check(self, verb: str, spares: Collection[Job[Any]] = ()) -> None:
        """Closing needs the scheduler's own loop, unless that is dead and there is nothing to wait for.

        `spares` are jobs that the caller would not wait for.

        Raises:
            RuntimeError: the loop is another one, or a job closes its own scheduler (``WAIT-4``).
        """
        core = self._core
        core.reporting.refuse_observer()
        bound = core.bound
        is_empty = self._is_idle() and not core.queue and not core.places
        if bound.loop is not None and bound.loop.is_closed() and is_empty:
            bound.loop = None
        core.bind(bound.check())
        task = asyncio.current_task(bound.loop)
        if task is None:
            return
        # The task of a coroutine that begins while it is being shielded is not known yet.
        runner = next((job for job in core.slots if core.runs(job, task)), None)
        if self._shields.runs(task) or (runner is not None and runner not in spares):
            raise RuntimeError(
                f"a job can't {verb} its own scheduler, which would have to wait for the job itself: "
                "let the code that owns the scheduler do it"
            )

    async def close(self) -> None:
        """Begin to close unless that has been done, and wait until closing is over."""
        if self._core.admission.phase is _OPEN:
            self._begin()
        if self._core.admission.phase is _CLOSING:
            await self._wait_among(self._closers)

    def begin_unawaited(self) -> None:
        """Begin to close on behalf of a caller that can't wait, if the loop is there to go on with it."""
        core = self._core
        loop = core.bound.loop
        if core.admission.phase is not _OPEN or loop is None or not loop.is_running():
            return
        if core.reporting.is_telling:
            core.bound.soon(
                self.begin_unawaited
            )  # the collector may destroy that caller whoever is being told
        else:
            self._begin()

    async def drain(self, within: float | None) -> None:
        """Wait until nothing is left, or closing begins, or `within` seconds have passed."""
        core = self._core
        deadline = None if within is None else core.bound.loop.time() + within
        while core.admission.phase is _OPEN and not self._is_drained():
            if not await self._wait_among(self._drainers, deadline):
                return

    async def idle(self) -> None:
        """Wait until nothing is left, or closing is over."""
        core = self._core
        if core.admission.phase is _OPEN:
            core.bound.check()  # what stays open stays with its loop, be that dead
            self.check("wait for", self.spared())
            await self.drain(None)
        if core.admission.phase is _CLOSING:
            self.check("wait for")  # closing waits for those, too, for which draining does not
            await self._wait_among(self._closers)

    def consider(self) -> None:
        """Something has ended: if nothing is left, those who wait for that are told."""
        if self._core.admission.phase is _CLOSING and self._is_idle():
            self._finish()
        if self._is_drained():
            self._wake(self._drainers)

    def spared(self) -> list[Job[Any]]:
        """The jobs that draining does not wait for (``SHUT-8``)."""
        return [
            job
            for job, terms in self._core.terms.items()
            if not terms.drains and job not in self._core.arriving
        ]

    def _is_idle(self) -> bool:
        return not (self._core.slots or self._shields.inners)

    def _is_drained(self) -> bool:
        admission = self._core.admission
        if self._shields.inners or admission.blocked:
            return False
        return admission.running + admission.pending == self._core.endless

    async def _wait_among(
        self, waiters: dict[asyncio.Future[bool], None], deadline: float | None = None
    ) -> bool:
        """Wait to be woken together with the others; False if `deadline`, on the loop's clock, came first."""
        core = self._core
        loop = core.bound.loop
        waiter: asyncio.Future[bool] = loop.create_future()
        # The caller is not kept in this frame, which the traceback of its task may hold (BOOK-3).
        waiters[waiter] = None
        core.waiters[waiter] = asyncio.current_task(loop) if CALL_GRAPH else None
        core.on_idle = self.consider
        timer = None
        try:
            if deadline is not None:
                timer = loop.call_at(deadline, self._wake, (waiter,), False)
            if CALL_GRAPH:
                link_each(self._awaited(), (core.waiters[waiter],))
            return await waiter
        finally:
            del waiters[waiter]
            self._leave(waiter)
            if timer is not None:
                core.bound.call_out("a timer", cancel, timer)

    def _leave(self, waiter: asyncio.Future[bool]) -> None:
        """Somebody does not wait any more, and is not seen to."""
        core = self._core
        caller = core.waiters.pop(waiter)
        if not core.waiters and core.admission.phase is _OPEN:
            core.on_idle = None
        if CALL_GRAPH:
            unlink_each(self._awaited(), (caller,))

    def _awaited(self) -> list[object]:
        """Everything that they wait for (``WAIT-6``)."""
        return [*(job.task for job in self._core.slots), *self._shields.inners]

    def _begin(self) -> None:
        """Step 1: nothing starts any more, and everything that is left is asked to stop."""
        core = self._core
        make_room()
        self._began = core.bound.now()
        if core.admission.phase is not _OPEN:
            return  # whatever told the time has closed the scheduler
        self._left = [job for job in core if job not in core.arriving] if core.arriving else list(core)
        self._endless = self.spared() if core.endless else []
        blocked = list(core.places.items())
        dropped = core.queue.clear()
        # To free what they let go of may run anything.
        held: Any = [(job.coro, job.context) for job in dropped]
        core.places.clear()
        core.on_idle = self.consider
        core.move(PhaseEvent.CLOSE)
        for job in dropped:
            fire(job, _CLOSE)
            let_go(job, _NEVER_STARTED, None)
            if core.terms:
                core.part_with(job)
        # Those that have ended unseen end by that, and not by being asked.
        running = {job: not core.has_ended_unseen(job) and fire(job, _CLOSE) for job in core.slots}
        # Whole: from here on it calls out.
        for place, job in blocked:
            core.disown(job)
            core.bound.call_out("a waiter", resolve, place, None)
        for job, (coro, _) in zip(dropped, held, strict=True):
            core.close_coroutine(coro, job)
            core.say_farewell(job, (coro, None, None, None), None)
        held = coro = None  # as in close_coroutine
        core.told()
        self._ask_all(running)
        for job in dropped:
            core.tell(job)
        self._wake(self._drainers)
        self.consider()

    def _ask_all(self, running: dict[Job[Any], bool]) -> None:
        """Tell everything that runs that it is to stop, and have the time begin when all of it has been told.

        `running` says of each job whether it is asked by this, and not before.
        """
        core = self._core
        if self._is_idle():
            return
        for job, is_asked in running.items():
            if job.owner is None:
                continue  # it was ended by what was called out to
            if job in core.arriving:
                core.stop_arriving(job)
            elif not core.see_end(job) and is_asked:
                core.tasks.stop(job)
        bound = core.bound
        for inner in list(self._shields.inners):
            bound.call_out("cancel of a shielded future", cancel, inner)
        bound.soon(bound.soon, self._arm)

    def _arm(self) -> None:
        """Step 2: every cancellation has been thrown by now, so the time allowed begins."""
        within = self._core.close_within
        if self._core.admission.phase is _CLOSING and within is not None:
            self._deadline = self._core.bound.loop.call_later(within, self._expire)

    def _expire(self) -> None:
        """Step 3, the hard way: the deadline has passed, and what still runs is reported."""
        core = self._core
        for job in list(core.slots):
            core.see_end(job)
        if core.admission.phase is not _CLOSING:
            return
        late_jobs = list(core.slots)
        late_shielded = [
            inner
            for inner in self._shields.inners
            if not core.bound.call_out("done of a shielded future", is_done, inner)
        ]
        self._finish()
        within = core.close_within
        for job in late_jobs:
            if core.is_first_late(job):
                core.reporting.report(job, timeout(job, within))
        for inner in late_shielded:
            core.reporting.report(None, shield_timeout(inner, within))

    def _finish(self) -> None:
        """Closing is over."""
        core = self._core
        seconds = core.bound.now() - self._began
        if core.admission.phase is not _CLOSING:
            return  # as in `_begin`
        deadline, self._deadline = self._deadline, None
        report = self.report = report_on(self._left, list(core.slots), self._endless, seconds)
        self._left = self._endless = []
        core.move(PhaseEvent.SETTLED)
        if deadline is not None:
            core.bound.call_out("a timer", cancel, deadline)
        core.told()
        if report.dropped:
            core.reporting.warn(report)
        self._wake(self._closers)

    def _wake(self, waiters: Iterable[asyncio.Future[bool]], value: bool = True) -> None:
        for waiter in list(waiters):
            self._core.bound.call_out("a waiter", resolve, waiter, value)
