"""The reference machine: a table run by `transitions`, which knows nothing of this package.

Rules of this file: the arguments of `transitions.Machine` are those of the file, unchanged. It is the
second opinion on what a table means; the first is the generated module that the library obeys.

How it works: the machine has no model of its own. Events are triggered on an object that was never
registered with it, which costs a fraction of what registration does and doesn't grow with the number of
jobs.

Deliberately not here: `transitions.extensions.asyncio`. The machine has no effects to wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transitions import Machine as ReferenceMachine
from transitions import MachineError

if TYPE_CHECKING:
    from aiojobs_verification.specification.machine import Machine

__all__ = ["LifecycleMachine"]


class _Subject:
    """What events are triggered on."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


class LifecycleMachine:
    """Answers what an event does in a state."""

    def __init__(self, machine: Machine) -> None:
        self._events = ReferenceMachine(model=None, **machine.arguments).events

    def fire(self, state: str, event: str) -> str | None:
        """The next state, the same one for a declared no-op, or None where the event is illegal."""
        subject = _Subject(state)
        try:
            self._events[event].trigger(subject)
        except MachineError:
            if subject.state != state:
                raise
            return None
        return subject.state
