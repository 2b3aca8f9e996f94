"""In which `contextvars` context a job runs (SPAWN-4)."""

import asyncio
import contextvars

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, books, forever, with_a_caller_asleep

pytestmark = pytest.mark.requirement("SPAWN-4")

user = contextvars.ContextVar("user", default="nobody")


async def whoami(seen=None):
    name = user.get()
    if seen is not None:
        seen.append(name)
    return name


def in_context_of(name, function, *args):
    """Call a function in a context of its own in which the user is `name`; return both."""
    context = contextvars.copy_context()
    context.run(user.set, name)
    return context.run(function, *args)


async def as_user(name, awaitable_function):
    user.set(name)
    return await awaitable_function()


@pytest.fixture
def scheduler():
    return Scheduler(limit=1, pending_limit=2)


async def test_a_job_that_starts_at_once_runs_in_the_context_of_its_caller(scheduler):
    job = in_context_of("ann", scheduler.spawn_nowait, whoami())
    assert await job == "ann"
    assert user.get() == "nobody"


async def test_a_queued_job_runs_in_the_context_of_its_caller_and_not_of_who_made_room(scheduler):
    body = Body()
    in_context_of("first", scheduler.spawn_nowait, body.run())
    jobs = [in_context_of(name, scheduler.spawn_nowait, whoami()) for name in ("ann", "bob")]
    user.set("the test")
    body.finish()
    assert [await job for job in jobs] == ["ann", "bob"]


async def test_a_blocked_spawn_keeps_the_context_of_the_call(scheduler):
    body = Body()
    await scheduler.spawn(body.run())
    for _ in range(2):
        await scheduler.spawn(asyncio.sleep(0))
    calls = [
        asyncio.create_task(as_user(name, lambda: scheduler.spawn(whoami())))
        for name in ("ann", "bob", "eve")
    ]
    await settle()
    assert books(scheduler) == (1, 2, 3)
    body.finish()
    assert [await (await call) for call in calls] == ["ann", "bob", "eve"]


async def test_the_context_is_that_of_the_call_even_if_the_caller_changes_it_afterwards(scheduler):
    user.set("before")
    at_once = await scheduler.spawn(whoami())
    queued = await scheduler.spawn(whoami())
    user.set("after")
    assert [await at_once, await queued] == ["before", "before"]


async def test_what_a_job_sets_stays_in_the_job(scheduler):
    async def body():
        user.set("changed by the job")

    for _ in range(2):
        await scheduler.spawn(body())
    last = await scheduler.spawn(whoami())
    assert await last == "nobody"
    assert user.get() == "nobody"


@pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")
@pytest.mark.parametrize("position", ["at once", "queued", "blocked"])
async def test_a_context_that_is_given_is_used_itself(position):
    scheduler = Scheduler(limit=1, pending_limit=1)
    gate = asyncio.get_running_loop().create_future()
    for _ in range(["at once", "queued", "blocked"].index(position)):
        await scheduler.spawn(_wait(gate))
    context = contextvars.copy_context()
    context.run(user.set, "ann")

    async def body():
        name = user.get()
        user.set("changed by the job")
        return name

    call = asyncio.create_task(scheduler.spawn(body(), context=context))
    await settle()
    gate.set_result(None)
    assert await (await call) == "ann"
    assert context[user] == "changed by the job"
    assert user.get() == "nobody"
    await scheduler.close()


async def _wait(future):
    await asyncio.wait([future])


@pytest.mark.parametrize("position", ["at once", "queued", "blocked"])
async def test_an_empty_context_is_a_context(position):
    scheduler = Scheduler(limit=1, pending_limit=1)
    user.set("the caller")
    body = Body()
    for number in range(["at once", "queued", "blocked"].index(position)):
        await scheduler.spawn(body.run() if number == 0 else asyncio.sleep(0))
    call = asyncio.create_task(scheduler.spawn(whoami(), context=contextvars.Context()))
    await settle()
    body.finish()
    assert await (await call) == "nobody"
    await scheduler.close()


@pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")
async def test_jobs_may_share_a_context():
    scheduler = Scheduler(limit=1, exception_handler=Recorder())
    context, seen = contextvars.copy_context(), []

    async def body(number):
        seen.append((number, user.get()))
        user.set(f"job {number}")
        await asyncio.sleep(0)

    jobs = [await scheduler.spawn(body(number), context=context) for number in range(4)]
    await scheduler.wait_and_close()
    assert [job.outcome for job in jobs] == ["returned"] * 4
    assert seen == [(0, "nobody"), (1, "job 0"), (2, "job 1"), (3, "job 2")]


