"""Traceability: every place of the source tree that names the id of a requirement.

Rules of this file
    A place is found, never listed: by what stands in the files. So a link to nothing can't exist, and a
    place that is moved is found where it is now.

    The page has files and names and no line numbers, so that it is stale only if something appeared, went or
    got another name. The command ``requirement`` says the lines.

How it works: Python is read as a syntax tree, and an id in a comment or a text belongs to the innermost
function or class around it; TOML line by line, and an id belongs to the entry it stands in; TLA+ by the names
of its operators, which are the ids with an underscore.

Deliberately not here: whether any check passed. That is a matter of evidence.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from aiojobs_verification.specification.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from aiojobs_verification.specification.load import Spec

    _Reader = Callable[[str], Iterator[tuple[str, int, str]]]

__all__ = ["PAGE", "SORTS", "Place", "page", "places"]

PAGE: Final = "docs/reference/traceability.md"

_ID = re.compile(r"\b[A-Z]+-[1-9][0-9]*\b")
_QUOTED_ID = re.compile(r'"([A-Z]+-[1-9][0-9]*)"')
_TABLE = re.compile(r"\[+([^\]]+)\]+")
_KEY = re.compile(r"(\w+) = ")
_NAME = re.compile(r'name = "(.+)"')
_OPERATOR = re.compile(r"([A-Z]+_[1-9][0-9]*)(?!\d)\w*")
_DEFINITION = re.compile(_OPERATOR.pattern + r"(?= ==)")

_JUDGES: Final = ("follower", "simulation", "trace_audit")
_OURS: Final = "verification/src/aiojobs_verification"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One place that names a requirement."""

    path: str
    line: int
    name: str
    """Of the function, test, entry, operator or fault; empty for a whole file."""


def places(root: Path) -> dict[str, dict[str, list[Place]]]:
    """For each id, and each of `SORTS`, the places in the source tree at `root` that name it.

    Raises:
        SpecError: a file is not Python; it names the file.
    """
    found: dict[str, dict[str, list[Place]]] = {}
    for sort, (_, patterns, read) in SORTS.items():
        for path in (path for pattern in patterns for path in sorted(root.glob(pattern))):
            for id_, place in _in_file(path, path.relative_to(root).as_posix(), read):
                found.setdefault(id_, {}).setdefault(sort, []).append(place)
    return found


def _in_file(path: Path, name: str, read: _Reader) -> list[tuple[str, Place]]:
    try:
        named = list(_first_of_each(read(path.read_text(encoding="utf-8"))))
    except SyntaxError as error:
        raise SpecError(f"line {error.lineno} is not Python: {error.msg}", file=name) from None
    return [(id_, Place(name, line, what)) for id_, line, what in named]


def _first_of_each(named: Iterable[tuple[str, int, str]]) -> Iterator[tuple[str, int, str]]:
    seen: dict[tuple[str, str], int] = {}
    for id_, line, name in named:
        seen.setdefault((id_, name), line)
    yield from ((id_, line, name) for (id_, name), line in seen.items())


# --------------------------------------------------------------------------------------------------------
# One reader for each language: id, line, name of what it stands in


def _python(text: str) -> Iterator[tuple[str, int, str]]:
    spans = list(_spans(ast.parse(text).body, ""))
    for number, line in enumerate(text.splitlines(), start=1):
        for id_ in _ID.findall(line):
            around = [(start, name) for start, end, name in spans if start <= number <= end]
            begun, name = max(around, default=(number, ""))
            yield id_, begun, name


def _spans(body: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[int, int, str]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = prefix + node.name
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield first, node.end_lineno or node.lineno, name
            yield from _spans(node.body, f"{name}.")


def _tests(text: str) -> Iterator[tuple[str, int, str]]:
    """Only what a marker says: a test that mentions an id does not speak for it by that."""
    tree = ast.parse(text)
    spans = list(_spans(tree.body, ""))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.requirement":
            around = [(start, name) for start, end, name in spans if start <= node.lineno <= end]
            begun, name = max(around, default=(node.lineno, ""))
            ids = (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))
            yield from ((id_, begun, name) for id_ in ids)


