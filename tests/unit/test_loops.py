"""Every kind of loop and of task factory: the whole story on each, and factories that fail."""

import asyncio
import contextvars
import sys
from contextlib import suppress

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.inside import shields
from support.observing import Recorder
from unit.bodies import Body, Counting, begin, begun, books, fails, forever, is_closed, returns

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")

variable = contextvars.ContextVar("variable", default="nobody")


@pytest.mark.requirement(
    "LIMIT-1", "LIMIT-2", "LIMIT-5", "SPAWN-1", "WAIT-3", "CLOSE-3", "SHUT-1", "EXC-1", "BOOK-1"
)
@EVERYWHERE
async def test_one_long_story_goes_the_same_way_on_every_loop():
    handler, counting = Recorder(), Counting()
    scheduler = Scheduler(limit=2, pending_limit=2, exception_handler=handler, close_timeout=5)
    body, closed_body = Body(), Body()
    jobs = [
        await scheduler.spawn(body.run(), "one"),
        await scheduler.spawn(closed_body.run(), "two"),
        await scheduler.spawn(counting("three"), "three"),
        await scheduler.spawn(fails(KeyError("four")), "four"),
    ]
    calls = [asyncio.create_task(scheduler.spawn(counting(name), name)) for name in ("five", "six", "seven")]
    await settle()
    assert books(scheduler) == (2, 2, 3)
    calls[1].cancel()
    await settle()
    await jobs[1].close()
    await settle()
    assert closed_body.log == ["started", "cancelled", "ended"]
    assert counting.ran == ["three", "five", "seven"]
    assert [type(error) for error in handler.exceptions] == [KeyError]
    assert books(scheduler) == (1, 0, 0)
    last = await scheduler.spawn(forever(), "last")
    body.finish("mine")
    assert await jobs[0] == "mine"
    await scheduler.close()
    with pytest.raises(JobClosed):
        await last
    assert [job.outcome for job in (*jobs, last)] == [
        "returned",
        "cancelled",
        "returned",
        "raised",
        "cancelled",
    ]
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("LIMIT-1")
@pytest.mark.loops("eager", "stock-eager")
async def test_eager_jobs_that_end_at_once_never_exceed_the_limit_and_never_nest():
    scheduler, running, depths = Scheduler(limit=2), [], []

    async def body(number):
        running.append(number)
        assert len(running) <= 2
        depths.append(len(list(_frames())))
        running.remove(number)

    gates = [asyncio.Event() for _ in range(2)]
    for gate in gates:
        await scheduler.spawn(gate.wait())
    jobs = [await scheduler.spawn(body(number)) for number in range(500)]
    for gate in gates:
        gate.set()
    await scheduler.wait_and_close()
    assert [job.outcome for job in jobs] == ["returned"] * 500
    assert max(depths) - min(depths) < 10


def _frames():
    frame = sys._getframe()
    while frame:
        yield frame
        frame = frame.f_back


@pytest.mark.requirement("LIMIT-1", "SPAWN-1", "LIMIT-6")
@pytest.mark.loops("eager", "stock-eager")
async def test_an_eager_job_that_ends_in_its_first_step_has_ended_when_spawn_returns():
    scheduler, counting = Scheduler(limit=1), Counting()
    job = scheduler.spawn_nowait(counting("mine"))
    if counting.ran:  # where tasks are eager; elsewhere it takes a pass
        assert (job.state, job.outcome) == ("done", "returned")
        assert books(scheduler) == (0, 0, 0)
    await job
    await scheduler.close()


@pytest.mark.requirement("LIMIT-1", "LIMIT-5", "BOOK-1")
@EVERYWHERE
async def test_a_job_that_spawns_in_its_first_step_keeps_order_and_limit():
    scheduler, order = Scheduler(limit=2), []

    async def body(depth):
        order.append(depth)
        if depth < 5:
            scheduler.spawn_nowait(body(depth + 1))
        books(scheduler)
        await asyncio.sleep(0)
        books(scheduler)

    await scheduler.spawn(body(0))
    await settle(50)
    assert order == [0, 1, 2, 3, 4, 5]
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("CLOSE-1", "START-1")
@pytest.mark.loops("eager", "stock-eager", "virtual")
async def test_a_job_closed_by_another_in_whose_first_step_it_stands_is_cancelled_at_its_first_wait():
    scheduler, log = Scheduler(), []

    async def inner():
        outer_job = next(job for job in scheduler if job.get_name() == "outer")
        await outer_job.close()
        log.append("inner ended")

    async def outer():
        log.append("outer started")
        await scheduler.spawn(inner())
        try:
            await forever()
        finally:
            log.append("outer cleaned up")

    job = await scheduler.spawn(outer(), "outer")
    await settle()
    assert log == ["outer started", "outer cleaned up", "inner ended"]
    assert job.outcome == "cancelled"
    await scheduler.close()


