"""`python -m aiojobs_verification explore`: the real scheduler in every sequence of outside events, in scopes.

Rules of this file: a violation is a failure; so is a figure that is not the pinned one, since the explorer
itself may have lost something; so is an action of `scheduler.toml` or a transition of `job.toml` that
never came about in a whole tier, since a promise about it was not put to the test.

Beside the oracle, each step must be one of the model with named jobs (`refine`), whose graph TLC has dumped.
Without TLC the rest is done, and the result is *skipped*.

With `--baseline` the same harness runs aiojobs 1.4.0, and it is a failure if that is *not* caught.

Deliberately not here: exploring (`explorer`) and the bounds (`scopes`).
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aiojobs
from aiojobs_verification.cli import refine
from aiojobs_verification.cli.commands import (
    FAILED,
    NO_TOOL,
    NOT_HERE,
    PASSED,
    add_json,
    stream_beside,
    write_json,
)
from aiojobs_verification.cli.pools import ClusterError, add_pool, open_pool
from aiojobs_verification.model_checking import tlc
from aiojobs_verification.simulation.oracle.reference import action_names, moves
from aiojobs_verification.simulation.search.counterexample import tell
from aiojobs_verification.simulation.search.explorer import Found, explore
from aiojobs_verification.simulation.search.scopes import Case, pin, read_cases
from aiojobs_verification.simulation.world import packages
from aiojobs_verification.simulation.world.parties import strangers
from aiojobs_verification.specification.locate import find_repository

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TextIO

    from aiojobs_verification.cli.commands import Subparsers
    from aiojobs_verification.cli.pools import Pool
    from aiojobs_verification.model_checking.constants import Constants

__all__ = ["explore", "explore_case", "explore_side_by_side", "register"]

_Results: TypeAlias = "Sequence[tuple[Case, Found]]"

_EVERY: Final = 2.0
"""So many seconds pass between two lines of progress."""

_ALL: Final = 999
"""More requirements than there are: another package is explored until it was seen to break what it must."""


def register(subparsers: Subparsers) -> None:
    """Add ``explore`` to the command line."""
    parser = subparsers.add_parser("explore", help="run the real scheduler through every sequence of events")
    parser.add_argument("--tier", choices=("smoke", "full"), default="smoke", help="how far (default: smoke)")
    parser.add_argument(
        "--scope", action="append", metavar="NAME", help="only this scope of spec/explore.toml"
    )
    parser.add_argument("--jobs", type=int, choices=(0, 1, 2, 3, 4), help="only scopes with so many jobs")
    add_pool(parser)
    parser.add_argument(
        "--failfast", action="store_true", help="stop with the first scope in which something is found"
    )
    parser.add_argument("--pin", action="store_true", help="write the figures found into spec/explore.toml")
    parser.add_argument("--no-model", action="store_true", help="have the oracle judge alone")
    parser.add_argument("--list", action="store_true", help="show the scopes and explore nothing")
    parser.add_argument(
        "--baseline", action="store_true", help=f"explore aiojobs {packages.BASELINE}, which must be caught"
    )
    add_json(parser)
    parser.set_defaults(run=_main)


def _main(arguments: argparse.Namespace) -> int:
    cases = _chosen(arguments)
    if arguments.list:
        for case in cases:
            print(f"{case.name:<20} {case.tier:<10} {case.scope.describe()}")
        return PASSED
    if not cases:
        sys.stderr.write("no such scope; --list shows them\n")
        return NOT_HERE
    folder = _baseline() if arguments.baseline else None
    started = time.monotonic()
    skipped = "" if folder or arguments.no_model else _reason_for_no_model()
    wanted = {} if folder or arguments.no_model or skipped else refine.models(cases)
    one = partial(explore_case, folder=folder, wanted=wanted)
    try:
        results = _explore_all(cases, one, arguments)
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_HERE
    seconds = time.monotonic() - started
    if arguments.pin:
        pin((case, found.figures()) for case, found in results)
        results = [(replace(case, expect=found.figures()), found) for case, found in results]
    whole = len(results) == len(cases) and not (arguments.scope or arguments.jobs is not None)
    wrong = _judge_baseline(results) if folder else _judge(results) + (_unseen(results) if whole else [])
    if wanted and whole and not wrong:
        wrong += _both_ways(results, wanted, arguments.tier)
    _report(results, wrong, seconds, stream_beside(arguments.json), folder)
    if not wrong:
        write_json(_account_of_baseline(results) if folder else _account(results), arguments.json)
    if skipped and not wrong:
        sys.stderr.write(f"nothing was held against the model: {skipped}\n")
        return NO_TOOL
    return FAILED if wrong else PASSED


def _reason_for_no_model() -> str:
    found = tlc.find()
    return found.reason if isinstance(found, tlc.Missing) else ""


def _both_ways(results: _Results, wanted: Mapping[str, Constants], tier: str) -> list[str]:
    """What the model does and the code never does, unless that is declared."""
    taken = {kind for _, found in results for kind in found.modelled}
    possible = {kind for one in set(wanted.values()) for kind in refine.kinds(refine.graph_of(one))}
    return list(refine.differences(taken, possible, refine.read_never(), tier))


def _chosen(arguments: argparse.Namespace) -> list[Case]:
    cases = [case for case in read_cases() if case.applicable]
    if arguments.scope:
        return [case for case in cases if case.name in arguments.scope]
    tiers = {"baseline"} if arguments.baseline else {"smoke", arguments.tier}
    return [case for case in cases if case.tier in tiers and arguments.jobs in {None, case.scope.jobs}]


def _baseline() -> Path:
    root = find_repository() or Path.cwd()
    return packages.fetch(packages.BASELINE, root / "build" / "baseline")


def _package(folder: Path | None) -> packages.Package:
    return packages.own() if folder is None else packages.load(folder, f"aiojobs {packages.BASELINE}")


def _explore_all(
    cases: list[Case], one: Callable[[Case], Found], arguments: argparse.Namespace
) -> list[tuple[Case, Found]]:
    cluster = None if arguments.baseline else arguments.cluster
    workers = min(arguments.workers, len(cases))
    if cluster is None and workers <= 1:
        return list(_explore_one_by_one(cases, one, failfast=arguments.failfast))
    with open_pool(workers, cluster) as pool:
        return explore_side_by_side(cases, one, pool, failfast=arguments.failfast)


def explore_side_by_side(
    cases: list[Case], one: Callable[[Case], Found], pool: Pool, *, failfast: bool = False
) -> list[tuple[Case, Found]]:
    """Explore each case as a portion of work, or until something is found in one of them."""
    # The longest first, so that no process is left with one at the end.
    order = sorted(cases, key=lambda case: -case.expect.get("events", 0))
    futures = {pool.submit(one, case): case for case in order}
    for future in as_completed(futures):
        if failfast and future.result().findings:
            pool.abandon()
            return [(futures[future], future.result())]
    found = {case.name: future.result() for future, case in futures.items()}
    return [(case, found[case.name]) for case in cases]


def _explore_one_by_one(
    cases: list[Case], one: Callable[[Case], Found], *, failfast: bool
) -> Iterator[tuple[Case, Found]]:
    for case in cases:
        found = one(case)
        yield case, found
        if failfast and found.findings:
            return


def explore_case(case: Case, *, folder: Path | None, wanted: Mapping[str, Constants]) -> Found:
    """Explore one case, of the package in `folder` or of this one, against the model if it is `wanted`."""
    show = _Progress(case)
    most = 1 if folder is None else _ALL
    model = refine.model_of(case.scope, wanted[case.name]) if case.name in wanted else None
    package = _package(folder)
    found = explore(case.scope, package, wanted=most, until=case.breaks, progress=show.tell, model=model)
    show.end(found)
    return found


class _Progress:
    """Says every few seconds how far one scope is."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.started = self.said = time.monotonic()

    def tell(self, found: Found, states: int) -> None:
        """So many states are known."""
        now = time.monotonic()
        if now - self.said > _EVERY:
            self.said = now
            goal = self.case.expect.get("states")
            of = f" of {goal:,}" if goal else ""
            rate = found.steps / (now - self.started)
            self._say(f"{states:,}{of} states, {rate:,.0f} steps/s")

    def end(self, found: Found) -> None:
        """It is finished."""
        self._say(f"{found.states:,} states in {time.monotonic() - self.started:.1f} s")

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self.case.name}: {text}\n")
        sys.stderr.flush()


