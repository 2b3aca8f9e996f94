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

*A client that leaves.* Only a call of ``receive`` tells, and what it gives besides is the body, which belongs to
the application. So each request has one reader, `_Exchange`. It keeps what it read while it was waiting
for the client to leave, and gives that to the application when it asks. Middlewares between `Jobs` and the
application may do to ``receive`` what they like: nobody here asks theirs.

What is deliberately not here
-----------------------------
Signals: a server handles them, and the message is what comes of it. And no answer on behalf of a handler, except to
a client that is not there any more.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeAlias, TypeVar, Unpack, cast

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

_T = TypeVar("_T")

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application, or a middleware around one."""

_SCHEDULER: Final = "aiojobs.scheduler"
"""Where a scope has the scheduler; None if the life of the application has not begun."""
_EXCHANGE: Final = "aiojobs.exchange"
"""Where the scope of a request has its one reader."""
_STARTUP: Final = "lifespan.startup"
_STARTED: Final = "lifespan.startup.complete"
_SHUTDOWN: Final = "lifespan.shutdown"
_NOBODY_READS: Final = 499
"""The status of an answer to a client that has left: nobody gets it, but logs and metrics show it."""

_log = logging.getLogger(__name__)


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
            scope[_EXCHANGE] = exchange = _Exchange(receive, send)
            await exchange.run(self.app, scope)
        else:
            await self.app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """From start-up to shutdown; one that is cancelled closes at once (``SHUT-6``)."""
        loop = asyncio.get_running_loop()
        if loop in self._schedulers:
            await _refuse(receive, send)
        life = _Life(Scheduler(**self._settings), receive, send)
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
    server = _Server(app)
    try:
        await server.ask(_STARTUP)
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


async def _refuse(receive: Receive, send: Send) -> None:
    """Say to the server, and to whoever called, that the application is alive already."""
    await receive()
    message = "the lifespan of this application is being run already, in this event loop"
    await send({"type": "lifespan.startup.failed", "message": message})
    raise RuntimeError(message)


class _Life:
    """What server and application say to each other, and how far they have come."""

    def __init__(self, scheduler: Scheduler, receive: Receive, send: Send) -> None:
        self.scheduler = scheduler
        self._receive = receive
        self._send = send
        # The types of the last message of each side; None before the first.
        self._asked: str | None = None
        self._answered: str | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """The life of the application; where it knows none, what the server expects all the same."""
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            if self._asked is not None:
                raise
            # It did not even look what was asked: ASGI lets an application say so that it knows no lifespan.
        await self._answer_the_rest()

    async def receive(self) -> Message:
        """The next message of the server; the last one only when the jobs have ended."""
        message = await self._receive()
        self._asked = message["type"]
        if self._asked == _SHUTDOWN:
            _log.info("shutdown: jobs to finish: %d", len(self.scheduler))
            # If draining is cancelled, it is closed before the application hears of that.
            async with self.scheduler:
                pass
            _log.info("shutdown: %s", self.scheduler.shutdown_report)
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer of the application on."""
        self._answered = message["type"]
        await self._send(message)

    async def _answer_the_rest(self) -> None:
        if self._asked is None:
            await self.receive()
        if self._answered is None:
            await self.send({"type": _STARTED})
        if self._answered == _STARTED:
            if self._asked != _SHUTDOWN:
                await self.receive()
            await self.send({"type": "lifespan.shutdown.complete"})


class _Server:
    """The part of a server that runs the life of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # What the lifespan yields; each connection gets a copy.
        self._state: dict[str, Any] = {}
        self._questions = asyncio.Queue[Message]()
        self._answers = asyncio.Queue[Message]()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        self.life = asyncio.ensure_future(self._run(scope))

    async def _run(self, scope: Scope) -> None:
        try:
            await self._app(scope, self._questions.get, self._answers.put)
        finally:
            # So that whoever waits for an answer gets one.
            self._answers.put_nowait({"type": "lifespan.over"})

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, with the state that its lifespan has yielded."""
        scope.setdefault("state", self._state.copy())
        await self._app(scope, receive, send)

    async def ask(self, what: str) -> None:
        """Send a message and wait for the answer; anything but a yes is raised."""
        self._questions.put_nowait({"type": what})
        answer = await self._answers.get()
        if answer["type"] != f"{what}.complete":
            await self.life
            reason = answer.get("message") or "it has ended without an answer"
            raise RuntimeError(f"{what} failed: {reason}")

    async def shut_down(self) -> None:
        """The last message, and the end; what the application raises is raised."""
        await self.ask(_SHUTDOWN)
        await self.life

    async def end(self) -> None:
        """Stop a life that was not told to end."""
        self.life.cancel()
        await asyncio.gather(self.life, return_exceptions=True)


