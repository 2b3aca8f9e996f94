"""What no other test looked at: each was written because a seeded fault had survived (spec/mutants)."""

import asyncio
import gc
import weakref
from collections.abc import Coroutine
from contextlib import suppress

import pytest

from aiojobs import Scheduler
from aiojobs._admission import Admission
from aiojobs._lifecycle import PHASES, Phase, PhaseEvent
from aiojobs._ownership import claim, release
from aiojobs.testing import settle


@pytest.mark.requirement("SHUT-1")
def test_the_phases_are_those_of_the_design():
    """Written down once more, cell by cell: no code comes to some of them, so only the table can tell."""
    assert PHASES == {
        Phase.OPEN: {PhaseEvent.CLOSE: Phase.CLOSING, PhaseEvent.SETTLED: None},
        Phase.CLOSING: {PhaseEvent.CLOSE: Phase.CLOSING, PhaseEvent.SETTLED: Phase.CLOSED},
        Phase.CLOSED: {PhaseEvent.CLOSE: Phase.CLOSED, PhaseEvent.SETTLED: None},
    }


@pytest.mark.requirement("SHUT-1")
@pytest.mark.parametrize("blocked", [0, 1, 2])
@pytest.mark.parametrize("pending", [0, 1])
def test_whoever_waits_after_closing_began_breaks_a_rule_alone_or_with_others(pending, blocked):
    core = Admission(1, 1)
    core.shutdown()
    core.pending, core.blocked = pending, blocked
    assert ("SHUT-1" in core.violations()) is bool(pending or blocked)


@pytest.mark.requirement("LIMIT-5")
async def test_a_job_that_finds_a_free_slot_does_not_overtake_one_whose_caller_has_yet_to_wake():
    loop, ran = asyncio.get_running_loop(), []
    scheduler, over = Scheduler(limit=3, pending_limit=1), loop.create_future()

    async def waits():
        await over

    async def notes(name):
        ran.append(name)

    for _ in range(3):
        await scheduler.spawn(waits())
    await scheduler.spawn(notes("queued"))
    caller = asyncio.create_task(scheduler.spawn(notes("blocked")))
    await settle()
    # In one pass: three ends, which start the queued job, let the blocked one in, start it, and free a slot.
    over.set_result(None)
    loop.call_soon(lambda: scheduler.spawn_nowait(notes("last")))
    await scheduler.wait_and_close()
    assert caller.done()
    assert ran == ["queued", "blocked", "last"]


@pytest.mark.requirement("SHUT-2")
async def test_the_time_allowed_begins_behind_a_cancellation_that_has_to_wait_for_the_first_step():
    reported = []

    async def stops_at_once():
        await asyncio.create_task(asyncio.sleep(1000))

    scheduler = Scheduler(close_timeout=0, exception_handler=lambda _, context: reported.append(context))
    await scheduler.spawn(stops_at_once())
    await scheduler.close()
    assert (reported, len(scheduler)) == ([], 0)


@pytest.mark.requirement("SPAWN-3")
def test_a_generator_that_has_begun_is_not_fresh():
    """From Python 3.12 on asyncio takes none for a coroutine, so that no call of `spawn` gets as far."""

    def generator():
        yield

    begun = generator()
    claim(begun)
    release(begun)
    next(begun)
    with pytest.raises(RuntimeError, match="must not have been started before"):
        claim(begun)


@pytest.mark.requirement("SHUT-4", "BOOK-3")
async def test_drains_that_were_cancelled_leave_nothing_behind():
    def futures():
        return sum(isinstance(found, asyncio.Future) for found in gc.get_objects())

    async def cancelled_drain():
        drain = asyncio.create_task(scheduler.wait_and_close())
        await settle()
        drain.cancel()
        await asyncio.wait([drain])

    async with Scheduler() as scheduler:
        job = await scheduler.spawn(asyncio.sleep(1))
        await cancelled_drain()
        before = futures()
        for _ in range(20):
            await cancelled_drain()
        assert futures() <= before
        await job.wait()


@pytest.mark.requirement("SHUT-3", "SHUT-4")
async def test_whoever_drains_returns_when_the_closing_that_somebody_else_began_is_over():
    async def takes_its_time():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)
        await asyncio.sleep(1000)

    scheduler = Scheduler(close_timeout=1, wait_timeout=5000, exception_handler=lambda *_: None)
    job = await scheduler.spawn(takes_its_time())
    drain = asyncio.create_task(scheduler.wait_and_close())
    await settle()
    await scheduler.close()
    await settle()
    assert (drain.done(), job.done()) == (True, False)
    await job.wait()


