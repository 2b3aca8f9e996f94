"""Which runs to make: at random to begin with, then every one, the cheapest first; and how a failure is made short.

Rules of this file: what was not tried is said. A search is exhausted if from every state that was reached every event
that is possible there was let happen, within the bound on hasty ones; anything else is no result. A state in which the
program was before is not followed up again; a state that can't be seen into is like no other.

How it works: a running program can't be copied, so a state is reached again by doing the same steps in a new run.
That this leads to the same state is not assumed: it must offer the same events. Each run goes on by the first of the
possible events to its end; the others are kept for later, ordered by how often they leave that course. Random runs
come before and between: where there are too many runs they find sooner what fails.

Deliberately not here: what a run is (`_run`), when two states are the same (`_fingerprint`).
"""

from __future__ import annotations

import gc
import heapq
import random
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from ._fingerprint import Fingerprints, Unseen
from ._run import CannotExplore, Run, Step, undisturbed

if TYPE_CHECKING:
    from ._run import Test
    from ._story import Event

__all__ = ("Found", "Script", "Search")

_WALKS: Final = 10
"""The number of random runs that come first."""
_BETWEEN: Final = 10
"""Later, one run in this many is random."""
_PATIENCE: Final = 0.7
"""How often a random run lets a busy loop turn."""
_SWEEP: Final = 200
"""After this many runs what they left in circles is collected: between two runs, never inside one."""
_MINIMISING: Final = 400
"""The number of runs, at most, that shorten a story."""


class Found(NamedTuple):
    """A story that fails."""

    steps: list[Step]
    kind: str
    """What went wrong. The error itself would keep its run alive."""

    def cost(self) -> tuple[int, int]:
        """What is shorter is better, and then what needs less haste."""
        return len(self.steps), sum(step.turns is not None for step in self.steps)


class _Node(NamedTuple):
    """The last of some steps, and what was possible when it was chosen."""

    before: _Node | None
    step: Step
    offered: tuple[str, ...]

    def path(self) -> list[_Node]:
        nodes: list[_Node] = []
        node: _Node | None = self
        while node is not None:
            nodes.append(node)
            node = node.before
        nodes.reverse()
        return nodes


class Search:
    """A search through all stories of one test; its attributes say how far it came."""

    def __init__(self, test: Test, hasty: int) -> None:
        self.test = test
        self.hasty = hasty
        self.runs = 0
        self.states = 0
        self.ends = 0
        """How many runs came to the end of the test."""
        self.exhausted = False
        self.endless = 0
        """How many runs were broken off because they did not end."""
        self.unseen: dict[str, None] = {}
        """The types that could not be seen into."""
        self.known: dict[bytes, int] = {}
        """The states that were reached, each with how many hasty events were left."""
        self.fingerprints = Fingerprints()
        self.left: list[tuple[int, int, _Node]] = []
        """What is to be tried, cheapest first."""
        self._order = 0

    def look(self, seconds: float, runs: int | None) -> Found | None:
        """Search until something fails, all was tried, or so much time is over; what failed, made short."""
        deadline = time.monotonic() + seconds
        with undisturbed():
            for found in self._all():
                if found is not None:
                    return self._minimised(found)
                if time.monotonic() > deadline or (runs is not None and self.runs >= runs):
                    return None
        self.exhausted = not self.endless
        return None

    def _all(self) -> Iterator[Found | None]:
        for seed in range(_WALKS):
            yield self._run(_Walk(self.hasty, seed))
        yield self._run(_Explorer(self, None, 0))
        while self.left:
            if self.runs % _BETWEEN == 0:
                yield self._run(_Walk(self.hasty, self.runs))
            cost, _, node = heapq.heappop(self.left)
            yield self._run(_Explorer(self, node, cost))

    def _run(self, guide: _Walk | _Explorer | Script) -> Found | None:
        self.runs += 1
        if self.runs % _SWEEP == 0:
            gc.collect(1)
        run = Run(self.test, guide).go()
        self.ends += run.ended
        self.endless += run.endless and isinstance(guide, _Explorer)
        return None if run.failure is None else Found(run.steps, run.failure.kind())

    def keep(self, cost: int, node: _Node) -> None:
        """Keep something for later."""
        self._order += 1
        heapq.heappush(self.left, (cost, self._order, node))

    def _minimised(self, found: Found) -> Found:
        """Leave out what does not matter, as long as the same failure comes of less."""
        last = self.runs + _MINIMISING
        better: Found | None = found
        while better is not None:
            found = better
            better = next(self._better(found, last), None)
        return found

    def _better(self, found: Found, last: int) -> Iterator[Found]:
        for steps in _simpler(found.steps):
            if self.runs >= last:
                return
            other = self._run(Script(steps, self.hasty))
            if other is not None and other.kind == found.kind and other.cost() < found.cost():
                yield other


