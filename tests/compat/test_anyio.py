"""anyio on asyncio: jobs inside task groups, cancel scopes and worker threads."""

import asyncio

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

import aiojobs
from aiojobs.testing import settle
from compat import bodies
from compat.stories import all_slots_are_free, tell
from compat.stories import test_story as test_story
from compat.tools import Tool
from support.observing import Recorder


class Run(Tool):
    """The program is what `anyio.run` runs."""

    def run(self, main):
        anyio.run(self.program, main)


class InAGroup(Run):
    """The program is a task of a group."""

    async def program(self, main):
        async with anyio.create_task_group() as group:
            group.start_soon(main)


@pytest.fixture(params=[Run, InAGroup], ids=["run", "task group"])
def tool(request):
    return request.param()


@pytest.mark.requirement("WAIT-1", "START-3")
def test_a_cancel_scope_around_the_wait_leaves_the_job_alone(tool):
    async def story(tool):
        async with aiojobs.Scheduler() as scheduler:
            event = asyncio.Event()
            job = await scheduler.spawn(bodies.waits(event, "finished"))
            with anyio.move_on_after(0.01) as scope:
                await job
            assert scope.cancelled_caught
            assert job.active
            event.set()
            assert await job == "finished"

    tell(story, tool)


@pytest.mark.requirement("WAIT-1", "SPAWN-4")
def test_a_job_is_not_cancelled_with_the_scope_in_which_it_was_spawned(tool):
    async def story(tool):
        async with aiojobs.Scheduler() as scheduler:
            event = asyncio.Event()
            with anyio.CancelScope() as scope:
                job = await scheduler.spawn(bodies.waits(event, "finished"))
                scope.cancel()
                await anyio.sleep(1)
            event.set()
            assert await job == "finished"

    tell(story, tool)


@pytest.mark.requirement("SPAWN-1")
def test_a_cancel_scope_around_a_blocked_spawn_withdraws_it(tool):
    async def story(tool):
        async with aiojobs.Scheduler(limit=1, pending_limit=1) as scheduler:
            log, event = [], asyncio.Event()
            await scheduler.spawn(bodies.waits(event))
            await scheduler.spawn(bodies.waits(event))
            with anyio.move_on_after(0.01) as scope:
                await scheduler.spawn(bodies.waits(event, log=log))
            assert scope.cancelled_caught
            event.set()
            await all_slots_are_free(scheduler)
            assert log == []

    tell(story, tool)


@pytest.mark.requirement("CLOSE-1", "EXC-1")
def test_scopes_groups_and_threads_work_inside_a_job(tool):
    async def job(log):
        with anyio.move_on_after(0.01):
            await anyio.sleep_forever()
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
            answer = await anyio.to_thread.run_sync(lambda: "from a thread")
        log.append(answer)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
                log.append("cleaned up")

    async def story(tool):
        async with aiojobs.Scheduler(limit=1, close_timeout=5) as scheduler:
            log = []
            running = await scheduler.spawn(job(log))
            while not log:
                await anyio.sleep(0.001)
            await running.close()
            assert log == ["from a thread", "cleaned up"]
            assert running.outcome == "cancelled"
            await all_slots_are_free(scheduler)

    tell(story, tool)


@pytest.mark.requirement("SPAWN-1", "SPAWN-4")
def test_a_worker_thread_spawns_through_the_loop(tool):
    async def story(tool):
        async with aiojobs.Scheduler(limit=1) as scheduler:

            def work():
                job = anyio.from_thread.run(scheduler.spawn, bodies.yields("spawned from a thread"))
                return anyio.from_thread.run(job.wait)

            assert await anyio.to_thread.run_sync(work) == "spawned from a thread"
            await all_slots_are_free(scheduler)

    tell(story, tool)


@pytest.mark.requirement("EXC-1")
def test_a_failure_that_is_awaited_in_a_group_fails_the_group(tool):
    async def story(tool):
        async with aiojobs.Scheduler(exception_handler=(recorder := Recorder())) as scheduler:
            job = await scheduler.spawn(bodies.fails(bodies.Failure("in a group")))
            with pytest.raises(ExceptionGroup) as caught:
                async with anyio.create_task_group() as group:
                    group.start_soon(job.wait)
            assert caught.value.exceptions == (job.exception(),)
            await settle()
            assert recorder.calls == []

    tell(story, tool)
