"""A run as data: what `build/bench/bench.json` holds, and what every report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import goals
from .contenders import BARE, BASELINE
from .figures import Spread
from .rounds import Sample
from .table import Growth, Samples
from .workloads import WORKLOADS

__all__ = ["document", "samples_of"]


def document(about: dict[str, str], samples: Sequence[Sample]) -> dict[str, Any]:
    """Everything that a run has found, for `bench.json`."""
    found = Samples(samples)
    asked = [] if about.get("collector") == "off" else goals.read(python=about["python"])
    return {
        "about": about,
        "versions": found.versions(),
        "goals": [_verdict(one) for one in goals.verdicts(asked, found)],
        "figures": [_figures(found, *cell) for cell in found.cells],
        "exponents": {
            name: {label: _plain(found.growth(name, label)) for label in found.contenders}
            for name in dict.fromkeys(workload for workload, _ in found.cells)
            if len(found.sizes(name)) > 1
        },
        "samples": [one._asdict() for one in samples],
    }


def samples_of(document: Mapping[str, Any]) -> list[Sample]:
    """The samples in a document."""
    return [Sample(**one) for one in document["samples"]]


def _plain(figures: Spread | Growth | None) -> dict[str, float] | None:
    return None if figures is None else figures._asdict()


def _verdict(one: goals.Verdict) -> dict[str, Any]:
    plain = {
        **one.goal._asdict(),
        "peer": one.peer,
        "size": one.size,
        "measured": _plain(one.measured),
        "met": one.met,
    }
    if one.goal.metric == "exponent":
        plain |= {"growth": _plain(one.growth), "growth of " + BARE: _plain(one.bare)}
    return plain


def _figures(found: Samples, workload: str, size: int) -> dict[str, Any]:
    """One cell: medians and quartiles of each contender, ratios round by round, or why there are none."""
    by_contender: dict[str, dict[str, Any]] = {}
    for label in found.contenders:
        kinds = ("bytes",) if WORKLOADS[workload].unit == "bytes" else ("cpu", "wall")
        figures: dict[str, Any] = {kind: _plain(found.cost(workload, size, label, kind)) for kind in kinds}
        if all(value is None for value in figures.values()):
            by_contender[label] = {"remarks": found.remarks(workload, size, label)}
            continue
        for other in (BASELINE, BARE):
            figures[f"ratio to {other}"] = _plain(found.ratio(workload, size, label, other))
        late = found.late(workload, size, label)
        by_contender[label] = {**figures, "late": late, "remarks": found.remarks(workload, size, label)}
    return {"workload": workload, "size": size, "contenders": by_contender}
