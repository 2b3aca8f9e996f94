"""A picture of a scheduler in one moment: what is in it, who waits for whom, and that it changes nothing (SEE-2)."""

import asyncio
import dataclasses
import gc
import subprocess
import sys
import threading
import weakref
from contextlib import suppress

import pytest

import aiojobs
from aiojobs import Phase, Scheduler, Snapshot, State, Wait
from aiojobs.testing import settle
from support.inside import core
from support.observing import Complaints, Recorder
from unit import factories
from unit.bodies import Body, Exotic, books, fails, forever, returns

pytestmark = pytest.mark.requirement("SEE-2")

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


class Deadlock:
    """Jobs that wait for others, whose names they are told before they run."""

    def __init__(self, scheduler):
        self.scheduler = scheduler
        self.jobs = {}
        self._known = asyncio.Event()

    async def spawn(self, name, *others, by=None):
        self.jobs[name] = await self.scheduler.spawn(self._wait(others, by), name)

    async def begin(self):
        """All are spawned: let them wait for each other."""
        self._known.set()
        await settle()

    async def _wait(self, others, by):
        await self._known.wait()
        if by is not None:
            await by([self.jobs[other] for other in others])
        for other in others:
            await self.jobs[other]
        if not others:
            await forever()


async def ended(*tasks):
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


def by_name(snapshot):
    """The waits, by the names of those who take part."""
    called = {each.id: each.name for each in (*snapshot.jobs, *snapshot.tasks)}
    called[None] = "a slot"
    return sorted((called[wait.waiter], called[wait.awaited]) for wait in snapshot.waits)


def stuck(scheduler):
    return [job.name for job in scheduler.snapshot().stuck]


# What is in it.


def test_a_scheduler_that_was_never_used():
    assert Scheduler(limit=3, pending_limit=5).snapshot() == Snapshot(
        phase=Phase.OPEN,
        limit=3,
        pending_limit=5,
        active_count=0,
        pending_count=0,
        blocked_count=0,
        shielded_count=0,
        jobs=(),
        blocked=(),
        tasks=(),
        waits=(),
        idlers=(),
    )


async def test_counts_phase_and_limits():
    scheduler = Scheduler(limit=1, pending_limit=1)
    running, queued = await scheduler.spawn(forever()), await scheduler.spawn(forever())
    blocked = asyncio.ensure_future(scheduler.spawn(forever(), "third"))
    shielded = scheduler.shield(asyncio.sleep(1))
    await settle()
    scheduler.set_limit(2)
    scheduler.set_limit(1)
    snapshot = scheduler.snapshot()
    assert (snapshot.phase, snapshot.limit, snapshot.pending_limit) == (Phase.OPEN, 1, 1)
    assert (snapshot.active_count, snapshot.pending_count, snapshot.blocked_count) == (2, 1, 0)
    assert snapshot.shielded_count == 1
    assert len(snapshot.jobs) == len(scheduler) == 3
    shielded.cancel()
    await blocked
    await scheduler.close()
    assert scheduler.snapshot().phase is Phase.CLOSED
    assert scheduler.snapshot().jobs == ()
    assert running.done()
    assert queued.done()


async def test_each_job_in_the_order_of_spawning_with_its_state_and_place():
    scheduler = Scheduler(limit=2)
    body = Body(swallows=1)
    await scheduler.spawn(body.run(), "first")
    closing = next(iter(scheduler))
    await scheduler.spawn(forever(), "second")
    await scheduler.spawn(forever(), "third")
    await scheduler.spawn(forever())
    await settle()
    with pytest.raises(TimeoutError):
        await closing.close(timeout=0)
    jobs = scheduler.snapshot().jobs
    assert [(job.name, job.state, job.place) for job in jobs] == [
        ("first", State.CLOSING, None),
        ("second", State.ACTIVE, None),
        ("third", State.PENDING, 1),
        (None, State.PENDING, 2),
    ]
    assert [job.qualname for job in jobs] == ["Body.run", "forever", "forever", "forever"]
    assert [job.drain for job in jobs] == [True] * 4
    body.finish()
    await scheduler.close()


