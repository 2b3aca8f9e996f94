"""The gate to foreign code: whatever is called through it may raise, exit or call back, and undoes nothing.

The rules of this file
----------------------
Foreign is everything that this package has not written and that a program may replace: coroutines, tasks and
futures, the loop and its handlers, a user's handler, observer and callbacks, and what any of them is named.
It is called when the registries are complete (``BOOK-4``), so that it finds a scheduler in order and may use it.
What it raises is told, once, and goes no further.

How it works
------------
A failure is told to the handler of the loop. ``SystemExit`` and ``KeyboardInterrupt`` do stop the loop, as they
do in asyncio, but from a callback of their own: the work that the call was part of is finished first. If the
loop can't be told either - it is closed, or what it tells raises in turn - the interpreter is, which prints what
nobody can receive (``sys.unraisablehook``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ("call_out", "exits", "is_a", "make_room", "shown", "stop_loop", "tell")

_T = TypeVar("_T")


def call_out(
    loop: asyncio.AbstractEventLoop, what: str, function: Callable[..., _T], *args: Any
) -> _T | None:
    """Call ``function(*args)``; None if it has raised, which has been told."""
    try:
        return function(*args)
    except BaseException as exc:  # noqa: BLE001 - whatever foreign code raises, the scheduler goes on
        tell(loop, what, exc)
        return None


def tell(loop: asyncio.AbstractEventLoop, what: str, exc: BaseException) -> None:
    """Tell of what foreign code has raised where it could not be handed on."""
    if exits(exc):
        stop_loop(loop, exc)
        return
    try:
        loop.call_exception_handler(
            {"message": f"Unhandled error in {what} of a scheduler", "exception": exc}
        )
    except (SystemExit, KeyboardInterrupt) as leaving:
        stop_loop(loop, leaving)
    except BaseException:  # noqa: BLE001 - there is no handler behind this one
        _Unreceived(exc)


def stop_loop(loop: asyncio.AbstractEventLoop, exc: BaseException) -> None:
    """Have `exc` stop the loop, as soon as the work under way is finished."""
    try:
        loop.call_soon(_raise, exc)
    except BaseException:  # noqa: BLE001 - a loop that is closed has nothing left to stop
        _Unreceived(exc)


def is_a(exc: BaseException, kind: type[BaseException]) -> bool:
    """What ``isinstance`` would say, but that asks the exception, whose class may answer anything."""
    return issubclass(type(exc), kind)


def exits(exc: BaseException) -> bool:
    """Whether it is one with which asyncio lets a program leave its loop."""
    return is_a(exc, SystemExit) or is_a(exc, KeyboardInterrupt)


def make_room(frames: int = 40) -> None:
    """Raise the RecursionError that is to come at a moment when nothing has changed, if one is.

    An action that can be asked for from any depth of the stack calls this first, unless its first half needs no
    more than what it has called already, and its second half can be left undone.
    """
    if frames:
        make_room(frames - 1)


def shown(value: object) -> str:
    """The repr of `value`, or what it is and what its repr raised: there is something else to be told."""
    try:
        return repr(value)
    except BaseException as exc:  # noqa: BLE001 - whatever it raises, it is told in the text
        return f"<{type(value).__qualname__} whose repr raised {type(exc).__qualname__}>"


def _raise(exc: BaseException) -> None:
    raise exc


class _Unreceived:
    """Its end hands an exception to the interpreter, which has a hook for what nobody can receive."""

    __slots__ = ("_exc",)

    def __init__(self, exc: BaseException) -> None:
        self._exc = exc

    def __del__(self) -> None:
        raise self._exc
