"""ASGI applications, plain, of Starlette and of FastAPI: arguments, routes and decorators keep their types."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket

import aiojobs.asgi
import aiojobs.fastapi
from aiojobs import ExceptionContext, Job, Record, Scheduler
from aiojobs.asgi import ASGIApp, get_scheduler, lifespan, while_connected
from aiojobs.starlette import atomic, get_scheduler_from_app, setup, shield, spawn


def report(scheduler: Scheduler, context: ExceptionContext) -> None:
    """An exception handler."""


def observe(record: Record) -> None:
    """An observer."""


app = Starlette()
setup(app)
setup(app, grace=30, reserve=6, limit=5, close_timeout=None, exception_handler=report, observer=observe)
setup(app, observer=[observe, observe])
setup(app, limt=5)  # error: mypy[call-arg] pyright[reportCallIssue]
setup(app, grace="30")  # error: mypy[arg-type] pyright[reportArgumentType]
setup(app, 5)  # error: mypy[call-arg] pyright[reportCallIssue]
setup("app")  # error: mypy[arg-type] pyright[reportArgumentType]
aiojobs.fastapi.setup(FastAPI(), grace=30)
app.add_middleware(aiojobs.asgi.Jobs, grace=30, limit=5)

wrapped: ASGIApp = aiojobs.asgi.Jobs(app, grace=30, limit=5)
assert_type(aiojobs.asgi.Jobs(wrapped).scheduler, Scheduler)
aiojobs.asgi.Jobs(app, limt=5)  # error: mypy[call-arg] pyright[reportCallIssue]


def configure(settings: dict[str, Any]) -> None:
    """Settings that were read from a file are nobody's types."""
    setup(app, **settings)


async def answer() -> str:
    """What a job could do."""
    return "yes"


@atomic
async def handle(request: Request) -> Response:
    """A handler that is a job."""
    job = await spawn(request, answer(), name="answer")
    assert_type(job, Job[str])
    assert_type(shield(request, answer()), asyncio.Future[str])
    assert_type(get_scheduler(request), Scheduler)
    assert_type(get_scheduler(request.scope), Scheduler)
    assert_type(await while_connected(request, answer(), timeout=5), str)
    assert_type(get_scheduler_from_app(app), Scheduler)
    return PlainTextResponse(await job)


handler: Callable[[Request], Coroutine[Any, Any, Response]] = handle
app.add_route("/", handle)


async def feed(websocket: WebSocket) -> None:
    """A websocket spawns as well."""
    assert_type(await spawn(websocket, answer()), Job[str])


@atomic  # error: mypy[arg-type] pyright[reportArgumentType]
def plain(request: Request) -> Response:
    """No coroutine function."""
    return Response()


service = FastAPI()


@service.post("/orders/{number}", status_code=202)
async def accept(number: int, jobs: aiojobs.fastapi.Jobs) -> None:
    """A route with the scheduler of its application."""
    assert_type(jobs, Scheduler)
    assert_type(await jobs.spawn(answer(), f"order {number}"), Job[str])


@service.post("/in-a-thread")
def accept_in_a_thread(jobs: aiojobs.fastapi.Jobs) -> str:
    """A route that is a plain function."""
    return jobs.spawn_threadsafe(answer()).result().get_name() or ""


async def test() -> None:
    """The lifespan of an application, for a test."""
    async with lifespan(app) as running:
        assert_type(running, ASGIApp)
    get_scheduler(5)  # error: mypy[arg-type] pyright[reportArgumentType]
