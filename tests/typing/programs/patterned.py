"""Work elsewhere, calls that block, loops."""

import threading
from concurrent.futures import ProcessPoolExecutor
from typing import assert_type

from aiojobs import Job, Scheduler
from aiojobs.elsewhere import elsewhere, run_blocking
from aiojobs.loops import every, supervise


class Ticket:
    """What stands for work elsewhere."""


async def submit() -> Ticket:
    """Begin it."""
    return Ticket()


async def outcome(ticket: Ticket) -> int:
    """Wait for it."""
    return id(ticket)


def revoke(ticket: Ticket) -> None:
    """Have it stop."""
    del ticket


async def tick() -> str:
    """What is called at an interval."""
    return "tick"


async def use(scheduler: Scheduler) -> None:
    """Jobs have the types of what they stand for."""
    assert_type(await elsewhere(submit, outcome, revoke), int)
    assert_type(await scheduler.spawn(elsewhere(submit, outcome, revoke)), Job[int])
    stop = threading.Event()
    assert_type(await run_blocking(str.upper, "a", stop=stop.set), str)
    with ProcessPoolExecutor() as pool:
        assert_type(await run_blocking(str.upper, "a", executor=pool), str)
    await scheduler.spawn(every(5, tick, jitter=1, first=0.5), drain=False)
    assert_type(await supervise(tick, backoff=lambda number: 2.0**number, most=None, within=None), str)


async def wrong() -> None:
    """Mistakes."""
    await elsewhere(submit, tick, revoke)  # error: mypy[arg-type] pyright[reportArgumentType]
    await run_blocking(str.upper, 5)  # error: mypy[arg-type] pyright[reportArgumentType]
    await supervise(tick())  # error: mypy[arg-type] pyright[reportArgumentType]
    await every(tick, 5)  # error: mypy[arg-type] pyright[reportArgumentType]
