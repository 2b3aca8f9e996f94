"""`python -m aiojobs_verification mutants`: is every seeded fault found, by a link that claims its requirement?

Rules of this file: a mutant that survives is named and is a failure, unless the catalogue argues that it
means the same. So is a link that does not find what it is expected to find, an argument about a mutant that
is found, a requirement that no mutant was killed for, and a known defect of aiojobs 1.4.0 that no mutant
is.

How it works: the catalogue (`catalogue`), the operators (`operators`) and the counters (`mutate`) say what
the mutants are, `trials` shows them to their links, `killers` is what the links do, each in a copy of the
tree (`sandbox`).

Deliberately not here: mutants of the model in `spec/tla` (`check`). aiojobs 1.4.0, the natural mutant, is
`baseline`.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.cli.commands import (
    FAILED,
    NO_TOOL,
    NOT_HERE,
    PASSED,
    Subparsers,
    add_json,
    stream_beside,
    write_json,
)
from aiojobs_verification.codegen.markdown import grid
from aiojobs_verification.fault_injection import baseline
from aiojobs_verification.fault_injection.catalogue import KINDS, LINKS, MUTANT, read_catalogue
from aiojobs_verification.fault_injection.sandbox import Sandbox
from aiojobs_verification.fault_injection.trials import BaselineError, Court, Trial, trials
from aiojobs_verification.specification.locate import repository

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from aiojobs_verification.fault_injection.catalogue import Catalogue

__all__ = ["account", "failures", "register"]

_GOOD: Final = {"killed", "equivalent"}
_EVERY: Final = {True: 0.2, False: 5.0}
"""How often it says how far it is, in seconds: on a terminal, and elsewhere."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "mutants", help="show that seeded faults of specification and code are found"
    )
    parser.add_argument(
        "--tier", choices=("smoke", "full"), default="smoke", help="a few, or all (default: smoke)"
    )
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="only mutants whose name contains this"
    )
    parser.add_argument("--baseline", action="store_true", help="try aiojobs 1.4.0, which must be caught")
    parser.add_argument("--list", action="store_true", help="show the mutants and try none")
    parser.add_argument("--verbose", action="store_true", help="show who found each")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--root", type=Path, help="the source tree to take (default: this one)")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if not hasattr(os, "fork"):
        print("'mutants' needs a system on which processes can fork", file=sys.stderr)
        return NO_TOOL
    out = stream_beside(arguments.json)
    if arguments.baseline:
        return baseline.catch(arguments.json)
    full = arguments.tier == "full"
    begun = time.monotonic()
    with Sandbox(arguments.root or repository()) as sandbox:
        catalogue = read_catalogue(sandbox.base / "spec", sandbox.base)
        on_trial = trials(catalogue, sandbox.base, full=full or bool(arguments.only))
        if arguments.only:
            on_trial = [
                trial for trial in on_trial if any(part in trial.mutant.name for part in arguments.only)
            ]
        if arguments.list or not on_trial:
            print("\n".join(_listed(on_trial)) or "no such mutant; --list shows them", file=out)
            return PASSED if arguments.list else NOT_HERE
        tell = _Telling()
        try:
            Court(catalogue, sandbox, full=full, workers=max(1, arguments.workers), tell=tell).judge(on_trial)
        except BaselineError as error:
            tell.end()
            print(f"THE UNCHANGED TREE FAILS: {error}", file=out)
            return FAILED
        tell.end()
    wrong = failures(catalogue, on_trial, whole=not arguments.only)
    if arguments.verbose:
        print("\n".join(_found(on_trial)), file=out)
    print("\n".join([*_summary(on_trial, time.monotonic() - begun), *wrong]), file=out)
    write_json(account(on_trial), arguments.json)
    return FAILED if wrong else PASSED


def failures(catalogue: Catalogue, on_trial: Sequence[Trial], *, whole: bool = True) -> list[str]:
    """What is wrong; with `whole`, also what the tier as a whole has left out."""
    wrong: list[str] = []
    for trial in on_trial:
        if trial.verdict not in _GOOD:
            aims = ", ".join(trial.mutant.aims) or "no requirement in particular"
            wrong += [
                "",
                f"{trial.verdict.upper()}: {trial.mutant.name} ({trial.mutant.kind}; aims at {aims})",
            ]
            wrong += [
                f"  {line}" for line in (trial.mutant.story, trial.remark()) if line != trial.mutant.name
            ]
    if whole:
        covered = {requirement for trial in on_trial for requirement in trial.covers}
        needed = [name for name, one in catalogue.requirements.by_id.items() if MUTANT in one.checks]
        if bare := [name for name in needed if name not in covered]:
            wrong.append(f"NO MUTANT was killed for {', '.join(bare)}")
        wrong += [f"NO MUTANT is the known defect: {defect}" for defect in _not_recreated(catalogue)]
    return wrong


