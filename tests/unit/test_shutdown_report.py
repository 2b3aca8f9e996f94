"""What a shutdown did to accepted work is told: by numbers that add up, and by one line in the log."""

import asyncio
import copy
import logging
import pickle
from abc import ABCMeta

import pytest

from aiojobs import Scheduler, ShutdownReport, Tally
from aiojobs.testing import settle
from support.inside import closing
from support.observing import Recorder
from unit.bodies import Body, Exotic, books, forever, returns

pytestmark = pytest.mark.requirement("SHUT-7")


def counts(tally):
    return (tally.finished, tally.cancelled, tally.never_started, tally.timed_out, tally.late)


async def test_every_job_that_had_not_ended_is_counted_once_and_by_name(caplog):
    handler = Recorder()
    scheduler = Scheduler(limit=4, close_timeout=2, exception_handler=handler)
    done = await scheduler.spawn(returns())
    await done
    stubborn, polite = Body(swallows=9), Body(swallows=1)
    await scheduler.spawn(stubborn.run())
    await scheduler.spawn(polite.run())
    for _ in range(4):
        await scheduler.spawn(forever())
    await settle()
    asyncio.get_running_loop().call_later(1, polite.finish)
    with caplog.at_level(logging.WARNING, "aiojobs"):
        report = await scheduler.close()
    assert counts(report) == (1, 2, 2, 0, 1)
    assert (report.total, report.dropped, report.seconds) == (6, 5, 2)
    assert {name: counts(tally) for name, tally in report.by_qualname.items()} == {
        "Body.run": (1, 0, 0, 0, 1),
        "forever": (0, 2, 2, 0, 0),
    }
    assert scheduler.shutdown_report is report
    assert await scheduler.close() is report
    [record] = caplog.records
    assert (record.name, record.levelname, record.shutdown_report) == ("aiojobs", "WARNING", report)
    assert record.getMessage() == (
        "Closing dropped accepted work: 1 finished, 2 cancelled, 2 never started, 1 late in 2 s "
        "(forever: 2 cancelled, 2 never started; Body.run: 1 finished, 1 late)"
    )
    stubborn.finish()
    await settle()
    assert scheduler.shutdown_report is report


async def test_before_closing_is_over_there_is_none():
    scheduler = Scheduler(close_timeout=None)
    body = Body(swallows=1)
    await scheduler.spawn(body.run())
    await settle()
    stopping = asyncio.ensure_future(scheduler.close())
    await settle()
    assert scheduler.shutdown_report is None
    body.finish()
    assert await stopping is scheduler.shutdown_report


async def test_all_who_close_get_the_same():
    scheduler = Scheduler()
    await scheduler.spawn(forever())
    reports = await asyncio.gather(scheduler.close(), scheduler.wait_and_close(), scheduler.close())
    assert {id(report) for report in reports} == {id(scheduler.shutdown_report)}


async def test_work_that_was_waited_for_is_nothing_to_tell(caplog):
    scheduler = Scheduler()
    await scheduler.spawn(asyncio.sleep(3))
    report = await scheduler.wait_and_close()
    assert (counts(report), report.total, caplog.records) == ((0, 0, 0, 0, 0), 0, [])
    assert str(report) == "nothing was left in 0 s"


async def test_a_loop_that_stops_in_time_is_counted_and_no_warning(caplog):
    scheduler = Scheduler()
    await scheduler.spawn(forever(), drain=False)
    report = await scheduler.close()
    assert (counts(report), report.dropped, caplog.records) == ((0, 1, 0, 0, 0), 0, [])


async def test_a_loop_that_is_late_is_a_warning(caplog):
    scheduler, body = Scheduler(exception_handler=Recorder()), Body(swallows=9)
    await scheduler.spawn(body.run(), drain=False)
    await settle()
    await scheduler.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    body.finish()
    await settle()


@pytest.mark.requirement("SPAWN-2")
async def test_a_call_that_was_blocked_was_not_accepted():
    scheduler = Scheduler(limit=1, pending_limit=1)
    body = Body()
    await scheduler.spawn(body.run())
    await scheduler.spawn(forever())
    outside = [asyncio.ensure_future(scheduler.spawn(forever())) for _ in range(2)]
    await settle()
    body.finish()
    while scheduler.blocked_count == 2:  # noqa: ASYNC110 - a loop pass is what is counted
        await asyncio.sleep(0)
    report = await scheduler.close()
    assert report.total == 1
    assert {type(call.exception()) for call in outside} == {RuntimeError}


async def test_many_names_are_cut_in_the_log_and_not_in_the_report():
    scheduler = Scheduler()

    def named(number):
        async def body():
            await forever()

        body.__qualname__ = f"body_{number}"
        coro = body()
        coro.__qualname__ = f"body_{number}"
        return coro

    for number in range(7):
        await scheduler.spawn(named(number))
    report = await scheduler.close()
    assert len(report.by_qualname) == 7
    assert str(report).endswith("; 2 more)")


