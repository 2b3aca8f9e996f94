"""What jobs do in the tests, and the few questions that most tests ask of a scheduler."""

import asyncio
import types
from collections.abc import Coroutine

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.inside import core


async def returns(value=None):
    """End in the first step."""
    return value


async def fails(error):
    """Raise in the first step."""
    raise error


async def forever():
    """Run until cancelled."""
    await asyncio.get_running_loop().create_future()


async def until(future):
    """Run until the test decides how it ends: by result, exception or cancellation of a future.

    Not by `asyncio.shield`: since Python 3.14 that one complains of a failure after its caller was cancelled.
    """
    await asyncio.wait([future])
    return future.result()


class Body:
    """A coroutine under remote control, which remembers what happened to it.

    `log` has "started", one "cancelled" per cancellation delivered, and "ended". It runs until `finish` or
    `fail` is called; it swallows the first `swallows` cancellations and gives in to the next.
    """

    def __init__(self, *, swallows=0):
        self.log = []
        self.swallows = swallows
        self._end = asyncio.get_running_loop().create_future()

    @property
    def cancellations(self):
        return self.log.count("cancelled")

    def finish(self, value=None):
        self._end.set_result(value)

    def fail(self, error):
        self._end.set_exception(error)
        self._end.exception()  # the body takes it, or is stopped before: either way no warning is due

    async def run(self):
        self.log.append("started")
        try:
            while True:
                try:
                    return await until(self._end)
                except asyncio.CancelledError:
                    self.log.append("cancelled")
                    if self.cancellations > self.swallows:
                        raise
        finally:
            self.log.append("ended")


class Counting:
    """Makes coroutines that note in `ran`, in order, which of them took their first step."""

    def __init__(self):
        self.ran = []

    async def __call__(self, name, seconds=0, *, until=None):
        self.ran.append(name)
        if seconds:
            await asyncio.sleep(seconds)
        if until is not None:
            await until


def begin(coro, loop=None):
    """Take the first step of a coroutine here and now, in no task; a task goes on with it.

    That task is asyncio's own, whatever the task factory, if the loop is named.
    """
    ended = asyncio.get_running_loop().create_future()
    try:
        waits_for = coro.send(None)
    except StopIteration as end:
        ended.set_result(end.value)
        return ended
    except Exception as error:
        ended.set_exception(error)
        return ended
    rest = begun(coro, waits_for)
    return asyncio.ensure_future(rest) if loop is None else asyncio.Task(rest, loop=loop)


async def begun(coro, waits_for):
    """Go on with a coroutine whose first step was taken and gave the future that it waits for."""
    return await _resume(coro, waits_for)


@types.coroutine
def _resume(coro, waits_for):
    while True:
        try:
            yield waits_for
        except BaseException as error:
            try:
                waits_for = coro.throw(error)
            except StopIteration as end:
                return end.value
        else:
            return (yield from coro)


def clock():
    """The time of the running loop."""
    return asyncio.get_running_loop().time()


async def started(scheduler, body):
    """The job of a body that has taken its first step."""
    job = await scheduler.spawn(body.run())
    await settle()
    return job


def with_a_caller_asleep(steps, spawn=lambda scheduler: scheduler.spawn(forever())):
    """A scheduler of which one slot is free, while the call of `spawn` that got another one has not resumed."""
    scheduler = Scheduler(limit=3, pending_limit=1)
    bodies = [Body() for _ in range(3)]

    async def fill():
        for body in bodies:
            await scheduler.spawn(body.run())
        await scheduler.spawn(forever())

    steps.run(fill())
    call = asyncio.ensure_future(spawn(scheduler))
    steps.settle()
    assert books(scheduler) == (3, 1, 1)
    for body in bodies:
        body.finish()
    steps.turn_until(lambda: books(scheduler) == (2, 0, 0))
    assert not call.done()
    return scheduler, call


def is_closed(coro):
    """Whether a coroutine is over: ended, or closed before it began."""
    return coro.cr_frame is None


def books(scheduler):
    """The books of a scheduler in one tuple, after checking that they agree with each other (BOOK-1)."""
    jobs = list(scheduler)
    assert len(scheduler) == len(jobs) == scheduler.active_count + scheduler.pending_count
    assert all(job in scheduler for job in jobs)
    assert sum(job.pending for job in jobs) == scheduler.pending_count
    assert scheduler.limit is None or scheduler.active_count <= scheduler.limit
    assert core(scheduler).admission.violations() == []
    assert core(scheduler).admission.running == scheduler.active_count
    assert core(scheduler).admission.pending == scheduler.pending_count
    return (scheduler.active_count, scheduler.pending_count, core(scheduler).admission.blocked)


class Exotic(Coroutine):
    """A coroutine that is no coroutine object and bears no name."""

    def __init__(self, coro):
        self.coro = coro

    def send(self, value):
        return self.coro.send(value)

    def throw(self, *args):
        return self.coro.throw(*args)

    def close(self):
        self.coro.close()

    def __await__(self):
        return self.coro.__await__()
