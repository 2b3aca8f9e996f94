"""A Starlette service whose orders are jobs, for `ddtrace-run uvicorn compat.orders_app:app`.

Each order that is done leaves a line in the file that ORDERS names: the order, and the name of the code that
its task runs, which tells whether the tracer had its hands on it.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import aiojobs

ORDERS = Path(os.environ["ORDERS"])


@asynccontextmanager
async def lifespan(app):
    async with aiojobs.Scheduler(limit=2, wait_timeout=20) as scheduler:
        app.state.jobs = scheduler
        yield


async def order(request):
    number = request.path_params["number"]
    await request.app.state.jobs.spawn(store(number), name=f"order {number}")
    return JSONResponse({"accepted": number}, status_code=202)


async def store(number):
    await asyncio.sleep(0.5)
    code = asyncio.current_task().get_coro().cr_code.co_name
    note(f"{number} {code}\n")


def note(line):
    with ORDERS.open("a", encoding="utf-8") as file:
        file.write(line)


app = Starlette(lifespan=lifespan, routes=[Route("/orders/{number:int}", order, methods=["POST"])])
