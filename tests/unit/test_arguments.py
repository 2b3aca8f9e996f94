"""Every argument of the API is checked before anything changes, and the message names it (SPAWN-3)."""

import asyncio
import contextvars
import functools
import gc
import math
import pickle
import sys
import types
from fractions import Fraction

import pytest

from aiojobs import Scheduler, _core, _ownership, _shields
from aiojobs.testing import settle
from support.inside import shields
from unit.bodies import Body, Exotic, books, forever, is_closed, returns

pytestmark = pytest.mark.requirement("SPAWN-3")

NOT_SECONDS = ["1", b"1", True, False, [1], object(), 1j, Fraction(1, 2)]
NO_DURATION = [-1, -0.001, math.nan, -math.inf]
ENDLESS = [math.inf, 1e308, pytest.param(10**400, id="10**400")]


# The constructor.


@pytest.mark.parametrize("argument", ["close_timeout", "wait_timeout"])
@pytest.mark.parametrize("value", NOT_SECONDS)
def test_a_timeout_of_the_wrong_kind_is_a_type_error(argument, value):
    with pytest.raises(TypeError, match=f"^{argument} must be a number of seconds, or None"):
        Scheduler(**{argument: value})


@pytest.mark.parametrize("argument", ["close_timeout", "wait_timeout"])
@pytest.mark.parametrize("value", NO_DURATION)
def test_a_timeout_that_is_no_duration_is_a_value_error(argument, value):
    with pytest.raises(ValueError, match=f"^{argument} must be zero or more seconds, or None.*got {value!r}"):
        Scheduler(**{argument: value})


@pytest.mark.parametrize("argument", ["close_timeout", "wait_timeout"])
@pytest.mark.parametrize("value", [None, 0, 0.0, 1, 2.5, *ENDLESS])
def test_every_other_timeout_is_taken_as_it_is(argument, value):
    assert getattr(Scheduler(**{argument: value}), argument) == value


@pytest.mark.parametrize("value", ["1", 1.0, True, False, [], math.inf, math.nan])
def test_a_limit_that_is_no_int_is_a_type_error(value):
    with pytest.raises(TypeError, match="^limit must be an int, or None for no limit, got"):
        Scheduler(limit=value)


@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_below_one_is_a_value_error(value):
    with pytest.raises(ValueError, match=f"^limit must be at least 1, or None for no limit, got {value}"):
        Scheduler(limit=value)


@pytest.mark.parametrize("value", ["1", 1.0, True, None, math.inf])
def test_a_pending_limit_that_is_no_int_is_a_type_error(value):
    with pytest.raises(TypeError, match="^pending_limit must be an int, got"):
        Scheduler(pending_limit=value)


def test_a_negative_pending_limit_is_a_value_error():
    with pytest.raises(ValueError, match="^pending_limit must be at least 0, got -1"):
        Scheduler(pending_limit=-1)


@pytest.mark.parametrize("argument", ["exception_handler", "observer"])
@pytest.mark.parametrize("value", [1, "handler", True])
def test_a_handler_that_cannot_be_called_is_a_type_error(argument, value):
    with pytest.raises(TypeError, match=f"^{argument} must be callable or None, got"):
        Scheduler(**{argument: value})


def test_constructor_arguments_are_keywords_only():
    with pytest.raises(TypeError, match="positional"):
        Scheduler(0.1)


def test_a_scheduler_whose_constructor_failed_is_dropped_without_a_noise():
    with pytest.raises(ValueError, match="limit"):
        Scheduler(limit=0)
    for part in (_core.Core, _shields.Shields):
        part.__new__(part).__del__()


# What is no coroutine.


def _not_coroutines():
    async def agen():
        yield 1

    return [
        (None, "got None"),
        (1, "got 1$"),
        (returns, r"call the coroutine function: f\(\), not f"),
        (functools.partial(returns, 1), "call the coroutine function"),
        (agen(), "async_generator"),
        ("coro", "got 'coro'"),
    ]


@pytest.mark.parametrize(("value", "message"), _not_coroutines())
@pytest.mark.parametrize("limit", [1, 2])
async def test_what_is_no_coroutine_is_refused_and_costs_neither_slot_nor_place(value, message, limit):
    scheduler = Scheduler(limit=limit, pending_limit=1)
    await scheduler.spawn(forever())
    before = books(scheduler)
    with pytest.raises(TypeError, match=f"^coro must be a coroutine.*{message}"):
        await scheduler.spawn(value)
    with pytest.raises(TypeError, match=f"^coro must be a coroutine.*{message}"):
        scheduler.spawn_nowait(value)
    assert books(scheduler) == before
    await scheduler.close()


