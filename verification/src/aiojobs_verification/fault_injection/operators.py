"""The operators: small faults, seeded everywhere in a table or a function, one at a time.

Rules of this file: what an operator makes depends on the text alone, and each fault has a name that tells
what was changed where, so that it can be argued about and found again. A function that nobody aims at, and
an aim at a function that is not there, is stale: it is told by its name, and the others are tried.

How it works. Of a *table* of states and events every cell is changed to everything else that a cell can
say: each other state, "nothing happens", "illegal"; the rest of the file stays as it is. Of a *function*
every comparison, sign, number, condition and `return` is changed to its neighbours, every `and` and `or` is
exchanged and loses its parts, every condition becomes true and false, and every simple statement is left
out.

Deliberately not here: expressions of the counters (`mutate`), and whether anybody finds what is made here.
"""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiojobs_verification.fault_injection.catalogue import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aiojobs_verification.fault_injection.catalogue import Target

__all__ = ["made"]

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_Change: TypeAlias = tuple[ast.AST, ast.AST, str]
"""A part of a function around the change, the part that is changed, and what stands there instead."""
_Made: TypeAlias = tuple[str, tuple[str, ...], str]
"""The name of a fault, the requirements that it breaks, and the text of the file with it."""

_OTHER_SIGNS: Final[Mapping[type[ast.AST], tuple[str, ...]]] = {
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<", ">="),
    ast.Gt: (">=", "<"),
    ast.GtE: (">", "<="),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Add: ("-",),
    ast.Sub: ("+",),
}
_SIMPLE: Final = (
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    ast.Expr,
    ast.Return,
    ast.Raise,
    ast.Delete,
    ast.Break,
)
_TELLING: Final = (*_SIMPLE, ast.Compare, ast.BoolOp)
"""Enough to see from it what was changed."""
_WIDTH: Final = 90
_ILLEGAL: Final = "illegal"
_NOTHING: Final = "="


def made(target: Target, root: Path) -> list[Fault]:
    """Every fault that the operators make of one file."""
    text = (root / target.file).read_text(encoding="utf-8")
    changes = _of_table(target, text) if target.group == "table" else _of_functions(target, text)
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    for number, (name, breaks, changed) in enumerate(changes):
        seen[name] = seen.get(name, 0) + 1
        unique = name if seen[name] == 1 else f"{name} ({seen[name]})"
        files, smoke = {target.file: changed}, number % target.every == 0
        faults.append(Fault(unique, target.group, unique, breaks, target.found_by, files=files, smoke=smoke))
    return [*faults, *_stale(target, text)]


def _stale(target: Target, text: str) -> Iterator[Fault]:
    """Aims at what is not there, and functions that nobody aims at."""
    present = (
        {" ".join(cell) for cell in _cells(text)[1]}
        if target.group == "table"
        else set(dict(_functions(ast.parse(text))))
    )
    strays = [(name, "aimed at, and it is not there") for name in target.breaks if name not in present]
    if target.group != "table":
        strays += [(name, "nobody aims at it") for name in sorted(present - set(target.breaks))]
    for name, fault in strays:
        stale = f"{target.file}: {name}: {fault}"
        yield Fault(f"{target.file}: {name}", target.group, stale, (), target.found_by, stale=stale)


# Tables.


def _of_table(target: Target, text: str) -> Iterator[_Made]:
    prefix, cells, states = _cells(text)
    for (state, event), dest in sorted(cells.items()):
        for other in (*(name for name in states if name != state), _NOTHING, _ILLEGAL):
            if other != dest:
                changed = _with_cells(text, prefix, cells | {(state, event): other})
                name = f"{prefix or 'job.'}{state} {event}: {dest} → {other}"
                yield name, target.breaks.get(f"{state} {event}", ()), changed


def _cells(text: str) -> tuple[str, dict[tuple[str, str], str], list[str]]:
    """Where the table is in the file, what each of its cells says, and the states."""
    data = tomllib.loads(text)
    owner: dict[str, Any] = data.get("phase", data)
    states = [state["name"] for state in owner["machine"]["states"]]
    cells = {(one["source"], one["trigger"]): one["dest"] for one in owner["machine"]["transitions"]}
    cells |= {(state, event): _ILLEGAL for state, events in owner["illegal"].items() for event in events}
    return "phase." if "phase" in data else "", cells, states


