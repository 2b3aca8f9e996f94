"""What must be possible in the model: a rule that holds because nothing comes near it proves nothing.

Rules of this file: names are those of `spec/tla/Witnesses.tla`. A name says that something never comes
about, and must be refuted.

Deliberately not here: assumptions that are needed. Those are rules of `model_endings` under less
fairness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiojobs_verification.model_checking.state import ANSWERED, RUNNING
from aiojobs_verification.model_checking.terms import running

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiojobs_verification.model_checking.state import Job, Scope, State

__all__ = ["WITNESSES", "finished"]


def finished(state: State) -> bool:
    """Everything is over: the only states in which nothing can happen any more."""
    return (
        state.phase == "closed"
        and not state.numbers("pending", *RUNNING)
        and all(job.call in ANSWERED for job in state.jobs)
        and all(caller.mode in {"idle", "answered"} for caller in state.callers)
    )


def _crowded(state: State, scope: Scope) -> bool:
    return (len(running(state)), len(state.queue), len(state.outside)) == (
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
