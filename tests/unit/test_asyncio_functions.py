"""Jobs in the hands of asyncio's own functions, and what these need: `cancelled`, `remove_done_callback` (WAIT-6)."""

import asyncio

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import fails, forever, returns

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


async def after(seconds, value=None, error=None):
    await asyncio.sleep(seconds)
    if error is not None:
        raise error
    return value


async def passes(number, value, error=None):
    """As `after`, in passes of the loop: on a loop in real time these come in order, however busy the machine is."""
    for _ in range(number):
        await asyncio.sleep(0)
    return await after(0, value, error)


async def three(scheduler, error=None):
    """Jobs that end in the order of last, first, and the one in the middle, which may fail."""
    bodies = [passes(40, "second"), passes(60, "third", error), passes(20, "first")]
    return [await scheduler.spawn(body) for body in bodies]


# asyncio.wait takes the jobs as they are.


@EVERYWHERE
@pytest.mark.requirement("WAIT-6", "BOOK-3")
async def test_wait_gives_the_jobs_back_and_leaves_no_callback_behind():
    scheduler = Scheduler()
    jobs = await three(scheduler)
    assert await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED) == ({jobs[2]}, {jobs[0], jobs[1]})
    assert await asyncio.wait(jobs, timeout=0) == ({jobs[2]}, {jobs[0], jobs[1]})
    assert scheduler._callbacks == {}
    assert await asyncio.wait(jobs) == (set(jobs), set())
    assert await asyncio.wait(jobs) == (set(jobs), set())


@pytest.mark.requirement("WAIT-6")
async def test_wait_comes_back_at_the_first_exception_and_a_stopped_job_is_none():
    scheduler = Scheduler(exception_handler=Recorder())
    stopped, failing, last = [await scheduler.spawn(forever()) for _ in range(3)]
    failing = await scheduler.spawn(after(2, error=ValueError()))
    closing = asyncio.ensure_future(stopped.close())
    done, pending = await asyncio.wait([stopped, failing, last], return_when=asyncio.FIRST_EXCEPTION)
    assert (done, pending) == ({stopped, failing}, {last})
    await closing
    await scheduler.close()


@EVERYWHERE
@pytest.mark.requirement("WAIT-6", "EXC-1")
async def test_an_exception_that_only_wait_saw_goes_to_the_handler():
    error, handler = ValueError("only looked at"), Recorder()
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(after(0.01, error=error))
    await asyncio.wait([job])
    await settle()
    assert handler.exceptions == [error]


@pytest.mark.requirement("WAIT-6", "WAIT-1")
@pytest.mark.parametrize(
    "function",
    [asyncio.gather, asyncio.shield, lambda job: asyncio.wait([job]), lambda job: asyncio.wait_for(job, 60)],
    ids=["gather", "shield", "wait", "wait_for"],
)
async def test_cancelling_any_of_them_leaves_the_job_alone(function):
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())

    async def call():
        return await function(job)

    task = asyncio.ensure_future(call())
    await settle()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert job.active
    await scheduler.close()


# The others wait for the job, and receive what it raises.


@EVERYWHERE
@pytest.mark.requirement("WAIT-6", "EXC-1")
async def test_gather_has_results_and_exceptions_in_order():
    error, handler = ValueError("gathered"), Recorder()
    async with Scheduler(exception_handler=handler) as scheduler:
        jobs = await three(scheduler, error)
        assert await asyncio.gather(*jobs, return_exceptions=True) == ["second", error, "first"]
    assert handler.calls == []


@EVERYWHERE
@pytest.mark.requirement("WAIT-6", "EXC-1")
async def test_as_completed_has_them_as_they_come():
    error, handler, seen = ValueError("third"), Recorder(), []
    async with Scheduler(exception_handler=handler) as scheduler:
        for ended in asyncio.as_completed(await three(scheduler, error)):
            try:
                seen.append(await ended)
            except ValueError as caught:
                seen.append(caught)
    assert seen == ["first", "second", error]
    assert handler.calls == []


@EVERYWHERE
@pytest.mark.requirement("WAIT-6", "EXC-1")
@pytest.mark.parametrize(
    "function", [lambda job: asyncio.wait_for(job, 9), asyncio.shield], ids=["wait_for", "shield"]
)
async def test_what_takes_one_awaitable_has_its_result_or_its_exception(function):
    handler = Recorder()
    async with Scheduler(exception_handler=handler) as scheduler:
        assert await function(await scheduler.spawn(after(0.01, "result"))) == "result"
        with pytest.raises(ValueError, match="mine"):
            await function(await scheduler.spawn(after(0.01, error=ValueError("mine"))))
    assert handler.calls == []


@EVERYWHERE
@pytest.mark.requirement("WAIT-6", "WAIT-3")
async def test_a_stopped_job_is_a_cancellation_to_all_of_them_and_says_so_itself_to_most():
    job = await Scheduler().spawn(forever())
    await job.close()
    for call in (asyncio.wait_for(job, 9), asyncio.gather(job), next(iter(asyncio.as_completed([job])))):
        with pytest.raises(JobClosed):
            await call
    with pytest.raises(asyncio.CancelledError):
        await asyncio.shield(job)


@pytest.mark.requirement("WAIT-6", "WAIT-1")
async def test_a_timeout_of_wait_for_does_not_close_the_job():
    scheduler = Scheduler()
    job = await scheduler.spawn(after(2, "later"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job, 1)
    assert job.active
    assert await job == "later"


# What they need.


@pytest.mark.requirement("WAIT-6")
async def test_cancelled_is_said_of_jobs_that_were_stopped_and_of_no_others():
    scheduler = Scheduler(limit=4, exception_handler=Recorder())
    running, stopped = await scheduler.spawn(forever()), await scheduler.spawn(forever())
    returned, raised = await scheduler.spawn(returns()), await scheduler.spawn(fails(ValueError()))
    pending = await scheduler.spawn(forever())
    assert not any(job.cancelled() for job in (running, stopped, returned, raised, pending))
    await pending.close()
    await stopped.close()
    await settle()
    jobs = {
        "running": running,
        "stopped": stopped,
        "returned": returned,
        "raised": raised,
        "pending": pending,
    }
    assert [name for name, job in jobs.items() if job.cancelled()] == ["stopped", "pending"]
    await scheduler.close()


@EVERYWHERE
@pytest.mark.requirement("WAIT-6")
async def test_a_callback_that_is_removed_is_not_called_and_the_others_are():
    scheduler, called = Scheduler(), []

    def first(job):
        called.append(("first", job))

    def second(job):
        called.append(("second", job))

    job = await scheduler.spawn(after(0.01))
    for callback in (first, second, first):
        job.add_done_callback(callback)
    assert job.remove_done_callback(print) == 0
    assert job.remove_done_callback(first) == 2
    assert job.remove_done_callback(first) == 0
    await job
    await settle()
    assert called == [("second", job)]
    assert job.remove_done_callback(second) == 0


@pytest.mark.requirement("WAIT-6", "BOOK-3")
async def test_removing_the_last_callback_leaves_nothing():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    job.add_done_callback(print)
    assert job.remove_done_callback(print) == 1
    assert scheduler._callbacks == {}
    await scheduler.close()
