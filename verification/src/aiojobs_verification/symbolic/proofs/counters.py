"""The vocabulary of the contracts: any numbers, the design's rules, the specification's actions.

`Numbers.sound` says once more, in the words of the design and without a look at the code, which numbers a
scheduler may have. `GUARDS` and `EFFECTS` are the actions of `spec/scheduler.toml`, as the proofs read them.

Deliberately not here: a leading `assert`. CrossHair takes a function that begins with one for a contract. And
`from __future__ import annotations`: from Python 3.14 on CrossHair is blind to the types behind it.
"""

from typing import NamedTuple

from aiojobs._admission import Admission
from aiojobs._lifecycle import Phase
from aiojobs_verification.specification.expressions import Node, compiled
from aiojobs_verification.specification.load import load

_SPEC = load().scheduler
_NAMES = (*_SPEC.parameters, *_SPEC.counters)
_KEPT = {name: Node("name", counter.sort, name) for name, counter in _SPEC.counters.items()}


def _function(node):
    return compiled(node, _NAMES, _SPEC.abbreviations, {})


GUARDS = {name: _function(action.guard) for name, action in _SPEC.actions.items()}
"""Of each action: whether it can happen, a function of parameters and counters in the order of the file."""

EFFECTS = {
    name: {counter: _function({**_KEPT, **action.effect}[counter]) for counter in _SPEC.counters}
    for name, action in _SPEC.actions.items()
}
"""Of each action and counter: its value afterwards."""


class Numbers(NamedTuple):
    """Parameters and counters of a scheduler, whether it may have them or not."""

    unlimited: bool
    limit: int
    pending_limit: int
    phase: Phase
    active: int
    closing: int
    pending: int
    blocked: int

    @property
    def running(self):
        return self.active + self.closing

    def sound(self):
        """Whether a scheduler may have these: LIMIT-1 to LIMIT-4, SHUT-1 and BOOK-1.

        With `&` and `|`, since every `and` and `or` would double the paths.
        """
        full = (not self.unlimited) & (self.running == self.limit)
        return (
            ((self.limit >= 1) & (self.pending_limit >= 0))
            & ((self.active >= 0) & (self.closing >= 0) & (self.pending >= 0) & (self.blocked >= 0))
            & (self.unlimited | (self.running <= self.limit))
            & ((self.pending == 0) | ((self.phase is Phase.OPEN) & full))
            & ((self.pending_limit == 0) | (self.pending <= self.pending_limit))
            & ((self.blocked == 0) | ((self.pending_limit > 0) & (self.pending == self.pending_limit)))
        )

    def admission(self):
        """The real thing, with these numbers."""
        made = Admission(None if self.unlimited else self.limit, self.pending_limit)
        made.phase = self.phase
        made.running, made.pending, made.blocked = self.running, self.pending, self.blocked
        return made

    def after(self, it):
        """What `it`, which had these numbers, has now. Which jobs are closing it can't tell."""
        unlimited = it.limit is None
        limit = self.limit if unlimited else it.limit
        return Numbers(unlimited, limit, it.pending_limit, it.phase, it.running, 0, it.pending, it.blocked)

    def in_the_order_of_the_file(self):
        """As guards and effects want them."""
        return (
            self.limit, self.pending_limit, self.unlimited,
            self.phase.value, self.pending, self.active, self.closing, self.blocked,
        )  # fmt: skip

    def is_followed_by(self, action, it):
        """Whether the action of the specification can happen, and `it` has the numbers that it leads to."""
        here, effect = self.in_the_order_of_the_file(), EFFECTS[action]
        return (
            GUARDS[action](*here)
            and it.running == effect["active"](*here) + effect["closing"](*here)
            and it.pending == effect["pending"](*here)
            and it.blocked == effect["blocked"](*here)
            and it.phase.value == effect["phase"](*here)
        )


def refused(call, *arguments, **keywords):
    """The type of what the call raises, or None if it returns."""
    try:
        call(*arguments, **keywords)
    except Exception as error:
        return type(error)
    return None
