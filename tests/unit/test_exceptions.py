"""Exactly once: an exception is received by somebody who waited, or by the handler (EXC-1, EXC-3)."""

import asyncio
import gc
import itertools

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, books, fails, forever, returns

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


class Boom(Exception):  # noqa: N818  it is what happens
    """What the jobs of this file raise."""


# Somebody or the handler.


@pytest.mark.requirement("EXC-1")
@EVERYWHERE
async def test_an_exception_that_nobody_waits_for_goes_to_the_handler_once():
    handler, error = Recorder(), Boom()
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(fails(error))
    await settle()
    assert handler.exceptions == [error]
    with pytest.raises(Boom):
        await job
    await scheduler.close()
    assert len(handler.calls) == 1


@pytest.mark.requirement("EXC-1")
@EVERYWHERE
async def test_an_exception_that_is_raised_in_a_waiter_does_not_go_to_the_handler():
    handler = Recorder()
    scheduler, body = Scheduler(exception_handler=handler), Body()
    job = await scheduler.spawn(body.run())
    waiter = asyncio.create_task(job.wait())
    await settle()
    body.fail(Boom())
    with pytest.raises(Boom):
        await waiter
    await scheduler.close()
    assert handler.calls == []


@pytest.mark.requirement("EXC-1")
async def test_asking_for_the_exception_afterwards_is_no_receiving():
    handler = Recorder()
    job = await Scheduler(exception_handler=handler).spawn(fails(Boom()))
    job.add_done_callback(lambda job: job.exception())
    await settle()
    assert isinstance(job.exception(), Boom)
    assert len(handler.calls) == 1


@pytest.mark.requirement("EXC-1")
async def test_who_comes_later_gets_the_exception_although_the_handler_has_had_it():
    handler = Recorder()
    job = await Scheduler(exception_handler=handler).spawn(fails(Boom()))
    await settle()
    for call in (job.wait, lambda: job.wait(timeout=0)):
        with pytest.raises(Boom):
            await call()
    await job.close()
    assert len(handler.calls) == 1


# A waiter that did not receive it: every kind of waiter, at every moment.


async def _await(job):
    return await job


KINDS = {
    "wait": lambda job: job.wait(),
    "wait with timeout": lambda job: job.wait(timeout=50),
    "await": _await,
    "close": lambda job: job.close(timeout=50),
}


@pytest.mark.requirement("EXC-1", "WAIT-1")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delay", range(6))
def test_a_waiter_that_is_cancelled_around_the_failure_has_it_or_the_handler_does(steps, kind, delay):
    """`delay` turns after the failure is let go the only waiter is cancelled: before, in, after its pass."""
    handler, error = Recorder(), Boom()
    scheduler, gate = Scheduler(exception_handler=handler), steps.create_future()

    async def body():
        while not gate.done():
            await asyncio.wait([gate])
        raise error

    async def stubborn():
        while True:
            try:
                return await body()
            except asyncio.CancelledError:
                pass

    job = steps.run(scheduler.spawn(stubborn()))
    waiter = asyncio.ensure_future(KINDS[kind](job))
    steps.settle()
    gate.set_result(None)
    for _ in range(delay):
        steps.turn()
    waiter.cancel()
    steps.settle()
    assert job.outcome == "raised"
    if waiter.cancelled():
        assert handler.exceptions == [error]
    else:
        assert waiter.exception() is error
        assert handler.calls == []
    with pytest.raises(Boom):
        steps.run(job.wait())
    steps.run(scheduler.close())


@pytest.mark.requirement("EXC-1")
def test_the_moments_of_the_test_above_are_all_there(steps):
    """Cancelled in the pass in which it was woken: not earlier, when it is no waiter, and not later."""
    handler, error = Recorder(), Boom()
    scheduler = Scheduler(exception_handler=handler)
    body = Body()
    job = steps.run(scheduler.spawn(body.run()))
    waiter = asyncio.ensure_future(job.wait())
    steps.settle()
    body.fail(error)
    steps.turn_until(job.done)
    assert not waiter.done()
    assert handler.calls == []
    waiter.cancel()
    assert handler.calls == []
    steps.settle()
    assert waiter.cancelled()
    assert handler.exceptions == [error]


