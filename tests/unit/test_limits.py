"""Slots and places: how many run, how many wait, who is next (LIMIT-1 … LIMIT-6)."""

import asyncio

import pytest

from aiojobs import PendingQueueFull, Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, Counting, books, fails, forever, returns


@pytest.mark.requirement("LIMIT-1", "LIMIT-2")
@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_no_more_jobs_run_than_the_limit_and_no_fewer_while_some_wait(limit):
    scheduler = Scheduler(limit=limit)
    running, most, least = 0, 0, limit

    async def body():
        nonlocal running, most, least
        running += 1
        most = max(most, running)
        if scheduler.pending_count:
            least = min(least, scheduler.active_count)
        await asyncio.sleep(1)
        running -= 1

    jobs = [await scheduler.spawn(body()) for _ in range(3 * limit)]
    for job in jobs:
        await job
        books(scheduler)
    assert (most, least) == (limit, limit)
    assert asyncio.get_running_loop().time() == 3


@pytest.mark.requirement("LIMIT-1")
async def test_without_a_limit_everything_starts_at_once():
    scheduler = Scheduler(limit=None, pending_limit=1)
    jobs = [scheduler.spawn_nowait(forever()) for _ in range(1000)]
    assert all(job.active for job in jobs)
    assert books(scheduler) == (1000, 0, 0)
    assert scheduler.limit is None
    await scheduler.close()


@pytest.mark.requirement("LIMIT-1", "LIMIT-6")
async def test_a_job_that_is_asked_to_stop_keeps_its_slot_until_it_has_stopped():
    scheduler = Scheduler(limit=1)
    slow = Body(swallows=1)
    job = await scheduler.spawn(slow.run())
    waiting = await scheduler.spawn(returns("next"))
    await settle()
    with pytest.raises(TimeoutError):
        await job.close(timeout=1)
    await settle()
    assert (job.state, waiting.state) == ("closing", "pending")
    assert books(scheduler) == (1, 1, 0)
    slow.finish()
    assert await waiting == "next"
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("LIMIT-6", "LIMIT-2")
@pytest.mark.parametrize("ending", ["returns", "raises", "is cancelled", "is closed", "times out"])
async def test_however_a_job_ends_it_gives_back_one_slot_and_the_next_one_starts(ending):
    scheduler = Scheduler(limit=2, exception_handler=Recorder())
    body = Body()
    job = await scheduler.spawn(body.run())
    await scheduler.spawn(forever())
    next_, last = await scheduler.spawn(forever()), await scheduler.spawn(forever())
    await settle()
    if ending == "returns":
        body.finish()
    elif ending == "raises":
        body.fail(ValueError())
    elif ending == "is cancelled":
        job.task.cancel()
    elif ending == "is closed":
        await job.close()
    else:
        with pytest.raises(TimeoutError):
            await job.wait(timeout=1)
    await settle()
    assert (job.done(), next_.state, last.state) == (True, "active", "pending")
    assert books(scheduler) == (2, 1, 0)
    await scheduler.close()


@pytest.mark.requirement("LIMIT-1", "LIMIT-2")
async def test_closing_a_pending_job_gives_back_no_slot_since_it_had_none():
    scheduler = Scheduler(limit=1)
    await scheduler.spawn(forever())
    first, second = await scheduler.spawn(forever()), await scheduler.spawn(forever())
    await first.close()
    assert (first.state, second.state) == ("closed", "pending")
    assert books(scheduler) == (1, 1, 0)
    await scheduler.close()


@pytest.mark.requirement("LIMIT-1", "LIMIT-2", "LIMIT-6")
async def test_many_jobs_that_end_in_one_pass_are_replaced_one_for_one():
    scheduler = Scheduler(limit=10)
    gate = asyncio.Event()
    for _ in range(10):
        await scheduler.spawn(gate.wait())
    rest = [await scheduler.spawn(forever()) for _ in range(15)]
    gate.set()
    await settle()
    assert [job.active for job in rest] == [True] * 10 + [False] * 5
    assert books(scheduler) == (10, 5, 0)
    await scheduler.close()


