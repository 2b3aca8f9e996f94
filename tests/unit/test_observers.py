"""What the observer is told: every acceptance, transition and phase, once, in order, with its time."""

import asyncio
from contextlib import suppress

import pytest

from aiojobs import Event, Phase, PhaseEvent, Record, Scheduler, State
from aiojobs.testing import settle
from support.observing import Complaints, Recorder
from unit.bodies import Body, books, fails, forever, returns

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


def told(observer, **names):
    """The records as short lines: whose, what, from where to where."""
    known = {job: name for name, job in names.items()}
    return [
        f"{known.get(record.job, 'scheduler')}: {record.event} {record.source or '-'} {record.dest}"
        for record in observer.calls
    ]


async def test_a_record_has_job_event_states_and_time_and_is_immutable():
    observer = Recorder()
    scheduler = Scheduler(observer=observer)
    await asyncio.sleep(2)
    job = await scheduler.spawn(returns())
    accept, start = observer.calls
    assert accept == Record(job, "accept", None, State.PENDING, 2)
    assert start == (job, Event.START, State.PENDING, State.ACTIVE, 2)
    assert Record._fields == ("job", "event", "source", "dest", "time")
    with pytest.raises(AttributeError):
        accept.time = 3
    await scheduler.close()


@EVERYWHERE
async def test_the_records_of_a_job_that_returns():
    observer = Recorder()
    scheduler = Scheduler(observer=observer)
    job = await scheduler.spawn(returns())
    await job
    assert told(observer, job=job) == [
        "job: accept - pending",
        "job: start pending active",
        "job: finish active done",
    ]


@EVERYWHERE
async def test_the_records_of_jobs_that_fail_are_cancelled_or_never_start():
    observer = Recorder()
    scheduler = Scheduler(limit=1, observer=observer, exception_handler=Recorder())
    failed = await scheduler.spawn(fails(ValueError()))
    await settle()
    closed = await scheduler.spawn(forever())
    dropped = await scheduler.spawn(forever())
    await dropped.close()
    await closed.close()
    assert told(observer, failed=failed, closed=closed, dropped=dropped) == [
        "failed: accept - pending",
        "failed: start pending active",
        "failed: finish active done",
        "closed: accept - pending",
        "closed: start pending active",
        "dropped: accept - pending",
        "dropped: close pending closed",
        "closed: close active closing",
        "closed: cancel closing closed",
    ]


@pytest.mark.requirement("CLOSE-3")
async def test_a_no_op_is_no_transition():
    observer = Recorder()
    scheduler, body = Scheduler(observer=observer), Body(swallows=1)
    job = await scheduler.spawn(body.run())
    await settle()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await job.close(timeout=1)
    body.finish()
    await job
    await job.close()
    assert told(observer, job=job) == [
        "job: accept - pending",
        "job: start pending active",
        "job: close active closing",
        "job: finish closing closed",
    ]


@pytest.mark.requirement("LIMIT-2", "LIMIT-4", "LIMIT-5")
async def test_the_end_of_a_job_is_told_before_the_start_of_the_next_and_that_before_who_moves_up():
    observer = Recorder()
    scheduler, body = Scheduler(limit=1, pending_limit=1, observer=observer), Body()
    first = await scheduler.spawn(body.run())
    second = await scheduler.spawn(forever())
    call = asyncio.create_task(scheduler.spawn(forever()))
    await settle()
    observer.calls.clear()
    body.finish()
    await settle()
    third = call.result()
    assert told(observer, first=first, second=second, third=third) == [
        "first: finish active done",
        "second: start pending active",
        "third: accept - pending",
    ]
    await scheduler.close()


@pytest.mark.requirement("SHUT-1", "SHUT-2")
async def test_the_records_of_a_shutdown():
    observer = Recorder()
    scheduler = Scheduler(
        limit=2, pending_limit=1, observer=observer, close_timeout=3, exception_handler=Recorder()
    )
    good, late = Body(), Body(swallows=9)
    jobs = {
        "good": await scheduler.spawn(good.run()),
        "late": await scheduler.spawn(late.run()),
        "dropped": await scheduler.spawn(forever()),
    }
    refused = asyncio.create_task(scheduler.spawn(returns()))
    await settle()
    observer.calls.clear()
    await scheduler.close()
    late.finish()
    await settle()
    assert told(observer, **jobs) == [
        "scheduler: close open closing",
        "dropped: close pending closed",
        "good: close active closing",
        "late: close active closing",
        "good: cancel closing closed",
        "scheduler: settled closing closed",
        "late: finish closing closed",
    ]
    phases = [record for record in observer.calls if record.job is None]
    assert [type(record.event) for record in phases] == [PhaseEvent, PhaseEvent]
    assert [type(record.dest) for record in phases] == [Phase, Phase]
    assert [record.time for record in phases] == [0, 3]
    await asyncio.gather(refused, return_exceptions=True)


@pytest.mark.requirement("SHUT-3")
async def test_each_phase_is_told_once_however_often_it_is_closed():
    observer = Recorder()
    scheduler = Scheduler(observer=observer)
    await asyncio.gather(scheduler.close(), scheduler.close(), scheduler.wait_and_close())
    await scheduler.close()
    assert told(observer) == ["scheduler: close open closing", "scheduler: settled closing closed"]


