"""Orders under FastAPI: `/jobs/7` is stored by a job, `/background/7` by a background task of the framework.

What it shows, and what to copy: the ledger belongs to the lifespan of a router, which is left when the jobs have
ended; `Jobs` gives a route the scheduler; and a report that nobody waits for any more is not compiled to its end.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, BackgroundTasks, FastAPI, Request

from aiojobs.fastapi import Jobs, setup, while_connected

WORK = 1.5
"""Seconds that an order takes."""


@dataclass
class Ledger:
    """What was done, as long as it is open."""

    is_open: bool = False
    stored: set[str] = field(default_factory=set[str])
    begun_reports: int = 0
    stopped_reports: int = 0

    def write(self, order: str) -> None:
        """Store an order."""
        if not self.is_open:
            raise ValueError(f"{order} comes too late: the ledger is closed")
        self.stored.add(order)


async def store(ledger: Ledger, order: str) -> None:
    """The work behind an order."""
    await asyncio.sleep(WORK)
    ledger.write(order)


async def compile_report(ledger: Ledger) -> str:
    """Work for one client only."""
    ledger.begun_reports += 1
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ledger.stopped_reports += 1
        raise
    return "a report"


def create_app(ledger: Ledger, **scheduler: Any) -> FastAPI:
    """The service."""

    @asynccontextmanager
    async def open_ledger(_: FastAPI) -> AsyncGenerator[None, None]:
        ledger.is_open = True
        yield
        ledger.is_open = False

    router = APIRouter(lifespan=open_ledger)

    @router.post("/jobs/{number}", status_code=202)
    async def by_a_job(number: int, jobs: Jobs) -> None:
        await jobs.spawn(store(ledger, f"job {number}"))

    @router.post("/background/{number}", status_code=202)
    async def in_the_background(number: int, tasks: BackgroundTasks) -> None:
        tasks.add_task(store, ledger, f"background {number}")

    @router.post("/reports")
    async def report(request: Request) -> str:
        return await while_connected(request, compile_report(ledger))

    app = FastAPI()
    app.include_router(router)
    setup(app, **scheduler)
    return app
