"""What must hold of the model: in every state, and for every step.

Rules of this file: names are those of `spec/tla/Jobs.tla`, where the same rules are stated a second time,
in TLA+; a name that begins like LIMIT_1 speaks for the requirement LIMIT-1. A rule that has a condition
(`when`, the left side of its implication) is *vacuous* if nothing ever meets it, and `check` then fails.

The table of job states is read from `spec/job.toml`, guards and effects of the counters from
`spec/scheduler.toml`: here the model is held against those files themselves, without TLA+ in between.

Deliberately not here: types, which Python's checker of types sees to; what must happen in the end
(`model_endings`); what must be possible (`model_witnesses`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from aiojobs_verification.model_checking.state import ANSWERED, ENDED, RUNNING
from aiojobs_verification.model_checking.terms import (
    StateRule,
    StepRule,
    always,
    counters,
    each,
    is_shut,
    running,
    some,
    waits,
)
from aiojobs_verification.specification.interpret import Interpreter, parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiojobs_verification.model_checking.state import Job, Scope, State
    from aiojobs_verification.specification.interpret import Counters
    from aiojobs_verification.specification.load import Spec

__all__ = ["STATES", "STEPS", "SpecRules", "spec_rules"]

ENDED_CODE: Final = frozenset({"dropped", "returned", "raised", "cancelled"})


# In every state.


def _first_come(state: State, _: Scope) -> bool:
    """By arrival: nobody has started, or has a place, before somebody who came earlier and still waits."""
    outside = waiting = False
    for job in state.jobs:
        if (outside and job.state != "none") or (waiting and job.state in RUNNING | {"done"}):
            return False
        outside = outside or job.call == "blocked"
        waiting = waiting or waits(job)
    return True


def _all_or_nothing(state: State, _: Scope) -> bool:
    wanted: dict[str, Callable[[Job], bool]] = {
        "none": lambda job: job.state == "none" and job.code == "none",
        "blocked": lambda job: job.state == "none" and job.code == "fresh",
        "arriving": lambda job: job.code in {"fresh", "dropped"},
        "returned": lambda job: job.state != "none",
        "withdrawn": lambda job: job.state in {"none", "closed"} and job.code == "dropped",
        "refused": lambda job: job.state in {"none", "closed"} and job.code == "dropped",
    }
    outside = [number for number, job in enumerate(state.jobs, 1) if job.call == "blocked"]
    return outside == sorted(state.outside) and all(wanted[job.call](job) for job in state.jobs)


def _slot_is_held(state: State, _: Scope) -> bool:
    runs = [job for job in state.jobs if job.state in RUNNING]
    at_rest = [job for job in state.jobs if job.state not in RUNNING]
    return (
        state.taken == len(runs)
        and all(job.code in {"fresh", "running"} for job in runs)
        and all(job.code != "running" for job in at_rest)
    )


def _failure_is_accounted_for(state: State, _: Scope) -> bool:
    for number, job in enumerate(state.jobs, 1):
        held = [caller for caller in state.callers if caller.counted and caller.job == number]
        if job.code != "raised":
            if job.told or job.received:
                return False
            continue
        soon = all(caller.mode in {"woken", "leaving"} for caller in held)
        if (job.told + job.received, bool(held)) not in {(1, False), (0, True)} or not soon:
            return False
    return True


def _late_is_reported_once(state: State, _: Scope) -> bool:
    return all(
        job.late <= 1
        and (job.late == 0 or state.phase == "closed")
        and (job.late == 1 or not (state.phase == "closed" and job.state in RUNNING))
        for job in state.jobs
    )


def _books_agree(state: State, _: Scope) -> bool:
    pending = state.numbers("pending")
    outside = sum(job.call == "blocked" for job in state.jobs)
    return (
        sorted(state.queue) == pending
        and len(state.outside) == outside
        and state.taken + len(state.queue) == len(pending) + len(running(state))
    )


def _refused_is_empty_handed(state: State, _: Scope) -> bool:
    return all(
        job.call != "blocked" and (job.call != "arriving" or job.state == "closing" or job.code == "dropped")
        for job in state.jobs
    )


STATES: Final[dict[str, StateRule]] = {
    "LIMIT_1": StateRule(
        lambda _, scope: scope.limit is not None,
        lambda state, scope: scope.limit is None or len(running(state)) <= scope.limit,
    ),
    "LIMIT_2": StateRule(
        lambda state, _: any(waits(job) for job in state.jobs),
        lambda state, scope: state.phase == "open" and len(running(state)) == scope.limit,
    ),
    "LIMIT_3": StateRule(
        lambda state, scope: scope.pending_limit > 0 and bool(state.numbers("pending")),
        lambda state, scope: len(state.numbers("pending")) <= scope.pending_limit,
    ),
    "LIMIT_4": StateRule(
        lambda state, _: any(job.call == "blocked" for job in state.jobs),
        lambda state, scope: 0 < scope.pending_limit == len(state.numbers("pending")),
    ),
    "LIMIT_5": StateRule(lambda state, _: any(waits(job) for job in state.jobs), _first_come),
    "LIMIT_6": StateRule(always, _slot_is_held),
    "SPAWN_1": StateRule(always, _all_or_nothing),
    "SPAWN_2": StateRule(is_shut, _refused_is_empty_handed),
    "START_2": StateRule(
        lambda state, _: bool(state.numbers("pending")),
        lambda state, _: all(job.code == "fresh" for job in state.jobs if job.state == "pending"),
    ),
    "SHUT_1": StateRule(is_shut, lambda state, _: not state.queue and not state.numbers("pending", "active")),
    "SHUT_2": StateRule(
        lambda state, _: state.phase == "closed" or any(job.late for job in state.jobs),
        _late_is_reported_once,
    ),
    "EXC_1": StateRule(
        lambda state, _: any(job.code == "raised" or job.told or job.received for job in state.jobs),
        _failure_is_accounted_for,
    ),
    "BOOK_1": StateRule(always, _books_agree),
}
"""What holds in every state."""


# For every step.


def _slot_changes(old: Job, new: Job) -> bool:
    return (old.state in RUNNING) != (new.state in RUNNING)


STEPS: Final[dict[str, StepRule]] = {
    "Final_Step": StepRule(
        lambda change: any(job.state in ENDED for job in change.before.jobs),
        each(lambda old, new: old.state not in ENDED or (new.state, new.code) == (old.state, old.code)),
    ),
    "LIMIT_6_Step": StepRule(
        lambda change: change.before.taken != change.after.taken or some(_slot_changes)(change),
        lambda change: (
            change.after.taken - change.before.taken
            == sum((new.state in RUNNING) - (old.state in RUNNING) for old, new in change.jobs)
        ),
    ),
    "SPAWN_1_Step": StepRule(
        lambda change: any(job.call in ANSWERED for job in change.before.jobs),
        each(lambda old, new: old.call not in ANSWERED or new.call == old.call),
    ),
    "SPAWN_2_Step": StepRule(
        lambda change: change.before.phase != "open",
        each(lambda old, new: new.call != "returned" or old.call == "returned"),
    ),
    "START_2_Step": StepRule(
        some(lambda old, _: old.state == "pending" or old.code == "dropped"),
        each(
            lambda old, new: (
                (old.code != "dropped" or new.code == "dropped")
                and ((old.state, new.state) != ("pending", "closed") or new.code == "dropped")
            )
        ),
    ),
    "WAIT_1_Step": StepRule(
        lambda change: any(
            old.mode in {"waiting", "woken"} and new.mode == "leaving"
            for old, new in zip(change.before.callers, change.after.callers, strict=True)
        ),
        lambda change: change.before._replace(callers=change.after.callers) == change.after,
    ),
    "CLOSE_2_Step": StepRule(
        some(lambda old, new: old.state == "closing" and new.state != "closing"),
        each(
            lambda old, new: (
                old.state != "closing"
                or new.state == "closing"
                or (new.state == "closed" and new.code in ENDED_CODE)
            )
        ),
    ),
    "SHUT_1_Step": StepRule(
        lambda change: change.after.phase != "open",
        lambda change: (
            not change.after.numbers("active", "pending")
            and each(
                lambda old, new: (
                    (new.code != "running" or old.code == "running")
                    and (old.state != "pending" or (new.state, new.code) == ("closed", "dropped"))
                )
            )(change)
        ),
    ),
    "SHUT_2_Step": StepRule(
        some(lambda old, new: old.late != new.late),
        lambda change: all(
            old.late == new.late
            or ((change.before.phase, change.after.phase) == ("closing", "closed") and old.state in RUNNING)
            for old, new in change.jobs
        ),
    ),
}
"""What holds for every step."""


# Against the other files of the specification.


@dataclass(frozen=True, slots=True)
class SpecRules:
    """Rules that hold the model against `job.toml` and `scheduler.toml`."""

    states: dict[str, StateRule]
    steps: dict[str, StepRule]


def spec_rules(spec: Spec, scope: Scope) -> SpecRules:
    """The rules that the other files of the specification make for a scope."""
    interpreter = Interpreter(spec.scheduler, parameters(scope.limit, scope.pending_limit))
    machine = spec.job.machine
    # A job is accepted in its initial state; if a slot is free it starts in the same step.
    born = {("none", machine.initial), ("none", machine.cells[machine.initial]["start"])}
    table = born | {(source, dest) for source, _, dest in machine.moves()}

    @cache
    def is_step(source: Counters, target: Counters) -> bool:
        return source == target or any(follows(source, action, target) for action in spec.scheduler.actions)

    @cache
    def follows(source: Counters, action: str, target: Counters) -> bool:
        if action not in spec.scheduler.actions:
            return source == target
        return interpreter.can(action, source) and interpreter.step(source, action) == target

    return SpecRules(
        {"CountersInvariant": StateRule(always, lambda state, _: interpreter.holds(counters(state)))},
        {
            "Table_Step": StepRule(
                some(lambda old, new: old.state != new.state),
                each(lambda old, new: old.state == new.state or (old.state, new.state) in table),
            ),
            "Refinement": StepRule(always, lambda change: is_step(change.source, change.target)),
            "Actions_Step": StepRule(
                always, lambda change: follows(change.source, change.action, change.target)
            ),
        },
    )
