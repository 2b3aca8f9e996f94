"""`python -m aiojobs_verification report`: the result of a run of the chain of evidence.

How it works: `gather` reads the evidence files and the specification, `evidence.report` makes one document of
them, and the pages are written from that document alone: ``build/report.json`` is the document itself,
``report.md`` and ``report.html`` show it. A full run leaves a copy of it in ``build/last-full``, for the runs of
a lesser tier that follow.

``--compare`` looks at two runs for anything but timings; ``--quote`` puts the verdict of one into README.md.

Rule of this file: what can't be read is reported, never passed over: it makes the verdict FAIL.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiojobs_verification.cli.commands import FAILED, NOT_HERE, PASSED, Subparsers
from aiojobs_verification.codegen import traceability
from aiojobs_verification.codegen.picture import svg
from aiojobs_verification.evidence import evidence as files
from aiojobs_verification.evidence import page_html, page_markdown
from aiojobs_verification.evidence.chain import CHAIN
from aiojobs_verification.evidence.comparison import compared, differences
from aiojobs_verification.evidence.quotation import with_quotation
from aiojobs_verification.evidence.report import SCHEMA, Sources, closing_words, compose
from aiojobs_verification.evidence.verdict import Promise, Verdict, judge
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.job import read_job
from aiojobs_verification.specification.locate import find_repository
from aiojobs_verification.specification.requirements import read_assumptions, read_requirements

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

    from aiojobs_verification.evidence.chain import Chain
    from aiojobs_verification.specification.machine import Machine
    from aiojobs_verification.specification.requirements import Requirement

T = TypeVar("T")

EXIT_CODES: Final = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCOMPLETE: 3}
LAST_FULL: Final = "build/last-full/report.json"
LAST_TEETH: Final = "spec/mutants/teeth.toml"

_SPEC: Final = ("job.toml", "scheduler.toml", "requirements.toml", "assumptions.toml")


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
    try:
        page.write_text(with_quotation(page.read_text(encoding="utf-8"), document), encoding="utf-8")
    except files.EvidenceError as error:
        print(error, file=sys.stderr)
        return FAILED
    print(f"{page.name} quotes {report}: {document['verdict']}, tier {document['tier']}")
    return PASSED


def _compare(one: Path, two: Path) -> int:
    found = list(differences(one, two))
    print("\n".join(found) if found else f"alike but for timings: {len(compared(one, two))} files")
    return FAILED if found else PASSED


def publish(root: Path, stream: TextIO, chain: Chain = CHAIN) -> int:
    """Write the three reports under ``build``, the verdict to `stream`, and return the exit code."""
    sources = gather(root)
    assessment = judge(
        chain, sources.promises, sources.evidence, sources.unreadable, sources.last_teeth.get("teeth", {})
    )
    document = compose(sources, assessment, chain)
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    pages = {"build/report.json": text, "build/report.md": page_markdown.page(document)}
    pages["build/report.html"] = page_html.page(document, _picture(root) if sources.lifecycle else "")
    if assessment.tier == "full":
        pages[LAST_FULL] = text
    for name, content in pages.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    stream.write(closing_words(assessment, document))
    return EXIT_CODES[assessment.verdict]


def gather(root: Path) -> Sources:
    """Read the evidence and the specification; faults are collected, not raised."""
    unreadable: list[str] = []
    spec = root / "spec"

    paths = sorted((root / files.EVIDENCE).glob("*.json"))
    found = [_attempt(files.read, path, unreadable) for path in paths]
    requirements = _attempt(read_requirements, spec / "requirements.toml", unreadable)
    assumptions = _attempt(read_assumptions, spec / "assumptions.toml", unreadable)
    job = _attempt(read_job, spec / "job.toml", unreadable)
    return Sources(
        evidence={each.step: each for each in found if each is not None},
        promises=[promise(one) for one in requirements.by_id.values()] if requirements else (),
        kinds=requirements.kinds if requirements else {},
        assumptions=[asdict(one) for one in assumptions.values()] if assumptions else (),
        lifecycle=_lifecycle(job.machine) if job else None,
        digests={name: _digest(spec / name) for name in _SPEC if (spec / name).is_file()},
        places=_attempt(_places, root, unreadable) or {},
        unreadable=unreadable,
        last_full=_last_full(root / LAST_FULL),
        last_teeth=_attempt(_last_teeth, root / LAST_TEETH, unreadable) or {},
    )


def promise(one: Requirement) -> Promise:
    """A requirement as the report knows it."""
    return Promise(
        id=one.id,
        checks=one.checks,
        group=one.group,
        text=one.text,
        goal=one.goal,
        keeps=one.keeps,
        differences=one.defects,
        revision=one.revision,
        outdated=one.outdated,
    )


def _attempt(read: Callable[[Path], T], path: Path, unreadable: list[str]) -> T | None:
    try:
        return read(path)
    except (SpecError, files.EvidenceError) as error:
        unreadable.append(str(error))
        return None


def _places(root: Path) -> dict[str, dict[str, Sequence[Mapping[str, Any]]]]:
    return {
        id_: {
            traceability.SORTS[sort][0]: [asdict(place) for place in found] for sort, found in by_sort.items()
        }
        for id_, by_sort in traceability.places(root).items()
    }


def _last_full(path: Path) -> Mapping[str, Any] | None:
    """The report of the last full run; one of another form counts for nothing."""
    if not path.is_file():
        return None
    document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document if document["schema"] == SCHEMA else None


def _last_teeth(path: Path) -> Mapping[str, Any]:
    """What the last run that tried every seeded fault has left; nothing if there was none."""
    if not path.is_file():
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return {"commit": found["commit"], "date": found["date"], "teeth": dict(found["teeth"])}
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise files.EvidenceError(f"{path.name}: {error!r}") from None


def _lifecycle(machine: Machine) -> dict[str, Any]:
    return {
        "initial": machine.initial,
        "final": sorted(machine.final),
        "states": dict(machine.states),
        "events": dict(machine.events),
        "cells": {state: dict(row) for state, row in machine.cells.items()},
    }


def _picture(root: Path) -> str:
    return svg(read_job(root / "spec" / "job.toml").machine)


def _digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
