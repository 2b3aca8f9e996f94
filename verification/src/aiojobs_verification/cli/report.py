"""The report: what a run of the chain of evidence showed; ``python -m aiojobs_verification report``.

How it works: `gather` reads the evidence files and the specification, `compose` turns them into one plain
document, and the pages are written from that document alone: ``build/report.json`` is the document itself
(``report.schema.json`` beside this file describes it), ``report.md`` and ``report.html`` show it.

Rules of this file
    `compose` and the pages are pure functions. The same evidence and the same specification give the same
    bytes; what differs between two runs is the timings, each in a line that is marked as one. ``--compare``
    looks at two runs for anything else. ``--quote`` puts the verdict of one into README.md.

    What can't be read is reported, never passed over: it makes the verdict FAIL.

Deliberately not here: the verdict's rules (`verdict`).
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiojobs_verification.cli.commands import FAILED, NOT_HERE, PASSED, Subparsers
from aiojobs_verification.codegen.picture import svg
from aiojobs_verification.evidence import evidence as files
from aiojobs_verification.evidence import page_html, page_markdown
from aiojobs_verification.evidence.chain import CHAIN
from aiojobs_verification.evidence.comparison import compared, differences
from aiojobs_verification.evidence.evidence import Status
from aiojobs_verification.evidence.quotation import with_quotation
from aiojobs_verification.evidence.verdict import Judgement, Verdict, judge, settled_so_far
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.job import read_job
from aiojobs_verification.specification.locate import find_repository
from aiojobs_verification.specification.requirements import read_assumptions, read_requirements

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TextIO

    from aiojobs_verification.evidence.chain import Chain, Link
    from aiojobs_verification.evidence.evidence import Evidence
    from aiojobs_verification.specification.machine import Machine
    from aiojobs_verification.specification.requirements import Assumption, Requirement

T = TypeVar("T")

SCHEMA: Final = 1

EXIT_CODES: Final = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCOMPLETE: 3}

_SAID_ELSEWHERE: Final = frozenset(
    {"schema", "tier", "skips", "versions", "source", "commit", "timing_started", "timing_seconds"}
)
_SPEC: Final = ("job.toml", "scheduler.toml", "requirements.toml", "assumptions.toml")


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that a report is made from."""

    evidence: Mapping[str, Evidence]
    requirements: Sequence[Requirement]
    kinds: Mapping[str, str]
    assumptions: Sequence[Assumption]
    lifecycle: Machine | None
    digests: Mapping[str, str]
    unreadable: Sequence[str]


def register(subparsers: Subparsers) -> None:
    """Add ``report`` to the command line."""
    parser = subparsers.add_parser("report", help="make the report from the evidence files of the last run")
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("A", "B"),
        help="make none, but say in what two runs differ, apart from timings: A and B are copies of build/",
    )
    parser.add_argument(
        "--quote",
        type=Path,
        metavar="REPORT",
        help="make none, but quote this build/report.json in README.md",
    )
    parser.set_defaults(run=_main)


def _main(arguments: argparse.Namespace) -> int:
    if arguments.compare is not None:
        return _compare(*arguments.compare)
    root = find_repository()
    if root is None:
        sys.stderr.write("report reads build/evidence of a source tree: run it in one\n")
        return NOT_HERE
    if arguments.quote is not None:
        return _quote(arguments.quote, root / "README.md")
    return publish(root, sys.stdout)


def _quote(report: Path, page: Path) -> int:
    document = json.loads(report.read_text(encoding="utf-8"))
    page.write_text(with_quotation(page.read_text(encoding="utf-8"), document), encoding="utf-8")
    print(f"{page.name} quotes {report}: {document['verdict']}, tier {document['tier']}")
    return PASSED


def _compare(one: Path, two: Path) -> int:
    found = list(differences(one, two))
    print("\n".join(found) if found else f"alike but for timings: {len(compared(one, two))} files")
    return FAILED if found else PASSED


def publish(root: Path, stream: TextIO, chain: Chain = CHAIN) -> int:
    """Write the three reports under ``build``, the verdict to `stream`, and return the exit code."""
    gathered = gather(root)
    judgement = judge(chain, gathered.requirements, gathered.evidence, gathered.unreadable)
    document = compose(gathered, judgement, chain)
    build = root / "build"
    build.mkdir(exist_ok=True)
    picture = svg(gathered.lifecycle) if gathered.lifecycle else ""
    for name, text in (
        ("report.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n"),
        ("report.md", page_markdown.page(document)),
        ("report.html", page_html.page(document, picture)),
    ):
        (build / name).write_text(text, encoding="utf-8")
    stream.write(closing_words(judgement))
    return EXIT_CODES[judgement.verdict]


def gather(root: Path) -> Gathered:
    """Read the evidence and the specification; faults are collected, not raised."""
    unreadable: list[str] = []
    spec = root / "spec"

    paths = sorted((root / files.EVIDENCE).glob("*.json"))
    found = [_attempt(files.read, path, unreadable) for path in paths]
    requirements = _attempt(read_requirements, spec / "requirements.toml", unreadable)
    assumptions = _attempt(read_assumptions, spec / "assumptions.toml", unreadable)
    job = _attempt(read_job, spec / "job.toml", unreadable)
    return Gathered(
        evidence={each.step: each for each in found if each is not None},
        requirements=tuple(requirements.by_id.values()) if requirements else (),
        kinds=requirements.kinds if requirements else {},
        assumptions=tuple(assumptions.values()) if assumptions else (),
        lifecycle=job.machine if job else None,
        digests={name: _digest(spec / name) for name in _SPEC if (spec / name).is_file()},
        unreadable=tuple(unreadable),
    )


