"""What a signal does to the block and to the jobs, and when (SHUT-2, SHUT-4, SHUT-6)."""

import asyncio
import contextvars
import logging
import math
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiojobs import Scheduler
from aiojobs.signals import STOP_SIGNALS, stop_on_signals
from support.observing import Recorder
from unit.bodies import Body, Counting, clock, forever

TERM, INT = signal.SIGTERM, signal.SIGINT
EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")


async def take(seconds):
    await asyncio.sleep(seconds)


def signal_at(moment, signum=TERM):
    asyncio.get_running_loop().call_at(moment, signal.raise_signal, signum)


# Without a signal.


@pytest.mark.requirement("SHUT-6")
@pytest.mark.parametrize("signals", [None, STOP_SIGNALS, [TERM], [INT.value]])
async def test_without_a_signal_the_end_of_the_block_drains_and_closes(signals):
    scheduler, counting = Scheduler(limit=1), Counting()
    async with stop_on_signals(scheduler, signals=signals) as stop:
        for number in range(3):
            await scheduler.spawn(counting(number, 10))
    assert (clock(), counting.ran, scheduler.phase) == (30, [0, 1, 2], "closed")
    assert (stop.requested, stop.signum, stop.unfinished, stop.exit_status) == (False, None, (), 0)


@pytest.mark.requirement("SHUT-6")
async def test_without_a_signal_draining_ends_after_the_wait_timeout_of_the_scheduler(caplog):
    scheduler = Scheduler(wait_timeout=20)
    async with stop_on_signals(scheduler, grace=5) as stop:
        late = await scheduler.spawn(forever(), "late")
    assert (clock(), stop.unfinished, stop.exit_status) == (20, (late,), 1)
    assert caplog.messages == ["Closing dropped accepted work: 1 cancelled in 0 s (forever: 1 cancelled)"]


@pytest.mark.requirement("SHUT-6")
async def test_an_error_of_the_block_is_raised_when_the_jobs_have_ended():
    scheduler = Scheduler()
    with pytest.raises(ValueError, match="of the block"):
        async with stop_on_signals(scheduler):
            job = await scheduler.spawn(asyncio.sleep(3, "done"))
            raise ValueError("of the block")
    assert (clock(), job.result(), scheduler.phase) == (3, "done", "closed")


@pytest.mark.requirement("SHUT-6")
async def test_it_stands_inside_the_block_of_its_scheduler():
    async with Scheduler() as scheduler, stop_on_signals(scheduler) as stop:
        job = await scheduler.spawn(asyncio.sleep(3, "done"))
        signal.raise_signal(TERM)
        await forever()
    assert (clock(), job.result(), stop.exit_status) == (3, "done", 0)


# The first signal.


@pytest.mark.requirement("SHUT-4")
@pytest.mark.parametrize("signum", [TERM, INT])
@EVERYWHERE
async def test_the_first_signal_ends_the_block_and_what_was_accepted_is_done(signum, came_through):
    scheduler, counting = Scheduler(limit=1), Counting()
    after = False
    async with stop_on_signals(scheduler) as stop:
        for number in range(3):
            await scheduler.spawn(counting(number, 0.001))
        signal.raise_signal(signum)
        await forever()
        after = True
    assert not after
    assert (counting.ran, scheduler.phase) == ([0, 1, 2], "closed")
    assert (stop.requested, stop.signum, stop.unfinished, stop.exit_status) == (True, signum, (), 0)
    assert asyncio.current_task().cancelling() == 0
    assert came_through == []


@pytest.mark.requirement("SHUT-4", "SPAWN-1")
async def test_a_spawn_that_waits_for_a_place_is_withdrawn():
    scheduler, counting = Scheduler(limit=1, pending_limit=1), Counting()
    signal_at(1)
    async with stop_on_signals(scheduler):
        for number in range(3):
            await scheduler.spawn(counting(number, 4))
    assert (clock(), counting.ran) == (8, [0, 1])


