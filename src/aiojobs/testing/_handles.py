"""The callbacks in the queue of a virtual loop, and how they are withdrawn.

Rules of this file: a handle is plain data that its loop and whoever explores it may read. Its attributes
are set once; only `cancel` changes them, and lets go at once of everything that the callback referred to.

Deliberately not here: when a callback is called (`_agenda`).
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("TurnHandle", "TurnTimer")


class _Queued:
    """What handles of a `VirtualLoop` have in common; explorers read the attributes, nobody writes them."""

    __slots__ = ()
    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: Context
    withdrawn: bool

    def cancel(self) -> None:
        """Withdraw the callback; what it referred to is let go at once."""
        self.withdrawn = True  # type: ignore[misc]  # the slots are those of the subclasses
        self.callback, self.args = _nothing, ()  # type: ignore[misc]

    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.withdrawn

    def get_context(self) -> Context:
        """The context the callback runs in."""
        return self.context

    def __repr__(self) -> str:
        what = "withdrawn" if self.withdrawn else getattr(self.callback, "__qualname__", repr(self.callback))
        return f"<{type(self).__name__} {what}>"


class TurnHandle(_Queued, asyncio.Handle):
    """One callback in the queue of a `VirtualLoop`."""

    __slots__ = ("args", "callback", "context", "withdrawn")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self.callback: Callable[..., object] = callback
        self.args: tuple[Any, ...] = args
        self.context: Context = copy_context() if context is None else context
        self.withdrawn: bool = False


class TurnTimer(_Queued, asyncio.TimerHandle):
    """A callback with a deadline in virtual time; `number` orders equal deadlines by when they were set."""

    __slots__ = ("args", "callback", "context", "deadline", "number", "withdrawn")

    def __init__(
        self,
        deadline: float,
        number: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> None:
        self.callback: Callable[..., object] = callback
        self.args: tuple[Any, ...] = args
        self.context: Context = copy_context() if context is None else context
        self.withdrawn: bool = False
        self.deadline: float = deadline
        self.number: int = number

    def when(self) -> float:
        """The deadline, on the clock of the loop."""
        return self.deadline

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, TurnTimer):
            return NotImplemented
        return (self.deadline, self.number) < (other.deadline, other.number)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def _nothing() -> None:
    """What a withdrawn handle would call."""
