"""The part of a server, without sockets and without time: what it sends, and what it gets back."""

import asyncio
import contextlib

import httpx2
import pytest

from aiojobs._asgi_request import _tell_who_hides
from aiojobs.asgi import Jobs, lifespan


@pytest.fixture(autouse=True)
def nobody_was_told_yet():
    """Each middleware that hides disconnects is told of once per process."""
    _tell_who_hides.cache_clear()


class Client:
    """One request as a server sees it: messages in, messages out."""

    def __init__(self, app, kind="http", **scope):
        self.scope = {"type": kind, "method": "GET", "path": "/", "headers": [], **scope}
        self.sent = []
        self._messages = asyncio.Queue()
        self._app = app

    @property
    def status(self):
        """The status of the answer; None if there was none."""
        return next((message["status"] for message in self.sent if "status" in message), None)

    @property
    def unread(self):
        """How many messages nobody has asked for."""
        return self._messages.qsize()

    def says(self, body=b"", *, more=False):
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leaves(self):
        self._messages.put_nowait({"type": "http.disconnect"})

    async def _send(self, message):
        self.sent.append(message)

    async def call(self, receive=None):
        await self._app(self.scope, receive or self._messages.get, self._send)

    def start(self, receive=None):
        return asyncio.create_task(self.call(receive))


class Server:
    """The life of an application, step by step."""

    def __init__(self, app):
        self.answers = []
        self.scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._messages = asyncio.Queue()
        self.life = asyncio.create_task(app(self.scope, self._messages.get, self._send))

    async def _send(self, message):
        self.answers.append(message["type"].removeprefix("lifespan."))

    def asks(self, what):
        self._messages.put_nowait({"type": f"lifespan.{what}"})


@contextlib.asynccontextmanager
async def client_of(app):
    """A client of an application that lives."""
    async with (
        lifespan(app) as running,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(running), base_url="http://test") as client,
    ):
        yield client


async def answer(send, status=200):
    """A whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Application:
    """Plain ASGI: takes part in the lifespan, and has a handler for everything else."""

    def __init__(self, handler=None):
        self.log = []
        self._handler = handler

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            await self._handler(scope, receive, send)
            return
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            self.log.append(step)
            await send({"type": f"lifespan.{step}.complete"})


@pytest.fixture
def application():
    return Application()


@pytest.fixture
def jobs(application):
    return Jobs(application, limit=2, wait_timeout=20, close_timeout=1)
