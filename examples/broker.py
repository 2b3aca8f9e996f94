"""A queue over TCP, as small as one can be. In earnest this is RabbitMQ, SQS or a table of a database.

What a consumer may say, a line each: `take`, answered by the number of a message once there is one; `done 7`; and
`back 7`, for a message that it will not handle. What a connection has taken and not done is put back when it breaks:
so each message is handled at least once, whatever happens to consumers.
"""

import asyncio
from collections.abc import Iterable

import aiojobs


class Broker:
    """Messages that wait, in the order of their numbers, and what became of the others."""

    def __init__(self, messages: Iterable[int]) -> None:
        self.waiting: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
        self.done: list[int] = []
        self.put_back: list[int] = []
        self._changed = asyncio.Condition()
        for message in messages:
            self.waiting.put_nowait(message)

    async def wait_for(self, done: int) -> None:
        """Wait until so many messages are done."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.done) >= done)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        taken: set[int] = set()

        async def give() -> None:
            message = await self.waiting.get()
            taken.add(message)
            writer.write(f"{message}\n".encode())

        async with aiojobs.Scheduler() as takers:
            while line := await reader.readline():
                match line.decode().split():
                    case ["take"]:
                        await takers.spawn(give(), drain=False)
                    case ["done", number]:
                        taken.remove(int(number))
                        await self._note(int(number))
                    case ["back", number]:
                        taken.remove(int(number))
                        self._put_back(int(number))
                    case _:
                        break
        for message in taken:
            self._put_back(message)
        writer.close()

    async def _note(self, message: int) -> None:
        async with self._changed:
            self.done.append(message)
            self._changed.notify_all()

    def _put_back(self, message: int) -> None:
        self.put_back.append(message)
        self.waiting.put_nowait(message)
