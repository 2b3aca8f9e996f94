"""A task group of anyio whose tasks go through a ``CapacityLimiter``, as its documentation has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from .base import Contender
from .stage import Bodies, Stage, settle

__all__ = ["AnyioGroup"]

_Body = Callable[[], Coroutine[Any, Any, None]]


class AnyioGroup(Contender):
    """A task group of anyio, and its limiter."""

    module = "anyio"

    cannot = MappingProxyType(
        {
            "spawn_and_fail": "the first failure cancels all others",
            "map_stream": "its items are an iterable, of which each is a task at once",
            "blocked_cancelled": "as closing pending jobs: who waits for a turn is a task of the group",
        }
    )

    def __init__(self) -> None:
        import anyio

        self._anyio: Any = anyio

    def version(self) -> str:
        return version("anyio")

    def where(self) -> str:
        return str(self._anyio.__file__)

    def _limited(self, limit: int, body: _Body) -> _Body:
        return _through(self._anyio.CapacityLimiter(limit), body)

    async def spawn_and_drain(self, stage: Stage) -> None:
        """Start all inside the block, leave it."""
        body = self._limited(stage.limit, stage.bodies.nothing)
        with stage.measured:
            async with self._anyio.create_task_group() as group:
                for _ in range(stage.n):
                    group.start_soon(body)

    spawn_and_wait_and_close = spawn_and_drain

    async def spawn_and_wait(self, stage: Stage) -> None:
        """Start all, await the handle of each, leave the block."""
        body = self._limited(stage.limit, stage.bodies.nothing)
        with stage.measured:
            async with self._anyio.create_task_group() as group:
                handles = [group.start_soon(body) for _ in range(stage.n)]
                for handle in handles:
                    await handle

    async def map_plain(self, stage: Stage) -> None:
        """``anyio.amap`` of a function that goes through the limiter: all tasks and all results are there at once."""
        limiter = self._anyio.CapacityLimiter(stage.limit)

        async def limited(number: int) -> None:
            async with limiter:
                await stage.work(number)

        with stage.measured:
            for _ in await self._anyio.amap(limited, range(stage.n)):
                pass

    async def sustained_load(self, stage: Stage) -> None:
        """Take the limiter on behalf of each job, start it, have it give the limiter back."""
        limiter, body = self._anyio.CapacityLimiter(stage.limit), stage.bodies.step

        async def run(borrower: object) -> None:
            try:
                await body()
            finally:
                limiter.release_on_behalf_of(borrower)

        with stage.measured:
            async with self._anyio.create_task_group() as group:
                for _ in range(stage.n):
                    borrower = object()
                    await limiter.acquire_on_behalf_of(borrower)
                    group.start_soon(run, borrower)

    async def slot_latency(self, stage: Stage) -> None:
        """All stand at a limiter of one, behind a task that waits for a gate."""
        gate, limiter = asyncio.Event(), self._anyio.CapacityLimiter(1)
        body = _through(limiter, stage.bodies.nothing)
        async with self._anyio.create_task_group() as group:
            group.start_soon(_through(limiter, lambda: _until(gate)))
            for _ in range(stage.n - 1):
                group.start_soon(body)
            last = group.start_soon(body)
            await settle()
            with stage.measured:
                gate.set()
                await last

    async def many_waiters(self, stage: Stage) -> None:
        """So many tasks await one handle."""
        gate = asyncio.Event()
        async with self._anyio.create_task_group() as group:
            job = group.start_soon(_until, gate)
            with stage.measured:
                waiters = [group.start_soon(_awaited, job) for _ in range(stage.n)]
                await asyncio.sleep(0)
                gate.set()
                for waiter in waiters:
                    await waiter

    async def close_active(self, stage: Stage) -> None:
        """Cancel the scope of the group while all run."""
        with stage.begun_later() as begin:
            async with self._anyio.create_task_group() as group:
                for _ in range(stage.n):
                    group.start_soon(stage.bodies.park)
                await settle()
                begin()
                group.cancel_scope.cancel()

    async def close_pending(self, stage: Stage) -> None:
        """Cancel the scope of the group while all stand at the limiter."""
        with stage.begun_later() as begin:
            async with self._anyio.create_task_group() as group:
                await self._queued(stage, group)
                begin()
                group.cancel_scope.cancel()

    async def close_one_active(self, stage: Stage) -> None:
        """Cancel one task and wait for it, then the next."""
        async with self._anyio.create_task_group() as group:
            handles = [group.start_soon(stage.bodies.park) for _ in range(stage.n)]
            await settle()
            await self._close_chosen(stage, group, handles)

    async def close_one_pending(self, stage: Stage) -> None:
        """Cancel one task at the limiter and wait for it, then the next."""
        async with self._anyio.create_task_group() as group:
            handles = await self._queued(stage, group)
            await self._close_chosen(stage, group, handles)

    async def _queued(self, stage: Stage, group: Any) -> list[Any]:
        limiter = self._anyio.CapacityLimiter(1)
        group.start_soon(_through(limiter, Bodies().park))
        body = _through(limiter, stage.bodies.park)
        handles = [group.start_soon(body) for _ in range(stage.n)]
        await settle()
        return handles

    async def _close_chosen(self, stage: Stage, group: Any, handles: list[Any]) -> None:
        chosen = stage.chosen(handles)
        with stage.measured:
            for handle in chosen:
                handle.cancel()
                with suppress(self._anyio.TaskCancelled):
                    await handle
        group.cancel_scope.cancel()

    async def bytes_pending(self, stage: Stage) -> None:
        """A task that stands at the limiter."""
        async with self._anyio.create_task_group() as group:
            limiter = self._anyio.CapacityLimiter(1)
            group.start_soon(_through(limiter, Bodies().park))
            body = _through(limiter, stage.bodies.park)
            await settle()
            with stage.measured:
                for _ in range(stage.n):
                    group.start_soon(body)
                await settle()
            group.cancel_scope.cancel()

    async def bytes_active(self, stage: Stage) -> None:
        """A task that waits, past the limiter."""
        async with self._anyio.create_task_group() as group:
            body = self._limited(stage.n, stage.bodies.park)
            with stage.measured:
                for _ in range(stage.n):
                    group.start_soon(body)
                await settle()
            group.cancel_scope.cancel()

    async def bytes_finished(self, stage: Stage) -> None:
        """The handle of a task that has ended."""
        kept: list[Any] = [None] * stage.n
        async with self._anyio.create_task_group() as group:
            body = self._limited(stage.limit, stage.bodies.nothing)
            with stage.measured:
                for number in range(stage.n):
                    kept[number] = group.start_soon(body)
                for handle in kept:
                    await handle
                await settle()


def _through(limiter: Any, body: _Body) -> _Body:
    async def run() -> None:
        async with limiter:
            await body()

    return run


async def _until(gate: asyncio.Event) -> None:
    await gate.wait()


async def _awaited(handle: Any) -> None:
    await handle