# --- One request --------------------------------------------------------------------------------------


class _Exchange:
    """One request: the only reader of what its client sends, and whether an answer has begun."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        # One reader at a time: some servers give a message to one of two.
        self._turn = asyncio.Lock()
        # What was read and not yet asked for, in order; and news of its having been taken.
        self._kept = deque[Message]()
        self._taken = asyncio.Event()
        # Whether all of the body was read here. What comes next is the disconnect.
        self._complete = False
        self._left = False
        # Whether more of the body came after its end. Then somebody outside replays it, and the client may come
        # and go unseen.
        self._replayed = False
        self._answering = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Have the application answer it."""
        try:
            await app(scope, self.receive, self.send)
        except ClientDisconnected:
            await self._answer_nobody()
        finally:
            del scope[_EXCHANGE]  # else scope, exchange and the server's own object for it would be a cycle

    async def receive(self) -> Message:
        """The next message, for the application."""
        if not self._kept:
            async with self._turn:
                if not self._kept:
                    await self._read()
        self._taken.set()
        return self._kept.popleft()

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        self._answering = True
        await self._send(message)

    async def client_left(self) -> None:
        """Return when the client has left; never if that can't be seen."""
        while not self._left:
            if self._replayed:
                _tell_who_hides(getattr(self._receive, "__qualname__", repr(self._receive)))
                await asyncio.get_running_loop().create_future()
            elif self._kept and not self._complete:  # no more of an unread body than one piece is held here
                self._taken.clear()
                await self._taken.wait()
            else:
                await self._read_ahead()

    async def _read_ahead(self) -> None:
        async with self._turn:
            if not self._left and (self._complete or not self._kept):
                await self._read()

    async def _read(self) -> None:
        message: Message = {"type": "http.disconnect"} if self._left else await self._receive()
        self._left = message["type"] == "http.disconnect"
        self._replayed = self._complete and not self._left
        self._complete = not message.get("more_body", False)
        self._kept.append(message)

    async def _answer_nobody(self) -> None:
        """End it in the way that a server expects, and that middlewares outside can count."""
        if not self._answering:
            await self.send({"type": "http.response.start", "status": _NOBODY_READS, "headers": []})
            await self.send({"type": "http.response.body"})


@functools.cache
def _tell_who_hides(name: str) -> None:
    """Say once of each that it hides disconnects."""
    _log.warning(
        "%s hides from aiojobs.asgi.Jobs that clients leave: add Jobs last, around all other middlewares",
        name,
    )


async def _watch(exchange: _Exchange, stay: asyncio.Timeout) -> None:
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


def _exchange_of(connection: Connection | Mapping[str, Any]) -> _Exchange:
    scope = _scope_of(connection)
    if scope["type"] != "http":
        raise TypeError(
            f"connection must be a request, got a {scope['type']}: only its own receive() can tell that a client "
            "has left, and what else comes would be lost here"
        )
    exchange = scope.get(_EXCHANGE)
    if exchange is None:
        raise RuntimeError("the request is over: call while_connected() in the handler itself")
    assert isinstance(exchange, _Exchange)  # noqa: S101 - for type checkers: nobody else uses the key
    return exchange


def _not_begun() -> RuntimeError:
    return RuntimeError(
        "there is no scheduler: the lifespan of the application was not run in this event loop. Servers run it unless "
        "told not to, as by uvicorn's --lifespan off; Starlette's and FastAPI's TestClient only in a `with` block; "
        "httpx.ASGITransport never, so put `async with aiojobs.asgi.lifespan(app) as app:` around it"
    )
