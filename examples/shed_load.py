"""Say no at once instead of making callers wait.

    python -m examples.shed_load

prints

    served [0, 1, 2, 3, 4], refused 15

`spawn` waits while the queue is full: backpressure, right for a producer that can slow down. Where the
caller can't wait, in a callback or at a front door that must answer, `spawn_nowait` refuses what `spawn`
would have made wait, and what was refused never runs (SPAWN-5).
"""

import asyncio

import aiojobs


async def serve(number: int) -> int:
    """Stands for a request to be served."""
    await asyncio.sleep(0.05)
    return number


async def main() -> None:
    """Offer twenty requests where there is room for five."""
    taken: list[aiojobs.Job[int]] = []
    refused = 0
    async with aiojobs.Scheduler(limit=2, pending_limit=3) as scheduler:
        for number in range(20):
            try:
                taken.append(scheduler.spawn_nowait(serve(number)))
            except aiojobs.PendingQueueFull:
                refused += 1
    # Leaving the block has waited for all that was taken.
    print(f"served {[job.result() for job in taken]}, refused {refused}")


if __name__ == "__main__":
    asyncio.run(main())
