"""Spawning from another thread: the loop's thread does it, and a cancellation that succeeded leaves nothing."""

import asyncio
import concurrent.futures
import contextvars
import gc
import threading
import types
import weakref

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.inside import core
from support.observing import Complaints
from unit.bodies import Counting, Exotic, begin, books, fails, forever, is_closed, returns

pytestmark = [pytest.mark.requirement("SPAWN-7"), pytest.mark.loops("stock", "uvloop")]


def in_thread(function, *args):
    """Call a function in a thread of its own, and wait for that one: nothing else runs meanwhile."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


async def bound(**settings):
    scheduler = Scheduler(**settings)
    await (await scheduler.spawn(returns()))
    return scheduler


async def test_the_future_gives_the_job():
    scheduler = await bound()
    future = in_thread(scheduler.spawn_threadsafe, returns("result"), "named")
    assert not future.done()
    await settle()
    job = future.result(timeout=0)
    assert (await job, job.get_name()) == ("result", "named")
    await scheduler.close()


@pytest.mark.requirement("SPAWN-4")
async def test_the_job_runs_in_a_copy_of_the_context_of_the_caller():
    variable = contextvars.ContextVar("variable", default="loop")
    scheduler = await bound(limit=1, pending_limit=1)

    async def reads():
        return variable.get()

    def call():
        variable.set("thread")
        return [scheduler.spawn_threadsafe(reads()) for _ in range(3)]

    futures = in_thread(call)
    await settle()
    assert [future.result(timeout=0).result() for future in futures] == ["thread"] * 3
    await scheduler.close()


@pytest.mark.requirement("LIMIT-4", "LIMIT-5")
async def test_a_blocked_one_waits_in_its_place_without_a_task():
    scheduler, counting = await bound(limit=1, pending_limit=1), Counting()
    gate = asyncio.get_running_loop().create_future()
    await scheduler.spawn(counting("running", until=gate))
    await scheduler.spawn(counting("pending"))
    future = in_thread(scheduler.spawn_threadsafe, counting("thread"))
    await settle()
    later = asyncio.ensure_future(scheduler.spawn(counting("later")))
    tasks = len(asyncio.all_tasks())
    await settle()
    assert (scheduler.blocked_count, future.done()) == (2, False)
    assert len(asyncio.all_tasks()) == tasks
    gate.set_result(None)
    await settle()
    assert counting.ran == ["running", "pending", "thread", "later"]
    assert future.result(timeout=0).outcome == "returned"
    assert later.done()
    await scheduler.close()


@pytest.mark.requirement("SPAWN-1")
@pytest.mark.parametrize("moment", ["before the loop sees it", "blocked", "as a place falls free"])
async def test_a_cancellation_that_succeeds_leaves_nothing(moment):
    scheduler, counting = await bound(limit=1, pending_limit=1), Counting()
    gate, coro = asyncio.get_running_loop().create_future(), counting("thread")
    await scheduler.spawn(counting("running", until=gate))
    await scheduler.spawn(forever())
    future = in_thread(scheduler.spawn_threadsafe, coro)
    if moment != "before the loop sees it":
        await settle()
    if moment == "as a place falls free":
        gate.set_result(None)
        while scheduler.blocked_count:  # noqa: ASYNC110 - a loop pass is what is counted
            await asyncio.sleep(0)
    with Complaints() as complaints:
        assert in_thread(future.cancel)
        await settle()
    assert is_closed(coro)
    assert complaints.calls == []
    assert (scheduler.blocked_count, counting.ran) == (0, ["running"])
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(timeout=0)
    await scheduler.close()
    assert books(scheduler) == (0, 0, 0)


async def test_a_cancellation_that_comes_before_a_free_slot_is_seen_runs_nothing():
    scheduler, counting = await bound(), Counting()
    coro = counting("thread")
    future = in_thread(scheduler.spawn_threadsafe, coro)
    assert in_thread(future.cancel)
    await settle()
    assert (is_closed(coro), counting.ran, books(scheduler)) == (True, [], (0, 0, 0))
    await scheduler.close()


async def test_a_job_that_was_accepted_cannot_be_cancelled_by_the_future():
    scheduler = await bound(limit=1)
    await scheduler.spawn(forever())
    future = in_thread(scheduler.spawn_threadsafe, forever())
    await settle()
    assert not in_thread(future.cancel)
    assert future.result(timeout=0).state == "pending"
    await scheduler.close()


@pytest.mark.requirement("SPAWN-2")
@pytest.mark.parametrize("when", ["closed", "blocked"])
async def test_a_closed_scheduler_refuses_by_the_future(when):
    scheduler, coro = await bound(limit=1, pending_limit=1), forever()
    for _ in range(2):
        await scheduler.spawn(forever())
    if when == "closed":
        await scheduler.close()
    future = in_thread(scheduler.spawn_threadsafe, coro)
    await settle()
    await scheduler.close()
    await settle()
    with pytest.raises(RuntimeError, match="after closing"):
        future.result(timeout=0)
    assert is_closed(coro)


@pytest.mark.requirement("SPAWN-2")
async def test_who_cancels_when_the_scheduler_has_closed_is_cancelled():
    scheduler = await bound(limit=1, pending_limit=1)
    for _ in range(2):
        await scheduler.spawn(forever())
    future = in_thread(scheduler.spawn_threadsafe, forever())
    await settle()
    closing = asyncio.ensure_future(scheduler.close())
    await asyncio.sleep(0)
    assert in_thread(future.cancel)
    await settle()
    assert (closing.done(), future.cancelled(), scheduler.blocked_count) == (True, True, 0)


@pytest.mark.requirement("SPAWN-3")
async def test_what_the_loop_finds_wrong_comes_by_the_future():
    scheduler, coro = await bound(), returns()
    await scheduler.spawn(coro)
    with pytest.raises(RuntimeError, match="belongs to another job"):
        in_thread(scheduler.spawn_threadsafe, coro)
    twice = returns()
    first, second = (in_thread(scheduler.spawn_threadsafe, twice) for _ in range(2))
    await settle()
    assert first.result(timeout=0).outcome == "returned"
    with pytest.raises(RuntimeError, match="belongs to another job"):
        second.result(timeout=0)
    await scheduler.close()


@pytest.mark.requirement("SPAWN-3")
async def test_who_cancels_what_was_wrong_is_cancelled():
    scheduler, coro = await bound(limit=1, pending_limit=1), forever()
    for _ in range(2):
        await scheduler.spawn(forever())
    first, second = (in_thread(scheduler.spawn_threadsafe, coro) for _ in range(2))
    assert in_thread(second.cancel)
    await settle()
    assert (first.done(), second.cancelled(), scheduler.blocked_count) == (False, True, 1)
    await scheduler.close()
    await settle()
    assert isinstance(first.exception(), RuntimeError)


@pytest.mark.requirement("SPAWN-3")
async def test_a_coroutine_of_another_kind_is_taken_once():
    scheduler = await bound()
    coro = Exotic(forever())
    future = in_thread(scheduler.spawn_threadsafe, coro)
    await settle()
    assert future.result(timeout=0).state == "active"
    with pytest.raises(RuntimeError, match="belongs to another job"):
        in_thread(scheduler.spawn_threadsafe, coro)
    await scheduler.close()


@pytest.mark.requirement("SPAWN-3")
async def test_wrong_arguments_are_told_to_the_caller_at_once():
    scheduler = await bound()
    with pytest.raises(TypeError, match="coro must be a coroutine"):
        in_thread(scheduler.spawn_threadsafe, returns)
    coro = returns(1)
    with pytest.raises(TypeError, match="name must be a str"):
        in_thread(scheduler.spawn_threadsafe, coro, 5)
    with pytest.raises(RuntimeError, match="the thread of the scheduler's own loop"):
        scheduler.spawn_threadsafe(coro)
    with pytest.raises(RuntimeError, match="has no loop yet"):
        Scheduler().spawn_threadsafe(coro)
    assert await (await scheduler.spawn(coro)) == 1
    await scheduler.close()


def test_a_loop_that_is_closed_takes_nothing_and_the_coroutine_is_closed_too():
    scheduler, coro = Scheduler(), returns()

    async def main():
        await scheduler.spawn(returns())
        await scheduler.close()

    asyncio.run(main())
    with pytest.raises(RuntimeError, match="closed"):
        scheduler.spawn_threadsafe(coro)
    assert is_closed(coro)


async def test_a_task_that_cannot_be_made_fails_the_future():
    scheduler, loop = await bound(), asyncio.get_running_loop()

    def no_tasks(*_, **__):
        raise OSError("no tasks")

    future = in_thread(scheduler.spawn_threadsafe, fails(ValueError("mine")))
    loop.set_task_factory(no_tasks)
    await asyncio.sleep(0)
    loop.set_task_factory(None)
    await settle()
    with pytest.raises(OSError, match="no tasks"):
        future.result(timeout=0)
    assert books(scheduler) == (0, 0, 0)
    await scheduler.close()


async def test_many_threads_at_once_each_get_their_job():
    scheduler = await bound(limit=3, pending_limit=2)
    results = []

    def call(number):
        results.append(scheduler.spawn_threadsafe(returns(number)).result(timeout=30).qualname)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    while len(results) < len(threads):  # noqa: ASYNC110 - other threads set no event of this loop
        await asyncio.sleep(0.001)
    for thread in threads:
        thread.join()
    assert results == ["returns"] * 50
    await scheduler.wait_and_close()


@pytest.mark.parametrize("then", ["nothing", "a slot is released", "closing begins"])
async def test_who_waits_for_several_hears_of_a_blocked_one_that_was_withdrawn(then):
    scheduler = await bound(limit=1, pending_limit=1)
    first = await scheduler.spawn(forever())
    await scheduler.spawn(forever())
    coro = returns()
    future = in_thread(scheduler.spawn_threadsafe, coro)
    await settle()
    in_thread(future.cancel)
    if then == "a slot is released":
        await first.close()
    elif then == "closing begins":
        await scheduler.close()
    await settle()
    assert concurrent.futures.wait([future], timeout=0).done == {future}
    assert is_closed(coro)
    assert scheduler.blocked_count == 0
    await scheduler.close()


def test_who_waits_for_several_hears_of_one_that_was_withdrawn_from_a_dead_loop():
    futures, coros = [], [asyncio.sleep(0), returns(), returns()]
    scheduler = Scheduler(limit=1, pending_limit=1)

    async def main():
        for coro in coros[:2]:
            scheduler.spawn_nowait(coro)
        futures.append(in_thread(scheduler.spawn_threadsafe, coros[2]))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    assert scheduler.blocked_count == 1
    assert futures[0].cancel()
    assert concurrent.futures.wait(futures, timeout=0).done == {*futures}
    for coro in coros:
        coro.close()


async def test_a_place_that_a_stranger_has_cancelled_is_an_answer():
    scheduler = await bound(limit=1, pending_limit=1)
    for _ in range(2):
        await scheduler.spawn(forever())
    future = in_thread(scheduler.spawn_threadsafe, returns())
    await settle()
    next(iter(core(scheduler).places)).cancel()
    await settle()
    assert concurrent.futures.wait([future], timeout=0).done == {future}
    assert (future.cancelled(), scheduler.blocked_count) == (True, 0)
    await scheduler.close()


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize("taken_by", ["another call", "spawn", "the caller"])
async def test_a_coroutine_that_somebody_else_has_meanwhile_is_not_closed_by_a_withdrawal(taken_by):
    scheduler, jobs = await bound(), []
    gate = asyncio.get_running_loop().create_future()

    async def waits():
        return await gate

    coro = waits()

    def call():
        jobs.extend(scheduler.spawn_threadsafe(coro) for _ in range(2 if taken_by == "another call" else 1))
        assert jobs[-1].cancel()

    in_thread(call)
    if taken_by == "spawn":
        jobs.insert(0, await scheduler.spawn(coro))
    elif taken_by == "the caller":
        jobs.insert(0, begin(coro))
    await settle()
    gate.set_result("whole")
    job = jobs[0].result(timeout=0) if taken_by == "another call" else jobs[0]
    assert await job == "whole"
    await scheduler.close()


class Objects(Exotic):
    """Raises when it is closed."""

    def close(self):
        super().close()
        raise LookupError("mine")


@pytest.mark.requirement("BOOK-4")
async def test_a_coroutine_that_objects_to_its_withdrawal_is_told():
    scheduler = await bound()
    with Complaints() as complaints:
        assert in_thread(lambda: scheduler.spawn_threadsafe(Objects(returns())).cancel())
        await settle()
    assert [str(complaint["exception"]) for complaint in complaints.calls] == ["mine"]
    await scheduler.close()


@pytest.mark.requirement("BOOK-4")
def test_a_coroutine_that_objects_to_its_end_hides_that_the_loop_is_closed_from_nobody(caplog):
    scheduler = Scheduler()
    asyncio.run(scheduler.idle())
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        scheduler.spawn_threadsafe(Objects(returns()))
    assert "LookupError: mine" in caplog.text


@pytest.mark.requirement("BOOK-3")
@pytest.mark.parametrize("when", ["at once", "while it is blocked"])
async def test_a_refusal_needs_no_collector(when):
    gc.collect()
    gc.disable()
    try:
        scheduler = await bound(limit=1, pending_limit=1)
        for _ in range(2):
            await scheduler.spawn(forever())
        if when == "at once":
            await scheduler.close()
        future = in_thread(scheduler.spawn_threadsafe, returns())
        await settle()
        await scheduler.close()
        await settle()
        with pytest.raises(RuntimeError, match="after closing"):
            future.result(timeout=0)
        seen = weakref.ref(future)
        del future
        assert seen() is None
    finally:
        gc.enable()


# Without a loop.


@pytest.mark.requirement("SPAWN-3")
async def test_a_spawn_from_a_thread_without_a_loop_says_what_to_call_instead():
    scheduler = await bound()
    for spawn in (scheduler.spawn_nowait, lambda coro: scheduler.spawn_nowait(coro, "named")):
        coro = returns()
        with pytest.raises(
            RuntimeError, match=r"no running event loop in this thread.* its spawn_threadsafe$"
        ):
            await asyncio.to_thread(spawn, coro)
        coro.close()  # it has been left to its caller, untouched
    assert len(scheduler) == 0
    await scheduler.close()


@pytest.mark.requirement("SPAWN-3")
def test_a_spawn_before_there_is_any_loop_says_that_it_needs_one():
    coro = returns()
    with pytest.raises(
        RuntimeError, match=r"no running event loop in this thread.* needs one: call it in a coroutine"
    ):
        Scheduler().spawn_nowait(coro)
    coro.close()


# A loop that ends without a word.


def start(function, *args):
    """Call a function in a thread that keeps no process alive; the thread, and a list for what comes of it."""
    answers = []

    def call():
        try:
            answers.append(function(*args))
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread, answers


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("aiojobs._threads._PULSE", 0.01)


@pytest.mark.parametrize("how", ["result", "exception"])
@pytest.mark.usefixtures("quick")
def test_whoever_waits_in_a_thread_gets_an_answer_when_the_loop_is_closed(how):
    """Of three that wait, two wait for a blocked spawn, and one for a call to which the loop has not come."""
    coros = [asyncio.sleep(0) for _ in range(4)]
    scheduler, waiting = Scheduler(limit=1, pending_limit=1), []

    def wait_for(future):
        waiting.append(start(getattr(future, how)))

    async def main():
        for coro in coros[:2]:
            scheduler.spawn_nowait(coro)
        future = in_thread(scheduler.spawn_threadsafe, coros[2])
        for _ in range(2):
            wait_for(future)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    assert scheduler.blocked_count == 1
    wait_for(in_thread(scheduler.spawn_threadsafe, coros[3]))
    loop.close()
    for thread, _ in waiting:
        thread.join(60)
    assert [str(error) for _, (error,) in waiting] == [
        "the scheduler's loop was closed before it came to this call"
    ] * 3
    for coro in coros:
        coro.close()


@pytest.mark.usefixtures("quick")
async def test_whoever_waits_in_a_thread_waits_as_long_as_it_wants():
    scheduler = await bound(limit=1, pending_limit=1)
    for _ in range(2):
        scheduler.spawn_nowait(forever())
    future = in_thread(scheduler.spawn_threadsafe, forever())
    for seconds in (0, 0.05):
        with pytest.raises(concurrent.futures.TimeoutError):
            await asyncio.to_thread(future.result, seconds)
    thread, answers = start(future.result)
    await next(iter(scheduler)).close()
    await asyncio.to_thread(thread.join)
    assert answers == [*scheduler][1:]
    await scheduler.close()


async def test_an_answer_that_came_just_before_the_loop_was_closed_stands(monkeypatch):
    scheduler = await bound(limit=1, pending_limit=1)
    for _ in range(2):
        scheduler.spawn_nowait(forever())
    future = in_thread(scheduler.spawn_threadsafe, forever())
    monkeypatch.setattr(future, "_loop", types.SimpleNamespace(is_closed=future.cancel))
    monkeypatch.setattr("aiojobs._threads._PULSE", 0)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    await scheduler.close()
