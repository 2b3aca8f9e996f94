# ruff: noqa: D103 - it is short enough to explain itself
"""The example of the README: three greetings, two at a time.

It prints

    Hello, Ada!
    Hello, Grace!
    Hello, Edsger!
"""

import asyncio

import aiojobs


async def greet(name: str) -> str:
    await asyncio.sleep(0.1)
    return f"Hello, {name}!"


async def main() -> None:
    async with aiojobs.Scheduler(limit=2) as scheduler:
        jobs = [await scheduler.spawn(greet(name)) for name in ("Ada", "Grace", "Edsger")]
        for job in jobs:
            print(await job.wait())


if __name__ == "__main__":
    asyncio.run(main())
