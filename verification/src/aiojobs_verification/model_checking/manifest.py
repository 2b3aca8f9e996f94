"""The manifest: the expected result of each configuration of `spec/tla`, and the configurations.

Rules of this file: every `.cfg` is in the manifest and the manifest names no other. The prefix of a file
says what it is, and with that what is wanted of it:

* `model_` everything holds; states, steps and depth are pinned;
* `witness_` something that must be possible, or an assumption that is needed: a rule says that it is not
  so, and must be refuted;
* `fault_` a wrong variant: the rule that it breaks must be refuted.

What follows says of which model it is: `lanes_` of `Lanes.tla`, anything else of `Jobs.tla`.

A counterexample that is a run to a bad state or step is a shortest one, so its length is pinned too.

Deliberately not here: running anything (`check`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiojobs_verification.model_checking.constants import Constants, LaneConstants
from aiojobs_verification.model_checking.tla_text import Config, read_config
from aiojobs_verification.model_checking.tlc import BY_STATE, BY_STEP
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.tables import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from aiojobs_verification.specification.tables import Table

__all__ = [
    "FOLDER",
    "KINDS",
    "TIERS",
    "Configuration",
    "Expected",
    "Manifest",
    "by_requirement",
    "is_eventual",
    "is_of_steps",
    "read_manifest",
    "requirement",
]

FOLDER: Final = "tla"
"""Where it is, in the folder of the specification."""

KINDS: Final = ("model", "witness", "fault")
TIERS: Final = ("smoke", "full")

_MODULES: Final = {
    "Jobs": {"model": "Jobs", "witness": "Witnesses", "fault": "Faults"},
    "Lanes": {"model": "Lanes", "fault": "LaneFaults"},
}
"""For each model the modules of its configurations."""
_SPECIFICATIONS: Final = ("Spec", "LoopSpec", "TimeSpec", "FairSpec")
_STATED: Final = re.compile(r"^(\w+)(?:\([\w, ]+\))? ==", re.MULTILINE)
"""An operator that a module defines."""
_ACTION: Final = re.compile(r"^    \\/ (?:\\E .* : )?(\w+)(?<!Step)(?:\(|$)", re.MULTILINE)
"""An action in the definition of a step: alone, or of some job, caller or number."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of it. Figures that are not pinned are 0."""

    rule: str
    """The rule that must be refuted; "" if all must hold."""
    code: int
    """TLC's exit code."""
    distinct: int
    generated: int
    depth: int
    story: int
    """How many states the counterexample has; 0 for one that never ends."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration, and what is expected of it."""

    name: str
    kind: str
    module: str
    meaning: str
    tier: str
    """The tier from which on it is run."""
    config: Config
    expected: Expected
    complete: bool
    """Whether it is one of those in which actions are counted: each must happen in one of them."""
    scope: Constants | LaneConstants

    @property
    def aims_at(self) -> str:
        """The requirement that a fault breaks; "" if it is none of the numbered ones."""
        return requirement(self.expected.rule) if self.kind == "fault" else ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every configuration, in the order of the file."""

    folder: Path
    configurations: tuple[Configuration, ...]
    actions: tuple[str, ...]
    """The actions of all models."""


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in `folder` and every configuration that lies beside it."""
    file = read_toml(folder / "manifest.toml")
    found: list[Configuration] = []
    for kind in KINDS:
        for name, entry in file.tables(kind):
            found.append(_read(folder, kind, f"{kind}_{name}", entry))
            entry.end()
    file.end()
    names = {configuration.name for configuration in found}
    for path in sorted(folder.glob("*.cfg")):
        if path.stem not in names:
            raise SpecError(f"says nothing of {path.name}", file=f"{FOLDER}/manifest.toml")
    return Manifest(folder, tuple(found), _actions(folder))


def _actions(folder: Path) -> tuple[str, ...]:
    """What stands in the definitions of the next step, by name."""
    texts = [(folder / f"{model}.tla").read_text(encoding="utf-8") for model in _MODULES]
    steps = [text[text.index("\nStep ==") : text.index("\nSpec ==")] for text in texts]
    return tuple(name for step in steps for name in _ACTION.findall(step))


