"""The cost of each guarantee: trees of the library that go without one, beside the library as it is.

Rules of this file: a cost is what is saved by leaving something out: in time, round by round, and in machine
instructions, which have no noise. Such a saving is small beside what a minute on a busy machine does to a
figure, so each tree has the library as it is directly beside it, in rounds of their own. Costs don't add up
exactly, so the tree without all of them is measured too. The text is a pure function of the document.

Deliberately not here: what is left out (`guarantees`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from . import instructions, report
from .contenders import BARE, BASELINE, OWN
from .document import samples_of
from .guarantees import TOGETHER, Guarantee
from .rounds import Cell, Contestant, Sample, Settings, run
from .table import Samples, markdown, number, quartiles

__all__ = ["contestants", "count", "document", "measure", "text"]

_Tell = Callable[[int, int, Sample], None]


def contestants(trees: Mapping[str, Path], *, baseline: bool) -> list[Contestant]:
    """The trees, and what they are to be seen beside."""
    own = [Contestant(label, OWN, str(tree)) for label, tree in trees.items()]
    return [*own, Contestant(BARE, BARE), *([Contestant(BASELINE, BASELINE)] if baseline else [])]


def measure(
    cells: Sequence[Cell], taking_part: Sequence[Contestant], settings: Settings, tell: _Tell
) -> list[Sample]:
    """Each tree beside the library as it is, the last one beside all that is no tree as well; then again.

    What was measured side by side bears the same number of a round, and nothing else does.
    """
    order = [
        (turn, cell, group)
        for turn in range(cells[0].rounds)
        for cell in cells
        for group in _groups(taking_part)
    ]
    total = sum(len(group) for _, _, group in order)
    samples: list[Sample] = []
    for place, (turn, cell, group) in enumerate(order):
        turned = group[::-1] if turn % 2 else group
        for sample in run([cell._replace(rounds=1, beside=1)], turned, settings, lambda *_: None):
            samples.append(sample._replace(round=place))
            tell(len(samples), total, sample._replace(round=turn))
    return samples


def _groups(taking_part: Sequence[Contestant]) -> Iterator[list[Contestant]]:
    base, *others = taking_part
    together = [one for one in others if one.label == TOGETHER or one.kind != OWN]
    yield from ([base, one] for one in others if one not in together)
    yield [base, *together]


def count(
    workloads: Sequence[str],
    taking_part: Sequence[Contestant],
    python: str,
    tell: _Tell,
) -> dict[str, dict[str, int]]:
    """Workload -> contestant -> instructions for each job; `tell` hears of each."""
    order = [(workload, one) for workload in workloads for one in taking_part]
    counts: dict[str, dict[str, int]] = {}
    for done, (workload, one) in enumerate(order, 1):
        counts.setdefault(workload, {})[one.label] = instructions.for_each_job(one, workload, python)
        tell(done, len(order), Sample(0, workload, instructions.MANY, one.label, {}))
    return counts


def document(
    about: Mapping[str, str],
    rows: Sequence[Guarantee],
    samples: Sequence[Sample],
    counts: Mapping[str, Mapping[str, int]],
    remarks: Sequence[str],
) -> dict[str, Any]:
    """Everything that a run has found, for `guarantees.json`."""
    versions = Samples(samples).versions()
    return {
        "about": dict(about),
        "versions": {label: versions[label] for label in (OWN, BASELINE) if label in versions},
        "guarantees": [
            {**row._asdict(), "changes": [asdict(change) for change in row.changes]} for row in rows
        ],
        "instructions": {workload: dict(found) for workload, found in counts.items()},
        "remarks": list(remarks),
        "samples": [one._asdict() for one in samples],
    }


def text(document: Mapping[str, Any]) -> str:
    """Which run it was, two tables for each workload, and what was left out."""
    found = Samples(samples_of(document))
    counts: dict[str, dict[str, int]] = document["instructions"]
    rows: list[dict[str, str]] = document["guarantees"]
    lines = [f"- {line}" for line in report.about(document)]
    for workload in dict.fromkeys([*(name for name, _ in found.cells), *counts]):
        one = _Workload(workload, found, counts.get(workload, {}))
        lines += ["", one.title(), "", one.costs(rows), "", one.whole()]
    lines += ["", "What the trees do instead:", ""]
    lines += [f"- *{row['name']}*: {row['what']}" for row in rows]
    for remark in [*document["remarks"], *(f"WRONG: {wrong}" for wrong in found.wrong())]:
        lines += ["", remark]
    return "\n".join(lines)


class _Workload(NamedTuple):
    """What was found with one workload."""

    name: str
    samples: Samples
    counts: Mapping[str, int]

    @property
    def size(self) -> int:
        """How many jobs; 0 if no time was measured."""
        return self.samples.main_size(self.name) if self.samples.sizes(self.name) else 0

    def title(self) -> str:
        """What was measured, and how often."""
        cost = self.samples.cost(self.name, self.size, TOGETHER)
        timed = "" if cost is None else f"; time: {self.size:,} jobs, rounds: {cost.rounds}"
        return f"**{self.name.capitalize()}**, for each job{timed}"

    def costs(self, rows: Sequence[Mapping[str, str]]) -> str:
        """What each row saves when it is left out."""
        lines = [
            [f"– {row['name']}" if row["part_of"] else row["name"], *self._saved(row["name"]), row["sake"]]
            for row in rows
        ]
        head = ("what a job gets", "µs", "quartiles", "instructions", "for the sake of")
        return markdown(head, [*lines, [f"**{TOGETHER}**", *self._saved(TOGETHER), ""]])

    def _saved(self, label: str) -> list[str]:
        saved = self.samples.difference(self.name, self.size, OWN, label)
        known = {OWN, label} <= self.counts.keys()
        instructions_ = f"{self.counts[OWN] - self.counts[label]:,}" if known else "-"
        return [number(saved and saved.median, "µs"), quartiles(saved, "µs"), instructions_]

    def whole(self) -> str:
        """The library with all of them and with none, beside the others."""
        head = ["", "µs", "quartiles"]
        for other in (BARE, BASELINE):
            head += [f"÷ {other}", "quartiles"]
        named = {BARE: BARE, BASELINE: BASELINE, OWN: "this package", TOGETHER: "without all of them"}
        lines = [[text, *self._cost(label)] for label, text in named.items()]
        return markdown([*head, "instructions"], lines)

    def _cost(self, label: str) -> list[str]:
        cost = self.samples.cost(self.name, self.size, label)
        cells = [number(cost and cost.median, "µs"), quartiles(cost, "µs")]
        for other in (BARE, BASELINE):
            ratio = self.samples.ratio(self.name, self.size, label, other)
            cells += [number(ratio and ratio.median, ""), quartiles(ratio, "")]
        return [*cells, f"{self.counts[label]:,}" if label in self.counts else "-"]