async def test_a_job_has_one_number_as_long_as_it_lives_and_nobody_else_has_it():
    schedulers = Scheduler(limit=1), Scheduler()
    jobs = [await scheduler.spawn(forever()) for scheduler in (*schedulers, *schedulers)]
    before = [job.id for scheduler in schedulers for job in scheduler.snapshot().jobs]
    assert len({*before}) == 4
    await schedulers[0].spawn(forever())
    after = [job.id for scheduler in schedulers for job in scheduler.snapshot().jobs]
    assert [number for number in after if number in before] == before
    await jobs[0].close()
    assert schedulers[0].snapshot().jobs[0].id == before[1]
    for scheduler in schedulers:
        await scheduler.close()


async def test_the_number_of_what_is_gone_is_not_given_again():
    numbers = []
    scheduler = Scheduler()
    for _ in range(20):
        job = await scheduler.spawn(forever())
        numbers.append(scheduler.snapshot().jobs[0].id)
        await job.close()
        del job
    assert len({*numbers}) == 20
    await scheduler.close()


async def test_how_old_a_job_is_and_how_long_it_runs_if_somebody_observes():
    scheduler = Scheduler(limit=1, observer=Recorder())
    first = await scheduler.spawn(forever())
    await asyncio.sleep(2)
    await scheduler.spawn(forever())
    await asyncio.sleep(3)
    assert [(job.age, job.running) for job in scheduler.snapshot().jobs] == [(5, 5), (3, None)]
    await first.close()
    await asyncio.sleep(1)
    assert [(job.age, job.running) for job in scheduler.snapshot().jobs] == [(4, 1)]
    await scheduler.close()
    assert core(scheduler).reporting.since == {}


async def test_without_an_observer_nobody_knows_how_old_it_is_and_nobody_pays_for_it():
    scheduler = Scheduler()
    await scheduler.spawn(forever())
    assert [(job.age, job.running) for job in scheduler.snapshot().jobs] == [(None, None)]
    assert core(scheduler).reporting.since == {}
    await scheduler.close()


async def test_times_are_kept_of_no_job_that_has_ended_however_it_did():
    scheduler = Scheduler(limit=1, pending_limit=1, observer=Recorder(), exception_handler=Recorder())
    await (await scheduler.spawn(returns()))
    await scheduler.spawn(fails(ValueError()))
    await settle()
    closed, dropped = await scheduler.spawn(forever()), await scheduler.spawn(forever())
    withdrawn = asyncio.ensure_future(scheduler.spawn(forever()))
    await settle()
    dropping = asyncio.ensure_future(dropped.close())
    await asyncio.sleep(0)
    withdrawn.cancel()
    await dropping
    await closed.close()
    await settle()
    assert withdrawn.cancelled()
    assert len(scheduler) == 0
    assert core(scheduler).reporting.since == {}
    await scheduler.close()


async def test_the_time_that_is_left_of_a_time_limit():
    scheduler = Scheduler(limit=1, close_timeout=10)
    body = Body(swallows=1)
    await scheduler.spawn(body.run(), timeout=5, drain=False)
    await scheduler.spawn(forever(), timeout=7)
    await asyncio.sleep(2)
    assert [(job.time_left, job.drain) for job in scheduler.snapshot().jobs] == [(3, False), (None, True)]
    await asyncio.sleep(4)
    assert scheduler.snapshot().jobs[0].state is State.CLOSING
    assert scheduler.snapshot().jobs[0].time_left is None
    body.finish()
    await asyncio.sleep(3)
    assert [job.time_left for job in scheduler.snapshot().jobs] == [4]
    await scheduler.close()


@EVERYWHERE
async def test_of_a_time_limit_too_short_for_the_loop_nothing_is_left():
    scheduler = Scheduler()
    await scheduler.spawn(forever(), timeout=1e-9)
    assert [job.time_left for job in scheduler.snapshot().jobs] in ([0], [1e-9])
    await settle()
    await scheduler.close()


@EVERYWHERE
async def test_where_a_job_is_suspended():
    async def sits():
        await asyncio.sleep(99)

    async def waits_for(job):
        await job

    scheduler = Scheduler(limit=2)
    job = await scheduler.spawn(sits())
    await scheduler.spawn(waits_for(job))
    await scheduler.spawn(sits())
    await settle()
    sitting, waiting, queued = scheduler.snapshot().jobs
    assert [place.function for place in sitting.stack] == [sits.__qualname__, "sleep"]
    assert sitting.suspended_at == sitting.stack[-1]
    # What happens inside this package is nobody's business.
    assert waiting.suspended_at.file == __file__
    assert waiting.suspended_at.line == waits_for.__code__.co_firstlineno + 1
    assert queued.stack == ()
    assert queued.suspended_at is None
    await scheduler.close()


