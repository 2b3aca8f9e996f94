"""Waiting until nothing is left, and leaving an `async with` (SHUT-4, SHUT-6)."""

import asyncio

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.inside import core
from support.observing import Recorder
from unit.bodies import Body, Counting, begin, books, clock, fails, forever, returns

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


# wait_and_close.


@pytest.mark.requirement("SHUT-4")
@EVERYWHERE
async def test_draining_waits_for_all_jobs_running_queued_and_blocked_and_then_closes():
    scheduler, counting = Scheduler(limit=2, pending_limit=2), Counting()
    calls = [asyncio.create_task(scheduler.spawn(counting(number, 0.001))) for number in range(8)]
    await settle()
    await scheduler.wait_and_close()
    assert counting.ran == list(range(8))
    assert all(call.result().outcome == "returned" for call in calls)
    assert (scheduler.phase, books(scheduler)) == ("closed", (0, 0, 0))


@pytest.mark.requirement("SHUT-4")
async def test_draining_an_idle_scheduler_closes_it_without_a_pause():
    scheduler = Scheduler()
    with pytest.raises(StopIteration):
        scheduler.wait_and_close().send(None)
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-4")
async def test_draining_waits_for_what_is_added_meanwhile():
    scheduler, counting = Scheduler(), Counting()

    async def parent(depth):
        counting.ran.append(depth)
        await asyncio.sleep(1)
        if depth:
            await scheduler.spawn(parent(depth - 1))

    await scheduler.spawn(parent(5))
    await scheduler.wait_and_close()
    assert counting.ran == [5, 4, 3, 2, 1, 0]
    assert clock() == 6


@pytest.mark.requirement("SHUT-4")
async def test_draining_waits_for_what_is_added_in_the_moment_in_which_nothing_was_left():
    scheduler = Scheduler()
    first = await scheduler.spawn(returns())
    late = []
    first.add_done_callback(lambda _job: late.append(scheduler.spawn_nowait(asyncio.sleep(1, "late"))))
    await scheduler.wait_and_close()
    assert late[0].result() == "late"
    assert clock() == 1


@pytest.mark.requirement("SHUT-4")
async def test_draining_waits_for_shielded_awaitables_added_meanwhile_too():
    scheduler, done = Scheduler(), []

    async def important():
        await asyncio.sleep(2)
        done.append("important")

    async def body():
        await asyncio.sleep(1)
        scheduler.shield(important())

    await scheduler.spawn(body())
    await scheduler.wait_and_close()
    assert (done, clock()) == (["important"], 3)


@pytest.mark.requirement("SHUT-4", "SHUT-2")
@pytest.mark.parametrize("given", [True, False], ids=["timeout", "wait_timeout"])
async def test_after_its_timeout_it_closes(given):
    scheduler = Scheduler(limit=1, wait_timeout=60 if given else 3, close_timeout=5)
    body = Body()
    job, pending = await scheduler.spawn(body.run()), await scheduler.spawn(returns())
    await scheduler.wait_and_close(3 if given else None)
    assert clock() == 3
    assert (job.outcome, pending.outcome, body.cancellations) == ("cancelled", "never_started", 1)
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-4")
async def test_a_timeout_of_zero_closes_at_once():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    await scheduler.wait_and_close(timeout=0)
    assert (clock(), job.outcome) == (0, "cancelled")


@pytest.mark.requirement("SHUT-4")
async def test_without_a_wait_timeout_it_waits_as_long_as_it_takes():
    scheduler = Scheduler(wait_timeout=None)
    job = await scheduler.spawn(asyncio.sleep(1e6, "late"))
    await scheduler.wait_and_close()
    assert job.result() == "late"


@pytest.mark.requirement("SHUT-4", "SHUT-2")
async def test_the_timeouts_for_draining_and_for_closing_add_up_and_no_more():
    handler = Recorder()
    scheduler, body = Scheduler(wait_timeout=3, close_timeout=2, exception_handler=handler), Body(swallows=9)
    await scheduler.spawn(body.run())
    await scheduler.wait_and_close()
    assert (clock(), handler.messages) == (5, ["Job closing timed out"])
    body.finish()
    await settle()


@pytest.mark.requirement("SHUT-4")
@EVERYWHERE
async def test_cancelled_while_it_waits_it_leaves_the_scheduler_open_and_consistent():
    scheduler, body = Scheduler(limit=1, pending_limit=1), Body()
    jobs = [await scheduler.spawn(body.run()), await scheduler.spawn(returns("pending"))]
    blocked = asyncio.create_task(scheduler.spawn(returns("blocked")))
    await settle()
    drainer = asyncio.create_task(scheduler.wait_and_close())
    await settle()
    drainer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drainer
    assert (scheduler.phase, books(scheduler)) == ("open", (1, 1, 1))
    assert body.log == ["started"]
    body.finish("active")
    assert [await job for job in jobs] == ["active", "pending"]
    assert await (await blocked) == "blocked"
    await scheduler.wait_and_close()


