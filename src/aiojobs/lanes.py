"""Work in order for each key, side by side for different keys, under the one limit of a scheduler.

    lanes = Lanes(scheduler)
    await lanes.spawn("Ada", deliver("Ada", "a desk"))     # one at a time and in order for each key

Each key that has work has a lane. Work waits in its lane, *before* it takes a slot of the scheduler: a busy key holds
no slot while it waits for itself, so it keeps nobody from running.

The rules of this file
----------------------
*Turns* (``LANE-1``). The lanes that could start something stand in a ring. The first of it hands one over and goes to
the end, so nobody has two turns while another one waits for his first.

*One at the door* (``LANE-4``, ``LANE-5``). Whatever is handed over is spawned at once. If it has to wait for a slot it
is the only one that does: nothing else is handed over until it starts. So whose turn it is is decided as late as
possible, the scheduler's queue stays free for others, and no slot stays free while a lane could use it. When the
queue is full, too, a task waits in the line of blocked callers for the one at the door.

*Nothing is lost* (``LANE-6``). While something waits here, the scheduler has a shielded future: it drains only when
that is done. Closing cancels it, by which the lanes learn of it.

*No state* (``LANE-7``). A lane is made with the first work of a key and forgotten with its last.

Everything moves in one place, `_pump`, which the loop calls: never in a caller, an observer, or a job.

What is deliberately not here: slots, tasks, the end of a job. See ``_core``.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections import Counter, OrderedDict
from collections.abc import Coroutine, Hashable
from functools import partial
from types import CoroutineType
from typing import Any, Final, TypeAlias, TypeVar, cast

from . import _validate
from ._exceptions import PendingQueueFull
from ._job import Job
from ._lane_job import LaneJob, Terms, run
from ._scheduler import Scheduler

__all__ = ("LaneJob", "Lanes")

_T = TypeVar("_T")
_Coro: TypeAlias = Coroutine[Any, Any, _T]

_log: Final = logging.getLogger(__name__)


class _Lane:
    """The work of one key that has some."""

    __slots__ = ("entered", "entering", "key", "line", "reserved", "waiting")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.entered = 0
        """How many were handed over and have not ended."""
        self.waiting: OrderedDict[LaneJob[Any], None] = OrderedDict()
        """Those that were accepted and wait for their turn, in order."""
        self.line: OrderedDict[asyncio.Future[None], None] | None = None
        """The blocked callers, in order; None before the first."""
        self.reserved = 0
        """How many places belong to callers that were woken and have not gone on."""
        self.entering: LaneJob[Any] | None = None
        """The latest that was handed over, until it begins."""

    def latest(self) -> LaneJob[Any] | None:
        """The latest that has not begun, and will."""
        entering = self.entering
        if entering is not None and entering.closed:
            entering = None
        return next(reversed(self.waiting), entering)

    def is_idle(self) -> bool:
        return not (self.entered or self.waiting or self.line or self.reserved)


class Lanes:
    """Spawns jobs in order for each key, and in turns over all keys, in a scheduler.

    Each job takes a slot of the scheduler when its turn comes, so the scheduler's limit holds for all keys together
    (``LANE-4``). Keys are anything that can be hashed. Drain and close the scheduler: it waits for what waits here.

    Arguments:
        scheduler: what runs the jobs; several `Lanes`, and other work, may share it.
        limit: how many jobs of one key may run at once, at least 1.
        pending_limit: how many may wait in the lane of one key; 0 for no limit.

    Raises:
        TypeError, ValueError: an argument makes no sense; the message names it.
    """

    def __init__(self, scheduler: Scheduler, *, limit: int = 1, pending_limit: int = 1000) -> None:
        if not isinstance(scheduler, Scheduler):
            raise TypeError(f"scheduler must be an aiojobs.Scheduler, got {scheduler!r}")
        _validate.check_count("limit", limit, least=1)
        _validate.check_count("pending_limit", pending_limit, least=0)
        self._scheduler = scheduler
        self._limit = limit
        self._pending_limit = pending_limit
        self._lanes: dict[Hashable, _Lane] = {}
        """Of each key that has work or a blocked caller."""
        self._ring: OrderedDict[_Lane, None] = OrderedDict()
        """Every lane that has something waiting and runs less than its limit, in the order of their turns."""
        self._coros: dict[int, None] = {}
        """The ids of the coroutines that have not begun."""
        self._pending = 0
        """How many have no job yet, and are to get one."""
        self._blocked = 0
        """How many callers are blocked, or have been woken and have not gone on."""
        self._at_door: LaneJob[Any] | None = None
        """The one that was handed over and waits for a slot."""
        self._knocking: asyncio.Task[Job[Any]] | None = None
        """The blocked spawn of the one at the door, when the scheduler's queue is full."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nothing: asyncio.Future[None] | None = None
        """Has a result: to shield it does nothing but what the scheduler checks first."""
        self._holding: asyncio.Future[None] | None = None
        """What keeps the scheduler from being drained while something waits."""
        self._is_woken = False
        """Whether `_pump` will be called."""

    # --- What a user sees -------------------------------------------------------------------------

    @property
    def limit(self) -> int:
        """How many jobs of one key may run at once; ``set_limit`` changes it."""
        return self._limit

    @property
    def pending_limit(self) -> int:
        """How many may wait in the lane of one key; 0 for no limit."""
        return self._pending_limit

    @property
    def pending_count(self) -> int:
        """How many were accepted and have no job yet."""
        return self._pending

    @property
    def blocked_count(self) -> int:
        """How many callers of ``spawn`` wait for a place in their lane."""
        return self._blocked

    @property
    def key_count(self) -> int:
        """For how many keys something is kept: those with work, running or waiting, or with a blocked caller."""
        return len(self._lanes)

    def __repr__(self) -> str:
        return f"<Lanes keys={self.key_count} pending={self._pending}>"

    def set_limit(self, limit: int) -> None:
        """Change how many jobs of one key may run at once, at least 1 (``LANE-3``).

        Raising it lets more start at once, lowering it stops nothing. ``Scheduler.set_limit`` changes the limit of
        all keys together.

        Raises:
            TypeError, ValueError: `limit` makes no sense.
            RuntimeError: the lanes have a loop, and this is not called in it.
        """
        _validate.check_count("limit", limit, least=1)
        if self._loop is not None:
            self._check_loop()
        self._limit = limit
        for lane in self._lanes.values():
            self._line_up(lane)

    async def spawn(
        self,
        key: Hashable,
        coro: Coroutine[Any, Any, _T],
        name: str | None = None,
        *,
        context: contextvars.Context | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the time of the job, not of this call
    ) -> LaneJob[_T]:
        """Accept `coro` for the lane of `key`: it runs as a job of the scheduler when its turn comes.

        Waits while ``pending_limit`` others wait in that lane; cancelling that leaves nothing behind (``SPAWN-1``).
        The job runs in a copy of the caller's context as it is now, or in `context` itself (``SPAWN-4``).

        Arguments:
            key: whose lane.
            coro: what to run.
            name: for people, as in ``Scheduler.spawn``.
            context: to run in.
            timeout: seconds that the job may run, from its start (``SPAWN-6``).

        Raises:
            TypeError, ValueError: an argument makes no sense, or `key` can't be hashed; `coro` is untouched.
            RuntimeError: `coro` was started or spawned before, or the loop is another one, and it is untouched; or
                closing has begun, and it has been closed (``SPAWN-2``).
        """
        terms = self._check(key, coro, name, context, timeout)
        lane = self._lanes.get(key)
        if lane is not None and self._is_full(lane):
            await self._place(lane, coro)
            self._refuse(coro)
        return self._accept(key, coro, terms)

    def spawn_nowait(
        self,
        key: Hashable,
        coro: Coroutine[Any, Any, _T],
        name: str | None = None,
        *,
        context: contextvars.Context | None = None,
        timeout: float | None = None,
    ) -> LaneJob[_T]:
        """As ``spawn``, for callers that can't wait.

        Raises:
            PendingQueueFull: ``spawn`` would have waited; `coro` has been closed.
            TypeError, ValueError, RuntimeError: as ``spawn``.
        """
        return self._accept_now(key, coro, self._check(key, coro, name, context, timeout))

    def coalesce(
        self,
        key: Hashable,
        coro: Coroutine[Any, Any, _T],
        name: str | None = None,
        *,
        context: contextvars.Context | None = None,
        timeout: float | None = None,
    ) -> LaneJob[_T]:
        """As ``spawn_nowait``, unless something of that key has not begun yet: then that one does for this, too.

        It is returned, and `coro` is closed. So, with nothing but ``coalesce``, at most one waits for each key. For
        work that is about the present: what has not begun will see it.

        Raises:
            PendingQueueFull, TypeError, ValueError, RuntimeError: as ``spawn_nowait``.
        """
        terms = self._check(key, coro, name, context, timeout)
        lane = self._lanes.get(key)
        latest = None if lane is None else lane.latest()
        if latest is None:
            return self._accept_now(key, coro, terms)
        self._discard(coro)
        return latest

    # --- Checks -----------------------------------------------------------------------------------

    def _check(self, key: Hashable, coro: Any, name: Any, context: Any, timeout: Any) -> Terms:
        """All that can be wrong with the arguments, while nothing has changed: type, loop, ownership, closed."""
        hash(key)
        _validate.check_coroutine(coro)
        _validate.check_name(name)
        _validate.check_context(context)
        within = _validate.seconds("timeout", timeout)
        if not self._scheduler.closed:
            self._check_loop()
        has_begun = type(coro) is CoroutineType and inspect.getcoroutinestate(coro) != inspect.CORO_CREATED
        if has_begun or id(coro) in self._coros:
            raise RuntimeError(f"coro must not have been started or spawned before, got {coro!r}")
        self._refuse(coro)
        return Terms(name, contextvars.copy_context() if context is None else context, within)

    def _check_loop(self) -> None:
        """The loop of the first use, which is the scheduler's."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            nothing = loop.create_future()
            nothing.set_result(None)
            self._scheduler.shield(nothing)
            self._loop, self._nothing = loop, nothing
        elif loop is not self._loop:
            raise RuntimeError(f"{self!r} is bound to a different event loop")

    def _refuse(self, coro: _Coro[Any]) -> None:
        """After closing has begun, and in an observer, nothing is accepted."""
        if self._scheduler.closed:
            self._discard(coro)
            raise RuntimeError("Scheduling a new job after closing")
        try:
            self._scheduler.shield(cast("asyncio.Future[None]", self._nothing))
        except RuntimeError:
            self._discard(coro)
            raise

    def _discard(self, coro: _Coro[Any]) -> None:
        """Close what never ran; what that raises is for the handler (``START-2``)."""
        try:
            coro.close()
        except BaseException as exc:  # noqa: BLE001 - anybody's code
            self._scheduler.call_exception_handler(
                {"message": "Closing a coroutine that never ran failed", "job": None, "exception": exc}
            )

    # --- Coming in --------------------------------------------------------------------------------

    def _accept_now(self, key: Hashable, coro: _Coro[_T], terms: Terms) -> LaneJob[_T]:
        """Accept what was checked, if its lane has a place."""
        lane = self._lanes.get(key)
        if lane is not None and self._is_full(lane):
            self._discard(coro)
            raise PendingQueueFull(
                f"all {self._pending_limit} places in the lane of {key!r} are taken; await spawn() to wait for one"
            )
        return self._accept(key, coro, terms)

    def _is_full(self, lane: _Lane) -> bool:
        """Whether who comes now has to wait; nobody overtakes those who do."""
        limit = self._pending_limit
        return limit > 0 and bool(lane.line or lane.reserved or len(lane.waiting) >= limit)

    async def _place(self, lane: _Lane, coro: _Coro[Any]) -> None:
        """Wait for a place in a lane."""
        turn = asyncio.get_running_loop().create_future()
        if lane.line is None:
            lane.line = OrderedDict()
        lane.line[turn] = None
        self._blocked += 1
        try:
            await turn
        except BaseException:
            self._leave(lane, turn)
            self._settle(lane)
            self._discard(coro)
            raise
        self._leave(lane, turn)
        if self._scheduler.closed:
            self._settle(lane)

    def _leave(self, lane: _Lane, turn: asyncio.Future[None]) -> None:
        """A blocked caller goes on, or away: its place is free again."""
        self._blocked -= 1
        line = cast("OrderedDict[asyncio.Future[None], None]", lane.line)
        if turn in line:
            del line[turn]
        else:
            lane.reserved -= 1

    def _admit(self, lane: _Lane) -> None:
        """Wake as many blocked callers as there are places."""
        while lane.line and (
            len(lane.waiting) + lane.reserved < self._pending_limit or self._scheduler.closed
        ):
            turn, _ = lane.line.popitem(last=False)
            lane.reserved += 1
            if not turn.done():
                turn.set_result(None)

    def _accept(self, key: Hashable, coro: _Coro[_T], terms: Terms) -> LaneJob[_T]:
        self._hold()
        piece = LaneJob(key, coro, terms, self)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key)
        self._coros[id(coro)] = None
        self._pending += 1
        lane.waiting[piece] = None
        self._line_up(lane)
        return piece

    # --- Taking turns -----------------------------------------------------------------------------

    def _line_up(self, lane: _Lane) -> None:
        """A lane that could start something gets its place in the ring, if it has none."""
        if lane.waiting and lane.entered < self._limit:
            self._ring.setdefault(lane)
            self._wake()

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            cast("asyncio.AbstractEventLoop", self._loop).call_soon(self._pump)

    def _pump(self) -> None:
        """Hand over whatever can be, in turns."""
        self._is_woken = False
        while self._ring and self._at_door is None and not self._scheduler.closed:
            lane, _ = self._ring.popitem(last=False)
            if lane.entered < self._limit:
                piece, _ = lane.waiting.popitem(last=False)
                lane.entered += 1
                self._hand_over(lane, piece)
                self._settle(lane)
        self._release()

    def _hand_over(self, lane: _Lane, piece: LaneJob[Any]) -> None:
        piece.wake()
        lane.entering = piece
        try:
            job = self._spawn_nowait(piece)
        except PendingQueueFull:
            self._at_door = piece
            loop = cast("asyncio.AbstractEventLoop", self._loop)
            self._knocking = loop.create_task(self._knock(piece), name=f"lanes: {piece.qualname}")
            self._knocking.add_done_callback(self._answered)
        else:
            self._become(piece, job)

    def _spawn_nowait(self, piece: LaneJob[Any]) -> Job[Any]:
        name, context, timeout = cast("Terms", piece.terms)
        return self._scheduler.spawn_nowait(_named(piece), name, context=context, timeout=timeout)

    async def _knock(self, piece: LaneJob[Any]) -> Job[Any]:
        name, context, timeout = cast("Terms", piece.terms)
        return await self._scheduler.spawn(_named(piece), name, context=context, timeout=timeout)

    def _answered(self, task: asyncio.Task[Job[Any]]) -> None:
        """The spawn of the one at the door has come to its end."""
        if task is not self._knocking:
            return
        piece = cast("LaneJob[Any]", self._at_door)
        self._knocking = None
        if task.cancelled() or task.exception() is not None:
            self._come_back(piece)
        else:
            self._become(piece, task.result())

    def _come_back(self, piece: LaneJob[Any]) -> None:
        """A spawn was cancelled or refused: what was not given up is the first again."""
        lane = self._lanes[piece.key]
        lane.entered -= 1
        lane.entering = self._at_door = None
        if piece.owner is not None:
            lane.waiting[piece] = None
            lane.waiting.move_to_end(piece, last=False)
            self._ring[lane] = None
            self._ring.move_to_end(lane, last=False)
        self._wake()
        self._settle(lane)

    def _become(self, piece: LaneJob[Any], job: Job[Any]) -> None:
        self._pending -= 1
        piece.become(job)
        job.add_done_callback(partial(self._ended, piece))
        if job.pending:
            self._at_door = piece
        elif self._at_door is piece:
            self._at_door = None
            self._wake()
        self._settle(self._lanes[piece.key])

    def has_begun(self, piece: LaneJob[Any]) -> None:
        """The first step of a job has come."""
        self._coros.pop(id(piece.coro), None)
        self._pass_door(piece)

    def _pass_door(self, piece: LaneJob[Any]) -> None:
        lane = self._lanes[piece.key]
        if lane.entering is piece:
            lane.entering = None
        if self._at_door is piece and self._knocking is None:
            self._at_door = None
            self._wake()

    def _ended(self, piece: LaneJob[Any], _: Job[Any]) -> None:
        """A job has ended; if it never began, its coroutine is closed here."""
        self._pass_door(piece)
        lane = self._lanes[piece.key]
        lane.entered -= 1
        self._settle(lane)
        if piece.owner is not None:
            self._give_up(piece)

    # --- Leaving ----------------------------------------------------------------------------------

    def withdraw(self, piece: LaneJob[Any]) -> None:
        """Take back what has no job yet, or whose job has ended and never began.

        Raises:
            RuntimeError: the loop is another one.
        """
        self._check_loop()
        self._hear()
        if piece.job is not None:
            if piece.owner is not None and piece.job.done():
                self._give_up(piece)
            return
        self._pending -= 1
        lane = self._lanes[piece.key]
        if piece is self._at_door:
            cast("asyncio.Task[Job[Any]]", self._knocking).cancel()
        else:
            del lane.waiting[piece]
        self._settle(lane)
        self._give_up(piece)

    def _hear(self) -> None:
        """Take notice of an answer at the door that has come and was not told yet."""
        if self._knocking is not None and self._knocking.done():
            self._answered(self._knocking)

    def _give_up(self, *pieces: LaneJob[Any]) -> None:
        """They will never run. All is settled before anybody's code is called (``BOOK-4``)."""
        coros = [piece.give_up() for piece in pieces]
        for coro in coros:
            self._coros.pop(id(coro), None)
        for coro in coros:
            self._discard(coro)

    def _settle(self, lane: _Lane) -> None:
        """After any change of a lane: its blocked callers, its turn, its end."""
        self._admit(lane)
        if lane.waiting:
            self._line_up(lane)
        else:
            self._ring.pop(lane, None)
        if lane.is_idle():
            self._lanes.pop(lane.key, None)
        self._release()

    def _release(self) -> None:
        """If nothing waits, let the scheduler drain."""
        if not self._pending and not self._blocked and self._at_door is None:
            holding, self._holding = self._holding, None
            if holding is not None and not holding.done():
                holding.set_result(None)
            if not self._lanes:  # what was large once does not stay so
                self._lanes, self._ring, self._coros = {}, OrderedDict(), {}

    # --- Draining and closing ---------------------------------------------------------------------

    def _hold(self) -> None:
        """Keep the scheduler from being drained, and hear of it when it closes."""
        if self._holding is None:
            holding = cast("asyncio.AbstractEventLoop", self._loop).create_future()
            holding.add_done_callback(self._let_loose)  # first, so that all is done when closing is over
            self._scheduler.shield(holding)
            self._holding = holding

    def _let_loose(self, holding: asyncio.Future[None]) -> None:
        """If the scheduler closes, nothing that waits will ever run.

        Closing refuses blocked callers before it cancels what is shielded: a task at the door has its answer.
        """
        if holding.cancelled():
            self._holding = None
            self._hear()
            self._drop([piece for lane in self._lanes.values() for piece in lane.waiting])

    def _drop(self, waiting: list[LaneJob[Any]]) -> None:
        door = self._at_door
        if door is not None and door.job is not None:
            self.withdraw(door)
        for lane in [*self._lanes.values()]:
            lane.waiting.clear()
            self._admit(lane)
        self._ring.clear()
        self._pending -= len(waiting)
        for lane in [*self._lanes.values()]:
            self._settle(lane)
        self._give_up(*waiting)
        if waiting:
            counted = Counter(piece.qualname for piece in waiting)
            told = ", ".join(f"{name}: {count}" for name, count in sorted(counted.items()))
            _log.warning(
                "Closing dropped work that waited in lanes: %d never started (%s)", len(waiting), told
            )


def _named(piece: LaneJob[_T]) -> Coroutine[Any, Any, _T]:
    """What the job runs, under the name of what it is there for."""
    coro: Any = run(piece)
    coro.__qualname__ = piece.qualname
    coro.__name__ = piece.qualname.rpartition(".")[2]
    return cast("Coroutine[Any, Any, _T]", coro)
