"""Functions that are called at an interval, and functions that are kept running."""

import asyncio
import logging
import random

import pytest

from aiojobs import Outcome, Scheduler
from aiojobs.loops import every, supervise


class Calls:
    """An async function without arguments that notes when it is called."""

    def __init__(self, seconds=0.0, fails_at=(), most=None):
        self.seconds = seconds
        self.fails_at = fails_at
        self.most = most
        self.times = []

    async def __call__(self):
        self.times.append(now())
        if len(self.times) == self.most:
            raise Stop
        await asyncio.sleep(self.seconds)
        if len(self.times) in self.fails_at:
            raise OSError(len(self.times))
        return len(self.times)


class Stop(BaseException):
    """The end of a test."""


def now():
    return asyncio.get_running_loop().time()


async def times(calls, *arguments, **more):
    """When they were called, until there were enough."""
    with pytest.raises(Stop):
        await every(*arguments, calls, **more)
    return calls.times


# --- every --------------------------------------------------------------------------------------------------


async def test_it_is_called_at_once_and_then_at_the_interval():
    assert await times(Calls(most=4), 10) == [0, 10, 20, 30]


async def test_the_first_call_may_come_later():
    assert await times(Calls(most=3), 10, first=3) == [3, 13, 23]


async def test_the_grid_does_not_drift_however_long_it_runs():
    seen = await times(Calls(seconds=0.07, most=10_000), 0.1)
    assert seen == pytest.approx([turn * 0.1 for turn in range(10_000)], abs=1e-9)


async def test_moments_that_pass_during_a_call_are_skipped_and_the_grid_kept():
    assert await times(Calls(seconds=25, most=4), 10) == [0, 30, 60, 90]


async def test_a_call_that_ends_at_a_moment_is_followed_by_the_next():
    assert await times(Calls(seconds=20, most=3), 10) == [0, 20, 40]


async def test_jitter_makes_calls_late_and_moves_no_grid():
    delays = iter([1, 0, 4, 2])
    assert await times(Calls(most=4), 10, jitter=lambda: next(delays)) == [1, 10, 24, 32]


async def test_jitter_is_at_random_within_its_bound():
    random.seed(1)
    late = [moment - 10 * turn for turn, moment in enumerate(await times(Calls(most=200), 10, jitter=2))]
    assert 0 <= min(late) < 0.1
    assert 1.9 < max(late) <= 2


@pytest.mark.requirement("EXC-1")
async def test_a_failure_ends_it():
    with pytest.raises(OSError, match="^3"):
        await every(10, Calls(fails_at=[3]))
    assert now() == 20


async def test_others_run_even_if_it_never_waits():
    ticker = asyncio.create_task(every(1e-12, Calls()))
    await asyncio.sleep(0)
    ticker.cancel()
    await asyncio.wait([ticker])
    assert ticker.cancelled()


@pytest.mark.requirement("SHUT-8")
async def test_draining_stops_it_when_the_work_is_done():
    calls = Calls()
    async with Scheduler() as scheduler:
        ticker = await scheduler.spawn(every(1, calls), drain=False)
        await scheduler.spawn(asyncio.sleep(2.5))
    assert (calls.times, ticker.outcome, now()) == ([0, 1, 2], Outcome.CANCELLED, 2.5)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"seconds": 0}, ValueError, "seconds must be more than zero seconds, got 0"),
        ({"seconds": "1"}, TypeError, "seconds must be a number of seconds, got '1'"),
        ({"seconds": float("nan")}, ValueError, "seconds must be more than zero"),
        ({"seconds": float("inf")}, ValueError, "seconds must be more than zero"),
        ({"first": -1}, ValueError, "first must be zero or more seconds, got -1"),
        ({"jitter": True}, TypeError, "jitter must be a number"),
        ({"function": None}, TypeError, "function must be callable, got None"),
    ],
)
async def test_what_makes_no_sense_is_refused(change, error, match):
    arguments = {"seconds": 1, "function": Calls(), **change}
    with pytest.raises(error, match=match):
        await every(**arguments)


