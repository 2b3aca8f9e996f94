"""What else aiojobs 1.4 did wrong, each as the story of somebody whom it happened to."""

import asyncio
import contextvars
import gc

import pytest

from aiojobs import JobClosed, PendingQueueFull, Scheduler
from aiojobs.testing import settle
from unit.bodies import Body, forever, is_closed, returns

user = contextvars.ContextVar("user")


@pytest.mark.requirement("SPAWN-4")
@pytest.mark.parametrize("pending_limit", [10, 1], ids=["queued", "waiting outside"])
async def test_a_queued_job_never_runs_with_the_data_of_another_request(pending_limit):
    """Requests keep their user's name in a context variable; each spawns a job that writes to an audit log.

    In 1.4 a queued job ran in the context of the job that had freed the slot: one user's action was logged
    under another user's name.
    """
    scheduler, log = Scheduler(limit=1, pending_limit=pending_limit), []

    async def audit(action):
        await asyncio.sleep(1)
        log.append((action, user.get()))

    async def request(name):
        user.set(name)
        await scheduler.spawn(audit(f"action of {name}"))

    names = ["ann", "bob", "eve", "joe"]
    await asyncio.gather(*(asyncio.create_task(request(name)) for name in names))
    await scheduler.wait_and_close()
    assert log == [(f"action of {name}", name) for name in names]


@pytest.mark.requirement("BOOK-2")
async def test_the_obvious_loop_closes_every_job():
    """An admin command wants to close every job: `for job in scheduler: await job.close()`.

    1.4 raised "Set changed size during iteration" after the first.
    """
    scheduler = Scheduler(limit=2)
    jobs = [await scheduler.spawn(forever()) for _ in range(5)]
    for job in scheduler:
        await job.close()
    assert all(job.closed for job in jobs)
    assert len(scheduler) == 0


@pytest.mark.requirement("SPAWN-1", "SPAWN-2", "SPAWN-5")
async def test_a_refused_spawn_leaves_no_coroutine_that_was_never_awaited():
    """A request comes in while the service shuts down, and its job is refused.

    1.4 raised, and when the coroutine was collected Python warned that it "was never awaited", pointing
    at code that had done nothing wrong. Now a refusal closes the coroutine.
    """
    scheduler = Scheduler(limit=1, pending_limit=1)
    for _ in range(2):
        await scheduler.spawn(forever())
    full, late, cancelled = returns(), returns(), returns()
    with pytest.raises(PendingQueueFull):
        scheduler.spawn_nowait(full)
    waiting = asyncio.create_task(scheduler.spawn(cancelled))
    await settle()
    waiting.cancel()
    await asyncio.wait([waiting])
    await scheduler.close()
    with pytest.raises(RuntimeError, match="after closing"):
        await scheduler.spawn(late)
    assert all(map(is_closed, (full, late, cancelled)))
    del full, late, cancelled
    gc.collect()  # would warn, and a warning fails the test


@pytest.mark.requirement("CLOSE-4")
async def test_a_task_that_was_cancelled_before_still_runs_the_rest_of_its_finally():
    """A task is cancelled, cleans up in its `finally`, and there closes a job that somebody else cancels.

    The development version of 1.4 took the job's end for the task's own cancellation, because the task
    *had been* cancelled (`cancelling() > 0`), and left the `finally` half done. What counts is whether
    a new cancellation has arrived meanwhile.
    """
    scheduler, log = Scheduler(close_timeout=9), []

    async def service():
        body = Body(swallows=1)
        job = await scheduler.spawn(body.run())
        try:
            await forever()
        finally:
            await settle()
            closing = asyncio.create_task(job.close())
            await settle()
            body._end.cancel()  # the job's own cancellation, from inside
            await closing
            log.append("closed")
            with pytest.raises(JobClosed):
                await job
            log.append("rest of the finally")

    task = asyncio.create_task(service())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["closed", "rest of the finally"]
    await scheduler.close()
