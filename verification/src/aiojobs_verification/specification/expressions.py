"""The language of guards, effects and invariants: one text, several readers.

Rules of this file. An expression is a small part of Python: whole numbers, names, the words of an
enumeration in quotes, `and`, `or`, `not`, comparisons (chained ones too), `+`, `-`, `*` by a number, and `x
if condition else y`. Anything else is refused with file, table, key and column, and so is an unknown name
or a number where a truth value belongs. Everything that is accepted is linear arithmetic, so that the
proofs are decidable.

How it works. `parse` walks Python's syntax tree once, checks sorts on the way, and gives a small tree of
`Node`s. A reader makes something else of that tree, node by node (`read`). Readers never see Python's
syntax, so none can take an expression for something that the others don't:

* `compiled`: a Python function, for the interpreter and the follower;
* `written`: text, for TLA+ and for the documentation;
* `solver`: terms of z3, in a module of its own because z3 is not always installed.

Deliberately not here: function calls, attributes, division, quantifiers.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, NoReturn, TypeAlias, TypeVar

from aiojobs_verification.specification.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiojobs_verification.specification.tables import Table

__all__ = [
    "PYTHON",
    "SORTS",
    "TLA",
    "WORDS",
    "Node",
    "Notation",
    "Sort",
    "Vocabulary",
    "compiled",
    "parse",
    "read",
    "written",
]

Sort: TypeAlias = Literal["int", "bool", "phase"]
"""What a value is: a whole number, a truth value, or a phase of the scheduler."""

SORTS: Final[tuple[Sort, ...]] = ("int", "bool", "phase")
_SORT_NAMES: dict[Sort, str] = {"int": "a number", "bool": "a truth value", "phase": "a phase"}

T = TypeVar("T")

_LONGEST = 500
"""So many characters can't be nested so deeply that reading them fails."""

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


