"""The step of the chain that speaks for recorded runs: `python -m aiojobs_verification audit --demo`.

How it works: runs of the real scheduler (`specimen`) and of the example service under load are recorded and
audited. Then they are corrupted and judged (`judgement`): of the specimens every possible copy, of the
service's trace a fixed number. That the judges agree is shown once more for every trace of a few jobs
(`agreement`). The specimens are the same every time, and so are their figures; those of the service are not,
so they stand apart.

A requirement is covered by a run that came to a point where it could have been broken, and only if corrupted
copies were refused on account of it.

Deliberately not here: the rules.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiojobs.tracing import Header
from aiojobs_verification.trace_audit.agreement import SCOPES, Scope, agreement
from aiojobs_verification.trace_audit.judgement import SEED, Judgement, judge
from aiojobs_verification.trace_audit.replay import Audit, audit
from aiojobs_verification.trace_audit.specimen import SPECIMENS, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aiojobs_verification.specification.load import Spec

__all__ = ["SERVICE", "Evidence", "gather"]

SERVICE: Final = "orders demo"
"""The name of the run of the example service."""

ENOUGH: Final = 100_000
"""So many lines a second the monitor must follow, reading them included."""

_COPIES: Final = {False: 500, True: 5000}
"""How many corrupted copies of the service's trace are judged; more in the full tier."""
_ROUNDS: Final = 25
"""How often the monitor may try to be quick enough, on a machine that is busy with something else."""
_DEMO: Final = ("-m", "examples.orders_demo", "--trace")
_TRACE: Final = Path("build", "trace", "orders.jsonl")
_OF_A_SERVICE: Final = ("LIMIT-1", "LIMIT-2", "LIMIT-3", "LIMIT-4", "LIMIT-5", "LIMIT-6", "BOOK-1")
"""What the service's trace must come to the point of, however quick the machine is."""


@dataclass
class Evidence:
    """All that the step finds, and what is wrong with it."""

    audits: dict[str, Audit] = field(default_factory=dict)
    specimens: Judgement = field(default_factory=Judgement)
    service: Judgement = field(default_factory=Judgement)
    situations: int = 0
    tried: int = 0
    """How many lines both opinions were asked about, in how many situations."""
    speed: int = 0
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The plain form, for `--json`. What differs from run to run is under `timing`."""
        specimens = {name: found.as_dict() for name, found in self.audits.items() if name in SPECIMENS}
        figures = {
            "recorded runs": len(self.audits),
            "lines of the specimens": sum(found["lines"] for found in specimens.values()),
            **self.specimens.figures("the specimens"),
            "of these legal": self.specimens.legal.total(),
            **self.service.figures("the service's trace"),
            "situations of a few jobs": self.situations,
            "lines tried in them": self.tried,
        }
        return {
            "status": "fail" if self.faults else "pass",
            "figures": figures,
            "covers": {} if self.faults else self.covers(),
            "kind": "trace",
            "planted": {
                f"copies of traces: {kind}": f"{count - self.specimens.legal[kind]} of {count} refused, "
                f"{self.specimens.legal[kind]} explained by a run and accepted"
                for kind, count in self.specimens.copies.items()
            },
            "seeds": {name: specimen.seed for name, specimen in SPECIMENS.items()} | {"places": SEED},
            "faults": self.faults,
            "copies": {
                kind: {"copies": count, "legal": self.specimens.legal[kind]}
                for kind, count in self.specimens.copies.items()
            },
            "refused for": dict(sorted(self.specimens.refused_for.items())),
            "specimens": specimens,
            "timing": {
                "lines a second": self.speed,
                "lines a second wanted": ENOUGH,
                "service": {
                    name: found.as_dict() for name, found in self.audits.items() if name not in SPECIMENS
                },
                "legal copies of the service's trace": self.service.legal.total(),
            },
        }

    def told(self) -> str:
        """For people."""
        lines = [f"FAULT: {fault}" for fault in self.faults]
        refused = ", ".join(f"{name} {count}" for name, count in sorted(self.specimens.refused_for.items()))
        copies = self.specimens.copies.total() + self.service.copies.total()
        verdict = "NOT AS IT SHOULD BE" if self.faults else "AS IT SHOULD BE"
        figures = f"{len(self.audits)} recorded runs, {copies} corrupted copies, {self.speed} lines a second"
        return "\n".join([*lines, f"refused for: {refused}", f"{verdict}: {figures}"])

    def covers(self) -> dict[str, list[str]]:
        """Each requirement that a run could have broken and didn't, and that copies were refused for."""
        by: dict[str, list[str]] = {}
        for name, found in self.audits.items():
            exercised = found.monitor.exercised() if found.monitor else {}
            for requirement, times in exercised.items():
                certain = name in SPECIMENS or requirement in _OF_A_SERVICE
                if times and certain and self.specimens.refused_for[requirement]:
                    by.setdefault(requirement, []).append(name)
        return {requirement: sorted(names) for requirement, names in sorted(by.items())}


