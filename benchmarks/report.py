"""A run as text: the summary for the terminal, and the full report in `build/bench/bench.md`.

Rules of this file: it is a pure function of a document, so a report can be made again from a file.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from . import goals
from .contenders import BARE, BASELINE, COMPILED, PURE
from .document import samples_of
from .table import Growth, Samples, markdown, number, quartiles, words
from .workloads import WORKLOADS

__all__ = ["about", "beside", "full", "overview", "page"]

_GROWTH = "The power of n with which the cost of n jobs grows, by least squares through the logarithms."
_PARTS = {"ratio": "", "difference": ", µs more", "late": ", false reports"}
_ONLY_PURE = "Only the pure build was measured: there was no compiled one."
_TIERS = {None, "default", "full"}
"""Those that need no remark; what guarantees cost has none."""
_FEWER = "†"
_MET = {True: "met", False: "not met", None: "not measured"}


def overview(document: dict[str, Any]) -> str:
    """What the terminal shows: the goals, the cost of each workload at the size of its goals, its growth."""
    found = Samples(samples_of(document))
    return "\n".join(
        [
            *about(document),
            "",
            *_goals(document, found),
            "",
            "CPU time or bytes for each job, median of the rounds",
            "",
            _costs(found, "cpu"),
            "",
            _GROWTH,
            "",
            *_growth(found),
            *(f"\nWRONG: {text}" for text in found.wrong()),
        ]
    )


def page(document: dict[str, Any]) -> str:
    """What the documentation shows: which run it was, goals, costs, growth."""
    found = Samples(samples_of(document))
    return "\n".join(
        [
            *map(_item, about(document)),
            "",
            "### Goals",
            "",
            *_goals(document, found),
            "",
            "### CPU time or bytes for each job",
            "",
            _costs(found, "cpu"),
            "",
            "### Where another is cheaper",
            "",
            *_cheaper(found),
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


def beside(document: dict[str, Any]) -> str:
    """What the documentation shows of another Python: which run it was, goals, costs."""
    found = Samples(samples_of(document))
    return "\n".join(
        [
            *map(_item, about(document)),
            "",
            *_goals(document, found),
            "",
            _costs(found, "cpu"),
            "",
            "Where another is cheaper:",
            "",
            *_cheaper(found),
        ]
    )


def full(document: dict[str, Any]) -> str:
    """The account of everything that was measured."""
    found = Samples(samples_of(document))
    return "\n".join(
        [
            "# Benchmark",
            "",
            *about(document),
            "",
            "## Goals",
            "",
            *_goals(document, found),
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


def about(document: Mapping[str, Any]) -> Iterator[str]:
    """Which run it was, and where."""
    told, versions = document["about"], document["versions"]
    named = ", ".join(
        f"{label.split()[0].rstrip(',')} {version}" for label, version in versions.items() if version
    )
    collector = " · without the garbage collector" if told.get("collector") == "off" else ""
    tier = "" if told.get("tier") in _TIERS else f" · tier: {told['tier']}, small and rough"
    yield f"{told['python']} · loop: {told['loop']}{collector}{tier}"
    yield f"{told['cpu']}, {told['cores']} cores, {told['system']}"
    yield f"commit {told['commit']} · {told['began']} to {told['ended']} · versions: {named}"
    yield f"load average at the start {told['load at start']}, at the end {told['load at end']}"
    if PURE in versions and COMPILED not in versions:
        yield _ONLY_PURE


def _goals(document: dict[str, Any], found: Samples) -> Iterator[str]:
    if document["about"].get("collector") == "off":
        yield "The goals are about programs in which the garbage collector runs."
        return
    if COMPILED not in found.contenders:
        yield "The goals are about the compiled build, which was not measured."
        return
    verdicts = goals.verdicts(goals.read(python=document["about"]["python"]), found)
    if not verdicts:
        yield "No goal is about what was measured."
        return
    if rows := [_goal(one) for one in verdicts if one.goal.metric != "exponent"]:
        yield markdown(("goal", "n", "compared with", "measured", "quartiles", "at most", ""), rows)
        yield ""
    if rows := [_growth_goal(one) for one in verdicts if one.goal.metric == "exponent"]:
        yield markdown(("goal about growth", "n", "exponent", "at most", "", f"{BARE} has"), rows)
        yield ""
    met = sum(one.met is True for one in verdicts)
    yield f"{met} of {len(verdicts)} goals of the compiled build are met."
    if missed := [_named(one) for one in verdicts if one.met is False]:
        yield from ("", "Missed:", "", *map(_item, missed))


def _goal(verdict: goals.Verdict) -> list[str]:
    goal, measured = verdict.goal, verdict.measured
    unit = "bytes" if goal.metric == "cost" else ""  # whole numbers
    middle = "-" if measured is None else number(measured.median, unit, goal.most)
    spread = quartiles(measured, unit, goal.most) if measured is not None and measured.rounds > 1 else "-"
    return [
        _about(goal),
        f"{verdict.size:,}",
        f"{goal.against} ({verdict.peer})" if verdict.peer else goal.against or "-",
        middle,
        spread,
        f"< {goal.most:g}" if goal.against == goals.BEST else f"{goal.most:,g}",
        _MET[verdict.met],
    ]


def _item(text: str) -> str:
    """Of a list, as long as lines are on a page."""
    return textwrap.fill(f"- {text}", 116, subsequent_indent="  ", break_on_hyphens=False)


def _about(goal: goals.Goal) -> str:
    unit = f", {WORKLOADS[goal.workload].unit}" if goal.metric == "cost" else ""
    return goal.workload + _PARTS.get(goal.metric, unit)


def _named(verdict: goals.Verdict) -> str:
    """A goal that was missed, and by how much."""
    goal, measured = verdict.goal, verdict.measured
    assert measured is not None
    name = f"growth of {goal.workload}" if goal.metric == "exponent" else _about(goal)
    beside = f" × {verdict.peer or goal.against}" if goal.metric == "ratio" else ""
    unit = "bytes" if goal.metric == "cost" else ""
    figure = (
        f"{measured.median:.3f}" if goal.metric == "exponent" else number(measured.median, unit, goal.most)
    )
    below = "below " if goal.against == goals.BEST else ""
    return f"{name} {figure}{beside}, not {below}{goal.most:,g}"


def _cheaper(found: Samples) -> Iterator[str]:
    """The rows in which a peer beats a build; of all peers the best."""
    own = [label for label in (COMPILED, PURE) if label in found.contenders]
    rows = []
    for workload in dict.fromkeys(name for name, _ in found.cells):
        size, unit = found.main_size(workload), WORKLOADS[workload].unit
        peer = found.best_peer(workload, size)
        costs = [found.cost(workload, size, label) for label in own]
        theirs = found.cost(workload, size, peer) if peer else None
        if theirs and any(cost and cost.median > theirs.median for cost in costs):
            figures = [number(cost and cost.median, unit) for cost in (*costs, theirs)]
            rows.append([f"{workload}, {unit}", f"{size:,}", *figures, str(peer)])
    yield markdown(["", "n", *own, "the best peer", "which is"], rows) if rows else "Nowhere."


def _growth_goal(verdict: goals.Verdict) -> list[str]:
    ours = verdict.growth
    return [
        verdict.goal.workload,
        _range(ours.least, ours.most) if ours else f"{verdict.size:,}",
        _power(ours, ours),
        f"{verdict.goal.most:g}",
        _MET[verdict.met],
        _power(verdict.bare, ours),
    ]


def _range(least: int, most: int) -> str:
    return f"{least:,} to {most:,}"


def _power(growth: Growth | None, beside: Growth | None) -> str:
    """An exponent, marked if it is not from the same numbers of jobs as what it stands beside."""
    if growth is None:
        return "-"
    return f"{growth.power:.3f}" + ("" if beside and growth[1:] == beside[1:] else f" {_FEWER}")


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
            whole = Growth(1, sizes[0], sizes[-1])
            cells = [_power(found.growth(workload, label), whole) for label in found.contenders]
            rows.append([workload, _range(sizes[0], sizes[-1]), *cells])
    yield markdown(("", "n", *found.contenders), rows) if rows else "Measured with one size only."
    yield from _lacking(found)


def _lacking(found: Samples) -> Iterator[str]:
    """What the curves lack, and why."""
    lines, unplanned = [], dict[str, None]()
    for (workload, size), label in itertools.product(found.cells, found.contenders):
        curve = found.curve(workload, label)
        if found.left_out(workload, size, label):
            unplanned[label] = None
        elif curve and size not in curve:
            reasons = "; ".join(found.remarks(workload, size, label))
            lines.append(_item(f"{label}, {workload}, {size:,}: {reasons}"))
    if unplanned:
        left_out = ", ".join(unplanned)
        lines.append(_item(f"{left_out}: no goal speaks of them, so the largest numbers are left out"))
    if lines:
        yield from ("", f"Not measured (an exponent from fewer sizes for that bears {_FEWER}):", "")
        yield from lines


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
        if left_out := [label for label in found.contenders if found.left_out(workload, size, label)]:
            yield from ("", f"Not in the plan with so many jobs: {', '.join(left_out)}")


def _detail(found: Samples, workload: str, size: int) -> str:
    unit = WORKLOADS[workload].unit
    kinds = ("bytes",) if unit == "bytes" else ("cpu", "wall")
    head = ["", *(text for kind in kinds for text in (f"{kind}, {unit}", "quartiles"))]
    head += [f"÷ {BASELINE}", "quartiles", f"÷ {BARE}", "quartiles", "rounds", "false reports"]
    rows = []
    for label in found.contenders:
        costs = [found.cost(workload, size, label, kind) for kind in kinds]
        if costs[0] is None:
            continue
        cells = [label]
        for cost in costs:
            cells += [number(cost and cost.median, unit), quartiles(cost, unit)]
        for other in (BASELINE, BARE):
            ratio = found.ratio(workload, size, label, other)
            cells += [number(ratio and ratio.median, ""), quartiles(ratio, "")]
        rows.append([*cells, str(costs[0].rounds), str(found.late(workload, size, label))])
    return markdown(head, rows)
