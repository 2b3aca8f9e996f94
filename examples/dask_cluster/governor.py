"""A scheduler of this process governs work on a Dask cluster: how much at once, and what a crash and a close mean.

    python -m examples.dask_cluster.governor                          two worker processes of its own
    python -m examples.dask_cluster.governor tcp://127.0.0.1:8786     a cluster that is there

prints, of two workers,

    at most 2 pieces at once, one for each thread of the cluster
    2262 primes, of 2262, though a worker was killed
    asked to stop: closing, slots taken: 1
    stopped: cancelled, slots taken: 0

It counts primes, piece by piece. A worker process is killed in the middle, and Dask runs again what was lost with it.
Then a job is closed, and keeps its slot until the worker has really stopped. The exit code is 1 if a figure is wrong.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import distributed
from examples.dask_cluster.on_cluster import Stop, on_cluster

import aiojobs

STEP, PIECES = 500, 40
PRIMES = 2262
"""How many there are below 20,000."""


def count_primes(stop: Stop, begin: int, end: int) -> int:
    """Count the primes in a range, slowly, and look every hundred numbers whether to go on."""
    found = 0
    for number in range(max(begin, 2), end):
        if number % 100 == 0:
            stop.check()
            time.sleep(0.01)
        found += all(number % divisor for divisor in range(2, int(number**0.5) + 1))
    return found


def simulate(stop: Stop, steps: int) -> None:
    """Stands for work that can be stopped every two seconds only."""
    for _ in range(steps):
        stop.check()
        time.sleep(2)


@asynccontextmanager
async def cluster(address: str | None) -> AsyncGenerator[distributed.Client]:
    """A client of the cluster at this address, or of one that lasts as long as this block."""
    if address is not None:
        async with distributed.Client(address, asynchronous=True) as client:
            yield client
        return
    here = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", asynchronous=True
    )
    async with here, distributed.Client(here, asynchronous=True) as client:
        yield client


async def kill_a_worker(client: distributed.Client) -> None:
    """Kill one of the worker processes with what it has in hand. Whoever started it starts another one."""
    address, process_id = next(iter((await client.run(os.getpid)).items()))
    await client.run(os.kill, process_id, signal.SIGKILL, workers=[address], on_error="ignore")


async def count_all(client: distributed.Client, scheduler: aiojobs.Scheduler) -> int:
    """Count in pieces, one more on the cluster whenever one has ended, and kill a worker in the middle."""
    jobs = [
        await scheduler.spawn(on_cluster(client, count_primes, number * STEP, (number + 1) * STEP))
        for number in range(PIECES)
    ]
    await jobs[PIECES // 4]
    await kill_a_worker(client)
    return sum([await job for job in jobs])


async def close_one(client: distributed.Client, scheduler: aiojobs.Scheduler) -> None:
    """Close a job that would take minutes, and say what became of it."""
    job = await scheduler.spawn(on_cluster(client, simulate, steps=1000))
    await asyncio.sleep(0.5)
    closing = asyncio.create_task(job.close())
    await asyncio.sleep(0.1)
    print(f"asked to stop: {job.state}, slots taken: {scheduler.active_count}")
    await closing
    print(f"stopped: {job.outcome}, slots taken: {scheduler.active_count}")


async def main(address: str | None = None) -> int:
    """Count, with a crash in the middle, and close."""
    async with cluster(address) as client:
        await client.wait_for_workers(1)
        limit = sum((await client.nthreads()).values())
        print(f"at most {limit} pieces at once, one for each thread of the cluster")
        async with aiojobs.Scheduler(limit=limit, close_timeout=30) as scheduler:
            found = await count_all(client, scheduler)
            print(f"{found} primes, of {PRIMES}, though a worker was killed")
            await close_one(client, scheduler)
    return found != PRIMES


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
