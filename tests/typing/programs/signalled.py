"""A worker that stops on a signal."""

import signal
import sys
from typing import Any, assert_type

from aiojobs import Job, Scheduler
from aiojobs.signals import STOP_SIGNALS, Stop, stop_on_signals


async def work() -> int:
    """Take work until a signal comes."""
    async with Scheduler() as scheduler, stop_on_signals(scheduler, grace=30) as stop:
        assert_type(stop, Stop)
        assert_type(stop.requested, bool)
        await scheduler.wait_and_close()
    assert_type(stop.signum, signal.Signals | None)
    assert_type(stop.unfinished, tuple[Job[Any], ...])
    return stop.exit_status


async def more() -> None:
    """What comes after the block is reached, since a signal ends it in silence."""
    scheduler = Scheduler()
    async with stop_on_signals(scheduler, reserve=0.5, interrupt=False, signals=[*STOP_SIGNALS, 1]):
        sys.exit(0)
    scheduler.call_exception_handler({})


def wrong(scheduler: Scheduler) -> None:
    """Mistakes."""
    stop_on_signals()  # error: mypy[call-arg] pyright[reportCallIssue]
    stop_on_signals(scheduler, 30)  # error: mypy[call-arg] pyright[reportCallIssue]
    stop_on_signals(scheduler, signals="TERM")  # error: mypy[arg-type] pyright[reportArgumentType]
    with stop_on_signals(scheduler):  # error: mypy[attr-defined] pyright[reportGeneralTypeIssues]
        pass
