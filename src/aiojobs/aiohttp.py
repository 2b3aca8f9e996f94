"""Jobs for aiohttp applications: work that outlives its request, and ends before the server does.

The rules of this file
----------------------
It is an integration, so it decides nothing about jobs: it finds the scheduler that a request belongs to and
hands over. It uses only what aiohttp publishes. And since a scheduler without jobs is false (it has a
length), nothing here ever asks one whether it is true.

How it works
------------
*Whose scheduler.* ``setup`` gives an application a scheduler that lives from its start-up to its clean-up. It
serves the sub-applications below as well, unless they have one of their own: the nearest wins. A request
knows the applications on its way, from the outermost inwards. An application does not know those above it;
so a scheduler that starts leaves itself, under a second key, in every application below that inherits it.
aiohttp starts the outer application before the inner ones, so they find what they inherit when they start.

*A client that disconnects.* With ``handler_cancellation=True`` aiohttp cancels the handler. If that waits

* for a job, as ``atomic`` does, the job goes on and only the waiting ends (``WAIT-1``);
* for a place in a full queue, in ``spawn``, the coroutine is withdrawn and never runs (``SPAWN-1``);
* for what it has shielded, that goes on, and the scheduler keeps track of it (``SHUT-4``, ``EXC-4``).

*Shutdown.* aiohttp lets the handlers finish and then cleans up, what was appended last to ``cleanup_ctx``
first. There the scheduler waits for its jobs and closes (``SHUT-4``); only then come the contexts that were
appended before ``setup`` was called. A handler that is later than that gets ``RuntimeError`` (``SPAWN-2``).

What is deliberately not here
-----------------------------
No answer on behalf of a handler: which status a refused, stopped or failed job means is the application's
to say. No middleware, and no wrapper around the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, Unpack

from ._atomic import run_as_jobs
from ._job import Job
from ._scheduler import Scheduler
from ._settings import Settings, checked

try:
    from aiohttp.abc import AbstractView
    from aiohttp.web import AppKey, Application, Request, Response
except ImportError as _exc:
    raise ImportError(
        "aiojobs.aiohttp needs aiohttp 3.9 or newer: pip install 'aiohttp>=3.9'", name=_exc.name
    ) from _exc

if TYPE_CHECKING:
    from ._live_page import LivePage

__all__ = (
    "AIOJOBS_SCHEDULER",
    "add_live_page",
    "atomic",
    "get_scheduler",
    "get_scheduler_from_app",
    "get_scheduler_from_request",
    "setup",
    "shield",
    "spawn",
)

_T = TypeVar("_T")
_P = ParamSpec("_P")


AIOJOBS_SCHEDULER: Final = AppKey("AIOJOBS_SCHEDULER", Scheduler)
"""Where an application that was set up keeps its scheduler, from its start-up on."""
_INHERITED: Final = AppKey("AIOJOBS_INHERITED_SCHEDULER", Scheduler)
"""Where an application that was not set up keeps the nearest scheduler above it, from that one's start on."""
_SETTINGS: Final = AppKey("AIOJOBS_SETTINGS", Settings)
"""What ``setup`` was given; it marks the applications that have a scheduler of their own."""


# --- For the application ------------------------------------------------------------------------------


def setup(app: Application, **kwargs: Unpack[Settings]) -> None:
    """Give `app` a scheduler of its own, to be created at start-up, drained and closed at clean-up.

    Contexts in ``app.cleanup_ctx`` that the jobs need belong before this call: they are left when the jobs
    have ended. `kwargs` are those of `aiojobs.Scheduler`, and they are checked here, not at start-up.

    Raises:
        TypeError, ValueError: an argument makes no sense; nothing has changed (``SPAWN-3``).
        RuntimeError: `app` was set up before, or it is too late for it; nothing has changed.
    """
    _check_app(app)
    settings = checked(kwargs)
    if _SETTINGS in app:
        raise RuntimeError(f"{app!r} has been set up already: call aiojobs.aiohttp.setup(app) once")
    if app.pre_frozen:
        raise RuntimeError(
            f"{app!r} can't be changed any more: call aiojobs.aiohttp.setup(app) before the application "
            "is started, and before it is added to another one"
        )
    app[_SETTINGS] = settings
    app.cleanup_ctx.append(_lifetime)


async def _lifetime(app: Application) -> AsyncIterator[None]:
    """From start-up to clean-up; one that is cancelled while it drains closes at once (``SHUT-6``)."""
    async with Scheduler(**app[_SETTINGS]) as scheduler:
        app[AIOJOBS_SCHEDULER] = scheduler
        _bequeath(app, scheduler)
        yield


def _bequeath(app: Application, scheduler: Scheduler) -> None:
    """Leave `scheduler` in all applications below `app`, as far as the next one that has its own."""
    for resource in app.router.resources():
        child = resource.get_info().get("app")
        if child is not None and _SETTINGS not in child:
            child[_INHERITED] = scheduler
            _bequeath(child, scheduler)


