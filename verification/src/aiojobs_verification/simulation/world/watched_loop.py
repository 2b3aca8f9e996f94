"""The virtual loop of a world, which reports every callback that it calls and every future that is made.

Deliberately not here: what to make of it (`oracle.projection`, `oracle.refinement`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVarTuple

from aiojobs.testing import VirtualLoop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

__all__ = ["WatchedLoop", "Watcher"]

_Ts = TypeVarTuple("_Ts")


class Watcher(Protocol):
    """Who wants to know."""

    def before(self, handle: Any) -> Any:
        """A callback is about to be called; what is returned is handed to `after`."""

    def after(self, cause: Any) -> None:
        """It has returned, or raised."""

    def made(self, future: asyncio.Future[Any]) -> None:
        """A future was made by whoever runs now."""


class WatchedLoop(VirtualLoop):
    """A virtual loop that can be watched."""

    watcher: Watcher | None = None

    def _call(self, handle: Any) -> bool:
        watcher = self.watcher
        if watcher is None:
            try:
                return super()._call(handle)
            finally:
                del handle  # what comes out of here keeps this frame, which must not keep a task alive
        cause = watcher.before(handle)
        try:
            return super()._call(handle)
        finally:
            del handle  # likewise
            watcher.after(cause)
            del cause

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Any:
        """As `call_soon`: another thread that calls is waited for, so that its time of arrival is no chance."""
        return self.call_soon(callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        future = super().create_future()
        if self.watcher is not None:
            self.watcher.made(future)
        return future
