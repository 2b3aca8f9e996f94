"""sentry-sdk with its AsyncioIntegration: a task factory that awaits each coroutine inside one of its own."""

import asyncio

import pytest
import sentry_sdk
from sentry_sdk.integrations.asyncio import AsyncioIntegration

import aiojobs
from aiojobs.testing import settle
from compat import bodies
from compat.sentry import Sentry
from compat.stories import tell
from compat.stories import test_story as test_story


@pytest.fixture
def tool():
    return Sentry(AsyncioIntegration())


@pytest.mark.requirement("START-3")
def test_the_tasks_of_jobs_are_wrapped_and_bear_the_names_of_their_coroutines(tool):
    async def story(tool):
        async with aiojobs.Scheduler() as scheduler:
            tasks, event = [], asyncio.Event()
            await scheduler.spawn(bodies.presents_itself(tasks, event))
            plain = asyncio.create_task(bodies.presents_itself(tasks, event))
            await settle()
            event.set()
            await plain
            codes = [task.get_coro().cr_code.co_name for task in tasks]
            assert codes == ["_task_with_sentry_span_creation"] * 2
            # "presents_itself (Sentry-wrapped)", but for CPython 3.13.0, which names it "None" after that.
            assert tasks[0].get_name() == tasks[1].get_name()

    tell(story, tool)


@pytest.mark.requirement("EXC-5", "SPAWN-4")
def test_a_job_is_a_span_of_the_transaction_in_which_it_was_spawned(tool):
    async def story(tool):
        async with aiojobs.Scheduler() as scheduler:
            with sentry_sdk.start_transaction(name="order"):
                await (await scheduler.spawn(bodies.yields(1)))

    tell(story, tool)
    assert "yields" in tool.kept.spans["order"]


@pytest.mark.requirement("SPAWN-4")
def test_a_queued_job_has_the_scope_of_whoever_spawned_it(tool):
    async def tagged():
        return sentry_sdk.get_isolation_scope()._tags.get("request")

    async def story(tool):
        async with aiojobs.Scheduler(limit=1) as scheduler:
            jobs = []
            for request in ("first", "second"):
                with sentry_sdk.isolation_scope() as scope:
                    scope.set_tag("request", request)
                    jobs.append(await scheduler.spawn(tagged()))
            assert [await job for job in jobs] == ["first", "second"]

    tell(story, tool)


@pytest.mark.requirement("EXC-1", "EXC-5")
@pytest.mark.parametrize("handler", [None, lambda *_: None], ids=["the loop's", "a silent one"])
def test_a_failure_is_noticed_in_the_task_and_once_more_in_what_the_handler_of_the_loop_logs(tool, handler):
    async def main():
        async with aiojobs.Scheduler(exception_handler=handler) as scheduler:
            await scheduler.spawn(bodies.fails(bodies.Failure("told")))
            await settle()

    tool.run(main)
    in_the_log = [] if handler else [("told", "logging")]
    assert tool.kept.errors == [("told", "asyncio"), *in_the_log]
