"""A shielded awaitable: what ``Scheduler.shield`` keeps track of.

Like ``asyncio.shield``: a caller awaits an *outer* future, and cancelling that leaves the *inner* one alone.
Unlike it, the scheduler knows the inner one until it is done, waits for it when it drains, cancels it when it
closes, and hears of a failure that no caller is left to receive (``EXC-4``).

One object stands for one inner future, however often it is shielded, so that it is cancelled once and
reported once.

What is deliberately not here: when to cancel, and whether to report. The scheduler decides both.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ._engine import Engine

__all__ = ("Shielded",)


class Shielded:
    """An inner future and the outer ones that stand for it."""

    __slots__ = ("_outers", "_scheduler", "arg", "inner")

    arg: Awaitable[Any]
    """What the user gave: if it is a coroutine, the scheduler has claimed it."""
    inner: asyncio.Future[Any]
    """What is shielded: a task, or a future of the user's."""
    _outers: list[asyncio.Future[Any]]
    """One for each call of ``shield``; the callers await, and may cancel, these."""

    def __init__(self, arg: Awaitable[Any], inner: asyncio.Future[Any], scheduler: Engine) -> None:
        self.arg = arg
        self.inner = inner
        self._outers = []
        self._scheduler = scheduler
        inner.add_done_callback(self._on_inner_done)

    def new_outer(self) -> asyncio.Future[Any]:
        """A future that gets what the inner one gets."""
        outer = self.inner.get_loop().create_future()
        self._outers.append(outer)
        return outer

    def _on_inner_done(self, inner: asyncio.Future[Any]) -> None:
        exception = None if inner.cancelled() else inner.exception()
        waiting = [outer for outer in self._outers if not outer.done()]
        for outer in waiting:
            if inner.cancelled():
                outer.cancel()
            elif exception is not None:
                outer.set_exception(exception)
            else:
                outer.set_result(inner.result())
        self._scheduler._shielded_ended(inner, None if waiting else exception)
