"""Changes of Python sources that are given by function, signature and syntax, never by the text of a line.

Rules of this file: a change names one place (`in`) and a piece of syntax there (`replace`), which must occur
as often as it says (`times`, once if it does not), in whatever layout and with whatever comments. What does
not fit the sources any more is *stale*, with the file, the line and what was expected.

How it works: `Launching.launch(self, job)` is the function of that qualified name and signature, wherever in
the package it stands, so that it may move to another file; `_launching.py::Launching.launch(self, job)` tells two
of the same name apart. `Launching` is the body of a class and `_launching.py` that of a module, without the
functions in it. A piece of syntax is a row of statements or, in a function, an expression, and is compared
as a tree. All pieces are looked for in the unchanged tree, then replaced; the functions around them are
written anew, and everything else stays as it is, on its line. What is written there may use no name that the file
does not have: it would fall over, and a test that fails for that has found nothing.

Deliberately not here: what is wrong with a change, and who finds it (`catalogue`). Nothing of the other
packages is imported: the benchmark uses this file too.
"""

from __future__ import annotations

import ast
import re
import textwrap
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from aiojobs_verification.fault_injection.names import unset_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Change", "StaleError", "applied", "read_package"]

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_CONTEXT: Final = re.compile(r",? ?ctx=\w+\(\)")
_WIDTH: Final = 70
_INDENT: Final = 4


class StaleError(ValueError):
    """A change does not fit the sources; the message says where, and what was expected."""


@dataclass(frozen=True, slots=True)
class Change:
    """One piece of syntax in one place, and what is to stand there instead."""

    place: str
    replace: str
    by: str
    times: int = 1
    """How often it must occur there."""
    nth: int = 0
    """Which of them is meant, counted from 1 as one reads; all of them if it is not said."""

    @property
    def wants_statements(self) -> bool:
        """Whether the piece is a row of statements; if not, it is an expression."""
        return not (_is_expression(_parsed(self.replace)) and _is_expression(_parsed(self.by)))


