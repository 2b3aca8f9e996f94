"""Every state of a world, found by letting every possible event happen in each.

Rules of this file: nothing is sampled. From every state that was reached, every event that is possible
there is let happen once, and the oracle looks after each. What is not covered is outside the scope.

How it works: a running program can't be copied, so a state is kept as a list of events that leads to it,
and is reached again by replaying them in a new world. That this gives the same state is not assumed: each
replay must find the same possible events, and the first replay of every fourth state the same fingerprint.
A state whose fingerprint is known is not explored again. Breadth first, for two reasons: the first
violation found has a short story, and replays are short. Only turns of the loop are followed up at once,
from the world that has just reached a new state: they need no replay. Neither does misuse: it changes
nothing, or is a violation.

Turns that lead back to where they began are a loop that spins. A state in which nothing can happen any
more is brought to its end, and the accounts are settled.

Deliberately not here: what can happen (`world`), what is right (`oracle`), when two states are the same
(`fingerprint`), which scopes there are (`scopes`).
"""

from __future__ import annotations

import gc
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from aiojobs_verification.simulation.oracle.projection import REFINEMENT
from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.search.counterexample import WIND_UP, Finding
from aiojobs_verification.simulation.search.ending import untie, wind_up
from aiojobs_verification.simulation.search.fingerprint import fingerprint
from aiojobs_verification.simulation.world.choices import MISUSE, TURN
from aiojobs_verification.simulation.world.world import Event, Scope, World, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    from aiojobs_verification.simulation.oracle.projection import ModelState
    from aiojobs_verification.simulation.oracle.refinement import Model
    from aiojobs_verification.simulation.world.packages import Package

__all__ = ["Found", "OnProgress", "ReplayError", "explore"]

OnProgress: TypeAlias = "Callable[[Found, int], None]"
"""Is told from time to time what was found so far, and how many states are known."""

_SWEEP: Final = 200
"""So many worlds are kept when they are over, and then go together: between two worlds, never inside one.

A faulty scheduler may remember something by its address, which must not soon be that of something else."""


_BESIDE: Final = 3000
"""So many states more are looked at, when the code has left the model, for a promise that is broken as well."""


class ReplayError(AssertionError):
    """A replay did not lead to the same state: the world is not deterministic, and this is worth nothing."""


