"""What `JobClosed` does where asyncio compares exact types: task groups, timeouts, gather (WAIT-3).

Before CPython 3.13 `TaskGroup` and `asyncio.timeout` compare with `CancelledError` itself, so that they take a
subclass for a failure. From 3.13 on it is a cancellation there too.
"""

import asyncio
import sys

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import forever, returns

COMPARES_TYPES = sys.version_info < (3, 13)


async def closed_job():
    job = await Scheduler().spawn(forever())
    await job.close()
    return job


async def ended(coro):
    """A task that has come to its end."""
    task = asyncio.ensure_future(coro)
    await asyncio.wait([task])
    return task


async def close_soon(job):
    await asyncio.sleep(1)
    await job.close()


def is_job_closed(task):
    """Whether a task counts as cancelled, by a `JobClosed` that whoever awaits it gets."""
    with pytest.raises(asyncio.CancelledError) as caught:
        task.result()
    return task.cancelled() and caught.type is JobClosed


# The body of a task group.


@pytest.mark.requirement("WAIT-3")
@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_closed_job_in_the_body_of_a_group_is_a_failure_before_3_13_and_then_a_cancellation(when):
    children = []

    async def body():
        job = await Scheduler().spawn(forever())
        closing = asyncio.ensure_future(job.close() if when == "before" else close_soon(job))
        async with asyncio.TaskGroup() as group:
            children.append(group.create_task(forever()))
            await settle()
            await job
        await closing

    task = await ended(body())
    assert children[0].cancelled()
    if COMPARES_TYPES:
        error = task.exception()
        assert type(error) is BaseExceptionGroup
        assert [type(one) for one in error.exceptions] == [JobClosed]
    else:
        assert is_job_closed(task)


@pytest.mark.requirement("WAIT-3")
async def test_who_catches_it_inside_the_block_has_a_group_that_goes_on():
    job = await closed_job()
    async with asyncio.TaskGroup() as group:
        other = group.create_task(returns("other"))
        with pytest.raises(JobClosed):
            await job
    assert other.result() == "other"


@pytest.mark.requirement("WAIT-3")
async def test_beside_a_child_that_fails_it_is_told_before_3_13_and_then_not():
    job = await closed_job()

    async def fails():
        raise ValueError

    async def body():
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            try:
                await asyncio.sleep(60)
            finally:
                await job

    error = (await ended(body())).exception()
    told = [ValueError, JobClosed] if COMPARES_TYPES else [ValueError]
    assert [type(one) for one in error.exceptions] == told


@pytest.mark.requirement("WAIT-3", "EXC-1")
async def test_a_job_that_lets_it_out_of_a_group_has_failed_before_3_13_and_then_was_stopped():
    inner, handler = await closed_job(), Recorder()

    async def body():
        async with asyncio.TaskGroup():
            await inner

    async with Scheduler(exception_handler=handler) as scheduler:
        job = await scheduler.spawn(body())
    assert job.outcome == ("raised" if COMPARES_TYPES else "cancelled")
    assert [type(error) for error in handler.exceptions] == [BaseExceptionGroup] * COMPARES_TYPES


# A child task of a group.


@pytest.mark.requirement("WAIT-3")
async def test_a_child_that_waits_for_a_closed_job_is_a_cancelled_child_and_the_others_go_on():
    job = await closed_job()
    async with asyncio.TaskGroup() as group:
        child = group.create_task(job.wait())
        other = group.create_task(returns("other"))
    assert is_job_closed(child)
    assert other.result() == "other"


# Gather.


@pytest.mark.requirement("WAIT-3", "WAIT-6")
async def test_gather_raises_it_or_returns_the_plain_error_among_the_results():
    job = await closed_job()
    with pytest.raises(JobClosed):
        await asyncio.gather(job)
    results = await asyncio.gather(job, returns("other"), return_exceptions=True)
    assert [type(results[0]), results[1]] == [asyncio.CancelledError, "other"]


# Timeouts.


@pytest.mark.requirement("WAIT-3")
async def test_it_leaves_a_timeout_that_has_not_expired_as_it_is():
    job = await closed_job()

    async def body():
        async with asyncio.timeout(60):
            await job

    assert is_job_closed(await ended(body()))


@pytest.mark.requirement("WAIT-3")
async def test_it_leaves_a_timeout_that_has_expired_before_3_13_and_then_becomes_a_timeout_error():
    job = await closed_job()

    async def body():
        async with asyncio.timeout(1):
            try:
                await asyncio.sleep(60)
            finally:
                await job

    task = await ended(body())
    if COMPARES_TYPES:
        assert is_job_closed(task)
    else:
        assert type(task.exception()) is TimeoutError


@pytest.mark.requirement("WAIT-1", "WAIT-3")
async def test_a_timeout_around_a_wait_for_a_running_job_is_a_timeout_error_on_every_version():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await job
    assert job.active
    await scheduler.close()
