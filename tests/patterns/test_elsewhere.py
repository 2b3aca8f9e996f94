"""Work elsewhere: the stop gets there once, the slot is kept until the end, the outcome is what it came to."""

import asyncio
import concurrent.futures
import contextvars
import gc
import threading
import weakref
from functools import partial

import pytest

from aiojobs import JobClosed, Outcome, Scheduler
from aiojobs.elsewhere import _end_of, elsewhere, run_blocking
from aiojobs.testing import cancel_at_every_await, explore, settle
from support.observing import Complaints

pytestmark = pytest.mark.requirement("LIMIT-6")


class Far:
    """Something elsewhere: it takes a second to be started, ten to run, and two to stop if it is told to."""

    def __init__(self, comes_to="result", stops_with=asyncio.CancelledError, told=None):
        self.comes_to = comes_to
        self.stops_with = stops_with
        self.told = told
        self.began = self.ended = None
        self.stops = []
        self.waits = 0

    async def start(self):
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        self.began, self.over = now(), loop.create_future()
        self.timer = loop.call_later(10, self._end, self.comes_to)
        return self

    async def wait(self):
        self.waits += 1
        what = await asyncio.shield(self.over)
        if isinstance(what, str):
            return what
        raise what

    def stop(self):
        self.stops.append(now())
        self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(2, self._end, self.stops_with)
        return self.told and self.told()

    def _end(self, what):
        self.ended = now()
        if not self.over.done():
            self.over.set_result(what)

    def job(self):
        return elsewhere(self.start, Far.wait, Far.stop)


def now():
    return asyncio.get_running_loop().time()


async def test_a_job_comes_to_what_the_work_came_to():
    async with Scheduler() as scheduler:
        returned = await scheduler.spawn(Far("result").job())
        raised = await scheduler.spawn(Far(OSError("far")).job())
        with pytest.raises(OSError, match="^far$"):
            await raised
    assert (returned.result(), now()) == ("result", 11)


async def test_a_stop_is_passed_on_once_and_the_slot_kept_until_the_end():
    scheduler, far = Scheduler(limit=1, close_timeout=1), Far()
    job = await scheduler.spawn(far.job())
    following = await scheduler.spawn(Far().job())
    await asyncio.sleep(5)
    with pytest.raises(TimeoutError):
        await job.close()
    assert (scheduler.active_count, following.pending, now()) == (1, True, 6)
    await asyncio.wait([job])
    assert (far.stops, far.ended, now(), job.outcome) == ([5], 7, 7, Outcome.CANCELLED)
    await following.close(timeout=10)
    await scheduler.close()


async def test_a_stop_that_comes_while_it_is_being_started_is_passed_on_then():
    async with Scheduler() as scheduler:
        far = Far()
        job = await scheduler.spawn(far.job())
        await asyncio.sleep(0.5)
        await job.close(timeout=10)
    assert (far.began, far.stops, far.ended, job.outcome) == (1, [1], 3, Outcome.CANCELLED)


@pytest.mark.requirement("START-2")
async def test_what_is_closed_before_it_has_a_slot_is_never_begun():
    async with Scheduler(limit=1) as scheduler:
        await scheduler.spawn(asyncio.sleep(1))
        far = Far()
        await (await scheduler.spawn(far.job())).close()
    assert far.began is None


async def test_whoever_cancels_how_often_the_work_is_told_once():
    far = Far()
    task = asyncio.create_task(far.job())
    for _ in range(30):
        await asyncio.sleep(0.25)
        task.cancel()
    await asyncio.wait([task])
    assert (far.stops, far.ended, task.cancelled()) == ([1], 3, True)


@pytest.mark.parametrize("delay", [0.5, 5])
async def test_all_tasks_may_be_cancelled_and_the_work_is_told_once(delay):
    far = Far()
    task = asyncio.create_task(far.job())
    await asyncio.sleep(delay)
    for one in asyncio.all_tasks() - {asyncio.current_task()}:
        one.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert far.began is None if delay < 1 else (far.stops, far.ended, far.waits) == ([5], 7, 2)


async def test_to_cancel_the_waiting_is_to_ask_the_work_to_stop():
    far = Far()
    task = asyncio.create_task(far.job())
    await asyncio.sleep(5)
    for one in asyncio.all_tasks() - {asyncio.current_task(), task}:
        one.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), far.stops, far.ended, far.waits) == (True, [5], 7, 2)


