"""Lanes: order and limits per key, turns over all keys, and what becomes of what waits."""

import asyncio
import concurrent.futures
import contextvars
import gc
import logging
import sys
import tracemalloc
import weakref
from contextlib import suppress

import pytest

from aiojobs import JobClosed, Outcome, PendingQueueFull, Scheduler, State
from aiojobs.lanes import Lanes
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, Counting, Exotic, fails, forever, is_closed, returns

ANY_LOOP = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


def full(**settings):
    """A scheduler with one slot, which is taken until the future is done."""
    scheduler = Scheduler(limit=1, **settings)
    free = asyncio.get_running_loop().create_future()
    scheduler.spawn_nowait(wait_for(free))
    return scheduler, free


async def wait_for(future):
    await asyncio.wait([future])


def in_thread(function, *args):
    """Call a function in a thread of its own, and wait for that one: nothing else runs meanwhile."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def fill(lanes, counting, names):
    """Spawn each name for the key that is its first letter."""
    return {name: lanes.spawn_nowait(name[0], counting(name, 1)) for name in names.split()}


# Turns, order and limits.


@pytest.mark.requirement("LANE-1", "LANE-2", "LANE-5")
@ANY_LOOP
async def test_keys_take_turns_however_much_one_of_them_has_waiting():
    async with Scheduler(limit=1) as scheduler:
        lanes, counting = Lanes(scheduler), Counting()
        for name in ["a1", "a2", "a3", "a4", "b1", "c1", "b2"]:
            lanes.spawn_nowait(name[0], counting(name))
    assert counting.ran == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


@pytest.mark.requirement("LANE-1")
async def test_a_key_whose_limit_is_two_has_no_two_turns_in_a_row():
    async with Scheduler(limit=1) as scheduler:
        lanes, counting = Lanes(scheduler, limit=2), Counting()
        fill(lanes, counting, "a1 a2 a3 b1 b2")
    assert counting.ran == ["a1", "b1", "a2", "b2", "a3"]


@pytest.mark.requirement("LANE-1", "LANE-3")
async def test_a_busy_key_takes_no_slot_from_others_while_it_waits_for_itself():
    loop = asyncio.get_running_loop()
    async with Scheduler(limit=10, wait_timeout=None) as scheduler:
        lanes = Lanes(scheduler)
        for _ in range(100):
            lanes.spawn_nowait("busy", asyncio.sleep(1))
        await lanes.spawn_nowait("other", asyncio.sleep(1))
        assert loop.time() == 1
    assert loop.time() == 100


@pytest.mark.requirement("LANE-2", "LANE-3")
@pytest.mark.parametrize(("limit", "seconds"), [(1, 6), (2, 3), (3, 2)])
async def test_the_limit_of_a_key(limit, seconds):
    loop, counting = asyncio.get_running_loop(), Counting()
    async with Scheduler() as scheduler:
        lanes = Lanes(scheduler, limit=limit)
        fill(lanes, counting, "a1 a2 a3 a4 a5 a6")
        assert (lanes.limit, lanes.pending_limit) == (limit, 1000)
    assert (loop.time(), counting.ran) == (seconds, ["a1", "a2", "a3", "a4", "a5", "a6"])


@pytest.mark.requirement("LANE-3")
async def test_a_raised_limit_holds_at_once_and_a_lowered_one_stops_nothing():
    scheduler = Scheduler()
    lanes, counting = Lanes(scheduler), Counting()
    lanes.set_limit(1)
    fill(lanes, counting, "a1 a2 a3 a4 a5")
    await settle()
    lanes.set_limit(3)
    await settle()
    assert counting.ran == ["a1", "a2", "a3"]
    lanes.set_limit(1)
    await asyncio.sleep(0.5)
    assert scheduler.active_count == 3
    await asyncio.sleep(1)
    assert (scheduler.active_count, counting.ran) == (1, ["a1", "a2", "a3", "a4"])
    await scheduler.wait_and_close()


@pytest.mark.requirement("LANE-3")
async def test_a_limit_that_is_lowered_before_a_turn_holds():
    async with Scheduler() as scheduler:
        lanes, counting = Lanes(scheduler, limit=2), Counting()
        fill(lanes, counting, "a1 a2 a3 a4")
        await settle()
        lanes.set_limit(3)
        lanes.set_limit(1)
        await settle()
        assert counting.ran == ["a1", "a2"]


@pytest.mark.requirement("LANE-4")
async def test_one_limit_for_all_keys_and_only_one_waits_in_the_queue():
    async with Scheduler(limit=2) as scheduler:
        lanes, counting = Lanes(scheduler), Counting()
        fill(lanes, counting, "a b c d e")
        await settle()
        assert (scheduler.active_count, scheduler.pending_count, lanes.pending_count) == (2, 1, 2)
        await scheduler.spawn(counting("other"))
        await asyncio.sleep(1)
        await settle()
        assert set(counting.ran[:4]) == {"a", "b", "c", "other"}


@pytest.mark.requirement("LANE-4", "LANE-5", "LIMIT-7")
async def test_the_limit_of_all_keys_can_be_raised():
    async with Scheduler(limit=1) as scheduler:
        lanes, counting = Lanes(scheduler), Counting()
        fill(lanes, counting, "a b c d e")
        await settle()
        scheduler.set_limit(4)
        await settle()
        assert counting.ran == ["a", "b", "c", "d"]


@pytest.mark.requirement("LANE-5")
async def test_one_at_the_door_that_is_closed_makes_way():
    scheduler, free = full()
    lanes, counting = Lanes(scheduler), Counting()
    handles = fill(lanes, counting, "a b")
    await settle()
    assert handles["a"].job in scheduler
    await handles["a"].close()
    free.set_result(None)
    await scheduler.wait_and_close()
    assert (counting.ran, handles["a"].outcome) == (["b"], Outcome.NEVER_STARTED)


# A full scheduler: the one at the door is a blocked caller.


@pytest.mark.requirement("LANE-4", "LANE-5")
@ANY_LOOP
async def test_a_scheduler_whose_queue_is_full_is_waited_for():
    scheduler, free = full(pending_limit=1)
    lanes, counting = Lanes(scheduler), Counting()
    scheduler.spawn_nowait(counting("other"))
    for name in "ab":
        lanes.spawn_nowait(name, counting(name))
    await settle()
    assert (scheduler.blocked_count, lanes.pending_count) == (1, 2)
    free.set_result(None)
    await scheduler.wait_and_close()
    assert counting.ran == ["other", "a", "b"]


@pytest.mark.requirement("LANE-6")
async def test_what_is_closed_while_it_is_blocked_never_runs():
    scheduler, free = full(pending_limit=1)
    lanes, counting = Lanes(scheduler), Counting()
    scheduler.spawn_nowait(counting("other"))
    handles = fill(lanes, counting, "a b")
    await settle()
    await handles["a"].close()
    assert (handles["a"].outcome, lanes.pending_count) == (Outcome.NEVER_STARTED, 1)
    free.set_result(None)
    await scheduler.wait_and_close()
    assert counting.ran == ["other", "b"]


@pytest.mark.requirement("LANE-6", "SHUT-5")
async def test_whoever_cancels_all_tasks_loses_nothing_that_waits_in_lanes():
    scheduler, free = full(pending_limit=1)
    lanes, counting = Lanes(scheduler), Counting()
    scheduler.spawn_nowait(counting("other"))
    handles = fill(lanes, counting, "a1 b a2")
    await settle()
    for task in asyncio.all_tasks():
        if task.get_name().startswith("lanes: "):
            task.cancel()
    await settle()
    free.set_result(None)
    await scheduler.wait_and_close()
    assert counting.ran == ["other", "a1", "b", "a2"]
    assert all(handle.outcome is Outcome.RETURNED for handle in handles.values())


@pytest.mark.requirement("LANE-6")
async def test_a_close_in_the_pass_of_the_admission_closes_the_job():
    scheduler, free = full(pending_limit=1)
    lanes, counting = Lanes(scheduler), Counting()
    other = scheduler.spawn_nowait(forever())
    handle = lanes.spawn_nowait("a", counting("a", 1))
    await settle()
    knocking = next(task for task in asyncio.all_tasks() if task.get_name().startswith("lanes: "))

    def close(_):
        with suppress(StopIteration):
            handle.close().send(None)

    # Before the lanes hear of it.
    knocking.remove_done_callback(lanes._answered)
    knocking.add_done_callback(close)
    knocking.add_done_callback(lanes._answered)
    await other.close()
    await settle()
    assert (handle.outcome, handle.job.outcome, counting.ran) == (Outcome.NEVER_STARTED,) * 2 + ([],)
    free.set_result(None)
    await scheduler.wait_and_close()
    assert lanes.key_count == 0


# Nothing is lost.


@pytest.mark.requirement("LANE-6", "SHUT-4")
async def test_draining_and_idle_wait_for_what_waits_in_lanes_and_for_blocked_callers():
    scheduler = Scheduler(limit=1)
    lanes, counting = Lanes(scheduler, pending_limit=1), Counting()
    await lanes.spawn("a", counting("a1", 1))
    await settle()
    await lanes.spawn("a", counting("a2", 1))
    blocked = asyncio.ensure_future(lanes.spawn("a", counting("a3", 1)))
    await settle()
    assert (lanes.blocked_count, lanes.pending_count) == (1, 1)
    await scheduler.idle()
    assert counting.ran == ["a1", "a2", "a3"]
    assert blocked.done()
    report = await scheduler.wait_and_close()
    assert (report.never_started, report.cancelled) == (0, 0)


@pytest.mark.requirement("LANE-6", "LANE-8", "SHUT-4")
@pytest.mark.parametrize("passes", range(5))
async def test_draining_waits_for_a_blocked_caller_behind_one_that_is_cancelled(passes):
    scheduler, counting, body = Scheduler(), Counting(), Body()
    lanes = Lanes(scheduler, pending_limit=1)
    lanes.spawn_nowait("a", body.run())
    await settle()
    second = lanes.spawn_nowait("a", counting("a2"))
    blocked = [asyncio.ensure_future(lanes.spawn("a", counting(name))) for name in ("a3", "a4")]
    draining = asyncio.ensure_future(scheduler.wait_and_close())
    await settle()
    await second.close()
    blocked[0].cancel()
    body.finish()
    for _ in range(passes):
        await asyncio.sleep(0)
    await draining
    assert counting.ran == ["a4"]


@pytest.mark.requirement("LANE-6", "SHUT-1", "SPAWN-2")
async def test_closing_drops_what_waits_says_so_and_refuses_blocked_callers(caplog):
    scheduler, _ = full(pending_limit=1)
    lanes, counting = Lanes(scheduler, pending_limit=1), Counting()
    scheduler.spawn_nowait(returns())
    coros = [counting(name) for name in "abcc"]
    handles = [lanes.spawn_nowait(name, coro) for name, coro in zip("abc", coros[:3], strict=True)]
    blocked = asyncio.ensure_future(lanes.spawn("c", coros[3]))
    waiting = asyncio.ensure_future(handles[0].wait())
    await settle()
    assert lanes.blocked_count == 1
    with caplog.at_level(logging.WARNING, "aiojobs"):
        await scheduler.close()
    assert [handle.outcome for handle in handles] == [Outcome.NEVER_STARTED] * 3
    assert all(map(is_closed, coros[:3]))
    assert lanes.pending_count == 0
    await settle()
    assert is_closed(coros[3])
    with pytest.raises(RuntimeError, match="after closing"):
        blocked.result()
    with pytest.raises(JobClosed, match="closed before it ran"):
        waiting.result()
    assert "Closing dropped work that waited in lanes: 3 never started (Counting.__call__: 3)" in caplog.text
    assert (lanes.key_count, lanes.blocked_count, counting.ran) == (0, 0, [])


@pytest.mark.requirement("LANE-6")
async def test_closing_with_nothing_waiting_drops_nothing_and_says_nothing(caplog):
    scheduler = Scheduler()
    lanes = Lanes(scheduler, pending_limit=1)
    handle = await lanes.spawn("a", forever())
    await settle()
    with caplog.at_level(logging.WARNING, "aiojobs"):
        await scheduler.close()
    assert handle.outcome is Outcome.CANCELLED
    assert "lanes" not in caplog.text


@pytest.mark.requirement("LANE-6", "SPAWN-2")
@pytest.mark.parametrize("call", ["spawn", "spawn_nowait", "coalesce"])
async def test_after_closing_everything_is_refused_and_its_coroutine_closed(call):
    scheduler = Scheduler()
    lanes = Lanes(scheduler)
    await scheduler.close()
    coro = returns()
    with pytest.raises(RuntimeError, match="Scheduling a new job after closing"):
        answer = getattr(lanes, call)("a", coro)
        if call == "spawn":
            await answer
    assert is_closed(coro)
    assert lanes.key_count == 0


@pytest.mark.requirement("LANE-6", "START-2")
async def test_a_coroutine_that_objects_to_being_closed_is_reported_and_disturbs_nobody():
    recorder = Recorder()
    scheduler, _ = full(exception_handler=recorder)
    lanes = Lanes(scheduler)
    error = OSError("objects")

    class Objecting(Exotic):
        def close(self):
            raise error

    objecting, plain = Objecting(returns()), returns()
    handles = [
        lanes.spawn_nowait(key, coro) for key, coro in zip("abc", [returns(), objecting, plain], strict=True)
    ]
    await settle()
    await scheduler.close()
    assert (recorder.exceptions, is_closed(plain)) == ([error], True)
    assert handles[1].outcome is Outcome.NEVER_STARTED
    objecting.coro.close()


@pytest.mark.requirement("LANE-6", "LANE-10")
async def test_a_failure_does_not_stop_its_lane():
    recorder = Recorder()
    async with Scheduler(exception_handler=recorder) as scheduler:
        lanes, counting = Lanes(scheduler), Counting()
        lanes.spawn_nowait("a", fails(LookupError()))
        lanes.spawn_nowait("a", counting("next"))
    assert (counting.ran, len(recorder.calls)) == (["next"], 1)


@pytest.mark.requirement("LANE-3", "LIMIT-6")
async def test_a_job_that_takes_its_time_to_stop_holds_up_its_lane():
    async with Scheduler(close_timeout=None) as scheduler:
        lanes, counting, body = Lanes(scheduler), Counting(), Body(swallows=1)
        lingers = lanes.spawn_nowait("a", body.run())
        lanes.spawn_nowait("a", counting("next"))
        await settle()
        closing = asyncio.ensure_future(lingers.close())
        await settle()
        assert (lingers.state, counting.ran) == (State.CLOSING, [])
        body.finish()
        await closing
        await settle()
        assert counting.ran == ["next"]


# Idle keys.


@pytest.mark.requirement("LANE-7", "BOOK-3")
@ANY_LOOP
async def test_nothing_is_kept_of_a_key_without_work():
    class Key:
        pass

    async with Scheduler() as scheduler:
        lanes = Lanes(scheduler)
        key = Key()
        handle = await lanes.spawn(key, returns(1))
        assert (await handle, lanes.key_count) in [(1, 0), (1, 1)]
        await settle()
        assert lanes.key_count == 0
        gone = weakref.ref(key)
        gc.disable()
        try:
            del key, handle
            assert gone() is None
        finally:
            gc.enable()


@pytest.mark.requirement("LANE-7")
async def test_a_lane_that_comes_and_goes_while_the_scheduler_is_full_leaves_nothing():
    scheduler, _ = full()
    lanes = Lanes(scheduler)
    lanes.spawn_nowait("door", returns())
    await settle()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(2000):
            handle = lanes.spawn_nowait(number, returns())
            await handle.close()
            await asyncio.sleep(0)
        del handle
        await settle()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
    await scheduler.close()


@pytest.mark.requirement("LANE-7", "BOOK-3")
async def test_a_job_that_failed_is_freed_without_the_collector():
    class Mine(Exception):  # noqa: N818
        pass

    async with Scheduler() as scheduler:
        lanes = Lanes(scheduler)

        async def fail():
            raise Mine

        gc.disable()
        try:
            handle = await lanes.spawn("a", fail())
            with suppress(Mine):
                await handle
            gone = weakref.ref(handle), weakref.ref(handle.exception())
            await settle()
            del handle
            assert [reference() for reference in gone] == [None, None]
        finally:
            gc.enable()


# Backpressure.


@pytest.mark.requirement("LANE-8")
async def test_a_full_lane_blocks_its_own_callers_and_nobody_else():
    async with Scheduler(limit=1) as scheduler:
        lanes, counting = Lanes(scheduler, pending_limit=1), Counting()
        await lanes.spawn("a", counting("a1", 1))
        await settle()
        await lanes.spawn("a", counting("a2", 1))
        refused = counting("a3")
        with pytest.raises(PendingQueueFull, match="all 1 places in the lane of 'a' are taken"):
            lanes.spawn_nowait("a", refused)
        assert is_closed(refused)
        blocked = asyncio.ensure_future(lanes.spawn("a", counting("a4")))
        await asyncio.sleep(0.5)
        assert not blocked.done()
        await lanes.spawn("b", counting("b1"))
        await blocked
    assert counting.ran == ["a1", "b1", "a2", "a4"]


@pytest.mark.requirement("LANE-2", "LANE-8")
async def test_nobody_overtakes_a_blocked_caller():
    async with Scheduler() as scheduler:
        lanes, counting = Lanes(scheduler, pending_limit=1), Counting()
        first = lanes.spawn_nowait("a", forever())
        await settle()
        second = lanes.spawn_nowait("a", counting("a2"))
        blocked = asyncio.ensure_future(lanes.spawn("a", counting("a3")))
        await settle()
        await second.close()
        with pytest.raises(PendingQueueFull):
            lanes.spawn_nowait("a", counting("a4"))
        await settle()
        assert blocked.done()
        await first.close()
    assert counting.ran == ["a3"]


@pytest.mark.requirement("LANE-6", "LANE-8", "SPAWN-1")
@pytest.mark.parametrize("place", ["none", "before", "after"])
async def test_a_blocked_caller_that_is_cancelled_leaves_nothing_and_gives_its_place_on(place):
    async with Scheduler() as scheduler:
        lanes, counting = Lanes(scheduler, pending_limit=1), Counting()
        first = lanes.spawn_nowait("a", forever())
        await settle()
        second = lanes.spawn_nowait("a", counting("a2"))
        coro = counting("a3")
        blocked = [asyncio.ensure_future(lanes.spawn("a", made)) for made in (coro, counting("a4"))]
        await settle()
        if place == "before":
            await second.close()
        blocked[0].cancel()
        if place == "after":
            await second.close()
        await settle()
        assert blocked[0].cancelled()
        assert is_closed(coro)
        assert lanes.blocked_count == (1 if place == "none" else 0)
        await first.close()
    assert counting.ran == (["a2", "a4"] if place == "none" else ["a4"])


@pytest.mark.requirement("LANE-6", "LANE-8")
async def test_the_last_blocked_caller_that_is_cancelled_leaves_no_lane():
    scheduler = Scheduler()
    lanes = Lanes(scheduler, pending_limit=1)
    first = lanes.spawn_nowait("a", forever())
    await settle()
    second = lanes.spawn_nowait("a", returns())
    blocked = asyncio.ensure_future(lanes.spawn("a", returns()))
    await settle()
    await second.close()
    await first.close()
    blocked.cancel()
    await settle()
    assert (lanes.key_count, lanes.blocked_count) == (0, 0)
    await scheduler.wait_and_close()


# Coalescing.


@pytest.mark.requirement("LANE-9")
async def test_at_most_one_runs_and_one_waits():
    async with Scheduler() as scheduler:
        lanes, counting = Lanes(scheduler), Counting()
        first = lanes.coalesce("page", counting("first", 1))
        assert lanes.coalesce("page", counting("as the first")) is first
        await settle()
        second = lanes.coalesce("page", counting("second", 1))
        spare = counting("as the second")
        assert lanes.coalesce("page", spare) is second
        assert second is not first
        assert is_closed(spare)
    assert counting.ran == ["first", "second"]


@pytest.mark.requirement("LANE-9")
async def test_one_that_waits_for_a_slot_has_not_begun_and_does_for_more():
    scheduler, free = full()
    lanes, counting = Lanes(scheduler), Counting()
    first = lanes.coalesce("page", counting("first"))
    await settle()
    assert first.job is not None
    assert lanes.coalesce("page", counting("second")) is first
    free.set_result(None)
    await scheduler.wait_and_close()
    assert counting.ran == ["first"]


@pytest.mark.requirement("LANE-9")
async def test_one_that_was_asked_to_stop_before_its_first_step_does_for_nothing():
    async with Scheduler() as scheduler:
        lanes, counting, handles = Lanes(scheduler), Counting(), []
        first = lanes.coalesce("page", counting("first", 1))
        asks = first.close()

        def meanwhile():
            assert (first.active, counting.ran) == (True, [])
            asks.send(None)
            handles.append(lanes.coalesce("page", counting("second")))

        asyncio.get_running_loop().call_soon(meanwhile)
        await settle()
        asks.close()
    assert first is not handles[0]
    assert counting.ran == ["first", "second"]


# As a job.


@pytest.mark.requirement("LANE-10", "EXC-1")
@ANY_LOOP
async def test_a_failure_reaches_whoever_waited_before_the_turn_and_nobody_else():
    recorder = Recorder()
    scheduler, free = full(exception_handler=recorder)
    lanes, error = Lanes(scheduler), LookupError("mine")
    lanes.spawn_nowait("door", returns())
    handle = lanes.spawn_nowait("a", fails(error))
    waiters = [asyncio.ensure_future(handle.wait()) for _ in range(2)]
    await settle()
    free.set_result(None)
    for waiter in waiters:
        with pytest.raises(LookupError):
            await waiter
    assert handle.exception() is error
    with pytest.raises(LookupError):
        handle.result()
    await scheduler.close()
    assert recorder.calls == []


@pytest.mark.requirement("LANE-10", "EXC-1")
@ANY_LOOP
@pytest.mark.parametrize("pending_limit", [1, 0])
async def test_a_failure_in_the_first_step_reaches_them_however_the_turn_came(pending_limit):
    recorder = Recorder()
    scheduler, free = full(exception_handler=recorder, pending_limit=pending_limit)
    scheduler.spawn_nowait(returns())
    lanes = Lanes(scheduler)
    lanes.spawn_nowait("door", returns())
    handle = lanes.spawn_nowait("a", fails(LookupError()))
    waiter = asyncio.ensure_future(handle.wait())
    await settle()
    free.set_result(None)
    with pytest.raises(LookupError):
        await waiter
    await scheduler.close()
    assert recorder.calls == []


@pytest.mark.requirement("LANE-10", "EXC-1")
async def test_a_failure_that_nobody_waits_for_goes_to_the_handler_once():
    recorder = Recorder()
    async with Scheduler(exception_handler=recorder) as scheduler:
        Lanes(scheduler).spawn_nowait("a", fails(LookupError()))
    assert [type(exception) for exception in recorder.exceptions] == [LookupError]


@pytest.mark.requirement("LANE-10")
async def test_a_handle_answers_as_its_job_does():
    async with Scheduler() as scheduler:
        lanes, body = Lanes(scheduler), Body()
        handle = await lanes.spawn("a", body.run(), "named")
        assert (handle.key, handle.job, handle.get_name(), handle.qualname) == (
            "a",
            None,
            "named",
            "Body.run",
        )
        assert (handle.state, handle.outcome, handle.pending, handle.active) == (
            State.PENDING,
            None,
            True,
            False,
        )
        assert not any((handle.closed, handle.done(), handle.cancelled()))
        assert repr(handle) == "<LaneJob pending key='a' coro=<Body.run>>"
        assert repr(lanes) == "<Lanes keys=1 pending=1>"
        for question in (handle.result, handle.exception):
            with pytest.raises(asyncio.InvalidStateError, match="has not ended"):
                question()
        await settle()
        assert handle.job in scheduler
        assert (handle.job.get_name(), handle.job.qualname) == ("named", "Body.run")
        assert (handle.get_name(), handle.state, handle.active) == ("named", State.ACTIVE, True)
        body.finish("result")
        assert (await handle, handle.result(), handle.exception()) == ("result", "result", None)
        assert (handle.done(), handle.closed, handle.cancelled()) == (True, True, False)


@pytest.mark.requirement("LANE-10", "WAIT-1")
async def test_cancelling_a_waiter_touches_nothing():
    scheduler, free = full()
    lanes = Lanes(scheduler)
    lanes.spawn_nowait("door", returns())
    handle = lanes.spawn_nowait("a", returns("result"))
    waiters = [asyncio.ensure_future(handle.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    free.set_result(None)
    assert await waiters[1] == "result"
    assert waiters[0].cancelled()
    await scheduler.close()


@pytest.mark.requirement("LANE-10", "WAIT-2")
async def test_a_wait_that_is_over_before_the_turn_closes_it():
    scheduler, free = full()
    lanes = Lanes(scheduler)
    handles = [lanes.spawn_nowait("a", returns()) for _ in range(2)]
    with pytest.raises(TimeoutError, match="did not start in time and was closed"):
        await handles[1].wait(timeout=1)
    assert handles[1].outcome is Outcome.NEVER_STARTED
    with pytest.raises(TimeoutError):
        await handles[0].wait(timeout=1)
    assert asyncio.get_running_loop().time() == 2
    free.set_result(None)
    await scheduler.wait_and_close()


@pytest.mark.requirement("LANE-10", "WAIT-2")
async def test_the_time_of_a_wait_counts_the_time_in_the_lane():
    loop = asyncio.get_running_loop()
    async with Scheduler() as scheduler:
        lanes = Lanes(scheduler)
        lanes.spawn_nowait("a", asyncio.sleep(2))
        handle = lanes.spawn_nowait("a", asyncio.sleep(2))
        with pytest.raises(TimeoutError):
            await handle.wait(timeout=3)
        assert (loop.time(), handle.cancelled()) == (3, True)


@pytest.mark.requirement("LANE-10", "WAIT-2")
async def test_a_time_that_is_over_when_the_turn_comes_is_over():
    async with Scheduler() as scheduler:
        handle = Lanes(scheduler).spawn_nowait("a", forever())
        with pytest.raises(TimeoutError, match="did not end"):
            await handle.wait(timeout=0)
        assert handle.outcome is Outcome.CANCELLED


@pytest.mark.requirement("LANE-10")
async def test_done_callbacks_are_called_with_the_handle_whenever_they_were_added():
    variable = contextvars.ContextVar("variable")
    told = []

    def tell(handle):
        told.append((handle, variable.get(None)))

    scheduler, free = full()
    lanes = Lanes(scheduler)
    runs, never = lanes.spawn_nowait("a", returns()), lanes.spawn_nowait("a", returns())
    variable.set("before")
    runs.add_done_callback(tell)
    never.add_done_callback(tell)
    await settle()
    variable.set("with a job")
    runs.add_done_callback(tell)
    await never.close()
    await settle()
    assert told == [(never, "before")]
    free.set_result(None)
    await scheduler.wait_and_close()
    await settle()
    assert told[1:] == [(runs, "before"), (runs, "with a job")]
    variable.set("after")
    never.add_done_callback(tell)
    await settle()
    assert told[3:] == [(never, "after")]
    with pytest.raises(TypeError, match="fn must be callable"):
        never.add_done_callback(None)


@pytest.mark.requirement("LANE-10")
async def test_closing_what_has_ended_or_never_ran_does_nothing_and_a_failure_on_the_way_out_is_raised():
    class Stubborn:
        async def run(self):
            try:
                await forever()
            except asyncio.CancelledError:
                raise LookupError from None

    scheduler, free = full()
    lanes = Lanes(scheduler)
    first, second = lanes.spawn_nowait("a", Stubborn().run()), lanes.spawn_nowait("a", returns())
    for _ in range(2):
        await second.close()
    assert (second.get_name(), second.closed, second.done(), second.cancelled()) == (None, True, True, True)
    for question in (second.result, second.exception):
        with pytest.raises(JobClosed):
            question()
    free.set_result(None)
    await asyncio.sleep(1)
    with pytest.raises(LookupError):
        await first.close()
    await first.close()
    await scheduler.close()


@pytest.mark.requirement("LANE-10", "SPAWN-4")
async def test_it_runs_in_the_context_of_its_caller_or_in_the_one_given():
    variable = contextvars.ContextVar("variable", default="none")
    given = contextvars.copy_context()
    given.run(variable.set, "given")

    async def reads():
        return variable.get()

    async with Scheduler(limit=1) as scheduler:
        lanes = Lanes(scheduler)
        variable.set("caller")
        handles = [await lanes.spawn("a", reads()), lanes.spawn_nowait("a", reads(), context=given)]
        variable.set("later")
        assert [await handle for handle in handles] == ["caller", "given"]


@pytest.mark.requirement("LANE-10", "SPAWN-6")
async def test_a_job_may_have_a_time_from_its_start():
    async with Scheduler() as scheduler:
        lanes = Lanes(scheduler)
        lanes.spawn_nowait("a", asyncio.sleep(5))
        handle = lanes.spawn_nowait("a", asyncio.sleep(5), timeout=2)
        with pytest.raises(TimeoutError):
            await handle
        assert asyncio.get_running_loop().time() == 7
        assert (handle.outcome, handle.cancelled()) == (Outcome.TIMED_OUT, False)


@pytest.mark.requirement("LANE-10", "WAIT-4")
async def test_one_that_waits_for_itself_is_told_so():
    async with Scheduler() as scheduler:
        lanes = Lanes(scheduler)

        async def waits():
            with pytest.raises(RuntimeError, match="can't wait for itself"):
                await handle
            return "told"

        handle = lanes.spawn_nowait("a", waits())
        assert await handle == "told"


@pytest.mark.requirement("LANE-10", "START-1", "EXC-1")
async def test_a_close_that_meets_a_failure_which_waits_for_its_waiters_changes_nothing():
    """A failure is kept until those who waited wait for the job; a cancellation meanwhile is no way out."""
    scheduler = Scheduler(exception_handler=Recorder())
    handle = Lanes(scheduler).spawn_nowait("a", fails(LookupError()))
    late = asyncio.get_running_loop().create_future()
    handle.waiters = {late: None}
    await settle()
    assert handle.active
    closing = asyncio.ensure_future(handle.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not handle.done()
    handle.waiters.clear()
    with pytest.raises(LookupError):
        await closing
    await scheduler.close()


# Arguments.


@pytest.mark.requirement("SPAWN-3")
async def test_arguments_that_make_no_sense_are_named_and_change_nothing():
    scheduler, _ = full()
    for wrong, error in [
        ({"scheduler": None}, "scheduler must be"),
        ({"limit": None}, "limit must be an int"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"pending_limit": -1}, "pending_limit must be at least 0"),
    ]:
        with pytest.raises((TypeError, ValueError), match=error):
            Lanes(**{"scheduler": scheduler, **wrong})
    lanes = Lanes(scheduler)
    with pytest.raises(ValueError, match="limit must be at least 1"):
        lanes.set_limit(0)
    coro = returns()
    for arguments, options, error in [
        ((1, 2), {}, "coro must be a coroutine"),
        (([], coro), {}, "unhashable"),
        ((1, coro, 2), {}, "name must be a str"),
        ((1, coro), {"context": 1}, "context must be"),
        ((1, coro), {"timeout": -1}, "timeout must be"),
    ]:
        with pytest.raises((TypeError, ValueError), match=error):
            lanes.spawn_nowait(*arguments, **options)
    assert (lanes.key_count, is_closed(coro)) == (0, False)
    lanes.spawn_nowait(1, coro)
    with pytest.raises(RuntimeError, match="must not have been started or spawned before"):
        lanes.spawn_nowait(1, coro)
    await scheduler.close()
    begun = forever()
    begun.send(None)
    with pytest.raises(RuntimeError, match="must not have been started"):
        Lanes(Scheduler()).spawn_nowait(1, begun)
    begun.close()


@pytest.mark.requirement("SPAWN-3")
async def test_another_loop_is_refused():
    scheduler, free = full()
    lanes = Lanes(scheduler)
    handle = lanes.spawn_nowait("a", returns())
    coro = returns()

    async def elsewhere():
        for refused in (lambda: lanes.spawn_nowait("a", coro), lambda: lanes.set_limit(2)):
            with pytest.raises(RuntimeError, match="bound to a different event loop"):
                refused()
        with pytest.raises(RuntimeError, match="bound to a different event loop"):
            await handle.close()

    in_thread(asyncio.run, elsewhere())
    assert not is_closed(coro)
    coro.close()
    free.set_result(None)
    await scheduler.wait_and_close()
    assert handle.outcome is Outcome.RETURNED


@pytest.mark.requirement("SEE-1")
async def test_an_observer_may_not_spawn():
    caught = []

    def observer(_):
        coro = returns()
        try:
            lanes.spawn_nowait("a", coro)
        except RuntimeError as error:
            caught.append((str(error), is_closed(coro)))

    scheduler = Scheduler(observer=observer)
    lanes = Lanes(scheduler)
    lanes.spawn_nowait("a", returns())
    await settle()
    assert len(caught) == 3
    assert all("observer" in error and closed for error, closed in caught)
    assert lanes.key_count == 0
    await scheduler.close()


@pytest.mark.requirement("LANE-10")
async def test_a_coroutine_of_another_kind_has_the_name_of_its_type():
    async with Scheduler() as scheduler:
        handle = await Lanes(scheduler).spawn("a", Exotic(returns(3)))
        assert (handle.qualname, await handle) == ("Exotic", 3)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks")
@pytest.mark.requirement("LANE-4")
@pytest.mark.loops("eager")
async def test_jobs_that_end_while_they_are_spawned():
    async with Scheduler(limit=1) as scheduler:
        lanes, counting = Lanes(scheduler), Counting()
        for number in range(50):
            lanes.spawn_nowait(number % 5, counting(number))
    assert sorted(counting.ran) == list(range(50))