def _simpler(steps: list[Step]) -> Iterator[list[Step]]:
    for place in range(len(steps) - 1, -1, -1):
        yield steps[:place] + steps[place + 1 :]
    for place, step in enumerate(steps):
        if step.turns is not None:
            yield [*steps[:place], Step(step.name, None), *steps[place + 1 :]]


def _haste(steps: list[Step]) -> int:
    return sum(step.turns is not None for step in steps)


class _Walk:
    """Chooses by chance."""

    def __init__(self, hasty: int, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311  it has to be repeatable
        self._hasty = hasty

    def choose(self, run: Run, *, busy: bool) -> Event | None:
        chance = self._chance
        if busy and (chance.random() < _PATIENCE or _haste(run.steps) >= self._hasty):
            return None
        events = run.events()
        return chance.choice(events) if events else None


class _Explorer:
    """Does some steps again, and goes on by the first of what is possible; keeps the rest for later."""

    def __init__(self, search: Search, node: _Node | None, cost: int) -> None:
        self._search = search
        self._node = node
        self._again = [] if node is None else node.path()
        self._at = 0
        self._cost = cost
        self._hasty = search.hasty - _haste([each.step for each in self._again])
        self._lately: dict[bytes, None] = {}
        """The states since the last event."""

    def choose(self, run: Run, *, busy: bool) -> Event | None:
        if self._at < len(self._again):
            return self._repeat(run, busy=busy)
        if busy and self._hasty == 0:
            return None
        if self._is_known(run, busy=busy):
            run.stop()
            return None
        events = run.events()
        names = tuple(event.name for event in events)
        if busy:
            self._keep(run.turns, names, names)
            return None
        self._keep(None, names[1:], names)
        self._node = _Node(self._node, Step(names[0], None), names)
        self._lately.clear()
        return events[0]

    def _repeat(self, run: Run, *, busy: bool) -> Event | None:
        _, step, offered = self._again[self._at]
        if busy and (step.turns is None or run.turns < step.turns):
            return None
        self._at += 1
        events = run.events()
        if busy == (step.turns is None) or tuple(event.name for event in events) != offered:
            names = "; ".join(event.name for event in events)
            raise CannotExplore(
                f"the same steps led elsewhere: {step.name!r} was one of {'; '.join(offered)}, and now is one of: "
                f"{names}. The test depends on chance, on the clock, on the order of a set of objects, or on what "
                "an earlier run has left behind"
            )
        return events[offered.index(step.name)]

    def _is_known(self, run: Run, *, busy: bool) -> bool:
        search = self._search
        try:
            mark = search.fingerprints.digest(run.loop, run.scenario)
        except Unseen as unseen:
            search.unseen[str(unseen)] = None
            search.states += 1
            return False
        if busy and mark in self._lately:
            run.spins()
        self._lately[mark] = None
        left = search.known.get(mark)
        search.states += left is None
        if left is None or left < self._hasty:
            search.known[mark] = self._hasty
            return False
        return True

    def _keep(self, turns: int | None, names: tuple[str, ...], offered: tuple[str, ...]) -> None:
        cost = self._cost + (1 if turns is None else 2)
        for name in names:
            self._search.keep(cost, _Node(self._node, Step(name, turns), offered))


class Script:
    """Does the steps of a list, as far as they are possible, and then whatever comes first."""

    def __init__(self, steps: list[Step], hasty: int | None = None) -> None:
        """With a bound on hasty events a step that is not possible is left out; without one it is an error."""
        self._steps = steps
        self._lenient = hasty is not None
        self._at = 0

    def choose(self, run: Run, *, busy: bool) -> Event | None:
        while self._at < len(self._steps):
            step = self._steps[self._at]
            if busy and (step.turns is None or run.turns < step.turns):
                return None
            self._at += 1
            events = run.events()
            event = next((each for each in events if each.name == step.name), None)
            if event is not None and (self._lenient or busy == (step.turns is not None)):
                return event
            if not self._lenient:
                raise CannotExplore(self._impossible(events))
        return None if busy else run.events()[0]

    def _impossible(self, events: list[Event]) -> str:
        names = "; ".join(event.name for event in events) or "nothing"
        name = self._steps[self._at - 1].name
        return f"step {self._at}, {name!r}, is not possible at this moment. Possible: {names}"