async def test_work_that_is_done_all_the_same_is_done():
    async with Scheduler() as scheduler:
        job = await scheduler.spawn(Far(stops_with="half of it").job())
        await asyncio.sleep(5)
        await job.close(timeout=10)
    assert (job.outcome, job.result()) == (Outcome.RETURNED, "half of it")


async def test_a_stop_that_comes_as_the_work_ends_is_not_passed_on():
    far = Far()
    task = asyncio.create_task(far.job())
    await asyncio.sleep(5)
    far.over.set_result("result")
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "result"
    assert far.stops == []
    far.timer.cancel()


async def test_work_that_somebody_else_has_stopped_is_a_job_that_was_cancelled():
    async with Scheduler() as scheduler:
        job = await scheduler.spawn(Far(asyncio.CancelledError).job())
        with pytest.raises(JobClosed):
            await job
    assert job.outcome is Outcome.CANCELLED


async def test_what_can_not_be_started_has_not_begun():
    async def refuses():
        await asyncio.sleep(1)
        raise ConnectionError("refused")

    far, caught = Far(), []
    for delay in (0.5, 2):
        task = asyncio.create_task(elsewhere(refuses, Far.wait, Far.stop))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.wait([task])
        caught.append(repr(task.exception()))
    assert (caught, far.waits) == (["ConnectionError('refused')"] * 2, 0)


async def test_a_stop_that_fails_is_told_and_the_work_waited_for():
    def can_not(_far):
        raise OSError("unreachable")

    far = Far()
    task = asyncio.create_task(elsewhere(far.start, Far.wait, can_not))
    await asyncio.sleep(5)
    with Complaints() as complaints:
        task.cancel()
        assert await task == "result"
    assert complaints.messages == ["Stopping work elsewhere failed"]
    assert now() == 11


async def test_a_stop_may_take_its_time():
    far = Far(told=partial(asyncio.sleep, 1))
    task = asyncio.create_task(far.job())
    await asyncio.sleep(5)
    task.cancel()
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait([task])
    assert (far.stops, now()) == ([5], 7)


@pytest.mark.requirement("BOOK-3")
async def test_a_failure_is_freed_without_the_cycle_collector():
    class Token:
        pass

    kept = [Token()]
    seen = weakref.ref(kept[0])

    async def fails(_far):
        raise OSError(kept.pop())

    gc.disable()
    try:
        async with Scheduler(exception_handler=lambda _scheduler, _context: None) as scheduler:
            await scheduler.spawn(elsewhere(partial(asyncio.sleep, 1), fails, Far.stop))
        await settle()
        assert seen() is None
    finally:
        gc.enable()


# --- At every moment, in every order --------------------------------------------------------------------------


def is_whole(far):
    """It was never begun, or it has ended, and was told at most once."""
    return (far.began is None or far.ended is not None) and len(far.stops) <= 1


def test_wherever_it_is_cancelled_the_work_has_ended_and_was_told_once():
    def make():
        far = Far(told=partial(asyncio.sleep, 1))
        return far, far.job()

    cancel_at_every_await(make, is_whole)


@explore(seconds=60)
async def test_in_every_order_of_events_the_stop_gets_there_and_the_outcome_is_the_truth(story):
    seen = {"told": 0, "ended": None}

    async def start():
        await story.io("start", fails=[ConnectionError])
        return "far"

    async def wait(_far):
        seen["ended"] = await story.io("work", answers=["done", "stopped"])
        if seen["ended"] == "stopped":
            raise asyncio.CancelledError
        return seen["ended"]

    async def stop(_far):
        seen["told"] += 1
        await story.io("stop")

    async def job():
        try:
            result = await elsewhere(start, wait, stop)
        except asyncio.CancelledError:
            result = "stopped"
        assert seen["ended"] == result

    story.check(lambda: seen["told"] <= 1)
    story.task("job", job(), cancel=True)
    await story.rest()


# --- Threads and processes ------------------------------------------------------------------------------------


class Executor(concurrent.futures.Executor):
    """One that has its calls run when it is told to."""

    def __init__(self):
        self.calls = []

    def submit(self, function, /, *args, **kwargs):
        future = concurrent.futures.Future()
        self.calls.append((future, lambda: function(*args, **kwargs)))
        return future

    def begin(self):
        future, call = self.calls.pop(0)
        assert future.set_running_or_notify_cancel()
        return lambda: future.set_result(call())


