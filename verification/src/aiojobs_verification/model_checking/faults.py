"""Wrong variants of the model, each of which a rule must refute.

Rules of this file: a fault does wrong what an operator of `spec/tla/Faults.tla` does wrong, and overrides
as little as it can. `check` requires of both engines that they refute it, by the same rule and with a
story of the same length.

Deliberately not here: which rule that is. The configurations `fault_*.cfg` and the manifest say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiojobs_verification.model_checking.model import Follow, Model
from aiojobs_verification.model_checking.state import RUNNING, Caller, Draft, Job, State, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FAULTS"]


class _Lifo(Model):
    def take_next(self, line: list[int]) -> int:
        return line.pop()


class _OneTooMany(Model):
    def is_slot_free(self, state: State) -> bool:
        return self.scope.limit is None or state.taken <= self.scope.limit


class _QueueTooLong(Model):
    def is_place_free(self, state: State) -> bool:
        return len(state.queue) <= self.scope.pending_limit


class _SlotLeftFree(Model):
    def give_slot_on(self, draft: Draft) -> Follow:
        if draft.outside or not draft.queue:
            return super().give_slot_on(draft)
        draft.taken -= 1
        return "next"


class _PlaceLeftFree(Model):
    def drop(self, draft: Draft, number: int) -> str:
        outside, draft.outside = draft.outside, []
        super().drop(draft, number)
        draft.outside = outside
        return "close_pending_refill" if outside else "close_pending"


class _BlocksTooEarly(Model):
    def spawned(self, state: State) -> Iterator[Step]:
        for step in super().spawned(state):
            yield step
            if step.action == "spawn_queue":
                draft = Draft(state)
                draft.code(step.subject, "fresh")
                draft.call(step.subject, "blocked")
                draft.outside.append(step.subject)
                yield Step("spawn_block", step.subject, "", draft.done())


class _SlotReleasedEarly(Model):
    def ask(self, draft: Draft, number: int) -> None:
        super().ask(draft, number)
        draft.taken -= 1


class _SlotReleasedTwice(Model):
    def end(self, draft: Draft, number: int, how: str) -> str:
        action = super().end(draft, number, how)
        if action == "end_closing_idle":
            draft.taken -= 1
        return action


class _SlotLeaks(Model):
    def end(self, draft: Draft, number: int, how: str) -> str:
        action = super().end(draft, number, how)
        if action == "end_active_idle" and how == "dropped":
            draft.taken += 1
        return action


class _CancelledSpawnRuns(Model):
    def withdraw(self, state: State, number: int) -> Step:
        draft = Draft(state)
        draft.call(number, "withdrawn")
        return Step("withdraw", number, "", draft.done())


class _RunsBeforeReturn(Model):
    def start(self, draft: Draft, number: int) -> None:
        draft.state(number, "active")
        draft.code(number, "running")


class _CallStaysOutside(Model):
    def call_goes_on(self, state: State, number: int, job: Job) -> Iterator[Step]:
        for step in super().call_goes_on(state, number, job):
            yield step._replace(
                state=step.state._replace(outside=state.outside) if step.action == "give_up" else step.state
            )


class _ArrivesAfterClose(Model):
    def call_goes_on(self, state: State, number: int, job: Job) -> Iterator[Step]:
        yield from super().call_goes_on(state, number, job)
        if job.call == "arriving" and state.phase != "open":
            yield self.arrive(state, number)


class _BlockedAfterClose(Model):
    def shut(self, draft: Draft) -> None:
        outside, draft.outside = draft.outside, []
        super().shut(draft)
        draft.outside = outside


class _QueueAfterClose(Model):
    def shut(self, draft: Draft) -> None:
        queue, draft.queue = draft.queue, []
        super().shut(draft)
        draft.queue = queue


class _StartsAfterClose(Model):
    def spawned(self, state: State) -> Iterator[Step]:
        for step in super().spawned(state):
            yield step
            if step.action == "spawn_refuse" and self.is_slot_free(state) and not state.queue:
                draft = Draft(state)
                draft.call(step.subject, "returned")
                draft.taken += 1
                self.start(draft, step.subject)
                yield Step("spawn_start", step.subject, "", draft.done())


class _ClosedPendingRuns(Model):
    def drop(self, draft: Draft, number: int) -> str:
        action = super().drop(draft, number)
        if action == "close_pending":
            draft.code(number, "cancelled")
        return action


class _ClosedJobStaysQueued(Model):
    def drop(self, draft: Draft, number: int) -> str:
        queue = list(draft.queue)
        action = super().drop(draft, number)
        if action == "close_pending":
            draft.queue = queue
        return action


class _EndedJobCloses(Model):
    def job_is_closed(self, state: State, number: int, job: Job) -> Iterator[Step]:
        yield from super().job_is_closed(state, number, job)
        if job.state == "done":
            draft = Draft(state)
            draft.state(number, "closing")
            yield Step("close_active", number, "", draft.done())


class _WaiterCancelsJob(Model):
    def cancel_caller(self, state: State, number: int) -> State:
        draft = Draft(super().cancel_caller(state, number))
        job = state.caller(number).job
        if draft.job(job).state == "active":
            draft.state(job, "closing")
        return draft.done()


class _SlotFreedAtDeadline(Model):
    def caller_goes_on(self, state: State, number: int, caller: Caller) -> Iterator[Step]:
        for step in super().caller_goes_on(state, number, caller):
            if step.action == "expire" and state.job(caller.job).state == "closing":
                draft = Draft(step.state)
                draft.state(caller.job, "closed")
                yield step._replace(state=draft.done())
            else:
                yield step


class _WaiterNotWoken(Model):
    def wake_caller(self, draft: Draft, number: int) -> None:
        pass


class _ExceptionLost(Model):
    def resume(self, draft: Draft, number: int) -> None:
        job = draft.callers[number - 1].job
        told = draft.job(job).told
        super().resume(draft, number)
        draft.jobs[job - 1] = draft.job(job)._replace(told=told)


class _ExceptionTwice(Model):
    def tell_callers(self, draft: Draft, job: int) -> None:
        super().tell_callers(draft, job)
        if draft.job(job).code == "raised" and not draft.job(job).told:
            draft.tell(job)


class _WakeupLost(Model):
    def call_goes_on(self, state: State, number: int, job: Job) -> Iterator[Step]:
        for step in super().call_goes_on(state, number, job):
            if step.action != "arrive" or job.state == "pending":
                yield step


class _RefusalLost(Model):
    def call_goes_on(self, state: State, number: int, job: Job) -> Iterator[Step]:
        return (step for step in super().call_goes_on(state, number, job) if step.action != "refuse")


class _EndUnseen(Model):
    def steps(self, state: State) -> Iterator[Step]:
        unseen = {"end_active_next", "end_closing_next"}
        return (step for step in super().steps(state) if step.action not in unseen)


class _WaitsForEver(Model):
    def may_settle(self, state: State) -> bool:
        return not state.numbers(*RUNNING)


class _ReportsThePunctual(Model):
    def late_jobs(self, state: State) -> list[int]:
        return state.numbers(*RUNNING, "closed")


FAULTS: Final[dict[str, type[Model]]] = {
    "FirstIsLast RestWithoutLast": _Lifo,
    "FreeOneTooMany": _OneTooMany,
    "RoomForOneMore": _QueueTooLong,
    "LeaveNextAsIdle": _SlotLeftFree,
    "ClosePendingRefillLeavesPlace": _PlaceLeftFree,
    "SpawnBlockBeforeFull": _BlocksTooEarly,
    "CloseActiveReleases": _SlotReleasedEarly,
    "EndClosingIdleTwice": _SlotReleasedTwice,
    "EndActiveIdleLeaks": _SlotLeaks,
    "WithdrawLeavesJob": _CancelledSpawnRuns,
    "BegunAtOnce": _RunsBeforeReturn,
    "GiveUpStays": _CallStaysOutside,
    "ArriveAlways": _ArrivesAfterClose,
    "ShutdownLeavesBlocked": _BlockedAfterClose,
    "ShutdownLeavesQueue": _QueueAfterClose,
    "SpawnStartAlways": _StartsAfterClose,
    "ClosePendingRuns": _ClosedPendingRuns,
    "ClosePendingStays": _ClosedJobStaysQueued,
    "CloseActiveOrDone": _EndedJobCloses,
    "CancelWaiterAndJob": _WaiterCancelsJob,
    "ExpireClosesJob": _SlotFreedAtDeadline,
    "ConcludeSilently": _WaiterNotWoken,
    "LeaveQuietly": _ExceptionLost,
    "ConcludeLoudly": _ExceptionTwice,
    "ArriveOnlyPending": _WakeupLost,
    "RefuseNever": _RefusalLost,
    "LeaveNextNever": _EndUnseen,
    "SettleOnlyWhenIdle": _WaitsForEver,
    "SettleReportsAll": _ReportsThePunctual,
}
"""The operators of `Faults.tla` that a configuration puts in place, sorted, and the model that is wrong
in the same way."""
