"""The answers of the oracle: what callers and the exception handler must get.

Rules of this file: an answer is compared with what really happened to the coroutine it is about. Whoever
was cancelled gets his own cancellation and nothing else; whoever asked too late gets what is left;
everybody else gets the end of the job, or a `TimeoutError` when his time was over.

Deliberately not here: who should have been answered and was not (`quiescence`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NoReturn

from aiojobs_verification.simulation.oracle.bench import how
from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.oracle.strangers import Strangers
from aiojobs_verification.simulation.world.probes import WithFailure

if TYPE_CHECKING:
    from aiojobs_verification.simulation.world.calls import Call
    from aiojobs_verification.simulation.world.packages import View
    from aiojobs_verification.simulation.world.probes import Body

__all__ = ["Answers"]

_ON_CANCEL: Final = {
    "spawn": "SPAWN-1",
    "thread": "SPAWN-7",
    "wait": "WAIT-1",
    "await": "WAIT-1",
    "wait-for": "WAIT-1",
    "close": "CLOSE-4",
    "close-for": "CLOSE-4",
    "shut": "SHUT-3",
    "drain": "SHUT-4",
    "drain-for": "SHUT-4",
    "with": "SHUT-6",
    "shield": "EXC-4",
    "idle": "SHUT-4",
}
"""Which promise a caller relies on when it is cancelled."""


class Answers(Strangers):
    """The rules about answers and reports."""

    # Answers.

    def _on_nowait(self, body: Body, before: View, error: BaseException | None, at_home: bool) -> None:
        scope, package, limit = self.world.scope, self.world.package, self.world.limit
        full = limit is not None and before.active >= limit
        full = full and 0 < scope.pending_limit <= before.pending
        if error is not None and self.reference is not None:
            self.reference.turned_away(body, error)
        if self._refused_by_loop(body, error):
            return
        if before.phase != "open":
            self.demand(
                isinstance(error, RuntimeError), "SPAWN-2", f"spawn_nowait after close gives {error!r}"
            )
        elif full:
            right = isinstance(error, package.full) and isinstance(error, asyncio.QueueFull)
            self.demand(right, "SPAWN-5", f"spawn_nowait gives {error!r} although all places are taken")
        else:
            self.demand(error is None, "SPAWN-5", f"spawn_nowait raises {error!r} although there is a place")
        self._demand_own_context(at_home, f"spawn_nowait of {body.name}")

    def _refused_by_loop(self, body: Body, error: BaseException | None) -> bool:
        """A spawn raises what the loop has raised instead of making a task: the caller has received it."""
        carrier = body.carrier
        refused = carrier is not None and carrier.how == "refused" and body.caused(error)
        if refused and self.reference is not None and self.reference.was_active(body):
            body.receivers += 1
        return refused

    def _demand_own_context(self, at_home: bool, what: str) -> None:
        if self.world.scope.contexts != "unwatched":
            self.demand(at_home, "SPAWN-4", f"{what} has changed the context of its caller")

    def _on_answered(self, call: Call) -> None:
        if call.body is not None:
            call.body.look()
        if call.cancelled and not (call.kind == "with" and call.called_in == call.answered_in):
            self._cancelled_answer(call)
        else:
            {
                "spawn": self._spawn_answer,
                "thread": self._thread_answer,
                "wait": self._wait_answer,
                "await": self._wait_answer,
                "wait-for": self._wait_answer,
                "close": self._close_answer,
                "close-for": self._close_answer,
                "shut": self._end_answer,
                "drain": self._end_answer,
                "drain-for": self._end_answer,
                "with": self._end_answer,
                "shield": self._shield_answer,
                "idle": self._idle_answer,
            }[call.kind](call)
        self._demand_own_context(call.at_home, call.name)
        call.error = None  # its traceback holds the frames that hold it

    def _cancelled_answer(self, call: Call) -> None:
        own = type(call.error) is asyncio.CancelledError
        self.demand(own, _ON_CANCEL[call.kind], f"{call.name} was cancelled and answers {call.error!r}")
        if call.kind == "spawn" and self.reference is not None:
            assert call.body is not None
            self.reference.turned_away(call.body, call.error)
        if call.kind == "with" and call.cancels == 1:
            self._demand_closed(call, "SHUT-6")

    def _spawn_answer(self, call: Call) -> None:
        body, error = call.body, call.error
        assert body is not None
        waited = call.called_in != call.answered_in
        if error is not None and self.reference is not None:
            self.reference.turned_away(body, error)
        if self._refused_by_loop(body, error):
            return
        if not call.open_before or (waited and not call.open_after):
            self.demand(
                isinstance(error, RuntimeError), "SPAWN-2", f"{call.name} answers {error!r} after close"
            )
        else:
            self.demand(error is None, "SPAWN-1", f"{call.name} raises {error!r}")

    def _thread_answer(self, call: Call) -> None:
        """Of `spawn_threadsafe`: what `spawn` would have answered, or the job itself."""
        assert call.body is not None
        right = call.error is not None or (call.value is not None and call.value is call.body.entry)
        self.demand(right, "SPAWN-7", f"{call.name} gives {call.value!r}, and not its job")
        self._spawn_answer(call)

    def _wait_answer(self, call: Call) -> None:
        body, error = call.body, call.error
        assert body is not None
        timed_out = body.fate == "timed_out" and body.caused(error)
        if call.kind == "wait-for" and isinstance(error, TimeoutError) and not timed_out:
            self._timeout_answer(call)
            return
        self.demand(body.fate is not None, "WAIT-3", f"{call.name} answers {error!r} while {body.name} runs")
        if call.expired_at is not None:
            raise Violation(
                "WAIT-2", f"{call.name} has expired, and answers {error!r} instead of TimeoutError"
            )
        if body.fate == "returned":
            right = error is None and call.value == body.value
            self.demand(right, "WAIT-3", f"{call.name} answers {error!r} of a job that returned")
        elif body.fate == "raised":
            self.demand(body.caused(error), "WAIT-3", f"{call.name} answers {error!r} of a job that raised")
            self._received(call)
        elif body.fate == "timed_out":
            self.demand(timed_out, "SPAWN-6", f"{call.name} answers {error!r} of a job that has timed out")
            self._received(call)
        else:
            stopped = isinstance(error, self.world.package.stopped)
            self.demand(stopped, "WAIT-3", f"{call.name} answers {error!r} of a job that was stopped")

    def _received(self, call: Call) -> None:
        if not call.late and call.body is not None:
            call.body.receivers += 1

    def _timeout_answer(self, call: Call) -> None:
        body, now, scope = call.body, self.world.now(), self.world.scope
        assert body is not None
        assert call.called_at is not None
        deadline = call.called_at + scope.timeout
        self.demand(now >= deadline - self.coarse, "WAIT-2", f"{call.name} expires before its time")
        in_time = body.quiet_at is not None and body.quiet_at < deadline - self.coarse
        self.demand(not in_time, "WAIT-2", f"{call.name} expires, but {body.name} had ended in time")
        if body.fate is None:
            late = now >= deadline + scope.close_timeout - self.coarse
            self.demand(late, "WAIT-2", f"{call.name} does not wait for the end of {body.name}")
        self.demand(body.job.closed, "WAIT-2", f"{call.name} expires, and {body.name} is not closed")

    def _close_answer(self, call: Call) -> None:
        body, error = call.body, call.error
        assert body is not None
        assert call.called_at is not None
        within = self.world.scope.timeout if call.kind == "close-for" else self.world.scope.close_timeout
        deadline = call.called_at + within
        if call.late:
            self.demand(error is None, "CLOSE-3", f"{call.name} of an ended job answers {error!r}")
        elif body.fate == "timed_out" and body.caused(error):
            raise Violation("SPAWN-6", f"{call.name} asked a job to stop, and receives that it has timed out")
        elif isinstance(error, TimeoutError):
            in_time = body.quiet_at is not None and body.quiet_at < deadline - self.coarse
            on_time = self.world.now() >= deadline - self.coarse and not in_time
            self.demand(on_time, "CLOSE-2", f"{call.name} times out, and {body.name} {how(body)}")
        elif body.fate == "raised":
            self.demand(body.caused(error), "CLOSE-3", f"{call.name} answers {error!r} of a job that raised")
            self._received(call)
        else:
            own = not isinstance(error, asyncio.CancelledError)
            self.demand(own, "CLOSE-4", f"{call.name} answers {error!r} although nobody cancelled the caller")
            self.demand(error is None, "CLOSE-3", f"{call.name} answers {error!r}")
            self.demand(body.fate is not None, "CLOSE-2", f"{call.name} returns, and {body.name} {how(body)}")

    def _end_answer(self, call: Call) -> None:
        """Of `close`, `wait_and_close` and `async with`."""
        error = call.error
        if call.kind == "with":
            right = isinstance(error, WithFailure) if call.left == "leave-raise" else error is None
            self.demand(right, "SHUT-6", f"{call.name} answers {error!r}")
        else:
            self.demand(error is None, "SHUT-5", f"{call.name} raises {error!r}")
        self._demand_closed(call, {"shut": "SHUT-3", "with": "SHUT-6"}.get(call.kind, "SHUT-4"))
        if self.world.package.reports and call.kind != "with":
            told = call.value is not None and call.value is self.world.scheduler.shutdown_report
            self.demand(told, "SHUT-7", f"{call.name} returns {call.value!r}, and not what closing has done")

    def _demand_closed(self, call: Call, requirement: str) -> None:
        running = [body.name for body in self.world.bodies if body.lives]
        over = not running or self._close_deadline_has_come()
        self.demand(
            over, requirement, f"{call.name} returns before closing is over: {', '.join(running)} still runs"
        )
        self.demand(not call.open_after, requirement, f"{call.name} returns, and the scheduler is open")
        self.demand(call.over_after, requirement, f"{call.name} returns, and closing is not over")

    def _idle_answer(self, call: Call) -> None:
        """Of `idle`: nothing that it waits for was left then, or closing is over."""
        self.demand(call.error is None, "SHUT-4", f"{call.name} raises {call.error!r}")
        over = call.value or not call.open_after or self.world.environment.is_strange
        self.demand(over, "SHUT-4", f"{call.name} returns, and there are jobs left")

    def _shield_answer(self, call: Call) -> None:
        body, error = call.body, call.error
        assert body is not None
        if not call.open_before:
            self.demand(isinstance(error, RuntimeError), "SPAWN-2", f"shield after close answers {error!r}")
        elif body.ended == "returned":
            right = error is None and call.value == body.value
            self.demand(right, "WAIT-4", f"{call.name} answers {error!r} of a coroutine that returned")
        elif body.ended == "raised":
            self.demand(error is body.error, "WAIT-4", f"{call.name} answers {error!r} of a failure")
            self._received(call)
        else:
            stopped = isinstance(error, asyncio.CancelledError)
            self.demand(stopped and body.ended, "WAIT-4", f"{call.name} answers {error!r} of {body.name}")

    # Reports to the exception handler.

    def _on_report(self, context: dict[str, Any], heard_at: float | None = None) -> None:
        """Of a report of the scheduler's; `heard_at` if it was the loop that was told, whose words are no facts."""
        self.handled += 1
        error, message = context.get("exception"), context.get("message")
        self.demand(
            isinstance(error, BaseException) and isinstance(message, str) and "job" in context,
            "EXC-2",
            f"the handler gets {sorted(context)} with {error!r}",
        )
        if self.world.package.crashed(error):
            raise Violation.crash(f"the handler hears {message!r}", error)
        if self._on_stranger_report(context):
            return
        body = next((body for body in self.world.bodies if body.error is error), None)
        body = body or self._carried(context) or self._overtime(context)
        if body is not None:
            self._on_failure(body, context)
        elif "timed out" in str(message):
            self._on_late(context, heard_at)
        else:
            raise Violation("EXC-1", f"the handler hears {message!r} of {error!r}, which no job raised")

    def check_crashes(self) -> None:
        """An error that the library can't have meant comes before all that follows from it."""
        world = self.world
        for what, error in world.crashes:
            raise Violation.crash(what, error)
        for context in world.complaints[self._complaints :]:
            if world.package.crashed(context.get("exception")):
                raise Violation.crash(f"the loop complains: {context.get('message')}", context["exception"])
        for body in world.bodies:
            if body.kept is not None and body.kept.done() and world.package.crashed(body.kept._exception):
                raise Violation.crash(f"the task of {body.name} fails", body.kept._exception)

    def _carried(self, context: dict[str, Any]) -> Body | None:
        """The job of a report, if it failed with its task and not with its coroutine."""
        if context["job"] is None:
            return None
        body = self.world.body_of(context["job"])
        return body if body.carrier is not None and body.caused(context.get("exception")) else None

    def _overtime(self, context: dict[str, Any]) -> Body | None:
        """The job of a report, if it has timed out."""
        if context["job"] is None:
            return None
        body = self.world.body_of(context["job"])
        return body if body.fate == "timed_out" and body.caused(context.get("exception")) else None

    def _on_failure(self, body: Body, context: dict[str, Any]) -> None:
        body.reports += 1
        requirement = "EXC-4" if body.shielded else "EXC-1"
        self.demand(body.reports == 1, requirement, f"the handler hears twice of the failure of {body.name}")
        if not body.shielded:
            named = self.world.body_of(context["job"]) is body
            self.demand(named, "EXC-2", f"the failure of {body.name} is reported of {context['job']!r}")

    def _on_late(self, context: dict[str, Any], heard_at: float | None) -> None:
        body = self._late_body(context)
        body.late_reports += 1
        requirement = "SHUT-2" if body.expired_at is None else "SPAWN-6"
        self.demand(body.late_reports == 1, requirement, f"{body.name} is reported twice as late")
        # In real time it may have ended between the report and now.
        had_ended = self._has_ended(body) and (heard_at is None or body.ended_at <= heard_at)
        runs = body.fate is None or (body.carrier is None and not had_ended)
        self.demand(runs, requirement, f"{body.name} is reported as late, and it {how(body)}")
        self.demand(
            self._close_deadline_has_come() or self._is_overdue(body),
            requirement,
            f"{body.name} is reported as late before the deadline",
        )

    def _late_body(self, context: dict[str, Any]) -> Body:
        if context["job"] is not None:
            return self.world.body_of(context["job"])
        future = context.get("future")
        for body in self.world.bodies:
            if body.task is not None and body.task() is future:
                return body
        raise Violation("SHUT-2", f"{future!r} is reported as late, and nobody shielded it")

    def _check_complaints(self) -> None:
        world = self.world
        while self._complaints < len(world.complaints):
            context, heard_at = world.complaints[self._complaints], world.complained_at[self._complaints]
            self._complaints += 1
            error = context.get("exception")
            if error is not None and type(error).__name__ == "HandlerFailure":
                error.__traceback__ = None  # it would keep whatever the scheduler was doing
                self.handled -= 1
                self.demand(
                    self.handled >= 0,
                    "EXC-2",
                    "the loop hears of more failures of the handler than there were",
                )
            elif world.scope.handler == "loop" and "job" in context:
                self._on_report(context, heard_at)
            elif self._tell_stranger(error):
                continue
            elif not self._passed_over(error):
                self._refuse_complaint(str(context.get("message")), error)

    def _refuse_complaint(self, message: str, error: object) -> NoReturn:
        """The loop complains of a failure that is somebody else's to tell, or of something that nothing explains."""
        body = next((body for body in self.world.bodies if error is not None and body.error is error), None)
        if body is None:
            raise Violation.crash(f"the loop complains: {message}", error)
        requirement = "EXC-4" if body.shielded else "EXC-5" if "never retrieved" in message else "EXC-1"
        raise Violation(requirement, f"the loop complains of the failure of {body.name}: {message}")

    def _passed_over(self, error: object) -> bool:
        """A shielded failure whose caller was cancelled in the very pass in which it was told."""
        return any(
            body.shielded and body.error is error and body.call_cancelled for body in self.world.bodies
        )
