"""The goals of `goals.toml`, and whether a run has met them.

Rules of this file: a verdict is a figure with a goal beside it. It fails nothing; what was not measured is
neither met nor missed. Met means that the median is not above the goal; the quartiles say how sure that is.

A goal about growth is about this package alone. Plain asyncio does not grow with the power of one either, so
its verdict carries what `create_task` has in the same run, for whoever reads it; that plays no part in it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from .contenders import BARE, KINDS, OWN
from .figures import Spread, spread
from .table import Growth, Samples
from .workloads import WORKLOADS

__all__ = ["Goal", "Verdict", "read", "verdicts"]

EVERY: Final = "every growing one"
_METRICS: Final = ("ratio", "difference", "exponent", "late")


class Goal(NamedTuple):
    """One entry."""

    workload: str
    most: float
    metric: str = "ratio"
    against: str = ""


class Verdict(NamedTuple):
    """A goal, and what came out."""

    goal: Goal
    size: int
    """How many jobs; the largest number of them where the goal is about all sizes."""
    measured: Spread | None
    growth: Growth | None = None
    """Where the goal is about that."""
    bare: Growth | None = None
    """The same of plain asyncio."""

    @property
    def met(self) -> bool | None:
        """Whether it is met; None if it was not measured."""
        return None if self.measured is None else self.measured.median <= self.goal.most


def read(path: Path | None = None) -> list[Goal]:
    """The goals, the one about every growing workload spelt out.

    Raises:
        ValueError: an entry names a workload, a contender or a metric that there is not.
    """
    text = (path or Path(__file__).with_suffix(".toml")).read_text(encoding="utf-8")
    return list(_spelt_out(tomllib.loads(text)["goal"]))


def _spelt_out(entries: Iterable[dict[str, Any]]) -> Iterator[Goal]:
    for entry in entries:
        goal = Goal(**entry)
        if goal.workload == EVERY:
            growing = [row.name for row in WORKLOADS.values() if row.growing]
            yield from (goal._replace(workload=name) for name in growing)
            continue
        known = goal.workload in WORKLOADS and goal.metric in _METRICS
        if not known or (goal.metric in {"ratio", "difference"} and goal.against not in KINDS):
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
        return Verdict(goal, size, samples.ratio(goal.workload, size, OWN, goal.against))
    if goal.metric == "difference":
        return Verdict(goal, size, _difference(goal, size, samples))
    if goal.metric == "exponent":
        return _growth(goal, samples)
    seen = [size for size in sizes if samples.cost(goal.workload, size, OWN) is not None]
    late = [float(samples.late(goal.workload, size, OWN)) for size in seen]
    return Verdict(goal, max(seen, default=0), spread([max(late)]) if late else None)


def _growth(goal: Goal, samples: Samples) -> Verdict:
    ours, bare = (samples.growth(goal.workload, label) for label in (OWN, BARE))
    if ours is None:
        return Verdict(goal, samples.sizes(goal.workload)[-1], None, None, bare)
    return Verdict(goal, ours.most, spread([ours.power]), ours, bare)


def _difference(goal: Goal, size: int, samples: Samples) -> Spread | None:
    """In microseconds."""
    found = samples.difference(goal.workload, size, OWN, goal.against or BARE)
    return found and Spread(found.median * 1e6, found.low * 1e6, found.high * 1e6, found.rounds)
