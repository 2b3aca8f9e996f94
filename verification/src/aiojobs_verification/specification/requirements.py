"""The promises and what they rest on: `requirements.toml` and `assumptions.toml`.

Rules of this file
    Ids are unique and have one form; each requirement says why it is made (`goal`) and which kinds of check
    must speak for it; each assumption says who checks it and what breaks without it.

    A requirement carries a fingerprint of its text and its kinds of check for every revision of it that
    somebody reviewed (`reviewed`, the latest last). If the latest is not that of the text as it stands, the
    requirement is outdated, and so is all evidence for it: whoever changed it has to look whether the checks
    still speak for what it says now, and to say so (``requirement ID --reviewed``, which calls `review`).

Deliberately not here: whether a requirement was checked. That is a matter of evidence, not of the files.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from aiojobs_verification.specification.tables import Table, read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "SUBJECTS",
    "Assumption",
    "Requirement",
    "Requirements",
    "read_assumptions",
    "read_requirements",
    "review",
]

SUBJECTS = ("asyncio", "user code", "checks")
"""Whom an assumption can be about."""

_REQUIREMENT_ID = re.compile(r"[A-Z]+-[1-9][0-9]*")
_ASSUMPTION_ID = re.compile(r"[A-Z]+(-[A-Z]+)*")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")

T = TypeVar("T", "Requirement", "Assumption")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One promise of the library."""

    id: str
    group: str
    text: str
    goal: str
    """Why it is made."""
    keeps: str
    """What it keeps of the documented behaviour of aiojobs 1.4; may be empty."""
    defects: tuple[str, ...]
    """What aiojobs 1.4.0 does instead; may be empty."""
    checks: tuple[str, ...]
    """The kinds of check that must speak for it."""
    reviewed: tuple[str, ...] = ()
    """The fingerprint of each revision that was reviewed, the latest last."""

    @property
    def revision(self) -> int:
        """How many revisions of it were reviewed."""
        return len(self.reviewed)

    @property
    def fingerprint(self) -> str:
        """That of its text, however it is wrapped, and of its kinds of check, in whatever order."""
        told = json.dumps([self.id, " ".join(self.text.split()), sorted(self.checks)], ensure_ascii=False)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @property
    def outdated(self) -> bool:
        """Whether its text or its kinds of check have changed since somebody reviewed them."""
        return self.reviewed[-1:] != (self.fingerprint,)


@dataclass(frozen=True, slots=True)
class Requirements:
    """The validated content of `requirements.toml`."""

    kinds: Mapping[str, str]
    """Each kind of check and what it can say."""
    by_id: Mapping[str, Requirement]


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that the promises rest on."""

    id: str
    about: str
    text: str
    why: str
    checked_by: str
    without: str
    """What breaks without it."""


def read_requirements(path: Path) -> Requirements:
    """Read and validate `requirements.toml`."""
    file = read_toml(path)
    kinds = {name: _read_kind(entry) for name, entry in file.tables("kind")}

    def read_one(entry: Table, name: str) -> Requirement:
        return _read_requirement(entry, name, kinds)

    by_id = _read_all(file, "requirement", _REQUIREMENT_ID, read_one)
    file.end()
    return Requirements(kinds, by_id)


def read_assumptions(path: Path) -> Mapping[str, Assumption]:
    """Read and validate `assumptions.toml`."""
    file = read_toml(path)
    by_id = _read_all(file, "assumption", _ASSUMPTION_ID, _read_assumption)
    file.end()
    return by_id


def _read_all(
    file: Table, key: str, form: re.Pattern[str], read_one: Callable[[Table, str], T]
) -> dict[str, T]:
    found: dict[str, T] = {}
    for entry in file.array(key):
        name = entry.text("id")
        if not form.fullmatch(name):
            entry.fault(f"'{name}' doesn't have the form of the id of an entry here ({form.pattern})", "id")
        if name in found:
            entry.fault(f"the id '{name}' is given twice", "id")
        # From here on the entry is called by its id: nobody wants to count entries.
        entry.name = f"{key} {name}"
        found[name] = read_one(entry, name)
        entry.end()
    return found


def _read_kind(entry: Table) -> str:
    meaning = entry.text("meaning")
    entry.end()
    return meaning


def _read_requirement(entry: Table, name: str, kinds: Mapping[str, str]) -> Requirement:
    checks = entry.texts("checks")
    for kind in checks:
        entry.known(kind, kinds, "kind of check", "checks")
    return Requirement(
        id=name,
        group=entry.text("group"),
        text=entry.text("text"),
        goal=entry.text("goal"),
        keeps=entry.text("keeps") if "keeps" in entry else "",
        defects=entry.texts("defects", optional=True),
        checks=checks,
        reviewed=_read_fingerprints(entry),
    )


def _read_fingerprints(entry: Table) -> tuple[str, ...]:
    found = entry.texts("reviewed", optional=True)
    for each in found:
        if not _FINGERPRINT.fullmatch(each):
            entry.fault(f"'{each}' is not a fingerprint (16 hexadecimal digits)", "reviewed")
    return found


def review(path: Path, name: str) -> Requirement:
    """Note in the file that the requirement of this name was reviewed as it stands; what it is now.

    Raises:
        KeyError: there is none of this name.
    """
    one = read_requirements(path).by_id[name]
    if not one.outdated:
        return one
    # Only this line is written, so that comments and order stay.
    listed = ", ".join(f'"{each}"' for each in (*one.reviewed, one.fingerprint))
    lines = path.read_text(encoding="utf-8").split("\n")
    place = lines.index(f'id = "{name}"') + 1
    known = lines[place].startswith("reviewed = ")
    lines[place : place + known] = [f"reviewed = [{listed}]"]
    path.write_text("\n".join(lines), encoding="utf-8")
    return read_requirements(path).by_id[name]


def _read_assumption(entry: Table, name: str) -> Assumption:
    return Assumption(
        id=name,
        about=entry.one_of("about", SUBJECTS, "subject"),
        text=entry.text("text"),
        why=entry.text("why"),
        checked_by=entry.text("checked_by"),
        without=entry.text("without"),
    )