def add_live_page(app: Application, path: str, page: LivePage) -> None:
    """Have `app` answer GET requests at `path` with a page about its jobs; see `aiojobs.inspect.LivePage`.

    The page has to be an observer of the scheduler: ``setup(app, observer=page)``. Its ``allow`` is asked about each
    request, an `aiohttp.web.Request`.

    Raises:
        TypeError, ValueError, RuntimeError: `path` makes no sense, or it is too late to add anything to `app`.
    """
    _check_app(app)

    async def show(request: Request) -> Response:
        answer = await page.answer(request, request.method, request.query_string)
        return Response(status=answer.status, headers=dict(answer.headers), body=answer.body)

    app.router.add_get(path, show, allow_head=False)


# --- For handlers -------------------------------------------------------------------------------------


async def spawn(request: Request, coro: Coroutine[Any, Any, _T], name: str | None = None) -> Job[_T]:
    """Run `coro` as a job of the scheduler that `request` belongs to; see `aiojobs.Scheduler.spawn`.

    The job outlives the request. A handler that is cancelled while it waits for a place in the queue leaves
    nothing behind (``SPAWN-1``).

    Raises:
        TypeError: an argument is of the wrong kind; `coro` is untouched.
        RuntimeError: there is no scheduler, and `coro` is untouched; or as `aiojobs.Scheduler.spawn`.
    """
    return await get_scheduler(request).spawn(coro, name)


def shield(request: Request, arg: Awaitable[_T]) -> asyncio.Future[_T]:
    """Protect `arg` from the cancellation of the handler; see `aiojobs.Scheduler.shield`.

    A plain function, as in aiojobs 1.4: await what it returns.

    Raises:
        TypeError: an argument is of the wrong kind; `arg` is untouched.
        RuntimeError: there is no scheduler, and `arg` is untouched; or as `aiojobs.Scheduler.shield`.
    """
    return get_scheduler(request).shield(arg)


def atomic(handler: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Make each call of `handler` a job, so that a client that disconnects can't interrupt it (``WAIT-1``).

    For functions that take the request, for methods of views, and for methods of other classes that take the
    request. The answer, or the exception, is that of `handler`. When the client is gone, a failure goes to
    the exception handler instead (``EXC-1``), and the body of the request can't be read any more.

    Raises:
        TypeError: `handler` can't be called; or, when it is, among its arguments is no request.
        RuntimeError: when it is called: as ``spawn``.
    """
    return run_as_jobs(handler, _scheduler_among)


def _scheduler_among(*args: object, **_kwargs: object) -> Scheduler:
    return get_scheduler(_request_among(args))


def _request_among(args: tuple[object, ...]) -> Request:
    """The request of a handler's call: ``(request)``, ``(view)`` or ``(self, request)``."""
    for arg in args:
        if isinstance(arg, Request):
            return arg
        if isinstance(arg, AbstractView):
            return arg.request
    raise TypeError(
        "an atomic handler must be called with a request, a view, or an object and a request, "
        f"got {', '.join(map(repr, args)) or 'nothing'}"
    )


# --- Which scheduler ----------------------------------------------------------------------------------


def get_scheduler(request: Request) -> Scheduler:
    """The scheduler of the innermost application on the way of `request` that was set up.

    Raises:
        TypeError: `request` is not a request.
        RuntimeError: there is none.
    """
    scheduler = get_scheduler_from_request(request)
    if scheduler is None:
        raise RuntimeError(
            f"{request!r} belongs to no application with a scheduler: "
            "call aiojobs.aiohttp.setup(app) before the application is started"
        )
    return scheduler


def get_scheduler_from_request(request: Request) -> Scheduler | None:
    """As ``get_scheduler``; None if there is none.

    Raises:
        TypeError: `request` is not a request.
    """
    _check_request(request)
    for app in reversed(request.match_info.apps):
        scheduler = app.get(AIOJOBS_SCHEDULER)
        if scheduler is not None:
            return scheduler
    return None


def get_scheduler_from_app(app: Application) -> Scheduler | None:
    """The scheduler of `app`, or the nearest one above it; None if there is none, or not yet.

    Raises:
        TypeError: `app` is not an application.
    """
    _check_app(app)
    own = app.get(AIOJOBS_SCHEDULER)
    return app.get(_INHERITED) if own is None else own


# --- Arguments ----------------------------------------------------------------------------------------


def _check_app(value: object) -> None:
    if not isinstance(value, Application):
        raise TypeError(f"app must be an aiohttp.web.Application, got {value!r}")


def _check_request(value: object) -> None:
    if not isinstance(value, Request):
        hint = " (in a view: self.request)" if isinstance(value, AbstractView) else ""
        raise TypeError(f"request must be an aiohttp.web.Request, got {value!r}{hint}")
