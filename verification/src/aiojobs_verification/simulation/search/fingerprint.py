"""Fingerprints of worlds: one digest of everything that bears on what can happen next.

Rules of this file: two worlds with the same fingerprint must have the same future. So it covers what the
harness remembers, the ready queue in its order, the timers with the time that is left, the chain of awaits
of every task with the place and the variables of each frame, and every object of the scheduler that can be
reached from there. What it may leave out is what has no future: names, addresses, points of time (only
distances count), and of a context everything but whose it is.

How it works: the objects are walked from fixed roots in a fixed order and numbered as they are met, so
that neither addresses nor hashes play a part. Where Python shows nothing of an object (an iterator, a
wrapper in C), the garbage collector is asked what it refers to.

It reads private attributes of futures and tasks; there is no public way to see what a future will call, or
whether a task has a cancellation under way, and nothing is written. The planted faults show that it does
not merge too much.
"""

from __future__ import annotations

import asyncio
import enum
import gc
import marshal
import operator
import types
import weakref
from collections import deque
from contextvars import Context
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiojobs.testing import VirtualLoop
from aiojobs.testing._handles import TurnHandle, TurnTimer
from aiojobs_verification.simulation.world.calls import Call
from aiojobs_verification.simulation.world.environment import Carrier
from aiojobs_verification.simulation.world.parties import Environment
from aiojobs_verification.simulation.world.probes import ORIGIN, Body
from aiojobs_verification.simulation.world.scope import EPOCH
from aiojobs_verification.simulation.world.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["fingerprint"]

_Taker: TypeAlias = "Callable[[Any], tuple[Any, list[Any]]]"

_PLAIN: Final = frozenset({int, str, bool, type(None), bytes})
_SEQUENCES: Final = (list, tuple, deque)
_NAMED: Final = (
    type,
    types.CodeType,
    types.ModuleType,
    types.FrameType,
    types.TracebackType,
    VirtualLoop,
)
_NO_FUTURE: Final = frozenset({"__weakref__", "__dict__", "_name", "given_name", "since"})
"""Attributes that change nothing of what happens: addresses, names, and since when a job has been there."""
_CODE: Final = frozenset({types.CodeType, types.FunctionType})
_LONG_AGO: Final = EPOCH / 2
"""A number beyond this is a point of time."""

_MAX: Final = 99.0
"""A distance in time beyond which nothing is due any more."""


def fingerprint(world: World) -> bytes:
    """The digest of the state that the world is in."""
    walk = _Walk(world)
    # Version 2 of the format writes every object anew; later ones write references, which depend on sharing.
    return blake2b(marshal.dumps((_harness(world), walk.tokens), 2), digest_size=16).digest()


# What the harness remembers.


def _harness(world: World) -> tuple[Any, ...]:
    calls = [_call(call, world) for call in world.calls if not call.over]
    over = sorted({_over(call) for call in world.calls if call.over})
    return (
        world.spent.key(),
        world.settled_in,
        world.oracle.key(),
        tuple(_body(body, world) for body in world.bodies),
        tuple(calls),
        tuple(over),
        *(_strange(world) if world.environment.is_strange else ()),
    )


def _strange(world: World) -> tuple[Any, ...]:
    """Who lives there, what became of the tasks of a factory, and what foreign code has asked for."""
    carried = [None if body.carrier is None else body.carrier.how or "" for body in world.bodies]
    asked = sorted({(call.kind, -1 if call.body is None else call.body.number) for call in world.by_hand})
    return (world.environment.names, tuple(carried), tuple(asked))


def _body(body: Body, world: World) -> tuple[Any, ...]:
    return (
        body.temper,
        body.arrival,
        body.began,
        body.ended,
        body.cancels,
        body.told,
        body.hit,
        min(body.receivers, 1),
        body.reports,
        body.late_reports,
        None if body.ended is None or body.quiet_at is not None else _since(body.ended_at, world),
        body.quiet_at is not None and _ended_in_time(body, world),
        body.job is not None,
        body.shielded and (body.call_cancelled, body.call_cancelled_before_end),
        *(() if body.terms == "plain" else _terms(body, world)),
    )


