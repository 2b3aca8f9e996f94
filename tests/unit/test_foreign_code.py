"""Whatever is called that is not the library's own finds the registries complete, and undoes nothing (BOOK-4)."""

import asyncio
import contextvars
import gc
import logging
import sys
import traceback
import warnings
from collections.abc import Coroutine
from typing import ClassVar

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.inside import shields
from support.observing import Complaints, Recorder
from unit.bodies import Body, books, fails, forever, returns
from unit.factories import for_jobs

pytestmark = pytest.mark.requirement("BOOK-4")


class ForeignError(Exception):
    """Raised by what is foreign, and by nothing else."""


class Worse(BaseException):
    """The same, for what only catches exceptions."""


class Closes(Coroutine):
    """A coroutine of somebody's own that says what happens when it is closed."""

    def __init__(self, on_close):
        self.on_close = on_close

    def send(self, value):
        raise StopIteration("ran")

    def throw(self, *args):
        raise args[0]

    def __await__(self):
        return self
        yield

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def close(self):
        self.on_close()


def raising(error):
    def call(*_, **__):
        raise error

    return call


async def works_on(scheduler):
    """A scheduler in order: its registries agree, and a job that it is given now runs."""
    books(scheduler)
    if not scheduler.closed:
        job = await asyncio.wait_for(scheduler.spawn(returns("after")), 5)
        assert await asyncio.wait_for(job, 5) == "after"
    await asyncio.wait_for(scheduler.close(), 5)
    assert books(scheduler) == (0, 0, 0)


ERRORS = pytest.mark.parametrize(
    "error", [ForeignError("foreign"), Worse("foreign")], ids=["Exception", "BaseException"]
)


# A coroutine's own close()


@ERRORS
@pytest.mark.requirement("START-2", "SHUT-1", "SHUT-5", "CLOSE-1")
@pytest.mark.parametrize("how", ["job", "scheduler", "refused", "cancelled while blocked", "wait for"])
async def test_a_coroutine_that_objects_to_being_closed_disturbs_nobody(error, how):
    handler = Recorder()
    scheduler = Scheduler(limit=1, pending_limit=1, close_timeout=5, exception_handler=handler)
    body = Body()
    running = await scheduler.spawn(body.run())
    await settle()
    coro = Closes(raising(error))
    if how in {"job", "scheduler", "wait for"}:
        pending = await scheduler.spawn(coro)
        if how == "job":
            await pending.close()
            assert books(scheduler) == (1, 0, 0)
            following = await scheduler.spawn(returns("next"))
        elif how == "wait for":
            with pytest.raises(TimeoutError):
                await pending.wait(timeout=0.1)
        else:
            await scheduler.close()
            assert (running.outcome, body.cancellations) == ("cancelled", 1)
        assert pending.outcome == "never_started"
    elif how == "refused":
        await scheduler.close()
        with pytest.raises(RuntimeError, match="after closing"):
            await scheduler.spawn(coro)
    else:
        filler = await scheduler.spawn(forever())
        call = asyncio.ensure_future(scheduler.spawn(coro))
        await settle()
        call.cancel()
        await settle()
        assert call.cancelled()
        await filler.close()
    assert [(context["message"], context["exception"]) for context in handler.calls] == [
        ("Closing a coroutine failed", error)
    ]
    if how == "job":
        body.finish()
        assert await following == "next"
    elif not scheduler.closed:
        await running.close()
    await works_on(scheduler)


@pytest.mark.requirement("START-2", "EXC-3")
@pytest.mark.parametrize("exits_with", [SystemExit, KeyboardInterrupt])
def test_a_coroutine_that_exits_when_it_is_closed_stops_the_loop_when_all_is_done(steps, exits_with):
    scheduler = Scheduler(limit=1, close_timeout=5)
    body = Body()
    running = steps.run(scheduler.spawn(body.run()))
    pending = [steps.run(scheduler.spawn(coro)) for coro in (Closes(raising(exits_with("now"))), returns())]
    closing = asyncio.ensure_future(scheduler.close())
    with pytest.raises(exits_with, match="now"):
        steps.settle()
    while not closing.done():
        steps.turn()
    assert [job.outcome for job in (running, *pending)] == ["cancelled", "never_started", "never_started"]
    assert (scheduler.phase, len(scheduler)) == ("closed", 0)


