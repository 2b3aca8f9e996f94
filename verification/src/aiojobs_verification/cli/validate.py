"""`python -m aiojobs_verification validate`: are the files well-formed, total, linked, and reviewed?

A requirement whose text or kinds of check have changed since somebody reviewed them fails here, and nowhere
else: every other command works while somebody edits.

Deliberately not here: whether what they say is true (`prove`), and any rule of what well-formed means
(`load`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiojobs_verification.cli.commands import FAILED, PASSED, Subparsers, add_folder
from aiojobs_verification.specification.load import load

if TYPE_CHECKING:
    import argparse

    from aiojobs_verification.specification.load import Spec
    from aiojobs_verification.specification.machine import Machine

__all__ = ["register", "summary"]


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "validate", help="check that the specification files are well-formed and linked"
    )
    add_folder(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    spec = load(arguments.spec)
    print("\n".join(summary(spec)))
    outdated = [one.id for one in spec.requirements.by_id.values() if one.outdated]
    for name in outdated:
        print(
            f"FAULT: {name} is outdated: its text or its kinds of check have changed since they were reviewed. "
            f"Do the checks still speak for it? Then: python -m aiojobs_verification requirement {name} --reviewed",
            file=sys.stderr,
        )
    return FAILED if outdated else PASSED


def summary(spec: Spec) -> list[str]:
    """One line per file: what it declares."""
    scheduler, outcomes = spec.scheduler, len(spec.job.outcomes)
    statements = {
        "actions": scheduler.actions,
        "invariants": scheduler.invariants,
        "clauses of enabledness": scheduler.enabled,
        "rules for steps": scheduler.steps,
        "balances": scheduler.balances,
        "rules of liveness": scheduler.liveness,
    }
    kinds = len(spec.requirements.kinds)
    return [
        f"job.toml           {_counts(spec.job.machine)}, {outcomes} outcomes",
        f"scheduler.toml     phases: {_counts(scheduler.phase)}",
        f"                   {', '.join(f'{len(group)} {name}' for name, group in statements.items())}",
        f"requirements.toml  {len(spec.requirements.by_id)} requirements, {kinds} kinds of check",
        f"assumptions.toml   {len(spec.assumptions)} assumptions",
        f"{spec.folder}: well-formed",
    ]


def _counts(machine: Machine) -> str:
    cells = [(state, dest) for state, row in machine.cells.items() for dest in row.values()]
    illegal = sum(dest is None for _, dest in cells)
    moves = len(machine.moves())
    return (
        f"{len(machine.states)} states × {len(machine.events)} events = {len(cells)} cells "
        f"({moves} transitions, {len(cells) - moves - illegal} no-ops, {illegal} illegal)"
    )
