"""Closing one job: asked once, answered by the deadline, never mistaken for the caller's own end."""

import asyncio
from contextlib import suppress

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, begin, books, clock, fails, forever, returns, started

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


# Asking once.


@pytest.mark.requirement("CLOSE-1", "CLOSE-3")
@EVERYWHERE
async def test_closing_cancels_the_coroutine_once_and_returns_when_it_has_ended():
    scheduler, body = Scheduler(close_timeout=5), Body()
    job = await started(scheduler, body)
    assert await job.close() is None
    assert body.log == ["started", "cancelled", "ended"]
    assert (job.state, job.outcome) == ("closed", "cancelled")
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("CLOSE-1", "CLOSE-2")
@EVERYWHERE
async def test_the_deadline_does_not_deliver_a_second_cancellation():
    scheduler, body = Scheduler(), Body(swallows=9)
    job = await started(scheduler, body)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await job.close(timeout=0.01)
    assert body.cancellations == 1
    body.finish()
    await job


@pytest.mark.requirement("CLOSE-1")
@pytest.mark.parametrize("second", ["job.close", "wait", "scheduler.close", "wait_and_close"])
@pytest.mark.parametrize("when", ["in the same pass", "later"])
@EVERYWHERE
async def test_whoever_else_asks_a_job_that_is_closing_delivers_nothing(second, when):
    handler = Recorder()
    scheduler, body = Scheduler(close_timeout=0.02, exception_handler=handler), Body(swallows=9)
    job = await started(scheduler, body)
    first = asyncio.create_task(job.close(timeout=9))
    await asyncio.sleep(0)
    if when == "later":
        await settle()
    if second == "job.close":
        with pytest.raises(TimeoutError):
            await job.close()
    elif second == "wait":
        with pytest.raises(TimeoutError):
            await job.wait(timeout=0.01)
    elif second == "scheduler.close":
        await scheduler.close()
    else:
        await scheduler.wait_and_close(timeout=0.01)
    await settle()
    assert (body.cancellations, job.task.cancelling()) == (1, 1)
    assert handler.messages == (["Job closing timed out"] if second.startswith(("s", "wait_")) else [])
    body.finish("mine")
    await first
    assert job.result() == "mine"


@pytest.mark.requirement("CLOSE-1")
async def test_a_shutdown_and_then_a_close_ask_once():
    scheduler, body = Scheduler(close_timeout=2, exception_handler=Recorder()), Body(swallows=9)
    job = await started(scheduler, body)
    shutdown = asyncio.create_task(scheduler.close())
    await settle()
    with pytest.raises(TimeoutError):
        await job.close(timeout=1)
    await shutdown
    with pytest.raises(TimeoutError):
        await job.close(timeout=1)
    assert body.cancellations == 1
    body.finish()
    await job


@pytest.mark.requirement("CLOSE-1", "CLOSE-2")
async def test_the_cleanup_of_a_job_is_not_interrupted_however_long_it_takes():
    scheduler, log = Scheduler(), []

    async def body():
        try:
            await forever()
        finally:
            for step in range(5):
                await asyncio.sleep(1)
                log.append(step)

    job = await scheduler.spawn(body())
    await settle()
    with pytest.raises(TimeoutError):
        await job.close(timeout=2.5)
    assert log == [0, 1]
    with pytest.raises(JobClosed):
        await job
    assert log == [0, 1, 2, 3, 4]


# By the deadline.


@pytest.mark.requirement("CLOSE-2", "LIMIT-6")
async def test_at_the_deadline_close_raises_and_the_job_stays_closing_and_keeps_its_slot():
    scheduler, body = Scheduler(limit=1), Body(swallows=1)
    job = await started(scheduler, body)
    waiting = await scheduler.spawn(returns("next"))
    with pytest.raises(TimeoutError, match=r"<Job closing .* did not stop within 3 s; it keeps its"):
        await job.close(timeout=3)
    assert clock() == 3
    assert (job.state, job.outcome, waiting.state) == ("closing", None, "pending")
    assert books(scheduler) == (1, 1, 0)
    body.finish()
    assert await waiting == "next"
    assert (job.state, job.outcome) == ("closed", "returned")


@pytest.mark.requirement("CLOSE-2")
async def test_without_a_timeout_it_is_that_of_the_scheduler():
    scheduler, body = Scheduler(close_timeout=7), Body(swallows=1)
    job = await started(scheduler, body)
    with pytest.raises(TimeoutError, match="did not stop within 7 s"):
        await job.close()
    assert clock() == 7
    body.finish()
    await job


@pytest.mark.requirement("CLOSE-2")
async def test_without_any_deadline_close_waits_as_long_as_it_takes():
    scheduler, body = Scheduler(close_timeout=None), Body(swallows=1)
    job = await started(scheduler, body)
    asyncio.get_running_loop().call_at(10_000, body.finish)
    await job.close()
    assert clock() == 10_000