def _toml(text: str) -> Iterator[tuple[str, int, str]]:
    """An entry is called by its name where it has one, or by its table and, in a plain list, by its key."""
    table, name, begun = "", "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if head := _TABLE.fullmatch(line.strip()):
            table, name, begun = head[1], "", number
            continue
        if told := _NAME.fullmatch(line):
            name = told[1]
        for id_ in _QUOTED_ID.findall(line):
            if table:
                yield id_, begun, name or table
            elif key := _KEY.match(line):
                yield id_, number, key[1]


def _list(text: str) -> Iterator[tuple[str, int, str]]:
    """Entries that are lines: a name and the ids it speaks for."""
    for number, line in enumerate(text.splitlines(), start=1):
        if key := _KEY.match(line):
            yield from ((id_, number, key[1]) for id_ in _QUOTED_ID.findall(line))


def _tla(text: str) -> Iterator[tuple[str, int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if operator := _DEFINITION.match(line):
            yield operator[1].replace("_", "-"), number, operator[0]


def _configuration(text: str) -> Iterator[tuple[str, int, str]]:
    """A file is one fault; the rules that it names are those that must find it."""
    for number, line in enumerate(text.splitlines(), start=1):
        if operator := _OPERATOR.fullmatch(line.strip()):
            yield operator[1].replace("_", "-"), number, ""


SORTS: Final[Mapping[str, tuple[str, tuple[str, ...], _Reader]]] = {
    "rules": ("Rules for the counters", ("spec/job.toml", "spec/scheduler.toml"), _toml),
    "tla": ("Rules of the model", ("spec/tla/*.tla",), _tla),
    "code": ("Kept by", ("src/aiojobs/**/*.py",), _python),
    "contracts": ("Contracts of the pure core", (f"{_OURS}/symbolic/proofs/expected.toml",), _list),
    "oracle": ("Judged by", tuple(f"{_OURS}/{part}/**/*.py" for part in _JUDGES), _python),
    "tests": ("Tests", ("tests/**/test_*.py", "verification/tests/**/test_*.py"), _tests),
    "faults": ("Seeded faults", ("spec/mutants/*.toml",), _toml),
    "model faults": ("Faults of the model", ("spec/tla/fault_*.cfg",), _configuration),
}
"""Every sort of place: what a reader calls it, in which files it is, and how they are read."""

# --------------------------------------------------------------------------------------------------------
# The page

_HEAD: Final = """\
# Traceability

From each promise to the places that keep it and to those that check it. `make generate` writes this page from what
stands in the files; `python -m aiojobs_verification requirement LIMIT-1` prints the same with lines, and with the
evidence of the last run. Which kinds of check must speak for a promise: [Requirements](requirements.md).
"""


def page(spec: Spec, found: Mapping[str, Mapping[str, Iterable[Place]]]) -> str:
    """The text of the page: a heading for every requirement."""
    lines = [_HEAD]
    for id_, requirement in spec.requirements.by_id.items():
        lines += [f"## {id_}", "", f"{requirement.text} (Revision {requirement.revision}.)", ""]
        lines += [
            line
            for sort, (title, *_) in SORTS.items()
            for line in _listed(title, found.get(id_, {}).get(sort, ()))
        ]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _listed(title: str, named: Iterable[Place]) -> Iterator[str]:
    by_file = [(path, list(group)) for path, group in groupby(sorted(named), key=lambda one: one.path)]
    if by_file:
        yield f"- {title}:"
    for path, group in by_file:
        names = ", ".join(f"`{place.name}`" for place in group if place.name)
        yield f"  - [{path}](../../{path})" + (f": {names}" if names else "")
