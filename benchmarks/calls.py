"""The functions that a job goes through: how often each is called, and its share of the time.

Rules of this file: it measures the part that the workload measures and nothing else. The number of calls
for a job is exact and the same in every run. The share of the time is not: the profiler makes every call
dearer, so it shows where to look, and `compare` shows whether looking there has helped.
"""

from __future__ import annotations

import cProfile
from pathlib import Path
from typing import NamedTuple

from .contenders import Contender
from .contenders.stage import Stage
from .table import markdown
from .worker import run_once
from .workloads import Workload

__all__ = ["Calls", "Profiled", "profile", "table"]


class Profiled(NamedTuple):
    """One function."""

    name: str
    calls: float
    """For each job."""
    share: float
    """Of the time of all, without what it calls."""


class Calls:
    """A meter that counts calls."""

    def __init__(self) -> None:
        self._profile = cProfile.Profile()

    def __enter__(self) -> None:
        self._profile.enable()

    def __exit__(self, *_: object) -> None:
        self._profile.disable()

    def add(self, cpu: float, wall: float) -> None:
        """Other processes are not looked into."""

    def reading(self) -> dict[str, float]:
        """Nothing that is a figure for all."""
        return {}

    def found(self, jobs: int) -> list[Profiled]:
        """The functions, those that took most first."""
        entries = self._profile.getstats()
        total = sum(entry.inlinetime for entry in entries) or 1.0
        found = [
            Profiled(_name(entry.code), entry.callcount / jobs, entry.inlinetime / total) for entry in entries
        ]
        return sorted(found, key=lambda one: -one.share)


def profile(contender: Contender, workload: Workload, size: int, loop: str) -> list[Profiled] | str:
    """Run a workload once under the profiler; or why that can't be."""
    method = contender.find(workload.method)
    if isinstance(method, str):
        return method
    meter = Calls()
    stage = Stage(size, workload.limit, workload.variant, measured=meter)
    run_once(method, stage, loop)
    return meter.found(stage.one_by_one if workload.some else size)


def table(found: list[Profiled]) -> str:
    """Those that are called for one job in twenty at least, and the sum of all."""
    rows = [(one.name, f"{one.calls:.2f}", f"{one.share:.1%}") for one in found if one.calls >= 0.05]
    every = ("all", f"{sum(one.calls for one in found):.2f}", "100.0%")
    return markdown(("function", "calls for each job", "share of the time"), [*rows, every])


def _name(code: object) -> str:
    """A Python function with its file, or what the profiler calls a function written in C."""
    if isinstance(code, str):
        return code.strip("<>")
    path = Path(getattr(code, "co_filename", ""))
    return f"{path.stem}.{getattr(code, 'co_qualname', code)}"
