"""How long jobs waited and ran, and how many there are, for whoever exports it; reads records and public counts.

Rules of this file
------------------
It knows no exporter: each brings a `Series` for each kind of work, and asks for the counts when it is asked itself.

*Few series.* Work is told apart by the qualified name of the coroutine, never by the name of the job. Names beyond
`max_tasks` share one series: programs that make functions at run time may have any number of them.

*Nothing is kept alive.* Jobs and schedulers are known by weak references: a job that never ends, because its loop
was closed, is forgotten with its scheduler.

*Counts are read by other threads*, in which exporters are asked. So what is walked through is a copy, made by one
operation of the interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary, ref

from ._events import Record
from ._job import Job
from ._lifecycle import Event, Phase, State
from ._scheduler import Scheduler

__all__ = ("BUCKETS", "OTHER", "Counts", "Measured", "Named", "NamedMetrics", "Series")

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds for histograms of times, in seconds: from a query of a database to a long import."""

OTHER: Final = "other"
"""What work is called beyond ``max_tasks``."""


class Series(Protocol):
    """What is told of the jobs of one scheduler that run the same coroutine function."""

    def waited(self, seconds: float) -> None:
        """One has started, or was closed before, after so long in the queue."""
        ...

    def ended(self, job: Job[Any], seconds: float | None) -> None:
        """One has ended; it ran for so long, or None if it never started."""
        ...


class Counts(NamedTuple):
    """What is so now, added up over schedulers of the same name."""

    running: int
    pending: int
    blocked: int
    limit: float
    """Infinite if one of them has no limit."""

    @classmethod
    def of(cls, schedulers: list[Scheduler]) -> Counts:
        """Those of some schedulers."""
        return cls(
            sum(scheduler.active_count for scheduler in schedulers),
            sum(scheduler.pending_count for scheduler in schedulers),
            sum(scheduler.blocked_count for scheduler in schedulers),
            sum(math.inf if scheduler.limit is None else scheduler.limit for scheduler in schedulers),
        )


class Named:
    """The observer for the schedulers of one name (``SEE-1``): the series of what they run, and what is so now.

    Arguments:
        make: a new series for the work of that name.
        max_tasks: how many series there may be, beside that of all other work.
        show: told of the counts after each step; None where they are read when they are asked for.
    """

    def __init__(
        self, make: Callable[[str], Series], max_tasks: int, show: Callable[[Counts], object] | None
    ) -> None:
        self._make = make
        self._max_tasks = max_tasks
        self._show = show
        self._series: dict[str, Series] = {}
        # When a job was accepted, and after its start when it started.
        self._since: WeakKeyDictionary[Job[Any], float] = WeakKeyDictionary()
        self._alive: dict[int, ref[Scheduler]] = {}

    def attach(self, scheduler: Scheduler) -> None:
        """Count its jobs with those of the others of this name; only a weak reference to it is kept."""
        alive, key = self._alive, id(scheduler)
        alive[key] = ref(scheduler, lambda _gone: alive.pop(key, None))
        self._show_counts()

    def __call__(self, record: Record) -> None:
        """Read one record: this is what makes it an observer."""
        if record.job is not None:
            self._note(record.job, record)
        self._show_counts()

    def counts(self) -> Counts | None:
        """What is so now; None if no scheduler of this name is left."""
        known = [scheduler() for scheduler in [*self._alive.values()]]
        schedulers = [scheduler for scheduler in known if scheduler is not None and not _is_over(scheduler)]
        return Counts.of(schedulers) if schedulers else None

    def _show_counts(self) -> None:
        if self._show is not None:
            self._show(self.counts() or Counts(0, 0, 0, 0))

    def _note(self, job: Job[Any], record: Record) -> None:
        if record.event is Event.START:
            waited = record.time - self._since[job]
            self._since[job] = record.time
            self._series_of(job).waited(waited)
        elif record.dest is State.PENDING:
            self._since[job] = record.time
        elif record.dest is State.DONE or record.dest is State.CLOSED:
            self._note_end(job, record.time - self._since.pop(job), record.source is not State.PENDING)

    def _note_end(self, job: Job[Any], seconds: float, has_run: bool) -> None:
        series = self._series_of(job)
        if not has_run:
            series.waited(seconds)
        series.ended(job, seconds if has_run else None)

    def _series_of(self, job: Job[Any]) -> Series:
        task = job.qualname
        found = self._series.get(task)
        if found is not None:
            return found
        if len(self._series) >= self._max_tasks:
            task = OTHER
        return self._series.get(task) or self._series.setdefault(task, self._make(task))


class Measured:
    """All the names that one exporter knows.

    Arguments:
        make: a new series for a name of a scheduler and a name of work.
        max_tasks: as for `Named`, at least 1.
        show: told of the name and its counts after each step; None where they are read when they are asked for.

    Raises:
        ValueError: `max_tasks` makes no sense.
    """

    def __init__(
        self,
        make: Callable[[str, str], Series],
        max_tasks: int,
        show: Callable[[str, Counts], object] | None = None,
    ) -> None:
        if max_tasks < 1:
            raise ValueError(f"max_tasks must be at least 1, got {max_tasks!r}")
        self._make = make
        self._max_tasks = max_tasks
        self._show = show
        self._names: dict[str, Named] = {}

    def named(self, name: str) -> Named:
        """The observer for the schedulers of that name; the same for the same name."""
        if name not in self._names:
            show = None if self._show is None else partial(self._show, name)
            self._names[name] = Named(partial(self._make, name), self._max_tasks, show)
        return self._names[name]

    def counts(self) -> Iterator[tuple[str, Counts]]:
        """Each name of which there is a scheduler, and what is so now."""
        for name, named in [*self._names.items()]:
            counts = named.counts()
            if counts is not None:
                yield name, counts


class NamedMetrics:
    """An exporter as an observer for the schedulers of one name, which gives observers for those of others."""

    def __init__(self, measured: Measured, scheduler: str) -> None:
        self._measured = measured
        self._own = measured.named(scheduler)

    def named(self, scheduler: str) -> Named:
        """An observer for schedulers of another name; their figures go where these go."""
        return self._measured.named(scheduler)

    def attach(self, scheduler: Scheduler) -> None:
        """Read the counts of that scheduler too; only a weak reference to it is kept."""
        self._own.attach(scheduler)

    def __call__(self, record: Record) -> None:
        """Read one record: this is what makes it an observer."""
        self._own(record)


def _is_over(scheduler: Scheduler) -> bool:
    return scheduler.phase is Phase.CLOSED and not len(scheduler)
