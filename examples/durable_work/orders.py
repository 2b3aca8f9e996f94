"""A shop: orders are stored and their parcels sent, whatever becomes of the process. DATABASE says where."""

import asyncio
import os

from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.jobs import Status
from psycopg import AsyncConnection

SILENCE = 2.0  # seconds after which a worker counts as dead; procrastinate's default is 30
ATTEMPTS = 5

TABLES = """
CREATE TABLE orders (number integer PRIMARY KEY);
CREATE TABLE parcels (number integer PRIMARY KEY REFERENCES orders);
"""


async def configure(connection: AsyncConnection) -> None:
    """Keep a worker that stands still from keeping locks, which would hold up whoever looks for it."""
    await connection.set_autocommit(True)
    await connection.execute(
        "SELECT set_config('idle_in_transaction_session_timeout', %s, false)", [f"{SILENCE}s"]
    )


connector = PsycopgConnector(conninfo=os.environ["DATABASE"], configure=configure)
app = App(connector=connector)


async def accept(connection: AsyncConnection, number: int, seconds: float) -> None:
    """Store an order and defer its delivery in the transaction of the connection: both, or neither."""
    await connection.execute("INSERT INTO orders VALUES (%s)", [number])
    await deliver.configure(connection=connection).defer_async(number=number, seconds=seconds)


@app.task(name="deliver", retry=ATTEMPTS - 1, pass_context=True)
async def deliver(context: JobContext, *, number: int, seconds: float) -> None:
    """Send the parcel of an order. However often this is called for one order, one is sent."""
    print(f"order {number}: attempt {context.job.attempts + 1}", flush=True)
    await asyncio.sleep(seconds)
    async with connector.pool.connection() as connection:
        await connection.execute("INSERT INTO parcels VALUES (%s) ON CONFLICT DO NOTHING", [number])
    print(f"order {number}: sent", flush=True)


@app.periodic(cron="* * * * * *")  # the sixth column is seconds; once a minute is enough in earnest
@app.task(name="retry_stalled", queueing_lock="retry_stalled")
async def retry_stalled(timestamp: int) -> None:
    """Put back what a worker had taken of which nothing was heard since; give up what was tried too often."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=SILENCE):
        if job.attempts + 1 < ATTEMPTS:
            await app.job_manager.retry_job(job)
        else:
            await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)
