"""Takes the picture of a scheduler: reads its registries, and asks its tasks (``SEE-2``).

The rules of this file
----------------------
It changes nothing. First all is read that the package itself knows, in one go; only then are tasks asked for their
names and coroutines, through the gate, since that may run anybody's code, which may call back (``BOOK-4``). Who waits
and where is read from objects of Python's and asyncio's own (``_suspension``), which runs none.

Nothing is kept but the numbers by which jobs and tasks are called, for as long as those live; and nothing is done
before somebody wants a picture: a job that nobody looks at pays nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

from ._bound_loop import BoundLoop
from ._calling import coro_of, is_running, name_of, plain, shown, time_of, when_of
from ._core import Core
from ._job import Job
from ._lifecycle import State
from ._ownership import qualified_name
from ._shields import Shields
from ._snapshot import BlockedSpawn, JobSnapshot, Location, Snapshot, TaskSnapshot, Wait
from ._suspension import is_task, stack_of, waiting_for
from ._terms import Terms

__all__ = ("see",)


class _Numbers:
    """The numbers by which jobs and tasks are called: each given when it is first seen, and never again."""

    __slots__ = ("_count", "_known")

    _known: dict[int, tuple[int, weakref.ref[Any]]]
    """By the address of each that lives, which is asked for nothing, not even its hash."""

    def __init__(self) -> None:
        self._known = {}
        self._count = itertools.count(1)

    def of(self, thing: object) -> int:
        """The number of a job or a task."""
        address = id(thing)
        known = self._known.get(address)
        if known is not None:
            return known[0]
        number = next(self._count)
        self._known[address] = number, weakref.ref(thing, lambda _: self._known.pop(address, None))
        return number


_numbers = _Numbers()


def see(core: Core, shields: Shields) -> Snapshot:
    """The picture of a scheduler as it is now.

    Raises:
        RuntimeError: its loop runs in another thread, which may be changing it.
    """
    bound = core.bound
    now = None
    if bound.loop is not None:
        _check_thread(bound)
        now = bound.call_out("time of the loop", time_of, bound.loop)
    return _Reading(core, shields).picture(now)


def _check_thread(bound: BoundLoop) -> None:
    try:
        here: object = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is not bound.loop and bound.call_out("is_running of the loop", is_running, bound.loop):
        raise RuntimeError(
            f"the loop of {shown(bound.owner)} runs in another thread: "
            "have it take the picture there, with loop.call_soon_threadsafe()"
        )


class _Seen(NamedTuple):
    """A job in the registries, with what has to be read of it in one go."""

    job: Job[Any]
    state: State
    place: int | None
    stack: tuple[Location, ...]
    terms: Terms | None
    since: tuple[float | None, float | None]
    task: int | None


class _Reading:
    """What the registries say in one moment, and who waits for whom: all that can be read without asking anybody."""

    __slots__ = ("_by_task", "_core", "_outers", "_outside", "_todo", "_waits")

    _by_task: dict[int, Job[Any]]
    """Which job a task runs, by the task's address."""
    _outers: dict[int, list[object]]
    """What stands for a shielded awaitable, by its address."""
    _outside: dict[int, asyncio.Task[Any]]
    """Tasks that run no job and take part in the waiting, by their numbers."""
    _todo: list[asyncio.Task[Any]]
    """Those of which it has yet to be found out who waits for them."""
    _waits: dict[tuple[int, int | None], Wait]
    """By who waits for what."""

    def __init__(self, core: Core, shields: Shields) -> None:
        self._core = core
        self._by_task = {id(job.task): job for job in core.slots if job.task is not None}
        # The task that was made for a job need not be the one that has begun it.
        self._by_task |= {id(runner): job for runner, job in core.tasks.runners()}
        self._outers = {id(inner): [*shielded.outers] for inner, shielded in shields.inners.items()}
        self._outside = {}
        self._todo = []
        self._waits = {}

    def picture(self, now: float | None) -> Snapshot:
        """All of it, at this time of the loop."""
        core, admission = self._core, self._core.admission
        counts = (admission.phase, admission.limit, admission.pending_limit)
        counted = (admission.running, admission.pending, admission.blocked, len(self._outers))
        for job in (*core.slots, *core.queue):
            _numbers.of(job)
        seen = [self._job(job, None) for job in core.slots]
        seen += [self._job(job, place) for place, job in enumerate(core.queue, 1)]
        blocked = [(job, self._callers(None, [place])) for place, job in core.places.items()]
        idlers = self._who_waits(core.waiters)
        for awaited in seen:
            self._callers(_numbers.of(awaited.job), *_told_of(core, awaited.job))
        for task in self._todo:  # grows meanwhile
            self._callers(_numbers.of(task), [task, *self._outers.get(id(task), ())])
        # All is read: from here on others are asked.
        return Snapshot(
            *counts,
            *counted,
            jobs=tuple(self._describe(job, now) for job in seen),
            blocked=tuple(BlockedSpawn(plain(job.given_name), job.qualname, who) for job, who in blocked),
            tasks=tuple(self._describe_task(*each) for each in self._outside.items()),
            waits=tuple(self._waits.values()),
            idlers=tuple(dict.fromkeys(idler for idler, _ in idlers)),
        )

    # --- Who waits ------------------------------------------------------------------------------------

    def _callers(
        self, awaited: int | None, futures: Iterable[object], callbacks: Iterable[object] = ()
    ) -> tuple[int, ...]:
        """Note who waits for a job, a task or a slot, and return their numbers."""
        waiters = self._who_waits(futures, callbacks)
        for waiter, is_choice in waiters:
            self._waits.setdefault((waiter, awaited), Wait(waiter, awaited, is_choice))
        return tuple(waiter for waiter, _ in waiters)

    def _who_waits(
        self, futures: Iterable[object], callbacks: Iterable[object] = ()
    ) -> list[tuple[int, bool]]:
        return [(self._number(task), is_choice) for task, is_choice in waiting_for(futures, callbacks)]

    def _number(self, task: asyncio.Task[Any]) -> int:
        """That of the job which a task runs, or its own."""
        job = self._by_task.get(id(task))
        if job is not None:
            return _numbers.of(job)
        number = _numbers.of(task)
        if number not in self._outside:
            self._outside[number] = task
            self._todo.append(task)
        return number

    # --- What is seen ---------------------------------------------------------------------------------

    def _job(self, job: Job[Any], place: int | None) -> _Seen:
        core = self._core
        task = _numbers.of(job.task) if is_task(job.task) else None
        times = core.reporting.since.get(job, (None, None))
        return _Seen(job, job.current, place, stack_of(job.coro), core.terms.get(job), times, task)

    def _describe(self, seen: _Seen, now: float | None) -> JobSnapshot:
        """A job as it was seen; its task and its timer are asked."""
        terms = seen.terms
        ends = None
        if terms is not None and terms.timer is not None and terms.failure is None:
            ends = self._core.bound.call_out("when of a timer", when_of, terms.timer)
        accepted, started = seen.since
        return JobSnapshot(
            id=_numbers.of(seen.job),
            name=plain(self._core.bound.call_out("get_name of a task", name_of, seen.job)),
            qualname=seen.job.qualname,
            state=seen.state,
            age=_between(accepted, now),
            running=_between(started, now),
            place=seen.place,
            stack=seen.stack,
            drain=terms is None or terms.drains,
            time_left=_between(now, ends),
            task=seen.task,
        )

    def _describe_task(self, number: int, task: asyncio.Task[Any]) -> TaskSnapshot:
        call_out = self._core.bound.call_out
        coro = call_out("get_coro of a task", coro_of, task)
        name = plain(call_out("get_name of a task", name_of, task))
        return TaskSnapshot(number, name, qualified_name(coro), stack_of(coro))


def _told_of(core: Core, job: Job[Any]) -> tuple[list[object], list[object]]:
    """The futures that are settled when a job ends, and what else is called."""
    futures: list[object] = [*(job.waiters or ())]
    if is_task(job.task):
        futures.append(job.task)
    return futures, [callback for callback, _, _ in core.callbacks.get(job, ())]


def _between(start: float | None, end: float | None) -> float | None:
    """Seconds between two times of the loop, if both are known; never fewer than none."""
    return None if start is None or end is None else max(end - start, 0.0)
