"""The catalogue `guarantees.toml`: what the library could leave out, and source trees that do.

Rules of this file: a row replaces texts of the library. All are looked for in the unchanged text, and there
as often as the row says; two that are left out together may touch the same text only if they agree on it, or
if one takes away all that the other changes. When the library has moved on that is an error which names row
and file: a row that changes nothing would be said to cost nothing.

Deliberately not here: what is measured (`costs`), and whether jobs still run in such a tree. The counted run
of each worker sees to that, and a test.
"""

from __future__ import annotations

import ast
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from .contenders import OWN
from .workloads import WORKLOADS

__all__ = ["TOGETHER", "Catalogue", "Edit", "Guarantee", "StaleError", "build", "read"]

TOGETHER: Final = "all of them together"

_PACKAGE: Final = "aiojobs"
_CATALOGUE: Final = Path(__file__).with_suffix(".toml")


class StaleError(ValueError):
    """The catalogue does not fit the library; the message has a line for each place."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement."""

    file: str
    old: str
    new: str
    count: int = 1
    """How often `old` occurs."""


class Guarantee(NamedTuple):
    """One row."""

    name: str
    sake: str
    """What it is for: requirements, or a reason."""
    what: str
    """What the library does without it."""
    edits: tuple[Edit, ...]
    part_of: str = ""
    """The row that leaves this out too."""


class Catalogue(NamedTuple):
    """All of it."""

    workloads: tuple[str, ...]
    """Those that jobs get through in every tree."""
    rows: tuple[Guarantee, ...]


def read(path: Path = _CATALOGUE) -> Catalogue:
    """The catalogue.

    Raises:
        ValueError: an entry has an unknown key, lacks one, or names what there is not.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        rows = tuple(_row(**entry) for entry in entries["guarantee"])
        found = Catalogue(tuple(entries["workloads"]), rows)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    names = [row.name for row in found.rows]
    wrong = [name for name in found.workloads if name not in WORKLOADS]
    wrong += [row.part_of for row in found.rows if row.part_of and row.part_of not in names]
    wrong += [name for name in dict.fromkeys(names) if names.count(name) > 1 or name == TOGETHER]
    if wrong:
        raise ValueError(f"{path.name}: no such workload or row, or one too many: {', '.join(wrong)}")
    return found


def _row(edit: Sequence[Mapping[str, Any]], **entry: str) -> Guarantee:
    sake = entry.pop("for")
    return Guarantee(sake=sake, edits=tuple(Edit(**one) for one in edit), **entry)


def build(rows: Sequence[Guarantee], source: Path, folder: Path) -> dict[str, Path]:
    """Source trees, each a folder with the package: by the name of each row the one without it, and the one
    without all of them; as `OWN` the unchanged one, to be imported from a like place.

    Raises:
        StaleError: a row can't be left out of the package in `source`, or not together with the others.
    """
    every: dict[str, list[tuple[str, Edit]]] = {OWN: []}
    every |= {row.name: [(row.name, edit) for edit in row.edits] for row in rows}
    together = [place for row in rows if not row.part_of for place in every[row.name]]
    texts = _changed(every, source / _PACKAGE) | _changed({TOGETHER: together}, source / _PACKAGE)
    return {name: _copied(source, folder / re.sub(r"\W+", "-", name), texts[name]) for name in texts}


def _copied(source: Path, tree: Path, texts: Mapping[str, str]) -> Path:
    """A copy of the runtime, in which these files have these texts."""
    ignore = shutil.ignore_patterns("__pycache__", "testing")
    shutil.copytree(source / _PACKAGE, tree / _PACKAGE, ignore=ignore)
    for file, text in texts.items():
        (tree / _PACKAGE / file).write_text(text, encoding="utf-8")
    return tree


def _changed(every: Mapping[str, Sequence[tuple[str, Edit]]], package: Path) -> dict[str, dict[str, str]]:
    """Name of a tree -> the texts of the files that its edits, each of some row, change.

    Raises:
        StaleError: with all that is wrong in any of them.
    """
    texts: dict[str, dict[str, str]] = {}
    faults: list[str] = []
    for name, places in every.items():
        texts[name] = {}
        for file in dict.fromkeys(edit.file for _, edit in places):
            path = package / file
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            edits = [place for place in places if place[1].file == file]
            texts[name][file] = _applied(edits, text)
            faults += list(_faults(edits, text)) or list(_not_python(edits, texts[name][file]))
    if faults:
        raise StaleError("\n".join(faults))
    return texts


def _faults(edits: Sequence[tuple[str, Edit]], text: str) -> Iterator[str]:
    """Texts that are not there so often, or that two rows want to replace differently."""
    for row, edit in edits:
        if (count := len(_found(edit, text))) != edit.count:
            yield _fault(row, edit.file, f"{edit.old.strip()!r} occurs {count} times, not {edit.count}")
    spans = _spans(edits, text)
    for (_, end, _, first), (begin, _, _, second) in pairwise(spans):
        if begin < end:
            yield _fault(second, edits[0][1].file, f"'{first}' replaces the same text")


def _not_python(edits: Sequence[tuple[str, Edit]], text: str) -> Iterator[str]:
    try:
        ast.parse(text)
    except SyntaxError as error:
        for row in dict.fromkeys(row for row, _ in edits):
            yield _fault(row, edits[0][1].file, f"is not Python without it: {error}")


def _fault(row: str, file: str, fault: str) -> str:
    return f"{_CATALOGUE.name}, '{row}': stale: in src/{_PACKAGE}/{file} {fault}"


def _applied(edits: Sequence[tuple[str, Edit]], text: str) -> str:
    for begin, end, new, _ in reversed(_spans(edits, text)):
        text = text[:begin] + new + text[end:]
    return text


def _spans(edits: Sequence[tuple[str, Edit]], text: str) -> list[tuple[int, int, str, str]]:
    """What is replaced: from, to, by what, for which row. In order; the same once, and none in what goes."""
    found: dict[tuple[int, int, str], str] = {}
    for row, edit in edits:
        for span in _found(edit, text):
            found.setdefault((*span, edit.new), row)
    gone = [(begin, end) for begin, end, new in found if not new]
    return sorted(
        (*span, row)
        for span, row in found.items()
        if not any(begin <= span[0] and span[1] <= end and (begin, end) != span[:2] for begin, end in gone)
    )


def _found(edit: Edit, text: str) -> list[tuple[int, int]]:
    """Where the text is: from and to."""
    start = "^" if edit.old.startswith(" ") else ""
    return [match.span() for match in re.finditer(start + re.escape(edit.old), text, re.MULTILINE)]
