"""What `snapshot()` must show: the picture that can be drawn from what was noted, without asking the scheduler.

Rules of this file: it draws from the registry of the specification, the coroutines and the callers. What may just be
changing hands (who is blocked, who waits) is compared when the loop is quiet; counts, states and order always are.

Deliberately not here: when a picture is taken (`oracle`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiojobs_verification.simulation.oracle.reference import Reference
    from aiojobs_verification.simulation.world.probes import Body
    from aiojobs_verification.simulation.world.world import World

__all__ = ["differences"]

_CLOSE_ENOUGH: Final = 1e-6
_WAITS: Final = frozenset({"wait", "await", "wait-for", "close", "close-for"})
_IDLES: Final = frozenset({"shut", "drain", "drain-for", "with", "idle"})


class _Shown(NamedTuple):
    """What is to be seen of one job."""

    qualname: str | None
    state: str
    place: int | None
    drain: bool
    age: float | None
    running: float | None


def differences(world: World, reference: Reference, picture: Any, *, quiet: bool) -> Iterator[str]:
    """Where a picture is not as it should be."""
    yield from _counts(world, reference, picture)
    yield from _jobs(world, reference, picture)
    waiting = [body for body in world.bodies if body.trying == "self-idle"]
    stuck = _stuck(world, waiting)
    told = [job.id for job, body in zip(picture.jobs, reference.listed(), strict=False) if body in stuck]
    if (quiet or not waiting) and picture.phase == "open" and [job.id for job in picture.stuck] != told:
        yield f"{[job.name for job in picture.stuck]} are said to be stuck, and not {[body.name for body in stuck]}"
    if quiet and not world.environment.is_strange and world.virtual is not None:
        yield from _waiting(world, picture)


def _stuck(world: World, waiting: list[Body]) -> list[Body]:
    """The jobs that can't go on: they hold all slots and wait until the scheduler is idle, which needs a slot."""
    needed = world.oracle.blocked() or any(
        body.is_drained and body.entry is not None and body.entry.pending for body in world.bodies
    )
    return waiting if needed and world.limit is not None and len(waiting) >= world.limit else []


def _counts(world: World, reference: Reference, picture: Any) -> Iterator[str]:
    counters = reference.counters
    wanted = {
        "phase": counters.phase,
        "limit": world.limit,
        "pending_limit": world.scope.pending_limit,
        "active_count": counters.active + counters.closing,
        "pending_count": counters.pending,
    }
    for name, value in wanted.items():
        if getattr(picture, name) != value:
            yield f"{name} is {getattr(picture, name)!r}, and should be {value!r}"
    if picture.blocked_count != len(picture.blocked):
        yield f"{picture.blocked_count} calls are counted as blocked, and shown are {picture.blocked}"


def _jobs(world: World, reference: Reference, picture: Any) -> Iterator[str]:
    bodies = reference.listed()
    if len(bodies) != len(picture.jobs) or len({job.id for job in picture.jobs}) != len(bodies):
        yield f"there are {[body.name for body in bodies]}, and shown is {picture.jobs}"
        return
    place = 0
    for body, job in zip(bodies, picture.jobs, strict=True):
        state = reference.states[body]
        place += state == "pending"
        wanted = _Shown(
            _kind(world, body),
            state,
            place if state == "pending" else None,
            body.is_drained,
            _since(body.accepted_at, world),
            None if state == "pending" else _since(body.started_at, world),
        )
        ages = (
            _ages(job.age, job.running) if world.virtual is not None else (wanted.age, wanted.running)
        )  # real time goes on
        found = _Shown(wanted.qualname and job.qualname, str(job.state), job.place, job.drain, *ages)
        if found != wanted or (body is not world.unnamed and job.name != body.name):
            yield f"of {body.name} should be shown {wanted}, and is {job}"
        if not _time_is_right(world, body, job.time_left, state):
            yield f"{body.name} is said to have {job.time_left} s left"
        if body.alive != bool(job.stack) and not world.environment.is_strange:
            yield f"{body.name} is said to be suspended at {job.stack}"


def _kind(world: World, body: Body) -> str | None:
    """The qualified name, if it can be known."""
    return body.qualname if world.environment.coroutine.given is None else None


def _since(moment: float | None, world: World) -> float:
    return -1.0 if moment is None else round(world.now() - moment, 6)


def _ages(*ages: float | None) -> tuple[Any, ...]:
    return tuple(None if age is None else round(age, 6) for age in ages)


def _time_is_right(world: World, body: Body, left: float | None, state: str) -> bool:
    """The time of a job begins when its task is made, between its start and its first step."""
    if not body.is_timed or state != "active" or body.started_at is None:
        return left is None or state == "closing"
    if left is None:
        return not body.began
    if world.virtual is None:
        return 0.0 <= left <= world.scope.time_limit + world.oracle.coarse
    ends = [since + world.scope.time_limit - world.now() for since in (body.started_at, body.began_at)]
    return max(ends[0], 0.0) - _CLOSE_ENOUGH <= left and (
        not body.began or left <= max(ends[1], 0.0) + _CLOSE_ENOUGH
    )


def _waiting(world: World, picture: Any) -> Iterator[str]:
    """Who waits for whom, for a place, and for the end of everything."""
    names = {each.id: each.name for each in (*picture.tasks, *picture.jobs)}
    shown = {(names.get(wait.waiter), names.get(wait.awaited)) for wait in picture.waits}
    idlers = {names.get(idler) for idler in picture.idlers}
    calls = [call for call in world.calls if call.open]
    blocked = [call for call in calls if call.kind in {"spawn", "thread"}]
    waits = {(call.name, _name(world, call.body)) for call in calls if call.kind in _WAITS}
    waits |= {(call.name, None) for call in blocked if call.kind == "spawn"}
    if shown != waits:
        yield f"there waits {waits}, and shown is {shown}"
    idle = {_name(world, body) for body in world.bodies if body.trying == "self-idle"}
    idle |= {call.name for call in calls if call.kind in _IDLES and (call.kind != "with" or call.left_at)}
    if idlers != idle:
        yield f"until all has ended there waits {idle}, and shown is {idlers}"
    # With eager tasks a spawn may come before that of a thread which was called earlier.
    bodies = sorted((call.body for call in blocked if call.body), key=lambda body: body.arrival)
    listed = [name for name in (_name(world, body) for body in bodies) if name]
    if len(picture.blocked) != len(blocked) or [each.name for each in picture.blocked if each.name] != listed:
        yield f"there are blocked {listed}, and shown is {picture.blocked}"
    shielded = sum(body.shielded and body.alive for body in world.bodies)
    if picture.shielded_count != shielded:
        yield f"{picture.shielded_count} shielded awaitables are shown, and there are {shielded}"


def _name(world: World, body: Body | None) -> str | None:
    """The name of a job; of one without, that of its task, if it has one."""
    if body is None:
        return None
    if body is not world.unnamed:
        return body.name
    return None if body.entry is None else str(body.entry.get_name()) if body.entry.get_name() else None
