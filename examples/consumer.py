"""A consumer of a queue that SIGTERM stops: what it has accepted is finished, the rest is for somebody else.

    python -m examples.consumer

starts a broker here and the consumer as a process of its own. When two messages are done it sends the consumer
SIGTERM, in the middle of its work, and prints

    done: 1 2 3 4 5
    given back: 6
    waiting for another consumer: 6 7 8 9 10
    the consumer's exit status: 0

Two messages are being handled then, 3 and 4, and one is queued. They are finished in the time that the platform
grants. One more was taken, and waits for a place in the queue: `spawn` withdraws it (SPAWN-1), and it is given back at
once, not when the others have ended. A message is done when its job says so, as its last step. What was not done when
the connection ends, the broker hands out again: a message that was on its way when the signal came, or all that a
consumer had taken when it was killed.
"""

import asyncio
import sys

import aiojobs
from aiojobs.signals import stop_on_signals

from .broker import Broker

WORK = 0.6
"""Seconds that a message takes."""


async def consume(port: int) -> int:
    """Handle messages until a signal comes; returns the exit status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    def say(words: str) -> None:
        writer.write(f"{words}\n".encode())

    async def handle(message: int) -> None:
        await asyncio.sleep(WORK)
        say(f"done {message}")

    scheduler = aiojobs.Scheduler(limit=2, pending_limit=1)
    async with stop_on_signals(scheduler, grace=10) as stop:
        while True:
            say("take")
            message = int(await reader.readline())
            try:
                await scheduler.spawn(handle(message), f"message {message}")
            except asyncio.CancelledError:
                say(f"back {message}")
                raise
    writer.close()
    await writer.wait_closed()
    return stop.exit_status


async def main() -> None:
    """Be the broker, and the platform that stops the consumer."""
    broker = Broker(range(1, 11))
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        consumer = await asyncio.create_subprocess_exec(sys.executable, "-m", "examples.consumer", port)
        await broker.until(lambda: {1, 2} <= {*broker.done})
        await asyncio.sleep(WORK / 2)
        consumer.terminate()
        status = await consumer.wait()
        await broker.until(lambda: not broker.consumers)
    waiting = [broker.waiting.get_nowait() for _ in range(broker.waiting.qsize())]
    print("done:", *sorted(broker.done))
    print("given back:", *broker.given_back)
    print("waiting for another consumer:", *waiting)
    print("the consumer's exit status:", status)


if __name__ == "__main__":
    sys.exit(asyncio.run(consume(int(sys.argv[1]))) if sys.argv[1:] else asyncio.run(main()))
