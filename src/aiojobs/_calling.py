"""The gate to foreign code: code called through it may raise, exit or call back, and undoes nothing.

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
import math
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

__all__ = (
    "CRASHES",
    "call_out",
    "cancel",
    "close_coro",
    "coro_of",
    "coro_of_stock",
    "exits",
    "failure_of",
    "get_debug",
    "is_a",
    "is_done",
    "is_replaced",
    "is_running",
    "make_room",
    "name_of",
    "name_of_stock",
    "plain",
    "resolve",
    "schedule",
    "shown",
    "stop_loop",
    "tell",
    "time_of",
    "when_of",
)

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


def plain(text: Any) -> str | None:
    """A string without whatever a class of somebody's own adds to it; None for what is no string."""
    return str.__str__(text) if issubclass(type(text), str) else None


# What is asked of loops, tasks and futures, for the gate: methods may be missing, and to look one up may raise.


def get_debug(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it is in debug mode."""
    return loop.get_debug()


def time_of(loop: asyncio.AbstractEventLoop) -> float:
    """What its clock says."""
    return loop.time()


def schedule(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: Any) -> None:
    """Have it call something in its next pass."""
    loop.call_soon(callback, *args)


def is_replaced(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the ``create_task`` of a loop is not the one with which its class was written."""
    owner = next(kind for kind in type(loop).__mro__ if "create_task" in vars(kind))
    function = vars(owner)["create_task"]
    # Its own __dict__ is not looked at: attributes of an object that has been asked for it are slower to come by.
    if getattr(loop.create_task, "__func__", None) is not function:
        return True
    # Some tools leave the function and exchange its code for one that calls what they have put among its constants.
    code = getattr(function, "__code__", None)
    is_rewritten = any(callable(constant) for constant in getattr(code, "co_consts", ()))
    return is_rewritten or hasattr(function, "__wrapped__") or function.__module__ != owner.__module__


def coro_of(task: Any) -> Any:
    """Its coroutine, unless it is done: to ask such a one for it crashes Python 3.12.0 to 3.12.4."""
    return None if task.done() else task.get_coro()


CRASHES: Final = (3, 12) <= sys.version_info < (3, 12, 5)
coro_of_stock: Final[Callable[[Any], Any]] = coro_of if CRASHES else cast("Any", asyncio.Task.get_coro)
"""The same for a task of asyncio's own kind, by no call of Python's where that is safe."""


def close_coro(coro: Any) -> None:
    """End a coroutine."""
    coro.close()


def cancel(task: Any) -> None:
    """Ask it to stop."""
    task.cancel()


def is_done(task: Any) -> bool:
    """Whether it has ended."""
    return bool(task.done())


def is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it runs, in whatever thread."""
    return bool(loop.is_running())


def when_of(timer: asyncio.TimerHandle) -> float:
    """When it will call, on the clock of its loop; of one that has no time, since that is over: as soon as it can."""
    return timer.when() if hasattr(timer, "when") else -math.inf


def resolve(waiter: asyncio.Future[Any], value: object) -> None:
    """Give a future its result, unless whoever awaits it has been cancelled."""
    if not waiter.done():
        waiter.set_result(value)


def name_of(task: Any) -> str | None:
    """Its name; a plain future has none."""
    get_name = getattr(task, "get_name", None)
    name = None if get_name is None else get_name()
    return name if isinstance(name, str) else None


name_of_stock: Final[Callable[[Any], str]] = cast("Any", asyncio.Task.get_name)
"""The same for a task of asyncio's own kind, which has a name and runs nobody's code to tell it."""


def failure_of(task: Any) -> BaseException | None:
    """What a task that is done raised, a cancellation included; asking counts as having received it."""
    try:
        # Not the task's own CancelledError: its traceback would hold the frame of whoever asks (BOOK-3).
        exc: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
    except BaseException as raised:  # noqa: BLE001 - what a factory returns may raise anything
        return raised
    return exc


def _raise(exc: BaseException) -> None:
    raise exc


class _Unreceived:
    """Its end hands an exception to the interpreter, which has a hook for what nobody can receive."""

    __slots__ = ("_exc",)

    def __init__(self, exc: BaseException) -> None:
        self._exc = exc

    def __del__(self) -> None:
        raise self._exc