@pytest.mark.requirement("START-2", "LIMIT-5")
@pytest.mark.parametrize("deed", ["looks", "spawns", "closes the next", "closes the scheduler"])
async def test_a_coroutine_that_calls_back_when_it_is_closed_finds_everything_in_order(deed):
    scheduler, seen = Scheduler(limit=1, close_timeout=5), []
    running = await scheduler.spawn(forever())

    def call_back():
        seen.append(books(scheduler))
        if deed == "spawns":
            seen.append(scheduler.spawn_nowait(returns()).state)
        elif deed == "closes the next":
            assert one_step(behind.close()) is None
        elif deed == "closes the scheduler":
            closing.append(asyncio.ensure_future(scheduler.close()))

    closing = []
    job = await scheduler.spawn(Closes(call_back))
    behind = await scheduler.spawn(forever())
    await job.close()
    assert seen[0] == (1, 1, 0)
    await settle()
    if not scheduler.closed:
        await running.close()
        await behind.close()
    await works_on(scheduler)
    assert (job.outcome, behind.done()) == ("never_started", True)
    assert all(call.done() for call in closing)


# Tasks and futures


class Task(asyncio.Task):
    """A task whose methods can be made to raise."""

    raises: ClassVar = {}

    def cancel(self, *args):
        super().cancel(*args)
        if "cancel" in self.raises:
            raise self.raises["cancel"]
        return True

    def get_name(self):
        if "get_name" in self.raises:
            raise self.raises["get_name"]
        return super().get_name()

    def add_done_callback(self, *args, **options):
        if "add_done_callback" in self.raises:
            raise self.raises["add_done_callback"]
        return super().add_done_callback(*args, **options)


@pytest.fixture
async def tasks():
    loop = asyncio.get_running_loop()
    Task.raises = {}
    loop.set_task_factory(for_jobs(lambda loop, coro, **options: Task(coro, loop=loop, **options)))
    yield Task.raises
    loop.set_task_factory(None)
    Task.raises = {}


@ERRORS
@pytest.mark.requirement("EXC-1", "LIMIT-2", "WAIT-4")
@pytest.mark.parametrize("method", ["get_name", "add_done_callback"])
async def test_a_task_that_objects_to_being_asked_keeps_no_slot(tasks, error, method):
    handler, tasks[method] = Recorder(), error
    scheduler = Scheduler(limit=1, exception_handler=handler)
    with Complaints() as complaints:
        job = await scheduler.spawn(fails(ValueError("mine")))
        following = await scheduler.spawn(returns("next"))
        waiter = asyncio.ensure_future(following.wait())
        await settle()
        assert (job.outcome, await asyncio.wait_for(waiter, 5)) == ("raised", "next")
        assert [str(told) for told in handler.exceptions] == ["mine"]
        gc.collect()
    assert [complaint["exception"] for complaint in complaints.calls if "exception" in complaint].count(
        error
    ) == 1
    tasks.clear()
    await works_on(scheduler)


@ERRORS
@pytest.mark.requirement("SHUT-1", "SHUT-2", "CLOSE-1")
async def test_a_task_that_objects_to_being_cancelled_does_not_stop_a_shutdown(tasks, error):
    tasks["cancel"] = error
    scheduler, bodies = Scheduler(close_timeout=5), [Body() for _ in range(3)]
    jobs = [await scheduler.spawn(body.run()) for body in bodies]
    await settle()
    with Complaints() as complaints:
        await scheduler.close()
    assert [complaint["exception"] for complaint in complaints.calls] == [error] * 3
    assert [job.outcome for job in jobs] == ["cancelled"] * 3
    assert [body.cancellations for body in bodies] == [1] * 3


@ERRORS
@pytest.mark.requirement("START-1", "LIMIT-6")
async def test_a_task_that_objects_to_being_cancelled_before_its_first_step_keeps_no_slot(tasks, error):
    scheduler, body = Scheduler(limit=1, close_timeout=5), Body()
    job = await scheduler.spawn(body.run())
    tasks["cancel"] = error
    with Complaints(), pytest.raises((JobClosed, TimeoutError, asyncio.CancelledError)):
        await asyncio.gather(job.close(), job)
    assert (job.outcome, body.log) == ("cancelled", ["started", "cancelled", "ended"])
    tasks.clear()
    await works_on(scheduler)


