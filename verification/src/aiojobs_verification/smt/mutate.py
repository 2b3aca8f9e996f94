"""Faults, seeded in the counters one at a time, which a meaningful proof must refute.

Rules of this file: a mutant differs from the specification in one place of one guard, effect, ledger entry
or abbreviation, and is well-sorted, so that only its meaning can betray it.

How it works: `mutants` changes signs, numbers, names and phases, drops and turns parts of conditions, drops
and adds effects. `fate` asks the questions of the proof about the mutant until one is answered badly. A
mutant that none betrays is *equivalent* if it does the same as the original in every state in which the
invariants hold, which is again a question to z3; if it is not, the proof has a hole.

Deliberately not here: mutants of the job's table, of the model and of code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from aiojobs_verification.smt.proof import PROVED, answers, reached
from aiojobs_verification.smt.questions import Questions
from aiojobs_verification.smt.solver import SymbolicState, Terms, UnknownError
from aiojobs_verification.specification.expressions import PYTHON, Node, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiojobs_verification.specification.counters import Action, SchedulerSpec

__all__ = ["Fate", "WrongCounters", "fate", "mutants"]

Fate: TypeAlias = Literal["refuted", "equivalent", "survived"]
"""What became of a mutant; only `survived` is bad news."""

_OTHER_SIGNS: Final = {
    "==": ("!=", "<=", ">="),
    "!=": ("==",),
    "<": ("<=", ">"),
    "<=": ("<", ">="),
    ">": (">=", "<"),
    ">=": (">", "<="),
    "+": ("-",),
    "-": ("+",),
    "*": ("+",),
}


@dataclass(frozen=True, slots=True)
class WrongCounters:
    """The counters with one fault: `place` and `text` say where and what it is."""

    place: str
    text: str
    action: str
    """The action that was changed, or an empty string if it was an abbreviation."""
    spec: SchedulerSpec


def mutants(spec: SchedulerSpec) -> Iterator[WrongCounters]:
    """Every mutant, in an order that depends on nothing but the specification."""
    for name, action in spec.actions.items():
        for place, text, changed in _changed_actions(action, spec):
            actions = {**spec.actions, name: changed}
            yield WrongCounters(f"action.{name}, {place}", text, name, replace(spec, actions=actions))
    for name, definition in spec.definitions.items():
        for node in _changed(definition.value, spec):
            definitions = {**spec.definitions, name: replace(definition, value=node)}
            text = written(node, PYTHON)
            yield WrongCounters(f"define.{name}", text, "", replace(spec, definitions=definitions))


def fate(original: SchedulerSpec, mutant: WrongCounters) -> Fate:
    """What becomes of the mutant when it is to be proved."""
    # What speaks of another action alone is as it was: there is no need to ask again.
    questions = Questions(mutant.spec, about={mutant.action} if mutant.action else None)
    if any(answer.verdict != PROVED for answer in answers(questions, questions)):
        return "refuted"
    if set(reached(mutant.spec)) != set(mutant.spec.actions):
        return "refuted"
    return "equivalent" if _equivalent(original, mutant.spec) else "survived"


def _changed_actions(action: Action, spec: SchedulerSpec) -> Iterator[tuple[str, str, Action]]:
    for node in (*_changed(action.guard, spec), Node("bool", "bool", True)):
        yield "guard", written(node, PYTHON), replace(action, guard=node)
    for table, rows in (("effect", action.effect), ("ledger", action.ledger)):
        for key, value in rows.items():
            for node in _changed(value, spec):
                yield f"{table}.{key}", written(node, PYTHON), _with(action, table, {**rows, key: node})
            if key != "phase":
                rest = {other: node for other, node in rows.items() if other != key}
                yield f"{table}.{key}", "dropped", _with(action, table, rest)
    for counter in _numbers(spec):
        if counter not in action.effect:
            for sign in "+-":
                node = Node("arithmetic", "int", sign, (Node("name", "int", counter), Node("int", "int", 1)))
                effect = {**action.effect, counter: node}
                yield f"effect.{counter}", f"added: {written(node, PYTHON)}", replace(action, effect=effect)


def _with(action: Action, table: str, rows: Mapping[str, Node]) -> Action:
    return replace(action, effect=rows) if table == "effect" else replace(action, ledger=rows)


def _numbers(spec: SchedulerSpec) -> list[str]:
    return [name for name, counter in spec.counters.items() if counter.sort == "int"]


def _changed(node: Node, spec: SchedulerSpec) -> Iterator[Node]:
    """The expression with one change, in every way."""
    yield from _changed_here(node, spec)
    for number, part in enumerate(node.parts):
        for other in _changed(part, spec):
            yield replace(node, parts=(*node.parts[:number], other, *node.parts[number + 1 :]))


def _changed_here(node: Node, spec: SchedulerSpec) -> Iterator[Node]:
    match node.kind:
        case "compare" | "arithmetic":
            phases = node.parts[0].sort == "phase"
            signs = _OTHER_SIGNS[str(node.value)]
            yield from (replace(node, value=sign) for sign in signs if not phases or sign in {"==", "!="})
        case "int":
            yield from (replace(node, value=int(node.value) + change) for change in (1, -1))
        case "phase":
            yield from (replace(node, value=other) for other in spec.phase.states if other != node.value)
        case "name" if node.sort == "int":
            yield from (replace(node, value=other) for other in _numbers(spec) if other != node.value)
        case "not":
            yield node.parts[0]
        case "and" | "or":
            yield replace(node, kind="or" if node.kind == "and" else "and")
            for number in range(len(node.parts)):
                rest = (*node.parts[:number], *node.parts[number + 1 :])
                yield rest[0] if len(rest) == 1 else replace(node, parts=rest)
        case _:
            return


def _equivalent(original: SchedulerSpec, mutant: SchedulerSpec) -> bool:
    """Whether both do the same, action by action, wherever the invariants of the original hold."""
    terms = Terms(original)
    before = terms.any_state()
    same = terms.read_with(before, mutant.abbreviations)
    invariants = [terms.term(rule.whole, before.terms) for rule in original.invariants.values()]
    differences = [
        _difference(terms, (action, before), (mutant.actions[name], same))
        for name, action in original.actions.items()
    ]
    try:
        return terms.ask([*invariants, terms.some(differences)], {}) is None
    except UnknownError:
        return False


def _difference(terms: Terms, one: tuple[Action, SymbolicState], other: tuple[Action, SymbolicState]) -> Any:
    """That one of two actions can happen and the other can't, or that both can and differ in what they do."""
    guards = [terms.term(action.guard, state.terms) for action, state in (one, other)]
    afters = [terms.after(state, action).terms for action, state in (one, other)]
    entries = [_entries(terms, action, state) for action, state in (one, other)]
    unlike = terms.some(
        [
            *(afters[0][name] != afters[1][name] for name in terms.spec.counters),
            *(entries[0][column] != entries[1][column] for column in terms.spec.ledger),
        ]
    )
    return terms.some([guards[0] != guards[1], terms.every([*guards, unlike])])


def _entries(terms: Terms, action: Action, state: SymbolicState) -> dict[str, Any]:
    zero = dict.fromkeys(terms.spec.ledger, terms.number(0))
    return zero | {column: terms.term(node, state.terms) for column, node in action.ledger.items()}
