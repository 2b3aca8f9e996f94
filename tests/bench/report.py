"""A run as text: what the terminal shows, and the longer account in `build/bench/bench.md`.

Rules of this file: it is a pure function of a document, so a report can be made again from a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import goals
from .contenders import BARE, INCUMBENT, OWN
from .document import samples_of
from .figures import exponent
from .table import Samples, markdown, number, quartiles, words
from .workloads import WORKLOADS

__all__ = ["full", "overview", "page"]

_GROWTH = "The power of n with which the cost of n jobs grows, by least squares through the logarithms."
_PARTS = {"ratio": "", "difference": ", µs more", "exponent": ", exponent", "late": ", false reports"}
_MET = {True: "met", False: "not met", None: "not measured"}


def overview(document: dict[str, Any]) -> str:
    """What the terminal shows: the goals, and the cost of each workload at the size of its goals."""
    found = Samples(samples_of(document))
    return "\n".join(
        [
            *_about(document),
            "",
            *_goals(found),
            "",
            "CPU time or bytes for each job, median of the rounds",
            "",
            _costs(found, "cpu"),
            *(f"\nWRONG: {text}" for text in found.wrong()),
        ]
    )


def page(document: dict[str, Any]) -> str:
    """What the documentation shows: which run it was, goals, costs, growth."""
    found = Samples(samples_of(document))
    return "\n".join(
        [
            *(f"- {line}" for line in _about(document)),
            "",
            "### Goals",
            "",
            *_goals(found),
            "",
            "### CPU time or bytes for each job",
            "",
            _costs(found, "cpu"),
            "",
            "### Growth",
            "",
            _GROWTH,
            "",
            *_growth(found),
            "",
            "### The workloads",
            "",
            *_workloads(found),
        ]
    )


def full(document: dict[str, Any]) -> str:
    """The account of everything that was measured."""
    found = Samples(samples_of(document))
    return "\n".join(
        [
            "# Benchmark",
            "",
            *_about(document),
            "",
            "## Goals",
            "",
            *_goals(found),
            "",
            "## CPU time or bytes for each job",
            "",
            _costs(found, "cpu"),
            "",
            "## Wall time for each job",
            "",
            _costs(found, "wall"),
            "",
            "## Growth",
            "",
            _GROWTH,
            "",
            *_growth(found),
            "",
            "## Each workload",
            *_details(found),
            "",
        ]
    )


def _about(document: dict[str, Any]) -> Iterator[str]:
    about, versions = document["about"], document["versions"]
    named = ", ".join(f"{label.split()[0]} {version}" for label, version in versions.items() if version)
    yield f"{about['python']} · loop: {about['loop']}"
    yield f"{about['cpu']}, {about['cores']} cores, {about['system']}"
    yield f"commit {about['commit']} · {about['began']} to {about['ended']} · versions: {named}"
    yield f"load average at the start {about['load at start']}, at the end {about['load at end']}"


def _goals(found: Samples) -> Iterator[str]:
    rows = [_goal(one) for one in goals.verdicts(goals.read(), found)]
    if not rows:
        yield "No goal is about what was measured."
        return
    yield markdown(("goal", "n", "compared with", "measured", "quartiles", "at most", ""), rows)
    met = sum(row[-1] == "met" for row in rows)
    yield ""
    yield f"{met} of {len(rows)} goals are met."


def _goal(verdict: goals.Verdict) -> list[str]:
    goal, measured = verdict.goal, verdict.measured
    middle = "-" if measured is None else number(measured.median, "", goal.most)
    spread = quartiles(measured, "", goal.most) if measured is not None and measured.rounds > 1 else "-"
    return [
        goal.workload + _PARTS[goal.metric],
        f"{verdict.size:,}",
        goal.against or "-",
        middle,
        spread,
        f"{goal.most:g}",
        _MET[verdict.met],
    ]


def _costs(found: Samples, kind: str) -> str:
    """A row for each workload, a column for each contender."""
    rows = []
    for workload in dict.fromkeys(name for name, _ in found.cells):
        unit = WORKLOADS[workload].unit
        if kind == "wall" and unit == "bytes":
            continue
        size = found.main_size(workload)
        name = "bytes" if unit == "bytes" else kind
        costs = [found.cost(workload, size, label, name) for label in found.contenders]
        cells = [number(cost and cost.median, unit) for cost in costs]
        rows.append([f"{workload}, {unit}", f"{size:,}", *cells])
    return markdown(("", "n", *found.contenders), rows)


def _growth(found: Samples) -> Iterator[str]:
    rows = []
    for workload in dict.fromkeys(name for name, _ in found.cells):
        sizes = found.sizes(workload)
        if len(sizes) > 1:
            powers = [exponent(found.curve(workload, label)) for label in found.contenders]
            cells = ["-" if power is None else f"{power:.3f}" for power in powers]
            rows.append([workload, f"{sizes[0]:,} to {sizes[-1]:,}", *cells])
    yield markdown(("", "n", *found.contenders), rows) if rows else "Measured with one size only."


def _workloads(found: Samples) -> Iterator[str]:
    rows = []
    for workload in dict.fromkeys(name for name, _ in found.cells):
        row = WORKLOADS[workload]
        rows.append((workload, row.what.format(n="n"), row.bare))
    yield words(("", "what is measured", "in plain asyncio"), rows)


def _details(found: Samples) -> Iterator[str]:
    for workload, size in sorted(found.cells, key=lambda cell: (list(WORKLOADS).index(cell[0]), cell[1])):
        row = WORKLOADS[workload]
        yield from ("", f"### {workload}, {size:,}", "", row.what.format(n=f"{size:,}") + ".")
        yield f"In plain asyncio: {row.bare}."
        yield ""
        yield _detail(found, workload, size)
        for label in found.contenders:
            for remark in found.remarks(workload, size, label):
                yield from ("", f"{label}: {remark}")


def _detail(found: Samples, workload: str, size: int) -> str:
    unit = WORKLOADS[workload].unit
    kinds = ("bytes",) if unit == "bytes" else ("cpu", "wall")
    head = ["", *(text for kind in kinds for text in (f"{kind}, {unit}", "quartiles"))]
    head += [f"÷ {INCUMBENT}", "quartiles", f"÷ {BARE}", "quartiles", "rounds", "false reports"]
    rows = []
    for label in found.contenders:
        costs = [found.cost(workload, size, label, kind) for kind in kinds]
        if costs[0] is None:
            continue
        cells = [label]
        for cost in costs:
            cells += [number(cost and cost.median, unit), quartiles(cost, unit)]
        for other in (INCUMBENT, BARE):
            ratio = found.ratio(workload, size, label, other)
            cells += [number(ratio and ratio.median, ""), quartiles(ratio, "")]
        rows.append([*cells, str(costs[0].rounds), str(found.late(workload, size, label))])
    rows.sort(key=lambda cells: cells[0] != OWN)
    return markdown(head, rows)
