"""A job that was started takes its first step; one that was not never takes any (START-1, START-2)."""

import asyncio

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, Counting, begin, books, fails, forever, is_closed, returns, with_a_caller_asleep

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


class Careful:
    """A body that must clean up, and whose first step, if it is taken, ends in front of a real wait."""

    def __init__(self):
        self.log = []

    async def run(self):
        self.log.append("entered")
        try:
            await forever()
        except asyncio.CancelledError as error:
            self.log.append(("cancelled", error.args))
            raise
        finally:
            self.log.append("cleaned up")


CLEAN = ["entered", ("cancelled", ()), "cleaned up"]


@pytest.mark.requirement("START-1", "CLOSE-1")
@EVERYWHERE
async def test_a_close_right_after_spawn_is_delivered_after_the_first_step():
    scheduler, body = Scheduler(), Careful()
    job = await scheduler.spawn(body.run())
    await job.close()
    assert body.log == CLEAN
    assert (job.state, job.outcome) == ("closed", "cancelled")


@pytest.mark.requirement("START-1", "SHUT-1")
@EVERYWHERE
async def test_a_shutdown_right_after_spawn_is_delivered_after_the_first_step():
    scheduler, bodies = Scheduler(close_timeout=1), [Careful(), Careful()]
    for body in bodies:
        await scheduler.spawn(body.run())
    await scheduler.close()
    assert [body.log for body in bodies] == [CLEAN, CLEAN]


@pytest.mark.requirement("START-1", "WAIT-2")
@pytest.mark.parametrize("how", ["wait", "close"])
async def test_even_a_timeout_of_zero_leaves_the_first_step(how):
    scheduler, body = Scheduler(), Careful()
    job = await scheduler.spawn(body.run())
    with pytest.raises(TimeoutError):
        await (job.wait(timeout=0) if how == "wait" else job.close(timeout=0))
    await settle()
    assert body.log == CLEAN


@pytest.mark.requirement("START-1")
@EVERYWHERE
async def test_a_task_that_is_cancelled_from_outside_before_its_first_step_takes_it_and_hears_of_it_then():
    scheduler, body = Scheduler(), Careful()
    job = await scheduler.spawn(body.run(), "mine")
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "mine"]
    task.cancel("from outside")
    with pytest.raises(JobClosed):
        await job
    assert body.log == ["entered", ("cancelled", ("from outside",)), "cleaned up"]
    assert job.outcome == "cancelled"


@pytest.mark.requirement("START-1")
@EVERYWHERE
async def test_two_cancellations_before_the_first_step_are_one_as_they_are_in_asyncio():
    scheduler, body = Scheduler(), Body(swallows=1)
    job = await scheduler.spawn(body.run(), "mine")
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "mine"]
    task.cancel()
    task.cancel()
    await settle(50)
    assert (body.cancellations, job.done(), task.cancelling()) == (1, False, 2)
    body.finish("recovered")
    assert await job == "recovered"


@pytest.mark.requirement("START-1", "CLOSE-4")
@EVERYWHERE
async def test_a_job_closed_before_its_first_step_counts_one_cancellation_and_can_withdraw_it():
    scheduler, seen = Scheduler(), []

    async def body():
        try:
            await forever()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            seen.append((task.cancelling(), task.uncancel()))
            async with asyncio.timeout(10):  # would be upset by a cancellation that nobody takes back
                await asyncio.sleep(0)
            return "done all the same"

    job = await scheduler.spawn(body())
    await job.close()
    assert seen == [(1, 0)]
    assert (job.state, job.result()) == ("closed", "done all the same")


@pytest.mark.requirement("START-1", "CLOSE-3")
@EVERYWHERE
async def test_a_job_that_ends_in_its_first_step_returns_although_it_was_asked_to_stop_before():
    scheduler = Scheduler()
    job = await scheduler.spawn(returns("quick"))
    await job.close()
    assert job.result() == "quick"


@pytest.mark.requirement("START-1", "CLOSE-3", "EXC-1")
@EVERYWHERE
async def test_a_job_that_fails_in_its_first_step_raises_although_it_was_asked_to_stop_before():
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(fails(ValueError("quick")))
    with pytest.raises(ValueError, match="quick"):
        await job.close()
    assert job.outcome == "raised"
    assert handler.calls == []


@pytest.mark.requirement("START-1")
async def test_a_job_that_came_out_of_the_queue_takes_its_first_step_too():
    scheduler, body, first = Scheduler(limit=1), Careful(), Body()
    await scheduler.spawn(first.run())
    job = await scheduler.spawn(body.run())
    await settle()
    first.finish()
    for _ in range(20):
        if job.active:
            break
        await asyncio.sleep(0)
    await job.close()
    assert body.log == CLEAN


@pytest.mark.requirement("START-1", "LIMIT-5")
@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_a_job_that_starts_behind_one_whose_caller_sleeps_takes_its_first_step_whatever_comes(steps, how):
    scheduler, call = with_a_caller_asleep(steps)
    body = Careful()
    job = scheduler.spawn_nowait(body.run())
    closing = begin(job.close() if how == "close" else scheduler.close())
    assert (job.state, body.log) == ("closing", [])
    steps.settle()
    assert body.log == CLEAN
    assert closing.done()
    assert closing.exception() is None
    assert call.done()
    if how == "shutdown":
        with pytest.raises(RuntimeError, match="after closing"):
            call.result()
    steps.run(scheduler.close())
    assert books(scheduler) == (0, 0, 0)


# Never started.


@pytest.mark.requirement("START-2")
@pytest.mark.parametrize("how", ["close", "shutdown", "wait"])
async def test_a_pending_job_that_is_closed_never_executes_and_says_so(how):
    scheduler, counting = Scheduler(limit=1), Counting()
    running = await scheduler.spawn(forever())
    coro = counting("pending")
    job = await scheduler.spawn(coro)
    if how == "close":
        await job.close()
    elif how == "shutdown":
        await scheduler.close()
    else:
        with pytest.raises(TimeoutError):
            await job.wait(timeout=1)
    assert (job.state, job.outcome) == ("closed", "never_started")
    assert is_closed(coro)
    assert counting.ran == []
    with pytest.raises(JobClosed, match="was closed before it ran"):
        await job
    await running.close()
    await settle()
    assert counting.ran == []
    await scheduler.close()


@pytest.mark.requirement("START-2", "CLOSE-2")
async def test_a_pending_job_ends_on_the_spot_without_a_loop_pass():
    scheduler = Scheduler(limit=1)
    await scheduler.spawn(forever())
    job = await scheduler.spawn(returns())
    with pytest.raises(StopIteration):
        job.close().send(None)
    assert job.done()
    await scheduler.close()


@pytest.mark.requirement("START-2", "SHUT-1")
async def test_nothing_of_a_long_queue_executes_after_closing_began():
    scheduler, counting = Scheduler(limit=3), Counting()
    jobs = [await scheduler.spawn(counting(number, 9)) for number in range(100)]
    await settle()
    await scheduler.close()
    await settle()
    assert counting.ran == [0, 1, 2]
    assert [job.outcome for job in jobs] == ["cancelled"] * 3 + ["never_started"] * 97
