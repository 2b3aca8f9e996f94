"""The jobs that have not ended: their states, and the order of those that wait.

Rules of this file. What may be told of a job is the job's table: source and event name a cell, the cell says the
state after it. A job that has ended is forgotten, so that nothing grows but what the highest number was.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from aiojobs_verification.follower.rules import refuse

if TYPE_CHECKING:
    from aiojobs_verification.follower.table import ActionTable
    from aiojobs_verification.specification.interpret import Counters

__all__ = ["JobRegistry"]


class JobRegistry:
    """The live jobs by their numbers."""

    __slots__ = ("_table", "born", "by_state", "highest", "live", "most_live", "queue")

    def __init__(self, table: ActionTable) -> None:
        self._table = table
        self.born = 0
        """How many jobs have been accepted."""
        self.highest = -1
        """The highest number of one of them."""
        self.live: dict[int, str] = {}
        """The jobs that have not ended, with their states, in the order in which they were accepted."""
        self.by_state = dict.fromkeys(table.job.machine.states, 0)
        """How many jobs are in each state; nobody stays in a final one."""
        self.queue: OrderedDict[int, None] = OrderedDict()
        """The pending jobs, in the order in which they must start."""
        self.most_live = 0

    def fork(self) -> JobRegistry:
        """The same, to go on separately."""
        twin = object.__new__(JobRegistry)
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.live, twin.by_state, twin.queue = self.live.copy(), self.by_state.copy(), self.queue.copy()
        return twin

    @property
    def head(self) -> int:
        """The pending job that has to start first."""
        return next(iter(self.queue))

    def expect(self, job: int, source: object, dest: object) -> None:
        """A job is said to be accepted."""
        initial = self._table.job.machine.initial
        if source is not None or dest != initial or job in self.live:
            refuse("new", f"a new job without a source, in state {initial}")

    def add(self, job: int) -> None:
        """A job is accepted, behind all the others."""
        initial = self._table.job.machine.initial
        self.born += 1
        self.highest = max(self.highest, job)
        self.live[job] = initial
        self.queue[job] = None
        self.by_state[initial] += 1
        self.most_live = max(self.most_live, len(self.live))

    def find(self, job: int, event: str, source: object, dest: object) -> str:
        """Something is said to have happened to a job: the column of the ledger in which that is counted."""
        state = self.live.get(job)
        if state is None:
            self._refuse_stranger(job, event)
            state = str(source)
        if source != state:
            refuse("state", f"job {job} in state {state}, where it is, not in {source}")
        column, after = self._table.cells.get((state, event), ("", None))
        if after is None:
            refuse("table", f"no event {event!r} of job {job} in state {state}")
        if dest != after:
            refuse("table", f"state {after} of job {job} after {event} in {state}, not {dest}")
        return column

    def move(self, job: int, dest: str) -> None:
        """What was said has happened."""
        machine = self._table.job.machine
        state = self.live[job]
        self.by_state[state] -= 1
        if state == machine.initial:
            del self.queue[job]
        if dest in machine.final:
            del self.live[job]
        else:
            self.by_state[dest] += 1
            self.live[job] = dest

    def compare(self, counters: Counters) -> None:
        """Each job by itself, and the counters of the specification: they agree after every action."""
        by_state = self.by_state
        if (
            counters.pending != by_state["pending"]
            or counters.active != by_state["active"]
            or counters.closing != by_state["closing"]
        ):
            refuse("counted", f"jobs that agree with {counters}, not {by_state}")

    def running(self) -> int:
        """How many jobs hold a slot."""
        return self.by_state["active"] + self.by_state["closing"]

    def left(self) -> int:
        """How many jobs a shutdown has still to drop, or to ask to stop."""
        return self.by_state["pending"] + self.by_state["active"]

    def first_left(self) -> int:
        """The first of these."""
        return next(job for job, state in self.live.items() if state in {"pending", "active"})

    def _refuse_stranger(self, job: int, event: str) -> None:
        if job > self.highest:
            refuse("known", f"no {event} of job {job} before it is accepted")
        elif event == "start":
            refuse("dropped for good", f"nothing more of job {job}, which has ended")
        else:
            refuse("ended once", f"nothing more of job {job}, which has ended")
