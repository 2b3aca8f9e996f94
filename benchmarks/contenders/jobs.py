"""A scheduler with the API of aiojobs: this package, another source tree of it, or aiojobs 1.4.0.

Rules of this file: it uses only what both have, so the same lines measure either. Which of them ``aiojobs``
is was decided by the path that the process was started with.

Deliberately not here: ``spawn_nowait``, which 1.4.0 does not have, and every limit but the one that a
workload is about. The queue is unbounded unless a workload blocks callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, cast

from . import telemetry
from .base import Contender, Method
from .stage import Bodies, Stage, settle

__all__ = ["Jobs"]

_Spawn = Callable[[Coroutine[Any, Any, None]], Awaitable[object]]
_Body = Callable[[], Coroutine[Any, Any, None]]
_OWN = {
    "bytes_in_lanes",
    "counted_by_opentelemetry",
    "counted_by_prometheus",
    "in_lanes",
    "map_plain",
    "map_stream",
    "observed",
    "traced",
    "transition",
}
"""What aiojobs 1.4.0 has not."""


class Jobs(Contender):
    """``aiojobs.Scheduler``."""

    module = "aiojobs"

    def __init__(self) -> None:
        import aiojobs

        self._aiojobs: Any = aiojobs

    def version(self) -> str:
        build = getattr(self._aiojobs, "__build__", "")
        return f"{self._aiojobs.__version__} {build}".rstrip()

    def where(self) -> str:
        return str(self._aiojobs.__file__)

    def find(self, name: str) -> Method | str:
        if name in _OWN and not hasattr(self._aiojobs, "Event"):
            return "this version has no observer, no table, no lanes, and no map"
        return super().find(name)

    def _scheduler(self, stage: Stage, limit: int | None, pending_limit: int = 0, **more: object) -> Any:
        return self._aiojobs.Scheduler(
            limit=limit, pending_limit=pending_limit, exception_handler=stage.hear, **more
        )

    # --- Running --------------------------------------------------------------------------------------------

    async def spawn_and_drain(self, stage: Stage) -> None:
        """Spawn all, then wait until nothing is left."""
        await self._drain(stage, self._scheduler(stage, stage.limit), stage.bodies.nothing)

    async def spawn_and_fail(self, stage: Stage) -> None:
        """The same, and each job fails; the handler hears of it."""
        await self._drain(stage, self._scheduler(stage, stage.limit), stage.bodies.fail)

    async def sustained_load(self, stage: Stage) -> None:
        """The same, with jobs that give way once, and a queue as long as the limit, so that callers block."""
        await self._drain(stage, self._scheduler(stage, stage.limit, stage.limit), stage.bodies.step)

    async def observed(self, stage: Stage) -> None:
        """As ``spawn_and_drain``, with an observer that does nothing."""
        scheduler = self._scheduler(stage, stage.limit, observer=lambda _record: None)
        await self._drain(stage, scheduler, stage.bodies.nothing)

    async def counted_by_prometheus(self, stage: Stage) -> None:
        """As ``spawn_and_drain``, with metrics in a registry."""
        from prometheus_client import CollectorRegistry

        from aiojobs.prometheus import Metrics

        observer = Metrics(registry=CollectorRegistry())
        await self._drain(stage, self._scheduler(stage, stage.limit, observer=observer), stage.bodies.nothing)

    async def counted_by_opentelemetry(self, stage: Stage) -> None:
        """As ``spawn_and_drain``, with metrics that the SDK keeps."""
        from aiojobs.opentelemetry import Metrics

        with telemetry.meters() as provider:
            observer = Metrics(meter_provider=provider)
            scheduler = self._scheduler(stage, stage.limit, observer=observer)
            await self._drain(stage, scheduler, stage.bodies.nothing)

    async def traced(self, stage: Stage) -> None:
        """As ``spawn_and_drain``, with a span for each job."""
        from aiojobs.opentelemetry import Tracing

        with telemetry.tracers() as provider:
            scheduler = self._scheduler(stage, stage.limit)
            spawn = partial(Tracing(tracer_provider=provider).spawn, scheduler)
            await self._drain(stage, scheduler, stage.bodies.nothing, spawn)

    async def map_plain(self, stage: Stage) -> None:
        """``aiojobs.batch.map``, in order."""
        await self._map(stage, range(stage.n))

    async def map_stream(self, stage: Stage) -> None:
        """The same over a generator."""
        await self._map(stage, stage.stream())

    async def _map(self, stage: Stage, source: object) -> None:
        from aiojobs import batch

        with stage.measured:
            async for _ in batch.map(stage.work, cast("Any", source), limit=stage.limit):
                pass

    async def in_lanes(self, stage: Stage) -> None:
        """``aiojobs.lanes``: one at a time for each key, under the limit of the scheduler."""
        from aiojobs.lanes import Lanes

        scheduler = self._scheduler(stage, stage.limit)
        lanes, body = Lanes(scheduler, pending_limit=0), stage.bodies.step
        with stage.measured:
            for key in stage.keyed():
                await lanes.spawn(key, body())
            await scheduler.wait_and_close()

    async def _drain(self, stage: Stage, scheduler: Any, body: _Body, traced: _Spawn | None = None) -> None:
        spawn = traced or scheduler.spawn
        with stage.measured:
            for _ in range(stage.n):
                await spawn(body())
            while len(scheduler):
                await asyncio.sleep(0)
        await scheduler.close()

    async def spawn_and_wait(self, stage: Stage) -> None:
        """Spawn all, then wait for each."""
        scheduler = self._scheduler(stage, stage.limit)
        spawn, body = scheduler.spawn, stage.bodies.nothing
        with stage.measured:
            jobs = [await spawn(body()) for _ in range(stage.n)]
            for job in jobs:
                await job.wait()
        await scheduler.close()

    async def spawn_and_wait_and_close(self, stage: Stage) -> None:
        """Spawn all, then have the scheduler wait for all and close."""
        scheduler = self._scheduler(stage, stage.limit)
        spawn, body = scheduler.spawn, stage.bodies.nothing
        with stage.measured:
            for _ in range(stage.n):
                await spawn(body())
            await scheduler.wait_and_close()

    async def slot_latency(self, stage: Stage) -> None:
        """From the end of one job to the first step of the next, over a queue that is there already."""
        scheduler = self._scheduler(stage, 1)
        gate = asyncio.get_running_loop().create_future()
        await scheduler.spawn(_until(gate))
        jobs = [await scheduler.spawn(stage.bodies.nothing()) for _ in range(stage.n)]
        await settle()
        with stage.measured:
            gate.set_result(None)
            await jobs[-1].wait()
        await scheduler.close()

    async def many_waiters(self, stage: Stage) -> None:
        """So many tasks wait for one job, which then ends."""
        scheduler = self._scheduler(stage, 1)
        gate = asyncio.get_running_loop().create_future()
        job = await scheduler.spawn(_until(gate))
        with stage.measured:
            waiters = [asyncio.ensure_future(job.wait()) for _ in range(stage.n)]
            await asyncio.sleep(0)
            gate.set_result(None)
            for waiter in waiters:
                await waiter
        await scheduler.close()

    # --- Closing --------------------------------------------------------------------------------------------

    async def close_active(self, stage: Stage) -> None:
        """Close the scheduler while all run."""
        scheduler = self._scheduler(stage, None)
        for _ in range(stage.n):
            await scheduler.spawn(stage.bodies.park())
        await settle()
        with stage.measured:
            await scheduler.close()

    async def close_pending(self, stage: Stage) -> None:
        """Close the scheduler while all but one stand in the queue."""
        scheduler, _ = await self._queued(stage)
        with stage.measured:
            await scheduler.close()

    async def close_one_active(self, stage: Stage) -> None:
        """Close some of the jobs that run, one after the other."""
        scheduler = self._scheduler(stage, None)
        jobs = [await scheduler.spawn(stage.bodies.park()) for _ in range(stage.n)]
        await settle()
        await self._close_chosen(stage, scheduler, jobs)

    async def close_one_pending(self, stage: Stage) -> None:
        """Close some of the jobs in the queue, one after the other."""
        scheduler, jobs = await self._queued(stage)
        await self._close_chosen(stage, scheduler, jobs)

    async def _queued(self, stage: Stage) -> tuple[Any, list[Any]]:
        scheduler = self._scheduler(stage, 1)
        await scheduler.spawn(Bodies().park())
        jobs = [await scheduler.spawn(stage.bodies.park()) for _ in range(stage.n)]
        await settle()
        return scheduler, jobs

    async def _close_chosen(self, stage: Stage, scheduler: Any, jobs: list[Any]) -> None:
        chosen = stage.chosen(jobs)
        with stage.measured:
            for job in chosen:
                await job.close()
        await scheduler.close()

    async def blocked_cancelled(self, stage: Stage) -> None:
        """Cancel all the calls of ``spawn`` that wait for a place in the queue."""
        scheduler = self._scheduler(stage, 1, 1)
        for _ in range(2):
            await scheduler.spawn(Bodies().park())
        calls = [asyncio.ensure_future(scheduler.spawn(stage.bodies.nothing())) for _ in range(stage.n)]
        await settle()
        with stage.measured:
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
        await scheduler.close()

    # --- Memory ---------------------------------------------------------------------------------------------

    async def bytes_pending(self, stage: Stage) -> None:
        """What a job in the queue takes, its coroutine included."""
        scheduler = self._scheduler(stage, 1)
        await scheduler.spawn(Bodies().park())
        await settle()
        with stage.measured:
            for _ in range(stage.n):
                await scheduler.spawn(stage.bodies.park())
        await scheduler.close()

    async def bytes_in_lanes(self, stage: Stage) -> None:
        """What a key takes whose work waits because the only slot is taken."""
        from aiojobs.lanes import Lanes

        scheduler, free = self._scheduler(stage, 1), asyncio.Event()
        await scheduler.spawn(free.wait())
        lanes = Lanes(scheduler)
        with stage.measured:
            for key in range(stage.n):
                await lanes.spawn(key, stage.bodies.nothing())
            await settle()
        free.set()
        await scheduler.wait_and_close()

    async def bytes_active(self, stage: Stage) -> None:
        """What a running job takes, its coroutine, its task and what it waits for included."""
        scheduler = self._scheduler(stage, None)
        with stage.measured:
            for _ in range(stage.n):
                await scheduler.spawn(stage.bodies.park())
            await settle()
        await scheduler.close()

    async def bytes_finished(self, stage: Stage) -> None:
        """What a job takes that has ended and that somebody still refers to."""
        scheduler = self._scheduler(stage, stage.limit)
        kept: list[Any] = [None] * stage.n
        with stage.measured:
            for number in range(stage.n):
                kept[number] = await scheduler.spawn(stage.bodies.nothing())
            while len(scheduler):
                await asyncio.sleep(0)
            await settle()
        await scheduler.close()

    # --- Parts ----------------------------------------------------------------------------------------------

    async def transition(self, stage: Stage) -> None:
        """One step of the table, taken by the function that takes all of them: active jobs are to close.

        Their tasks are cancelled afterwards, so that they end as the books expect.
        """
        from aiojobs._job_state import fire

        scheduler = self._scheduler(stage, None)
        jobs = [await scheduler.spawn(stage.bodies.park()) for _ in range(stage.n)]
        await settle()
        close = self._aiojobs.Event.CLOSE
        with stage.measured:
            for job in jobs:
                fire(job, close)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await scheduler.close()


async def _until(gate: asyncio.Future[None]) -> None:
    await gate