async def test_futures_and_tasks_are_no_coroutines():
    scheduler = Scheduler()
    future = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(forever())
    for value in (future, task):
        with pytest.raises(TypeError, match="coro must be a coroutine"):
            await scheduler.spawn(value)
    task.cancel()
    assert not future.done()


def test_a_non_coroutine_is_told_even_where_no_loop_runs():
    with pytest.raises(TypeError, match="coro must be a coroutine"):
        Scheduler().spawn_nowait(None)


@types.coroutine
def generator_based(log):
    log.append("started")
    yield
    log.append("resumed")
    return "result"


async def test_a_generator_based_coroutine_is_a_job_where_asyncio_takes_it_for_a_task():
    scheduler, log = Scheduler(), []
    coro = generator_based(log)
    if asyncio.iscoroutine(coro):
        assert await (await scheduler.spawn(coro)) == "result"
        assert log == ["started", "resumed"]
    else:
        assert sys.version_info >= (3, 12)
        with pytest.raises(TypeError, match="coro must be a coroutine"):
            await scheduler.spawn(coro)
        assert log == []
    assert books(scheduler) == (0, 0, 0)


async def test_a_generator_based_coroutine_that_was_started_is_refused_everywhere():
    scheduler, log = Scheduler(), []
    coro = generator_based(log)
    next(coro)
    with pytest.raises((TypeError, RuntimeError), match="^coro must "):
        await scheduler.spawn(coro)
    assert log == ["started"]
    assert books(scheduler) == (0, 0, 0)


async def test_a_plain_generator_is_no_coroutine_even_where_asyncio_is_generous():
    scheduler = Scheduler()
    generator = (number for number in range(3))
    with pytest.raises(TypeError, match="coro must be a coroutine"):
        await scheduler.spawn(generator)
    assert next(generator) == 0


async def test_a_coroutine_of_another_type_is_a_job_like_any_other():
    scheduler = Scheduler(limit=1)
    first = await scheduler.spawn(Exotic(asyncio.sleep(1, "one")))
    second = await scheduler.spawn(Exotic(asyncio.sleep(1, "two")))
    third = await scheduler.spawn(Exotic(asyncio.sleep(1, "three")))
    await third.close()
    assert [await first, await second] == ["one", "two"]
    assert third.outcome == "never_started"
    assert "Exotic" in repr(first)


# Coroutines that are not fresh, or not free.


async def test_a_coroutine_that_was_started_is_refused_and_left_alone():
    scheduler = Scheduler()
    future = asyncio.get_running_loop().create_future()

    async def body():
        await future
        return "mine"

    started = body()
    started.send(None)
    for spawn in (scheduler.spawn_nowait, scheduler.shield):
        with pytest.raises(
            RuntimeError, match="coro must not have been started before.*call its function again"
        ):
            spawn(started)
    with pytest.raises(RuntimeError, match="coro must not have been started before"):
        await scheduler.spawn(started)
    assert books(scheduler) == (0, 0, 0)
    future.set_result(None)
    with pytest.raises(StopIteration) as end:
        started.send(None)
    assert end.value.value == "mine"


async def test_a_coroutine_that_is_over_is_refused():
    scheduler = Scheduler()
    ended, closed = returns(), returns()
    await ended
    closed.close()
    for coro in (ended, closed):
        with pytest.raises(RuntimeError, match="coro must not have been started before"):
            await scheduler.spawn(coro)


async def test_a_coroutine_that_was_refused_is_over_and_belongs_to_nobody():
    scheduler = Scheduler()
    await scheduler.close()
    coro = returns()
    with pytest.raises(RuntimeError, match="after closing"):
        await scheduler.spawn(coro)
    with pytest.raises(RuntimeError, match="coro must not have been started before"):
        await Scheduler().spawn(coro)


def test_a_coroutine_that_is_over_does_not_bind_the_scheduler_to_its_loop():
    scheduler, coro = Scheduler(), returns()
    coro.close()

    async def spawn(what):
        return await (await scheduler.spawn(what))

    with pytest.raises(RuntimeError, match="coro must not have been started before"):
        asyncio.run(spawn(coro))
    assert asyncio.run(spawn(returns("bound here"))) == "bound here"


async def test_a_coroutine_that_runs_right_now_is_refused():
    scheduler = Scheduler()
    told = []

    async def body():
        with pytest.raises(RuntimeError, match="belongs to another job|must not have been started"):
            scheduler.spawn_nowait(coro)
        told.append("own")

    coro = body()
    await (await scheduler.spawn(coro))

    async def stray():
        with pytest.raises(RuntimeError, match="must not have been started before"):
            scheduler.spawn_nowait(coro)
        told.append("stray")

    coro = stray()
    await coro
    assert told == ["own", "stray"]


