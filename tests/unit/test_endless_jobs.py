"""Jobs that never end by themselves: draining does not wait for them, and stops them in the end."""

import asyncio
from contextlib import suppress

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, forever, returns

pytestmark = pytest.mark.requirement("SHUT-8")


async def test_draining_waits_for_the_work_and_then_stops_the_loop():
    scheduler, ticker, loop = Scheduler(), Body(), asyncio.get_running_loop()
    tick = await scheduler.spawn(ticker.run(), drain=False)
    work = await scheduler.spawn(asyncio.sleep(7))
    report = await scheduler.wait_and_close()
    assert loop.time() == 7
    assert (work.outcome, tick.outcome, ticker.log) == (
        "returned",
        "cancelled",
        ["started", "cancelled", "ended"],
    )
    assert (report.cancelled, report.total, report.dropped) == (1, 1, 0)


async def test_leaving_the_context_does_the_same():
    loop = asyncio.get_running_loop()
    async with Scheduler() as scheduler:
        await scheduler.spawn(forever(), drain=False)
        await scheduler.spawn(asyncio.sleep(7))
    assert loop.time() == 7


async def test_work_behind_the_loop_is_waited_for():
    scheduler, loop = Scheduler(limit=2), asyncio.get_running_loop()
    await scheduler.spawn(forever(), drain=False)
    jobs = [await scheduler.spawn(asyncio.sleep(1)) for _ in range(3)]
    await scheduler.wait_and_close()
    assert loop.time() == 3
    assert {job.outcome for job in jobs} == {"returned"}


async def test_a_loop_that_is_pending_is_not_waited_for_and_never_starts():
    scheduler = Scheduler(limit=1)
    work = await scheduler.spawn(asyncio.sleep(1))
    loops = [await scheduler.spawn(forever(), drain=False) for _ in range(2)]
    await scheduler.wait_and_close()
    assert (work.outcome, [job.outcome for job in loops]) == ("returned", ["cancelled", "never_started"])


async def test_idle_waits_for_all_but_loops_and_leaves_the_scheduler_open():
    scheduler, loop = Scheduler(), asyncio.get_running_loop()
    tick = await scheduler.spawn(forever(), drain=False)
    await scheduler.spawn(asyncio.sleep(3))
    shielded = scheduler.shield(asyncio.sleep(5))
    await scheduler.idle()
    assert (loop.time(), scheduler.phase, tick.state) == (5, "open", "active")
    await shielded
    await scheduler.idle()
    assert loop.time() == 5
    await scheduler.close()


async def test_idle_of_an_empty_or_closed_scheduler_returns_at_once():
    scheduler = Scheduler()
    await scheduler.idle()
    await scheduler.close()
    await scheduler.idle()
    assert asyncio.get_running_loop().time() == 0


async def test_idle_waits_for_what_is_added_meanwhile():
    scheduler, loop = Scheduler(), asyncio.get_running_loop()

    async def parent():
        await asyncio.sleep(1)
        await scheduler.spawn(asyncio.sleep(2))

    await scheduler.spawn(parent())
    await scheduler.idle()
    assert loop.time() == 3
    await scheduler.close()


async def test_idle_returns_when_closing_is_over():
    scheduler, body = Scheduler(close_timeout=2, exception_handler=Recorder()), Body(swallows=9)
    await scheduler.spawn(body.run())
    waiting = asyncio.ensure_future(scheduler.idle())
    await settle()
    closing = asyncio.ensure_future(scheduler.close())
    await asyncio.sleep(1)
    assert not waiting.done()
    late = asyncio.ensure_future(scheduler.idle())
    await closing
    await settle()
    assert (waiting.done(), late.done(), scheduler.phase) == (True, True, "closed")
    body.finish()
    await settle()


@pytest.mark.requirement("WAIT-4")
async def test_a_loop_may_wait_for_idleness_and_work_may_not():
    scheduler, seen = Scheduler(limit=None, exception_handler=Recorder()), []

    async def reporter():
        await scheduler.idle()
        seen.append("idle")
        await forever()

    async def worker():
        await scheduler.idle()

    await scheduler.spawn(reporter(), drain=False)
    job = await scheduler.spawn(worker())
    with pytest.raises(RuntimeError, match="its own scheduler"):
        await job
    await settle()
    assert seen == ["idle"]
    await scheduler.close()


@pytest.mark.requirement("WAIT-4")
async def test_a_loop_cannot_close_its_own_scheduler():
    scheduler = Scheduler()

    async def closer():
        await scheduler.wait_and_close()

    job = await scheduler.spawn(closer(), drain=False)
    with pytest.raises(RuntimeError, match="its own scheduler"):
        await job
    await scheduler.close()


@pytest.mark.parametrize("last", ["pending is closed", "blocked gives up", "loop starts", "limit is raised"])
async def test_whatever_was_the_last_to_be_waited_for_ends_the_wait(last):
    scheduler, body = Scheduler(limit=1, pending_limit=1), Body()
    first = await scheduler.spawn(body.run(), drain=last == "loop starts")
    second = await scheduler.spawn(forever(), drain=last == "pending is closed")
    blocked = asyncio.ensure_future(scheduler.spawn(forever(), drain=False))
    await settle()
    if last not in ("blocked gives up", "limit is raised"):
        blocked.cancel()
        await settle()
    waiting = asyncio.ensure_future(scheduler.idle())
    await settle()
    assert not waiting.done()
    if last == "pending is closed":
        await second.close()
    elif last == "blocked gives up":
        blocked.cancel()
    elif last == "limit is raised":
        scheduler.set_limit(2)
    else:
        body.finish()
    await settle()
    assert waiting.done()
    assert first.outcome in (None, "returned")
    await scheduler.close()


@pytest.mark.parametrize("value", [None, 1, "no"])
async def test_drain_is_a_flag(value):
    scheduler, coro = Scheduler(), returns(1)
    with pytest.raises(TypeError, match="^drain must be True or False"):
        await scheduler.spawn(coro, drain=value)
    assert await (await scheduler.spawn(coro)) == 1


@pytest.mark.requirement("WAIT-4", "SHUT-2")
@pytest.mark.parametrize("begun", ["before", "meanwhile"])
async def test_once_closing_has_begun_it_may_not_wait_for_itself(begun):
    scheduler, answers, body = Scheduler(close_timeout=None), [], Body(swallows=1)

    async def ticker():
        with suppress(asyncio.CancelledError):
            await forever()
        if begun == "before":
            await body.run()
        try:
            await scheduler.idle()
        except RuntimeError as error:
            answers.append(str(error))

    job = await scheduler.spawn(ticker(), drain=False)
    await scheduler.spawn(forever())
    await settle()
    if begun == "meanwhile":  # it is asked to stop but once, which it ignores before closing begins
        with pytest.raises(TimeoutError):
            await job.close(timeout=0)
    ending = asyncio.ensure_future(scheduler.close())
    await settle()
    if begun == "before":
        body.finish()
    await ending
    assert len(answers) == 1
    assert "can't wait for its own scheduler" in answers[0]