async def test_a_context_in_which_the_caller_runs_can_be_shared_by_its_jobs():
    """As with a request: a task in a context of its own spawns jobs that are to run in that very context."""
    scheduler = Scheduler(limit=1, exception_handler=Recorder())
    context, seen = contextvars.copy_context(), []
    context.run(user.set, "ann")

    async def request():
        jobs = [scheduler.spawn_nowait(asyncio.sleep(0))]
        await asyncio.sleep(0)
        jobs += [scheduler.spawn_nowait(whoami(seen), context=context) for _ in range(2)]
        await asyncio.gather(*(job.wait() for job in jobs))

    await asyncio.get_running_loop().create_task(request(), context=context)
    assert seen == ["ann", "ann"]
    await scheduler.close()


def spawn_as_somebody(scheduler):
    return as_user("sleeper", lambda: scheduler.spawn(forever()))


@pytest.mark.requirement("LIMIT-5", "LIMIT-2")
def test_a_job_that_starts_behind_one_whose_caller_sleeps_still_runs_in_its_own_context(steps):
    scheduler, call = with_a_caller_asleep(steps, spawn_as_somebody)
    job = in_context_of("ann", scheduler.spawn_nowait, whoami())
    assert job.active
    steps.settle()
    assert call.done()
    assert job.result() == "ann"
    steps.run(scheduler.close())


@pytest.mark.requirement("START-1")
def test_a_job_that_starts_behind_one_whose_caller_sleeps_keeps_a_context_that_was_given(steps):
    scheduler, _call = with_a_caller_asleep(steps, spawn_as_somebody)
    context = contextvars.copy_context()
    context.run(user.set, "ann")
    job = scheduler.spawn_nowait(whoami(), context=context)
    steps.settle()
    assert job.result() == "ann"
    steps.run(scheduler.close())


async def test_handlers_and_callbacks_cannot_change_the_context_of_the_next_job(scheduler):
    def handler(_scheduler, _context):
        user.set("the handler")

    scheduler = Scheduler(limit=1, exception_handler=handler)

    async def fail():
        user.set("the failed job")
        raise ValueError

    failed = await scheduler.spawn(fail())
    failed.add_done_callback(lambda _job: user.set("the callback"))
    next_ = await scheduler.spawn(whoami())
    assert await next_ == "nobody"
    await settle()
    assert user.get() == "nobody"


@pytest.mark.parametrize("how", ["returns", "is closed", "never starts", "has ended"])
async def test_a_done_callback_runs_in_the_context_of_whoever_added_it(scheduler, how):
    seen = []

    async def body():
        user.set("the job")

    job = in_context_of("ann", scheduler.spawn_nowait, forever() if how == "is closed" else body())
    if how == "never starts":
        job = in_context_of("ann", scheduler.spawn_nowait, body())
    if how == "has ended":
        await settle()
    in_context_of("bob", job.add_done_callback, lambda _job: seen.append(user.get()))
    in_context_of("eve", job.add_done_callback, lambda _job: seen.append(user.get()))
    if how in {"is closed", "never starts"}:
        await in_context_of("joe", job.close)
    await settle()
    assert job.done()
    assert seen == ["bob", "eve"]
    await scheduler.close()


@pytest.mark.requirement("WAIT-4", "LIMIT-6")
@pytest.mark.loops("virtual", "eager", "stock", "stock-eager", "uvloop")
async def test_a_job_may_run_in_the_very_context_that_its_spawner_runs_in():
    """An eager task would enter it a second time, and asyncio leaves such a task where it is (gh-157301)."""
    context = contextvars.copy_context()
    context.run(user.set, "ann")

    async def whoami_later():
        await asyncio.sleep(0)
        return user.get()

    async def spawns():
        scheduler = Scheduler(limit=2)
        jobs = [await scheduler.spawn(whoami_later(), context=context) for _ in range(4)]
        at_once = scheduler.spawn_nowait(whoami(), context=context)
        assert [await job for job in (*jobs, at_once)] == ["ann"] * 5
        assert books(scheduler) == (0, 0, 0)

    await asyncio.get_running_loop().create_task(spawns(), context=context)
