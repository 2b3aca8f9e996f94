"""`python -m aiojobs_verification fuzz`: the real scheduler in random sequences of outside events.

Rules of this file: with `--tier` it does a fixed number of worlds from fixed seeds, so that two runs on
the same sources find the same; without, it goes on until it is stopped, on all cores, with seeds that
nobody has tried. Whatever is found is kept under `build/findings`: the story, the events, and a test to
paste.

How it works: three engines with the same oracle. The *walk* is fast and sees most. *Hypothesis* machines
look for shape and shrink by themselves. The walk *live* is small, on asyncio's own loop and on uvloop, in
real time.

With `--baseline` the walk runs on aiojobs 1.4.0, and it is a failure if that is *not* caught.

Deliberately not here: events, worlds and what is right.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import asdict
from hashlib import sha256
from importlib.util import find_spec as find_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiojobs
from aiojobs_verification.cli.commands import FAILED, NOT_HERE, PASSED, add_json, stream_beside, write_json
from aiojobs_verification.cli.pools import ClusterError, add_pool, open_pool
from aiojobs_verification.simulation.search.counterexample import Finding, paste, replay, shrink, tell
from aiojobs_verification.simulation.search.walk import Walked, walk
from aiojobs_verification.simulation.world import packages
from aiojobs_verification.simulation.world.world import EVENT_KINDS, Event, Scope, watching
from aiojobs_verification.specification.locate import find_repository

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from aiojobs_verification.cli.commands import Subparsers
    from aiojobs_verification.cli.pools import Pool
    from aiojobs_verification.simulation.world.packages import Package

__all__ = ["register", "search", "walk_portions"]

SEED: Final = 20251122
"""Where the fixed seeds begin."""

_PORTION: Final = 250
"""So many walks are one piece of work for a process."""

_CAUGHT: Final = (
    "LIMIT-1",
    "LIMIT-2",
    "SPAWN-2",
    "SPAWN-4",
    "WAIT-3",
    "CLOSE-1",
    "CLOSE-4",
    "SHUT-3",
    "EXC-1",
    "EXC-4",
)
"""Requirements that aiojobs 1.4.0 must be found to break."""


class _Tier(NamedTuple):
    walks: int
    examples: int
    """For each machine of Hypothesis."""
    steps: int
    live: int
    """For each real loop."""


_TIERS: Final = {"smoke": _Tier(4000, 60, 40, 25), "full": _Tier(100_000, 2000, 60, 300)}


def search(
    package: Package, seeds: Iterable[int | str], *, scope: Scope | None = None, until: Iterable[str] = ()
) -> Walked:
    """Walk from each of these seeds; stop when all of `until` are found broken, if that names any."""
    total, wanted = Walked(), set(until)
    with watching():
        for seed in seeds:
            total.add(walk(package, seed, scope))
            if wanted and wanted <= total.findings.keys():
                break
    return total


def register(subparsers: Subparsers) -> None:
    """Add ``fuzz`` to the command line."""
    parser = subparsers.add_parser("fuzz", help="run the real scheduler through random events, until stopped")
    parser.add_argument(
        "--tier", choices=tuple(_TIERS), help="a fixed amount from fixed seeds, and then stop"
    )
    parser.add_argument("--seconds", type=float, help="stop after so many seconds")
    parser.add_argument("--seed", type=int, help="begin with this seed (default: one that nobody has tried)")
    add_pool(parser)
    parser.add_argument(
        "--failfast", action="store_true", help="with --tier: stop at a finding, and tell the shortest"
    )
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="tell the story of a finding that was kept"
    )
    parser.add_argument(
        "--baseline", action="store_true", help=f"fuzz aiojobs {packages.BASELINE}, which must be caught"
    )
    add_json(parser)
    parser.set_defaults(run=_main)


def _main(arguments: argparse.Namespace) -> int:
    if arguments.replay is not None:
        return _replay(arguments.replay)
    if arguments.baseline:
        return _fuzz_baseline(arguments)
    try:
        with open_pool(arguments.workers, arguments.cluster) as pool:
            return _fuzz_tier(arguments, pool) if arguments.tier else _fuzz_on(arguments, pool)
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_HERE


# A fixed amount.


def _fuzz_tier(arguments: argparse.Namespace, pool: Pool) -> int:
    tier = _TIERS[arguments.tier]
    started = time.monotonic()
    results: dict[str, Walked] = {}
    portions = [
        range(SEED + start, SEED + min(start + _PORTION, tier.walks))
        for start in range(0, tier.walks, _PORTION)
    ]
    results["walks"] = walk_portions(portions, pool, started, failfast=arguments.failfast)
    if arguments.failfast and results["walks"].findings:
        return _conclude({"walks": _shortest(results["walks"])}, started, arguments)
    results |= _run_machines(tier, started)
    results |= _run_live(tier, started)
    return _conclude(results, started, arguments)


def walk_portions(portions: Sequence[range], pool: Pool, started: float, *, failfast: bool = False) -> Walked:
    """Walk from all of these seeds, or until a portion in their order has a finding."""
    total = Walked()
    for number, future in enumerate([pool.submit(_walk_portion, portion) for portion in portions], 1):
        total.add(future.result())
        _say(f"walks: {number} of {len(portions)} portions", total, started)
        if failfast and total.findings:
            pool.abandon()
            break
    return total


def _shortest(walked: Walked) -> Walked:
    """The same with one finding, which promises the shortest story."""
    best = min(walked.findings.values(), key=lambda finding: len(finding.events))
    walked.findings = {best.requirement: best}
    return walked


def _walk_portion(seeds: Iterable[int]) -> Walked:
    return search(packages.own(), seeds)


def _run_machines(tier: _Tier, started: float) -> dict[str, Walked]:
    if find_module("hypothesis") is None:
        sys.stderr.write("hypothesis is not installed: its machines do not run\n")
        return {}
    from aiojobs_verification.simulation.search.machines import MACHINES  # noqa: PLC0415 - needs hypothesis

    results: dict[str, Walked] = {}
    for machine in MACHINES:
        name = machine.__name__
        results[name] = _run_machine(machine, tier)
        _say(name, results[name], started)
    return results


def _run_machine(machine: Any, tier: _Tier) -> Walked:
    from hypothesis import HealthCheck, Phase, Verbosity, seed, settings  # noqa: PLC0415 - not everywhere
    from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415

    machine.walked = Walked()
    quiet = settings(
        max_examples=tier.examples,
        stateful_step_count=tier.steps,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        verbosity=Verbosity.quiet,
    )
    with watching():
        try:
            run_state_machine_as_test(seed(SEED)(machine), settings=quiet)
        except Exception:
            if not machine.walked.findings:
                raise
    found: Walked = machine.walked
    return found


def _run_live(tier: _Tier, started: float) -> dict[str, Walked]:
    from aiojobs_verification.simulation.search.live import live, loops  # noqa: PLC0415 - looks for uvloop

    results: dict[str, Walked] = {}
    for name, make in loops().items():
        total = Walked()
        with watching():
            for seed in range(SEED, SEED + tier.live):
                total.add(live(packages.own(), seed, make))
        results[f"live on {name}"] = total
        _say(f"live on {name}", total, started)
    return results


def _conclude(results: dict[str, Walked], started: float, arguments: argparse.Namespace) -> int:
    out = stream_beside(arguments.json)
    found: list[Finding] = []
    for name, walked in results.items():
        out.write(
            f"{name:<20} {walked.worlds:>8,} worlds {walked.steps:>10,} steps  {len(walked.pairs)} pairs, "
            f"{len(walked.kinds)} of {len(EVENT_KINDS)} kinds of events\n"
        )
        found += [_keep(finding, packages.own(), out) for finding in walked.findings.values()]
    never = [] if found else _never_done(results)
    out.writelines(f"FAIL {line}\n" for line in never)
    out.write(f"{time.monotonic() - started:.1f} s\n")
    if not found and not never:
        write_json(_account(results), arguments.json)
    return FAILED if found or never else PASSED


def _never_done(results: dict[str, Walked]) -> list[str]:
    """The kinds of events that the walks have never done: a promise about them was not put to the test.

    Machines and walks in real time are few beside them, and need not do everything.
    """
    return [
        f"the walks never did an event of the kind {kind}"
        for kind in sorted(EVENT_KINDS - results["walks"].kinds)
    ]


def _account(results: dict[str, Walked]) -> dict[str, Any]:
    speakers: dict[str, list[str]] = {}
    figures: dict[str, int | str] = {"build": aiojobs.__build__}
    for name, walked in results.items():
        figures[f"worlds: {name}"] = walked.worlds
        if not name.startswith("live"):  # what happens in real time does not happen twice
            figures[f"steps: {name}"] = walked.steps
        for requirement in walked.spoken:
            speakers.setdefault(requirement, []).append(name)
    pairs = {pair for name, walked in results.items() if not name.startswith("live") for pair in walked.pairs}
    figures["pairs of event and state"] = len(pairs)
    figures["kinds of events, of all that there are"] = len({kind for kind, _ in pairs})
    return {
        "figures": figures,
        "covers": {requirement: sorted(names) for requirement, names in sorted(speakers.items())},
        "left_out": {"walks": _TIERS["full"].walks - results["walks"].worlds},
        "seeds": {"fuzz": SEED},
    }


# Until stopped.


def _fuzz_on(arguments: argparse.Namespace, pool: Pool) -> int:
    seed = arguments.seed if arguments.seed is not None else time.time_ns() // 1_000_000
    started = time.monotonic()
    print(f"seeds from {seed}; findings go to {_folder()}; stop with Ctrl-C")
    total, kept = Walked(), set[tuple[Event, ...]]()
    try:
        for walked in _walk_on(seed, pool, started, arguments.seconds):
            total.add(walked)
            for _, finding in sorted(walked.findings.items()):
                _keep_new(finding, packages.own(), kept)
            _say(f"{len(kept)} findings", total, started)
    except KeyboardInterrupt:
        pool.abandon()
        print("\nstopped")
    print(f"{total.worlds:,} worlds, {total.steps:,} steps, {len(total.pairs)} pairs of event and state")
    return FAILED if kept else PASSED


def _keep_new(finding: Finding, package: Package, kept: set[tuple[Event, ...]]) -> None:
    """Keep a finding unless, with all that does not matter left out, it is a story that was told before."""
    with watching():
        small = shrink(finding, package)
        if small.events not in kept:
            kept.add(small.events)
            _write_down(small, package, sys.stdout)


def _walk_on(seed: int, pool: Pool, started: float, seconds: float | None) -> Iterator[Walked]:
    portions = (range(first, first + _PORTION) for first in count(seed, _PORTION))
    running = {pool.submit(_walk_portion, next(portions)) for _ in range(pool.room())}
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        if seconds is None or time.monotonic() - started < seconds:
            more = range(pool.room() - len(running))
            running |= {pool.submit(_walk_portion, next(portions)) for _ in more}
        for future in done:
            yield future.result()


# Another package.


def _fuzz_baseline(arguments: argparse.Namespace) -> int:
    root = find_repository() or Path.cwd()
    folder = packages.fetch(packages.BASELINE, root / "build" / "baseline")
    package = packages.load(folder, f"aiojobs {packages.BASELINE}")
    out = stream_beside(arguments.json)
    walked = search(package, range(SEED, SEED + 20_000), until=_CAUGHT)
    stories: dict[str, int] = {}
    for requirement in _CAUGHT:
        if requirement in walked.findings:
            finding = shrink(walked.findings[requirement], package)
            stories[requirement] = len(finding.events)
            out.write("\n" + tell(finding, package) + "\n")
    missed = [requirement for requirement in _CAUGHT if requirement not in stories]
    out.write(
        f"\n{walked.worlds:,} walks, {walked.steps:,} steps; broken: {', '.join(sorted(walked.findings))}\n"
    )
    for requirement in missed:
        out.write(f"FAIL {package.label} is not caught breaking {requirement}\n")
    if not missed:
        figures = {f"{requirement}": f"a story of {size} events" for requirement, size in stories.items()}
        account = {"figures": {"requirements found broken": len(stories), **figures}, "seeds": {"fuzz": SEED}}
        write_json(account, arguments.json)
    return FAILED if missed else PASSED


# Findings.


def _folder() -> Path:
    return (find_repository() or Path.cwd()) / "build" / "findings"


def _keep(finding: Finding, package: Package, out: Any) -> Finding:
    """Shrink a finding, tell it, and write it down."""
    with watching():
        small = shrink(finding, package)
        _write_down(small, package, out)
    return small


def _write_down(small: Finding, package: Package, out: Any) -> None:
    events = [list(event) for event in small.events]
    document = {
        "requirement": small.requirement,
        "text": small.text,
        "scope": asdict(small.scope),
        "events": events,
    }
    text = json.dumps(document, indent=1)
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{small.requirement}-{sha256(text.encode()).hexdigest()[:8]}.json"
    path.write_text(text + "\n", encoding="utf-8")
    story = tell(small, package)
    path.with_suffix(".txt").write_text(story + "\n", encoding="utf-8")
    path.with_suffix(".py").write_text(paste(small), encoding="utf-8")
    out.write(f"\n{story}\n\nkept as {path} (.txt the story, .py a test to paste)\n\n{paste(small)}\n")


def _replay(path: Path) -> int:
    document = json.loads(path.read_text(encoding="utf-8"))
    events = tuple(tuple(event) for event in document["events"])
    package = packages.own()
    with watching():
        found = replay(Scope.of(document["scope"]), package, events)
        if found is None:
            print(f"{document['requirement']} is not broken any more by this story")
            return PASSED
        print(tell(found, package))
    return FAILED


def _say(what: str, walked: Walked, started: float) -> None:
    rate = walked.steps / max(time.monotonic() - started, 1e-9)
    sys.stderr.write(f"{what}: {walked.worlds:,} worlds, {rate:,.0f} steps/s, {len(walked.pairs)} pairs\n")
    sys.stderr.flush()
