"""The plan of a run: the sizes of the workloads, and the number of rounds, for each tier.

Rules of this file: the sizes at which the goals are stated, and the contenders that they speak of, get the
most rounds; the rest is there for the curves and for orientation, and gets few. The goals about growth are
about this package, beside plain asyncio: those are waited for. The others go as far as it doesn't take
long, and the report says where each of them has stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from .contenders import BARE, BASELINE, BUILDS, KINDS, OWN
from .machine import sources
from .rounds import Cell, Contestant
from .workloads import WORKLOADS, sizes

__all__ = ["EFFORTS", "Effort", "cells", "contestants"]

_COMPARED: Final = (*BUILDS.values(), BASELINE, BARE)
"""Those that the goals speak of."""
_GROWN: Final = (*BUILDS.values(), BARE)
"""Those that the goals about growth speak of."""
_LARGEST: Final = 1_000_000
"""Jobs; one round of it takes as long as all the rest."""


class Effort(NamedTuple):
    """How much is done in a tier; the first of two numbers of rounds is for those that the goals speak of."""

    goals: tuple[int, int]
    """At the sizes of the goals."""
    smaller: tuple[int, int]
    """At smaller sizes."""
    larger: tuple[int, int]
    """At larger sizes, which take most of the time."""
    largest: tuple[int, int]
    """With a million jobs."""
    seconds: float
    """How long a worker goes on repeating."""
    patience: tuple[float, float]
    """How long a worker may take in all: of those that the goals about growth speak of, and of others."""

    def rounds(self, size: int, goal_size: int) -> tuple[int, int]:
        """For those that the goals speak of, and for those that are only beside."""
        if size == goal_size:
            return self.goals
        if size == _LARGEST:
            return self.largest
        return self.smaller if size < goal_size else self.larger


EFFORTS: Final = {
    "quick": Effort((1, 1), (1, 1), (1, 1), (1, 1), seconds=0.0, patience=(20, 20)),
    "default": Effort((5, 3), (2, 1), (1, 0), (1, 0), seconds=0.15, patience=(60, 60)),
    "full": Effort((5, 3), (2, 1), (2, 0), (1, 0), seconds=0.15, patience=(300, 60)),
}


def contestants(
    kinds: Sequence[str], patience: tuple[float, float], builds: Sequence[str] = tuple(BUILDS)
) -> list[Contestant]:
    """The contenders of those names, or all. Each build of this package is in a folder of its own, aiojobs 1.4.0
    is installed.
    """
    more, less = patience
    return [
        Contestant(label, kind, path, label in _COMPARED, KINDS[kind].only, more if label in _GROWN else less)
        for kind in kinds or KINDS
        for label, path in _taking_part(kind, builds)
    ]


def _taking_part(kind: str, builds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The labels of a kind, each with the folder to import from."""
    if kind == OWN:
        yield from ((BUILDS[build], str(sources(build))) for build in builds)
    else:
        yield kind, ""


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
