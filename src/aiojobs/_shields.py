"""Shielded awaitables, of which ``Scheduler.shield`` keeps track.

Like ``asyncio.shield``: a caller awaits an *outer* future, and cancelling that leaves the *inner* one alone.
Unlike it, the scheduler knows the inner one until it is done, waits for it when it drains, cancels it when it
closes, and hears of a failure that no caller is left to receive (``EXC-4``).

One object stands for one inner future, however often it is shielded, so that it is cancelled once and
reported once.

What is deliberately not here: when to cancel. See ``_closing``.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from ._callgraph import CALL_GRAPH, link, link_each, unlink, unlink_each
from ._calling import cancel, close_coro, coro_of, failure_of, is_a, shown
from ._core import Core
from ._lifecycle import Phase
from ._ownership import release
from ._reporting import shield_failure
from ._tasks import no_task

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ("Shields",)


class Shields:
    """The shielded awaitables of one scheduler."""

    __slots__ = ("_being_made", "_core", "inners")

    inners: dict[asyncio.Future[Any], _Shielded]
    """Those that are not done, in order."""
    _being_made: list[object]
    """Coroutines that are being given their tasks, which may begin them at once, in order to be shielded."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.inners = {}
        self._being_made = []

    def __del__(self) -> None:
        try:
            for shielded in self.inners.values():
                release(shielded.arg)
        except (AttributeError, TypeError, NameError):  # as that of the core
            pass

    def shield(self, arg: Any) -> asyncio.Future[Any]:
        """A future for whoever waits for `arg`, which goes on without that one.

        Raises:
            TypeError: `arg` can't be awaited.
            RuntimeError: the loop or the owner is another one; or closing has begun, and a coroutine has been closed.
        """
        core = self._core
        is_coroutine = asyncio.iscoroutine(arg)
        if not is_coroutine and not asyncio.isfuture(arg) and not inspect.isawaitable(arg):
            raise TypeError(f"arg must be awaitable, got {shown(arg)}")
        loop = core.bound.check()
        if is_coroutine:
            core.check_offer(arg, None, None)
        elif asyncio.isfuture(arg) and arg.get_loop() is not loop:
            raise RuntimeError(
                f"{shown(core.bound.owner)} is bound to a different event loop than {shown(arg)}"
            )
        if self._is_closed() or core.reporting.is_telling:
            if is_coroutine:
                release(arg)
                core.bound.call_out("close of a coroutine", close_coro, arg)
            core.reporting.refuse_observer()
            raise RuntimeError("Shielding an awaitable after closing")
        core.bind(loop)
        inner = self._begin(arg) if is_coroutine else asyncio.ensure_future(arg)
        if inner.done():
            release(arg)
            return inner
        shielded = self.inners.get(inner)
        if shielded is None:
            shielded = _Shielded(arg, inner, self)
            if self._is_closed():
                # Its first step, in an eager task, has closed the scheduler that let it in.
                core.bound.call_out("cancel of a shielded future", cancel, inner)
        return shielded.new_outer()

    def runs(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task is one of those that are shielded, or is about to be."""
        begins = (
            bool(self._being_made) and self._core.bound.call_out("a task", coro_of, task) in self._being_made
        )
        return begins or task in self.inners

    def _is_closed(self) -> bool:
        return self._core.admission.phase is not Phase.OPEN

    def _begin(self, coro: Any) -> asyncio.Future[Any]:
        """The task of a coroutine that is shielded; without one the coroutine has come to its end."""
        self._being_made.append(coro)
        try:
            inner: asyncio.Future[Any] = asyncio.ensure_future(coro)
            if not asyncio.isfuture(inner):
                raise no_task(inner)  # noqa: TRY301 - as if it had not been made
        except BaseException:
            release(coro)
            self._core.bound.call_out("close of a coroutine", close_coro, coro)
            raise
        finally:
            self._being_made.pop()
        return inner

    def keep(self, shielded: _Shielded) -> None:
        """Keep track of one until it is done."""
        core = self._core
        self.inners[shielded.inner] = shielded
        if CALL_GRAPH:
            core.bound.call_out("the call graph", link_each, (shielded.inner,), core.waiters.values())

    def settle(
        self, shielded: _Shielded, waiting: list[asyncio.Future[Any]], failure: BaseException | None
    ) -> None:
        """One is done: those who wait for it get what it came to, or the handler does if nobody does."""
        core = self._core
        for outer in waiting:
            core.bound.call_out("a shield", shielded.hand_on, outer, failure)
        inner = shielded.inner
        del self.inners[inner]
        release(shielded.arg)
        if CALL_GRAPH:
            core.bound.call_out("the call graph", unlink_each, (inner,), core.waiters.values())
        if core.on_idle is not None:
            core.on_idle()
        if failure is not None and not waiting and not is_a(failure, asyncio.CancelledError):
            core.reporting.report(None, shield_failure(inner, failure))


class _Shielded:
    """An inner future and the outer ones that stand for it."""

    __slots__ = ("_shields", "arg", "inner", "outers")

    arg: Awaitable[Any]
    """What the user gave: if it is a coroutine, the scheduler has claimed it."""
    inner: asyncio.Future[Any]
    """What is shielded: a task, or a future of the user's."""
    outers: dict[asyncio.Future[Any], asyncio.Task[Any] | None]
    """Those that callers still await, in order: one for each call of ``shield``, gone when it is cancelled. With
    the caller's task where there is a call graph: as with ``asyncio.shield`` that one waits for the inner."""

    def __init__(self, arg: Awaitable[Any], inner: asyncio.Future[Any], shields: Shields) -> None:
        """Have `shields` keep track of `inner` until it is done.

        Raises:
            BaseException: what `inner` raised when it was asked to tell of its end; nothing is kept.
        """
        self.arg = arg
        self.inner = inner
        self.outers = {}
        self._shields = shields
        inner.add_done_callback(self._on_inner_done)
        shields.keep(self)

    def new_outer(self) -> asyncio.Future[Any]:
        """A future that gets what the inner one gets."""
        outer = self.inner.get_loop().create_future()
        caller = None
        if CALL_GRAPH:
            caller = asyncio.current_task(outer.get_loop())
            link(self.inner, caller)
        self.outers[outer] = caller
        outer.add_done_callback(self._forget)
        return outer

    def hand_on(self, outer: asyncio.Future[Any], failure: BaseException | None) -> None:
        """Give one caller what the inner future came to."""
        if failure is None:
            outer.set_result(self.inner.result())
        elif is_a(failure, asyncio.CancelledError):
            outer.cancel()
        else:
            outer.set_exception(failure)

    def _forget(self, outer: asyncio.Future[Any]) -> None:
        """A caller has gone: a long run of them must not grow (``BOOK-3``)."""
        caller = self.outers.pop(outer, None)
        if CALL_GRAPH:
            unlink(self.inner, caller)

    def _on_inner_done(self, inner: asyncio.Future[Any]) -> None:
        failure = failure_of(inner)
        self._shields.settle(self, [outer for outer in self.outers if not outer.done()], failure)
