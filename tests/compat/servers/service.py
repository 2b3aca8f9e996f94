"""What the servers serve: orders that are accepted with 202, as jobs and as background tasks of the framework.

The ledger belongs to the lifespan of a router, and is closed there. So an order is in it only if it was done
before any lifespan was left. SECONDS says how long an order takes, LEDGER which file it is.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, BackgroundTasks, FastAPI, Request

from aiojobs.fastapi import Jobs, setup, while_connected

SECONDS = float(os.environ.get("SECONDS", "1"))
LEDGER = Path(os.environ.get("LEDGER", "ledger.txt"))


@asynccontextmanager
async def open_ledger(app):
    with LEDGER.open("a", buffering=1) as ledger:  # noqa: ASYNC230 - nothing else runs yet
        yield {"ledger": ledger}


async def store(ledger, order):
    await asyncio.sleep(SECONDS)
    print(order, file=ledger)


router = APIRouter(lifespan=open_ledger)


@router.post("/job/{number}", status_code=202)
async def job(number: int, request: Request, jobs: Jobs):
    await jobs.spawn(store(request.state.ledger, f"job {number}"))


@router.post("/background/{number}", status_code=202)
async def background(number: int, request: Request, tasks: BackgroundTasks):
    tasks.add_task(store, request.state.ledger, f"background {number}")


@router.get("/report")
async def report(request: Request):
    """Work for one client, which says in the ledger how it ended."""
    await while_connected(request, compile_report(request.state.ledger))


async def compile_report(ledger):
    print("begun", file=ledger)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("stopped", file=ledger)
        raise


@router.get("/")
async def ready():
    """Whether the server serves."""


app = FastAPI()
app.include_router(router)


@app.middleware("http")
async def as_it_is(request, call_next):
    """The kind of middleware behind which `request.is_disconnected()` never turns true."""
    return await call_next(request)


setup(app, grace=60, limit=40)