# The verdict.


def _judge(results: _Results) -> list[str]:
    """Violations, and figures that are not the pinned ones."""
    wrong: list[str] = []
    for case, found in results:
        wrong += [f"{case.name}: {finding.verdict}" for finding in found.findings.values()]
        if not found.findings and case.expect and found.figures() != case.expect:
            wrong.append(f"{case.name}: found {found.figures()}, pinned are {dict(case.expect)}")
    return wrong


def _seen(results: _Results) -> tuple[set[str], set[tuple[str, str]]]:
    """Actions of `scheduler.toml` and transitions of `job.toml` that came about."""
    actions = {action for _, found in results for action in found.actions}
    return actions, {cell for _, found in results for cell in found.cells}


def _unseen(results: _Results) -> list[str]:
    """Those that never did."""
    actions, cells = _seen(results)
    wrong = [f"the action {action} never came about" for action in sorted(action_names() - actions)]
    met = {name for _, found in results for name in found.met}
    wrong += [f"the stranger '{name}' never came about" for name in sorted(strangers() - met)]
    wrong += [f"no {state} job ever had the event {event}" for state, event in sorted(moves() - cells)]
    return wrong


def _judge_baseline(results: _Results) -> list[str]:
    wrong: list[str] = []
    for case, found in results:
        missed = [requirement for requirement in case.breaks if requirement not in found.findings]
        if missed:
            wrong.append(
                f"{case.name}: not caught breaking {', '.join(missed)}; found {sorted(found.findings)}"
            )
    return wrong