@pytest.mark.parametrize("elsewhere", [True, False], ids=["other scheduler", "same scheduler"])
@pytest.mark.parametrize("waits", ["for its first step", "in the queue", "outside"])
async def test_a_coroutine_that_belongs_to_a_job_is_refused_and_the_job_unharmed(elsewhere, waits):
    scheduler = Scheduler(limit=1, pending_limit=1)
    gate = asyncio.get_running_loop().create_future()
    coro = returns("mine")
    before = {"for its first step": 0, "in the queue": 1, "outside": 2}[waits]
    fillers = [gate if number == 0 else asyncio.sleep(0) for number in range(before)]
    for filler in fillers:
        await scheduler.spawn(_await(filler))
    owner = asyncio.create_task(scheduler.spawn(coro))
    await asyncio.sleep(0)
    if waits == "for its first step":
        owner = asyncio.create_task(returns(await owner))
    other = Scheduler() if elsewhere else scheduler
    for spawn in (other.spawn_nowait, other.shield):
        with pytest.raises(
            RuntimeError, match="coro belongs to another job already, or to a shield.*call its function again"
        ):
            spawn(coro)
    with pytest.raises(RuntimeError, match="coro belongs to another job already"):
        await other.spawn(coro)
    assert len(other) == (0 if elsewhere else len(scheduler))
    if not gate.done():
        gate.set_result(None)
    assert await (await owner) == "mine"


async def _await(awaitable):
    return await awaitable


async def test_a_coroutine_is_free_again_of_a_spawn_that_was_an_argument_error():
    scheduler = Scheduler()
    coro = returns("mine")
    with pytest.raises(TypeError, match="name must be a str or None, got 1"):
        await scheduler.spawn(coro, 1)
    with pytest.raises(TypeError, match="name must be a str or None"):
        scheduler.spawn_nowait(coro, b"name")
    with pytest.raises(TypeError, match=r"context must be a contextvars.Context or None, got \{\}"):
        await scheduler.spawn(coro, context={})
    with pytest.raises(TypeError, match="context must be a contextvars.Context or None"):
        scheduler.spawn_nowait(coro, context=contextvars.ContextVar("x"))
    assert not is_closed(coro)
    assert await (await scheduler.spawn(coro)) == "mine"


async def test_an_id_that_is_used_again_after_a_job_ended_is_not_taken_for_owned():
    scheduler = Scheduler(limit=1, pending_limit=1)
    blocker = await scheduler.spawn(forever())
    for _ in range(50):
        pending = await scheduler.spawn(returns())
        await pending.close()
    blocked = asyncio.create_task(scheduler.spawn(returns()))
    await asyncio.sleep(0)
    blocked.cancel()
    await asyncio.gather(blocked, return_exceptions=True)
    await blocker.close()
    for _ in range(50):
        assert await (await scheduler.spawn(returns(1))) == 1


def test_a_scheduler_that_is_dropped_with_its_loop_remembers_no_coroutine():
    async def leave():
        scheduler = Scheduler(limit=1, pending_limit=1)
        coros = [Exotic(forever()), Exotic(forever()), Exotic(forever())]
        for coro in coros:
            asyncio.create_task(scheduler.spawn(coro))  # noqa: RUF006  dropped: that is the story
        await settle()
        assert books(scheduler) == (1, 1, 1)
        return coros

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it complains that tasks are destroyed, and is right
    coros = loop.run_until_complete(leave())
    loop.close()
    ids = {id(coro) for coro in coros}
    assert ids <= _ownership.foreign
    for coro in coros:
        coro.close()
    del coro, coros, loop
    gc.collect()
    assert not _ownership.foreign & ids


class Unhashable(str):
    """A name that can't be a key."""

    __slots__ = ()
    __hash__ = None


async def test_a_coroutine_whose_name_is_of_a_type_of_its_own_belongs_to_one_job():
    scheduler = Scheduler()
    coro = returns("once")
    coro.__qualname__ = Unhashable("returns")
    job = await scheduler.spawn(coro)
    with pytest.raises(RuntimeError, match="belongs to another job"):
        await scheduler.spawn(coro)
    assert await job == "once"


async def test_the_names_that_the_library_gives_away_are_plain_strings():
    scheduler, seen = Scheduler(limit=1), []

    async def named():
        seen.append(asyncio.current_task().get_coro().__qualname__)

    first, coro = named(), named()
    running, queued = await scheduler.spawn(first), await scheduler.spawn(coro)
    seen.append(pickle.loads(pickle.dumps(coro.__qualname__)))
    await running
    await queued
    assert {type(name) for name in seen} == {str}
    assert {name.rpartition(".")[2] for name in seen} == {"named"}
    # So whoever names another coroutine after a running job has a coroutine like any other.
    other = returns("mine")
    other.__qualname__ = seen[0]
    assert await (await scheduler.spawn(other)) == "mine"


