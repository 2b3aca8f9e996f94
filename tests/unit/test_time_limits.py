"""The time that a job is given: it counts from the start, is over once, and is accounted for like a failure."""

import asyncio
import contextlib

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.inside import core
from support.observing import Recorder
from unit.bodies import Body, books, fails, forever, returns, until

pytestmark = pytest.mark.requirement("SPAWN-6")


async def slow_to_stop(coro):
    """Needs two more seconds when it has been asked to stop."""
    try:
        await coro
    finally:
        await asyncio.sleep(2)


async def stops_itself():
    raise asyncio.CancelledError


async def test_a_job_whose_time_is_over_is_asked_once_and_its_waiter_gets_a_timeout_error():
    scheduler, body, loop = Scheduler(), Body(), asyncio.get_running_loop()
    job = await scheduler.spawn(body.run(), "slow", timeout=3)
    with pytest.raises(TimeoutError, match=r"name='slow'.* did not end within 3 s"):
        await job
    assert loop.time() == 3
    assert (job.state, job.outcome, body.log) == ("closed", "timed_out", ["started", "cancelled", "ended"])
    assert (job.cancelled(), type(job.exception())) == (False, TimeoutError)
    with pytest.raises(TimeoutError, match="did not end within 3 s"):
        job.result()
    assert books(scheduler) == (0, 0, 0)
    await scheduler.close()


async def test_the_observer_sees_the_end_of_the_time_and_the_outcome_with_the_end_of_the_job():
    seen = []
    scheduler = Scheduler(
        observer=lambda record: seen.append((record.event, record.dest, record.job.outcome))
    )
    job = await scheduler.spawn(forever(), timeout=1)
    with pytest.raises(TimeoutError):
        await job
    assert seen == [
        ("accept", "pending", None),
        ("start", "active", None),
        ("expire", "closing", None),
        ("cancel", "closed", "timed_out"),
    ]


async def test_the_time_counts_from_the_start_and_not_from_the_call():
    scheduler, loop = Scheduler(limit=1), asyncio.get_running_loop()
    first = await scheduler.spawn(asyncio.sleep(10))
    second = await scheduler.spawn(forever(), timeout=2)
    await first
    with pytest.raises(TimeoutError):
        await second
    assert loop.time() == 12


@pytest.mark.requirement("LIMIT-5")
async def test_the_time_of_a_blocked_call_counts_from_the_start_too():
    scheduler, loop = Scheduler(limit=1, pending_limit=1), asyncio.get_running_loop()
    await scheduler.spawn(asyncio.sleep(10))
    await scheduler.spawn(asyncio.sleep(10))
    blocked = await scheduler.spawn(forever(), timeout=2)
    with pytest.raises(TimeoutError):
        await blocked
    assert loop.time() == 22


async def test_a_job_that_ends_in_time_leaves_no_timer():
    scheduler, loop = Scheduler(exception_handler=Recorder()), asyncio.get_running_loop()
    for coro in (returns(1), fails(ValueError("mine"))):
        await scheduler.spawn(coro, timeout=60)
    await settle()
    assert loop.timers() == ()
    assert core(scheduler).terms == {}
    await scheduler.wait_and_close()
    assert loop.time() == 0


@pytest.mark.requirement("EXC-1")
async def test_a_time_that_is_over_and_nobody_waits_goes_to_the_handler_once():
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(forever(), timeout=1)
    await asyncio.sleep(5)
    assert handler.messages == ["Job timed out"]
    assert handler.exceptions == [job.exception()]
    with pytest.raises(TimeoutError):
        await job
    assert len(handler.calls) == 1


@pytest.mark.parametrize("how", ["returns", "raises"])
async def test_what_it_comes_to_instead_counts_as_that(how):
    async def stubborn():
        try:
            await forever()
        except asyncio.CancelledError:
            if how == "returns":
                return "cleaned up"
            raise ValueError("mine") from None

    scheduler = Scheduler()
    job = await scheduler.spawn(stubborn(), timeout=1)
    if how == "returns":
        assert await job == "cleaned up"
    else:
        with pytest.raises(ValueError, match="mine"):
            await job
    assert (job.state, job.outcome) == ("closed", {"returns": "returned", "raises": "raised"}[how])


