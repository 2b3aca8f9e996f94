"""The time limits of jobs: a job whose time is over is asked to stop, and told late if it does not (``SPAWN-6``).

The rules of this file
----------------------
A job has one timer at most. It runs from the start of the job to the end of its time, and then, unless somebody
else had asked the job to stop, once more for as long as closing may take. The end of the job cancels it.
"""

from __future__ import annotations

from typing import Any

from ._calling import shown
from ._core import Core
from ._job import Job
from ._job_state import fire
from ._lifecycle import Event
from ._reporting import timeout

__all__ = ("Timing",)

_EXPIRE = Event.EXPIRE


class Timing:
    """Keeps the time of one scheduler's jobs."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def start(self, job: Job[Any]) -> None:
        """The time of a job begins, if it has a limit."""
        terms = self._core.terms.get(job)
        if terms is not None and terms.timeout is not None:
            terms.timer = self._core.bound.loop.call_later(terms.timeout, self._expire, job)

    def _expire(self, job: Job[Any]) -> None:
        """The time of a job is over: it is asked to stop, unless it has ended or was asked before."""
        core = self._core
        terms = core.terms.get(job)
        if terms is None or core.see_end(job):
            return
        terms.timer = None
        failure = TimeoutError(f"{shown(job)} did not end within {terms.timeout} s")
        if job.owner is None or not fire(job, _EXPIRE):
            return
        if not core.tasks.has_only_task(job):
            terms.failure = failure  # else the coroutine had ended in time, however its task goes on
        core.told()
        core.tasks.stop(job)
        # As when a scheduler closes: the time allowed begins when the cancellation has been thrown.
        core.bound.soon(core.bound.soon, self._allow, job)

    def _allow(self, job: Job[Any]) -> None:
        """The job was told to stop, and has as long for it as closing may take."""
        core = self._core
        terms = core.terms.get(job)
        if terms is not None and core.close_within is not None:
            terms.timer = core.bound.loop.call_later(core.close_within, self._late, job)

    def _late(self, job: Job[Any]) -> None:
        """It should have stopped by now; it keeps its slot until it does."""
        core = self._core
        core.see_end(job)
        if job.owner is not None and core.is_first_late(job):
            core.reporting.report(job, timeout(job, core.close_within))
