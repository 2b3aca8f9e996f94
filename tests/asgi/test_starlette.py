"""`aiojobs.starlette`: the functions of `aiojobs.aiohttp`, for the requests and websockets of Starlette."""

import asyncio
import contextlib
import math

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

import aiojobs
from aiojobs import asgi
from aiojobs.starlette import (
    ClientDisconnected,
    atomic,
    get_scheduler,
    get_scheduler_from_app,
    setup,
    shield,
    spawn,
    while_connected,
)
from asgi.conftest import Client, client_of
from support.observing import Recorder


def application(*routes, **settings):
    app = Starlette(routes=routes)
    setup(app, **settings)
    return app


# The application.


@pytest.mark.requirement("SHUT-4")
async def test_every_lifespan_is_still_there_for_the_jobs():
    log = []

    @contextlib.asynccontextmanager
    async def opened(app):
        log.append("opened")
        yield
        log.append("closed")

    async def work():
        await asyncio.sleep(5)
        log.append("done")

    async def accept(request):
        await spawn(request, work())
        return PlainTextResponse("accepted", 202)

    app = Starlette(routes=[Route("/", accept, methods=["POST"])], lifespan=opened)
    setup(app, grace=30)
    async with client_of(app) as client:
        assert (await client.post("/")).status_code == 202
        assert log == ["opened"]
    assert log == ["opened", "done", "closed"]


async def test_a_lifespan_finds_the_scheduler_of_its_application():
    log = []

    async def loop():
        while True:
            log.append(asyncio.get_running_loop().time())
            await asyncio.sleep(10)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        job = await get_scheduler_from_app(app).spawn(loop())
        yield
        assert job.cancelled()

    app = Starlette(lifespan=lifespan)
    setup(app, wait_timeout=25)
    async with client_of(app):
        pass
    assert log == [0, 10, 20]


async def test_before_and_after_its_life_an_application_has_no_scheduler():
    app = Starlette()
    with pytest.raises(RuntimeError, match=r"has no scheduler: call setup\(app\)"):
        get_scheduler_from_app(app)
    setup(app)
    with pytest.raises(RuntimeError, match="has not started"):
        get_scheduler_from_app(app)
    async with client_of(app):
        assert get_scheduler_from_app(app).phase == "open"
    with pytest.raises(RuntimeError, match="the lifespan of the application was not run"):
        get_scheduler_from_app(app)


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize("function", [setup, get_scheduler_from_app])
def test_what_is_no_application_is_refused(function):
    with pytest.raises(TypeError, match=r"app must be a starlette.applications.Starlette, got 5"):
        function(5)


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize(
    ("settings", "error"),
    [({"limit": 0}, ValueError), ({"grace": 0.5}, ValueError), ({"limt": 1}, TypeError)],
)
def test_an_argument_that_makes_no_sense_changes_nothing(settings, error):
    app = Starlette()
    with pytest.raises(error):
        setup(app, **settings)
    assert app.user_middleware == []
    setup(app)


async def test_an_application_is_set_up_once_and_before_it_starts():
    app = Starlette()
    setup(app)
    with pytest.raises(RuntimeError, match="has been set up already"):
        setup(app)
    late = Starlette()
    async with client_of(late):
        with pytest.raises(RuntimeError, match="Cannot add middleware"):
            setup(late)


async def test_mounted_applications_and_websockets_use_the_same_scheduler():
    found = []

    async def handler(request):
        found.append(get_scheduler(request))
        return PlainTextResponse("")

    async def feed(websocket):
        found.append(get_scheduler(websocket))
        await websocket.close()

    routes = [Route("/orders", handler), WebSocketRoute("/feed", feed)]
    app = application(*routes, Mount("/admin", Starlette(routes=routes)))
    async with client_of(app) as client:
        await client.get("/orders")
        await client.get("/admin/orders")
        await Client(app, "websocket", path="/admin/feed").call()
        assert found == [get_scheduler_from_app(app)] * 3


async def test_other_middlewares_inside_find_it_too():
    found = []

    async def dispatch(request, call_next):
        found.append(get_scheduler(request))
        return await call_next(request)

    async def handler(request):
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/", handler)])
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    setup(app)
    async with client_of(app) as client:
        await client.get("/")
        assert found == [get_scheduler_from_app(app)]


# Handlers.


@pytest.mark.requirement("SPAWN-2")
async def test_spawn_gives_the_job_and_its_name():
    jobs = []

    async def accept(request):
        jobs.append(await spawn(request, asyncio.sleep(1, "done"), "order 7"))
        return PlainTextResponse(jobs[0].get_name(), 202)

    async with client_of(application(Route("/", accept))) as client:
        assert (await client.get("/")).text == "order 7"
    assert jobs[0].result() == "done"


