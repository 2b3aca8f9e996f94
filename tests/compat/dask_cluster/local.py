"""A process that governs work on a cluster until it is killed."""

import asyncio
import sys
from pathlib import Path

import distributed
from examples.dask_cluster.on_cluster import on_cluster

import aiojobs
from compat.dask_cluster import far


async def main(address, folder):
    """Have six calls, two at a time."""
    async with (
        distributed.Client(address, asynchronous=True) as client,
        aiojobs.Scheduler(limit=2) as scheduler,
    ):
        for number in range(6):
            await scheduler.spawn(on_cluster(client, far.work, Path(folder) / str(number), 50))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
