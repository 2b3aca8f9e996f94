"""The reference model of the counters: runs them as a program.

Rules of this file: it decides nothing. Guards, effects and invariants are the expressions of
`scheduler.toml`, compiled to Python once for given parameters. A state is a tuple of the counters in the
order of the file; it has their names as attributes. What an action chooses is given to it as one more number.

How it is used: by the `follower`, which leads it through what a real scheduler tells, and by `prove` to show that
each action really comes about. One check of all invariants costs a fraction of a microsecond.

Deliberately not here: which job starts next. Counters know no order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.expressions import Node, compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from aiojobs_verification.specification.counters import SchedulerSpec

__all__ = ["Counters", "Interpreter", "Move", "NotEnabledError", "parameters"]


class Counters(NamedTuple):
    """A state. The counters are spelt out, so that whoever compares a real scheduler with it is typed."""

    phase: str
    pending: int
    active: int
    closing: int
    blocked: int
    L: int


class Move(NamedTuple):
    """An action, with what it chooses if it chooses."""

    action: str
    chosen: int | None = None

    def __str__(self) -> str:
        return self.action if self.chosen is None else f"{self.action}({self.chosen})"


class NotEnabledError(ValueError):
    """The action can't happen in this state."""

    def __init__(self, action: str, state: Counters, chosen: int | None = None) -> None:
        made = action if chosen is None else f"{action}({chosen})"
        super().__init__(f"{made} can't happen in {state}")
        self.action = action
        self.state = state


def parameters(limit: int | None, pending_limit: int) -> dict[str, int | bool]:
    """The parameters of the file for the arguments of a scheduler; no limit is 0 there.

    Raises:
        ValueError: the limit is 0, which no scheduler has.
    """
    if limit == 0:
        raise ValueError("a limit can't be 0: no limit is None")
    return {"L0": limit or 0, "P": pending_limit}


class Interpreter:
    """The counters under given parameters: `initial`, `enabled`, `step`, `broken`."""

    def __init__(self, spec: SchedulerSpec, values: Mapping[str, int | bool]) -> None:
        self.spec = spec
        self.values = dict(values)
        self._names = tuple(spec.counters)
        if self._names != Counters._fields:
            fault = f"the counters must be {', '.join(Counters._fields)}, in this order"
            raise SpecError(fault, file="scheduler.toml", table="counter")
        self._check_domain()
        self._chosen = tuple(spec.choices)
        self.initial = Counters._make(
            compiled(counter.initial, (), {}, self.values)() for counter in spec.counters.values()
        )
        self._guards = {name: self._function(action.guard) for name, action in spec.actions.items()}
        self._effects = {name: self._effect(action.effect) for name, action in spec.actions.items()}
        self._rules = {name: self._function(rule.whole) for name, rule in spec.invariants.items()}
        self._holds = self._function(
            Node("and", "bool", parts=tuple(rule.whole for rule in spec.invariants.values()))
        )

    def enabled(self, state: Counters, chosen: int | None = None) -> tuple[str, ...]:
        """The actions that can happen, in the order of the file; those that choose only if it is said what."""
        return tuple(name for name in self._guards if self.can(name, state, chosen))

    def can(self, action: str, state: Counters, chosen: int | None = None) -> bool:
        """Whether the action can happen, with this choice if it chooses."""
        if self.spec.actions[action].choice is None:
            chosen = None
        elif chosen is None:
            return False
        return bool(self._guards[action](*state, chosen)) and self._may_choose(action, chosen)

    def step(self, state: Counters, action: str, chosen: int | None = None) -> Counters:
        """The state after the action; `NotEnabledError` if it can't happen."""
        if not self.can(action, state, chosen):
            raise NotEnabledError(action, state, chosen)
        return Counters._make([effect(*state, chosen) for effect in self._effects[action]])

    def entries(self, state: Counters, action: str, chosen: int | None = None) -> dict[str, int]:
        """What the action writes into the ledger if it happens in this state; columns without an entry are
        0.
        """
        given = self.spec.actions[action].ledger
        return {
            name: self._function(given[name])(*state, chosen) if name in given else 0
            for name in self.spec.ledger
        }

    def holds(self, state: Counters) -> bool:
        """Whether every invariant holds."""
        return bool(self._holds(*state, None))

    def broken(self, state: Counters) -> tuple[str, ...]:
        """The invariants that do not hold."""
        return tuple(name for name, rule in self._rules.items() if not rule(*state, None))

    def value(self, node: Node, state: Counters) -> Any:
        """What an expression over parameters and counters is in this state."""
        return self._function(node)(*state, None)

    def moves(self, state: Counters, choices: Iterable[int] = ()) -> Iterator[Move]:
        """What can happen, where only these values are chosen."""
        for name, action in self.spec.actions.items():
            values = (None,) if action.choice is None else choices
            yield from (Move(name, value) for value in values if self.can(name, state, value))

    def runs(self, depth: int, choices: Collection[int] = ()) -> Iterator[tuple[tuple[Move, ...], Counters]]:
        """Every state that is reached within `depth` steps, each with a shortest run to it."""
        seen = {self.initial}
        queue: deque[tuple[tuple[Move, ...], Counters]] = deque([((), self.initial)])
        while queue:
            run, state = queue.popleft()
            yield run, state
            if len(run) == depth:
                continue
            for move in self.moves(state, choices):
                after = self.step(state, *move)
                if after not in seen:
                    seen.add(after)
                    queue.append(((*run, move), after))

    def _may_choose(self, action: str, chosen: int | None) -> bool:
        choice = self.spec.actions[action].choice
        return choice is None or bool(compiled(self.spec.choices[choice].domain, (choice,), {}, {})(chosen))

    def _function(self, node: Node) -> Callable[..., Any]:
        # Every function takes one more number than there are counters: what is chosen, whatever its name.
        return compiled(node, (*self._names, *self._chosen), self.spec.abbreviations, self.values)

    def _effect(self, effect: Mapping[str, Node]) -> list[Callable[..., Any]]:
        kept = {name: Node("name", counter.sort, name) for name, counter in self.spec.counters.items()}
        return [self._function({**kept, **effect}[name]) for name in self._names]

    def _check_domain(self) -> None:
        for name, parameter in self.spec.parameters.items():
            if name not in self.values:
                raise ValueError(f"the parameter {name} has no value")
            if parameter.domain is not None and not compiled(parameter.domain, (), {}, self.values)():
                raise ValueError(f"the parameter {name} can't be {self.values[name]}")