async def test_a_call_that_has_not_begun_is_never_made():
    executor, stops = Executor(), []
    task = asyncio.create_task(run_blocking(pow, 2, 5, executor=executor, stop=lambda: stops.append(1)))
    await settle()
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), executor.calls[0][0].cancelled(), stops) == (True, True, [])


@pytest.mark.parametrize("stoppable", [True, False])
async def test_a_call_that_has_begun_keeps_its_slot_until_it_returns(stoppable):
    executor, stops = Executor(), []
    scheduler = Scheduler(limit=1)
    stop = {"stop": lambda: stops.append(1)} if stoppable else {}
    job = await scheduler.spawn(run_blocking(pow, 2, 5, executor=executor, **stop))
    following = await scheduler.spawn(run_blocking(pow, 2, 6, executor=executor))
    await settle()
    end = executor.begin()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await job.close()
    assert (scheduler.active_count, following.pending, len(executor.calls)) == (1, True, 0)
    end()
    assert await job == 32
    assert len(stops) == stoppable
    await settle()
    executor.begin()()
    assert await following == 64
    await scheduler.close()


async def test_a_stop_that_comes_when_the_call_has_returned_is_none():
    executor, stops = Executor(), []
    task = asyncio.create_task(run_blocking(pow, 2, 5, executor=executor, stop=lambda: stops.append(1)))
    await settle()
    executor.begin()()
    task.cancel()
    assert await task == 32
    assert stops == []


@pytest.mark.loops("stock", "uvloop")
class TestThreads:
    """Time is real: these are real threads. Nothing sleeps, each waits for the other."""

    async def test_limit_two_never_has_a_third_thread(self):
        inside, most, lock, go, both = 0, 0, threading.Lock(), threading.Event(), threading.Event()

        def work():
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
                if inside == 2:
                    both.set()
            go.wait(10)
            with lock:
                inside -= 1

        async with Scheduler(limit=2, close_timeout=0.01) as scheduler:
            jobs = [await scheduler.spawn(run_blocking(work)) for _ in range(6)]
            await run_blocking(both.wait, 10)
            for job in jobs[:2]:
                with pytest.raises(TimeoutError):
                    await job.close()
            assert [job.state for job in jobs] == ["closing"] * 2 + ["pending"] * 4
            go.set()
        assert (inside, most) == (0, 2)

    async def test_a_call_that_looks_whether_it_should_stop_is_told(self):
        event, begun = threading.Event(), threading.Event()

        def work():
            begun.set()
            return event.wait(10)

        async with Scheduler() as scheduler:
            job = await scheduler.spawn(run_blocking(work, stop=event.set))
            await run_blocking(begun.wait, 10)
            await job.close(timeout=10)
        assert (job.outcome, job.result()) == (Outcome.RETURNED, True)

    async def test_calls_of_the_loops_threads_that_have_not_begun_are_never_made(self):
        loop, go, calls = asyncio.get_running_loop(), threading.Event(), []
        with concurrent.futures.ThreadPoolExecutor(1) as one:
            loop.set_default_executor(one)
            first = asyncio.create_task(run_blocking(go.wait, 10))
            second = asyncio.create_task(run_blocking(calls.append, 1))
            await settle()
            second.cancel()
            await asyncio.wait([second])
            go.set()
            assert await first
        assert (second.cancelled(), calls) == (True, [])

    async def test_it_runs_in_a_copy_of_the_context(self):
        variable = contextvars.ContextVar("variable")
        variable.set("mine")
        assert await run_blocking(variable.get) == "mine"
        await run_blocking(variable.set, "thread's")
        assert variable.get() == "mine"

    async def test_what_it_raises_is_raised(self):
        with pytest.raises(ZeroDivisionError):
            await run_blocking(divmod, 1, 0)
        with pytest.raises(RuntimeError, match="StopIteration"):  # which no coroutine can raise
            await run_blocking(next, iter([]))


@pytest.mark.loops("stock")
async def test_a_process_does_as_well():
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        assert await run_blocking(pow, 2, 10, executor=pool) == 1024


def test_a_call_that_outlives_its_loop_tells_nobody(caplog):
    future, loop = concurrent.futures.Future(), asyncio.new_event_loop()
    waiting = _end_of(future)

    async def first_step():
        waiting.send(None)

    loop.run_until_complete(first_step())
    loop.close()
    future.set_result(32)
    waiting.close()
    assert caplog.records == []
