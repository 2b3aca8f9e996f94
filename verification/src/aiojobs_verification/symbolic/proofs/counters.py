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
_NAMES = (*_SPEC.parameters, *_SPEC.counters, *_SPEC.choices)
_KEPT = {name: Node("name", counter.sort, name) for name, counter in _SPEC.counters.items()}


def _function(node):
    return compiled(node, _NAMES, _SPEC.abbreviations, {})


GUARDS = {name: _function(action.guard) for name, action in _SPEC.actions.items()}
"""Of each action: whether it can happen, a function of parameters, counters and choices in the order of the file."""

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
    surplus: int

    @property
    def running(self):
        return self.active + self.closing

    def sound(self):
        """Whether a scheduler may have these: it keeps the rules, and knows how many too many run."""
        return self.knows_its_surplus() & self.keeps_the_rules()

    def knows_its_surplus(self):
        """Whether the surplus is what runs beyond the limit, which is so only after it was lowered (LIMIT-7)."""
        beyond = self.running - self.limit
        return (self.unlimited & (self.surplus == 0)) | (
            (not self.unlimited)
            & (((beyond <= 0) & (self.surplus == 0)) | ((beyond > 0) & (self.surplus == beyond)))
        )

    def keeps_the_rules(self):
        """LIMIT-1 to LIMIT-4, SHUT-1 and BOOK-1.

        With `&` and `|`, since every `and` and `or` would double the paths.
        """
        full = (not self.unlimited) & (self.running >= self.limit)
        return self.is_on_the_way() & ((self.pending == 0) | ((self.phase is Phase.OPEN) & full))

    def is_on_the_way(self):
        """The same, while it is open whether more start because the limit was raised: all but LIMIT-2."""
        return (
            ((self.limit >= 1) & (self.pending_limit >= 0) & (self.surplus >= 0))
            & ((self.active >= 0) & (self.closing >= 0) & (self.pending >= 0) & (self.blocked >= 0))
            & (self.unlimited | (self.running <= self.limit + self.surplus))
            & ((self.pending == 0) | (self.phase is Phase.OPEN))
            & ((self.pending_limit == 0) | (self.pending <= self.pending_limit))
            & ((self.blocked == 0) | ((self.pending_limit > 0) & (self.pending == self.pending_limit)))
        )

    def admission(self):
        """The real thing, with these numbers."""
        made = Admission(None if self.unlimited else self.limit, self.pending_limit)
        made.phase = self.phase
        made.running, made.pending, made.blocked = self.running, self.pending, self.blocked
        made.surplus = self.surplus
        return made

    def after(self, it):
        """What `it`, which had these numbers, has now. Which jobs are closing it can't tell."""
        unlimited = it.limit is None
        limit = self.limit if unlimited else it.limit
        phase, pending, blocked = it.phase, it.pending, it.blocked
        return Numbers(unlimited, limit, it.pending_limit, phase, it.running, 0, pending, blocked, it.surplus)

    def in_the_order_of_the_file(self, chosen=None):
        """As guards and effects want them; what the limit was at the beginning means nothing any more."""
        return (
            0, self.pending_limit,
            self.phase.value, self.pending, self.active, self.closing, self.blocked,
            0 if self.unlimited else self.limit,
            chosen,
        )  # fmt: skip

    def comes_to(self, action, chosen):
        """How many run, are pending and are blocked after an action, whether it can happen or not."""
        here, effect = self.in_the_order_of_the_file(chosen), EFFECTS[action]
        running = effect["active"](*here) + effect["closing"](*here)
        return running, effect["pending"](*here), effect["blocked"](*here)

    def is_followed_by(self, action, it, chosen=None):
        """Whether the action of the specification can happen, and `it` has the numbers that it leads to."""
        here, effect = self.in_the_order_of_the_file(chosen), EFFECTS[action]
        return (
            GUARDS[action](*here)
            and (it.limit or 0) == effect["L"](*here)
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