async def test_a_job_that_is_a_method_of_the_library_is_somewhere_all_the_same():
    scheduler, other = Scheduler(), Scheduler()
    job = await other.spawn(forever())
    await scheduler.spawn(job.wait())
    await settle()
    assert scheduler.snapshot().jobs[0].suspended_at.function == "Job.wait"
    await scheduler.close()
    await other.close()


async def test_a_job_may_take_the_picture_that_it_is_in():
    async def looks():
        return scheduler.snapshot()

    scheduler = Scheduler()
    snapshot = await (await scheduler.spawn(looks(), "looks"))
    assert [(job.name, job.stack, job.state) for job in snapshot.jobs] == [("looks", (), State.ACTIVE)]
    assert snapshot.stuck == ()
    await scheduler.close()


async def test_the_coroutine_of_a_stranger_has_a_name_and_no_place():
    scheduler = Scheduler()
    await scheduler.spawn(Exotic(forever()))
    await settle()
    [job] = scheduler.snapshot().jobs
    assert (job.qualname, job.stack) == ("Exotic", ())
    await scheduler.close()


# Who waits for whom.


@EVERYWHERE
@pytest.mark.parametrize(
    "by",
    [
        None,
        lambda jobs: asyncio.gather(*jobs),
        lambda jobs: asyncio.shield(jobs[0].wait()),
        lambda jobs: asyncio.wait_for(jobs[0].wait(), 99),
        lambda jobs: asyncio.create_task(jobs[0].wait()),
        asyncio.wait,
        lambda jobs: asyncio.wait([asyncio.create_task(job.wait()) for job in jobs]),
    ],
    ids=["await", "gather", "shield", "wait_for", "a task of its own", "wait", "wait for tasks"],
)
async def test_jobs_that_hold_all_slots_and_wait_for_a_pending_one_are_stuck(by):
    scheduler = Scheduler(limit=2)
    world = Deadlock(scheduler)
    await world.spawn("first", "third", by=by)
    await world.spawn("second", "third")
    await world.spawn("third")
    await world.begin()
    assert stuck(scheduler) == ["first", "second"]
    await scheduler.close()


async def test_who_waits_for_whom_directly_and_through_a_task():
    scheduler = Scheduler(limit=3)
    world = Deadlock(scheduler)

    async def by(jobs):
        await asyncio.create_task(jobs[0].wait(), name="between")

    await world.spawn("first", "third")
    await world.spawn("second", "third", by=by)
    await world.spawn("third")
    reader = asyncio.create_task(world.jobs["first"].wait(), name="reader")
    await world.begin()
    snapshot = scheduler.snapshot()
    assert by_name(snapshot) == [
        ("between", "third"),
        ("first", "third"),
        ("reader", "first"),
        ("second", "between"),
    ]
    assert sorted(task.name for task in snapshot.tasks) == ["between", "reader"]
    assert {task.qualname for task in snapshot.tasks} == {"Job.wait"}
    assert all(task.suspended_at.function == "Job.wait" for task in snapshot.tasks)
    assert snapshot.stuck == ()
    await ended(reader)
    await scheduler.close()


async def test_a_task_group_of_a_job():
    scheduler = Scheduler(limit=1)

    async def groups():
        async with asyncio.TaskGroup() as group:
            pending = scheduler.spawn_nowait(forever(), "pending")
            group.create_task(asyncio.sleep(99))
            group.create_task(pending.wait(), name="member")

    await scheduler.spawn(groups(), "group")
    await settle()
    assert by_name(scheduler.snapshot()) == [("group", "member"), ("member", "pending")]
    assert stuck(scheduler) == ["group"]
    await scheduler.close()


async def test_a_shielded_awaitable_hands_on_who_waits():
    scheduler = Scheduler(limit=1)

    async def shields():
        pending = scheduler.spawn_nowait(forever(), "pending")
        await scheduler.shield(pending.wait())

    await scheduler.spawn(shields(), "shielding")
    await settle()
    names = {name for wait in by_name(scheduler.snapshot()) for name in wait}
    assert {"shielding", "pending"} < names
    assert stuck(scheduler) == ["shielding"]
    await scheduler.close()