def _not_recreated(catalogue: Catalogue) -> Iterator[str]:
    recreated = {defect for mutant in catalogue.listed for defect in mutant.recreates}
    known = {
        defect: None
        for requirement in catalogue.requirements.by_id.values()
        if MUTANT in requirement.checks
        for defect in requirement.defects
    }
    return (defect for defect in known if defect not in recreated)


def _how(trial: Trial) -> str:
    """What is wrong with a mutant, and who found it."""
    said = [trial.mutant.story, trial.remark()]
    if trial.covers:
        said.append(f"Counts for {', '.join(trial.covers)}.")
    return "\n".join(line for line in said if line and line != trial.mutant.name)


def account(on_trial: Sequence[Trial]) -> dict[str, Any]:
    """The plain form, for `--json`; the same for every run on the same files."""
    verdicts = Counter(trial.verdict for trial in on_trial)
    kinds = Counter(trial.mutant.kind for trial in on_trial)
    by = Counter(link for trial in on_trial for link, _ in trial.killers)
    covers: dict[str, list[str]] = {}
    for trial in on_trial:
        for requirement in trial.covers:
            covers.setdefault(requirement, []).append(trial.mutant.name)
    return {
        "figures": {
            "mutants": len(on_trial),
            **{verdict: verdicts[verdict] for verdict in sorted(_GOOD | set(verdicts))},
            **{f"of {kind}": kinds[kind] for kind in KINDS if kinds[kind]},
            **{f"found by {link}": by[link] for link in LINKS if by[link]},
            "known defects re-created": len({d for trial in on_trial for d in trial.mutant.recreates}),
        },
        "covers": {requirement: sorted(names) for requirement, names in sorted(covers.items())},
        "skips": {
            f"{trial.mutant.name}, {link}": answer["story"]
            for trial in on_trial
            for link, answer in trial.said.items()
            if answer["status"] == "not here"
        },
        "planted": {trial.mutant.name: _how(trial) for trial in on_trial if trial.verdict == "killed"},
        "mutants": [
            {
                "name": trial.mutant.name,
                "kind": trial.mutant.kind,
                "story": trial.mutant.story,
                "aims": list(trial.mutant.aims),
                "verdict": trial.verdict,
                "killed for": trial.covers,
                "by": {link: answer.get("by", link) for link, answer in trial.killers},
                "remark": trial.remark(),
            }
            for trial in on_trial
        ],
    }


class _Telling:
    """Says how far it is: on a terminal in one line that changes, elsewhere in a line every few seconds."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._said = time.monotonic()

    def __call__(self, line: str) -> None:
        now = time.monotonic()
        if now - self._said >= _EVERY[self._live]:
            self._said = now
            width = 100
            text = f"\r\x1b[K{line[:width]}" if self._live else f"{line[:width]}\n"
            sys.stderr.write(text)
            sys.stderr.flush()

    def end(self) -> None:
        """Nothing more is to be said."""
        if self._live:
            sys.stderr.write("\r\x1b[K")


def _listed(on_trial: Sequence[Trial]) -> Iterator[str]:
    for trial in on_trial:
        mutant = trial.mutant
        aims = f" [{', '.join(mutant.aims)}]" if mutant.aims else ""
        yield f"{mutant.kind:<9} {mutant.name}{aims} by {', '.join(mutant.links)}"


def _found(on_trial: Sequence[Trial]) -> Iterator[str]:
    for trial in on_trial:
        yield f"{trial.verdict}: {trial.mutant.name}"
        yield f"  {', '.join(trial.covers) or '-'} by {trial.remark()}"


def _summary(on_trial: Sequence[Trial], seconds: float) -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    for kind in KINDS:
        verdicts = Counter(trial.verdict for trial in on_trial if trial.mutant.kind == kind)
        bad = sum(count for verdict, count in verdicts.items() if verdict not in _GOOD)
        if verdicts:
            counts = (sum(verdicts.values()), verdicts["killed"], verdicts["equivalent"], bad)
            rows.append((kind, *map(str, counts)))
    yield from grid(("a fault of", "mutants", "killed", "equivalent", "not found"), rows)
    yield ""
    good = sum(trial.verdict in _GOOD for trial in on_trial)
    yield f"{good} of {len(on_trial)} mutants are found or equivalent, {seconds:.0f} s"