@pytest.mark.requirement("CLOSE-2")
@pytest.mark.parametrize("patience", [0, 0.5])
async def test_a_job_that_swallows_every_cancellation_does_not_hold_up_its_closer(patience):
    scheduler, body = Scheduler(), Body(swallows=10**6)
    job = await started(scheduler, body)
    for number in range(1, 4):
        with pytest.raises(TimeoutError):
            await job.close(timeout=patience)
        assert clock() == number * patience
    body.finish()
    await job


@pytest.mark.requirement("CLOSE-2")
async def test_closing_leaves_no_timer_behind():
    scheduler, body = Scheduler(close_timeout=5), Body(swallows=1)
    job = await started(scheduler, body)
    closers = [asyncio.create_task(job.close()), asyncio.create_task(job.close(timeout=9))]
    await settle()
    closers[1].cancel()
    body.finish()
    await closers[0]
    await settle()
    assert asyncio.get_running_loop().timers() == ()


# What the end was.


@pytest.mark.requirement("CLOSE-3", "EXC-1")
@EVERYWHERE
async def test_an_exception_that_the_coroutine_raises_while_stopping_is_raised_by_close():
    handler, error = Recorder(), ValueError("while stopping")
    scheduler = Scheduler(exception_handler=handler, close_timeout=5)

    async def body():
        try:
            await forever()
        finally:
            raise error

    job = await scheduler.spawn(body())
    await settle()
    with pytest.raises(ValueError, match="while stopping") as raised:
        await job.close()
    assert raised.value is error
    assert (job.state, job.outcome) == ("closed", "raised")
    assert handler.calls == []
    await job.close()  # it has ended: nothing to do, nothing to raise
    with pytest.raises(ValueError, match="while stopping"):
        await job


@pytest.mark.requirement("CLOSE-3")
async def test_a_coroutine_that_returns_while_stopping_makes_close_return():
    scheduler = Scheduler()

    async def body():
        try:
            await forever()
        except asyncio.CancelledError:
            return "stopped in good order"

    job = await scheduler.spawn(body())
    await settle()
    assert await job.close() is None
    assert (job.state, await job) == ("closed", "stopped in good order")


@pytest.mark.requirement("CLOSE-3")
@pytest.mark.parametrize("ending", ["returned", "raised", "cancelled", "never started"])
@EVERYWHERE
async def test_closing_a_job_that_has_ended_is_a_no_op(ending):
    scheduler = Scheduler(limit=1, exception_handler=Recorder())
    coros = {"returned": returns, "raised": lambda: fails(ValueError()), "cancelled": forever}
    job = await scheduler.spawn(coros.get(ending, forever)())
    if ending == "never started":
        job = await scheduler.spawn(forever())
        await job.close()
    elif ending == "cancelled":
        await job.close()
    await settle()
    before = (job.state, job.outcome)
    assert before[1] == ending.replace(" ", "_")
    for timeout in (None, 0, 1):
        assert await job.close(timeout=timeout) is None
    assert (job.state, job.outcome) == before
    await scheduler.close()


