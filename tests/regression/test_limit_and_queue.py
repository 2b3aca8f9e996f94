"""What aiojobs 1.4 did wrong with slots and places, each as the story of somebody whom it happened to."""

import asyncio

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from unit.bodies import Counting, books, forever, returns


@pytest.mark.requirement("LIMIT-1", "LIMIT-2", "START-2")
async def test_closing_a_pending_job_does_not_start_one_too_many():
    """A crawler allows one connection at a time. A user takes back a queued download.

    1.4 gave the slot that the queued job never had to the next in the queue: two connections were open.
    Now the queued job leaves, and the running one stays alone.
    """
    scheduler, running, most = Scheduler(limit=1), 0, 0

    async def download():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    first = await scheduler.spawn(download())
    taken_back, third = await scheduler.spawn(download()), await scheduler.spawn(download())
    await settle()
    await taken_back.close()
    await settle()
    assert (first.active, third.pending) == (True, True)
    assert scheduler.active_count == 1
    await scheduler.wait_and_close()
    assert most == 1
    assert third.outcome == "returned"


@pytest.mark.requirement("LIMIT-2", "LIMIT-4", "LIMIT-6")
@pytest.mark.parametrize("closed", ["running", "queued"])
async def test_closing_a_job_while_a_spawn_waits_outside_wakes_whoever_can_go_on(closed):
    """The queue is full and a producer waits in `spawn`. Somebody closes a job.

    In 1.4 the wake-up was lost: a job stayed pending for ever beside a free slot, or the producer beside a
    free place. Now what falls free is handed on in the same moment.
    """
    scheduler = Scheduler(limit=1, pending_limit=1)
    running, queued = await scheduler.spawn(forever()), await scheduler.spawn(asyncio.sleep(1, "queued"))
    producer = asyncio.create_task(scheduler.spawn(asyncio.sleep(1, "produced")))
    await settle()
    await (running if closed == "running" else queued).close()
    await settle()
    assert producer.done()
    if closed == "running":
        assert queued.active
    else:
        await running.close()
    assert await producer.result() == "produced"
    await scheduler.close()


@pytest.mark.requirement("WAIT-2", "START-2", "LIMIT-1")
async def test_a_wait_that_times_out_on_a_pending_job_drops_it():
    """A request waits ten seconds for a job that is still in the queue, then gives up.

    1.4 raised `InvalidStateError` instead of `TimeoutError`, and the job ran all the same, above the limit.
    Now the caller gets `TimeoutError` and the job never runs.
    """
    scheduler, counting = Scheduler(limit=1), Counting()
    running = await scheduler.spawn(forever())
    queued = await scheduler.spawn(counting("queued"))
    with pytest.raises(TimeoutError):
        await queued.wait(timeout=10)
    assert asyncio.get_running_loop().time() == 10
    assert (queued.outcome, scheduler.active_count) == ("never_started", 1)
    await running.close()
    await settle()
    assert counting.ran == []
    await scheduler.close()


@pytest.mark.requirement("SPAWN-2", "SHUT-1")
async def test_a_spawn_that_waits_outside_while_the_scheduler_closes_is_refused():
    """A producer waits in `spawn` when the service shuts down.

    1.4 admitted it after closing was over: the job ran in a service that had released its resources.
    Now the producer gets the same `RuntimeError` as one who comes later, and its coroutine is closed.
    """
    scheduler, counting = Scheduler(limit=1, pending_limit=1), Counting()
    for _ in range(2):
        await scheduler.spawn(forever())
    producer = asyncio.create_task(scheduler.spawn(counting("too late")))
    await settle()
    await scheduler.close()
    with pytest.raises(RuntimeError, match="Scheduling a new job after closing"):
        await producer
    await settle()
    assert counting.ran == []
    assert len(scheduler) == 0


@pytest.mark.requirement("SPAWN-3", "LIMIT-2", "LIMIT-6")
async def test_a_mistaken_spawn_while_all_slots_are_taken_costs_no_slot():
    """Somebody forgets to call the coroutine function: `spawn(work)` instead of `spawn(work())`.

    In 1.4, while all slots were taken, the mistake was discovered only after it had been given one, and
    that slot was lost for ever. Now the mistake is a `TypeError` on the spot and nothing has changed.
    """
    scheduler = Scheduler(limit=1)
    running = await scheduler.spawn(asyncio.sleep(1))
    for _ in range(3):
        with pytest.raises(TypeError, match=r"call the coroutine function: f\(\), not f"):
            await scheduler.spawn(returns)
    await running
    assert books(scheduler) == (0, 0, 0)
    assert await (await scheduler.spawn(returns("runs"))) == "runs"


@pytest.mark.requirement("LIMIT-1", "LIMIT-2", "BOOK-1")
@pytest.mark.loops("virtual", "eager", "stock-eager")
async def test_jobs_that_end_while_they_are_being_spawned_are_counted_right():
    """A program sets `asyncio.eager_task_factory`, so that short jobs end inside of `spawn`.

    In 1.4 such a job was counted after it had ended: the counts drifted and the limit with them.
    """
    scheduler, running, most = Scheduler(limit=2, pending_limit=3), 0, 0

    async def job(length):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(length):
            await asyncio.sleep(0)
        running -= 1

    for number in range(60):
        await scheduler.spawn(job(number % 3))
        books(scheduler)
    await scheduler.wait_and_close()
    assert most == 2
    assert books(scheduler) == (0, 0, 0)
