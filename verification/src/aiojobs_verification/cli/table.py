"""`python -m aiojobs_verification table`: print what the specification says.

Deliberately not here: what a block says (`narrate`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiojobs_verification.cli.commands import PASSED, Subparsers, add_folder
from aiojobs_verification.codegen.narrate import BLOCKS
from aiojobs_verification.specification.load import load

if TYPE_CHECKING:
    import argparse

__all__ = ["register"]

_USUAL = ("lifecycle-table", "properties", "outcomes", "phases-table", "actions", "invariants")


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("table", help="print tables of the specification")
    add_folder(parser)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which (default: {', '.join(_USUAL)}; there are: {', '.join(BLOCKS)})",
    )
    parser.set_defaults(run=_run, parser=parser)


def _run(arguments: argparse.Namespace) -> int:
    for name in arguments.names:
        if name not in BLOCKS:
            arguments.parser.error(f"unknown table '{name}' (there are: {', '.join(BLOCKS)})")
    spec = load(arguments.spec)
    for name in arguments.names or _USUAL:
        print("\n".join([name, "=" * len(name), "", *BLOCKS[name](spec), ""]))
    return PASSED
