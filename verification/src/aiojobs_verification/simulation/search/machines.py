"""Hypothesis machines around the real scheduler: one rule for each kind of event, chosen by Hypothesis.

Rules of this file: a machine has no opinion of its own. Every rule lets one event happen in a `World`,
whose oracle looks after it; at the end everything is brought to its end and the accounts are settled. A
turn of the loop is always possible, so that no machine ever runs out of rules.

How it works: Hypothesis has no asynchronous rules and needs none, since the world is led turn by turn.
What it adds to a walk at random is shape: it repeats what was interesting, and shortens what it found by
itself.

Three machines, three emphases: `LimitMachine` crowds a small scheduler, `ShutdownMachine` closes it in
every way, `ExceptionMachine` fails in every way with somebody listening or not.

Deliberately not here: how long they run (`fuzz` and tests/stateful say so).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from hypothesis import event as note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.search.counterexample import WIND_UP, Finding
from aiojobs_verification.simulation.search.ending import wind_up
from aiojobs_verification.simulation.search.walk import Walked, pair, with_stranger
from aiojobs_verification.simulation.world.packages import Package, own
from aiojobs_verification.simulation.world.parties import strangers
from aiojobs_verification.simulation.world.probes import ENDS, SELF_CALLS, TEMPERS, TERMS
from aiojobs_verification.simulation.world.world import CALLS, JOB_CALLS, SCHEDULER_CALLS, Event, Scope, World

__all__ = ["MACHINES", "ExceptionMachine", "LimitMachine", "ShutdownMachine", "WorldMachine"]


class WorldMachine(RuleBasedStateMachine):
    """A world whose events are chosen by Hypothesis."""

    package: ClassVar[Package] = own()
    limits: ClassVar[tuple[int | None, ...]] = (1, 2, 3)
    pending_limits: ClassVar[tuple[int, ...]] = (0, 1, 2)
    scope: ClassVar[Scope] = Scope(jobs=12, callers=8, cancels=4, tempers=TEMPERS)
    eager: ClassVar[bool] = False
    walked: ClassVar[Walked] = Walked()
    """What came of all runs of this class so far."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.events: list[Event] = []

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """A scheduler with some limits."""
        scope = replace(
            self.scope,
            limit=data.draw(st.sampled_from(self.limits)),
            pending_limit=data.draw(st.sampled_from(self.pending_limits)),
            slow=data.draw(st.booleans()),
            timers_first=data.draw(st.booleans()),
            eager=self.eager,
            contexts=data.draw(st.sampled_from(("copied", "given", "shared"))),
            misuse=data.draw(st.booleans()),
            pictures=data.draw(st.booleans()),
        )
        if data.draw(st.booleans()) and not self.eager and self.package.observed:
            scope = with_stranger(scope, data.draw(st.sampled_from(sorted(strangers()))))
        self.world = World(scope, self.package)
        self.world.__enter__()
        self.walked.worlds += 1

    def _possible(self, *kinds: str) -> list[Event]:
        return [event for event in self.world.enabled() if event[0] in kinds] if self.world else []

    def _let(self, event: Event) -> None:
        assert self.world is not None
        self.walked.steps += 1
        self.walked.pairs.add(pair(self.world, event))
        note(f"{event[0]}: {pair(self.world, event)[1]}")
        self.events.append(event)
        try:
            self.world.apply(event)
        except Violation as violation:
            self._remember(violation)
            raise

    def _let_one(self, data: st.DataObject, *kinds: str) -> None:
        self._let(data.draw(st.sampled_from(self._possible(*kinds))))

    def _remember(self, violation: Violation) -> None:
        assert self.world is not None
        self.walked.keep(Finding.of(self.world.scope, self.events, violation))

    @precondition(lambda self: self.world is not None)
    @rule()
    def turn(self) -> None:
        """The loop takes a turn."""
        self._let(("turn",))

    @precondition(lambda self: self._possible("tick"))
    @rule()
    def tick(self) -> None:
        """Time passes."""
        self._let(("tick",))

    @precondition(lambda self: self._possible("fire"))
    @rule()
    def fire(self) -> None:
        """The timers that are due fire before what is ready."""
        self._let(("fire",))

    @precondition(lambda self: self._possible("spawn", "nowait"))
    @rule(data=st.data())
    def spawn(self, data: st.DataObject) -> None:
        """A coroutine is given to the scheduler."""
        self._let_one(data, "spawn", "nowait")

    @precondition(lambda self: self._possible("thread"))
    @rule(data=st.data())
    def spawn_from_thread(self, data: st.DataObject) -> None:
        """Another thread gives a coroutine to the scheduler."""
        self._let_one(data, "thread")

    @precondition(lambda self: self._possible(*ENDS))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A coroutine is told how to end."""
        self._let_one(data, *ENDS)

    @precondition(lambda self: self._possible(*JOB_CALLS, *SELF_CALLS))
    @rule(data=st.data())
    def call_job(self, data: st.DataObject) -> None:
        """Somebody waits for a job or closes it."""
        self._let_one(data, *JOB_CALLS, *SELF_CALLS)

    @precondition(lambda self: self._possible(*SCHEDULER_CALLS))
    @rule(data=st.data())
    def call_scheduler(self, data: st.DataObject) -> None:
        """Somebody closes the scheduler, drains it, shields something."""
        self._let_one(data, *SCHEDULER_CALLS)

    @precondition(lambda self: self._possible("set-limit"))
    @rule(data=st.data())
    def set_limit(self, data: st.DataObject) -> None:
        """Somebody changes the limit."""
        self._let_one(data, "set-limit")

    @precondition(lambda self: self._possible("misuse"))
    @rule()
    def misuse(self) -> None:
        """Somebody makes every mistake there is."""
        self._let(("misuse",))

    @precondition(lambda self: self._possible("cancel", "leave", "leave-raise", "sweep"))
    @rule(data=st.data())
    def disturb(self, data: st.DataObject) -> None:
        """A caller is cancelled, an ``async with`` is left."""
        self._let_one(data, "cancel", "leave", "leave-raise", "sweep")

    def teardown(self) -> None:
        """Everything is brought to its end."""
        if self.world is None:
            return
        try:
            if not self.walked.findings:
                self.events.append(WIND_UP)
                wind_up(self.world)
            self.walked.spoken.update(self.world.oracle.spoken)
        except Violation as violation:
            self._remember(violation)
            raise
        finally:
            self.world.__exit__(None, None, None)
            self.world = None


class LimitMachine(WorldMachine):
    """Many jobs, few places, and everybody in a hurry."""

    scope = Scope(
        jobs=20,
        callers=6,
        cancels=6,
        tempers=("obedient", "stubborn", "instant"),
        terms=("plain", "timed"),
        limits=(1, 2, 3, 5, "none"),
        resizes=6,
        spawns=("spawn", "nowait", "thread"),
        calls=JOB_CALLS,
    )


class ShutdownMachine(WorldMachine):
    """Every way to close, drain and leave, together."""

    scope = Scope(
        jobs=6,
        callers=6,
        cancels=4,
        sweeps=1,
        shields=("obedient", "stubborn"),
        terms=TERMS,
        limits=(1, 4),
        resizes=1,
        calls=(*SCHEDULER_CALLS, "close"),
    )


class ExceptionMachine(WorldMachine):
    """Every way to fail, with callers who wait, and leave before they hear."""

    scope = Scope(
        jobs=6,
        callers=10,
        cancels=5,
        handler="raises",
        tempers=("obedient", "stubborn", "failing"),
        terms=("plain", "timed"),
        calls=(*CALLS, *SELF_CALLS),
    )


MACHINES = (LimitMachine, ShutdownMachine, ExceptionMachine)