def _terms(body: Body, world: World) -> tuple[Any, ...]:
    """What was agreed about a job, and how much of its time has gone by."""
    if body.fate is not None or not body.is_timed:
        return (body.terms, body.expired_at is not None)
    return (
        body.terms,
        *[_since(at, world) for at in (body.started_at, body.began_at, body.expired_at, body.told_at)],
    )


def _ended_in_time(body: Body, world: World) -> tuple[float, ...]:
    """For calls with a deadline that are still open: how long ago the job ended."""
    if any(call.open and call.body is body for call in world.calls):
        return (_since(body.ended_at, world), _since(body.quiet_at, world))
    return ()


def _call(call: Call, world: World) -> tuple[Any, ...]:
    return (
        call.kind,
        None if call.body is None else call.body.number,
        call.called_at is not None and _since(call.called_at, world),
        call.expired_at is not None and _since(call.expired_at, world),
        min(call.cancels, 2),
        call.cancelled_first,
        call.late,
        call.open_before,
        call.called_in == world.turns,
        call.left,
        call.left_at is not None and _since(call.left_at, world),
    )


def _over(call: Call) -> tuple[Any, ...]:
    """Of a call that is over only what it asked for can still matter, as long as its job can be asked."""
    body = call.body
    matters = body is not None and (body.ended is None or body.quiet_at is None)
    return (
        call.kind,
        body.number if matters and body else -1,
        call.called_at is not None,
        call.left_at is not None,
    )


def _since(moment: float | None, world: World) -> float:
    return -1.0 if moment is None else round(min(world.now() - moment, _MAX), 6)


# What can be reached.


class _Walk:
    """A walk over all objects that the roots lead to; `tokens` is what was met, in order."""

    def __init__(self, world: World) -> None:
        self.tokens: list[Any] = []
        self._now = world.now()
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # what is made on the way, so that no address is used twice
        loop = world.virtual
        assert loop is not None
        roots = [
            world.scheduler,
            [body.job for body in world.bodies],
            [body.gate for body in world.bodies],
            [call.task for call in world.calls if not call.over],
            [call.gate for call in world.calls if not call.over],
            list(loop.ready()),
            list(loop.timers()),
        ]
        self._run(roots)

    def _run(self, roots: list[Any]) -> None:
        numbers, tokens, now = self._numbers, self.tokens, self._now
        kept, takers = self._kept, _TAKERS
        kept.append(roots)
        for item in kept:  # it grows while it is walked
            head, parts = takers[type(item)](item)
            tokens += (head, len(parts))
            for part in parts:
                kind = type(part)
                if kind in _PLAIN:
                    tokens.append(part)
                elif kind is float:
                    tokens.append(round(part - now, 6) if part > _LONG_AGO else part)
                else:
                    number = numbers.get(id(part))
                    if number is None:
                        numbers[id(part)] = number = len(numbers)
                        kept.append(part)
                    tokens.append((number,))


class _Takers(dict[type, "_Taker"]):
    """How objects of each type are taken apart: what to call one, and what it consists of."""

    def __missing__(self, kind: type) -> _Taker:
        known = (taker for kinds, taker in _KNOWN if issubclass(kind, kinds))
        self[kind] = taker = next(known, None) or _of(kind)
        return taker


def _of(kind: type) -> _Taker:
    """For a type of which nothing is known but what Python shows of its attributes."""
    names = _attributes(kind)
    head = kind.__qualname__
    if kind.__dictoffset__:
        return lambda item: (
            (head, tuple(vars(item))),
            [*[getattr(item, name, "-") for name in names], *vars(item).values()],
        )
    if names:
        return lambda item: (head, [getattr(item, name, "-") for name in names])
    return _of_opaque