@pytest.mark.requirement("EXC-1")
@pytest.mark.parametrize("cancelled", list(itertools.product([False, True], repeat=3)))
def test_of_several_waiters_woken_together_it_is_enough_that_one_receives(steps, cancelled):
    handler, error = Recorder(), Boom()
    scheduler = Scheduler(exception_handler=handler)
    body = Body(swallows=1)
    job = steps.run(scheduler.spawn(body.run()))
    steps.settle()
    waiters = [
        asyncio.ensure_future(call) for call in (job.wait(), job.close(timeout=50), job.wait(timeout=50))
    ]
    steps.settle()
    body.fail(error)
    steps.turn_until(job.done)
    for waiter, gone in zip(waiters, cancelled, strict=True):
        if gone:
            waiter.cancel()
    steps.settle()
    assert [waiter.cancelled() for waiter in waiters] == list(cancelled)
    assert all(waiter.cancelled() or waiter.exception() is error for waiter in waiters)
    assert handler.exceptions == ([error] if all(cancelled) else [])


@pytest.mark.requirement("EXC-1")
async def test_a_waiter_that_left_before_the_failure_received_nothing():
    handler, error = Recorder(), Boom()
    scheduler, body = Scheduler(exception_handler=handler), Body()
    job = await scheduler.spawn(body.run())
    waiter = asyncio.create_task(job.wait())
    await settle()
    waiter.cancel()
    await settle()
    body.fail(error)
    await settle()
    assert handler.exceptions == [error]


@pytest.mark.requirement("EXC-1", "WAIT-2")
@pytest.mark.parametrize("ending", ["while it is waited for", "after close_timeout"])
async def test_a_waiter_that_timed_out_received_nothing(ending):
    handler, error = Recorder(), Boom()
    scheduler, body = Scheduler(exception_handler=handler, close_timeout=5), Body(swallows=1)
    job = await scheduler.spawn(body.run())
    await settle()
    asyncio.get_running_loop().call_at(2 if ending.startswith("while") else 9, body.fail, error)
    with pytest.raises(TimeoutError):
        await job.wait(timeout=1)
    await asyncio.sleep(10)
    assert handler.exceptions == [error]
    assert job.outcome == "raised"


@pytest.mark.requirement("EXC-1", "WAIT-2")
def test_a_waiter_whose_time_is_up_in_the_pass_before_the_failure_received_nothing(steps):
    handler, error = Recorder(), Boom()
    scheduler = Scheduler(exception_handler=handler)
    body = Body(swallows=1)
    job = steps.run(scheduler.spawn(body.run()))
    waiter = asyncio.ensure_future(job.wait(timeout=1))
    steps.settle()
    steps.advance(1)
    steps.turn()  # the deadline has woken the waiter; it has not run yet
    assert (job.state, waiter.done()) == ("active", False)
    body.fail(error)
    steps.settle()
    assert isinstance(waiter.exception(), TimeoutError)
    assert handler.exceptions == [error]


@pytest.mark.requirement("EXC-1", "WAIT-2")
@pytest.mark.parametrize("error", [None, Boom()])
def test_a_job_that_ends_between_a_deadline_and_the_waking_of_its_waiter_is_waited_for_no_longer(
    steps, error
):
    handler, gate = Recorder(), steps.create_future()
    scheduler = Scheduler(exception_handler=handler, close_timeout=60)

    async def body():
        await gate
        if error:
            raise error

    job = steps.run(scheduler.spawn(body()))
    waiter = asyncio.ensure_future(job.wait(timeout=1))
    steps.settle()
    steps.advance(1)
    steps.call_soon(gate.set_result, None)  # runs just before the deadline does, the job just after
    steps.turn()
    assert (job.done(), waiter.done()) == (False, False)
    steps.settle()
    assert isinstance(waiter.exception(), TimeoutError)
    assert steps.time() == 1
    assert job.state == "done"
    assert handler.exceptions == [error] * (error is not None)


@pytest.mark.requirement("EXC-1", "WAIT-2")
async def test_one_that_timed_out_and_one_that_receives():
    handler, error = Recorder(), Boom()
    scheduler, body = Scheduler(exception_handler=handler, close_timeout=5), Body(swallows=1)
    job = await scheduler.spawn(body.run())
    await settle()
    waiters = [asyncio.create_task(job.wait(timeout=1)), asyncio.create_task(job.wait())]
    asyncio.get_running_loop().call_at(2, body.fail, error)
    answers = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(answer) for answer in answers] == [TimeoutError, Boom]
    assert handler.calls == []


@pytest.mark.requirement("EXC-1", "CLOSE-2")
async def test_a_closer_that_timed_out_received_nothing():
    handler, error = Recorder(), Boom()
    scheduler, body = Scheduler(exception_handler=handler), Body(swallows=1)
    job = await scheduler.spawn(body.run())
    await settle()
    with pytest.raises(TimeoutError):
        await job.close(timeout=1)
    body.fail(error)
    await settle()
    assert handler.exceptions == [error]