class _Place(NamedTuple):
    """Where the functions and classes of a file are."""

    name: str
    signature: str
    """Empty if it is a class."""
    line: int


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Neighbours in a list or a single node in a field of `owner`, and the nodes that are written anew."""

    change: Change
    owner: Any
    field: str
    nodes: tuple[Any, ...]
    around: tuple[ast.stmt, ...]


def read_package(package: Path) -> dict[str, str]:
    """The sources of a package: name of a file, relative to it -> text."""
    files = sorted(package.rglob("*.py"))
    return {path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in files}


def applied(changes: Iterable[Change], texts: Mapping[str, str]) -> dict[str, str]:
    """The files of `texts` that are different with all these changes, and how they read then.

    Two changes may touch the same piece if they agree on it, or if one takes away all that the other changes.

    Raises:
        StaleError: a change does not fit.
    """
    trees: dict[str, ast.Module] = {}
    pieces: dict[str, list[_Piece]] = {}
    for change in changes:
        file, place = _located(change, texts)
        tree = trees.setdefault(file, ast.parse(texts[file], file))
        pieces.setdefault(file, []).extend(_found(change, file, place, tree))
    changed = {file: _changed(found, texts[file]) for file, found in pieces.items()}
    for file, text in changed.items():
        if lost := unset_names(text) - unset_names(texts[file]):
            raise StaleError(f"{file}: with this change {', '.join(sorted(lost))} is asked for and not there")
    return changed


# Places.


def _located(change: Change, texts: Mapping[str, str]) -> tuple[str, _Place | None]:
    """The file and the place in it; no place if it is the module itself."""
    wanted_file, _, wanted = change.place.rpartition("::")
    if wanted.endswith(".py"):
        if wanted not in texts:
            raise StaleError(f"there is no file {wanted} any more")
        return wanted, None
    name = wanted.partition("(")[0]
    found = [
        (file, place)
        for file, text in texts.items()
        for place in _places(text)
        if place.name == name.removeprefix("async ") and wanted_file in {"", file}
    ]
    if len(found) != 1:
        files = ", ".join(f"{file}:{place.line}" for file, place in found)
        raise StaleError(f"{wanted} is in {files}" if found else f"there is no {wanted} any more")
    [(file, place)] = found
    if place.signature not in {"", wanted}:
        raise StaleError(f"{file}:{place.line}: the signature is {place.signature}, expected was {wanted}")
    return file, place


@lru_cache(maxsize=1000)
def _places(text: str) -> tuple[_Place, ...]:
    return tuple(_Place(name, _signature(name, node), node.lineno) for name, node in _scopes(ast.parse(text)))


def _scopes(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _scopes(node, f"{prefix}{node.name}.")


def _signature(name: str, node: _Function | ast.ClassDef) -> str:
    """The name with the names and kinds of the parameters; their types and defaults may change."""
    if isinstance(node, ast.ClassDef):
        return ""
    parameters = deepcopy(node.args)
    for parameter in ast.walk(parameters):
        if isinstance(parameter, ast.arg):
            parameter.annotation = None
    parameters.defaults, parameters.kw_defaults = [], [None] * len(parameters.kwonlyargs)
    word = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{word}{name}({ast.unparse(parameters)})"


# Pieces of syntax.


def _parsed(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(textwrap.dedent(source)).body
    except SyntaxError as error:
        raise StaleError(f"{_brief(source)} is not Python: {error.msg}") from None


def _is_expression(statements: Sequence[ast.stmt]) -> bool:
    return len(statements) == 1 and isinstance(statements[0], ast.Expr)


def _brief(source: str) -> str:
    return f"'{textwrap.shorten(source, _WIDTH, placeholder=' …')}'"


def _shape(node: ast.AST) -> str:
    return _CONTEXT.sub("", ast.dump(node))


def _found(change: Change, file: str, place: _Place | None, tree: ast.Module) -> list[_Piece]:
    """What the change replaces; as often as it says."""
    scope = tree if place is None else dict(_scopes(tree))[place.name]
    pattern, new = _parsed(change.replace), _parsed(change.by)
    if [*map(_shape, pattern)] == [*map(_shape, new)]:
        raise StaleError(f"in {change.place} {_brief(change.replace)} is replaced by itself")
    if isinstance(scope, _FUNCTIONS):
        pieces = list(_pieces(change, scope, pattern, (scope,)))
    else:
        pieces = list(_rows(change, scope, "body", pattern, ()))
    if len(pieces) != change.times:
        where = f"{file}:{1 if place is None else place.line}"
        times = f"{len(pieces)} times, expected was {change.times}"
        raise StaleError(f"{where}: in {change.place} {_brief(change.replace)} occurs {times}")
    pieces.sort(key=lambda piece: (piece.nodes[0].lineno, piece.nodes[0].col_offset))
    return pieces[change.nth - 1 : change.nth] if change.nth else pieces


def _pieces(
    change: Change, scope: ast.AST, pattern: list[ast.stmt], around: tuple[ast.stmt, ...]
) -> Iterator[_Piece]:
    [single] = pattern if _is_expression(pattern) and not change.wants_statements else [None]
    wanted = _shape(single.value) if isinstance(single, ast.Expr) else ""
    for owner in ast.walk(scope):
        for name, value in ast.iter_fields(owner):
            if single is None:
                yield from _rows(change, owner, name, pattern, around)
            else:
                for node in value if isinstance(value, list) else [value]:
                    if isinstance(node, ast.expr) and _shape(node) == wanted:
                        yield _Piece(change, owner, name, (node,), around)


def _rows(
    change: Change, owner: ast.AST, name: str, pattern: list[ast.stmt], around: tuple[ast.stmt, ...]
) -> Iterator[_Piece]:
    row = getattr(owner, name)
    if isinstance(row, list) and row and isinstance(row[0], ast.stmt):
        wanted, count = [*map(_shape, pattern)], len(pattern)
        for start in range(len(row) - count + 1):
            nodes = tuple(row[start : start + count])
            if [*map(_shape, nodes)] == wanted:
                yield _Piece(change, owner, name, nodes, around or nodes)


# Replacing.


def _changed(pieces: Sequence[_Piece], text: str) -> str:
    """The text with all of the pieces replaced; those that another one contains go with it."""
    units = {piece.around: piece for piece in pieces}
    seen: dict[tuple[ast.AST, ...], str] = {}
    for piece in pieces:
        if seen.setdefault(piece.nodes, piece.change.by) != piece.change.by:
            raise _conflict(piece)
    rewritten: dict[tuple[ast.stmt, ...], list[ast.stmt]] = {}
    for piece in sorted({piece.nodes: piece for piece in pieces}.values(), key=_size):
        new = _parsed(piece.change.by)
        if piece.around == piece.nodes:
            rewritten[piece.around] = new
        else:
            _put(piece, new)
    lines = text.splitlines(keepends=True)
    for around in sorted(units, key=lambda around: -around[0].lineno):
        _write(lines, around, rewritten.get(around, list(around)))
    return "".join(lines)


def _size(piece: _Piece) -> int:
    """The longest row comes first, and takes those that it contains with it."""
    return -len(piece.nodes)


def _conflict(piece: _Piece) -> StaleError:
    return StaleError(
        f"in {piece.change.place} {_brief(piece.change.replace)} is replaced by another change too"
    )


def _put(piece: _Piece, new: list[ast.stmt]) -> None:
    """Replace it in the tree; nothing is to be done if all of it has gone with something else."""
    present: Any = getattr(piece.owner, piece.field)
    if not isinstance(present, list):
        if present is piece.nodes[0]:
            setattr(piece.owner, piece.field, _value(new))
        return
    places = [number for number, node in enumerate(present) if node in piece.nodes]
    if not places:
        return
    if len(places) != len(piece.nodes):
        raise _conflict(piece)
    put = [_value(new)] if isinstance(piece.nodes[0], ast.expr) else new
    present[places[0] : places[-1] + 1] = put
    if not present and piece.field == "body":
        present.append(ast.Pass())


def _value(statements: list[ast.stmt]) -> ast.expr:
    [statement] = statements
    assert isinstance(statement, ast.Expr)
    return statement.value


def _write(lines: list[str], old: tuple[ast.stmt, ...], new: list[ast.stmt]) -> None:
    """Write statements anew, on as many lines as before if they are not more now."""
    decorated = [one.lineno for one in getattr(old[0], "decorator_list", ())]
    first, last = min([old[0].lineno, *decorated]), old[-1].end_lineno or 0
    nest: list[ast.stmt] = new or [ast.Pass()]
    depth = old[0].col_offset // _INDENT
    for _ in range(depth):  # so that what is indented is not the inside of a string
        nest = [ast.If(ast.Constant(value=True), nest, [])]
    source = ast.unparse(ast.fix_missing_locations(ast.Module(nest, [])))
    written = [f"{line}\n" for line in source.splitlines()[depth:]]
    lines[first - 1 : last] = written + ["\n"] * (last - first + 1 - len(written))
