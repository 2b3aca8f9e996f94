"""What a scheduler deals with that is not its own: the loop, the exception handler, the observer.

The rules of this file
----------------------
It knows nothing of slots, queues or order. Whatever it calls that is not this package's own, it calls through the
gate (``_calling``), or first of all and with nothing changed yet.

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
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast
from weakref import WeakKeyDictionary

from . import _reports
from ._calling import call_out, exits, shown, stop_loop
from ._records import ExceptionContext, ExceptionHandler, Observer, Record
from ._tasks import get_debug, is_replaced, schedule

if TYPE_CHECKING:
    from ._job import Job
    from ._machine import JobMachine
    from ._scheduler import Scheduler

__all__ = ("Outside",)

_T = TypeVar("_T")

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
        # Of the loop of the first use: whether it is in debug mode, and whether its create_task is not asyncio's.
        self._is_debugged = False
        self._create_task_is_replaced = False
        # Whether there is more to do for a new job than to launch it on asyncio's own kind of task: somebody
        # observes, or debugs, or has a say in how tasks are made. True for good once that was seen.
        self._is_special = observer is not None
        # What the observer has yet to be told, in order. Empty whenever other code runs, but the observer's own.
        self._untold: deque[tuple[JobMachine | None, Any, Any, Any]] = deque()
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
            self._call_out("exception_handler", handler, scheduler, context)

    def _call_out(self, what: str, function: Callable[..., _T], *args: Any) -> _T | None:
        """Call foreign code through the gate; None if it has raised, which has been told (``BOOK-4``)."""
        return call_out(self._loop, what, function, *args)

    def _report_failure(self, job: JobMachine) -> None:
        self._report(job, _reports.failure(job))

    def _report_cleanup(self, job: JobMachine, exc: BaseException) -> None:
        """Closing a coroutine that will not run has raised."""
        if exits(exc):
            stop_loop(self._loop, exc)
        else:
            self._report(job, _reports.cleanup_failure(job, exc))

    def _report(self, job: JobMachine | None, context: ExceptionContext) -> None:
        if job is not None and job in self._spawned_at:
            context["source_traceback"] = self._spawned_at[job]
        self._call_out("call_exception_handler", self.call_exception_handler, context)

    def _remember_caller(self, job: JobMachine) -> None:
        """Keep the stack that led to this package, which is not itself of interest."""
        stack = traceback.extract_stack()
        while stack and stack[-1].filename.startswith(_OWN_FILES):
            stack.pop()
        self._spawned_at[job] = stack

    def _tell_observer(self) -> None:
        """Tell the observer, in order, of what has been done since it was told last."""
        while self._untold:
            self._call_out("observer", self._observe, *self._untold.popleft())

    def _observe(self, job: JobMachine | None, event: Any, source: Any, dest: Any) -> None:
        observer = cast("Observer", self._observer)
        observer(Record(cast("Job[Any] | None", job), event, source, dest, self._loop.time()))

    # --- Asyncio -----------------------------------------------------------------------------------

    def _check_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop; after the first use only the same will do (``SPAWN-3``)."""
        loop = get_running_loop()
        if loop is not self._loop and self._loop is not None:
            self._refuse_loop()
        return loop

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop of the first use; nothing changes on any other."""
        if self._loop is None:
            self._loop = loop
            self._is_debugged = bool(self._call_out("get_debug of the loop", get_debug, loop))
            self._create_task_is_replaced = bool(self._call_out("create_task of the loop", is_replaced, loop))
            self._is_special |= self._is_debugged or self._create_task_is_replaced or self._has_task_factory()

    def _has_task_factory(self) -> bool:
        try:
            return self._loop.get_task_factory() is not None
        except BaseException:  # noqa: BLE001 - a loop need not have factories
            return False

    def _refuse_loop(self) -> NoReturn:
        raise RuntimeError(f"{shown(self)} is bound to a different event loop")

    def _new_waiter(self) -> asyncio.Future[bool]:
        return cast("asyncio.Future[bool]", self._loop.create_future())

    def _call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call something of this package's own soon, in the middle of an action."""
        call_out(self._loop, "call_soon of the loop", schedule, self._loop, callback, *args)

    def _call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return cast("asyncio.TimerHandle", self._loop.call_later(seconds, callback, *args))