# Task factories.


@pytest.fixture
def factory_is():
    """Set the task factory of the running loop for the rest of the test."""
    loops = []

    def set_factory(factory):
        loop = asyncio.get_running_loop()
        loops.append((loop, loop.get_task_factory()))
        loop.set_task_factory(factory)

    yield set_factory
    for loop, before in reversed(loops):
        loop.set_task_factory(before)


@pytest.mark.requirement("SPAWN-4", "LIMIT-2")
@pytest.mark.loops(
    "virtual", "stock"
)  # uvloop always gives the context: such a factory serves no task at all there
async def test_a_factory_from_before_there_were_contexts_serves_jobs_of_every_kind(factory_is):
    made = []

    def factory(loop, coro):
        made.append(coro)
        return asyncio.Task(coro, loop=loop)

    async def whoami():
        await asyncio.sleep(0)
        return variable.get()

    scheduler = Scheduler(limit=1, pending_limit=1)
    factory_is(factory)
    context = contextvars.copy_context()
    context.run(variable.set, "ann")
    calls = [
        context.run(asyncio.get_running_loop().create_task, scheduler.spawn(whoami(), f"job {number}"))
        for number in range(3)
    ]
    jobs = [await call for call in calls]
    assert [await job for job in jobs] == ["ann"] * 3
    assert len(made) == 6
    await scheduler.close()


@pytest.mark.requirement("START-1", "SHUT-1", "LIMIT-2")
@pytest.mark.parametrize("how", ["close", "shutdown"])
@EVERYWHERE
async def test_with_a_factory_a_job_that_follows_another_still_takes_its_first_step(factory_is, how):
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        factory_is(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
    scheduler, body, careful = Scheduler(limit=1, close_timeout=5), Body(), Body()
    await scheduler.spawn(body.run())
    await settle()
    follower = await scheduler.spawn(careful.run())
    body.finish()
    for _ in range(20):
        if follower.active:
            break
        await asyncio.sleep(0)
    assert follower.active
    await (follower.close() if how == "close" else scheduler.close())
    assert careful.log == ["started", "cancelled", "ended"]
    await scheduler.close()


def begins_at_once(loop, coro, **options):
    """A task factory of somebody's own, for any version of Python: the first step is taken here and now."""
    if not loop.is_running():  # at the end of a test; since Python 3.14 no task can be entered then
        return asyncio.Task(coro, loop=loop, **options)
    caller = asyncio.current_task(loop)
    rest = _Rest(coro)
    task = asyncio.Task(rest.run(), loop=loop, **options)
    if caller is not None:
        asyncio._leave_task(loop, caller)
    asyncio._enter_task(loop, task)
    try:
        rest.begin(options.get("context") or contextvars.copy_context())
    finally:
        asyncio._leave_task(loop, task)
        if caller is not None:
            asyncio._enter_task(loop, caller)
    return task


class _Rest:
    """The steps of a coroutine after the first, which `begin` has taken."""

    def __init__(self, coro):
        self.coro, self.waits_for, self.ended, self.failure = coro, None, False, None

    def begin(self, context):
        try:
            self.waits_for = context.run(self.coro.send, None)
        except StopIteration:
            self.ended = True
        except BaseException as failure:
            self.failure = failure

    async def run(self):
        if self.failure is not None:
            raise self.failure
        if not self.ended:
            await begun(self.coro, self.waits_for)


@pytest.mark.requirement("LIMIT-1", "START-1", "SPAWN-1", "WAIT-4")
async def test_a_factory_of_somebodys_own_may_begin_tasks_at_once(factory_is):
    scheduler, counting = Scheduler(limit=2, close_timeout=5), Counting()
    factory_is(begins_at_once)
    at_once = await scheduler.spawn(counting("at once"))
    assert (counting.ran, at_once.outcome) == (["at once"], None)
    await at_once
    assert books(scheduler) == (0, 0, 0)

    async def closes_itself():
        job = next(iter(scheduler))
        with pytest.raises(RuntimeError, match="can't close itself"):
            await job.close()
        return "unharmed"

    assert await (await scheduler.spawn(closes_itself())) == "unharmed"
    with pytest.raises(ValueError, match="at once"):
        await (await scheduler.spawn(fails(ValueError("at once"))))
    bodies = [Body() for _ in range(3)]
    jobs = [await scheduler.spawn(body.run()) for body in bodies]
    assert [body.log for body in bodies] == [["started"], ["started"], []]
    bodies[0].finish("first")
    assert await jobs[0] == "first"
    await settle()
    assert bodies[2].log == ["started"]
    await scheduler.close()
    assert [job.outcome for job in jobs] == ["returned", "cancelled", "cancelled"]
    assert [body.cancellations for body in bodies] == [0, 1, 1]


@pytest.mark.requirement("EXC-3", "LIMIT-2", "WAIT-4")
@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt])
def test_a_factory_that_wants_to_exit_for_a_queued_job_does_so_when_the_work_under_way_is_finished(
    steps, interrupt
):
    handler = Recorder()
    scheduler, gate = Scheduler(limit=1, exception_handler=handler), steps.create_future()
    jobs = [steps.run(scheduler.spawn(_until(gate))), *(steps.run(scheduler.spawn(returns())) for _ in "ab")]
    waiting = asyncio.ensure_future(jobs[0].wait())
    steps.settle()

    def exit_once(loop, coro, **options):
        loop.set_task_factory(None)
        raise interrupt("of the factory")

    steps.set_task_factory(exit_once)
    gate.set_result(None)
    with pytest.raises(interrupt, match="of the factory"):
        steps.settle()
    steps.settle()
    assert waiting.done()
    assert [job.outcome for job in jobs] == ["returned", "raised", "returned"]
    assert handler.exceptions == [jobs[1].exception()]
    steps.run(scheduler.close())


