"""What users of aiojobs 1.4 had to build by hand, or reached into private attributes for, and now can say."""

import asyncio
from collections import Counter

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import fails, forever, returns


async def double(number):
    await asyncio.sleep(1 / (1 + number))
    return 2 * number


@pytest.mark.requirement("WAIT-5", "LIMIT-1")
async def test_collecting_results_is_a_list_of_jobs():
    """With 1.4: a list that every coroutine had to append its result to."""
    async with Scheduler(limit=3) as scheduler:
        jobs = [await scheduler.spawn(double(number)) for number in range(10)]
    assert [job.result() for job in jobs] == [2 * number for number in range(10)]


@pytest.mark.requirement("WAIT-5")
async def test_results_can_be_taken_as_they_come():
    """With 1.4: a queue that every coroutine had to put its result into."""
    async with Scheduler() as scheduler:
        jobs = [await scheduler.spawn(double(number)) for number in range(4)]
        order = [await answer for answer in asyncio.as_completed([job.wait() for job in jobs])]
        assert order == [6, 4, 2, 0]


@pytest.mark.requirement("WAIT-5", "LIMIT-1", "LIMIT-4")
async def test_a_bounded_map_over_an_endless_source():
    """With 1.4: a semaphore beside the scheduler. `spawn` itself holds back the source."""
    taken, results = [], []

    def source():
        for number in range(1000):
            taken.append(number)
            yield number

    async with Scheduler(limit=2, pending_limit=3) as scheduler:

        def take(job):
            if job.outcome == "returned":
                results.append(job.result())

        async def feed():
            for number in source():
                job = await scheduler.spawn(asyncio.sleep(1, number))
                job.add_done_callback(take)

        feeder = asyncio.create_task(feed())
        await asyncio.sleep(4.5)
        assert results == list(range(8))
        assert len(taken) == 8 + 2 + 3 + 1
        feeder.cancel()
        await scheduler.close()


@pytest.mark.requirement("SHUT-4")
async def test_waiting_until_idle_is_one_call():
    """With 1.4: `while scheduler.active_count: await asyncio.sleep(0.1)`."""
    loop, scheduler = asyncio.get_running_loop(), Scheduler(limit=1)
    for _ in range(3):
        await scheduler.spawn(asyncio.sleep(1))
    turns = loop.turns
    await scheduler.wait_and_close()
    assert (loop.time(), len(scheduler)) == (3, 0)
    assert loop.turns - turns < 30


@pytest.mark.requirement("WAIT-5")
async def test_whether_a_job_is_done_and_how_it_ended_can_be_asked():
    """With 1.4: `job._task is not None and job._task.done()`."""
    scheduler = Scheduler(exception_handler=Recorder())
    jobs = [await scheduler.spawn(make()) for make in (returns, lambda: fails(KeyError()), forever)]
    assert not any(job.done() for job in jobs)
    await settle()
    await jobs[2].close()
    assert all(job.done() for job in jobs)
    assert [job.outcome for job in jobs] == ["returned", "raised", "cancelled"]


@pytest.mark.requirement("WAIT-5")
async def test_somebody_can_be_called_when_a_job_is_done():
    """With 1.4: `job._task.add_done_callback`, which a pending job did not have."""
    scheduler, seen = Scheduler(limit=1), []
    for name in ("first", "second"):
        job = await scheduler.spawn(returns(name), name)
        job.add_done_callback(lambda job: seen.append((job.get_name(), job.result())))
    await scheduler.wait_and_close()
    await settle()
    assert seen == [("first", "first"), ("second", "second")]


async def test_jobs_can_be_found_by_name():
    """With 1.4 before names: a dict of jobs beside the scheduler."""
    scheduler = Scheduler()
    for name in ("ann", "bob"):
        await scheduler.spawn(forever(), name)
    (found,) = [job for job in scheduler if job.get_name() == "bob"]
    await found.close()
    assert [job.get_name() for job in scheduler] == ["ann"]
    await scheduler.close()


@pytest.mark.requirement("LIMIT-2", "LIMIT-6")
async def test_metrics_come_from_the_observer():
    """With 1.4: a subclass of everything. Here: how many of each, and how long they waited and ran."""
    counts, since, waited, ran = Counter(), {}, [], []

    def observer(record):
        if record.job is None:
            return
        counts[record.event] += 1
        if record.event == "start":
            waited.append(record.time - since[record.job])
        elif record.dest in {"done", "closed"}:
            ran.append(record.time - since[record.job])
        since[record.job] = record.time

    async with Scheduler(limit=1, observer=observer) as scheduler:
        for seconds in (1, 2, 3):
            await scheduler.spawn(asyncio.sleep(seconds))
    assert counts == {"accept": 3, "start": 3, "finish": 3}
    assert (waited, ran) == ([0, 1, 3], [1, 2, 3])


@pytest.mark.requirement("SPAWN-5")
async def test_load_can_be_shed():
    """With 1.4: `if scheduler.pending_count >= limit`, and a race. Here the refusal is an exception."""
    scheduler, shed = Scheduler(limit=1, pending_limit=1), 0
    for number in range(5):
        try:
            scheduler.spawn_nowait(asyncio.sleep(1, number))
        except asyncio.QueueFull:
            shed += 1
    assert (shed, len(scheduler)) == (3, 2)
    await scheduler.wait_and_close()