@pytest.mark.requirement("EXC-1")
def test_a_waiter_that_is_destroyed_received_nothing(steps):
    handler, error = Recorder(), Boom()
    scheduler = Scheduler(exception_handler=handler)
    body = Body()
    job = steps.run(scheduler.spawn(body.run()))
    waiting = job.wait()
    waiting.send(None)
    steps.settle()
    body.fail(error)
    steps.turn_until(job.done)
    steps.settle()
    assert handler.calls == []  # it has been woken, and may still come
    waiting.close()
    assert handler.exceptions == [error]


@pytest.mark.requirement("EXC-1")
@pytest.mark.loops("eager", "stock-eager")
async def test_a_last_waiter_that_is_destroyed_while_the_next_job_begins_leads_to_one_report():
    handler, error = Recorder(), Boom()
    scheduler, body = Scheduler(limit=1, exception_handler=handler), Body()
    job = await scheduler.spawn(body.run())
    waiting = job.wait()
    waiting.send(None)

    async def next_job():
        waiting.close()

    next_ = await scheduler.spawn(next_job())
    await settle()
    body.fail(error)
    await settle()
    assert next_.done()
    assert handler.exceptions == [error]


@pytest.mark.requirement("EXC-1")
async def test_a_waiter_that_has_received_it_may_do_with_it_what_it_likes():
    handler = Recorder()
    scheduler, body = Scheduler(exception_handler=handler), Body()
    job = await scheduler.spawn(body.run())

    async def swallow():
        try:
            await job
        except Boom:
            return "swallowed"

    waiter = asyncio.create_task(swallow())
    await settle()
    body.fail(Boom())
    assert await waiter == "swallowed"
    assert handler.calls == []


@pytest.mark.requirement("EXC-1")
async def test_jobs_that_wait_for_jobs_hand_the_exception_on_and_the_last_reports_it():
    handler, error = Recorder(), Boom()
    scheduler, body = Scheduler(exception_handler=handler), Body()
    first = await scheduler.spawn(body.run(), "first")
    second = await scheduler.spawn(_await(first), "second")
    await scheduler.spawn(_await(second), "third")
    await settle()
    body.fail(error)
    await settle()
    assert [(context["job"].get_name(), context["exception"]) for context in handler.calls] == [
        ("third", error)
    ]


@pytest.mark.requirement("EXC-1", "SHUT-5")
async def test_a_failure_in_front_of_a_closed_loop_is_not_waited_for():
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    await scheduler.spawn(fails(Boom()))
    await scheduler.close()
    assert [type(error) for error in handler.exceptions] == [Boom]


# EXC-3: exceptions that are no Exception.


@pytest.mark.requirement("EXC-3", "EXC-1", "LIMIT-6")
@pytest.mark.parametrize(
    "error", [GeneratorExit("mine"), BaseException("mine"), BaseExceptionGroup("mine", [KeyError(1)])]
)
@EVERYWHERE
async def test_a_base_exception_is_an_outcome_like_any_other(error):
    handler = Recorder()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    job, next_ = await scheduler.spawn(fails(error)), await scheduler.spawn(returns("next"))
    assert await next_ == "next"
    assert (job.state, job.outcome) == ("done", "raised")
    assert handler.exceptions == [error]
    with pytest.raises(type(error)) as raised:
        await job
    assert raised.value is error


def run_and_resume(loop, coro, interrupt):
    """Run until the interrupt comes out of the loop; then go on until the coroutine has ended."""
    task = loop.create_task(coro)
    with pytest.raises(interrupt):
        loop.run_until_complete(task)
    return loop.run_until_complete(task)


def eager_loops():
    from support.loops import available_loops

    return {name: make for name, make in available_loops().items() if name != "uvloop"}


@pytest.fixture(params=eager_loops())
def any_loop(request):
    loop = eager_loops()[request.param]()
    yield loop
    loop.close()


@pytest.mark.requirement("EXC-3", "EXC-1", "LIMIT-6")
@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("waited_for", [False, True])
def test_an_interrupt_stops_the_loop_as_in_asyncio_and_is_accounted_for(any_loop, interrupt, waited_for):
    handler, error, log = Recorder(), interrupt("mine"), []

    async def body():
        await asyncio.sleep(0)
        raise error

    async def main():
        scheduler = Scheduler(limit=1, exception_handler=handler)
        job, next_ = await scheduler.spawn(body()), await scheduler.spawn(returns("next"))
        if waited_for:
            try:
                await job
            except interrupt as raised:
                log.append(raised)
        assert await next_ == "next"
        assert (job.state, job.outcome, job.exception()) == ("done", "raised", error)
        assert books(scheduler) == (0, 0, 0)
        await scheduler.close()
        return "went on"

    assert run_and_resume(any_loop, main(), interrupt) == "went on"
    if waited_for:
        assert (log, handler.calls) == ([error], [])
    else:
        assert handler.exceptions == [error]


