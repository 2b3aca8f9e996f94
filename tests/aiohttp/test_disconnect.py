"""A client hangs up in the middle of its request: what stops, what goes on, and who hears of a failure.

The server runs with `handler_cancellation=True`, as `aiohttp.test_utils` does by itself.
"""

import asyncio

import pytest
from aiohttp import web

from aiojobs.aiohttp import AIOJOBS_SCHEDULER, atomic, setup, shield, spawn
from support.observing import Recorder

from .conftest import CANCELLED, Gate, RawClient, soon


async def hang_up_at(gate, app, client, path="/"):
    """Send a request, wait until it has reached the gate, hang up, wait until the handler was cancelled."""
    raw = RawClient(client.server)
    await raw.get(path)
    await soon(gate.reached.wait())
    await raw.hang_up()
    await soon(app[CANCELLED].wait())


@pytest.mark.requirement("WAIT-1")
async def test_a_handler_that_waits_for_its_job_is_cancelled_and_the_job_goes_on(app, serve):
    async def handler(request):
        job = await spawn(request, gate.wait())
        await job
        raise AssertionError("the client is gone")

    gate = Gate()
    app.router.add_get("/", handler)
    setup(app)
    client = await serve(app)
    await hang_up_at(gate, app, client)
    (job,) = app[AIOJOBS_SCHEDULER]
    assert job.active
    gate.opened.set()
    await soon(job.wait())
    assert gate.passed.is_set()
    assert job.outcome == "returned"


@pytest.mark.requirement("WAIT-1")
@pytest.mark.parametrize("kind", ["function", "view", "method"])
async def test_an_atomic_handler_goes_on(app, serve, kind):
    @atomic
    async def function(request):
        await gate.wait()
        return web.Response()

    class View(web.View):
        @atomic
        async def get(self):
            await gate.wait()
            return web.Response()

    class Controller:
        @atomic
        async def handle(self, request):
            await gate.wait()
            return web.Response()

    gate = Gate()
    handlers = {"function": function, "view": View, "method": Controller().handle}
    app.router.add_route("*", "/", handlers[kind])
    setup(app)
    client = await serve(app)
    await hang_up_at(gate, app, client)
    (job,) = app[AIOJOBS_SCHEDULER]
    gate.opened.set()
    assert isinstance(await soon(job.wait()), web.Response)
    assert gate.passed.is_set()


@pytest.mark.requirement("EXC-1")
async def test_a_failure_of_an_atomic_handler_whose_client_is_gone_is_reported_once(app, serve):
    @atomic
    async def handler(request):
        await gate.wait()
        raise ValueError("nobody is there")

    gate, reports = Gate(), Recorder()
    app.router.add_get("/", handler)
    setup(app, exception_handler=reports)
    client = await serve(app)
    await hang_up_at(gate, app, client)
    (job,) = app[AIOJOBS_SCHEDULER]
    gate.opened.set()
    await soon(client.close())
    assert reports.messages == ["Job processing failed"]
    assert [str(error) for error in reports.exceptions] == ["nobody is there"]
    assert reports.calls[0]["job"] is job


