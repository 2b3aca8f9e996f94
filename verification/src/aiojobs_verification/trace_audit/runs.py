"""A run of the real scheduler that shows everything a trace can show, the same lines every time.

How it works: on the deterministic loop, with a random generator that is always seeded in the same way,
clients spawn jobs that take their time, fail, or do not want to stop; some clients lose patience, some jobs
are closed before they start and some while they run; in the end the scheduler is closed with jobs running
and pending and calls blocked.

Deliberately not here: anything that depends on the machine. A recorded service is in `examples/`.
"""

from __future__ import annotations

import asyncio
import io
import random
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiojobs
from aiojobs.testing import VirtualLoop
from aiojobs.tracing import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RUNS", "RecordedRun", "record"]


_HURRIED: Final = 0.1
"""How often a client can't wait for a place."""


class RecordedRun(NamedTuple):
    """What distinguishes one run from another."""

    limit: int | None
    pending_limit: int
    calls: bool
    seed: int
    clients: int = 8
    orders: int = 6
    """How many jobs each client spawns."""
    seconds: float = 5.4
    """When the scheduler is closed."""
    limits: tuple[tuple[float, int | None], ...] = ()
    """What the limit is set to, and when."""


_MOVES: Final = ((1.1, 1), (1.6, 3), (2.1, 2), (2.4, None), (3.7, 1), (4.2, 4))

RUNS: Final[Mapping[str, RecordedRun]] = {
    "limit 2, pending limit 2, calls announced": RecordedRun(2, 2, True, 1),
    "limit 1, pending limit 1, calls announced": RecordedRun(1, 1, True, 2),
    "limit 3, no pending limit, calls announced": RecordedRun(3, 0, True, 3),
    "limit 2, pending limit 3": RecordedRun(2, 3, False, 4),
    "no limit": RecordedRun(None, 0, False, 5, seconds=3),
    "a limit that moves, calls announced": RecordedRun(2, 2, True, 6, limits=_MOVES),
    "a limit that moves": RecordedRun(2, 3, False, 7, limits=_MOVES),
}


def record(run: RecordedRun) -> str:
    """The trace of such a run."""
    file = io.StringIO()
    trace = TraceWriter(file, limit=run.limit, pending_limit=run.pending_limit, calls=run.calls)
    loop = VirtualLoop()  # type: ignore[abstract]
    try:
        loop.run_until_complete(_run(run, trace))
    finally:
        loop.close()
    trace.end()
    return file.getvalue()


async def _run(run: RecordedRun, trace: TraceWriter) -> None:
    chance = random.Random(run.seed)  # noqa: S311 - the same every time is the point
    scheduler = aiojobs.Scheduler(
        limit=run.limit,
        pending_limit=run.pending_limit,
        close_timeout=1,
        exception_handler=lambda _scheduler, _context: None,
        observer=trace,
    )
    clients = [
        asyncio.create_task(_Client(run, trace, scheduler, chance, f"client {number}").live())
        for number in range(run.clients)
    ]
    for moment, limit in run.limits:
        asyncio.get_running_loop().call_later(moment, scheduler.set_limit, limit)
    await asyncio.sleep(run.seconds)
    await scheduler.close()
    # The clients that still call are refused, and jobs that were late at closing end.
    await asyncio.gather(*clients)
    await asyncio.sleep(5)


class _Client:
    def __init__(
        self,
        run: RecordedRun,
        trace: TraceWriter,
        scheduler: aiojobs.Scheduler,
        chance: random.Random,
        name: str,
    ) -> None:
        self.run = run
        self.trace = trace
        self.scheduler = scheduler
        self.chance = chance
        self.name = name

    async def live(self) -> None:
        for number in range(self.run.orders):
            with suppress(TimeoutError, RuntimeError, asyncio.QueueFull):
                job = await self.call(f"{self.name}, order {number}")
                await self.treat(job)
            await asyncio.sleep(self.chance.choice([0, 0.3, 1]))

    async def call(self, name: str) -> aiojobs.Job[None]:
        body = self.chance.choice([_works, _works, _works, _fails, _is_stubborn])
        coro = body(self.chance.choice([0, 0.5, 1, 2]))
        async with asyncio.timeout(self.chance.choice([None, None, 0.4, 0])):
            with ExitStack() as stack:
                if self.run.calls:
                    stack.enter_context(self.trace.call(name))
                if self.chance.random() < _HURRIED:
                    return self.scheduler.spawn_nowait(coro, name)
                return await self.scheduler.spawn(coro, name)

    async def treat(self, job: aiojobs.Job[Any]) -> None:
        """Leave the job alone, or close it at once or later."""
        patience = self.chance.choice([None, None, 0, 0, 0.5])
        if patience is not None:
            await asyncio.sleep(patience)
            with suppress(TimeoutError, ValueError):
                await job.close(timeout=0.2)


async def _works(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _fails(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise ValueError


async def _is_stubborn(seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.sleep(1.7)
