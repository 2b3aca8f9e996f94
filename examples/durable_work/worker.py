"""A worker of procrastinate that is a job of a scheduler."""

import asyncio
import sys
from typing import NoReturn

from orders import SILENCE, app

import aiojobs
from aiojobs.loops import supervise
from aiojobs.signals import stop_on_signals

GRACEFUL = 3.0  # seconds that tasks have to finish when the worker is stopped


async def work() -> NoReturn:
    """Take tasks until cancelled. That procrastinate's worker returns is a failure: it has lost the database."""
    await app.run_worker_async(
        concurrency=4,
        install_signal_handlers=False,  # they are the business of stop_on_signals
        shutdown_graceful_timeout=GRACEFUL,
        update_heartbeat_interval=SILENCE / 4,
        stalled_worker_timeout=SILENCE,
    )
    raise ConnectionError("the worker has ended by itself")


async def main() -> int:
    """Serve until a signal comes; what the process should end with."""
    scheduler = aiojobs.Scheduler(close_timeout=GRACEFUL + 1)
    async with app.open_async(), stop_on_signals(scheduler, grace=10) as stop:
        await scheduler.spawn(supervise(work, most=None), name="worker", drain=False)
        await asyncio.Event().wait()  # a service would serve here
    return stop.exit_status


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