@pytest.mark.requirement("SHUT-4")
def test_cancelled_in_the_very_pass_in_which_nothing_is_left_it_leaves_the_scheduler_open(steps):
    scheduler = Scheduler()
    gate = steps.create_future()
    job = steps.run(scheduler.spawn(_until(gate)))
    drainer = asyncio.ensure_future(scheduler.wait_and_close())
    steps.settle()
    gate.set_result(None)
    steps.turn_until(job.done)
    drainer.cancel()
    steps.settle()
    assert drainer.cancelled()
    assert scheduler.phase == "open"
    assert steps.run(steps.run(scheduler.spawn(returns("still open"))).wait()) == "still open"


async def _until(future):
    await future


@pytest.mark.requirement("SHUT-4", "SHUT-3")
async def test_two_who_drain_return_together():
    scheduler, body = Scheduler(), Body()
    await scheduler.spawn(body.run())
    drainers = [asyncio.create_task(scheduler.wait_and_close(timeout)) for timeout in (None, 50)]
    await settle()
    body.finish()
    await asyncio.gather(*drainers)
    assert clock() == 0
    assert asyncio.get_running_loop().timers() == ()


@pytest.mark.requirement("SHUT-4", "SHUT-3")
async def test_a_close_cuts_draining_short():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    drainer = asyncio.create_task(scheduler.wait_and_close())
    await settle()
    await scheduler.close()
    await drainer
    assert (clock(), job.outcome) == (0, "cancelled")


@pytest.mark.requirement("SHUT-4")
async def test_draining_never_spins():
    """While it waits the loop has nothing to do; whoever is woken for nothing waits again."""
    loop = asyncio.get_running_loop()
    scheduler = Scheduler(limit=1, wait_timeout=None)
    future = loop.create_future()
    scheduler.shield(future)
    for _ in range(5):
        await scheduler.spawn(asyncio.sleep(1))
    drainer = asyncio.create_task(scheduler.wait_and_close())
    loop.call_at(100, future.set_result, None)
    before = loop.turns
    await drainer
    assert clock() == 100
    assert loop.turns - before < 100


@pytest.mark.requirement("SHUT-4")
def test_draining_does_not_spin_on_a_shielded_future_that_is_done_but_whose_callback_has_not_run(steps):
    scheduler, future = Scheduler(), steps.create_future()
    scheduler.shield(future)
    future.set_result(None)
    drainer = begin(scheduler.wait_and_close())
    assert not drainer.done()
    for _ in range(4):
        steps.turn()
    assert drainer.done()


@pytest.mark.requirement("SHUT-4", "EXC-1", "SHUT-5")
async def test_failures_do_not_stop_draining():
    handler = Recorder()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    for number in range(3):
        await scheduler.spawn(fails(ValueError(number)))
    last = await scheduler.spawn(returns("last"))
    await scheduler.wait_and_close()
    assert last.result() == "last"
    assert [str(error) for error in handler.exceptions] == ["0", "1", "2"]


# async with.


@pytest.mark.requirement("SHUT-6")
@EVERYWHERE
async def test_a_normal_exit_drains():
    async with Scheduler() as scheduler:
        assert isinstance(scheduler, Scheduler)
        jobs = [await scheduler.spawn(asyncio.sleep(0.001, number)) for number in range(3)]
    assert [job.result() for job in jobs] == [0, 1, 2]
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-6")
async def test_an_exit_with_an_exception_drains_and_the_exception_goes_on():
    with pytest.raises(ValueError, match="of the body"):
        async with Scheduler() as scheduler:
            job = await scheduler.spawn(asyncio.sleep(5, "drained"))
            raise ValueError("of the body")
    assert (job.result(), clock()) == ("drained", 5)


@pytest.mark.requirement("SHUT-6")
async def test_a_normal_exit_closes_after_the_wait_timeout():
    async with Scheduler(wait_timeout=2) as scheduler:
        job = await scheduler.spawn(forever())
    assert (job.outcome, clock()) == ("cancelled", 2)


@pytest.mark.requirement("SHUT-6")
@pytest.mark.parametrize(
    "error", [asyncio.CancelledError("body"), SystemExit("body"), KeyboardInterrupt("body")]
)
async def test_an_exit_with_a_cancellation_or_an_interrupt_closes_at_once(error):
    scheduler = Scheduler()
    body = Body()

    async def story():
        async with scheduler:
            await scheduler.spawn(body.run())
            await settle()
            raise error

    coro = story()

    async def run():
        try:
            await coro
        except BaseException as raised:  # kept out of the task, which would stop the loop with it
            return raised

    assert await asyncio.create_task(run()) is error
    assert (clock(), body.cancellations, scheduler.phase) == (0, 1, "closed")


