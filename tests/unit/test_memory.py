"""A finished job keeps only its result, and nothing waits for the cycle collector (BOOK-3)."""

import asyncio
import contextvars
import gc
import weakref
from contextlib import suppress

import pytest

from aiojobs import JobClosed, Scheduler, _ownership
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, Exotic, forever, returns

pytestmark = pytest.mark.requirement("BOOK-3")

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")

variable = contextvars.ContextVar("variable")


@pytest.fixture(autouse=True)
def _no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


class Thing:
    """Something that can be referred to weakly, in a frame or in a context."""


class Mine(Exception):  # noqa: N818
    """What the jobs of this file raise: weakly referable, as exceptions of Python classes are."""


class Traces:
    """Weak references to everything that belongs to one job: which of it is still there?"""

    def __init__(self):
        self.refs = {}

    def note(self, **things):
        self.refs.update({name: weakref.ref(thing) for name, thing in things.items()})

    def left(self, *, but=()):
        return [name for name, ref in self.refs.items() if ref() is not None and name not in but]

    async def body(self, end):
        local, value = Thing(), Thing()
        variable.set(value)
        self.note(local=local, value=value, task=asyncio.current_task())
        del value
        return await end()

    def coro(self, end):
        coro = self.body(end)
        self.note(coro=coro)
        return coro


async def stop_here():
    await forever()


async def result():
    await asyncio.sleep(0)
    return "result"


async def failure():
    await asyncio.sleep(0)
    raise Mine


async def failure_at_once():
    raise Mine


PARTS = {"coro", "local", "value", "task"}


async def spawned(scheduler, traces, end):
    job = await scheduler.spawn(traces.coro(end))
    traces.note(job=job)
    return job


@EVERYWHERE
@pytest.mark.parametrize("limit", [1, 2], ids=["queued", "at once"])
async def test_a_job_that_returned_keeps_its_result_alone(limit):
    scheduler, traces = Scheduler(limit=limit), Traces()
    first = await scheduler.spawn(asyncio.sleep(0))
    job = await spawned(scheduler, traces, result)
    assert await job == "result"
    await settle()
    assert traces.refs.keys() >= PARTS
    assert traces.left() == ["job"]
    del job, first
    assert traces.left() == []
    await scheduler.close()


@EVERYWHERE
async def test_a_job_that_was_closed_keeps_nothing():
    scheduler, traces = Scheduler(), Traces()
    job = await spawned(scheduler, traces, stop_here)
    await settle()
    await job.close()
    await settle()
    assert traces.refs.keys() >= PARTS
    assert traces.left() == ["job"]
    try:
        await job
    except JobClosed as error:
        traces.note(error=error)
    assert traces.left() == ["job"]
    del job
    assert traces.left() == []


@EVERYWHERE
async def test_a_job_that_was_cancelled_from_outside_keeps_nothing():
    scheduler, traces = Scheduler(), Traces()
    job = await spawned(scheduler, traces, stop_here)
    await settle()
    job.task.cancel()
    await settle()
    assert job.outcome == "cancelled"
    assert traces.left() == ["job"]
    del job
    assert traces.left() == []


async def test_a_job_that_never_started_keeps_nothing():
    scheduler, traces = Scheduler(limit=1), Traces()
    context, value = contextvars.copy_context(), Thing()
    context.run(variable.set, value)
    traces.note(context=context, value=value)
    await scheduler.spawn(forever())
    coro = traces.coro(stop_here)
    job = await scheduler.spawn(coro, context=context)
    traces.note(job=job)
    del coro, context, value
    await settle()
    assert traces.left() == ["context", "value", "coro", "job"]
    await job.close()
    assert traces.left() == ["job"]
    del job
    assert traces.left() == []
    await scheduler.close()


async def test_a_context_that_was_given_is_let_go_with_the_end():
    scheduler, traces = Scheduler(limit=1), Traces()
    for _ in range(2):  # at once, and queued behind the first
        context = contextvars.copy_context()
        job = await scheduler.spawn(traces.coro(result), context=context)
        traces.note(context=context, job=job)
        del context
    await job
    await settle()
    assert traces.left() == ["job"]
    del job
    assert traces.left() == []


@EVERYWHERE
@pytest.mark.parametrize("limit", [1, 2], ids=["queued", "at once"])
async def test_a_job_that_failed_is_gone_with_the_last_reference_even_after_its_exception_was_raised(limit):
    scheduler, traces = Scheduler(limit=limit), Traces()
    first = await scheduler.spawn(asyncio.sleep(0))
    job = await spawned(scheduler, traces, failure)
    for call in (job.wait, job.wait, lambda job=job: job.wait(timeout=1)):
        try:
            await call()
        except Mine as error:
            traces.note(error=error)
    with suppress(Mine):
        job.result()
    await settle()
    assert traces.refs.keys() >= PARTS
    assert "error" in traces.left()
    assert "coro" not in traces.left()
    del job, first, call
    assert traces.left() == []
    await scheduler.close()


