"""Callers in other threads, as far as one thread can have them: each hands its coroutine over and is waited for.

Rules of this file: the other thread does one thing, `spawn_threadsafe`, and has ended before the world goes on. What
is handed over arrives at a turn of the loop like everything from outside, and a run is the same every time. Whether
two threads really do something at the same moment is not asked here; the tests do.

How it works: right ahead of what is handed over the loop is given a note of its own, by which the world knows when the
spawn is really made. The answer is that of a `concurrent.futures.Future`, which may be cancelled at any moment.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from aiojobs_verification.simulation.world.calls import Call
from aiojobs_verification.simulation.world.probes import ORIGIN

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["ThreadCall"]


class ThreadCall(Call):
    """A call of `spawn_threadsafe`; what it gives takes the place of its task."""

    def start(self) -> None:
        """Have it called in another thread, and wait until that has been done."""
        loop: Any = self.world.loop
        loop.call_soon(self._arrive)
        thread = threading.Thread(target=self._call)
        thread.start()
        thread.join()
        if self.task is not None:
            future: Any = self.task
            future.add_done_callback(self._on_end)

    def _call(self) -> None:
        """In the other thread, and in its context."""
        body, world = self.body, self.world
        assert body is not None
        ORIGIN.set(self.origin)
        name = None if body is world.unnamed else body.name
        try:
            self.task = world.scheduler.spawn_threadsafe(body.make(), name)
        except Exception as error:  # noqa: BLE001 - every answer is an answer
            self.error = BaseException.with_traceback(error, None)
            self._answer()

    def cancel(self) -> bool:
        """Cancel what it has given; whether that could be done."""
        assert self.task is not None
        return self.task.cancel()

    def _arrive(self) -> None:
        """The loop comes to what was handed over: unless that was withdrawn, the spawn is made now."""
        world = self.world
        if self.answered and not world.is_full():
            return
        self.called_at = world.now()
        self.called_in = world.turns
        self.open_before = not world.scheduler.closed
        world.note("spawning", self.body)
        world.note("called", self)

    def _on_end(self, future: Future[Any]) -> None:
        assert self.body is not None
        self.error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if self.error is None:
            self.value = self.body.job = future.result()
        else:
            BaseException.with_traceback(
                self.error, None
            )  # what was given keeps it, and would keep the coroutine
            self.error.__context__ = None
        self._answer()

    def _answer(self) -> None:
        self.answered = True
        self.answered_in = self.world.turns
        self.open_after = not self.world.scheduler.closed
        self.world.note("answered", self)