def _report(
    results: _Results, wrong: Sequence[str], seconds: float, out: TextIO, folder: Path | None
) -> None:
    package = _package(folder)
    for case, found in results:
        figures = f"{found.states:>8,} states {found.events:>9,} events, depth {found.depth:>2}"
        pinned = "" if case.expect or folder else "   (not pinned)"
        out.write(f"{case.name:<20} {figures}   {case.scope.describe()}{pinned}\n")
        for finding in found.findings.values():
            if folder is None or finding.requirement in case.breaks:
                out.write("\n" + tell(finding, package) + "\n\n")
    steps = sum(found.steps for _, found in results)
    out.write(f"{steps:,} steps, replays included, in {seconds:.1f} s\n")
    out.writelines(f"FAIL {line}\n" for line in wrong)


def _account(results: _Results) -> dict[str, Any]:
    """What the chain of evidence wants to know."""
    actions, cells = _seen(results)
    speakers: dict[str, list[str]] = {}
    for case, found in results:
        for requirement in found.spoken:
            speakers.setdefault(requirement, []).append(f"{case.name}: {case.scope.describe()}")
    figures = {
        "build": aiojobs.__build__,
        "scopes": len(results),
        "states": sum(found.states for _, found in results),
        "events": sum(found.events for _, found in results),
        "depth": max(found.depth for _, found in results),
        "scopes held against the model": sum(bool(found.in_model) for _, found in results),
        "kinds of steps of the model taken": len({kind for _, found in results for kind in found.modelled}),
        "steps with replays": sum(found.steps for _, found in results),
        "actions seen": f"{len(actions)} of {len(action_names())}",
        "transitions seen": f"{len(cells)} of {len(moves())}",
        "strangers met": f"{len({name for _, found in results for name in found.met})} of {len(strangers())}",
    }
    every = [case for case in read_cases() if case.applicable and case.tier != "baseline"]
    return {
        "figures": figures,
        "covers": {name: sorted(by) for name, by in sorted(speakers.items())},
        "left_out": {"scopes": len(every) - len(results)},
    }


def _account_of_baseline(results: _Results) -> dict[str, Any]:
    stories = {
        f"{requirement} ({case.name})": f"a story of {len(found.findings[requirement].events)} events"
        for case, found in results
        for requirement in case.breaks
    }
    broken = {requirement for case, _ in results for requirement in case.breaks}
    return {"figures": {"requirements found broken": len(broken), **stories}}
