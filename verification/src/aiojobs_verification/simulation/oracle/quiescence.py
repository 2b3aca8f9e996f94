"""Quiescence: the invariants of a loop on which nothing more happens until time passes.

Rules of this file: whoever could have been answered must have been. No slot and no place may lie idle
beside somebody who waits for it. Every failure must have reached a caller or the handler, exactly once.

Deliberately not here: whether an answer is right (`answers`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiojobs_verification.simulation.oracle.bench import EPS, how
from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.oracle.strangers import Strangers

if TYPE_CHECKING:
    from aiojobs_verification.simulation.world.calls import Call
    from aiojobs_verification.simulation.world.packages import View
    from aiojobs_verification.simulation.world.probes import Body

__all__ = ["Quiescence"]

_TIME: Final = "SPAWN-6"


class Quiescence(Strangers):
    """The rules about quiet moments."""

    def _note_quiet(self) -> None:
        """Remember when it first was quiet after closing began, after an end, after a deadline."""
        now = self.world.now()
        if self.closing_since is not None and self.closing_base is None:
            self.closing_base = now
        for body in self.world.bodies:
            if body.quiet_at is None and body.fate is not None:
                body.quiet_at = now
            if body.expired_at is not None and body.told_at is None:
                body.told_at = now
            if body.kept is not None and body.fate is not None:
                self._check_task(body)
        for call in self.world.calls:
            if call.kind == "thread" and call.cancelled:
                self._note_withdrawn(call)
            if call.kind == "wait-for" and call.open and call.expired_at is None:
                assert call.called_at is not None
                if now >= call.called_at + self.world.scope.timeout + self.grace - EPS:
                    call.expired_at = now

    def _note_withdrawn(self, call: Call) -> None:
        """A spawn from another thread that was cancelled: its place is given up, and its coroutine closed by now."""
        body = call.body
        assert body is not None
        if self.reference is not None:
            self.reference.turned_away(body, asyncio.CancelledError())
        body.look()
        self.demand(
            body.ended == "never", "SPAWN-7", f"{call.name} was cancelled, and {body.name} {how(body)}"
        )

    def _when_quiet(self, view: View) -> None:
        self._note_quiet()
        if self.world.environment.is_strange:
            self._check_followed()
        alive = [body for body in self.world.bodies if body.lives and not body.shielded]
        self._check_slots(view, alive)
        for body in self.world.bodies:
            self._check_body(body, view)
        for call in self.world.calls:
            if call.open:
                self._check_waiting(call, view)
        self._check_order()
        if self.world.scope.handler == "raises":
            self.demand(self.handled == 0, "EXC-2", "the loop never hears that the handler has failed")
        if view.phase in {"closed", "not open"}:
            self._check_closed()
        if self._has_no_timer(view):
            left = self.world.virtual.timers() if self.world.virtual is not None else ()
            self.demand(not left, _TIME, f"nobody has anything to wait for, and there are timers: {left}")
        if self.world.environment.is_strange:
            self._check_strangers()

    def _check_slots(self, view: View, alive: list[Body]) -> None:
        if view.phase != "not open":
            running = ", ".join(body.name for body in alive) or "nothing"
            self.demand(
                view.active == len(alive), "LIMIT-6", f"{view.active} slots are taken; what runs: {running}"
            )
        limit = self.world.limit
        if view.pending and view.phase == "open":
            full = limit is not None and len(alive) >= limit
            self.demand(full, "LIMIT-2", f"{len(alive)} coroutines run, {view.pending} jobs wait")

    def _check_order(self) -> None:
        """Nobody who came later runs while somebody who came earlier waits.

        The follower knows the order of what the scheduler tells; this is asked of the coroutines themselves, and so of
        packages that tell nothing.
        """
        waiting = [body.arrival for body in self.world.bodies if self._stands_in_line(body)]
        if not waiting:
            return
        first = min(waiting)
        for body in self.world.bodies:
            if body.arrival > first and (body.began or self._stands_in_line(body)):
                self.demand(not body.began, "LIMIT-5", f"{body.name} has begun before one that came earlier")

    def _stands_in_line(self, body: Body) -> bool:
        if body.shielded or body.began or body.ended is not None or body.arrival < 0:
            return False
        if body.job is not None:
            return bool(body.job.pending)
        return body.call is not None and body.call.open

    def _check_closed(self) -> None:
        """At the end of closing everything that still runs has been reported, once."""
        if self.world.package.phases:
            for body in self.world.bodies:
                if body.lives:
                    late = body.late_reports == 1
                    self.demand(
                        late, "SHUT-2", f"{body.name} outlives closing; reports of that: {body.late_reports}"
                    )

    def _has_no_timer(self, view: View) -> bool:
        """Whether time can mean nothing any more: jobs with a time limit have ended, and nobody waits."""
        world = self.world
        if view.phase == "closing" or not any(
            body.is_timed and body.fate is not None for body in world.bodies
        ):
            return False
        running = any(body.is_timed and body.fate is None for body in world.bodies)
        return not running and all(call.over for call in world.calls)

    def _of_draining(self, requirement: str) -> str:
        """Whom it concerns that draining is not over: jobs that it does not wait for, if there are any."""
        endless = any(not body.is_drained and body.fate is None for body in self.world.bodies)
        return "SHUT-8" if endless else requirement

    # Jobs and their failures.

    def _check_body(self, body: Body, view: View) -> None:
        if body.fate is None:
            if body.began and body.cancels == 0 and self._certainly_asked(body, view):
                requirement = "SHUT-2" if body.shielded else "CLOSE-1"
                raise Violation(requirement, f"{body.name} was asked to stop, and is never told")
            if body.is_timed and body.started_at is not None:
                self._check_time(body, view)
            return
        if body.fails:
            self._check_received(body)

    def _check_time(self, body: Body, view: View) -> None:
        """A job that has a time limit and runs has time left, or was told to stop; later on it is late."""
        assert self.reference is not None
        now, scope = self.world.now() - self.grace, self.world.scope
        if self.reference.states[body] == "active":
            # Its time begins when its task is made, which is between its start and its first step.
            left = not body.began or now < body.began_at + scope.time_limit - EPS
            self.demand(left, _TIME, f"the time of {body.name} is over, and it is not asked to stop")
        elif body.told_at is not None:
            told = body.cancels or not body.began or now < body.told_at
            self.demand(told, _TIME, f"the time of {body.name} is over, and it is never told to stop")
            late = view.phase == "open" and now >= body.told_at + scope.close_timeout - EPS
            self.demand(
                not late or body.late_reports,
                _TIME,
                f"{body.name} outlives its time, and that is not reported",
            )

    def _certainly_asked(self, body: Body, view: View) -> bool:
        if body.hit:
            return False
        if view.phase != "open":
            return True
        return any(
            call.body is body and call.kind in {"close", "close-for"} and call.called_at is not None
            for call in (*self.world.calls, *self.world.by_hand)
        )

    def _check_received(self, body: Body) -> None:
        """A failure has reached a caller or the handler, exactly once in all."""
        if body.shielded:
            self._check_shield_received(body)
            return
        told = f"{body.receivers} callers received it, the handler heard of it {body.reports} times"
        once = body.reports == (0 if body.receivers else 1)
        error = TimeoutError() if body.fate == "timed_out" else body.error
        requirement = "EXC-1" if isinstance(error, Exception) else "EXC-3"
        self.demand(once, requirement, f"{body.name} failed with {type(error).__name__}; {told}")

    def _check_shield_received(self, body: Body) -> None:
        told = f"{body.receivers} callers received it, the handler heard of it {body.reports} times"
        if body.call_cancelled_before_end:
            self.demand(body.reports == 1, "EXC-4", f"{body.name} failed behind a caller who is gone; {told}")
        elif not body.call_cancelled:
            self.demand(body.receivers == 1 and not body.reports, "EXC-4", f"{body.name} failed; {told}")

    # Callers who still wait must have a reason to.

    def _check_waiting(self, call: Call, view: View) -> None:
        """Whoever still waits must have a reason to."""
        kind = call.kind
        if kind in {"spawn", "thread"}:
            self._check_blocked(call, view)
        elif kind in {"shut", "drain", "drain-for", "with"}:
            self._check_ending(call, view)
        elif kind == "idle":
            over = view.phase == "closed" or (view.phase == "open" and self.is_drained())
            requirement = self._of_draining("SHUT-4")
            self.demand(not over, requirement, f"{call.name} still waits although nothing is left")
        elif kind == "shield":
            assert call.body is not None
            self.demand(call.body.ended is None, "WAIT-4", f"{call.name} is never answered")
        else:
            self._check_job_waiting(call)

    def _check_blocked(self, call: Call, view: View) -> None:
        scope = self.world.scope
        self.demand(view.phase == "open", "SPAWN-2", f"{call.name} still waits after closing has begun")
        limit = self.world.limit
        full = 0 < scope.pending_limit == view.pending and limit is not None and view.active >= limit
        self.demand(full, "LIMIT-4", f"{call.name} is blocked, and there is a place: {view}")

    def _check_job_waiting(self, call: Call) -> None:
        body, now, scope = call.body, self.world.now(), self.world.scope
        assert body is not None
        assert call.called_at is not None
        self.demand(body.fate is None, "WAIT-4", f"{body.name} has ended, and {call.name} is never answered")
        if call.expired_at is not None:
            over = now >= call.expired_at + scope.close_timeout + self.grace - EPS
            self.demand(not over, "WAIT-2", f"{call.name} has expired twice over, and is not answered")
            self.demand(
                body.job.closed, "WAIT-2", f"{call.name} has expired, and {body.name} is not asked to stop"
            )
        elif call.kind in {"close", "close-for"}:
            within = scope.timeout if call.kind == "close-for" else scope.close_timeout
            over = now >= call.called_at + within + self.grace - EPS
            self.demand(not over, "CLOSE-2", f"{call.name} is not answered at its deadline")

    def _check_ending(self, call: Call, view: View) -> None:
        if call.kind == "with" and call.left_at is None:
            return  # still inside
        idle = self._idle()
        if view.phase == "open":
            drained = self.is_drained()
            over = call.kind == "shut" or self.world.now() >= self._drain_deadline(call) + self.grace - EPS
            requirement = "SHUT-6" if call.kind == "with" else "SHUT-4"
            self.demand(not over, requirement, f"{call.name} has not begun to close")
            requirement = self._of_draining(requirement)
            self.demand(not drained, requirement, f"{call.name} still waits although nothing is left")
            return
        self.demand(not idle, "SHUT-2", f"{call.name} still waits although nothing runs")
        assert self.closing_base is not None
        over = self.world.now() >= self.closing_base + self.world.scope.close_timeout + self.grace - EPS
        self.demand(not over, "SHUT-2", f"{call.name} is not answered at the deadline of closing")
