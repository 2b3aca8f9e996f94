"""The step of the chain that audits traces of real runs: `python -m aiojobs_verification audit --demo`.

How it works: runs of the real scheduler (`runs`) and of the example service under load are recorded and audited. Then
they are corrupted (`corrupt`), and every copy must be refused for what it is. Of the recorded runs every copy is made;
of the service's trace a fixed number of lines is tried. The recorded runs are the same every time, and so are their
figures; those of the service are not, so they stand apart.

A requirement is covered by a run that came to a point where it could have been broken, and only if corrupted copies
were refused on account of it. How fast the audit reads is reported, and decides nothing.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiojobs
from aiojobs_verification.follower import RULES
from aiojobs_verification.trace_audit.corrupt import CORRUPTIONS, Refusal, TracePlace, other_headers, verdict
from aiojobs_verification.trace_audit.reading import Header, TraceReader
from aiojobs_verification.trace_audit.replay import Audit, audit
from aiojobs_verification.trace_audit.runs import RUNS, record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiojobs_verification.specification.load import Spec

__all__ = ["SERVICE", "Demonstration", "Refusals", "corrupt_all", "gather"]

SERVICE: Final = "orders demo"
"""The name of the run of the example service."""

_SEED: Final = 1
"""Of the choice of lines, when not every one is tried."""
_LINES: Final = {False: 200, True: 2000}
"""How many lines of the service's trace are corrupted; more in the full tier."""
_DEMO: Final = ("-m", "examples.orders_demo", "--trace")
_TRACE: Final = Path("build", "trace", "orders.jsonl")
_OF_A_SERVICE: Final = ("LIMIT-1", "LIMIT-2", "LIMIT-3", "LIMIT-4", "LIMIT-5", "LIMIT-6", "BOOK-1")
"""What the service's trace must come to the point of, however quick the machine is."""


@dataclass
class Refusals:
    """What became of corrupted copies."""

    copies: Counter[str] = field(default_factory=Counter)
    """How many of each kind."""
    refused_for: Counter[str] = field(default_factory=Counter)
    """How many were refused on account of each requirement."""
    faults: list[str] = field(default_factory=list)
    """Copies that were accepted, or refused for something else."""

    def note(self, kind: str, refusal: Refusal, found: str) -> None:
        """One copy was judged: `found` says what is wrong with that, if anything."""
        self.copies[kind] += 1
        if found:
            self.faults.append(f"{kind}: {found}")
        elif refusal.rule in RULES:
            self.refused_for.update(RULES[refusal.rule].requirements)


@dataclass
class Demonstration:
    """All that the step finds, and what is wrong with it."""

    audits: dict[str, Audit] = field(default_factory=dict)
    runs: Refusals = field(default_factory=Refusals)
    service: Refusals = field(default_factory=Refusals)
    speed: int = 0
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The plain form, for `--json`. What differs from run to run is under `timing`."""
        runs = {name: found.as_dict() for name, found in self.audits.items() if name in RUNS}
        return {
            "status": "fail" if self.faults else "pass",
            "figures": {
                "build": aiojobs.__build__,
                "recorded runs": len(self.audits),
                "lines of the recorded runs": sum(found["lines"] for found in runs.values()),
                "kinds of corruption": len(self.runs.copies),
                "corrupted copies of the recorded runs": self.runs.copies.total(),
            },
            "covers": {} if self.faults else self.covers(),
            "kind": "trace",
            "planted": {
                f"copies of traces: {kind}": f"{count} refused for what they are"
                for kind, count in self.runs.copies.items()
            },
            "seeds": {name: run.seed for name, run in RUNS.items()} | {"lines": _SEED},
            "faults": self.faults,
            "refused for": dict(sorted(self.runs.refused_for.items())),
            "runs": runs,
            "timing": {
                "lines a second": self.speed,
                "corrupted copies of the service's trace": self.service.copies.total(),
                "service": {name: found.as_dict() for name, found in self.audits.items() if name not in RUNS},
            },
        }

    def told(self) -> str:
        """For people."""
        lines = [f"FAULT: {fault}" for fault in self.faults]
        refused = ", ".join(f"{name} {count}" for name, count in sorted(self.runs.refused_for.items()))
        copies = self.runs.copies.total() + self.service.copies.total()
        verdict = "NOT AS IT SHOULD BE" if self.faults else "AS IT SHOULD BE"
        figures = f"{len(self.audits)} recorded runs, {copies} corrupted copies, {self.speed} lines a second"
        return "\n".join([*lines, f"refused for: {refused}", f"{verdict}: {figures}"])

    def covers(self) -> dict[str, list[str]]:
        """Each requirement that a run could have broken and didn't, and that copies were refused for."""
        by: dict[str, list[str]] = {}
        for name, found in self.audits.items():
            exercised = found.reader.follower.exercised() if found.reader else {}
            for requirement, times in exercised.items():
                certain = name in RUNS or requirement in _OF_A_SERVICE
                if times and certain and self.runs.refused_for[requirement]:
                    by.setdefault(requirement, []).append(name)
        return {requirement: sorted(names) for requirement, names in sorted(by.items())}


