"""The contracts of the pure core: the list, the expected answers, and whether each can be a contract.

Rules of this file. `expected.toml` lists every contract, and every function of its modules is listed.
CrossHair passes over in silence what it does not take for a contract, and confirms what no input reaches. So
each contract has a form in which neither can happen, and one without that form has a `flaw`:

* it is a plain function of typed parameters that begins with its precondition, one `assert` or several;
* then comes what it does, a statement that is not an `assert`. CrossHair takes every `assert` before the
  first other statement for a part of the precondition, and in a body of nothing but `assert`s all save the
  last;
* then come more such statements and its claims, and nothing else: no branch, no loop, no `return`. Whoever
  comes to the end has passed each of them. The last statement is a claim.

How it works. A confirmation does not tell whether any input meets the precondition, since an `assert` that no
input reaches is confirmed. `probes` therefore writes each module once more with `assert False` at the end of
every contract. That must be refuted.

Deliberately not here: running CrossHair (`symbolic`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiojobs_verification.specification.tables import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiojobs_verification.specification.tables import Table

__all__ = ["CONFIRMED", "EXPECTED", "REACHED", "REFUTED", "Contract", "probes", "read_contracts"]

EXPECTED: Final = "expected.toml"
CONFIRMED: Final = "confirmed"
REFUTED: Final = "refuted"
REACHED: Final = "its end was reached"
"""What a probe says when CrossHair refutes it."""

_FULL: Final = "full"
_STEPS: Final = (ast.Assert, ast.Assign, ast.AnnAssign, ast.Expr)


@dataclass(frozen=True, slots=True)
class Contract:
    """One function, and what must come out of it."""

    module: str
    name: str
    wanted: str
    """`confirmed` or `refuted`."""
    requirements: tuple[str, ...] = ()
    first: int = 0
    last: int = 0
    flaw: str = ""
    """Why it can't be checked; empty if it can."""

    @property
    def title(self) -> str:
        """Module and name."""
        return f"{self.module}.{self.name}"


def read_contracts(folder: Path, *, full: bool) -> tuple[Contract, ...]:
    """Every contract that `folder` lists or defines, those of the full tier only if asked for."""
    file = read_toml(folder / EXPECTED)
    found: list[Contract] = []
    for group in (CONFIRMED, _FULL, REFUTED):
        for module, entry in file.tables(group) if group in file else ():
            if group != _FULL or full:
                found += _of_module(folder / f"{module}.py", entry, CONFIRMED if group == _FULL else group)
    for key in (CONFIRMED, _FULL, REFUTED):
        file.table(key, optional=True)
    file.end()
    return tuple(found)


def probes(source: str) -> str:
    """A module whose contracts all end in a statement that is false, line by line where they were."""
    lines = source.splitlines()
    for function in reversed(list(_functions(ast.parse(source)))):
        lines.insert(function.end_lineno or 0, f"    assert False, {REACHED!r}")
    return "\n".join([*lines, ""])


def _of_module(path: Path, entry: Table, wanted: str) -> Iterator[Contract]:
    listed = {name: entry.texts(name, empty=True) for name in entry.names()}
    try:
        functions = {function.name: function for function in _functions(ast.parse(path.read_text("utf-8")))}
    except (OSError, SyntaxError) as error:
        entry.fault(f"{path.name} can't be read: {error}")
    for name in {**functions, **listed}:
        function = functions.get(name)
        if function is None:
            yield Contract(
                path.stem, name, wanted, listed[name], flaw=f"there is no such function in {path.name}"
            )
            continue
        flaw = _flaw(function) if name in listed else f"it is not in {EXPECTED}"
        yield Contract(
            path.stem, name, wanted, listed.get(name, ()), function.lineno, function.end_lineno or 0, flaw
        )


def _functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for statement in module.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and statement.name[0] != "_":
            yield statement


def _flaw(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Why CrossHair would pass over this function, or believe it too easily."""
    if isinstance(function, ast.AsyncFunctionDef):
        return "a coroutine function is never checked"
    if function.decorator_list:
        return "it is decorated, so something else would be checked"
    if not all(argument.annotation for argument in _parameters(function.args)):
        return "every parameter needs a type"
    return _flaw_of_body(function.body)


def _flaw_of_body(body: list[ast.stmt]) -> str:
    asserts = [isinstance(statement, ast.Assert) for statement in body]
    if not asserts[0]:
        return "it must begin with its precondition, an assert, or it is not checked"
    if all(asserts):
        return "it must do something before its first claim, which else counts as a precondition"
    if not asserts[-1]:
        return "it must end with a claim, an assert"
    for statement in body:
        if not isinstance(statement, _STEPS):
            return f"line {statement.lineno}: only assignments, calls and asserts; nothing is passed over"
    return ""


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    stars = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *stars]