@dataclass(frozen=True, slots=True)
class Node:
    """One part of an expression: what it is (`kind`), its sort, its value if it is a leaf, its parts if
    not.
    """

    kind: Literal["int", "bool", "phase", "name", "not", "and", "or", "compare", "arithmetic", "if"]
    sort: Sort
    value: int | str = ""
    """The literal, the name, or the sign of a comparison or of arithmetic."""
    parts: tuple[Node, ...] = ()

    def names(self) -> frozenset[str]:
        """Every name that the expression speaks of."""
        own = frozenset([str(self.value)]) if self.kind == "name" else frozenset()
        return own.union(*(part.names() for part in self.parts))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What an expression may speak of: names with their sorts, and the words for phases."""

    names: Mapping[str, Sort]
    phases: tuple[str, ...]


# --------------------------------------------------------------------------------------------------------
# From text to tree


def parse(table: Table, key: str, scope: Vocabulary, sort: Sort | None, text: str | None = None) -> Node:
    """Read the expression under `key` of `table`; it must have the given `sort`, if one is given.

    `text` is the expression itself where it isn't simply the value of the key.
    """
    return _Parser(table.text(key) if text is None else text, scope, table, key).parse(sort)


@dataclass(frozen=True, slots=True)
class _Parser:
    text: str
    scope: Vocabulary
    table: Table
    key: str

    def parse(self, sort: Sort | None) -> Node:
        if "\n" in self.text or self.text != self.text.strip():
            self._refuse("an expression is one line without blanks around it", 1)
        if len(self.text) > _LONGEST:
            self._refuse(f"an expression has {_LONGEST} characters at most", _LONGEST + 1)
        try:
            tree = ast.parse(self.text, mode="eval")
        except (SyntaxError, ValueError) as error:
            column = error.offset if isinstance(error, SyntaxError) else None
            self._refuse(f"not an expression: {error.args[0]}", column or 1)
        return self._walk(tree.body, sort)

    def _walk(self, tree: ast.expr, sort: Sort | None = None) -> Node:
        node = self._read(tree)
        if sort is not None and node.sort != sort:
            self._wrong(tree, f"{_SORT_NAMES[sort]} is needed here, not {_SORT_NAMES[node.sort]}")
        return node

    def _read(self, tree: ast.expr) -> Node:
        match tree:
            case ast.Constant():
                node = self._constant(tree)
            case ast.Name():
                node = self._name(tree)
            case ast.UnaryOp(op=ast.Not()):
                node = Node("not", "bool", parts=(self._walk(tree.operand, "bool"),))
            case ast.BoolOp():
                parts = tuple(self._walk(value, "bool") for value in tree.values)
                node = Node("and" if isinstance(tree.op, ast.And) else "or", "bool", parts=parts)
            case ast.Compare():
                node = self._comparison(tree)
            case ast.BinOp() if type(tree.op) in _ARITHMETIC:
                node = self._arithmetic(tree, _ARITHMETIC[type(tree.op)])
            case ast.IfExp():
                yes = self._walk(tree.body)
                parts = (self._walk(tree.test, "bool"), yes, self._walk(tree.orelse, yes.sort))
                node = Node("if", yes.sort, parts=parts)
            case _:
                self._wrong(tree, f"'{ast.unparse(tree)}' is outside the language of expressions")
        return node

    def _constant(self, tree: ast.Constant) -> Node:
        value = tree.value
        if isinstance(value, bool):
            return Node("bool", "bool", value)
        if isinstance(value, int):
            return Node("int", "int", value)
        if isinstance(value, str) and tree.kind is None:
            if value not in self.scope.phases:
                self._wrong(tree, f"unknown phase '{value}' (declared: {', '.join(self.scope.phases)})")
            return Node("phase", "phase", value)
        return self._wrong(tree, f"'{ast.unparse(tree)}' is outside the language of expressions")

    def _name(self, tree: ast.Name) -> Node:
        if tree.id not in self.scope.names:
            self._wrong(tree, f"unknown name '{tree.id}' (declared: {', '.join(self.scope.names)})")
        return Node("name", self.scope.names[tree.id], tree.id)

    def _comparison(self, tree: ast.Compare) -> Node:
        # `a <= b <= c` is `a <= b and b <= c`: nothing here has side effects, so reading `b` twice is the
        # same.
        operands = [tree.left, *tree.comparators]
        links: list[Node] = []
        for operator, left, right in zip(tree.ops, operands, operands[1:], strict=False):
            sign = _COMPARISONS.get(type(operator))
            if sign is None:
                self._wrong(right, f"'{ast.unparse(tree)}' is outside the language of expressions")
            ordered = sign not in ("==", "!=")
            first = self._walk(left, "int" if ordered else None)
            if first.sort == "bool":
                self._wrong(left, "truth values are not compared: say `x` or `not x`")
            links.append(Node("compare", "bool", sign, (first, self._walk(right, first.sort))))
        return links[0] if len(links) == 1 else Node("and", "bool", parts=tuple(links))

    def _arithmetic(self, tree: ast.BinOp, sign: str) -> Node:
        left, right = self._walk(tree.left, "int"), self._walk(tree.right, "int")
        if sign == "*" and "int" not in (left.kind, right.kind):
            self._wrong(tree, "one side of a product must be a number")
        return Node("arithmetic", "int", sign, (left, right))

    def _wrong(self, tree: ast.expr, fault: str) -> NoReturn:
        # Python counts columns in bytes from 0; people count characters from 1.
        before = self.text.encode()[: tree.col_offset].decode()
        self._refuse(fault, len(before) + 1)

    def _refuse(self, fault: str, column: int) -> NoReturn:
        raise SpecError(fault, file=self.table.file, table=self.table.name, key=self.key, column=column)


# --------------------------------------------------------------------------------------------------------
# From tree to something else


def read(node: Node, make: Callable[[Node, list[T]], T]) -> T:
    """What the reader `make` makes of the expression: of each node, given what it made of the parts."""
    return make(node, [read(part, make) for part in node.parts])


@dataclass(frozen=True, slots=True)
class Notation:
    """How expressions are written: the signs, and the three forms that are not a sign between two parts."""

    signs: Mapping[str, str]
    phase: str
    choice: str
    truth: tuple[str, str]
    """False and true."""
    phase_signs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Signs for the comparison of phases, where they differ."""


