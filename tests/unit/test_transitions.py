"""Every state and every event of a real job: the one function that changes a state obeys the table."""

import asyncio

import pytest

from aiojobs import Event, IllegalTransition, Scheduler, State
from aiojobs._job_state import fire
from aiojobs._lifecycle import HOLDS_SLOT, INITIAL, SEEN_AS_CLOSED, TERMINAL, TRANSITIONS
from aiojobs.testing import settle
from support.inside import core
from support.observing import Recorder
from unit.bodies import Body, forever, returns

pytestmark = pytest.mark.requirement("CLOSE-3", "LIMIT-6", "START-2")


async def in_state(scheduler, state):
    """A real job that has come into a state in the ordinary way."""
    if state is State.PENDING:
        await scheduler.spawn(forever())
        return await scheduler.spawn(forever())
    if state is State.ACTIVE:
        return await scheduler.spawn(forever())
    if state is State.CLOSING:
        job = await scheduler.spawn(Body(swallows=1).run())
        await settle()
        asyncio.ensure_future(job.close()).add_done_callback(
            lambda call: call.cancelled() or call.exception()
        )
        await settle()
        return job
    job = await scheduler.spawn(returns("result") if state is State.DONE else forever())
    await settle()
    await job.close()
    return job


def seen(scheduler, job):
    return (
        (job.state, job.outcome, job.pending, job.active, job.closed, job.done()),
        (scheduler.active_count, scheduler.pending_count, job in scheduler),
    )


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
async def test_every_cell_of_the_table_is_obeyed_by_a_real_job(state, event):
    observer = Recorder()
    scheduler = Scheduler(limit=1, observer=observer, exception_handler=Recorder())
    job = await in_state(scheduler, state)
    assert job.state is state
    before, dest = seen(scheduler, job), TRANSITIONS[state][event]
    observer.calls.clear()
    if dest is None:
        with pytest.raises(IllegalTransition) as refused:
            fire(job, event)
        assert (refused.value.job, refused.value.state, refused.value.event) == (job, state, event)
        for part in (f"event '{event}' is illegal", f"in state '{state}'", repr(job), "unchanged"):
            assert part in str(refused.value)
        assert seen(scheduler, job) == before
        assert observer.calls == []
    else:
        assert fire(job, event) is (dest is not state)
        assert job.state is dest
        core(scheduler).reporting.tell_observers()
        assert [record[:4] for record in observer.calls] == (
            [] if dest is state else [(job, event, state, dest)]
        )
    job.current = state  # back to where its books are, so that it can be closed
    await scheduler.close()


def test_the_table_is_total_and_says_what_the_design_says():
    lines = {
        state: [str(dest) if dest else "-" for dest in (TRANSITIONS[state][event] for event in Event)]
        for state in State
    }
    assert list(Event) == ["start", "finish", "cancel", "close", "expire"]
    assert lines == {
        "pending": ["active", "-", "-", "closed", "-"],
        "active": ["-", "done", "closed", "closing", "closing"],
        "closing": ["-", "closed", "closed", "closing", "closing"],
        "done": ["-", "-", "-", "done", "-"],
        "closed": ["-", "-", "-", "closed", "-"],
    }


async def test_the_constants_of_the_table_agree_with_real_jobs():
    kept = []  # nothing else knows a job that does not stop when its scheduler is closed
    for state in State:
        scheduler = Scheduler(limit=1, exception_handler=Recorder())
        job = await in_state(scheduler, state)
        kept.append(job)
        assert job.closed is (state in SEEN_AS_CLOSED)
        assert job.done() is (state in TERMINAL)
        assert (job in scheduler and not job.pending) is (state in HOLDS_SLOT)
        assert job.pending is (state is INITIAL)
        await scheduler.close()
