"""Spawning is all or nothing, whatever comes between the call and its answer (SPAWN-1, SPAWN-2, SPAWN-5)."""

import asyncio
import inspect

import pytest

from aiojobs import JobClosed, PendingQueueFull, Scheduler
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, Counting, begin, books, forever, is_closed, returns

pytestmark = pytest.mark.requirement("SPAWN-1")


async def full(limit=1, pending_limit=1, **options):
    """A scheduler all of whose slots and places are taken, and the bodies and jobs that take them."""
    scheduler = Scheduler(limit=limit, pending_limit=pending_limit, **options)
    bodies = [Body() for _ in range(limit)]
    jobs = [await scheduler.spawn(body.run()) for body in bodies]
    jobs += [await scheduler.spawn(forever()) for _ in range(pending_limit)]
    await settle()
    return scheduler, bodies, jobs


def blocked(scheduler, coro, name=None):
    return asyncio.create_task(scheduler.spawn(coro, name))


# What spawn returns.


@pytest.mark.parametrize("limit", [1, 2])
async def test_spawn_returns_a_job_that_the_scheduler_contains(limit):
    scheduler = Scheduler(limit=limit)
    first, second = await scheduler.spawn(forever()), scheduler.spawn_nowait(forever())
    assert list(scheduler) == [first, second]
    assert [job.state for job in scheduler] == ["active", "active" if limit == 2 else "pending"]
    await scheduler.close()


async def test_spawn_does_not_give_way_to_anybody_unless_it_has_to_wait():
    scheduler = Scheduler(limit=1)
    ran = []
    asyncio.get_running_loop().call_soon(ran.append, "another callback")
    await scheduler.spawn(returns())
    await scheduler.spawn(returns())
    assert ran == []
    await scheduler.wait_and_close()


async def test_spawn_nowait_is_a_plain_function_and_works_from_a_callback():
    scheduler, jobs = Scheduler(), []
    asyncio.get_running_loop().call_soon(lambda: jobs.append(scheduler.spawn_nowait(returns(1))))
    await settle(1)
    assert not inspect.iscoroutinefunction(Scheduler.spawn_nowait)
    assert await jobs[0] == 1


async def test_a_spawn_that_is_never_awaited_leaves_nothing_but_pythons_own_warning():
    scheduler = Scheduler()
    inner = returns()
    call = scheduler.spawn(inner)
    with pytest.warns(RuntimeWarning, match="'Scheduler.spawn' was never awaited"):
        del call
    assert books(scheduler) == (0, 0, 0)
    assert not is_closed(inner)
    assert await (await scheduler.spawn(inner)) is None


# Refusals.


@pytest.mark.requirement("SPAWN-2")
@pytest.mark.parametrize("phase", ["closing", "closed"])
async def test_a_spawn_after_closing_began_is_refused_and_its_coroutine_closed(phase):
    scheduler = Scheduler(close_timeout=None)
    body = Body(swallows=1)
    await scheduler.spawn(body.run())
    await settle()
    closing = asyncio.create_task(scheduler.close())
    await settle()
    if phase == "closed":
        body.finish()
        await closing
    assert scheduler.phase == phase
    coros = [returns(), returns(), returns()]
    with pytest.raises(RuntimeError, match="Scheduling a new job after closing"):
        await scheduler.spawn(coros[0])
    with pytest.raises(RuntimeError, match="Scheduling a new job after closing"):
        scheduler.spawn_nowait(coros[1])
    with pytest.raises(RuntimeError, match="Shielding an awaitable after closing"):
        scheduler.shield(coros[2])
    assert all(map(is_closed, coros))
    assert books(scheduler)[0] == (1 if phase == "closing" else 0)
    if phase == "closing":
        body.finish()
        await closing


@pytest.mark.requirement("SPAWN-2")
async def test_a_shield_after_closing_leaves_a_future_alone():
    scheduler = Scheduler()
    await scheduler.close()
    future = asyncio.get_running_loop().create_future()
    with pytest.raises(RuntimeError, match="after closing"):
        scheduler.shield(future)
    assert not future.done()

    class Awaitable:
        def __await__(self):
            yield

    with pytest.raises(RuntimeError, match="after closing"):
        scheduler.shield(Awaitable())


@pytest.mark.requirement("SPAWN-5")
async def test_spawn_nowait_is_refused_exactly_when_spawn_would_wait():
    scheduler = Scheduler(limit=2, pending_limit=3)
    for _ in range(5):
        scheduler.spawn_nowait(forever())
    coro = returns()
    with pytest.raises(
        PendingQueueFull, match=r"all 2 slots and all 3 .* are taken; await spawn\(\) to wait for one"
    ):
        scheduler.spawn_nowait(coro)
    assert is_closed(coro)
    assert books(scheduler) == (2, 3, 0)
    next(iter(scheduler)).task.cancel()
    await settle()
    assert scheduler.spawn_nowait(forever()).pending
    await scheduler.close()


