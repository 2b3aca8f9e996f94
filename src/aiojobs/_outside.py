"""What a scheduler deals with that is not its own: the loop, the exception handler, the observer.

The rules of this file
----------------------
It knows nothing of slots, queues or order. User code that is called from here can do no harm (``_reports``).

How it works
------------
*The loop* is that of the first use and never changes. Who comes with another one is told so (``SPAWN-3``).

*Where a job was spawned* is remembered in debug mode only, so it has no place in the job (``EXC-2``).
"""

from __future__ import annotations

import asyncio
import os
import traceback
from asyncio import get_running_loop
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, cast
from weakref import WeakKeyDictionary

from . import _reports
from ._lifecycle import Phase, State
from ._records import ExceptionContext, ExceptionHandler, Observer, Record

if TYPE_CHECKING:
    from ._job import Job
    from ._machine import JobMachine
    from ._scheduler import Scheduler

__all__ = ("Outside",)

_OWN_FILES = os.path.join(os.path.dirname(__file__), "")  # noqa: PTH118, PTH120 - pathlib is much to import
"""Where the frames of this package come from."""


class Outside:
    """A scheduler's side that faces the loop and the user's handler and observer.

    Arguments:
        exception_handler: the user's, or None for the loop's.
        observer: the user's, or None.
    """

    def __init__(self, exception_handler: ExceptionHandler | None, observer: Observer | None) -> None:
        self._exception_handler = exception_handler
        self._observer = observer
        # The loop of the first use; never changes after that. None before, when there is no job either: to
        # have that in the type would cost a test, or a cast, wherever there is a job.
        self._loop: Any = None
        # In debug mode: where each job was spawned.
        self._spawned_at: WeakKeyDictionary[JobMachine, traceback.StackSummary] = WeakKeyDictionary()

    # --- Telling user code -------------------------------------------------------------------------

    def call_exception_handler(self, context: ExceptionContext | dict[str, Any]) -> None:
        """Hand `context` to the exception handler, or to the loop's if none was given.

        What the handler raises goes to the loop's handler, once the scheduler has a loop (``EXC-2``).
        """
        handler = cast("Callable[[Scheduler, Any], object] | None", self._exception_handler)
        scheduler = cast("Scheduler", self)
        if handler is None:
            loop = self._loop or asyncio.get_running_loop()
            loop.call_exception_handler(cast("dict[str, Any]", context))
        elif self._loop is None:
            handler(scheduler, context)
        else:
            _reports.call_guarded(self._loop, "exception_handler", lambda: handler(scheduler, context))

    def _report_failure(self, job: JobMachine) -> None:
        self._report(job, _reports.failure(job))

    def _report(self, job: JobMachine, context: ExceptionContext) -> None:
        if job in self._spawned_at:
            context["source_traceback"] = self._spawned_at[job]
        self.call_exception_handler(context)

    def _remember_caller(self, job: JobMachine) -> None:
        """Keep the stack that led to this package, which is not itself of interest."""
        stack = traceback.extract_stack()
        while stack and stack[-1].filename.startswith(_OWN_FILES):
            stack.pop()
        self._spawned_at[job] = stack

    def _observe(
        self, job: JobMachine | None, event: Any, source: State | Phase | None, dest: State | Phase
    ) -> None:
        loop = self._loop
        observer = cast("Observer", self._observer)
        record = Record(cast("Job[Any] | None", job), event, source, dest, loop.time())
        _reports.call_guarded(loop, "observer", lambda: observer(record))

    # --- Asyncio -----------------------------------------------------------------------------------

    def _check_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop; after the first use only the same will do (``SPAWN-3``)."""
        loop = get_running_loop()
        if loop is not self._loop and self._loop is not None:
            self._refuse_loop()
        return loop

    def _refuse_loop(self) -> NoReturn:
        raise RuntimeError(f"{self!r} is bound to a different event loop")

    def _new_waiter(self) -> asyncio.Future[bool]:
        return cast("asyncio.Future[bool]", self._loop.create_future())

    def _call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self._loop.call_soon(callback, *args)

    def _call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return cast("asyncio.TimerHandle", self._loop.call_later(seconds, callback, *args))
