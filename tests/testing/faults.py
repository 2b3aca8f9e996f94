"""Four realistic faults around jobs, each with its mended version; and CPython's own in `wait_for` before 3.12."""

import asyncio
import contextlib
from collections import deque

import aiojobs

# A pool that leaks a connection when `acquire` is cancelled.


class LeakyPool:
    def __init__(self, size):
        self.free = size
        self.waiters = deque()

    async def acquire(self):
        if self.free and not self.waiters:
            self.free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        await self.handed_over(waiter)

    async def handed_over(self, waiter):
        await waiter

    def release(self):
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.free += 1


class Pool(LeakyPool):
    async def handed_over(self, waiter):
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()
            raise


def pool_story(kind):
    async def test_no_connection_leaks(story):
        pool = kind(1)

        async def client():
            await pool.acquire()
            try:
                await story.io("query")
            finally:
                pool.release()

        story.task("holder", client())
        story.task("waiter", client(), cancel=True)
        story.check(lambda: pool.free <= 1)
        await story.rest()
        assert pool.free == 1

    return test_no_connection_leaks


# A cache whose value is fetched twice when two ask at once.


class TwiceFilledCache:
    def __init__(self, fetch):
        self.fetch = fetch
        self.values = {}

    async def get(self, key):
        if key not in self.values:
            self.values[key] = await self.fetch()
        return self.values[key]


class Cache(TwiceFilledCache):
    async def get(self, key):
        if key not in self.values:
            self.values[key] = asyncio.ensure_future(self.fetch())
        return await asyncio.shield(self.values[key])


def cache_story(kind):
    async def test_a_value_is_fetched_once(story):
        fetched = []

        async def fetch():
            fetched.append(1)
            return await story.io("fetch", answers=["tea"])

        cache = kind(fetch)
        story.tasks("reader", 2, lambda _: cache.get("drink"), cancel=True)
        story.check(lambda: len(fetched) <= 1)
        await story.rest()

    return test_a_value_is_fetched_once


# A refresher that loses the trigger that comes while it works.


class LostTrigger:
    def __init__(self, scheduler, refresh):
        self.scheduler = scheduler
        self.refresh = refresh
        self.job = None
        self.wanted = 0
        self.done = 0

    async def trigger(self):
        self.wanted += 1
        if self.job is None or self.job.closed:
            self.job = await self.scheduler.spawn(self.work())

    async def work(self):
        seen = self.wanted
        await self.refresh()
        self.done = seen


class Trigger(LostTrigger):
    async def work(self):
        while self.done < self.wanted:
            seen = self.wanted
            await self.refresh()
            self.done = seen


def trigger_story(kind):
    async def test_what_was_triggered_is_done(story):
        async with aiojobs.Scheduler() as scheduler:
            trigger = kind(scheduler, lambda: story.io("refresh"))
            story.tasks("trigger", 2, lambda _: trigger.trigger())
            await story.rest()
        assert trigger.done == trigger.wanted

    return test_what_was_triggered_is_done


# A service that loses an order between accepting it and committing it.


class LosingOrders:
    def __init__(self, scheduler, commit):
        self.scheduler = scheduler
        self.commit = commit
        self.accepted = []
        self.committed = []
        self.outbox = []

    async def post(self, order):
        await self.commit()
        self.accepted.append(order)
        with contextlib.suppress(RuntimeError):  # the service has closed
            await self.scheduler.spawn(self.ship(order))

    async def ship(self, order):
        await self.commit()
        self.committed.append(order)

    def lost(self):
        return [order for order in self.accepted if order not in self.committed + self.outbox]


class Orders(LosingOrders):
    async def post(self, order):
        await self.commit()
        self.accepted.append(order)
        self.outbox.append(order)  # what is here is shipped after a restart
        with contextlib.suppress(RuntimeError):  # the service has closed
            await self.scheduler.spawn(self.ship(order))

    async def ship(self, order):
        await self.commit()
        self.committed.append(order)
        self.outbox.remove(order)


def orders_story(kind):
    async def test_no_order_is_lost(story):
        async with aiojobs.Scheduler(limit=1) as scheduler:
            orders = kind(scheduler, commit=lambda: story.io("commit", fails=OSError))
            story.task("post 1", orders.post(1), cancel=True)
            story.task("post 2", lambda: orders.post(2))
            story.may("the service closes", scheduler.close)
            story.check(lambda: len(orders.outbox) <= 2)
            await story.rest()
        assert not orders.lost()

    return test_no_order_is_lost


# CPython's own: before 3.12 `wait_for` loses a cancellation that comes when its inner future has a result.


async def wait_for_story(story):
    def cancel():
        if not caller.done():
            asked.append("cancelled")
            caller.cancel()

    asked = []
    story.task("caller", asyncio.wait_for(story.io("answer"), 60), raises=TimeoutError)
    caller = next(task for task in asyncio.all_tasks() if task.get_name() == "caller")
    story.may("somebody cancels", cancel)
    await story.rest()
    assert not asked or caller.cancelled()
