"""The jobs of a trace: which are alive, in which state, and which of them wait in which order.

Rules of this file. Jobs are numbered from 1, in the order in which they are accepted. What a line may say of
a job is the job's table: source and event name a cell, the cell says the state after it. A job that has ended
is forgotten, so that nothing grows but the last number.

Deliberately not here: whether this is the moment for it (`monitor`), and the counters (`counting`), with
which the roster has to agree after every action.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NoReturn

from aiojobs.tracing import BrokenTraceError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from aiojobs_verification.specification.interpret import Counters
    from aiojobs_verification.specification.load import Spec

__all__ = ["Roster"]


class Roster:
    """The jobs that have not ended."""

    __slots__ = ("_cells", "_final", "_initial", "born", "by_state", "live", "most_live", "queue")

    def __init__(self, spec: Spec) -> None:
        machine = spec.job.machine
        self._initial = machine.initial
        self._final = machine.final
        # For each cell of the table that changes a state: the column it is counted in, and the state after.
        self._cells = {
            (cell.state, cell.event): (name, str(machine.cells[cell.state][cell.event]))
            for name, column in spec.scheduler.ledger.items()
            for cell in column.cells
        }
        self.born = 0
        """How many jobs have been accepted; also the number of the last one."""
        self.live: dict[int, str] = {}
        """The jobs that have not ended, with their states."""
        self.by_state = dict.fromkeys(machine.states, 0)
        """How many jobs are in each state; nobody stays in a final one."""
        self.queue: OrderedDict[int, None] = OrderedDict()
        """The pending jobs, in the order in which they must start."""
        self.most_live = 0

    def fork(self) -> Roster:
        """The same, to go on separately."""
        twin = object.__new__(Roster)
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.live, twin.by_state, twin.queue = self.live.copy(), self.by_state.copy(), self.queue.copy()
        return twin

    def situation(self) -> Hashable:
        """All that the rest of the trace depends on."""
        return self.born, tuple(self.live.items()), tuple(self.queue)

    @property
    def head(self) -> int:
        """The pending job that has to start first."""
        return next(iter(self.queue))

    def expect(self, job: int, source: object, dest: object) -> None:
        """A line says that a job is accepted: is it the next one?"""
        if source is not None or dest != self._initial:
            raise BrokenTraceError("trace: line", f"a new job without a source, in state {self._initial}")
        if job != self.born + 1:
            raise BrokenTraceError("trace: numbers", f"the number {self.born + 1} for the next job")

    def add(self, job: int) -> None:
        """The next job is accepted, behind all the others."""
        self.born = job
        self.live[job] = self._initial
        self.queue[job] = None
        self.by_state[self._initial] += 1
        self.most_live = max(self.most_live, len(self.live))

    def find(self, job: int, event: str, source: object, dest: object) -> str:
        """A line says what happened to a job: the column of the ledger in which that is counted."""
        state = self.live.get(job)
        if state is None:
            self._refuse_stranger(job, event)
        if source != state:
            raise BrokenTraceError("job.toml", f"job {job} in state {state}, where it is")
        cell = self._cells.get((state, event))
        if cell is None:
            raise BrokenTraceError("job.toml", f"no event {event!r} in state {state}")
        column, after = cell
        if dest != after:
            raise BrokenTraceError("job.toml", f"state {after} after {event} in {state}")
        return column

    def move(self, job: int, dest: str) -> None:
        """What the line said has happened."""
        state = self.live[job]
        self.by_state[state] -= 1
        if state == self._initial:
            del self.queue[job]
        if dest in self._final:
            del self.live[job]
        else:
            self.by_state[dest] += 1
            self.live[job] = dest

    def compare(self, counters: Counters) -> None:
        """The books are kept twice, by the specification's counters and by the jobs themselves, and agree."""
        by_state = self.by_state
        if (
            counters.pending != by_state["pending"]
            or counters.active != by_state["active"]
            or counters.closing != by_state["closing"]
        ):
            rule = "scheduler.toml: balance.books"
            raise BrokenTraceError(rule, f"jobs that agree with {counters}", "BOOK-1")

    def left(self) -> int:
        """How many jobs a shutdown has still to drop, or to ask to stop."""
        return self.by_state["pending"] + self.by_state["active"]

    def first_left(self) -> int:
        """The first of these."""
        return next(job for job, state in self.live.items() if state in {"pending", "active"})

    def _refuse_stranger(self, job: int, event: str) -> NoReturn:
        if not 1 <= job <= self.born:
            raise BrokenTraceError("trace: numbers", f"no event of job {job} before it is accepted")
        requirement = "START-2" if event == "start" else "LIMIT-6"
        raise BrokenTraceError("job.toml", f"nothing more of job {job}, which has ended", requirement)
