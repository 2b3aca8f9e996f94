"""Lanes beside a reference model, step by step: who runs, who is next, what is kept. Hypothesis chooses the events.

The model is the specification told once more, with lists and without a loop: it knows what has begun when nothing
moves any more.
"""

import asyncio
import sys
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aiojobs import Scheduler
from aiojobs.lanes import Lanes
from aiojobs.testing import StrictLoop, settle

KEYS = st.sampled_from("abc")


class Model:
    """What has to be true at rest."""

    def __init__(self, limit, key_limit):
        self.limit, self.key_limit = limit, key_limit
        self.running, self.queue, self.begun = [], [], []
        self.ring, self.lanes, self.handed = [], {}, Counter()
        self.door = None

    def spawn(self, name):
        self.lanes.setdefault(name[0], []).append(name)
        self.advance(name[0])

    def other(self, name):
        self.queue.append(name)
        self.advance()

    def end(self, name):
        """A job has ended, or what waited was closed."""
        if name in self.lanes.get(name[0], ()):
            self.lanes[name[0]].remove(name)
        else:
            (self.running if name in self.running else self.queue).remove(name)
            self.handed[name[0]] -= 1
            self.door = None if self.door == name else self.door
        self.advance(name[0])

    def latest(self, key):
        at_door = [self.door] if self.door and self.door[0] == key else []
        return (at_door + self.lanes.get(key, []))[-1:]

    def advance(self, *keys):
        for key in keys or sorted(self.lanes):
            self.line_up(key)
        while self.start() or self.hand_over():
            pass

    def line_up(self, key):
        could = bool(self.lanes.get(key)) and self.handed[key] < self.key_limit
        if could and key not in self.ring:
            self.ring.append(key)
        if not self.lanes.get(key) and key in self.ring:
            self.ring.remove(key)

    def start(self):
        if not self.queue or len(self.running) >= self.limit:
            return False
        name = self.queue.pop(0)
        self.running.append(name)
        self.begun.append(name)
        self.door = None if self.door == name else self.door
        return True

    def hand_over(self):
        if not self.ring or self.door:
            return False
        key = self.ring.pop(0)
        if self.handed[key] < self.key_limit:
            self.door = self.lanes[key].pop(0)
            self.handed[key] += 1
            self.queue.append(self.door)
            self.line_up(key)
        return True


class LaneMachine(RuleBasedStateMachine):
    """Everything that can happen to lanes at rest."""

    eager = False

    @initialize(limit=st.integers(1, 3), key_limit=st.integers(1, 2), pending_limit=st.sampled_from([1, 100]))
    def begin(self, limit, key_limit, pending_limit):
        self.loop = StrictLoop()
        if self.eager:
            self.loop.set_task_factory(asyncio.eager_task_factory)
        asyncio.set_event_loop(self.loop)
        self.scheduler = Scheduler(limit=limit, pending_limit=pending_limit)
        self.lanes = Lanes(self.scheduler, limit=key_limit, pending_limit=0)
        self.model = Model(limit, key_limit)
        self.count = 0
        self.begun, self.ends, self.handles, self.tasks = [], {}, {}, []

    def do(self, act):
        async def acting():
            self.tasks.append(act())
            await settle()

        self.loop.run_until_complete(acting())

    async def work(self, name):
        self.begun.append(name)
        self.ends[name] = self.loop.create_future()
        await self.ends[name]

    def new_name(self, key):
        self.count += 1
        return f"{key}{self.count}"

    @rule(key=KEYS)
    def spawn(self, key):
        name = self.new_name(key)
        self.do(lambda: self.handles.update({name: self.lanes.spawn_nowait(key, self.work(name))}))
        self.model.spawn(name)

    @rule(key=KEYS)
    def coalesce(self, key):
        name, latest = self.new_name(key), self.model.latest(key)
        self.do(lambda: self.handles.setdefault(name, self.lanes.coalesce(key, self.work(name), name=name)))
        if latest:
            assert self.handles.pop(name) is self.handles[latest[0]]
        else:
            self.model.spawn(name)

    @rule()
    def other_work(self):
        name = self.new_name("-")
        self.do(lambda: self.loop.create_task(self.offer(name)))
        self.model.other(name)

    async def offer(self, name):
        try:
            await self.scheduler.spawn(self.work(name))
        except RuntimeError:  # at the end of the machine a call that is blocked is refused
            assert self.scheduler.closed

    @precondition(lambda self: self.model.running)
    @rule(data=st.data())
    def end(self, data):
        name = data.draw(st.sampled_from(self.model.running))
        self.do(lambda: self.ends[name].set_result(None))
        self.model.end(name)

    @precondition(lambda self: any(not handle.done() for handle in self.handles.values()))
    @rule(data=st.data())
    def close(self, data):
        name = data.draw(
            st.sampled_from([name for name, handle in self.handles.items() if not handle.done()])
        )
        self.do(lambda: self.loop.create_task(self.handles[name].close()))
        self.model.end(name)

    @rule(limit=st.integers(1, 3))
    def set_limit(self, limit):
        self.do(lambda: self.scheduler.set_limit(limit))
        self.model.limit = limit
        self.model.advance()

    @rule(limit=st.integers(1, 3))
    def set_key_limit(self, limit):
        in_order = [lane.key for lane in self.lanes._lanes.values()]
        self.do(lambda: self.lanes.set_limit(limit))
        self.model.key_limit = limit
        self.model.advance(*in_order)

    @invariant()
    def agrees(self):
        if not hasattr(self, "model"):
            return
        model = self.model
        assert self.begun == model.begun
        assert self.lanes.pending_count == sum(map(len, model.lanes.values())) + self.at_door_without_job()
        assert self.lanes.key_count == sum(bool(model.lanes.get(key) or model.handed[key]) for key in "abc")

    def at_door_without_job(self):
        return self.model.door is not None and self.handles[self.model.door].job is None

    def teardown(self):
        if hasattr(self, "loop"):
            self.do(lambda: self.loop.create_task(self.scheduler.close()))
            assert all(handle.done() for handle in self.handles.values())
            assert (self.lanes.key_count, self.lanes.pending_count, self.lanes._ring) == (0, 0, {})
            asyncio.set_event_loop(None)
            self.loop.close()


@pytest.mark.requirement(
    "LANE-1", "LANE-2", "LANE-3", "LANE-4", "LANE-5", "LANE-6", "LANE-7", "LANE-9", "LIMIT-7"
)
@pytest.mark.parametrize("eager", (False, True) if sys.version_info >= (3, 12) else (False,))
def test_lanes_do_what_the_model_says(eager):
    kind = type("LaneMachine", (LaneMachine,), {"eager": eager})
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
