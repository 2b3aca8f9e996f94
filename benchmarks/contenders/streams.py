"""aiostream: streams, among them a map with a limit on how many of its tasks run.

Rules of this file: it maps, and does nothing else that is measured here.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from .base import Contender
from .stage import Stage

__all__ = ["Aiostream"]


class Aiostream(Contender):
    """``aiostream.stream.map``."""

    module = "aiostream"

    def __init__(self) -> None:
        import aiostream

        self._aiostream: Any = aiostream

    def version(self) -> str:
        return version("aiostream")

    def where(self) -> str:
        return str(self._aiostream.__file__)

    async def map_plain(self, stage: Stage) -> None:
        """In order."""
        await self._map(stage, range(stage.n))

    async def map_stream(self, stage: Stage) -> None:
        """The same over a generator."""
        await self._map(stage, stage.stream())

    async def _map(self, stage: Stage, source: object) -> None:
        stream = self._aiostream.stream
        with stage.measured:
            mapped = stream.map(stream.iterate(source), stage.work, task_limit=stage.limit)
            async with mapped.stream() as results:
                async for _ in results:
                    pass
