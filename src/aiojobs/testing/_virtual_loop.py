"""A deterministic event loop whose clock is a number.

Rules of this file
------------------
* Nothing here sleeps, polls, opens a socket or starts a thread. What a program does on this loop depends on
  the program alone, so the same program always takes the same steps in the same order.
* The order is asyncio's own.
* A situation in which a real program would hang is an error here, never a hang: `Deadlock` when nothing is
  ready and no timer is left, `Livelock` when turns go by without end while the clock stands still.

How it works
------------
The loop is written against `asyncio.AbstractEventLoop`, the interface for authors of loops, and keeps its
own queue and timers (`_agenda`) instead of reaching into those of another loop. Of asyncio's non-public
names it needs one: `_set_running_loop`, which asyncio exports for authors of loops. Tasks and futures are
asyncio's own, in C where they are in C.

Running freely (`run_until_complete`, `run_forever`), the clock jumps to the next timer as soon as nothing is
ready. Stepping (`entered`, `turn`, `advance`), the caller decides both when a turn runs and when time passes.

It needs nothing but asyncio and the files beside it: it also runs where another aiojobs is installed.

Deliberately not here: input and output, subprocesses, signals, threads. A call from another thread is
refused, because when it arrives is exactly what this loop exists to keep out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import warnings
import weakref
from asyncio import _set_running_loop  # pyright: ignore[reportPrivateUsage]  # exported by asyncio for authors of event loops
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeVar, TypeVarTuple

from ._agenda import Agenda

if TYPE_CHECKING:
    from contextvars import Context
    from types import FrameType

    from ._handles import TurnHandle

__all__ = ("Deadlock", "Livelock", "VirtualLoop")

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_Complaint: TypeAlias = dict[str, Any]
_ExceptionHandler: TypeAlias = Callable[[asyncio.AbstractEventLoop, _Complaint], object]

SPIN_LIMIT: Final = 100_000
"""The number of turns without the clock moving that is a livelock; the programs of the tests need hundreds."""


class Deadlock(RuntimeError):  # noqa: N818  it names a situation, like StopIteration
    """Nothing is ready and no timer is set: what is still waiting would wait for ever."""


class Livelock(RuntimeError):  # noqa: N818
    """Turn after turn runs while the clock stands still: something spins instead of waiting."""


class VirtualLoop(Agenda):
    """An event loop without input, output and waiting; the top of the module says how it behaves."""

    def __init__(self, *, start: float = 0.0, spin_limit: int = SPIN_LIMIT) -> None:
        super().__init__(start)
        self.complaints: list[_Complaint] = []
        """What `call_exception_handler` was called with, oldest first. Only readers may empty it."""
        self._spin_limit = spin_limit
        self._thread: int | None = None  # set exactly while the loop is entered
        self._stopping = False
        self._debug = _debug_wanted()
        self._handler: _ExceptionHandler | None = None
        self._task_factory: Any = None
        self._generators: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"<VirtualLoop time={self._now:g} ready={len(self._ready)} timers={len(self.timers())}>"

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> TurnHandle:
        """From the loop's own thread the same as `call_soon`; from another one an error."""
        if self._thread not in (None, threading.get_ident()):
            raise RuntimeError(
                "a VirtualLoop takes no calls from other threads: their time of arrival is chance"
            )
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]  # noqa: ARG002
        """Always an error: a thread has no virtual time."""
        raise RuntimeError("a VirtualLoop has no executor: a thread has no virtual time")

    # Stepping.

    @contextmanager
    def entered(self) -> Generator[VirtualLoop]:
        """Be the running loop of this thread without running: for callers that choose each turn."""
        self._check_open()
        if _running_loop() is not None:
            raise RuntimeError("an event loop is already running in this thread")
        outer_hooks = sys.get_asyncgen_hooks()
        outer_depth = sys.get_coroutine_origin_tracking_depth()
        _set_running_loop(self)
        self._thread = threading.get_ident()
        sys.set_asyncgen_hooks(firstiter=self._generators.add, finalizer=self._close_generator)
        if self._debug:
            sys.set_coroutine_origin_tracking_depth(10)
        try:
            yield self
        finally:
            sys.set_coroutine_origin_tracking_depth(outer_depth)
            sys.set_asyncgen_hooks(*outer_hooks)
            self._thread = None
            _set_running_loop(None)

    # Running freely.

    def run_forever(self) -> None:
        """Take turns until `stop` is called; the clock jumps whenever nothing is ready."""
        with self.entered():
            self._still_turns = 0
            try:
                while True:
                    self._check_progress()
                    self.turn()
                    if self._stopping:
                        return
            finally:
                self._stopping = False

    def run_until_complete(self, future: Any) -> Any:
        """Take turns until the future or coroutine has ended, and return or raise what it did."""
        self._check_open()
        task: asyncio.Future[Any] = asyncio.ensure_future(future, loop=self)
        task.add_done_callback(self._stop_for)
        try:
            self.run_forever()
        except BaseException:
            if task.done() and not task.cancelled():
                task.exception()  # taken here, or its destruction would complain about it a second time
            raise
        finally:
            task.remove_done_callback(self._stop_for)
        if not task.done():
            raise RuntimeError("the loop was stopped before the future had ended")
        return task.result()

    def stop(self) -> None:
        """End `run_forever` after the present turn."""
        self._stopping = True

    def is_running(self) -> bool:
        """Whether the loop is running or entered."""
        return self._thread is not None

    def close(self) -> None:
        """Drop everything that is queued."""
        if self._thread is not None:
            raise RuntimeError("a running loop cannot be closed")
        self._drop_everything()

    async def shutdown_asyncgens(self) -> None:
        """Close the asynchronous generators that are still alive, in no promised order."""
        for generator in list(self._generators):
            await generator.aclose()

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Nothing to do: there is no executor."""

    def _check_progress(self) -> None:
        if self._stopping:
            return
        if self.quiet() and not self.advance():
            raise Deadlock(self._describe_deadlock())
        if self._still_turns > self._spin_limit:
            queue = ", ".join(repr(handle) for handle in self.ready()[:5])
            raise Livelock(f"{self._still_turns} turns at time {self._now:g}; still ready: {queue}")

    def _describe_deadlock(self) -> str:
        waiting = sorted((t for t in asyncio.all_tasks(self)), key=lambda task: task.get_name())
        lines = [f"nothing is ready and no timer is set at time {self._now:g}; waiting for ever:"]
        lines += [f"  {task.get_name()}: {_where(task)}" for task in waiting] or ["  (no task)"]
        return "\n".join(lines)

    def _stop_for(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and isinstance(future.exception(), SystemExit | KeyboardInterrupt):
            return  # it is on its way out of the turn already
        self.stop()

    # What tasks and futures ask of their loop.

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[_T]:
        """A task of this loop, by the task factory if one is set."""
        self._check_open()
        try:
            if self._task_factory is None:
                return asyncio.Task(coro, loop=self, name=name, context=context, **options)
            if context is not None:
                options["context"] = context
            task: asyncio.Task[_T] = self._task_factory(self, coro, **options)
            if name is not None:
                task.set_name(name)
            return task
        finally:
            # The traceback of an eager task that fails at once holds this frame, and through it the task.
            del coro, options
            task = None  # type: ignore[assignment]

    def set_task_factory(self, factory: Any) -> None:
        """Make tasks with this from now on; None means `asyncio.Task`."""
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        """What `set_task_factory` was given."""
        return self._task_factory

    def get_debug(self) -> bool:
        """Whether asyncio's debug mode is on."""
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        """Switch asyncio's debug mode; origins of coroutines are kept from the next run on."""
        self._debug = enabled

    # Errors that nobody is there to take.

    def set_exception_handler(self, handler: _ExceptionHandler | None) -> None:
        """Have complaints handled by this, besides being collected; None logs them as asyncio does."""
        self._handler = handler

    def get_exception_handler(self) -> _ExceptionHandler | None:
        """What `set_exception_handler` was given."""
        return self._handler

    def default_exception_handler(self, context: _Complaint) -> None:
        """Log a complaint to the logger of asyncio."""
        logging.getLogger("asyncio").error("%s", context.get("message"), exc_info=context.get("exception"))

    def call_exception_handler(self, context: _Complaint) -> None:
        """Collect a complaint in `complaints` and hand it to the handler; never raises an `Exception`."""
        self.complaints.append(context)
        try:
            if self._handler is None:
                self.default_exception_handler(context)
            else:
                self._handler(self, context)
        except Exception as error:  # noqa: BLE001  whatever it raises
            message = "the exception handler of the loop raised"
            self.default_exception_handler({"message": message, "exception": error})

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators.discard(generator)
        if self.is_closed():
            warnings.warn(f"{generator!r} outlived its loop", ResourceWarning, stacklevel=2)
        else:
            self.call_soon(self.create_task, generator.aclose())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _debug_wanted() -> bool:
    """The rule by which asyncio's own loops decide whether they start in debug mode."""
    wanted = not sys.flags.ignore_environment and bool(os.environ.get("PYTHONASYNCIODEBUG"))
    return sys.flags.dev_mode or wanted


def _where(task: asyncio.Task[Any]) -> str:
    frames: list[FrameType] = task.get_stack(limit=1)
    if not frames:
        return repr(task.get_coro())
    return f"line {frames[0].f_lineno} of {frames[0].f_code.co_filename}, in {frames[0].f_code.co_qualname}"
