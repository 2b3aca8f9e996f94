"""A service that takes orders: `POST /orders` answers 202, and a job that outlives the request stores it.

    python -m examples.orders_service

starts it on loopback, sends it ten orders at once, stops it, and prints

    answers: 202
    stored: 1 2 3 4 5 6 7 8 9 10

`orders_fastapi` is the same for FastAPI, and `orders_demo` puts this one under load. What it shows, and what
to copy:

* The body is read before the job is spawned. When the client is gone, so is what was not read yet.
* `spawn` waits while the queue is full, so a burst slows its own clients down. Patience is bounded: a client
  that would have to wait longer gets 503, and what was withdrawn never runs (SPAWN-1).
* 202 is a promise, made when `spawn` has returned: from then on the order will be stored, whether the client
  stays, hangs up, or the server is told to stop (WAIT-1, SHUT-4).
* The database is opened before `setup` is called, so it is closed after the last job has ended.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

import aiojobs
from aiojobs.aiohttp import get_scheduler, setup

from .order_book import PATIENCE, OrderBook, store, try_out


@dataclass
class Tally:
    """What the service has promised, and how full it was."""

    accepted: set[int] = field(default_factory=set[int])
    """Orders for which ``spawn`` has returned a job."""
    withdrawn: int = 0
    """Orders whose clients hung up, or ran out of patience, while they waited for a place in the queue."""
    waiting: int = 0
    """Orders that wait for a place now."""
    most_running: int = 0
    most_queued: int = 0
    most_waiting: int = 0

    def sample(self, scheduler: aiojobs.Scheduler) -> None:
        """Note the high-water marks; they are reached when something comes in."""
        self.most_running = max(self.most_running, scheduler.active_count)
        self.most_queued = max(self.most_queued, scheduler.pending_count)
        self.most_waiting = max(self.most_waiting, self.waiting)


BOOK = web.AppKey("BOOK", OrderBook)
TALLY = web.AppKey("TALLY", Tally)
ANNOUNCE = web.AppKey[Callable[[str], AbstractContextManager[object]]]("ANNOUNCE")
"""What a trace wants to know: the ``with`` around each ``spawn``, made with the name of the job."""


def create_app(
    database: Path,
    announce: Callable[[str], AbstractContextManager[object]] = nullcontext,
    **settings: Any,
) -> web.Application:
    """The service; `settings` are those of the scheduler."""
    app = web.Application()
    app[TALLY] = Tally()
    app[ANNOUNCE] = announce
    app.cleanup_ctx.append(open_book(database))
    setup(app, **settings)
    app.router.add_post("/orders", take_order)
    return app


def open_book(database: Path) -> Callable[[web.Application], AsyncIterator[None]]:
    """A context that keeps the order book open while the application lives."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        app[BOOK] = OrderBook(database)
        yield
        app[BOOK].close()

    return context


async def take_order(request: web.Request) -> web.Response:
    """Accept an order, or say why not."""
    try:
        order = await request.json()
        number, item = int(order["number"]), str(order["item"])
    except (ValueError, KeyError, TypeError):
        return web.json_response({"error": 'send {"number": …, "item": …}'}, status=400)
    try:
        async with asyncio.timeout(PATIENCE):
            await accept(request, number, item)
    except TimeoutError:
        return web.json_response({"error": "busy"}, status=503, headers={"Retry-After": "1"})
    except RuntimeError:
        return web.json_response({"error": "closing"}, status=503)
    return web.json_response({"number": number}, status=202)


async def accept(request: web.Request, number: int, item: str) -> None:
    """Hand the order to the scheduler; when this returns, the promise is made."""
    scheduler, tally = get_scheduler(request), request.app[TALLY]
    # A spawn waits only while the queue is full (LIMIT-4).
    must_wait = scheduler.pending_count == scheduler.pending_limit
    tally.waiting += must_wait
    tally.sample(scheduler)
    name = f"order {number}"
    try:
        with request.app[ANNOUNCE](name):
            await scheduler.spawn(store(request.app[BOOK], number, item), name)
    except asyncio.CancelledError:
        tally.withdrawn += 1
        raise
    finally:
        tally.waiting -= must_wait
    tally.accepted.add(number)
    tally.sample(scheduler)


async def main() -> None:
    """Serve, be asked, stop."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "orders.sqlite")
        app = create_app(database, limit=2, pending_limit=100, wait_timeout=30)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await try_out(runner.addresses[0][1], runner.cleanup, database)


if __name__ == "__main__":
    asyncio.run(main())