_PYTHON_SIGNS = ("and", "or", "not ", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*")


def _signs(*signs: str) -> dict[str, str]:
    return dict(zip(_PYTHON_SIGNS, signs, strict=True))


PYTHON: Final = Notation(_signs(*_PYTHON_SIGNS), "'{}'", "{1} if {0} else {2}", ("False", "True"))
"""As in the file: for the interpreter and the follower."""

TLA: Final = Notation(
    _signs("/\\", "\\/", "~", "=", "#", "<", "<=", ">", ">=", "+", "-", "*"),
    '"{}"',
    "IF {0} THEN {1} ELSE {2}",
    ("FALSE", "TRUE"),
)
"""For the generated TLA+ module."""

WORDS: Final = Notation(
    _signs("and", "or", "not ", "=", "≠", "<", "≤", ">", "≥", "+", "−", "·"),
    "{}",
    "{1} if {0}, otherwise {2}",
    ("never", "always"),
    {"==": "is", "!=": "is not"},
)
"""For people: the documentation."""

_BINDING = {"if": 0, "or": 1, "and": 2, "not": 3, "compare": 4, "+": 5, "-": 5, "*": 6}


def _binding(node: Node) -> int:
    return _BINDING.get(str(node.value) if node.kind == "arithmetic" else node.kind, 7)


def written(node: Node, notation: Notation, definitions: Mapping[str, Node] | None = None) -> str:
    """The expression in a notation, with the brackets it needs and few more.

    Names that are in `definitions` are replaced by what they stand for.
    """
    known = definitions or {}

    def make(part: Node, parts: list[_Part]) -> _Part:
        return _write(notation, known, part, parts)

    return read(node, make).text


class _Part(NamedTuple):
    text: str
    binding: int

    def within(self, least: int) -> str:
        """The text, in brackets if it binds less tightly than it must."""
        return self.text if self.binding >= least else f"({self.text})"


def _write(notation: Notation, definitions: Mapping[str, Node], node: Node, parts: list[_Part]) -> _Part:
    binding = _binding(node)
    match node.kind:
        case "bool":
            text = notation.truth[bool(node.value)]
        case "phase":
            text = notation.phase.format(node.value)
        case "name" if node.value in definitions:
            text = f"({written(definitions[str(node.value)], notation, definitions)})"
        case "int" | "name":
            text = str(node.value)
        case "not":
            text = notation.signs["not "] + parts[0].within(7)
        case "if":
            text = notation.choice.format(*(part.within(1) for part in parts))
        case "and" | "or":
            # "and" inside "or" is bracketed although it need not be: TLA+ wants it, and people do too.
            text = f" {notation.signs[node.kind]} ".join(part.within(3) for part in parts)
        case _:
            sign = str(node.value)
            words = notation.phase_signs if node.parts[0].sort == "phase" else {}
            left, right = parts[0].within(binding), parts[1].within(binding + 1)
            text = f"{left} {words.get(sign, notation.signs[sign])} {right}"
    return _Part(text, binding)


def compiled(
    node: Node, arguments: Sequence[str], definitions: Mapping[str, Node], values: Mapping[str, object]
) -> Callable[..., Any]:
    """The expression as a Python function of the named arguments, taken by position; `values` are known
    already.

    The text that is compiled is written from the tree, never taken from a file: it can't hold anything else.
    """
    source = f"lambda {', '.join(arguments)}: {written(node, PYTHON, definitions)}"
    function: Callable[..., Any] = eval(source, {**values, "__builtins__": {}})  # noqa: S307
    return function
