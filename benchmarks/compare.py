"""Two or more source trees of this package side by side: what a change of the hot path costs or saves.

Rules of this file: the first tree is the base, and every other column shows its cost and its ratio to the
base, round by round, with the quartiles of that ratio.
"""

from __future__ import annotations

from collections.abc import Sequence

from .rounds import Cell, Contestant, Sample
from .table import Samples, markdown, number, quartiles
from .workloads import WORKLOADS

__all__ = ["cells", "table"]

_LEFT_OUT = ("front", "back")
"""Of closing one job, the middle speaks for the rest unless they are asked for."""


def cells(only: Sequence[str], size: int | None, rounds: int) -> list[Cell]:
    """What to measure: the workloads named, or all that a change of the hot path can touch."""
    chosen = [
        row for row in WORKLOADS.values() if (row.name in only if only else row.variant not in _LEFT_OUT)
    ]
    return [Cell(row.name, size or row.goal_size, rounds, rounds) for row in chosen]


def table(samples: Sequence[Sample], contestants: Sequence[Contestant]) -> str:
    """One row for each workload."""
    found = Samples(samples)
    base, *others = [one.label for one in contestants]
    head = ["for each job", "n", base]
    for label in others:
        head += [label, f"÷ {base}", "quartiles"]
    rows, remarks = [], []
    for workload, size in found.cells:
        unit = WORKLOADS[workload].unit
        cost = found.cost(workload, size, base)
        row = [f"{workload}, {unit}", f"{size:,}", number(cost and cost.median, unit)]
        for label in others:
            row += _column(found, workload, size, base, label)
        rows.append(row)
        for label in (base, *others):
            remarks += [f"{label}, {workload}: {text}" for text in found.remarks(workload, size, label)]
            if late := found.late(workload, size, label):
                remarks.append(f"{label}, {workload}: {late} false reports of a job that did not stop")
    return "\n".join([markdown(head, rows), *remarks])


def _column(found: Samples, workload: str, size: int, base: str, label: str) -> list[str]:
    cost, ratio = found.cost(workload, size, label), found.ratio(workload, size, label, base)
    if cost is None or ratio is None:
        return [number(cost and cost.median, WORKLOADS[workload].unit), "-", "-"]
    return [
        number(cost.median, WORKLOADS[workload].unit),
        number(ratio.median, ""),
        quartiles(ratio, ""),
    ]
