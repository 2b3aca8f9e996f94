"""`python -m aiojobs_verification audit TRACE`: does a trace obey the specification, and where not first?

`--demo` is the step of the chain of evidence: it has runs of this project recorded, audited and corrupted.

Deliberately not here: reading a trace (`replay`), the step (`demonstration`).
"""

from __future__ import annotations

import sys
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import TYPE_CHECKING

from aiojobs_verification.cli.commands import (
    FAILED,
    NO_TOOL,
    NOT_HERE,
    PASSED,
    Subparsers,
    add_folder,
    add_json,
    stream_beside,
    write_json,
)
from aiojobs_verification.specification.load import load
from aiojobs_verification.specification.locate import repository
from aiojobs_verification.trace_audit.demonstration import gather
from aiojobs_verification.trace_audit.replay import Audit, audit

if TYPE_CHECKING:
    import argparse

__all__ = ["register"]


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("audit", help="check that a recorded run obeys the specification")
    parser.add_argument("trace", nargs="?", type=Path, metavar="TRACE", help="a file of JSON lines")
    parser.add_argument("--demo", action="store_true", help="record, audit and corrupt runs of this project")
    parser.add_argument("--tier", choices=("smoke", "full"), default="smoke", help="how far --demo goes")
    add_folder(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.demo == (arguments.trace is not None):
        print("audit wants the name of a trace, or --demo", file=sys.stderr)
        return NOT_HERE
    out = stream_beside(arguments.json)
    spec = load(arguments.spec)
    if arguments.demo:
        if find_module("aiohttp") is None:
            print("the example service needs aiohttp, which is not installed", file=sys.stderr)
            return NO_TOOL
        full = arguments.tier == "full"
        evidence = gather(spec, repository(), full=full, say=lambda line: print(line, file=out, flush=True))
        found, told, good = evidence.as_dict(), evidence.told(), not evidence.faults
    else:
        with arguments.trace.open("rb") as file:
            audited = audit(file, spec)
        found = audited.as_dict() | {"timing": {"lines a second": audited.speed}}
        told, good = _told_audit(audited, arguments.trace), audited.finding is None
    write_json(found, arguments.json)
    print(told, file=out)
    return PASSED if good else FAILED


def _told_audit(found: Audit, path: Path) -> str:
    if found.finding is not None:
        return f"BROKEN: {path}, {found.finding.told()}"
    reader = found.reader
    assert reader is not None
    return (
        f"OBEYS: {path}, {reader.lines} lines, {reader.follower.jobs.born} jobs, {found.speed} lines a second"
    )
