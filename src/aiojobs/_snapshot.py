"""A picture of a scheduler in one moment, and which of its jobs can't go on (``SEE-2``).

The rules of this file
----------------------
It is plain data, and what follows from it alone: numbers and text, no job, no task, no frame. So a picture can be
kept, compared, and sent elsewhere; it keeps nothing alive (``BOOK-3``). Who takes it is ``_seeing``.

Who is stuck
------------
A job *can go on* if it waits for nobody, or if all that it waits for can go on. A pending job can if a slot is
released once those that can go on have ended, and so can a caller whose ``spawn`` is blocked. What can go on is the
least set that is closed under these rules; the running jobs outside of it are stuck: each waits, directly or not, for
a job that waits for a slot that none of them gives back, or for itself.

What is deliberately not here
-----------------------------
No time: a timeout or somebody's ``close`` may well end it. No guess at what a job waits for that is none of this
package's: it is taken to come. A caller that waits for the first of several is taken to get it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ._lifecycle import Phase, State

__all__ = ("BlockedSpawn", "JobSnapshot", "Location", "Snapshot", "TaskSnapshot", "Wait", "stuck_among")

_Node = int | tuple[str, int]
"""A job or a task by its id, or the slots of a scheduler by its place among those that are looked at."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the code.

    Attributes:
        file: the path of the source.
        line: the number of the line.
        function: the qualified name of the function.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """A job that has not ended.

    Attributes:
        id: a number that no other job and no task of the program has; the same in each picture of this job.
        name: as `Job.get_name` says; None for one that has none.
        qualname: the qualified name of the coroutine.
        state: pending, active or closing.
        age: seconds since it was accepted; None unless the scheduler is observed.
        running: seconds since it started; None before, and unless the scheduler is observed.
        place: where it stands in the queue, 1 for the next to start; None if it has a slot.
        stack: where it is suspended, the outermost call first; empty if it has not begun, if it runs at this very
            moment, and if its coroutine is not one of Python's own.
        drain: whether draining waits for it.
        time_left: seconds until its time is over; None if it has no time limit, and before its start.
        task: the id of the task that runs it, by which other schedulers' pictures call it; None before its start.
    """

    id: int
    name: str | None
    qualname: str
    state: State
    age: float | None
    running: float | None
    place: int | None
    stack: tuple[Location, ...]
    drain: bool
    time_left: float | None
    task: int | None

    @property
    def suspended_at(self) -> Location | None:
        """The innermost place of the stack."""
        return self.stack[-1] if self.stack else None


@dataclass(frozen=True, slots=True)
class TaskSnapshot:
    """A task that is no job of the scheduler, but waits for one, or for a place.

    Attributes:
        id: a number that no other task and no job of the program has; the same in each picture of this task.
        name: as asyncio has it.
        qualname: the qualified name of its coroutine.
        stack: where it is suspended, as of a `JobSnapshot`.
    """

    id: int
    name: str | None
    qualname: str
    stack: tuple[Location, ...]

    @property
    def suspended_at(self) -> Location | None:
        """The innermost place of the stack."""
        return self.stack[-1] if self.stack else None


