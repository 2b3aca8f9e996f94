"""aiomonitor with `hook_task_factory=True`: a task class of its own around a coroutine of its own."""

import asyncio
import re
import socket
import time
import warnings

import pytest

import aiojobs
from aiojobs.testing import settle
from compat import bodies
from compat.stories import all_slots_are_free, tell
from compat.stories import test_story as test_story
from compat.tools import Tool

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its own, about click
    import aiomonitor
    from aiomonitor.task import TracedTask

# Its own again: the web page that it serves from another thread, where an error would be a hang.
pytestmark = pytest.mark.filterwarnings("ignore:It is recommended to use web.AppKey")


class Monitor(Tool):
    """`start_monitor` around the program, as its documentation shows, on ports that are free."""

    reports_failures = True

    async def program(self, main):
        loop = asyncio.get_running_loop()
        ui, web, console = _free_ports(3)
        with aiomonitor.start_monitor(
            loop, hook_task_factory=True, port=ui, webui_port=web, console_port=console, console_enabled=False
        ) as self.monitor:
            await main()

    async def terminated(self):
        """What it knows of the tasks that have ended. Its own thread hears of them in the order of their ends."""
        last = asyncio.create_task(asyncio.sleep(0), name=f"the last at {time.monotonic_ns()}")
        known = self.monitor._terminated_tasks
        while last.get_name() not in [info.name for info in list(known.values())]:
            await asyncio.sleep(0.001)
        return list(known.values())

    async def failures(self):
        found = [re.fullmatch(r"Failure\('(.*)'\)", info.exc_repr or "") for info in await self.terminated()]
        return [match[1] for match in found if match]

    def coroutine(self, task):
        return task._orig_coro


def _free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


@pytest.fixture
def tool():
    return Monitor()


@pytest.mark.requirement("EXC-5", "START-3")
def test_jobs_are_listed_by_the_names_of_their_coroutines_while_they_run_and_afterwards(tool):
    async def story(tool):
        async with aiojobs.Scheduler(exception_handler=lambda *_: None) as scheduler:
            tasks, event = [], asyncio.Event()
            await scheduler.spawn(bodies.presents_itself(tasks, event), name="order 7")
            await scheduler.spawn(bodies.presents_itself(tasks, event, bodies.Failure("seen")))
            await settle()
            assert [type(task) for task in tasks] == [TracedTask, TracedTask]
            listed = {
                info.name: info.coro for info in tool.monitor.format_running_task_list("", persistent=False)
            }
            assert listed["order 7"] == "presents_itself()"
            event.set()
            await settle()
            known = await tool.terminated()
            ended = {info.name: (info.coro, info.exc_repr, info.cancelled) for info in known}
            assert ended["order 7"] == ("presents_itself()", None, False)
            assert ("presents_itself()", "Failure('seen')", False) in ended.values()

    tell(story, tool)


@pytest.mark.requirement("WAIT-3", "LIMIT-6")
def test_a_job_that_the_monitor_cancels_is_closed_and_its_slot_is_free(tool):
    async def story(tool):
        async with aiojobs.Scheduler(limit=1) as scheduler:
            log = []
            job = await scheduler.spawn(bodies.cleans_up(log), name="victim")
            await settle()
            victims = [
                info.task_id
                for info in tool.monitor.format_running_task_list("", persistent=False)
                if info.name == "victim"
            ]
            await tool.monitor.cancel_monitored_task(victims[0])
            with pytest.raises(aiojobs.JobClosed):
                await job
            assert log == ["began", "cancelled", "cleaned up"]
            await all_slots_are_free(scheduler)

    tell(story, tool)
