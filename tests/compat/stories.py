"""What has to come right under every tool: one set of stories, told once per package.

A file of this folder has a fixture `tool`, imports `test_story`, and so is told all of them. A story is a
program: it runs from its beginning to its end under the tool, and ends with a scheduler whose slots are free
and a loop that has nothing to complain about.
"""

import asyncio
import contextvars
import functools
import gc
import time

import pytest

import aiojobs
from aiojobs.testing import settle
from compat.bodies import Failure
from support.observing import Complaints, Recorder

__all__ = ("STORIES", "all_slots_are_free", "tell", "test_story")

Scheduler = functools.partial(aiojobs.Scheduler, close_timeout=5)
"""A scheduler that is patient with a machine that is busy; time is real here."""

STORIES = []
"""All stories, each with the requirements that it speaks for."""


def story(*ids):
    def remember(function):
        STORIES.append(pytest.param(function, id=function.__name__, marks=pytest.mark.requirement(*ids)))
        return function

    return remember


@pytest.mark.parametrize("story", STORIES)
def test_story(story, tool):
    tell(story, tool)


def tell(story, tool):
    """Run one story as a program under the tool."""
    tool.run(functools.partial(_told, story, tool))
    gc.collect()


async def _told(story, tool):
    with Complaints() as complaints:
        async with asyncio.timeout(tool.patience):
            await story(tool)
        await settle()
        gc.collect()  # a task that was lost, or an exception that nobody took, complains when it is freed
        await settle(3)
    assert [f"{call['message']}: {call.get('exception')!r}" for call in complaints.calls] == []


async def all_slots_are_free(scheduler):
    """Nothing runs or waits, and as many jobs as the limit says can run at once, and not one more."""
    await settle()
    assert (len(scheduler), scheduler.active_count, scheduler.pending_count) == (0, 0, 0)
    arrived, event = [], asyncio.Event()
    jobs = [await scheduler.spawn(_arrives(arrived, event)) for _ in range(scheduler.limit + 1)]
    await settle()
    assert (len(arrived), scheduler.active_count, scheduler.pending_count) == (
        scheduler.limit,
        scheduler.limit,
        1,
    )
    event.set()
    for job in jobs:
        await job
    assert (len(arrived), scheduler.active_count) == (scheduler.limit + 1, 0)


async def _arrives(arrived, event):
    arrived.append(None)
    await event.wait()


# --- Running ------------------------------------------------------------------------------------------------


@story("START-3", "WAIT-5")
async def a_job_runs_and_returns(tool):
    async with Scheduler(limit=2) as scheduler:
        job = await scheduler.spawn(tool.bodies.yields(42))
        assert job.active
        assert await job == 42
        assert (job.state, job.outcome, job.result(), job.exception()) == ("done", "returned", 42, None)
        assert await job.wait() == 42
        await all_slots_are_free(scheduler)


@story("START-3")
async def a_job_that_never_suspends_runs_too(tool):
    async with Scheduler(limit=1) as scheduler:
        jobs = [await scheduler.spawn(tool.bodies.returns(n)) for n in range(3)]
        assert [await job for job in jobs] == [0, 1, 2]
        await all_slots_are_free(scheduler)


@story("SPAWN-5", "START-3")
async def a_callback_of_the_loop_can_spawn(tool):
    async with Scheduler(limit=1, pending_limit=1) as scheduler:
        jobs = []
        loop = asyncio.get_running_loop()
        for n in range(2):
            loop.call_soon(lambda n: jobs.append(scheduler.spawn_nowait(tool.bodies.yields(n))), n)
        await settle()
        assert [await job for job in jobs] == [0, 1]
        await all_slots_are_free(scheduler)


@story("LIMIT-1", "LIMIT-2", "LIMIT-5", "START-3")
async def a_queued_job_starts_when_a_slot_is_free(tool):
    async with Scheduler(limit=1) as scheduler:
        logs = [[], [], []]
        events = [asyncio.Event() for _ in logs]
        jobs = [await scheduler.spawn(tool.bodies.waits(events[n], n, logs[n])) for n in range(3)]
        await settle()
        assert (logs, [job.state for job in jobs]) == ([["began"], [], []], ["active", "pending", "pending"])
        events[0].set()
        await settle()
        assert (logs, jobs[1].state) == ([["began", "ended"], ["began"], []], "active")
        events[2].set()
        events[1].set()
        assert [await job for job in jobs] == [0, 1, 2]
        await all_slots_are_free(scheduler)


