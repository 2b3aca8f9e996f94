"""Closing a scheduler: nothing starts, all is asked once, one deadline, everybody is told (SHUT-1 … 3, 5)."""

import asyncio
import gc
import warnings
import weakref

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.observing import Complaints, Recorder
from unit.bodies import Body, Counting, begin, books, clock, fails, forever, is_closed, returns
from unit.factories import for_jobs, wraps

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


async def with_bodies(count, *, swallows=0, **options):
    scheduler = Scheduler(**options)
    bodies = [Body(swallows=swallows) for _ in range(count)]
    jobs = [await scheduler.spawn(body.run()) for body in bodies]
    await settle()
    return scheduler, bodies, jobs


# SHUT-1.


@pytest.mark.requirement("SHUT-1", "START-2")
@EVERYWHERE
async def test_closing_stops_what_runs_and_drops_what_waits():
    scheduler, bodies, active = await with_bodies(2, limit=2)
    coros = [forever() for _ in range(3)]
    pending = [await scheduler.spawn(coro) for coro in coros]
    await scheduler.close()
    assert [body.log for body in bodies] == [["started", "cancelled", "ended"]] * 2
    assert [job.outcome for job in active] == ["cancelled"] * 2
    assert [job.outcome for job in pending] == ["never_started"] * 3
    assert all(map(is_closed, coros))
    assert (scheduler.phase, scheduler.closed) == ("closed", True)
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("SHUT-1")
async def test_closing_an_empty_scheduler_closes_it_without_a_pause():
    scheduler = Scheduler()
    with pytest.raises(StopIteration):
        scheduler.close().send(None)
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-1")
def test_a_scheduler_that_was_never_used_can_be_closed_on_any_loop():
    scheduler = Scheduler()
    asyncio.run(scheduler.close())
    asyncio.run(scheduler.close())
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-1")
async def test_nothing_starts_in_the_slot_of_a_job_that_stops_while_closing():
    scheduler, bodies, _ = await with_bodies(1, limit=1, swallows=1, close_timeout=9)
    counting = Counting()
    waiting = await scheduler.spawn(counting("never"))
    closing = asyncio.create_task(scheduler.close())
    await settle()
    assert (scheduler.phase, scheduler.closed) == ("closing", True)
    assert waiting.outcome == "never_started"
    assert books(scheduler) == (1, 0, 0)
    bodies[0].finish()
    await closing
    assert counting.ran == []


@pytest.mark.requirement("SHUT-1", "WAIT-3", "WAIT-4")
async def test_waiters_of_dropped_jobs_are_told():
    scheduler, _, _ = await with_bodies(1, limit=1)
    pending = await scheduler.spawn(forever())
    waiters = [asyncio.create_task(pending.wait()), asyncio.create_task(pending.wait(timeout=9))]
    await settle()
    await scheduler.close()
    for waiter in waiters:
        with pytest.raises(asyncio.CancelledError) as told:
            await waiter
        assert type(told.value) is JobClosed


# SHUT-2.


@pytest.mark.requirement("SHUT-2", "CLOSE-1")
@pytest.mark.parametrize("count", [1, 2, 500])
async def test_close_returns_at_its_deadline_and_reports_each_late_job_once(count):
    handler = Recorder()
    scheduler, bodies, jobs = await with_bodies(
        count, swallows=9, limit=None, close_timeout=3, exception_handler=handler
    )
    await scheduler.close()
    assert (clock(), scheduler.phase) == (3, "closed")
    assert handler.messages == ["Job closing timed out"] * count
    assert [context["job"] for context in handler.calls] == jobs
    assert {type(error) for error in handler.exceptions} == {TimeoutError}
    assert {body.cancellations for body in bodies} == {1}
    assert list(scheduler) == jobs
    assert {job.state for job in jobs} == {"closing"}
    for body in bodies:
        body.finish()
    await settle()
    assert books(scheduler) == (0, 0, 0)
    assert len(handler.calls) == count


