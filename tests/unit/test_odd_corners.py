"""What hardly ever happens to a job, and still has to come right (START-3, BOOK-4)."""

import asyncio
import contextvars
import functools
import inspect
import subprocess
import sys

import pytest

from aiojobs import Scheduler, _calling, _core, _launching, _ownership, _steps, _tasks
from aiojobs.testing import settle
from support.builds import replaces_what_is_compiled
from support.inside import closing, following
from support.observing import Complaints, Recorder
from unit.bodies import Body, Exotic, books, fails, forever, is_closed, returns
from unit.factories import for_jobs, plain

pytestmark = pytest.mark.requirement("START-3", "BOOK-4")


@pytest.fixture
async def factory():
    loop = asyncio.get_running_loop()
    yield lambda make: loop.set_task_factory(for_jobs(make))
    loop.set_task_factory(None)


# Coroutines that were begun


class Compiled:
    """What a compiler makes of a coroutine function: it says of itself what Python's own say."""

    cr_running, cr_await, cr_code = False, None, "code"

    def send(self, value):
        raise StopIteration("ran")

    throw = close = __await__ = send


class Unwilling(Compiled):
    @property
    def cr_running(self):
        raise OSError("nobody knows")


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize(
    ("attributes", "begun"),
    [({}, False), ({"cr_running": True}, True), ({"cr_await": "something"}, True), ({"cr_code": None}, True)],
)
def test_what_a_compiled_coroutine_says_of_itself_is_believed(attributes, begun):
    coro = Compiled()
    vars(coro).update(attributes)
    assert _ownership._has_begun(coro) is begun


@pytest.mark.requirement("SPAWN-3")
def test_what_does_not_say_whether_it_has_begun_is_taken():
    assert _ownership._has_begun(Unwilling()) is False


# Tasks that are made in odd ways


async def test_a_task_that_goes_on_with_a_coroutine_begun_on_the_spot_drives_it(factory):
    steps = []

    async def job():
        steps.append("first")
        await asyncio.sleep(0)
        steps.append("second")
        await asyncio.sleep(0)
        return "third"

    def begins(loop, coro, **options):
        coro.send(None)
        return asyncio.Task(coro, loop=loop, **options)

    factory(begins)
    scheduler = Scheduler(limit=1)
    first = await scheduler.spawn(job())
    assert steps == ["first"]
    assert following(scheduler).jobs == {}
    assert await first == "third"
    body = Body()
    factory(plain)
    second = await scheduler.spawn(body.run())
    await second.close()
    assert (second.outcome, books(scheduler)) == ("cancelled", (0, 0, 0))


@pytest.mark.requirement("EXC-1")
@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("coro", ["returns", "fails"])
async def test_a_coroutine_that_ended_before_the_factory_failed_has_ended_as_it_did(factory, queued, coro):
    handler = Recorder()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    factory(plain)
    first = await scheduler.spawn(forever())

    def begins_and_fails(loop, coro, **_):
        try:
            coro.send(None)
        except StopIteration:
            raise OSError("no task after all") from None

    factory(begins_and_fails)
    made = returns("done before") if coro == "returns" else fails(ValueError("before"))
    if queued:
        job = await scheduler.spawn(made)
        await first.close()
        await settle()
        assert job.outcome == ("returned" if coro == "returns" else "raised")
    else:
        await first.close()
        with pytest.raises(OSError if coro == "returns" else ValueError):
            await scheduler.spawn(made)
    assert len(handler.calls) == (queued and coro == "fails")
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("SHUT-1", "CLOSE-1")
async def test_closing_that_begins_when_a_coroutine_has_ended_and_its_task_is_being_made(factory):
    scheduler = Scheduler(close_timeout=5)

    def ends_and_closes(loop, coro, **_):
        ended = loop.create_future()
        try:
            coro.send(None)
        except StopIteration as end:
            ended.set_result(end.value)
        closing(scheduler)._begin()
        return ended

    factory(ends_and_closes)
    job = await scheduler.spawn(returns("in time"))
    assert (job.state, job.result()) == ("closed", "in time")
    await scheduler.close()
    assert scheduler.phase == "closed"


