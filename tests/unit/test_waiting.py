"""Waiting for a job: what a waiter gets, and what it cannot do to the job (WAIT-1 … WAIT-5)."""

import asyncio

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, begin, books, clock, fails, forever, returns, started

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


# What a waiter gets.


@pytest.mark.requirement("WAIT-5")
@pytest.mark.parametrize("wait", [lambda job: job, lambda job: job.wait(), lambda job: job.wait(timeout=9)])
@EVERYWHERE
async def test_waiting_gives_the_result_before_and_after_the_end(wait):
    scheduler = Scheduler(limit=1)
    jobs = [await scheduler.spawn(returns(number)) for number in range(3)]
    assert [await wait(job) for job in jobs] == [0, 1, 2]
    assert [await wait(job) for job in jobs] == [0, 1, 2]
    assert [job.result() for job in jobs] == [0, 1, 2]


@pytest.mark.requirement("WAIT-5", "EXC-1")
@pytest.mark.parametrize("wait", [lambda job: job, lambda job: job.wait(), lambda job: job.wait(timeout=9)])
@EVERYWHERE
async def test_waiting_raises_what_the_job_raised_before_and_after_the_end(wait):
    scheduler, error = Scheduler(), ValueError("mine")
    job = await scheduler.spawn(fails(error))
    for _ in range(3):
        with pytest.raises(ValueError, match="mine") as raised:
            await wait(job)
        assert raised.value is error
    assert job.exception() is error


@pytest.mark.requirement("WAIT-5")
async def test_a_traceback_begins_in_the_waiter_ends_in_the_job_and_does_not_grow():
    scheduler = Scheduler()

    async def deep():
        raise ValueError("mine")

    async def body():
        await deep()

    job = await scheduler.spawn(body())
    lengths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="mine") as raised:
            await job
        names = [entry.name for entry in raised.traceback]
        assert names[0].startswith("test_a_traceback")
        assert names[-2:] == ["body", "deep"]
        assert "_run" not in names
        lengths.add(len(names))
    assert len(lengths) == 1


@pytest.mark.requirement("WAIT-4", "WAIT-5")
async def test_a_hundred_waiters_get_the_same_answer():
    scheduler, body = Scheduler(), Body()
    job = await started(scheduler, body)
    waiters = [asyncio.create_task(job.wait()) for _ in range(100)]
    await settle()
    body.finish("mine")
    assert await asyncio.gather(*waiters) == ["mine"] * 100


@pytest.mark.requirement("WAIT-4", "EXC-1")
async def test_a_hundred_waiters_get_the_same_exception_and_the_handler_does_not():
    handler = Recorder()
    scheduler, body, error = Scheduler(exception_handler=handler), Body(), ValueError("mine")
    job = await started(scheduler, body)
    waiters = [asyncio.create_task(job.wait()) for _ in range(100)]
    await settle()
    body.fail(error)
    answers = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(answer is error for answer in answers)
    assert handler.calls == []


@pytest.mark.requirement("WAIT-5")
async def test_a_result_stays_as_long_as_the_job_lives_even_after_its_scheduler_is_gone():
    scheduler = Scheduler()
    job = await scheduler.spawn(returns("mine"))
    await scheduler.wait_and_close()
    del scheduler
    assert await job == "mine"
    assert job.result() == "mine"


@pytest.mark.requirement("WAIT-5")
def test_a_job_that_has_ended_can_be_awaited_on_any_loop():
    async def make():
        scheduler = Scheduler()
        job = await scheduler.spawn(returns("mine"))
        await scheduler.wait_and_close()
        return job

    job = asyncio.run(make())

    async def use():
        await job.close()
        return await job

    assert asyncio.run(use()) == "mine"


@pytest.mark.requirement("SPAWN-3")
def test_a_job_that_runs_can_be_awaited_on_its_own_loop_only(steps):
    scheduler = Scheduler()
    job = steps.run(scheduler.spawn(forever()))
    other = asyncio.new_event_loop()
    for call in (job.wait, job.close, scheduler.close, scheduler.wait_and_close):
        coro = call()
        asyncio._set_running_loop(other)
        try:
            with pytest.raises(RuntimeError, match="is bound to a different event loop"):
                coro.send(None)
        finally:
            asyncio._set_running_loop(steps)
    other.close()
    assert (job.state, scheduler.phase) == ("active", "open")
    steps.run(scheduler.close())


# Cancelling a waiter.


