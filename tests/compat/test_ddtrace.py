"""ddtrace: `BaseEventLoop.create_task` is replaced by one that awaits each coroutine inside one of its own."""

import asyncio

import pytest

import aiojobs
from aiojobs.testing import settle
from compat import bodies
from compat.datadog import KEPT, Datadog, Idle, tracer
from compat.stories import tell
from compat.stories import test_story as test_story


@pytest.fixture(params=[Datadog, Idle], ids=["in a span", "without a span"])
def tool(request):
    return request.param()


@pytest.mark.requirement("START-3")
def test_in_a_span_the_tasks_of_jobs_are_wrapped_and_there_is_no_task_factory():
    async def story(tool):
        async with aiojobs.Scheduler() as scheduler:
            tasks, event = [], asyncio.Event()
            await scheduler.spawn(bodies.presents_itself(tasks, event))
            await settle()
            event.set()
            assert tasks[0].get_coro().cr_code.co_name == "traced_coro"
            assert asyncio.get_running_loop().get_task_factory() is None

    tell(story, Datadog())


@pytest.mark.requirement("SPAWN-4")
@pytest.mark.parametrize("limit", [2, 1], ids=["at once", "queued"])
def test_the_spans_of_a_job_hang_under_the_span_in_which_it_was_spawned(limit):
    async def traced(name, event):
        with tracer.trace(name):
            await event.wait()

    async def request(scheduler, name, event):
        with tracer.trace(f"{name} request"):
            await (await scheduler.spawn(traced(f"{name} job", event)))

    async def story(tool):
        async with aiojobs.Scheduler(limit=limit) as scheduler:
            event = asyncio.Event()
            requests = [asyncio.create_task(request(scheduler, name, event)) for name in ("first", "second")]
            await settle()
            event.set()
            await asyncio.gather(*requests)

    tell(story, Idle())
    names = {span.span_id: span.name for span in KEPT.spans}
    parents = {span.name: names.get(span.parent_id) for span in KEPT.spans}
    assert parents == {
        "first request": None,
        "first job": "first request",
        "second request": None,
        "second job": "second request",
    }


@pytest.mark.requirement("EXC-5")
def test_a_span_around_the_wait_sees_the_failure():
    async def story(tool):
        async with aiojobs.Scheduler() as scheduler:
            with pytest.raises(bodies.Failure), tracer.trace("waits"):
                await (await scheduler.spawn(bodies.fails(bodies.Failure("seen"))))

    tell(story, Datadog())
    assert [span.get_tag("error.message") for span in KEPT.spans if span.error] == ["seen"]
