"""The loop that a scheduler is bound to, and what it is asked for through the gate to foreign code (``_calling``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ._calling import call_out, get_debug, is_replaced, schedule, shown, time_of

__all__ = ("BoundLoop",)

_T = TypeVar("_T")


class BoundLoop:
    """The loop that a scheduler is bound to: that of its first use, which never changes.

    Arguments:
        owner: the scheduler, named to whoever comes with another loop.
    """

    __slots__ = ("creates_elsewhere", "is_debugged", "loop", "owner")

    owner: object
    loop: Any
    """None before the first use, when there is no job either: to have that in the type would cost a test, or a cast,
    wherever there is a job."""
    is_debugged: bool
    """Whether it was in debug mode at the first use; absent before."""
    creates_elsewhere: bool
    """Whether its ``create_task`` was not asyncio's own at the first use; absent before."""

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.loop = None

    def check(self) -> asyncio.AbstractEventLoop:
        """The running loop; after the first use only the same will do (``SPAWN-3``).

        Raises:
            RuntimeError: it is another one, or none runs.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._refuse_thread()
        if loop is not self.loop and self.loop is not None:
            self._refuse()
        return loop

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The first use, on this loop."""
        self.loop = loop
        self.is_debugged = bool(call_out(loop, "get_debug of the loop", get_debug, loop))
        self.creates_elsewhere = bool(call_out(loop, "create_task of the loop", is_replaced, loop))

    def has_task_factory(self) -> bool:
        """Whether it has one now."""
        try:
            return self.loop.get_task_factory() is not None
        except BaseException:  # noqa: BLE001 - a loop need not have factories
            return False

    def call_out(self, what: str, function: Callable[..., _T], *args: Any) -> _T | None:
        """Call foreign code through the gate; None if it has raised, which has been told (``BOOK-4``)."""
        return call_out(self.loop, what, function, *args)

    def now(self) -> float:
        """The time of its clock, in seconds; 0 if it can't tell."""
        return call_out(self.loop, "time of the loop", time_of, self.loop) or 0.0

    def soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call something of this package's own soon, in the middle of an action."""
        call_out(self.loop, "call_soon of the loop", schedule, self.loop, callback, *args)

    def _refuse_thread(self) -> NoReturn:
        there = "is bound to one elsewhere: from another thread call its spawn_threadsafe"
        there = there if self.loop is not None else "needs one: call it in a coroutine"
        raise RuntimeError(f"no running event loop in this thread; {shown(self.owner)} {there}") from None

    def _refuse(self) -> NoReturn:
        raise RuntimeError(f"{shown(self.owner)} is bound to a different event loop")
