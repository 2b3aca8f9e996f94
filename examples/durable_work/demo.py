"""What survives what: python postgres.py python demo.py."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec

import orders
from psycopg import AsyncConnection


async def prepare() -> None:
    """Make the tables."""
    await orders.app.schema_manager.apply_schema_async()
    async with orders.connector.pool.connection() as connection:
        await connection.execute(orders.TABLES)


async def order(number: int, seconds: float, *, commit: bool = True) -> None:
    """Take an order whose delivery takes that long, in a transaction."""
    async with await AsyncConnection.connect(os.environ["DATABASE"]) as connection:
        await orders.accept(connection, number, seconds)
        await (connection.commit() if commit else connection.rollback())


async def start() -> Process:
    """Start a worker."""
    return await create_subprocess_exec(sys.executable, "worker.py", stdout=PIPE)


async def hear(worker: Process, line: str) -> None:
    """Print what a worker says, until it says this."""
    assert worker.stdout is not None
    while heard := (await worker.stdout.readline()).decode().rstrip():
        print(heard)
        if heard == line:
            return
    raise EOFError(f"the worker has ended without saying {line!r}")


async def stop(worker: Process, signum: signal.Signals) -> None:
    """Send a signal, print what the worker says until it ends, and how the tasks stand then."""
    worker.send_signal(signum)
    said, _ = await worker.communicate()
    print(said.decode(), end="")
    print(f"{signum.name}: exit status {worker.returncode}")
    for job in await orders.app.job_manager.list_jobs_async(task="deliver"):
        print(f"  order {job.task_kwargs['number']}: {job.status}")


async def story() -> None:
    """Stop one worker, kill another, and let a third do what is left."""
    await order(1, 0.1)
    await order(2, 0.1, commit=False)
    worker = await start()
    await hear(worker, "order 1: sent")
    await order(3, 1)
    await order(4, 4)
    await hear(worker, "order 4: attempt 1")
    await stop(worker, signal.SIGTERM)

    worker = await start()
    await hear(worker, "order 4: attempt 2")
    await stop(worker, signal.SIGKILL)

    worker = await start()
    await hear(worker, "order 4: sent")
    await stop(worker, signal.SIGTERM)


async def main() -> None:
    """Make the tables, and tell the story."""
    async with orders.app.open_async():
        await prepare()
        await story()


asyncio.run(main())
