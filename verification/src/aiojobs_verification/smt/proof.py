"""The proof: every question about the counters with its answer, for every limit.

Rules of this file: a proof counts only if every question was answered well. A question that z3 gives up on
is not answered well, and neither is one of which nobody knows an answer of that name.

How it works: `questions` says what has to be shown, `solver` asks z3. That an action can happen is also
shown by a run from the beginning, found by the interpreter, because a state in which the invariants hold
need not be one that is ever reached.

Deliberately not here: order, identity and time. Counters know nothing of them.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.smt import solver
from aiojobs_verification.smt.questions import GROUPS, Question, Questions, Statement
from aiojobs_verification.specification.interpret import Interpreter, parameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aiojobs_verification.specification.counters import SchedulerSpec

__all__ = ["PROVED", "REFUTED", "Proof", "ProofAnswer", "answers", "prove", "reached"]

PROVED: Final = "proved"
REFUTED: Final = "refuted"
UNKNOWN: Final = "unknown"
"""z3 has given up; as good as refuted."""

_SCOPES: Final = tuple((limit, pending_limit) for limit in (1, 2, None) for pending_limit in (0, 1, 2))
_CHOICES: Final = (0, 1, 2, 3)
_DEPTH: Final = 6
"""How far a run is searched that shows that an action can happen; the longest one needed has four steps."""


@dataclass(frozen=True, slots=True)
class ProofAnswer:
    """What became of one question; `verdict` is `proved`, `refuted` or `unknown`."""

    group: str
    statement: Statement
    remark: str
    action: str
    verdict: str
    before: Mapping[str, str]
    """The state that refutes it; empty if there is none."""
    after: Mapping[str, str]

    @property
    def title(self) -> str:
        """What was asked, in one line."""
        parts = [self.statement.place, f"action {self.action}" if self.action else "", self.remark]
        return " · ".join(part for part in parts if part)

    def as_dict(self) -> dict[str, Any]:
        """The plain form; the same for every run on the same files."""
        found = {"before": dict(self.before), "after": dict(self.after)} if self.before else {}
        return {"group": self.group, "title": self.title, "verdict": self.verdict, **found}


@dataclass(frozen=True, slots=True)
class Proof:
    """All answers, and for each action a shortest run at whose end it happens."""

    answers: tuple[ProofAnswer, ...]
    runs: Mapping[str, str]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every question was answered well, of which there must be some."""
        return bool(self.answers) and all(answer.verdict == PROVED for answer in self.answers)

    def failures(self) -> Iterator[ProofAnswer]:
        """The answers that are not `proved`."""
        return (answer for answer in self.answers if answer.verdict != PROVED)

    def as_dict(self) -> dict[str, Any]:
        """The plain form, for `--json`: what was counted, what it speaks for, and every answer."""
        counts = Counter(answer.group for answer in self.answers)
        covers: dict[str, set[str]] = {}
        for answer in self.answers:
            for requirement in answer.statement.requirements:
                covers.setdefault(requirement, set()).add(answer.statement.place)
        return {
            "verdict": PROVED if self.holds else REFUTED,
            "figures": {
                "questions": len(self.answers),
                **{f"questions: {group}": counts[group] for group in GROUPS},
            },
            "covers": {requirement: sorted(names) for requirement, names in sorted(covers.items())},
            "versions": {"z3": solver.version()},
            "runs": dict(self.runs),
            "answers": [answer.as_dict() for answer in self.answers],
        }


def prove(spec: SchedulerSpec) -> Proof:
    """Ask every question about the counters."""
    begun = time.perf_counter()
    questions, runs = Questions(spec), reached(spec)
    given = (*answers(questions, questions), *_reached(spec, runs))
    return Proof(given, runs, time.perf_counter() - begun)


def answers(asked: Iterable[Question], questions: Questions) -> Iterator[ProofAnswer]:
    """The answers to some of the questions, in their order, each asked when it is wanted."""
    return (_answer(question, questions) for question in asked)


def _answer(question: Question, questions: Questions) -> ProofAnswer:
    spec = questions.spec
    made = [spec.actions[question.action].choice] if question.action else [*spec.choices]
    names = (*spec.parameters, *filter(None, made), *spec.counters)
    shown = {f"before {name}": question.before.terms[name] for name in names}
    if question.after is not None:
        shown |= {f"after {name}": question.after.terms[name] for name in questions.spec.counters}
    found = None
    try:
        found = questions.terms.ask(question.terms, shown)
        verdict = PROVED if (found is not None) == question.wanted else REFUTED
    except solver.UnknownError:
        verdict = UNKNOWN
    values = found if found is not None and verdict == REFUTED else {}
    return ProofAnswer(
        question.group,
        question.statement,
        question.remark,
        question.action,
        verdict,
        _side("before ", values),
        _side("after ", values),
    )


def _side(prefix: str, values: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def reached(spec: SchedulerSpec) -> dict[str, str]:
    """For each action that comes about in a small scope, a shortest run at whose end it does."""
    found: dict[str, str] = {}
    for limit, pending_limit in _SCOPES:
        interpreter = Interpreter(spec, parameters(limit, pending_limit))
        for run, state in interpreter.runs(_DEPTH, _CHOICES):
            for move in interpreter.moves(state, _CHOICES):
                place = f"limit={limit}, pending_limit={pending_limit}"
                found.setdefault(move.action, f"{place}: {' → '.join(map(str, [*run, move]))}")
    return {name: found[name] for name in spec.actions if name in found}


def _reached(spec: SchedulerSpec, runs: Mapping[str, str]) -> Iterator[ProofAnswer]:
    remark = f"a run from the beginning comes to it within {_DEPTH} steps"
    for name, action in spec.actions.items():
        verdict = PROVED if name in runs else REFUTED
        said = Statement(f"action.{name}", action.meaning)
        yield ProofAnswer("possible", said, remark, name, verdict, {}, {})
