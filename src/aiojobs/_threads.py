"""``spawn`` for callers in other threads (``SPAWN-7``).

The rules of this file
----------------------
Nothing of a scheduler is touched but in its loop's own thread. What the caller holds is a
``concurrent.futures.Future``, which can be cancelled until the job is accepted and not afterwards: a caller whose
cancellation succeeded has no job, and one whose cancellation was refused will get it.

A loop that is closed tells nobody: neither the calls that it has not come to nor those that it had waiting. So who
waits for an answer looks from time to time whether there is a loop left to give one.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from . import _ownership, _validate
from ._calling import close_coro, shown
from ._job import Job, new_job

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ._backpressure import Backpressure
    from ._core import Core

__all__ = ("Threads",)

_T = TypeVar("_T")

_PULSE: Final = 0.5
"""Seconds after which a caller that waits notices at the latest that the loop was closed."""
_ending: Final = Lock()
"""For callers that wait for the same answer and notice at once."""


class _Call(Future[Job[_T]]):
    """What the caller holds; a loop that was closed is an answer too."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def result(self, timeout: float | None = None) -> Job[_T]:
        """The job; for as long as that takes, or `timeout` seconds at most."""
        self._wait(timeout)
        try:
            return super().result(0)
        finally:
            del self  # the traceback of what it holds has this frame (BOOK-3)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What came in place of a job, or None."""
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        """Until there is an answer, or the time is over."""
        now = time.monotonic()
        deadline = None if timeout is None else now + timeout
        while not self.done() and (deadline is None or now < deadline):
            with suppress(TimeoutError, CancelledError):
                super().exception(_PULSE if deadline is None else min(_PULSE, deadline - now))
            if self._loop.is_closed():
                self._end()
            now = time.monotonic()

    def _end(self) -> None:
        """Nobody else will answer any more."""
        with _ending:
            if not self.done():
                _fail_call(self, RuntimeError("the scheduler's loop was closed before it came to this call"))


class Threads:
    """The callers in other threads than that of one scheduler's loop."""

    __slots__ = ("_core", "line")

    line: Backpressure
    """The blocked callers, those of the loop's own thread included."""

    def __init__(self, core: Core, line: Backpressure) -> None:
        self._core = core
        self.line = line

    def spawn(self, coro: Coroutine[Any, Any, _T], name: str | None) -> Future[Job[_T]]:
        """Have the loop spawn a coroutine; the job, as soon as there is one.

        Raises:
            TypeError: an argument is of the wrong kind.
            RuntimeError: there is no loop yet, or this is its thread, or `coro` was started before or belongs to
                somebody; or the loop is closed, and `coro` has been closed too.
        """
        _validate.check_coroutine(coro)
        _validate.check_name(name)
        loop = self._core.bound.loop
        if loop is None:
            scheduler = shown(self._core.bound.owner)
            raise RuntimeError(
                f"{scheduler} has no loop yet: it is bound by what is first spawned in its own thread"
            )
        if _runs_here(loop):
            raise RuntimeError(
                "this is the thread of the scheduler's own loop: call spawn() or spawn_nowait()"
            )
        _ownership.check(coro)
        future: _Call[_T] = _Call(loop)
        try:
            loop.call_soon_threadsafe(self._take, [(future, coro, name)])
        except BaseException:
            self._drop(coro)
            raise
        return future

    def _take(self, call: list[tuple[Future[Any], Coroutine[Any, Any, Any], str | None]]) -> None:
        """Take a call out of what the loop's handle keeps.

        From Python 3.14 on the traceback of what the caller is given leads to that handle (``BOOK-3``).
        """
        self._enter(*call.pop())

    def _enter(self, future: Future[Any], coro: Coroutine[Any, Any, Any], name: str | None) -> None:
        """Spawn in the loop's own thread, in the context of the caller."""
        core = self._core
        may_block = core.admission.would_block()
        if not may_block and not future.set_running_or_notify_cancel():
            self._drop(coro)
            return
        try:
            job = core.enter(coro, name, None, may_block)
            if job is None:
                self._wait(future, new_job(coro, core, name, copy_context()))
        except BaseException as exc:  # noqa: BLE001 - it is the caller's, in another thread
            _fail_call(future, exc)
        else:
            if job is not None:
                future.set_result(job)
        finally:
            del future, coro  # the traceback of what the future holds may hold this frame (BOOK-3)

    def _drop(self, coro: Any) -> None:
        """End a coroutine that will not be spawned, unless somebody else has taken it meanwhile."""
        try:
            _ownership.check(coro)
        except RuntimeError:
            return
        self._core.bound.call_out("close of a coroutine", close_coro, coro)

    def _wait(self, future: Future[Any], job: Job[Any]) -> None:
        """Wait for a place, without a task, on behalf of a caller that may cancel this."""
        place = self.line.join(job)
        place.add_done_callback(partial(self._arrived, future, job))
        future.add_done_callback(partial(self._cancelled, place))

    def _cancelled(self, place: asyncio.Future[None], future: Future[Any]) -> None:
        """The caller has its answer, or has given up; in whose thread, nobody knows."""
        if not future.cancelled():
            return
        try:
            self._core.bound.loop.call_soon_threadsafe(place.cancel)
        except RuntimeError:
            future.set_running_or_notify_cancel()  # a loop that is closed lets nobody in, and tells nobody

    def _arrived(self, future: Future[Any], job: Job[Any], place: asyncio.Future[None]) -> None:
        """A place was released, or closing has begun, or the caller has given up."""
        if place.cancelled():
            future.cancel()  # by whomever it was: whoever waits for the job gets none
        # Asked in the last moment in which the job can be withdrawn; who waits for several futures at once is told.
        if not future.set_running_or_notify_cancel():
            self.line.withdraw(place, job)
            return
        try:
            self.line.arrive(place, job)
        except BaseException as exc:  # noqa: BLE001 - it is the caller's, in another thread
            _fail_call(future, exc)
        else:
            future.set_result(job)
        finally:
            del future, job  # as above


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _fail_call(future: Future[Any], exc: BaseException) -> None:
    """Give the caller an exception, unless that one has cancelled."""
    try:
        if future.running() or future.set_running_or_notify_cancel():
            future.set_exception(exc)
    finally:
        del future, exc