@pytest.mark.requirement("SHUT-2")
async def test_a_job_that_outlives_its_time_is_told_late_once_and_keeps_its_slot():
    handler = Recorder()
    scheduler, body = Scheduler(limit=1, close_timeout=2, exception_handler=handler), Body(swallows=9)
    job = await scheduler.spawn(body.run(), timeout=3)
    waiting = await scheduler.spawn(returns())
    await asyncio.sleep(4.9)
    assert handler.calls == []
    await asyncio.sleep(0.2)
    assert handler.messages == ["Job closing timed out"]
    assert (job.state, waiting.state, body.cancellations) == ("closing", "pending", 1)
    await scheduler.close()
    assert handler.messages == ["Job closing timed out"]
    assert scheduler.shutdown_report.late == 1
    body.finish()
    await settle()
    assert (job.outcome, body.cancellations) == ("returned", 1)


@pytest.mark.requirement("SHUT-2")
async def test_a_job_that_a_shutdown_has_told_late_is_not_told_again_when_its_own_moment_comes():
    handler = Recorder()
    scheduler, body = Scheduler(close_timeout=2, exception_handler=handler), Body(swallows=9)
    await scheduler.spawn(body.run(), timeout=3)
    await asyncio.sleep(3)
    await settle()
    loop = asyncio.get_running_loop()
    closing = asyncio.ensure_future(scheduler.close())
    await closing
    await asyncio.sleep(10)
    assert handler.messages == ["Job closing timed out"]
    body.finish()
    await settle()
    assert loop.timers() == ()


async def test_without_a_deadline_for_closing_it_is_never_late():
    handler = Recorder()
    scheduler, body = Scheduler(close_timeout=None, exception_handler=handler), Body(swallows=1)
    await scheduler.spawn(body.run(), timeout=3)
    await asyncio.sleep(100)
    assert handler.calls == []
    body.finish()
    await scheduler.close()


async def test_a_job_that_was_asked_to_stop_before_is_cancelled_and_not_timed_out():
    scheduler, body = Scheduler(close_timeout=5), Body(swallows=0)

    job = await scheduler.spawn(slow_to_stop(body.run()), timeout=1)
    await asyncio.sleep(0.5)
    await job.close()
    assert (job.outcome, body.cancellations) == ("cancelled", 1)
    with pytest.raises(JobClosed):
        await job


@pytest.mark.requirement("CLOSE-3", "EXC-1")
async def test_close_of_a_job_whose_time_is_over_returns_and_receives_nothing():
    handler = Recorder()
    scheduler = Scheduler(close_timeout=5, exception_handler=handler)

    job = await scheduler.spawn(slow_to_stop(forever()), timeout=1)
    await asyncio.sleep(1.5)
    assert await job.close() is None
    assert job.outcome == "timed_out"
    assert handler.messages == ["Job timed out"]


@pytest.mark.requirement("WAIT-2", "EXC-1")
async def test_a_waiter_with_less_patience_closes_the_job_and_its_own_time_is_no_more():
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(forever(), timeout=5)
    with pytest.raises(TimeoutError, match="within 1 s and was closed"):
        await job.wait(timeout=1)
    assert job.outcome == "cancelled"
    await asyncio.sleep(10)
    assert handler.calls == []


@pytest.mark.requirement("SHUT-7")
async def test_a_shutdown_while_it_stops_counts_it_as_timed_out():
    handler = Recorder()
    scheduler = Scheduler(close_timeout=5, exception_handler=handler)

    await scheduler.spawn(slow_to_stop(forever()), timeout=1)
    await asyncio.sleep(1.5)
    report = await scheduler.close()
    assert (report.timed_out, report.total) == (1, 1)
    assert handler.messages == ["Job timed out"]


async def test_a_failure_that_was_not_seen_yet_comes_before_the_end_of_the_time():
    scheduler, loop = Scheduler(exception_handler=Recorder()), asyncio.get_running_loop()

    async def fails_late():
        await asyncio.sleep(1)
        raise ValueError("mine")

    job = await scheduler.spawn(fails_late(), timeout=1)
    with pytest.raises((ValueError, TimeoutError)) as raised:
        await job
    assert loop.time() == 1
    assert (job.outcome == "raised") == (raised.type is ValueError)


