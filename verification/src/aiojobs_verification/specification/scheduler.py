"""Reading the scheduler's part of the specification: `scheduler.toml`.

Rules of this file. Every name is declared once and can be used in TLA+ as it is. Every expression is read
in the scope it belongs to and has the sort that is wanted there; of a choice only those speak that are about
actions which all make it. An action changes the phase exactly when
it says by which event of the phase machine. Every cell of the job's table that changes a state is in one
column of the ledger, the cells of a column do the same to the counters, and every state that a job can
leave is counted by one counter.

Deliberately not here: whether any of it is true. `prove` says so.
"""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING, Final, cast

from aiojobs_verification.specification.counters import (
    Action,
    Cell,
    Choice,
    Column,
    Counter,
    Definition,
    Enabled,
    Liveness,
    Parameter,
    Rule,
    SchedulerSpec,
)
from aiojobs_verification.specification.expressions import SORTS, Node, Sort, Vocabulary, parse
from aiojobs_verification.specification.machine import read_machine
from aiojobs_verification.specification.tables import Table, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from aiojobs_verification.specification.job import JobSpec

__all__ = ["AFTER", "SchedulerSpec", "read_scheduler"]

AFTER: Final = "after_"
"""What stands before the name of a counter in a rule for steps that means its value after the step."""

_RESERVED: Final = frozenset({"Init", "Next", "Spec", "TypeOK", "Invariant", "vars", "CONSTANT", "VARIABLE"})


def read_scheduler(path: Path, job: JobSpec) -> SchedulerSpec:
    """Read and validate `scheduler.toml`."""
    return _Reader(read_toml(path), job).read()