@dataclass(slots=True)
class Found:
    """What came of exploring one scope."""

    states: int = 0
    events: int = 0
    """How many events were let happen, each from a state of its own; replays not counted."""
    depth: int = 0
    """How many events lead to the state that is farthest away."""
    steps: int = 0
    """How many events were let happen in all, replays included."""
    spoken: set[str] = field(default_factory=set)
    """The requirements that had something to say."""
    actions: set[str] = field(default_factory=set)
    cells: set[tuple[str, str]] = field(default_factory=set)
    met: set[str] = field(default_factory=set)
    """The strangers that have done what they are strange for: kinds of factories, coroutines and parties."""
    modelled: set[str] = field(default_factory=set)
    """The kinds of steps of the model that were taken, if it was held against a model."""
    in_model: int = 0
    """How many states of the model that was in."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """For each requirement that is broken, a shortest story."""

    def figures(self) -> dict[str, int]:
        """What is pinned."""
        return {"states": self.states, "events": self.events, "depth": self.depth}


@dataclass(slots=True)
class _Reached:
    """A state: how it was reached, what it is, and what can happen in it."""

    before: _Reached | None
    event: Event | None
    depth: int
    mark: bytes
    enabled: tuple[Event, ...]
    turned: _Reached | None = None
    """Where a turn of the loop leads."""
    number: int = 0
    in_model: ModelState | None = None
    """Where it is in the model."""

    def path(self) -> list[Event]:
        """The events that lead here."""
        events: list[Event] = []
        state: _Reached | None = self
        while state is not None and state.event is not None:
            events.append(state.event)
            state = state.before
        events.reverse()
        return events


def _events(world: World, state: _Reached, event: Event) -> tuple[Event, ...]:
    """What has happened in a world."""
    return (*state.path(), event, *([WIND_UP] if world.winding_up else []))


class _Explorer:
    def __init__(
        self,
        scope: Scope,
        package: Package,
        wanted: int,
        until: frozenset[str],
        progress: OnProgress,
        *,
        model: Model | None = None,
    ) -> None:
        self.scope = scope
        self.package = package
        self.model = model
        self.wanted = wanted
        self.until = until
        self.progress = progress
        self.found = Found()
        self.known: dict[bytes, _Reached] = {}
        self.queue: deque[_Reached] = deque()
        self.shared: dict[tuple[Event, ...], tuple[Event, ...]] = {}  # what is possible, once for all states
        self.over: list[World] = []
        self.diverged_at = 0
        """How many states were known when the code was first seen to do what the model does not."""

    def run(self) -> Found:
        """Explore everything, or until so many requirements are found broken."""
        with watching(), _no_collector():
            with World(self.scope, self.package, model=self.model) as world:
                if world.refinement is not None:
                    world.refinement.begin()
                world.look()
                self._reach(world, None, None)
            while self.queue and not self._has_enough():
                self._expand(self.queue.popleft())
            self._look_for_spinning()
        self.found.states = len(self.known)
        if self.model is not None:
            self.found.modelled, self.found.in_model = self.model.met, len(self.model.states)
        return self.found

    def _has_enough(self) -> bool:
        findings = self.found.findings
        if REFINEMENT in findings and len(self.known) > self.diverged_at + _BESIDE:
            return True
        promises = len(findings) - (REFINEMENT in findings)
        return promises >= self.wanted or (bool(self.until) and self.until <= findings.keys())

    def _expand(self, state: _Reached) -> None:
        """Try every event that is possible here but those that were tried when this was reached."""
        path = state.path()
        events = [event for event in state.enabled if event not in (TURN, MISUSE)]
        for number, event in enumerate(events):
            with World(self.scope, self.package, model=self.model) as world:
                self._replay(world, state, path, check=number == 0 and state.number % 4 == 0)
                self._go_on(world, state, event)
            self.over.append(world)
            if len(self.over) == _SWEEP:
                self._sweep()

    def _sweep(self) -> None:
        for world in self.over:
            untie(world)
        self.over.clear()
        gc.collect(1)
        gc.freeze()  # what has survived is part of the graph: no need to look at it again
        self.progress(self.found, len(self.known))

    def _replay(self, world: World, state: _Reached, path: Sequence[Event], *, check: bool) -> None:
        try:
            for event in path:
                world.apply(event, again=True)
        except Violation as violation:
            raise ReplayError(f"what was right is wrong the second time: {path}") from violation
        self.found.steps += len(path)
        if tuple(world.enabled()) != state.enabled or (check and path and not self._is_same(world, state)):
            raise ReplayError(f"the same events lead to another state: {path}")
        if world.refinement is not None:
            world.refinement.here = state.in_model

    def _is_same(self, world: World, state: _Reached) -> bool:
        if world.refinement is not None and state.in_model is not None:
            return world.refinement.projection.state() == state.in_model and fingerprint(world) == state.mark
        return fingerprint(world) == state.mark

    def _go_on(self, world: World, state: _Reached, event: Event | None) -> None:
        """Try an event, and from each new state that is reached a turn of the loop."""
        while event is not None:
            self.found.events += 1
            self.found.steps += 1
            try:
                world.apply(event)
                reached = self._reach(world, state, event)
                if reached is not None and MISUSE in reached.enabled:
                    state, event = reached, MISUSE
                    world.apply(MISUSE)
            except Violation as violation:
                self._keep(_events(world, state, event), violation)
                return
            if world.refinement is not None and world.refinement.left is not None:
                self._keep(_events(world, state, event), world.refinement.left)
                world.refinement.left = None
            if reached is None:
                return
            state, event = reached, TURN if reached.enabled[:1] == (TURN,) else None

    def _keep(self, events: tuple[Event, ...], violation: Violation) -> None:
        known = self.found.findings.get(violation.requirement)
        if violation.requirement == REFINEMENT and known is None:
            self.diverged_at = len(self.known)
        if known is None or len(known.events) > len(events):
            self.found.findings[violation.requirement] = Finding.of(self.scope, events, violation)

    def _reach(self, world: World, before: _Reached | None, event: Event | None) -> _Reached | None:
        """Note the state that was reached: a new one is queued, and returned; a final one is settled."""
        mark = fingerprint(world)
        state = self.known.get(mark)
        new = state is None
        if state is None:
            depth = 0 if before is None else before.depth + 1
            enabled = tuple(world.enabled())
            enabled = self.shared.setdefault(enabled, enabled)
            here = None if world.refinement is None else world.refinement.here
            state = _Reached(before, event, depth, mark, enabled, number=len(self.known), in_model=here)
            self.known[mark] = state
            self.found.depth = max(self.found.depth, depth)
        if event == TURN and before is not None:
            before.turned = state
        if not new:
            return None
        self.queue.append(state)
        if not state.enabled:
            wind_up(world)
        self._note_coverage(world)
        return state

    def _note_coverage(self, world: World) -> None:
        self.found.spoken |= world.oracle.spoken
        if world.environment.met:
            self.found.met |= world.environment.strangers
        if world.oracle.reference is not None:
            self.found.actions |= world.oracle.reference.actions
            self.found.cells |= world.oracle.reference.cells

    def _look_for_spinning(self) -> None:
        """A circle of turns is a loop that never comes to rest."""
        clear: set[int] = set()
        for start in self.known.values():
            trail: dict[int, None] = {}
            state: _Reached | None = start
            while state is not None and state.number not in clear and state.number not in trail:
                trail[state.number] = None
                state = state.turned
            if state is not None and state.number in trail:
                events = (*state.path(), WIND_UP)
                self._keep(
                    events, Violation("SHUT-4", "the loop spins: turn after turn, and nothing changes")
                )
                return
            clear.update(trail)


@contextmanager
def _no_collector() -> Generator[None]:
    """No garbage is collected while a world runs: what a finalizer does must not depend on when it is."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was:
            gc.enable()


def _silent(_found: Found, _states: int) -> None:
    """Nobody wants to know."""


def explore(
    scope: Scope,
    package: Package,
    *,
    wanted: int = 1,
    until: Collection[str] = (),
    progress: OnProgress = _silent,
    model: Model | None = None,
) -> Found:
    """Explore a scope fully, or until so many requirements, or all of these, are found broken.

    With a model each step of the scheduler must be one of its steps.
    """
    return _Explorer(scope, package, wanted, frozenset(until), progress, model=model).run()