async def test_a_job_whose_spawn_is_blocked_waits_for_a_slot():
    scheduler = Scheduler(limit=1, pending_limit=1)

    async def spawns():
        await scheduler.spawn(forever(), "queued")
        await scheduler.spawn(forever(), "blocked")

    await scheduler.spawn(spawns(), "spawning")
    await settle()
    snapshot = scheduler.snapshot()
    assert by_name(snapshot) == [("spawning", "a slot")]
    [blocked] = snapshot.blocked
    assert (blocked.name, blocked.qualname) == ("blocked", "forever")
    assert blocked.callers == (snapshot.jobs[0].id,)
    assert snapshot.waits == (Wait(snapshot.jobs[0].id, None),)
    assert [job.name for job in snapshot.stuck] == ["spawning"]
    await scheduler.close()


async def test_callers_outside_stand_in_order_of_arrival():
    scheduler = Scheduler(limit=1, pending_limit=1)
    await scheduler.spawn(forever())
    await scheduler.spawn(forever())
    tasks = [
        asyncio.create_task(scheduler.spawn(forever(), name), name=f"caller of {name}") for name in "abc"
    ]
    await settle()
    snapshot = scheduler.snapshot()
    called = {task.id: task.name for task in snapshot.tasks}
    assert [(each.name, *map(called.get, each.callers)) for each in snapshot.blocked] == [
        ("a", "caller of a"),
        ("b", "caller of b"),
        ("c", "caller of c"),
    ]
    assert snapshot.stuck == ()
    await ended(*tasks)
    await scheduler.close()


async def test_one_that_waits_for_itself_in_a_roundabout_way_is_stuck():
    scheduler = Scheduler(limit=3)
    world = Deadlock(scheduler)
    await world.spawn("first", "second")
    await world.spawn("second", "first")
    await world.spawn("third")
    await world.begin()
    assert stuck(scheduler) == ["first", "second"]

    async def waits_by_a_task():
        await asyncio.create_task(own.wait())

    await world.jobs["third"].close()
    own = await scheduler.spawn(waits_by_a_task(), "own")
    await settle()
    assert stuck(scheduler) == ["first", "second", "own"]
    await scheduler.close()


@pytest.mark.parametrize("how", ["idle", "wait_and_close"])
async def test_one_that_has_its_scheduler_drained_by_a_task_waits_for_itself(how):
    scheduler = Scheduler(close_timeout=1)

    async def drains():
        await asyncio.create_task(getattr(scheduler, how)(), name="drainer")

    await scheduler.spawn(drains(), "draining")
    await scheduler.spawn(forever(), "bystander")
    await settle()
    snapshot = scheduler.snapshot()
    [drainer] = [task for task in snapshot.tasks if task.name == "drainer"]
    assert snapshot.idlers == (drainer.id,)
    assert [job.name for job in snapshot.stuck] == ["draining"]
    await scheduler.close()


async def test_an_endless_job_may_wait_for_the_others():
    scheduler = Scheduler(limit=2)
    ticker = await scheduler.spawn(scheduler.idle(), "ticker", drain=False)
    await scheduler.spawn(forever(), "work")
    await settle()
    assert len(scheduler.snapshot().idlers) == 1
    assert stuck(scheduler) == []
    scheduler.set_limit(1)
    await scheduler.spawn(forever(), "pending")
    assert stuck(scheduler) == ["ticker"]  # its slot is the last one, when the work has ended
    scheduler.set_limit(2)
    assert stuck(scheduler) == []
    await ticker.close()
    await scheduler.close()


async def test_a_job_that_waits_for_the_end_of_another_scheduler():
    scheduler, other = Scheduler(), Scheduler()
    job = await other.spawn(forever())

    async def drains():
        await asyncio.gather(job, other.wait_and_close())

    await scheduler.spawn(drains(), "draining")
    await settle()
    assert len(other.snapshot().idlers) == 1
    assert stuck(scheduler) == []
    await other.close()
    await scheduler.close()


async def test_the_first_of_several_is_no_deadlock():
    scheduler = Scheduler(limit=1)
    world = Deadlock(scheduler)
    pending = []

    async def chooses():
        await asyncio.wait([pending[0], asyncio.create_task(forever())], return_when=asyncio.FIRST_COMPLETED)

    await world.spawn("other")
    await scheduler.spawn(chooses(), "choosing")
    pending.append(await scheduler.spawn(forever(), "pending"))
    await world.jobs["other"].close()
    await settle()
    [wait] = scheduler.snapshot().waits
    assert wait.is_choice
    assert stuck(scheduler) == []
    await scheduler.close()


