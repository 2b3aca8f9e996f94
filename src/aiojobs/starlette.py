"""Jobs for Starlette, with the functions of `aiojobs.aiohttp`: a scheduler that requests spawn into.

`aiojobs.asgi` does the work; here is what knows the names of Starlette.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, Unpack, cast

from ._atomic import run_as_jobs
from ._job import Job
from ._scheduler import Scheduler
from ._settings import Settings, checked
from .asgi import ASGIApp, ClientDisconnected, Jobs, get_scheduler, while_connected

try:
    from starlette.applications import Starlette
    from starlette.requests import HTTPConnection
except ImportError as _exc:
    raise ImportError(
        "aiojobs.starlette needs Starlette 0.40 or newer: pip install 'starlette>=0.40'", name=_exc.name
    ) from _exc

__all__ = (
    "ClientDisconnected",
    "atomic",
    "get_scheduler",
    "get_scheduler_from_app",
    "setup",
    "shield",
    "spawn",
    "while_connected",
)

_T = TypeVar("_T")
_P = ParamSpec("_P")


def setup(
    app: Starlette, *, grace: float | None = None, reserve: float = 1.0, **scheduler: Unpack[Settings]
) -> None:
    """Give `app` a scheduler that lives as long as it, and is drained before any lifespan is left.

    It adds the middleware `aiojobs.asgi.Jobs`, so call it last: middlewares that are added later are outside, and
    requests get to them before they have a scheduler. Applications that are mounted use the same one.
    The arguments are those of `aiojobs.asgi.Jobs`, and they are checked here, not when the application starts.

    Raises:
        TypeError, ValueError: an argument makes no sense; nothing has changed (``SPAWN-3``).
        RuntimeError: `app` was set up before, or has started; nothing has changed.
    """
    _check_app(app)
    settings = checked(scheduler)
    Jobs(app, grace=grace, reserve=reserve, **settings)
    if _maker_of(app) is not None:
        raise RuntimeError(f"{app!r} has been set up already: call setup(app) once")
    app.add_middleware(_Maker(), grace=grace, reserve=reserve, **settings)


class _Maker:
    """Makes the middleware when Starlette wants it, and knows it from then on."""

    def __init__(self) -> None:
        self.made: Jobs | None = None

    def __call__(
        self, app: ASGIApp, grace: float | None, reserve: float, **scheduler: Unpack[Settings]
    ) -> Jobs:
        self.made = Jobs(app, grace=grace, reserve=reserve, **scheduler)
        return self.made


def _maker_of(app: Starlette) -> _Maker | None:
    added: list[Any] = [middleware.cls for middleware in app.user_middleware]
    return next((maker for maker in added if isinstance(maker, _Maker)), None)


# --- For handlers -------------------------------------------------------------------------------------


async def spawn(
    connection: HTTPConnection, coro: Coroutine[Any, Any, _T], name: str | None = None
) -> Job[_T]:
    """Run `coro` as a job that outlives the request or websocket; see `aiojobs.Scheduler.spawn`.

    Raises:
        TypeError: an argument is of the wrong kind; `coro` is untouched.
        RuntimeError: there is no scheduler, and `coro` is untouched; or as `aiojobs.Scheduler.spawn`.
    """
    return await get_scheduler(connection).spawn(coro, name)


def shield(connection: HTTPConnection, arg: Awaitable[_T]) -> asyncio.Future[_T]:
    """Protect `arg` from the cancellation of the handler; see `aiojobs.Scheduler.shield`.

    A plain function: await what it returns.

    Raises:
        TypeError: an argument is of the wrong kind; `arg` is untouched.
        RuntimeError: there is no scheduler, and `arg` is untouched; or as `aiojobs.Scheduler.shield`.
    """
    return get_scheduler(connection).shield(arg)


def atomic(handler: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Make each call of `handler` a job, so that its cancellation can't interrupt it (``WAIT-1``).

    For functions and methods that are given the request or the websocket, in whatever place. The answer, or the
    exception, is that of `handler`. If whoever waited is gone, a failure goes to the exception handler
    instead (``EXC-1``).

    Raises:
        TypeError: `handler` can't be called; or, when it is, among its arguments is no request or websocket.
        RuntimeError: when it is called: as ``spawn``.
    """
    return run_as_jobs(handler, _scheduler_among)


def _scheduler_among(*args: object, **kwargs: object) -> Scheduler:
    return get_scheduler(_connection_among(*args, *kwargs.values()))


def _connection_among(*args: object) -> HTTPConnection:
    for arg in args:
        if isinstance(arg, HTTPConnection):
            return cast("HTTPConnection", arg)
    raise TypeError(
        "an atomic handler must be given the request or the websocket, among other things, "
        f"got {', '.join(map(repr, args)) or 'nothing'}"
    )


# --- For lifespans ------------------------------------------------------------------------------------


def get_scheduler_from_app(app: Starlette) -> Scheduler:
    """The scheduler of `app`, for its lifespan, which has no request.

    Raises:
        TypeError: `app` is not an application.
        RuntimeError: it was not set up, or its lifespan is not being run in this event loop.
    """
    _check_app(app)
    maker = _maker_of(app)
    if maker is None:
        raise RuntimeError(f"{app!r} has no scheduler: call setup(app) before it is started")
    if maker.made is None:
        raise RuntimeError(f"{app!r} has not started, and no scheduler before that")
    return maker.made.scheduler


def _check_app(value: object) -> None:
    if not isinstance(value, Starlette):
        raise TypeError(f"app must be a starlette.applications.Starlette, got {value!r}")
