"""The catalogue of seeded faults, `spec/mutants/`, read strictly.

Rules of this file: there is one kind of seeded fault, `Fault`: a name, what somebody sees who uses a library
that has it, the requirements that it breaks, who must find it, and the files that are different with it. A
listed one changes syntax that is given by function and signature (`changes`). One that does not fit the
sources any more is stale: it is told by its name and not tried, and the others are.

How it works: `shell.toml` and its like list faults one by one. `systematic.toml` names the files, tables and
functions to which the operators (`operators`) are applied, and what each breaks; these faults are made, not
listed. A fault that can't be found, because it means the same, is argued `equivalent` where it stands. It is
tried all the same, and an argument about a fault that is found is a failure too, and so is one about a fault
that is not there.

Deliberately not here: how the counters are changed (`mutate`), and the faults of the model (`spec/tla`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from aiojobs_verification.fault_injection.changes import Change, StaleError, applied, read_package
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.requirements import Requirements, read_requirements
from aiojobs_verification.specification.tables import Table, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["FOLDER", "GROUPS", "KIND", "KINDS", "Catalogue", "Fault", "Target", "read_catalogue"]

FOLDER: Final = "mutants"
"""Below the folder of the specification."""

PACKAGE: Final = "src/aiojobs"
"""Where listed faults are planted."""

GROUPS: Final = ("table", "counters", "core", "shell")
"""What a fault is a fault of."""

KINDS: Final = {
    "validate": "",
    "prove": "prove",
    "conformance": "test",
    "test": "test",
    "symbolic": "symbolic",
    "trace": "trace",
    "explore": "explore",
    "fuzz": "fuzz",
}
"""Who can find a fault, the cheapest first, and the kind of check that it is (requirements.toml)."""

KIND: Final = "mutant"
"""The kind of check that this is."""

_SYSTEMATIC: Final = "systematic.toml"
_TEETH: Final = "teeth.toml"
"""What the last full run has found (`teeth`)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One seeded fault."""

    name: str
    group: str
    story: str
    breaks: tuple[str, ...]
    """Requirements. Whoever finds it must claim one of them."""
    found_by: tuple[str, ...]
    """Who is expected to find it."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The files that are different with it, and how they read."""
    each: bool = False
    """Whether each of them must find it, when there is time for that, or any."""
    smoke: bool = True
    """Whether it belongs to the representative few."""
    hangs: bool = False
    """Whether it is found when a check does not come back."""
    scope: str = ""
    """The name of the scope in which the explorer looks for it."""
    recreates: tuple[str, ...] = ()
    """The known defects (`defects` of requirements.toml) that it is."""
    equivalent: str = ""
    """Why nobody can find it; empty if somebody must."""
    stale: str = ""
    """Why it can't be planted; empty if it can."""
    number: int = -1
    """Of a fault of the counters, its place among them."""


@dataclass(frozen=True, slots=True)
class Target:
    """A file to which the operators are applied; what is made of each function breaks its requirements."""

    file: str
    group: str
    breaks: Mapping[str, tuple[str, ...]]
    found_by: tuple[str, ...]
    every: int
    """One of so many is among the representative few."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it."""

    listed: tuple[Fault, ...]
    targets: tuple[Target, ...]
    equivalent: Mapping[str, str]
    """Name of a fault that an operator made -> why nobody can find it."""
    counters_every: int
    tests: tuple[str, ...]
    """The folders of the tests that may find a fault."""
    scopes: Mapping[str, Mapping[str, object]]
    """The scopes in which the explorer looks, by name."""
    requirements: Requirements

    def argued(self, made: Iterable[Fault]) -> list[Fault]:
        """Faults that operators made, with what is argued about them; an argument about none is stale."""
        faults = [replace(fault, equivalent=self.equivalent.get(fault.name, "")) for fault in made]
        names = {fault.name for fault in faults}
        lost = [name for name in self.equivalent if name not in names]
        stale = f"{_SYSTEMATIC}: argued equivalent, and no operator makes it"
        return [*faults, *(Fault(name, "core", stale, (), (), stale=stale) for name in lost)]


def read_catalogue(spec: Path, root: Path) -> Catalogue:
    """Read the catalogue in the specification folder `spec`, for the source tree `root`."""
    folder = spec / FOLDER
    requirements = read_requirements(spec / "requirements.toml")
    texts = read_package(root / PACKAGE)
    listed: list[Fault] = []
    for path in sorted(folder.glob("*.toml")):
        if path.name not in {_SYSTEMATIC, _TEETH}:
            listed += _listed(read_toml(path), path, requirements, texts)
    names = [fault.name for fault in listed]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"two faults are called '{name}'", file=FOLDER)
    return _systematic(read_toml(folder / _SYSTEMATIC), tuple(listed), requirements)


