"""The guarantees that the library can be made to leave out, and source trees that do.

Rules of this file: a row changes syntax of the library that is given by function and signature, as a seeded
fault does (`aiojobs_verification.fault_injection.changes`). What does not fit any more is an error that names
row, file and line, and all of them are told at once: a row that changes nothing would be said to cost nothing.

Deliberately not here: what is measured (`costs`), and whether jobs still run in such a tree. The counted run
of each worker sees to that, and a test.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiojobs_verification.fault_injection.changes import Change, StaleError, applied, read_package

from .contenders import OWN
from .workloads import WORKLOADS

__all__ = ["TOGETHER", "Guarantee", "Guarantees", "StaleError", "build", "read"]

TOGETHER: Final = "all of them together"

_PACKAGE: Final = "aiojobs"
_CATALOGUE: Final = Path(__file__).with_suffix(".toml")


class Guarantee(NamedTuple):
    """One row."""

    name: str
    sake: str
    """What it is for: requirements, or a reason."""
    what: str
    """What the library does without it."""
    changes: tuple[Change, ...]
    part_of: str = ""
    """The row that leaves this out too."""


class Guarantees(NamedTuple):
    """All of it."""

    workloads: tuple[str, ...]
    """Those that jobs get through in every tree."""
    rows: tuple[Guarantee, ...]


def read(path: Path = _CATALOGUE) -> Guarantees:
    """The catalogue.

    Raises:
        ValueError: an entry has an unknown key, lacks one, or names what there is not.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        rows = tuple(_row(**entry) for entry in entries["guarantee"])
        found = Guarantees(tuple(entries["workloads"]), rows)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    names = [row.name for row in found.rows]
    wrong = [name for name in found.workloads if name not in WORKLOADS]
    wrong += [row.part_of for row in found.rows if row.part_of and row.part_of not in names]
    wrong += [name for name in dict.fromkeys(names) if names.count(name) > 1 or name == TOGETHER]
    if wrong:
        raise ValueError(f"{path.name}: no such workload or row, or one too many: {', '.join(wrong)}")
    return found


def _row(change: Sequence[dict[str, Any]], **entry: str) -> Guarantee:
    sake = entry.pop("for")
    changes = tuple(Change(place=one.pop("in"), **one) for one in map(dict, change))
    return Guarantee(sake=sake, changes=changes, **entry)


def build(rows: Sequence[Guarantee], source: Path, folder: Path) -> dict[str, Path]:
    """Source trees, each a folder with the package: by the name of each row the one without it, and the one
    without all of them; as `OWN` the unchanged one, to be imported from a like place.

    Raises:
        StaleError: a row can't be left out of the package in `source`, or not together with the others.
    """
    package = read_package(source / _PACKAGE)
    together = tuple(change for row in rows if not row.part_of for change in row.changes)
    every = {OWN: (), **{row.name: row.changes for row in rows}, TOGETHER: together}
    texts: dict[str, dict[str, str]] = {}
    stale: list[str] = []
    for name, changes in every.items():
        if name == TOGETHER and stale:
            continue  # for the same reasons
        try:
            texts[name] = applied(changes, package)
        except StaleError as error:
            stale.append(f"{_CATALOGUE.name}, '{name}': stale: {error}")
    if stale:
        raise StaleError("\n".join(stale))
    return {name: _copied(source, folder / re.sub(r"\W+", "-", name), texts[name]) for name in texts}


def _copied(source: Path, tree: Path, texts: Mapping[str, str]) -> Path:
    """A copy of the runtime, in which these files have these texts."""
    ignore = shutil.ignore_patterns("__pycache__", "testing")
    shutil.copytree(source / _PACKAGE, tree / _PACKAGE, ignore=ignore)
    for file, text in texts.items():
        (tree / _PACKAGE / file).write_text(text, encoding="utf-8")
    return tree
