"""What aiojobs 1.4 did wrong when it was told to stop, each as the story of somebody whom it happened to."""

import asyncio

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, clock, forever, returns


@pytest.mark.requirement("SHUT-2", "CLOSE-1", "CLOSE-2")
async def test_a_job_that_swallows_cancellations_does_not_hold_up_the_shutdown():
    """A job retries on every exception, `CancelledError` included.

    1.4 cancelled it again and again and waited for each: `close()` had no bound. Now it is asked once,
    reported at the deadline, and the service stops.
    """
    handler = Recorder()
    scheduler, stubborn = Scheduler(close_timeout=2, exception_handler=handler), Body(swallows=10**6)
    job = await scheduler.spawn(stubborn.run())
    await settle()
    await scheduler.close()
    assert (clock(), stubborn.cancellations) == (2, 1)
    assert [(context["message"], context["job"]) for context in handler.calls] == [
        ("Job closing timed out", job)
    ]
    stubborn.finish()
    await settle()


@pytest.mark.requirement("CLOSE-1", "SHUT-2")
@pytest.mark.parametrize("how", ["job", "scheduler", "job, then scheduler"])
async def test_the_cleanup_of_a_job_is_not_interrupted_at_the_deadline(how):
    """A job that is told to stop rolls back a transaction, which takes longer than `close_timeout`.

    At the deadline 1.4 cancelled it once more, in the middle of the rollback. Now the deadline concerns
    only the one who waits.
    """
    scheduler, log = Scheduler(close_timeout=1, exception_handler=Recorder()), []

    async def transaction():
        try:
            await forever()
        finally:
            await asyncio.sleep(5)
            log.append("rolled back")

    job = await scheduler.spawn(transaction())
    await settle()
    if how.startswith("job"):
        with pytest.raises(TimeoutError):
            await job.close()
    if how.endswith("scheduler"):
        await scheduler.close()
    with pytest.raises(JobClosed):
        await job
    assert log == ["rolled back"]
    assert clock() == 5


@pytest.mark.requirement("SHUT-3")
async def test_the_second_of_two_closes_waits_for_the_end_too():
    """A signal handler and the end of `main` both close the scheduler; then `main` closes the database.

    In 1.4 the second call returned at once, and the jobs lost their database. Now both wait.
    """
    scheduler, job = Scheduler(close_timeout=9), Body(swallows=1)
    await scheduler.spawn(job.run())
    await settle()
    asyncio.get_running_loop().call_at(3, job.finish)
    first = asyncio.create_task(scheduler.close())
    await settle()
    await scheduler.close()
    assert (clock(), len(scheduler)) == (3, 0)
    await first


@pytest.mark.requirement("SHUT-3")
async def test_a_close_that_was_cancelled_can_be_completed():
    """`wait_for(scheduler.close(), 1)` gives up; the supervisor tries again.

    In 1.4 the scheduler took itself for closed already and the second call returned at once, with jobs
    still running. Now it waits for the end of the same closing.
    """
    scheduler, job = Scheduler(close_timeout=9), Body(swallows=1)
    await scheduler.spawn(job.run())
    await settle()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(scheduler.close(), 1)
    asyncio.get_running_loop().call_at(4, job.finish)
    await scheduler.close()
    assert (clock(), len(scheduler), scheduler.phase, job.cancellations) == (4, 0, "closed", 1)


@pytest.mark.requirement("WAIT-4")
@pytest.mark.parametrize("how", ["close", "wait_and_close"])
async def test_a_job_that_closes_its_own_scheduler_is_told_why_that_cannot_work(how):
    """A watchdog job decides that the service has to stop, and closes the scheduler that runs it.

    1.4 ended in `RecursionError`. Now the job gets a `RuntimeError` that says what to do instead.
    """
    scheduler = Scheduler()

    async def watchdog():
        await asyncio.sleep(1)
        await getattr(scheduler, how)()

    job = await scheduler.spawn(watchdog())
    with pytest.raises(RuntimeError, match="let the code that owns the scheduler do it"):
        await job
    assert scheduler.phase == "open"
    await scheduler.close()


@pytest.mark.requirement("SHUT-4")
def test_a_drain_does_not_spin_while_a_shielded_future_is_done_and_its_callback_has_not_run(steps):
    """A shielded future is finished in the pass in which somebody begins to drain.

    On Python 3.12 and later 1.4 asked again and again, at 100 % CPU, whether it was gone, without ever
    letting the loop run the callback that would have removed it.
    """
    scheduler = Scheduler(wait_timeout=None)
    future = steps.create_future()
    scheduler.shield(future)
    drain = asyncio.ensure_future(scheduler.wait_and_close())
    steps.turn()
    future.set_result(None)
    late = steps.create_future()
    scheduler.shield(late)
    late.set_result(None)
    for _ in range(5):
        steps.turn()
    assert drain.done()
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-2", "COST-1")
@pytest.mark.slow
@pytest.mark.loops("stock")
async def test_twenty_thousand_jobs_that_stop_at_once_are_all_in_time():
    """A server with 20,000 connections shuts down; each of them stops the moment it is told to.

    1.4 gave every job a tenth of a second from the moment the first one was asked, and asking alone took
    longer: thousands of false "Job closing timed out". Real time, since it is about the time that it takes.
    """
    handler = Recorder()
    scheduler = Scheduler(limit=None, exception_handler=handler)
    jobs = [await scheduler.spawn(forever()) for _ in range(20_000)]
    await asyncio.sleep(0)
    await scheduler.close()
    assert handler.calls == []
    assert {job.outcome for job in jobs} == {"cancelled"}


@pytest.mark.requirement("SHUT-2")
def test_thousands_of_jobs_are_in_time_although_the_first_has_to_wait_for_the_last(steps):
    """The same, with a clock of our own: to stop one job takes about a millisecond of the loop's time."""
    handler = Recorder()
    scheduler = Scheduler(limit=None, close_timeout=0.1, exception_handler=handler)

    async def connection():
        try:
            await forever()
        finally:
            steps.advance(1 / 1024)

    async def serve():
        return [await scheduler.spawn(connection()) for _ in range(2_000)]

    jobs = steps.run(serve())
    steps.settle()
    steps.run(scheduler.close())
    assert steps.time() >= 2_000 / 1024
    assert handler.calls == []
    assert {job.outcome for job in jobs} == {"cancelled"}


@pytest.mark.requirement("SHUT-5")
@pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")
async def test_closing_works_after_every_task_was_cancelled():
    """`asyncio.run` was interrupted: it cancels every task, and in its `finally` main closes the scheduler.

    In 1.4 the helper task of the scheduler was among the cancelled, and `close()` raised `CancelledError`.
    """
    scheduler, log = Scheduler(limit=1), []

    async def main():
        try:
            await forever()
        finally:
            await scheduler.close()
            log.append(scheduler.phase)

    jobs = [await scheduler.spawn(forever()), await scheduler.spawn(returns())]
    task = asyncio.create_task(main())
    await settle()
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["closed"]
    assert all(job.done() for job in jobs)


@pytest.mark.requirement("SHUT-6")
async def test_a_block_whose_body_is_cancelled_does_not_wait_a_minute():
    """A client hangs up, and the handler is cancelled inside of `async with Scheduler()`.

    1.4 waited `wait_timeout`, sixty seconds, for jobs whose results nobody wanted any more.
    """
    scheduler, job = Scheduler(), Body()

    async def handler():
        async with scheduler:
            await scheduler.spawn(job.run())
            await forever()

    request = asyncio.create_task(handler())
    await settle()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert (clock(), job.log) == (0, ["started", "cancelled", "ended"])
