"""The calls of `spawn` under way: which are blocked, and how each must end.

Rules of this file. A call that was made is answered at once, by its job or by an exception, or it has been blocked:
that is known when what is told next is not about it. A blocked call is answered in the order of calls, or gives up,
or is refused when closing begins. Whoever is passed over was cancelled, so nothing but a `CancelledError` may follow.
A call that returns has a job; one that raises has none, or one that has ended. Nothing is remembered of a call that
has been answered.

Deliberately not here: whether there is room for anybody. The counters say that.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from aiojobs_verification.follower.rules import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from aiojobs_verification.follower.counters import CounterState

__all__ = ["CallRegistry"]

_MADE: Final = "made"
_BLOCKED: Final = "blocked"
_REFUSED: Final = "refused"
_PASSED_OVER: Final = "passed over"


class CallRegistry:
    """The calls that have not been answered; none at all if they are not `announced`."""

    def __init__(self, *, announced: bool, cancelled: Callable[[str], bool] | None) -> None:
        self.announced = announced
        self.cancelled = cancelled
        """Whether the caller of a blocked call was cancelled, if that is known; if not, any may have been."""
        self.made: str | None = None
        """The call that what was told last was about, unless it can't block."""
        self.blocked: OrderedDict[str, None] = OrderedDict()
        """The calls that are blocked, in order of arrival."""
        self.late: set[str] = set()
        """The calls that were made after closing had begun."""
        self.refusals = 0
        """How many were refused because of closing."""
        # What is known of each, or the number of its job.
        self._open: dict[str, str | int] = {}
        # Those that found everything taken when they were made; foreign code may free a place before the answer.
        self._full: set[str] = set()

    def fork(self) -> CallRegistry:
        """The same, to go on separately."""
        twin = CallRegistry(announced=self.announced, cancelled=self.cancelled)
        twin.made, twin.refusals, twin.late = self.made, self.refusals, self.late.copy()
        twin.blocked, twin._open, twin._full = self.blocked.copy(), self._open.copy(), self._full.copy()
        return twin

    @property
    def unanswered(self) -> list[str]:
        """The calls that have not been answered, in order of arrival."""
        return [*self._open]

    def is_under_way(self, name: str) -> bool:
        """Whether this call was made and not yet answered."""
        return name in self._open

    def call(self, name: str, counters: CounterState, *, may_block: bool) -> None:
        """A call is made."""
        if counters.state.phase != "open":
            self._open[name] = _REFUSED
            self.late.add(name)
            self.refusals += 1
        else:
            self._open[name] = _MADE
            self.made = name if may_block else None
            if counters.can("spawn_block"):
                self._full.add(name)

    def block(self, counters: CounterState) -> None:
        """The call that was just made has not been answered: something else has been told."""
        name, self.made = str(self.made), None
        if not counters.can("spawn_block"):
            refuse("blocks", f"the job of the call {name!r} at once")
        counters.take("spawn_block")
        self._open[name] = _BLOCKED
        self.blocked[name] = None

    def let_in(self, job: int, name: str | None) -> None:
        """A job is accepted whose call was not blocked."""
        if name in self.blocked:
            refuse("pending limit", f"that the call {name!r} waits: no place has fallen free")
        elif self.blocked:
            first = next(iter(self.blocked))
            refuse("no overtaking", f"that job {job} does not overtake the call {first!r}, which is blocked")
        if self.announced:
            if name is None or self._open.get(name) != _MADE:
                self._refuse_uncalled(job, name)
            self._open[str(name)] = job
            self.made = None

    def move_up(self, job: int, name: str) -> int:
        """A job is accepted whose call was blocked; how many calls were passed over."""
        gone = 0
        for first in [*self.blocked]:
            if first == name:
                break
            self._pass_over(first, "no overtaking", f"which came earlier than {name!r}")
            gone += 1
        del self.blocked[name]
        self._open[name] = job
        return gone

    def may_be_gone(self) -> bool:
        """Whether there are blocked calls, and the caller of each may have been cancelled."""
        cancelled = self.cancelled
        return bool(self.blocked) and (cancelled is None or all(cancelled(name) for name in self.blocked))

    def pass_over_all(self) -> int:
        """A place in the queue is released, and nobody gets it; how many calls were passed over."""
        gone = len(self.blocked)
        for name in [*self.blocked]:
            self._pass_over(name, "place handed on", "which is blocked")
        return gone

    def shut_out(self) -> None:
        """Closing begins: whoever is blocked is refused."""
        self.refusals += len(self.blocked)
        self._open.update(dict.fromkeys(self.blocked, _REFUSED))
        self.blocked.clear()

    def come_back(self, name: str) -> None:
        """A call returns."""
        status = self._answered(name)
        if status == _PASSED_OVER:
            self._refuse_passed_over(name)
        elif status == _REFUSED:
            refuse("refused by closing", f"that the call {name!r} raises: closing has begun")
        elif not isinstance(status, int):
            refuse("returns with a job", f"that the call {name!r} raises: it has no job")

    def fail(self, name: str, error: str, live: Collection[int], counters: CounterState) -> None:
        """A call raises."""
        was_full = name in self._full or counters.can("spawn_block")
        status = self._answered(name)
        if status == _MADE:
            if error == "PendingQueueFull" and not was_full:
                refuse("full", f"a job of {name!r}: there is room for it")
        elif status == _BLOCKED:
            del self.blocked[name]
            counters.take("give_up")
        elif status == _PASSED_OVER:
            if error != "CancelledError":
                self._refuse_passed_over(name)
        elif status in live:
            why = "was cancelled" if error == "CancelledError" else "has failed"
            expected = f"that job {status} of the call {name!r} has ended first"
            refuse("raises without a job", f"{expected}: it runs although its spawn {why}")

    def demand_answers(self, names: Iterable[str]) -> None:
        """Nothing more will be told of what goes on now: these have been answered."""
        for name in names:
            refuse("answered", f"an answer to the call {name!r}")

    def _answered(self, name: str) -> str | int:
        self.late.discard(name)
        self._full.discard(name)
        if self.made == name:
            self.made = None
        return self._open.pop(name)

    def _pass_over(self, name: str, rule: str, why: str) -> None:
        if self.cancelled is not None and not self.cancelled(name):
            refuse(rule, f"the job of the call {name!r}, {why}")
        del self.blocked[name]
        self._open[name] = _PASSED_OVER

    def _refuse_uncalled(self, job: int, name: str | None) -> None:
        if name is not None and self._open.get(name) == _PASSED_OVER:
            self._refuse_passed_over(name)
        refuse("called", f"a call of spawn before its job {job}")

    def _refuse_passed_over(self, name: str) -> None:
        refuse("place handed on", f"that {name!r} is cancelled: another call got the place, or none")