def test_a_job_begun_on_the_spot_outside_of_every_task_is_stopped_like_any_other(steps):
    body = Body()

    def begins(loop, coro, **options):
        waits_for = coro.send(None)

        async def rest():
            try:
                await waits_for
            except asyncio.CancelledError as cancelled:
                try:
                    coro.throw(cancelled)
                except StopIteration as end:
                    return end.value

        waits_for._asyncio_future_blocking = False
        return asyncio.Task(rest(), loop=loop, **options)

    steps.set_task_factory(for_jobs(begins))
    scheduler = Scheduler(close_timeout=5)
    steps.call_soon(lambda: spawned.append(scheduler.spawn_nowait(body.run())))
    spawned = []
    steps.settle()
    closing = asyncio.ensure_future(scheduler.close())
    steps.settle()
    steps.set_task_factory(None)
    assert closing.done()
    assert (spawned[0].outcome, body.cancellations) == ("cancelled", 1)


async def test_what_is_thrown_in_beside_the_task_ends_the_job_before_its_first_step():
    handler = Recorder()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    coro = returns()
    job = await scheduler.spawn(coro)
    (task,) = (task for task in asyncio.all_tasks() if task is not asyncio.current_task())
    with Complaints(), pytest.raises(OSError, match="in between"):
        task.get_coro().throw(OSError("in between"))
    await settle()
    assert (job.outcome, is_closed(coro)) == ("raised", True)
    assert [str(error) for error in handler.exceptions] == ["in between"]
    assert books(scheduler) == (0, 0, 0)


async def test_a_loop_without_factories_serves_jobs(monkeypatch):
    def none():
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "get_task_factory", none)
    scheduler = Scheduler(limit=1)
    jobs = [await scheduler.spawn(returns(number)) for number in range(3)]
    assert [await job for job in jobs] == [0, 1, 2]


@pytest.mark.requirement("LIMIT-2", "EXC-1")
async def test_a_loop_that_calls_nothing_soon_loses_no_failure(monkeypatch):
    handler, loop = Recorder(), asyncio.get_running_loop()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    call_soon, refused = loop.call_soon, {"see_failure", "_failed"}

    def refuse(callback, *args, **options):
        if getattr(callback, "__name__", "") in refused:
            raise RuntimeError("Event loop is closed")
        return call_soon(callback, *args, **options)

    monkeypatch.setattr(loop, "call_soon", refuse)
    failing = await scheduler.spawn(fails(ValueError("first")))
    queued = await scheduler.spawn(returns())
    last = await scheduler.spawn(returns("last"))

    def no_task(coro, **options):
        monkeypatch.undo()
        monkeypatch.setattr(loop, "call_soon", refuse)
        raise OSError("no task")

    monkeypatch.setattr(loop, "create_task", no_task)
    await settle()
    assert [str(error) for error in handler.exceptions] == ["no task", "first"]
    assert (failing.outcome, queued.outcome, last.outcome) == ("raised", "raised", "returned")


@pytest.mark.requirement("SPAWN-1", "LIMIT-4")
async def test_a_call_that_can_get_no_place_leaves_nothing_behind(monkeypatch):
    scheduler = Scheduler(limit=1, pending_limit=1)
    jobs = [await scheduler.spawn(forever()) for _ in range(2)]
    coro = returns()

    def refuse():
        raise OSError("no more futures")

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "create_future", refuse)
        with pytest.raises(OSError, match="no more futures"):
            await scheduler.spawn(coro)
    assert is_closed(coro)
    assert books(scheduler) == (1, 1, 0)
    await scheduler.close()
    assert [job.outcome for job in jobs] == ["cancelled", "never_started"]


@pytest.mark.requirement("WAIT-4")
async def test_a_waiter_that_cannot_be_woken_keeps_no_other_asleep(monkeypatch):
    class Broken(asyncio.Future):
        def set_result(self, result):
            super().set_result(result)
            raise OSError("not heard")

    loop, scheduler, body = asyncio.get_running_loop(), Scheduler(), Body()
    job = await scheduler.spawn(body.run())
    await settle(2)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "create_future", lambda: Broken(loop=loop))
        waiters = [asyncio.ensure_future(job.wait()) for _ in range(2)]
        await settle(2)
    with Complaints() as complaints:
        body.finish("heard")
        assert await asyncio.gather(*waiters) == ["heard", "heard"]
    assert [str(complaint["exception"]) for complaint in complaints.calls] == ["not heard"] * 2


