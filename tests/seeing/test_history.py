"""What an observer remembers of the last minutes: counts, arrows, failures; and no more than that."""

import asyncio
import gc
import sys
import weakref

import pytest

from aiojobs import Event, Record, Scheduler, State
from aiojobs._history import STEP, STEPS, Failure, History, Point
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, fails, forever, returns

pytestmark = pytest.mark.requirement("SEE-1")


def now():
    return asyncio.get_running_loop().time()


def watched(**options):
    history = History()
    return history, Scheduler(observer=history, exception_handler=Recorder(), **options)


async def test_each_step_of_time_has_the_most_of_each_kind():
    history, scheduler = watched(limit=2, pending_limit=1)
    for _ in range(3):
        await scheduler.spawn(forever())
    blocked = asyncio.ensure_future(scheduler.spawn(forever()))
    await settle()
    assert history.points(now()) == [Point(2, 1, 1, 2, 0, 0)]
    await asyncio.sleep(STEP)
    for job in list(scheduler):
        await job.close()
    await (await blocked).close()
    scheduler.set_limit(None)
    assert history.points(now()) == [Point(2, 1, 1, 2, 0, 0), Point(2, 1, 1, None, 4, 0)]
    await asyncio.sleep(2 * STEP)
    nothing = Point(0, 0, 0, None, 0, 0)
    assert history.points(now())[2:] == [nothing, nothing]
    await scheduler.close()


async def test_where_nothing_happened_is_what_the_last_event_left():
    history, scheduler = watched(limit=5)
    await scheduler.spawn(forever())
    await (await scheduler.spawn(returns()))
    await asyncio.sleep(3 * STEP)
    await scheduler.spawn(forever())
    assert [point.running for point in history.points(now())] == [2, 1, 1, 2]
    await scheduler.close()


async def test_it_remembers_five_minutes():
    history, scheduler = watched()
    await scheduler.spawn(forever())
    await asyncio.sleep(STEP * STEPS * 2)
    assert history.points(now()) == [Point(1, 0, 0, 100, 0, 0)] * STEPS
    for _ in range(2 * STEPS):
        await (await scheduler.spawn(returns()))
        await asyncio.sleep(STEP)
    assert len(history.points(now())) == STEPS
    assert len(history._steps) <= STEPS
    await scheduler.close()


async def test_how_often_each_arrow_was_taken_and_how_jobs_have_ended():
    history, scheduler = watched(limit=1)
    await (await scheduler.spawn(returns()))
    await scheduler.spawn(fails(ValueError()))
    await settle()
    closed, dropped = await scheduler.spawn(forever()), await scheduler.spawn(forever())
    await dropped.close()
    await closed.close()
    await scheduler.spawn(forever(), timeout=1)
    await asyncio.sleep(2)
    assert history.arrows == {
        ">pending": 5,
        "pending>active": 4,
        "active>done": 2,
        "pending>closed": 1,
        "active>closing": 2,
        "closing>closed": 2,
    }
    assert history.outcomes == {
        "returned": 1,
        "raised": 1,
        "never_started": 1,
        "cancelled": 1,
        "timed_out": 1,
    }
    assert [(point.ended, point.failed) for point in history.points(now())] == [(5, 2), (0, 0)]
    await scheduler.close()


async def test_failures_are_told_with_their_tracebacks_the_newest_first():
    history, scheduler = watched()

    async def breaks():
        try:
            raise KeyError("first")
        except KeyError as exc:
            raise ValueError("second") from exc

    await scheduler.spawn(breaks(), "broken")
    await settle()
    await scheduler.spawn(forever(), timeout=1)
    await asyncio.sleep(2)
    late, broken = history.failures()
    assert isinstance(broken, Failure)
    assert (broken.name, broken.qualname) == ("broken", breaks.__qualname__)
    assert broken.text == "ValueError: second"
    assert "KeyError: 'first'" in broken.traceback
    assert "The above exception was the direct cause" in broken.traceback
    assert 'raise ValueError("second") from exc' in broken.traceback
    assert late.text.startswith("TimeoutError: ")
    assert late.at >= broken.at > 1e9
    await scheduler.close()


async def test_of_very_many_failures_the_last_ones_are_kept_and_only_some_are_looked_at():
    history, scheduler = watched(limit=None)
    for number in range(100):
        await scheduler.spawn(fails(ValueError(number)), f"job {number}")
    await settle()
    assert len(history.failures()) == 20
    assert history.points(now())[-1].failed == 100
    await asyncio.sleep(STEP)
    await scheduler.spawn(fails(ValueError("later")), "later")
    await settle()
    assert [failure.name for failure in history.failures()][:2] == ["later", "job 19"]
    await scheduler.close()


async def test_a_long_text_is_cut_off():
    history, scheduler = watched()
    await scheduler.spawn(fails(ValueError("x" * 100_000)))
    await settle()
    [failure] = history.failures()
    assert (len(failure.text), len(failure.traceback)) == (500, 10_000)
    await scheduler.close()


class Objects(Exception):  # noqa: N818 - it is a kind of them
    """It objects to being looked at, in every way."""

    def __str__(self):
        raise SystemExit

    __repr__ = __str__
    __notes__ = property(__str__)
    __cause__ = property(__str__)


async def test_an_exception_that_objects_changes_nothing():
    history, scheduler = watched()
    await scheduler.spawn(fails(Objects()), "hostile")
    await settle()
    [failure] = history.failures()
    assert (failure.name, failure.text) == ("hostile", "Objects, whose text can't be had")
    assert failure.traceback == ""
    assert history.outcomes == {"raised": 1}
    await scheduler.close()


async def test_nothing_is_kept_alive():
    history, scheduler = watched()
    error = ValueError("gone")

    async def breaks():
        raise error

    job = await scheduler.spawn(breaks())
    await settle()
    assert len(history.failures()) == 1
    await scheduler.close()
    scheduler.exception_handler.calls.clear()
    gone = [weakref.ref(job), weakref.ref(scheduler)]
    references = sys.getrefcount(error)
    del job, scheduler
    gc.collect()
    assert [each() for each in gone] == [None, None]
    assert sys.getrefcount(error) <= references
    assert history.scheduler is None
    assert history.points(now()) == []
    history(Record(None, Event.CLOSE, State.ACTIVE, State.CLOSED, now()))
    assert len(history._steps) > 0


async def test_it_looks_at_the_scheduler_that_it_was_attached_to_last():
    history = History()
    assert history.scheduler is None
    assert history.points(now()) == []
    first = Scheduler(observer=history, exception_handler=Recorder())
    await first.spawn(fails(ValueError()))
    await settle()
    second = Scheduler(observer=history)
    assert history.scheduler is second
    assert (history.arrows, history.outcomes, history.failures()) == ({}, {}, [])
    body = Body()
    await second.spawn(body.run())
    assert history.points(now()) == [Point(1, 0, 0, 100, 0, 0)]
    body.finish()
    await first.close()
    await second.close()