@pytest.mark.requirement("BOOK-4")
async def test_a_log_that_fails_stops_nothing():
    class Broken(logging.Handler):
        def emit(self, _record):
            raise OSError("disk full")

        def handle(self, record):
            self.emit(record)

    broken, logger = Broken(), logging.getLogger("aiojobs")
    logger.addHandler(broken)
    try:
        scheduler = Scheduler()
        await scheduler.spawn(forever())
        report = await scheduler.close()
    finally:
        logger.removeHandler(broken)
    assert (report.cancelled, scheduler.phase) == (1, "closed")
    loop = asyncio.get_running_loop()
    assert [str(complaint["exception"]) for complaint in loop.complaints] == ["disk full"]
    loop.complaints.clear()


@pytest.mark.requirement("BOOK-4", "SHUT-3")
@pytest.mark.parametrize("begun", [False, True], ids=["as it begins", "as it ends"])
async def test_a_clock_that_closes_the_scheduler_closes_it_once(begun, monkeypatch):
    """Foreign code of a loop, asked for the time when closing begins and when it is over."""
    loop, busy = asyncio.get_running_loop(), []
    scheduler = Scheduler()
    await scheduler.spawn(forever())
    await settle()

    def time():
        if not busy and scheduler.closed is begun and not (begun and len(scheduler)):
            busy.append(True)
            if begun:
                closing(scheduler).consider()
            else:
                scheduler.close().send(None)
        return 0.0

    monkeypatch.setattr(loop, "time", time)
    report = await scheduler.close()
    assert busy
    assert (report.cancelled, report.total, scheduler.phase) == (1, 1, "closed")


@pytest.mark.requirement("BOOK-4", "SEE-1")
async def test_a_loop_that_cannot_tell_the_time_keeps_nothing_from_observers(monkeypatch):
    loop, records = asyncio.get_running_loop(), Recorder()
    scheduler = Scheduler(observer=records)

    def time():
        raise OSError("no clock")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", time)
        job = await scheduler.spawn(returns(1))
        assert await job == 1
        report = await Scheduler().close()
    assert [(record.event, record.time) for record in records.calls] == [
        ("accept", 0),
        ("start", 0),
        ("finish", 0),
    ]
    assert report.seconds == 0
    assert {str(complaint["exception"]) for complaint in loop.complaints} == {"no clock"}
    loop.complaints.clear()
    await scheduler.close()
    assert [record.event for record in records.calls][3:] == ["close", "settled"]


def test_a_report_is_a_value_that_cannot_be_changed():
    tally = Tally({"finished": 2, "late": 1})
    report = ShutdownReport({"finished": 2, "late": 1}, 1, 0.5, {"work": tally})
    for value, name in ((tally, "late"), (report, "seconds"), (report, "by_qualname")):
        with pytest.raises(AttributeError, match="can't be changed"):
            setattr(value, name, 5)
        with pytest.raises(AttributeError, match="can't be changed"):
            delattr(value, name)
        assert copy.copy(value) == pickle.loads(pickle.dumps(value)) == value
        assert hash(copy.copy(value)) == hash(value)
    with pytest.raises(TypeError):
        report.by_qualname["more"] = tally
    assert report != tally
    assert (tally.total, report.total) == (3, 3)
    assert repr(tally) == "Tally(finished=2, cancelled=0, never_started=0, timed_out=0, late=1)"
    assert repr(report) == (
        "ShutdownReport(finished=2, cancelled=0, never_started=0, timed_out=0, late=1, dropped=1, "
        "seconds=0.5)"
    )


class Awkward(str):
    """A name that can't be counted."""

    __slots__ = ()

    def __hash__(self):
        raise LookupError("mine")


class Nameless(ABCMeta):
    """A class that does not tell its name."""

    def __getattribute__(cls, name):
        if name == "__qualname__":
            raise LookupError("mine")
        return super().__getattribute__(name)


class Stranger(Exotic, metaclass=Nameless):
    """A coroutine of a kind of its own."""


class Lying(Exotic):
    """A coroutine whose name is no string, and says that it is one."""

    def __getattr__(self, name):
        class Liar:
            __class__ = str

        return Liar()


@pytest.mark.requirement("BOOK-4", "BOOK-1")
@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("kind", ["Awkward", "Stranger", "Lying"])
async def test_what_coroutines_are_called_can_stop_nothing(kind, limit):
    scheduler = Scheduler(limit=limit, close_timeout=1)
    for _ in range(2):
        if kind == "Awkward":
            coro = forever()
            await scheduler.spawn(coro)
            coro.__qualname__ = Awkward("awkward")
        else:
            await scheduler.spawn(globals()[kind](forever()))
    await settle()
    report = await scheduler.close()
    assert (counts(report), books(scheduler)) == ((0, limit, 2 - limit, 0, 0), (0, 0, 0))
    assert set(report.by_qualname) == {"awkward" if kind == "Awkward" else kind}
    assert {type(name) for name in report.by_qualname} == {str}