# Waiting outside, and leaving.


async def test_a_blocked_spawn_that_is_cancelled_leaves_nothing_behind():
    scheduler, _, jobs = await full()
    coro = returns()
    call = blocked(scheduler, coro)
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await call
    assert type(cancelled.value) is asyncio.CancelledError
    assert is_closed(coro)
    assert books(scheduler) == (1, 1, 0)
    assert list(scheduler) == jobs
    await scheduler.close()


async def test_a_spawn_in_a_task_that_is_cancelled_before_its_first_step_never_happens():
    scheduler = Scheduler()
    coro = returns()
    call = blocked(scheduler, coro)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert books(scheduler) == (0, 0, 0)
    assert not is_closed(coro)  # spawn was never entered: the coroutine is still the caller's
    coro.close()


async def test_a_blocked_spawn_that_times_out_leaves_nothing_behind():
    scheduler, _, _ = await full()
    coro = returns()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await scheduler.spawn(coro)
    assert is_closed(coro)
    assert books(scheduler) == (1, 1, 0)
    await scheduler.close()


async def test_a_blocked_spawn_whose_coroutine_is_destroyed_leaves_nothing_behind():
    scheduler, _, _ = await full()
    coro = returns()
    call = scheduler.spawn(coro)
    call.send(None)
    assert books(scheduler) == (1, 1, 1)
    call.close()
    assert is_closed(coro)
    assert books(scheduler) == (1, 1, 0)
    await scheduler.close()


class Window:
    """A blocked spawn in the moment between its admission and the waking of its caller.

    With limit 1 its job is in the queue by then; with limit 2, two slots having fallen free at once, the job
    has moved through the queue right into a slot.
    """

    def __init__(self, loop, limit, **options):
        self.loop, self.limit = loop, limit
        self.observer = Recorder()
        self.counting = Counting()
        self.coro = self.counting("mine")
        self.scheduler, self.bodies, self.jobs = loop.run(full(limit, observer=self.observer, **options))
        self.call = blocked(self.scheduler, self.coro, "mine")
        loop.settle()
        assert books(self.scheduler) == (limit, 1, 1)

    def admit(self):
        """Let slots fall free, and stop as soon as the job is accepted and has what it gets."""
        for body in self.bodies:
            body.finish()
        state = "pending" if self.limit == 1 else "active"
        self.loop.turn_until(lambda: self.job is not None and self.job.state == state)
        assert not self.call.done()
        return self

    @property
    def job(self):
        found = [
            record.job for record in self.observer.calls if record.job and record.job.get_name() == "mine"
        ]
        return found[0] if found else None

    def end(self):
        self.loop.run(self.scheduler.close())
        self.loop.settle()
        assert books(self.scheduler) == (0, 0, 0)
        assert is_closed(self.coro)


QUEUED, SEATED = 1, 2


@pytest.mark.requirement("LIMIT-2", "LIMIT-6", "START-2")
def test_a_spawn_cancelled_in_the_pass_in_which_its_job_was_queued_is_withdrawn(steps):
    window = Window(steps, QUEUED).admit()
    window.call.cancel()
    steps.settle()
    assert window.call.cancelled()
    assert is_closed(window.coro)
    assert list(window.scheduler) == [window.jobs[1]]
    assert (window.job.state, window.job.outcome) == ("closed", "never_started")
    assert window.observer.edges(window.job) == ["accept: - -> pending", "close: pending -> closed"]
    assert window.counting.ran == []
    window.end()


@pytest.mark.requirement("LIMIT-2", "LIMIT-6")
def test_a_spawn_cancelled_in_the_pass_in_which_its_job_even_got_a_slot_is_withdrawn(steps):
    window = Window(steps, SEATED).admit()
    window.call.cancel()
    steps.settle()
    assert window.call.cancelled()
    assert is_closed(window.coro)
    assert list(window.scheduler) == [window.jobs[2]]
    assert (window.job.state, window.job.outcome) == ("closed", "cancelled")
    assert window.observer.edges(window.job) == [
        "accept: - -> pending",
        "start: pending -> active",
        "close: active -> closing",
        "cancel: closing -> closed",
    ]
    assert window.counting.ran == []
    assert books(window.scheduler) == (1, 0, 0)
    window.end()


