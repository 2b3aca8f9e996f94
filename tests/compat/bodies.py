"""What the jobs of the stories run. Also compiled with Cython, and run through greenback: plain code only."""

import asyncio


class Failure(Exception):  # noqa: N818 - it is what fails in a story, not an error of these tests
    """What a job of the stories raises."""


async def returns(value):
    """Never suspends."""
    return value


async def yields(value):
    """Suspends once."""
    await asyncio.sleep(0)
    return value


async def fails(exception):
    """Suspends once, then raises."""
    await asyncio.sleep(0)
    raise exception


async def fails_at_once(exception):
    """Raises in its first step."""
    raise exception


async def waits(event, value=None, log=None):
    """Waits for an event."""
    if log is not None:
        log.append("began")
    await event.wait()
    if log is not None:
        log.append("ended")
    return value


async def cleans_up(log):
    """Runs until it is cancelled, and needs a pass of the loop to clean up."""
    log.append("began")
    try:
        await asyncio.Event().wait()
    finally:
        log.append("cancelled")
        await asyncio.sleep(0)
        log.append("cleaned up")


async def fails_when_stopped(exception):
    """Runs until it is cancelled, and raises something else then."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise exception from None


async def will_not_stop(event, log):
    """Lets no cancellation through before the event."""
    while not event.is_set():
        try:
            await event.wait()
        except asyncio.CancelledError:
            log.append("asked")
    return "stopped by itself"


async def sees(variable, event=None):
    """What a context variable is, and sets it to something else."""
    if event is not None:
        await event.wait()
    seen = variable.get()
    variable.set("set by a job")
    await asyncio.sleep(0)
    return seen


async def presents_itself(tasks, event, exception=None):
    """Appends its task, waits, and then returns or raises."""
    tasks.append(asyncio.current_task())
    await event.wait()
    if exception is not None:
        raise exception
    return "returned"


async def meets(barrier):
    """Waits until so many others are here too."""
    await barrier.wait()


async def counts(running, most):
    """Notes how many of its kind run at once."""
    running.append(None)
    most[0] = max(most[0], len(running))
    await asyncio.sleep(0)
    running.pop()
