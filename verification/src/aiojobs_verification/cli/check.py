"""`python -m aiojobs_verification check`: the model with named jobs, checked by TLC.

Rules of this file: a figure counts only if the manifest says it. A fault that is not found, a witness that is not
reached, an action that never happens, a rule that no fault breaks, and a requirement without a rule or without a
fault aimed at it are failures, however many other things hold. Without TLC nothing is passed: the result is *skipped*,
with the reason.

How it works: `manifest` says what there is and from which tier on it is run, `runs` runs one configuration. Runs of
TLC are independent of each other, and go side by side.

Deliberately not here: proofs for all limits (`prove`), and the real code, which `explore` holds against this model.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, Final, TextIO

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
from aiojobs_verification.model_checking import tlc
from aiojobs_verification.model_checking.figures import PAGE, drawn
from aiojobs_verification.model_checking.manifest import (
    FOLDER,
    TIERS,
    Configuration,
    Manifest,
    by_requirement,
    is_eventual,
    read_manifest,
)
from aiojobs_verification.model_checking.runs import faults, run
from aiojobs_verification.model_checking.view import story
from aiojobs_verification.specification.load import load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping

    from aiojobs_verification.specification.load import Spec

__all__ = ["Check", "register"]

KIND: Final = "model"
"""The kind of check that this is, in requirements.toml."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("check", help="check the model with named jobs, by TLC")
    parser.add_argument("--tier", choices=TIERS, default="smoke", help="how far to go (default: smoke)")
    parser.add_argument("--only", metavar="PATTERN", default="", help="only these configurations: 'fault_*'")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="runs of TLC at a time")
    parser.add_argument("--stories", action="store_true", help="tell how each witness and fault comes about")
    parser.add_argument("--draw", action="store_true", help=f"only write the figures into {FOLDER}/{PAGE}")
    add_folder(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    spec = load(arguments.spec)
    manifest = read_manifest(spec.folder / FOLDER)
    if arguments.draw:
        path, text = drawn(manifest)
        path.write_text(text, encoding="utf-8")
        return PASSED
    out = stream_beside(arguments.json)
    check = Check(spec, manifest, tier=arguments.tier, out=out, stories=arguments.stories)
    if not check.choose(arguments.only):
        print(f"no configuration of this tier is called '{arguments.only}'", file=sys.stderr)
        return NOT_HERE
    check.run(tlc.find(), max(1, arguments.workers))
    write_json(check.account(), arguments.json)
    check.conclude()
    return check.code


@dataclass(slots=True)
class Check:
    """A run over many configurations, and what it found."""

    spec: Spec
    manifest: Manifest
    tier: str
    out: TextIO
    stories: bool = False
    partial: bool = False
    """Whether only some configurations were asked for; then nothing is said about the whole."""
    chosen: list[Configuration] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: str = ""
    """Why TLC did not run."""
    ran: Counter[str] = field(default_factory=Counter)
    """How many runs came out as they should, by kind."""
    states: int = 0
    steps: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    """How often each action happens in the models in which they are counted."""
    digests: dict[str, str] = field(default_factory=dict)
    planted: dict[str, str] = field(default_factory=dict)
    """What is refuted as it should be, and how."""

    def choose(self, pattern: str = "") -> bool:
        """Choose what runs: everything in the tier, or what has a name of this form. Whether there is any."""
        smoke = self.tier == TIERS[0]
        self.partial = bool(pattern)
        self.chosen = [
            configuration
            for configuration in self.manifest.configurations
            if (self.partial or not smoke or configuration.tier == self.tier)
            and fnmatch(configuration.name, pattern or "*")
        ]
        return bool(self.chosen)

    def run(self, toolbox: tlc.Toolbox | tlc.Missing, workers: int = 1) -> None:
        """Run what was chosen, so many at a time, and then ask whether it was enough."""
        if isinstance(toolbox, tlc.Missing):
            self.skipped = toolbox.reason
            return
        self.digests = toolbox.digests()
        with ThreadPoolExecutor(workers) as pool:
            results = pool.map(lambda one: self._one(one, toolbox), self.chosen)
            for number, (configuration, result) in enumerate(zip(self.chosen, results, strict=True), 1):
                self._note(f"[{number}/{len(self.chosen)}] {configuration.name}", configuration, *result)
        if not self.partial:
            self.problems += self._gaps()

    # One configuration.

    def _one(self, configuration: Configuration, toolbox: tlc.Toolbox) -> tuple[tlc.Result | str, float]:
        """Run one configuration: what came of it, or why nothing did, and how long it took."""
        started = time.monotonic()
        try:
            found: tlc.Result | str = run(configuration, toolbox, self.manifest.folder)
        except tlc.TlcError as error:
            found = str(error)
        return found, time.monotonic() - started

    def _note(self, head: str, configuration: Configuration, found: tlc.Result | str, seconds: float) -> None:
        """Take note of one run, and say how it went."""
        wrong = [found] if isinstance(found, str) else self._wrong(configuration, found)
        brief = "" if isinstance(found, str) else f"{_brief(found)}, {seconds:.1f} s"
        self._say(f"{head:<48} {'FAIL' if wrong else 'ok'}   {brief}")
        for fault in wrong:
            self._say(f"    {fault}")
        self.problems += [f"{configuration.name}: {fault}" for fault in wrong]
        if isinstance(found, str):
            return
        unwanted = found.rule != configuration.expected.rule
        if found.rule and (unwanted or self.stories):
            for line in [f"{found.rule} is refuted:", *story(found.story, _end(found))]:
                self._say(f"    {line}")
        if not wrong:
            self._count(configuration, found)

    def _wrong(self, configuration: Configuration, found: tlc.Result) -> list[str]:
        wrong = faults(configuration, found)
        if configuration.complete:
            wrong += [] if found.actions else ["TLC tells nothing about actions"]
            self.actions.update(found.actions)
        return wrong

    def _count(self, configuration: Configuration, found: tlc.Result) -> None:
        self.digests["TLC"] = found.version
        self.ran[configuration.kind] += 1
        if configuration.kind == "model":
            self.states += found.distinct
            self.steps += found.generated - 1
        if configuration.expected.rule:
            how = f"{found.rule} is refuted, in {len(found.story)} states"
            self.planted[configuration.name] = f"{configuration.meaning}\n{how}"

    def _say(self, line: str) -> None:
        print(line, file=self.out, flush=True)

    # All of them.

    def _gaps(self) -> Iterator[str]:
        """What would be missing even if everything came out as it should."""
        refuted = {one.expected.rule for one in self.manifest.configurations if one.kind == "fault"}
        rules = {
            rule for one in self.manifest.configurations if one.kind == "model" for rule in one.config.rules
        }
        for rule in sorted(rules - refuted - {"TypeOK"}):
            yield f"rule {rule} may hold because nothing comes near it: no fault breaks it"
        yield from never_taken(self.manifest.actions, self.actions)
        path, text = drawn(self.manifest)
        if path.read_text(encoding="utf-8") != text:
            yield f"the figures of {FOLDER}/{PAGE} are stale: python -m aiojobs_verification check --draw"
        checked, aimed = self._rules(), by_requirement(self.chosen, "fault")
        for id_ in self._due():
            if id_ not in checked:
                yield f"requirement {id_} has no rule in this tier"
            elif id_ not in aimed:
                yield f"requirement {id_} has no fault that is aimed at it"

    def _due(self) -> list[str]:
        """The requirements that say that a model speaks for them."""
        return [id_ for id_, found in self.spec.requirements.by_id.items() if KIND in found.checks]

    def _rules(self) -> Mapping[str, list[str]]:
        return by_requirement(self.chosen, "model")

    @property
    def code(self) -> int:
        """The exit code."""
        if self.problems:
            return FAILED
        return NO_TOOL if self.skipped else PASSED

    def conclude(self) -> None:
        """Say what it all comes to."""
        for name, figure in self.figures().items():
            self._say(f"{name:<48} {figure}")
        self._say({PASSED: "PASS", FAILED: "FAIL", NO_TOOL: "SKIPPED"}[self.code])
        # The last line is what the report shows.
        for problem in self.problems:
            print(f"FAIL {problem}", file=sys.stderr)
        if self.code == NO_TOOL:
            print(f"TLC did not run: {self.skipped}", file=sys.stderr)

    def figures(self) -> dict[str, int | str]:
        """What was counted."""
        return {
            "models checked": self.ran["model"],
            "states of all models": self.states,
            "steps of all models": self.steps,
            "actions, each of which happens": len(+self.actions),
            "witnesses reached": self.ran["witness"],
            "faults found": self.ran["fault"],
            **self.digests,
        }

    def account(self) -> dict[str, Any]:
        """The account for the report, the same for every run that finds the same."""
        due = set(self._due())
        covers: dict[str, Any] = {}
        if self.code == PASSED and not self.partial:
            aimed = by_requirement(self.chosen, "fault")
            covers = {
                id_: sorted([*rules, *aimed.get(id_, ())])
                for id_, rules in sorted(self._rules().items())
                if id_ in due
            }
        return {
            "status": {PASSED: "pass", FAILED: "fail", NO_TOOL: "skipped"}[self.code],
            "figures": self.figures(),
            "covers": covers,
            "skips": {"TLC": self.skipped} if self.skipped else {},
            "left_out": {"configurations": len(self.manifest.configurations) - len(self.chosen)},
            "planted": self.planted,
            "problems": self.problems,
        }


def never_taken(actions: Iterable[str], taken: Mapping[str, int]) -> Iterator[str]:
    """The actions that happen in no model in which they are counted."""
    return (f"action {name} never happens" for name in sorted(actions) if not taken.get(name))


def _brief(found: tlc.Result) -> str:
    return f"refutes {found.rule}" if found.rule else f"{found.distinct} states"


def _end(found: tlc.Result) -> str:
    if found.code == tlc.BY_STEP and is_eventual(found.rule):
        return f"and so on for ever: {found.rule} is never fulfilled"
    return f"and this breaks {found.rule}"