def compose(gathered: Gathered, judgement: Judgement, chain: Chain) -> dict[str, Any]:
    """The report as a plain document."""
    steps = [gathered.evidence[step.name] for step in chain.steps if step.name in gathered.evidence]
    return {
        "schema": SCHEMA,
        "verdict": str(judgement.verdict),
        "tier": judgement.tier,
        "failures": list(judgement.failures),
        "gaps": list(judgement.gaps),
        "counts": _counts(steps, judgement),
        "subject": _subject(steps, gathered.digests),
        "lifecycle": _lifecycle(gathered.lifecycle),
        "links": [_link(link, chain) for link in chain.links],
        "steps": [_step(step) for step in steps],
        "kinds": dict(gathered.kinds),
        "requirements": [_requirement(one, judgement) for one in gathered.requirements],
        "assumptions": [asdict(one) for one in gathered.assumptions],
        "skips": [skip for step in steps for skip in _skips(step)],
        "timings": {step.step: _timing(step) for step in steps},
    }


def closing_words(judgement: Judgement) -> str:
    """What the person who ran the chain reads last."""
    total = (
        f"{judgement.verdict}, tier {judgement.tier}: {len(judgement.failures)} failed, "
        f"{len(judgement.gaps)} open; {_settled(judgement)} of {len(judgement.checks)} "
        "requirements were checked in every way they need that is built."
    )
    failures = [f"  failed: {line}" for line in judgement.failures]
    gaps = [f"  open:   {line}" for line in judgement.gaps]
    where = "Report: build/report.html, build/report.md, build/report.json"
    return "\n".join(["", *failures, *gaps, "", total, where, ""])


def _settled(judgement: Judgement) -> int:
    return sum(settled_so_far(ways) for ways in judgement.checks.values())


def _counts(steps: Sequence[Evidence], judgement: Judgement) -> dict[str, int]:
    """The run in a few numbers."""
    return {
        "steps": len(steps),
        "passed": sum(step.findings.status is Status.PASS for step in steps),
        "requirements": len(judgement.checks),
        "settled": _settled(judgement),
        "planted": sum(len(step.findings.planted) for step in steps),
        "skips": sum(len(list(_skips(step))) for step in steps),
    }


def _attempt(read: Callable[[Path], T], path: Path, unreadable: list[str]) -> T | None:
    try:
        return read(path)
    except (SpecError, files.EvidenceError) as error:
        unreadable.append(str(error))
        return None


def _subject(steps: Sequence[Evidence], digests: Mapping[str, str]) -> dict[str, Any]:
    """What was checked; more than one value under a key means that the evidence is of different runs."""
    subjects = [step.subject for step in steps]
    versions: dict[str, set[str]] = {}
    for subject in subjects:
        for name, version in subject.versions.items():
            versions.setdefault(name, set()).add(version)
    return {
        "commits": sorted({subject.commit for subject in subjects}),
        "sources": sorted({subject.source for subject in subjects}),
        "specification": dict(digests),
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
    }


def _lifecycle(machine: Machine | None) -> dict[str, Any] | None:
    if machine is None:
        return None
    return {
        "initial": machine.initial,
        "final": sorted(machine.final),
        "states": dict(machine.states),
        "events": dict(machine.events),
        "cells": {state: dict(row) for state, row in machine.cells.items()},
    }


def _link(link: Link, chain: Chain) -> dict[str, Any]:
    steps = [step.name for step in chain.steps if step.link == link.number]
    return {**asdict(link), "built": bool(steps), "steps": steps}


def _step(step: Evidence) -> dict[str, Any]:
    """The evidence without what is said once for all (`_subject`) or apart (timings)."""
    return {key: value for key, value in step.as_dict().items() if key not in _SAID_ELSEWHERE}


def _skips(step: Evidence) -> Iterator[dict[str, str]]:
    """What of a step did not run: all of it (``id`` is empty), or parts."""
    found = step.findings
    if found.status is Status.SKIPPED:
        yield {"step": step.step, "id": "", "reason": found.reason}
    for name, reason in sorted(found.skips.items()):
        yield {"step": step.step, "id": name, "reason": reason}


def _timing(step: Evidence) -> dict[str, Any]:
    return {"timing_started": step.timing.started, "timing_seconds": step.timing.seconds}


def _requirement(one: Requirement, judgement: Judgement) -> dict[str, Any]:
    checks = [
        {"kind": way.kind, "standing": str(way.standing), "by": list(way.by)}
        for way in judgement.checks[one.id]
    ]
    return {
        "id": one.id,
        "group": one.group,
        "text": one.text,
        "goal": one.goal,
        "keeps": one.keeps,
        "differences": list(one.defects),
        "checks": checks,
    }


def _digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