class Stubborn(asyncio.Future):
    """A future of somebody's own."""

    def cancel(self, *_):
        raise ForeignError("not me")


@pytest.mark.requirement("SHUT-1", "SHUT-2", "SHUT-5")
async def test_a_shielded_future_that_objects_to_being_cancelled_does_not_stop_a_shutdown():
    handler = Recorder()
    scheduler = Scheduler(close_timeout=1, exception_handler=handler)
    loop = asyncio.get_running_loop()
    stubborn, ordinary, body = Stubborn(loop=loop), loop.create_future(), Body()
    outers = [scheduler.shield(stubborn), scheduler.shield(ordinary)]
    job = await scheduler.spawn(body.run())
    await settle()
    with Complaints() as complaints:
        await scheduler.close()
    assert [str(complaint["exception"]) for complaint in complaints.calls] == ["not me"]
    assert (job.outcome, ordinary.cancelled(), scheduler.phase) == ("cancelled", True, "closed")
    assert handler.messages == ["Shielded awaitable closing timed out"]
    stubborn.set_result("late")
    assert await outers[0] == "late"


# Handlers, observers, loggers


@pytest.mark.requirement("EXC-2", "SHUT-2", "SHUT-3")
@pytest.mark.parametrize("where", ["loop handler", "own handler", "overridden", "logging"])
def test_a_handler_that_leaves_does_not_stop_a_shutdown(steps, where, monkeypatch):  # noqa: C901 - one story
    told = []

    class Leaving(Scheduler):
        def call_exception_handler(self, context):
            told.append(context["job"])
            raise SystemExit("overridden")

    def leave(*arguments):
        told.append(arguments[-1].get("job"))
        raise SystemExit(where)

    class BadHandler(logging.Handler):
        def handle(self, record):
            told.append(record)
            raise OSError("the disk is full")

    if where == "own handler":
        scheduler = Scheduler(close_timeout=1, exception_handler=leave)
    else:
        scheduler = (Leaving if where == "overridden" else Scheduler)(close_timeout=1)
    if where == "loop handler":
        steps.set_exception_handler(leave)
    elif where == "logging":
        steps.set_exception_handler(lambda loop, context: loop.default_exception_handler(context))
        bad, unraisable = BadHandler(), []
        logging.getLogger("asyncio").addHandler(bad)
        monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    bodies = [Body(swallows=9) for _ in range(3)]
    jobs = [steps.run(scheduler.spawn(body.run(), f"job {n}")) for n, body in enumerate(bodies)]
    steps.settle()
    closing = asyncio.ensure_future(scheduler.close())
    exits = 0
    for _ in range(100):
        try:
            while not closing.done():
                steps.turn()
                if steps.quiet():
                    steps.advance()
            steps.settle()
        except SystemExit:
            exits += 1
        else:
            break
    if where == "logging":
        logging.getLogger("asyncio").removeHandler(bad)
        assert len(unraisable) == 3
    assert (scheduler.phase, closing.done(), len(scheduler)) == ("closed", True, 3)
    assert len(told) >= 3
    assert exits == (0 if where == "logging" else 3)
    steps.set_exception_handler(None)
    steps.complaints.clear()
    for body in bodies:
        body.finish()
    steps.settle()
    assert [job.done() for job in jobs] == [True] * 3
    assert len(scheduler) == 0


@pytest.mark.requirement("EXC-2")
async def test_an_observer_that_raises_is_told_of_what_follows():
    records = []

    def observer(record):
        records.append((record.event, record.job is not None and record.job.outcome))
        raise Worse("unwatchable")

    scheduler = Scheduler(limit=1, observer=observer)
    with Complaints() as complaints:
        await (await scheduler.spawn(returns()))
        pending = [await scheduler.spawn(forever()) for _ in range(2)]
        await scheduler.close()
    assert [event for event, _ in records] == [
        "accept", "start", "finish", "accept", "start", "accept", "close", "close", "close", "cancel", "settled",
    ]  # fmt: skip
    # The outcome is set when the end is told.
    assert records[2][1] == "returned"
    assert [str(complaint["exception"]) for complaint in complaints.calls] == ["unwatchable"] * len(records)
    assert [job.outcome for job in pending] == ["cancelled", "never_started"]


