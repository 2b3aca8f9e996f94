"""The statements about the counters that have to be proved, as questions to a solver.

Rules of this file. A question either looks for a state that must not exist, and is answered well by "there
is none", or for one that must (`wanted`), and is answered well by an example: a rule that nothing ever
meets would be true of anything. No question knows a number for a limit: L and P are unknowns, whatever L becomes
is one, and 0, which is no limit, is among their values.

How it works. Let I be all invariants together, `before` any state in which I holds, and `after` the state
that an action makes of it. A statement is kept by an action if there is no `before` in which the action can
happen and the statement is broken `after`. Since I holds at the beginning and is kept by every action, it
holds always, and what is shown of all states in which I holds is true of every state that can be reached. What an
action chooses is one more unknown, the same in all terms of a question: what is shown is shown of every choice.

Deliberately not here: asking (`prove`) and z3 (`solver`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiojobs_verification.smt.solver import SymbolicState, Terms
from aiojobs_verification.specification.scheduler import AFTER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from aiojobs_verification.specification.counters import Action, Column, Liveness, Rule, SchedulerSpec
    from aiojobs_verification.specification.expressions import Node

__all__ = ["GROUPS", "Question", "Questions", "Statement"]

GROUPS: Final = {
    "start": "every invariant holds at the beginning",
    "kept": "every action keeps every invariant",
    "possible": "every action can happen, and changes something",
    "phase": "the phase follows its table",
    "ledger": "effects and ledger agree, entry by entry",
    "step": "every single step follows the rules for steps",
    "enabled": "actions can happen exactly when it is said that they can",
    "stuck": "something can happen until all is over",
    "liveness": "closing ends, and draining ends",
    "speaks": "every condition is met in some states, and not in others where that matters",
}
"""The groups of questions, and what a group shows."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Something that the file says, or that follows from what it is: what a question is about."""

    place: str
    """The table and the name, as in the file."""
    meaning: str
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One question: is there a state in which all `terms` hold?"""

    group: str
    statement: Statement
    remark: str
    """What the question adds to the meaning of the statement; may be empty."""
    action: str
    """The action it is about, or an empty string."""
    terms: tuple[Any, ...]
    before: SymbolicState
    after: SymbolicState | None
    wanted: bool
    """Whether the answer must be yes."""


@dataclass(frozen=True, slots=True)
class _Step:
    """An action with the states around it, and what it writes into the ledger."""

    name: str
    action: Action
    before: SymbolicState
    after: SymbolicState
    guard: Any
    entries: Mapping[str, Any]


class _Said(Protocol):
    """What rules, clauses and liveness rules have in common."""

    @property
    def meaning(self) -> str: ...
    @property
    def requirements(self) -> tuple[str, ...]: ...


def _said(table: str, name: str, rule: _Said) -> Statement:
    return Statement(f"{table}.{name}" if name else table, rule.meaning, rule.requirements)


class Questions:
    """All questions about one specification, or, of those about single actions, only some."""

    def __init__(self, spec: SchedulerSpec, about: Collection[str] | None = None) -> None:
        self.spec = spec
        self.terms = Terms(spec)
        self._initial = self.terms.initial_state()
        self._before = self.terms.any_state()
        rules = spec.invariants.values()
        self._invariant = self.terms.every(self._term(rule.whole, self._before) for rule in rules)
        self._steps = [self._step(name, action) for name, action in spec.actions.items()]
        self._asked = [step for step in self._steps if about is None or step.name in about]

    def __iter__(self) -> Iterator[Question]:
        """Every question, group by group."""
        yield from self._start()
        yield from self._kept()
        yield from self._possible()
        yield from self._phase()
        yield from self._ledger()
        yield from self._rules_for_steps()
        yield from self._enabled()
        yield from self._stuck()
        for name, rule in self.spec.liveness.items():
            yield from self._liveness(_said("liveness", name, rule), rule)
        yield from self._speaks()

    # ----------------------------------------------------------------------------------------------------
    # What questions are made of

    def _term(self, node: Node, state: SymbolicState) -> Any:
        return self.terms.term(node, state.terms)

    def _no(self, node: Node, state: SymbolicState) -> Any:
        return self.terms.no(self._term(node, state))

    def _step(self, name: str, action: Action) -> _Step:
        entries = {column: self.terms.number(0) for column in self.spec.ledger}
        entries |= {column: self._term(node, self._before) for column, node in action.ledger.items()}
        after = self.terms.after(self._before, action)
        return _Step(name, action, self._before, after, self._term(action.guard, self._before), entries)

    def _guards(self, names: Iterable[str]) -> list[Any]:
        wanted = set(names)
        return [step.guard for step in self._steps if step.name in wanted]

    def _at_start(self, group: str, said: Statement, term: Any) -> Question:
        """Does the term hold at the beginning?"""
        return Question(group, said, "", "", (term,), self._initial, None, wanted=False)

    def _in_state(
        self, group: str, said: Statement, remark: str, *terms: Any, wanted: bool = False
    ) -> Question:
        """Is there a state in which all invariants and the terms hold?"""
        return Question(group, said, remark, "", (self._invariant, *terms), self._before, None, wanted)

    def _in_step(
        self, group: str, said: Statement, remark: str, step: _Step, *terms: Any, wanted: bool = False
    ) -> Question:
        """Is there a state in which all invariants hold and the action can happen, and do the terms hold
        then?
        """
        about = (self._invariant, step.guard, *terms)
        return Question(group, said, remark, step.name, about, step.before, step.after, wanted)

    # ----------------------------------------------------------------------------------------------------
    # The groups

    def _start(self) -> Iterator[Question]:
        for name, rule in self.spec.invariants.items():
            yield self._at_start("start", _said("invariant", name, rule), self._no(rule.whole, self._initial))

    def _kept(self) -> Iterator[Question]:
        for name, rule in self.spec.invariants.items():
            for step in self._asked:
                broken = self._no(rule.whole, step.after)
                yield self._in_step("kept", _said("invariant", name, rule), "", step, broken)

    def _possible(self) -> Iterator[Question]:
        for step in self._asked:
            said = Statement(f"action.{step.name}", step.action.meaning)
            same = self.terms.every(
                step.before.terms[name] == step.after.terms[name] for name in self.spec.counters
            )
            yield self._in_step("possible", said, "it can happen", step, wanted=True)
            yield self._in_step("possible", said, "it changes something", step, same)

    def _phase(self) -> Iterator[Question]:
        moves = self.spec.phase.moves()
        changing = [step for step in self._steps if step.action.phase_event is not None]
        for step in changing:
            event = step.action.phase_event
            said = Statement(f"action.{step.name}", f"The phase changes as by its event '{event}'.")
            follows = self.terms.some(
                self._moves(step, source, dest) for source, by, dest in moves if by == event
            )
            yield self._in_step("phase", said, "", step, self.terms.no(follows))
        for source, event, dest in moves:
            said = Statement("phase", f"Some action takes the phase from '{source}' to '{dest}'.")
            steps = [step for step in changing if step.action.phase_event == event]
            taken = self.terms.some(
                self.terms.every([step.guard, self._moves(step, source, dest)]) for step in steps
            )
            yield self._in_state("phase", said, "", taken, wanted=True)

    def _moves(self, step: _Step, source: str, dest: str) -> Any:
        before, after = step.before.terms["phase"], step.after.terms["phase"]
        return self.terms.every([before == self.terms.phase(source), after == self.terms.phase(dest)])

    def _ledger(self) -> Iterator[Question]:
        for name, counter in self.spec.counters.items():
            if counter.counts is not None:
                yield from self._double_entry(name, counter.counts)
        for name, rule in self.spec.balances.items():
            yield from self._balanced(_said("balance", name, rule), rule.holds)
        for step in self._asked:
            said = Statement(f"action.{step.name}", "No entry in the ledger is negative.")
            negative = self.terms.some(entry < 0 for entry in step.entries.values())
            yield self._in_step("ledger", said, "", step, negative)
        said = Statement("counter", "All counters of jobs begin at 0, as all totals do.")
        counting = [name for name, counter in self.spec.counters.items() if counter.counts is not None]
        unequal = self.terms.some(self._initial.terms[name] != 0 for name in counting)
        yield self._at_start("ledger", said, unequal)

    def _balanced(self, said: Statement, holds: Node) -> Iterator[Question]:
        """A balance holds of totals of 0, and if it holds of any totals, then of these and one step's entries."""
        zeros = dict.fromkeys(self.spec.ledger, self.terms.number(0))
        yield self._at_start(
            "ledger", said, self.terms.no(self.terms.term(holds, {**self._initial.terms, **zeros}))
        )
        totals = self.terms.unknowns(self.spec.ledger)
        for step in self._asked:
            before = self.terms.term(holds, {**step.before.terms, **totals})
            sums = {column: total + step.entries[column] for column, total in totals.items()}
            broken = self.terms.no(self.terms.term(holds, {**step.after.terms, **sums}))
            yield self._in_step("ledger", said, "", step, before, broken)

    def _change(self, step: _Step, name: str) -> Any:
        return step.after.terms[name] - step.before.terms[name]

    def _double_entry(self, name: str, state: str) -> Iterator[Question]:
        """The change of a counter is what the job's table makes of the entries."""
        meaning = f"The counter '{name}' changes by the jobs that enter and leave the state '{state}'."
        for step in self._asked:
            change = self.terms.number(0)
            for column, declared in self.spec.ledger.items():
                change = change + self._weight(declared, state) * step.entries[column]
            said = Statement(f"counter.{name}", meaning)
            yield self._in_step("ledger", said, "", step, self._change(step, name) != change)

    def _weight(self, column: Column, state: str) -> int:
        """By how much one entry in the column changes the number of jobs in the state."""
        enters = {self.spec.job_moves[cell] for cell in column.cells}
        if column.births:
            enters.add(self.spec.job_initial)
        leaves = {cell.state for cell in column.cells}
        return (state in enters) - (state in leaves)

    def _rules_for_steps(self) -> Iterator[Question]:
        for name, rule in self.spec.steps.items():
            for step in self._steps_of(rule, self._asked):
                broken = self.terms.no(self._of_step(rule.whole, step))
                yield self._in_step("step", _said("step", name, rule), "", step, broken)

    def _steps_of(self, rule: Rule, steps: Iterable[_Step]) -> list[_Step]:
        return [step for step in steps if step.name in rule.actions]

    def _of_step(self, node: Node, step: _Step) -> Any:
        after = {f"{AFTER}{name}": step.after.terms[name] for name in self.spec.counters}
        return self.terms.term(node, {**step.before.terms, **after, **step.entries})

    def _enabled(self) -> Iterator[Question]:
        for name, clause in self.spec.enabled.items():
            said, guards = _said("enabled", name, clause), self._guards(clause.actions)
            when, some = self._term(clause.when, self._before), self.terms.some(guards)
            right, number = some, "at least one"
            if clause.exactly_one:
                right, number = self.terms.one(guards), "exactly one"
            remark = f"{number} can happen if `when` holds"
            yield self._in_state("enabled", said, remark, when, self.terms.no(right))
            yield self._in_state("enabled", said, "none can happen otherwise", self.terms.no(when), some)

    def _stuck(self) -> Iterator[Question]:
        said = _said("stuck", "", self.spec.stuck)
        over = self._term(self.spec.stuck.holds, self._before)
        some, none = self._any_guard()
        yield self._in_state("stuck", said, "nothing can happen then", over, some)
        yield self._in_state("stuck", said, "something can happen until then", self.terms.no(over), none)

    def _any_guard(self) -> tuple[Any, Any]:
        some = self.terms.some(s.guard for s in self._steps if s.name not in self.spec.stuck.actions)
        return some, self.terms.no(some)

    def _liveness(self, said: Statement, rule: Liveness) -> Iterator[Question]:
        rank = self._term(rule.rank, self._before)
        waiting = (self._term(rule.given, self._before), self._no(rule.goal, self._before))
        helpless = self.terms.no(self.terms.some(self._guards(rule.helpful)))
        yield self._in_state("liveness", said, "the rank is positive until the goal", *waiting, rank <= 0)
        yield self._in_state(
            "liveness", said, "a helpful action can happen until the goal", *waiting, helpless
        )
        for step in self._asked:
            if step.name not in rule.without:
                still = (*waiting, self._no(rule.goal, step.after))
                yield from self._progress(said, rule, step, still)

    def _progress(
        self, said: Statement, rule: Liveness, step: _Step, still: tuple[Any, ...]
    ) -> Iterator[Question]:
        """An action that does not lead to the goal at once: does it at least not lead away from it?"""
        before, after = self._term(rule.rank, step.before), self._term(rule.rank, step.after)
        bad, remark = after > before, "the rank is not raised"
        if step.name in rule.helpful:
            bad, remark = after >= before, "the rank is lowered"
        lost = self._no(rule.given, step.after)
        yield self._in_step("liveness", said, "`given` is kept until the goal", step, *still, lost)
        yield self._in_step("liveness", said, remark, step, *still, bad)

    def _speaks(self) -> Iterator[Question]:
        for said, remark, term in self._conditions():
            yield self._in_state("speaks", said, remark, term, wanted=True)

    def _conditions(self) -> Iterator[tuple[Statement, str, Any]]:
        """What must be met somewhere, lest a statement be true of anything."""
        for name, rule in self.spec.invariants.items():
            if rule.when is not None:
                when = self._term(rule.when, self._before)
                yield _said("invariant", name, rule), "`when` holds somewhere", when
        for name, rule in self.spec.steps.items():
            met = self.terms.some(self._meets(rule, step) for step in self._steps_of(rule, self._steps))
            yield _said("step", name, rule), "a step is made where `when` holds", met
        for name, clause in self.spec.enabled.items():
            said, when = _said("enabled", name, clause), self._term(clause.when, self._before)
            yield said, "`when` holds somewhere", when
            yield said, "`when` does not hold everywhere", self.terms.no(when)
        for name, live in self.spec.liveness.items():
            given, not_yet = self._term(live.given, self._before), self._no(live.goal, self._before)
            waits = self.terms.every([given, not_yet])
            yield _said("liveness", name, live), "there is something to wait for", waits
        over = self._term(self.spec.stuck.holds, self._before)
        yield _said("stuck", "", self.spec.stuck), "it can be over", over

    def _meets(self, rule: Rule, step: _Step) -> Any:
        when = [] if rule.when is None else [self._of_step(rule.when, step)]
        return self.terms.every([step.guard, *when])
