"""What rules about the model are made of: states, steps, and the words that many rules share.

Deliberately not here: any rule (`model_rules`, `model_endings`, `model_witnesses`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from aiojobs_verification.model_checking.state import RUNNING
from aiojobs_verification.specification.interpret import Counters

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiojobs_verification.model_checking.state import Job, Scope, State

__all__ = [
    "Change",
    "StateRule",
    "StepRule",
    "always",
    "counters",
    "each",
    "is_shut",
    "requirement",
    "running",
    "some",
    "waits",
]


class StateRule(NamedTuple):
    """Something that holds in every state in which `when` does."""

    when: Callable[[State, Scope], bool]
    holds: Callable[[State, Scope], bool]


class Change(NamedTuple):
    """A step, the jobs that it changes, as they were and as they are, and the same by count."""

    before: State
    action: str
    after: State
    jobs: tuple[tuple[Job, Job], ...]
    source: Counters
    target: Counters

    @classmethod
    def of(cls, before: State, action: str, after: State) -> Change:
        """The step from one state to another."""
        pairs = zip(before.jobs, after.jobs, strict=True)
        changed = tuple(pair for pair in pairs if pair[0] is not pair[1])
        return cls(before, action, after, changed, counters(before), counters(after))


class StepRule(NamedTuple):
    """Something that holds for every step for which `when` does."""

    when: Callable[[Change], bool]
    holds: Callable[[Change], bool]


def requirement(rule: str) -> str:
    """The id of the requirement that a rule speaks for; "" if it speaks for none."""
    found = re.match(r"([A-Z]+)_([0-9]+)(_|$)", rule)
    return f"{found[1]}-{found[2]}" if found else ""


def counters(state: State) -> Counters:
    """The state as the counters of `scheduler.toml`."""
    states = [job.state for job in state.jobs]
    return Counters(
        phase=state.phase,
        pending=len(state.queue),
        active=states.count("active"),
        closing=states.count("closing"),
        blocked=len(state.outside),
    )


def always(*_: object) -> bool:
    """The condition of a rule that has none."""
    return True


def waits(job: Job) -> bool:
    """Whether a job, or its call, waits."""
    return job.state == "pending" or job.call == "blocked"


def running(state: State) -> list[int]:
    """The jobs that hold a slot."""
    return state.numbers(*RUNNING)


def is_shut(state: State, _: Scope) -> bool:
    """Whether closing has begun."""
    return state.phase != "open"


def some(test: Callable[[Job, Job], bool]) -> Callable[[Change], bool]:
    """There is a job that changes in this way."""
    return lambda change: any(test(old, new) for old, new in change.jobs)


def each(test: Callable[[Job, Job], bool]) -> Callable[[Change], bool]:
    """Every job that changes does so in this way."""
    return lambda change: all(test(old, new) for old, new in change.jobs)
