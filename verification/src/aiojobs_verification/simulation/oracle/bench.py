"""The common ground of the oracle's parts: one world, its reference registry, and the clock.

Rules of this file: `demand` is the only way in which a requirement speaks. What it speaks about is
remembered, so that in the end it is known which requirements had an occasion to say anything.

Deliberately not here: any rule. `answers` has those about answers and reports, `quiescence` those about the moment
when nothing more happens, `oracle` the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiojobs_verification.simulation.oracle.account import Account
from aiojobs_verification.simulation.oracle.reference import Reference, Violation

if TYPE_CHECKING:
    from aiojobs_verification.simulation.world.calls import Call
    from aiojobs_verification.simulation.world.packages import View
    from aiojobs_verification.simulation.world.probes import Body
    from aiojobs_verification.simulation.world.world import World

__all__ = ["EPS", "Bench", "how"]

EPS: Final = 1e-6


class Bench:
    """One world, and what is known about the time in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        scope = world.scope
        self.reference = Reference(scope.limit, scope.pending_limit) if world.package.observed else None
        self.spoken: set[str] = set()
        self.arrivals = 0
        self.closing_since: float | None = None
        """When closing was first seen to have begun."""
        self.closing_base: float | None = None
        """When the loop was first quiet after that: every cancellation has been delivered."""
        self.doomed: set[Body] = set()
        """Who waited to start when closing began."""
        self.allowed = scope.limit
        """How many jobs may run: as many as the limit says, or as are left of those that ran when it was lowered."""
        self.account = Account()
        """What closing has done to the jobs that there were."""
        self.handled = 0
        """How often the handler was called; in a world where it raises, as often the loop must hear of it."""
        self.grace = 0.0
        """How much later than its deadline an answer may come; nothing in virtual time."""
        self.coarse = EPS
        """By how much a timer may fire early."""
        self.seen_inside: list[tuple[str, View]] = []
        """What foreign code has seen while the library called it, as long as no action explains it."""
        self._read = 0
        self._complaints = 0

    def demand(self, holds: object, requirement: str, text: str) -> None:
        """A requirement speaks; it is broken if this does not hold."""
        self.spoken.add(requirement)
        if not holds:
            raise Violation(requirement, text)

    @property
    def _closed(self) -> bool:
        return self.reference is None or self.reference.phase == "closed"

    def _begin_closing(self) -> None:
        if self.closing_since is None:
            self.closing_since = self.world.now()

    def _was_asked(self, body: Body, *, by_time: bool = True) -> bool:
        """Whether somebody has asked this job to stop, or its time is over."""
        if self.closing_since is not None or self.world.scheduler.closed or body.calling_cancelled:
            return True
        if by_time and self._time_is_over(body):
            return True
        if any(self._asks(call) for call in self.world.calls if call.body is body):
            return True
        return any(call.body is body for call in self.world.by_hand)

    def _asks(self, call: Call) -> bool:
        if call.called_at is None:
            return False
        if call.kind == "wait-for":
            return self.world.now() >= call.called_at + self.world.scope.timeout - self.coarse
        return call.kind in {"close", "close-for"}

    def _time_is_over(self, body: Body) -> bool:
        """Whether a job has had the time that it was given."""
        if not body.is_timed or body.started_at is None:
            return False
        return self.world.now() >= body.started_at + self.world.scope.time_limit - self.coarse

    def _has_ended(self, body: Body) -> bool:
        """Whether it was noted by now that its coroutine has ended."""
        return self.reference is None or self.reference.has_ended(body)

    def _is_overdue(self, body: Body) -> bool:
        """Whether a job whose time was over has had its time to stop, too."""
        since = body.expired_at
        return since is not None and self.world.now() >= since + self.world.scope.close_timeout - self.coarse

    def _idle(self) -> bool:
        """Nothing runs and nothing waits to."""
        return not any(body.lives or self._waits(body) for body in self.world.bodies)

    def is_drained(self) -> bool:
        """Nothing is left that draining waits for: no such job, nobody who is blocked with one."""
        world = self.world
        for body in world.bodies:
            body.look()
        left = any(body.is_drained and (body.lives or self._waits(body)) for body in world.bodies)
        return not left and not self.blocked()

    def blocked(self) -> int:
        """How many calls of `spawn` wait for a place."""
        return sum(self._is_blocked(call) for call in self.world.calls)

    def withdrawing(self) -> int:
        """How many calls from other threads were cancelled, and may yet get a place before that is seen."""
        return sum(
            call.kind == "thread" and call.cancelled and call.body is not None and call.body.ended is None
            for call in self.world.calls
        )

    def _is_blocked(self, call: Call) -> bool:
        """Whether somebody waits for a place: its job has not been accepted."""
        spawns = call.kind in {"spawn", "thread"} and call.open and not call.cancelled
        return spawns and call.body is not None and call.body.entry is None and call.open_before

    def _waits(self, body: Body) -> bool:
        return not body.began and body.fate is None and body.job is not None

    def _drain_deadline(self, call: Call) -> float:
        since = call.left_at if call.kind == "with" else call.called_at
        assert since is not None
        scope = self.world.scope
        return since + (scope.timeout if call.kind == "drain-for" else scope.wait_timeout)

    def _close_deadline_has_come(self) -> bool:
        since = self.closing_since
        return since is not None and self.world.now() >= since + self.world.scope.close_timeout - self.coarse

    def next_deadline(self) -> float | None:
        """The next moment at which somebody must have been answered, if time passes and nothing else happens.

        Asked for by the world, where time must be able to pass even if the scheduler has forgotten its timer.
        """
        now = self.world.now()
        due = [moment for call in self.world.calls if call.open for moment in self._deadlines(call)]
        due += [moment for body in self.world.bodies if body.is_timed for moment in self._limits(body)]
        return min((moment for moment in due if moment > now + EPS), default=None)

    def _deadlines(self, call: Call) -> list[float]:
        scope, called_at = self.world.scope, call.called_at
        assert called_at is not None
        if call.kind == "wait-for":
            expired = call.expired_at
            return [called_at + scope.timeout if expired is None else expired + scope.close_timeout]
        if call.kind in {"close", "close-for"}:
            return [called_at + (scope.timeout if call.kind == "close-for" else scope.close_timeout)]
        inside = call.kind == "with" and call.left_at is None
        if inside or call.kind not in {"shut", "drain", "drain-for", "with", "idle"}:
            return []
        if self.closing_base is not None:
            return [self.closing_base + scope.close_timeout]
        return [] if call.kind in {"shut", "idle"} else [self._drain_deadline(call)]

    def _limits(self, body: Body) -> list[float]:
        """When the time of a job is over, and when it is late."""
        if body.fate is not None or body.started_at is None:
            return []
        if body.told_at is not None:
            return [body.told_at + self.world.scope.close_timeout]
        since = body.began_at if body.began else body.started_at
        return [] if self.closing_since is not None else [since + self.world.scope.time_limit]


def how(body: Body) -> str:
    """How a coroutine has ended, for the texts."""
    return {None: "has not ended", "never": "never began"}.get(body.ended, body.ended or "")