@pytest.mark.requirement("SPAWN-1")
async def test_a_blocked_caller_whose_job_ended_while_its_task_was_made_is_told_what_that_raised(monkeypatch):
    scheduler, bodies = Scheduler(limit=2, pending_limit=1), [Body(), Body()]
    for body in bodies:
        await scheduler.spawn(body.run())
    pending = await scheduler.spawn(forever())
    call = asyncio.ensure_future(scheduler.spawn(returns("done before")))
    await settle()

    create_task = asyncio.get_running_loop().create_task

    def begins_and_fails(coro, **options):
        if pending.task is None:
            return create_task(coro, **options)
        with pytest.raises(StopIteration):
            coro.send(None)
        raise OSError("no task after all")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_task", begins_and_fails)
    for body in bodies:
        body.finish()
    with pytest.raises(OSError, match="no task after all"):
        await call
    assert books(scheduler) == (1, 0, 0)
    await scheduler.close()


async def test_a_name_that_cannot_be_asked_for_is_shown_as_that(factory):
    class Anonymous(asyncio.Task):
        def get_name(self):
            raise OSError("no names")

    factory(lambda loop, coro, **options: Anonymous(coro, loop=loop, **options))
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    assert "name='<get_name raised OSError>'" in repr(job)
    with Complaints() as complaints:
        await scheduler.close()
    assert [str(complaint["exception"]) for complaint in complaints.calls] == ["no names"]


def complaining_about(event, stop):
    """An observer that raises when told of an event, and the loop's handler for it, which calls back."""
    told = []

    def observer(record):
        if record.event == event and not told:
            told.append(record.job)
            raise LookupError(event)

    asyncio.get_running_loop().set_exception_handler(lambda *_: stop(told[0]))
    return observer


async def test_a_job_that_is_stopped_before_it_has_a_task_takes_its_first_step_and_stops():
    closing = []

    def stop(job):
        closing.append(job.close())
        closing[-1].send(None)

    scheduler = Scheduler(observer=complaining_about("start", stop), close_timeout=5)
    body = Body()
    job = await scheduler.spawn(body.run())
    await settle()
    closing[0].close()
    asyncio.get_running_loop().complaints.clear()
    assert (job.outcome, body.log) == ("cancelled", ["started", "cancelled", "ended"])


async def test_a_job_whose_scheduler_is_closed_when_it_is_accepted_stops():
    closing = []

    def stop(_job):
        closing.append(scheduler.close())
        closing[-1].send(None)

    scheduler = Scheduler(limit=1, observer=complaining_about("accept", stop), close_timeout=5)
    body = Body()
    job = await scheduler.spawn(body.run())
    await settle()
    asyncio.get_running_loop().complaints.clear()
    assert (job.outcome, scheduler.phase) == ("cancelled", "closed")
    assert body.cancellations == 1


# Pieces


def test_a_task_that_is_done_is_not_asked_for_its_coroutine_where_that_crashes():
    async def main():
        task = asyncio.ensure_future(returns())
        assert _calling.coro_of(task) is task.get_coro()
        await task
        assert _calling.coro_of(task) is None
        assert _tasks.drives(task, None) is False

    asyncio.run(main())
    assert ((3, 12) <= sys.version_info < (3, 12, 5)) is _calling.CRASHES


def test_a_context_that_is_entered_is_seen_to_be():
    context = contextvars.copy_context()
    assert _tasks.is_within(context) is False
    assert context.run(_tasks.is_within, context) is True


@pytest.mark.loops("virtual", "stock", "uvloop")
async def test_the_loops_own_create_task_is_taken_for_that():
    assert _calling.is_replaced(asyncio.get_running_loop()) is False


async def test_a_create_task_that_was_replaced_or_rewritten_is_told_from_the_loops_own(monkeypatch):
    loop = asyncio.get_running_loop()
    assert _calling.is_replaced(loop) is False

    class Wrapping:
        def __call__(self, *args, **options):
            """As a tracing tool does."""

    with monkeypatch.context() as patch:
        patch.setattr(loop, "create_task", Wrapping())
        assert _calling.is_replaced(loop) is True
    with monkeypatch.context() as patch:
        patch.setattr(type(loop), "create_task", lambda *_, **__: None)
        assert _calling.is_replaced(loop) is True
    with monkeypatch.context() as patch:
        patch.setattr(
            type(loop), "create_task", functools.wraps(type(loop).create_task)(lambda *_, **__: None)
        )
        assert _calling.is_replaced(loop) is True
    create_task = type(loop).create_task
    before = create_task.__code__
    rewritten = before.replace(co_consts=(*before.co_consts, Wrapping()))
    create_task.__code__ = rewritten
    try:
        assert _calling.is_replaced(loop) is True
    finally:
        create_task.__code__ = before