@pytest.mark.requirement("LIMIT-6")
async def test_a_job_that_fails_in_its_first_step_held_its_slot_that_long():
    scheduler = Scheduler(limit=1, exception_handler=Recorder())
    jobs = [await scheduler.spawn(fails(ValueError(str(number)))) for number in range(5)]
    assert books(scheduler)[0] == 1
    await settle(40)
    assert [job.outcome for job in jobs] == ["raised"] * 5
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("LIMIT-3", "LIMIT-4")
@pytest.mark.parametrize("pending_limit", [1, 2, 3])
async def test_the_queue_takes_as_many_as_its_limit_and_the_next_spawn_waits_outside(pending_limit):
    scheduler = Scheduler(limit=1, pending_limit=pending_limit)
    body = Body()
    await scheduler.spawn(body.run())
    for _ in range(pending_limit):
        await scheduler.spawn(forever())
    blocked = asyncio.create_task(scheduler.spawn(returns("mine")))
    await settle()
    assert not blocked.done()
    assert books(scheduler) == (1, pending_limit, 1)
    body.finish()
    await settle()
    assert blocked.done()
    assert books(scheduler) == (1, pending_limit, 0)
    await scheduler.close()


@pytest.mark.requirement("LIMIT-3")
async def test_a_pending_limit_of_zero_means_that_any_number_may_wait():
    scheduler = Scheduler(limit=1, pending_limit=0)
    jobs = [scheduler.spawn_nowait(returns(number)) for number in range(1000)]
    assert books(scheduler) == (1, 999, 0)
    assert [await job for job in jobs] == list(range(1000))


@pytest.mark.requirement("LIMIT-4")
async def test_a_place_in_the_queue_that_falls_free_goes_to_the_call_that_has_waited_longest():
    scheduler = Scheduler(limit=1, pending_limit=1)
    await scheduler.spawn(forever())
    pending = await scheduler.spawn(forever())
    calls = [asyncio.create_task(scheduler.spawn(forever(), f"call {number}")) for number in range(3)]
    await settle()
    assert books(scheduler) == (1, 1, 3)
    await pending.close()
    assert books(scheduler) == (1, 1, 2)
    await settle()
    assert [call.done() for call in calls] == [True, False, False]
    assert [job.get_name() for job in scheduler if job.pending] == ["call 0"]
    await scheduler.close()
    await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.requirement("LIMIT-4")
async def test_a_blocked_call_that_gives_up_makes_no_room_and_takes_none():
    scheduler = Scheduler(limit=1, pending_limit=1)
    body = Body()
    await scheduler.spawn(body.run())
    pending = await scheduler.spawn(forever())
    calls = [asyncio.create_task(scheduler.spawn(forever())) for _ in range(2)]
    await settle()
    calls[0].cancel()
    await settle()
    assert books(scheduler) == (1, 1, 1)
    body.finish()
    await settle()
    assert (pending.active, calls[1].result().pending) == (True, True)
    assert books(scheduler) == (1, 1, 0)
    await scheduler.close()


@pytest.mark.requirement("LIMIT-5")
async def test_jobs_start_in_the_order_in_which_they_were_spawned_blocked_ones_included():
    scheduler = Scheduler(limit=2, pending_limit=2)
    counting = Counting()
    calls = [asyncio.create_task(scheduler.spawn(counting(number, 1))) for number in range(9)]
    await settle()
    assert books(scheduler) == (2, 2, 5)
    await scheduler.wait_and_close()
    assert all(call.done() for call in calls)
    assert counting.ran == list(range(9))


@pytest.mark.requirement("LIMIT-5", "SPAWN-5")
async def test_nobody_overtakes_a_blocked_call():
    scheduler = Scheduler(limit=1, pending_limit=1)
    counting, body = Counting(), Body()
    await scheduler.spawn(body.run())
    pending = await scheduler.spawn(counting("pending"))
    blocked = asyncio.create_task(scheduler.spawn(counting("blocked")))
    await settle()
    await pending.close()  # its place goes to the blocked call at once …
    with pytest.raises(PendingQueueFull):
        scheduler.spawn_nowait(counting("late"))  # … so there is none for this one
    late = asyncio.create_task(scheduler.spawn(counting("late")))
    await settle()
    body.finish()
    await (await blocked)
    await (await late)
    assert counting.ran == ["blocked", "late"]


