"""Counts, membership and iteration: what can be counted from outside is the truth (BOOK-1, BOOK-2)."""

import asyncio
import random

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, books, fails, forever, returns


@pytest.mark.requirement("BOOK-1", "LIMIT-6")
async def test_a_job_is_counted_where_it_is_and_nowhere_else():
    scheduler, body = Scheduler(limit=1), Body(swallows=1)
    active, pending = await scheduler.spawn(body.run()), await scheduler.spawn(forever())
    await settle()

    def counted(job):
        return job in scheduler, list(scheduler).count(job)

    assert (scheduler.active_count, scheduler.pending_count, len(scheduler)) == (1, 1, 2)
    assert counted(active) == counted(pending) == (True, 1)
    with pytest.raises(TimeoutError):
        await active.close(timeout=1)
    assert counted(active) == (True, 1)  # it still runs
    await pending.close()
    assert counted(pending) == (False, 0)
    body.finish()
    await active
    assert counted(active) == (False, 0)
    assert (scheduler.active_count, scheduler.pending_count, len(scheduler)) == (0, 0, 0)


@pytest.mark.requirement("BOOK-1")
async def test_what_is_no_job_of_this_scheduler_is_not_in_it():
    scheduler, other = Scheduler(), Scheduler()
    job = await other.spawn(forever())
    for thing in (job, None, "job", 1, forever):
        assert thing not in scheduler
    assert job in other
    await other.close()


@pytest.mark.requirement("BOOK-1", "SPAWN-1")
async def test_calls_that_wait_outside_are_not_counted():
    scheduler = Scheduler(limit=1, pending_limit=1)
    for _ in range(2):
        await scheduler.spawn(forever())
    calls = [asyncio.create_task(scheduler.spawn(returns())) for _ in range(5)]
    await settle()
    assert (len(scheduler), scheduler.active_count, scheduler.pending_count) == (2, 1, 1)
    await scheduler.close()
    await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.requirement("BOOK-2", "LIMIT-5")
async def test_iteration_is_in_the_order_of_spawning_whatever_has_ended_between():
    scheduler = Scheduler(limit=3, pending_limit=3)
    bodies = [Body() for _ in range(8)]
    jobs = [await scheduler.spawn(body.run()) for body in bodies[:6]]
    calls = [asyncio.create_task(scheduler.spawn(body.run())) for body in bodies[6:]]
    await settle()
    bodies[1].finish()
    await jobs[4].close()
    await settle()
    jobs += [call.result() for call in calls]
    assert list(scheduler) == [job for number, job in enumerate(jobs) if number not in {1, 4}]
    await scheduler.close()


@pytest.mark.requirement("BOOK-2")
async def test_closing_each_job_of_a_scheduler_in_a_loop_works():
    scheduler = Scheduler(limit=3)
    jobs = [await scheduler.spawn(forever()) for _ in range(10)]
    seen = []
    for job in scheduler:
        seen.append(job)
        await job.close()
    assert seen == jobs
    assert books(scheduler) == (0, 0, 0)
    assert scheduler.phase == "open"


@pytest.mark.requirement("BOOK-2")
async def test_iteration_is_over_a_snapshot():
    scheduler = Scheduler(limit=2)
    jobs = [await scheduler.spawn(forever()) for _ in range(3)]
    snapshot = iter(scheduler)
    late = await scheduler.spawn(forever())
    await jobs[0].close()
    await scheduler.close()
    assert list(snapshot) == jobs
    assert late not in jobs


@pytest.mark.requirement("BOOK-1", "BOOK-2")
@pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")
@pytest.mark.parametrize("seed", range(5))
async def test_the_books_are_true_after_every_step_of_a_random_story(seed):  # noqa: C901
    chance = random.Random(seed)
    scheduler = Scheduler(limit=3, pending_limit=2, exception_handler=Recorder(), close_timeout=0.05)
    bodies, calls, jobs = [], [], []

    async def spawned(body):
        return await scheduler.spawn(body.run())

    def spawn():
        bodies.append(Body(swallows=chance.choice([0, 0, 1])))
        calls.append(asyncio.create_task(spawned(bodies[-1])))

    def finish():
        body = chance.choice(bodies)
        if not body._end.done():
            body.finish()

    def fail():
        body = chance.choice(bodies)
        if not body._end.done():
            body.fail(KeyError())

    def close():
        if jobs:
            calls.append(asyncio.create_task(chance.choice(jobs).close(timeout=0)))

    def wait():
        if jobs:
            calls.append(asyncio.create_task(chance.choice(jobs).wait(timeout=chance.choice([None, 0]))))

    def cancel():
        chance.choice(calls).cancel()

    spawn()
    for _ in range(150):
        chance.choice([spawn, spawn, spawn, finish, fail, close, wait, cancel])()
        if chance.random() < 0.6:
            await asyncio.sleep(0)
        books(scheduler)
        jobs = list(scheduler)
        assert [job for job in scheduler if not job.pending] + [
            job for job in scheduler if job.pending
        ] == jobs
    for body in bodies:
        if not body._end.done():
            body.finish()
    await asyncio.sleep(0)
    await scheduler.wait_and_close(timeout=0.05)
    await asyncio.gather(*calls, return_exceptions=True)
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("BOOK-1", "LIMIT-6")
async def test_failures_of_every_kind_leave_empty_books():
    scheduler = Scheduler(limit=2, exception_handler=Recorder(raises=KeyError()))
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    for error in (ValueError(), GeneratorExit(), asyncio.CancelledError(), BaseException()):
        await scheduler.spawn(fails(error))
    await settle()
    assert books(scheduler) == (0, 0, 0)
    asyncio.get_running_loop().complaints.clear()
