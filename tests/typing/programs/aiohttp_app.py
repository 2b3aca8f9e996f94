"""An aiohttp application: the arguments of `setup`, and decorators that keep the types of handlers."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from aiohttp import web

from aiojobs import ExceptionContext, Job, Record, Scheduler
from aiojobs.aiohttp import (
    AIOJOBS_SCHEDULER,
    atomic,
    get_scheduler,
    get_scheduler_from_app,
    get_scheduler_from_request,
    setup,
    shield,
    spawn,
)


def report(scheduler: Scheduler, context: ExceptionContext) -> None:
    """An exception handler."""


def observe(record: Record) -> None:
    """An observer."""


app = web.Application()
setup(app)
setup(
    app,
    limit=5,
    pending_limit=10,
    close_timeout=None,
    wait_timeout=9.5,
    exception_handler=report,
    observer=observe,
)
setup(app, limt=5)  # error: mypy[call-arg] pyright[reportCallIssue]
setup(app, limit="5")  # error: mypy[arg-type] pyright[reportArgumentType]
setup(app, 5)  # error: mypy[call-arg] pyright[reportCallIssue]
setup("app")  # error: mypy[arg-type] pyright[reportArgumentType]


def configure(settings: dict[str, Any]) -> None:
    """Settings that were read from a file are nobody's types."""
    setup(app, **settings)


async def answer() -> str:
    """What a job could do."""
    return "yes"


@atomic
async def handle(request: web.Request) -> web.Response:
    """A handler that is a job."""
    job = await spawn(request, answer(), name="answer")
    assert_type(job, Job[str])
    assert_type(shield(request, answer()), asyncio.Future[str])
    assert_type(get_scheduler(request), Scheduler)
    assert_type(get_scheduler_from_request(request), Scheduler | None)
    assert_type(get_scheduler_from_app(app), Scheduler | None)
    assert_type(request.app[AIOJOBS_SCHEDULER], Scheduler)
    return web.Response(text=await job)


handler: Callable[[web.Request], Coroutine[Any, Any, web.Response]] = handle
app.router.add_get("/", handle)


class Account(web.View):
    """A view with an atomic method."""

    @atomic
    async def get(self) -> web.Response:
        """The account."""
        return web.Response()


@atomic  # error: mypy[arg-type] pyright[reportArgumentType]
def plain(request: web.Request) -> web.Response:
    """No coroutine function."""
    return web.Response()
