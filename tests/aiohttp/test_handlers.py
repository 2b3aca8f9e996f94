"""`spawn`, `shield` and `atomic` in handlers of every kind, while the client stays."""

import asyncio
import contextvars
import gc
import inspect
import weakref

import pytest
from aiohttp import ServerDisconnectedError, web
from aiohttp.test_utils import make_mocked_request

from aiojobs import Job, JobClosed
from aiojobs.aiohttp import AIOJOBS_SCHEDULER, atomic, get_scheduler, setup, shield, spawn
from aiojobs.testing import settle
from support.observing import Recorder

from .conftest import Gate, soon


def with_handler(app, handler, **settings):
    app.router.add_route("*", "/", handler)
    setup(app, **settings)
    return app


async def test_spawn_returns_a_job_that_outlives_the_request(app, serve):
    gate, jobs = Gate(), []

    async def handler(request):
        jobs.append(await spawn(request, gate.wait(), "mail"))
        assert jobs[0] in get_scheduler(request)
        return web.Response()

    client = await serve(with_handler(app, handler))
    response = await client.get("/")
    assert response.status == 200
    assert isinstance(jobs[0], Job)
    assert jobs[0].get_name() == "mail"
    assert jobs[0].active
    gate.opened.set()
    await soon(jobs[0].wait())
    assert jobs[0].state == "done"


@pytest.mark.requirement("SPAWN-3")
async def test_spawn_of_something_other_than_a_coroutine_is_a_type_error(app, serve):
    errors = []

    async def handler(request):
        with pytest.raises(TypeError, match="coro must be a coroutine") as caught:
            await spawn(request, handler)
        errors.append(caught.value)
        return web.Response()

    client = await serve(with_handler(app, handler))
    assert (await client.get("/")).status == 200
    assert len(errors) == 1


request_id = contextvars.ContextVar("request_id")


@pytest.mark.requirement("SPAWN-4")
async def test_a_queued_job_runs_in_the_context_of_its_own_request(app, serve):
    gate, seen = Gate(), []

    async def remember():
        await gate.opened.wait()
        seen.append(request_id.get())

    async def handler(request):
        request_id.set(request.query["id"])
        await spawn(request, remember())
        return web.Response()

    client = await serve(with_handler(app, handler, limit=1))
    for number in "abc":
        await client.get("/", params={"id": number})
    gate.opened.set()
    await soon(client.close())
    assert seen == ["a", "b", "c"]


async def test_shield_gives_the_result(app, serve):
    async def handler(request):
        future = shield(request, asyncio.sleep(0, "shielded"))
        assert isinstance(future, asyncio.Future)
        return web.Response(text=await future)

    client = await serve(with_handler(app, handler))
    assert await (await client.get("/")).text() == "shielded"


# --- atomic -------------------------------------------------------------------------------------------


def is_job(request):
    """Whether the code that asks runs in a job of the scheduler of `request`."""
    return any(job.task is asyncio.current_task() for job in get_scheduler(request))


@atomic
async def function(request):
    """Documented."""
    return web.Response(text=f"function {is_job(request)}")


class AView(web.View):
    @atomic
    async def get(self):
        return web.Response(text=f"view {is_job(self.request)}")


class Controller:
    name = "controller"

    @atomic
    async def handle(self, request):
        return web.Response(text=f"{self.name} {is_job(request)}")

    @staticmethod
    @atomic
    async def static(request):
        return web.Response(text=f"static {is_job(request)}")

    @classmethod
    @atomic
    async def of_class(cls, request):
        return web.Response(text=f"{cls.name} {is_job(request)}")


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (function, "function True"),
        (AView, "view True"),
        (Controller().handle, "controller True"),
        (Controller.static, "static True"),
        (Controller.of_class, "controller True"),
    ],
)
async def test_an_atomic_handler_of_any_kind_runs_as_a_job(app, serve, handler, text):
    client = await serve(with_handler(app, handler))
    assert await (await client.get("/")).text() == text