@pytest.mark.requirement("WAIT-1")
@EVERYWHERE
async def test_cancelling_a_waiter_never_touches_the_job():
    scheduler, body = Scheduler(limit=1), Body()
    active = await started(scheduler, body)
    pending = await scheduler.spawn(returns("later"))
    for job in (active, pending):
        waiters = [asyncio.create_task(job.wait()), asyncio.create_task(job.wait(timeout=9))]
        await settle()
        for waiter in waiters:
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await waiter
            assert type(cancelled.value) is asyncio.CancelledError
    assert (active.state, pending.state, body.log) == ("active", "pending", ["started"])
    body.finish("mine")
    assert (await active, await pending) == ("mine", "later")


@pytest.mark.requirement("WAIT-1", "WAIT-4")
async def test_of_two_waiters_the_one_that_is_not_cancelled_gets_the_answer():
    scheduler, body = Scheduler(), Body()
    job = await started(scheduler, body)
    gone, patient = asyncio.create_task(job.wait()), asyncio.create_task(job.wait())
    await settle()
    gone.cancel()
    body.finish("mine")
    assert await patient == "mine"
    assert gone.cancelled()


@pytest.mark.requirement("WAIT-1")
async def test_timeouts_around_a_wait_never_touch_the_job():
    scheduler, body = Scheduler(), Body()
    job = await started(scheduler, body)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await job
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job.wait(), 1)
    assert (job.state, body.log) == ("active", ["started"])
    body.finish()
    await job


@pytest.mark.requirement("WAIT-1")
async def test_the_deadline_of_a_cancelled_waiter_no_longer_concerns_the_job():
    scheduler, body = Scheduler(), Body()
    job = await started(scheduler, body)
    waiter = asyncio.create_task(job.wait(timeout=1))
    await settle()
    waiter.cancel()
    await asyncio.sleep(5)
    assert job.active
    body.finish()
    await job
    assert asyncio.get_running_loop().timers() == ()


# wait(timeout=…).


@pytest.mark.requirement("WAIT-2")
async def test_a_wait_that_expires_closes_the_job_and_raises_timeout_error():
    scheduler, body = Scheduler(), Body()
    job = await started(scheduler, body)
    with pytest.raises(TimeoutError, match=r"<Job closed name=.*> did not end within 2 s and was closed"):
        await job.wait(timeout=2)
    assert clock() == 2
    assert body.log == ["started", "cancelled", "ended"]
    assert (job.state, job.outcome) == ("closed", "cancelled")


@pytest.mark.requirement("WAIT-2", "CLOSE-2", "LIMIT-6")
async def test_a_wait_that_expires_waits_for_the_end_for_close_timeout_more_and_no_longer():
    scheduler, body = Scheduler(close_timeout=3), Body(swallows=1)
    job = await started(scheduler, body)
    with pytest.raises(TimeoutError, match="did not end within 2 s"):
        await job.wait(timeout=2)
    assert clock() == 5
    assert (job.state, body.cancellations) == ("closing", 1)
    assert books(scheduler) == (1, 0, 0)
    body.finish("late")
    assert await job == "late"


@pytest.mark.requirement("WAIT-2")
async def test_a_wait_that_expires_returns_as_soon_as_the_job_has_stopped():
    scheduler, body = Scheduler(close_timeout=3), Body(swallows=1)
    job = await started(scheduler, body)
    asyncio.get_running_loop().call_at(3, body.finish, "late")
    with pytest.raises(TimeoutError):
        await job.wait(timeout=2)
    assert clock() == 3
    assert (job.state, job.result()) == ("closed", "late")


@pytest.mark.requirement("WAIT-2", "START-2")
async def test_a_wait_that_expires_on_a_pending_job_drops_it_at_once():
    scheduler = Scheduler(limit=1, close_timeout=3)
    blocker = await scheduler.spawn(forever())
    job = await scheduler.spawn(returns())
    with pytest.raises(TimeoutError):
        await job.wait(timeout=2)
    assert clock() == 2
    assert (job.state, job.outcome) == ("closed", "never_started")
    assert books(scheduler) == (1, 0, 0)
    await blocker.close()
    await scheduler.close()


@pytest.mark.requirement("WAIT-2")
async def test_an_end_at_the_very_deadline_is_in_time_if_it_came_first():
    scheduler = Scheduler()
    job = await scheduler.spawn(asyncio.sleep(1, "just in time"))
    assert await job.wait(timeout=1.000001) == "just in time"


@pytest.mark.requirement("WAIT-2", "EXC-1")
def test_a_failure_that_has_happened_but_was_not_seen_at_the_deadline_is_in_time(steps):
    handler = Recorder()
    scheduler, error = Scheduler(exception_handler=handler), ValueError("mine")
    gate = steps.create_future()

    async def body():
        await gate
        raise error

    job = steps.run(scheduler.spawn(body()))
    waiting = asyncio.ensure_future(job.wait(timeout=1))
    steps.settle()
    steps.advance(1)
    gate.set_result(None)  # the failure and the deadline come in the same pass, the failure first
    steps.settle()
    with pytest.raises(ValueError, match="mine"):
        waiting.result()
    assert (job.state, handler.calls) == ("done", [])