@pytest.mark.requirement("SHUT-2")
async def test_only_the_late_ones_are_reported():
    handler = Recorder()
    scheduler, bodies, jobs = await with_bodies(
        5, swallows=9, limit=None, close_timeout=3, exception_handler=handler
    )
    loop = asyncio.get_running_loop()
    loop.call_at(1, bodies[1].finish)
    loop.call_at(2.999, bodies[3].finish)
    await scheduler.close()
    assert [context["job"] for context in handler.calls] == [jobs[0], jobs[2], jobs[4]]
    for number in (0, 2, 4):
        bodies[number].finish()
    await settle()


@pytest.mark.requirement("SHUT-2", "EXC-1")
async def test_a_late_job_that_fails_in_the_end_is_reported_for_that_too():
    handler, error = Recorder(), ValueError("late")
    scheduler, bodies, jobs = await with_bodies(1, swallows=9, close_timeout=3, exception_handler=handler)
    await scheduler.close()
    bodies[0].fail(error)
    await settle()
    assert handler.messages == ["Job closing timed out", "Job processing failed"]
    assert handler.exceptions[1] is error
    assert (jobs[0].state, len(scheduler)) == ("closed", 0)


@pytest.mark.requirement("SHUT-2")
async def test_close_returns_as_soon_as_the_last_job_has_ended():
    scheduler, bodies, _ = await with_bodies(3, swallows=1, close_timeout=60)
    loop = asyncio.get_running_loop()
    for number, body in enumerate(bodies):
        loop.call_at(1 + number, body.finish)
    await scheduler.close()
    assert clock() == 3
    assert loop.timers() == ()


@pytest.mark.requirement("SHUT-2", "COST-1")
async def test_one_timer_serves_a_whole_shutdown():
    scheduler, bodies, _ = await with_bodies(50, swallows=1, limit=None, close_timeout=60)
    closing = asyncio.create_task(scheduler.close())
    await settle()
    assert len(asyncio.get_running_loop().timers()) == 1
    for body in bodies:
        body.finish()
    await closing
    assert asyncio.get_running_loop().timers() == ()


@pytest.mark.requirement("SHUT-2")
async def test_without_a_close_timeout_it_takes_as_long_as_it_takes():
    scheduler, bodies, _ = await with_bodies(1, swallows=1, close_timeout=None)
    asyncio.get_running_loop().call_at(10_000, bodies[0].finish)
    await scheduler.close()
    assert clock() == 10_000


@pytest.mark.requirement("SHUT-2")
@pytest.mark.parametrize("fresh", [True, False])
@EVERYWHERE
async def test_even_with_a_timeout_of_zero_well_behaved_jobs_are_not_reported(fresh):
    handler = Recorder()
    scheduler = Scheduler(limit=None, close_timeout=0, exception_handler=handler)
    jobs = [await scheduler.spawn(forever()) for _ in range(200)]
    if not fresh:
        await settle()
    await scheduler.close()
    assert handler.calls == []
    assert {job.outcome for job in jobs} == {"cancelled"}


@pytest.mark.requirement("SHUT-2")
def test_the_time_begins_when_every_cancellation_has_been_delivered_however_slow_that_is(steps):
    """Each job takes a second of the loop's time to clean up; the last still has all of its timeout."""
    handler = Recorder()
    scheduler = Scheduler(limit=None, close_timeout=1, exception_handler=handler)

    async def slow():
        try:
            await forever()
        finally:
            steps.advance(1)  # blocks the loop for a second
            await asyncio.sleep(0.5)

    for _ in range(10):
        steps.run(scheduler.spawn(slow()))
    steps.run(scheduler.close())
    assert handler.calls == []
    assert steps.time() == 10.5


@pytest.mark.requirement("CLOSE-3", "START-3")
async def test_a_wrapped_job_whose_task_is_done_when_closing_begins_has_ended_by_itself():
    loop = asyncio.get_running_loop()
    scheduler, gate = Scheduler(), asyncio.Event()

    async def closes():
        await gate.wait()
        await scheduler.close()

    loop.set_task_factory(for_jobs(wraps))
    job = await scheduler.spawn(gate.wait())
    loop.set_task_factory(None)
    closer = asyncio.create_task(closes())
    await settle(2)
    gate.set()  # the task ends in the next pass, and the closer comes before its callback
    await closer
    assert (job.state, job.outcome, job.result()) == ("done", "returned", True)


