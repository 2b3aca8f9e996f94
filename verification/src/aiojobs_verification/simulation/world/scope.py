"""Scopes: the bounds that make a world finite.

Rules of this file: a `Scope` bounds a world: so many jobs, so many callers, so many cancellations, and
which kinds of each. It is data, the same in `spec/explore.toml`, in a story and in a test to paste. Within
its scope a world is finite but for the passing of time, and even that repeats itself.

Deliberately not here: which of the scopes are explored (`scopes`), and what happens in them (`world`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiojobs_verification.simulation.world.probes import ENDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

__all__ = ["CALLS", "EPOCH", "JOB_CALLS", "PLAIN", "SCHEDULER_CALLS", "Event", "Scope", "Spent"]

Event: TypeAlias = tuple[Any, ...]
"""What happens from outside: its kind, and what it is about."""

EPOCH: Final = 1_000_000.0
"""When a world begins. So late that no duration can be mistaken for a point of time."""

JOB_CALLS: Final = ("wait", "await", "wait-for", "close", "close-for")
SCHEDULER_CALLS: Final = ("shut", "drain", "drain-for", "with", "shield", "idle")
CALLS: Final = (*JOB_CALLS, *SCHEDULER_CALLS)
"""What a caller can do besides spawning: about a job, and about the scheduler."""

PLAIN: Final = frozenset({"stock", "ordinary", "polite"})
"""The factory, the coroutines and the other parties of a world without strangers."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The bounds of a world. Durations are so different that no two sums of them are equal by accident."""

    limit: int | None = 1
    pending_limit: int = 1
    jobs: int = 2
    """How many coroutines are spawned at most."""
    tempers: tuple[str, ...] = ("obedient", "stubborn")
    terms: tuple[str, ...] = ("plain",)
    """What is agreed about jobs when they are spawned, see `probes.TERMS`."""
    spawns: tuple[str, ...] = ("spawn", "nowait")
    ends: tuple[str, ...] = ENDS
    calls: tuple[str, ...] = CALLS
    callers: int = 2
    """How many calls there are besides those of `spawn`."""
    shields: tuple[str, ...] = ("obedient",)
    """The tempers of shielded coroutines."""
    cancels: int = 1
    """How many callers are cancelled."""
    sweeps: int = 0
    """How often every task of the loop is cancelled."""
    limits: tuple[int | str, ...] = ()
    """What the limit may be set to while the scheduler is there; ``none`` for no limit."""
    resizes: int = 0
    """How often that is done."""
    handler: str = "keeps"
    """``keeps``, ``raises``, or ``loop`` for a scheduler without a handler of its own."""
    eager: bool = False
    slow: bool = False
    """Time may pass while callbacks are ready, as it does in a real program whose callbacks are slow."""
    timers_first: bool = False
    """A timer that is due may fire before what an outside event has just made ready: asyncio runs both in one pass,
    and a pass later what the event has made ready."""
    contexts: str = "copied"
    """In which context a job is to run, see `truth.CONTEXTS`."""
    pictures: bool = False
    """In every state a picture is taken of the scheduler."""
    misuse: bool = False
    """At any time somebody does what nobody may do."""
    factories: tuple[str, ...] = ("stock",)
    """What the loop may make of the coroutine of a job, see `environment.FACTORIES`."""
    coroutines: tuple[str, ...] = ("ordinary",)
    """What kind of coroutines jobs may be, see `environment.COROUTINES`."""
    parties: tuple[str, ...] = ("polite",)
    """What foreign code may do where it is called, see `parties.PARTIES`."""
    close_timeout: float = 1.0
    wait_timeout: float = 16.0
    timeout: float = 4.0
    """Of ``wait-for``, ``close-for`` and ``drain-for``."""
    time_limit: float = 2.0
    """Of jobs that are given so much time and no more."""

    @classmethod
    def of(cls, bounds: Mapping[str, Any]) -> Self:
        """The scope of a document, where tuples are lists."""
        given: dict[str, Any] = {}
        for name, value in bounds.items():
            given[name] = tuple(value) if isinstance(value, list) else value
        return cls(**given)

    def surroundings(self) -> dict[str, tuple[str, ...]]:
        """What a scheduler may live among, by its dimensions."""
        return {"factories": self.factories, "coroutines": self.coroutines, "parties": self.parties}

    def describe(self) -> str:
        """The bounds that matter most, in a few words."""
        flags = {"eager": self.eager, "slow": self.slow, "timers first": self.timers_first}
        extras = [name for name, is_set in flags.items() if is_set]
        extras += [f"handler {self.handler}"] if self.handler != "keeps" else []
        extras += ["sweep"] if self.sweeps else []
        extras += [f"contexts {self.contexts}"] if self.contexts != "copied" else []
        extras += ["misuse"] if self.misuse else []
        extras += [f"jobs {' or '.join(self.terms)}"] if self.terms != ("plain",) else []
        extras += [f"limit set {self.resizes}×"] if self.resizes else []
        extras += [
            f"{noun} {kinds[0]}" if len(kinds) == 1 else f"{len(kinds)} {noun}"
            for noun, kinds in self.surroundings().items()
            if set(kinds) - PLAIN
        ]
        limits = (
            "no limit" if self.limit is None else f"limit {self.limit}, pending limit {self.pending_limit}"
        )
        counted = {"job": self.jobs, "caller": self.callers, "cancel": self.cancels}
        numbers = [f"{number} {noun}{'s' * (number != 1)}" for noun, number in counted.items()]
        return ", ".join([limits, *numbers, *extras])


@dataclass(slots=True)
class Spent:
    """How much of the scope has been used."""

    jobs: int = 0
    callers: int = 0
    cancels: int = 0
    sweeps: int = 0
    resizes: int = 0

    def key(self) -> tuple[int, ...]:
        """For the fingerprint."""
        return (self.jobs, self.callers, self.cancels, self.sweeps, self.resizes)