# --- supervise ----------------------------------------------------------------------------------------------


async def test_what_returns_has_returned():
    assert await supervise(Calls()) == 1


async def test_what_fails_is_called_again_after_a_while(caplog):
    calls = Calls(fails_at=[1, 2])
    with caplog.at_level(logging.WARNING, "aiojobs.loops"):
        assert await supervise(calls, backoff=3) == 3
    assert calls.times == [0, 3, 6]
    assert [record.getMessage() for record in caplog.records] == [
        "Calls failed (1 of 5 in 60 s): called again in 3 s",
        "Calls failed (2 of 5 in 60 s): called again in 3 s",
    ]
    assert [repr(record.exc_info[1]) for record in caplog.records] == ["OSError(1)", "OSError(2)"]


@pytest.mark.requirement("EXC-1")
async def test_the_failure_that_is_one_too_many_is_raised_and_says_so():
    calls = Calls(fails_at=range(100))
    with pytest.raises(OSError, match="^3") as caught:
        await supervise(calls, most=2, within=10)
    assert (len(calls.times), now()) == (3, 2)
    assert caught.value.__notes__ == ["Failure 3; 2 restarts in 10 s are allowed, so none follows."]


@pytest.mark.requirement("EXC-1")
async def test_failures_of_long_ago_do_not_count():
    calls = Calls(fails_at=range(100), most=50)
    with pytest.raises(Stop):
        await supervise(calls, backoff=5, most=2, within=10)
    assert now() == 49 * 5


async def test_all_count_if_there_is_no_time_and_none_if_there_is_no_number(caplog):
    with pytest.raises(OSError, match="^4"):
        await supervise(Calls(fails_at=range(100)), backoff=1000, most=3, within=None)
    with pytest.raises(Stop):
        await supervise(Calls(fails_at=range(100), most=100), most=None)
    assert caplog.records[-1].getMessage() == "Calls failed (60 in 60 s): called again in 1 s"
    assert caplog.records[0].getMessage() == "Calls failed (1 of 3): called again in 1000 s"


async def test_the_pause_may_grow():
    asked = []

    def pause(number):
        asked.append(number)
        return 2**number

    calls = Calls(fails_at=[1, 2, 3])
    await supervise(calls, backoff=pause)
    assert (asked, calls.times) == ([1, 2, 3], [0, 2, 6, 14])


async def test_no_restart_may_be_allowed():
    with pytest.raises(OSError, match="^1"):
        await supervise(Calls(fails_at=[1]), most=0)


async def test_what_is_no_exception_ends_it():
    with pytest.raises(Stop):
        await supervise(Calls(most=1))


@pytest.mark.requirement("CLOSE-1")
async def test_a_close_ends_it_wherever_it_is():
    for seconds in (1, 5):
        async with Scheduler() as scheduler:
            calls = Calls(seconds=2, fails_at=range(100))
            job = await scheduler.spawn(supervise(calls, backoff=10), drain=False)
            await asyncio.sleep(seconds)
            await job.close()
            assert (job.outcome, len(calls.times)) == (Outcome.CANCELLED, 1)


async def test_a_ticker_that_fails_is_restarted():
    calls = Calls(fails_at=[2])
    async with Scheduler() as scheduler:
        await scheduler.spawn(supervise(lambda: every(10, calls), backoff=3), drain=False)
        await scheduler.spawn(asyncio.sleep(35))
    assert calls.times == [0, 10, 13, 23, 33]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"function": 5}, TypeError, "function must be callable, got 5"),
        ({"backoff": -1}, ValueError, "backoff must be zero or more seconds, got -1"),
        ({"most": -1}, ValueError, "most must be at least 0"),
        ({"within": 0}, ValueError, "within must be more than zero seconds"),
    ],
)
async def test_arguments_that_make_no_sense_are_refused(change, error, match):
    with pytest.raises(error, match=match):
        await supervise(**{"function": Calls(), **change})
