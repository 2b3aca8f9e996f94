"""uvloop: another event loop, as `uvloop.run` and as the loop of a `Runner`."""

import asyncio

import pytest
import uvloop

from compat.stories import test_story as test_story
from compat.tools import Tool


class Run(Tool):
    def run(self, main):
        uvloop.run(self.program(main))


class RunDebug(Tool):
    def run(self, main):
        uvloop.run(self.program(main), debug=True)


class Runner(Tool):
    def loop_factory(self):
        return uvloop.new_event_loop()


@pytest.fixture(params=[Run, RunDebug, Runner], ids=["run", "debug", "runner"])
def tool(request):
    return request.param()


@pytest.mark.requirement("START-3")
@pytest.mark.parametrize("kind", [Run, RunDebug, Runner])
def test_it_is_the_loop_that_runs(kind):
    async def main():
        assert type(asyncio.get_running_loop()) is uvloop.Loop
        assert asyncio.get_running_loop().get_debug() == (kind is RunDebug)

    kind().run(main)
