"""The calls of `spawn` in a trace: which are under way, which wait outside, and what each must come to.

Rules of this file. A call that was made is answered at once, by its job or by an exception, or it has been
blocked: that is known when the next line is not its own. A blocked call is answered in the order of calls, or
gives up, or is refused when closing begins. Whoever is passed over was cancelled, so nothing but a
`CancelledError` may follow. A call that returns has a job; one that raises has none, or one that has ended.
Nothing is remembered of a call that has been answered.

Deliberately not here: whether there is room for anybody. The counters say that.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NoReturn

from aiojobs.tracing import BrokenTraceError

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from aiojobs_verification.trace_audit.counting import Counting

__all__ = ["Callers"]

_MADE: Final = "made"
_BLOCKED: Final = "blocked"
_REFUSED: Final = "refused"
_PASSED_OVER: Final = "passed over"


class Callers:
    """The calls that have not been answered; none at all if they are not `announced`."""

    def __init__(self, *, announced: bool) -> None:
        self.announced = announced
        self.made: str | None = None
        """The call that was made by the last line."""
        self.outside: OrderedDict[str, None] = OrderedDict()
        """The calls that are blocked, in order of arrival."""
        self.refusals = 0
        """How many were refused because closing began."""
        # What is known of each, or the number of its job.
        self._open: dict[str, str | int] = {}

    def fork(self) -> Callers:
        """The same, to go on separately."""
        twin = Callers(announced=self.announced)
        twin.made, twin.refusals = self.made, self.refusals
        twin.outside, twin._open = self.outside.copy(), self._open.copy()
        return twin

    @property
    def unanswered(self) -> list[str]:
        """The calls that have not been answered, in order of arrival."""
        return [*self._open]

    def situation(self) -> Hashable:
        """All that the rest of the trace depends on."""
        return self.made, tuple(self.outside), tuple(self._open.items())

    def call(self, name: str) -> None:
        """A call is made."""
        if name in self._open:
            raise BrokenTraceError("trace: calls", f"the answer to the call {name!r} before another one")
        self._open[name] = _MADE
        self.made = name

    def block(self, counting: Counting) -> None:
        """The call that was made by the last line has not been answered by this one."""
        name, self.made = str(self.made), None
        if counting.state.phase != "open":
            rule = "scheduler.toml: enabled.every_call_has_one_answer"
            raise BrokenTraceError(rule, f"that the call {name!r} is refused: closing has begun", "SPAWN-2")
        if not counting.can("spawn_block"):
            expected = f"the job of the call {name!r} at once: there is a free slot, or a place in the queue"
            raise BrokenTraceError("scheduler.toml: action.spawn_block", expected, "LIMIT-4")
        counting.take("spawn_block")
        self._open[name] = _BLOCKED
        self.outside[name] = None

    def let_in(self, job: int, name: object) -> None:
        """A job is accepted that did not wait outside."""
        if self.outside:
            first = next(iter(self.outside))
            expected = f"that job {job} does not overtake the call {first!r}, which is blocked"
            raise BrokenTraceError("trace: arrival", expected, "LIMIT-5")
        if self.announced:
            if self.made is None or name != self.made:
                self._refuse_uncalled(job, name)
            self._open[self.made] = job
            self.made = None

    def move_up(self, job: int, name: str) -> int:
        """A job is accepted whose call is outside; how many calls were passed over."""
        gone = 0
        for first in [*self.outside]:
            del self.outside[first]
            if first == name:
                break
            self._open[first] = _PASSED_OVER
            gone += 1
        self._open[name] = job
        return gone

    def pass_over_all(self) -> int:
        """A place in the queue falls free, and nobody gets it; how many calls were passed over."""
        gone = len(self.outside)
        self._open.update(dict.fromkeys(self.outside, _PASSED_OVER))
        self.outside.clear()
        return gone

    def shut_out(self) -> None:
        """Closing begins: whoever is outside is refused."""
        self.refusals += len(self.outside)
        for name in self.outside:
            self._open[name] = _REFUSED
        self.outside.clear()

    def come_back(self, name: str) -> None:
        """A call returns."""
        status = self._answered(name)
        if status == _PASSED_OVER:
            self._refuse_passed_over(name)
        if status == _REFUSED:
            rule = "scheduler.toml: balance.blocked_calls"
            raise BrokenTraceError(rule, f"that the call {name!r} raises: closing has begun", "SPAWN-2")
        if not isinstance(status, int):
            rule = "scheduler.toml: balance.one_job_per_call"
            raise BrokenTraceError(rule, f"that the call {name!r} raises: it has no job", "SPAWN-1")

    def fail(self, name: str, error: object, live: Collection[int], counting: Counting) -> None:
        """A call raises."""
        status = self._answered(name)
        if status == _MADE:
            self.made = None
            if error == "PendingQueueFull" and not counting.can("spawn_block"):
                rule = "scheduler.toml: action.spawn_block"
                raise BrokenTraceError(rule, f"a job of {name!r}: there is room for it", "SPAWN-5")
        elif status == _BLOCKED:
            del self.outside[name]
            counting.take("give_up")
        elif status == _PASSED_OVER:
            if error != "CancelledError":
                self._refuse_passed_over(name)
        elif status in live:
            rule = "scheduler.toml: balance.one_job_per_call"
            raise BrokenTraceError(rule, f"that job {status} of the call {name!r} has ended first", "SPAWN-1")

    def _answered(self, name: str) -> str | int:
        status = self._open.pop(name, None)
        if status is None:
            raise BrokenTraceError("trace: calls", f"no answer to {name!r}, which was not called")
        return status

    def _refuse_uncalled(self, job: int, name: object) -> NoReturn:
        if self._open.get(str(name)) == _PASSED_OVER:
            self._refuse_passed_over(str(name))
        raise BrokenTraceError("trace: calls", f"a call of spawn before its job {job}", "SPAWN-1")

    def _refuse_passed_over(self, name: str) -> NoReturn:
        rule = "scheduler.toml: step.place_is_handed_on"
        expected = f"that {name!r} is cancelled: a place fell free, and another call got it, or none"
        raise BrokenTraceError(rule, expected, "LIMIT-4", "LIMIT-5")