@pytest.mark.requirement("SPAWN-1", "SPAWN-2", "SPAWN-5")
async def test_nothing_is_told_of_what_was_refused():
    observer = Recorder()
    scheduler = Scheduler(limit=1, pending_limit=1, observer=observer)
    for _ in range(2):
        await scheduler.spawn(forever())
    call = asyncio.create_task(scheduler.spawn(returns()))
    await settle()
    observer.calls.clear()
    call.cancel()
    with pytest.raises(asyncio.QueueFull):
        scheduler.spawn_nowait(returns())
    with pytest.raises(TypeError):
        scheduler.spawn_nowait(None)
    await settle()
    assert observer.calls == []
    await scheduler.close()
    observer.calls.clear()
    with pytest.raises(RuntimeError):
        scheduler.spawn_nowait(returns())
    assert observer.calls == []


@pytest.mark.requirement("SPAWN-1")
async def test_the_records_of_a_job_whose_task_could_not_be_made():
    observer, loop = Recorder(), asyncio.get_running_loop()

    def factory(loop, coro, **options):
        raise OSError("no more tasks")

    scheduler = Scheduler(observer=observer)
    before = loop.get_task_factory()
    loop.set_task_factory(factory)
    with pytest.raises(OSError, match="no more tasks"):
        await scheduler.spawn(returns())
    loop.set_task_factory(before)
    job = observer.calls[0].job
    assert told(observer, job=job) == [
        "job: accept - pending",
        "job: start pending active",
        "job: finish active done",
    ]


@pytest.mark.requirement("LIMIT-1", "LIMIT-2", "BOOK-1")
async def test_the_records_alone_tell_how_many_run_and_wait():
    """Counting records gives what the scheduler says of itself, at every boundary of a long mixed story."""
    observer = Recorder()
    scheduler = Scheduler(limit=3, pending_limit=4, observer=observer, exception_handler=Recorder())
    counts = {"pending": 0, "active": 0, "closing": 0, "done": 0, "closed": 0}

    def count():
        for record in observer.calls:
            if record.job is not None:
                counts[record.dest] += 1
                if record.source is not None:
                    counts[record.source] -= 1
        observer.calls.clear()
        assert (counts["active"] + counts["closing"], counts["pending"]) == books(scheduler)[:2]

    calls = []
    for number in range(40):
        make = [returns, lambda: fails(KeyError()), lambda: asyncio.sleep(0.5), forever][number % 4]
        calls.append(asyncio.create_task(scheduler.spawn(make())))
        await settle(number % 3)
        count()
        for job in list(scheduler)[number % 5 :: 5]:
            with suppress(KeyError):
                await job.close()
            count()
    await scheduler.wait_and_close(timeout=5)
    count()
    await asyncio.gather(*calls, return_exceptions=True)
    assert counts["pending"] == counts["active"] == counts["closing"] == 0


@pytest.mark.requirement("EXC-2")
@pytest.mark.parametrize("error", [ValueError("o"), asyncio.CancelledError("o"), GeneratorExit("o")])
async def test_an_observer_that_raises_changes_nothing_and_the_loop_hears_of_its_error(error):
    observer = Recorder(raises=error)
    scheduler = Scheduler(limit=1, pending_limit=1, observer=observer)
    with Complaints() as complaints:
        first, second = await scheduler.spawn(forever()), await scheduler.spawn(returns("second"))
        call = asyncio.create_task(scheduler.spawn(forever()))
        await settle()
        await first.close()
        assert await second == "second"
        await settle()
        assert books(scheduler) == (1, 0, 0)
        await scheduler.close()
    assert scheduler.phase == "closed"
    assert call.result().outcome == "cancelled"
    assert complaints.calls == [
        {"message": "Unhandled error in observer of a scheduler", "exception": error}
    ] * len(observer.calls)
    assert len(observer.calls) == 13


@pytest.mark.requirement("EXC-2", "LIMIT-6")
@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt])
def test_an_observer_that_exits_stops_the_loop_and_every_step_under_way_is_finished(steps, interrupt):
    observer = Recorder(raises=interrupt("o"))
    scheduler = Scheduler(limit=1, observer=observer)

    async def main():
        jobs = [await scheduler.spawn(returns(1)), await scheduler.spawn(returns(2))]
        answers = [await job for job in jobs]
        await scheduler.close()
        return answers

    task = asyncio.ensure_future(main())
    interrupts = 0
    while not task.done() or not steps.quiet():
        try:
            steps.turn()
        except interrupt:
            interrupts += 1
    assert task.result() == [1, 2]
    assert interrupts == len(observer.calls) == 8
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("COST-1")
async def test_without_an_observer_nothing_is_made_for_it(monkeypatch):
    import aiojobs._reporting

    monkeypatch.setattr(aiojobs._reporting, "Record", None)
    scheduler = Scheduler(limit=1)
    jobs = [await scheduler.spawn(returns()), await scheduler.spawn(forever())]
    await jobs[1].close()
    await scheduler.close()
    assert [job.done() for job in jobs] == [True, True]
