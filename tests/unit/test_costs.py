"""What one job costs, as facts that can be counted: timers, tasks, callbacks, operations (COST-1)."""

import asyncio
import gc
import sys
from collections import OrderedDict

import pytest

import aiojobs
from aiojobs import Scheduler
from aiojobs._queue import Queue
from aiojobs.testing import settle
from support.builds import replaces_what_is_compiled
from support.inside import core
from unit.bodies import Body, fails, forever, returns

pytestmark = pytest.mark.requirement("COST-1")


async def pending_behind_one(count):
    scheduler = Scheduler(limit=1, pending_limit=0)
    await scheduler.spawn(forever())
    return scheduler, [await scheduler.spawn(returns(number)) for number in range(count)]


PACKAGE = aiojobs.__file__.removesuffix("__init__.py")


async def operations(work):
    """How many lines of this package run while `work` does: a cost without noise and without a clock."""
    lines = 0

    def trace(frame, event, _argument):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(PACKAGE) or "testing" in frame.f_code.co_filename:
            return None
        lines += event == "line"
        return trace

    await settle()
    gc.collect()
    gc.disable()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        await work()
    finally:
        sys.settrace(before)
        gc.enable()
    return lines


class Unwalkable(OrderedDict):
    """Counts on being asked by key, or for either end; whoever walks through it fails."""

    def __iter__(self):
        yield next(super().__iter__())
        raise AssertionError("walked through")

    keys = values = items = __iter__


class UnwalkableQueue(Queue):
    """Nobody walks along its links."""

    def __iter__(self):
        raise AssertionError("walked through")


@replaces_what_is_compiled
async def test_no_step_of_one_job_walks_through_the_books():
    scheduler = Scheduler(limit=2, pending_limit=2, exception_handler=lambda *_: None)
    inside = core(scheduler)
    kept = (inside.slots, inside.queue, inside.places)
    inside.slots, inside.queue, inside.places = Unwalkable(), UnwalkableQueue(), Unwalkable()
    for end in (returns, forever, lambda: fails(ValueError())):
        jobs = [await scheduler.spawn(end()) for _ in range(4)]
        calls = [asyncio.create_task(scheduler.spawn(end())) for _ in range(3)]
        await settle(2)
        calls[0].cancel()
        await asyncio.wait([calls[0]])
        await jobs[-1].close()
        await asyncio.gather(*(job.close() for job in jobs), return_exceptions=True)
        for call in calls[1:]:
            await asyncio.gather((await call).close(), return_exceptions=True)
        await settle()
    assert (len(scheduler), len(inside.places)) == (0, 0)
    inside.slots, inside.queue, inside.places = kept
    await scheduler.close()