@pytest.mark.requirement("SHUT-4")
async def test_what_is_shielded_outlives_its_handler():
    log = []

    async def scan():
        await asyncio.sleep(5)
        log.append("scanned")
        return "clean"

    async def upload(request):
        return PlainTextResponse(await shield(request, scan()))

    app = application(Route("/", upload))
    async with client_of(app) as client:
        assert (await client.get("/")).text == "clean"
        request = asyncio.create_task(client.get("/"))
        await asyncio.sleep(1)
        request.cancel()
        await asyncio.wait([request])
        assert log == ["scanned"]
    assert log == ["scanned"] * 2


class View(HTTPEndpoint):
    """`atomic` for the methods of an endpoint."""

    @atomic
    async def get(self, request):
        await asyncio.sleep(5)
        LOG.append(request.url.path)
        return PlainTextResponse("done")


class Reports:
    """`atomic` for the methods of any class."""

    @atomic
    async def build(self, request):
        await asyncio.sleep(5)
        LOG.append(request.url.path)
        return PlainTextResponse("done")


@atomic
async def function(request):
    """The request as Starlette gives it."""
    await asyncio.sleep(5)
    LOG.append(request.url.path)
    return PlainTextResponse("done")


LOG = []


@pytest.mark.requirement("WAIT-1")
@pytest.mark.parametrize("endpoint", [function, View, Reports().build])
async def test_an_atomic_handler_answers_and_can_not_be_interrupted(endpoint):
    LOG.clear()
    async with client_of(application(Route("/{name}", endpoint))) as client:
        assert (await client.get("/stays")).text == "done"
        request = asyncio.create_task(client.get("/leaves"))
        await asyncio.sleep(1)
        request.cancel()
        await asyncio.wait([request])
        assert LOG == ["/stays"]
    assert LOG == ["/stays", "/leaves"]


@pytest.mark.requirement("EXC-1")
async def test_what_an_atomic_handler_raises_is_its_answer_or_goes_to_the_handler():
    @atomic
    async def refuses(request):
        await asyncio.sleep(1)
        raise HTTPException(409)

    handler = Recorder()
    async with client_of(application(Route("/", refuses), exception_handler=handler)) as client:
        assert (await client.get("/")).status_code == 409
        assert handler.calls == []
        request = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0.5)
        request.cancel()
        await asyncio.wait([request])
    assert [type(error) for error in handler.exceptions] == [HTTPException]


@pytest.mark.requirement("SPAWN-3")
def test_what_can_not_be_called_is_not_atomic():
    with pytest.raises(TypeError, match="handler must be a coroutine function, got 5"):
        atomic(5)


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize(("args", "says"), [((), "got nothing"), ((5,), "got 5")])
async def test_an_atomic_handler_needs_the_request(args, says):
    @atomic
    async def handler(*args):
        pytest.fail("there is no scheduler for this")

    with pytest.raises(TypeError, match=f"must be given the request or the websocket, .*{says}"):
        await handler(*args)


@pytest.mark.requirement("CLOSE-1")
@pytest.mark.parametrize("middlewares", [0, 1, 2])
async def test_work_for_a_client_that_leaves_is_stopped_behind_any_number_of_base_http_middlewares(
    middlewares,
):
    met = []

    async def work():
        try:
            await asyncio.sleep(math.inf)
        except asyncio.CancelledError:
            met.append("stopped")
            raise

    async def handler(request):
        try:
            await while_connected(request, work())
        except ClientDisconnected:
            met.append("left")
            raise

    async def dispatch(request, call_next):
        return await call_next(request)

    app = Starlette(routes=[Route("/", handler)])
    for _ in range(middlewares):
        app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    setup(app)
    async with asgi.lifespan(app) as running:
        client = Client(running)
        client.says()
        task = client.start()
        await asyncio.sleep(1)
        client.leaves()
        await task
    assert (met, client.status) == (["stopped", "left"], 499)
    assert asyncio.get_running_loop().time() == 1


@pytest.mark.requirement("WAIT-3")
async def test_a_job_that_is_closed_is_told_to_its_atomic_handler():
    @atomic
    async def handler(request):
        await asyncio.sleep(math.inf)

    app = application(Route("/", handler))
    async with asgi.lifespan(app) as running:
        client = Client(running)
        task = client.start()
        await asyncio.sleep(1)
        (job,) = get_scheduler_from_app(app)
        await job.close()
        with pytest.raises(aiojobs.JobClosed):
            await task
