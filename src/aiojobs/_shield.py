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

from ._callgraph import CALL_GRAPH, link, link_each, unlink
from ._calling import is_a
from ._tasks import failure_of

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
    _outers: dict[asyncio.Future[Any], asyncio.Task[Any] | None]
    """Those that callers still await, in order: one for each call of ``shield``, gone when it is cancelled. With
    the caller's task where there is a call graph: as with ``asyncio.shield`` that one waits for the inner."""

    def __init__(self, arg: Awaitable[Any], inner: asyncio.Future[Any], scheduler: Engine) -> None:
        """Have the scheduler keep track of `inner` until it is done.

        Raises:
            BaseException: what `inner` raised when it was asked to tell of its end; nothing is kept.
        """
        self.arg = arg
        self.inner = inner
        self._outers = {}
        self._scheduler = scheduler
        inner.add_done_callback(self._on_inner_done)
        scheduler._shielded[inner] = self
        if CALL_GRAPH:
            scheduler._call_out("the call graph", link_each, (inner,), scheduler._shutdown.callers())

    def new_outer(self) -> asyncio.Future[Any]:
        """A future that gets what the inner one gets."""
        outer = self.inner.get_loop().create_future()
        caller = None
        if CALL_GRAPH:
            caller = asyncio.current_task(outer.get_loop())
            link(self.inner, caller)
        self._outers[outer] = caller
        outer.add_done_callback(self._forget)
        return outer

    def _forget(self, outer: asyncio.Future[Any]) -> None:
        """A caller has gone: a long run of them must not grow (``BOOK-3``)."""
        caller = self._outers.pop(outer, None)
        if CALL_GRAPH:
            unlink(self.inner, caller)

    def _on_inner_done(self, inner: asyncio.Future[Any]) -> None:
        failure = failure_of(inner)
        waiting = [outer for outer in self._outers if not outer.done()]
        for outer in waiting:
            self._scheduler._call_out("a shield", self._settle, outer, failure)
        if waiting or (failure is not None and is_a(failure, asyncio.CancelledError)):
            failure = None  # somebody has received it, or nobody need
        self._scheduler._shielded_ended(inner, failure)

    def _settle(self, outer: asyncio.Future[Any], failure: BaseException | None) -> None:
        if failure is None:
            outer.set_result(self.inner.result())
        elif is_a(failure, asyncio.CancelledError):
            outer.cancel()
        else:
            outer.set_exception(failure)
