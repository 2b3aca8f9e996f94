"""A walk through a world in real time, on a loop of somebody else: uvloop, or asyncio's own.

Rules of this file: as on the virtual loop everybody and everything is outside, but the loop turns by
itself and time passes by itself. So the walk is a coroutine on that loop; a turn is `sleep(0)`, time
passing is a sleep of some milliseconds. The same oracle looks after each turn; that nothing more happens by
itself is assumed after a number of turns, and deadlines may be seen late.

Deliberately not here: shrinking. What happens in real time does not happen twice; a story is kept as it
was.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec as find_module
from typing import TYPE_CHECKING, Final

from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.search.counterexample import Finding
from aiojobs_verification.simulation.search.ending import let_go
from aiojobs_verification.simulation.search.walk import Walked, choose, pair, random_scope
from aiojobs_verification.simulation.world.world import Event, Scope, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiojobs_verification.simulation.world.packages import Package

__all__ = ["live", "loops"]

_GRACE: Final = 0.5
"""So many seconds after its deadline an answer is still in time: the machine may be busy."""
_COARSE: Final = 0.01
"""By so much a timer may fire early: some loops count in milliseconds."""
_SETTLE: Final = 30
"""After so many turns nothing more happens by itself."""
_NAP: Final = 0.003


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops that can be had here, by name."""
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"stock": asyncio.SelectorEventLoop}
    if find_module("uvloop") is not None:
        found["uvloop"] = import_module("uvloop").new_event_loop
    return found


def live(package: Package, seed: int | str, make: Callable[[], asyncio.AbstractEventLoop]) -> Walked:
    """Walk through one world on a real loop."""
    chance = random.Random(seed)  # noqa: S311 - it has to be repeatable
    scope = _scope(chance)
    with asyncio.Runner(loop_factory=make) as runner:
        return runner.run(_walk(package, scope, chance, runner.get_loop()))


def _scope(chance: random.Random) -> Scope:
    """A small world; no `SystemExit`, which would end the loop, and durations in milliseconds."""
    scope = random_scope(chance, eager=False)
    return replace(
        scope,
        jobs=min(scope.jobs, 5),
        callers=min(scope.callers, 4),
        ends=tuple(end for end in scope.ends if end != "exit"),
        sweeps=0,
        close_timeout=0.02,
        timeout=0.05,
        wait_timeout=0.2,
        time_limit=0.03,
    )


async def _walk(
    package: Package, scope: Scope, chance: random.Random, loop: asyncio.AbstractEventLoop
) -> Walked:
    walked = Walked(worlds=1)
    events: list[Event] = []
    with World(scope, package, loop) as world:
        world.oracle.grace, world.oracle.coarse = _GRACE, _COARSE
        loop.set_exception_handler(lambda _, context: world.complain(context))
        try:
            for _ in range(40):
                event = choose(chance, [("turn",), ("tick",), *world.enabled()])
                walked.pairs.add(pair(world, event))
                events.append(event)
                await _apply(world, event)
            await _wind_up(world)
        except Exception as error:
            violation = world.verdict_on(error)
            if not isinstance(violation, Violation):
                raise
            walked.keep(Finding.of(scope, events, violation))
            await _abandon(world)
        walked.spoken |= world.oracle.spoken
    walked.steps = len(events)
    return walked


async def _apply(world: World, event: Event) -> None:
    if event == ("turn",):
        world.turns += 1
        await asyncio.sleep(0)
    elif event == ("tick",):
        await asyncio.sleep(_NAP)
        await _settle(world)
        return
    else:
        world.let_happen(event)
    world.oracle.look(quiet=False)


async def _settle(world: World) -> None:
    for _ in range(_SETTLE):
        world.turns += 1
        await asyncio.sleep(0)
        world.oracle.look(quiet=False)
    world.oracle.look(quiet=True)


async def _wind_up(world: World) -> None:
    """Close the scheduler, let go whatever still runs, settle everything."""
    world.winding_up = True
    await _settle(world)
    world.let_happen(("shut",))
    for _ in range(100):
        await asyncio.sleep(_NAP)
        let_go(world)
        await _settle(world)
        if all(call.over for call in world.calls) and not any(body.alive for body in world.bodies):
            break
    world.settle()


async def _abandon(world: World) -> None:
    for body in world.bodies:
        body.temper = "obedient"
    for _ in range(_SETTLE):
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.sleep(0)
    for body in world.bodies:
        if body.coroutine is not None:
            body.coroutine.close()