@pytest.mark.parametrize("end", ["first", "middle", "last"])
async def test_closing_a_pending_job_costs_the_same_wherever_it_stands_and_however_many_there_are(end):
    costs = []
    for count in (10, 1000):
        scheduler, jobs = await pending_behind_one(count)
        job = {"first": jobs[0], "middle": jobs[count // 2], "last": jobs[-1]}[end]
        costs.append(await operations(job.close))
        await scheduler.close()
    assert costs[0] == costs[1] > 0


async def test_spawning_costs_the_same_however_many_there_are():
    costs = []
    for count in (10, 1000):
        scheduler, _ = await pending_behind_one(count)
        coro = returns()
        costs.append(await operations(lambda scheduler=scheduler, coro=coro: scheduler.spawn(coro)))
        await scheduler.close()
    assert costs[0] == costs[1] > 0


async def test_the_end_of_a_job_and_the_start_of_the_next_cost_the_same_however_many_there_are():
    costs = []
    for count in (10, 1000):
        scheduler, jobs = await pending_behind_one(count)
        first = next(iter(scheduler))
        costs.append(await operations(lambda first=first, next_=jobs[0]: _close_and_wait(first, next_)))
        await scheduler.close()
    assert costs[0] == costs[1] > 0


async def _close_and_wait(first, next_):
    await first.close()
    assert next_.active


async def test_closing_an_active_job_costs_the_same_however_many_there_are():
    costs = []
    for count in (10, 1000):
        scheduler = Scheduler(limit=None)
        jobs = [await scheduler.spawn(forever()) for _ in range(count)]
        await settle()
        costs.append(await operations(jobs[count // 2].close))
        await scheduler.close()
    assert costs[0] == costs[1] > 0


async def test_giving_up_outside_costs_the_same_however_many_wait_there():
    costs = []
    for count in (10, 1000):
        scheduler = Scheduler(limit=1, pending_limit=1)
        for _ in range(2):
            await scheduler.spawn(forever())
        calls = [asyncio.create_task(scheduler.spawn(returns())) for _ in range(count)]
        await settle(2)
        costs.append(await operations(lambda call=calls[count // 2]: _cancel(call)))
        await scheduler.close()
        await asyncio.gather(*calls, return_exceptions=True)
    assert costs[0] == costs[1] > 0


async def _cancel(call):
    call.cancel()
    await settle(2)


@pytest.mark.parametrize("state", ["active", "pending"])
async def test_closing_everything_costs_as_much_for_each_of_many_as_for_each_of_few(state):
    costs = {}
    for count in (100, 200, 300):
        scheduler = Scheduler(limit=None if state == "active" else 1)
        for _ in range(count):
            await scheduler.spawn(forever())
        await settle()
        costs[count] = await operations(scheduler.close)
    assert costs[300] - costs[200] == costs[200] - costs[100] > 0


async def test_a_job_costs_one_task_and_no_timer():
    loop, scheduler = asyncio.get_running_loop(), Scheduler(limit=50)
    before = len(asyncio.all_tasks())
    jobs = [await scheduler.spawn(forever()) for _ in range(80)]
    waiters = [job.wait() for job in jobs[:10]]
    for waiter in waiters:
        waiter.send(None)
    await settle()
    assert len(asyncio.all_tasks()) - before == 50
    assert loop.timers() == ()
    for waiter in waiters:
        waiter.close()
    await scheduler.close()


async def test_a_job_that_is_closed_costs_one_timer_while_it_closes_and_a_waiter_one_if_it_has_a_timeout():
    loop, scheduler, body = asyncio.get_running_loop(), Scheduler(close_timeout=9), Body(swallows=1)
    job = await scheduler.spawn(body.run())
    await settle()
    calls = [asyncio.create_task(call) for call in (job.wait(), job.wait(timeout=5), job.close())]
    await settle()
    assert [timer.when() for timer in loop.timers()] == [5, 9]
    body.finish()
    await asyncio.gather(*calls, return_exceptions=True)
    assert loop.timers() == ()


async def test_a_pending_job_is_closed_without_timer_task_or_pass():
    loop = asyncio.get_running_loop()
    scheduler, jobs = await pending_behind_one(10)
    turns, tasks = loop.turns, len(asyncio.all_tasks())
    for job in jobs:
        await job.close()
    assert (loop.turns - turns, len(asyncio.all_tasks()) - tasks, loop.timers()) == (0, 0, ())
    await scheduler.close()


async def test_a_trivial_job_takes_one_pass_and_its_waiter_one_more():
    loop, scheduler = asyncio.get_running_loop(), Scheduler()
    job = await scheduler.spawn(returns())
    turns = loop.turns
    await job
    assert loop.turns - turns <= 2


async def test_a_slot_is_handed_on_in_the_pass_in_which_it_falls_free():
    loop, scheduler, steps = asyncio.get_running_loop(), Scheduler(limit=1), []

    async def body():
        steps.append(loop.turns)

    for _ in range(10):
        await scheduler.spawn(body())
    await scheduler.wait_and_close()
    assert steps == list(range(steps[0], steps[0] + 10))


def test_a_job_has_no_dict():
    scheduler = Scheduler()

    async def main():
        job = await scheduler.spawn(returns())
        await job
        return job

    assert not hasattr(asyncio.run(main()), "__dict__")