def _read(folder: Path, kind: str, name: str, entry: Table) -> Configuration:
    path = folder / f"{name}.cfg"
    if not path.is_file():
        entry.fault(f"there is no {name}.cfg")
    config = read_config(path)
    model = "Lanes" if name.startswith(f"{kind}_lanes_") else "Jobs"
    module = _MODULES[model].get(kind) or entry.fault(f"{model} has no module for it")
    _check_rules(config, kind, _stated(folder, {model, module}), entry)
    return Configuration(
        name=name,
        kind=kind,
        module=module,
        meaning=entry.text("meaning"),
        tier=entry.one_of("tier", TIERS, "tier"),
        config=config,
        expected=_read_expected(config, kind, entry),
        complete=entry.flag("complete", default=False),
        scope=_scope(config, LaneConstants if model == "Lanes" else Constants, entry),
    )


def _stated(folder: Path, modules: Iterable[str]) -> set[str]:
    """Every operator that is defined in a module, and in the one that it extends."""
    texts = [(folder / f"{name}.tla").read_text(encoding="utf-8") for name in sorted(modules)]
    return {name for text in texts for name in _STATED.findall(text)}


def _check_rules(config: Config, kind: str, stated: set[str], entry: Table) -> None:
    entry.known(config.specification, _SPECIFICATIONS, "specification", "SPECIFICATION of the configuration")
    if not config.rules:
        entry.fault("the configuration checks nothing")
    for rule in config.rules:
        entry.known(rule, stated, "rule", "rules of the configuration")
    _check_replaced(config, kind, stated, entry)
    for rule in config.invariants:
        if is_of_steps(rule):
            entry.fault(f"{rule} belongs under PROPERTIES of the configuration")
    for rule in config.properties:
        if not is_of_steps(rule):
            entry.fault(f"{rule} belongs under INVARIANTS of the configuration")
    if kind != "model" and len(config.rules) != 1:
        entry.fault("one rule must be refuted, so the configuration must check only that one")


def _check_replaced(config: Config, kind: str, stated: set[str], entry: Table) -> None:
    if config.replaced and kind != "fault":
        entry.fault("only a fault puts one operator in the place of another")
    if kind == "fault" and not config.replaced:
        entry.fault("a fault puts one operator in the place of another")
    for name in config.replaced.values():
        entry.known(name, stated, "fault", "CONSTANTS of the configuration")


def is_of_steps(rule: str) -> bool:
    """Whether a rule is about steps or about what happens in the end, and not about single states."""
    return rule.endswith(("_Step", "Refinement")) or is_eventual(rule)


def is_eventual(rule: str) -> bool:
    """Whether a rule says what must happen in the end: LIMIT_2_Starts."""
    return re.fullmatch(r"[A-Z]+_[0-9]+_(?!Step$)\w+", rule) is not None


def requirement(rule: str) -> str:
    """The id of the requirement that a rule speaks for; "" if it speaks for none."""
    found = re.match(r"([A-Z]+)_([0-9]+)(_|$)", rule)
    return f"{found[1]}-{found[2]}" if found else ""


def _read_expected(config: Config, kind: str, entry: Table) -> Expected:
    if kind == "model":
        return Expected(
            "", 0, entry.integer("distinct"), entry.integer("generated"), entry.integer("depth"), 0
        )
    rule = entry.one_of("refutes", config.rules, "rule of the configuration")
    code = BY_STEP if is_of_steps(rule) else BY_STATE
    if entry.integer("exit") != code:
        entry.fault(f"{rule} refuted gives {code}", "exit")
    if is_eventual(rule):
        return Expected(rule, code, entry.integer("distinct"), entry.integer("generated"), 0, 0)
    return Expected(rule, code, 0, 0, 0, entry.integer("story"))


def _scope(config: Config, of: type[Constants | LaneConstants], entry: Table) -> Constants | LaneConstants:
    if config.constants.keys() != of.GIVEN:
        given = ", ".join(config.constants)
        entry.fault(f"the configuration must give {', '.join(sorted(of.GIVEN))}, not {given}")
    return of.of(config.constants)


def by_requirement(configurations: Iterable[Configuration], kind: str) -> Mapping[str, list[str]]:
    """For each requirement the rules that models check, or the faults that are aimed at it."""
    found: dict[str, list[str]] = {}
    for configuration in configurations:
        if configuration.kind != kind:
            continue
        if kind == "fault":
            pairs = [(configuration.aims_at, configuration.name)]
        else:
            pairs = [(requirement(rule), rule) for rule in configuration.config.rules]
        for id_, name in pairs:
            if id_ and name not in found.setdefault(id_, []):
                found[id_].append(name)
    return found
