"""Results in the order in which they come, with so many jobs at a time.

    python -m examples.collect

prints

    about: 5
    news: 4
    index: 5
    archive: it is not there

A callback puts each job that has ended into a queue; whoever reads the queue gets the jobs as they end. No
task waits for any of them, so a failure counts as received by nobody and goes to the exception handler
(EXC-1). Here every outcome is looked at, and the handler has nothing left to do.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

import aiojobs

T = TypeVar("T")


async def as_completed(jobs: Iterable[aiojobs.Job[T]]) -> AsyncIterator[aiojobs.Job[T]]:
    """The jobs, each as soon as it has ended, whichever way."""
    ended: asyncio.Queue[aiojobs.Job[T]] = asyncio.Queue()
    waiting = list(jobs)
    for job in waiting:
        job.add_done_callback(ended.put_nowait)
    for _ in waiting:
        yield await ended.get()


async def measure(page: str, seconds: float) -> int:
    """Stands for a download."""
    await asyncio.sleep(seconds)
    if page == "archive":
        raise ConnectionError("it is not there")
    return len(page)


async def main() -> None:
    """Measure four pages, three at a time."""
    pages = {"index": 0.6, "about": 0.1, "archive": 0.9, "news": 0.2}
    async with aiojobs.Scheduler(limit=3, exception_handler=lambda _scheduler, _context: None) as scheduler:
        jobs = [await scheduler.spawn(measure(page, seconds), page) for page, seconds in pages.items()]
        async for job in as_completed(jobs):
            error = job.exception()
            print(f"{job.get_name()}: {job.result() if error is None else error}")


if __name__ == "__main__":
    asyncio.run(main())
