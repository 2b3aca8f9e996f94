"""What a task runs behaves as a coroutine does that awaits the job's, in both builds (EXC-5, BOOK-4)."""

import asyncio
import copy
import inspect
import io
import sys
from collections.abc import Coroutine

import pytest

from aiojobs import Scheduler
from aiojobs._ownership import release
from aiojobs.testing import settle
from support.builds import IS_COMPILED
from support.inside import core
from support.observing import Recorder
from unit.bodies import books, forever, returns

pytestmark = pytest.mark.requirement("EXC-5", "BOOK-4")


class Waits(Coroutine):
    """A coroutine of somebody's own that waits for a future, and does what a test says when it is thrown into."""

    def __init__(self):
        self.future = asyncio.get_running_loop().create_future()

    def send(self, value):
        self.future._asyncio_future_blocking = True
        return self.future

    def throw(self, *args):
        raise args[0]

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def close(self):
        pass


# What its coroutine may do


class Returns(StopIteration):
    """Ends a coroutine, and has no value to show."""

    @property
    def value(self):
        raise AssertionError("nobody need ask")


class EndsOddly(Waits):
    def throw(self, *args):
        raise Returns("value")


async def test_what_ends_a_coroutine_is_not_asked_for_a_value_of_its_own():
    scheduler = Scheduler()
    job = await scheduler.spawn(EndsOddly())
    await settle()
    task = job.task
    await job.close()
    assert (job.outcome, task.result()) == ("returned", "value")
    assert books(scheduler) == (0, 0, 0)


class Unaskable(Waits):
    """Has its methods as long as a test wants them not to be asked for."""

    is_asked = False

    def __getattribute__(self, name):
        if name in {"throw", "close"} and self.is_asked:
            raise OSError(name)
        return super().__getattribute__(name)


@pytest.fixture
async def asked():
    """What can't be asked for its methods, and the task that waits in it."""
    coro = Unaskable()
    job = await Scheduler(exception_handler=Recorder()).spawn(coro)
    await settle()
    coro.is_asked = True
    yield (task := job.task)
    coro.is_asked = False
    task.cancel()
    await settle()
    release(coro)  # a job whose run was closed beside its task has no end


async def test_a_method_that_cannot_be_asked_for_raises(asked):
    with pytest.raises(OSError, match="throw"):
        asked.get_coro().throw(ValueError())


async def test_a_coroutine_whose_close_cannot_be_asked_for_is_over_like_any_other(asked, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(str(unraisable.exc_value)))
    asked.get_coro().close()
    assert told == ["close"]
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        asked.get_coro().send(None)


class AwaitRaises(Waits):
    def __await__(self):
        raise StopIteration("no value")


async def test_a_stop_iteration_out_of_await_ends_the_task_with_an_error():
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(AwaitRaises())
    task = next(task for task in asyncio.all_tasks() if task is not asyncio.current_task())
    await settle()
    assert (job.outcome, task.done()) == ("raised", True)
    assert [repr(error) for error in handler.exceptions] == ["StopIteration('no value')"]
    error = task.exception()
    assert repr(error) == "RuntimeError('coroutine raised StopIteration')"
    assert error.__cause__ is handler.exceptions[0] is error.__context__


class OnlySends:
    """Could be driven, but not by await."""

    def send(self, value):
        raise StopIteration("sent")


@pytest.mark.parametrize(
    ("awaits", "message"),
    [
        (OnlySends, r"__await__\(\) returned non-iterator of type 'OnlySends'"),
        (lambda: None, r"__await__\(\) returned non-iterator of type 'NoneType'"),
    ],
    ids=["sends", "None"],
)
async def test_what_await_refuses_to_drive_is_not_driven(awaits, message):
    class Odd(Waits):
        def __await__(self):
            return awaits()

    job = await Scheduler(exception_handler=Recorder()).spawn(Odd())
    with pytest.raises(TypeError, match=message):
        await job


async def test_a_coroutine_that_await_returns_is_not_driven():
    class Odd(Waits):
        def __await__(self):
            return unbegun

    unbegun = returns()
    job = await Scheduler(exception_handler=Recorder()).spawn(Odd())
    with pytest.raises(TypeError, match=r"__await__\(\) returned a coroutine"):
        await job
    unbegun.close()


async def test_what_is_only_declared_to_be_awaitable_is_not_driven():
    @Coroutine.register
    class Declared:
        def close(self):
            pass

    job = await Scheduler(exception_handler=Recorder()).spawn(Declared())
    with pytest.raises(TypeError, match="object Declared can't be used in 'await' expression"):
        await job


