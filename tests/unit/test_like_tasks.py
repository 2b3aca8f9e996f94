"""A job can be handed to whatever of asyncio takes tasks (WAIT-6)."""

import asyncio

import pytest

from aiojobs import JobClosed, Scheduler
from support.observing import Recorder, settle
from unit.bodies import Body, fails, forever, returns

pytestmark = [
    pytest.mark.requirement("WAIT-6"),
    pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager"),
]


async def after(seconds, value):
    """Return a value after so many seconds."""
    await asyncio.sleep(seconds)
    return value


async def test_wait_tells_those_that_have_ended_from_the_others():
    scheduler = Scheduler()
    quick, slow = await scheduler.spawn(after(0.001, "quick")), await scheduler.spawn(forever())
    done, pending = await asyncio.wait({quick, slow}, timeout=0.05)
    assert (done, pending) == ({quick}, {slow})
    done, pending = await asyncio.wait([quick, slow], return_when=asyncio.FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {slow})
    await scheduler.close()
    assert await asyncio.wait([quick, slow]) == ({quick, slow}, set())


@pytest.mark.requirement("EXC-1")
async def test_wait_comes_back_at_the_first_failure_which_it_has_not_received():
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    slow, failing = await scheduler.spawn(forever()), await scheduler.spawn(fails(ValueError("mine")))
    done, pending = await asyncio.wait({slow, failing}, return_when=asyncio.FIRST_EXCEPTION)
    assert (done, pending) == ({failing}, {slow})
    await settle()
    assert [str(error) for error in handler.exceptions] == ["mine"]
    await scheduler.close()


async def test_gather_as_completed_wait_for_and_shield_take_jobs():
    scheduler = Scheduler()
    jobs = [await scheduler.spawn(after(seconds, seconds)) for seconds in (0.02, 0.001, 0.01)]
    assert await asyncio.gather(*jobs) == [0.02, 0.001, 0.01]
    jobs = [await scheduler.spawn(after(seconds, seconds)) for seconds in (0.06, 0.001, 0.03)]
    assert [await next_ for next_ in asyncio.as_completed(jobs)] == [0.001, 0.03, 0.06]
    job = await scheduler.spawn(returns("result"))
    assert await asyncio.wait_for(job, 1) == "result"
    body = Body()
    job = await scheduler.spawn(body.run())
    shielded = asyncio.shield(job)
    await settle()
    shielded.cancel()
    await settle()
    assert (job.state, body.cancellations) == ("active", 0)
    body.finish("whole")
    assert await job == "whole"


@pytest.mark.requirement("WAIT-1", "WAIT-3")
async def test_a_deadline_of_somebody_elses_does_not_stop_a_job_and_a_stopped_job_is_told():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job, 0.001)
    assert job.active
    answers = asyncio.gather(job, job, return_exceptions=True)
    await settle()
    await job.close()
    # asyncio makes CancelledErrors of its own of what the tasks that it wraps jobs in were cancelled with.
    assert all(isinstance(answer, asyncio.CancelledError) for answer in await answers)
    with pytest.raises(JobClosed):
        await job
    assert job.cancelled()


async def test_cancelled_means_stopped_without_a_result():
    scheduler = Scheduler(limit=1)
    body = Body()
    running, pending = await scheduler.spawn(body.run()), await scheduler.spawn(returns())
    assert (running.cancelled(), pending.cancelled()) == (False, False)
    await pending.close()
    body.finish()
    await running
    stopped, failed = await scheduler.spawn(forever()), await scheduler.spawn(fails(ValueError("mine")))
    await stopped.close()
    with pytest.raises(ValueError, match="mine"):
        await failed
    assert [job.cancelled() for job in (running, pending, stopped, failed)] == [False, True, True, False]


async def test_a_callback_that_was_removed_is_not_called():
    scheduler, called = Scheduler(), []
    job = await scheduler.spawn(after(0.001, "result"))

    def other(job):
        called.append(("other", job))

    assert job.remove_done_callback(called.append) == 0
    for _ in range(2):
        job.add_done_callback(called.append)
    job.add_done_callback(other)
    assert job.remove_done_callback(called.append) == 2
    await job
    await settle()
    assert called == [("other", job)]
    assert job.remove_done_callback(other) == 0
    job.add_done_callback(called.append)
    await settle()
    assert called[1:] == [job]


@pytest.mark.requirement("BOOK-3")
async def test_a_job_whose_callbacks_were_all_removed_is_remembered_nowhere():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    for _ in range(1000):
        await asyncio.wait({job}, timeout=0)
    assert scheduler._callbacks == {}
    await scheduler.close()
