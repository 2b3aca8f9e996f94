"""Reports: each step to the observers, and to the exception handler each exception that nobody received.

The rules of this file
----------------------
It knows nothing of slots, queues or order. It tells when the registries are complete, through the gate
(``_calling``), so that whoever is told may raise or call back (``BOOK-4``).

How it works
------------
*Observers* are told in order: whoever changes something adds to ``untold``, and whoever completes an action has
all of it told (``tell_observers``). One that is being told can't change anything: the others, and what it will be
told next, would be behind.

*Where a job was spawned* is remembered in debug mode only, so it has no place in the job (``EXC-2``).
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ._bound_loop import BoundLoop
from ._calling import exits, shown, stop_loop
from ._events import ACCEPT, ExceptionContext, Observer, Record
from ._job import Job
from ._lifecycle import TERMINAL, Event, Outcome

__all__ = (
    "Reporting",
    "Untold",
    "shield_failure",
    "shield_timeout",
    "task_failure",
    "timeout",
)

Untold = deque[tuple[Job[Any] | None, Any, Any, Any]]
"""Job, event, source and destination of each step that the observers have yet to be told of, in order."""

_LOGGER = logging.getLogger("aiojobs")

_OWN_FILES = os.path.join(os.path.dirname(__file__), "")  # noqa: PTH118, PTH120 - pathlib is much to import
"""Where the frames of this package come from."""


class Reporting:
    """Tells the observers and the exception handler of one scheduler.

    Arguments:
        bound: the scheduler's loop.
        handle: hands an `ExceptionContext` to the handler; may raise.
        observers: the user's, in the order in which they are told.
    """

    __slots__ = (
        "_bound",
        "_handle",
        "_is_at_it",
        "_observers",
        "_spawned_at",
        "is_telling",
        "since",
        "untold",
    )

    untold: Untold | None
    """None if nobody observes. Empty whenever other code runs, but an observer's own."""
    since: dict[Job[Any], tuple[float, float | None]]
    """When each job was accepted, and when it was started, by the loop's clock: as far as observers were told."""
    is_telling: bool
    """Whether an observer is being called, which may look and must not change anything (``SEE-1``)."""

    def __init__(
        self, bound: BoundLoop, handle: Callable[[ExceptionContext], object], observers: tuple[Observer, ...]
    ) -> None:
        self._bound = bound
        self._handle = handle
        self._observers = observers
        self._spawned_at: WeakKeyDictionary[Job[Any], traceback.StackSummary] = WeakKeyDictionary()
        self.since = {}
        self.is_telling = self._is_at_it = False
        self.untold = deque() if observers else None

    def tell_observers(self) -> None:
        """Tell each observer, in order, of what has been done since they were told last."""
        if self._is_at_it:
            return  # whoever tells goes on until there is nothing left
        self._is_at_it = True
        while self.untold:
            record = self._record(*self.untold.popleft())
            for observer in self._observers:
                self._bound.call_out("observer", self._call, observer, record)
        self._is_at_it = False

    def _record(self, job: Job[Any] | None, event: Any, source: Any, dest: Any) -> Record:
        record = Record(job, event, source, dest, self._bound.now())
        if job is not None:
            self._note_time(job, record)
        return record

    def _note_time(self, job: Job[Any], record: Record) -> None:
        """Keep since when a job has been there and has run, until it ends."""
        if record.dest in TERMINAL:
            self.since.pop(job, None)
        elif record.event is ACCEPT:
            self.since[job] = (record.time, None)
        elif record.event is Event.START:
            self.since[job] = (self.since.get(job, (record.time,))[0], record.time)

    def _call(self, observer: Observer, record: Record) -> None:
        self.is_telling = True
        try:
            observer(record)
        finally:
            self.is_telling = False

    def refuse_observer(self) -> None:
        """Called before anything is changed.

        Raises:
            RuntimeError: an observer is being called: the others are yet to be told of what it looks at.
        """
        if self.is_telling:
            raise RuntimeError(
                "an observer can't change the scheduler that it observes: have it do so later, with loop.call_soon()"
            )

    def report(self, job: Job[Any] | None, context: ExceptionContext) -> None:
        """Hand a context to the exception handler, with the place where the job was spawned, if that is known."""
        if job is not None and job in self._spawned_at:
            context["source_traceback"] = self._spawned_at[job]
        self._bound.call_out("call_exception_handler", self._handle, context)

    def report_failure(self, job: Job[Any]) -> None:
        """A job has failed, or its time was over, and nobody was there to receive that (``EXC-1``)."""
        message = "Job processing failed" if job.outcome is Outcome.RAISED else "Job timed out"
        self.report(job, _about(job, message, job.kept[0]))

    def report_cleanup(self, job: Job[Any], exc: BaseException) -> None:
        """Closing a coroutine that will not run has raised (``START-2``)."""
        if exits(exc):
            stop_loop(self._bound.loop, exc)
        else:
            self.report(job, _about(job, "Closing a coroutine failed", exc))

    def warn(self, report: object) -> None:
        """Closing has dropped work that had been accepted (``SHUT-7``)."""
        warning = partial(_LOGGER.warning, extra={"shutdown_report": report})
        self._bound.call_out("logging", warning, "Closing dropped accepted work: %s", report)

    def remember_caller(self, job: Job[Any]) -> None:
        """Keep the stack that led to this package, which is not itself of interest; in debug mode only."""
        if self._bound.is_debugged:
            self._bound.call_out("traceback", self._remember_stack, job)

    def _remember_stack(self, job: Job[Any]) -> None:
        stack = traceback.extract_stack()
        while stack and stack[-1].filename.startswith(_OWN_FILES):
            stack.pop()
        self._spawned_at[job] = stack


def task_failure(job: Job[Any], exception: BaseException) -> ExceptionContext:
    """What a task factory made of the job's coroutine has failed where the coroutine has not (``START-3``)."""
    return _about(job, "Task failed beside its coroutine", exception)


def timeout(job: Job[Any], within: float | None) -> ExceptionContext:
    """A job has not stopped by the deadline of the shutdown (``SHUT-2``)."""
    return _about(job, "Job closing timed out", TimeoutError(f"{shown(job)} did not stop within {within} s"))


def shield_failure(inner: asyncio.Future[Any], exception: BaseException) -> ExceptionContext:
    """A shielded awaitable has failed and its caller is gone (``EXC-4``)."""
    return {
        "message": "Shielded awaitable failed",
        "job": None,
        "future": inner,
        "exception": exception,
    }


def shield_timeout(inner: asyncio.Future[Any], within: float | None) -> ExceptionContext:
    """A shielded awaitable has not stopped by the deadline of the shutdown (``SHUT-2``)."""
    return {
        "message": "Shielded awaitable closing timed out",
        "job": None,
        "future": inner,
        "exception": TimeoutError(f"{shown(inner)} did not stop within {within} s"),
    }


def _about(job: Job[Any], message: str, exception: BaseException) -> ExceptionContext:
    return {"message": message, "job": job, "exception": exception}
