"""Whatever a loop makes of the coroutine that a job gives it, the job ends when its task ends (START-3, EXC-5)."""

import asyncio
import contextvars
import gc
import sys
from functools import partial

import pytest

from aiojobs import JobClosed, Scheduler
from aiojobs.testing import settle
from support.loops import StrictLoop
from support.observing import Complaints, Recorder
from unit import factories
from unit.bodies import Body, Counting, Exotic, books, fails, forever, is_closed, returns

# What a loop of its own makes of tasks and contexts counts here; those with real time sleep for milliseconds.
pytestmark = pytest.mark.loops("virtual", "stock", "uvloop")

REQUEST = contextvars.ContextVar("request", default="none")


NAMELESS = {factories.no_task, factories.at_once, factories.drops, factories.closes, factories.none}


def names_whatever_a_factory_makes(loop):
    """Whether the loop calls `set_name` even if no name was given, as that of CPython 3.13.0 does."""
    kind = type(loop)
    if not issubclass(kind, asyncio.BaseEventLoop):
        return False
    other, coro = kind(), asyncio.sleep(0)
    other.set_task_factory(lambda _loop, _coro, **_: object())
    try:
        other.create_task(coro)
    except AttributeError:
        return True
    finally:
        other.close()
        coro.close()
    return False


class Making:
    """Sets a kind of task factory for the jobs of a test, or puts it in the place of `create_task`.

    `made` has the tasks that it gave for jobs, in order. Other coroutines get plain tasks.
    """

    def __init__(self, loop, how):
        self.loop, self.how, self.made = loop, how, []

    def by(self, kind):
        picky = kind in {factories.old_fashioned, factories.no_name}
        if picky and self.how == "factory" and "uvloop" in type(self.loop).__module__:
            pytest.skip("uvloop gives every keyword to a factory: such a one serves no task at all there")

        if kind in NAMELESS and self.how == "factory" and names_whatever_a_factory_makes(self.loop):
            pytest.skip(
                "this asyncio calls set_name of whatever a factory makes: what has none serves no task"
            )

        def make(loop, coro, **options):
            self.made.append(kind(loop, coro, **options))
            return self.made[-1]

        factory = factories.for_jobs(make)
        if self.how == "factory":
            self.loop.set_task_factory(factory)
        else:
            self.loop.create_task = partial(factory, self.loop)

    def stop(self):
        self.loop.set_task_factory(None)
        self.loop.__dict__.pop("create_task", None)


@pytest.fixture(params=["factory", "replaced"])
async def making(request):
    making = Making(asyncio.get_running_loop(), request.param)
    yield making
    making.stop()


def named(kind):
    return kind.__name__


faithful = pytest.mark.parametrize("kind", factories.FAITHFUL, ids=named)
unfaithful = pytest.mark.parametrize("kind", factories.UNFAITHFUL, ids=named)


@faithful
@pytest.mark.requirement("START-3", "LIMIT-1", "LIMIT-2", "LIMIT-5", "EXC-1", "WAIT-4")
async def test_jobs_run_in_turn_and_every_end_is_accounted_for(making, kind):
    handler, counting = Recorder(), Counting()
    making.by(kind)
    scheduler = Scheduler(limit=1, exception_handler=handler)
    first = await scheduler.spawn(counting("first", 0.02))
    second = await scheduler.spawn(counting("second"))
    lost = await scheduler.spawn(fails(ValueError("lost")))
    caught = await scheduler.spawn(fails(KeyError("caught")))
    last = await scheduler.spawn(returns("last"))
    with pytest.raises(KeyError, match="caught"):
        await caught
    assert (await first, await second, await last) == (None, None, "last")
    assert counting.ran == ["first", "second"]
    assert [job.outcome for job in (first, second, lost, caught, last)] == [
        "returned",
        "returned",
        "raised",
        "raised",
        "returned",
    ]
    assert [str(error) for error in handler.exceptions] == ["lost"]
    assert books(scheduler) == (0, 0, 0)


