"""The catalogue of seeded faults, `spec/mutants/`, read strictly.

Rules of this file: a mutant says in one sentence what is wrong with it, where it is and by what it is to be
found. It replaces a text that occurs exactly once. When the code has moved on and the text is gone, that is
a fault of the catalogue and stops the run: a mutant that changes nothing would be found by nobody, or,
worse, be taken for found.

How it works: `shell.toml` and its like list mutants one by one. `systematic.toml` names the files, tables
and functions to which the operators (`operators`) are applied, and what each aims at; its mutants are made,
not listed. A mutant that can't be found, because it means the same, is argued `equivalent` where it stands.
It is run all the same, and an argument about a mutant that is found is a fault too, and so is one about a
mutant that is not there.

Deliberately not here: the mutants of the counters (`mutate`) and of the model, which have no text to
replace.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.requirements import Requirements, read_requirements
from aiojobs_verification.specification.tables import Table, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["FOLDER", "KINDS", "LINKS", "Catalogue", "Edit", "Mutant", "System", "read_catalogue"]

FOLDER: Final = "mutants"
"""Below the folder of the specification."""

KINDS: Final = ("table", "counters", "core", "shell")
"""What a mutant is a fault of."""

LINKS: Final = ("validate", "prove", "conformance", "test", "symbolic", "explore", "fuzz")
"""Who can find a mutant, the cheapest first; each is a link of the chain of evidence, or a part of one."""

MUTANT: Final = "mutant"
"""The kind of check that this is."""

_SYSTEMATIC: Final = "systematic.toml"


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement in one file; `at` is the position of `old`, or None if it must occur exactly once."""

    file: str
    old: str
    new: str
    at: int | None = None

    def applied(self, text: str) -> str:
        """The text with the fault in it."""
        at = text.find(self.old) if self.at is None else self.at
        return text[:at] + self.new + text[at + len(self.old) :]

    def flaw(self, text: str) -> str:
        """Why it can't be applied to `text`; empty if it can."""
        if self.old == self.new:
            return "it replaces a text by itself"
        if self.at is not None:
            return "" if text.startswith(self.old, self.at) else "the text is not there any more"
        count = text.count(self.old)
        if count != 1:
            return f"stale: {self.old.strip()!r} occurs {count} times in {self.file}, not once"
        if self.file.endswith(".py"):
            try:
                ast.parse(self.applied(text))
            except SyntaxError as error:
                return f"with it {self.file} is not Python any more: {error}"
        return ""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One seeded fault."""

    name: str
    kind: str
    story: str
    edits: tuple[Edit, ...]
    aims: tuple[str, ...]
    """The requirements that it breaks. Whoever finds it must claim one of them."""
    links: tuple[str, ...]
    """By which links it is expected to be found."""
    each: bool = False
    """Whether each of the links must find it, when there is time for that, or any."""
    smoke: bool = True
    """Whether it belongs to the representative few."""
    hangs: bool = False
    """Whether it is found when a check does not come back."""
    scope: str = ""
    """The name of the bounds in which the explorer looks for it."""
    recreates: tuple[str, ...] = ()
    """The known defects (`defects` of requirements.toml) that it is."""
    equivalent: str = ""
    """Why nobody can find it; empty if somebody must."""
    number: int = -1
    """Of a mutant of the counters, its place among them."""


@dataclass(frozen=True, slots=True)
class System:
    """A file to which the operators are applied; what is made of each function aims at its requirements."""

    file: str
    kind: str
    aims: Mapping[str, tuple[str, ...]]
    links: tuple[str, ...]
    every: int
    """One of so many is among the representative few."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it."""

    listed: tuple[Mutant, ...]
    systems: tuple[System, ...]
    equivalent: Mapping[str, str]
    """Name of a mutant that an operator made -> why nobody can find it."""
    counters_every: int
    tests: tuple[str, ...]
    """The folders of the tests that may find a mutant."""
    scopes: Mapping[str, Mapping[str, object]]
    """The bounds in which the explorer looks, by name."""
    requirements: Requirements

    def argued(self, made: Iterable[Mutant]) -> list[Mutant]:
        """Mutants that operators made, with what is argued about them; each argument must be about one."""
        mutants = [replace(mutant, equivalent=self.equivalent.get(mutant.name, "")) for mutant in made]
        names = {mutant.name for mutant in mutants}
        for name in self.equivalent:
            if name not in names:
                raise SpecError(
                    f"stale: no operator makes the mutant '{name}'", file=_SYSTEMATIC, table="equivalent"
                )
        return mutants


