"""`python -m aiojobs_verification mutants`: does a link find every seeded fault of the promises it counts for?

Rules of this file: a fault that survives is named and is a failure, unless the catalogue argues that it
means the same. So is one that is stale, somebody who does not find what they are expected to find, an
argument about a fault that is found, a known defect of aiojobs 1.4.0 that no fault is, and, when all were
tried, a requirement and a kind of check that counts for it and has found nothing by itself.

Deliberately not here: what the faults are (`catalogue`, `operators`, `mutate`), trying them (`trials`), and
the faults of the model in `spec/tla` (`check`). aiojobs 1.4.0, the natural fault, is `baseline`.
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
from aiojobs_verification.fault_injection import baseline, teeth
from aiojobs_verification.fault_injection.catalogue import GROUPS, KIND, KINDS, read_catalogue
from aiojobs_verification.fault_injection.sandbox import Sandbox
from aiojobs_verification.fault_injection.trials import BaselineError, Trial, Trials, everything, trials
from aiojobs_verification.specification.locate import repository

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from typing import TextIO

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
        return _try_baseline(arguments.json, out)
    full = arguments.tier == "full"
    begun = time.monotonic()
    root = arguments.root or repository()
    with Sandbox(root) as sandbox:
        catalogue = read_catalogue(sandbox.base / "spec", sandbox.base)
        every = everything(catalogue, sandbox.base)
        chosen = [fault for fault in every if any(part in fault.name for part in arguments.only or [""])]
        tried = trials(chosen, full=full or bool(arguments.only))
        if arguments.list or not tried:
            print("\n".join(_listed(tried)) or "no such fault; --list shows them", file=out)
            return PASSED if arguments.list else NOT_HERE
        tell = _Telling()
        try:
            Trials(catalogue, sandbox, full=full, workers=max(1, arguments.workers), tell=tell).judge(tried)
        except BaselineError as error:
            tell.end()
            print(f"THE UNCHANGED TREE FAILS: {error}", file=out)
            return FAILED
        tell.end()
        found = teeth.matrix(catalogue.requirements, tried, sandbox.base / "spec")
    wrong = failures(catalogue, tried, whole=not arguments.only)
    if full and not arguments.only:
        wrong += _toothless(found)
        teeth.write_matrix(root / "spec", found, root)
    if arguments.verbose:
        print("\n".join(_found(tried)), file=out)
    print("\n".join([*_summary(tried, time.monotonic() - begun), *wrong]), file=out)
    shown = {"teeth": found, "left_out": {"seeded faults": len(every) - len(tried)}}
    write_json(account(tried) | shown, arguments.json)
    return FAILED if wrong else PASSED


def _try_baseline(where: str | None, out: TextIO) -> int:
    try:
        found = baseline.catch()
    except baseline.UnreachableError as error:
        print(error, file=sys.stderr)
        return NO_TOOL
    print("\n".join(found.told), file=out)
    if found.missed:
        return FAILED
    write_json({"figures": found.figures, "planted": found.planted}, where)
    return PASSED


def _toothless(found: teeth.Matrix) -> list[str]:
    """The cells of the matrix that all faults together leave empty."""
    return [
        f"NO TEETH: {kind} counts for {requirement}, and has found no fault that breaks it"
        for requirement, kind in teeth.empty(found)
    ]


def failures(catalogue: Catalogue, tried: Sequence[Trial], *, whole: bool = True) -> list[str]:
    """What is wrong; with `whole`, also what the tier as a whole has left out."""
    wrong: list[str] = []
    for trial in tried:
        if trial.verdict not in _GOOD:
            breaks = ", ".join(trial.fault.breaks) or "no requirement in particular"
            wrong += [
                "",
                f"{trial.verdict.upper()}: {trial.fault.name} ({trial.fault.group}; breaks {breaks})",
            ]
            wrong += [f"  {line}" for line in (trial.fault.story, trial.remark()) if line != trial.fault.name]
    if whole:
        found = {requirement for trial in tried for requirement in trial.covers}
        needed = [name for name, one in catalogue.requirements.by_id.items() if KIND in one.checks]
        if bare := [name for name in needed if name not in found]:
            wrong.append(f"NO FAULT was found for {', '.join(bare)}")
        wrong += [f"NO FAULT is the known defect: {defect}" for defect in _not_recreated(catalogue)]
    return wrong


def _not_recreated(catalogue: Catalogue) -> Iterator[str]:
    recreated = {defect for fault in catalogue.listed for defect in fault.recreates}
    known = {
        defect: None
        for requirement in catalogue.requirements.by_id.values()
        if KIND in requirement.checks
        for defect in requirement.defects
    }
    return (defect for defect in known if defect not in recreated)


def _how(trial: Trial) -> str:
    """What is wrong with a mutant, and who found it."""
    said = [trial.fault.story, trial.remark()]
    if trial.covers:
        said.append(f"Counts for {', '.join(trial.covers)}.")
    return "\n".join(line for line in said if line and line != trial.fault.name)


def account(tried: Sequence[Trial]) -> dict[str, Any]:
    """The plain form, for `--json`; the same for every run on the same files."""
    verdicts = Counter(trial.verdict for trial in tried)
    groups = Counter(trial.fault.group for trial in tried)
    by = Counter(link for trial in tried for link, _ in trial.killers)
    covers: dict[str, list[str]] = {}
    for trial in tried:
        for requirement in trial.covers:
            covers.setdefault(requirement, []).append(trial.fault.name)
    return {
        "figures": {
            "mutants": len(tried),
            **{verdict: verdicts[verdict] for verdict in sorted(_GOOD | set(verdicts))},
            **{f"of {group}": groups[group] for group in GROUPS if groups[group]},
            **{f"found by {finder}": by[finder] for finder in KINDS if by[finder]},
            "known defects re-created": len({d for trial in tried for d in trial.fault.recreates}),
        },
        "covers": {requirement: sorted(names) for requirement, names in sorted(covers.items())},
        "skips": {
            f"{trial.fault.name}, {link}": answer["story"]
            for trial in tried
            for link, answer in trial.said.items()
            if answer["status"] == "not here"
        },
        "planted": {trial.fault.name: _how(trial) for trial in tried if trial.verdict == "killed"},
        "mutants": [
            {
                "name": trial.fault.name,
                "kind": trial.fault.group,
                "story": trial.fault.story,
                "aims": list(trial.fault.breaks),
                "verdict": trial.verdict,
                "killed for": trial.covers,
                "by": {link: answer.get("by", link) for link, answer in trial.killers},
                "remark": trial.remark(),
            }
            for trial in tried
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


def _listed(tried: Sequence[Trial]) -> Iterator[str]:
    for trial in tried:
        fault = trial.fault
        aims = f" [{', '.join(fault.breaks)}]" if fault.breaks else ""
        yield f"{fault.group:<9} {fault.name}{aims} by {', '.join(fault.found_by)}"


def _found(tried: Sequence[Trial]) -> Iterator[str]:
    for trial in tried:
        yield f"{trial.verdict}: {trial.fault.name}"
        yield f"  {', '.join(trial.covers) or '-'} by {trial.remark()}"


def _summary(tried: Sequence[Trial], seconds: float) -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    for group in GROUPS:
        verdicts = Counter(trial.verdict for trial in tried if trial.fault.group == group)
        bad = sum(count for verdict, count in verdicts.items() if verdict not in _GOOD)
        if verdicts:
            counts = (sum(verdicts.values()), verdicts["killed"], verdicts["equivalent"], bad)
            rows.append((group, *map(str, counts)))
    yield from grid(("a fault of", "mutants", "killed", "equivalent", "not found"), rows)
    yield ""
    good = sum(trial.verdict in _GOOD for trial in tried)
    yield f"{good} of {len(tried)} faults are found or equivalent, {seconds:.0f} s"