@pytest.mark.parametrize("moment", ["its time is over", "it is late"])
def test_an_end_that_was_not_seen_when_a_timer_fires_is_the_end(steps, moment):
    handler, gate = Recorder(), steps.create_future()
    scheduler = Scheduler(close_timeout=2, exception_handler=handler)

    async def fails_on(number):
        for _ in range(number):
            with contextlib.suppress(asyncio.CancelledError):
                await until(gate)
        raise ValueError("mine")

    late = moment == "it is late"
    job = steps.run(scheduler.spawn(fails_on(2 if late else 1), timeout=3))
    steps.settle()
    if late:
        steps.advance(3)
        steps.settle()
        assert job.state == "closing"
    gate.set_result(None)
    steps.turn()
    steps.advance()
    steps.turn()
    steps.settle()
    assert job.outcome == "raised"
    assert handler.messages == ["Job processing failed"]


async def test_a_coroutine_that_was_cancelled_in_time_has_not_timed_out_with_its_task():
    async def lingers(coro):
        try:
            return await coro
        finally:
            await asyncio.sleep(2)

    handler, loop = Recorder(), asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(lingers(coro), loop=loop, **options))
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(stops_itself(), timeout=1)
    with pytest.raises(asyncio.CancelledError):
        await job.wait()
    assert (loop.time(), job.outcome, job.cancelled()) == (1, "cancelled", True)
    assert handler.messages == []


@pytest.mark.parametrize("seconds", [float("inf"), 1e12])
async def test_more_than_a_lifetime_is_no_limit(seconds):
    scheduler, loop = Scheduler(), asyncio.get_running_loop()
    job = await scheduler.spawn(forever(), timeout=seconds)
    assert (core(scheduler).terms, loop.timers()) == ({}, ())
    await job.close()


async def test_a_repr_that_ends_the_job_leaves_nothing_to_expire():
    ending = []

    class Name(str):
        __slots__ = ()

        def __repr__(self):
            for body in ending:
                body.finish()
            return "odd"

    scheduler, body = Scheduler(), Body()
    job = await scheduler.spawn(body.run(), Name("odd"), timeout=1)
    ending.append(body)
    with pytest.raises(TimeoutError):
        await job
    ending.clear()
    assert job.outcome in ("returned", "timed_out")


@pytest.mark.parametrize("value", [-1, float("nan"), "1", True])
async def test_a_time_that_makes_no_sense_is_refused_and_the_coroutine_untouched(value):
    scheduler, coro = Scheduler(), returns(1)
    with pytest.raises((TypeError, ValueError), match="^timeout must be"):
        await scheduler.spawn(coro, timeout=value)
    with pytest.raises((TypeError, ValueError), match="^timeout must be"):
        scheduler.spawn_nowait(coro, timeout=value)
    assert await (await scheduler.spawn(coro)) == 1


async def test_a_task_that_could_not_be_made_leaves_no_timer():
    scheduler, loop = Scheduler(), asyncio.get_running_loop()

    def no_tasks(*_, **__):
        raise OSError("no tasks")

    await (await scheduler.spawn(returns()))
    loop.set_task_factory(no_tasks)
    try:
        with pytest.raises(OSError, match="no tasks"):
            scheduler.spawn_nowait(forever(), timeout=5)
    finally:
        loop.set_task_factory(None)
    assert loop.timers() == ()
    assert (core(scheduler).terms, books(scheduler)) == ({}, (0, 0, 0))


async def test_pending_jobs_that_are_closed_take_their_terms_along():
    scheduler = Scheduler(limit=1, pending_limit=2)
    await scheduler.spawn(forever())
    pending = [await scheduler.spawn(forever(), timeout=1) for _ in range(2)]
    blocked = asyncio.ensure_future(scheduler.spawn(forever(), timeout=1))
    await settle()
    blocked.cancel()
    await pending[0].close()
    await settle()
    assert list(core(scheduler).terms) == [pending[1]]
    await scheduler.close()
    assert core(scheduler).terms == {}
