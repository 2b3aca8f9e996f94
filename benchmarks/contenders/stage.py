"""The stage of a contender for one run of a workload: coroutines to run, and a meter to read.

Rules of this file: it costs every contender the same. The counted coroutines are for the run that checks the
contender; those that are measured count nothing.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

__all__ = ["Bodies", "Counted", "Failure", "Meter", "Scale", "Stage", "Stopwatch", "settle"]

_T = TypeVar("_T")

_LATE = "Job closing timed out"
"""How a scheduler reports a job that did not stop in time."""
_KEYS = 100
"""For how many keys there is work, where it has keys."""
_ONE_BY_ONE = 1000
"""How many jobs are closed one by one, at most; and at most a tenth of those that there are."""


class Failure(Exception):  # noqa: N818 - the name says what a job does
    """What a job raises that has to fail."""


class Bodies:
    """The coroutines that jobs run."""

    async def nothing(self) -> None:
        """Return at once: what is left is the cost of a job itself."""

    async def step(self) -> None:
        """Give way once."""
        await asyncio.sleep(0)

    async def fail(self) -> None:
        """Raise at once."""
        raise Failure

    async def park(self) -> None:
        """Wait for ever, on a future of one's own, and stop when told to."""
        await asyncio.get_running_loop().create_future()


class Counted(Bodies):
    """The same, counting how often each has started and ended."""

    def __init__(self) -> None:
        self.started = 0
        self.ended = 0

    @contextmanager
    def _counting(self) -> Iterator[None]:
        self.started += 1
        try:
            yield
        finally:
            self.ended += 1

    async def nothing(self) -> None:
        with self._counting():
            await super().nothing()

    async def step(self) -> None:
        with self._counting():
            await super().step()

    async def fail(self) -> None:
        with self._counting():
            await super().fail()

    async def park(self) -> None:
        with self._counting():
            await super().park()


class Meter(Protocol):
    """What is read before and after the part that counts."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def add(self, cpu: float, wall: float) -> None:
        """What another process has measured."""
        ...

    def reading(self) -> dict[str, float]:
        """What was measured, by name."""
        ...


class Stopwatch:
    """CPU time of the process and wall time, in seconds."""

    def __init__(self) -> None:
        self._cpu = self._wall = 0.0

    def __enter__(self) -> None:
        self._wall -= time.perf_counter()
        self._cpu -= time.process_time()

    def __exit__(self, *_: object) -> None:
        self._cpu += time.process_time()
        self._wall += time.perf_counter()

    def add(self, cpu: float, wall: float) -> None:
        """What another process has measured."""
        self._cpu += cpu
        self._wall += wall

    def reading(self) -> dict[str, float]:
        """Both times."""
        return {"cpu": self._cpu, "wall": self._wall}


class Scale:
    """Bytes that Python has allocated in between and not given back; garbage is collected first."""

    def __init__(self) -> None:
        self._bytes = 0.0

    def __enter__(self) -> None:
        gc.collect()
        tracemalloc.start()

    def __exit__(self, *_: object) -> None:
        gc.collect()
        self._bytes = float(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()

    def add(self, cpu: float, wall: float) -> None:
        """Times have no weight."""

    def reading(self) -> dict[str, float]:
        """The bytes."""
        return {"bytes": self._bytes}


@dataclass
class Stage:
    """One run of one workload."""

    n: int
    """How many jobs."""
    limit: int
    """How many of them may run at once, where there is such a limit."""
    variant: str = ""
    """Of a workload that comes in several: which."""
    bodies: Bodies = field(default_factory=Bodies)
    measured: Meter = field(default_factory=Stopwatch)
    late: int = 0
    """How many jobs were reported as not having stopped in time. All of them do: each report is false."""
    failures: int = 0
    """How many failures were reported."""

    @property
    def one_by_one(self) -> int:
        """How many jobs are closed one after the other."""
        return min(_ONE_BY_ONE, max(1, self.n // 10))

    def chosen(self, jobs: Sequence[_T]) -> list[_T]:
        """Those to close, from the part of the line that the variant names, in its order from there on."""
        count = self.one_by_one
        if self.variant == "front":
            return list(jobs[:count])
        if self.variant == "back":
            return list(jobs[: -count - 1 : -1])
        middle = (len(jobs) - count) // 2
        return list(jobs[middle : middle + count])

    async def work(self, _number: int) -> None:
        """What is done with a number: a step."""
        await self.bodies.step()

    def keyed(self) -> Iterator[int]:
        """A key for each piece of work, all of them in turn."""
        return (number % _KEYS for number in range(self.n))

    async def stream(self) -> AsyncIterator[int]:
        """As many numbers, from a source that never has to be waited for."""
        for number in range(self.n):
            yield number

    @contextmanager
    def begun_later(self) -> Iterator[Callable[[], object]]:
        """Measure from the moment at which what is given is called until the end of the block."""
        with ExitStack() as stack:
            yield lambda: stack.enter_context(self.measured)

    def hear(self, _scheduler: object, context: dict[str, Any]) -> None:
        """The exception handler: count what it is told."""
        if context["message"] == _LATE:
            self.late += 1
        else:
            self.failures += 1


async def settle() -> None:
    """Let everything that was spawned take its first steps."""
    for _ in range(4):
        await asyncio.sleep(0)
