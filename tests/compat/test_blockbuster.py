"""blockbuster: whatever blocks the running loop raises; so nothing of the library does."""

import time

import pytest
from blockbuster import BlockingError, blockbuster_ctx

import aiojobs
from compat.stories import all_slots_are_free, tell
from compat.stories import test_story as test_story
from compat.tools import Tool
from support.observing import Recorder


class Guarded(Tool):
    def run(self, main):
        with blockbuster_ctx():
            super().run(main)


@pytest.fixture
def tool():
    return Guarded()


@pytest.mark.requirement("EXC-1", "START-3")
def test_a_job_that_blocks_fails_and_the_handler_hears_of_it(tool):
    async def blocks():
        time.sleep(0.01)  # noqa: ASYNC251 - that is what must be noticed

    async def story(tool):
        async with aiojobs.Scheduler(limit=1, exception_handler=(recorder := Recorder())) as scheduler:
            await scheduler.spawn(blocks())
            await all_slots_are_free(scheduler)
            assert [type(exception) for exception in recorder.exceptions] == [BlockingError]

    tell(story, tool)