@pytest.mark.requirement("LIMIT-5")
@pytest.mark.parametrize("closed", [0, 1, 2, 3])
async def test_closing_one_of_the_queue_leaves_the_order_of_the_others(closed):
    scheduler = Scheduler(limit=1)
    counting, body = Counting(), Body()
    await scheduler.spawn(body.run())
    jobs = [await scheduler.spawn(counting(number)) for number in range(4)]
    await jobs[closed].close()
    body.finish()
    await scheduler.wait_and_close()
    assert counting.ran == [number for number in range(4) if number != closed]


@pytest.mark.requirement("LIMIT-5")
async def test_a_job_that_got_its_slot_while_its_caller_was_still_asleep_runs_before_those_spawned_after_it():
    """Three slots fall free in one pass: by the second one a blocked call has moved right into a slot."""
    scheduler = Scheduler(limit=3, pending_limit=1)
    counting, loop = Counting(), asyncio.get_running_loop()
    gates = [loop.create_future() for _ in range(3)]
    for gate in gates:
        await scheduler.spawn(counting("gate", until=gate))
    await scheduler.spawn(counting("first", 9))
    blocked = asyncio.create_task(scheduler.spawn(counting("second", 9)))
    await settle()
    third = []

    def spawn_as_soon_as_the_queue_is_empty(tries):
        """Queued between the second and the third gate, and, pass after pass, between what follows them."""
        if scheduler.pending_count == 0 and not third:
            third.append(scheduler.spawn_nowait(counting("third", 9)))
        if tries:
            loop.call_soon(spawn_as_soon_as_the_queue_is_empty, tries - 1)

    gates[0].set_result(None)
    gates[1].set_result(None)
    loop.call_soon(spawn_as_soon_as_the_queue_is_empty, 5)
    gates[2].set_result(None)
    await settle()
    assert blocked.done()
    assert [job.active for job in third] == [True]
    assert counting.ran[3:] == ["first", "second", "third"]
    await scheduler.close()


@pytest.mark.requirement("LIMIT-4", "LIMIT-5")
async def test_jobs_may_spawn_jobs_and_wait_outside_like_any_other_caller():
    scheduler = Scheduler(limit=2, pending_limit=1)
    counting = Counting()

    async def parent():
        for number in range(4):
            await scheduler.spawn(counting(number, 1))
            books(scheduler)

    await scheduler.spawn(parent())
    await scheduler.wait_and_close()
    assert counting.ran == [0, 1, 2, 3]
    assert asyncio.get_running_loop().time() == 3


@pytest.mark.requirement("LIMIT-1", "LIMIT-2", "LIMIT-6")
async def test_slots_stay_right_through_a_long_mixed_story():
    scheduler = Scheduler(limit=3, pending_limit=2, exception_handler=Recorder(), close_timeout=1)
    jobs = []
    for number in range(60):
        kind = number % 6
        if kind == 0:
            call = scheduler.spawn(returns(number))
        elif kind == 1:
            call = scheduler.spawn(fails(ValueError(number)))
        elif kind == 2:
            call = scheduler.spawn(asyncio.sleep(0.5))
        elif kind == 3:
            call = scheduler.spawn(asyncio.wait_for(asyncio.sleep(9), 0.1))
        elif kind == 4:
            await jobs[-2].close()
            call = scheduler.spawn(returns())
        else:
            call = scheduler.spawn(forever())
        task = asyncio.create_task(call)
        await settle(number % 4)
        books(scheduler)
        if kind == 5 and not task.done():
            task.cancel()
        await settle()
        jobs += [] if task.cancelled() or not task.done() else [task.result()]
        books(scheduler)
        for job in jobs:
            if not job.done() and job.active and number % 7 == 0:
                await job.close()
                books(scheduler)
    await scheduler.wait_and_close(timeout=5)
    assert books(scheduler) == (0, 0, 0)
    assert all(job.done() for job in jobs)