@pytest.mark.requirement("EXC-2")
async def test_a_callback_that_the_loop_refuses_keeps_no_slot():
    scheduler = Scheduler(limit=1)
    loop = asyncio.get_running_loop()
    job = await scheduler.spawn(returns("mine"))
    with pytest.raises(TypeError, match="fn must be a plain function"):
        job.add_done_callback(returns)

    class Odd:
        async def __call__(self, job):
            """Called, and nobody awaits what it returns."""

    with pytest.raises(TypeError, match="fn must be a plain function"):
        job.add_done_callback(Odd())
    called = []
    job.add_done_callback(called.append)
    call_soon = loop.call_soon

    def refuse(callback, *args, **options):
        if callback == called.append:
            raise TypeError("refused")
        return call_soon(callback, *args, **options)

    loop.call_soon = refuse
    following = await scheduler.spawn(returns("next"))
    with Complaints() as complaints:
        assert (await job, await following) == ("mine", "next")
    del loop.call_soon
    assert [str(complaint["exception"]) for complaint in complaints.calls] == ["refused"]
    await works_on(scheduler)


@pytest.mark.requirement("EXC-2", "SPAWN-1")
def test_a_traceback_that_cannot_be_taken_keeps_no_job_out(steps, monkeypatch):
    steps.set_debug(True)
    scheduler = Scheduler(limit=1)
    monkeypatch.setattr(traceback, "extract_stack", raising(ForeignError("no sources")))
    jobs = [steps.run(scheduler.spawn(returns(number))) for number in range(3)]
    steps.settle()
    monkeypatch.undo()
    assert [job.result() for job in jobs] == [0, 1, 2]
    assert [str(complaint["exception"]) for complaint in steps.complaints] == ["no sources"] * 3
    steps.complaints.clear()


# Names, reprs, exceptions


class Unspeakable(str):
    """A name that can't be shown."""

    __slots__ = ()

    def __repr__(self):
        raise KeyError("unspeakable")


@pytest.mark.requirement("WAIT-3", "SHUT-2", "WAIT-4")
async def test_a_name_that_cannot_be_shown_hides_nothing():
    handler = Recorder()
    scheduler = Scheduler(limit=1, close_timeout=1, exception_handler=handler)
    body = Body(swallows=9)
    running = await scheduler.spawn(body.run(), Unspeakable("x"))
    closed = await scheduler.spawn(forever(), Unspeakable("y"))
    await closed.close()
    with pytest.raises(JobClosed, match="whose repr raised KeyError"):
        await closed
    with pytest.raises(TimeoutError, match="whose repr raised KeyError"):
        await running.close()
    await scheduler.close()
    assert handler.messages == ["Job closing timed out"]
    assert "whose repr raised KeyError" in repr(running)
    body.finish()
    await settle()
    assert len(scheduler) == 0


class ObjectingError(Exception):
    """An exception that lets nobody have its traceback."""

    __traceback__ = property(raising(ForeignError("mine")))

    @property
    def __class__(self):
        raise ForeignError("not yours")

    def with_traceback(self, _):
        raise ForeignError("nor this")


class VanishingError(Exception):
    """An exception that gives nothing for itself."""

    def with_traceback(self, _):
        return None


@pytest.mark.requirement("EXC-1", "LIMIT-6", "WAIT-4")
@pytest.mark.parametrize("kind", [ObjectingError, VanishingError])
@pytest.mark.parametrize("how", ["waiter", "handler", "close"])
async def test_an_exception_that_objects_is_received_like_any_other(kind, how):
    handler = Recorder()
    scheduler = Scheduler(limit=1, exception_handler=handler)

    async def job():
        try:
            await forever()
        except asyncio.CancelledError:
            raise kind from None

    async def at_once():
        raise kind

    spawned = await scheduler.spawn(job() if how == "close" else at_once())
    following = await scheduler.spawn(returns("next"))
    if how == "handler":
        await settle()
        assert [type(error) for error in handler.exceptions] == [kind]
    else:
        await settle(1)
        received = None
        try:
            await (spawned.close() if how == "close" else spawned.wait())
        except Exception as error:
            received = error
        assert type(received) is kind
        assert handler.calls == []
    assert await following == "next"
    assert type(spawned.exception()) is kind
    await works_on(scheduler)