# The order of checks: type, loop, ownership, closed.


def test_each_check_comes_before_the_next():
    scheduler = Scheduler()
    busy = returns()

    async def first():
        await scheduler.spawn(forever())
        await scheduler.close()

    async def second():
        with pytest.raises(TypeError, match="coro must be"):  # wrong type, wrong loop, closed
            await scheduler.spawn(None)
        with pytest.raises(TypeError, match="name must be"):
            await scheduler.spawn(busy, 1)
        with pytest.raises(RuntimeError, match="is bound to a different event loop"):  # wrong loop, closed
            await scheduler.spawn(busy)
        assert not is_closed(busy)

    async def third():
        mine = Scheduler()
        await mine.close()
        await busy
        with pytest.raises(RuntimeError, match="started before"):  # not fresh, closed
            await mine.spawn(busy)
        fresh = returns()
        with pytest.raises(RuntimeError, match="after closing"):
            await mine.spawn(fresh)
        assert is_closed(fresh)

    for main in (first, second, third):
        asyncio.run(main())


# Timeouts and the rest of the methods.


@pytest.mark.parametrize("value", NOT_SECONDS)
async def test_a_timeout_of_the_wrong_kind_changes_nothing(value):
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    for call in (job.wait, job.close, scheduler.wait_and_close):
        with pytest.raises(TypeError, match="^timeout must be a number of seconds, or None"):
            await call(timeout=value)
    assert (job.state, scheduler.phase) == ("active", "open")
    await scheduler.close()


@pytest.mark.parametrize("value", NO_DURATION)
async def test_a_timeout_that_is_no_duration_changes_nothing(value):
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    for call in (job.wait, job.close, scheduler.wait_and_close):
        with pytest.raises(ValueError, match="^timeout must be "):
            await call(timeout=value)
    assert (job.state, scheduler.phase) == ("active", "open")
    await scheduler.close()


async def test_a_timeout_is_checked_even_where_there_is_nothing_to_wait_for():
    scheduler = Scheduler()
    job = await scheduler.spawn(returns())
    await job
    await scheduler.close()
    for call in (job.wait, job.close, scheduler.wait_and_close):
        with pytest.raises(TypeError, match="^timeout must be"):
            await call(timeout="1")


@pytest.mark.requirement("EXC-1")
@pytest.mark.parametrize("endless", ENDLESS)
async def test_a_timeout_that_outlasts_everybody_is_no_deadline(endless):
    scheduler = Scheduler(close_timeout=endless, wait_timeout=endless)
    job = await scheduler.spawn(asyncio.sleep(1e6, "late"))
    assert await job.wait(timeout=endless) == "late"
    body = Body(swallows=1)
    slow = await scheduler.spawn(body.run())
    await settle()
    asyncio.get_running_loop().call_later(1e6, body.finish, "later")
    await slow.close(timeout=endless)
    assert slow.result() == "later"
    last = await scheduler.spawn(asyncio.sleep(1e6, "last"))
    await scheduler.wait_and_close(timeout=endless)
    assert last.result() == "last"
    assert asyncio.get_running_loop().time() == 3e6


async def test_names_are_strings():
    job = await Scheduler().spawn(returns())
    for name in (None, 1, b"x"):
        with pytest.raises(TypeError, match="^name must be a str, got"):
            job.set_name(name)


async def test_a_done_callback_can_be_called():
    job = await Scheduler().spawn(returns())
    with pytest.raises(TypeError, match="^fn must be callable, got None"):
        job.add_done_callback(None)


@pytest.mark.parametrize("value", [None, 1, "x", returns])
async def test_what_cannot_be_awaited_is_not_shielded(value):
    scheduler = Scheduler()
    with pytest.raises(TypeError, match="^arg must be awaitable, got"):
        scheduler.shield(value)
    assert not shields(scheduler).inners


class AsyncCall:
    async def __call__(self, *_):
        """Nobody would await this."""


async def asynchronous(*_):
    """Nor this."""


async def generating(*_):
    yield "nor this"


@pytest.mark.requirement("SPAWN-3", "EXC-2")
@pytest.mark.parametrize("argument", ["exception_handler", "observer"])
@pytest.mark.parametrize(
    "function",
    [asynchronous, generating, functools.partial(asynchronous, 1), AsyncCall(), AsyncCall().__call__],
    ids=["function", "generator", "partial", "object", "method"],
)
def test_what_would_have_to_be_awaited_is_refused_where_nobody_would(argument, function):
    with pytest.raises(TypeError, match=f"^{argument} must be a plain function, got .*: nobody would await"):
        Scheduler(**{argument: function})
    Scheduler(**{argument: print})