def _listed(file: Table, path: Path, requirements: Requirements, texts: Mapping[str, str]) -> Iterator[Fault]:
    group = file.one_of("group", GROUPS, "group")
    for entry in file.array("fault"):
        name = entry.text("name")
        changes = list(_changes(entry))
        files, stale = _planted(changes, texts)
        yield Fault(
            name=name,
            group=group,
            story=entry.text("story"),
            breaks=_breaks(entry, "breaks", requirements),
            found_by=_found_by(entry),
            files=files,
            each=True,
            smoke=entry.flag("smoke", default=False),
            hangs=entry.flag("hangs", default=False),
            scope=entry.text("scope") if "scope" in entry else "",
            recreates=_defects(entry, requirements),
            equivalent=entry.text("equivalent") if "equivalent" in entry else "",
            stale=f"{_line(path, name)}: {stale}" if stale else "",
        )
        entry.end()
    file.end()


def _changes(entry: Table) -> Iterator[Change]:
    """Its own change, and further ones if one place is not enough."""
    yield _change(entry)
    for more in entry.array("also") if "also" in entry else ():
        yield _change(more)
        more.end()


def _change(entry: Table) -> Change:
    times = entry.integer("times") if "times" in entry else 1
    nth = entry.integer("nth") if "nth" in entry else 0
    return Change(entry.text("in"), entry.text("replace"), str(entry.raw("by")), times, nth)


def _planted(changes: Iterable[Change], texts: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The files that are different, or why there are none."""
    try:
        return {f"{PACKAGE}/{name}": text for name, text in applied(changes, texts).items()}, ""
    except StaleError as error:
        return {}, str(error)


def _line(path: Path, name: str) -> str:
    """Where the fault of this name is listed."""
    lines = path.read_text(encoding="utf-8").splitlines()
    wanted = re.compile(rf"name = ['\"]{re.escape(name)}['\"]")
    number = next((number for number, line in enumerate(lines, 1) if wanted.match(line)), 1)
    return f"{path.parent.parent.name}/{FOLDER}/{path.name}:{number}"


def _breaks(entry: Table, key: str, requirements: Requirements) -> tuple[str, ...]:
    breaks = entry.texts(key)
    for id_ in breaks:
        entry.known(id_, requirements.by_id, "requirement", key)
    return breaks


def _found_by(entry: Table) -> tuple[str, ...]:
    found_by = entry.texts("found_by")
    for name in found_by:
        entry.known(name, KINDS, "finder", "found_by")
    return tuple(sorted(found_by, key=list(KINDS).index))


def _defects(entry: Table, requirements: Requirements) -> tuple[str, ...]:
    known = {defect for requirement in requirements.by_id.values() for defect in requirement.defects}
    recreates = entry.texts("recreates", optional=True)
    for defect in recreates:
        entry.known(defect, known, "defect", "recreates")
    return recreates


def _target(entry: Table, requirements: Requirements) -> Target:
    breaks = entry.table("breaks", optional=True)
    target = Target(
        file=entry.text("file"),
        group=entry.one_of("group", GROUPS, "group"),
        breaks={name: _breaks(breaks, name, requirements) for name in breaks.names()},
        found_by=_found_by(entry),
        every=entry.integer("smoke_every"),
    )
    breaks.end()
    entry.end()
    return target


def _systematic(file: Table, listed: tuple[Fault, ...], requirements: Requirements) -> Catalogue:
    targets = tuple(_target(entry, requirements) for entry in file.array("target"))
    equivalent: dict[str, str] = {}
    for entry in file.array("equivalent") if "equivalent" in file else ():
        for name in entry.texts("faults"):
            if name in equivalent:
                entry.fault(f"'{name}' is argued twice", "faults")
            equivalent[name] = entry.text("reason")
        entry.end()
    counters, search = file.table("counters"), file.table("search")
    found = Catalogue(
        listed=listed,
        targets=targets,
        equivalent=equivalent,
        counters_every=counters.integer("smoke_every"),
        tests=search.texts("tests"),
        scopes={name: search.table("scope").raw(name) for name in search.table("scope").names()},
        requirements=requirements,
    )
    for table in (counters, search, file):
        table.end()
    for fault in listed:
        if ("explore" in fault.found_by) != (fault.scope in found.scopes):
            file.fault(
                f"fault '{fault.name}': a scope is named exactly by those that 'explore' looks for", "search"
            )
    return found
