"""A shielded awaitable: what ``Scheduler.shield`` keeps track of.

Like ``asyncio.shield``: the caller awaits the *outer* future, and cancelling that leaves the *inner* one
alone. Unlike it, the scheduler knows the inner one until it is done, waits for it when it drains, cancels
it when it closes, and hears of a failure that no caller is left to receive (``EXC-4``).

What is deliberately not here: when to cancel, and whether to report. The scheduler decides both.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._scheduler import Scheduler

__all__ = ("Shielded",)


class Shielded:
    """The pair of an inner future and the outer one that stands for it."""

    __slots__ = ("_scheduler", "inner", "outer")

    inner: asyncio.Future[Any]
    """What is shielded: a task, or a future of the user's."""
    outer: asyncio.Future[Any]
    """What the caller awaits, and may cancel."""

    def __init__(self, inner: asyncio.Future[Any], scheduler: Scheduler) -> None:
        self.inner = inner
        self.outer = inner.get_loop().create_future()
        self._scheduler = scheduler
        inner.add_done_callback(self._on_inner_done)

    def _on_inner_done(self, inner: asyncio.Future[Any]) -> None:
        exception = None if inner.cancelled() else inner.exception()
        caller_gone = self.outer.cancelled()
        if not caller_gone:
            self._pass_on(inner, exception)
        self._scheduler._shielded_ended(self, exception if caller_gone else None)

    def _pass_on(self, inner: asyncio.Future[Any], exception: BaseException | None) -> None:
        if inner.cancelled():
            self.outer.cancel()
        elif exception is not None:
            self.outer.set_exception(exception)
        else:
            self.outer.set_result(inner.result())
