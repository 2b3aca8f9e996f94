"""`python -m aiojobs_verification requirement ID …`: all that a promise rests on, with file and line.

Text, revision and kinds of check; the rules that state it in TOML and in TLA+; the functions that keep it; the
tests that speak for it; the seeded faults that break it; and what the evidence of the last run says. With
``--reviewed``: note that the text was reviewed as it stands, so that its evidence counts again.

Deliberately not here: how the places are found (`codegen.traceability`), and what a run comes to (`verdict`).
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiojobs_verification.cli.commands import (
    NOT_HERE,
    PASSED,
    Subparsers,
    add_json,
    stream_beside,
    write_json,
)
from aiojobs_verification.codegen.traceability import SORTS, places
from aiojobs_verification.evidence import evidence as files
from aiojobs_verification.specification.locate import repository
from aiojobs_verification.specification.requirements import read_requirements, review

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from aiojobs_verification.evidence.evidence import Evidence
    from aiojobs_verification.specification.requirements import Requirement

__all__ = ["register"]


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("requirement", help="print what a promise rests on, with file and line")
    parser.add_argument("ids", nargs="+", metavar="ID", help="of requirements, such as LIMIT-5")
    parser.add_argument(
        "--reviewed", action="store_true", help="note that text and kinds of check were reviewed as they are"
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    root = repository()
    path = root / "spec" / "requirements.toml"
    known = read_requirements(path).by_id
    wanted = [id_.upper() for id_ in arguments.ids]
    if unknown := [id_ for id_ in wanted if id_ not in known]:
        print("\n".join(_misses(unknown, known)), file=sys.stderr)
        return NOT_HERE
    if arguments.reviewed:
        known = {id_: review(path, id_) for id_ in wanted}
    found, evidence = places(root), list(_evidence(root))
    accounts = [_account(known[id_], found.get(id_, {}), evidence) for id_ in wanted]
    for account in accounts:
        print("\n".join(_told(account)), file=stream_beside(arguments.json))
    write_json({"requirements": accounts}, arguments.json)
    return PASSED


def _misses(unknown: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    names = list(known)
    for id_ in unknown:
        near = difflib.get_close_matches(id_, names, n=5, cutoff=0.5) or names
        yield f"unknown requirement '{id_}': there is {', '.join(near)}"


def _evidence(root: Path) -> Iterator[Evidence]:
    for path in sorted((root / files.EVIDENCE).glob("*.json")):
        try:
            yield files.read(path)
        except files.EvidenceError as error:
            print(f"not read: {error}", file=sys.stderr)


def _account(
    one: Requirement, found: Mapping[str, Iterable[Any]], evidence: Iterable[Evidence]
) -> dict[str, Any]:
    return {
        "id": one.id,
        "group": one.group,
        "text": one.text,
        "goal": one.goal,
        "revision": one.revision,
        "outdated": one.outdated,
        "checks": list(one.checks),
        "places": {sort: [asdict(place) for place in found[sort]] for sort in SORTS if sort in found},
        "evidence": [said for step in evidence for said in _said(one.id, step)],
    }


def _said(id_: str, step: Evidence) -> Iterator[dict[str, Any]]:
    """What one step says about a requirement: what checked it, and which faults it was seen to find."""
    covers = [cover for cover in step.findings.covers if cover.requirement == id_]
    teeth = step.findings.teeth.get(id_, {})
    for kind in sorted({*(cover.kind for cover in covers), *teeth}):
        yield {
            "step": step.step,
            "kind": kind,
            "by": sorted(name for cover in covers if cover.kind == kind for name in cover.by),
            "teeth": sorted(teeth.get(kind, ())),
            "tier": step.tier,
            "commit": step.subject.commit,
            "started": step.timing.started,
            "file": f"{files.EVIDENCE}/{step.step}.json",
            "repeat": step.repeat,
        }


def _told(account: Mapping[str, Any]) -> Iterator[str]:
    standing = "outdated: changed since it was reviewed" if account["outdated"] else "reviewed"
    yield f"{account['id']}  ({account['group']}; revision {account['revision']}, {standing})"
    yield f"  {account['text']}"
    yield f"  Why: {account['goal']}"
    yield f"  Checked by: {', '.join(account['checks'])}"
    for sort, named in account["places"].items():
        yield f"\n  {SORTS[sort][0]}"
        yield from (f"    {one['path']}:{one['line']}  {one['name']}".rstrip() for one in named)
    yield "\n  Evidence of the last run"
    yield from (f"    {line}" for said in account["evidence"] for line in _evidence_lines(said))
    if not account["evidence"]:
        yield "    none: make verify"
    yield ""


def _evidence_lines(said: Mapping[str, Any]) -> Iterator[str]:
    when = f"tier {said['tier']}, commit {said['commit'][:12]}, {said['started'][:10]}"
    yield f"{said['file']}  {said['kind']}: {_some(said['by'])}  ({when})"
    if said["teeth"]:
        yield f"  found by it alone: {_some(said['teeth'])}"
    yield f"  repeat: {said['repeat']}"


def _some(names: list[str]) -> str:
    first = "; ".join(names[:3])
    return f"{len(names)} ({first}{'; …' if len(names) > len(names[:3]) else ''})" if names else "nothing"