def read_catalogue(spec: Path, root: Path) -> Catalogue:
    """Read the catalogue in the specification folder `spec`, for the source tree `root`."""
    folder = spec / FOLDER
    requirements = read_requirements(spec / "requirements.toml")
    listed: list[Mutant] = []
    for path in sorted(folder.glob("*.toml")):
        if path.name != _SYSTEMATIC:
            listed += _listed(read_toml(path), requirements, root)
    names = [mutant.name for mutant in listed]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"two mutants are called '{name}'", file=FOLDER)
    return _systematic(read_toml(folder / _SYSTEMATIC), tuple(listed), requirements)


def _listed(file: Table, requirements: Requirements, root: Path) -> Iterator[Mutant]:
    kind = file.one_of("kind", KINDS, "kind")
    for entry in file.array("mutant"):
        mutant = Mutant(
            name=entry.text("name"),
            kind=kind,
            story=entry.text("story"),
            edits=tuple(_edits(entry)),
            aims=_aims(entry, "aims", requirements),
            links=_links(entry),
            each=True,
            smoke=entry.flag("smoke", default=False),
            hangs=entry.flag("hangs", default=False),
            scope=entry.text("scope") if "scope" in entry else "",
            recreates=_defects(entry, requirements),
            equivalent=entry.text("equivalent") if "equivalent" in entry else "",
        )
        entry.end()
        for edit in mutant.edits:
            _check_edit(edit, mutant.name, entry, root)
        yield mutant
    file.end()


def _edits(entry: Table) -> Iterator[Edit]:
    """Its own replacement, and further ones if one place is not enough."""
    yield Edit(entry.text("file"), entry.text("old"), str(entry.raw("new")))
    for more in entry.array("also") if "also" in entry else ():
        yield Edit(more.text("file"), more.text("old"), str(more.raw("new")))
        more.end()


def _check_edit(edit: Edit, name: str, entry: Table, root: Path) -> None:
    path = root / edit.file
    if not path.is_file():
        entry.fault(f"mutant '{name}': there is no file {edit.file}", "file")
    flaw = edit.flaw(path.read_text(encoding="utf-8"))
    if flaw:
        entry.fault(f"mutant '{name}': {flaw}", "old")


def _aims(entry: Table, key: str, requirements: Requirements) -> tuple[str, ...]:
    aims = entry.texts(key)
    for id_ in aims:
        entry.known(id_, requirements.by_id, "requirement", key)
    return aims


def _links(entry: Table) -> tuple[str, ...]:
    links = entry.texts("links")
    for link in links:
        entry.known(link, LINKS, "link", "links")
    return tuple(sorted(links, key=LINKS.index))


def _defects(entry: Table, requirements: Requirements) -> tuple[str, ...]:
    known = {defect for requirement in requirements.by_id.values() for defect in requirement.defects}
    recreates = entry.texts("recreates", optional=True)
    for defect in recreates:
        entry.known(defect, known, "defect", "recreates")
    return recreates


def _system(entry: Table, requirements: Requirements) -> System:
    aims = entry.table("aims", optional=True)
    system = System(
        file=entry.text("file"),
        kind=entry.one_of("kind", KINDS, "kind"),
        aims={name: _aims(aims, name, requirements) for name in aims.names()},
        links=_links(entry),
        every=entry.integer("smoke_every"),
    )
    aims.end()
    entry.end()
    return system


def _systematic(file: Table, listed: tuple[Mutant, ...], requirements: Requirements) -> Catalogue:
    systems = tuple(_system(entry, requirements) for entry in file.array("system"))
    equivalent: dict[str, str] = {}
    for entry in file.array("equivalent") if "equivalent" in file else ():
        for name in entry.texts("mutants"):
            if name in equivalent:
                entry.fault(f"'{name}' is argued twice", "mutants")
            equivalent[name] = entry.text("reason")
        entry.end()
    counters, search = file.table("counters"), file.table("search")
    found = Catalogue(
        listed=listed,
        systems=systems,
        equivalent=equivalent,
        counters_every=counters.integer("smoke_every"),
        tests=search.texts("tests"),
        scopes={name: search.table("scope").raw(name) for name in search.table("scope").names()},
        requirements=requirements,
    )
    for table in (counters, search, file):
        table.end()
    for mutant in listed:
        if ("explore" in mutant.links) != (mutant.scope in found.scopes):
            file.fault(
                f"mutant '{mutant.name}': a scope is named exactly by those that 'explore' looks for",
                "search",
            )
    return found