@faithful
@pytest.mark.requirement("START-3", "START-1", "CLOSE-1", "CLOSE-3", "LIMIT-6")
async def test_a_job_is_stopped_by_one_cancellation_whenever_that_comes(making, kind):
    making.by(kind)
    scheduler = Scheduler(limit=1, close_timeout=5)
    bodies = [Body(), Body()]
    at_once = await scheduler.spawn(bodies[0].run())
    waiter = asyncio.ensure_future(at_once.wait())
    await at_once.close()
    later = await scheduler.spawn(bodies[1].run())
    await asyncio.sleep(0.02)
    await later.close()
    with pytest.raises(JobClosed):
        await waiter
    assert bodies[1].log == ["started", "cancelled", "ended"]
    # Where the wrapper awaits something else first, the cancellation finds it there and the job never begins;
    # and who takes a first step without a task has a task that was cancelled before its own.
    assert bodies[0].log in ([], ["started"] if kind is factories.at_once else [], bodies[1].log)
    assert (at_once.outcome, later.outcome) == ("cancelled", "cancelled")
    assert books(scheduler) == (0, 0, 0)


@faithful
@pytest.mark.requirement("START-3", "START-1", "EXC-5")
async def test_who_ends_in_its_first_step_keeps_its_result_for_all_that_was_asked_of_it(making, kind):
    making.by(kind)
    scheduler = Scheduler(close_timeout=5)
    job = await scheduler.spawn(returns("kept"))
    closing = asyncio.ensure_future(job.close())
    await closing
    if kind is factories.wraps_late:
        assert job.outcome == "cancelled"
    else:
        assert job.result() == "kept"
    assert books(scheduler) == (0, 0, 0)


@faithful
@pytest.mark.requirement("START-3", "SHUT-1", "SHUT-2", "SHUT-4", "START-2")
async def test_a_scheduler_drains_and_closes_whatever_its_tasks_are(making, kind):
    making.by(kind)
    scheduler, counting = Scheduler(limit=2, close_timeout=5), Counting()
    for number in range(4):
        await scheduler.spawn(counting(number, 0.02))
    await scheduler.wait_and_close()
    assert (counting.ran, books(scheduler)) == ([0, 1, 2, 3], (0, 0, 0))
    scheduler = Scheduler(limit=1, close_timeout=5)
    body = Body()
    running, pending = await scheduler.spawn(body.run()), await scheduler.spawn(returns())
    await asyncio.sleep(0.02)
    await scheduler.close()
    assert (running.outcome, pending.outcome) == ("cancelled", "never_started")
    assert (body.cancellations, books(scheduler)) == (1, (0, 0, 0))


@faithful
@pytest.mark.requirement("START-3", "SPAWN-4")
async def test_a_job_runs_in_the_context_of_its_spawner(making, kind):
    if kind in {factories.inner_task, factories.at_once}:
        pytest.skip("it takes the context of whoever it is called by, which no job can help")
    making.by(kind)
    scheduler, seen = Scheduler(limit=1), []

    async def note():
        seen.append(REQUEST.get())

    async def requested(request):
        REQUEST.set(request)
        return await scheduler.spawn(note())

    for request in ("one", "two", "three"):
        await asyncio.ensure_future(requested(request))
    await scheduler.wait_and_close()
    assert seen == ["one", "two", "three"]


@faithful
@pytest.mark.requirement("EXC-5", "EXC-1")
async def test_tasks_say_of_their_jobs_what_is_so(making, kind):
    handler = Recorder()
    making.by(kind)
    scheduler = Scheduler(exception_handler=handler)
    with Complaints() as complaints:
        await scheduler.spawn(returns("true"))
        await scheduler.spawn(fails(ValueError("true")))
        await scheduler.wait_and_close()
        returned, failed = making.made
        assert returned.result() == "true"
        assert str(failed.exception()) == "true"
        making.made.clear()
        del returned, failed
        gc.collect()
    assert (complaints.calls, len(handler.calls)) == ([], 1)


@pytest.mark.requirement("EXC-5")
async def test_a_tasks_coroutine_bears_the_name_of_the_users():
    scheduler = Scheduler()
    body = Body()
    job = await scheduler.spawn(body.run(), "mine")
    await settle()
    (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "mine")
    assert (task.get_coro().__name__, task.get_coro().__qualname__) == ("run", "Body.run")
    assert type(task.get_coro().__qualname__) is str
    body.finish("result")
    await settle()
    assert (task.result(), job.result()) == ("result", "result")


@pytest.mark.requirement("EXC-5")
@pytest.mark.parametrize(
    ("given", "names"), [("Body.foreign", ("foreign", "Body.foreign")), (None, ("Exotic", "Exotic"))]
)
async def test_a_task_bears_the_name_of_what_only_has_the_methods_of_a_coroutine(given, names):
    scheduler = Scheduler()
    body = Body()
    coro = Exotic(body.run())
    if given is not None:
        coro.__qualname__ = given
    await scheduler.spawn(coro, "mine")
    await settle()
    (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "mine")
    assert (task.get_coro().__name__, task.get_coro().__qualname__) == names
    body.finish("result")
    await settle()
    assert task.result() == "result"


