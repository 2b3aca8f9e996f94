"""What each configuration of `spec/tla` must come to: `manifest.toml`, and the configurations themselves.

Rules of this file: every `.cfg` is in the manifest and the manifest names no other. The prefix of a file
says what it is, and with that what is wanted of it:

* `model_` everything holds; states, steps and depth are pinned;
* `witness_` something that must be possible, or an assumption that is needed: a rule says that it is not
  so, and must be refuted;
* `fault_` a wrong variant: the rule that it breaks must be refuted.

A counterexample that is a run to a bad state or step is a shortest one, so its length is pinned too.

Deliberately not here: running anything (`check`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiojobs_verification.model_checking.endings import ENDINGS, FAIRNESS
from aiojobs_verification.model_checking.faults import FAULTS
from aiojobs_verification.model_checking.model import Model
from aiojobs_verification.model_checking.rules import STATES, STEPS
from aiojobs_verification.model_checking.state import Scope
from aiojobs_verification.model_checking.terms import requirement
from aiojobs_verification.model_checking.tla_text import Config, read_config
from aiojobs_verification.model_checking.tlc import BY_STATE, BY_STEP
from aiojobs_verification.model_checking.witnesses import WITNESSES
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
    "read_manifest",
]

FOLDER: Final = "tla"
"""Where it is, in the folder of the specification."""

KINDS: Final = ("model", "witness", "fault")
TIERS: Final = ("smoke", "full")

_MODULES: Final = {"model": "Jobs", "witness": "Witnesses", "fault": "Faults"}
_EXITS: Final = {
    **dict.fromkeys([*STATES, *WITNESSES, "CountersInvariant", "NotStuck", "TypeOK"], BY_STATE),
    **dict.fromkeys([*STEPS, *ENDINGS, "Table_Step", "Refinement", "Actions_Step"], BY_STEP),
}
"""Every rule, and TLC's exit code when it is refuted."""


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
    """The tier from which on TLC runs it."""
    config: Config
    expected: Expected
    compare: bool
    """Whether the graphs of both engines are compared state by state and step by step."""
    complete: bool
    """Whether every action must happen in it."""
    scope: Scope
    system: type[Model]

    @property
    def aims_at(self) -> str:
        """The requirement that a fault breaks; "" if it is none of the numbered ones."""
        return requirement(self.expected.rule) if self.kind == "fault" else ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every configuration, in the order of the file."""

    folder: Path
    configurations: tuple[Configuration, ...]


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
    return Manifest(folder, tuple(found))


def _read(folder: Path, kind: str, name: str, entry: Table) -> Configuration:
    path = folder / f"{name}.cfg"
    if not path.is_file():
        entry.fault(f"there is no {name}.cfg")
    config = read_config(path)
    _check_rules(config, kind, entry)
    expected = _read_expected(config, kind, entry)
    return Configuration(
        name=name,
        kind=kind,
        module=_MODULES[kind],
        meaning=entry.text("meaning"),
        tier=entry.one_of("tier", TIERS, "tier"),
        config=config,
        expected=expected,
        compare=entry.flag("compare", default=False),
        complete=entry.flag("complete", default=False),
        scope=_scope(config, entry),
        system=_system(config, kind, entry),
    )


def _check_rules(config: Config, kind: str, entry: Table) -> None:
    entry.known(config.specification, FAIRNESS, "specification", "SPECIFICATION of the configuration")
    if not config.rules:
        entry.fault("the configuration checks nothing")
    for rule in config.rules:
        entry.known(rule, _EXITS, "rule", "rules of the configuration")
    for rule in config.invariants:
        if _EXITS[rule] != BY_STATE:
            entry.fault(f"{rule} belongs under PROPERTIES of the configuration")
    for rule in config.properties:
        if _EXITS[rule] != BY_STEP:
            entry.fault(f"{rule} belongs under INVARIANTS of the configuration")
    if kind != "model" and len(config.rules) != 1:
        entry.fault("one rule must be refuted, so the configuration must check only that one")


def _read_expected(config: Config, kind: str, entry: Table) -> Expected:
    if kind == "model":
        return Expected(
            "", 0, entry.integer("distinct"), entry.integer("generated"), entry.integer("depth"), 0
        )
    rule = entry.one_of("refutes", config.rules, "rule of the configuration")
    code = _EXITS[rule]
    if entry.integer("exit") != code:
        entry.fault(f"{rule} refuted gives {code}", "exit")
    if rule in ENDINGS:
        return Expected(rule, code, entry.integer("distinct"), entry.integer("generated"), 0, 0)
    return Expected(rule, code, 0, 0, 0, entry.integer("story"))


def _scope(config: Config, entry: Table) -> Scope:
    given = config.constants
    wanted = {"N", "W", "L", "P", "unlimited", "Deadline", "Ends"}
    if given.keys() != wanted:
        entry.fault(f"the configuration must give {', '.join(sorted(wanted))}, not {', '.join(given)}")
    return Scope(
        jobs=given["N"],
        callers=given["W"],
        limit=None if given["unlimited"] else given["L"],
        pending_limit=given["P"],
        deadline=given["Deadline"],
        ends=tuple(sorted(given["Ends"])),
    )


def _system(config: Config, kind: str, entry: Table) -> type[Model]:
    if kind != "fault":
        if config.replaced:
            entry.fault("only a fault puts one operator in the place of another")
        return Model
    replaced = " ".join(sorted(config.replaced.values()))
    entry.known(replaced, FAULTS, "fault", "CONSTANTS of the configuration")
    return FAULTS[replaced]


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
