"""Misuse: every mistake in a call of `spawn`, `shield` or `set_limit`, one after the other.

Rules of this file: a mistake is an error of the right kind, in whatever phase the scheduler is, full or
not; it leaves the coroutine as it was, and it changes nothing. The last is taken literally: the state of
the whole world is the same afterwards, private attributes included.

How it works: since nothing may change, all mistakes are one event, and it leads nowhere. A spawn that
waits is not driven by a task: it has to raise in its first step.

Deliberately not here: a scheduler on another event loop; there is one here.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.simulation.oracle.reference import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from aiojobs_verification.simulation.world.world import World

__all__ = ["misuse"]

_KIND: Final = "SPAWN-3"


def misuse(world: World) -> None:
    """Make every mistake, and see that nothing has come of it."""
    before = _mark(world)
    for method in ("spawn", "spawn_nowait"):
        for what, given, options, right in _mistakes(world):
            _make(world, f"{method} of {what}", _call(world, method, given, options), given, right)
    _make(world, "shield of a number", lambda: world.scheduler.shield(1), 1, TypeError)
    if world.package.resizes:
        _make(world, "set_limit to nothing", lambda: world.scheduler.set_limit(0), 0, ValueError)
        _make(world, "set_limit to a float", lambda: world.scheduler.set_limit(1.5), 1.5, TypeError)
    if _mark(world) != before:
        raise Violation(_KIND, "an argument error has changed something")


def _mark(world: World) -> object:
    """The state of everything; in real time only what can be seen of it from outside."""
    from aiojobs_verification.simulation.search.fingerprint import fingerprint  # noqa: PLC0415 - it has to know what a world is

    return world.view() if world.virtual is None else fingerprint(world)


def _mistakes(world: World) -> Iterator[tuple[str, Any, dict[str, Any], type[Exception]]]:
    """What is wrong, the coroutine or what is given instead, other arguments, and the error that is right."""
    yield "a function", _nothing, {}, TypeError
    yield "a number as the name", _nothing(), {"name": 1}, TypeError
    yield "a number as the context", _nothing(), {"context": 1}, TypeError
    if world.package.has_terms:
        yield "a time limit below zero", _nothing(), {"timeout": -1.0}, ValueError
        yield "a number in place of drain", _nothing(), {"drain": 1}, TypeError
    yield "a coroutine that was started", _started(), {}, RuntimeError
    yield "a coroutine that is over", _over(), {}, RuntimeError
    for body in world.bodies:
        coroutine = None if body.trace is None else body.trace()
        if coroutine is not None and body.ended is None and body.arrival >= 0:
            yield f"the coroutine of {body.name}", coroutine, {}, RuntimeError


def _call(world: World, method: str, given: Any, options: dict[str, Any]) -> Callable[[], Any]:
    if method == "spawn_nowait":
        return lambda: world.scheduler.spawn_nowait(given, **options)
    return lambda: world.scheduler.spawn(given, **options).send(None)


def _make(world: World, what: str, call: Callable[[], Any], given: Any, right: type[Exception]) -> None:
    before = _condition(given)
    world.misusing = True
    try:
        call()
    except StopIteration:
        raise Violation(_KIND, f"{what} is accepted") from None
    except Exception as error:
        if world.package.crashed(error):
            raise Violation.crash(what, error) from error
        wrong = None if isinstance(error, right) else error.with_traceback(None)
    else:
        raise Violation(_KIND, f"{what} is not refused at once")
    finally:
        world.misusing = False
    world.oracle.demand(wrong is None, _KIND, f"{what} raises {wrong!r}, and not a {right.__name__}")
    world.oracle.demand(_condition(given) == before, _KIND, f"{what}: the coroutine is not as it was")
    if before in {inspect.CORO_CREATED, inspect.CORO_SUSPENDED} and given.cr_code in _OURS:
        given.close()


def _condition(given: Any) -> object:
    return inspect.getcoroutinestate(given) if inspect.iscoroutine(given) else None


async def _nothing() -> None:
    await asyncio.sleep(0)


def _started() -> Coroutine[Any, Any, None]:
    coroutine = _nothing()
    coroutine.send(None)
    return coroutine


def _over() -> Coroutine[Any, Any, None]:
    coroutine = _nothing()
    coroutine.close()
    return coroutine


_OURS: Final = frozenset({_nothing.__code__})
"""The code of the coroutines that are made here, and that nobody else closes."""