def is_untouched(coro):
    return inspect.getcoroutinestate(coro) == inspect.CORO_CREATED


async def test_a_replaced_create_task_that_fails_when_it_has_begun_is_not_called_again(monkeypatch):
    loop, context, calls = asyncio.get_running_loop(), contextvars.copy_context(), []

    async def job():
        """Nothing to do."""

    def begins_and_fails(coro, **_):
        calls.append(coro)
        coro.close()
        raise RuntimeError("no more")

    monkeypatch.setattr(loop, "create_task", begins_and_fails)
    with pytest.raises(RuntimeError, match="no more"):
        _tasks.create_inside(loop, job(), None, context, is_untouched)
    with pytest.raises(TypeError, match="at first"):
        _tasks.create_plainly(loop, calls[0], "name", context, TypeError("at first"), is_untouched)
    assert len(calls) == 1
    monkeypatch.undo()
    task = context.run(_tasks.create_inside, loop, job(), "name", context, is_untouched)
    assert (task.get_name(), await task) == ("name", None)


@pytest.mark.requirement("START-1", "CLOSE-1")
async def test_a_job_that_takes_its_one_cancellation_for_a_reason_to_return_has_returned():
    async def returns_when_told():
        try:
            await forever()
        except asyncio.CancelledError:
            return "told"

    async def goes_on():
        try:
            await forever()
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            return "later"

    scheduler = Scheduler(close_timeout=5)
    jobs = [await scheduler.spawn(returns_when_told()), await scheduler.spawn(goes_on())]
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()  # before its first step
    assert [await job for job in jobs] == ["told", "later"]


@pytest.mark.requirement("SPAWN-1")
async def test_a_type_error_of_a_create_task_that_was_given_nothing_to_refuse_is_told(monkeypatch):
    def refuse(_):
        raise TypeError("not today")

    scheduler = Scheduler()
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "create_task", refuse)
        with pytest.raises(TypeError, match="not today"):
            await scheduler.spawn(returns())
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("SPAWN-4", "LIMIT-5")
async def test_a_job_that_finds_a_slot_behind_others_that_are_about_to_begin_keeps_its_context(factory):
    factory(plain)
    variable, seen = contextvars.ContextVar("variable"), []
    scheduler, bodies = Scheduler(limit=2), [Body(), Body()]

    async def note(name):
        seen.append((name, variable.get()))

    def spawn_late():
        variable.set("late")
        scheduler.spawn_nowait(note("second"))

    for body in bodies:
        await scheduler.spawn(body.run())
    variable.set("early")
    await scheduler.spawn(note("first"))
    await settle()
    for body in bodies:
        body.finish()
    for _ in range(3):
        asyncio.get_running_loop().call_soon(spawn_late)
        await asyncio.sleep(0)
    await scheduler.wait_and_close()
    assert seen == [("first", "early"), *[("second", "late")] * 3]


@pytest.mark.requirement("LIMIT-4", "SPAWN-1")
async def test_a_blocked_caller_that_is_cancelled_in_the_pass_of_a_return_is_let_go():
    scheduler, body = Scheduler(limit=1, pending_limit=1), Body()
    await scheduler.spawn(body.run())
    pending = await scheduler.spawn(returns("next"))
    coro = returns()
    call = asyncio.ensure_future(scheduler.spawn(coro))
    await settle()
    body.finish()
    await asyncio.sleep(0)
    call.cancel()
    assert await pending == "next"
    assert (call.cancelled(), is_closed(coro), books(scheduler)) == (True, True, (0, 0, 0))


async def test_a_create_task_that_refuses_every_keyword_and_none_is_given_up():
    async def job():
        """Never run."""

    calls = []

    class Refusing:
        @staticmethod
        def create_task(_, **options):
            calls.append(sorted(options))
            raise TypeError(f"refused {len(calls)}")

    coro = job()
    with pytest.raises(TypeError, match="refused 3"):
        _tasks.create_plainly(
            Refusing, coro, "name", contextvars.copy_context(), TypeError("at first"), is_untouched
        )
    assert calls == [["context"], ["name"], []]
    coro.close()


