"""A limit that moves: raising it starts as many as fit, in order; lowering it stops nothing."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from unit.bodies import Body, Counting, books, forever

pytestmark = pytest.mark.requirement("LIMIT-7")


async def filled(scheduler, number):
    """So many jobs that run until they are told to end."""
    bodies = [Body() for _ in range(number)]
    jobs = [scheduler.spawn_nowait(body.run(), str(n)) for n, body in enumerate(bodies)]
    await settle()
    return bodies, jobs


def states(jobs):
    return [str(job.state) for job in jobs]


async def test_raising_starts_as_many_as_fit_in_order_before_it_returns():
    scheduler = Scheduler(limit=1)
    _, jobs = await filled(scheduler, 5)
    scheduler.set_limit(3)
    assert scheduler.limit == 3
    assert states(jobs) == ["active"] * 3 + ["pending"] * 2
    assert books(scheduler) == (3, 2, 0)
    await scheduler.close()


async def test_no_limit_starts_all():
    scheduler = Scheduler(limit=1)
    _, jobs = await filled(scheduler, 50)
    scheduler.set_limit(None)
    assert scheduler.limit is None
    assert states(jobs) == ["active"] * 50
    await scheduler.close()


@pytest.mark.requirement("LIMIT-1", "LIMIT-2")
async def test_lowering_stops_nothing_and_nothing_starts_until_it_holds_again():
    scheduler = Scheduler(limit=4)
    bodies, jobs = await filled(scheduler, 6)
    scheduler.set_limit(2)
    assert states(jobs) == ["active"] * 4 + ["pending"] * 2
    for body in bodies[:2]:
        body.finish()
        await settle()
    assert states(jobs) == ["done", "done", "active", "active", "pending", "pending"]
    bodies[2].finish()
    await settle()
    assert states(jobs)[4:] == ["active", "pending"]
    assert scheduler.active_count == 2
    await scheduler.close()


async def test_lowered_and_raised_again_it_counts_from_what_runs():
    scheduler = Scheduler(limit=4)
    bodies, jobs = await filled(scheduler, 7)
    scheduler.set_limit(1)
    bodies[0].finish()
    await settle()
    scheduler.set_limit(4)
    assert states(jobs) == ["done"] + ["active"] * 4 + ["pending"] * 2
    await scheduler.close()


@pytest.mark.requirement("LIMIT-4", "LIMIT-5")
async def test_raising_lets_blocked_callers_in_behind_the_queue():
    scheduler, ran = Scheduler(limit=1, pending_limit=1), []

    async def body(name):
        ran.append(name)
        await forever()

    scheduler.spawn_nowait(body(0))
    scheduler.spawn_nowait(body(1))
    calls = [asyncio.ensure_future(scheduler.spawn(body(n))) for n in (2, 3, 4)]
    await settle()
    assert (scheduler.blocked_count, scheduler.pending_count) == (3, 1)
    scheduler.set_limit(3)
    assert (scheduler.active_count, scheduler.pending_count, scheduler.blocked_count) == (3, 1, 1)
    await settle()
    assert ran == [0, 1, 2]
    assert [call.done() for call in calls] == [True, True, False]
    await scheduler.close()
    assert isinstance(calls[2].exception(), RuntimeError)


@pytest.mark.requirement("SPAWN-1")
async def test_a_caller_that_is_cancelled_in_the_same_pass_is_passed_over():
    scheduler = Scheduler(limit=1, pending_limit=1)
    await filled(scheduler, 2)
    first, second = (asyncio.ensure_future(scheduler.spawn(forever(), name)) for name in "ab")
    await settle()
    first.cancel()
    scheduler.set_limit(2)
    await settle()
    assert first.cancelled()
    assert (await second).get_name() == "b"
    assert books(scheduler) == (2, 1, 0)
    await scheduler.close()


async def test_tasks_that_cannot_be_made_end_their_jobs_and_no_stack_grows():
    reported = []
    scheduler = Scheduler(limit=1, exception_handler=lambda _, context: reported.append(context["exception"]))
    _, jobs = await filled(scheduler, 2000)

    def no_tasks(*_, **__):
        raise OSError("no tasks")

    loop = asyncio.get_running_loop()
    loop.set_task_factory(no_tasks)
    scheduler.set_limit(None)
    await settle()
    loop.set_task_factory(None)
    assert {job.outcome for job in jobs[1:]} == {"raised"}
    assert (len(reported), {type(error) for error in reported}) == (1999, {OSError})
    await scheduler.close()


@pytest.mark.requirement("START-3")
async def test_slots_that_jobs_without_tasks_hand_on_make_no_stack_grow():
    loop, failing, reported = asyncio.get_running_loop(), [], []
    make = loop.create_task

    def create_task(coro, **options):
        if failing:
            raise OSError("no tasks")
        return make(coro, **options)

    loop.create_task = create_task
    scheduler = Scheduler(limit=1, exception_handler=lambda _, context: reported.append(context["exception"]))
    _, jobs = await filled(scheduler, 3000)
    failing.append(True)
    scheduler.set_limit(1000)
    del loop.create_task
    failing.clear()
    await settle()
    assert {job.outcome for job in jobs[1:]} == {"raised"}
    assert len(reported) == len(jobs) - 1
    await scheduler.close()


@pytest.mark.requirement("START-3", "BOOK-4")
async def test_a_task_that_cannot_be_made_when_nothing_can_be_put_off_ends_its_job_at_once(monkeypatch):
    loop, reported = asyncio.get_running_loop(), []
    scheduler = Scheduler(limit=1, exception_handler=lambda _, context: reported.append(context["exception"]))
    [running, _], jobs = await filled(scheduler, 2)
    call_soon = loop.call_soon

    def create_task(*_, **__):
        raise OSError("no tasks")

    def not_later(callback, *args, **options):
        if getattr(callback, "__name__", "") == "_failed":
            raise OSError("no later")
        return call_soon(callback, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "create_task", create_task)
        patch.setattr(loop, "call_soon", not_later)
        running.finish()
        await settle()
    assert (jobs[1].outcome, [str(error) for error in reported]) == ("raised", ["no tasks"])
    assert books(scheduler) == (0, 0, 0)
    await scheduler.close()


async def test_once_closing_has_begun_only_the_number_changes():
    scheduler = Scheduler(limit=2, close_timeout=0, exception_handler=print)
    bodies, _ = await filled(scheduler, 1)
    bodies[0].swallows = 1
    closing = asyncio.ensure_future(scheduler.close())
    await settle()
    scheduler.set_limit(1)
    await closing
    scheduler.set_limit(9)
    assert (scheduler.limit, scheduler.phase) == (9, "closed")


def test_before_the_first_use_it_needs_no_loop():
    scheduler = Scheduler(limit=1)
    scheduler.set_limit(5)
    assert scheduler.limit == 5


@pytest.mark.requirement("SPAWN-3")
async def test_it_is_called_in_the_loop_of_the_scheduler():
    scheduler = Scheduler(limit=1)
    await scheduler.spawn(forever())

    async def elsewhere():
        scheduler.set_limit(5)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(asyncio.run, elsewhere())
        assert "is bound to a different event loop" in str(call.exception())
    assert scheduler.limit == 1
    await scheduler.close()


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2"])
def test_a_limit_that_makes_no_sense_is_refused(limit):
    scheduler = Scheduler()
    with pytest.raises((TypeError, ValueError), match="^limit must be"):
        scheduler.set_limit(limit)
    assert scheduler.limit == 100


@pytest.mark.requirement("LIMIT-5", "BOOK-4")
async def test_a_limit_that_is_raised_while_a_slot_is_handed_on_keeps_the_order():
    scheduler, counting, gate = Scheduler(limit=1, pending_limit=2), Counting(), asyncio.Event()

    class Raises:
        def __del__(self):
            scheduler.set_limit(3)
            scheduler.spawn_nowait(counting("fourth"))

    async def never(_thing):
        raise AssertionError

    await scheduler.spawn(counting("first", until=gate.wait()))
    for name in ("second", "third"):
        await scheduler.spawn(counting(name))
    blocked = asyncio.ensure_future(scheduler.spawn(never(Raises())))
    await settle()
    gate.set()
    blocked.cancel()  # it is let go while the first job ends, which hands its slot on
    await settle()
    assert counting.ran == ["first", "second", "third", "fourth"]
    await scheduler.close()