@pytest.mark.requirement("CLOSE-3")
@pytest.mark.loops("virtual", "stock", "eager", "stock-eager")
async def test_a_job_that_has_failed_unseen_when_closing_begins_has_ended_by_itself():
    scheduler = Scheduler(limit=1, exception_handler=lambda *_: None)
    job = await scheduler.spawn(fails(LookupError()))
    dropped = await scheduler.spawn(forever())
    if not asyncio.get_running_loop().get_task_factory():
        await asyncio.sleep(0)
    assert (job.state, dropped.state) == ("active", "pending")
    await scheduler.close()
    assert (job.state, job.outcome) == ("done", "raised")
    assert (dropped.state, dropped.outcome) == ("closed", "never_started")


@pytest.mark.requirement("SHUT-2", "EXC-1")
async def test_a_failure_that_has_happened_but_was_not_seen_at_the_deadline_is_not_late():
    handler, error = Recorder(), ValueError("mine")
    loop = asyncio.get_running_loop()
    scheduler = Scheduler(close_timeout=1, exception_handler=handler)
    gate = loop.create_future()

    async def body():
        while True:
            try:
                await asyncio.shield(gate)
                raise error
            except asyncio.CancelledError:
                pass

    job = await scheduler.spawn(body())
    await settle()
    closing = asyncio.create_task(scheduler.close())
    await settle()
    loop.call_at(1 - 1e-9, gate.set_result, None)
    await closing
    assert handler.messages == ["Job processing failed"]
    assert job.outcome == "raised"


@pytest.mark.requirement("SHUT-2", "EXC-1")
@pytest.mark.parametrize("delay", range(6))
def test_whatever_the_pass_of_the_deadline_a_failure_is_reported_once_as_what_it_is(steps, delay):
    handler, error, gate = Recorder(), ValueError("mine"), steps.create_future()
    scheduler = Scheduler(close_timeout=1, exception_handler=handler)

    async def body():
        with pytest.raises(asyncio.CancelledError):
            await forever()
        await gate
        raise error

    job = steps.run(scheduler.spawn(body()))
    steps.settle()
    closing = asyncio.ensure_future(scheduler.close())
    steps.settle()
    gate.set_result(None)
    for _ in range(delay):
        steps.turn()
    steps.advance(1)
    steps.settle()
    assert closing.done()
    assert (job.outcome, len(scheduler)) == ("raised", 0)
    assert handler.exceptions == [error]


# SHUT-3.


@pytest.mark.requirement("SHUT-3")
async def test_concurrent_closes_return_together_when_closing_is_over():
    scheduler, bodies, _ = await with_bodies(1, swallows=1, close_timeout=60)
    calls = [asyncio.create_task(scheduler.close()) for _ in range(3)]
    calls.append(asyncio.create_task(scheduler.wait_and_close()))
    await settle()
    assert not any(call.done() for call in calls)
    bodies[0].finish()
    await settle()
    assert all(call.done() for call in calls)
    assert bodies[0].cancellations == 1


@pytest.mark.requirement("SHUT-3")
async def test_a_close_that_comes_later_has_the_deadline_of_the_first():
    scheduler, bodies, _ = await with_bodies(1, swallows=9, close_timeout=10, exception_handler=Recorder())
    first = asyncio.create_task(scheduler.close())
    await asyncio.sleep(6)
    await scheduler.close()
    assert clock() == 10
    await first
    bodies[0].finish()
    await settle()


@pytest.mark.requirement("SHUT-3")
async def test_a_close_after_the_deadline_returns_at_once_even_if_a_job_still_runs():
    handler = Recorder()
    scheduler, bodies, _ = await with_bodies(1, swallows=9, close_timeout=1, exception_handler=handler)
    await scheduler.close()
    for _ in range(3):
        await scheduler.close()
        await scheduler.wait_and_close()
    assert clock() == 1
    assert len(handler.calls) == 1
    bodies[0].finish()
    await settle()


@pytest.mark.requirement("SHUT-3")
@EVERYWHERE
async def test_cancelling_a_close_leaves_closing_under_way_and_a_later_one_completes_it():
    scheduler, bodies, _ = await with_bodies(2, swallows=1, close_timeout=60)
    first = asyncio.create_task(scheduler.close())
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert scheduler.phase == "closing"
    second = asyncio.create_task(scheduler.close())
    await settle()
    assert not second.done()
    for body in bodies:
        body.finish()
    await second
    assert scheduler.phase == "closed"
    assert [body.cancellations for body in bodies] == [1, 1]


