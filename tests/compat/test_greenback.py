"""greenback: synchronous code inside a job awaits, in a greenlet of its own."""

import asyncio
import functools
import inspect
import types

import greenback
import pytest

import aiojobs
from aiojobs.testing import settle
from compat import bodies
from compat.stories import all_slots_are_free, tell
from compat.stories import test_story as test_story
from compat.tools import Tool


def _synchronous(function):
    """The same body, as a job that awaits only in synchronous code."""

    @functools.wraps(function)
    async def body(*args, **options):
        return await greenback.with_portal_run_sync(greenback.await_, function(*args, **options))

    return body


def _synchronous_bodies():
    functions = inspect.getmembers(bodies, inspect.iscoroutinefunction)
    return types.SimpleNamespace(**{name: _synchronous(function) for name, function in functions})


class InPortals(Tool):
    """Every job runs in a portal; the program as well."""

    bodies = _synchronous_bodies()

    async def program(self, main):
        await greenback.ensure_portal()
        await main()


@pytest.fixture
def tool():
    return InPortals()


@pytest.mark.requirement("START-3", "WAIT-5")
def test_synchronous_code_spawns_waits_and_closes(tool):
    def synchronous(scheduler):
        log = []
        job = greenback.await_(scheduler.spawn(bodies.yields(42)))
        running = greenback.await_(scheduler.spawn(bodies.cleans_up(log)))
        greenback.await_(running.close())
        return greenback.await_(job), log

    async def story(tool):
        async with aiojobs.Scheduler(limit=2) as scheduler:
            assert synchronous(scheduler) == (42, ["began", "cancelled", "cleaned up"])
            await all_slots_are_free(scheduler)

    tell(story, tool)


@pytest.mark.requirement("START-3", "CLOSE-1")
def test_a_job_that_ensures_its_own_portal_is_closed_like_any_other(tool):
    async def job(log):
        await greenback.ensure_portal()
        greenback.await_(bodies.cleans_up(log))

    async def story(tool):
        async with aiojobs.Scheduler(limit=1) as scheduler:
            log = []
            running = await scheduler.spawn(job(log))
            await settle()
            await running.close()
            assert log == ["began", "cancelled", "cleaned up"]
            assert running.outcome == "cancelled"
            await all_slots_are_free(scheduler)

    tell(story, tool)


@pytest.mark.requirement("START-3", "EXC-5")
def test_a_running_job_that_is_given_a_portal_returns_and_fails_as_before(tool):
    async def job(tasks, event, exception):
        tasks.append(asyncio.current_task())
        await event.wait()
        assert greenback.has_portal()
        greenback.await_(asyncio.sleep(0))
        if exception:
            raise exception
        return "returned"

    async def story(tool):
        async with aiojobs.Scheduler(limit=2) as scheduler:
            tasks, event = [], asyncio.Event()
            failure = bodies.Failure("in a portal")
            jobs = [await scheduler.spawn(job(tasks, event, exception)) for exception in (None, failure)]
            await settle()
            for task in tasks:
                greenback.bestow_portal(task)
            event.set()
            assert await jobs[0] == "returned"
            with pytest.raises(bodies.Failure, match="in a portal"):
                await jobs[1]
            await settle()
            assert (tasks[0].result(), tasks[1].exception()) == ("returned", failure)
            await all_slots_are_free(scheduler)

    tell(story, tool)