@pytest.mark.requirement("EXC-3", "SPAWN-1", "LIMIT-6")
@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt])
def test_an_interrupt_in_the_first_step_is_accounted_for_on_every_loop(any_loop, interrupt):
    """With eager tasks the first step runs inside of spawn, which then raises it; else the loop does."""
    handler, error, log = Recorder(), interrupt("mine"), []
    eager = any_loop.get_task_factory() is not None

    async def main():
        scheduler = Scheduler(limit=1, exception_handler=handler)
        try:
            await scheduler.spawn(fails(error))
        except interrupt as raised:
            log.append(raised)
        await settle()
        assert books(scheduler) == (0, 0, 0)
        assert await (await scheduler.spawn(returns("next"))) == "next"
        await scheduler.close()
        return "went on"

    if eager:
        assert any_loop.run_until_complete(main()) == "went on"
        assert (log, handler.calls) == ([error], [])
    else:
        assert run_and_resume(any_loop, main(), interrupt) == "went on"
        assert (log, handler.exceptions) == ([], [error])


@pytest.mark.requirement("EXC-3", "WAIT-4", "LIMIT-6")
@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt])
def test_an_interrupt_in_the_first_step_of_a_queued_job_leaves_the_waiters_of_the_one_before_alone(
    any_loop, interrupt
):
    handler, error = Recorder(), interrupt("mine")

    async def main():
        scheduler = Scheduler(limit=1, exception_handler=handler)
        event = asyncio.Event()
        first = await scheduler.spawn(event.wait())
        second = await scheduler.spawn(fails(error))
        third = await scheduler.spawn(returns("third"))
        asyncio.get_running_loop().call_soon(event.set)
        assert await first is True
        assert await third == "third"
        assert (second.state, second.outcome) == ("done", "raised")
        await scheduler.close()
        return "went on"

    assert run_and_resume(any_loop, main(), interrupt) == "went on"
    assert handler.exceptions == [error]


@pytest.mark.requirement("EXC-3", "SHUT-5")
def test_an_interrupt_while_the_scheduler_closes_does_not_hold_up_closing(any_loop):
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler, close_timeout=0.05)

    async def body():
        try:
            await forever()
        finally:
            raise SystemExit

    async def main():
        jobs = [await scheduler.spawn(body()), await scheduler.spawn(forever())]
        await asyncio.sleep(0)
        await scheduler.close()
        return [job.outcome for job in jobs]

    assert run_and_resume(any_loop, main(), SystemExit) == ["raised", "cancelled"]
    assert scheduler.phase == "closed"
    assert handler.messages == ["Job processing failed"]


@pytest.mark.requirement("EXC-3", "SHUT-5", "SHUT-6")
def test_asyncio_run_ends_although_a_job_wants_to_exit():
    log = []

    async def careful():
        try:
            await forever()
        finally:
            log.append("cleaned up")

    async def main():
        async with Scheduler(exception_handler=lambda *_: log.append("reported")) as scheduler:
            await scheduler.spawn(careful())
            await scheduler.spawn(fails(SystemExit(3)))
            await forever()

    with pytest.raises(SystemExit) as left:
        asyncio.run(main())
    assert left.value.code == 3
    assert sorted(log) == ["cleaned up", "reported"]


@pytest.mark.requirement("EXC-3", "WAIT-3")
@EVERYWHERE
async def test_a_job_that_raises_cancelled_error_by_itself_was_cancelled():
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(fails(asyncio.CancelledError("by itself")))
    with pytest.raises(asyncio.CancelledError) as told:
        await job
    assert type(told.value) is JobClosed
    assert (job.state, job.outcome) == ("closed", "cancelled")
    await settle()
    assert handler.calls == []


@pytest.mark.requirement("EXC-3", "EXC-1")
def test_a_job_that_is_destroyed_together_with_its_loop_has_no_outcome_and_reports_nothing():
    handler, ended = Recorder(), []

    async def body():
        try:
            await forever()
        finally:
            ended.append("body")

    async def main():
        scheduler = Scheduler(exception_handler=handler, limit=1)
        jobs = [await scheduler.spawn(body()), await scheduler.spawn(body())]
        await settle()
        return jobs

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it complains that a task is destroyed, and is right
    jobs = loop.run_until_complete(main())
    loop.close()
    coros = [job.coro for job in jobs]
    run = jobs[0].task.get_coro()
    run.close()  # as the collector would
    assert ended == ["body"]
    assert [job.outcome for job in jobs] == [None, None]
    assert handler.calls == []
    for coro in coros:
        coro.close()
    del jobs, coros, run
    gc.collect()
