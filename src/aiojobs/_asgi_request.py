"""One request: the only reader of what its client sends, so that it is seen when the client leaves.

Only a call of ``receive`` tells, and what it gives besides is the body, which belongs to the application. What was
read while waiting for the client to leave is kept, and given to the application when it asks.

Deliberately not here: what follows if the client leaves.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from typing import Final

from ._asgi import Message, Receive, Send

__all__ = ("Exchange",)

_NOBODY_READS: Final = 499
"""The status of an answer to a client that has left: nobody gets it, but logs and metrics show it."""

_log = logging.getLogger("aiojobs.asgi")


class Exchange:
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

    async def answer_nobody(self) -> None:
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