@pytest.mark.requirement("SHUT-2", "SHUT-4")
async def test_the_jobs_have_the_grace_less_the_reserve_less_the_close_timeout(caplog):
    caplog.set_level(logging.INFO)
    scheduler = Scheduler(limit=2, close_timeout=2, exception_handler=Recorder())
    signal_at(100)
    async with stop_on_signals(scheduler, grace=30, reserve=3) as stop:
        await scheduler.spawn(asyncio.sleep(123), "in time")
        body = Body(swallows=1)
        late = await scheduler.spawn(body.run(), "late")
        done = await scheduler.spawn(asyncio.sleep(1, "done"), "queued")
        idle = await scheduler.spawn(asyncio.sleep(25), "idle")
        never = await scheduler.spawn(asyncio.sleep(25), "never")
        await forever()
    assert clock() == 100 + 30 - 3
    assert done.result() == "done"
    assert stop.unfinished == (late, idle, never)
    assert [late.state, idle.outcome, never.outcome] == ["closing", "cancelled", "never_started"]
    assert stop.exit_status == 128 + 15
    assert caplog.messages == [
        "SIGTERM: no more work is taken; jobs to finish: 5",
        (
            "Closing dropped accepted work: 1 cancelled, 1 never started, 1 late in 2 s "
            "(sleep: 1 cancelled, 1 never started; Body.run: 1 late)"
        ),
    ]
    body.finish()
    await late.wait()


@pytest.mark.requirement("SHUT-4")
@pytest.mark.parametrize(("wait_timeout", "ends"), [(5, 105), (None, 109), (1000, 109)])
async def test_a_shorter_wait_timeout_of_the_scheduler_still_holds(wait_timeout, ends):
    scheduler = Scheduler(wait_timeout=wait_timeout, close_timeout=0)
    signal_at(100)
    async with stop_on_signals(scheduler) as stop:
        job = await scheduler.spawn(forever())
        await forever()
    assert (clock(), stop.unfinished) == (ends, (job,))


@pytest.mark.requirement("SHUT-4")
async def test_endless_grace_waits_for_whatever_was_accepted():
    scheduler = Scheduler(wait_timeout=None)
    signal_at(1)
    async with stop_on_signals(scheduler, grace=math.inf) as stop:
        await scheduler.spawn(asyncio.sleep(10**4))
        await forever()
    assert (clock(), stop.exit_status) == (10**4, 0)


@pytest.mark.requirement("SHUT-2")
async def test_what_a_job_does_while_it_is_stopped_counts_as_finishing():
    async def stops_cleanly():
        try:
            await forever()
        except asyncio.CancelledError:
            return "saved"

    async def stops_badly():
        try:
            await forever()
        finally:
            raise OSError

    reports = Recorder()
    scheduler = Scheduler(exception_handler=reports)
    signal_at(1)
    async with stop_on_signals(scheduler) as stop:
        saved, _ = await scheduler.spawn(stops_cleanly()), await scheduler.spawn(stops_badly())
        await forever()
    assert (saved.result(), stop.unfinished, stop.exit_status) == ("saved", (), 0)
    assert reports.messages == ["Job processing failed"]


@pytest.mark.requirement("SHUT-4")
async def test_a_signal_that_comes_while_the_end_is_awaited_shortens_the_waiting():
    scheduler = Scheduler(wait_timeout=1000, close_timeout=0)
    signal_at(100)
    async with stop_on_signals(scheduler) as stop:
        job = await scheduler.spawn(forever())
    assert (clock(), stop.signum, stop.unfinished) == (109, TERM, (job,))


@pytest.mark.requirement("SHUT-4")
async def test_a_signal_lengthens_no_waiting():
    scheduler = Scheduler(wait_timeout=102)
    signal_at(100)
    async with stop_on_signals(scheduler) as stop:
        job = await scheduler.spawn(forever())
    assert (clock(), stop.unfinished) == (102, (job,))


# What the block does with it.


@pytest.mark.requirement("SHUT-2")
async def test_what_the_block_takes_to_end_counts():
    scheduler = Scheduler(close_timeout=0)
    signal_at(100)
    async with stop_on_signals(scheduler):
        await scheduler.spawn(forever())
        try:
            await forever()
        finally:
            await asyncio.sleep(8)
    assert clock() == 109


