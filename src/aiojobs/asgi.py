"""Jobs for ASGI applications of every framework: work that outlives its request, done before the server is gone.

The rules of this file
----------------------
It is an integration, so it decides nothing about jobs. It needs no package: ASGI is a convention about plain
functions and dictionaries. Nothing here asks a scheduler whether it is true, since one without jobs is not.

How it works
------------
*Life.* A server sends an application two messages for its whole life, ``lifespan.startup`` and
``lifespan.shutdown``. `Jobs` stands around the application. It makes the scheduler before the first is answered,
and holds the second one back until the scheduler is drained and closed (``SHUT-4``). So the jobs have ended
before anything is torn down that they use: frameworks leave the lifespan of a router *before* that of the
application, and either of them only when they get the message.

*An application that does not know the messages* fails when it is called with them, or returns at once. ASGI says
that the server goes on without. `Jobs` answers in its place then, so there is a scheduler and it is drained.

*Which scheduler.* It stands in the scope of each request and websocket, which goes along into mounted
applications and middlewares. An application that is mounted has no life of its own; if it has `Jobs`, that one
leaves the scheduler of the outer one where it is. There is one scheduler for each event loop that runs the life of
the application, so test clients with loops of their own don't meet.

The scope is changed and not copied: a router that notes its route in a copy would be invisible to the
middlewares outside, which name metrics and spans by it.

*A client that leaves.* Each request has one reader, which knows it. Middlewares between `Jobs` and the
application may do to ``receive`` what they like: nobody here asks theirs.

What is deliberately not here
-----------------------------
Signals: a server handles them, and the message is what comes of it. And no answer on behalf of a handler, except to
a client that is not there any more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeAlias, TypeVar, Unpack, cast

from . import _asgi
from ._asgi import Receive, Scope, Send
from ._asgi_life import STARTUP, Life, Server, refuse
from ._asgi_request import Exchange
from ._grace import time_for_jobs
from ._job import Job
from ._scheduler import Scheduler
from ._settings import Settings, checked, unseen

__all__ = (
    "ASGIApp",
    "ClientDisconnected",
    "Connection",
    "Jobs",
    "get_scheduler",
    "lifespan",
    "while_connected",
)

ASGIApp: TypeAlias = _asgi.ASGIApp
"""An application, or a middleware around one."""

_T = TypeVar("_T")

_SCHEDULER: Final = "aiojobs.scheduler"
"""Where a scope has the scheduler; None if the life of the application has not begun."""
_EXCHANGE: Final = "aiojobs.exchange"
"""Where the scope of a request has its one reader."""


class Connection(Protocol):
    """What has a scope: the requests and websockets of Starlette, FastAPI, Quart, Litestar, and others."""

    @property
    def scope(self) -> Mapping[str, Any]:
        """The scope that the server made for it."""
        ...


class ClientDisconnected(Exception):  # noqa: N818 - it is what has happened, and no error of the application
    """The client left before its answer was ready, so the job that was for it alone has been stopped."""


# --- For the application ------------------------------------------------------------------------------


class Jobs:
    """ASGI middleware: one scheduler for the life of an application, drained before any lifespan is left.

    ``app = Jobs(app, grace=30, limit=50)``, or ``app.add_middleware(Jobs, …)`` with Starlette and FastAPI. It
    belongs around everything else: add it last.

    Arguments:
        app: the application.
        grace: seconds from SIGTERM until the platform kills the process: 10 with Docker, 30 with Kubernetes.
            From them follows how long the shutdown waits for jobs: **`grace` − `reserve` − ``close_timeout``**,
            or ``wait_timeout`` if that is less. None: ``wait_timeout`` alone says how long.
        reserve: seconds of `grace` that are not for jobs: what the server grants requests in progress before
            it tells the application to stop, and what comes after the jobs.
        scheduler: the arguments of `aiojobs.Scheduler`.

    Raises:
        TypeError, ValueError: an argument makes no sense (``SPAWN-3``), or `grace` leaves no time to wait.
    """

    def __init__(
        self, app: ASGIApp, *, grace: float | None = None, reserve: float = 1.0, **scheduler: Unpack[Settings]
    ) -> None:
        if not callable(app):
            raise TypeError(f"app must be an ASGI application, got {app!r}")
        self.app = app
        settings = checked(scheduler)  # what makes no sense is told now, not when the server starts
        self._settings = settings if grace is None else _within(grace, reserve, settings)
        self._schedulers: dict[asyncio.AbstractEventLoop, Scheduler] = {}

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler of the application's life in the running event loop; outside of any, the only one there is.

        Raises:
            RuntimeError: it has not begun, or is over.
        """
        living = list(self._schedulers.items())
        here = _running_loop()
        found = [
            scheduler for loop, scheduler in living if loop is here or (here is None and len(living) == 1)
        ]
        if not found:
            raise _not_begun()
        return found[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or be the life of the application."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        own = self._schedulers.get(asyncio.get_running_loop())
        if own is not None or _SCHEDULER not in scope:
            scope[_SCHEDULER] = own
        if scope["type"] == "http" and _EXCHANGE not in scope:
            await self._answer(scope, Exchange(receive, send))
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        """Have the application answer a request."""
        scope[_EXCHANGE] = exchange
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnected:
            await exchange.answer_nobody()
        finally:
            del scope[_EXCHANGE]  # else scope, exchange and the server's own object for it would be a cycle

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """From start-up to shutdown; one that is cancelled closes at once (``SHUT-6``)."""
        loop = asyncio.get_running_loop()
        if loop in self._schedulers:
            await refuse(receive, send)
        life = Life(Scheduler(**self._settings), receive, send)
        try:
            async with life.scheduler:
                self._schedulers[loop] = scope[_SCHEDULER] = life.scheduler
                await life.run(self.app, scope)
        finally:
            self._schedulers.pop(loop, None)


def get_scheduler(connection: Connection | Mapping[str, Any]) -> Scheduler:
    """The scheduler of the application that a request, a websocket, or a bare scope belongs to.

    Raises:
        TypeError: `connection` neither is a scope nor has one.
        RuntimeError: there is none. The message says what is missing: the middleware, or the lifespan.
    """
    scope = _scope_of(connection)
    if _SCHEDULER not in scope:
        raise RuntimeError(
            "there is no scheduler in the scope: put aiojobs.asgi.Jobs around the outermost application, "
            "app = Jobs(app) or app.add_middleware(Jobs)"
        )
    scheduler = scope[_SCHEDULER]
    if scheduler is None:
        raise _not_begun()
    assert isinstance(scheduler, Scheduler)  # noqa: S101 - for type checkers: nobody else uses the key
    return scheduler


async def while_connected(
    connection: Connection | Mapping[str, Any],
    coro: Coroutine[Any, Any, _T],
    name: str | None = None,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - it is the job's
) -> _T:
    """Run `coro` as a job for the client of a request, and stop it if the client leaves.

    It returns what `coro` returns, or raises what that raises. If the client leaves, or the caller is cancelled, the
    job is asked to stop, and waited for as long as its scheduler's ``close_timeout`` (``CLOSE-2``). A call that
    waits for a place in the queue is withdrawn (``SPAWN-1``). A part of the body that was not read before hides
    a disconnect, until the application reads it.

    Raises:
        ClientDisconnected: the client left. A handler may let it through: `aiojobs.asgi.Jobs` takes care of it.
        TimeoutError: the job took longer than `timeout` seconds (``SPAWN-6``).
        JobClosed: somebody else stopped the job (``WAIT-3``).
        TypeError: an argument is of the wrong kind, or `connection` is a websocket; `coro` is untouched.
        RuntimeError: there is no scheduler, and `coro` is untouched; or as `aiojobs.Scheduler.spawn`.
    """
    scheduler = get_scheduler(connection)
    exchange = _exchange_of(connection)
    job: Job[_T] | None = None
    stay = asyncio.timeout(None)  # its end is the one cancellation that can be told from everybody else's
    try:
        async with stay:
            watcher = asyncio.ensure_future(_watch(exchange, stay))
            try:
                job = await scheduler.spawn(coro, name, timeout=timeout)
                return await job
            finally:
                watcher.cancel()
    except TimeoutError:
        if stay.expired():
            raise ClientDisconnected("the client has left") from None
        raise
    finally:
        if job is not None and not job.done():
            await _stop(job)


@asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncGenerator[ASGIApp, None]:
    """Run the life of `app` around a block, as a server does: for tests that have none.

    ``async with lifespan(app) as running:`` gives an application that also passes on the state which the
    lifespan yields. The block's end is the shutdown, so it waits for jobs; a block that is cancelled
    cancels the lifespan.

    Raises:
        RuntimeError: `app` did not start, or did not shut down, and says so without an exception.
        Exception: what `app` raised instead.
    """
    server = Server(app)
    try:
        await server.ask(STARTUP)
        try:
            yield server.serve
        except Exception:
            await server.shut_down()
            raise
        await server.shut_down()
    finally:
        await server.end()


# --- The life of an application ------------------------------------------------------------------------


def _within(grace: float, reserve: float, settings: Settings) -> Settings:
    """`settings` with a ``wait_timeout`` that leaves, of `grace`, what stopping the jobs and the rest take."""
    given = unseen(settings)
    waiting = time_for_jobs(grace, reserve, given.close_timeout)
    wait_timeout = math.inf if given.wait_timeout is None else given.wait_timeout
    settings = settings.copy()
    settings["wait_timeout"] = min(waiting, wait_timeout)
    return settings


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _watch(exchange: Exchange, stay: asyncio.Timeout) -> None:
    """End the stay when the client leaves."""
    await exchange.client_left()
    stay.reschedule(asyncio.get_running_loop().time())


async def _stop(job: Job[Any]) -> None:
    """Ask the job to stop, and wait for it as long as its scheduler waits for any job."""
    try:
        await job.close()
    except TimeoutError:
        if job.done():  # it is the job's own
            raise


# --- What a scope tells -------------------------------------------------------------------------------


def _scope_of(connection: Connection | Mapping[str, Any]) -> Mapping[str, Any]:
    scope = connection if isinstance(connection, Mapping) else getattr(connection, "scope", None)
    if not isinstance(scope, Mapping) or "type" not in scope:
        raise TypeError(f"connection must be a request, a websocket, or an ASGI scope, got {connection!r}")
    return cast("Mapping[str, Any]", scope)


def _exchange_of(connection: Connection | Mapping[str, Any]) -> Exchange:
    scope = _scope_of(connection)
    if scope["type"] != "http":
        raise TypeError(
            f"connection must be a request, got a {scope['type']}: only its own receive() can tell that a client "
            "has left, and what else comes would be lost here"
        )
    exchange = scope.get(_EXCHANGE)
    if exchange is None:
        raise RuntimeError("the request is over: call while_connected() in the handler itself")
    assert isinstance(exchange, Exchange)  # noqa: S101 - for type checkers: nobody else uses the key
    return exchange


def _not_begun() -> RuntimeError:
    return RuntimeError(
        "there is no scheduler: the lifespan of the application was not run in this event loop. Servers run it unless "
        "told not to, as by uvicorn's --lifespan off; Starlette's and FastAPI's TestClient only in a `with` block; "
        "httpx.ASGITransport never, so put `async with aiojobs.asgi.lifespan(app) as app:` around it"
    )
