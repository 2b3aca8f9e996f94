"""The counters and the table of a job as TLA+ modules, for TLC and for the model with named jobs.

Rules of this file: guards, effects and invariants are the expressions of `scheduler.toml`, written in TLA+
by the same walk that makes them Python and terms of z3. Names are those of the file.

Deliberately not here: fairness and liveness. They are proved by ranks (`prove`), for every limit, where a
model checker could only look at some.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

from aiojobs_verification.specification.expressions import TLA, Node, written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiojobs_verification.specification.counters import Action, Parameter, Rule, SchedulerSpec
    from aiojobs_verification.specification.machine import Machine

__all__ = ["counters_text", "moves_text"]

_WIDTH = 110
_HEAD = f"{' MODULE Counters ':-^{_WIDTH}}"
_COMMENT = r"""
\* Generated from spec/scheduler.toml by `make generate`. Do not edit: change the source and regenerate.
\*
\* The scheduler as counters: who starts, who waits, who is refused, without asking which job it is.
\* spec/README.md says how to read it. Invariants are proved for all L and P; a model checker needs bounds."""
_MOVES_COMMENT = r"""
\* Generated from spec/job.toml by `make generate`. Do not edit: change the source and regenerate.
\*
\* The life of a job: its states, what can happen to it, and every cell of the table that changes the state."""
_TYPES = {"int": "Int", "bool": "BOOLEAN"}


def counters_text(spec: SchedulerSpec) -> str:
    """The text of `spec/tla/Counters.tla`."""
    parts = [
        f"{_HEAD}{_COMMENT}\n\nEXTENDS Integers",
        *_parameters(spec),
        *_choices(spec),
        f"VARIABLES {', '.join(spec.counters)}\n\nvars == <<{', '.join(spec.counters)}>>",
        *(_definition(name, spec) for name in spec.definitions),
        _rule("actions"),
        _initial(spec),
        *(_action(name, action, spec) for name, action in spec.actions.items()),
        _listed("Next ==", "\\/", [_happens(name, action) for name, action in spec.actions.items()]),
        "Spec == Init /\\ [][Next]_vars",
        _rule("invariants"),
        _types(spec),
        *(
            f"{_remark(rule.meaning)}\n{name} ==\n    {_implication(rule)}"
            for name, rule in _invariants(spec)
        ),
        _listed("Invariant ==", "/\\", ["TypeOK", *spec.invariants]),
        "=" * _WIDTH,
    ]
    return "\n\n".join(parts) + "\n"


def moves_text(machine: Machine) -> str:
    """The text of `spec/tla/Lifecycle.tla`."""
    moves = [f"    <<{_strings(move)}>>" for move in machine.moves()]
    parts = [
        f"{' MODULE Lifecycle ':-^{_WIDTH}}{_MOVES_COMMENT}",
        f"States == {{{_strings(machine.states)}}}",
        f"Events == {{{_strings(machine.events)}}}",
        "Moves == {\n" + ",\n".join(moves) + "}",
        "=" * _WIDTH,
    ]
    return "\n\n".join(parts) + "\n"


def _strings(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _tla(node: Node) -> str:
    return written(node, TLA)


def _remark(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _WIDTH, initial_indent="\\* ", subsequent_indent="\\* "))


def _rule(title: str) -> str:
    return f"{f' {title} ':-^{_WIDTH}}".replace(f" {title} ", "-" * (len(title) + 2)) + f"\n\\* {title}"


def _parameters(spec: SchedulerSpec) -> list[str]:
    texts: list[str] = []
    for name, parameter in spec.parameters.items():
        texts.append(f"{_remark(parameter.meaning)}\nCONSTANT {name}\nASSUME {_domain(name, parameter)}")
    return texts


def _domain(name: str, parameter: Parameter) -> str:
    member = f"{name} \\in {_TYPES[parameter.sort]}"
    return member if parameter.domain is None else f"{member} /\\ {_tla(parameter.domain)}"


def _choices(spec: SchedulerSpec) -> list[str]:
    return [
        f"{_remark(f'{choice.meaning} A model checker needs to know which values are tried.')}\n"
        f"CONSTANT {_values(name)}\nASSUME \\A {name} \\in {_values(name)} : {name} \\in Int /\\ {_tla(choice.domain)}"
        for name, choice in spec.choices.items()
    ]


def _values(choice: str) -> str:
    return f"{choice}_values"


def _definition(name: str, spec: SchedulerSpec) -> str:
    definition = spec.definitions[name]
    value = _tla(_applied(definition.value, spec))
    return f"{_remark(definition.meaning)}\n{_applied(Node('name', 'int', name), spec).value} == {value}"


def _applied(node: Node, spec: SchedulerSpec) -> Node:
    """The expression, with each abbreviation that speaks of a choice given that choice."""
    parts = tuple(_applied(part, spec) for part in node.parts)
    if node.kind == "name" and (choices := _spoken_of(node, spec)) and node.value not in spec.choices:
        return replace(node, value=f"{node.value}({', '.join(choices)})")
    return replace(node, parts=parts)


def _spoken_of(node: Node, spec: SchedulerSpec) -> list[str]:
    """The choices that an expression speaks of, by abbreviations too."""
    names = set(node.names())
    while (
        more := {n for name in names & {*spec.definitions} for n in spec.definitions[name].value.names()}
        - names
    ):
        names |= more
    return [name for name in spec.choices if name in names]


def _happens(name: str, action: Action) -> str:
    if action.choice is None:
        return name
    return f"\\E {action.choice} \\in {_values(action.choice)} : {name}({action.choice})"


def _initial(spec: SchedulerSpec) -> str:
    lines = [f"    /\\ {name} = {_tla(counter.initial)}" for name, counter in spec.counters.items()]
    return "\n".join(["Init ==", *lines])


def _action(name: str, action: Action, spec: SchedulerSpec) -> str:
    head = name if action.choice is None else f"{name}({action.choice})"
    lines = [_remark(action.meaning), f"{head} ==", f"    /\\ {_tla(_applied(action.guard, spec))}"]
    lines += [
        f"    /\\ {counter}' = {_tla(_applied(value, spec))}" for counter, value in action.effect.items()
    ]
    kept = [counter for counter in spec.counters if counter not in action.effect]
    if kept:
        lines.append(f"    /\\ UNCHANGED <<{', '.join(kept)}>>")
    return "\n".join(lines)


def _types(spec: SchedulerSpec) -> str:
    phases = ", ".join(f'"{phase}"' for phase in spec.phase.states)
    sets = {**_TYPES, "phase": f"{{{phases}}}"}
    lines = [f"    /\\ {name} \\in {sets[counter.sort]}" for name, counter in spec.counters.items()]
    return "\n".join(["TypeOK ==", *lines])


def _invariants(spec: SchedulerSpec) -> Iterable[tuple[str, Rule]]:
    return spec.invariants.items()


def _implication(rule: Rule) -> str:
    if rule.when is None:
        return _tla(rule.holds)
    return f"({_tla(rule.when)}) => ({_tla(rule.holds)})"


def _listed(head: str, sign: str, names: Iterable[str]) -> str:
    return "\n".join([head, *(f"    {sign} {name}" for name in names)])