async def test_an_atomic_handler_of_a_sub_application_runs_in_the_scheduler_above(app, serve):
    child = web.Application()
    child.router.add_get("/", function)
    setup(app)
    app.add_subapp("/child", child)
    client = await serve(app)
    assert await (await client.get("/child/")).text() == "function True"


def test_an_atomic_handler_looks_like_the_handler():
    assert function.__name__ == "function"
    assert function.__doc__ == "Documented."
    assert inspect.iscoroutinefunction(function)
    assert list(inspect.signature(AView.get).parameters) == ["self"]


@pytest.mark.requirement("EXC-1")
async def test_what_an_atomic_handler_raises_is_the_answer_and_is_not_reported(app, serve):
    @atomic
    async def handler(request):
        raise web.HTTPConflict(text="taken")

    reports = Recorder()
    client = await serve(with_handler(app, handler, exception_handler=reports))
    response = await client.get("/")
    assert (response.status, await response.text()) == (409, "taken")
    assert reports.calls == []


@pytest.mark.requirement("WAIT-3")
async def test_an_atomic_handler_whose_job_is_stopped_ends_the_connection(app, serve):
    @atomic
    async def handler(request):
        await gate.wait()

    @web.middleware
    async def remember(request, handler):
        try:
            return await handler(request)
        except JobClosed as error:
            errors.append(error)
            raise

    gate, errors = Gate(), []
    app.middlewares.append(remember)
    client = await serve(with_handler(app, handler))
    request = asyncio.create_task(client.get("/"))
    await soon(gate.reached.wait())
    (job,) = app[AIOJOBS_SCHEDULER]
    await job.close()
    with pytest.raises(ServerDisconnectedError):
        await soon(request)
    assert len(errors) == 1


@pytest.mark.requirement("BOOK-3")
async def test_the_job_of_a_failed_atomic_handler_is_freed_without_the_cycle_collector(app, serve):
    @atomic
    async def handler(request):
        jobs.extend(weakref.ref(job) for job in get_scheduler(request))
        raise ValueError("mine")

    jobs = []
    setup(app)
    await serve(app)
    gc.disable()
    try:
        with pytest.raises(ValueError, match="mine"):
            await handler(make_mocked_request("GET", "/", app=app))
        await settle()
        assert [job() for job in jobs] == [None]
    finally:
        gc.enable()


@pytest.mark.requirement("SPAWN-1", "SPAWN-2")
async def test_an_atomic_handler_of_a_closed_scheduler_does_not_run(app, serve):
    @atomic
    async def handler(request):
        raise AssertionError("must not run")

    client = await serve(with_handler(app, handler))
    await app[AIOJOBS_SCHEDULER].close()
    assert (await client.get("/")).status == 500


@pytest.mark.requirement("SPAWN-3")
def test_atomic_refuses_what_can_not_be_called():
    with pytest.raises(TypeError, match="handler must be a coroutine function, got 7"):
        atomic(7)


@pytest.mark.requirement("SPAWN-1", "SPAWN-3")
@pytest.mark.parametrize("arguments", [(), (1,), (1, 2), (1, 2, "request")])
async def test_an_atomic_handler_called_without_a_request_says_so_and_does_not_run(arguments):
    @atomic
    async def handler(*args):
        raise AssertionError("must not run")

    with pytest.raises(TypeError, match="must be called with a request, a view"):
        await handler(*arguments)


@pytest.mark.requirement("SPAWN-1")
async def test_an_atomic_handler_without_a_scheduler_leaves_no_coroutine_behind():
    with pytest.raises(RuntimeError, match="setup"):
        await function(make_mocked_request("GET", "/", app=web.Application()))


@pytest.mark.requirement("SPAWN-3")
async def test_an_atomic_handler_that_is_not_a_coroutine_function_is_a_type_error(app, serve):
    setup(app)
    await serve(app)
    with pytest.raises(TypeError, match="coro must be a coroutine"):
        await atomic(lambda request: 7)(make_mocked_request("GET", "/", app=app))