class _Reader:
    """Reads the file from top to bottom; each part may use the names that the parts before it declared."""

    def __init__(self, file: Table, job: JobSpec) -> None:
        self.file = file
        self.job = job
        self.names: dict[str, Sort] = {}
        self.columns: dict[str, Sort] = {}
        # The choices, and the abbreviations that speak of one: each with what it speaks of.
        self.chosen: dict[str, tuple[Sort, frozenset[str]]] = {}
        self.taken: set[str] = set(_RESERVED)
        self.action_names: tuple[str, ...] = ()
        self.choice_of: dict[str, str | None] = {}
        self.parameter_names: dict[str, Sort] = {}

    def read(self) -> SchedulerSpec:
        part = self.file.table("phase")
        self.phase = read_machine(part)
        _end_phase(part)
        spec = SchedulerSpec(
            phase=self.phase,
            job_initial=self.job.machine.initial,
            job_moves={Cell(state, event): dest for state, event, dest in self.job.machine.moves()},
            parameters={name: self.parameter(name, entry) for name, entry in self.named("parameter")},
            choices={name: self.choice(name, entry) for name, entry in self.named("choice")},
            counters={name: self.counter(name, entry) for name, entry in self.named("counter")},
            definitions={name: self.definition(name, entry) for name, entry in self.named("define")},
            ledger={name: self.column(name, entry) for name, entry in self.named("ledger")},
            balances={name: self.balance(entry) for name, entry in self.named("balance")},
            actions=self.actions(),
            invariants={name: self.rule(entry, self.names) for name, entry in self.named("invariant")},
            steps={name: self.step(entry) for name, entry in self.named("step")},
            enabled={name: self.enabled(entry) for name, entry in self.named("enabled")},
            stuck=self.stuck(self.file.table("stuck")),
            liveness={name: self.liveness(entry) for name, entry in self.named("liveness")},
        )
        self.check_counted(spec)
        self.file.end()
        return spec

    def named(self, key: str) -> Iterator[tuple[str, Table]]:
        """The tables of a group, each under a name of its own; everything in a table must have been read."""
        for name, entry in self.file.tables(key):
            if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
                entry.fault(f"'{name}' is not a name")
            if name in self.taken:
                entry.fault(f"the name '{name}' is declared twice, or reserved")
            self.taken.add(name)
            yield name, entry
            entry.end()

    def expression(
        self, entry: Table, key: str, sort: Sort | None, names: Mapping[str, Sort] | None = None
    ) -> Node:
        scope = Vocabulary(self.names if names is None else names, tuple(self.phase.states))
        return parse(entry, key, scope, sort)

    def parameter(self, name: str, entry: Table) -> Parameter:
        self.names[name] = self.parameter_names[name] = sort = _sort(entry)
        domain = self.expression(entry, "domain", "bool") if "domain" in entry else None
        return Parameter(entry.text("meaning"), sort, domain)

    def choice(self, name: str, entry: Table) -> Choice:
        self.chosen[name] = ("int", frozenset([name]))
        domain = self.expression(entry, "domain", "bool", {name: "int"})
        return Choice(entry.text("meaning"), domain)

    def counter(self, name: str, entry: Table) -> Counter:
        initial = self.initial(entry, sort := _sort(entry))
        self.names[name] = sort
        counts = None
        if "counts" in entry:
            counts = entry.one_of("counts", self.open_states(), "state that a job can leave")
        return Counter(entry.text("meaning"), sort, initial, counts)

    def initial(self, entry: Table, sort: Sort) -> Node:
        """What a counter is at the beginning: the first phase, or a number, which may be a parameter."""
        if sort == "phase":
            return Node("phase", "phase", entry.one_of("initial", [self.phase.initial], "initial phase"))
        value = entry.raw("initial")
        scope = Vocabulary(dict(self.parameter_names), tuple(self.phase.states))
        return parse(entry, "initial", scope, sort, text=str(value) if type(value) is int else None)

    def open_states(self) -> list[str]:
        machine = self.job.machine
        return [state for state in machine.states if state not in machine.final]

    def definition(self, name: str, entry: Table) -> Definition:
        value = self.expression(entry, "is", None, self.names_with(self.chosen))
        if choices := self.speaks_of(value):
            self.chosen[name] = (value.sort, choices)
        else:
            self.names[name] = value.sort
        return Definition(entry.text("meaning"), value)

    def column(self, name: str, entry: Table) -> Column:
        self.columns[name] = "int"
        moves = {Cell(state, event): dest for state, event, dest in self.job.machine.moves()}
        cells = [self.cell(text, entry) for text in entry.texts("cells", optional=True)]
        for cell in cells:
            if cell not in moves:
                entry.fault(f"in state '{cell.state}' the event '{cell.event}' changes no state", "cells")
        # Where a job goes that nothing counts any more makes no difference to the counters.
        ways = {(cell.state, moves[cell] in self.open_states() and moves[cell]) for cell in cells}
        if len(ways) > 1:
            entry.fault("the cells of one column must leave the same state and lead to the same", "cells")
        return Column(entry.text("meaning"), tuple(cells), entry.flag("births", default=False))

    def cell(self, text: str, entry: Table) -> Cell:
        state, _, event = text.partition(" ")
        entry.known(state, self.job.machine.states, "state", "cells")
        entry.known(event, self.job.machine.events, "event", "cells")
        return Cell(state, event)

    def rule(self, entry: Table, names: Mapping[str, Sort], actions: tuple[str, ...] = ()) -> Rule:
        when = self.expression(entry, "when", "bool", names) if "when" in entry else None
        holds = self.expression(entry, "holds", "bool", names)
        return Rule(entry.text("meaning"), entry.texts("requirements"), when, holds, actions)

    def balance(self, entry: Table) -> Rule:
        # Of counters and totals alone: no parameter, no abbreviation.
        counted: dict[str, Sort] = {name: self.names[name] for name in self.counters()}
        rule = self.rule(entry, {**counted, **self.columns})
        if rule.when is not None:
            entry.fault("a balance holds always", "when")
        if rule.holds.kind != "compare" or rule.holds.value != "==":
            entry.fault("a balance is one equation", "holds")
        return rule

    def step(self, entry: Table) -> Rule:
        actions = entry.texts("actions", optional=True)
        besides = entry.texts("besides", optional=True)
        if actions and besides:
            entry.fault("a rule is about some actions, or about all but some", "besides")
        self.known_actions(entry, "actions", actions)
        self.known_actions(entry, "besides", besides)
        about = actions or tuple(name for name in self.action_names if name not in besides)
        after: dict[str, Sort] = {f"{AFTER}{name}": self.names[name] for name in self.counters()}
        return self.rule(entry, {**self.names_for(about), **after, **self.columns}, about)

    def actions(self) -> dict[str, Action]:
        found = {name: self.action(name, entry) for name, entry in self.named("action")}
        self.action_names = tuple(found)
        return found

    def names_with(self, chosen: Iterable[str]) -> dict[str, Sort]:
        """Everything that can be spoken of, these choices and abbreviations that speak of choices included."""
        return {**self.names, **{name: self.chosen[name][0] for name in chosen}}

    def names_for(self, actions: Iterable[str]) -> dict[str, Sort]:
        """What can be spoken of where all these actions are meant: a choice, if all of them make it."""
        choices = {self.choice_of[name] for name in actions}
        made = choices.copy().pop() if len(choices) == 1 else None
        return self.names_with(name for name, (_, of) in self.chosen.items() if of == {made})

    def speaks_of(self, node: Node) -> frozenset[str]:
        """The choices that an expression speaks of."""
        return frozenset[str]().union(*(self.chosen[n][1] for n in node.names() if n in self.chosen))

    def action(self, action: str, entry: Table) -> Action:
        choice = entry.one_of("choose", self.choices(), "choice") if "choose" in entry else None
        self.choice_of[action] = choice
        names = self.names_for([action])
        effect: dict[str, Node] = {}
        part = entry.table("effect")
        for name in part.names():
            part.known(name, self.counters(), "counter", name)
            effect[name] = self.expression(part, name, self.names[name], names)
        event = entry.one_of("phase_event", self.phase.events, "event") if "phase_event" in entry else None
        if (event is not None) != ("phase" in effect):
            entry.fault("the phase changes exactly when `phase_event` says by which event", "phase_event")
        return Action(
            meaning=entry.text("meaning"),
            choice=choice,
            guard=self.expression(entry, "guard", "bool", names),
            effect=effect,
            ledger=self.ledger_entries(entry.table("ledger", optional=True), names),
            phase_event=event,
        )

    def counters(self) -> list[str]:
        return list(self.file.table("counter").names())

    def choices(self) -> list[str]:
        return [name for name, (_, of) in self.chosen.items() if of == {name}]

    def ledger_entries(self, part: Table, names: Mapping[str, Sort]) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        scope = Vocabulary(names, tuple(self.phase.states))
        for name in part.names():
            part.known(name, self.columns, "column of the ledger", name)
            value = part.raw(name)
            entries[name] = parse(part, name, scope, "int", text=str(value) if type(value) is int else None)
        return entries

    def enabled(self, entry: Table) -> Enabled:
        actions = entry.texts("actions")
        self.known_actions(entry, "actions", actions)
        how = "exactly one"
        if "how" in entry:
            how = entry.one_of("how", ["exactly one", "at least one"], "manner")
        when = self.expression(entry, "when", "bool", self.names_for(actions))
        requirements = entry.texts("requirements")
        return Enabled(entry.text("meaning"), requirements, actions, how == "exactly one", when)

    def stuck(self, entry: Table) -> Rule:
        holds = self.expression(entry, "only_when", "bool")
        without = entry.texts("without", optional=True)
        self.known_actions(entry, "without", without)
        rule = Rule(entry.text("meaning"), entry.texts("requirements"), None, holds, without)
        entry.end()
        return rule

    def liveness(self, entry: Table) -> Liveness:
        helpful, without = entry.texts("helpful"), entry.texts("without", optional=True)
        self.known_actions(entry, "helpful", helpful)
        self.known_actions(entry, "without", without)
        return Liveness(
            meaning=entry.text("meaning"),
            requirements=entry.texts("requirements"),
            assumes=entry.texts("assumes"),
            given=self.expression(entry, "given", "bool"),
            goal=self.expression(entry, "goal", "bool"),
            rank=self.expression(entry, "rank", "int"),
            helpful=helpful,
            without=without,
        )

    def known_actions(self, entry: Table, key: str, names: Iterable[str]) -> None:
        for name in names:
            entry.known(name, self.action_names, "action", key)

    def check_counted(self, spec: SchedulerSpec) -> None:
        """The job's table and the counters cover each other: nothing twice, nothing left out."""
        counted = [counter.counts for counter in spec.counters.values() if counter.counts is not None]
        for state in self.open_states():
            if counted.count(state) != 1:
                fault = (
                    f"the jobs in state '{state}' are counted by {counted.count(state)} counters, not by one"
                )
                self.file.table("counter").fault(fault)
        cells = [cell for column in spec.ledger.values() for cell in column.cells]
        for state, event, _ in self.job.machine.moves():
            number = cells.count(Cell(state, event))
            if number != 1:
                fault = f"the cell '{state} {event}' is in {number} columns, not in one"
                self.file.table("ledger").fault(fault)
        births = sum(column.births for column in spec.ledger.values())
        if births != 1:
            self.file.table("ledger").fault(f"new jobs are counted by {births} columns, not by one")


def _end_phase(part: Table) -> None:
    for _, entry in part.tables("state"):
        entry.text("meaning")
        entry.end()
    part.end()


def _sort(entry: Table) -> Sort:
    return cast("Sort", entry.one_of("sort", SORTS, "sort"))
