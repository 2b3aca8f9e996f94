"""Expressions as terms of z3, and questions about them.

Rules of this file: it is the only one that imports z3, and it translates the tree of `expressions` node by
node, so that what is proved is what the interpreter runs.

How it works: `SymbolicState` gives every name a term: parameters and choices are shared by all states, counters
belong to one state, abbreviations are built from these. `ask` looks for values that satisfy some terms.

Deliberately not here: which questions are asked (`prove`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import z3

from aiojobs_verification.specification.expressions import Node, Sort, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiojobs_verification.specification.counters import Action, SchedulerSpec

__all__ = ["SymbolicState", "Terms", "UnknownError", "version"]

_SMALL = (-2, 4)
_TIME_LIMIT = 30_000
"""Milliseconds for one question; they take about one."""


class UnknownError(Exception):
    """z3 has given up. It is no answer, so that nobody can take it for one."""


def version() -> str:
    """The version of z3."""
    return str(z3.get_version_string())


@dataclass(frozen=True, slots=True)
class SymbolicState:
    """A term for each name: parameters, choices, counters and abbreviations."""

    terms: Mapping[str, Any]


class Terms:
    """The terms for one specification."""

    def __init__(self, spec: SchedulerSpec) -> None:
        self.spec = spec
        # A context of its own: the sort of phases is then never declared twice in one.
        self._context = z3.Context()
        self._phase, words = z3.EnumSort("phase", list(spec.phase.states), ctx=self._context)
        self._phases = dict(zip(spec.phase.states, words, strict=True))
        self._parameters = {name: self._unknown(name, p.sort) for name, p in spec.parameters.items()}
        self._choices = {name: self._unknown(name, "int") for name in spec.choices}
        self.domain = [
            self.term(domain, {**self._parameters, **self._choices})
            for domain in (
                *(parameter.domain for parameter in spec.parameters.values()),
                *(choice.domain for choice in spec.choices.values()),
            )
            if domain is not None
        ]

    def any_state(self) -> SymbolicState:
        """A state of which nothing is known."""
        counters = self.spec.counters.items()
        return self._state({name: self._unknown(name, counter.sort) for name, counter in counters})

    def initial_state(self) -> SymbolicState:
        """The state in which a scheduler is created."""
        return self._state(
            {
                name: self.term(counter.initial, self._parameters)
                for name, counter in self.spec.counters.items()
            }
        )

    def after(self, before: SymbolicState, action: Action) -> SymbolicState:
        """The state after an action: all effects are read in the state before it."""
        effects = {name: self.term(node, before.terms) for name, node in action.effect.items()}
        return self._state({name: effects.get(name, before.terms[name]) for name in self.spec.counters})

    def read_with(self, state: SymbolicState, abbreviations: Mapping[str, Node]) -> SymbolicState:
        """The same state, read with other abbreviations."""
        return self._state(state.terms, abbreviations)

    def unknowns(self, names: Iterable[str]) -> dict[str, Any]:
        """A number for each name, of which nothing is known."""
        return {name: self._unknown(f"total {name}", "int") for name in names}

    def number(self, value: Any) -> Any:
        """A number as a term."""
        return z3.IntVal(value, ctx=self._context)

    def phase(self, name: str) -> Any:
        """A phase as a term."""
        return self._phases[name]

    def term(self, node: Node, terms: Mapping[str, Any]) -> Any:
        """The expression as a term, names being what `terms` says."""
        return read(node, lambda part, parts: self._make(terms, part, parts))

    def every(self, terms: Iterable[Any]) -> Any:
        """All of them; true if there are none."""
        return z3.And(z3.BoolVal(True, ctx=self._context), *terms)

    def some(self, terms: Iterable[Any]) -> Any:
        """One of them at least; false if there are none."""
        return z3.Or(z3.BoolVal(False, ctx=self._context), *terms)

    def one(self, terms: Sequence[Any]) -> Any:
        """Exactly one of them."""
        return z3.PbEq([(term, 1) for term in terms], 1)

    def no(self, term: Any) -> Any:
        """Not this."""
        return z3.Not(term)

    def ask(self, terms: Iterable[Any], shown: Mapping[str, Any]) -> dict[str, str] | None:
        """Values of the terms in `shown` when all `terms` hold; None if they can't all hold.

        Raises:
            UnknownError: z3 does not say whether they can.
        """
        solver = z3.Solver(ctx=self._context)
        solver.set("timeout", _TIME_LIMIT)
        solver.add(*self.domain, *terms)
        answer = solver.check()
        if answer == z3.unsat:
            return None
        if answer != z3.sat:
            raise UnknownError(solver.reason_unknown())
        # The same again with small numbers, for the sake of whoever has to read them.
        numbers = [term for term in shown.values() if z3.is_int(term)]
        solver.push()
        solver.add(*(z3.And(term >= _SMALL[0], term <= _SMALL[1]) for term in numbers))
        if solver.check() != z3.sat:
            solver.pop()
            solver.check()
        model = solver.model()
        return {name: str(model.eval(term, model_completion=True)) for name, term in shown.items()}

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The terms of the parameters."""
        return self._parameters

    @property
    def choices(self) -> Mapping[str, Any]:
        """The terms of the choices."""
        return self._choices

    def _state(
        self, counters: Mapping[str, Any], abbreviations: Mapping[str, Node] | None = None
    ) -> SymbolicState:
        terms = {**self._parameters, **self._choices, **counters}
        for name, node in (abbreviations or self.spec.abbreviations).items():
            terms[name] = self.term(node, terms)
        return SymbolicState(terms)

    def _unknown(self, name: str, sort: Sort) -> Any:
        sorts = {
            "int": z3.IntSort(self._context),
            "bool": z3.BoolSort(self._context),
            "phase": self._phase,
        }
        return z3.Const(name, sorts[sort])

    def _make(self, terms: Mapping[str, Any], node: Node, parts: list[Any]) -> Any:
        match node.kind:
            case "int":
                term = self.number(node.value)
            case "bool":
                term = z3.BoolVal(bool(node.value), ctx=self._context)
            case "phase":
                term = self._phases[str(node.value)]
            case "name":
                term = terms[str(node.value)]
            case "compare" | "arithmetic":
                term = _OPERATIONS[str(node.value)](*parts)
            case _:
                term = _OPERATIONS[node.kind](*parts)
        return term


_OPERATIONS: dict[str, Any] = {
    "not": z3.Not,
    "and": z3.And,
    "or": z3.Or,
    "if": z3.If,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
}
