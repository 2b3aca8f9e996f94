"""The specification in words, tables and pictures: the blocks that are drawn into the documentation.

Rules of this file: each block is a function of the validated specification, and Markdown; nothing is said
here that the files don't say. Pictures are Mermaid, which GitHub and most viewers draw.

Deliberately not here: where the blocks go (`draw`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiojobs_verification.codegen.markdown import grid
from aiojobs_verification.specification.expressions import WORDS, Node, written
from aiojobs_verification.specification.job import PROPERTIES
from aiojobs_verification.specification.requirements import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiojobs_verification.specification.counters import Action, Rule
    from aiojobs_verification.specification.load import Spec
    from aiojobs_verification.specification.machine import Machine

__all__ = ["BLOCKS"]

_ILLEGAL = "✗"
_NOOP = "·"
_MARK = "●"


def _words(node: Node) -> str:
    return written(node, WORDS)


# --------------------------------------------------------------------------------------------------------
# Machines


def _picture(machine: Machine) -> list[str]:
    arrows: dict[tuple[str, str], list[str]] = {}
    for source, event, dest in machine.moves():
        arrows.setdefault((source, dest), []).append(event)
    return [
        "```mermaid",
        "stateDiagram-v2",
        "    direction LR",
        f"    [*] --> {machine.initial}",
        *(f"    {source} --> {dest}: {', '.join(events)}" for (source, dest), events in arrows.items()),
        *(f"    {state} --> [*]" for state in machine.states if state in machine.final),
        "```",
    ]


def _cell(state: str, dest: str | None) -> str:
    if dest is None:
        return _ILLEGAL
    return _NOOP if dest == state else dest


def _table(machine: Machine, kind: str) -> list[str]:
    rows = [(state, *(_cell(state, dest) for dest in row.values())) for state, row in machine.cells.items()]
    legend = f"`{_NOOP}` is allowed and changes nothing, `{_ILLEGAL}` is illegal."
    return [*grid((kind, *machine.events), rows), "", legend]


def _meanings(kind: str, meanings: Mapping[str, str]) -> list[str]:
    return grid((kind, "meaning"), [(f"`{name}`", meaning) for name, meaning in meanings.items()])


def _properties(spec: Spec) -> list[str]:
    heads = {"done": "`done()`", "holds_slot": "holds a slot"}
    job = spec.job
    rows = [
        (state, *(_MARK if state in job.properties[name] else "" for name in PROPERTIES))
        for state in job.machine.states
    ]
    return grid(("state", *(heads.get(name, f"`{name}`") for name in PROPERTIES)), rows)


def _outcomes(spec: Spec) -> list[str]:
    rows = [
        (
            f"`{name}`",
            f"`{outcome.event}` in {' or '.join(f'`{s}`' for s in outcome.sources)}",
            outcome.meaning,
        )
        for name, outcome in spec.job.outcomes.items()
    ]
    return grid(("outcome", "comes about by", "meaning"), rows)


# --------------------------------------------------------------------------------------------------------
# Counters


def _parameters(spec: Spec) -> list[str]:
    rows = [
        (f"`{name}`", "" if p.domain is None else _words(p.domain), p.meaning)
        for name, p in spec.scheduler.parameters.items()
    ]
    return grid(("parameter", "assumed", "meaning"), rows)


def _choices(spec: Spec) -> list[str]:
    rows = [(f"`{name}`", _words(c.domain), c.meaning) for name, c in spec.scheduler.choices.items()]
    return grid(("choice", "of", "meaning"), rows)


def _counters(spec: Spec) -> list[str]:
    rows = [(f"`{n}`", _words(c.initial), c.meaning) for n, c in spec.scheduler.counters.items()]
    rows += [(f"`{n}`", f"means {_words(d.value)}", d.meaning) for n, d in spec.scheduler.definitions.items()]
    return grid(("name", "at the beginning", "meaning"), rows)


def _effect(action: Action) -> str:
    return ", ".join(f"{name} := {_words(value)}" for name, value in action.effect.items())


def _called(name: str, action: Action) -> str:
    return name if action.choice is None else f"{name}({action.choice})"


def _actions(spec: Spec) -> list[str]:
    rows = [
        (f"`{_called(name, action)}`", action.meaning, _words(action.guard), _effect(action))
        for name, action in spec.scheduler.actions.items()
    ]
    return grid(("action", "meaning", "can happen when", "effect"), rows)


def _ledger(spec: Spec) -> list[str]:
    used = list(spec.scheduler.ledger)
    rows = [
        (f"`{name}`", *(_words(action.ledger[column]) if column in action.ledger else "" for column in used))
        for name, action in spec.scheduler.actions.items()
    ]
    return grid(("action", *used), rows)


def _rules(rules: Mapping[str, Rule], kind: str) -> list[str]:
    rows = [
        (f"`{name}`", rule.meaning, _statement(rule), ", ".join(rule.requirements))
        for name, rule in rules.items()
    ]
    return grid((kind, "meaning", "formally", "for"), rows)


def _statement(rule: Rule) -> str:
    holds = _words(rule.holds)
    return holds if rule.when is None else f"if {_words(rule.when)}: {holds}"


def _enabled(spec: Spec) -> list[str]:
    rows = [
        (
            f"`{name}`",
            clause.meaning,
            ("exactly one of " if len(clause.actions) > 1 and clause.exactly_one else "")
            + ("one of " if not clause.exactly_one else "")
            + ", ".join(f"`{action}`" for action in clause.actions),
            _words(clause.when),
            ", ".join(clause.requirements),
        )
        for name, clause in spec.scheduler.enabled.items()
    ]
    return grid(("clause", "meaning", "can happen", "exactly when", "for"), rows)


def _liveness(spec: Spec) -> list[str]:
    rows = [
        (
            f"`{name}`",
            rule.meaning,
            _words(rule.given),
            _words(rule.goal),
            _words(rule.rank),
            ", ".join(rule.assumes),
        )
        for name, rule in spec.scheduler.liveness.items()
    ]
    return grid(("rule", "meaning", "given", "goal", "rank", "assumes"), rows)


# --------------------------------------------------------------------------------------------------------
# Requirements and assumptions


def _requirements(spec: Spec) -> list[str]:
    lines: list[str] = []
    group = ""
    for requirement in spec.requirements.by_id.values():
        if requirement.group != group:
            group = requirement.group
            lines += ["", f"**{group}**", ""]
        lines.append(f"- `{requirement.id}` {requirement.text}")
    return lines[1:]


def _checks(spec: Spec) -> list[str]:
    kinds = spec.requirements.kinds
    rows = [
        (f"`{requirement.id}`", *(_MARK if kind in requirement.checks else "" for kind in kinds))
        for requirement in spec.requirements.by_id.values()
    ]
    return grid(("", *kinds), rows)


def _assumptions(spec: Spec) -> list[str]:
    lines: list[str] = []
    for subject in SUBJECTS:
        lines += ["", f"**About {subject}**", ""]
        for id_, entry in spec.assumptions.items():
            if entry.about == subject:
                said = {"Why": entry.why, "Checked by": entry.checked_by, "Without it": entry.without}
                lines += [f"- `{id_}` {entry.text}", *(f"  *{head}:* {text}" for head, text in said.items())]
    return lines[1:]


BLOCKS: Final[Mapping[str, Callable[[Spec], Iterable[str]]]] = {
    "lifecycle-picture": lambda spec: _picture(spec.job.machine),
    "lifecycle-table": lambda spec: _table(spec.job.machine, "state"),
    "states": lambda spec: _meanings("state", spec.job.machine.states),
    "events": lambda spec: _meanings("event", spec.job.machine.events),
    "properties": _properties,
    "outcomes": _outcomes,
    "phases-picture": lambda spec: _picture(spec.scheduler.phase),
    "phases-table": lambda spec: _table(spec.scheduler.phase, "phase"),
    "phases": lambda spec: _meanings("phase", spec.scheduler.phase.states),
    "phase-events": lambda spec: _meanings("event", spec.scheduler.phase.events),
    "parameters": _parameters,
    "choices": _choices,
    "counters": _counters,
    "actions": _actions,
    "ledger": _ledger,
    "ledger-columns": lambda spec: _meanings(
        "column", {name: column.meaning for name, column in spec.scheduler.ledger.items()}
    ),
    "balances": lambda spec: _rules(spec.scheduler.balances, "balance"),
    "invariants": lambda spec: _rules(spec.scheduler.invariants, "invariant"),
    "steps": lambda spec: _rules(spec.scheduler.steps, "rule"),
    "enabled": _enabled,
    "liveness": _liveness,
    "kinds": lambda spec: _meanings("kind", spec.requirements.kinds),
    "requirements": _requirements,
    "checks": _checks,
    "assumptions": _assumptions,
}
"""Every block by its name."""