@pytest.mark.requirement("SPAWN-1", "LIMIT-6")
async def test_a_job_that_is_closed_before_its_spawn_has_returned_gets_no_task_any_more():
    over, ran = asyncio.get_running_loop().create_future(), []
    scheduler = Scheduler(limit=2, pending_limit=1)

    async def waits():
        await over

    async def notes(name):
        ran.append(name)

    async def spawns():
        return await scheduler.spawn(notes("blocked"), "blocked"), asyncio.all_tasks()

    async def closes():
        await over
        (job,) = (job for job in scheduler if job.get_name() == "blocked")
        await job.close()

    for _ in range(2):
        await scheduler.spawn(waits())
    await scheduler.spawn(notes("queued"))
    caller = asyncio.create_task(spawns())
    closer = asyncio.create_task(closes())
    await settle()
    # In one pass: two ends, which let the blocked job in and give it a slot, and its end.
    over.set_result(None)
    job, tasks = await caller
    assert "blocked" not in {task.get_name() for task in tasks}
    await closer
    await settle()
    assert (job.outcome, ran, len(scheduler)) == ("cancelled", ["queued"], 0)
    await scheduler.wait_and_close()


class Bare(Coroutine):
    """A coroutine to Python, by its methods alone: it has no name, and none can be given to it."""

    __slots__ = ("_inner",)

    def __init__(self, inner):
        self._inner = inner

    def send(self, value):
        return self._inner.send(value)

    def throw(self, *exc):
        return self._inner.throw(*exc)

    def close(self):
        self._inner.close()

    def __await__(self):
        return self._inner.__await__()


class Borrowing(Bare):
    """It shows the name of what it stands for, and none can be given to it either."""

    __slots__ = ()

    def __getattr__(self, name):
        return getattr(self._inner, name)


class Frozen(Borrowing):
    """Whoever tries to set anything is told so by an error of its own."""

    __slots__ = ()

    def __init__(self, inner):
        object.__setattr__(self, "_inner", inner)

    def __setattr__(self, name, value):
        raise ValueError("frozen")


class Numbered(Bare):
    """What it calls its name is none."""

    __slots__ = ()

    def __getattr__(self, name):
        if name == "__qualname__":
            return 5
        raise AttributeError(name)


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize("kind", [Bare, Borrowing, Frozen])
async def test_what_bears_no_name_belongs_to_one_job_all_the_same(kind):
    async with Scheduler(limit=1) as scheduler:
        coro = kind(asyncio.sleep(1, "its result"))
        await scheduler.spawn(asyncio.sleep(1))
        job = await scheduler.spawn(coro)
        with pytest.raises(RuntimeError, match="belongs to another job"):
            await scheduler.spawn(coro)
        assert await job.wait() == "its result"


@pytest.mark.requirement("LIMIT-6")
async def test_a_coroutine_whose_name_is_no_name_runs_and_gives_its_slot_back():
    async with Scheduler(limit=1) as scheduler:
        first = await scheduler.spawn(Numbered(asyncio.sleep(1, "first")))
        second = await scheduler.spawn(Numbered(asyncio.sleep(1, "second")))
        assert [await first, await second] == ["first", "second"]
        assert "Numbered" in repr(first)


class Obliging:
    """Whatever it is asked for, it has it: a proxy, a mock, a lazy import."""

    def __getattr__(self, name):
        return self


class Forwarding(Borrowing):
    """What it has not it takes from something that has everything."""

    __slots__ = ()

    def __getattr__(self, name):
        return getattr(Obliging(), name)


@pytest.mark.requirement("SPAWN-1", "LIMIT-6")
async def test_a_coroutine_that_has_whatever_it_is_asked_for_runs_and_gives_its_slot_back():
    async with Scheduler(limit=1) as scheduler:
        first = await scheduler.spawn(Forwarding(asyncio.sleep(1, "first")))
        second = await scheduler.spawn(Forwarding(asyncio.sleep(1, "second")))
        assert [await first, await second] == ["first", "second"]


@pytest.mark.requirement("SPAWN-1", "LIMIT-6")
async def test_a_blocked_caller_that_an_observer_cancels_while_it_is_let_in_leaves_the_books_right():
    callers = []

    def cancels_the_caller(record):
        if record.event == "start" and callers:
            callers.pop().cancel()

    scheduler = Scheduler(limit=1, pending_limit=1, observer=cancels_the_caller)
    first = await scheduler.spawn(asyncio.sleep(1, "first"))
    second = await scheduler.spawn(asyncio.sleep(1, "second"))
    caller = asyncio.create_task(scheduler.spawn(asyncio.sleep(1, "never")))
    await settle()
    callers.append(caller)
    assert [await first, await second] == ["first", "second"]
    assert caller.cancelled()
    assert len(scheduler) == 0