@pytest.mark.requirement("SHUT-3", "SHUT-5", "SHUT-2")
async def test_closing_ends_by_its_deadline_even_if_nobody_waits_for_it_any_more():
    handler = Recorder()
    scheduler, bodies, _ = await with_bodies(1, swallows=9, close_timeout=2, exception_handler=handler)
    closer = asyncio.create_task(scheduler.close())
    await settle()
    closer.cancel()
    await asyncio.sleep(3)
    assert scheduler.phase == "closed"
    assert handler.messages == ["Job closing timed out"]
    bodies[0].finish()
    await settle()


@pytest.mark.requirement("SHUT-3")
def test_a_close_that_is_cancelled_in_the_very_pass_in_which_closing_is_over_is_cancelled(steps):
    scheduler = Scheduler()
    steps.run(scheduler.spawn(forever()))
    closer = asyncio.ensure_future(scheduler.close())
    steps.turn_until(lambda: scheduler.phase == "closed")
    assert not closer.done()
    closer.cancel()
    steps.settle()
    assert closer.cancelled()


@pytest.mark.requirement("SHUT-3", "CLOSE-3")
async def test_a_job_can_be_closed_while_the_scheduler_closes_and_after_that():
    scheduler, bodies, jobs = await with_bodies(2, swallows=1, close_timeout=3, exception_handler=Recorder())
    closing = asyncio.create_task(scheduler.close())
    await settle()
    closer = asyncio.create_task(jobs[0].close(timeout=9))
    await settle()
    bodies[0].finish()
    await closer
    await closing
    with pytest.raises(TimeoutError):
        await jobs[1].close(timeout=1)
    bodies[1].finish("late")
    await jobs[1].close()
    assert jobs[1].result() == "late"


# SHUT-5.


@pytest.mark.requirement("SHUT-5", "EXC-1")
@EVERYWHERE
async def test_close_never_raises_what_a_job_raises_and_the_handler_hears_of_it():
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler, close_timeout=5)
    errors = [ValueError("a"), GeneratorExit("b"), RuntimeError("c")]

    async def body(error):
        try:
            await forever()
        finally:
            raise error

    for error in errors:
        await scheduler.spawn(body(error))
    await scheduler.spawn(fails(KeyError("d")))
    await scheduler.close()
    assert sorted(error.args[0] for error in handler.exceptions) == ["a", "b", "c", "d"]
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-5")
@EVERYWHERE
async def test_closing_works_after_every_task_of_the_loop_was_cancelled():
    scheduler = Scheduler(limit=2, pending_limit=1, close_timeout=5)
    jobs = [await scheduler.spawn(forever()) for _ in range(3)]
    blocked = asyncio.create_task(scheduler.spawn(forever()))
    await settle()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await scheduler.close()
    assert scheduler.phase == "closed"
    assert [job.outcome for job in jobs][2] == "never_started"
    assert books(scheduler) == (0, 0, 0)
    await asyncio.gather(blocked, return_exceptions=True)


@pytest.mark.requirement("SHUT-5")
async def test_closing_works_in_a_task_that_was_cancelled_together_with_all_others():
    scheduler, log = Scheduler(close_timeout=5), []

    async def service():
        try:
            await forever()
        finally:
            await scheduler.close()
            log.append(scheduler.phase)

    job = await scheduler.spawn(forever())
    task = asyncio.create_task(service())
    await settle()
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["closed"]
    assert job.outcome == "cancelled"


@pytest.mark.requirement("SHUT-5")
def test_a_program_that_is_interrupted_closes_its_scheduler_on_the_way_out():
    log = []

    async def main():
        async with Scheduler(close_timeout=5) as scheduler:
            for _ in range(3):
                await scheduler.spawn(careful())
            await asyncio.sleep(0)
            raise KeyboardInterrupt

    async def careful():
        try:
            await forever()
        finally:
            log.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert log == ["cleaned up"] * 3


