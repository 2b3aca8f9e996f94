"""A random walk through a world: the proportions of events, and the length.

Rules of this file: a walk is a function of its seed. The proportions are those that found the known
defects of another package soonest: many turns, since nothing happens without them; few events that end
everything, since nothing happens after them. Every walk is brought to its end, and the accounts are
settled.

How it works: a seed gives a scope of its own (limits, number of jobs, tempers, kinds of calls), so that no
part of the world is always the same. A walk that breaks a requirement is told again without the events
that do not matter.

Deliberately not here: how many walks (`fuzz`).
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.search.counterexample import WIND_UP, Finding
from aiojobs_verification.simulation.search.ending import wind_up
from aiojobs_verification.simulation.world.environment import COROUTINES, FACTORIES
from aiojobs_verification.simulation.world.parties import PARTIES, strangers
from aiojobs_verification.simulation.world.probes import ENDS, SELF_CALLS, TEMPERS, TERMS
from aiojobs_verification.simulation.world.world import CALLS, Event, Scope, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiojobs_verification.simulation.world.packages import Package

__all__ = ["Walked", "among_strangers", "choose", "pair", "random_scope", "walk", "with_stranger"]

_WEIGHTS: Final = {
    "turn": 8.0,
    "spawn": 3.0,
    "nowait": 2.0,
    "thread": 1.5,
    "tick": 2.0,
    "cancel": 1.0,
    "return": 1.0,
    "raise": 1.0,
    "base": 0.2,
    "exit": 0.1,
    "quit": 0.3,
    "shut": 0.1,
    "drain": 0.2,
    "drain-for": 0.2,
    "with": 0.2,
    "sweep": 0.1,
    "misuse": 0.1,
    "idle": 0.3,
    "set-limit": 0.2,
}
_OTHER: Final = 0.6
"""The weight of an event that is not in the list."""

_LONGEST: Final = 150


@dataclass(slots=True)
class Walked:
    """What came of some walks."""

    worlds: int = 0
    steps: int = 0
    spoken: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    """Kinds of events, each with the state of what it was about."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """For each requirement that is broken, the shortest story so far."""

    @property
    def kinds(self) -> set[str]:
        """The kinds of events that were done."""
        return {kind for kind, _ in self.pairs}

    def add(self, other: Walked) -> None:
        """Take in what came of others."""
        self.worlds += other.worlds
        self.steps += other.steps
        self.spoken |= other.spoken
        self.pairs |= other.pairs
        for finding in other.findings.values():
            self.keep(finding)

    def keep(self, finding: Finding) -> None:
        """Keep a finding, unless there is a shorter one."""
        known = self.findings.get(finding.requirement)
        if known is None or len(finding.events) < len(known.events):
            self.findings[finding.requirement] = finding


def random_scope(chance: random.Random, *, eager: bool | None = None) -> Scope:
    """Some world; eager tasks by chance, where there are any, unless that is given."""
    kinds = (*CALLS, *SELF_CALLS)
    may_be_eager = sys.version_info >= (3, 12)
    return Scope(
        limit=chance.choice([1, 1, 2, 2, 3, 5, None]),
        pending_limit=chance.choice([0, 1, 1, 2, 5]),
        jobs=chance.choice([2, 3, 5, 8, 30]),
        tempers=tuple(sorted(chance.sample(TEMPERS, chance.randint(1, len(TEMPERS))))),
        terms=chance.choice([("plain",), ("plain", "timed"), ("plain", "endless"), TERMS]),
        spawns=chance.choice([("spawn", "nowait"), ("spawn", "nowait", "thread")]),
        limits=(1, 2, 3, 5, "none"),
        resizes=chance.choice([0, 0, 2, 10]),
        pictures=chance.choice([True, False, False, False]),
        time_limit=chance.choice([2.0, 8.0, 0.5]),
        ends=chance.choice([("return", "raise"), ("return", "quit"), ENDS]),
        calls=tuple(sorted(chance.sample(kinds, chance.randint(1, len(kinds))))),
        callers=chance.choice([2, 4, 8, 20]),
        shields=chance.choice([("obedient",), ("obedient", "stubborn", "failing")]),
        cancels=chance.choice([0, 1, 2, 8]),
        sweeps=chance.choice([0, 0, 0, 1]),
        handler=chance.choice(["keeps", "keeps", "raises", "loop"]),
        slow=chance.choice([False, False, True]),
        timers_first=chance.choice([False, True]),
        contexts=chance.choice(["copied", "copied", "given", "shared"]),
        misuse=chance.choice([False, False, True]),
        eager=may_be_eager and (chance.choice([False, True]) if eager is None else eager),
    )


def among_strangers(scope: Scope, chance: random.Random) -> Scope:
    """The same world, in every second case with strangers in it, by a chance of their own."""
    if scope.eager or chance.choice([False, True]):
        return scope
    registry: Any = chance.choice([FACTORIES, COROUTINES, PARTIES])
    names = sorted(registry.keys() & strangers())
    return with_stranger(scope, chance.choice(names))


def with_stranger(scope: Scope, name: str) -> Scope:
    """The same world with one stranger in it."""
    registries: dict[str, Any] = {"factories": FACTORIES, "coroutines": COROUTINES, "parties": PARTIES}
    kind = next(kind for kind, names in registries.items() if name in names)
    # A factory has to be able to tell for whom it is called.
    contexts = "copied" if scope.contexts == "shared" else scope.contexts
    handler = "keeps" if name.startswith("handler") else scope.handler
    spawns = tuple(spawn for spawn in scope.spawns if spawn != "thread")
    chosen: dict[str, Any] = {kind: (name,), "spawns": spawns}
    return replace(scope, misuse=False, sweeps=0, contexts=contexts, handler=handler, **chosen)


def _for_another(scope: Scope) -> Scope:
    """For a package without what is new in this one; a wrong context shall not hide everything else."""
    contexts = "copied" if scope.contexts == "copied" else "unwatched"
    plain: dict[str, Any] = {
        "factories": ("stock",),
        "coroutines": ("ordinary",),
        "parties": ("polite",),
        "terms": ("plain",),
        "spawns": ("spawn", "nowait"),
    }
    return replace(scope, eager=False, misuse=False, contexts=contexts, **plain)


def choose(chance: random.Random, events: Sequence[Event]) -> Event:
    """One of the possible events, by weight."""
    return chance.choices(events, [_weight(event) for event in events])[0]


def _weight(event: Event) -> float:
    weight = _WEIGHTS.get(event[0], _OTHER)
    return weight / 3 if len(event) > len(("spawn", "temper")) and event[0] in {"spawn", "nowait"} else weight


def walk(package: Package, seed: int | str, scope: Scope | None = None) -> Walked:
    """Walk through one world; the scope, too, comes from the seed unless it is given."""
    chance = random.Random(seed)  # noqa: S311 - it has to be repeatable
    scope = scope or among_strangers(random_scope(chance), random.Random(f"strangers {seed}"))  # noqa: S311
    if not package.observed:
        scope = _for_another(scope)
    length = chance.choice([20, 50, _LONGEST])
    walked = Walked(worlds=1)
    events: list[Event] = []
    with World(scope, package) as world:
        try:
            while len(events) < length and (possible := world.enabled()):
                event = choose(chance, possible)
                walked.pairs.add(pair(world, event))
                events.append(event)
                world.apply(event)
            events.append(WIND_UP)
            wind_up(world)
        except Violation as violation:
            walked.keep(Finding.of(scope, events, violation))
        walked.spoken |= world.oracle.spoken
    walked.steps = len(events)
    return walked


def _way(to: str, limit: int | None) -> str:
    """Which way the limit goes."""
    return "up" if to == "none" or (limit is not None and int(to) > limit) else "down"


def pair(world: World, event: Event) -> tuple[str, str]:
    """The kind of an event and the state of what it is about: of a job, of a call, of the scheduler."""
    kind: str = event[0]
    target: Any = event[1] if len(event) > 1 else None
    reference = world.oracle.reference
    if kind in {"cancel", "leave", "leave-raise"}:
        return kind, world.calls[target].kind
    if kind == "set-limit":
        return kind, _way(target, world.limit)
    if isinstance(target, int):
        body = world.bodies[target]
        return kind, reference.states.get(body, "shielded") if reference is not None else "job"
    if reference is None:
        return kind, ""
    full = "full" if reference.counters.blocked else "queueing" if reference.counters.pending else ""
    return kind, f"{reference.phase} {full}".strip()