class NoTask(Exception):  # noqa: N818
    pass


def failing(loop, coro, **options):
    raise NoTask


@pytest.mark.requirement("SPAWN-1", "LIMIT-6", "EXC-1")
@pytest.mark.parametrize("nowait", [False, True])
@EVERYWHERE
async def test_a_spawn_whose_task_cannot_be_made_raises_the_reason_and_leaves_nothing_behind(
    factory_is, nowait
):
    handler = Recorder()
    scheduler, coro = Scheduler(limit=1, exception_handler=handler), returns()
    factory_is(failing)
    with pytest.raises(NoTask):
        if nowait:
            scheduler.spawn_nowait(coro)
        else:
            await scheduler.spawn(coro)
    factory_is(None)
    assert is_closed(coro)
    assert books(scheduler) == (0, 0, 0)
    assert handler.calls == []
    assert await (await scheduler.spawn(returns("next"))) == "next"


@pytest.mark.requirement("SPAWN-1", "LIMIT-2", "LIMIT-6")
def test_a_blocked_spawn_whose_task_cannot_be_made_raises_the_reason_and_the_next_one_starts(steps):
    handler, gate = Recorder(), steps.create_future()
    scheduler, coro = Scheduler(limit=2, pending_limit=1, exception_handler=handler), returns()

    async def fill():
        for _ in range(2):
            await scheduler.spawn(asyncio.wait([gate]))
        await scheduler.spawn(forever())

    steps.run(fill())
    call = asyncio.ensure_future(scheduler.spawn(coro, "mine"))
    other = asyncio.ensure_future(scheduler.spawn(returns("other")))
    steps.settle()
    gate.set_result(None)
    steps.turn_until(lambda: any(job.active and job.get_name() == "mine" for job in scheduler))
    (job,) = [job for job in scheduler if job.get_name() == "mine"]
    waiter = begin(job.wait())

    def fail_once(loop, coro, **options):
        loop.set_task_factory(None)
        raise NoTask

    steps.set_task_factory(fail_once)
    steps.settle()
    assert isinstance(call.exception(), NoTask)
    assert is_closed(coro)
    assert job.outcome == "raised"
    assert waiter.exception() is call.exception()
    assert other.result().result() == "other"
    assert handler.calls == []
    steps.run(scheduler.close())
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("LIMIT-2", "LIMIT-6", "EXC-1")
def test_a_queued_job_whose_task_cannot_be_made_fails_while_a_blocked_spawn_is_let_in(steps):
    handler, gate = Recorder(), steps.create_future()
    scheduler = Scheduler(limit=1, pending_limit=2, exception_handler=handler)

    async def fill():
        await scheduler.spawn(_until(gate))
        return [await scheduler.spawn(returns(name)) for name in ("failed", "withdrawn")]

    failed, withdrawn = steps.run(fill())
    call = asyncio.ensure_future(scheduler.spawn(returns("let in")))
    steps.settle()

    def fail_once(loop, coro, **options):
        loop.set_task_factory(None)
        raise NoTask

    gate.set_result(None)
    closing = begin(withdrawn.close())
    steps.set_task_factory(fail_once)
    steps.settle()
    assert closing.done()
    assert (failed.outcome, withdrawn.outcome) == ("raised", "never_started")
    assert [type(error) for error in handler.exceptions] == [NoTask]
    assert call.result().result() == "let in"
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("LIMIT-2", "LIMIT-6", "EXC-1")
@EVERYWHERE
async def test_queued_jobs_whose_tasks_cannot_be_made_fail_one_by_one_and_the_scheduler_goes_on(factory_is):
    handler = Recorder()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    gate = asyncio.get_running_loop().create_future()
    await scheduler.spawn(_until(gate))
    coros = [returns(number) for number in range(300)]
    jobs = [await scheduler.spawn(coro) for coro in coros]
    factory_is(failing)
    gate.set_result(None)
    await settle(700)
    factory_is(None)
    assert all(map(is_closed, coros))
    assert [job.outcome for job in jobs] == ["raised"] * 300
    assert [context["job"] for context in handler.calls] == jobs
    assert books(scheduler) == (0, 0, 0)
    assert await (await scheduler.spawn(returns("next"))) == "next"