@pytest.mark.requirement("EXC-5", "START-1")
@pytest.mark.parametrize("end", ["returns", "fails"])
async def test_a_task_that_was_cancelled_before_its_first_step_says_how_its_coroutine_ended(end):
    scheduler = Scheduler(exception_handler=Recorder())
    job = await scheduler.spawn(returns("at once") if end == "returns" else fails(ValueError("at once")))
    (task,) = asyncio.all_tasks() - {asyncio.current_task()}
    closing = asyncio.ensure_future(job.close())
    await settle()
    assert not task.cancelled()
    if end == "returns":
        assert (task.result(), job.result(), await closing) == ("at once", "at once", None)
    else:
        assert task.exception() is job.exception()
        with pytest.raises(ValueError, match="at once"):
            await closing


async def look_and_set():
    try:
        return REQUEST.get()
    finally:
        REQUEST.set("the job's")


@pytest.mark.requirement("START-3", "SPAWN-4", "EXC-5")
@pytest.mark.parametrize("known", [(), ("name",), ("context",), ("name", "context")], ids="-".join)
@pytest.mark.parametrize("is_given", [False, True], ids=["own context", "context given"])
@pytest.mark.parametrize("name", [None, "mine"])
async def test_create_task_is_asked_for_what_is_needed_and_known(monkeypatch, known, is_given, name):
    loop, scheduler = asyncio.get_running_loop(), Scheduler()
    made = []

    def create_task(coro, **options):
        if options.keys() - set(known):
            raise TypeError("an unexpected keyword argument")
        made.append((asyncio.Task(coro, loop=loop, **options), sorted(options)))
        return made[-1][0]

    REQUEST.set("the caller's")
    context = contextvars.Context()
    context.run(REQUEST.set, "the one given")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "create_task", create_task)
        job = await scheduler.spawn(look_and_set(), name, context=context if is_given else None)
    [(task, options)] = made
    needed = {"name": name is not None, "context": is_given}
    assert options == sorted(keyword for keyword in known if needed[keyword])
    assert task.get_name() == (name or job.get_name())
    assert await job == ("the one given" if is_given else "the caller's")
    assert context[REQUEST] == ("the job's" if is_given and "context" in known else "the one given")
    assert REQUEST.get() == "the caller's"


@pytest.fixture
def replaced(monkeypatch):
    """Puts a function in the place of the loop's `create_task`, for jobs alone."""

    def replace(create_task):
        loop = asyncio.get_running_loop()
        plain = loop.create_task

        def for_jobs(coro, **options):
            if factories.is_of_a_job(coro):
                return create_task(loop, coro, **options)
            return plain(coro, **options)

        monkeypatch.setattr(loop, "create_task", for_jobs)

    return replace


@pytest.mark.requirement("START-3", "SPAWN-4")
async def test_a_replaced_create_task_is_called_in_the_context_of_the_job_and_not_of_who_freed_its_slot(
    replaced,
):
    seen = []

    def create_task(loop, coro, **options):
        seen.append(REQUEST.get())
        return asyncio.Task(coro, loop=loop, **options)

    replaced(create_task)
    scheduler = Scheduler(limit=1)
    for caller in ("ann", "bob"):
        REQUEST.set(caller)
        job = await scheduler.spawn(asyncio.sleep(0.02))
    REQUEST.set("nobody")
    await job
    assert seen == ["ann", "bob"]