@pytest.mark.parametrize(
    "factory", [factories.wraps, factories.lingers, factories.inner_task, factories.forwards]
)
async def test_a_job_whose_task_was_wrapped_by_a_factory_is_known(factory):
    asyncio.get_running_loop().set_task_factory(factories.for_jobs(factory))
    scheduler = Scheduler(limit=1)
    world = Deadlock(scheduler)
    await world.spawn("first", "second")
    await world.spawn("second")
    await world.begin()
    assert by_name(scheduler.snapshot()) == [("first", "second")]
    assert stuck(scheduler) == ["first"]
    await scheduler.close()


async def test_a_task_of_somebodys_own_making_has_no_number():
    loop = asyncio.get_running_loop()
    made = []

    def makes(loop, coro, **options):
        made.append(Foreign(asyncio.Task(coro, loop=loop, **options)))
        return made[-1]

    loop.set_task_factory(factories.for_jobs(makes))
    scheduler = Scheduler()
    await scheduler.spawn(forever(), "first")
    await settle()
    loop.set_task_factory(None)
    [job] = scheduler.snapshot().jobs
    assert (job.name, job.task) == ("first", None)
    await scheduler.close()


class Foreign:
    """What can be followed, and is no task of asyncio's."""

    def __init__(self, task):
        self.task = task
        self.add_done_callback = task.add_done_callback
        self.cancel = task.cancel
        self.cancelled = task.cancelled
        self.done = task.done
        self.exception = task.exception
        self.get_name = task.get_name
        self.remove_done_callback = task.remove_done_callback
        self.result = task.result
        self.set_name = task.set_name


# It changes nothing, and keeps nothing.


async def test_taking_it_changes_nothing():
    scheduler = Scheduler(limit=1, pending_limit=1)
    world = Deadlock(scheduler)
    await world.spawn("first", "second")
    await world.spawn("second")
    blocked = asyncio.ensure_future(scheduler.spawn(forever()))
    await world.begin()
    before = books(scheduler)
    snapshots = [scheduler.snapshot() for _ in range(3)]
    assert snapshots[0] == snapshots[1] == snapshots[2]
    assert books(scheduler) == before
    await ended(blocked)
    await scheduler.close()


async def test_it_does_not_change_afterwards():
    scheduler = Scheduler(limit=1)
    await scheduler.spawn(forever())
    snapshot = scheduler.snapshot()
    await scheduler.spawn(forever())
    assert len(snapshot.jobs) == 1
    for each in (snapshot, snapshot.jobs[0]):
        for field in dataclasses.fields(each):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(each, field.name, None)
    assert hash(snapshot) == hash(scheduler.snapshot()) or snapshot != scheduler.snapshot()
    await scheduler.close()


@pytest.mark.requirement("BOOK-3")
async def test_it_keeps_no_job_alive_nor_what_the_job_holds():
    class Held:
        pass

    async def holds(_held):
        await forever()

    held = Held()
    gone = weakref.ref(held)
    scheduler = Scheduler()
    job = await scheduler.spawn(holds(held))
    reader = asyncio.ensure_future(job.wait())
    await settle()
    del held
    snapshot = scheduler.snapshot()
    await job.close()
    await ended(reader)
    dead = weakref.ref(job)
    del job, reader
    assert (gone(), dead()) == (None, None)
    assert len(snapshot.jobs) == 1
    await scheduler.close()


@pytest.mark.requirement("BOOK-3")
async def test_a_thousand_pictures_leave_nothing_behind():
    from aiojobs import _seeing

    scheduler = Scheduler()
    for _ in range(1000):
        job = await scheduler.spawn(forever())
        scheduler.snapshot()
        await job.close()
    del job
    await settle()
    gc.collect()
    assert len(_seeing._numbers._known) < 100
    await scheduler.close()