@pytest.mark.requirement("SHUT-5")
async def test_closing_makes_no_task_that_somebody_could_cancel():
    scheduler, bodies, _ = await with_bodies(2, swallows=1, close_timeout=5)
    before = asyncio.all_tasks()
    closer = asyncio.create_task(scheduler.close())
    drainer = asyncio.create_task(scheduler.wait_and_close())
    await settle()
    assert asyncio.all_tasks() - before == {closer, drainer}
    for body in bodies:
        body.finish()
    await asyncio.gather(closer, drainer)


# User code in the middle of closing.


@pytest.mark.requirement("SHUT-3", "EXC-2")
@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError(), GeneratorExit()])
async def test_a_handler_that_raises_does_not_hold_up_closing(error):
    handler = Recorder(raises=error)
    scheduler, bodies, _ = await with_bodies(3, swallows=9, close_timeout=1, exception_handler=handler)
    with Complaints() as complaints:
        await scheduler.spawn(fails(KeyError("first")))
        await asyncio.sleep(0)
        await scheduler.close()
    assert scheduler.phase == "closed"
    assert len(handler.calls) == 4
    assert complaints.messages == ["Unhandled error in exception_handler of a scheduler"] * 4
    for body in bodies:
        body.finish()
    await settle()


@pytest.mark.requirement("SHUT-1", "SPAWN-2")
async def test_a_handler_that_spawns_while_the_scheduler_closes_is_refused():
    refusals = []

    def handler(scheduler, _context):
        coro = returns()
        try:
            scheduler.spawn_nowait(coro)
        except RuntimeError as error:
            refusals.append((str(error), is_closed(coro)))

    scheduler, bodies, _ = await with_bodies(1, swallows=9, close_timeout=1, exception_handler=handler)
    await scheduler.close()
    assert refusals == [("Scheduling a new job after closing", True)]
    bodies[0].finish()
    await settle()


@pytest.mark.requirement("CLOSE-3", "SHUT-3")
def test_a_handler_that_closes_other_jobs_while_everything_is_being_asked_changes_nothing(steps):
    """Two failures wait to be seen when closing begins; the handler of the first closes the second."""
    gate, seen = steps.create_future(), []

    def handler(scheduler, context):
        seen.append(str(context["exception"]))
        calls.extend(begin(job.close()) for job in scheduler)

    calls = []
    scheduler = Scheduler(exception_handler=handler)

    async def body(name):
        await asyncio.wait([gate])
        raise ValueError(name)

    jobs = [steps.run(scheduler.spawn(body(name))) for name in ("first", "second")]
    steps.settle()
    gate.set_result(None)
    steps.turn_until(lambda: any(job.kept for job in jobs))
    closing = begin(scheduler.close())
    steps.settle()
    assert closing.done()
    assert [job.outcome for job in jobs] == ["raised", "raised"]
    assert seen == ["first"]
    assert [str(call.exception()) for call in calls] == ["second"]
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-3", "SPAWN-3")
@pytest.mark.parametrize("how", ["close", "wait_and_close"])
def test_an_idle_scheduler_outlives_its_loop_and_can_be_closed_in_another(how):
    scheduler = Scheduler()

    async def use():
        return await (await scheduler.spawn(returns("used")))

    assert asyncio.run(use()) == "used"
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        asyncio.run(scheduler.spawn(forever_coro := forever()))
    forever_coro.close()
    asyncio.run(getattr(scheduler, how)())
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-3", "SPAWN-3")
def test_a_scheduler_with_work_left_in_a_dead_loop_is_not_closed_by_another():
    scheduler, loop = Scheduler(), asyncio.new_event_loop()
    coro = forever()
    loop.run_until_complete(scheduler.spawn(coro))
    (task,) = asyncio.all_tasks(loop)
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(scheduler.spawn(later := forever()))
    pending = asyncio.all_tasks(loop)
    for left in pending:
        left.cancel()
    loop.close()
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        asyncio.run(scheduler.close())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del pending, left, task, loop, scheduler, coro, later
        gc.collect()


@pytest.mark.requirement("BOOK-3", "SHUT-2")
async def test_closing_an_idle_scheduler_leaves_nothing_behind_in_the_loop():
    scheduler = Scheduler()
    await (await scheduler.spawn(returns()))
    await settle()
    await scheduler.close()
    gone = weakref.ref(scheduler)
    del scheduler
    gc.collect()
    assert gone() is None
