"""Observers are told of everything, in order, with the outcome set; they look, and change nothing."""

import asyncio

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.inside import core
from support.observing import Complaints, Recorder
from unit.bodies import begin, books, fails, forever, returns

pytestmark = pytest.mark.requirement("SEE-1")


async def test_several_observers_are_told_in_order_and_one_that_raises_keeps_nothing_from_the_others():
    told = []

    def observer(name):
        def observe(record):
            told.append((name, str(record.event)))
            if name == "a":
                raise LookupError(name)

        return observe

    scheduler = Scheduler(observer=[observer("a"), observer("b")])
    job = await scheduler.spawn(returns())
    await job
    assert told == [(name, event) for event in ("accept", "start", "finish") for name in "ab"]
    loop = asyncio.get_running_loop()
    assert [str(complaint["exception"]) for complaint in loop.complaints] == ["a"] * 3
    loop.complaints.clear()
    await scheduler.close()
    loop.complaints.clear()
    assert told[6:] == [(name, event) for event in ("close", "settled") for name in "ab"]


async def test_the_outcome_and_the_result_are_there_when_the_end_is_told():
    seen = []

    def observe(record):
        if record.job is not None:
            seen.append((str(record.dest), record.job.outcome, record.job.done()))

    scheduler = Scheduler(limit=1, observer=observe, exception_handler=Recorder())
    for coro in (returns(1), fails(ValueError("mine"))):
        await scheduler.spawn(coro)
        await settle()
    running = await scheduler.spawn(forever())
    pending = await scheduler.spawn(forever())
    await pending.close()
    await running.close()
    ends = [entry for entry in seen if entry[0] in ("done", "closed")]
    assert ends == [
        ("done", "returned", True),
        ("done", "raised", True),
        ("closed", "never_started", True),
        ("closed", "cancelled", True),
    ]


