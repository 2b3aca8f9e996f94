"""aiometer: one call that runs an async function on each of many arguments, with a limit on how many run.

Rules of this file: a call is all or nothing, so what needs a job that one can name, add later or stop alone
can't be done with it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from .base import Contender
from .stage import Stage, settle

__all__ = ["AiometerPool"]

_ONE_CALL = "one call runs all of them: there is no object for one job"


class AiometerPool(Contender):
    """``aiometer.run_on_each`` and ``run_all``."""

    module = "aiometer"

    cannot = MappingProxyType(
        {
            "spawn_and_fail": "the first failure cancels all others",
            "many_waiters": _ONE_CALL,
            "close_pending": "what has not started is not there yet: it is an argument in a list",
            "close_one_active": _ONE_CALL,
            "close_one_pending": _ONE_CALL,
            "blocked_cancelled": "there is one caller",
            "bytes_pending": "what has not started is not there yet: it is an argument in a list",
            "map_stream": "its items are a sequence",
            "bytes_finished": "only the result is left",
        }
    )

    def __init__(self) -> None:
        import aiometer

        self._aiometer: Any = aiometer

    def version(self) -> str:
        return version("aiometer")

    def where(self) -> str:
        return str(self._aiometer.__file__)

    async def spawn_and_drain(self, stage: Stage) -> None:
        """Run the coroutine function on each of so many numbers."""
        await self._on_each(stage, stage.bodies.nothing, stage.limit)

    spawn_and_wait_and_close = spawn_and_drain

    async def sustained_load(self, stage: Stage) -> None:
        """The same: it starts the next when one has ended."""
        await self._on_each(stage, stage.bodies.step, stage.limit)

    async def slot_latency(self, stage: Stage) -> None:
        """The same, one at a time."""
        await self._on_each(stage, stage.bodies.nothing, 1)

    async def _on_each(self, stage: Stage, body: Any, limit: int) -> None:
        async def run(_number: int) -> None:
            await body()

        numbers = range(stage.n)
        with stage.measured:
            await self._aiometer.run_on_each(run, numbers, max_at_once=limit)

    async def map_plain(self, stage: Stage) -> None:
        """``aiometer.amap``, which gives results as they come."""
        with stage.measured:
            mapped = self._aiometer.amap(stage.work, range(stage.n), max_at_once=stage.limit)
            async with mapped as results:
                async for _ in results:
                    pass

    async def spawn_and_wait(self, stage: Stage) -> None:
        """Run all and collect what they return."""
        body = stage.bodies.nothing
        with stage.measured:
            await self._aiometer.run_all([body] * stage.n, max_at_once=stage.limit)

    async def close_active(self, stage: Stage) -> None:
        """Cancel the call while all run."""
        call = await self._parked(stage)
        with stage.measured:
            call.cancel()
            await asyncio.wait([call])

    async def bytes_active(self, stage: Stage) -> None:
        """A task that waits."""
        with stage.measured:
            call = await self._parked(stage)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call

    async def _parked(self, stage: Stage) -> asyncio.Task[None]:
        body, entered = stage.bodies.park, 0

        async def run(_number: int) -> None:
            nonlocal entered
            entered += 1
            await body()

        running = self._aiometer.run_on_each(run, range(stage.n), max_at_once=stage.n)
        call: asyncio.Task[None] = asyncio.create_task(running)
        while entered < stage.n:
            await asyncio.sleep(0)
        await settle()
        return call