async def test_a_job_that_failed_keeps_its_exception_and_the_frames_that_it_shows_and_nothing_else():
    scheduler, traces = Scheduler(exception_handler=lambda *_: None), Traces()
    job = await spawned(scheduler, traces, failure)
    await settle()
    assert isinstance(job.exception(), Mine)
    assert set(traces.left()) <= {"job", "local", "value"}
    assert "local" in traces.left()  # a debugger can see it
    del job
    assert traces.left() == []


@pytest.mark.parametrize("how", ["close", "await", "timeout"])
async def test_a_job_that_failed_while_stopping_is_gone_with_the_last_reference(how):
    scheduler, traces = Scheduler(exception_handler=lambda *_: None), Traces()

    async def fail_when_stopped():
        try:
            await forever()
        finally:
            raise Mine

    job = await spawned(scheduler, traces, fail_when_stopped)
    await settle()
    if how == "close":
        with_error = job.close()
    elif how == "timeout":
        with_error = job.wait(timeout=0)
    else:
        job.task.cancel()
        with_error = job.wait()
    with suppress(Mine, TimeoutError):
        await with_error
    del with_error
    await settle()
    assert job.outcome == "raised"
    del job
    assert traces.left() == []


async def test_an_exception_that_its_receiver_keeps_does_not_keep_the_job():
    scheduler, traces = Scheduler(), Traces()
    job = await spawned(scheduler, traces, failure)
    try:
        await job
    except Mine as error:
        kept = error
    assert isinstance(kept, Mine)
    await settle()
    del job
    assert set(traces.left()) <= {"local", "value"}
    del kept
    assert traces.left() == []


async def test_the_handler_can_keep_the_context_and_nothing_else_is_kept_alive_but_what_it_shows():
    handler, traces = Recorder(), Traces()
    scheduler = Scheduler(exception_handler=handler)
    job = await spawned(scheduler, traces, failure)
    await settle()
    del job
    assert "job" in traces.left()
    assert "coro" not in traces.left()
    handler.calls.clear()
    assert traces.left() == []


@EVERYWHERE
async def test_a_queued_job_that_failed_in_its_first_step_is_gone_with_the_last_reference():
    scheduler, traces = Scheduler(limit=1, exception_handler=lambda *_: None), Traces()
    first = await scheduler.spawn(asyncio.sleep(0))
    job = await spawned(scheduler, traces, failure_at_once)
    await first
    await settle()
    assert job.outcome == "raised"
    # The task is among them if it was eager: a frame of asyncio knows it that the traceback holds, and since it
    # holds the exception as asyncio's do (EXC-5), only the collector frees them (EAGER-FAILURE-FRAMES).
    assert set(traces.left()) <= {"job", "local", "value", "task"}
    del job
    if asyncio.get_running_loop().get_task_factory() is not None:
        gc.collect()
    assert traces.left() == []


@pytest.mark.loops("eager", "stock-eager")
async def test_a_job_that_failed_in_an_eager_first_step_is_gone_with_the_last_reference():
    scheduler, traces = Scheduler(exception_handler=lambda *_: None), Traces()
    job = await spawned(scheduler, traces, failure_at_once)
    try:
        await job
    except Mine as error:
        traces.note(error=error)
    await settle()
    del job
    gc.collect()  # its traceback shows the frames of who called spawn, as those of any call do
    assert traces.left() == []


async def test_a_spawn_that_was_cancelled_leaves_nothing():
    scheduler, traces = Scheduler(limit=1, pending_limit=1), Traces()
    for _ in range(2):
        await scheduler.spawn(forever())
    call = asyncio.create_task(scheduler.spawn(traces.coro(stop_here)))
    await settle()
    call.cancel()
    await asyncio.wait([call])
    del call
    await settle()
    assert traces.left() == []
    await scheduler.close()


async def test_a_spawn_that_was_refused_leaves_nothing():
    scheduler, traces = Scheduler(limit=1, pending_limit=1), Traces()
    for _ in range(2):
        await scheduler.spawn(forever())
    with suppress(asyncio.QueueFull):
        scheduler.spawn_nowait(traces.coro(stop_here))
    assert "coro" in traces.refs
    assert traces.left() == []
    await scheduler.close()
    with suppress(RuntimeError):
        await scheduler.spawn(traces.coro(stop_here))
    assert traces.left() == []


