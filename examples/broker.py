"""A queue over TCP, as small as one can be. In earnest this is RabbitMQ, SQS or a table of a database.

What a consumer may say, a line each: `take`, answered by the number of a message once there is one; `done 7`; and
`back 7`, for a message that it will not handle. What a connection has taken and not done is put back when it breaks:
so each message is handled at least once, whatever happens to consumers.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

import aiojobs


class Broker:
    """Messages that wait, in the order of their numbers, and what became of the others."""

    def __init__(self, messages: Iterable[int]) -> None:
        self.waiting: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
        self.done: list[int] = []
        self.given_back: list[int] = []
        self.left: list[int] = []
        """What consumers had taken when their connections broke."""
        self.consumers = 0
        self._changed = asyncio.Condition()
        for message in messages:
            self.waiting.put_nowait(message)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of the messages or the number of consumers."""
        async with self._changed:
            await self._changed.wait_for(holds)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.consumers += 1
        taken: set[int] = set()
        with suppress(ConnectionError):
            await self._listen(reader, writer, taken)
        for message in taken:
            self._put_back(message, self.left)
        writer.close()
        self.consumers -= 1
        await self._tell()

    async def _listen(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, taken: set[int]
    ) -> None:
        async def give() -> None:
            message = await self.waiting.get()
            taken.add(message)
            writer.write(f"{message}\n".encode())

        async with aiojobs.Scheduler() as takes:
            while line := await reader.readline():
                word, *numbers = line.decode().split()
                if word == "take":
                    await takes.spawn(give(), drain=False)
                for message in map(int, numbers):
                    taken.remove(message)
                    self.done.append(message) if word == "done" else self._put_back(message, self.given_back)
                await self._tell()

    def _put_back(self, message: int, reason: list[int]) -> None:
        reason.append(message)
        self.waiting.put_nowait(message)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