@dataclass(frozen=True, slots=True)
class BlockedSpawn:
    """A call of ``spawn`` that waits for a place in the queue.

    Attributes:
        name: the name that the job was given; None if it was given none.
        qualname: the qualified name of the coroutine.
        callers: the ids of the job or the tasks that wait for the call; more than one if they share it.
    """

    name: str | None
    qualname: str
    callers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody waits for somebody, or for a slot.

    Attributes:
        waiter: the id of the job or task that waits.
        awaited: the id of the job or task that it waits for; None for a slot, in a ``spawn`` that is blocked.
        is_choice: whether it waits for the first of several, of which this is one.
    """

    waiter: int
    awaited: int | None
    is_choice: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A scheduler in one moment (``SEE-2``); nothing in it changes.

    Attributes:
        phase: open, closing or closed.
        limit: how many jobs may run at once; None for no limit.
        pending_limit: how many jobs may wait for a slot; 0 for no limit.
        active_count: how many jobs hold a slot.
        pending_count: how many jobs wait for a slot.
        blocked_count: how many calls of ``spawn`` wait for a place in the queue.
        shielded_count: how many shielded awaitables are not done.
        jobs: those that have not ended, in the order of spawning.
        blocked: the calls of ``spawn`` that wait, in order of arrival.
        tasks: what else takes part in the waiting.
        waits: who waits for whom: directly, or through ``gather``, ``asyncio.wait``, ``shield``, ``wait_for``,
            task groups and tasks of its own. What is between two jobs is a task here.
        idlers: the ids of those that wait until nothing is left, in ``idle`` or ``wait_and_close``: for all jobs that
            drain, and blocked callers; once closing has begun, for all jobs.
    """

    phase: Phase
    limit: int | None
    pending_limit: int
    active_count: int
    pending_count: int
    blocked_count: int
    shielded_count: int
    jobs: tuple[JobSnapshot, ...]
    blocked: tuple[BlockedSpawn, ...]
    tasks: tuple[TaskSnapshot, ...]
    waits: tuple[Wait, ...]
    idlers: tuple[int, ...]

    @property
    def stuck(self) -> tuple[JobSnapshot, ...]:
        """The jobs that can't go on, in the order of spawning: all slots are theirs, or they wait in a circle."""
        return stuck_among([self])


def stuck_among(snapshots: Iterable[Snapshot]) -> tuple[JobSnapshot, ...]:
    """The jobs that can't go on, of schedulers whose jobs may wait for each other's."""
    pictures = list(snapshots)
    progress = _Progress()
    # What is a task in the picture of one scheduler may be a job in that of another.
    jobs = {job.task: job.id for picture in pictures for job in picture.jobs if job.task is not None}
    for number, picture in enumerate(pictures):
        _add(progress, picture, ("slot of", number), jobs)
    going = progress.going()
    held = [job for picture in pictures for job in picture.jobs if job.place is None]
    return tuple(job for job in held if job.id not in going)


def _add(progress: _Progress, picture: Snapshot, slot: _Node, jobs: dict[int, int]) -> None:
    """What one picture says of who waits for what."""
    surplus = 0 if picture.limit is None else picture.active_count - picture.limit + 1
    progress.needs(slot, surplus)
    for job in picture.jobs:
        if job.place is None:
            progress.lets_on(job.id, slot)
        else:
            progress.waits(job.id, slot)
        if job.drain or picture.phase is not Phase.OPEN:
            for idler in picture.idlers:
                progress.waits(jobs.get(idler, idler), job.id)
    if picture.blocked:
        for idler in picture.idlers:
            progress.waits(jobs.get(idler, idler), slot)
    for wait in picture.waits:
        if not wait.is_choice:
            awaited = slot if wait.awaited is None else jobs.get(wait.awaited, wait.awaited)
            progress.waits(jobs.get(wait.waiter, wait.waiter), awaited)


class _Progress:
    """Who can go on: each counts what it still waits for, and goes on when that is nothing."""

    __slots__ = ("_behind", "_missing")

    _missing: dict[_Node, int]
    """How many of those that it waits for have yet to go on."""
    _behind: dict[_Node, list[_Node]]
    """Who waits for whom, from the awaited to those behind."""

    def __init__(self) -> None:
        self._missing = {}
        self._behind = {}

    def needs(self, node: _Node, count: int) -> None:
        """It goes on when `count` more of those that let it on have gone on."""
        self._missing[node] = self._missing.get(node, 0) + count

    def lets_on(self, node: _Node, behind: _Node) -> None:
        """When `node` goes on, `behind` has one less to wait for."""
        self.needs(node, 0)
        self._behind.setdefault(node, []).append(behind)

    def waits(self, node: _Node, awaited: _Node) -> None:
        """It waits for this one too."""
        self.needs(node, 1)
        self.lets_on(awaited, node)

    def going(self) -> dict[_Node, None]:
        """All that can go on."""
        ready = [node for node, missing in self._missing.items() if missing <= 0]
        going = dict.fromkeys(ready)
        while ready:
            for node in self._behind.get(ready.pop(), ()):
                self._missing[node] -= 1
                if self._missing[node] <= 0 and node not in going:
                    going[node] = None
                    ready.append(node)
        return going
