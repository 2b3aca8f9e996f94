"""A job that stands for work done elsewhere: in a thread, in another process, on another machine.

A task can be cancelled; a thread can't, nor can a request that a cluster has taken. A job that merely awaits such work
gives its slot back while the work goes on, and a limit of two soon has six threads. `elsewhere` keeps the job and the
work together:

1. The slot is kept until the far side has really ended (``LIMIT-6``).
2. A request to stop the job is passed on exactly once, whatever is cancelled how often; one that comes while the work
   is being started is passed on when it has been.
3. The outcome is the truth: what the far side came to, also if it was asked to stop.

How it works: each of the three functions is awaited in a task of its own, which no cancellation of the job reaches. A
cancellation of one of these tasks, by somebody who cancels all there are, counts as a request to stop too.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from concurrent.futures import Future as _Future
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar, TypeVarTuple, cast

__all__ = ("elsewhere", "run_blocking")

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_Far = TypeVar("_Far")


async def elsewhere(
    start: Callable[[], Awaitable[_Far]],
    wait: Callable[[_Far], Awaitable[_T]],
    stop: Callable[[_Far], object],
) -> _T:
    """Start work elsewhere and be its job: return or raise what it comes to, when it has ended.

    Cancelling the caller has `stop` called, once, and nothing else: this returns when `wait` does.

    Arguments:
        start: begins the work and returns what stands for it. If it raises, nothing has begun.
        wait: called with that; returns or raises what the work came to, when it has really ended. It raises
            ``asyncio.CancelledError`` if the work stopped because it was told to. It may be called again if somebody
            cancelled its task.
        stop: called with that; asks the work to stop. What it returns is awaited if it can be. What it raises
            goes to the loop's exception handler; the work is waited for all the same.

    Raises:
        BaseException: what `start` or `wait` raises.
    """
    return await _Passage(wait, stop).through(start)


async def run_blocking(
    function: Callable[[*_Ts], _T],
    /,
    *args: *_Ts,
    executor: Executor | None = None,
    stop: Callable[[], object] | None = None,
) -> _T:
    """Call a blocking function in a thread or a process, and keep the slot until it has returned.

    If the job is stopped before the executor has begun the call, the function is not called.

    Arguments:
        function: what to call, in a copy of the caller's context if `executor` is None.
        args: its arguments.
        executor: where; None for the loop's own threads. They are ``min(32, CPUs + 4)``: for a higher limit than that
            give a ``ThreadPoolExecutor`` of your own.
        stop: called, in the loop, when the job is stopped while the function runs: sets the event that the
            function looks at, for example. None if nothing can stop it.

    Raises:
        BaseException: what the function raises.
    """
    submit = _in_threads_of_the_loop if executor is None else executor.submit
    return await elsewhere(
        partial(_begun, submit, partial(function, *args)), _end_of, partial(_give_up, stop)
    )


class _Passage(Generic[_Far, _T]):
    """The way of a request to stop: from the job, in whose task this runs, to the far side."""

    def __init__(self, wait: Callable[[_Far], Awaitable[_T]], stop: Callable[[_Far], object]) -> None:
        self._wait = wait
        self._stop = stop
        # Whether the job was asked to stop, and whether the far side was.
        self._is_asked = False
        self._is_told = False

    async def through(self, start: Callable[[], Awaitable[_Far]]) -> _T:
        """Start the work, pass on what there is to pass on, and come to what the work came to."""
        task: asyncio.Task[Any] = asyncio.create_task(_awaited(start))
        try:
            await self._until_ended(task)
            far = task.result()
            is_over = False
            while not is_over:
                task = asyncio.create_task(_awaited(partial(self._wait, far)))
                await self._until_far_end(far, task)
                is_over = not self._is_disturbed(task)
            return cast("_T", task.result())
        finally:
            del task  # else what it raises refers to itself, through this frame

    async def _until_far_end(self, far: _Far, waiting: asyncio.Task[_T]) -> None:
        while not waiting.done():
            if self._is_asked and not self._is_told:
                self._is_told = True
                await self._until_ended(asyncio.create_task(self._tell(far)))
            else:
                await self._watch(waiting)

    def _is_disturbed(self, waiting: asyncio.Task[_T]) -> bool:
        """Whether somebody has cancelled the waiting, which is not the end of the work but asks for it."""
        if not (waiting.cancelled() and waiting.cancelling()):
            return False
        self._is_asked = True
        return True

    async def _until_ended(self, task: asyncio.Task[Any]) -> None:
        while not task.done():
            await self._watch(task)

    async def _watch(self, task: asyncio.Task[Any]) -> None:
        """Wait until the task has ended, or somebody cancels this."""
        ended = asyncio.Event()

        def tell(_task: asyncio.Task[Any]) -> None:
            ended.set()

        task.add_done_callback(tell)
        try:
            await ended.wait()
        except asyncio.CancelledError:
            self._is_asked = True
        finally:
            task.remove_done_callback(tell)

    async def _tell(self, far: _Far) -> None:
        try:
            answer = self._stop(far)
            if inspect.isawaitable(answer):
                await answer
        except Exception as exc:  # noqa: BLE001 - the work goes on, and its end is what this is about
            asyncio.get_running_loop().call_exception_handler(
                {"message": "Stopping work elsewhere failed", "exception": exc}
            )


async def _awaited(call: Callable[[], Awaitable[_T]]) -> _T:
    return await call()


# --- Threads and processes ------------------------------------------------------------------------------------


async def _begun(submit: Callable[..., _Future[_T]], call: Callable[[], _T]) -> _Future[_T]:
    return submit(call)


def _in_threads_of_the_loop(call: Callable[[], _T]) -> _Future[_T]:
    """As ``Executor.submit``. The loop's own future can be cancelled while the thread runs; this one can't."""
    future: _Future[_T] = _Future()
    run = partial(contextvars.copy_context().run, call)
    asyncio.get_running_loop().run_in_executor(None, _run_into, future, run)
    return future


def _run_into(future: _Future[_T], call: Callable[[], _T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as exc:  # noqa: BLE001 - it is raised where the job waits
        future.set_exception(exc)
    else:
        future.set_result(result)


async def _end_of(future: _Future[_T]) -> _T:
    """Wait without a way for a cancellation to get to the future, as it has in ``wrap_future``."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell(_future: _Future[_T]) -> None:
        with suppress(RuntimeError):  # nobody waits in a loop that is closed
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(tell)
    await ended.wait()
    if future.cancelled():
        raise asyncio.CancelledError
    return future.result()


def _give_up(stop: Callable[[], object] | None, future: _Future[_T]) -> object:
    if future.cancel() or future.done() or stop is None:
        return None
    return stop()