# What may be done to it


async def test_it_runs_until_its_end_is_told():
    seen = []

    def look(loop, coro, **options):
        seen.append((inspect.getcoroutinestate(run), run.cr_running))
        for drive in (run.close, lambda: run.send(None), lambda: run.throw(OSError())):
            with pytest.raises(ValueError, match="coroutine already executing"):
                drive()
        return asyncio.Task(coro, loop=loop, **options)

    loop = asyncio.get_running_loop()
    future = loop.create_future()
    scheduler = Scheduler(limit=1)

    async def body():
        await future

    job = await scheduler.spawn(body())
    following = await scheduler.spawn(forever())
    await settle()
    run = job.task.get_coro()
    loop.set_task_factory(look)
    future.set_result(None)
    await settle()
    loop.set_task_factory(None)
    assert seen == [(inspect.CORO_RUNNING, True)]
    assert job.outcome == "returned"
    await following.close()


class Worse(BaseException):
    """Nobody catches it by the way."""


async def test_an_exception_while_its_end_is_told_is_that_of_its_task():
    def raises():
        raise Worse

    scheduler = Scheduler()
    value = ["value"]
    references = sys.getrefcount(value)
    job = await scheduler.spawn(returns(value))
    task = next(task for task in asyncio.all_tasks() if task is not asyncio.current_task())
    core(scheduler).on_idle = raises
    await settle()
    core(scheduler).on_idle = None
    assert (job.outcome, await job) == ("returned", value)
    assert type(task.exception()) is Worse
    del task
    job = None
    await scheduler.close()
    assert sys.getrefcount(value) == references


NOT_RAISED = [
    ((int,), "exceptions must be classes or instances deriving from BaseException, not type"),
    ((42,), "exceptions must be classes or instances deriving from BaseException, not int"),
    ((OSError(), "a value"), "instance exception may not have a separate value"),
    ((OSError, None, "a traceback"), r"throw\(\) third argument must be a traceback object"),
]


@pytest.mark.filterwarnings("ignore:the .type, exc, tb. signature:DeprecationWarning")
@pytest.mark.parametrize(("args", "message"), NOT_RAISED, ids=["type", "int", "value", "traceback"])
async def test_what_cannot_be_raised_is_not_thrown(args, message):
    scheduler = Scheduler()
    job = await scheduler.spawn(returns("value"))
    task = next(task for task in asyncio.all_tasks() if task is not asyncio.current_task())
    with pytest.raises(TypeError, match=message):
        task.get_coro().throw(*args)
    assert await job == "value"


async def test_what_ends_a_task_has_no_frame_of_what_the_task_runs_but_that_of_the_pure_build():
    job = await Scheduler().spawn(forever())
    await settle()
    task = job.task
    await job.close()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    modules = [entry.frame.f_globals["__name__"] for entry in caught.traceback]
    assert modules.count("aiojobs._run") == (not IS_COMPILED)
    assert modules.count("unit.bodies") == 1


async def test_it_cannot_be_copied():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    await settle()
    with pytest.raises(TypeError, match="cannot pickle"):
        copy.copy(job.task.get_coro())
    await settle()
    assert job.outcome is None
    await job.close()


async def test_a_value_that_it_cannot_take_yet_leaves_it_untouched():
    def sends(loop, coro, **options):
        with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
            coro.send("value")
        states.append(inspect.getcoroutinestate(coro))
        return asyncio.Task(coro, loop=loop, **options)

    states = []
    loop = asyncio.get_running_loop()
    loop.set_task_factory(sends)
    job = await Scheduler().spawn(returns("value"))
    loop.set_task_factory(None)
    assert await job == "value"
    assert states == [inspect.CORO_CREATED]


# What tools see of it


class SaysNothing(Waits):
    @property
    def cr_code(self):
        raise OSError("nobody need ask")

    cr_frame = cr_await = gi_code = gi_frame = cr_code


class SaysAnything(Waits):
    cr_code, cr_frame, cr_origin = "code", "frame", 1


@pytest.mark.parametrize("kind", [SaysNothing, SaysAnything])
async def test_tools_can_look_at_a_task_whatever_its_coroutine_says_of_itself(kind):
    job = await Scheduler().spawn(kind())
    await settle()
    task = job.task
    shown = io.StringIO()
    task.print_stack(file=shown)
    assert f"coro=<{kind.__name__}()" in repr(task)
    assert repr(task) in shown.getvalue()
    assert not any(frame == "frame" for frame in task.get_stack())
    assert type(task.get_coro().cr_origin) in {tuple, type(None)}
    await job.close()