def failing_factory(loop, coro, **options):
    raise Mine


@pytest.mark.requirement("SPAWN-1")
@pytest.mark.parametrize("how", ["spawn", "spawn_nowait"])
async def test_a_job_whose_task_could_not_be_made_is_gone_with_its_exception(how):
    loop, traces = asyncio.get_running_loop(), Traces()
    scheduler = Scheduler(observer=lambda record: record.job and traces.note(job=record.job))
    loop.set_task_factory(failing_factory)
    try:
        if how == "spawn":
            await scheduler.spawn(traces.coro(stop_here))
        else:
            scheduler.spawn_nowait(traces.coro(stop_here))
    except Mine as error:
        traces.note(error=error)
    loop.set_task_factory(None)
    assert traces.refs.keys() == {"coro", "job", "error"}
    assert traces.left() == []


@pytest.mark.requirement("SPAWN-1")
def test_a_blocked_job_whose_task_could_not_be_made_is_gone_with_its_exception(steps):
    traces = Traces()
    scheduler = Scheduler(limit=2, pending_limit=1)
    gate = steps.create_future()

    async def fill():
        for _ in range(2):
            await scheduler.spawn(asyncio.wait([gate]))
        await scheduler.spawn(forever())

    steps.run(fill())
    call = asyncio.ensure_future(scheduler.spawn(traces.coro(stop_here), "mine"))
    steps.settle()
    gate.set_result(None)
    steps.turn_until(lambda: any(job.active and job.get_name() == "mine" for job in scheduler))
    assert not call.done()
    steps.set_task_factory(failing_factory)
    steps.turn()  # no helper that knows the call: its frame would be among those of the traceback
    steps.set_task_factory(None)
    assert isinstance(call.exception(), Mine)
    traces.note(error=call.exception())
    del call
    steps.settle()
    assert traces.refs.keys() == {"coro", "error"}
    assert traces.left() == []
    steps.run(scheduler.close())


async def test_a_queued_job_whose_task_could_not_be_made_is_gone_with_the_last_reference():
    loop, traces = asyncio.get_running_loop(), Traces()
    scheduler = Scheduler(limit=1, exception_handler=lambda *_: None)
    gate = asyncio.Event()
    await scheduler.spawn(gate.wait())
    job = await scheduler.spawn(traces.coro(stop_here))
    traces.note(job=job)
    loop.set_task_factory(failing_factory)
    gate.set()
    await settle()
    loop.set_task_factory(None)
    assert job.outcome == "raised"
    try:
        await job
    except Mine as error:
        traces.note(error=error)
    assert "coro" not in traces.left()
    del job
    assert traces.left() == []


async def test_callbacks_and_waiters_are_let_go_with_the_end():
    scheduler, traces = Scheduler(), Traces()
    job = await spawned(scheduler, traces, result)
    thing = Thing()
    traces.note(thing=thing)
    job.add_done_callback(lambda _job, thing=thing: None)
    del thing
    waiters = [asyncio.create_task(job.wait()) for _ in range(3)]
    for number, waiter in enumerate(waiters):
        traces.refs[f"waiter {number}"] = weakref.ref(waiter)
    await asyncio.wait(waiters)
    del waiters, waiter
    await settle()
    assert traces.left() == ["job"]


@pytest.mark.requirement("EXC-1")
async def test_who_has_received_an_exception_is_let_go_too():
    scheduler, traces = Scheduler(), Traces()
    job = await spawned(scheduler, traces, failure)
    waiters = [asyncio.create_task(job.wait()) for _ in range(3)]
    await asyncio.wait(waiters)
    for waiter in waiters:
        assert isinstance(waiter.exception(), Mine)
    assert job.waiters is None


@pytest.mark.requirement("EXC-3")
@pytest.mark.parametrize("waits", [True, False])
def test_a_job_that_stopped_the_loop_is_gone_with_the_last_reference(steps, waits):
    scheduler, traces = Scheduler(exception_handler=lambda *_: None), Traces()

    async def stop_the_loop():
        if waits:
            await asyncio.sleep(0)
        raise SystemExit

    job = steps.run(spawned(scheduler, traces, stop_the_loop))
    with pytest.raises(SystemExit) as left:
        steps.settle()
    del left
    steps.settle()
    assert job.outcome == "raised"
    assert "coro" not in traces.left()
    del job
    assert traces.left() == []


async def test_a_shielded_future_is_let_go_when_it_is_done():
    scheduler, traces = Scheduler(), Traces()
    inner = asyncio.get_running_loop().create_future()
    outer = scheduler.shield(inner)
    traces.note(inner=inner, outer=outer)
    inner.set_result(None)
    del inner, outer
    await settle()
    assert traces.left() == []