def _of_opaque(item: Any) -> tuple[Any, list[Any]]:
    parts = [part for part in gc.get_referents(item) if not isinstance(part, type)]
    return (type(item).__qualname__, operator.length_hint(item, 0)), parts


def _attributes(kind: type) -> tuple[str, ...]:
    names: list[str] = []
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return tuple(name for name in names if name not in _NO_FUTURE)


def _of_future(future: Any) -> tuple[Any, list[Any]]:
    head = ("future", future._state)
    callbacks = [callback for callback, _ in future._callbacks or ()]
    return head, [future._exception, future._result if future._state == "FINISHED" else None, *callbacks]


def _of_task(task: Any) -> tuple[Any, list[Any]]:
    (_, state), parts = _of_future(task)
    if task.done():
        return ("task", state), parts
    head = ("task", state, task._must_cancel, task.cancelling())
    return head, [task.get_coro(), task._fut_waiter, *parts]


def _of_coroutine(coroutine: Any) -> tuple[Any, list[Any]]:
    frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
    if frame is None:
        return (str(coroutine.__qualname__), "over"), []
    parts = [part for part in gc.get_referents(coroutine) if part is not frame and type(part) not in _CODE]
    if parts and parts[-1] is None and _is_awaiting(coroutine):
        # What is awaited comes last. Up to Python 3.12 a None follows it for ever once anything that this
        # coroutine has called, and that is not compiled, has caught an exception.
        parts.pop()
    return (str(coroutine.__qualname__), frame.f_lasti), parts


def _is_awaiting(coroutine: Any) -> bool:
    awaited = getattr(coroutine, "cr_await", None)
    return awaited is not None or getattr(coroutine, "gi_yieldfrom", None) is not None


def _of_function(function: Any) -> tuple[Any, list[Any]]:
    return function.__qualname__, [cell.cell_contents for cell in function.__closure__ or ()]


def _of_method(method: Any) -> tuple[Any, list[Any]]:
    return method.__qualname__, [method.__self__]


def _of_handle(handle: TurnHandle | TurnTimer) -> tuple[Any, list[Any]]:
    when = [handle.deadline] if isinstance(handle, TurnTimer) else []
    return ("handle", handle.withdrawn, handle.context.get(ORIGIN)), [handle.callback, *handle.args, *when]


def _of_mapping(mapping: Any) -> tuple[Any, list[Any]]:
    return "mapping", [part for pair in mapping.items() for part in pair]


def _of_set(items: Any) -> tuple[Any, list[Any]]:
    return ("set", len(items)), sorted(items, key=lambda item: (type(item).__qualname__, str(item)[:0]))


_KNOWN: Final[tuple[tuple[Any, _Taker], ...]] = (
    (Body, lambda body: (("body", body.number), [])),
    (Call, lambda call: (("call", call.number), [])),
    (World, lambda _: ("world", [])),
    (Environment, lambda _: ("environment", [])),
    (Carrier, lambda _: ("carrier", [])),
    (enum.Enum, lambda member: (str(member), [])),
    (asyncio.Task, _of_task),
    (asyncio.Future, _of_future),
    ((types.CoroutineType, types.GeneratorType), _of_coroutine),
    ((TurnHandle, TurnTimer), _of_handle),
    (Context, lambda context: (("context", context.get(ORIGIN)), [])),
    (_NAMED, lambda item: (getattr(item, "__qualname__", type(item).__qualname__), [])),
    (types.FunctionType, _of_function),
    ((types.MethodType, types.BuiltinFunctionType), _of_method),
    (partial, lambda call: ("partial", [call.func, *call.args])),
    (types.CellType, lambda cell: ("cell", [cell.cell_contents])),
    (weakref.ref, lambda reference: ("weak", [reference()])),
    (BaseException, lambda error: (type(error).__qualname__, [])),
    (dict, _of_mapping),
    (_SEQUENCES, lambda items: (("sequence", len(items)), list(items))),
    ((set, frozenset), _of_set),
)

_TAKERS: Final = _Takers()