@pytest.mark.requirement("EXC-4", "SHUT-4", "WAIT-4")
@pytest.mark.parametrize("kind", [ObjectingError, VanishingError])
@pytest.mark.parametrize("caller", ["there", "gone"])
async def test_an_exception_that_objects_ends_what_is_shielded_like_any_other(kind, caller):
    async def fails_later():
        await asyncio.sleep(1)
        raise kind

    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    outer = scheduler.shield(fails_later())
    if caller == "gone":
        outer.cancel()
    await asyncio.wait_for(scheduler.wait_and_close(), 5)
    assert shields(scheduler).inners == {}
    if caller == "gone":
        assert [type(error) for error in handler.exceptions] == [kind]
    else:
        assert (type(outer.exception()), handler.calls) == (kind, [])


@pytest.mark.requirement("EXC-1", "LIMIT-2")
async def test_an_exception_that_objects_is_told_where_no_task_could_be_made(monkeypatch):
    handler, loop = Recorder(), asyncio.get_running_loop()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    body = Body()
    await scheduler.spawn(body.run())
    queued, last = await scheduler.spawn(returns()), await scheduler.spawn(returns("last"))
    create_task = loop.create_task

    def refuse_once(coro, **options):
        monkeypatch.setattr(loop, "create_task", create_task)
        raise ObjectingError

    monkeypatch.setattr(loop, "create_task", refuse_once)
    body.finish()
    with Complaints() as complaints:
        assert await last == "last"
    assert ([type(error) for error in handler.exceptions], complaints.calls) == ([ObjectingError], [])
    assert queued.outcome == "raised"


# Finalizers


class Finalized:
    """Does something when it is let go."""

    def __init__(self, deed):
        self.deed = deed

    def __del__(self):
        self.deed()


VARIABLE = contextvars.ContextVar("variable", default=None)


@pytest.mark.requirement("BOOK-1", "LIMIT-2")
@pytest.mark.parametrize("held_by", ["argument", "context"])
@pytest.mark.parametrize("end", ["job close", "scheduler close", "finish"])
async def test_a_finalizer_finds_everything_in_order_and_may_call_back(held_by, end):
    scheduler, seen, spawned = Scheduler(limit=1, close_timeout=5), [], []

    def look():
        seen.append(books(scheduler))
        if not scheduler.closed:
            spawned.append(scheduler.spawn_nowait(returns("from the finalizer")))

    async def job(_thing=None):
        """Nothing to do."""

    running = await scheduler.spawn(forever())
    if held_by == "argument":
        pending = await scheduler.spawn(job(Finalized(look)))
    else:
        context = contextvars.copy_context()
        context.run(VARIABLE.set, Finalized(look))
        pending = await scheduler.spawn(job(), context=context)
        del context
    assert seen == []
    if end == "job close":
        await pending.close()
    elif end == "scheduler close":
        await scheduler.close()
    else:
        await running.close()
        await settle()
    del pending
    gc.collect()
    assert len(seen) == 1
    if not scheduler.closed:
        await running.close()
        assert await spawned[0] == "from the finalizer"
    await works_on(scheduler)


# The loop


@pytest.mark.requirement("WAIT-4", "SHUT-3")
def test_a_loop_that_is_closed_under_its_jobs_raises_nothing_out_of_their_ends():
    unraisable, loop = [], asyncio.new_event_loop()
    scheduler = Scheduler(limit=1)

    async def stubborn():
        try:
            await forever()
        except GeneratorExit:
            return "too late"

    async def service(scheduler):
        await scheduler.spawn(stubborn())
        await scheduler.spawn(returns())
        await settle()

    loop.run_until_complete(service(scheduler))
    loop.set_exception_handler(lambda *_: None)
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop.close()
            del loop, scheduler, service
            gc.collect()
    finally:
        sys.unraisablehook = hook
    assert [str(one.exc_value) for one in unraisable if "closed" not in str(one.exc_value)] == []