@EVERYWHERE
async def test_a_scheduler_that_has_closed_is_gone_with_the_last_reference():
    scheduler, traces = Scheduler(), Traces()
    jobs = [await scheduler.spawn(returns()), await scheduler.spawn(forever())]
    traces.note(scheduler=scheduler)
    await scheduler.close()
    await settle()
    del scheduler
    assert jobs[0].done()
    # One that has closed still knows its shutdown, which knows it: the pair is all that the collector gets.
    if traces.left():
        gc.collect()
    assert traces.left() == []


@pytest.mark.parametrize("end", [result, failure])
async def test_a_long_run_does_not_grow(end):
    """With the collector off, the number of objects after a thousand jobs is what it was after a hundred."""
    scheduler = Scheduler(limit=10, exception_handler=lambda *_: None)
    counts = []
    for number in range(1000):
        await scheduler.spawn(end())
        if number % 450 == 99:
            await settle(200)
            assert len(scheduler) == 0
            counts.append(len(gc.get_objects()))
    assert max(counts) - min(counts) < 50
    await scheduler.close()


@pytest.mark.requirement("SPAWN-3")
async def test_the_register_of_nameless_coroutines_does_not_grow():
    before = len(_ownership.foreign)
    scheduler = Scheduler(limit=2, pending_limit=2, exception_handler=lambda *_: None)
    ends = [result, failure, stop_here] * 10
    calls = [asyncio.create_task(scheduler.spawn(Exotic(end()))) for end in ends]
    await settle(2)
    assert len(_ownership.foreign) == before + len(calls)
    await settle(100)
    for call in calls[::2]:
        call.cancel()
    await settle(100)
    await scheduler.close()
    await asyncio.gather(*calls, return_exceptions=True)
    assert len(_ownership.foreign) == before


@pytest.mark.requirement("SPAWN-3")
def test_the_names_of_claimed_coroutines_are_kept_once_and_not_without_end(monkeypatch):
    monkeypatch.setattr(_ownership, "_MOST_NAMES", 10)

    async def f():
        """Is claimed, and nothing else."""

    def claimed(name):
        coro = f()
        coro.__qualname__ = name
        _ownership.claim(coro)
        coro.close()
        return coro.__qualname__

    first = claimed("f")
    assert claimed("f") is first == "f"
    for number in range(100):
        assert type(claimed(f"made up {number}")) is _ownership.Claimed
    assert claimed("f") is not first


@EVERYWHERE
async def test_a_job_that_returns_an_exception_is_gone_with_the_last_reference():
    scheduler = Scheduler()
    job = await scheduler.spawn(_raised_below())
    await job
    gone = weakref.ref(job)
    kept = job.result()
    del job
    await settle()
    assert gone() is None
    assert isinstance(kept, Mine)
    await scheduler.close()


async def _raised_below():
    try:
        await failure()
    except Mine as caught:
        return caught


@pytest.mark.requirement("BOOK-3", "BOOK-4")
@pytest.mark.parametrize("how", ["blocked", "pending", "scheduler", "arriving"])
async def test_what_is_raised_while_a_coroutine_is_closed_does_not_keep_it(how):
    kept = []

    class Finalized:
        def __del__(self):
            try:
                raise Mine
            except Mine as error:
                kept.append(error)

    async def never(_argument):
        """Not run."""

    async def spawns(refs):
        coro = never(Finalized())
        refs.append(weakref.ref(coro))
        return await scheduler.spawn(coro)

    places = {"pending": 2, "scheduler": 2}.get(how, 1)
    scheduler, refs, bodies = Scheduler(limit=1, pending_limit=places), [], [Body(), Body()]
    for body in bodies:
        await scheduler.spawn(body.run())
    call = asyncio.ensure_future(spawns(refs))
    await settle()
    if how in {"pending", "scheduler"}:
        job = call.result()
        await (job.close() if how == "pending" else scheduler.close())
        del job
    elif how == "arriving":
        bodies[0].finish()
        bodies[1].finish()
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
    else:
        call.cancel()
        await asyncio.wait([call])
    del call
    gc.collect()
    assert len(kept) == 1
    # The frame of the caller itself has a name for its coroutine; those of the library have let go of it.
    frame, holders = kept[0].__traceback__.tb_frame, []
    while frame is not None:
        if frame.f_code.co_name != "spawns":
            holders += [name for name, value in frame.f_locals.items() if value is refs[0]() is not None]
        frame = None if frame.f_code.co_name == "spawns" else frame.f_back
    assert holders == []
    kept.clear()
    await scheduler.close()