@story("LIMIT-1", "LIMIT-6", "BOOK-1", "START-3")
async def many_jobs_never_run_above_the_limit(tool):
    async with Scheduler(limit=7, exception_handler=(recorder := Recorder())) as scheduler:
        running, most = [], [0]
        for n in range(100):
            await scheduler.spawn(tool.bodies.counts(running, most))
            if n % 10 == 0:
                await scheduler.spawn(tool.bodies.fails(Failure(n)))
            if n % 20 == 0:
                await (await scheduler.spawn(tool.bodies.cleans_up([]))).close()
        while len(scheduler):
            await asyncio.sleep(0)
        assert most == [7]
        assert sorted(exception.args[0] for exception in recorder.exceptions) == list(range(0, 100, 10))
        await all_slots_are_free(scheduler)


# --- Failing ------------------------------------------------------------------------------------------------


@story("EXC-1", "START-3")
async def a_failure_reaches_the_one_who_waits_and_nobody_else(tool):
    async with Scheduler(limit=1, exception_handler=(recorder := Recorder())) as scheduler:
        job = await scheduler.spawn(tool.bodies.fails(failure := Failure("awaited")))
        with pytest.raises(Failure) as caught:
            await job
        assert caught.value is failure is job.exception()
        assert (job.state, job.outcome) == ("done", "raised")
        await all_slots_are_free(scheduler)
        assert recorder.calls == []
        if tool.reports_failures:
            assert await tool.failures() == ["awaited"]


@story("EXC-1", "EXC-2", "START-3")
async def a_failure_that_nobody_awaits_reaches_the_handler_once(tool):
    async with Scheduler(limit=1, exception_handler=(recorder := Recorder())) as scheduler:
        late = await scheduler.spawn(tool.bodies.fails(Failure("late")))
        at_once = await scheduler.spawn(tool.bodies.fails_at_once(Failure("at once")), name="second")
        await all_slots_are_free(scheduler)
        assert [context["job"] for context in recorder.calls] == [late, at_once]
        assert [str(exception) for exception in recorder.exceptions] == ["late", "at once"]
        if tool.reports_failures:
            assert sorted(await tool.failures()) == ["at once", "late"]


@story("EXC-1", "CLOSE-3")
async def a_failure_while_stopping_is_raised_by_close(tool):
    async with Scheduler(limit=1, exception_handler=(recorder := Recorder())) as scheduler:
        job = await scheduler.spawn(tool.bodies.fails_when_stopped(Failure("stopping")))
        await settle()
        with pytest.raises(Failure, match="stopping"):
            await job.close()
        assert recorder.calls == []
        await all_slots_are_free(scheduler)


@story("EXC-1", "WAIT-1")
async def a_waiter_that_is_gone_leaves_the_failure_to_the_handler(tool):
    async with Scheduler(limit=1, exception_handler=(recorder := Recorder())) as scheduler:
        event = asyncio.Event()
        job = await scheduler.spawn(tool.bodies.presents_itself([], event, Failure("unheard")))
        waiter = asyncio.create_task(job.wait())
        await settle()
        waiter.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled()
        assert job.active
        event.set()
        await all_slots_are_free(scheduler)
        assert [str(exception) for exception in recorder.exceptions] == ["unheard"]


# --- What tools and people see ------------------------------------------------------------------------------


@story("EXC-5")
async def the_task_tells_the_truth(tool):
    async with Scheduler(exception_handler=lambda *_: None) as scheduler:
        tasks, event = [], asyncio.Event()
        failure = Failure("the truth")
        await scheduler.spawn(tool.bodies.presents_itself(tasks, event))
        await scheduler.spawn(tool.bodies.presents_itself(tasks, event, failure))
        stopped = await scheduler.spawn(tool.bodies.presents_itself(tasks, asyncio.Event()))
        await settle()
        names = {tool.coroutine(task).__qualname__ for task in tasks}
        assert names == {tool.bodies.presents_itself.__qualname__}
        event.set()
        await stopped.close()
        await settle()
        assert [task.done() for task in tasks] == [True, True, True]
        assert tasks[0].result() == "returned"
        assert tasks[1].exception() is failure
        assert tasks[2].cancelled()