@pytest.mark.requirement("LIMIT-2", "LIMIT-4", "LIMIT-5")
@pytest.mark.parametrize("freed", ["slot", "place"])
@pytest.mark.parametrize("gone", [1, 2, 3])
def test_callers_cancelled_in_the_pass_in_which_something_falls_free_are_passed_over(steps, freed, gone):
    observer, counting, gate = Recorder(), Counting(), steps.create_future()
    scheduler = Scheduler(limit=1, pending_limit=1, observer=observer)
    steps.run(scheduler.spawn(counting("running", until=gate)))
    pending = steps.run(scheduler.spawn(counting("pending", 9)))
    coros = [counting(number, 9) for number in range(3)]
    calls = [blocked(scheduler, coro, str(number)) for number, coro in enumerate(coros)]
    steps.settle()
    observer.calls.clear()
    gate.set_result(None) if freed == "slot" else None
    for call in calls[:gone]:
        call.cancel()
    if freed == "place":
        begin(pending.close())
    steps.settle()
    assert [call.cancelled() for call in calls[:gone]] == [True] * gone
    assert all(map(is_closed, coros[:gone]))
    accepted = [record.job.get_name() for record in observer.calls if record.event == "accept"]
    assert accepted == [str(gone)] * (gone < 3)
    left = (1, 1, max(2 - gone, 0)) if gone < 3 else (1, 0, 0)
    assert books(scheduler) == left
    steps.run(scheduler.close())
    steps.run(asyncio.gather(*calls, return_exceptions=True))
    assert not set(counting.ran) & set(range(gone))


@pytest.mark.parametrize("limit", [QUEUED, SEATED])
def test_a_spawn_that_nobody_cancels_in_that_moment_returns_a_job_that_runs(steps, limit):
    window = Window(steps, limit).admit()
    steps.settle()
    assert window.call.result() is window.job
    if limit == SEATED:
        assert window.counting.ran == ["mine"]
        assert window.job.outcome == "returned"
    else:
        assert window.job.pending
    window.end()


@pytest.mark.requirement("LIMIT-2", "LIMIT-5")
@pytest.mark.parametrize("limit", [QUEUED, SEATED])
def test_what_a_withdrawn_spawn_had_goes_to_the_next_call(steps, limit):
    window = Window(steps, limit)
    other = blocked(window.scheduler, window.counting("other", 9), "other")
    steps.settle()
    window.admit()
    window.call.cancel()
    steps.settle()
    assert window.call.cancelled()
    assert other.result().state == ("pending" if limit == QUEUED else "active")
    assert books(window.scheduler) == (limit, 2 - limit, 0)
    assert window.counting.ran == ([] if limit == QUEUED else ["other"])
    window.end()


@pytest.mark.requirement("SPAWN-2", "SHUT-1")
@pytest.mark.parametrize("limit", [QUEUED, SEATED])
def test_a_spawn_that_has_not_returned_when_closing_begins_is_refused(steps, limit):
    window = Window(steps, limit).admit()
    closing = begin(window.scheduler.close())
    assert window.job.done()
    steps.settle()
    with pytest.raises(RuntimeError, match="Scheduling a new job after closing"):
        window.call.result()
    assert is_closed(window.coro)
    assert window.counting.ran == []
    assert window.job.outcome == ("never_started" if limit == QUEUED else "cancelled")
    assert closing.done()
    window.end()


@pytest.mark.requirement("SPAWN-2")
@pytest.mark.parametrize("limit", [QUEUED, SEATED])
@pytest.mark.parametrize("first", ["cancel", "close"])
def test_a_spawn_that_is_cancelled_and_refused_in_that_moment_is_cancelled_and_leaves_nothing(
    steps, limit, first
):
    window = Window(steps, limit).admit()
    if first == "cancel":
        window.call.cancel()
    closing = begin(window.scheduler.close())
    if first == "close":
        window.call.cancel()
    steps.settle()
    assert window.call.cancelled()
    assert closing.done()
    assert window.counting.ran == []
    window.end()


@pytest.mark.requirement("START-2", "CLOSE-3")
@pytest.mark.parametrize("limit", [QUEUED, SEATED])
def test_a_job_closed_in_that_moment_is_returned_as_ended_and_never_executes(steps, limit):
    window = Window(steps, limit).admit()
    closing = begin(window.job.close())
    steps.settle()
    assert closing.result() is None
    job = window.call.result()
    assert job is window.job
    assert (job.state, job.outcome) == ("closed", "never_started" if limit == QUEUED else "cancelled")
    with pytest.raises(JobClosed):
        steps.run(job.wait())
    assert window.counting.ran == []
    assert job not in window.scheduler
    window.end()


