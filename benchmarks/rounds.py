"""Workers in interleaved rounds: every contender once, then every contender again.

Rules of this file: one process at a time, and the contenders of one cell directly one after the other, in an
order that turns with the rounds. A slow minute of the machine then falls on all of them.

What is not measured is a sample too, with the reason: the contender can't do it, the process failed, or it
would take longer than is allowed (its smaller size took more than a fifteenth of that).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from .contenders import BASELINE, BUILDS
from .machine import ROOT, free_memory

__all__ = ["Cell", "Contestant", "Sample", "Settings", "run"]

_EACH: Final = 8_000
"""Bytes of memory that a job may take while it is measured; more than any of the contenders needs."""
_GROWN: Final = 15
"""How many times as long ten times as many jobs may take: more than ten, for the collector's sake."""


class Contestant(NamedTuple):
    """A contender as it takes part in this run."""

    label: str
    kind: str
    path: str = ""
    """The folder to import its library from; empty for the environment's own."""
    compared: bool = True
    """Whether it takes part in all rounds of a cell."""
    only: str = ""
    """The one workload that it takes part in; empty for all."""
    patience: float | None = None
    """How long its workers may take in all, in seconds; None for as long as the run allows any."""


class Cell(NamedTuple):
    """One thing to measure."""

    workload: str
    size: int
    rounds: int
    beside: int
    """In how many of the rounds those take part that are only beside."""

    def has(self, number: int, contestant: Contestant) -> bool:
        """Whether the contestant takes part in that round."""
        there = contestant.only in {"", self.workload}
        return there and number < (self.rounds if contestant.compared else self.beside)


class Sample(NamedTuple):
    """What one process has told."""

    round: int
    workload: str
    size: int
    contender: str
    found: dict[str, Any]


class Settings(NamedTuple):
    """How to run the workers."""

    python: str
    seconds: float = 0.3
    """How long a worker goes on repeating."""
    patience: float = 60.0
    """How long a worker may take in all, in seconds."""
    loop: str = "asyncio"
    collector: bool = True
    """Whether Python's garbage collector runs in them."""


def run(
    cells: Sequence[Cell],
    contestants: Sequence[Contestant],
    settings: Settings,
    tell: Callable[[int, int, Sample], None],
) -> list[Sample]:
    """All rounds of all cells; `tell` hears of each sample and how far the run has come."""
    samples: list[Sample] = []
    given_up: dict[tuple[str, str], tuple[int, str]] = {}
    order = list(_in_order(cells, contestants))
    for number, cell, contestant in order:
        size, reason = given_up.get((cell.workload, contestant.label), (cell.size + 1, ""))
        if cell.size >= size:
            found = {"cannot": reason}
        else:
            patience = settings.patience if contestant.patience is None else contestant.patience
            found = _work(cell, contestant, settings._replace(patience=patience))
            if reason := _gives_up(found, patience):
                first = cell.size + 1 if "seconds" in found else cell.size
                given_up[cell.workload, contestant.label] = (first, reason)
        samples.append(Sample(number, cell.workload, cell.size, contestant.label, found))
        tell(len(samples), len(order), samples[-1])
    return samples


def _in_order(
    cells: Sequence[Cell], contestants: Sequence[Contestant]
) -> Iterator[tuple[int, Cell, Contestant]]:
    for number in range(max((cell.rounds for cell in cells), default=0)):
        turned = [*contestants[number % len(contestants) :], *contestants[: number % len(contestants)]]
        for cell in cells:
            yield from ((number, cell, one) for one in turned if cell.has(number, one))


def _gives_up(found: dict[str, Any], patience: float) -> str:
    """Why larger sizes, or this one again, need not be tried; empty if they may."""
    if "cannot" in found:
        return str(found["cannot"])
    if "seconds" not in found:
        return str(found["wrong"])
    if found["seconds"] * _GROWN > patience:
        return f"would take more than {patience:.0f} s: a smaller size took {found['seconds']:.0f} s"
    return ""


def _work(cell: Cell, contestant: Contestant, settings: Settings) -> dict[str, Any]:
    """Run one worker."""
    if cell.size * _EACH > free_memory():
        return {"cannot": "needs more memory than is free"}
    order = {
        "contender": contestant.kind,
        "workload": cell.workload,
        "size": cell.size,
        "seconds": settings.seconds,
        "loop": settings.loop,
        "collector": settings.collector,
    }
    command = [settings.python, "-m", "benchmarks.worker", json.dumps(order)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=_environment(contestant), capture_output=True, text=True,
            timeout=settings.patience, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"cannot": f"took more than {settings.patience:.0f} s"}
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"wrong": f"the process failed: {last}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return _right_one(contestant, found)


def _right_one(contestant: Contestant, found: dict[str, Any]) -> dict[str, Any]:
    """What was found, unless it is about another library of the same name."""
    if contestant.path and not found["where"].startswith(contestant.path):
        return {"wrong": f"not that of {contestant.path} but of {found['where']} was imported"}
    if contestant.label == BASELINE and found["version"] != BASELINE.split()[-1]:
        return {"wrong": f"aiojobs {found['version']} is installed: use LOCK=bench sh .ci/env python …"}
    wanted = [build for build, label in BUILDS.items() if label == contestant.label]
    if wanted and found["version"].split()[-1] not in wanted:
        return {"wrong": f"this is aiojobs {found['version']}"}
    return found


def _environment(contestant: Contestant) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONPATH": contestant.path, "PYTHONWARNINGS": "ignore"}
