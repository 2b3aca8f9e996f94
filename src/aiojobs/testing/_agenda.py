"""The agenda of a virtual loop: its queue, its timers, and a clock that is a number.

Rules of this file: the order is asyncio's own. Ready callbacks run first in, first out; one *turn* runs
exactly those that were ready when it began; timers that are due join the end of the queue at the start of
a turn. Equal deadlines fire in the order in which they were set; a stock loop leaves that order open. Time
passes only when somebody says so, also while callbacks are ready: that is what a slow callback does to a
real program.

How it works: an `Agenda` is the half of a loop that can be led by hand, turn by turn. It knows neither
tasks nor what it means to run.

Deliberately not here: tasks, running freely, and what to do when nothing is left to do (`_virtual_loop`).
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from typing import TYPE_CHECKING, TypeVarTuple

from ._handles import TurnHandle, TurnTimer

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

__all__ = ("Agenda",)

_Ts = TypeVarTuple("_Ts")


class Agenda(asyncio.AbstractEventLoop):
    """The queue and the clock of an event loop; what else a loop has is up to those who inherit."""

    def __init__(self, start: float) -> None:
        self.turns: int = 0
        """Turns run so far; only `turn` counts it up."""
        self._ready: deque[TurnHandle | TurnTimer] = deque()
        self._timers: list[TurnTimer] = []  # a heap; withdrawn ones stay in until they come to its head
        self._timer_number = 0
        self._now = start
        self._still_turns = 0  # turns since the clock moved
        self._closed = False

    def time(self) -> float:
        """Virtual seconds, counted from `start`."""
        return self._now

    def ready(self) -> tuple[TurnHandle | TurnTimer, ...]:
        """What the next turn will run, in order, timers that are due included last."""
        due = sorted(timer for timer in self._timers if timer.deadline <= self._now)
        return tuple(handle for handle in (*self._ready, *due) if not handle.withdrawn)

    def timers(self) -> tuple[TurnTimer, ...]:
        """The timers that are set and not yet due, soonest first."""
        return tuple(sorted(t for t in self._timers if not t.withdrawn and t.deadline > self._now))

    def due(self) -> tuple[TurnTimer, ...]:
        """The timers whose time has come, in the order in which they will fire."""
        return tuple(sorted(t for t in self._timers if not t.withdrawn and t.deadline <= self._now))

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> TurnHandle:
        """Queue a callback for the next turn."""
        self._check_open()
        handle = TurnHandle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> TurnTimer:
        """Queue a callback for the first turn at or after a delay in virtual seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> TurnTimer:
        """Queue a callback for the first turn at or after a point of virtual time."""
        self._check_open()
        timer = TurnTimer(when, self._timer_number, callback, args, context)
        self._timer_number += 1
        heapq.heappush(self._timers, timer)
        return timer

    def turn(self) -> int:
        """Run what is ready now, and nothing that becomes ready meanwhile; return how many callbacks ran.

        The loop must be entered. An exception that asyncio lets through (`SystemExit`, `KeyboardInterrupt`)
        comes out of here; what was left of the turn stays in the queue.
        """
        while self._timers and self._timers[0].deadline <= self._now:
            self._ready.append(heapq.heappop(self._timers))
        self.turns += 1
        self._still_turns += 1
        ran = 0
        for _ in range(len(self._ready)):
            ran += self._call(self._ready.popleft())
        return ran

    def fire(self) -> int:
        """Run the timers that are due, ahead of what is ready; return how many ran.

        asyncio runs what came in from outside and the timers in one pass, in this order. What the former has made
        ready runs a pass later, behind those timers. For a caller who plays the part of the outside between two turns
        this is that order, and `turn` is the other one.
        """
        ran = 0
        for timer in self.due():
            if not timer.withdrawn:
                self._timers.remove(timer)
                heapq.heapify(self._timers)
                ran += self._call(timer)
        return ran

    def advance(self, delta: float | None = None) -> bool:
        """Let `delta` seconds pass, or the time up to the next timer; False if there is none."""
        target = self._next_deadline() if delta is None else self._now + delta
        if target is None:
            return False
        self._now = target
        self._still_turns = 0
        return True

    def quiet(self) -> bool:
        """Whether the next turn would run nothing."""
        self._drop_withdrawn_head()
        due = bool(self._timers) and self._timers[0].deadline <= self._now
        return not due and all(handle.withdrawn for handle in self._ready)

    def _next_deadline(self) -> float | None:
        self._drop_withdrawn_head()
        if self._timers and self._timers[0].deadline > self._now:
            return self._timers[0].deadline
        return min((timer.deadline for timer in self.timers()), default=None)

    def _drop_withdrawn_head(self) -> None:
        while self._timers and self._timers[0].withdrawn:
            heapq.heappop(self._timers)

    def _call(self, handle: TurnHandle | TurnTimer) -> bool:
        """Run a callback unless it was withdrawn; whether it ran."""
        try:
            if handle.withdrawn:
                return False
            handle.context.run(handle.callback, *handle.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  as in asyncio
            message = f"Exception in callback {handle!r}"
            self.call_exception_handler({"message": message, "exception": error, "handle": handle})
        finally:
            del handle  # what comes out of here keeps this frame, which must not keep a task alive
        return True

    def is_closed(self) -> bool:
        """Whether the loop was closed: then nothing more can be put into the queue."""
        return self._closed

    def _drop_everything(self) -> None:
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")