@pytest.mark.requirement("WAIT-3", "WAIT-4")
@pytest.mark.parametrize("limit", [QUEUED, SEATED])
def test_somebody_who_waits_for_a_job_that_is_withdrawn_is_told_so(steps, limit):
    window = Window(steps, limit).admit()
    waiting = begin(window.job.wait())
    window.call.cancel()
    steps.settle()
    with pytest.raises(asyncio.CancelledError) as told:
        waiting.result()
    assert type(told.value) is JobClosed
    window.end()


@pytest.mark.requirement("WAIT-2", "START-2")
def test_a_wait_that_expires_in_that_moment_closes_the_job_before_it_executes(steps):
    window = Window(steps, SEATED).admit()
    waiting = begin(window.job.wait(timeout=0))
    steps.turn()
    steps.run(asyncio.sleep(1))
    with pytest.raises(TimeoutError):
        waiting.result()
    assert window.job.done()
    window.end()


@pytest.mark.requirement("START-1")
def test_a_job_whose_spawn_returns_after_that_moment_executes_its_first_step_before_it_is_closed(steps):
    window = Window(steps, SEATED).admit()
    steps.turn_until(window.call.done)
    closing = begin(window.call.result().close())
    steps.settle()
    assert closing.done()
    assert window.counting.ran == ["mine"]
    window.end()


@pytest.mark.requirement("SPAWN-2", "SHUT-1")
async def test_spawns_that_wait_outside_when_closing_begins_are_refused_in_that_moment():
    scheduler, _, _ = await full()
    coros = [returns() for _ in range(3)]
    calls = [blocked(scheduler, coro) for coro in coros]
    await settle()
    assert books(scheduler) == (1, 1, 3)
    await scheduler.close()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [(type(answer), str(answer)) for answer in answers] == [
        (RuntimeError, "Scheduling a new job after closing")
    ] * 3
    assert all(map(is_closed, coros))
    assert books(scheduler) == (0, 0, 0)


@pytest.mark.requirement("SPAWN-2")
@pytest.mark.parametrize("first", ["cancel", "close"])
def test_a_spawn_that_is_cancelled_and_refused_while_it_waits_outside_is_cancelled_and_leaves_nothing(
    steps, first
):
    window = Window(steps, QUEUED)
    if first == "cancel":
        window.call.cancel()
    closing = begin(window.scheduler.close())
    if first == "close":
        window.call.cancel()
    steps.settle()
    assert window.call.cancelled()
    assert is_closed(window.coro)
    assert window.job is None
    assert closing.done()
    window.end()


@pytest.mark.requirement("LIMIT-2", "LIMIT-4")
async def test_two_blocked_spawns_cancelled_in_the_pass_of_their_admission_pass_it_on_to_the_third():
    scheduler, bodies, jobs = await full()
    counting = Counting()
    calls = [blocked(scheduler, counting(number), str(number)) for number in range(3)]
    await settle()
    calls[0].cancel()
    calls[1].cancel()
    bodies[0].finish()
    await settle()
    assert [call.cancelled() for call in calls] == [True, True, False]
    assert list(scheduler) == [jobs[1], calls[2].result()]
    assert books(scheduler) == (1, 1, 0)
    await jobs[1].close()
    await settle()
    assert counting.ran == [2]
    await scheduler.close()


@pytest.mark.requirement("LIMIT-2", "LIMIT-4", "LIMIT-5")
@pytest.mark.parametrize("cancelled", [[0, 1], [0], [1], [0, 1, 2]])
async def test_a_caller_that_was_cancelled_before_a_place_falls_free_is_never_let_in(cancelled):
    observer, counting = Recorder(), Counting()
    scheduler, _, jobs = await full(observer=observer)
    calls = [blocked(scheduler, counting(number)) for number in range(3)]
    await settle()
    for number in cancelled:
        calls[number].cancel()
    await jobs[1].close()  # does not give way: no cancelled caller has woken yet
    left = [call for number, call in enumerate(calls) if number not in cancelled]
    assert scheduler.pending_count == min(1, len(left))
    await settle()
    assert [call.cancelled() for call in calls] == [number in cancelled for number in range(3)]
    assert list(scheduler) == [jobs[0], *(call.result() for call in left[:1])]
    accepted = [record.job for record in observer.calls if record.event == "accept"]
    assert accepted == jobs + [call.result() for call in left[:1]]
    await scheduler.close()
    await asyncio.gather(*calls, return_exceptions=True)
    assert counting.ran == []


async def test_a_thousand_blocked_spawns_cancelled_at_once_leave_nothing_behind():
    scheduler, _, jobs = await full()
    coros = [returns() for _ in range(1000)]
    calls = [blocked(scheduler, coro) for coro in coros]
    await settle(2)
    assert books(scheduler) == (1, 1, 1000)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert all(map(is_closed, coros))
    assert books(scheduler) == (1, 1, 0)
    assert list(scheduler) == jobs
    await scheduler.close()
