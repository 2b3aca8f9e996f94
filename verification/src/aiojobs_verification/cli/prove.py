"""`python -m aiojobs_verification prove`: the counters are right for every limit.

Rules of this file: a failing proof shows the state and the action as a table, with numbers as small as there
are.

Deliberately not here: the proof itself (`smt.proof`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiojobs_verification.cli.commands import (
    FAILED,
    PASSED,
    Subparsers,
    add_folder,
    add_json,
    stream_beside,
    write_json,
)
from aiojobs_verification.codegen.markdown import grid
from aiojobs_verification.smt.proof import PROVED, REFUTED, Proof, ProofAnswer, prove
from aiojobs_verification.smt.questions import GROUPS
from aiojobs_verification.specification.load import load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

__all__ = ["register"]


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("prove", help="prove the counters right for every limit and pending limit")
    add_folder(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    proof = prove(load(arguments.spec).scheduler)
    write_json(proof.as_dict(), arguments.json)
    print("\n".join([*_summary(proof), *_failures(proof)]), file=stream_beside(arguments.json))
    return PASSED if proof.holds else FAILED


def _summary(proof: Proof) -> Iterator[str]:
    yield "For every limit L ≥ 1, for none, however it is changed, and for every pending limit P ≥ 0:"
    yield ""
    rows: list[tuple[str, ...]] = []
    for group, meaning in GROUPS.items():
        verdicts = [answer.verdict for answer in proof.answers if answer.group == group]
        rows.append((group, meaning, f"{verdicts.count(PROVED)} of {len(verdicts)}"))
    yield from grid(("", "what is shown", "proved"), rows)
    yield ""
    verdict = "PROVED" if proof.holds else "NOT PROVED"
    yield f"{verdict}: {len(proof.answers)} questions, {proof.seconds:.2f} s"


def _failures(proof: Proof) -> Iterable[str]:
    for answer in proof.failures():
        requirements = answer.statement.requirements
        ids = f" ({', '.join(requirements)})" if requirements else ""
        yield ""
        yield f"{answer.verdict.upper()}: {answer.title}{ids}"
        yield f"  {answer.statement.meaning}"
        yield from (f"  {line}" for line in _story(answer))


def _story(answer: ProofAnswer) -> Iterator[str]:
    if not answer.before:
        yield "There is no such state." if answer.verdict == REFUTED else "z3 gave up."
        return
    if not answer.after:
        yield from grid(("", "state"), list(answer.before.items()))
        return
    rows = [(name, value, answer.after.get(name, "")) for name, value in answer.before.items()]
    yield from grid(("", "before", f"after {answer.action}"), rows)