@pytest.mark.requirement("BOOK-3")
async def test_a_queued_job_whose_task_the_loop_cannot_make_is_freed_at_once(monkeypatch):
    loop, handler = asyncio.get_running_loop(), []
    scheduler = Scheduler(limit=1, exception_handler=lambda _, context: handler.append(context["exception"]))
    over = loop.create_future()

    async def waits():
        await over

    async def never():
        raise AssertionError("there is no task to run it")

    def fails_always(coro, **_):
        raise OSError("no task today")

    await scheduler.spawn(waits())
    job = weakref.ref(await scheduler.spawn(never()))
    gc.collect()
    gc.disable()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "create_task", fails_always)
            over.set_result(None)
            await settle()
        assert [str(error) for error in handler] == ["no task today"]
        assert job() is None
    finally:
        gc.enable()


async def _stops_slowly():
    """Asked to stop it takes far longer than a scheduler allows by default."""
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(100)


@pytest.mark.requirement("CLOSE-2")
async def test_a_close_that_is_given_for_ever_does_not_take_the_default():
    async with Scheduler(close_timeout=1) as scheduler:
        job = await scheduler.spawn(_stops_slowly())
        await settle()
        await job.close(timeout=float("inf"))
        assert job.outcome == "cancelled"


@pytest.mark.requirement("SHUT-4")
async def test_a_drain_that_is_given_for_ever_does_not_take_the_default():
    scheduler = Scheduler(wait_timeout=1)
    job = await scheduler.spawn(asyncio.sleep(1000, "its result"))
    await scheduler.wait_and_close(float("inf"))
    assert (job.outcome, job.result()) == ("returned", "its result")


@pytest.mark.requirement("BOOK-1")
async def test_a_pending_job_is_in_its_own_scheduler_only():
    async with Scheduler(limit=1) as scheduler, Scheduler() as other:
        await scheduler.spawn(asyncio.sleep(1))
        job = await scheduler.spawn(asyncio.sleep(1))
        assert job.pending
        assert (job in scheduler, job in other) == (True, False)


@pytest.mark.requirement("EXC-5")
async def test_a_job_that_is_being_closed_can_be_renamed_and_its_task_with_it():
    tasks = []

    async def notes_its_task():
        tasks.append(asyncio.current_task())
        await _stops_slowly()

    async with Scheduler(close_timeout=None) as scheduler:
        job = await scheduler.spawn(notes_its_task())
        await settle()
        closing = asyncio.create_task(job.close(timeout=1000))
        await settle()
        assert job.state == "closing"
        job.set_name("renamed")
        assert (job.get_name(), tasks[0].get_name()) == ("renamed", "renamed")
        await closing


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize("kind", ["future", "coroutine"])
def test_what_is_shielded_first_binds_the_scheduler_to_its_loop(kind):
    scheduler = Scheduler()

    async def shields():
        loop = asyncio.get_running_loop()
        await scheduler.shield(
            asyncio.sleep(0) if kind == "coroutine" else loop.create_task(asyncio.sleep(0))
        )

    async def spawns():
        coro = asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="bound to a different event loop"):
            await scheduler.spawn(coro)
        coro.close()

    asyncio.run(shields())
    asyncio.run(spawns())


@pytest.mark.requirement("EXC-1")
async def test_a_failed_launch_that_its_spawn_raises_is_not_reported_for_a_waiter_that_leaves(monkeypatch):
    """The loop that can't make the task has somebody wait for the job, who then goes without the failure."""
    reported, waits = [], []
    scheduler = Scheduler(exception_handler=lambda _, context: reported.append(context))

    async def never():
        raise AssertionError("there is no task to run it")

    def has_somebody_wait(coro, **_):
        (job,) = scheduler
        waits.append(job.wait())
        waits[0].send(None)
        raise OSError("no task today")

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "create_task", has_somebody_wait)
        with pytest.raises(OSError, match="no task today"):
            await scheduler.spawn(never())
    waits[0].close()
    assert reported == []


@pytest.mark.requirement("START-3", "EXC-1")
async def test_what_a_job_raised_in_the_hands_of_a_failing_factory_is_not_reported_beside_its_spawn():
    """The factory runs the coroutine to its end and passes on what that raised: one failure, told once."""
    reported = []

    def runs_and_passes_on(_, coro, **__):
        coro.send(None)
        raise AssertionError("it fails in its first step")

    async def fails():
        raise LookupError("its own")

    loop = asyncio.get_running_loop()
    scheduler = Scheduler(exception_handler=lambda _, context: reported.append(context))
    loop.set_task_factory(runs_and_passes_on)
    try:
        with pytest.raises(LookupError, match="its own"):
            await scheduler.spawn(fails())
    finally:
        loop.set_task_factory(None)
    await settle()
    assert (reported, len(scheduler)) == ([], 0)
