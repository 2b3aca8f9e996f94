"""The counters of the specification, led from action to action.

Rules of this file: an action is taken if its guard holds, all its effects at once, and the invariants are checked
after it. Which job an action is about is not known here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.follower.violation import Violation
from aiojobs_verification.specification.interpret import Counters, NotEnabledError

if TYPE_CHECKING:
    from aiojobs_verification.follower.table import ActionTable

__all__ = ["CounterState"]

_IDLE: Final = {"ended": "end_active_idle", "stopped": "end_closing_idle"}
"""The action by which nobody starts, for each column in which an end is counted."""


class CounterState:
    """Where the counters are, and what the action that led there still owes."""

    __slots__ = ("_table", "actions", "owed", "state")

    def __init__(self, table: ActionTable) -> None:
        self._table = table
        self.state = table.interpreter.initial
        self.actions: Counter[str] = Counter()
        """How often each action has come about."""
        self.owed: tuple[str, ...] = ()
        """The columns of the records that the last action has still to be told of."""

    def fork(self) -> CounterState:
        """The same, to go on separately."""
        twin = CounterState(self._table)
        twin.state, twin.owed = self.state, self.owed
        twin.actions = self.actions.copy()
        return twin

    def can(self, action: str) -> bool:
        """Whether the action can happen."""
        return self._table.steps[action](*self.state) is not None

    def begin(self, column: str) -> bool:
        """Take the action that begins with a record of this column, if there is one that can happen."""
        for action, step in self._table.leading[column]:
            after = step(*self.state)
            if after is not None:
                self._come_to(after, action)
                self.owed = self._table.owed[action]
                return True
        return False

    def take(self, action: str) -> None:
        """Take an action that can happen."""
        after = self._table.steps[action](*self.state)
        if after is None:
            raise NotEnabledError(action, self.state)
        self._come_to(after, action)

    def starts_nobody(self, column: str) -> bool:
        """Whether an end that is counted in this column frees a slot that nobody gets."""
        idle = _IDLE.get(column)
        return idle is not None and self.can(idle)

    def set_limit(self, limit: int) -> tuple[int, int]:
        """How many start when the limit is set to this, and how many blocked calls move up; 0 for no limit."""
        entries = self._table.interpreter.entries(self.state, self._choice(limit), limit)
        return entries["started"], entries["admitted"]

    def choose(self, limit: int) -> None:
        """The limit is set."""
        action = self._choice(limit)
        after = self._table.steps[action](*self.state, limit)
        assert after is not None
        self._come_to(after, action)

    def _choice(self, limit: int) -> str:
        """The action that sets the limit to this."""
        starts = self._table.steps["set_limit_start"](*self.state, limit) is not None
        return "set_limit_start" if starts else "set_limit_idle"

    def resolve(self, column: str, gone: int) -> None:
        """Take the action that began with a record of this column and whose other records have come already.

        Before that so many of the blocked calls have given up.
        """
        for _ in range(gone):
            self.take("give_up")
        self.begin(column)
        self.owed = ()

    def pay(self) -> None:
        """The record that was owed next has come."""
        self.owed = self.owed[1:]

    def _come_to(self, after: tuple[Any, ...], action: str) -> None:
        self.state = state = Counters._make(after)
        self.actions[action] += 1
        if not self._table.interpreter.holds(state):
            self._refuse_broken()

    def _refuse_broken(self) -> None:
        name = self._table.interpreter.broken(self.state)[0]
        rule = self._table.scheduler.invariants[name]
        first, *others = rule.requirements
        text = f"{rule.meaning} Now: {self.state}"
        raise Violation(first, text, others=others, rule=f"scheduler.toml: invariant.{name}")
