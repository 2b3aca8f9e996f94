"""The order service for FastAPI: `POST /orders` answers 202, and a job that outlives the request stores the order.

    python -m examples.orders_fastapi

starts it on loopback with uvicorn, sends it ten orders at once, stops it, and prints

    answers: 202
    stored: 1 2 3 4 5 6 7 8 9 10

What it shows, and what to copy, `orders_service` says for aiohttp. Here FastAPI has read the body before the route
begins; and the book belongs to the lifespan of a router, which is left when the jobs have ended.
"""

import asyncio
import socket
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Request
from pydantic import BaseModel

from aiojobs.fastapi import Jobs, setup

from .order_book import PATIENCE, OrderBook, store, try_out


class Order(BaseModel):
    """What a client sends."""

    number: int
    item: str


def create_app(database: Path, **settings: Any) -> FastAPI:
    """The service; `settings` are those of the scheduler."""

    @asynccontextmanager
    async def open_book(_: FastAPI) -> AsyncGenerator[dict[str, OrderBook], None]:
        book = OrderBook(database)
        yield {"book": book}
        book.close()

    router = APIRouter(lifespan=open_book)

    @router.post("/orders", status_code=202)
    async def take_order(order: Order, request: Request, jobs: Jobs) -> dict[str, int]:
        work = store(request.state.book, order.number, order.item)
        try:
            async with asyncio.timeout(PATIENCE):
                await jobs.spawn(work, f"order {order.number}")
        except TimeoutError:
            raise HTTPException(503, "busy", {"Retry-After": "1"}) from None
        except RuntimeError:
            raise HTTPException(503, "closing") from None
        return {"number": order.number}

    app = FastAPI()
    app.include_router(router)
    setup(app, **settings)
    return app


async def main() -> None:
    """Serve, be asked, stop."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as door:
        database = Path(folder, "orders.sqlite")
        app = create_app(database, grace=30, limit=2, pending_limit=100)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        serving = asyncio.create_task(server.serve(sockets=[door]))

        async def stop() -> None:
            server.should_exit = True
            await serving

        await try_out(door.getsockname()[1], stop, database)


if __name__ == "__main__":
    asyncio.run(main())
