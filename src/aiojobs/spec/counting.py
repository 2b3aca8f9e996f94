"""The counters of the specification, led through a trace action by action.

Rules of this file: an action is taken if its guard holds, all its effects at once, and the invariants are
checked after it. The lines that an action owes after its first one are those of its ledger entries.

Deliberately not here: which job a line is about (`monitor`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from aiojobs.spec.errors import SpecError
from aiojobs.spec.interpret import Interpreter, parameters
from aiojobs.spec.trace import BrokenTraceError

if TYPE_CHECKING:
    from aiojobs.spec.scheduler import SchedulerSpec
    from aiojobs.spec.trace import Header

__all__ = ["Counting"]

_LEADING: Final = {
    "accepted": ("spawn_start", "spawn_queue"),
    "ended": ("end_active_idle", "end_active_next", "end_active_refill"),
    "stopped": ("end_closing_idle", "end_closing_next", "end_closing_refill"),
    "asked": ("close_active",),
    "dropped": ("close_pending", "close_pending_refill"),
}
"""The actions whose first line is counted in that column of the ledger. None begins with a start."""


class Counting:
    """Where the counters are, and what the action that led there still owes."""

    __slots__ = ("_after_first", "_interpreter", "_spec", "actions", "owed", "state")

    def __init__(self, spec: SchedulerSpec, header: Header) -> None:
        self._spec = spec
        self._interpreter = Interpreter(spec, parameters(header.limit, header.pending_limit))
        self._after_first = _debts(spec)
        self.state = self._interpreter.initial
        self.actions: Counter[str] = Counter()
        """How often each action has come about."""
        self.owed: tuple[str, ...] = ()
        """The columns of the lines that the last action has still to be told of."""

    def fork(self) -> Counting:
        """The same, to go on separately."""
        twin = object.__new__(Counting)
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.actions = self.actions.copy()
        return twin

    def can(self, action: str) -> bool:
        """Whether the action can happen."""
        return self._interpreter.can(action, self.state)

    def begin(self, column: str) -> bool:
        """Take the action that begins with a line of this column, if there is one that can happen."""
        for action in _LEADING[column]:
            if self._interpreter.can(action, self.state):
                self.take(action)
                self.owed = self._after_first[action]
                return True
        return False

    def take(self, action: str) -> None:
        """Take an action that can happen."""
        self.state = self._interpreter.step(self.state, action)
        self.actions[action] += 1
        if not self._interpreter.holds(self.state):
            name = self._interpreter.broken(self.state)[0]
            rule = self._spec.invariants[name]
            raise BrokenTraceError(f"scheduler.toml: invariant.{name}", rule.meaning, *rule.requirements)

    def resolve(self, column: str, gone: int) -> None:
        """Take the action that began with a line of this column and whose other lines have come already.

        Before that so many of the blocked calls have given up.
        """
        for _ in range(gone):
            self.take("give_up")
        self.begin(column)
        self.owed = ()

    def pay(self) -> None:
        """The line that was owed next has come."""
        self.owed = self.owed[1:]


def _debts(spec: SchedulerSpec) -> dict[str, tuple[str, ...]]:
    """For each action that begins with a job's line: the columns of the lines that it owes after that.

    A job that is new to the queue comes last, unless the action began with it.
    """
    told = [name for name, column in spec.ledger.items() if column.cells]
    told += [name for name, column in spec.ledger.items() if column.births]
    debts: dict[str, tuple[str, ...]] = {}
    for leading, names in _LEADING.items():
        for name in names:
            action = spec.actions.get(name)
            if action is None or leading not in action.ledger:
                fault = f"the monitor needs this action, with an entry for {leading}"
                raise SpecError(fault, file="scheduler.toml", table=f"action.{name}")
            debts[name] = tuple(column for column in told if column in action.ledger and column != leading)
    return debts
