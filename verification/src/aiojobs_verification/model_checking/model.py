"""The scheduler with named jobs, as a program: the second of two independent models.

Rules of this file: it is not a translation of the first one, `spec/tla/Jobs.tla`. The two are built
differently on purpose. There an action has a guard that says when it can happen; here something happens
(a coroutine ends, a caller is cancelled) and what follows decides the action's name. TLC dumps the states
and the labelled steps of the one, `check` compares them with those of the other, and they must be equal.

What is in a state: for each call of `spawn` what has become of the call, of its job and of its coroutine;
the queue and the calls outside, in order; how many slots are taken, by a count of its own as in the
library; for each caller of `wait` or `close` whether it waits, was woken, or leaves.

Names. Calls and jobs are one row of numbers, 1, 2, 3, in the order in which `spawn` was called. So "in
the order of arrival" is "in the order of the numbers", whatever the queue does.

What is abstracted away is listed in `spec/tla/README.md`. Rules about states and steps are in
`model_rules`, wrong variants of this model in `model_faults`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from aiojobs_verification.model_checking.state import RUNNING, Caller, Draft, Job, Scope, State, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Follow", "Model"]

Follow: TypeAlias = Literal["idle", "next", "refill"]
"""What follows when a slot is given back: nothing; the next job starts; a blocked call moves up as well."""


class Model:
    """The states and steps of the scheduler in one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def initial(self) -> State:
        """The state before anything has happened."""
        nobody = (Caller(),) * self.scope.callers
        return State("open", 0, (Job(),) * self.scope.jobs, (), (), nobody)

    def steps(self, state: State) -> Iterator[Step]:
        """Everything that can happen in a state."""
        yield from self.spawned(state)
        for number, job in enumerate(state.jobs, 1):
            yield from self.call_goes_on(state, number, job)
            yield from self.job_ends(state, number, job)
            yield from self.job_is_closed(state, number, job)
        yield from self.scheduler_closes(state)
        for number, caller in enumerate(state.callers, 1):
            yield from self.caller_goes_on(state, number, caller)
        yield from self.caller_comes(state)

    # What a call of `spawn` does, and what becomes of a blocked one.

    def spawned(self, state: State) -> Iterator[Step]:
        """The next call of `spawn`: started, queued, blocked or refused."""
        number = sum(job.call != "none" for job in state.jobs) + 1
        if number > self.scope.jobs:
            return
        draft = Draft(state)
        draft.code(number, "fresh")
        if state.phase != "open":
            draft.call(number, "refused")
            draft.code(number, "dropped")
            action = "spawn_refuse"
        elif self.is_slot_free(state):
            draft.call(number, "returned")
            draft.taken += 1
            self.start(draft, number)
            action = "spawn_start"
        elif self.is_place_free(state):
            draft.call(number, "returned")
            draft.state(number, "pending")
            draft.queue.append(number)
            action = "spawn_queue"
        else:
            draft.call(number, "blocked")
            draft.outside.append(number)
            action = "spawn_block"
        yield Step(action, number, "", draft.done())

    def is_slot_free(self, state: State) -> bool:
        """Whether a job may start at once."""
        return self.scope.limit is None or state.taken < self.scope.limit

    def is_place_free(self, state: State) -> bool:
        """Whether a job may wait in the queue."""
        return self.scope.pending_limit == 0 or len(state.queue) < self.scope.pending_limit

    def call_goes_on(self, state: State, number: int, job: Job) -> Iterator[Step]:
        """A call that is blocked, or was and has been woken: its caller is cancelled, or resumes."""
        if job.call == "blocked":
            draft = Draft(state)
            draft.outside.remove(number)
            draft.call(number, "withdrawn")
            draft.code(number, "dropped")
            yield Step("give_up", number, "", draft.done())
        if job.call == "arriving":
            yield self.withdraw(state, number)
            if state.phase == "open":
                yield self.arrive(state, number)
            elif job.state not in RUNNING:
                draft = Draft(state)
                draft.call(number, "refused")
                yield Step("refuse", number, "", draft.done())

    def arrive(self, state: State, number: int) -> Step:
        """The caller resumes, and `spawn` returns: a job that has its slot may now run."""
        draft = Draft(state)
        draft.call(number, "returned")
        if draft.job(number).state == "active":
            draft.code(number, "running")
        return Step("arrive", number, "", draft.done())

    def withdraw(self, state: State, number: int) -> Step:
        """The caller is cancelled before it resumes: the job is taken back, and never runs."""
        draft = Draft(state)
        draft.call(number, "withdrawn")
        job = draft.job(number)
        if job.state == "pending":
            return Step(self.drop(draft, number), number, "withdrawn", draft.done())
        if job.state in RUNNING:
            return Step(self.end(draft, number, "dropped"), number, "withdrawn", draft.done())
        return Step("withdraw", number, "", draft.done())

    # What happens to jobs.

    def job_ends(self, state: State, number: int, job: Job) -> Iterator[Step]:
        """The coroutine of a running job ends, or is dropped if it never ran."""
        ways = self.scope.ends if job.code == "running" else ()
        if job.code == "fresh" and job.state in RUNNING:
            ways = ("dropped",)
        for how in ways:
            draft = Draft(state)
            action = self.end(draft, number, how)
            yield Step(action, number, how, draft.done())

    def job_is_closed(self, state: State, number: int, job: Job) -> Iterator[Step]:
        """Somebody asks a job to stop. For one that is closing or has ended that changes nothing."""
        draft = Draft(state)
        if job.state == "pending":
            yield Step(self.drop(draft, number), number, "closed", draft.done())
        if job.state == "active" and job.code == "running":
            self.ask(draft, number)
            yield Step("close_active", number, "", draft.done())

    def ask(self, draft: Draft, number: int) -> None:
        """A running job is asked to stop; it keeps its slot."""
        draft.state(number, "closing")

    def start(self, draft: Draft, number: int) -> None:
        """A job has been given a slot; it runs at once unless its caller has yet to resume."""
        draft.state(number, "active")
        if draft.job(number).call == "returned":
            draft.code(number, "running")

    def end(self, draft: Draft, number: int, how: str) -> str:
        """A job leaves its slot; the action that this makes."""
        before = draft.job(number).state
        by_itself = how in {"returned", "raised"} and before == "active"
        draft.state(number, "done" if by_itself else "closed")
        draft.code(number, how)
        follow = self.give_slot_on(draft)
        self.tell_callers(draft, number)
        return f"end_{before}_{follow}"

    def drop(self, draft: Draft, number: int) -> str:
        """A job leaves the queue without having run; the action that this makes."""
        draft.queue.remove(number)
        draft.state(number, "closed")
        draft.code(number, "dropped")
        moved_up = self.give_place_on(draft)
        self.tell_callers(draft, number)
        return "close_pending_refill" if moved_up else "close_pending"

    def give_slot_on(self, draft: Draft) -> Follow:
        """A slot has been given back: it goes to the head of the queue, if there is one."""
        if not draft.queue:
            draft.taken -= 1
            return "idle"
        self.start(draft, self.take_next(draft.queue))
        return "refill" if self.give_place_on(draft) else "next"

    def give_place_on(self, draft: Draft) -> bool:
        """A place in the queue has become free: it goes to the first call outside, if there is one."""
        if not draft.outside:
            return False
        number = self.take_next(draft.outside)
        draft.queue.append(number)
        draft.state(number, "pending")
        self.wake_call(draft, number)
        return True

    def take_next(self, line: list[int]) -> int:
        """Take out who is first."""
        return line.pop(0)

    def wake_call(self, draft: Draft, number: int) -> None:
        """A blocked call gets its answer; its caller resumes a pass later."""
        draft.call(number, "arriving")

    # What the scheduler does.

    def scheduler_closes(self, state: State) -> Iterator[Step]:
        """Closing begins, or ends."""
        draft = Draft(state)
        if state.phase == "open":
            self.shut(draft)
            yield Step("shutdown", 0, "", draft.done())
        if state.phase == "closing" and self.may_settle(state):
            draft.phase = "closed"
            for number in self.late_jobs(state):
                draft.report_late(number)
            yield Step("settle", 0, "", draft.done())

    def may_settle(self, state: State) -> bool:
        """Whether closing is over: the deadline has passed, or nothing runs."""
        return self.scope.deadline or not state.numbers(*RUNNING)

    def late_jobs(self, state: State) -> list[int]:
        """The jobs that did not stop in time."""
        return state.numbers(*RUNNING)

    def shut(self, draft: Draft) -> None:
        """Nothing starts any more, and everything that is left is asked to stop."""
        draft.phase = "closing"
        pending, outside = list(draft.queue), list(draft.outside)
        draft.queue.clear()
        draft.outside.clear()
        for number in outside:
            draft.code(number, "dropped")
            self.wake_call(draft, number)
        for number, job in enumerate(draft.jobs, 1):
            if job.state == "active":
                draft.state(number, "closing")
        for number in pending:
            draft.state(number, "closed")
            draft.code(number, "dropped")
            self.tell_callers(draft, number)

    # Who waits for the end of a job.

    def caller_comes(self, state: State) -> Iterator[Step]:
        """The next caller begins to wait for a job: for its outcome, or only for its end."""
        number = sum(caller.mode != "idle" for caller in state.callers) + 1
        if number > self.scope.callers:
            return
        for job in state.numbers("pending", "active", "closing"):
            for action, mode in (("wait", "waiting"), ("watch", "watching")):
                draft = Draft(state)
                draft.caller(number, mode, job=job, counted=True)
                yield Step(action, number, f"for {job}", draft.done())

    def caller_goes_on(self, state: State, number: int, caller: Caller) -> Iterator[Step]:
        """A caller that waits is cancelled or out of time; one that was woken resumes, or is cancelled."""
        if caller.mode in {"waiting", "watching", "woken"}:
            yield Step("cancel_waiter", number, "", self.cancel_caller(state, number))
        if caller.mode in {"waiting", "watching"}:
            draft = Draft(state)
            self.leave_soon(draft, number)
            yield Step("expire", number, "", draft.done())
        if caller.mode in {"woken", "leaving"}:
            draft = Draft(state)
            self.resume(draft, number)
            yield Step("resume", number, "", draft.done())

    def cancel_caller(self, state: State, number: int) -> State:
        """A caller is cancelled; that it leaves is all that follows."""
        draft = Draft(state)
        self.leave_soon(draft, number)
        return draft.done()

    def leave_soon(self, draft: Draft, number: int) -> None:
        """A caller will leave without the outcome when it resumes; until then it still counts."""
        draft.callers[number - 1] = draft.callers[number - 1]._replace(mode="leaving")

    def tell_callers(self, draft: Draft, job: int) -> None:
        """A job has ended: wake who waits for it, and tell the handler of a failure nobody waits for."""
        raised = draft.job(job).code == "raised"
        counted = draft.counted(job)
        for number, caller in enumerate(draft.callers, 1):
            if caller.job == job:
                self.wake_caller(draft, number)
                if not raised:
                    draft.callers[number - 1] = draft.callers[number - 1]._replace(counted=False)
        if raised and not counted:
            draft.tell(job)

    def wake_caller(self, draft: Draft, number: int) -> None:
        """The job that a caller waits for has ended."""
        caller = draft.callers[number - 1]
        mode = {"waiting": "woken", "watching": "leaving"}.get(caller.mode, caller.mode)
        draft.callers[number - 1] = caller._replace(mode=mode)

    def resume(self, draft: Draft, number: int) -> None:
        """A caller resumes and gets its answer, the outcome or nothing."""
        caller = draft.callers[number - 1]
        draft.caller(number, "answered")
        if caller.mode == "woken":
            if draft.job(caller.job).code == "raised":
                draft.receive(caller.job)
                for other in draft.counted(caller.job):
                    draft.callers[other - 1] = draft.callers[other - 1]._replace(counted=False)
        elif caller.counted and draft.job(caller.job).code == "raised" and not draft.counted(caller.job):
            draft.tell(caller.job)