def gather(spec: Spec, root: Path, *, full: bool, say: Callable[[str], object]) -> Evidence:
    """Record, audit, corrupt and judge."""
    examiner = _Examiner(spec, say)
    evidence = examiner.evidence
    for name, specimen in SPECIMENS.items():
        examiner.examine(name, record(specimen).encode().splitlines(keepends=True), evidence.specimens)
    examiner.compare(SCOPES[False] + (SCOPES[True] if full else ()))
    say("the example service runs")
    texts = _recorded_demo(root, evidence)
    examiner.examine(SERVICE, texts, evidence.service, at_most=_COPIES[full])
    _check_reach(evidence)
    for _ in range(_ROUNDS):
        evidence.speed = max(evidence.speed, audit(texts, spec).speed)
        if evidence.speed >= ENOUGH:
            break
    if evidence.speed < ENOUGH and not evidence.faults:
        evidence.faults.append(f"{evidence.speed} lines a second, and {ENOUGH} are wanted")
    return evidence


class _Examiner:
    def __init__(self, spec: Spec, say: Callable[[str], object]) -> None:
        self.spec = spec
        self.say = say
        self.evidence = Evidence()

    def compare(self, scopes: Iterable[Scope]) -> None:
        """Have both opinions asked about every trace of a few jobs."""
        for scope in scopes:
            found = agreement(self.spec, scope)
            self.evidence.situations += found.situations
            self.evidence.tried += found.tried
            if found.disagreement:
                self.evidence.faults.append(f"{scope}: the two opinions differ: {found.disagreement}")
            names = f", calls {', '.join(scope.names)}" if scope.names else ""
            few = f"up to {scope.jobs} jobs, limits {scope.limit} and {scope.pending_limit}{names}"
            self.say(f"{few}: {found.tried} lines tried in {found.situations} situations")

    def examine(
        self, name: str, texts: Sequence[bytes], judgement: Judgement, at_most: int | None = None
    ) -> None:
        """Audit one trace and have copies of it judged."""
        found = audit(texts, self.spec)
        self.evidence.audits[name] = found
        if found.finding is not None:
            self.evidence.faults.append(f"{name}, {found.finding.told()}")
            return
        header, *lines = (json.loads(text) for text in texts)
        judged = judge(Header.from_line(header), lines, self.spec, at_most=at_most, say=self.say)
        judgement.add(judged)
        self.evidence.faults += [f"{name}: {disagreement}" for disagreement in judged.disagreements]
        legal, copies = judged.legal.total(), judged.copies.total()
        of_these = f"{copies - legal} are refused, {legal} are legal"
        self.say(f"{name}: {len(lines)} lines obey; of {copies} corrupted copies {of_these}")


def _recorded_demo(root: Path, evidence: Evidence) -> list[bytes]:
    path = root / _TRACE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    sources = [str(root / "src"), str(root / "verification" / "src"), os.environ.get("PYTHONPATH", "")]
    search = os.pathsep.join(sources).rstrip(os.pathsep)
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
        evidence.faults.append(f"the example service ended with {left.returncode}: {' '.join(last)}")
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _check_reach(evidence: Evidence) -> None:
    """A promise that nothing came near of has not been kept, only left alone."""
    for requirement in (*_OF_A_SERVICE, "START-2", "SHUT-1"):
        if not evidence.specimens.refused_for[requirement]:
            evidence.faults.append(f"no corrupted copy is refused for {requirement}")
    service = evidence.audits[SERVICE].monitor
    if service is not None:
        idle = [name for name in _OF_A_SERVICE if not service.exercised()[name]]
        if idle:
            evidence.faults.append(f"the example service came nowhere near {', '.join(idle)}")
