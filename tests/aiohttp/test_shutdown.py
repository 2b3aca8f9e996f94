"""The server goes down while jobs run: they are waited for, then stopped, and each late one is reported."""

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web

from aiojobs.aiohttp import AIOJOBS_SCHEDULER, atomic, get_scheduler_from_app, setup, spawn
from support.observing import Recorder

from .conftest import Gate, soon


def spawning(app, work, **settings):
    """An application whose handler spawns `work`, and keeps the jobs."""

    async def handler(request):
        jobs.append(await spawn(request, work()))
        return web.Response()

    jobs = []
    app.router.add_get("/", handler)
    setup(app, **settings)
    return jobs


@pytest.mark.requirement("SHUT-4")
async def test_shutdown_waits_for_running_and_queued_jobs(app, serve):
    gate = Gate()
    jobs = spawning(app, gate.wait, limit=1)
    client = await serve(app)
    for _ in range(3):
        await client.get("/")
    assert [job.state for job in jobs] == ["active", "pending", "pending"]
    closing = asyncio.create_task(client.close())
    gate.opened.set()
    await soon(closing)
    assert [job.outcome for job in jobs] == ["returned"] * 3


@pytest.mark.requirement("SHUT-1", "SHUT-4")
async def test_after_wait_timeout_what_runs_is_stopped_and_what_is_queued_never_starts(app, serve):
    async def work():
        started.append(1)
        await asyncio.Event().wait()

    started, reports = [], Recorder()
    jobs = spawning(app, work, limit=1, wait_timeout=0.01, exception_handler=reports)
    client = await serve(app)
    await client.get("/")
    await client.get("/")
    await soon(client.close())
    assert [job.outcome for job in jobs] == ["cancelled", "never_started"]
    assert started == [1]
    assert reports.calls == []


@pytest.mark.requirement("SHUT-2")
async def test_a_job_that_does_not_stop_is_reported_once_and_does_not_hold_shutdown_up(app, serve):
    async def stubborn():
        while not gate.opened.is_set():
            with suppress(asyncio.CancelledError):
                await gate.opened.wait()

    gate, reports = Gate(), Recorder()
    jobs = spawning(app, stubborn, wait_timeout=0, close_timeout=0.01, exception_handler=reports)
    client = await serve(app)
    await client.get("/")
    await soon(client.close())
    assert reports.messages == ["Job closing timed out"]
    assert [context["job"] for context in reports.calls] == jobs
    assert jobs[0].state == "closing"
    ended = asyncio.Event()
    jobs[0].add_done_callback(lambda job: ended.set())
    gate.opened.set()
    await soon(ended.wait())
    assert jobs[0].state == "closed"


@pytest.mark.requirement("SHUT-4")
async def test_what_was_set_up_before_is_there_until_the_jobs_have_ended(app, serve):
    async def database(app):
        order.append("open")
        yield
        order.append("closed")

    async def write():
        await gate.wait()
        order.append("written")

    order, gate = [], Gate()
    app.cleanup_ctx.append(database)
    spawning(app, write)
    client = await serve(app)
    await client.get("/")
    closing = asyncio.create_task(client.close())
    gate.opened.set()
    await soon(closing)
    assert order == ["open", "written", "closed"]


@pytest.mark.requirement("SHUT-4")
async def test_the_parents_jobs_end_before_a_sub_application_is_cleaned_up(app, serve):
    async def database(child):
        yield
        order.append("closed")

    async def handler(request):
        await spawn(request, write())
        return web.Response()

    async def write():
        await gate.wait()
        order.append("written")

    order, gate, child = [], Gate(), web.Application()
    child.cleanup_ctx.append(database)
    child.router.add_get("/", handler)
    setup(app)
    app.add_subapp("/child", child)
    client = await serve(app)
    await client.get("/child/")
    closing = asyncio.create_task(client.close())
    gate.opened.set()
    await soon(closing)
    assert order == ["written", "closed"]


@pytest.mark.requirement("SPAWN-2")
async def test_a_handler_that_comes_after_closing_began_gets_a_runtime_error(app, serve):
    async def work():
        raise AssertionError("must not run")

    jobs = spawning(app, work)
    client = await serve(app)
    await app[AIOJOBS_SCHEDULER].close()
    assert (await client.get("/")).status == 500
    assert jobs == []


@pytest.mark.requirement("SPAWN-2")
async def test_a_handler_that_outlives_the_server_gets_a_runtime_error(app, serve):
    async def work():
        raise AssertionError("must not run")

    async def handler(request):
        gate.reached.set()
        while not gate.opened.is_set():
            with suppress(asyncio.CancelledError):
                await gate.opened.wait()
        try:
            await spawn(request, work())
        except RuntimeError as error:
            answers.put_nowait(str(error))

    answers, gate = asyncio.Queue(), Gate()
    app.router.add_get("/", handler)
    setup(app)
    client = await serve(app, shutdown_timeout=0.01)
    request = asyncio.create_task(client.get("/"))
    await soon(gate.reached.wait())
    await soon(client.server.close())
    assert get_scheduler_from_app(app).phase == "closed"
    gate.opened.set()
    assert await soon(answers.get()) == "Scheduling a new job after closing"
    assert isinstance((await soon(asyncio.gather(request, return_exceptions=True)))[0], Exception)


@pytest.mark.requirement("WAIT-1", "SHUT-4")
async def test_an_atomic_handler_that_the_server_gave_up_on_is_still_waited_for(app, serve):
    @atomic
    async def handler(request):
        await gate.wait()
        return web.Response()

    gate = Gate()
    app.router.add_get("/", handler)
    setup(app)
    client = await serve(app, shutdown_timeout=0.01)
    request = asyncio.create_task(client.get("/"))
    await soon(gate.reached.wait())
    (job,) = app[AIOJOBS_SCHEDULER]
    closing = asyncio.create_task(client.server.close())
    await soon(asyncio.wait([request]))
    assert isinstance(request.exception(), Exception)
    assert job.active
    assert not closing.done()
    gate.opened.set()
    await soon(closing)
    assert job.outcome == "returned"


@pytest.mark.requirement("SHUT-6")
async def test_a_shutdown_that_is_cancelled_while_it_drains_stops_the_jobs(app, serve):
    gate = Gate()
    jobs = spawning(app, gate.wait)
    client = await serve(app)
    await client.get("/")
    draining = asyncio.create_task(app.cleanup())
    await asyncio.sleep(0)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(draining)
    assert jobs[0].outcome == "cancelled"
    assert app[AIOJOBS_SCHEDULER].phase == "closed"