def _with_cells(text: str, prefix: str, cells: Mapping[tuple[str, str], str]) -> str:
    """The file with these cells; the two places that declare them are written anew."""
    moves = [
        f'    {{ trigger = "{event}", source = "{state}", dest = "{dest}" }},'
        for (state, event), dest in cells.items()
        if dest != _ILLEGAL
    ]
    illegal: dict[str, list[str]] = {}
    for (state, event), dest in cells.items():
        if dest == _ILLEGAL:
            illegal.setdefault(state, []).append(event)
    rows = [f"{state} = {events!r}" for state, events in illegal.items()]
    table = "\n".join(["transitions = [", *moves, "]"])
    text = re.sub(
        r"^transitions = \[\n.*?^\]", lambda _: table, text, count=1, flags=re.DOTALL | re.MULTILINE
    )
    heading = f"[{prefix}illegal]\n"
    pattern = re.escape(heading) + r"(?:\w+ *= *\[.*\]\n)+"
    return re.sub(pattern, lambda _: heading + "\n".join([*rows, ""]), text, count=1)


# Functions.


def _of_functions(target: Target, text: str) -> Iterator[_Made]:
    module = ast.parse(text)
    members = {
        node.name: [target.id for line in node.body if isinstance(line, ast.Assign) for target in line.targets
                    if isinstance(target, ast.Name)]
        for node in module.body
        if isinstance(node, ast.ClassDef)
    }  # fmt: skip
    lines = text.splitlines(keepends=True)
    for name, function in _functions(module):
        for context, node, new in _changes(function, text, members):
            start, end = _span(node, lines)
            first, last = _span(context, lines)
            before, after = text[first:last], text[first:start] + new + text[end:last]
            title = f"{name}: {_one_line(before)} → {_one_line(after)}"
            yield title, target.breaks.get(name, ()), text[:start] + new + text[end:]


def _functions(module: ast.Module) -> Iterator[tuple[str, _Function]]:
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{one.name}", one) for one in node.body if isinstance(one, _Function))
        elif isinstance(node, _Function):
            yield node.name, node


def _changes(function: _Function, text: str, members: Mapping[str, list[str]]) -> Iterator[_Change]:
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    for statement in statements:
        yield from _changes_below(statement, statement, text, members)


def _changes_below(
    context: ast.AST, node: ast.AST, text: str, members: Mapping[str, list[str]]
) -> Iterator[_Change]:
    if isinstance(node, _TELLING):
        context = node
    for part, new in _changes_of(node, text, members):
        yield context if part is node else part, part, new
    for below in ast.iter_child_nodes(node):
        inner = below if below is getattr(node, "test", None) else context
        yield from _changes_below(inner, below, text, members)


def _changes_of(  # noqa: C901 - one case for each kind of node
    node: ast.AST, text: str, members: Mapping[str, list[str]]
) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            yield from (
                (node, f"{_part(left, text)} {other} {_part(right, text)}") for other in _others(sign)
            )
        case ast.BinOp(left=left, op=sign, right=right):
            yield from (
                (node, f"{_part(left, text)} {other} {_part(right, text)}") for other in _others(sign)
            )
        case ast.AugAssign(target=target, op=sign, value=value):
            yield from (
                (node, f"{_part(target, text)} {other}= {_part(value, text)}") for other in _others(sign)
            )
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, _part(operand, text)
        case ast.BoolOp(op=sign, values=values):
            parts = [_part(value, text) for value in values]
            word, other = ("and", "or") if isinstance(sign, ast.And) else ("or", "and")
            yield node, f"({f' {other} '.join(parts)})"
            for number in range(len(parts)):
                yield node, f"({f' {word} '.join(parts[:number] + parts[number + 1 :])})"
        case ast.Constant(value=bool() as value):
            yield node, str(not value)
        case ast.Constant(value=int() as value):
            yield from ((node, str(value + step)) for step in (1, -1))
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if name in members.get(owner, ()):
            yield from ((node, f"{owner}.{other}") for other in members[owner] if other != name)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield from ((test, constant) for constant in ("True", "False"))
        case _:
            pass
    if isinstance(node, _SIMPLE):
        yield node, "pass"


def _others(sign: ast.AST) -> tuple[str, ...]:
    return _OTHER_SIGNS.get(type(sign), ())


def _part(node: ast.expr, text: str) -> str:
    """The source of an expression, in parentheses if what surrounds it could take it apart."""
    source = ast.get_source_segment(text, node) or ""
    simple = isinstance(node, (ast.Name, ast.Attribute, ast.Constant, ast.Call, ast.Subscript))
    return source if simple else f"({source})"


def _span(node: Any, lines: list[str]) -> tuple[int, int]:
    return _place(lines, node.lineno, node.col_offset), _place(lines, node.end_lineno, node.end_col_offset)


def _place(lines: list[str], number: int, column: int) -> int:
    """The position of a place that is given as `ast` gives it, with the column in bytes."""
    line = lines[number - 1].encode()
    return sum(map(len, lines[: number - 1])) + len(line[:column].decode())


def _one_line(source: str) -> str:
    words = " ".join(source.split())
    return words if len(words) <= _WIDTH else f"{words[:60]}…{words[-25:]}"
