"""nest_asyncio: the loop may be run again from inside one of its own callbacks."""

import asyncio

import nest_asyncio
import pytest

import aiojobs
from compat import bodies
from compat.stories import all_slots_are_free, tell
from compat.stories import test_story as test_story
from compat.tools import Tool


class Nested(Tool):
    """`nest_asyncio.apply()` in the running loop, as in a notebook."""

    async def program(self, main):
        nest_asyncio.apply()
        await main()


@pytest.fixture
def tool():
    return Nested()


@pytest.mark.requirement("START-3", "LIMIT-2")
def test_a_job_runs_the_loop_until_another_job_is_done(tool):
    async def outer(scheduler):
        loop = asyncio.get_running_loop()
        inner = loop.run_until_complete(scheduler.spawn(bodies.yields("inner")))
        return loop.run_until_complete(inner.wait())

    async def story(tool):
        async with aiojobs.Scheduler(limit=2) as scheduler:
            assert await (await scheduler.spawn(outer(scheduler))) == "inner"
            await all_slots_are_free(scheduler)

    tell(story, tool)


@pytest.mark.requirement("EXC-1", "CLOSE-1")
def test_synchronous_code_inside_a_running_loop_closes_jobs_and_gets_their_failures(tool):
    async def story(tool):
        loop = asyncio.get_running_loop()
        async with aiojobs.Scheduler(limit=2) as scheduler:
            log = []
            running = loop.run_until_complete(scheduler.spawn(bodies.cleans_up(log)))
            loop.run_until_complete(running.close())
            assert log == ["began", "cancelled", "cleaned up"]
            failing = loop.run_until_complete(scheduler.spawn(bodies.fails(bodies.Failure("nested"))))
            with pytest.raises(bodies.Failure, match="nested"):
                loop.run_until_complete(failing.wait())
            await all_slots_are_free(scheduler)

    tell(story, tool)
