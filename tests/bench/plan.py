"""What a run measures: which sizes of which workloads, and in how many rounds, for each tier.

Rules of this file: the sizes at which the goals are stated, and the contenders that they speak of, get the
most rounds; the rest is there for the curves and for orientation, and gets few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from .contenders import BARE, INCUMBENT, KINDS, OWN
from .machine import ROOT
from .rounds import Cell, Contestant
from .workloads import WORKLOADS, sizes

__all__ = ["EFFORTS", "Effort", "cells", "contestants"]

_COMPARED: Final = (OWN, INCUMBENT, BARE)
"""Those that the goals speak of."""


class Effort(NamedTuple):
    """How much is done in a tier."""

    rounds: int
    """For what the goals speak of."""
    beside: int
    """For other contenders, and for other sizes."""
    least: int
    """For other contenders at other sizes."""
    seconds: float
    """How long a worker goes on repeating."""
    patience: float
    """How long a worker may take in all."""


EFFORTS: Final = {
    "quick": Effort(rounds=1, beside=1, least=1, seconds=0.0, patience=20),
    "default": Effort(rounds=5, beside=2, least=1, seconds=0.15, patience=40),
    "full": Effort(rounds=11, beside=3, least=2, seconds=0.5, patience=300),
}


def contestants(labels: Sequence[str]) -> list[Contestant]:
    """The contenders of those names, or all. This package is in src/, aiojobs 1.4.0 is installed."""
    own = str(ROOT / "src")
    return [
        Contestant(label, label, own if label == OWN else "", label in _COMPARED, KINDS[label].only)
        for label in labels or KINDS
    ]


def cells(tier: str, only: Sequence[str], size: int | None, rounds: int | None) -> list[Cell]:
    """What to measure, in the order of the list of workloads."""
    effort, planned = EFFORTS[tier], []
    for row in WORKLOADS.values():
        if only and row.name not in only:
            continue
        for jobs in [size] if size else sizes(row, tier):
            if jobs == row.goal_size or size or tier == "quick":
                planned.append(Cell(row.name, jobs, rounds or effort.rounds, rounds or effort.beside))
            else:
                planned.append(Cell(row.name, jobs, effort.beside, effort.least))
    return planned
