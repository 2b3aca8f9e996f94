"""Nothing but asyncio: the stories are right, and they find what is wrong."""

import asyncio
import gc
import logging
import traceback

import pytest

from aiojobs.testing import settle
from compat import stories
from compat.stories import test_story as test_story
from compat.tools import Tool


class Eager(Tool):
    def loop_factory(self):
        loop = super().loop_factory()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop


TOOLS = {"stock": Tool}
if hasattr(asyncio, "eager_task_factory"):
    TOOLS["eager"] = Eager


@pytest.fixture(params=TOOLS.values(), ids=TOOLS)
def tool(request):
    return request.param()


@pytest.mark.requirement("START-3")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_tool_under_which_no_job_ever_runs_is_found(caplog):
    # What is logged would keep what was lost alive, so that another test had to hear of it.
    caplog.set_level(logging.CRITICAL + 1, "asyncio")

    class Loses(Tool):
        patience = 0.1

        async def program(self, main):
            asyncio.get_running_loop().set_task_factory(_loses_jobs)
            await main()

    told = [param.values[0] for param in stories.STORIES]
    unnoticed = [story.__name__ for story in told if not _fails(story, Loses())]
    gc.collect()
    assert unnoticed == []


def _loses_jobs(loop, coro, **options):
    """A task factory that runs what it is given, but not what the library gives it."""
    if any(frame.f_globals["__name__"].startswith("aiojobs.") for frame, _ in traceback.walk_stack(None)):
        coro.close()
        coro = asyncio.Event().wait()
    return asyncio.Task(coro, loop=loop, **options)


def _fails(story, tool):
    try:
        stories.tell(story, tool)
    except (Exception, pytest.fail.Exception):
        return True
    return False


@pytest.mark.requirement("EXC-1")
@pytest.mark.parametrize("loses", ["a future with an exception", "an exception of a callback"])
def test_a_complaint_of_the_loop_is_found(loses):
    async def story(tool):
        loop = asyncio.get_running_loop()
        if loses == "an exception of a callback":
            loop.call_soon(lambda: 1 / 0)
        else:
            loop.create_future().set_exception(ValueError("never retrieved"))
        await settle()

    with pytest.raises(AssertionError, match="division by zero|never retrieved"):
        stories.tell(story, Tool())


@pytest.mark.requirement("SPAWN-1")
def test_a_coroutine_that_nobody_awaits_is_found():
    async def story(tool):
        tool.bodies.returns("never awaited")

    with pytest.warns(RuntimeWarning, match="never awaited"):
        stories.tell(story, Tool())
