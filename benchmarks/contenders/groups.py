"""``asyncio.TaskGroup``, alone and with a semaphore: the idioms of the standard library.

Rules of this file: each idiom as it is usually written. With a semaphore all tasks are created at once and
each waits for its turn inside; where the caller has to block, it takes the semaphore before it creates
the task.
"""

from __future__ import annotations

import asyncio
from asyncio import TaskGroup
from collections.abc import Callable, Coroutine
from types import MappingProxyType
from typing import Any

from .base import Contender
from .stage import Bodies, Stage, settle

__all__ = ["Group", "LimitedGroup"]

_Body = Callable[[], Coroutine[Any, Any, None]]
_NO_LIMIT = "a task group has no limit, so nothing is ever pending"
_PLAIN = "its tasks are those of `create_task`"


class _Stop(Exception):  # noqa: N818 - it is the way to tell a task group to stop
    """Leaves the block of a task group."""


class _Block(Contender):
    """What is the same with a semaphore and without."""

    def _limited(self, stage: Stage, body: _Body) -> _Body:
        """What to create a task of."""
        return body

    async def spawn_and_drain(self, stage: Stage) -> None:
        """Create all inside the block, leave it."""
        body = self._limited(stage, stage.bodies.nothing)
        with stage.measured:
            async with TaskGroup() as group:
                for _ in range(stage.n):
                    group.create_task(body())

    spawn_and_wait_and_close = spawn_and_drain

    async def spawn_and_wait(self, stage: Stage) -> None:
        """Create all, await each, leave the block."""
        body = self._limited(stage, stage.bodies.nothing)
        with stage.measured:
            async with TaskGroup() as group:
                tasks = [group.create_task(body()) for _ in range(stage.n)]
                for task in tasks:
                    await task

    async def bytes_finished(self, stage: Stage) -> None:
        """A task of a group that has ended."""
        body = self._limited(stage, stage.bodies.nothing)
        async with TaskGroup() as group:
            kept: list[Any] = [None] * stage.n
            with stage.measured:
                for number in range(stage.n):
                    kept[number] = group.create_task(body())
                await asyncio.wait(kept)
                await settle()


class Group(_Block):
    """A task group."""

    cannot = MappingProxyType(
        {
            "spawn_and_fail": "the first failure cancels all others",
            "slot_latency": _NO_LIMIT,
            "sustained_load": _NO_LIMIT,
            "close_pending": _NO_LIMIT,
            "close_one_pending": _NO_LIMIT,
            "blocked_cancelled": _NO_LIMIT,
            "bytes_pending": _NO_LIMIT,
            "many_waiters": _PLAIN,
        }
    )

    async def close_active(self, stage: Stage) -> None:
        """Leave the block with an exception while all run."""
        with stage.begun_later() as begin:
            try:
                async with TaskGroup() as group:
                    for _ in range(stage.n):
                        group.create_task(stage.bodies.park())
                    await settle()
                    begin()
                    raise _Stop
            except* _Stop:
                pass

    async def close_one_active(self, stage: Stage) -> None:
        """Cancel one task and wait for it, then the next."""
        async with TaskGroup() as group:
            tasks = [group.create_task(stage.bodies.park()) for _ in range(stage.n)]
            await settle()
            await _close_chosen(stage, tasks)

    async def bytes_active(self, stage: Stage) -> None:
        """A task of a group that waits."""
        async with TaskGroup() as group:
            kept: list[Any] = [None] * stage.n
            with stage.measured:
                for number in range(stage.n):
                    kept[number] = group.create_task(stage.bodies.park())
                await settle()
            for task in kept:
                task.cancel()


class LimitedGroup(_Block):
    """A task group whose tasks go through a semaphore."""

    cannot = MappingProxyType(
        {
            "spawn_and_fail": "the first failure cancels all others",
            "many_waiters": _PLAIN,
            "close_active": "as without a semaphore",
            "close_one_active": "as without a semaphore",
            "bytes_active": "as without a semaphore",
        }
    )

    def _limited(self, stage: Stage, body: _Body) -> _Body:
        return _through(asyncio.Semaphore(stage.limit), body)

    async def sustained_load(self, stage: Stage) -> None:
        """Take the semaphore, create a task that gives it back."""
        free, body = asyncio.Semaphore(stage.limit), stage.bodies.step

        async def run() -> None:
            try:
                await body()
            finally:
                free.release()

        with stage.measured:
            async with TaskGroup() as group:
                for _ in range(stage.n):
                    await free.acquire()
                    group.create_task(run())

    async def slot_latency(self, stage: Stage) -> None:
        """All stand at a semaphore of one, behind a task that waits for a gate."""
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turn = asyncio.Semaphore(1)
        body = _through(turn, stage.bodies.nothing)
        async with TaskGroup() as group:
            group.create_task(_through(turn, lambda: _until(gate))())
            tasks = [group.create_task(body()) for _ in range(stage.n)]
            await settle()
            with stage.measured:
                gate.set_result(None)
                await tasks[-1]

    async def close_pending(self, stage: Stage) -> None:
        """Leave the block with an exception while all stand at the semaphore."""
        with stage.begun_later() as begin:
            try:
                async with TaskGroup() as group:
                    await self._queued(stage, group)
                    begin()
                    raise _Stop
            except* _Stop:
                pass

    async def close_one_pending(self, stage: Stage) -> None:
        """Cancel one task at the semaphore and wait for it, then the next."""
        try:
            async with TaskGroup() as group:
                tasks = await self._queued(stage, group)
                await _close_chosen(stage, tasks)
                raise _Stop
        except* _Stop:
            pass

    async def blocked_cancelled(self, stage: Stage) -> None:
        """Cancel all the tasks at the semaphore, and wait for them."""
        try:
            async with TaskGroup() as group:
                tasks = await self._queued(stage, group)
                with stage.measured:
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
                raise _Stop
        except* _Stop:
            pass

    async def bytes_pending(self, stage: Stage) -> None:
        """A task that stands at the semaphore."""
        try:
            async with TaskGroup() as group:
                turn = asyncio.Semaphore(1)
                await turn.acquire()
                body = _through(turn, stage.bodies.park)
                with stage.measured:
                    for _ in range(stage.n):
                        group.create_task(body())
                    await settle()
                raise _Stop
        except* _Stop:
            pass

    async def _queued(self, stage: Stage, group: TaskGroup) -> list[asyncio.Task[None]]:
        turn = asyncio.Semaphore(1)
        group.create_task(_through(turn, Bodies().park)())
        body = _through(turn, stage.bodies.park)
        tasks = [group.create_task(body()) for _ in range(stage.n)]
        await settle()
        return tasks


def _through(free: asyncio.Semaphore, body: _Body) -> _Body:
    async def run() -> None:
        async with free:
            await body()

    return run


async def _until(gate: asyncio.Future[None]) -> None:
    await gate


async def _close_chosen(stage: Stage, tasks: list[asyncio.Task[None]]) -> None:
    chosen = stage.chosen(tasks)
    with stage.measured:
        for task in chosen:
            task.cancel()
            await asyncio.wait([task])
    for task in tasks:
        task.cancel()
