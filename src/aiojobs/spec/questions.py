"""What has to be shown about the counters, as questions to a solver.

Rules of this file. A question either looks for a state that must not exist, and is answered well by "there
is none", or for one that must (`wanted`), and is answered well by an example: a rule that nothing ever
meets would be true of anything. No question knows a number for a limit: L and P are unknowns, and so is
whether there is a limit at all.

How it works. Let I be all invariants together, `before` any state in which I holds, and `after` the state
that an action makes of it. A statement is kept by an action if there is no `before` in which the action can
happen and the statement is broken `after`. Since I holds at the beginning and is kept by every action, it
holds always, and what is shown of all states in which I holds is true of every state that can be reached.

Deliberately not here: asking (`prove`) and z3 (`solver`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiojobs.spec.solver import State, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aiojobs.spec.expressions import Node
    from aiojobs.spec.scheduler import Action, Counter, Liveness, Rule, SchedulerSpec

__all__ = ["GROUPS", "Question", "Questions"]

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
class Question:
    """One question: is there a state in which all `terms` hold?"""

    group: str
    statement: str
    """The table and the name of what it is about, as in the file."""
    meaning: str
    action: str
    """The action it is about, or an empty string."""
    requirements: tuple[str, ...]
    terms: tuple[Any, ...]
    before: State
    after: State | None
    wanted: bool = False
    """Whether the answer must be yes."""
    remark: str = ""
    """What the question adds to the meaning of the statement."""


@dataclass(frozen=True, slots=True)
class _Step:
    """An action with the states around it, and what it writes into the ledger."""

    name: str
    action: Action
    before: State
    after: State
    guard: Any
    entries: Mapping[str, Any]


@dataclass
class Questions:
    """All questions about one specification."""

    spec: SchedulerSpec
    terms: Terms = field(init=False)

    def __post_init__(self) -> None:
        self.terms = Terms(self.spec)
        self._before = self.terms.any_state()
        self._invariant = self._every_rule(self._before)
        self._steps = [self._step(name, action) for name, action in self.spec.actions.items()]

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
            yield from self._liveness(f"liveness.{name}", rule)
        yield from self._speaks()

    # What questions are made of

    def _term(self, node: Node, state: State) -> Any:
        return self.terms.term(node, state.terms)

    def _every_rule(self, state: State) -> Any:
        return self.terms.every(self._term(rule.whole, state) for rule in self.spec.invariants.values())

    def _step(self, name: str, action: Action) -> _Step:
        entries = {column: self.terms.number(0) for column in self.spec.ledger}
        entries |= {column: self._term(node, self._before) for column, node in action.ledger.items()}
        after = self.terms.after(self._before, action)
        return _Step(name, action, self._before, after, self._term(action.guard, self._before), entries)

    def _guards(self, names: Iterable[str]) -> list[Any]:
        wanted = set(names)
        return [step.guard for step in self._steps if step.name in wanted]

    def _about_state(
        self, group: str, statement: str, rule: Any, *terms: Any, wanted: bool = False, remark: str = ""
    ) -> Question:
        """Is there a state in which all invariants and the `terms` hold?"""
        about = (self._invariant, *terms)
        return Question(
            group, statement, rule.meaning, "", rule.requirements, about, self._before, None, wanted, remark
        )

    def _about_step(
        self,
        group: str,
        statement: str,
        step: _Step,
        *terms: Any,
        meaning: str = "",
        requirements: tuple[str, ...] = (),
        wanted: bool = False,
        remark: str = "",
    ) -> Question:
        """Is there a state in which all invariants hold, the action can happen, and then the `terms` hold?"""
        about = (self._invariant, step.guard, *terms)
        return Question(
            group, statement, meaning, step.name, requirements, about, step.before, step.after, wanted, remark
        )

    # The groups

    def _start(self) -> Iterator[Question]:
        initial = self.terms.initial_state()
        for name, rule in self.spec.invariants.items():
            broken = self.terms.no(self._term(rule.whole, initial))
            yield Question(
                "start", f"invariant.{name}", rule.meaning, "", rule.requirements, (broken,), initial, None
            )

    def _kept(self) -> Iterator[Question]:
        for name, rule in self.spec.invariants.items():
            for step in self._steps:
                broken = self.terms.no(self._term(rule.whole, step.after))
                yield self._about_step(
                    "kept",
                    f"invariant.{name}",
                    step,
                    broken,
                    meaning=rule.meaning,
                    requirements=rule.requirements,
                )

    def _possible(self) -> Iterator[Question]:
        for step in self._steps:
            changed = self.terms.some(
                step.before.terms[name] != step.after.terms[name] for name in self.spec.counters
            )
            place, meaning = f"action.{step.name}", step.action.meaning
            yield self._about_step(
                "possible", place, step, meaning=meaning, wanted=True, remark="it can happen"
            )
            unchanged = self.terms.no(changed)
            yield self._about_step(
                "possible", place, step, unchanged, meaning=meaning, remark="it changes something"
            )

    def _phase(self) -> Iterator[Question]:
        moves = self.spec.phase.moves()
        for step in self._steps:
            event = step.action.phase_event
            if event is not None:
                follows = self.terms.some(
                    self._phases(step, source, dest) for source, by, dest in moves if by == event
                )
                yield self._about_step(
                    "phase",
                    f"action.{step.name}",
                    step,
                    self.terms.no(follows),
                    meaning=f"The phase changes as by its event '{event}'.",
                )
        for source, event, dest in moves:
            takes = [
                self.terms.every([step.guard, self._phases(step, source, dest)])
                for step in self._steps
                if step.action.phase_event == event
            ]
            meaning = f"Some action takes the phase from '{source}' to '{dest}'."
            about = (self._invariant, self.terms.some(takes))
            yield Question("phase", "phase", meaning, "", (), about, self._before, None, wanted=True)

    def _phases(self, step: _Step, source: str, dest: str) -> Any:
        return self.terms.every(
            [
                step.before.terms["phase"] == self.terms.phase(source),
                step.after.terms["phase"] == self.terms.phase(dest),
            ]
        )

    def _ledger(self) -> Iterator[Question]:
        for name, counter in self.spec.counters.items():
            if counter.counts is not None:
                yield from self._double_entry(name, counter)
        for name, rule in self.spec.balances.items():
            for step in self._steps:
                changes = {n: step.after.terms[n] - step.before.terms[n] for n in self._numbers()}
                broken = self.terms.no(self.terms.term(rule.holds, {**changes, **step.entries}))
                yield self._about_step(
                    "ledger",
                    f"balance.{name}",
                    step,
                    broken,
                    meaning=rule.meaning,
                    requirements=rule.requirements,
                )
        for step in self._steps:
            negative = self.terms.some(entry < 0 for entry in step.entries.values())
            meaning = "No entry in the ledger is negative."
            yield self._about_step("ledger", f"action.{step.name}", step, negative, meaning=meaning)
        initial = self.terms.initial_state()
        unequal = self.terms.some(initial.terms[name] != 0 for name in self._numbers())
        meaning = "All counters begin at 0, as all totals do."
        yield Question("ledger", "counter", meaning, "", (), (unequal,), initial, None)

    def _numbers(self) -> list[str]:
        return [name for name, counter in self.spec.counters.items() if counter.sort == "int"]

    def _double_entry(self, name: str, counter: Counter) -> Iterator[Question]:
        """The change of a counter is what the job's table makes of the entries."""
        meaning = (
            f"The counter '{name}' changes by the jobs that enter and leave the state '{counter.counts}'."
        )
        for step in self._steps:
            change = self.terms.number(0)
            for column, declared in self.spec.ledger.items():
                change = change + self._weight(declared, counter.counts) * step.entries[column]
            differs = step.after.terms[name] - step.before.terms[name] != change
            yield self._about_step("ledger", f"counter.{name}", step, differs, meaning=meaning)

    def _weight(self, column: Any, state: str | None) -> int:
        """By how much one entry in the column changes the number of jobs in the state."""
        enters = {self.spec.job_moves[cell] for cell in column.cells}
        if column.births:
            enters.add(self.spec.job_initial)
        leaves = {cell.state for cell in column.cells}
        return (state in enters) - (state in leaves)

    def _rules_for_steps(self) -> Iterator[Question]:
        for name, rule in self.spec.steps.items():
            for step in self._steps_of(rule):
                broken = self.terms.no(self._of_step(rule.whole, step))
                yield self._about_step(
                    "step", f"step.{name}", step, broken, meaning=rule.meaning, requirements=rule.requirements
                )

    def _steps_of(self, rule: Rule) -> list[_Step]:
        return [step for step in self._steps if step.name in rule.actions]

    def _of_step(self, node: Node, step: _Step) -> Any:
        return self.terms.term(node, {**step.before.terms, **step.entries})

    def _enabled(self) -> Iterator[Question]:
        for name, clause in self.spec.enabled.items():
            when = self._term(clause.when, self._before)
            guards = self._guards(clause.actions)
            some = self.terms.some(guards)
            right = self.terms.one(guards) if clause.exactly_one and len(guards) > 1 else some
            place = f"enabled.{name}"
            none, number = self.terms.no(right), "exactly one" if clause.exactly_one else "at least one"
            yield self._about_state(
                "enabled", place, clause, when, none, remark=f"{number} can happen if `when` holds"
            )
            not_when = self.terms.no(when)
            yield self._about_state(
                "enabled", place, clause, not_when, some, remark="none can happen otherwise"
            )

    def _stuck(self) -> Iterator[Question]:
        rule = self.spec.stuck
        over = self._term(rule.holds, self._before)
        some = self.terms.some(step.guard for step in self._steps)
        nothing, running = (over, some), (self.terms.no(over), self.terms.no(some))
        yield self._about_state("stuck", "stuck", rule, *nothing, remark="nothing can happen then")
        yield self._about_state("stuck", "stuck", rule, *running, remark="something can happen until then")

    def _liveness(self, place: str, rule: Liveness) -> Iterator[Question]:
        given, goal = self._term(rule.given, self._before), self._term(rule.goal, self._before)
        rank = self._term(rule.rank, self._before)
        waiting = (given, self.terms.no(goal))
        none = self.terms.no(self.terms.some(self._guards(rule.helpful)))
        yield self._about_state(
            "liveness", place, rule, *waiting, rank <= 0, remark="the rank is positive until the goal"
        )
        yield self._about_state(
            "liveness", place, rule, *waiting, none, remark="until the goal a helpful action can happen"
        )
        for step in self._steps:
            if step.name not in rule.without:
                yield from self._progress(place, rule, step, waiting)

    def _progress(
        self, place: str, rule: Liveness, step: _Step, waiting: tuple[Any, ...]
    ) -> Iterator[Question]:
        still = self.terms.no(self._term(rule.goal, step.after))
        rank, after = self._term(rule.rank, step.before), self._term(rule.rank, step.after)
        lost = self.terms.no(self._term(rule.given, step.after))
        helpful = step.name in rule.helpful
        questions = {
            "the condition `given` is kept until the goal": lost,
            "the rank is lowered" if helpful else "the rank is not raised": after >= rank
            if helpful
            else after > rank,
        }
        for remark, broken in questions.items():
            yield self._about_step(
                "liveness",
                place,
                step,
                *waiting,
                still,
                broken,
                meaning=rule.meaning,
                requirements=rule.requirements,
                remark=remark,
            )

    def _speaks(self) -> Iterator[Question]:
        for name, rule in self.spec.invariants.items():
            if rule.when is not None:
                when = self._term(rule.when, self._before)
                yield self._met(f"invariant.{name}", rule, when, "`when` holds somewhere")
        for name, rule in self.spec.steps.items():
            met = self.terms.some(self._meets(rule, step) for step in self._steps_of(rule))
            yield self._met(f"step.{name}", rule, met, "a step is made where `when` holds")
        for name, clause in self.spec.enabled.items():
            when = self._term(clause.when, self._before)
            yield self._met(f"enabled.{name}", clause, when, "`when` holds somewhere")
            yield self._met(f"enabled.{name}", clause, self.terms.no(when), "`when` does not hold everywhere")
        for name, live in self.spec.liveness.items():
            given, goal = self._term(live.given, self._before), self._term(live.goal, self._before)
            waits = self.terms.every([given, self.terms.no(goal)])
            yield self._met(f"liveness.{name}", live, waits, "there is something to wait for")
        yield self._met(
            "stuck", self.spec.stuck, self._term(self.spec.stuck.holds, self._before), "it can be over"
        )

    def _meets(self, rule: Rule, step: _Step) -> Any:
        when = [] if rule.when is None else [self._of_step(rule.when, step)]
        return self.terms.every([step.guard, *when])

    def _met(self, place: str, rule: Any, term: Any, remark: str) -> Question:
        return self._about_state("speaks", place, rule, term, wanted=True, remark=remark)