ACTS = {
    "spawn": lambda scheduler, job: begin(scheduler.spawn(returns())),
    "spawn_nowait": lambda scheduler, job: scheduler.spawn_nowait(returns()),
    "shield": lambda scheduler, job: scheduler.shield(returns()),
    "shield a future": lambda scheduler, job: scheduler.shield(asyncio.get_running_loop().create_future()),
    "set_limit": lambda scheduler, job: scheduler.set_limit(7),
    "close": lambda scheduler, job: begin(scheduler.close()),
    "wait_and_close": lambda scheduler, job: begin(scheduler.wait_and_close()),
    "idle": lambda scheduler, job: begin(scheduler.idle()),
    "job.close": lambda scheduler, job: begin(job.close()),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_an_observer_that_would_change_the_scheduler_is_refused_and_nothing_changes(act):
    refused, before = [], None

    def observe(record):
        nonlocal before
        if record.event == "start" and not refused:
            before = books(scheduler), scheduler.limit, scheduler.phase
            try:
                result = act(scheduler, record.job)
            except RuntimeError as error:
                refused.append(error)
            else:
                refused.append(result.exception())
            assert (books(scheduler), scheduler.limit, scheduler.phase) == before

    scheduler = Scheduler(observer=observe)
    job = await scheduler.spawn(forever())
    await settle()
    [error] = refused
    assert "an observer can't change the scheduler that it observes" in str(error)
    assert "loop.call_soon()" in str(error)
    assert job.state == "active"
    await scheduler.close()


async def test_what_an_observer_has_done_later_is_done():
    def observe(record):
        if record.event == "start":
            asyncio.get_running_loop().call_soon(scheduler.set_limit, 7)

    scheduler = Scheduler(observer=observe)
    await scheduler.spawn(returns())
    await settle()
    assert scheduler.limit == 7
    await scheduler.close()


async def test_a_handler_that_changes_the_scheduler_while_observers_are_told_does_not_mix_up_their_order():
    """The handler of the loop is told of what an observer raised, and is no observer."""
    told, loop = {"a": [], "b": []}, asyncio.get_running_loop()

    def observer(name):
        def observe(record):
            told[name].append(str(record.event))
            if name == "a" and told[name] == ["accept"]:
                raise LookupError(name)

        return observe

    loop.set_exception_handler(lambda *_: scheduler.spawn_nowait(returns()))
    scheduler = Scheduler(observer=[observer("a"), observer("b")])
    await scheduler.spawn(returns())
    await settle()
    loop.complaints.clear()
    assert told["a"] == told["b"]
    assert sorted(told["a"]) == sorted(["accept", "start", "finish"] * 2)
    await scheduler.close()


async def test_an_observer_is_given_its_scheduler_if_it_asks_for_it():
    class Watching(Recorder):
        def attach(self, scheduler):
            self.scheduler = scheduler

    watching = Watching()
    scheduler = Scheduler(observer=(watching, print))
    assert watching.scheduler is scheduler


@pytest.mark.requirement("SPAWN-3")
def test_each_of_several_observers_is_checked():
    with pytest.raises(TypeError, match="^observer must be callable, got 1"):
        Scheduler(observer=[print, 1])
    assert Scheduler(observer=[]).phase == "open"


@pytest.mark.requirement("WAIT-5")
async def test_every_job_has_a_qualified_name_at_every_time():
    scheduler = Scheduler(limit=1)
    first, second = await scheduler.spawn(returns(), "x"), await scheduler.spawn(forever())
    assert (first.qualname, second.qualname) == ("returns", "forever")
    assert type(first.qualname) is str
    await scheduler.close()
    assert (first.qualname, second.qualname, type(second.qualname)) == ("returns", "forever", str)


@pytest.mark.requirement("LIMIT-4")
async def test_blocked_callers_are_counted():
    scheduler = Scheduler(limit=1, pending_limit=1)
    for _ in range(2):
        await scheduler.spawn(forever())
    calls = [asyncio.ensure_future(scheduler.spawn(forever())) for _ in range(3)]
    assert scheduler.blocked_count == 0
    await settle()
    assert scheduler.blocked_count == 3
    calls[1].cancel()
    await settle()
    assert scheduler.blocked_count == 2
    await scheduler.close()
    assert scheduler.blocked_count == 0
    assert [type(call.exception()) for call in (calls[0], calls[2])] == [RuntimeError] * 2


@pytest.mark.requirement("SHUT-6")
async def test_a_block_that_is_destroyed_while_an_observer_is_told_closes_afterwards():
    seen, blocks = [], []

    async def block():
        async with scheduler:
            await forever()

    scheduler = Scheduler(
        observer=[
            lambda _: blocks.pop().close() if blocks else None,
            lambda record: seen.append((str(record.event), str(scheduler.phase))),
        ]
    )
    begun = block()
    begun.send(None)
    blocks.append(begun)
    job = await scheduler.spawn(returns())
    assert seen == [("accept", "open"), ("start", "open")]
    await settle()
    assert (scheduler.phase, job.outcome) == ("closed", "returned")
    assert [event for event, _ in seen] == ["accept", "start", "close", "close", "finish", "settled"]


@pytest.mark.requirement("BOOK-3", "SEE-2")
async def test_a_loop_that_cannot_tell_the_time_keeps_nothing_from_them(monkeypatch):
    observer, loop = Recorder(), asyncio.get_running_loop()
    scheduler = Scheduler(observer=observer)

    def broken():
        raise OSError("no clock")

    with Complaints() as complaints, monkeypatch.context() as patched:
        patched.setattr(loop, "time", broken)
        job = await scheduler.spawn(returns())
        await job
    assert observer.edges(job) == [
        "accept: - -> pending",
        "start: pending -> active",
        "finish: active -> done",
    ]
    assert {str(complaint["exception"]) for complaint in complaints.calls} == {"no clock"}
    assert not core(scheduler).reporting.since
    await scheduler.close()
