"""Workers in interleaved rounds: every contender once, then every contender again.

Rules of this file: one process at a time, and the contenders of one cell directly one after the other, in an
order that turns with the rounds. A slow minute of the machine then falls on all of them.

What is not measured is a sample too, with the reason: the contender can't do it, the process failed, or it
would take longer than is allowed (its smaller size took more than a tenth of that).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["ROOT", "Cell", "Contestant", "Sample", "Settings", "run"]

ROOT: Final = Path(__file__).parents[2]


class Contestant(NamedTuple):
    """A contender as it takes part in this run."""

    label: str
    kind: str
    path: str = ""
    """The folder to import its library from; empty for the environment's own."""


class Cell(NamedTuple):
    """One thing to measure."""

    workload: str
    size: int


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
    rounds: int
    seconds: float = 0.3
    """How long a worker goes on repeating."""
    patience: float = 60.0
    """How long a worker may take in all, in seconds."""
    loop: str = "asyncio"


def run(
    cells: Sequence[Cell],
    contestants: Sequence[Contestant],
    settings: Settings,
    tell: Callable[[int, int, Sample], None],
) -> list[Sample]:
    """All rounds of all cells; `tell` hears of each sample and how far the run has come."""
    samples: list[Sample] = []
    given_up: dict[tuple[str, str], tuple[int, str]] = {}
    total = settings.rounds * len(cells) * len(contestants)
    for number, cell, contestant in _in_order(cells, contestants, settings.rounds):
        size, reason = given_up.get((cell.workload, contestant.label), (cell.size + 1, ""))
        if cell.size >= size:
            found = {"cannot": reason}
        else:
            found = _work(cell, contestant, settings)
            if reason := _gives_up(found, settings):
                first = cell.size if "cannot" in found else cell.size + 1
                given_up[cell.workload, contestant.label] = (first, reason)
        samples.append(Sample(number, cell.workload, cell.size, contestant.label, found))
        tell(len(samples), total, samples[-1])
    return samples


def _in_order(
    cells: Sequence[Cell], contestants: Sequence[Contestant], rounds: int
) -> Iterator[tuple[int, Cell, Contestant]]:
    for number in range(rounds):
        turned = [*contestants[number % len(contestants) :], *contestants[: number % len(contestants)]]
        for cell in cells:
            for contestant in turned:
                yield number, cell, contestant


def _gives_up(found: dict[str, Any], settings: Settings) -> str:
    """Why larger sizes, or this one again, need not be tried; empty if they may."""
    if "cannot" in found:
        return str(found["cannot"])
    if found["seconds"] > settings.patience / 10:
        return f"would take more than {settings.patience:.0f} s: a smaller size took {found['seconds']:.0f} s"
    return ""


def _work(cell: Cell, contestant: Contestant, settings: Settings) -> dict[str, Any]:
    """Run one worker."""
    order = {
        "contender": contestant.kind,
        "workload": cell.workload,
        "size": cell.size,
        "seconds": settings.seconds,
        "loop": settings.loop,
    }
    command = [settings.python, "-m", "tests.bench.worker", json.dumps(order)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=_environment(contestant), capture_output=True, text=True,
            timeout=settings.patience, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"cannot": f"took more than {settings.patience:.0f} s"}
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"cannot": f"the process failed: {last}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment(contestant: Contestant) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONPATH": contestant.path, "PYTHONWARNINGS": "ignore"}