def gather(spec: Spec, root: Path, *, full: bool, say: Callable[[str], object]) -> Demonstration:
    """Record, audit and corrupt."""
    demonstration = Demonstration()
    for name, run in RUNS.items():
        texts = record(run).encode().splitlines(keepends=True)
        _examine(spec, demonstration, name, texts, demonstration.runs)
        say(f"{name}: {len(texts)} lines obey; {demonstration.runs.copies.total()} corrupted copies so far")
    say("the example service runs")
    texts = _recorded_demo(root, demonstration)
    _examine(spec, demonstration, SERVICE, texts, demonstration.service, at_most=_LINES[full])
    _check_reach(demonstration)
    demonstration.speed = demonstration.audits[SERVICE].speed
    return demonstration


def corrupt_all(
    header: Header, lines: list[dict[str, Any]], spec: Spec, into: Refusals, *, at_most: int | None = None
) -> None:
    """Have every corruption made at every line, or at so many, and judged."""
    chosen = range(len(lines)) if at_most is None else _choice(len(lines), at_most)
    reader = TraceReader(spec, header)
    for at, line in enumerate(lines):
        if at in chosen:
            place = TracePlace(lines, at, reader.follower, header.calls)
            for kind, corruption in CORRUPTIONS.items():
                if isinstance(tail := corruption.make(place), list):
                    into.note(kind, corruption.refusal, verdict(corruption.refusal, reader.fork(), tail))
        reader.feed(line)
    for kind, refusal, other in other_headers(header, reader.follower):
        into.note(kind, refusal, verdict(refusal, TraceReader(spec, other), lines))


def _choice(count: int, at_most: int) -> frozenset[int]:
    return frozenset(random.Random(_SEED).sample(range(count), min(count, at_most)))  # noqa: S311


def _examine(
    spec: Spec,
    demonstration: Demonstration,
    name: str,
    texts: Sequence[bytes],
    refusals: Refusals,
    *,
    at_most: int | None = None,
) -> None:
    found = audit(texts, spec)
    demonstration.audits[name] = found
    if found.finding is not None:
        demonstration.faults.append(f"{name}, {found.finding.told()}")
        return
    header, *lines = (json.loads(text) for text in texts)
    known = len(refusals.faults)
    corrupt_all(Header.from_line(header), lines, spec, refusals, at_most=at_most)
    demonstration.faults += [f"{name}: {fault}" for fault in refusals.faults[known:]]


def _recorded_demo(root: Path, demonstration: Demonstration) -> list[bytes]:
    path = root / _TRACE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    sources = [os.environ.get("PYTHONPATH", ""), str(root / "src"), str(root / "verification" / "src")]
    search = os.pathsep.join(sources).lstrip(os.pathsep)
    left = subprocess.run(
        [sys.executable, *_DEMO, str(path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": search},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if left.returncode:
        last = (left.stderr or left.stdout).strip().splitlines()[-1:]
        demonstration.faults.append(f"the example service ended with {left.returncode}: {' '.join(last)}")
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _check_reach(demonstration: Demonstration) -> None:
    """A promise that nothing came near of has not been kept, only left alone; a corruption that was never made
    shows nothing.
    """
    idle = [kind for kind in CORRUPTIONS if not demonstration.runs.copies[kind]]
    demonstration.faults += [f"no copy could be made of this kind: {kind}" for kind in idle]
    service = demonstration.audits[SERVICE].reader
    if service is not None:
        left_alone = [name for name in _OF_A_SERVICE if not service.follower.exercised()[name]]
        if left_alone:
            demonstration.faults.append(f"the example service came nowhere near {', '.join(left_alone)}")
