"""Shielded awaitables: as asyncio.shield, and nothing of them is lost (EXC-4, SPAWN-2, SHUT-2, SHUT-4)."""

import asyncio
import gc
from contextlib import suppress

import pytest

from aiojobs import JobClosed, PendingQueueFull, Scheduler, _ownership
from aiojobs.testing import settle
from support.inside import shields
from support.observing import Complaints, Recorder
from unit.bodies import Body, Exotic, fails, forever, is_closed, returns

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")

pytestmark = pytest.mark.requirement("EXC-4")


def future():
    return asyncio.get_running_loop().create_future()


# As asyncio.shield.


class Awaitable:
    def __await__(self):
        return asyncio.sleep(0, "awaitable").__await__()


@EVERYWHERE
async def test_whatever_can_be_awaited_can_be_shielded():
    scheduler = Scheduler()
    job = await scheduler.spawn(returns("job"))
    done = future()
    done.set_result("done")
    for shielded, expected in [
        (returns("coroutine"), "coroutine"),
        (asyncio.create_task(returns("task")), "task"),
        (done, "done"),
        (Awaitable(), "awaitable"),
        (job, "job"),
        (job.wait(), "job"),
    ]:
        assert await scheduler.shield(shielded) == expected
    await settle()
    assert not shields(scheduler).inners


async def test_a_future_that_is_done_is_given_back_as_it_is():
    scheduler = Scheduler()
    for finish in (lambda f: f.set_result(1), lambda f: f.cancel()):
        done = future()
        finish(done)
        assert scheduler.shield(done) is done
    assert not shields(scheduler).inners


@EVERYWHERE
async def test_cancelling_the_caller_leaves_the_inner_one_alone():
    scheduler, body = Scheduler(), Body()
    inner = asyncio.create_task(body.run())

    async def caller():
        return await scheduler.shield(inner)

    task = asyncio.create_task(caller())
    await settle()
    task.cancel()
    await settle()
    assert task.cancelled()
    assert body.log == ["started"]
    body.finish("mine")
    assert await inner == "mine"
    await scheduler.close()