@pytest.mark.requirement("WAIT-2", "WAIT-3")
async def test_other_waiters_learn_that_a_wait_that_expired_has_closed_the_job():
    scheduler, body = Scheduler(), Body()
    job = await started(scheduler, body)
    patient = asyncio.create_task(job.wait())
    with pytest.raises(TimeoutError):
        await job.wait(timeout=1)
    with pytest.raises(asyncio.CancelledError) as told:
        await patient
    assert type(told.value) is JobClosed


@pytest.mark.requirement("WAIT-2", "CLOSE-4")
async def test_a_wait_that_is_cancelled_while_it_closes_the_job_is_cancelled_and_the_job_goes_on_closing():
    scheduler, body = Scheduler(close_timeout=9), Body(swallows=1)
    job = await started(scheduler, body)
    waiter = asyncio.create_task(job.wait(timeout=1))
    await asyncio.sleep(2)
    assert job.state == "closing"
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await waiter
    assert type(cancelled.value) is asyncio.CancelledError
    assert (job.state, body.cancellations) == ("closing", 1)
    body.finish()
    await job


@pytest.mark.requirement("WAIT-2", "CLOSE-1")
async def test_two_waits_that_expire_deliver_one_cancellation():
    scheduler, body = Scheduler(close_timeout=5), Body(swallows=9)
    job = await started(scheduler, body)
    answers = await asyncio.gather(job.wait(timeout=1), job.wait(timeout=2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [TimeoutError, TimeoutError]
    assert body.cancellations == 1
    body.finish()
    await job


@pytest.mark.requirement("WAIT-2")
async def test_a_wait_without_a_close_timeout_waits_for_the_end_of_a_job_that_it_closed():
    scheduler, body = Scheduler(close_timeout=None), Body(swallows=1)
    job = await started(scheduler, body)
    asyncio.get_running_loop().call_at(1000, body.finish)
    with pytest.raises(TimeoutError):
        await job.wait(timeout=1)
    assert clock() == 1000


@pytest.mark.requirement("WAIT-2")
async def test_a_wait_leaves_no_timer_behind():
    scheduler, body = Scheduler(), Body()
    job = await started(scheduler, body)
    waiter = asyncio.create_task(job.wait(timeout=100))
    await settle()
    assert len(asyncio.get_running_loop().timers()) == 1
    body.finish()
    await waiter
    assert asyncio.get_running_loop().timers() == ()


# JobClosed.


@pytest.mark.requirement("WAIT-3")
@pytest.mark.parametrize("how", ["job.close", "scheduler.close", "task.cancel", "wait_and_close", "itself"])
async def test_waiters_of_a_job_that_was_stopped_by_whomever_get_job_closed(how):
    scheduler = Scheduler()
    gate = asyncio.Event()

    async def body():
        await gate.wait()
        raise asyncio.CancelledError("itself")

    job = await scheduler.spawn(body(), "mine")
    waiter = asyncio.create_task(job.wait())
    await settle()
    if how == "job.close":
        await job.close()
    elif how == "scheduler.close":
        await scheduler.close()
    elif how == "wait_and_close":
        await scheduler.wait_and_close(timeout=1)
    elif how == "task.cancel":
        job.task.cancel()
    else:
        gate.set()
    for answer in (waiter, job.wait(), job.wait(timeout=0)):
        with pytest.raises(asyncio.CancelledError, match="'mine'.*was stopped") as told:
            await answer
        assert type(told.value) is JobClosed
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.requirement("WAIT-3")
async def test_a_waiter_that_was_cancelled_itself_gets_a_plain_cancelled_error_although_the_job_is_closed():
    scheduler, body = Scheduler(), Body()
    job = await started(scheduler, body)
    waiter = asyncio.create_task(job.wait())
    await settle()
    waiter.cancel("mine")
    await job.close()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await waiter
    assert type(cancelled.value) is asyncio.CancelledError
    assert cancelled.value.args == ("mine",)


@pytest.mark.requirement("WAIT-3")
async def test_a_waiter_cancelled_in_the_very_pass_in_which_it_was_woken_is_cancelled():
    scheduler, body = Scheduler(limit=1), Body()
    await started(scheduler, body)
    pending = await scheduler.spawn(returns())
    waiter = asyncio.create_task(pending.wait())
    await settle()
    await pending.close()  # wakes the waiter, which will run in the next pass
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await waiter
    assert type(cancelled.value) is asyncio.CancelledError
    await scheduler.close()


@pytest.mark.requirement("WAIT-3", "CLOSE-3")
async def test_a_waiter_gets_the_result_of_a_job_that_returned_although_it_was_stopped():
    scheduler, body = Scheduler(close_timeout=9), Body(swallows=1)
    job = await started(scheduler, body)
    waiter, closer = asyncio.create_task(job.wait()), asyncio.create_task(job.close())
    await settle()
    body.finish("all the same")
    assert await waiter == "all the same"
    assert await closer is None
    assert (job.state, job.outcome, job.result()) == ("closed", "returned", "all the same")


@pytest.mark.requirement("WAIT-3", "EXC-1")
async def test_a_waiter_gets_the_exception_of_a_job_that_failed_although_it_was_stopped():
    handler, error = Recorder(), ValueError("all the same")
    scheduler, body = Scheduler(close_timeout=9, exception_handler=handler), Body(swallows=1)
    job = await started(scheduler, body)
    waiter, closer = asyncio.create_task(job.wait()), asyncio.create_task(job.close())
    await settle()
    body.fail(error)
    answers = await asyncio.gather(waiter, closer, return_exceptions=True)
    assert [answer is error for answer in answers] == [True, True]
    assert (job.state, job.outcome, job.exception()) == ("closed", "raised", error)
    assert handler.calls == []


@pytest.mark.requirement("WAIT-3")
async def test_a_job_that_waits_for_a_stopped_job_ends_as_cancelled_unless_it_tells_the_two_apart():
    scheduler = Scheduler()
    other = await scheduler.spawn(forever())

    async def careless():
        await other

    async def careful():
        try:
            await other
        except JobClosed:
            return "other was closed"

    jobs = [await scheduler.spawn(careless()), await scheduler.spawn(careful())]
    await settle()
    await other.close()
    await scheduler.wait_and_close()
    assert jobs[0].outcome == "cancelled"
    assert jobs[1].result() == "other was closed"


# Waiting for oneself.


@pytest.mark.requirement("WAIT-4")
@pytest.mark.parametrize("call", ["wait", "await", "close"])
@EVERYWHERE
async def test_a_job_that_waits_for_or_closes_itself_is_told_what_to_do_and_nothing_changes(call):
    scheduler, jobs = Scheduler(), []

    async def body(first_step):
        job = jobs[0] if jobs else next(iter(scheduler))
        with pytest.raises(RuntimeError, match="itself: to end it, return from its coroutine or raise"):
            await (job if call == "await" else getattr(job, call)())
        assert job.active
        if first_step:
            await asyncio.sleep(0)
            await body(first_step=False)
        return "unharmed"

    jobs.append(await scheduler.spawn(body(first_step=True)))
    assert await jobs[0] == "unharmed"


@pytest.mark.requirement("WAIT-4")
@pytest.mark.parametrize("call", ["close", "wait_and_close", "__aexit__"])
@EVERYWHERE
async def test_a_job_that_closes_its_own_scheduler_is_told_what_to_do_and_nothing_changes(call):
    scheduler = Scheduler()

    async def body(first_step):
        arguments = (None, None, None) if call == "__aexit__" else ()
        with pytest.raises(
            RuntimeError, match="its own scheduler.*let the code that owns the scheduler do it"
        ):
            await getattr(scheduler, call)(*arguments)
        assert scheduler.phase == "open"
        if first_step:
            await asyncio.sleep(0)
            await body(first_step=False)
        return "unharmed"

    job = await scheduler.spawn(body(first_step=True))
    assert await job == "unharmed"
    assert scheduler.phase == "open"


@pytest.mark.requirement("WAIT-4")
async def test_a_shielded_task_that_closes_the_scheduler_is_told_so_too():
    scheduler = Scheduler()

    async def body():
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="its own scheduler"):
            await scheduler.close()
        return "unharmed"

    assert await scheduler.shield(body()) == "unharmed"


@pytest.mark.requirement("WAIT-4")
async def test_a_job_may_wait_for_and_close_other_jobs_and_other_schedulers():
    mine, other = Scheduler(), Scheduler()
    first, second = await mine.spawn(returns("first")), await mine.spawn(forever())
    await other.spawn(forever())

    async def body():
        await second.close()
        await other.close()
        return await first

    job = await mine.spawn(body())
    assert await job == "first"
    assert (second.state, other.phase, mine.phase) == ("closed", "closed", "open")


@pytest.mark.requirement("WAIT-4")
def test_a_scheduler_can_be_closed_from_outside_any_task_whatever_its_jobs_do(steps):
    scheduler = Scheduler()
    jobs = [steps.run(scheduler.spawn(forever())) for _ in range(2)]
    closing = begin(scheduler.close())
    steps.settle()
    assert closing.done()
    assert [job.outcome for job in jobs] == ["cancelled", "cancelled"]
