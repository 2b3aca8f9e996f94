"""What became of a scheduler's jobs over the last minutes: an observer with bounded memory.

It keeps numbers and text: counts for each step of time, how often each arrow of the lifecycle was taken, and the last
failures with their tracebacks. It holds no job, no exception and no frame, and its scheduler by a weak reference.

What is deliberately not here: how it is shown. See `_live_page`.
"""

from __future__ import annotations

import time
import traceback
import weakref
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ._calling import plain
from ._events import Record
from ._lifecycle import TERMINAL, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._job import Job
    from ._scheduler import Scheduler

__all__ = ("STEP", "STEPS", "Failure", "History", "Point")

STEP: Final = 2.0
"""Seconds for which there is one point."""
STEPS: Final = 150
"""The number of points: the last five minutes."""
_FAILURES: Final = 20
"""The number of failures that are kept. One step looks at no more: to format one may take longer than the job took."""
_LONGEST: Final = 10_000
"""Characters of a traceback, of its end."""


class Point(NamedTuple):
    """The most of each kind that there was within one step, and the limit at its end.

    Attributes:
        running: jobs that held a slot.
        pending: jobs that waited for one.
        blocked: callers that waited for a place.
        limit: how many could run; None for no limit.
        ended: how many jobs have ended in it.
        failed: how many of them raised, or ran out of their time.
    """

    running: int
    pending: int
    blocked: int
    limit: int | None
    ended: int
    failed: int


class Failure(NamedTuple):
    """A job that raised, or ran out of its time.

    Attributes:
        at: when, in seconds since the epoch.
        name: what the job was called, if it had a name.
        qualname: the qualified name of its coroutine.
        text: the exception in one line.
        traceback: all of it, as Python prints it.
    """

    at: float
    name: str | None
    qualname: str
    text: str
    traceback: str


class _Step:
    """The counts within one step of time."""

    __slots__ = ("ended", "failed", "last", "limit", "number", "peak")

    def __init__(self, number: int, last: tuple[int, int, int], limit: int | None) -> None:
        self.number = number
        self.last = self.peak = last
        self.limit = limit
        self.ended = self.failed = 0


class _Told(NamedTuple):
    """A failure as it is kept: lines of source are read when somebody wants to see them."""

    at: float
    name: str | None
    qualname: str
    kind: str
    exception: traceback.TracebackException | None


class History:
    """An observer that remembers the last minutes of the scheduler that it was attached to last."""

    def __init__(self) -> None:
        self._scheduler: weakref.ref[Scheduler] | None = None
        self._steps: deque[_Step] = deque(maxlen=STEPS)
        self._failures: deque[_Told] = deque(maxlen=_FAILURES)
        self.arrows: dict[str, int] = {}
        """How often each arrow of the lifecycle was taken, by source and destination: ``"pending>active"``."""
        self.outcomes: dict[str, int] = {}
        """How many jobs have ended in each way."""

    def attach(self, scheduler: Scheduler) -> None:
        """Look at this scheduler, which calls it when it is built; what was before is forgotten."""
        self._scheduler = weakref.ref(scheduler)
        self._steps.clear()
        self._failures.clear()
        self.arrows.clear()
        self.outcomes.clear()

    @property
    def scheduler(self) -> Scheduler | None:
        """None if there is none any more, or not yet."""
        return None if self._scheduler is None else self._scheduler()

    def __call__(self, record: Record) -> None:
        """Note one step of a job or of the scheduler."""
        step = self._now(record.time)
        job = record.job
        if step is None or job is None:
            return
        arrow = f"{record.source or ''}>{record.dest}"
        self.arrows[arrow] = self.arrows.get(arrow, 0) + 1
        if record.dest in TERMINAL:
            outcome = cast("Outcome", job.outcome)
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            step.ended += 1
            if outcome in (Outcome.RAISED, Outcome.TIMED_OUT):
                step.failed += 1
                if step.failed <= _FAILURES:
                    self._failures.append(_told(job))

    def _now(self, now: float) -> _Step | None:
        """The step of this time of the loop, with the counts of this moment in it."""
        scheduler = self.scheduler
        if scheduler is None:
            return None
        counts = (scheduler.active_count, scheduler.pending_count, scheduler.blocked_count)
        number = int(now / STEP)
        if not self._steps or self._steps[-1].number != number:
            self._steps.append(_Step(number, counts, scheduler.limit))
        step = self._steps[-1]
        step.last = counts
        step.peak = cast("tuple[int, int, int]", tuple(map(max, step.peak, counts)))
        step.limit = scheduler.limit
        return step

    def points(self, now: float) -> list[Point]:
        """Those of the last minutes, the oldest first, as far back as it remembers; `now` by the loop's clock."""
        if self._now(now) is None:
            return []
        return list(islice(self._all_points(int(now / STEP)), STEPS))[::-1]

    def _all_points(self, newest: int) -> Iterator[Point]:
        """From this step backwards; in a step in which nothing happened there was what the one before had left."""
        number, steps = newest, list(self._steps)
        while steps:
            step = steps[-1]
            if step.number > number:
                steps.pop()
                continue
            if step.number == number:
                yield Point(*step.peak, step.limit, step.ended, step.failed)
            else:
                yield Point(*step.last, step.limit, 0, 0)
            number -= 1

    def failures(self) -> list[Failure]:
        """The last ones, the newest first."""
        return [_shown(told) for told in reversed(self._failures)]


def _told(job: Job[Any]) -> _Told:
    """What is to be kept of a job that has failed."""
    exception = cast("BaseException", job.exception())
    kind, told = "an exception", None
    try:
        kind = type(exception).__qualname__
        trace = exception.__traceback__
        told = traceback.TracebackException(type(exception), exception, trace, lookup_lines=False, limit=-30)
    except BaseException:  # noqa: BLE001, S110 - an exception of anybody's may object to being looked at
        pass
    return _Told(time.time(), plain(job.get_name()), job.qualname, kind, told)


def _shown(told: _Told) -> Failure:
    """It in words."""
    text, trace = f"{told.kind}, whose text can't be had", ""
    if told.exception is not None:
        text = "".join(told.exception.format_exception_only()).strip()
        trace = "".join(told.exception.format())
    return Failure(told.at, told.name, told.qualname, text[:500], trace[-_LONGEST:])