@story("EXC-5")
async def a_job_has_the_name_that_it_was_given(tool):
    async with Scheduler() as scheduler:
        tasks, event = [], asyncio.Event()
        named = await scheduler.spawn(tool.bodies.presents_itself(tasks, event), name="first")
        unnamed = await scheduler.spawn(tool.bodies.presents_itself(tasks, event))
        await settle()
        assert named.get_name() == "first"
        assert tool.renames_tasks or tasks[0].get_name() == "first"
        assert unnamed.get_name() == tasks[1].get_name()
        assert "first" in repr(named)
        named.set_name("second")
        assert (named.get_name(), tasks[0].get_name()) == ("second", "second")
        event.set()
        await asyncio.gather(named.wait(), unnamed.wait())
        assert named.get_name() == "second"


@story("SPAWN-4")
async def a_job_sees_the_context_of_whoever_spawned_it(tool):
    variable = contextvars.ContextVar("variable", default="default")
    async with Scheduler(limit=1) as scheduler:
        event = asyncio.Event()
        variable.set("at the spawn")
        active = await scheduler.spawn(tool.bodies.sees(variable, event))
        queued = await scheduler.spawn(tool.bodies.sees(variable))
        variable.set("later")
        context = contextvars.Context()
        context.run(variable.set, "another context")
        elsewhere = await scheduler.spawn(tool.bodies.sees(variable), context=context)
        event.set()
        assert [await job for job in (active, queued, elsewhere)] == [
            "at the spawn",
            "at the spawn",
            "another context",
        ]
        assert (variable.get(), context[variable]) == ("later", "set by a job")


# --- Closing a job ------------------------------------------------------------------------------------------


@story("CLOSE-1", "LIMIT-6", "WAIT-3")
async def an_active_job_is_closed_once_it_has_cleaned_up(tool):
    async with Scheduler(limit=1) as scheduler:
        log = []
        job = await scheduler.spawn(tool.bodies.cleans_up(log))
        queued = await scheduler.spawn(tool.bodies.returns("next"))
        await settle()
        waiter = asyncio.create_task(job.wait())
        await job.close()
        assert log == ["began", "cancelled", "cleaned up"]
        assert (job.state, job.outcome) == ("closed", "cancelled")
        await asyncio.wait([waiter])
        assert waiter.cancelled()
        with pytest.raises(aiojobs.JobClosed):
            job.result()
        assert await queued == "next"
        await all_slots_are_free(scheduler)


@story("START-1", "CLOSE-1")
async def a_job_that_is_closed_at_once_takes_its_first_step(tool):
    async with Scheduler(limit=1) as scheduler:
        log = []
        job = await scheduler.spawn(tool.bodies.cleans_up(log))
        await job.close()
        assert log == ["began", "cancelled", "cleaned up"]
        assert job.outcome == "cancelled"
        await all_slots_are_free(scheduler)


@story("START-2", "START-3")
async def a_pending_job_that_is_closed_never_runs(tool):
    async with Scheduler(limit=1) as scheduler:
        log, event = [], asyncio.Event()
        first = await scheduler.spawn(tool.bodies.waits(event))
        pending = await scheduler.spawn(tool.bodies.waits(event, log=log))
        last = await scheduler.spawn(tool.bodies.returns("last"))
        await pending.close()
        assert (pending.state, pending.outcome) == ("closed", "never_started")
        event.set()
        await first
        assert await last == "last"
        assert log == []
        await all_slots_are_free(scheduler)


@story("WAIT-3", "LIMIT-6")
async def a_task_that_somebody_cancels_ends_its_job(tool):
    async with Scheduler(limit=1) as scheduler:
        tasks = []
        job = await scheduler.spawn(tool.bodies.presents_itself(tasks, asyncio.Event()))
        await settle()
        tasks[0].cancel()
        with pytest.raises(aiojobs.JobClosed):
            await job
        assert job.outcome == "cancelled"
        await all_slots_are_free(scheduler)


