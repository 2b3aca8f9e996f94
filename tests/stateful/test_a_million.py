"""A long run does not grow: a million jobs that end in every way give back all that they held (BOOK-3)."""

import asyncio
import gc
import re
import sys
from pathlib import Path

import pytest

from aiojobs import Scheduler

STATUS = Path("/proc/self/status")


def resident():
    """How much memory the process has, in KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", STATUS.read_text(encoding="ascii"))[1])


@pytest.mark.slow
@pytest.mark.requirement("BOOK-3")
@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_a_million_jobs_leave_nothing_behind():
    """In the compiled build references are counted by code that was generated: each kind of end must give all back."""
    shared, error = object(), ValueError("of many jobs")

    async def body(number, _held):
        if number % 3:
            await asyncio.sleep(0)
        if number % 5 == 0:
            raise error
        return shared

    async def run(count):
        scheduler = Scheduler(limit=50, pending_limit=50, exception_handler=lambda *_: None)
        for number in range(count):
            job = await scheduler.spawn(body(number, shared))
            if number % 7 == 0:
                error.__traceback__ = None
                await asyncio.gather(job.close(), return_exceptions=True)
        await scheduler.wait_and_close()
        error.__traceback__ = None

    asyncio.run(run(100_000))
    gc.collect()
    before = resident(), sys.getrefcount(shared), sys.getrefcount(error), sys.getrefcount(None)
    asyncio.run(run(1_000_000))
    gc.collect()
    after = resident(), sys.getrefcount(shared), sys.getrefcount(error), sys.getrefcount(None)
    assert after[1:3] == before[1:3]
    assert abs(after[3] - before[3]) < 1_000
    assert after[0] - before[0] < 4_000
