"""A contender: a library, or an idiom, with a method for each workload that makes sense for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

from .stage import Stage

__all__ = ["Contender", "Method"]

Method = Callable[[Stage], Awaitable[None]]

_IMPORT: Final = """
import sys, time
sys.path.insert(0, sys.argv[1])
for name in sys.argv[3:]:
    __import__(name)
cpu, wall = time.process_time(), time.perf_counter()
__import__(sys.argv[2])
print(time.process_time() - cpu, time.perf_counter() - wall)
"""


class Contender:
    """A way to run many coroutines.

    The method for the workload ``spawn-and-drain`` is ``spawn_and_drain``, a coroutine function that is given
    a `Stage`. It prepares everything, does the work that counts inside ``with stage.measured``, and leaves
    nothing running.
    """

    module: ClassVar[str] = ""
    """What a program imports to have it; empty if that is asyncio alone."""
    cannot: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Method -> why there is none."""

    def __init__(self) -> None:
        """Import the library: only the process that measures it does."""

    def version(self) -> str:
        """The version of the library; empty if it is part of Python."""
        return ""

    def where(self) -> str:
        """Where the library was imported from; empty if it is part of Python."""
        return ""

    def find(self, name: str) -> Method | str:
        """The method of that name, or why there is none."""
        if name in self.cannot:
            return self.cannot[name]
        if name.startswith("import_") and not self.module:
            return "it is part of asyncio"
        method: Method | None = getattr(self, name, None)
        return "not applicable" if method is None else method

    async def import_alone(self, stage: Stage) -> None:
        """Import it in processes that have imported nothing else."""
        self._import(stage)

    async def import_beside_asyncio(self, stage: Stage) -> None:
        """Import it in processes that have imported asyncio."""
        self._import(stage, "asyncio")

    def _import(self, stage: Stage, *first: str) -> None:
        folder = str(Path(self.where()).parents[1]) if self.where() else ""
        command = [sys.executable, "-I", "-c", _IMPORT, folder, self.module, *first]
        told = []
        for _ in range(stage.n):
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            told.append([float(text) for text in printed.split()])
        cpu, wall = min(told)
        stage.measured.add(cpu * stage.n, wall * stage.n)
