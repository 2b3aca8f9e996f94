"""``asyncio.create_task``, and nothing around it: what the same work costs without a scheduler.

Rules of this file: it is the least code that does the work in plain asyncio, so it is a floor. It has no
limit (unless a workload is about one), no queue, no account of exceptions.
"""

from __future__ import annotations

import asyncio
from asyncio import create_task
from collections import defaultdict
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextvars import copy_context
from functools import partial
from types import MappingProxyType
from typing import Any

from . import telemetry
from .base import Contender
from .stage import Stage, settle

__all__ = ["Bare", "Chained"]

_Task = asyncio.Task[None]
_Turns = defaultdict[int, asyncio.Semaphore]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Of histograms, in seconds: as many as this package has."""


class Bare(Contender):
    """Tasks of plain asyncio."""

    module = "asyncio"
    cannot = MappingProxyType({"import_beside_asyncio": "it is asyncio"})

    def where(self) -> str:
        return str(asyncio.__file__)

    # --- Running --------------------------------------------------------------------------------------------

    async def spawn_and_drain(self, stage: Stage) -> None:
        """Create a task for each, then await each: somebody has to keep a reference anyway."""
        body = stage.bodies.nothing
        with stage.measured:
            tasks = [create_task(body()) for _ in range(stage.n)]
            for task in tasks:
                await task

    spawn_and_wait = spawn_and_drain
    spawn_and_wait_and_close = spawn_and_drain

    async def spawn_and_fail(self, stage: Stage) -> None:
        """The same, with a callback that takes what was raised and hands it to the handler."""
        body = stage.bodies.fail

        def report(task: _Task) -> None:
            stage.hear(None, {"message": "failed", "exception": task.exception()})

        with stage.measured:
            tasks = []
            for _ in range(stage.n):
                task = create_task(body())
                task.add_done_callback(report)
                tasks.append(task)
            await asyncio.wait(tasks)

    async def counted_by_prometheus(self, stage: Stage) -> None:
        """A done callback writes what a job has to: one counter, two histograms."""
        from prometheus_client import CollectorRegistry, Counter, Histogram

        registry = CollectorRegistry()
        jobs = Counter("jobs", "ended", ["task", "outcome"], registry=registry).labels("nothing", "returned")
        waited, ran = (
            Histogram(name, name, ["task"], registry=registry, buckets=BOUNDS).labels("nothing")
            for name in "wr"
        )

        def count(_task: _Task) -> None:
            waited.observe(0)
            ran.observe(0)
            jobs.inc()

        await self._each_then(stage, count)

    async def counted_by_opentelemetry(self, stage: Stage) -> None:
        """The same, with the instruments of a meter."""
        with telemetry.meters() as provider:
            meter = provider.get_meter("bare")
            jobs = meter.create_counter("jobs")
            waited, ran = (
                meter.create_histogram(name, explicit_bucket_boundaries_advisory=BOUNDS) for name in "wr"
            )

            def count(_task: _Task) -> None:
                waited.record(0, {"task": "nothing"})
                ran.record(0, {"task": "nothing"})
                jobs.add(1, {"task": "nothing", "outcome": "returned"})

            await self._each_then(stage, count)

    async def _each_then(self, stage: Stage, callback: Callable[[_Task], None]) -> None:
        body = stage.bodies.nothing
        with stage.measured:
            tasks = [create_task(body()) for _ in range(stage.n)]
            for task in tasks:
                task.add_done_callback(callback)
            for task in tasks:
                await task
            await settle()

    async def traced(self, stage: Stage) -> None:
        """A span is started before each task is created, current in it, and ended by its callback."""
        from opentelemetry import context, trace

        body = stage.bodies.nothing
        with telemetry.tracers() as provider, stage.measured:
            tracer, tasks = provider.get_tracer("bare"), []
            for _ in range(stage.n):
                span = tracer.start_span("nothing", attributes={"task": "nothing"})
                within = copy_context()
                within.run(context.attach, trace.set_span_in_context(span))
                tasks.append(create_task(body(), context=within))
                tasks[-1].add_done_callback(partial(_end, span))
            for task in tasks:
                await task
            await settle()

    async def sustained_load(self, stage: Stage) -> None:
        """A semaphore is taken before each task is created, and given back by its callback."""
        body, free = stage.bodies.step, asyncio.Semaphore(stage.limit)
        task: _Task | None = None

        def release(_task: _Task) -> None:
            free.release()

        with stage.measured:
            for _ in range(stage.n):
                await free.acquire()
                task = create_task(body())
                task.add_done_callback(release)
            if task is not None:
                await task
        await settle()

    async def map_plain(self, stage: Stage) -> None:
        """``gather`` of coroutines that take a semaphore: all tasks and all results are there at once."""
        await self._gather(stage, lambda: _all(range(stage.n)))

    async def map_stream(self, stage: Stage) -> None:
        """The same when the source has been read: nothing is begun before its end."""
        await self._gather(stage, lambda: _read(stage.stream()))

    async def _gather(self, stage: Stage, numbers: Callable[[], Awaitable[Iterable[int]]]) -> None:
        free = asyncio.Semaphore(stage.limit)

        async def limited(number: int) -> None:
            async with free:
                await stage.work(number)

        with stage.measured:
            for _ in await asyncio.gather(*(limited(number) for number in await numbers())):
                pass

    async def in_lanes(self, stage: Stage) -> None:
        """A semaphore for each key, kept for ever, and one for all: a task of each piece is there at once."""
        body, free = stage.bodies.step, asyncio.Semaphore(stage.limit)
        turns: _Turns = defaultdict(lambda: asyncio.Semaphore(1))
        with stage.measured:
            tasks = [create_task(_in_turn(turns[key], free, body)) for key in stage.keyed()]
            for task in tasks:
                await task

    async def slot_latency(self, stage: Stage) -> None:
        """One task after the other: create it, await it. The coroutines are there already."""
        coros = [stage.bodies.nothing() for _ in range(stage.n)]
        with stage.measured:
            for coro in coros:
                await create_task(coro)

    async def many_waiters(self, stage: Stage) -> None:
        """So many tasks await one task, each through a shield, so that cancelling one does no harm."""
        gate = asyncio.get_running_loop().create_future()
        job = create_task(_until(gate))
        await settle()
        with stage.measured:
            waiters = [create_task(_shielded(job)) for _ in range(stage.n)]
            await asyncio.sleep(0)
            gate.set_result(None)
            for waiter in waiters:
                await waiter

    # --- Closing --------------------------------------------------------------------------------------------

    async def close_active(self, stage: Stage) -> None:
        """Cancel all and wait until all have stopped."""
        tasks = [create_task(stage.bodies.park()) for _ in range(stage.n)]
        await settle()
        with stage.measured:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def close_pending(self, stage: Stage) -> None:
        """A job that has not started is a coroutine: close each."""
        coros = [stage.bodies.park() for _ in range(stage.n)]
        with stage.measured:
            for coro in coros:
                coro.close()

    async def close_one_active(self, stage: Stage) -> None:
        """Cancel one, wait until it has stopped; then the next."""
        tasks = [create_task(stage.bodies.park()) for _ in range(stage.n)]
        await settle()
        chosen = stage.chosen(tasks)
        with stage.measured:
            for task in chosen:
                task.cancel()
                await asyncio.wait([task])
        await _stop(tasks)

    async def close_one_pending(self, stage: Stage) -> None:
        """Close one coroutine after the other."""
        coros = [stage.bodies.park() for _ in range(stage.n)]
        chosen = stage.chosen(coros)
        with stage.measured:
            for coro in chosen:
                coro.close()
        for coro in coros:
            coro.close()

    async def blocked_cancelled(self, stage: Stage) -> None:
        """Cancel tasks each of which waits for a future, and wait until all have stopped."""
        loop = asyncio.get_running_loop()
        tasks = [create_task(_until(loop.create_future())) for _ in range(stage.n)]
        await settle()
        with stage.measured:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    # --- Memory ---------------------------------------------------------------------------------------------

    async def bytes_pending(self, stage: Stage) -> None:
        """A coroutine that has not started."""
        kept: list[Any] = [None] * stage.n
        with stage.measured:
            for number in range(stage.n):
                kept[number] = stage.bodies.park()
        for coro in kept:
            coro.close()

    async def bytes_in_lanes(self, stage: Stage) -> None:
        """The same idiom, while the common semaphore is taken."""
        body, free = stage.bodies.nothing, asyncio.Semaphore(1)
        await free.acquire()
        turns: _Turns = defaultdict(lambda: asyncio.Semaphore(1))
        kept: list[Any] = [None] * stage.n
        with stage.measured:
            for key in range(stage.n):
                kept[key] = create_task(_in_turn(turns[key], free, body))
            await settle()
        free.release()
        await asyncio.gather(*kept)

    async def bytes_active(self, stage: Stage) -> None:
        """A task that waits."""
        kept: list[Any] = [None] * stage.n
        with stage.measured:
            for number in range(stage.n):
                kept[number] = create_task(stage.bodies.park())
            await settle()
        await _stop(kept)

    async def bytes_finished(self, stage: Stage) -> None:
        """A task that has ended."""
        kept: list[Any] = [None] * stage.n
        with stage.measured:
            for number in range(stage.n):
                kept[number] = create_task(stage.bodies.nothing())
            await settle()

    # --- Parts ----------------------------------------------------------------------------------------------

    async def transition(self, stage: Stage) -> None:
        """Assign an attribute, in a method."""
        things = [_Plain() for _ in range(stage.n)]
        with stage.measured:
            for thing in things:
                thing.set("active")


class _Plain:
    """A thing whose state anybody may set."""

    __slots__ = ("state",)

    def set(self, state: str) -> None:
        self.state = state


def _end(span: Any, _task: _Task) -> None:
    span.end()


class Chained(Contender):
    """The floor of slot latency: each job creates the task of the next one in its own last step.

    Nobody writes this by hand, since every job has to know of it; a scheduler can.
    """

    async def slot_latency(self, stage: Stage) -> None:
        """One after the other without a pass of the loop in between."""
        coros = iter([stage.bodies.nothing() for _ in range(stage.n)])
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task: _Task | None = None

        async def run(coro: Any) -> None:
            nonlocal task
            await coro
            following = next(coros, None)
            if following is None:
                over.set_result(None)
            else:
                task = create_task(run(following))

        with stage.measured:
            task = create_task(run(next(coros)))
            await over
        await settle()


async def _all(numbers: Iterable[int]) -> Iterable[int]:
    return numbers


async def _read(source: AsyncIterable[int]) -> Iterable[int]:
    return [number async for number in source]


async def _in_turn(
    turn: asyncio.Semaphore, free: asyncio.Semaphore, body: Callable[[], Awaitable[None]]
) -> None:
    async with turn, free:
        await body()


async def _until(gate: asyncio.Future[None]) -> None:
    await gate


async def _shielded(task: _Task) -> None:
    await asyncio.shield(task)


async def _stop(tasks: list[_Task]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
