"""`python -m aiojobs_verification check`: the model with named jobs, checked by two engines that must agree.

Rules of this file: a figure counts only if both engines found it and the manifest says it. A fault that
is not found, a witness that is not reached, an action that never happens, a rule whose condition is never
met, and a requirement without a rule or without a fault aimed at it are failures, however many other
things hold. Without TLC nothing is passed: the explorer runs, and if it finds nothing wrong the result is
*skipped*, with the reason.

How it works: `manifest` says what there is, `model_runs` runs one configuration by one engine. In each
tier the explorer runs the models of the tier and every witness and fault; TLC runs what the manifest
gives to the tier. One TLC runs at a time.

Deliberately not here: proofs for all limits (`prove`), and the real code (`explore`).
"""

from __future__ import annotations

import sys
import time
from collections import Counter
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
    read_manifest,
)
from aiojobs_verification.model_checking.runs import Explored, Outcome, by_tlc, explored, faults
from aiojobs_verification.model_checking.view import story
from aiojobs_verification.specification.load import load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aiojobs_verification.specification.load import Spec

__all__ = ["Check", "register"]

KIND: Final = "model"
"""The kind of check that this is, in requirements.toml."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("check", help="check the model with named jobs, by TLC and by an explorer")
    parser.add_argument("--tier", choices=TIERS, default="smoke", help="how far to go (default: smoke)")
    parser.add_argument("--only", metavar="PATTERN", default="", help="only these configurations: 'fault_*'")
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
    check.run(tlc.find())
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
    """How many runs came out as they should, by engine and kind."""
    states: int = 0
    steps: int = 0
    compared: int = 0
    met: set[str] = field(default_factory=set)
    actions: set[str] = field(default_factory=set)
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
            if not (smoke and configuration.kind == "model" and configuration.tier != self.tier)
            and fnmatch(configuration.name, pattern or "*")
        ]
        return bool(self.chosen)

    def run(self, toolbox: tlc.Toolbox | tlc.Missing) -> None:
        """Run what was chosen, and then ask whether it was enough."""
        if isinstance(toolbox, tlc.Missing):
            self.skipped = toolbox.reason
            self._say(f"TLC will not run: {self.skipped}")
        else:
            self.digests = toolbox.digests()
        for number, configuration in enumerate(self.chosen, 1):
            self._one(number, configuration, toolbox if isinstance(toolbox, tlc.Toolbox) else None)
        if not self.partial:
            self.problems += self._gaps()

    # One configuration.

    def _one(self, number: int, configuration: Configuration, toolbox: tlc.Toolbox | None) -> None:
        """Run one configuration by the engines that are due, and say how it went."""
        head = f"[{number:>{len(str(len(self.chosen)))}}/{len(self.chosen)}] {configuration.name}"
        started = time.monotonic()
        mine = explored(configuration, self.spec)
        wrong = [f"explorer: {fault}" for fault in faults(configuration, mine.outcome)]
        self._count("explorer", configuration, mine.outcome)
        self.met |= mine.met if configuration.kind == "model" else set()
        parts = [f"explorer {_brief(mine.outcome)}, {time.monotonic() - started:.1f} s"]
        runs = [mine.outcome]
        if toolbox is not None and self._is_due(configuration):
            started = time.monotonic()
            try:
                theirs = self._by_tlc(configuration, toolbox, mine, wrong)
            except tlc.TlcError as error:
                wrong.append(str(error))
            else:
                parts.append(f"TLC {_brief(theirs)}, {time.monotonic() - started:.1f} s")
                runs.append(theirs)
        self._say(f"{head:<48} {'FAIL' if wrong else 'ok'}   {'; '.join(parts)}")
        self._tell(configuration, runs, wrong)
        self.problems += [f"{configuration.name}: {fault}" for fault in wrong]
        if configuration.expected.rule and not wrong:
            self.planted[configuration.name] = _refuted(configuration, runs)

    def _is_due(self, configuration: Configuration) -> bool:
        return self.tier == TIERS[-1] or configuration.tier == self.tier or self.partial

    def _by_tlc(
        self, configuration: Configuration, toolbox: tlc.Toolbox, mine: Explored, wrong: list[str]
    ) -> Outcome:
        graph = mine.graph if configuration.compare and not mine.outcome.rule else None
        theirs, differ = by_tlc(configuration, toolbox, self.manifest.folder, graph)
        wrong += [f"TLC: {fault}" for fault in faults(configuration, theirs)]
        wrong += differ
        if configuration.complete:
            wrong += _never_taken("TLC", theirs.actions)
            wrong += _never_taken(
                "the explorer", {**dict.fromkeys(theirs.actions, 0), **mine.outcome.actions}
            )
            self.actions |= theirs.actions.keys()
        self._count("TLC", configuration, theirs)
        self.digests["TLC"] = theirs.by
        self.compared += len(mine.graph.states) if graph is not None else 0
        return theirs

    def _count(self, engine: str, configuration: Configuration, outcome: Outcome) -> None:
        if faults(configuration, outcome):
            return
        self.ran[f"{engine} {configuration.kind}"] += 1
        if engine == "explorer" and configuration.kind == "model":
            self.states += outcome.distinct
            self.steps += outcome.generated - 1

    def _tell(self, configuration: Configuration, runs: Iterable[Outcome], wrong: Sequence[str]) -> None:
        """Tell what is wrong, and the story behind it, from the engine that has one."""
        for fault in wrong:
            self._say(f"    {fault}")
        for outcome in runs:
            unwanted = outcome.rule != configuration.expected.rule
            if outcome.rule and ((wrong and unwanted) or self.stories):
                self._say(f"    {outcome.rule} is refuted, as {outcome.by} tells it:")
                for line in story(outcome.run, _end(outcome)):
                    self._say(f"    {line}")

    def _say(self, line: str) -> None:
        print(line, file=self.out, flush=True)

    # All of them.

    def _gaps(self) -> Iterator[str]:
        """What would be missing even if everything came out as it should."""
        rules = {
            rule
            for configuration in self.chosen
            if configuration.kind == "model"
            for rule in configuration.config.rules
        }
        for rule in sorted(rules - self.met - {"TypeOK", "NotStuck"}):
            yield f"rule {rule} holds because nothing comes near it: its condition is never met"
        if not any(configuration.complete for configuration in self.chosen):
            yield "no configuration requires every action to happen"
        if not self.skipped and not self.compared:
            yield "no graph of the one engine was compared with that of the other"
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
            "models checked by both engines": self.ran["TLC model"],
            "models explored": self.ran["explorer model"],
            "states of all models": self.states,
            "steps of all models": self.steps,
            "states compared one by one, with every step": self.compared,
            "actions, each of which happens": len(self.actions),
            "rules whose condition is met": len(self.met),
            "witnesses reached": self.ran["explorer witness"],
            "witnesses reached by TLC too": self.ran["TLC witness"],
            "faults found": self.ran["explorer fault"],
            "faults found by TLC too": self.ran["TLC fault"],
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


def _refuted(configuration: Configuration, runs: Sequence[Outcome]) -> str:
    engines = "both engines" if len(runs) > 1 else "the explorer"
    how = f"{configuration.expected.rule} is refuted by {engines}, in {len(runs[0].run)} states"
    return f"{configuration.meaning}\n{how}"


def _never_taken(engine: str, actions: Mapping[str, int]) -> Iterator[str]:
    if not actions:
        yield f"{engine} tells nothing about actions"
    for name, taken in sorted(actions.items()):
        if taken == 0:
            yield f"action {name} never happens, says {engine}"


def _brief(outcome: Outcome) -> str:
    if outcome.rule:
        return f"refutes {outcome.rule}"
    return f"{outcome.distinct} states"


def _end(outcome: Outcome) -> str:
    if outcome.stays > 1:
        return f"and so on for ever, among {outcome.stays} states: {outcome.rule} is never fulfilled"
    if outcome.stays or outcome.code == tlc.BY_STEP:
        return f"and there it ends: this breaks {outcome.rule}"
    return f"and this breaks {outcome.rule}"