@pytest.mark.requirement("SPAWN-1")
@replaces_what_is_compiled
async def test_a_job_whose_own_coroutine_cannot_be_made_keeps_no_slot(monkeypatch):
    def no_room(*_):
        raise MemoryError("no room")

    scheduler, coro = Scheduler(limit=1), returns()
    with monkeypatch.context() as patch:
        patch.setattr(_launching, "make_run", no_room)
        with pytest.raises(MemoryError, match="no room"):
            await scheduler.spawn(coro)
    assert is_closed(coro)
    assert await (await scheduler.spawn(returns("next"))) == "next"


async def test_of_what_is_no_task_or_was_cancelled_no_exception_is_received():
    _steps._receive_later(None)
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    _steps._receive(cancelled)


def test_outside_of_every_task_there_is_none_to_cancel(steps):
    steps.call_soon(_tasks.cancel_current, None)
    steps.settle()
    assert _calling.name_of(object()) is None


def test_what_nobody_can_be_told_goes_to_the_interpreter(monkeypatch):
    unraisable, loop = [], asyncio.new_event_loop()
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    def leave(*_):
        raise SystemExit("enough")

    loop.set_exception_handler(leave)
    loop.call_soon(_calling.call_out, loop, "a test", fails_at_once, ValueError("told to the handler"))
    with pytest.raises(SystemExit, match="enough"):
        loop.run_forever()
    loop.close()
    assert unraisable == []
    _calling.call_out(loop, "a test", fails_at_once, KeyboardInterrupt("the loop is closed"))
    assert [str(one.exc_value) for one in unraisable] == ["the loop is closed"]


def fails_at_once(error):
    raise error


@replaces_what_is_compiled
def test_a_stack_without_room_for_anything_keeps_no_slot(steps, monkeypatch):
    """What a spawn falls back on when not even giving up the job has room; see test_foreign_code for the sweep."""
    scheduler = Scheduler(limit=1)

    def deep(*_, **__):
        raise RecursionError("too deep")

    coro = returns()
    with monkeypatch.context() as patch:
        patch.setattr(_launching.Launching, "_not_launched", deep)
        patch.setattr(_core.Core, "ended", deep)
        patch.setattr(steps, "create_task", deep)
        with pytest.raises(RecursionError, match="too deep"):
            scheduler.spawn_nowait(coro)
    assert is_closed(coro)
    assert books(scheduler) == (0, 0, 0)
    assert steps.run(steps.run(scheduler.spawn(returns("after"))).wait()) == "after"


@pytest.mark.requirement("SPAWN-4", "START-1")
async def test_a_job_in_a_context_that_is_entered_waits_until_it_is_free_where_tasks_may_begin_at_once(
    factory,
):
    factory(plain)
    context, variable = contextvars.copy_context(), contextvars.ContextVar("variable")
    context.run(variable.set, "mine")
    scheduler = Scheduler()

    async def job():
        return variable.get()

    spawned = context.run(lambda: scheduler.spawn_nowait(job(), context=context))
    assert (spawned.state, spawned.task) == ("active", None)
    assert await spawned == "mine"


LEFT_TO_THE_END = f"""
import asyncio
from collections.abc import Coroutine

from aiojobs import Scheduler
from aiojobs.lanes import Lanes
from aiojobs.testing import settle


{inspect.getsource(Exotic)}

async def returns():
    pass


async def main():
    heard = []
    scheduler = Scheduler(limit=1, exception_handler=lambda scheduler, context: heard.append(context))
    await scheduler.spawn(asyncio.sleep(1))
    error = OSError("objects")

    class Objecting(Exotic):
        def close(self):
            raise error

    objecting = Objecting(returns())
    lanes = Lanes(scheduler)
    lanes.spawn_nowait("a", objecting)
    lanes.spawn_nowait("b", returns())
    await settle()
    await scheduler.close()
    print(len(heard))
    objecting.coro.close()


asyncio.run(main())
"""


@pytest.mark.requirement("BOOK-3")
def test_a_scheduler_that_is_freed_when_the_interpreter_ends_says_nothing():
    """Its module's variables are gone by then: the compiled build printed "Error in sys.excepthook"."""
    ended = subprocess.run(
        [sys.executable, "-c", LEFT_TO_THE_END], capture_output=True, text=True, check=True
    )
    assert (ended.stdout, "Error" in ended.stderr) == ("1\n", False), ended.stderr
