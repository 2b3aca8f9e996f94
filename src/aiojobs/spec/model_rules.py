"""What must hold of the model: in every state, for every step, and in the end; and what must be possible.

Rules of this file: names are those of `spec/tla/Jobs.tla` and `Witnesses.tla`, where the same rules are
stated a second time, in TLA+; a name that begins like LIMIT_1 speaks for the requirement LIMIT-1. A rule
that has a condition (`when`, the left side of its implication) is *vacuous* if nothing ever meets it, and
`check` then fails.

The table of job states is read from `spec/job.toml`, guards and effects of the counters from
`spec/scheduler.toml`: here the model is held against those files themselves, without TLA+ in between.

Deliberately not here: types. Python's checker of types sees to them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from aiojobs.spec.graph import Group
from aiojobs.spec.interpret import Counters, Interpreter, parameters
from aiojobs.spec.model import ANSWERED, ENDED, RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiojobs.spec.graph import Edge
    from aiojobs.spec.load import Spec
    from aiojobs.spec.model import Job, Scope, State

__all__ = [
    "ENDINGS",
    "FAIRNESS",
    "STATES",
    "STEPS",
    "WITNESSES",
    "Change",
    "Ending",
    "StateRule",
    "StepRule",
    "counters",
    "finished",
    "groups",
    "requirement",
    "spec_rules",
]

ENDED_CODE: Final = frozenset({"dropped", "returned", "raised", "cancelled"})


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


class Ending(NamedTuple):
    """Something that must happen in the end: for each of `over`, once `given` holds, `goal` is reached."""

    over: Callable[[State], Sequence[int]]
    given: Callable[[State, int], bool]
    goal: Callable[[State, int], bool]


def requirement(rule: str) -> str:
    """The id of the requirement that a rule speaks for; "" if it speaks for none."""
    found = re.match(r"([A-Z]+)_([0-9]+)(_|$)", rule)
    return f"{found[1]}-{found[2]}" if found else ""


# What rules are made of.


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


def _always(*_: object) -> bool:
    return True


def _waits(job: Job) -> bool:
    return job.state == "pending" or job.call == "blocked"


def _running(state: State) -> list[int]:
    return state.numbers(*RUNNING)


def _is_shut(state: State, _: Scope) -> bool:
    return state.phase != "open"


def _some(test: Callable[[Job, Job], bool]) -> Callable[[Change], bool]:
    """There is a job that changes in this way."""
    return lambda change: any(test(old, new) for old, new in change.jobs)


def _each(test: Callable[[Job, Job], bool]) -> Callable[[Change], bool]:
    """Every job that changes does so in this way."""
    return lambda change: all(test(old, new) for old, new in change.jobs)


# In every state.


def _first_come(state: State, _: Scope) -> bool:
    """By arrival: nobody has started, or has a place, before somebody who came earlier and still waits."""
    outside = waiting = False
    for job in state.jobs:
        if (outside and job.state != "none") or (waiting and job.state in RUNNING | {"done"}):
            return False
        outside = outside or job.call == "blocked"
        waiting = waiting or _waits(job)
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
        and state.taken + len(state.queue) == len(pending) + len(_running(state))
    )


def _refused_is_empty_handed(state: State, _: Scope) -> bool:
    return all(
        job.call != "blocked" and (job.call != "arriving" or job.state == "closing" or job.code == "dropped")
        for job in state.jobs
    )


STATES: Final[dict[str, StateRule]] = {
    "LIMIT_1": StateRule(
        lambda _, scope: scope.limit is not None,
        lambda state, scope: scope.limit is None or len(_running(state)) <= scope.limit,
    ),
    "LIMIT_2": StateRule(
        lambda state, _: any(_waits(job) for job in state.jobs),
        lambda state, scope: state.phase == "open" and len(_running(state)) == scope.limit,
    ),
    "LIMIT_3": StateRule(
        lambda state, scope: scope.pending_limit > 0 and bool(state.numbers("pending")),
        lambda state, scope: len(state.numbers("pending")) <= scope.pending_limit,
    ),
    "LIMIT_4": StateRule(
        lambda state, _: any(job.call == "blocked" for job in state.jobs),
        lambda state, scope: 0 < scope.pending_limit == len(state.numbers("pending")),
    ),
    "LIMIT_5": StateRule(lambda state, _: any(_waits(job) for job in state.jobs), _first_come),
    "LIMIT_6": StateRule(_always, _slot_is_held),
    "SPAWN_1": StateRule(_always, _all_or_nothing),
    "SPAWN_2": StateRule(_is_shut, _refused_is_empty_handed),
    "START_2": StateRule(
        lambda state, _: bool(state.numbers("pending")),
        lambda state, _: all(job.code == "fresh" for job in state.jobs if job.state == "pending"),
    ),
    "SHUT_1": StateRule(
        _is_shut, lambda state, _: not state.queue and not state.numbers("pending", "active")
    ),
    "SHUT_2": StateRule(
        lambda state, _: state.phase == "closed" or any(job.late for job in state.jobs),
        _late_is_reported_once,
    ),
    "EXC_1": StateRule(
        lambda state, _: any(job.code == "raised" or job.told or job.received for job in state.jobs),
        _failure_is_accounted_for,
    ),
    "BOOK_1": StateRule(_always, _books_agree),
}
"""What holds in every state."""


# For every step.


def _slot_changes(old: Job, new: Job) -> bool:
    return (old.state in RUNNING) != (new.state in RUNNING)


STEPS: Final[dict[str, StepRule]] = {
    "Final_Step": StepRule(
        lambda change: any(job.state in ENDED for job in change.before.jobs),
        _each(lambda old, new: old.state not in ENDED or (new.state, new.code) == (old.state, old.code)),
    ),
    "LIMIT_6_Step": StepRule(
        lambda change: change.before.taken != change.after.taken or _some(_slot_changes)(change),
        lambda change: (
            change.after.taken - change.before.taken
            == sum((new.state in RUNNING) - (old.state in RUNNING) for old, new in change.jobs)
        ),
    ),
    "SPAWN_1_Step": StepRule(
        lambda change: any(job.call in ANSWERED for job in change.before.jobs),
        _each(lambda old, new: old.call not in ANSWERED or new.call == old.call),
    ),
    "SPAWN_2_Step": StepRule(
        lambda change: change.before.phase != "open",
        _each(lambda old, new: new.call != "returned" or old.call == "returned"),
    ),
    "START_2_Step": StepRule(
        _some(lambda old, _: old.state == "pending" or old.code == "dropped"),
        _each(
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
        _some(lambda old, new: old.state == "closing" and new.state != "closing"),
        _each(
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
            and _each(
                lambda old, new: (
                    (new.code != "running" or old.code == "running")
                    and (old.state != "pending" or (new.state, new.code) == ("closed", "dropped"))
                )
            )(change)
        ),
    ),
    "SHUT_2_Step": StepRule(
        _some(lambda old, new: old.late != new.late),
        lambda change: all(
            old.late == new.late
            or ((change.before.phase, change.after.phase) == ("closing", "closed") and old.state in RUNNING)
            for old, new in change.jobs
        ),
    ),
}
"""What holds for every step."""


# In the end.


def _jobs(state: State) -> range:
    return range(1, len(state.jobs) + 1)


def _callers(state: State) -> range:
    return range(1, len(state.callers) + 1)


ENDINGS: Final[dict[str, Ending]] = {
    "SHUT_2_Ends": Ending(
        lambda _: range(1),
        lambda state, _: state.phase == "closing",
        lambda state, _: state.phase == "closed",
    ),
    "SPAWN_1_Answered": Ending(
        _jobs,
        lambda state, job: state.job(job).call in {"blocked", "arriving"},
        lambda state, job: state.job(job).call in ANSWERED,
    ),
    "SPAWN_2_Refused": Ending(
        _jobs,
        lambda state, job: state.phase != "open" and state.job(job).call in {"blocked", "arriving"},
        lambda state, job: state.job(job).call in {"refused", "withdrawn"},
    ),
    "LIMIT_2_Starts": Ending(
        _jobs,
        lambda state, job: state.job(job).state == "pending",
        lambda state, job: state.job(job).state != "pending",
    ),
    "SHUT_4_Drains": Ending(
        _jobs,
        lambda state, job: state.job(job).call != "none",
        lambda state, job: state.job(job).call in ANSWERED and state.job(job).state in ENDED | {"none"},
    ),
    "WAIT_4_Answered": Ending(
        _callers,
        lambda state, caller: state.caller(caller).mode != "idle",
        lambda state, caller: state.caller(caller).mode == "answered",
    ),
    "EXC_1_Reaches": Ending(
        _jobs,
        lambda state, job: state.job(job).code == "raised",
        lambda state, job: state.job(job).received or state.job(job).told == 1,
    ),
}
"""What must happen in the end."""

FAIRNESS: Final[dict[str, tuple[str, ...]]] = {
    "Spec": (),
    "LoopSpec": ("loop",),
    "TimeSpec": ("time",),
    "FairSpec": ("loop", "time", "jobs"),
}
"""What each specification of Jobs.tla takes to be fair."""


def groups(kinds: Sequence[str], scope: Scope) -> list[Group]:
    """The groups of steps that are fair: one for each job or caller that is served for itself."""
    jobs, callers = range(1, scope.jobs + 1), range(1, scope.callers + 1)
    found: list[Group] = []
    if "loop" in kinds:
        found += [_group("arrive", job) for job in jobs]
        found += [_group("refuse", job) for job in jobs]
        found += [_group("resume", caller) for caller in callers]
        # While the scheduler is open nobody has to drop such a job: it runs as soon as its caller resumes.
        found += [_leaving(job, ("dropped",), after_close=True) for job in jobs]
    if "time" in kinds:
        found.append(_group("settle", 0))
    if "jobs" in kinds:
        found += [_leaving(job, scope.ends, after_close=False) for job in jobs]
    return found


def _group(action: str, subject: int) -> Group:
    return Group(f"{action} {subject}", lambda edge: (edge.action, edge.subject) == (action, subject))


def _leaving(job: int, ways: Sequence[str], *, after_close: bool) -> Group:
    start = "end_closing_" if after_close else "end_"

    def has(edge: Edge) -> bool:
        return edge.subject == job and edge.how in ways and edge.action.startswith(start)

    return Group(f"end of {job}", has)


# What must be possible.


def finished(state: State) -> bool:
    """Everything is over: the only states in which nothing can happen any more."""
    return (
        state.phase == "closed"
        and not state.numbers("pending", *RUNNING)
        and all(job.call in ANSWERED for job in state.jobs)
        and all(caller.mode in {"idle", "answered"} for caller in state.callers)
    )


def _crowded(state: State, scope: Scope) -> bool:
    return (len(_running(state)), len(state.queue), len(state.outside)) == (
        scope.limit,
        scope.pending_limit,
        2,
    )


def _one(test: Callable[[Job], bool]) -> Callable[[State, Scope], bool]:
    return lambda state, _: any(test(job) for job in state.jobs)


WITNESSES: Final[dict[str, Callable[[State, Scope], bool]]] = {
    "Never_crowded": _crowded,
    "Never_slot_before_return": _one(lambda job: (job.call, job.state) == ("arriving", "active")),
    "Never_withdrawn_after_acceptance": _one(lambda job: (job.call, job.state) == ("withdrawn", "closed")),
    "Never_refused_after_acceptance": _one(lambda job: (job.call, job.state) == ("refused", "closed")),
    "Never_closed_while_arriving": lambda state, _: (
        state.phase == "open" and any((job.call, job.state) == ("arriving", "closed") for job in state.jobs)
    ),
    "Never_received_beside_leaving": lambda state, _: any(
        caller.mode == "leaving" and state.job(caller.job).received for caller in state.callers
    ),
    "Never_told_after_leaving": lambda state, _: (
        any(job.told == 1 for job in state.jobs)
        and all(caller.mode == "answered" for caller in state.callers)
    ),
    "Never_runs_after_close": lambda state, _: (
        state.phase == "closed" and any((job.state, job.late) == ("closing", 1) for job in state.jobs)
    ),
    "Never_ends_after_close": _one(lambda job: (job.state, job.late) == ("closed", 1)),
    "Never_stopped_with_result": _one(lambda job: (job.state, job.code) == ("closed", "returned")),
    "Never_well": lambda state, _: (
        finished(state)
        and all(job.state == "done" for job in state.jobs)
        and all(caller.mode == "answered" for caller in state.callers)
    ),
}
"""Situations that must come about. The rule of this name says that they never do, and must be refuted."""


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
        {"CountersInvariant": StateRule(_always, lambda state, _: interpreter.holds(counters(state)))},
        {
            "Table_Step": StepRule(
                _some(lambda old, new: old.state != new.state),
                _each(lambda old, new: old.state == new.state or (old.state, new.state) in table),
            ),
            "Refinement": StepRule(_always, lambda change: is_step(change.source, change.target)),
            "Actions_Step": StepRule(
                _always, lambda change: follows(change.source, change.action, change.target)
            ),
        },
    )
