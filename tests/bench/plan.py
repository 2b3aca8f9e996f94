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
    """How much is done in a tier; the first of two numbers of rounds is for those that the goals speak of."""

    goals: tuple[int, int]
    """At the sizes of the goals."""
    smaller: tuple[int, int]
    """At smaller sizes."""
    larger: tuple[int, int]
    """At larger sizes, which take most of the time."""
    seconds: float
    """How long a worker goes on repeating."""
    patience: float
    """How long a worker may take in all."""

    def rounds(self, size: int, goal_size: int) -> tuple[int, int]:
        """For those that the goals speak of, and for those that are only beside."""
        if size == goal_size:
            return self.goals
        return self.smaller if size < goal_size else self.larger


EFFORTS: Final = {
    "quick": Effort(goals=(1, 1), smaller=(1, 1), larger=(1, 1), seconds=0.0, patience=20),
    "default": Effort(goals=(5, 2), smaller=(2, 1), larger=(1, 0), seconds=0.15, patience=40),
    "full": Effort(goals=(11, 3), smaller=(3, 2), larger=(3, 1), seconds=0.5, patience=300),
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
            here, beside = effort.rounds(jobs, jobs if size else row.goal_size)
            if rounds and (size or jobs == row.goal_size):
                here = beside = rounds
            planned.append(Cell(row.name, jobs, here, beside))
    return planned
