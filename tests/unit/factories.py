"""What programs make of `create_task`: the kinds of task factory that a job has to live with (START-3).

Each takes what a task factory takes. `FAITHFUL` run the coroutine that they are given and hand on what it comes
to; `UNFAITHFUL` do not, each in a way of its own.
"""

import asyncio
import types

from aiojobs import _run
from unit.bodies import Exotic, begin


def _task(loop, coro, options):
    return asyncio.Task(coro, loop=loop, **options)


def is_of_a_job(coro):
    """Whether a coroutine is what a job gives the loop, and not the test's own."""
    plain_run = getattr(_run.make_run, "__code__", None)
    return type(coro) is getattr(_run, "Run", None) or getattr(coro, "cr_code", None) is plain_run


def for_jobs(make):
    """A task factory for the coroutines of jobs; others get plain tasks."""

    def factory(loop, coro, **options):
        return make(loop, coro, **options) if is_of_a_job(coro) else _task(loop, coro, options)

    return factory


def plain(loop, coro, **options):
    """As without any factory."""
    return _task(loop, coro, options)


def wraps(loop, coro, **options):
    """In a coroutine of its own, as tracing tools do."""

    async def traced():
        return await coro

    return _task(loop, traced(), options)


def wraps_late(loop, coro, **options):
    """The same, after awaiting something else."""

    async def traced():
        await asyncio.sleep(0.001)
        return await coro

    return _task(loop, traced(), options)


def lingers(loop, coro, **options):
    """The same, and it awaits something afterwards."""

    async def traced():
        try:
            return await coro
        finally:
            await asyncio.sleep(0.001)

    return _task(loop, traced(), options)


def yields_from(loop, coro, **options):
    """In a generator-based coroutine."""

    @types.coroutine
    def traced():
        return (yield from coro.__await__())

    async def awaited():  # asyncio takes no generators since Python 3.12
        return await traced()

    return _task(loop, awaited(), options)


def forwards(loop, coro, **options):
    """In an object that hands on what it is sent."""
    return _task(loop, Exotic(coro), options)


def inner_task(loop, coro, **options):
    """In a task of its own that the task waits for."""

    async def traced():
        return await asyncio.Task(coro, loop=loop)

    return _task(loop, traced(), options)


def old_fashioned(loop, coro):
    """A factory from before there were names and contexts."""
    return asyncio.Task(coro, loop=loop)


def no_name(loop, coro, context=None):
    """A factory that knows contexts and no names."""
    return asyncio.Task(coro, loop=loop, context=context)


def no_task(loop, coro, **_):
    """A future and no task: whoever asks it for its coroutine gets an AttributeError."""
    ended = loop.create_future()

    async def run():
        try:
            ended.set_result(await coro)
        except asyncio.CancelledError:
            ended.cancel()
        except Exception as error:
            ended.set_exception(error)

    inner = asyncio.Task(run(), loop=loop)
    return types.SimpleNamespace(
        add_done_callback=ended.add_done_callback,
        cancel=lambda *_: inner.cancel(),
        cancelled=ended.cancelled,
        done=ended.done,
        exception=ended.exception,
        result=ended.result,
    )


def at_once(loop, coro, **_):
    """The first step is taken on the spot, by no task."""
    return begin(coro, loop)


FAITHFUL = [
    plain,
    wraps,
    wraps_late,
    lingers,
    yields_from,
    forwards,
    inner_task,
    old_fashioned,
    no_name,
    no_task,
    at_once,
]


class UnfaithfulError(Exception):
    """Raised by factories and wrappers, and by nothing else."""


def fails_before(loop, coro, **options):
    """The wrapper fails before it comes to the coroutine."""

    async def traced():
        raise UnfaithfulError("before")

    return _task(loop, traced(), options)


def fails_after(loop, coro, **options):
    """The wrapper fails when the coroutine has ended."""

    async def traced():
        await coro
        raise UnfaithfulError("after")

    return _task(loop, traced(), options)


def swallows(loop, coro, **options):
    """The wrapper keeps for itself what the coroutine comes to."""

    async def traced():
        try:
            await coro
        except Exception:
            return "swallowed"

    return _task(loop, traced(), options)


def translates(loop, coro, **options):
    """The wrapper raises something else than the coroutine did."""

    async def traced():
        try:
            return await coro
        except Exception as error:
            raise UnfaithfulError("instead") from error

    return _task(loop, traced(), options)


def cancelled_first(loop, coro, **options):
    """The task was cancelled before it was given away."""

    async def traced():
        return await coro

    task = _task(loop, traced(), options)
    task.cancel()
    return task


def drops(loop, coro, **_):
    """A future that is done, and the coroutine is forgotten."""
    done = loop.create_future()
    done.set_result("dropped")
    return done


def closes(loop, coro, **_):
    """The same, and the coroutine is closed."""
    coro.close()
    return drops(loop, coro)


def takes_one_step(loop, coro, **options):
    """The coroutine is begun and left where it stands."""

    async def traced():
        coro.send(None)

    return _task(loop, traced(), options)


def raises(loop, coro, **_):
    """No task at all."""
    raise UnfaithfulError("no task")


def none(loop, coro, **_):
    """Nothing at all."""


UNFAITHFUL = [
    fails_before,
    fails_after,
    swallows,
    translates,
    cancelled_first,
    drops,
    closes,
    takes_one_step,
    raises,
    none,
]