@pytest.mark.requirement("EXC-1")
async def test_the_body_can_not_be_read_any_more_when_the_client_is_gone(app, serve):
    @atomic
    async def handler(request):
        await gate.wait()
        await request.read()

    gate, reports = Gate(), Recorder()
    app.router.add_route("*", "/", handler)
    setup(app, exception_handler=reports)
    client = await serve(app)
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n{")
    await soon(gate.reached.wait())
    writer.transport.abort()
    await soon(app[CANCELLED].wait())
    gate.opened.set()
    await soon(client.close())
    assert [isinstance(error, OSError) for error in reports.exceptions] == [True]
    assert reader.at_eof()


@pytest.mark.requirement("SHUT-4")
async def test_what_is_shielded_goes_on_and_shutdown_waits_for_it(app, serve):
    async def handler(request):
        await shield(request, gate.wait())

    gate = Gate()
    app.router.add_get("/", handler)
    setup(app)
    client = await serve(app)
    await hang_up_at(gate, app, client)
    assert not gate.passed.is_set()
    closing = asyncio.create_task(client.close())
    gate.opened.set()
    await soon(closing)
    assert gate.passed.is_set()


@pytest.mark.requirement("EXC-4")
async def test_a_failure_of_what_is_shielded_is_reported_once(app, serve):
    async def fail():
        await gate.wait()
        raise ValueError("nobody is there")

    async def handler(request):
        await shield(request, fail())

    gate, reports = Gate(), Recorder()
    app.router.add_get("/", handler)
    setup(app, exception_handler=reports)
    client = await serve(app)
    await hang_up_at(gate, app, client)
    gate.opened.set()
    await soon(client.close())
    assert reports.messages == ["Shielded awaitable failed"]


@pytest.mark.requirement("SPAWN-1", "LIMIT-4")
@pytest.mark.parametrize("style", ["spawn", "atomic"])
async def test_a_spawn_that_waits_for_a_place_is_withdrawn(app, serve, style):
    async def work(request):
        started.append(request.query["n"])
        await gate.wait()
        return web.Response()

    async def spawning(request):
        asked[request.query["n"]].set()
        await spawn(request, work(request))
        return web.Response()

    @web.middleware
    async def announce(request, handler):
        asked[request.query["n"]].set()
        return await handler(request)

    asked = {number: asyncio.Event() for number in "123"}
    gate, started, records = Gate(), [], Recorder()
    app.middlewares.append(announce)
    app.router.add_get("/", spawning if style == "spawn" else atomic(work))
    setup(app, limit=1, pending_limit=1, observer=records)
    client = await serve(app)
    raw = {number: RawClient(client.server) for number in asked}
    for number, event in asked.items():
        await raw[number].get(f"/?n={number}")
        await soon(event.wait())
    scheduler = app[AIOJOBS_SCHEDULER]
    assert (scheduler.active_count, scheduler.pending_count) == (1, 1)
    await raw["3"].hang_up()
    await soon(app[CANCELLED].wait())
    assert (scheduler.active_count, scheduler.pending_count) == (1, 1)
    gate.opened.set()
    await soon(client.close())
    assert started == ["1", "2"]
    assert [record.event for record in records.calls].count("accept") == 2
    for number in "12":
        await raw[number].hang_up()


@pytest.mark.requirement("START-1")
async def test_a_queued_atomic_handler_whose_client_is_gone_still_runs_in_its_turn(app, serve):
    @atomic
    async def handler(request):
        started.append(request.query["n"])
        await gate.wait()
        return web.Response()

    @web.middleware
    async def announce(request, handler):
        asked[request.query["n"]].set()
        return await handler(request)

    asked = {number: asyncio.Event() for number in "12"}
    gate, started = Gate(), []
    app.middlewares.append(announce)
    app.router.add_get("/", handler)
    setup(app, limit=1)
    client = await serve(app)
    raw = {number: RawClient(client.server) for number in asked}
    for number, event in asked.items():
        await raw[number].get(f"/?n={number}")
        await soon(event.wait())
    await raw["2"].hang_up()
    await soon(app[CANCELLED].wait())
    assert started == ["1"]
    gate.opened.set()
    await soon(client.close())
    assert started == ["1", "2"]
    await raw["1"].hang_up()


@pytest.mark.requirement("WAIT-1")
async def test_without_handler_cancellation_the_handler_itself_goes_on(app, serve):
    async def handler(request):
        await gate.wait()
        return web.Response()

    gate = Gate()
    app.router.add_get("/", handler)
    setup(app)
    client = await serve(app)
    client.server.runner.server.handler_cancellation = False
    raw = RawClient(client.server)
    await raw.get("/")
    await soon(gate.reached.wait())
    await raw.hang_up()
    gate.opened.set()
    await soon(gate.passed.wait())
    assert not app[CANCELLED].is_set()
