"""Stopping on a signal: no more work is accepted, accepted work is finished, and the process ends in time.

A platform that stops a program sends SIGTERM and kills it some seconds later. By default Python dies of the
first one, and of every accepted job nothing is left, not even its ``finally``. `stop_on_signals` spends
those seconds on the jobs:

1. The first signal interrupts the block, as `asyncio.timeout` would, and the jobs have until `grace` less
   `reserve` less the scheduler's ``close_timeout`` is over.
2. When that time has passed, or a second signal comes, what still runs is asked to stop (``SHUT-2``). What
   did not finish is told: in the log, in `Stop.unfinished`, and in `Stop.exit_status`.
3. From the second signal on the former handlers are in place again, so a third one does what it always did.

How it works
------------
``loop.add_signal_handler`` is missing on Windows, and its callback waits for a loop that is busy. So the
handler is a plain one. It runs between two instructions of whatever Python does in the main thread; all that
it does there is note signal and time, and pass them on to the loop.

Whatever is being waited for then, the block or its jobs, is interrupted by an `asyncio.timeout` that begins
without a deadline: the one cancellation of the standard library that can be told from everybody else's.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Any, Final, Self

from ._grace import time_for_jobs
from ._job import Job
from ._lifecycle import Outcome
from ._scheduler import Scheduler

__all__ = ("STOP_SIGNALS", "Stop", "stop_on_signals")

STOP_SIGNALS: Final[tuple[signal.Signals, ...]] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)
)
"""SIGTERM, which platforms send; SIGINT, which is Ctrl-C; and on Windows SIGBREAK, which is Ctrl-Break."""

_PULSE: Final = 0.5
"""Seconds after which a signal is noticed at the latest; see `_Handlers`."""

_log = logging.getLogger(__name__)


def stop_on_signals(
    scheduler: Scheduler,
    *,
    grace: float = 10.0,
    reserve: float = 1.0,
    interrupt: bool = True,
    signals: Iterable[int] | None = None,
) -> Stop:
    """Leave the block when a signal comes, finish the jobs of `scheduler`, and close it in time.

    ``async with stop_on_signals(scheduler) as stop: …`` ends in every case with a closed scheduler. Without a
    signal it drains as ``async with scheduler`` does (``SHUT-6``). A signal that is ignored stays ignored: a
    shell does that for commands in the background.

    Arguments:
        scheduler: whose jobs are finished. Its ``wait_timeout`` still holds if it is the shorter time.
        grace: seconds from the first signal until the platform kills the process: 10 with Docker, 30 with
            Kubernetes.
        reserve: seconds of `grace` that are left, when the scheduler is closed, for what comes after.
        interrupt: whether the first signal cancels the block, wherever it waits. If not, the block has to ask
            `Stop.requested`; it is cancelled only when the time for draining is over.
        signals: their numbers; None for `STOP_SIGNALS`.

    Raises:
        TypeError: `scheduler` is not a scheduler, or a time is no number.
        ValueError: no time is left for draining, because ``close_timeout`` and `reserve` take up all of
            `grace` or there is no ``close_timeout``; or `signals` is empty, or names one that does not exist.
        RuntimeError: when the block is entered: not in the main thread, where alone Python handles
            signals; or not by a task; or for a second time, or inside another such block.
        OSError: when the block is entered: a signal can't be handled, as SIGKILL.
    """
    if not isinstance(scheduler, Scheduler):
        raise TypeError(f"scheduler must be an aiojobs.Scheduler, got {scheduler!r}")
    numbers = STOP_SIGNALS if signals is None else tuple(map(signal.Signals, signals))
    if not numbers:
        raise ValueError("signals must name at least one signal")
    drain = time_for_jobs(grace, reserve, scheduler.close_timeout)
    return Stop(scheduler, numbers, drain, interrupt)


class Stop:
    """One block that a signal ends, and what came of it. Made by `stop_on_signals`."""

    def __init__(
        self, scheduler: Scheduler, signals: tuple[signal.Signals, ...], drain: float, interrupt: bool
    ) -> None:
        self._scheduler = scheduler
        self._signals = signals
        self._interrupt = interrupt
        # Seconds for draining, from the first signal on; and when it ends, on the clock of the loop.
        self._drain_seconds = drain
        self._deadline = math.inf
        # What the first signal interrupts, and what the deadline does: the block, later the draining.
        self._block = _Interruptible()
        self._limit = _Interruptible()
        self._entered = False
        self._handlers = ExitStack()
        # The signals that have come, in order. The handler adds to it, at any moment.
        self._received: list[signal.Signals] = []
        self._unfinished: tuple[Job[Any], ...] = ()

    @property
    def requested(self) -> bool:
        """Whether a signal has come: no more work should be taken. True at once, be the loop busy or not."""
        return bool(self._received)

    @property
    def signum(self) -> signal.Signals | None:
        """The first signal; None before it."""
        return self._received[0] if self._received else None

    @property
    def unfinished(self) -> tuple[Job[Any], ...]:
        """After the block: the jobs that were accepted and did not come to their own end, in spawn order.

        They neither returned nor raised, nor was the time over that they had been given.
        """
        return self._unfinished

    @property
    def exit_status(self) -> int:
        """What to give to ``sys.exit``: 0 if every accepted job has ended by itself.

        Otherwise what a shell says of a process that a signal has killed, 128 plus its number; 1 if jobs were
        left although no signal came. Jobs of ``drain=False`` that stopped in time are not counted.
        """
        report = self._scheduler.shutdown_report
        if not (self._unfinished if report is None else report.dropped):
            return 0
        return 128 + self._received[0] if self._received else 1

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a block of stop_on_signals() can be entered only once: call it anew")
        self._entered = True
        await self._limit.__aenter__()
        await self._block.__aenter__()
        self._handlers.enter_context(_Handlers(self._signals, self._received, self._hear))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Drain and close; at once if somebody else cancelled the block, as `Scheduler` does (``SHUT-6``)."""
        with self._handlers:
            stopped = await self._leave_block(exc_type, exc_value, traceback)
            if stopped or exc_type is None or issubclass(exc_type, Exception):
                await self._drain_and_close()
            elif exc_type is GeneratorExit:  # nothing can be awaited any more
                await self._scheduler.__aexit__(exc_type, exc_value, traceback)
            else:
                await self._close()
        return stopped

    async def _leave_block(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Whether a signal, or the deadline, ended the block, and not somebody else's exception."""
        if await self._block.__aexit__(exc_type, exc_value, traceback):
            await self._limit.__aexit__(None, None, None)
            return True
        return await self._limit.__aexit__(exc_type, exc_value, traceback)

    async def _drain_and_close(self) -> None:
        try:
            await self._drain_in_time()
        except asyncio.CancelledError:
            await self._close()
            raise
        await self._close()

    async def _drain_in_time(self) -> None:
        """Wait until the jobs have ended, or the deadline is there, or a second signal comes."""
        wait_timeout = self._scheduler.wait_timeout
        if wait_timeout is not None:
            self._deadline = min(self._deadline, asyncio.get_running_loop().time() + wait_timeout)
        self._limit = _Interruptible()
        async with self._limit:
            self._limit.interrupt_at(self._deadline)
            await self._scheduler.wait_and_close(math.inf)

    async def _close(self) -> None:
        """Stop what is left, and tell what did not finish."""
        left = list(self._scheduler)
        try:
            await self._scheduler.close()
        finally:
            finished = (Outcome.RETURNED, Outcome.RAISED, Outcome.TIMED_OUT)
            self._unfinished = tuple(job for job in left if job.outcome not in finished)

    def _hear(self, signum: signal.Signals, count: int, moment: float) -> None:
        """A signal was handled at that moment; the loop calls this as soon as it can."""
        jobs = len(self._scheduler)
        if count == 1:
            self._deadline = min(self._deadline, moment + self._drain_seconds)
            _log.info("%s: no more work is taken; jobs to finish: %d", signum.name, jobs)
            if self._interrupt:
                self._block.interrupt_at(moment)
        else:
            self._deadline = moment
            _log.info("%s, again: closing; jobs to stop: %d", signum.name, jobs)
        self._limit.interrupt_at(self._deadline)


class _Interruptible:
    """A block that can be cancelled from outside, and is left in silence then."""

    def __init__(self) -> None:
        self._timeout = asyncio.timeout_at(None)
        self._inside = False

    def interrupt_at(self, moment: float) -> None:
        """Cancel it at that moment, on the clock of the loop, unless it has been left or cancelled."""
        if self._inside and not self._timeout.expired():
            self._timeout.reschedule(None if moment == math.inf else moment)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._inside = True

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Whether what left the block is the cancellation that was asked for here."""
        self._inside = False
        try:
            await self._timeout.__aexit__(exc_type, exc_value, traceback)
        except TimeoutError:
            return True
        return False


class _Handlers:
    """The handlers of some signals: installed until the second one comes, then as they were before.

    A signal that arrives just before the loop goes to sleep does not wake it, and on Windows' selector loop
    none does. Therefore the loop gets up twice a second meanwhile.
    """

    _pulse: asyncio.TimerHandle

    def __init__(
        self,
        signals: tuple[signal.Signals, ...],
        received: list[signal.Signals],
        tell: Callable[[signal.Signals, int, float], None],
    ) -> None:
        self._signals = signals
        self._received = received
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        # Not that of whatever job a signal happens to interrupt.
        self._context = contextvars.copy_context()
        # What puts the former handlers back.
        self._former = ExitStack()

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "stop_on_signals() must be used in the main thread: Python handles signals in no other. "
                "Run the event loop there, or close the scheduler yourself"
            )
        with ExitStack() as former:
            for signum in self._signals:
                self._install(signum, former)
            self._former = former.pop_all()
        self._beat()

    def __exit__(self, *_: object) -> None:
        self._former.close()
        self._pulse.cancel()

    def _install(self, signum: signal.Signals, former: ExitStack) -> None:
        handler = signal.getsignal(signum)
        taken = isinstance(getattr(handler, "__self__", None), _Handlers)
        if taken:
            raise RuntimeError(
                f"{signum.name} ends another block of stop_on_signals() already: use one around all others"
            )
        if handler is not signal.SIG_IGN:
            signal.signal(signum, self._handle)
            former.callback(self._put_back, signum, handler)

    def _put_back(self, signum: signal.Signals, former: Any) -> None:
        if signal.getsignal(signum) == self._handle:  # else somebody has replaced it, who will know why
            # None: it was not installed by Python, which can't put it back.
            signal.signal(signum, signal.SIG_DFL if former is None else former)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._loop.is_closed():  # nobody is there any more to be told
            self._former.close()
            signal.raise_signal(number)
            return
        signum = signal.Signals(number)
        self._received.append(signum)
        count = len(self._received)
        if count > 1:
            self._former.close()
        self._loop.call_soon_threadsafe(self._tell, signum, count, self._loop.time(), context=self._context)

    def _beat(self) -> None:
        self._pulse = self._loop.call_later(_PULSE, self._beat)