def a_closed_loop_of(scheduler):
    """The loop of a scheduler that has been used, and is not any more."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(scheduler.spawn(returns()))
    loop.run_until_complete(settle())
    loop.close()
    return loop


@pytest.mark.requirement("EXC-2")
@pytest.mark.parametrize("kind", [ForeignError, Worse, SystemExit, KeyboardInterrupt])
def test_what_no_loop_can_be_told_is_handed_to_the_interpreter(monkeypatch, kind):
    error, handed = kind("foreign"), []
    scheduler = Scheduler(exception_handler=raising(error))
    loop = a_closed_loop_of(scheduler)
    monkeypatch.setattr(loop, "call_exception_handler", raising(Worse("the loop's")))
    monkeypatch.setattr(sys, "unraisablehook", lambda one: handed.append(one.exc_value))
    scheduler.call_exception_handler({"message": "mine"})
    assert handed == [error]


# The stack


def frames_left():
    """How many more calls the stack has room for."""

    def deeper(count):
        try:
            return deeper(count + 1)
        except RecursionError:
            return count

    return deeper(1)


def with_room_for(frames, action):
    """Call `action` where the stack has room for so many more calls."""

    def deeper(count):
        return deeper(count - 1) if count else action()

    return deeper(max(frames_left() - frames, 0))


def one_step(coro):
    """Take the first step of a coroutine here and now."""
    try:
        coro.send(None)
    except StopIteration:
        return None
    except RecursionError:
        coro.close()
        raise
    return coro


ACTIONS = {
    "spawn": lambda scheduler, _: scheduler.spawn_nowait(returns()),
    "close active": lambda _, jobs: one_step(jobs[0].close()),
    "close pending": lambda _, jobs: one_step(jobs[1].close()),
    "close scheduler": lambda scheduler, _: one_step(scheduler.close()),
    "wait": lambda _, jobs: one_step(jobs[0].wait()),
    "wait for pending": lambda _, jobs: one_step(jobs[1].wait(timeout=0)),
}


# Of coroutines that the stack had no room to take, and of tasks that asyncio had none to make, Python warns.
@pytest.mark.filterwarnings(
    "ignore:coroutine:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.requirement("LIMIT-2", "LIMIT-5", "WAIT-4", "BOOK-1")
@pytest.mark.parametrize("observed", [False, True], ids=["unobserved", "observed"])
@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_near_the_limit_of_recursion_is_done_whole_or_not_at_all(action, observed):
    # A loop with a handler of its own that keeps nothing: what asyncio says of tasks it could not make is its own.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    outcomes = set()
    for frames in range(1, 70):
        observer = Recorder() if observed else None
        scheduler = Scheduler(limit=1, pending_limit=1, close_timeout=5, observer=observer)
        bodies, steps = [Body(), Body(), Body()], []
        jobs, blocked, waiters = [], None, []
        if action != "spawn":
            jobs = [await scheduler.spawn(body.run()) for body in bodies[:2]]
            blocked = asyncio.ensure_future(scheduler.spawn(bodies[2].run()))
            await settle(3)
            waiters = [asyncio.ensure_future(asyncio.wait([job])) for job in jobs]
            await settle(3)
        try:
            steps.append(with_room_for(frames, lambda: ACTIONS[action](scheduler, jobs)))  # noqa: B023
        except RecursionError:
            outcomes.add("refused")
        else:
            outcomes.add("done")
        books(scheduler)
        await settle(3)
        for step in steps:
            if asyncio.iscoroutine(step):
                step.close()
        await asyncio.wait_for(scheduler.close(), 10)
        await asyncio.wait_for(asyncio.gather(*waiters), 5)
        if blocked is not None:
            await asyncio.wait([blocked], timeout=5)
            assert blocked.done()
            blocked.exception()
        assert books(scheduler) == (0, 0, 0)
        assert all(job.done() for job in jobs)
        assert max(body.cancellations for body in bodies) <= 1
        gc.collect()
    assert outcomes == {"refused", "done"}
    asyncio.get_running_loop().complaints.clear()
