"""Lanes in every order of events, in small scopes: who comes, ends, is cancelled or closed, and when limits change.

What a world does not let happen often is in its name. What must hold in all of them is in `World`: it watches the
coroutines themselves and knows of lanes only what they promise.
"""

import asyncio

import pytest

from aiojobs import JobClosed, Outcome, PendingQueueFull, Scheduler
from aiojobs.lanes import Lanes
from aiojobs.testing import explore

GONE = (asyncio.CancelledError, JobClosed, RuntimeError, PendingQueueFull)


class World:
    """A scheduler, its lanes, and what the coroutines in them went through."""

    def __init__(self, story, *, limit=1, pending_limit=10, key_limit=1, places=10):
        self.story = story
        self.scheduler = Scheduler(limit=limit, pending_limit=pending_limit, close_timeout=None)
        self.lanes = Lanes(self.scheduler, limit=key_limit, pending_limit=places)
        self.most, self.most_per_key = limit, key_limit
        self.asked, self.accepted, self.begun, self.running = [], [], [], []
        self.handles = {}
        story.check(self.holds)

    async def work(self, name):
        self.begun.append(name)
        self.running.append(name)
        try:
            await self.story.io(name)
        finally:
            self.running.remove(name)

    async def spawn(self, name):
        """The key is the first letter of the name."""
        self.asked.append(name)
        self.accept(name, await self.lanes.spawn(name[0], self.work(name)))

    def accept(self, name, handle):
        self.handles[name] = handle
        self.accepted.append(name)

    def raise_limits(self):
        self.most, self.most_per_key = 2, 2
        self.scheduler.set_limit(2)
        self.lanes.set_limit(2)

    def holds(self):
        """The limits, in all and per key; and the order in each lane, of those that got in."""
        assert len(self.running) <= self.most
        for key in "ab":
            assert sum(name[0] == key for name in self.running) <= self.most_per_key
            in_order = [name for name in self.asked if name[0] == key and name in self.begun]
            assert [name for name in self.begun if name[0] == key] == in_order

    def is_over(self):
        """Everything accepted has come to its end, nothing else has run, and nothing is kept."""
        ran = {name for name, handle in self.handles.items() if handle.outcome is not Outcome.NEVER_STARTED}
        assert all(handle.done() for handle in self.handles.values())
        assert set(self.begun) == ran
        assert (self.lanes.key_count, self.lanes.pending_count, self.lanes.blocked_count) == (0, 0, 0)

    def all_have_run(self):
        assert sorted(self.begun) == sorted(self.handles) == sorted(self.asked)
        assert {handle.outcome for handle in self.handles.values()} == {Outcome.RETURNED}


@pytest.mark.requirement("LANE-1", "LANE-2", "LANE-3", "LANE-5", "LANE-6", "LANE-7")
@pytest.mark.parametrize(("limit", "key_limit"), [(1, 1), (2, 1), (1, 2)])
def test_two_keys_take_turns_and_all_that_was_accepted_runs(limit, key_limit):
    @explore(hasty=1, seconds=60)
    async def turns(story):
        world = World(story, limit=limit, key_limit=key_limit)
        story.tasks("a", 3, lambda number: world.spawn(f"a{number}"))
        story.task("b1", lambda: world.spawn("b1"))
        await story.rest()
        world.all_have_run()
        world.is_over()

    turns()


@pytest.mark.requirement("LANE-2", "LANE-6", "LANE-8", "SPAWN-1")
def test_blocked_callers_may_be_cancelled_at_any_moment():
    @explore(hasty=1, seconds=60)
    async def blocked(story):
        world = World(story, places=1)
        for number in (1, 2, 3, 4):
            story.task(f"a{number}", world.spawn(f"a{number}"), cancel=number > 2, raises=GONE)
        await story.rest()
        assert set(world.begun) == set(world.accepted) >= {"a1", "a2"}
        world.is_over()

    blocked()