@pytest.mark.requirement("SHUT-2")
async def test_a_block_that_does_not_end_in_time_is_interrupted_again():
    scheduler = Scheduler(close_timeout=0)
    signal_at(100)
    async with stop_on_signals(scheduler) as stop:
        job = await scheduler.spawn(forever())
        try:
            await forever()
        finally:
            await forever()
    assert (clock(), stop.unfinished) == (109, (job,))
    assert asyncio.current_task().cancelling() == 0


async def test_a_block_that_swallows_the_interruption_sees_that_it_was_asked_to_end():
    scheduler = Scheduler()
    signal_at(100)
    async with stop_on_signals(scheduler) as stop:
        while not stop.requested:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
    assert (clock(), asyncio.current_task().cancelling()) == (101, 0)


async def test_an_error_that_the_block_makes_of_the_interruption_is_raised_after_draining():
    scheduler = Scheduler()
    signal_at(1)
    with pytest.raises(TimeoutError, match="of the block"):
        async with stop_on_signals(scheduler):
            job = await scheduler.spawn(asyncio.sleep(3, "done"))
            try:
                await forever()
            finally:
                raise TimeoutError("of the block")
    assert (clock(), job.result()) == (3, "done")


async def test_without_interruption_the_block_ends_by_itself():
    scheduler = Scheduler()
    signal_at(100)
    async with stop_on_signals(scheduler, grace=30, interrupt=False) as stop:
        while not stop.requested:
            await take(30)
    assert clock() == 120


@pytest.mark.requirement("SHUT-2")
async def test_without_interruption_the_block_has_as_much_time_as_the_jobs():
    scheduler = Scheduler(close_timeout=1)
    signal_at(100)
    async with stop_on_signals(scheduler, interrupt=False, grace=20):
        job = await scheduler.spawn(forever())
        await forever()
    assert (clock(), job.outcome) == (118, "cancelled")


async def test_a_signal_in_the_last_step_of_the_block_interrupts_nothing():
    scheduler = Scheduler()
    async with stop_on_signals(scheduler) as stop:
        signal.raise_signal(TERM)
    assert stop.requested, "the loop had no chance to tell, and it is known all the same"
    await asyncio.sleep(1)
    assert asyncio.current_task().cancelling() == 0


# Somebody else.