@pytest.mark.requirement("SHUT-6", "CLOSE-4")
@EVERYWHERE
async def test_a_cancellation_of_the_body_closes_at_once_and_goes_on():
    scheduler, body = Scheduler(), Body()

    async def story():
        async with scheduler:
            await scheduler.spawn(body.run())
            await forever()

    task = asyncio.create_task(story())
    await settle()
    task.cancel("of the body")
    with pytest.raises(asyncio.CancelledError, match="of the body"):
        await task
    assert (body.cancellations, scheduler.phase) == (1, "closed")


@pytest.mark.requirement("SHUT-6", "CLOSE-4")
@EVERYWHERE
async def test_a_cancellation_that_arrives_while_it_drains_closes_at_once_and_goes_on():
    scheduler, body = Scheduler(close_timeout=5), Body(swallows=1)

    async def story():
        async with scheduler:
            await scheduler.spawn(body.run())

    task = asyncio.create_task(story())
    await settle()
    assert body.log == ["started"]
    task.cancel("while draining")
    await settle()
    assert (scheduler.phase, body.cancellations, task.done()) == ("closing", 1, False)
    body.finish()
    with pytest.raises(asyncio.CancelledError, match="while draining"):
        await task
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-6", "SHUT-3")
async def test_a_second_cancellation_while_it_closes_leaves_closing_under_way():
    scheduler, body = Scheduler(close_timeout=5), Body(swallows=1)

    async def story():
        async with scheduler:
            await scheduler.spawn(body.run())

    task = asyncio.create_task(story())
    await settle()
    for _ in range(2):
        task.cancel()
        await settle()
    assert task.cancelled()
    assert scheduler.phase == "closing"
    body.finish()
    await scheduler.close()


@pytest.mark.requirement("SHUT-6")
async def test_a_scheduler_that_was_closed_inside_its_block_is_left_at_once():
    async with Scheduler() as scheduler:
        await scheduler.spawn(forever())
        await scheduler.close()
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-6")
async def test_a_block_that_is_left_because_its_coroutine_is_destroyed_begins_to_close():
    scheduler, body = Scheduler(close_timeout=5), Body()

    async def story():
        async with scheduler:
            await scheduler.spawn(body.run())
            await forever()

    coro = story()
    coro.send(None)
    await settle()
    coro.close()
    assert scheduler.phase == "closing"
    await settle()
    assert (scheduler.phase, body.log) == ("closed", ["started", "cancelled", "ended"])


@pytest.mark.requirement("SHUT-6")
def test_a_block_that_is_destroyed_together_with_its_loop_makes_no_noise():
    async def story(scheduler):
        async with scheduler:
            await scheduler.spawn(returns())
            await asyncio.sleep(0)
            await forever()

    unused, used = Scheduler(), Scheduler()

    async def never():
        async with unused:
            await forever()

    async def main():
        coros = [story(used), never()]
        for coro in coros:
            coro.send(None)
        await settle()
        return coros

    for coro in asyncio.run(main()):
        coro.close()
    assert used.phase == unused.phase == "open"
    assert books(used) == (0, 0, 0)


@pytest.mark.requirement("SHUT-6")
async def test_a_generator_exit_raised_by_the_body_itself_begins_to_close_and_goes_on():
    scheduler = Scheduler()
    with pytest.raises(GeneratorExit):
        async with scheduler:
            await scheduler.spawn(forever())
            raise GeneratorExit
    await settle()
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SPAWN-3")
def test_waiting_until_nothing_is_left_does_not_bind_a_scheduler_of_a_dead_loop_anew():
    scheduler = Scheduler()

    async def use():
        await scheduler.idle()
        await (await scheduler.spawn(returns()))

    asyncio.run(use())
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        asyncio.run(use())
    asyncio.run(scheduler.close())


@pytest.mark.requirement("SHUT-4", "BOOK-3")
async def test_a_loop_that_refuses_the_deadline_leaves_nobody_waiting(monkeypatch):
    scheduler, loop = Scheduler(), asyncio.get_running_loop()
    job = await scheduler.spawn(forever())

    def refuse(*_):
        raise OSError("no timers")

    with monkeypatch.context() as patched:
        patched.setattr(loop, "call_at", refuse)
        with pytest.raises(OSError, match="no timers"):
            await scheduler.wait_and_close(5)
    assert (scheduler.phase, scheduler.snapshot().idlers, core(scheduler).on_idle) == ("open", (), None)
    assert not core(scheduler).waiters
    await job.close()
    await scheduler.close()
