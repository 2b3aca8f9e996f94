"""A real server over loopback, and clients that hang up. Nothing here sleeps: tests wait for events."""

import asyncio
from contextlib import suppress

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

PATIENCE = 20
"""Seconds after which a test that waits for an event has failed; nothing here takes a fraction of it."""


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, PATIENCE)


class Gate:
    """A place in server code where a test knows that it was reached, and decides when it goes on."""

    def __init__(self):
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.passed = asyncio.Event()

    async def wait(self):
        self.reached.set()
        await self.opened.wait()
        self.passed.set()


class RawClient:
    """One request over a bare connection, which the test can cut at any moment."""

    def __init__(self, server):
        self._server = server
        self._writer = None

    async def get(self, path):
        _, self._writer = await asyncio.open_connection(self._server.host, self._server.port)
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    async def hang_up(self):
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@web.middleware
async def notice_cancelled(request, handler):
    """Set the event that the application keeps under `cancelled` when a handler is cancelled."""
    try:
        return await handler(request)
    except asyncio.CancelledError:
        request.app[CANCELLED].set()
        raise


CANCELLED = web.AppKey("CANCELLED", asyncio.Event)


@pytest.fixture
def app():
    """An application that tells when one of its handlers was cancelled."""
    app = web.Application(middlewares=[notice_cancelled])
    app[CANCELLED] = asyncio.Event()
    return app


@pytest_asyncio.fixture
async def serve():
    """Start an application behind a real server; returns a client of it. Keywords are those of the runner."""
    clients = []

    async def start(app, **kwargs):
        server = TestServer(app)
        await server.start_server(**kwargs)
        clients.append(TestClient(server))
        return clients[-1]

    yield start
    for client in clients:
        await soon(client.close())