async def test_exceptions_and_cancellations_of_the_inner_one_reach_the_caller():
    scheduler = Scheduler()
    with pytest.raises(ValueError, match="mine"):
        await scheduler.shield(fails(ValueError("mine")))
    cancelled = scheduler.shield(fails(asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert cancelled.cancelled()


async def test_a_job_that_was_closed_looks_cancelled_through_a_shield():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    shielded = scheduler.shield(job.wait())
    await job.close()
    with pytest.raises(asyncio.CancelledError):
        await shielded
    with pytest.raises(JobClosed):
        await job


@pytest.mark.requirement("SPAWN-3")
async def test_a_future_of_another_loop_is_refused_and_left_alone():
    scheduler, other = Scheduler(), asyncio.new_event_loop()
    foreign = other.create_future()
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        scheduler.shield(foreign)
    assert not foreign.done()
    other.close()


@pytest.mark.requirement("SPAWN-3")
def test_a_shield_on_another_loop_is_refused_and_the_coroutine_left_alone():
    scheduler = Scheduler()
    coro = returns()

    async def shield(what):
        return scheduler.shield(what)

    asyncio.run(shield(returns()))
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        asyncio.run(shield(coro))
    assert not is_closed(coro)
    coro.close()


@pytest.mark.requirement("SPAWN-3")
async def test_a_coroutine_that_is_shielded_belongs_to_nobody_else():
    scheduler = Scheduler()
    coro = returns("mine")
    shield = scheduler.shield(coro)
    for take in (scheduler.spawn_nowait, scheduler.shield, Scheduler().shield):
        with pytest.raises(RuntimeError, match="coro belongs to another job already, or to a shield"):
            take(coro)
    assert await shield == "mine"
    assert len(scheduler) == 0


@pytest.mark.requirement("SPAWN-3")
@EVERYWHERE
async def test_a_shielded_coroutine_that_is_not_pythons_own_is_remembered_until_it_ends():
    before = set(_ownership.foreign)
    scheduler, gate = Scheduler(), future()
    coro = Exotic(awaits(gate))
    shield = scheduler.shield(coro)
    with pytest.raises(RuntimeError, match="coro belongs to another job already, or to a shield"):
        scheduler.spawn_nowait(coro)
    gate.set_result("mine")
    assert await shield == "mine"
    assert _ownership.foreign == before
    assert await scheduler.shield(Exotic(returns("at once"))) == "at once"
    assert _ownership.foreign == before


async def awaits(awaitable):
    return await awaitable


@pytest.mark.requirement("SPAWN-3")
def test_a_shielded_coroutine_whose_loop_is_dropped_is_not_remembered():
    async def leave():
        Scheduler().shield(Exotic(forever()))
        await settle()

    before = set(_ownership.foreign)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it complains that a task is destroyed, and is right
    loop.run_until_complete(leave())
    assert len(_ownership.foreign) == len(before) + 1
    loop.close()
    del loop
    gc.collect()
    assert _ownership.foreign == before


@pytest.mark.requirement("SPAWN-3", "SPAWN-2")
async def test_of_what_is_refused_nothing_is_remembered():
    before = set(_ownership.foreign)
    async with Scheduler(limit=1, pending_limit=1) as scheduler:
        jobs = [scheduler.spawn_nowait(forever()) for _ in range(2)]
        with pytest.raises(PendingQueueFull):
            scheduler.spawn_nowait(Exotic(returns()))
        for job in reversed(jobs):
            await job.close()
    for take in (scheduler.spawn_nowait, scheduler.shield):
        with pytest.raises(RuntimeError, match="after closing"):
            take(Exotic(returns()))
    assert _ownership.foreign == before


@pytest.mark.requirement("SPAWN-1", "SPAWN-3")
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
async def test_a_coroutine_whose_shield_gets_no_task_is_closed(monkeypatch, error):
    def fails_always(coro, **_):
        raise error("no task today")

    before, coro = set(_ownership.foreign), returns()
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "create_task", fails_always)
        for arg in (coro, Exotic(returns())):
            with pytest.raises(error, match="no task today"):
                Scheduler().shield(arg)
    assert is_closed(coro)
    assert _ownership.foreign == before


@pytest.mark.requirement("SPAWN-1", "BOOK-4")
@pytest.mark.parametrize("take", ["shield", "spawn_nowait"])
async def test_the_caller_gets_what_a_factory_raised_and_the_handler_what_the_cleanup_does(monkeypatch, take):
    async def cleans_up_badly():
        try:
            await forever()
        finally:
            raise ValueError("in the cleanup")

    def begins_and_fails(coro, **_):
        coro.send(None)
        raise OSError("no task after all")

    scheduler = Scheduler()
    with monkeypatch.context() as patch, Complaints() as complaints:
        patch.setattr(asyncio.get_running_loop(), "create_task", begins_and_fails)
        with pytest.raises(OSError, match="no task after all"):
            getattr(scheduler, take)(cleans_up_badly())
    assert len(scheduler) == 0
    assert [str(complaint["exception"]) for complaint in complaints.calls] == ["in the cleanup"]


@pytest.mark.requirement("SPAWN-2")
async def test_what_is_closed_takes_on_no_shield_whatever_its_kind():
    scheduler = Scheduler()
    await scheduler.close()
    coro = returns()
    for arg in (coro, future(), Awaitable()):
        with pytest.raises(RuntimeError, match="Shielding an awaitable after closing"):
            scheduler.shield(arg)
    assert is_closed(coro)


# Nobody there any more.


@EVERYWHERE
async def test_a_failure_after_the_caller_is_gone_goes_to_the_handler_once():
    handler, error, inner = Recorder(), ValueError("mine"), future()
    scheduler = Scheduler(exception_handler=handler)
    scheduler.shield(inner).cancel()
    await settle()
    assert handler.calls == []
    inner.set_exception(error)
    await settle()
    assert handler.messages == ["Shielded awaitable failed"]
    assert handler.exceptions == [error]
    assert not shields(scheduler).inners


async def test_a_failure_that_has_happened_when_the_caller_goes_goes_to_the_handler_too():
    handler, error, inner = Recorder(), ValueError("mine"), future()
    scheduler = Scheduler(exception_handler=handler)
    outer = scheduler.shield(inner)
    inner.set_exception(error)
    outer.cancel()
    await settle()
    assert handler.exceptions == [error]


async def test_without_a_handler_the_loop_hears_of_it():
    inner = future()
    with Complaints() as complaints:
        Scheduler().shield(inner).cancel()
        inner.set_exception(ValueError("mine"))
        await settle()
    assert complaints.messages == ["Shielded awaitable failed"]


@pytest.mark.parametrize("end", ["result", "cancellation"])
async def test_nothing_but_a_failure_is_reported(end):
    handler, inner = Recorder(), future()
    scheduler = Scheduler(exception_handler=handler)
    scheduler.shield(inner).cancel()
    if end == "result":
        inner.set_result(1)
    else:
        inner.cancel()
    await settle()
    assert handler.calls == []
    assert not shields(scheduler).inners


@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_one_that_is_shielded_twice_is_reported_once_and_only_if_both_callers_are_gone(gone):
    handler, error, inner = Recorder(), ValueError("mine"), future()
    scheduler = Scheduler(exception_handler=handler)
    outers = [scheduler.shield(inner) for _ in range(2)]
    assert outers[0] is not outers[1]
    for outer in outers[:gone]:
        outer.cancel()
    inner.set_exception(error)
    answers = await asyncio.gather(*outers, return_exceptions=True)
    assert answers[gone:] == [error] * (2 - gone)
    await settle()
    assert handler.exceptions == ([error] if gone == 2 else [])


async def test_an_outer_future_that_somebody_has_finished_by_hand_upsets_nothing():
    handler, inner = Recorder(), future()
    scheduler = Scheduler(exception_handler=handler)
    scheduler.shield(inner).set_result("by hand")
    inner.set_exception(ValueError("mine"))
    await scheduler.wait_and_close(timeout=1)
    assert asyncio.get_running_loop().time() == 0
    assert [str(error) for error in handler.exceptions] == ["mine"]


@pytest.mark.requirement("EXC-2", "SHUT-4")
async def test_a_handler_that_raises_does_not_keep_a_drain_waiting():
    scheduler, inner = Scheduler(exception_handler=Recorder(raises=KeyError())), future()
    scheduler.shield(inner).cancel()
    drainer = asyncio.create_task(scheduler.wait_and_close())
    await settle()
    with Complaints() as complaints:
        inner.set_exception(ValueError())
        await drainer
    assert complaints.messages == ["Unhandled error in exception_handler of a scheduler"]


# Draining and closing.


@pytest.mark.requirement("SHUT-4")
async def test_draining_waits_for_shielded_awaitables_whose_callers_are_gone():
    scheduler, inner = Scheduler(), future()
    scheduler.shield(inner).cancel()
    asyncio.get_running_loop().call_at(5, inner.set_result, None)
    await scheduler.wait_and_close()
    assert asyncio.get_running_loop().time() == 5


@pytest.mark.requirement("SHUT-2", "SHUT-4")
async def test_closing_cancels_shielded_awaitables_once_and_waits_for_them():
    scheduler, body, inner = Scheduler(close_timeout=5), Body(swallows=1), future()
    task = asyncio.create_task(body.run())
    outers = [scheduler.shield(task), scheduler.shield(task), scheduler.shield(inner)]
    await settle()
    asyncio.get_running_loop().call_at(3, body.finish, "in the end")
    await scheduler.close()
    assert asyncio.get_running_loop().time() == 3
    assert (body.cancellations, inner.cancelled()) == (1, True)
    await settle()
    assert [outer.result() for outer in outers[:2]] == ["in the end"] * 2
    assert outers[2].cancelled()


@pytest.mark.requirement("SHUT-2")
async def test_a_shielded_awaitable_that_is_late_is_reported_once_and_forgotten_when_it_ends():
    handler, body = Recorder(), Body(swallows=9)
    scheduler = Scheduler(close_timeout=2, exception_handler=handler)
    task = asyncio.create_task(body.run())
    outer = scheduler.shield(task)
    scheduler.shield(task)
    await settle()
    await scheduler.close()
    assert (asyncio.get_running_loop().time(), scheduler.phase) == (2, "closed")
    assert handler.messages == ["Shielded awaitable closing timed out"]
    body.finish("late")
    assert await outer == "late"
    await settle()
    assert not shields(scheduler).inners
    assert len(handler.calls) == 1


@pytest.mark.requirement("SHUT-2")
def test_a_shielded_awaitable_that_is_done_at_the_deadline_is_not_late(steps):
    handler = Recorder()
    scheduler, inner = Scheduler(close_timeout=1, exception_handler=handler), steps.create_future()

    async def stubborn():
        while not inner.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([inner])

    task = asyncio.ensure_future(stubborn())
    scheduler.shield(task)
    steps.settle()
    closing = asyncio.ensure_future(scheduler.close())
    steps.settle()
    inner.set_result(None)
    steps.turn_until(task.done)
    steps.advance(1)
    steps.settle()
    assert closing.done()
    assert scheduler.phase == "closed"
    assert handler.calls == []


@pytest.mark.requirement("SHUT-2", "EXC-4")
async def test_a_shielded_awaitable_that_fails_while_it_is_cancelled_reaches_its_caller_or_the_handler():
    handler, body, orphan = Recorder(), Body(swallows=1), Body(swallows=1)
    scheduler = Scheduler(close_timeout=5, exception_handler=handler)
    outer = scheduler.shield(body.run())
    scheduler.shield(orphan.run()).cancel()
    await settle()
    closing = asyncio.create_task(scheduler.close())
    await settle()
    body.fail(ValueError("received"))
    orphan.fail(ValueError("reported"))
    await closing
    with pytest.raises(ValueError, match="received"):
        await outer
    assert [str(error) for error in handler.exceptions] == ["reported"]


@pytest.mark.requirement("BOOK-1")
async def test_shielded_awaitables_are_no_jobs():
    scheduler, inner = Scheduler(limit=1), future()
    scheduler.shield(inner)
    assert (len(scheduler), scheduler.active_count, list(scheduler)) == (0, 0, [])
    assert await (await scheduler.spawn(returns("mine"))) == "mine"
    await scheduler.close()


@pytest.mark.requirement("SHUT-2")
@pytest.mark.loops("eager", "stock-eager")
async def test_a_shielded_coroutine_whose_first_step_closes_the_scheduler_is_stopped_too():
    scheduler, closing, ended = Scheduler(close_timeout=5), [], []

    async def closes_at_once():
        closing.append(asyncio.create_task(scheduler.close()))
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("asked to stop")

    outer = scheduler.shield(closes_at_once())
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(outer, 50)
    await closing[0]
    assert ended == ["asked to stop"]
    assert (scheduler.phase, len(shields(scheduler).inners)) == ("closed", 0)


@pytest.mark.requirement("BOOK-3")
async def test_callers_of_a_shield_who_have_gone_are_not_remembered():
    scheduler, inner = Scheduler(), future()
    for _ in range(100):
        outer = scheduler.shield(inner)
        outer.cancel()
    await settle()
    (shielded,) = shields(scheduler).inners.values()
    assert len(shielded.outers) == 0
    outer = scheduler.shield(inner)
    inner.set_result("still")
    assert await outer == "still"


@pytest.mark.requirement("SPAWN-1", "BOOK-4")
async def test_a_shield_of_what_the_loop_makes_no_task_for_is_refused_and_keeps_nothing(monkeypatch):
    scheduler, coro = Scheduler(), returns()
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "create_task", lambda coro, **_: None)
        with pytest.raises(TypeError, match="must return a task, got None"):
            scheduler.shield(coro)
    assert is_closed(coro)
    assert shields(scheduler).inners == {}


@pytest.mark.requirement("SPAWN-1", "BOOK-4")
async def test_a_future_that_tells_nobody_of_its_end_is_not_shielded():
    class Silent(asyncio.Future):
        def add_done_callback(self, *_, **__):
            raise OSError("no callbacks")

    scheduler = Scheduler()
    silent = Silent()
    with pytest.raises(OSError, match="no callbacks"):
        scheduler.shield(silent)
    assert shields(scheduler).inners == {}
    await scheduler.close()


@pytest.mark.requirement("WAIT-4")
@pytest.mark.loops("eager", "stock-eager")
async def test_a_shielded_coroutine_that_closes_its_scheduler_at_once_is_told_what_to_do():
    if asyncio.get_running_loop().get_task_factory() is None:
        return  # below Python 3.12 there are no eager tasks, and the coroutine begins when it is known
    scheduler = Scheduler()

    async def closes():
        await scheduler.close()

    with pytest.raises(RuntimeError, match="a job can't close its own scheduler"):
        await scheduler.shield(closes())
    await scheduler.close()
