"""The names that a file asks for and that nobody in it has set: what needs one of them falls over.

Rules of this file: a name has to be set where it is read, in a function around that, at the top of the file, or by
Python. What is imported for type checkers alone is not there when the library runs.

How it works: Python's own symbol tables say which names of a function are those of its module.

Deliberately not here: names of attributes. What has which depends on the run.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["unset_names"]

_OF_PYTHON: Final = frozenset({*dir(builtins), "__file__", "__package__"})


@lru_cache(maxsize=1000)
def unset_names(text: str) -> frozenset[str]:
    """The names that are read somewhere in a file, and are not there when it runs."""
    tables = list(_tables(symtable.symtable(_as_it_runs(text), "<file>", "exec")))
    top = tables[0]
    asked = {
        symbol.get_name()
        for table in tables
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (table is top or symbol.is_global())
    }
    known = {
        symbol.get_name()
        for table in tables
        for symbol in table.get_symbols()
        if (table is top or symbol.is_declared_global()) and (symbol.is_assigned() or symbol.is_imported())
    }
    return frozenset(asked - known - _OF_PYTHON)


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for inner in table.get_children():
        yield from _tables(inner)


def _as_it_runs(text: str) -> str:
    """Without what stands below `if TYPE_CHECKING`."""
    return ast.unparse(_Runtime().visit(ast.parse(text)))


class _Runtime(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return (node.orelse or ast.Pass()) if ast.unparse(node.test) == "TYPE_CHECKING" else node