@story("WAIT-2")
async def a_wait_that_takes_too_long_closes_the_job(tool):
    async with Scheduler(limit=1) as scheduler:
        log = []
        job = await scheduler.spawn(tool.bodies.cleans_up(log))
        with pytest.raises(TimeoutError):
            await job.wait(timeout=0.01)
        assert (job.outcome, log) == ("cancelled", ["began", "cancelled", "cleaned up"])
        await all_slots_are_free(scheduler)


@story("CLOSE-2", "LIMIT-6")
async def a_job_that_will_not_stop_keeps_its_slot_until_it_ends(tool):
    async with Scheduler(limit=1) as scheduler:
        log, event = [], asyncio.Event()
        job = await scheduler.spawn(tool.bodies.will_not_stop(event, log))
        await settle()
        with pytest.raises(TimeoutError):
            await job.close(timeout=0.01)
        assert (job.state, log, scheduler.active_count) == ("closing", ["asked"], 1)
        event.set()
        assert await job == "stopped by itself"
        assert job.state == "closed"
        await all_slots_are_free(scheduler)


@story("WAIT-6")
async def jobs_can_be_handed_to_the_functions_of_asyncio(tool):
    async with Scheduler(limit=2, exception_handler=(recorder := Recorder())) as scheduler:
        event = asyncio.Event()
        waiting = await scheduler.spawn(tool.bodies.waits(event, "waited"))
        quick = await scheduler.spawn(tool.bodies.yields("quick"))
        done, pending = await asyncio.wait([waiting, quick], return_when=asyncio.FIRST_COMPLETED)
        assert (done, pending) == ({quick}, {waiting})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.01)
        failing = await scheduler.spawn(tool.bodies.fails(Failure("gathered")))
        event.set()
        answers = await asyncio.gather(waiting, quick, failing, return_exceptions=True)
        assert answers == ["waited", "quick", failing.exception()]
        again = [await scheduler.spawn(tool.bodies.yields(n)) for n in range(3)]
        assert {await answer for answer in asyncio.as_completed(again)} == {0, 1, 2}
        assert recorder.calls == []
        await all_slots_are_free(scheduler)


# --- Blocked callers ----------------------------------------------------------------------------------------


@story("LIMIT-3", "LIMIT-4", "LIMIT-5")
async def a_blocked_spawn_goes_on_when_there_is_a_place(tool):
    async with Scheduler(limit=1, pending_limit=1) as scheduler:
        event = asyncio.Event()
        first = await scheduler.spawn(tool.bodies.waits(event, 1))
        second = await scheduler.spawn(tool.bodies.waits(event, 2))
        blocked = asyncio.create_task(scheduler.spawn(tool.bodies.waits(event, 3)))
        await settle()
        assert not blocked.done()
        with pytest.raises(aiojobs.PendingQueueFull):
            scheduler.spawn_nowait(tool.bodies.returns("refused"))
        event.set()
        third = await blocked
        assert [await job for job in (first, second, third)] == [1, 2, 3]
        await all_slots_are_free(scheduler)


@story("SPAWN-1", "SPAWN-2")
async def a_blocked_spawn_that_is_cancelled_or_refused_leaves_nothing_behind(tool):
    async with Scheduler(limit=1, pending_limit=1) as scheduler:
        running, log = [], []
        await scheduler.spawn(tool.bodies.cleans_up(running))
        await scheduler.spawn(tool.bodies.waits(asyncio.Event(), log=log))
        cancelled = asyncio.create_task(scheduler.spawn(tool.bodies.waits(asyncio.Event(), log=log)))
        refused = asyncio.create_task(scheduler.spawn(tool.bodies.waits(asyncio.Event(), log=log)))
        await settle()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        await scheduler.close()
        with pytest.raises(RuntimeError):
            await refused
        assert (running, log) == (["began", "cancelled", "cleaned up"], [])


# --- Shielding ----------------------------------------------------------------------------------------------


@story("SHUT-4", "WAIT-1")
async def what_is_shielded_goes_on_without_its_caller_and_is_waited_for(tool):
    scheduler = Scheduler()
    log, event = [], asyncio.Event()

    async def handler():
        await scheduler.shield(tool.bodies.waits(event, log=log))

    caller = asyncio.create_task(handler())
    await settle()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    drained = asyncio.create_task(scheduler.wait_and_close())
    await settle()
    assert (log, drained.done()) == (["began"], False)
    event.set()
    await drained
    assert log == ["began", "ended"]