@pytest.mark.requirement("LANE-5", "LANE-6", "LANE-7")
def test_any_handle_may_be_closed_at_any_moment():
    @explore(hasty=1, seconds=60)
    async def closed(story):
        world = World(story)
        for name in ("a1", "a2", "b1"):
            await world.spawn(name)
        story.may("a1 is closed", world.handles["a1"].close)
        story.may("a2 is closed", world.handles["a2"].close)
        story.may("b1 is closed", world.handles["b1"].close)
        await story.rest()
        world.is_over()

    closed()


@pytest.mark.requirement("LANE-6", "SHUT-1", "SPAWN-2")
@pytest.mark.parametrize("pending_limit", [1, 10])
def test_the_scheduler_may_close_at_any_moment(pending_limit):
    @explore(hasty=1, seconds=60)
    async def closing(story):
        world = World(story, pending_limit=pending_limit, places=1)
        if pending_limit == 1:
            await world.scheduler.spawn(story.io("other"))
        await world.scheduler.spawn(asyncio.sleep(0))
        for name in ("a1", "a2", "b1"):
            story.task(name, world.spawn(name), raises=GONE)
        story.may("it closes", world.scheduler.close)
        await story.rest()
        if not world.scheduler.closed:
            world.all_have_run()
        world.is_over()

    closing()


@pytest.mark.requirement("LANE-6", "SHUT-4")
def test_a_drain_waits_for_what_waits_in_lanes():
    @explore(hasty=1, seconds=60)
    async def draining(story):
        world = World(story, places=1)
        for name in ("a1", "a2", "a3", "b1"):
            story.task(name, world.spawn(name))
        story.task("drain", lambda: world.scheduler.wait_and_close(float("inf")))
        await story.rest()
        world.all_have_run()
        world.is_over()

    draining()


@pytest.mark.requirement("LANE-3", "LANE-4", "LANE-5")
def test_limits_may_be_raised_at_any_moment():
    @explore(hasty=1, seconds=60)
    async def raised(story):
        world = World(story)
        story.may("the limits are raised", world.raise_limits)
        for name in ("a1", "a2", "a3", "b1"):
            await world.spawn(name)
        await story.rest()
        world.all_have_run()
        world.is_over()

    raised()


@pytest.mark.requirement("LANE-4", "LANE-6")
def test_the_scheduler_may_be_full_of_other_work_and_its_blocked_spawn_cancelled():
    @explore(hasty=1, seconds=60)
    async def full(story):
        world = World(story, pending_limit=1)
        for _ in range(2):
            await world.scheduler.spawn(story.io("other"))
        for name in ("a1", "b1"):
            await world.spawn(name)

        def cancel():
            for task in asyncio.all_tasks():
                if task.get_name().startswith("lanes:"):
                    task.cancel()

        story.may("a task of the lanes is cancelled", cancel)
        story.may("a1 is closed", world.handles["a1"].close)
        await story.rest()
        assert "b1" in world.begun
        world.is_over()

    full()


@pytest.mark.requirement("LANE-9")
def test_coalesced_work_sees_what_came_before_it_began():
    @explore(hasty=1, seconds=60)
    async def coalesced(story):
        lanes = Lanes(Scheduler())
        version, seen = 0, []

        async def refresh():
            seen.append(version)
            await story.io("refresh")

        async def change():
            nonlocal version
            version += 1
            lanes.coalesce("a", refresh())

        story.tasks("change", 3, lambda _: change())
        await story.rest()
        assert seen[-1] == 3
        assert seen == sorted(set(seen))

    coalesced()


@pytest.mark.requirement("LANE-10", "EXC-1")
def test_a_failure_reaches_whoever_waited_and_the_handler_only_if_nobody_did():
    @explore(hasty=1, seconds=60)
    async def failing(story):
        reported, raised = [], []
        scheduler = Scheduler(
            limit=1, exception_handler=lambda _, context: reported.append(context["exception"])
        )
        lanes = Lanes(scheduler)

        async def fails():
            raise LookupError

        async def waits():
            try:
                await handle
            except LookupError as error:
                raised.append(error)

        await lanes.spawn("a", story.io("before"))
        handle = await lanes.spawn("a", fails())
        story.task("waiter", waits(), cancel=True, raises=asyncio.CancelledError)
        await story.rest()
        assert len(reported) + len(raised) == 1

    failing()
