"""The goals of `goals.toml`, and whether a run has met them.

Rules of this file: a verdict is a figure with a goal beside it. It fails nothing; what was not measured is
neither met nor missed. Met means that the median is not above the goal, or below it where the goal is to be
better than the best peer; the quartiles say how sure that is.

The goals are about the compiled build. Those about growth are about it alone. Plain asyncio does not grow with the
power of one either, so their verdicts carry what `create_task` has in the same run; that plays no part in them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from .contenders import BARE, COMPILED, KINDS
from .figures import Spread, spread
from .table import Growth, Samples
from .workloads import WORKLOADS

__all__ = ["BEST", "Goal", "Verdict", "read", "verdicts"]

EVERY: Final = "every growing one"
BEST: Final = "the best peer"
"""In the place of a contender: whoever costs the least beside this package and plain asyncio."""
_METRICS: Final = ("ratio", "cost", "difference", "exponent", "late")
_LATER: Final = (3, 14)


class Goal(NamedTuple):
    """One entry."""

    workload: str
    most: float
    metric: str = "ratio"
    against: str = ""
    from_3_14: float | None = None
    """The same from Python 3.14 on, whose own tasks are written in C."""


class Verdict(NamedTuple):
    """A goal, and what came out."""

    goal: Goal
    size: int
    """How many jobs; the largest number of them where the goal is about all sizes."""
    measured: Spread | None
    peer: str = ""
    """Who the best peer was, where the goal is about that."""
    growth: Growth | None = None
    """Where the goal is about that."""
    bare: Growth | None = None
    """The same of plain asyncio."""

    @property
    def met(self) -> bool | None:
        """Whether it is met; None if it was not measured."""
        if self.measured is None:
            return None
        best = self.goal.against == BEST
        return self.measured.median < self.goal.most if best else self.measured.median <= self.goal.most


def read(path: Path | None = None, python: str = "CPython 3.11") -> list[Goal]:
    """The goals for that Python, the one about every growing workload spelt out.

    Raises:
        ValueError: an entry names a workload, a contender or a metric that there is not.
    """
    text = (path or Path(__file__).with_suffix(".toml")).read_text(encoding="utf-8")
    spelt_out = _spelt_out(tomllib.loads(text)["goal"])
    if _minor(python) < _LATER:
        return list(spelt_out)
    return [goal if goal.from_3_14 is None else goal._replace(most=goal.from_3_14) for goal in spelt_out]


def _minor(python: str) -> tuple[int, int]:
    """Of what an interpreter says of itself, such as "CPython 3.11.7 GCC 12.2.0"."""
    major, minor = python.split()[1].split(".")[:2]
    return int(major), int(minor)


def _spelt_out(entries: Iterable[dict[str, Any]]) -> Iterator[Goal]:
    for entry in entries:
        goal = Goal(**entry)
        if goal.workload == EVERY:
            growing = [row.name for row in WORKLOADS.values() if row.growing]
            yield from (goal._replace(workload=name) for name in growing)
            continue
        known = goal.workload in WORKLOADS and goal.metric in _METRICS
        if not known or (goal.metric in {"ratio", "difference"} and goal.against not in {*KINDS, BEST}):
            raise ValueError(f"goals.toml: no such workload, metric or contender in {entry}")
        yield goal


def verdicts(goals: Iterable[Goal], samples: Samples) -> list[Verdict]:
    """What a run says of each goal whose workload it has measured, in several sizes for an exponent."""
    asked = [goal for goal in goals if len(samples.sizes(goal.workload)) >= (goal.metric == "exponent") + 1]
    return [_verdict(goal, samples) for goal in asked]


def _verdict(goal: Goal, samples: Samples) -> Verdict:
    sizes = samples.sizes(goal.workload)
    size = samples.main_size(goal.workload)
    if goal.metric == "ratio":
        peer = (samples.best_peer(goal.workload, size) or "") if goal.against == BEST else ""
        return Verdict(goal, size, samples.ratio(goal.workload, size, COMPILED, peer or goal.against), peer)
    if goal.metric == "cost":
        return Verdict(goal, size, _cost(goal, size, samples))
    if goal.metric == "difference":
        return Verdict(goal, size, _difference(goal, size, samples))
    if goal.metric == "exponent":
        return _growth(goal, samples)
    seen = [size for size in sizes if samples.cost(goal.workload, size, COMPILED) is not None]
    late = [float(samples.late(goal.workload, size, COMPILED)) for size in seen]
    return Verdict(goal, max(seen, default=0), spread([max(late)]) if late else None)


def _growth(goal: Goal, samples: Samples) -> Verdict:
    ours, bare = (samples.growth(goal.workload, label) for label in (COMPILED, BARE))
    if ours is None:
        return Verdict(goal, samples.sizes(goal.workload)[-1], None, bare=bare)
    return Verdict(goal, ours.most, spread([ours.power]), growth=ours, bare=bare)


def _difference(goal: Goal, size: int, samples: Samples) -> Spread | None:
    found = samples.difference(goal.workload, size, COMPILED, goal.against or BARE)
    return found and _microseconds(found)


def _cost(goal: Goal, size: int, samples: Samples) -> Spread | None:
    """In microseconds or bytes."""
    found = samples.cost(goal.workload, size, COMPILED)
    return found and (found if WORKLOADS[goal.workload].unit == "bytes" else _microseconds(found))


def _microseconds(found: Spread) -> Spread:
    return Spread(found.median * 1e6, found.low * 1e6, found.high * 1e6, found.rounds)
