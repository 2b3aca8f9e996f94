"""What a scheduler tells: its observer of every step, its exception handler of what nobody received.

The rules of this file
----------------------
It knows nothing of slots, queues or order. It tells when the registries are complete, through the gate
(``_calling``), so that whoever is told may raise or call back (``BOOK-4``).

How it works
------------
*The observer* is told in order: whoever changes something adds to ``untold``, and whoever completes an action has
all of it told (``tell_observer``).

*Where a job was spawned* is remembered in debug mode only, so it has no place in the job (``EXC-2``).
"""

from __future__ import annotations

import asyncio
import os
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary

from ._calling import BoundLoop, exits, shown, stop_loop
from ._events import ExceptionContext, Observer, Record
from ._job import Job

__all__ = (
    "Reporting",
    "Untold",
    "shield_failure",
    "shield_timeout",
    "task_failure",
    "timeout",
)

Untold = deque[tuple[Job[Any] | None, Any, Any, Any]]
"""Job, event, source and destination of each step that the observer has yet to be told of, in order."""

_OWN_FILES = os.path.join(os.path.dirname(__file__), "")  # noqa: PTH118, PTH120 - pathlib is much to import
"""Where the frames of this package come from."""


class Reporting:
    """Tells the observer and the exception handler of one scheduler.

    Arguments:
        bound: the scheduler's loop.
        handle: hands an `ExceptionContext` to the handler; may raise.
        observer: the user's, or None.
    """

    __slots__ = ("_bound", "_handle", "_observer", "_spawned_at", "untold")

    untold: Untold | None
    """None if nobody observes. Empty whenever other code runs, but the observer's own."""

    def __init__(
        self, bound: BoundLoop, handle: Callable[[ExceptionContext], object], observer: Observer | None
    ) -> None:
        self._bound = bound
        self._handle = handle
        self._observer = observer
        self._spawned_at: WeakKeyDictionary[Job[Any], traceback.StackSummary] = WeakKeyDictionary()
        self.untold = None if observer is None else deque()

    def tell_observer(self) -> None:
        """Tell the observer, in order, of what has been done since it was told last."""
        while self.untold:
            self._bound.call_out("observer", self._observe, *self.untold.popleft())

    def _observe(self, job: Job[Any] | None, event: Any, source: Any, dest: Any) -> None:
        observer = cast("Observer", self._observer)
        observer(Record(job, event, source, dest, self._bound.loop.time()))

    def report(self, job: Job[Any] | None, context: ExceptionContext) -> None:
        """Hand a context to the exception handler, with the place where the job was spawned, if that is known."""
        if job is not None and job in self._spawned_at:
            context["source_traceback"] = self._spawned_at[job]
        self._bound.call_out("call_exception_handler", self._handle, context)

    def report_failure(self, job: Job[Any]) -> None:
        """A job has failed and nobody was there to receive it (``EXC-1``)."""
        self.report(job, _about(job, "Job processing failed", job.kept[0]))

    def report_cleanup(self, job: Job[Any], exc: BaseException) -> None:
        """Closing a coroutine that will not run has raised (``START-2``)."""
        if exits(exc):
            stop_loop(self._bound.loop, exc)
        else:
            self.report(job, _about(job, "Closing a coroutine failed", exc))

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
