"""A job sees the context variables of whoever spawned it, however long it was queued (SPAWN-4).

    python -m examples.request_context

prints

    Ada: logged in
    Grace: logged in
    Edsger: logged in
    counted in the shared context: 3, in that of main: 0

So what a request, a log line or a trace is about travels with the job. To share one context among jobs, give
it to `spawn`: then it is used itself, not copied.
"""

import asyncio
import contextvars

import aiojobs

user = contextvars.ContextVar("user", default="nobody")


async def write_log(text: str) -> None:
    """Write a line about whoever the current user is."""
    await asyncio.sleep(0.01)
    print(f"{user.get()}: {text}")


async def count_up(counter: contextvars.ContextVar[int]) -> None:
    """Change a variable in the context of the job."""
    counter.set(counter.get() + 1)


async def main() -> None:
    """Spawn for three users, then become somebody else."""
    counter = contextvars.ContextVar("counter", default=0)
    shared = contextvars.copy_context()
    # One at a time: all but the first are queued, and start when the context of their spawn has changed.
    async with aiojobs.Scheduler(limit=1) as scheduler:
        for name in ("Ada", "Grace", "Edsger"):
            user.set(name)
            await scheduler.spawn(write_log("logged in"))
            await scheduler.spawn(count_up(counter), context=shared)
        user.set("somebody else")
    print(f"counted in the shared context: {shared[counter]}, in that of main: {counter.get()}")


if __name__ == "__main__":
    asyncio.run(main())
