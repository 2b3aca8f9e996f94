"""The life of an ASGI application: what a server and it say to each other, from start-up to shutdown.

`Life` stands between the two and holds the last message back until the jobs have ended (``SHUT-4``). `Server` is the
other side, for tests that have none.

Deliberately not here: which scheduler a request belongs to.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from ._asgi import ASGIApp, Message, Receive, Scope, Send
from ._scheduler import Scheduler

__all__ = ("STARTUP", "Life", "Server", "refuse")

STARTUP: Final = "lifespan.startup"
_STARTED: Final = "lifespan.startup.complete"
_SHUTDOWN: Final = "lifespan.shutdown"

_log = logging.getLogger("aiojobs.asgi")


async def refuse(receive: Receive, send: Send) -> None:
    """Say to the server, and to whoever called, that the application is alive already."""
    await receive()
    message = "the lifespan of this application is being run already, in this event loop"
    await send({"type": "lifespan.startup.failed", "message": message})
    raise RuntimeError(message)


class Life:
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


class Server:
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
