"""What stands in front of a run: the first paragraph of the page on performance, and the table of the front page.

Rules of this file: it is a pure function of a document, like `report`. Each row shows everybody who was measured;
the cheapest is marked, whoever it is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .contenders import BARE, BASELINE, CHAIN, COMPILED, LABELS, PURE
from .document import samples_of
from .table import Samples, number, words
from .workloads import WORKLOADS

__all__ = ["opening", "table"]

_JOB: Final = "spawn and drain"
_ROWS: Final = {
    _JOB: "spawn a job that returns at once, until all have ended",
    "spawn and wait": "spawn such a job, and wait for it",
    "spawn and wait_and_close": "spawn such jobs, `wait_and_close`",
    "slot latency": "from the end of a job to the first step of the next, limit 1",
    "sustained load, limit 100": "spawn a job that gives way once, the caller blocking",
    "close active": "close 10,000 active jobs",
    "close pending": "close 10,000 pending jobs",
    "memory, pending": "memory of a pending job",
    "memory, active": "of an active one",
    "memory, finished": "of a finished one",
    "import beside asyncio": "import, once asyncio is there",
}
"""Workload -> what the front page calls it."""
_WIDTH: Final = 116
_UNITS: Final = {"µs": "µs", "bytes": "B"}


def opening(document: dict[str, Any]) -> str:
    """What a job costs, and when that matters."""
    found = Samples(samples_of(document))
    costs = {label: _microseconds(found, label) for label in (COMPILED, PURE, BARE)}
    names = {COMPILED: "with the compiled build", PURE: "with the pure build"}
    own = [f"{costs[label]:.1f} µs {name}" for label, name in names.items() if costs[label]]
    if not own:
        return "This run did not measure what a job costs."
    bare = f", where a bare task of asyncio's costs {costs[BARE]:.1f}" if costs[BARE] else ""
    cost = costs[COMPILED] or costs[PURE]
    sentences = [
        f"**A job costs {' and '.join(own)}{bare}**: CPU time of spawning, running and draining, in the run below.",
        "It matters when jobs do little.",
        f"A thousand jobs a second take {cost / 10:.1f} % of a core.",
        f"A job that computes for a millisecond gets {cost / 10:.1f} % dearer,",
        f"one of ten microseconds {cost * 10:.0f} %.",
    ]
    # No line begins with the sign.
    held = textwrap.fill(" ".join(sentences).replace(" %", "\0%"), _WIDTH)
    return held.replace("\0%", " %")


def _microseconds(found: Samples, label: str) -> float:
    """0 if it was not measured."""
    cost = found.cost(_JOB, found.main_size(_JOB), label) if found.sizes(_JOB) else None
    return cost.median * 1e6 if cost else 0.0


def table(document: dict[str, Any]) -> str:
    """Both builds beside everybody, and which run it was."""
    found = Samples(samples_of(document))
    names = [name for name in _ROWS if found.sizes(name)]
    shown = [label for label in LABELS if label != CHAIN and any(_cost(found, name, label) for name in names)]
    rows = [_row(found, name, shown) for name in names]
    return "\n".join([words(["", *(_head(label) for label in shown)], rows), "", *_about(document, found)])


def _head(label: str) -> str:
    return {COMPILED: "this, compiled", PURE: "this, pure", BARE: "bare `create_task`"}.get(label, label)


def _cost(found: Samples, workload: str, label: str) -> float | None:
    cost = found.cost(workload, found.main_size(workload), label)
    return cost and cost.median


def _row(found: Samples, workload: str, shown: Sequence[str]) -> list[str]:
    costs = {label: _cost(found, workload, label) for label in shown}
    least = min((cost for label, cost in costs.items() if cost and label != BARE), default=None)
    return [_ROWS[workload], *(_cell(workload, cost, least) for cost in costs.values())]


def _cell(workload: str, cost: float | None, least: float | None) -> str:
    if cost is None:
        return ""
    unit = WORKLOADS[workload].unit
    milliseconds = workload == "import beside asyncio"
    text = f"{cost * 1e3:.1f} ms" if milliseconds else f"{number(cost, unit)} {_UNITS[unit]}"
    return f"**{text}**" if cost == least else text


def _about(document: dict[str, Any], found: Samples) -> Iterator[str]:
    told = document["about"]
    yield f"{told['python']} on one core of {told['cpu']}, commit {told['commit']}, {told['began']}."
    yield "CPU time for each job, of 20,000 with a limit of 100 unless the row says otherwise."
    yield "In bold who costs the least, plain tasks aside. They have no limit and no shutdown."
    if COMPILED not in found.contenders:
        yield "The compiled build was not measured."
    sizes = found.sizes("close active")
    late, size = max(((found.late("close active", size, BASELINE), size) for size in sizes), default=(0, 0))
    if late:
        yield f"Of {size:,} active jobs that were closed, {BASELINE} reported {late:,} falsely as not stopped."
