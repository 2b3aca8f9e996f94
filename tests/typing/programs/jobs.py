"""A job knows what its coroutine returns; a scheduler takes coroutines and nothing else."""

import asyncio
import contextvars
from typing import Any, assert_type

from aiojobs import (
    Event,
    IllegalTransition,
    Job,
    JobClosed,
    Outcome,
    PendingQueueFull,
    Phase,
    PhaseEvent,
    Record,
    Scheduler,
    State,
)


async def number() -> int:
    """What a job could do."""
    return 7


async def spawning(scheduler: Scheduler) -> None:
    """The result travels with the job."""
    job = await scheduler.spawn(number(), name="seven", context=contextvars.copy_context())
    assert_type(job, Job[int])
    assert_type(scheduler.spawn_nowait(number()), Job[int])
    assert_type(await job, int)
    assert_type(await job.wait(timeout=1.5), int)
    assert_type(job.result(), int)
    assert_type(job.exception(), BaseException | None)
    assert_type(job.state, State)
    assert_type(job.outcome, Outcome | None)
    assert_type(scheduler.shield(number()), asyncio.Future[int])
    await job.close(timeout=None)
    job.add_done_callback(lambda ended: ended.get_name())
    for each in scheduler:
        assert_type(each, Job[Any])
    text: str = await job  # error: mypy[assignment] pyright[reportAssignmentType]
    assert text
    await scheduler.spawn(number)  # error: mypy[arg-type] pyright[reportArgumentType]
    await scheduler.spawn(7)  # error: mypy[arg-type] pyright[reportArgumentType]
    await scheduler.spawn(number(), naem="seven")  # error: mypy[call-arg] pyright[reportCallIssue]
    job.state = State.DONE  # error: mypy[misc] pyright[reportAttributeAccessIssue]


async def closing() -> Phase:
    """A scheduler is a context manager, and what it says about itself is typed."""
    async with Scheduler(limit=None, pending_limit=0, wait_timeout=None, close_timeout=0.5) as scheduler:
        assert_type(scheduler, Scheduler)
        assert_type(scheduler.limit, int | None)
        assert_type(scheduler.active_count, int)
        await scheduler.wait_and_close(timeout=3)
    return scheduler.phase


async def failing(job: Job[int]) -> int | None:
    """What is raised can be told apart."""
    try:
        return await job
    except IllegalTransition as error:
        assert_type(error.job, Any)
        assert_type(error.state, State)
        assert_type(error.event, Event)
    except PendingQueueFull as full:
        raise asyncio.QueueFull from full
    except JobClosed as closed:
        cancelled: asyncio.CancelledError = closed
        raise cancelled from None
    return None


def observe(record: Record) -> None:
    """An observer gets records."""
    assert_type(record.job, Job[Any] | None)
    assert_type(record.dest, State | Phase)
    assert_type(record.time, float)
    if isinstance(record.event, PhaseEvent):
        assert record.event.name
    record.jobs = 7  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]


Scheduler(observer=observe)
Scheduler(observer=7)  # error: mypy[arg-type] pyright[reportArgumentType]
Scheduler(limt=7)  # error: mypy[call-arg] pyright[reportCallIssue]
Scheduler(7)  # error: mypy[call-arg] pyright[reportCallIssue]
