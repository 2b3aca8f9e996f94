"""The program of the page on periodic work that has its timetable from APScheduler.

Time is real: APScheduler reads the clock of the wall. Only the order of what happens decides anything.
"""

import asyncio
import re
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

import aiojobs
from docs import pages

PAGE = "docs/howto/periodic-and-keyed-work.md"
FILE = "timetable.py"

pytestmark = pytest.mark.loops("stock")


@pytest.fixture
async def timetable():
    made = AsyncIOScheduler()
    made.start()
    yield made
    if made.running:
        made.shutdown()


@pytest.mark.requirement("LIMIT-1", "SHUT-4")
def test_what_the_timetable_has_spawned_is_limited_and_finished_when_it_is_stopped(tmp_path):
    (file,) = [file for file in pages.files(PAGE) if file.name == FILE]
    printed = pages.run_by_itself(pages.Example(PAGE, file.line, file.source, None), tmp_path)
    (shown,) = re.findall(
        r"<!-- what timetable.py prints -->\n```text\n(.*?)```", pages.text(PAGE), re.DOTALL
    )
    assert printed == shown


async def test_what_it_runs_itself_is_cancelled_when_it_is_stopped_even_if_it_should_wait(timetable):
    begun, ended = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def work():
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set_result("cancelled")
            raise

    timetable.add_job(work, "date")
    await begun.wait()
    timetable.shutdown(wait=True)
    assert await ended == "cancelled"


@pytest.mark.requirement("SPAWN-7")
async def test_a_plain_function_is_called_in_a_thread_and_spawns_from_there(timetable):
    called = asyncio.get_running_loop().create_future()
    async with aiojobs.Scheduler() as scheduler:

        def plain():
            coro = asyncio.sleep(0, "slept")
            with pytest.raises(RuntimeError, match="spawn_threadsafe"):
                scheduler.spawn_nowait(coro)
            job = scheduler.spawn_threadsafe(coro).result(10)
            called.get_loop().call_soon_threadsafe(called.set_result, (threading.current_thread(), job))

        timetable.add_job(plain, "date")
        thread, job = await called
        assert thread is not threading.main_thread()
        assert await job == "slept"


async def test_a_run_is_left_out_while_the_one_before_waits_for_a_place(timetable, caplog):
    async with aiojobs.Scheduler(limit=1, pending_limit=1) as scheduler:
        over = asyncio.Event()
        for _ in range(2):
            await scheduler.spawn(over.wait())

        async def spawns():
            await scheduler.spawn(asyncio.sleep(0))

        timetable.add_job(spawns, "interval", seconds=0.05, next_run_time=None).resume()
        while "maximum number of running instances reached" not in caplog.text:
            await asyncio.sleep(0.02)
        assert scheduler.blocked_count == 1
        over.set()
        timetable.shutdown()
        await asyncio.sleep(0)  # it stops a pass of the loop later


async def test_a_run_that_is_late_by_more_than_a_second_is_left_out(timetable, caplog):
    ran = asyncio.Event()

    async def run():
        ran.set()

    timetable.add_job(run, "date", run_date=datetime.now(UTC) + timedelta(seconds=0.05))
    await asyncio.sleep(0)  # the timetable sets its timer
    time.sleep(1.2)  # noqa: ASYNC251 - it is the loop that is busy
    while "was missed by" not in caplog.text:
        await asyncio.sleep(0.02)
    assert not ran.is_set()
