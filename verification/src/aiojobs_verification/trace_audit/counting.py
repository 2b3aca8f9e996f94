"""The counters of the specification, led through a trace action by action.

Rules of this file: an action is taken if its guard holds, all its effects at once, and the invariants are
checked after it. The lines that an action owes after its first one are those of its ledger entries.

How it works: guard and effects of an action are written down as one Python expression, from the same trees as
those of `interpret`, which is asked for everything that is not asked at every line.

Deliberately not here: which job a line is about (`monitor`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from aiojobs.tracing import BrokenTraceError
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.expressions import PYTHON, Node, written
from aiojobs_verification.specification.interpret import Counters, Interpreter, NotEnabledError, parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiojobs.tracing import Header
    from aiojobs_verification.specification.scheduler import SchedulerSpec

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

    __slots__ = ("_after_first", "_interpreter", "_leading", "_spec", "_steps", "actions", "owed", "state")

    def __init__(self, spec: SchedulerSpec, header: Header) -> None:
        self._spec = spec
        self._interpreter = Interpreter(spec, parameters(header.limit, header.pending_limit))
        self._after_first = _debts(spec)
        self._steps = {name: _step(spec, name, self._interpreter.values) for name in spec.actions}
        self._leading = {
            column: tuple((name, self._steps[name]) for name in names) for column, names in _LEADING.items()
        }
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
        for action, step in self._leading[column]:
            after = step(*self.state)
            if after is not None:
                self._come_to(after, action)
                self.owed = self._after_first[action]
                return True
        return False

    def take(self, action: str) -> None:
        """Take an action that can happen."""
        after = self._steps[action](*self.state)
        if after is None:
            raise NotEnabledError(action, self.state)
        self._come_to(after, action)

    def _come_to(self, after: tuple[Any, ...], action: str) -> None:
        self.state = state = Counters._make(after)
        self.actions[action] += 1
        if not self._interpreter.holds(state):
            name = self._interpreter.broken(state)[0]
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


def _step(
    spec: SchedulerSpec, action: str, values: dict[str, int | bool]
) -> Callable[..., tuple[Any, ...] | None]:
    """A function of the counters: what they are after the action, or None if it can't happen."""

    def text(node: Node) -> str:
        return written(node, PYTHON, spec.abbreviations)

    kept = {name: Node("name", counter.sort, name) for name, counter in spec.counters.items()}
    effect = {**kept, **spec.actions[action].effect}
    after = ", ".join(text(effect[name]) for name in spec.counters)
    source = f"lambda {', '.join(spec.counters)}: ({after}) if {text(spec.actions[action].guard)} else None"
    function: Callable[..., tuple[Any, ...] | None] = eval(source, {**values, "__builtins__": {}})  # noqa: S307
    return function


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
