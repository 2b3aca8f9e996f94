"""One configuration, run by one of the two engines, and held against what it must come to.

Rules of this file: both engines give an `Outcome`, and `faults` asks the same of either. A rule that TLC
refutes without a name is the only one that the configuration checks, or else it is unknown, and wrong.

Deliberately not here: which configurations are run, and what their sum says (`check`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.model_checking.endings import ENDINGS, FAIRNESS, groups
from aiojobs_verification.model_checking.graph import Fairness, Found, Graph, explore, leads_to
from aiojobs_verification.model_checking.rules import STATES, STEPS, spec_rules
from aiojobs_verification.model_checking.terms import Change, StateRule, StepRule
from aiojobs_verification.model_checking.tlc import BY_STATE, BY_STEP, HOLDS, UNNAMED
from aiojobs_verification.model_checking.view import differences, run_of
from aiojobs_verification.model_checking.witnesses import WITNESSES, finished

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from aiojobs_verification.model_checking.manifest import Configuration
    from aiojobs_verification.model_checking.state import State
    from aiojobs_verification.model_checking.tlc import Toolbox
    from aiojobs_verification.specification.load import Spec

__all__ = ["Explored", "Outcome", "by_tlc", "explored", "faults"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an engine found: the rule that is refuted, "" if none, and the figures."""

    by: str
    """The engine, and its version if it has one."""
    rule: str
    code: int
    distinct: int
    generated: int
    depth: int
    actions: Mapping[str, int]
    """How often each action happened; from TLC only if asked for."""
    run: Sequence[tuple[str, Mapping[str, Any]]]
    """The counterexample."""
    stays: int = 0
    """Among how many states the counterexample goes on for ever, if it does."""


@dataclass(frozen=True, slots=True)
class Explored:
    """The outcome of the explorer, the graph, and the rules whose condition was met."""

    outcome: Outcome
    graph: Graph[State]
    met: frozenset[str]


_MANY: Final = 5000
"""States from which on a run of TLC takes long enough for Java to compile it well."""


class _Judge:
    """The rules of a configuration, asked of each state and each step."""

    def __init__(self, configuration: Configuration, spec: Spec) -> None:
        self.scope = configuration.scope
        self.met: set[str] = set()
        self.actions: Counter[str] = Counter()
        rules = configuration.config.rules
        of_spec = spec_rules(spec, self.scope)
        states, steps = {**STATES, **of_spec.states}, {**STEPS, **of_spec.steps}
        self.states: list[tuple[str, StateRule]] = [(name, states[name]) for name in rules if name in states]
        self.steps: list[tuple[str, StepRule]] = [(name, steps[name]) for name in rules if name in steps]
        self.witnesses = [name for name in rules if name in WITNESSES]

    def state(self, state: State) -> str:
        """The first rule that a state breaks."""
        for name, rule in self.states:
            if rule.when(state, self.scope):
                self.met.add(name)
                if not rule.holds(state, self.scope):
                    return name
        return next((name for name in self.witnesses if WITNESSES[name](state, self.scope)), "")

    def step(self, before: State, action: str, after: State) -> str:
        """The first rule that a step breaks."""
        self.actions[action] += 1
        change = Change.of(before, action, after)
        for name, rule in self.steps:
            if rule.when(change):
                self.met.add(name)
                if not rule.holds(change):
                    return name
        return ""


def explored(configuration: Configuration, spec: Spec) -> Explored:
    """Explore a configuration and check its rules."""
    judge = _Judge(configuration, spec)
    graph = explore(configuration.system(configuration.scope), judge.state, judge.step)
    broken = graph.broken or _stuck(configuration, graph) or _never(configuration, graph, judge)
    outcome = Outcome(
        by="the explorer",
        rule=broken.rule if broken else "",
        code=_code(configuration, broken),
        distinct=len(graph.states),
        generated=graph.generated,
        depth=graph.depth,
        actions=judge.actions,
        run=run_of(graph, broken.run) if broken else (),
        stays=broken.stays if broken else 0,
    )
    return Explored(outcome, graph, frozenset(judge.met))


def _code(configuration: Configuration, broken: Found | None) -> int:
    """The exit code that TLC has for it."""
    if broken is None:
        return HOLDS
    return BY_STATE if broken.rule in configuration.config.invariants else BY_STEP


def _stuck(configuration: Configuration, graph: Graph[State]) -> Found | None:
    if "NotStuck" not in configuration.config.rules:
        return None
    for number, state in enumerate(graph.states):
        if not graph.edges[number] and not finished(state):
            return Found("NotStuck", graph.run_to(number))
    return None


def _never(configuration: Configuration, graph: Graph[State], judge: _Judge) -> Found | None:
    """The first rule about the end that a fair run breaks."""
    endings = [name for name in configuration.config.rules if name in ENDINGS]
    if not endings:
        return None
    kinds = FAIRNESS[configuration.config.specification]
    fairness = Fairness(graph, groups(kinds, configuration.scope))
    for name in endings:
        ending = ENDINGS[name]
        for one in ending.over(graph.states[0]):
            if any(ending.given(state, one) for state in graph.states):
                judge.met.add(name)
            found = leads_to(
                fairness,
                name,
                partial(_ask, ending.given, one),
                partial(_ask, ending.goal, one),
            )
            if found is not None:
                return found
    return None


def _ask(question: Callable[[State, int], bool], one: int, state: State) -> bool:
    return question(state, one)


def by_tlc(
    configuration: Configuration, toolbox: Toolbox, folder: Path, graph: Graph[State] | None
) -> tuple[Outcome, list[str]]:
    """Run TLC; with a graph, hold the one that TLC dumps against it, and say where they differ."""
    result = toolbox.run(
        folder,
        configuration.module,
        configuration.name,
        dump=graph is not None,
        coverage=configuration.complete,
        long=configuration.expected.distinct > _MANY,
    )
    rules = configuration.config.rules
    outcome = Outcome(
        by=f"TLC {result.version}",
        rule=rules[0] if result.rule == UNNAMED and len(rules) == 1 else result.rule,
        code=result.code,
        distinct=result.distinct,
        generated=result.generated,
        depth=result.depth,
        actions={name: taken for name, taken in result.actions.items() if name != "Init"},
        run=result.story,
    )
    differ = differences(graph, result.dump) if graph is not None and result.dump is not None else []
    return outcome, differ


def faults(configuration: Configuration, outcome: Outcome) -> list[str]:
    """How an outcome differs from what the manifest says."""
    expected = configuration.expected
    if outcome.rule != expected.rule:
        wanted = f"{expected.rule} must be refuted" if expected.rule else "everything must hold"
        return [f"{wanted}; {outcome.rule + ' is refuted' if outcome.rule else 'everything holds'}"]
    found = {"exit": (expected.code, outcome.code)}
    if expected.rule and expected.story:
        found["story"] = (expected.story, len(outcome.run))
    else:
        found["distinct"] = (expected.distinct, outcome.distinct)
        found["generated"] = (expected.generated, outcome.generated)
    if not expected.rule:
        found["depth"] = (expected.depth, outcome.depth)
    return [
        f"the manifest says {name} {wanted}, found {was}"
        for name, (wanted, was) in found.items()
        if wanted != was
    ]
