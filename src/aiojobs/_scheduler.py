"""The scheduler: its public methods, each argument checked before anything changes.

It builds the parts and connects them; each of its methods is one call of one of them. ``_admission`` decides which
job starts and which caller waits; ``_core`` carries it out. Nothing here changes a job.

Its own attributes have two underscores, which Python takes for the class's own: a subclass may call anything what it
likes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import itertools
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar, cast
from weakref import WeakValueDictionary

from . import _validate
from ._admission import Admission
from ._backpressure import Backpressure
from ._bound_loop import BoundLoop
from ._closing import Closing
from ._core import Core
from ._events import ExceptionContext, Observer
from ._job import Job
from ._launching import Launching
from ._lifecycle import Phase
from ._reporting import Reporting
from ._shields import Shields
from ._shutdown_report import ShutdownReport
from ._terms import agreed
from ._timing import Timing

if TYPE_CHECKING:
    from ._snapshot import Snapshot

__all__ = ("ALIVE", "ExceptionHandler", "Scheduler")

_T = TypeVar("_T")

ExceptionHandler: TypeAlias = (
    Callable[["Scheduler", ExceptionContext], object] | Callable[["Scheduler", dict[str, Any]], object]
)
"""What a scheduler calls with itself and the context of a failure that nobody received (``EXC-1``, ``EXC-2``)."""

ALIVE: Final[WeakValueDictionary[int, Scheduler]] = WeakValueDictionary()
"""Every scheduler that somebody still refers to, in the order in which they were made."""
_count = itertools.count()


class Scheduler(Collection[Job[Any]]):
    """A container that runs coroutines as background jobs.

    It holds at most `limit` running jobs, queues at most `pending_limit` more, and makes ``spawn`` wait
    beyond that. It can be created without a running loop and is bound to the loop of its first use.

    Arguments:
        close_timeout: seconds that closing waits for jobs to stop; None for no deadline.
        wait_timeout: seconds that ``wait_and_close`` waits for jobs to finish; None for no deadline.
        limit: how many jobs may run at once, at least 1; None for no limit.
        pending_limit: how many jobs may wait for a slot; 0 for no limit.
        exception_handler: called with the scheduler and an `ExceptionContext` for every failure that nobody
            received; None for the loop's own handler. A plain function: nobody would await an ``async def``.
        observer: called with a `Record` for every acceptance, transition and change of phase; a plain function
            too. One, or several that are called in order. A call that would change the scheduler raises in it
            (``SEE-1``). If it has a method ``attach``, the constructor calls that with the scheduler, last of all:
            keep no more than a weak reference.

    Raises:
        TypeError, ValueError: an argument makes no sense; the message names it (``SPAWN-3``).
    """

    def __init__(
        self,
        *,
        close_timeout: float | None = 0.1,
        wait_timeout: float | None = 60.0,
        limit: int | None = 100,
        pending_limit: int = 10000,
        exception_handler: ExceptionHandler | None = None,
        observer: Observer | Iterable[Observer] | None = None,
    ) -> None:
        close_within = _validate.seconds("close_timeout", close_timeout)
        wait_within = _validate.seconds("wait_timeout", wait_timeout)
        _validate.check_count("limit", limit, least=1, none_means="no limit")
        _validate.check_count("pending_limit", pending_limit, least=0)
        _validate.check_function("exception_handler", exception_handler, or_none=True)
        observers = _validate.functions("observer", observer)
        bound = BoundLoop(self)
        reporting = Reporting(bound, self.call_exception_handler, observers)
        core = self.__core = Core(Admission(limit, pending_limit), bound, reporting, close_within)
        shields = self.__shields = Shields(core)
        self.__closing = Closing(core, shields)
        core.line = self.__line = Backpressure(core)
        core.clock = Timing(core)
        core.starter = launching = Launching(core)
        core.tasks = launching.following
        # As given; what nobody lives to wait for is no deadline.
        self.__given = close_timeout, wait_timeout, wait_within, exception_handler
        ALIVE[next(_count)] = self
        for told in observers:
            attach = getattr(told, "attach", None)
            if attach is not None:
                attach(self)

    # --- What a user sees -------------------------------------------------------------------------

    @property
    def limit(self) -> int | None:
        """How many jobs may run at once; None for no limit. ``set_limit`` changes it."""
        return self.__core.admission.limit

    def set_limit(self, limit: int | None) -> None:
        """Change how many jobs may run at once, at least 1; None for no limit (``LIMIT-7``).

        Raising it starts as many pending jobs as fit, in order, before this returns. Lowering it stops nothing:
        nothing starts until enough jobs have ended. After closing has begun only the number changes.

        Raises:
            TypeError, ValueError: `limit` makes no sense.
            RuntimeError: the scheduler has a loop, and this is not called in it; or an observer calls it.
        """
        _validate.check_count("limit", limit, least=1, none_means="no limit")
        core = self.__core
        if core.bound.loop is not None:
            core.bound.check()
        core.set_limit(limit)

    @property
    def pending_limit(self) -> int:
        """How many jobs may wait for a slot; 0 for no limit."""
        return self.__core.admission.pending_limit

    @property
    def close_timeout(self) -> float | None:
        """Seconds that closing waits for jobs to stop; None for no deadline."""
        return self.__given[0]

    @property
    def wait_timeout(self) -> float | None:
        """Seconds that ``wait_and_close`` waits for jobs to finish; None for no deadline."""
        return self.__given[1]

    @property
    def active_count(self) -> int:
        """How many jobs hold a slot: active and closing ones (``BOOK-1``)."""
        return self.__core.admission.running

    @property
    def pending_count(self) -> int:
        """How many jobs wait for a slot (``BOOK-1``)."""
        return self.__core.admission.pending

    @property
    def blocked_count(self) -> int:
        """How many callers of ``spawn`` wait for a place in the queue."""
        return self.__core.admission.blocked

    @property
    def shutdown_report(self) -> ShutdownReport | None:
        """The report of the shutdown; None until closing is over (``SHUT-7``)."""
        return self.__closing.report

    @property
    def phase(self) -> Phase:
        """Open, closing or closed; compares equal to the plain string."""
        return self.__core.admission.phase

    @property
    def closed(self) -> bool:
        """True from the moment closing begins; ``phase`` tells whether it is over."""
        return self.__core.admission.phase is not Phase.OPEN

    @property
    def exception_handler(self) -> ExceptionHandler | None:
        """The handler given to the constructor."""
        return self.__given[3]

    def call_exception_handler(self, context: ExceptionContext | dict[str, Any]) -> None:
        """Hand `context` to the exception handler, or to the loop's if none was given.

        What the handler raises goes to the loop's handler, once the scheduler has a loop (``EXC-2``).
        """
        handler = cast("Callable[[Scheduler, Any], object] | None", self.exception_handler)
        bound = self.__core.bound
        if handler is None:
            loop = bound.loop or asyncio.get_running_loop()
            loop.call_exception_handler(cast("dict[str, Any]", context))
        elif bound.loop is None:
            handler(self, context)
        else:
            bound.call_out("exception_handler", handler, self, context)

    def __len__(self) -> int:
        admission = self.__core.admission
        return admission.running + admission.pending

    def __iter__(self) -> Iterator[Job[Any]]:
        """The jobs that have not ended, in spawn order, as they are now (``BOOK-2``)."""
        return iter(self.__core)

    def __contains__(self, obj: object) -> bool:
        core = self.__core
        return obj in core.slots or (isinstance(obj, Job) and obj.owner is core and obj.is_queued())

    def snapshot(self) -> Snapshot:
        """An immutable picture of this moment: all jobs, where they are suspended, who waits for whom (``SEE-2``).

        It takes time in proportion to what there is to see, and changes nothing. It is for debugging, reports and
        pages; no job pays for it before. It asks tasks for their names; all else it reads without running any code
        but Python's own.

        Raises:
            RuntimeError: the scheduler's loop runs in another thread.
        """
        from ._seeing import see  # noqa: PLC0415 - most programs never take a picture

        return see(self.__core, self.__shields)

    def __repr__(self) -> str:
        count = self.__core.admission
        phase = "" if count.phase is Phase.OPEN else f"{count.phase.value} "
        running = f"active={count.running} limit={count.limit}"
        return f"<Scheduler {phase}{running} pending={count.pending} pending_limit={count.pending_limit}>"

    # --- Spawning ---------------------------------------------------------------------------------

    async def spawn(
        self,
        coro: Coroutine[Any, Any, _T],
        name: str | None = None,
        *,
        context: contextvars.Context | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the time of the job, not of this call
        drain: bool = True,
    ) -> Job[_T]:
        """Run `coro` as a job: at once if a slot is free, else when its turn comes (``LIMIT-5``).

        Waits while the queue is full (``LIMIT-4``); cancelling that leaves nothing behind (``SPAWN-1``).
        The job runs in a copy of the caller's context, or in `context` itself (``SPAWN-4``).

        Arguments:
            coro: what to run.
            name: for people; None for the name of the job's task.
            context: to run in.
            timeout: seconds that the job may run, from its start. Then it is asked to stop; if it does, its
                outcome is ``timed_out``, and whoever waits for it gets ``TimeoutError`` (``SPAWN-6``).
            drain: False for a job that never ends by itself: ``wait_and_close`` and ``idle`` do not wait for it
                (``SHUT-8``).

        Raises:
            TypeError: an argument is of the wrong kind; `coro` is untouched.
            RuntimeError: `coro` was started before or belongs to another job, or the loop is another
                one, and it is untouched; or closing has begun, and it has been closed (``SPAWN-2``).
        """
        terms = None
        if timeout is not None or drain is not True:
            terms, context = agreed(timeout, drain, context)
        job = self.__core.enter(coro, name, context, True, terms)
        if job is not None:
            return job
        blocked = self.__line.spawn(coro, name, context, terms)
        del coro  # what is raised while it is closed may hold this frame (BOOK-3)
        return await blocked

    def spawn_nowait(
        self,
        coro: Coroutine[Any, Any, _T],
        name: str | None = None,
        *,
        context: contextvars.Context | None = None,
        timeout: float | None = None,
        drain: bool = True,
    ) -> Job[_T]:
        """As ``spawn``, for callers that can't wait (``SPAWN-5``).

        Raises:
            PendingQueueFull: ``spawn`` would have waited; `coro` has been closed.
            TypeError, RuntimeError: as ``spawn``.
        """
        terms = None
        if timeout is not None or drain is not True:
            terms, context = agreed(timeout, drain, context)
        return cast("Job[_T]", self.__core.enter(coro, name, context, False, terms))

    def spawn_threadsafe(
        self, coro: Coroutine[Any, Any, _T], name: str | None = None
    ) -> concurrent.futures.Future[Job[_T]]:
        """As ``spawn``, for callers in any other thread than that of the scheduler's loop (``SPAWN-7``).

        The future that is returned gives the job, or what ``spawn`` would have raised. It can be cancelled until
        the job is accepted, which withdraws a blocked spawn, and not afterwards.

        Raises:
            TypeError: an argument is of the wrong kind; `coro` is untouched.
            RuntimeError: the scheduler has no loop yet, or this is its thread, and `coro` is untouched; or the loop
                is closed, and so is `coro`.
        """
        from ._threads import Threads  # noqa: PLC0415 - the future of a thread is much to import, and few need it

        return Threads(self.__core, self.__line).spawn(coro, name)

    # --- Shielding --------------------------------------------------------------------------------

    def shield(self, arg: Awaitable[_T]) -> asyncio.Future[_T]:
        """As ``asyncio.shield``, and the scheduler keeps track of the awaitable.

        ``wait_and_close`` waits for it and ``close`` cancels it. If the future that is returned was cancelled
        and `arg` fails later, the exception handler hears of it (``EXC-4``).

        Raises:
            TypeError: `arg` can't be awaited.
            RuntimeError: as ``spawn``; after closing has begun a coroutine has been closed (``SPAWN-2``).
        """
        return self.__shields.shield(arg)

    # --- Closing ----------------------------------------------------------------------------------

    async def idle(self) -> None:
        """Wait until every job and every shielded awaitable has ended, and stay open (``SHUT-8``).

        It waits for those added meanwhile, too, blocked callers included, but not for jobs spawned with
        ``drain=False``. Returns as well when the scheduler has closed.

        Raises:
            RuntimeError: a job waits for its own scheduler (``WAIT-4``), unless it has ``drain=False`` and closing
                has not begun; or the loop is another one.
        """
        if self.phase is not Phase.CLOSED:
            await self.__closing.idle()

    async def close(self) -> ShutdownReport:
        """Stop every job and every shielded awaitable, and wait until they have (``SHUT-1`` … ``SHUT-5``).

        Returns when nothing runs any more, or ``close_timeout`` seconds after all of them were asked to
        stop; each that still runs then is reported to the exception handler, once, and stays in the
        registries until it ends. Never raises the exception of a job. Cancelling the caller leaves closing
        under way; another ``close()`` waits for the same end.

        Returns the numbers of jobs by how they ended (``SHUT-7``). If work was dropped the logger ``aiojobs`` warns.

        Raises:
            RuntimeError: a job closes its own scheduler (``WAIT-4``), or the loop is another one.
        """
        if self.phase is not Phase.CLOSED:
            self.__closing.check("close")
            await self.__closing.close()
        return cast("ShutdownReport", self.shutdown_report)

    async def wait_and_close(self, timeout: float | None = None) -> ShutdownReport:  # noqa: ASYNC109 - as in aiojobs 1.4
        """Wait until every job and every shielded awaitable has ended, then close (``SHUT-4``).

        It waits for those added meanwhile, too, but not for jobs spawned with ``drain=False`` (``SHUT-8``).
        `timeout` is in seconds; None means ``wait_timeout``. Cancelled while it waits, it leaves the scheduler open.

        Returns a report, as ``close`` does.

        Raises:
            RuntimeError: as ``close``.
            TypeError, ValueError: `timeout` makes no sense.
        """
        within = _validate.seconds("timeout", timeout)
        if self.phase is not Phase.CLOSED:
            self.__closing.check("wait for")
            await self.__closing.drain(self.__given[2] if timeout is None else within)
            await self.__closing.close()
        return cast("ShutdownReport", self.shutdown_report)

    async def __aenter__(self) -> Self:
        """Bind the scheduler to the running loop."""
        core = self.__core
        core.bind(core.bound.check())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Drain and close; at once if the body was cancelled, or if draining is (``SHUT-6``).

        If the enclosing coroutine is being destroyed nothing can be awaited, and closing is only begun.
        """
        if exc_type is GeneratorExit:
            self.__closing.begin_unawaited()
            return
        if exc_type is not None and not issubclass(exc_type, Exception):
            await self.close()
            return
        try:
            await self.wait_and_close()
        except asyncio.CancelledError:
            await self.close()
            raise