@pytest.mark.requirement("SHUT-6")
async def test_a_block_that_somebody_else_cancels_closes_at_once(caplog):
    async def main():
        async with stop_on_signals(scheduler) as stop:
            stops.append(stop)
            await scheduler.spawn(forever())
            await forever()

    scheduler, stops = Scheduler(), []
    task = asyncio.create_task(main())
    asyncio.get_running_loop().call_later(2, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (clock(), scheduler.phase) == (2, "closed")
    assert (len(stops[0].unfinished), len(caplog.messages)) == (1, 1)


@pytest.mark.requirement("SHUT-6")
async def test_draining_that_somebody_else_cancels_closes_at_once():
    async def main():
        async with stop_on_signals(scheduler) as stop:
            stops.append(stop)
            await scheduler.spawn(forever())

    scheduler, stops = Scheduler(), []
    task = asyncio.create_task(main())
    asyncio.get_running_loop().call_later(2, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (clock(), scheduler.phase, len(stops[0].unfinished)) == (2, "closed", 1)


@pytest.mark.requirement("SHUT-6")
async def test_a_cancellation_in_the_same_moment_as_the_signal_is_not_swallowed():
    async def main():
        async with stop_on_signals(scheduler):
            await forever()

    scheduler = Scheduler()
    task = asyncio.create_task(main())
    signal_at(2)
    asyncio.get_running_loop().call_at(2, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-6")
async def test_when_the_coroutine_is_destroyed_closing_is_begun():
    async def main():
        async with stop_on_signals(scheduler):
            job = await scheduler.spawn(forever())
            jobs.append(job)
            await forever()

    scheduler, jobs = Scheduler(), []
    coro = main()
    coro.send(None)
    coro.close()
    assert scheduler.phase == "closing"
    await scheduler.close()
    assert jobs[0].outcome == "cancelled"


# A second signal, and a third.


@pytest.mark.requirement("SHUT-2")
@EVERYWHERE
async def test_a_second_signal_closes_at_once_and_a_third_does_what_it_did_before(came_through, caplog):
    async def stubborn():
        try:
            await forever()
        finally:
            signal.raise_signal(INT)
            await asyncio.sleep(0)

    caplog.set_level(logging.INFO)
    scheduler = Scheduler(close_timeout=5)
    async with stop_on_signals(scheduler) as stop:
        job = await scheduler.spawn(stubborn())
        asyncio.get_running_loop().call_soon(signal.raise_signal, TERM)
        asyncio.get_running_loop().call_later(0.002, signal.raise_signal, INT)
        await forever()
    assert (stop.signum, stop.unfinished, stop.exit_status) == (TERM, (job,), 128 + 15)
    assert came_through == [INT]
    assert [message.partition(";")[0] for message in caplog.messages[:2]] == [
        "SIGTERM: no more work is taken",
        "SIGINT, again: closing",
    ]


@pytest.mark.requirement("SHUT-2")
async def test_a_second_signal_interrupts_the_end_of_the_block_too():
    scheduler = Scheduler()
    signal_at(1)
    signal_at(2, INT)
    async with stop_on_signals(scheduler):
        job = await scheduler.spawn(forever())
        try:
            await forever()
        finally:
            await forever()
    assert (clock(), job.outcome) == (2, "cancelled")


@pytest.mark.requirement("SHUT-2")
async def test_two_signals_in_one_moment_are_two():
    scheduler = Scheduler()
    async with stop_on_signals(scheduler):
        job = await scheduler.spawn(forever())
        signal.raise_signal(TERM)
        signal.raise_signal(INT)
        await forever()
    assert (clock(), job.outcome) == (0, "cancelled")
    assert asyncio.current_task().cancelling() == 0


async def test_a_signal_after_the_deadline_changes_nothing_for_a_block_that_still_ends():
    scheduler = Scheduler(close_timeout=0)
    signal_at(100)
    signal_at(110)
    async with stop_on_signals(scheduler):
        try:
            await forever()
        finally:
            try:
                await forever()
            finally:
                await asyncio.sleep(2)
    assert clock() == 109 + 2


async def test_a_signal_after_the_deadline_changes_nothing_for_jobs_that_still_stop():
    async def stops_slowly():
        try:
            await forever()
        finally:
            await asyncio.sleep(1)

    scheduler = Scheduler(close_timeout=2)
    signal_at(100)
    signal_at(107.5)
    async with stop_on_signals(scheduler) as stop:
        job = await scheduler.spawn(stops_slowly())
        await forever()
    assert (clock(), stop.unfinished) == (108, (job,))


# Handlers.


async def test_the_log_is_written_in_the_context_of_the_block():
    class Noting(logging.Handler):
        def emit(self, record):
            seen.append(request.get())

    async def job():
        request.set("of a job")
        signal.raise_signal(TERM)

    request, seen, noting = contextvars.ContextVar("request", default="of the block"), [], Noting()
    logger = logging.getLogger("aiojobs.signals")
    logger.addHandler(noting)
    logger.setLevel(logging.INFO)
    try:
        scheduler = Scheduler()
        async with stop_on_signals(scheduler):
            await scheduler.spawn(job())
            await forever()
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(noting)
    assert seen == ["of the block"]


async def test_the_loop_gets_up_twice_a_second_in_the_block_and_never_after_it(monkeypatch):
    loop, ups = asyncio.get_running_loop(), []
    call_later = loop.call_later

    def watched(delay, callback, *arguments, **options):
        return call_later(delay, lambda: (ups.append(loop.time()), callback(*arguments)), **options)

    monkeypatch.setattr(loop, "call_later", watched)
    async with stop_on_signals(Scheduler()):
        await asyncio.get_running_loop().create_task(_until(loop, 1.7))
    await _until(loop, 5)
    assert ups == [0.5, 1.0, 1.5]


async def _until(loop, moment):
    end = loop.create_future()
    loop.call_at(moment, end.set_result, None)
    await end


async def test_a_signal_that_is_ignored_stays_ignored(came_through):
    keep = signal.signal(INT, signal.SIG_IGN)
    try:
        async with stop_on_signals(Scheduler()) as stop:
            signal.raise_signal(INT)
            await asyncio.sleep(1)
        assert (clock(), stop.requested) == (1, False)
        assert signal.getsignal(INT) is signal.SIG_IGN
    finally:
        signal.signal(INT, keep)


async def test_a_handler_that_somebody_installs_meanwhile_stays():
    keep = signal.getsignal(TERM)
    async with stop_on_signals(Scheduler()):
        signal.signal(TERM, signal.SIG_IGN)
    assert signal.signal(TERM, keep) is signal.SIG_IGN


async def test_a_handler_that_python_did_not_install_becomes_the_default(monkeypatch):
    keep = signal.getsignal(TERM)
    monkeypatch.setattr(signal, "getsignal", lambda signum: None)
    block = stop_on_signals(Scheduler(), signals=[TERM])
    await block.__aenter__()
    monkeypatch.undo()
    await block.__aexit__(None, None, None)
    assert signal.signal(TERM, keep) is signal.SIG_DFL


def test_when_its_loop_is_gone_a_signal_does_what_it_did_before(came_through):
    loop = asyncio.new_event_loop()
    block = stop_on_signals(Scheduler())
    task = loop.create_task(block.__aenter__())
    loop.run_until_complete(task)
    loop.close()
    signal.raise_signal(TERM)
    assert came_through == [TERM]


def test_in_another_thread_it_says_what_to_do():
    async def main():
        with pytest.raises(RuntimeError, match="must be used in the main thread"):
            await stop_on_signals(Scheduler()).__aenter__()
        return "refused"

    with ThreadPoolExecutor() as threads:
        assert threads.submit(lambda: asyncio.run(main())).result() == "refused"


async def test_a_block_is_entered_once():
    block = stop_on_signals(Scheduler())
    async with block:
        pass
    with pytest.raises(RuntimeError, match="entered only once"):
        await block.__aenter__()


async def test_one_block_inside_another_is_refused(came_through):
    async with stop_on_signals(Scheduler()) as outer:
        with pytest.raises(RuntimeError, match="SIGINT ends another block"):
            await stop_on_signals(Scheduler(), signals=[INT, TERM]).__aenter__()
        signal.raise_signal(TERM)
        await forever()
    assert (outer.requested, came_through) == (True, [])


async def test_handlers_are_installed_all_or_none(came_through):
    with pytest.raises(OSError):
        await stop_on_signals(Scheduler(), signals=[TERM, signal.SIGKILL]).__aenter__()
    signal.raise_signal(TERM)
    assert came_through == [TERM]


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signals": ()}, "signals must name at least one"),
        ({"signals": [-1]}, "-1 is not a valid Signals"),
        ({"reserve": -1}, "reserve must be zero or more seconds, got -1"),
        ({"reserve": math.nan}, "reserve must be zero or more seconds, got nan"),
        ({"grace": 3.9}, "at least reserve plus close_timeout, 1.0 and 3 seconds, got 3.9"),
        ({"grace": math.nan}, "grace must be zero or more seconds, got nan"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        stop_on_signals(Scheduler(close_timeout=3), **arguments)


def test_a_scheduler_whose_closing_has_no_end_is_refused():
    with pytest.raises(ValueError, match="close_timeout, 1.0 and None seconds"):
        stop_on_signals(Scheduler(close_timeout=None), grace=math.inf)


def test_something_other_than_a_scheduler_is_refused():
    with pytest.raises(TypeError, match="scheduler must be"):
        stop_on_signals(asyncio.sleep)


def test_a_time_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="grace must be a number of seconds, got '30'"):
        stop_on_signals(Scheduler(), grace="30")


def test_the_signals_are_those_that_this_platform_has():
    names = {signum.name for signum in STOP_SIGNALS}
    assert names == {"SIGTERM", "SIGINT"} | ({"SIGBREAK"} & {signum.name for signum in signal.Signals})