@pytest.mark.requirement("BOOK-4")
async def test_a_task_that_objects_to_being_asked_hides_nothing():
    class Objects(asyncio.Task):
        hostile = False

        def get_name(self):
            if self.hostile:
                raise ValueError("no name")
            return super().get_name()

        def get_coro(self):
            if self.hostile:
                raise ValueError("no coroutine")
            return super().get_coro()

    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **options: Objects(coro, loop=loop, **options))
    scheduler = Scheduler(limit=1)
    job = await scheduler.spawn(forever())
    reader = asyncio.ensure_future(job.wait())
    await scheduler.spawn(forever(), "second")
    await settle()
    Objects.hostile = True
    with Complaints() as complaints:
        snapshot = scheduler.snapshot()
    Objects.hostile = False
    assert [job.name for job in snapshot.jobs] == [None, "second"]
    assert [(task.name, task.stack) for task in snapshot.tasks] == [(None, ())]
    assert [message.split(" of a scheduler")[0] for message in complaints.messages] == [
        "Unhandled error in get_name of a task",
        "Unhandled error in get_coro of a task",
        "Unhandled error in get_name of a task",
    ]
    await ended(reader)
    await scheduler.close()


@pytest.mark.requirement("BOOK-4")
async def test_a_task_that_changes_the_scheduler_when_it_is_asked_does_not_change_the_picture():
    class CallsBack(asyncio.Task):
        armed = False

        def get_name(self):
            if CallsBack.armed:
                CallsBack.armed = False
                scheduler.spawn_nowait(forever(), "new")
            return super().get_name()

    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **options: CallsBack(coro, loop=loop, **options))
    scheduler = Scheduler(limit=2)
    await scheduler.spawn(forever())
    await settle()
    CallsBack.armed = True
    snapshot = scheduler.snapshot()
    assert (len(snapshot.jobs), snapshot.active_count) == (1, 1)
    assert len(scheduler) == 2
    await scheduler.close()


async def test_a_name_with_a_class_of_its_own_is_a_plain_string():
    class Name(str):
        __slots__ = ()

        def __str__(self):
            raise SystemExit

        __repr__ = __hash__ = __str__

    scheduler = Scheduler(limit=1, pending_limit=1)
    await scheduler.spawn(forever(), "first")  # asyncio asks for the text of a name
    await scheduler.spawn(forever(), Name("second"))
    blocked = asyncio.ensure_future(scheduler.spawn(forever(), Name("third")))
    await settle()
    snapshot = scheduler.snapshot()
    names = [each.name for each in (*snapshot.jobs, *snapshot.blocked)]
    assert names == ["first", "second", "third"]
    assert {type(name) for name in names} == {str}
    await ended(blocked)
    await scheduler.close()


async def test_an_observer_may_take_it_while_it_is_told():
    taken = []

    def observer(record):
        taken.append((record.event, len(scheduler.snapshot().jobs)))

    scheduler = Scheduler(observer=observer)
    await (await scheduler.spawn(returns()))
    assert taken == [("accept", 1), ("start", 1), ("finish", 0)]
    await scheduler.close()


# Where it may be taken.


def test_it_may_be_taken_when_the_loop_does_not_run():
    loop = asyncio.new_event_loop()
    scheduler = Scheduler()

    async def starts():
        await scheduler.spawn(forever(), "left")
        await asyncio.sleep(0)

    loop.run_until_complete(starts())
    assert [job.name for job in scheduler.snapshot().jobs] == ["left"]
    loop.run_until_complete(scheduler.close())
    loop.close()
    assert scheduler.snapshot().phase is Phase.CLOSED


@pytest.mark.loops("stock")
@pytest.mark.parametrize("has_loop", [False, True])
async def test_another_thread_is_refused(has_loop):
    scheduler = Scheduler()
    await scheduler.spawn(forever())
    raised = []

    async def takes_it():
        scheduler.snapshot()

    def elsewhere():
        try:
            asyncio.run(takes_it()) if has_loop else scheduler.snapshot()
        except RuntimeError as exc:
            raised.append(str(exc))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    [message] = raised
    assert "runs in another thread" in message
    assert "call_soon_threadsafe" in message
    await scheduler.close()


# What it costs those who take none.


def test_nothing_of_it_is_imported_before_it_is_asked_for():
    program = (
        "import sys, aiojobs\n"
        "names = ('aiojobs._snapshot', 'aiojobs._seeing', 'aiojobs._suspension')\n"
        "assert not [name for name in names if name in sys.modules]\n"
        "aiojobs.Scheduler().snapshot()\n"
        "assert [name for name in names if name in sys.modules] == list(names)\n"
        "from aiojobs import *\n"
        "assert Snapshot is aiojobs.Snapshot and Location and BlockedSpawn and TaskSnapshot and JobSnapshot and Wait\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'aiojobs' has no attribute 'Snapshots'"):
        aiojobs.Snapshots  # noqa: B018