@pytest.mark.requirement("START-3", "SPAWN-4", "LIMIT-2")
async def test_jobs_that_share_a_context_follow_each_other_under_a_replaced_create_task(replaced):
    replaced(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
    handler, context = Recorder(), contextvars.Context()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    jobs = [await scheduler.spawn(look_and_set(), context=context) for _ in range(3)]
    assert [await job for job in jobs] == ["none", "the job's", "the job's"]
    assert handler.calls == []


@pytest.mark.requirement("START-3", "SPAWN-1")
@pytest.mark.parametrize("kind", [RuntimeError, TypeError])
async def test_a_create_task_that_fails_with_a_coroutine_that_it_has_touched_is_not_asked_again(
    replaced, kind
):
    asked = []

    def create_task(loop, coro, **options):
        asked.append(options)
        coro.close()
        raise kind(f"attempt {len(asked)}")

    replaced(create_task)
    coro = returns()
    with pytest.raises(kind, match="attempt 1"):
        await Scheduler().spawn(coro, "mine", context=contextvars.Context())
    assert (len(asked), is_closed(coro)) == (1, True)


@pytest.mark.requirement("START-3", "SPAWN-1")
async def test_what_the_last_attempt_to_make_a_task_raised_is_raised(replaced):
    asked = []

    def create_task(loop, coro, **options):
        asked.append(sorted(options))
        raise TypeError(f"attempt {len(asked)}")

    replaced(create_task)
    coro = returns()
    with pytest.raises(TypeError, match="attempt 4"):
        await Scheduler().spawn(coro, "mine", context=contextvars.Context())
    assert asked == [["context", "name"], ["context"], ["name"], []]
    assert is_closed(coro)


@unfaithful
@pytest.mark.requirement("START-3", "LIMIT-6", "WAIT-4", "SPAWN-1")
async def test_a_slot_comes_back_and_every_waiter_is_answered_though_the_task_did_something_else(
    making, kind
):
    handler = Recorder()
    scheduler = Scheduler(limit=1, exception_handler=handler)
    making.by(kind)
    coro = returns("never mind")
    with Complaints() as complaints:
        try:
            job = await scheduler.spawn(coro)
        except (factories.UnfaithfulError, TypeError):
            assert kind in {factories.raises, factories.none}
        else:
            await asyncio.wait_for(asyncio.gather(job, return_exceptions=True), 5)
            assert job.done()
        await settle()
    making.stop()
    assert is_closed(coro)
    assert (complaints.calls, books(scheduler)) == ([], (0, 0, 0))
    assert await (await scheduler.spawn(returns("next"))) == "next"


EXPECTED = {
    factories.fails_before: ("raised", ["before"], []),
    factories.fails_after: ("returned", [], ["after"]),
    factories.swallows: ("returned", [], []),
    factories.translates: ("returned", [], []),
    factories.cancelled_first: ("cancelled", [], []),
    factories.drops: ("raised", ["the job's task has ended without running its coroutine to the end"], []),
    factories.closes: ("raised", ["the job's task has ended without running its coroutine to the end"], []),
}


@pytest.mark.parametrize("kind", EXPECTED, ids=named)
@pytest.mark.requirement("START-3", "EXC-1", "WAIT-3")
async def test_the_outcome_is_the_coroutines_if_it_has_run_and_else_the_tasks(making, kind):
    outcome, failures, beside = EXPECTED[kind]
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    making.by(kind)
    job = await scheduler.spawn(returns("result"))
    await settle()
    assert job.outcome == outcome
    told = {"Job processing failed": [], "Task failed beside its coroutine": []}
    for context in handler.calls:
        assert context["job"] is job
        told[context["message"]].append(str(context["exception"]))
    assert [*told.values()] == [failures, beside]


@pytest.mark.parametrize("kind", [factories.swallows, factories.translates, factories.lingers], ids=named)
@pytest.mark.requirement("START-3", "EXC-1")
async def test_a_jobs_own_exception_is_received_whatever_its_task_makes_of_it(making, kind):
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    making.by(kind)
    job = await scheduler.spawn(fails(ValueError("its own")))
    with pytest.raises(ValueError, match="its own"):
        await job
    beside = ["instead"] if kind is factories.translates else []
    assert [str(error) for error in handler.exceptions] == beside
    lost = await scheduler.spawn(fails(ValueError("lost")))
    await asyncio.sleep(0.02)
    assert lost.outcome == "raised"
    assert [str(error) for error in handler.exceptions] == [*beside, "lost", *beside]


@pytest.mark.requirement("START-3", "CLOSE-3", "EXC-1")
async def test_a_close_while_the_task_lingers_stops_that_and_the_result_stays(making):
    async def lingers(coro):
        result = await coro
        await forever()
        return result

    making.by(lambda loop, coro, **options: asyncio.Task(lingers(coro), loop=loop, **options))
    scheduler = Scheduler(limit=1)
    job = await scheduler.spawn(returns("done long ago"))
    following = await scheduler.spawn(returns("next"))
    await asyncio.sleep(0.02)
    assert (job.state, following.state) == ("active", "pending")
    await job.close()
    assert (job.state, job.result()) == ("closed", "done long ago")
    await following.close()
    assert following.result() == "next"


@pytest.mark.requirement("START-3", "SHUT-2")
def test_a_task_that_ends_before_its_coroutine_begins_as_the_time_runs_out_is_not_late(steps):
    handler, gate = Recorder(), steps.create_future()

    async def never_begins(coro):
        try:
            await forever()
        finally:
            await gate

    steps.set_task_factory(
        factories.for_jobs(lambda loop, coro, **given: asyncio.Task(never_begins(coro), loop=loop, **given))
    )
    scheduler, body = Scheduler(close_timeout=1, exception_handler=handler), Body()
    job = steps.run(scheduler.spawn(body.run()))
    steps.settle()
    closing = steps.create_task(scheduler.close())
    steps.settle()
    gate.set_result(None)
    steps.advance(1)
    steps.settle()
    assert closing.done()
    assert (job.outcome, body.log, handler.messages) == ("cancelled", [], [])


@pytest.mark.requirement("START-3", "BOOK-3")
async def test_a_coroutine_that_outlives_its_jobs_task_belongs_to_whoever_runs_it(making):
    body, inner = Body(), []

    async def sets_free(coro):
        inner.append(asyncio.Task(coro))
        await settle()

    making.by(lambda loop, coro, **options: asyncio.Task(sets_free(coro), loop=loop, **options))
    handler = Recorder()
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(body.run())
    await asyncio.sleep(0.02)
    assert (job.outcome, books(scheduler)) == ("raised", (0, 0, 0))
    body.finish("for its own sake")
    assert await inner[0] == "for its own sake"
    assert (job.outcome, len(handler.calls)) == ("raised", 1)


@pytest.mark.requirement("START-3", "SHUT-1", "BOOK-4")
@pytest.mark.parametrize("when", ["before", "after"])
async def test_closing_that_begins_while_a_task_is_made_reaches_the_job(making, when):
    scheduler, body, closers = Scheduler(close_timeout=5), Body(), []

    def closes(loop, coro, **options):
        if when == "before":
            closers.append(scheduler.close())
            closers[0].send(None)
        task = asyncio.Task(coro, loop=loop, **options)
        if when == "after":
            closers.append(scheduler.close())
            closers[0].send(None)
        return task

    making.by(closes)
    job = await scheduler.spawn(body.run())
    closers[0].close()
    await scheduler.close()
    assert (job.outcome, body.log) == ("cancelled", ["started", "cancelled", "ended"])


@pytest.mark.requirement("START-3", "EXC-3")
@pytest.mark.parametrize("exits_with", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("kind", [factories.plain, factories.wraps, factories.yields_from], ids=named)
def test_a_job_that_exits_ends_the_loop_and_keeps_no_slot(kind, exits_with):
    scheduler = Scheduler(exception_handler=Recorder())
    loop = StrictLoop()
    loop.set_task_factory(kind)

    async def service():
        job = await scheduler.spawn(fails(exits_with("enough")))
        await asyncio.sleep(0.02)
        return job

    serving = loop.create_task(service())
    with pytest.raises(exits_with, match="enough"):
        loop.run_until_complete(serving)
    assert loop.run_until_complete(serving).outcome == "raised"
    assert len(scheduler) == 0
    loop.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
@pytest.mark.loops("eager", "stock-eager")
@pytest.mark.requirement("START-3", "LIMIT-1", "SPAWN-4")
async def test_a_job_in_the_current_context_does_not_stop_a_loop_of_eager_tasks():
    scheduler, context = Scheduler(limit=1), contextvars.copy_context()

    async def both():
        first = await scheduler.spawn(returns(1), context=context)
        second = await scheduler.spawn(returns(2), context=context)
        return await first, await second

    assert await asyncio.get_running_loop().create_task(both(), context=context) == (1, 2)


@pytest.mark.requirement("WAIT-4", "CLOSE-1")
async def test_who_closes_a_job_from_no_task_is_not_taken_for_the_job():
    """The task of the job has not begun it, and the caller, a callback of the loop, has none."""
    loop, closing, raised = asyncio.get_running_loop(), [], []
    loop.set_task_factory(factories.for_jobs(factories.wraps_late))
    scheduler = Scheduler(close_timeout=5)
    job = await scheduler.spawn(forever())

    def close():
        closing.append(job.close())
        try:
            closing[0].send(None)
        except RuntimeError as error:
            raised.append(error)

    loop.call_soon(close)
    await asyncio.sleep(1)
    loop.set_task_factory(None)
    closing[0].close()
    assert (raised, job.outcome) == ([], "cancelled")
    await scheduler.close()