async def _until(future):
    await future


@pytest.mark.requirement("LIMIT-2", "SPAWN-1")
async def test_a_factory_without_context_that_fails_fails_only_that_job(factory_is):
    handler = Recorder()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    await scheduler.spawn(asyncio.sleep(1))
    queued = await scheduler.spawn(returns())

    def factory(loop, coro):
        raise NoTask

    factory_is(factory)
    await asyncio.sleep(2)
    factory_is(None)
    assert queued.outcome == "raised"
    assert [type(error) for error in handler.exceptions] == [NoTask]


@pytest.mark.requirement("SPAWN-1")
async def test_a_replaced_create_task_that_takes_no_context_is_called_in_it(monkeypatch):
    handler, loop = Recorder(), asyncio.get_running_loop()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    await scheduler.spawn(asyncio.sleep(1))
    queued = await scheduler.spawn(returns())
    create_task, tries = loop.create_task, []

    def refuse(coro, **options):
        if "context" in options:
            tries.append(coro)
            raise TypeError("not today")
        return create_task(coro, **options)

    monkeypatch.setattr(loop, "create_task", refuse)
    await asyncio.sleep(2)
    assert (queued.outcome, len(tries)) == ("returned", 1)
    assert handler.exceptions == []


@pytest.mark.requirement("SPAWN-3")
async def test_tasks_are_named_like_jobs_and_look_like_their_coroutines():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever(), "mine")
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "mine"]
    assert "coro=<forever()" in repr(task)
    await job.close()


@pytest.mark.requirement("CLOSE-1", "WAIT-3")
@EVERYWHERE
async def test_a_task_ends_as_tasks_do_cancelled_if_its_job_was_stopped():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever(), "mine")
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "mine"]
    await job.close()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.requirement("LIMIT-1", "BOOK-1")
def test_schedulers_of_two_loops_do_not_know_each_other():
    async def story():
        scheduler = Scheduler(limit=1)
        jobs = [await scheduler.spawn(returns(number)) for number in range(3)]
        answers = [await job for job in jobs]
        await scheduler.close()
        return answers

    assert asyncio.run(story()) == asyncio.run(story()) == [0, 1, 2]


@pytest.mark.requirement("SHUT-2")
async def test_a_shielded_coroutine_whose_task_factory_closes_the_scheduler_is_stopped_too(factory_is):
    scheduler = Scheduler()

    def closes_first(loop, coro, **kwargs):
        loop.set_task_factory(None)
        with suppress(StopIteration):
            scheduler.close().send(None)
        return asyncio.Task(coro, loop=loop, **kwargs)

    factory_is(closes_first)
    outer = scheduler.shield(asyncio.sleep(1000))
    with pytest.raises(asyncio.CancelledError):
        await outer
    assert (scheduler.phase, len(shields(scheduler).inners)) == ("closed", 0)


@pytest.mark.requirement("EXC-1", "LIMIT-2", "LIMIT-6")
async def test_a_long_queue_of_jobs_whose_tasks_the_loop_cannot_make_fails_to_the_last(monkeypatch):
    handler, loop = Recorder(), asyncio.get_running_loop()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    blocker = await scheduler.spawn(forever())
    jobs = [await scheduler.spawn(returns()) for _ in range(1000)]

    def fails_always(coro, **_):
        raise OSError("no task today")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "create_task", fails_always)
        await blocker.close()
        await settle(5000)
    assert len(scheduler) == 0
    assert [context["job"] for context in handler.calls] == jobs
    assert {type(job.exception()) for job in jobs} == {OSError}


@pytest.mark.requirement("SPAWN-1", "LIMIT-6")
async def test_a_factory_that_ends_a_job_and_then_raises_is_told_so_and_leaves_the_books_right(factory_is):
    scheduler = Scheduler(limit=1)

    def runs_and_raises(loop, coro, **kwargs):
        begins_at_once(loop, coro, **kwargs)
        raise OSError("after all")

    factory_is(runs_and_raises)
    with pytest.raises(OSError, match="after all"):
        await scheduler.spawn(returns())
    assert books(scheduler) == (0, 0, 0)
    factory_is(None)
    assert await (await scheduler.spawn(returns("next"))) == "next"