@pytest.mark.requirement("CLOSE-3")
async def test_closing_a_job_that_is_closing_waits_for_the_same_end():
    scheduler, body = Scheduler(), Body(swallows=1)
    job = await started(scheduler, body)
    closers = [asyncio.create_task(job.close(timeout=timeout)) for timeout in (5, 9, None)]
    await settle()
    assert job.state == "closing"
    asyncio.get_running_loop().call_at(7, body.finish)
    answers = await asyncio.gather(*closers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [TimeoutError, type(None), TimeoutError]
    assert clock() == 7


@pytest.mark.requirement("CLOSE-3", "EXC-1")
async def test_every_closer_of_a_job_that_fails_while_stopping_gets_its_exception():
    handler, error = Recorder(), ValueError("while stopping")
    scheduler, body = Scheduler(exception_handler=handler, close_timeout=9), Body(swallows=1)
    job = await started(scheduler, body)
    closers = [asyncio.create_task(job.close()) for _ in range(3)]
    await settle()
    body.fail(error)
    answers = await asyncio.gather(*closers, return_exceptions=True)
    assert [answer is error for answer in answers] == [True] * 3
    assert handler.calls == []


@pytest.mark.requirement("CLOSE-3", "EXC-1")
@pytest.mark.parametrize("how", ["job.close", "wait", "scheduler.close"])
def test_who_comes_when_a_failure_has_happened_but_was_not_seen_gets_that_outcome(steps, how):
    """The coroutine wakes somebody in its last step, who closes the job in the very next moment."""
    handler, error = Recorder(), ValueError("mine")
    scheduler, gate, failing = Scheduler(exception_handler=handler), steps.create_future(), []

    async def body():
        await gate
        failing.append(True)
        raise error

    job = steps.run(scheduler.spawn(body()))
    gate.set_result(None)
    steps.turn_until(lambda: failing)
    assert (job.state, job.outcome) == ("active", None)
    call = {"job.close": job.close, "wait": job.wait, "scheduler.close": scheduler.close}[how]
    answer = begin(call())
    steps.settle()
    assert (job.state, job.outcome) == ("done", "raised")
    if how == "scheduler.close":
        assert answer.result().finished == 1
        assert handler.exceptions == [error]
    else:
        assert answer.exception() is error
        assert handler.calls == []
    steps.run(scheduler.close())


@pytest.mark.requirement("CLOSE-3")
@pytest.mark.parametrize("error", [None, ValueError("mine")])
@EVERYWHERE
async def test_a_close_by_somebody_whom_the_job_wakes_in_its_last_step_finds_it_done(error):
    handler = Recorder()
    scheduler, event = Scheduler(exception_handler=handler), asyncio.Event()

    async def body():
        await asyncio.sleep(0)
        event.set()
        if error:
            raise error

    job = await scheduler.spawn(body())
    await event.wait()
    if error:
        with pytest.raises(ValueError, match="mine"):
            await job.close()
    else:
        await job.close()
    assert job.state == "done"
    assert handler.calls == []


# The caller's own cancellation.


@pytest.mark.requirement("CLOSE-4")
@EVERYWHERE
async def test_cancelling_a_closer_propagates_and_leaves_the_job_closing():
    scheduler, body = Scheduler(close_timeout=9), Body(swallows=1)
    job = await started(scheduler, body)
    closer = asyncio.create_task(job.close())
    await settle()
    closer.cancel("mine")
    with pytest.raises(asyncio.CancelledError, match="mine") as cancelled:
        await closer
    assert type(cancelled.value) is asyncio.CancelledError
    assert job.state == "closing"
    body.finish()
    await job


@pytest.mark.requirement("CLOSE-4")
def test_a_closer_cancelled_in_the_very_pass_in_which_the_job_stopped_is_cancelled(steps):
    scheduler = Scheduler()
    job = steps.run(scheduler.spawn(forever()))
    closer = asyncio.ensure_future(job.close())
    steps.turn_until(job.done)
    assert not closer.done()
    closer.cancel()
    steps.settle()
    assert closer.cancelled()
    assert job.outcome == "cancelled"


@pytest.mark.requirement("CLOSE-4")
async def test_a_cancellation_that_the_caller_has_handled_before_does_not_count():
    scheduler, reached = Scheduler(), []

    async def caller():
        with suppress(asyncio.CancelledError):  # handled, and never taken back: cancelling() stays at 1
            await forever()
        job = await scheduler.spawn(forever())
        await settle()
        await job.close()
        reached.append(job.outcome)
        pending = asyncio.current_task().cancelling()
        assert pending == 1
        with pytest.raises(JobClosed):
            await job
        reached.append("the end")

    task = asyncio.create_task(caller())
    await settle()
    task.cancel()
    await task
    assert reached == ["cancelled", "the end"]


@pytest.mark.requirement("CLOSE-4")
async def test_a_cancelled_task_can_close_its_jobs_in_its_finally():
    scheduler, body = Scheduler(close_timeout=5), Body(swallows=1)
    job = await started(scheduler, body)
    reached = []

    async def caller():
        try:
            await forever()
        finally:
            await job.close()
            reached.append(job.state)

    task = asyncio.create_task(caller())
    await settle()
    task.cancel()
    await settle()
    assert reached == []
    body.finish()
    await settle()
    assert reached == ["closed"]
    assert task.cancelled()


@pytest.mark.requirement("CLOSE-4")
async def test_a_timeout_around_a_close_is_a_cancellation_of_the_caller():
    scheduler, body = Scheduler(close_timeout=9), Body(swallows=1)
    job = await started(scheduler, body)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await job.close()
    assert (clock(), job.state) == (1, "closing")
    body.finish()
    await job


@pytest.mark.requirement("CLOSE-4", "START-2")
async def test_a_cancellation_pending_when_a_queued_job_is_closed_comes_at_the_next_await():
    scheduler, reached = Scheduler(limit=1), []
    await scheduler.spawn(forever())
    job = await scheduler.spawn(forever())

    async def caller():
        asyncio.current_task().cancel()
        await job.close()
        reached.append(job.outcome)
        await asyncio.sleep(0)
        reached.append("too far")

    task = asyncio.create_task(caller())
    await settle()
    assert task.cancelled()
    assert reached == ["never_started"]
    await scheduler.close()
