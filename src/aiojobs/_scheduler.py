"""The scheduler as a user meets it: what can be asked of it, every argument checked before anything changes.

What happens then is in ``_entrance`` (checks and letting in), ``_engine`` (registries, order, tasks) and ``_shutdown``
(closing); who starts and who waits is decided by ``_admission``. Nothing here changes a job.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Collection, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from . import _arguments
from ._admission import Admission
from ._calling import shown
from ._claims import release
from ._entrance import Entrance
from ._job import Job
from ._lifecycle import Phase
from ._records import ExceptionHandler, Observer
from ._shield import Shielded
from ._tasks import cancel, close_coro, coro_of, no_task

__all__ = ("Scheduler",)

_T = TypeVar("_T")


class Scheduler(Entrance, Collection[Job[Any]]):
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
            too. It must not call back into the scheduler.

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
        observer: Observer | None = None,
    ) -> None:
        # The same durations as arguments and as deadlines: what nobody waits for is no deadline.
        close_within = _arguments.seconds("close_timeout", close_timeout)
        wait_within = _arguments.seconds("wait_timeout", wait_timeout)
        _arguments.check_count("limit", limit, least=1, none_means="no limit")
        _arguments.check_count("pending_limit", pending_limit, least=0)
        _arguments.check_function("exception_handler", exception_handler, or_none=True)
        _arguments.check_function("observer", observer, or_none=True)
        super().__init__(Admission(limit, pending_limit), close_within, exception_handler, observer)
        # Coroutines that are being given their tasks, which may begin them at once, in order to be shielded.
        self._shielding: list[object] = []
        self._close_timeout = close_timeout
        self._wait_timeout = wait_timeout
        self._wait_within = wait_within

    # --- What a user sees -------------------------------------------------------------------------

    @property
    def limit(self) -> int | None:
        """How many jobs may run at once; None for no limit."""
        return self._admission.limit

    @property
    def pending_limit(self) -> int:
        """How many jobs may wait for a slot; 0 for no limit."""
        return self._admission.pending_limit

    @property
    def close_timeout(self) -> float | None:
        """Seconds that closing waits for jobs to stop; None for no deadline."""
        return self._close_timeout

    @property
    def wait_timeout(self) -> float | None:
        """Seconds that ``wait_and_close`` waits for jobs to finish; None for no deadline."""
        return self._wait_timeout

    @property
    def active_count(self) -> int:
        """How many jobs hold a slot: active and closing ones (``BOOK-1``)."""
        return len(self._running)

    @property
    def pending_count(self) -> int:
        """How many jobs wait for a slot (``BOOK-1``)."""
        return self._admission.pending

    @property
    def phase(self) -> Phase:
        """Open, closing or closed; compares equal to the plain string."""
        return self._admission.phase

    @property
    def closed(self) -> bool:
        """True from the moment closing begins; ``phase`` tells whether it is over."""
        return self._admission.phase is not Phase.OPEN

    @property
    def exception_handler(self) -> ExceptionHandler | None:
        """The handler given to the constructor."""
        return self._exception_handler

    def __len__(self) -> int:
        return len(self._running) + self._admission.pending

    def __iter__(self) -> Iterator[Job[Any]]:
        """The jobs that have not ended, in spawn order, as they are now (``BOOK-2``)."""
        return cast("Iterator[Job[Any]]", iter([*self._running, *self._queue]))

    def __contains__(self, obj: object) -> bool:
        return obj in self._running or (isinstance(obj, Job) and obj._scheduler is self and obj._is_queued())

    def __repr__(self) -> str:
        closed = "closed " if self.closed else ""
        return f"<Scheduler {closed}jobs={len(self)}>"

    # --- Spawning ---------------------------------------------------------------------------------

    async def spawn(
        self,
        coro: Coroutine[Any, Any, _T],
        name: str | None = None,
        *,
        context: contextvars.Context | None = None,
    ) -> Job[_T]:
        """Run `coro` as a job: at once if a slot is free, else when its turn comes (``LIMIT-5``).

        Waits while the queue is full (``LIMIT-4``); cancelling that leaves nothing behind (``SPAWN-1``).
        The job runs in a copy of the caller's context, or in `context` itself (``SPAWN-4``).

        Raises:
            TypeError: an argument is of the wrong kind; `coro` is untouched.
            RuntimeError: `coro` was started before or belongs to another job, or the loop is another
                one, and it is untouched; or closing has begun, and it has been closed (``SPAWN-2``).
        """
        job = self._enter(coro, name, context, True)
        if job is not None:
            return job
        blocked = self._spawn_blocked(coro, name, context)
        del coro  # what is raised while it is closed may hold this frame (BOOK-3)
        return await blocked

    def spawn_nowait(
        self,
        coro: Coroutine[Any, Any, _T],
        name: str | None = None,
        *,
        context: contextvars.Context | None = None,
    ) -> Job[_T]:
        """As ``spawn``, for callers that can't wait (``SPAWN-5``).

        Raises:
            PendingQueueFull: ``spawn`` would have waited; `coro` has been closed.
            TypeError, RuntimeError: as ``spawn``.
        """
        return cast("Job[_T]", self._enter(coro, name, context, False))

    # --- Shielding --------------------------------------------------------------------------------

    def shield(self, arg: Awaitable[_T]) -> asyncio.Future[_T]:
        """As ``asyncio.shield``, and the scheduler keeps track of what is shielded.

        ``wait_and_close`` waits for it and ``close`` cancels it. If the future that is returned was cancelled
        and `arg` fails later, the exception handler hears of it (``EXC-4``).

        Raises:
            TypeError: `arg` can't be awaited.
            RuntimeError: as ``spawn``; after closing has begun a coroutine has been closed (``SPAWN-2``).
        """
        is_coroutine = asyncio.iscoroutine(arg)
        if not is_coroutine and not asyncio.isfuture(arg) and not inspect.isawaitable(arg):
            raise TypeError(f"arg must be awaitable, got {shown(arg)}")
        loop = self._check_loop()
        if is_coroutine:
            self._check_offer(arg, None, None)
        elif asyncio.isfuture(arg) and arg.get_loop() is not loop:
            raise RuntimeError(f"{shown(self)} is bound to a different event loop than {shown(arg)}")
        if self.closed:
            if is_coroutine:
                release(arg)
                self._call_out("close of a coroutine", close_coro, arg)
            raise RuntimeError("Shielding an awaitable after closing")
        self._bind(loop)
        inner = self._shield_coroutine(arg) if is_coroutine else asyncio.ensure_future(arg)
        if inner.done():
            release(arg)
            return inner
        shielded = self._shielded.get(inner)
        if shielded is None:
            shielded = Shielded(arg, inner, self)
            if self._admission.phase is not Phase.OPEN:
                # Its first step, in an eager task, has closed the scheduler that let it in.
                self._call_out("cancel of a shielded future", cancel, inner)
        return shielded.new_outer()

    def _shield_coroutine(self, coro: Any) -> asyncio.Future[Any]:
        """The task of a coroutine that is shielded; without one the coroutine has come to its end."""
        self._shielding.append(coro)
        try:
            inner: asyncio.Future[Any] = asyncio.ensure_future(coro)
            if not asyncio.isfuture(inner):
                raise no_task(inner)  # noqa: TRY301 - as if it had not been made
        except BaseException:
            release(coro)
            self._call_out("close of a coroutine", close_coro, coro)
            raise
        finally:
            self._shielding.pop()
        return inner

    # --- Closing ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop every job and every shielded awaitable, and wait until they have (``SHUT-1`` … ``SHUT-5``).

        Returns when nothing runs any more, or ``close_timeout`` seconds after all of them were asked to
        stop; each that still runs then is reported to the exception handler, once, and stays in the
        books until it ends. Never raises the exception of a job. Cancelling the caller leaves closing
        under way; another ``close()`` waits for the same end.

        Raises:
            RuntimeError: a job closes its own scheduler (``WAIT-4``), or the loop is another one.
        """
        if self.phase is Phase.CLOSED:
            return
        self._check_closable("close")
        await self._shutdown.close()

    async def wait_and_close(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in aiojobs 1.4
        """Wait until every job and every shielded awaitable has ended, then close (``SHUT-4``).

        Those added meanwhile are waited for too. `timeout` is in seconds; None means ``wait_timeout``.
        Cancelled while it waits, it leaves the scheduler open.

        Raises:
            RuntimeError: as ``close``.
            TypeError, ValueError: `timeout` makes no sense.
        """
        within = _arguments.seconds("timeout", timeout)
        if self.phase is Phase.CLOSED:
            return
        self._check_closable("wait for")
        await self._shutdown.drain(self._wait_within if timeout is None else within)
        await self._shutdown.close()

    async def __aenter__(self) -> Self:
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
            self._shutdown.begin_unawaited()
            return
        if exc_type is not None and not issubclass(exc_type, Exception):
            await self.close()
            return
        try:
            await self.wait_and_close()
        except asyncio.CancelledError:
            await self.close()
            raise

    def _check_closable(self, verb: str) -> None:
        """Closing needs the scheduler's own loop, unless that is dead and there is nothing to wait for."""
        bound = self._loop
        if bound is not None and bound.is_closed() and not (self or self._blocked or self._shielded):
            self._loop = None
        self._bind(self._check_loop())
        self._refuse_own_job(verb)

    def _refuse_own_job(self, verb: str) -> None:
        task = asyncio.current_task(self._loop)
        if task is None:
            return
        # The task of a coroutine that begins while it is being shielded is not known yet.
        begins = bool(self._shielding) and self._call_out("a task", coro_of, task) in self._shielding
        if begins or task in self._shielded or any(self._runs(job, task) for job in self._running):
            raise RuntimeError(
                f"a job can't {verb} its own scheduler, which would have to wait for the job itself: "
                "let the code that owns the scheduler do it"
            )
