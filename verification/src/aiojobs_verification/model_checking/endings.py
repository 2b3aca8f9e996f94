"""What must happen in the model in the end, and what is taken to be fair.

Rules of this file: names are those of `spec/tla/Jobs.tla`. Fairness is said of single actions, for each
job and each caller, and of nothing else: nobody has to call, to close or to cancel anything.

Deliberately not here: how it is found out (`graph.leads_to`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from aiojobs_verification.model_checking.graph import Group
from aiojobs_verification.model_checking.state import ANSWERED, ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiojobs_verification.model_checking.graph import Edge
    from aiojobs_verification.model_checking.state import Scope, State

__all__ = ["ENDINGS", "FAIRNESS", "Ending", "groups"]


class Ending(NamedTuple):
    """Something that must happen in the end: for each of `over`, once `given` holds, `goal` is reached."""

    over: Callable[[State], Sequence[int]]
    given: Callable[[State, int], bool]
    goal: Callable[[State, int], bool]


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