@story("EXC-4")
async def a_shielded_failure_whose_caller_is_gone_reaches_the_handler_once(tool):
    async with Scheduler(exception_handler=(recorder := Recorder())) as scheduler:
        event = asyncio.Event()

        async def handler():
            await scheduler.shield(tool.bodies.presents_itself([], event, Failure("shielded")))

        caller = asyncio.create_task(handler())
        await settle()
        caller.cancel()
        await asyncio.wait([caller])
        event.set()
        await settle()
        assert [str(exception) for exception in recorder.exceptions] == ["shielded"]


@story("WAIT-5")
async def what_is_shielded_answers_its_caller(tool):
    async with Scheduler() as scheduler:
        assert await scheduler.shield(tool.bodies.yields(42)) == 42
        with pytest.raises(Failure, match="answered"):
            await scheduler.shield(tool.bodies.fails(Failure("answered")))


# --- Shutdown -----------------------------------------------------------------------------------------------


@story("SHUT-1", "SHUT-2", "START-2")
async def close_stops_what_runs_and_drops_what_is_queued_at_once(tool):
    scheduler = Scheduler(limit=2)
    logs = [[], [], []]
    jobs = [await scheduler.spawn(tool.bodies.cleans_up(log)) for log in logs]
    await settle()
    before = time.monotonic()
    await scheduler.close()
    assert time.monotonic() - before < 5
    stopped = ["began", "cancelled", "cleaned up"]
    assert logs == [stopped, stopped, []]
    assert [job.outcome for job in jobs] == ["cancelled", "cancelled", "never_started"]
    assert (scheduler.phase, len(scheduler)) == ("closed", 0)


@story("SHUT-2", "START-1")
async def close_comes_before_the_first_step_of_a_job(tool):
    scheduler = Scheduler(limit=2)
    log = []
    job = await scheduler.spawn(tool.bodies.cleans_up(log))
    await scheduler.close()
    assert (log, job.outcome, len(scheduler)) == (["began", "cancelled", "cleaned up"], "cancelled", 0)


@story("SHUT-2")
async def a_job_that_is_late_is_reported_once(tool):
    scheduler = Scheduler(close_timeout=0.02, exception_handler=(recorder := Recorder()))
    log, event = [], asyncio.Event()
    job = await scheduler.spawn(tool.bodies.will_not_stop(event, log))
    await settle()
    await scheduler.close()
    assert (scheduler.phase, job.state, log) == ("closed", "closing", ["asked"])
    assert (recorder.messages, [context["job"] for context in recorder.calls]) == (
        ["Job closing timed out"],
        [job],
    )
    event.set()
    await settle()
    assert (job.done(), len(scheduler), len(recorder.calls)) == (True, 0, 1)


@story("SHUT-4", "START-3")
async def wait_and_close_lets_everything_finish(tool):
    scheduler = Scheduler(limit=2, exception_handler=(recorder := Recorder()))
    jobs = [await scheduler.spawn(tool.bodies.yields(n)) for n in range(9)]
    failing = await scheduler.spawn(tool.bodies.fails(Failure("drained")))
    before = time.monotonic()
    await scheduler.wait_and_close()
    assert time.monotonic() - before < 5
    assert [job.result() for job in jobs] == list(range(9))
    assert (failing.outcome, len(recorder.calls), len(scheduler)) == ("raised", 1, 0)


@story("SHUT-6", "START-3")
async def leaving_the_block_drains_and_a_cancelled_block_closes(tool):
    async with Scheduler(limit=1) as drained:
        jobs = [await drained.spawn(tool.bodies.yields(n)) for n in range(3)]
    assert [job.result() for job in jobs] == [0, 1, 2]

    log = []

    async def block():
        async with Scheduler() as closed:
            await closed.spawn(tool.bodies.cleans_up(log))
            await asyncio.Event().wait()

    blocked = asyncio.create_task(block())
    await settle()
    blocked.cancel()
    await asyncio.wait([blocked])
    assert (blocked.cancelled(), log) == (True, ["began", "cancelled", "cleaned up"])
