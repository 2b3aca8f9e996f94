"""`python -m aiojobs_verification symbolic`: CrossHair confirms the contracts of the pure core over all paths.

Deliberately not here: what counts as confirmed (`symbolic.check`).
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import TYPE_CHECKING

from aiojobs_verification.cli.commands import (
    FAILED,
    NO_TOOL,
    PASSED,
    Subparsers,
    add_json,
    stream_beside,
    write_json,
)
from aiojobs_verification.specification.locate import repository
from aiojobs_verification.symbolic.check import PROOFS, SymbolicResults, check
from aiojobs_verification.symbolic.contracts import EXPECTED, read_contracts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["register"]


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("symbolic", help="confirm the contracts of the pure core over all paths")
    parser.add_argument("--tier", choices=("smoke", "full"), default="smoke", help="how far to go")
    parser.add_argument("--root", type=Path, help="the source tree that is checked (default: this one)")
    parser.add_argument("--contracts", type=Path, help="another folder than symbolic/proofs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if find_module("crosshair") is None:
        needed = "'symbolic' needs crosshair-tool, which is not installed: pip install 'aiojobs-verification'"
        print(needed, file=sys.stderr)
        return NO_TOOL
    out = stream_beside(arguments.json)
    folder = arguments.contracts or PROOFS
    account = check(
        arguments.root or repository(),
        folder,
        full=arguments.tier == "full",
        jobs=arguments.jobs,
        say=lambda line: print(line, file=out, flush=True),
    )
    left_out = len(read_contracts(folder, full=True)) - len(account.results)
    write_json(account.as_dict() | {"left_out": {"contracts": left_out}}, arguments.json)
    print("\n".join(_told(account)), file=out)
    return PASSED if account.holds else FAILED


def _told(account: SymbolicResults) -> Iterator[str]:
    for result in account.results:
        if result.fault:
            ids = f" ({', '.join(result.contract.requirements)})" if result.contract.requirements else ""
            yield ""
            yield f"{result.verdict.upper()}: {result.contract.title}{ids}"
            yield f"  {result.fault}"
            if result.at:
                yield f"  {result.at}"
    yield from (f"\nFAULT: {fault}" for fault in account.faults)
    yield ""
    figures = ", ".join(f"{count} {name}" for name, count in account.figures().items())
    verdict = "AS EXPECTED" if account.holds else f"NOT AS EXPECTED ({EXPECTED})"
    yield f"{verdict}: {figures}, {account.seconds:.0f} s"
