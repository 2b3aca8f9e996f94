"""Samples as tables: the measurements of a cell, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .contenders import BUILDS, LABELS, OWN, PLAIN
from .figures import Spread, differences, exponent, ratios, spread
from .rounds import Sample
from .workloads import WORKLOADS

__all__ = ["Growth", "Samples", "markdown", "number", "quartiles", "words"]

_SMALL = 0.2
"""Below this a ratio needs a third digit."""


class Growth(NamedTuple):
    """How the cost of n jobs grows with n, and from how many to how many that was seen."""

    power: float
    least: int
    most: int


class Samples:
    """The samples of a run, looked up by what they are of."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._found: dict[tuple[str, int, str], list[Sample]] = {}
        self.cells: dict[tuple[str, int], None] = {}
        """Workload and size, in the order of the run."""
        self.contenders: dict[str, None] = {}
        """Their labels, in the order of `LABELS`; those that are not among them come first."""
        samples = list(samples)
        for sample in sorted(samples, key=lambda one: _place(one.contender)):
            self.contenders[sample.contender] = None
        for sample in samples:
            self.cells[sample.workload, sample.size] = None
            key = (sample.workload, sample.size, sample.contender)
            self._found.setdefault(key, []).append(sample)

    def by_round(self, workload: str, size: int, contender: str, name: str = "") -> dict[int, float]:
        """Round -> the figure of that name for one job; CPU seconds or bytes if none is named."""
        name = name or ("bytes" if WORKLOADS[workload].unit == "bytes" else "cpu")
        samples = self._found.get((workload, size, contender), [])
        return {one.round: float(one.found[name]) for one in samples if name in one.found}

    def cost(self, workload: str, size: int, contender: str, name: str = "") -> Spread | None:
        """The figures of one cell; None if there are none."""
        values = self.by_round(workload, size, contender, name)
        return spread(list(values.values())) if values else None

    def ratio(self, workload: str, size: int, ours: str, theirs: str) -> Spread | None:
        """One contender by another, round by round."""
        found = ratios(self.by_round(workload, size, ours), self.by_round(workload, size, theirs))
        return spread(found) if found else None

    def best_peer(self, workload: str, size: int) -> str | None:
        """Who costs the least beside this package and plain asyncio; None if nobody else was measured."""
        left_out = {OWN, *BUILDS.values(), *PLAIN}
        costs = {
            label: cost.median
            for label in self.contenders
            if label not in left_out and (cost := self.cost(workload, size, label)) is not None
        }
        return min(costs, key=costs.__getitem__, default=None)

    def difference(self, workload: str, size: int, ours: str, theirs: str) -> Spread | None:
        """One contender less another, round by round."""
        found = differences(self.by_round(workload, size, ours), self.by_round(workload, size, theirs))
        return spread(found) if found else None

    def curve(self, workload: str, contender: str) -> dict[int, float]:
        """Size -> median cost of one job."""
        costs = {size: self.cost(workload, size, contender) for size in self.sizes(workload)}
        return {size: cost.median for size, cost in costs.items() if cost is not None}

    def growth(self, workload: str, contender: str) -> Growth | None:
        """Over all sizes with which it was measured; None unless there are two."""
        curve = self.curve(workload, contender)
        power = exponent(curve)
        return None if power is None else Growth(power, min(curve), max(curve))

    def sizes(self, workload: str) -> list[int]:
        """With how many jobs it was measured, smallest first."""
        return sorted({size for name, size in self.cells if name == workload})

    def main_size(self, workload: str) -> int:
        """The size of the goals, or the largest if that was not measured."""
        sizes, wanted = self.sizes(workload), WORKLOADS[workload].goal_size
        return wanted if wanted in sizes else sizes[-1]

    def versions(self) -> dict[str, str]:
        """Contender -> version of its library, as its processes have told."""
        told = [one for samples in self._found.values() for one in samples]
        return {one.contender: str(one.found["version"]) for one in told if "version" in one.found}

    def late(self, workload: str, size: int, contender: str) -> int:
        """The largest number of false reports in one repeat, of workloads that are about closing all."""
        if WORKLOADS[workload].method not in {"close_active", "close_pending"}:
            return 0
        return int(max(self.by_round(workload, size, contender, "late").values(), default=0))

    def wrong(self) -> list[str]:
        """What went wrong, each once: a process that failed, a counted run that did not add up."""
        told = [one for samples in self._found.values() for one in samples if one.found.get("wrong")]
        return list(dict.fromkeys(f"{one.contender}, {one.workload}: {one.found['wrong']}" for one in told))

    def remarks(self, workload: str, size: int, contender: str) -> list[str]:
        """Why there is no figure, or what was wrong in the counted run."""
        samples = self._found.get((workload, size, contender), [])
        told = [str(one.found.get("cannot") or one.found.get("wrong") or "") for one in samples]
        return sorted({text for text in told if text})

    def left_out(self, workload: str, size: int, contender: str) -> bool:
        """Whether it was never asked for this cell, though it does the same with other numbers of jobs."""
        return (workload, size, contender) not in self._found and bool(self.curve(workload, contender))


def _place(label: str) -> int:
    return LABELS.index(label) if label in LABELS else -1


def quartiles(spread: Spread | None, unit: str, beside: float = 1.0) -> str:
    """The lower and the upper one."""
    if spread is None:
        return "-"
    return f"{number(spread.low, unit, beside)}–{number(spread.high, unit, beside)}"


def number(value: float | None, unit: str, beside: float = 1.0) -> str:
    """A figure for people: microseconds, bytes, or a ratio that is as exact as what it stands beside."""
    if value is None:
        return "-"
    if unit == "µs":
        value *= 1e6
    if unit == "bytes":
        return f"{value:,.0f}"
    if 0 < beside < _SMALL:
        return f"{value:.3f}"
    return f"{value:,.1f}" if value >= 100 else f"{value:.2f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of figures, whose columns are in line on a terminal too."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def written(line: Sequence[str]) -> str:
        first, *figures = zip(line, widths, strict=True)
        return _line([first[0].ljust(first[1]), *(text.rjust(width) for text, width in figures)])

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([written(lines[0]), f"|{rule}|", *(written(line) for line in lines[1:])])


def words(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of text."""
    return "\n".join([_line(head), _line(["---"] * len(head)), *(_line(row) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
