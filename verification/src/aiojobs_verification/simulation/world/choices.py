"""The events that are possible in a world now: allowed by its scope, and enabled in its state.

Rules of this file: the list is complete within the scope, and always in the same order, so that a replay
can be compared with the first time. It looks and changes nothing.

Deliberately not here: letting it happen (`world`), choosing (`explorer`, `walk`, `machines`).
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from aiojobs_verification.simulation.world.environment import FACTORIES
from aiojobs_verification.simulation.world.probes import SELF_CALLS
from aiojobs_verification.simulation.world.scope import JOB_CALLS, SCHEDULER_CALLS, Event

if TYPE_CHECKING:
    from aiojobs.testing import VirtualLoop
    from aiojobs_verification.simulation.world.probes import Body
    from aiojobs_verification.simulation.world.scope import Scope
    from aiojobs_verification.simulation.world.world import World

__all__ = ["MISUSE", "TURN", "enabled", "environments"]

TURN: Final[Event] = ("turn",)
FIRE: Final[Event] = ("fire",)
"""The timers that are due fire before what is ready."""
MISUSE: Final[Event] = ("misuse",)
"""Everything that nobody may do, one after the other. It must change nothing."""


def enabled(world: World) -> list[Event]:
    """Every event that can happen now, in a fixed order."""
    if not world.settled_in:
        return environments(world.scope)
    events = _passing(world) + _spawns(world)
    for body in world.bodies:
        if body.idle():
            events += _orders(world, body)
    if world.spent.callers < world.scope.callers:
        events += _new_calls(world)
    events += _about_calls(world)
    if world.spent.sweeps < world.scope.sweeps:
        events.append(("sweep",))
    if world.spent.resizes < world.scope.resizes and world.package.resizes:
        limits = [str(limit) for limit in world.scope.limits]
        events += [("set-limit", limit) for limit in limits if limit != str(world.limit).lower()]
    if world.scope.misuse and events:
        events.append(MISUSE)
    return events


def environments(scope: Scope) -> list[Event]:
    """What the scheduler may live among: in a scope with several kinds this is chosen first of all."""
    kinds = product(scope.factories, scope.coroutines, scope.parties)
    return [("environment", *names) for names in kinds if FACTORIES[names[0]].here]


def _passing(world: World) -> list[Event]:
    loop = world.virtual
    if loop is None:
        return []
    quiet = loop.quiet()
    events = [] if quiet else [TURN]
    if _time_can_pass(world, loop, quiet=quiet):
        events.append(("tick",))
    if world.scope.timers_first and 0 < len(loop.due()) < len(loop.ready()):
        events.append(FIRE)
    return events


def _time_can_pass(world: World, loop: VirtualLoop, *, quiet: bool) -> bool:
    """Up to the next timer, or to a promised deadline: that comes even if nobody has set a timer."""
    if not quiet:
        return world.scope.slow and bool(loop.timers())
    return bool(loop.timers()) or world.oracle.next_deadline() is not None


def _spawns(world: World) -> list[Event]:
    if world.spent.jobs >= world.scope.jobs:
        return []
    has = {"spawn": True, "nowait": world.package.nowait, "thread": _takes_from_threads(world)}
    kinds = [kind for kind in world.scope.spawns if has[kind]]
    terms = world.scope.terms if world.package.has_terms else ("plain",)
    return [
        (kind, temper, *([] if term == "plain" else [term]))
        for kind in kinds
        for temper in world.scope.tempers
        for term in (("plain",) if kind == "thread" else terms)
    ]


def _takes_from_threads(world: World) -> bool:
    """Whether it knows its loop: the first spawn must be made there."""
    return world.package.threads and any(body.arrival >= 0 for body in world.bodies)


def _orders(world: World, body: Body) -> list[Event]:
    scope = world.scope
    if body.shielded:
        return [(end, body.number) for end in scope.ends if end in {"return", "raise"}]
    selfish = [order for order in SELF_CALLS if order in scope.calls and body.job is not None]
    if not world.package.resizes:
        selfish = [order for order in selfish if order != "self-idle"]
    if world.spent.callers >= scope.callers:
        selfish = []
    return [(order, body.number) for order in (*scope.ends, *selfish)]


def _new_calls(world: World) -> list[Event]:
    events: list[Event] = []
    for kind in world.scope.calls:
        if (kind == "await" and not world.package.awaitable) or (
            kind == "idle" and not world.package.resizes
        ):
            continue
        if kind in JOB_CALLS:
            events += [(kind, body.number) for body in world.bodies if body.job is not None]
        elif kind == "shield":
            events += [(kind, temper) for temper in world.scope.shields]
        elif kind in SCHEDULER_CALLS:
            events.append((kind,))
    return events


def _about_calls(world: World) -> list[Event]:
    events: list[Event] = []
    for call in world.calls:
        if call.over:
            continue
        if call.gate is not None and not call.gate.done():
            events += [("leave", call.number), ("leave-raise", call.number)]
        may_be_cancelled = (call.called_at is not None or call.kind == "thread") and not call.cancelled
        if may_be_cancelled and world.spent.cancels < world.scope.cancels:
            events.append(("cancel", call.number))
    return events
