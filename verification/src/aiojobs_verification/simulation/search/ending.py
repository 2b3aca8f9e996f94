"""The end of a world: all that still runs is brought to its end, so that every promise can be checked.

Rules of this file: what happens here could have happened in the world as well. The scheduler is closed,
coroutines are told to return, time passes; and the oracle looks on until nothing is left.

How it works: first as far as it goes by itself, then the scheduler is closed, then whatever waits to be
told is let go, in turn with the passing of time. `dispose` comes last of all, and is not judged: it leaves
nothing that the garbage collector could wake in another world. `untie` leaves the collector nothing to do:
a world refers to itself all over, and millions of them come and go.

Deliberately not here: the accounts themselves (`oracle`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.simulation.world.choices import TURN
from aiojobs_verification.simulation.world.parties import PARTIES

if TYPE_CHECKING:
    from aiojobs_verification.simulation.world.world import World

__all__ = ["dispose", "let_go", "untie", "wind_up"]

_ROUNDS: Final = 100
"""So often what still runs is let go, or time passes, at the end of a world; it takes far less."""

_SPINNING: Final = 1000
"""A loop that is not quiet after so many turns never will be."""


def wind_up(world: World) -> None:
    """Bring everything to its end, closing the scheduler, and have the oracle settle everything."""
    loop = world.virtual
    assert loop is not None
    world.winding_up = True
    _run_quiet(world)
    world.start_call("shut", None)
    _run_quiet(world)
    for _ in range(_ROUNDS):
        some = let_go(world)
        if not some and not loop.timers() and loop.quiet():
            break
        if not some:
            loop.advance()
        _run_quiet(world)
    world.settle()


def let_go(world: World) -> int:
    """Tell every coroutine that waits to be told to return; how many there were."""
    idle = [body for body in world.bodies if body.idle()]
    for body in idle:
        body.tell("return")
    for call in world.calls:
        if call.gate is not None and not call.gate.done():
            call.gate.set_result("leave")
    return len(idle)


def _run_quiet(world: World) -> None:
    assert world.virtual is not None
    for _ in range(_SPINNING):
        if world.virtual.quiet():
            return
        world.apply(TURN)
    raise world.oracle.spinning()


def dispose(world: World) -> None:
    """Let what still runs end, so that the garbage collector finds nothing of this world to run."""
    assert world.virtual is not None
    world.environment.party = PARTIES["polite"]
    for body in world.bodies:
        body.temper = "obedient"
    for _ in range(_ROUNDS):
        for task in _tasks(world):
            with suppress(RecursionError):  # another package can tie tasks into a circle
                task.cancel()
        if world.virtual.quiet():
            break
        with suppress(SystemExit):
            world.virtual.turn()
    for body in world.bodies:
        left = body.coroutine or (body.trace is not None and body.trace())
        if left and body.ended is None:
            with suppress(BaseException):  # a faulty package leaves them in any state
                left.close()


def untie(world: World) -> None:
    """Have everybody in a world that is over forget everybody else, so that all of it goes at once."""
    loop = world.virtual
    if loop is not None:
        vars(loop).clear()
        loop.__dict__["call_exception_handler"] = _hear_nothing  # of a task that goes with it
    if world.package.observed and world.scheduler is not None:
        _take_apart(world.scheduler)
    for somebody in (*world.bodies, *world.calls, world.oracle, world.environment, world):
        vars(somebody).clear()


_CONNECTIONS: Final = ("line", "on_idle", "starter", "tasks")
"""By which the parts of a scheduler know those that stand above them."""


def _take_apart(scheduler: Any) -> None:
    parts = [*vars(scheduler).values()]
    vars(scheduler).clear()
    for part in parts:
        for name in _CONNECTIONS:
            if hasattr(part, name):
                delattr(part, name)


def _hear_nothing(_: object) -> None:
    """Of a world that is over nobody wants to know."""


def _tasks(world: World) -> list[asyncio.Future[Any]]:
    """Every task that has not ended."""
    assert world.virtual is not None
    if not world.package.observed:
        return list(asyncio.all_tasks(world.virtual))
    own: list[asyncio.Future[Any] | None] = [call.task for call in world.calls]
    own += [body.carrier.task for body in world.bodies if body.carrier is not None]
    own += [body.task() for body in world.bodies if body.task is not None]
    return [task for task in own if task is not None and not task.done()]
