"""Let a loop go on without letting time pass."""

from __future__ import annotations

import asyncio

__all__ = ("settle",)


async def settle(passes: int = 20) -> None:
    """Let the running loop make some passes while the caller's clock stands still.

    Arguments:
        passes: their number; 20 are enough for any chain of callbacks that this library makes.
    """
    for _ in range(passes):
        await asyncio.sleep(0)
