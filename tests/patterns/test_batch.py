"""A function over many items: lazy, bounded, in order or not; each failure told once; nothing left behind."""

import asyncio
import contextlib
import contextvars
import functools
import gc
import itertools
import logging

import pytest

from aiojobs import Job, JobClosed, Scheduler, batch
from aiojobs.testing import cancel_at_every_await, settle
from support.observing import Complaints

pytestmark = pytest.mark.loops("virtual", "eager")


class Work:
    """An async function to be called with items, and what was seen of it."""

    def __init__(self, seconds=lambda _item: 1.0, fails=(), ends_with=None):
        self.seconds = seconds
        self.fails = fails
        self.ends_with = ends_with
        self.began, self.ended = [], []
        self.running = self.most = 0

    async def __call__(self, item):
        self.began.append(item)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds(item))
            if item in self.fails:
                raise ValueError(item)
            return item * 10
        except asyncio.CancelledError:
            if self.ends_with is not None:
                raise self.ends_with from None
            raise
        finally:
            self.running -= 1
            self.ended.append(item)


class Source:
    """Items that are counted as they are taken."""

    def __init__(self, count, seconds=0.0, raises=None):
        self.count = count
        self.seconds = seconds
        self.raises = raises
        self.taken = 0
        self.closed = False

    def __iter__(self):
        for item in range(self.count):
            self.taken += 1
            yield item
        if self.raises is not None:
            raise self.raises

    async def stream(self):
        try:
            for item in range(self.count):
                self.taken += 1
                yield item
                await asyncio.sleep(self.seconds)
            if self.raises is not None:
                raise self.raises
        finally:
            await asyncio.sleep(0)
            self.closed = True


class Stream:
    """An asynchronous iterator that is no generator."""

    def __init__(self, items):
        self.items = iter(items)

    def __aiter__(self):
        return self

    async def __anext__(self):
        for item in self.items:
            return item
        raise StopAsyncIteration


SOURCES = {"plain": iter, "generator": Source.stream, "iterator": Stream}


@pytest.fixture(params=SOURCES, name="flow")
def _flow(request):
    return SOURCES[request.param]


def now():
    return asyncio.get_running_loop().time()


async def taken(results):
    return [result async for result in results]


# --- Results ------------------------------------------------------------------------------------------------


async def test_results_come_in_the_order_of_the_items(flow):
    work = Work(lambda item: 5.0 - item)
    assert await taken(batch.map(work, flow(Source(5)), limit=3)) == [0, 10, 20, 30, 40]
    assert work.most == 3


async def test_results_come_as_they_are_there(flow):
    work = Work(lambda item: 5.0 - item)
    assert await taken(batch.map(work, flow(Source(3)), limit=3, ordered=False)) == [20, 10, 0]


async def test_nothing_comes_of_nothing(flow):
    assert await taken(batch.map(Work(), flow(Source(0)), limit=3)) == []
    assert await taken(batch.map(Work(), flow(Source(0)), limit=3, ordered=False)) == []


async def test_jobs_come_as_they_end_each_with_its_item(flow):
    work = Work(lambda item: 5.0 - item, fails=[1])
    pairs = await taken(batch.as_completed(work, flow(Source(3)), limit=3))
    assert [item for item, _ in pairs] == [2, 1, 0]
    assert all(isinstance(job, Job) and job.done() for _, job in pairs)
    assert pairs[0][1].result() == 20
    assert repr(pairs[1][1].exception()) == "ValueError(1)"


@pytest.mark.requirement("LIMIT-1", "LIMIT-2")
@pytest.mark.parametrize("ordered", [True, False])
async def test_the_limit_holds_and_is_used(flow, ordered):
    work, started = Work(), now()
    await taken(batch.map(work, flow(Source(20)), limit=4, ordered=ordered))
    assert (work.most, now() - started) == (4, 5.0)


@pytest.mark.parametrize("ordered", [True, False])
async def test_results_come_while_the_source_still_flows(ordered):
    results, started, times = (
        batch.map(Work(lambda _item: 0.1), Source(4, seconds=1.0).stream(), limit=8, ordered=ordered),
        now(),
        [],
    )
    async for _ in results:
        times += [round(now() - started, 9)]
    assert times == [0.1, 1.1, 2.1, 3.1]


async def test_no_more_than_the_window_is_under_way(flow):
    source, work = Source(100), Work()
    async with batch.map(work, flow(source), limit=2, window=5) as results:
        for received in range(10):
            await anext(results)
            await asyncio.sleep(60)
            assert source.taken <= received + 1 + 5
            assert len(work.began) == received + 6


async def test_the_window_is_twice_the_limit_by_itself():
    source = Source(100)
    async with batch.map(Work(), source, limit=3) as results:
        await anext(results)
        assert source.taken == 1 + 6


async def test_finished_results_count_while_they_are_not_taken():
    work = Work(lambda item: 10.0 if item == 0 else 0.1)
    async with batch.map(work, Source(100), limit=2, window=4) as results:
        assert await anext(results) == 0
        assert len(work.ended) == 4


async def test_one_slow_item_holds_up_nothing_if_order_does_not_matter():
    work = Work(lambda item: 10.0 if item == 0 else 0.1)
    async with batch.map(work, Source(50), limit=2, window=4, ordered=False) as results:
        assert [await anext(results) for _ in range(49)] == [10 * item for item in range(1, 50)]
        assert await anext(results) == 0


async def test_nothing_is_begun_before_the_first_result_is_asked_for():
    source = Source(3)
    results = batch.map(Work(), source, limit=2)
    await results.aclose()
    assert (source.taken, await taken(results)) == (0, [])


async def test_the_function_may_be_anything_whose_answer_can_be_awaited():
    def later(item):
        future = asyncio.get_running_loop().create_future()
        future.set_result(-item)
        return future

    assert await taken(batch.map(later, [1, 2], limit=2)) == [-1, -2]
    assert await taken(batch.map(functools.partial(pow_later, 2), [3, 4], limit=2)) == [8, 16]


async def pow_later(base, exponent):
    return base**exponent


async def test_each_item_has_a_copy_of_the_context_of_the_consumer():
    variable = contextvars.ContextVar("variable", default="unset")

    async def read_and_set(item):
        seen = variable.get()
        variable.set(item)
        return seen

    variable.set("mine")
    assert await taken(batch.map(read_and_set, [1, 2, 3], limit=1)) == ["mine"] * 3
    assert variable.get() == "mine"


async def test_jobs_are_called_after_the_function():
    pairs = await taken(batch.as_completed(pow_later_of(2), [1], limit=1))
    assert pairs[0][1].qualname == "pow_later_of.<locals>.call"
    pairs = await taken(batch.as_completed(Work(lambda _item: 0), [1], limit=1))
    assert pairs[0][1].qualname == "Work"


def pow_later_of(base):
    async def call(exponent):
        return base**exponent

    return call


# --- Failures -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("EXC-1")
async def test_a_failure_is_raised_in_its_place_and_the_rest_is_stopped(flow):
    work, seen = Work(lambda item: 1.0 if item < 3 else 60.0, fails=[2]), []
    results = batch.map(work, flow(Source(10)), limit=4)
    with pytest.raises(ValueError, match="^2$"):
        async for result in results:
            seen += [result]  # kept when the next one raises
    assert seen == [0, 10]
    assert (work.running, now()) == (0, 1.0)
    assert await taken(results) == []


async def test_a_failure_that_came_before_its_turn_is_raised_in_its_turn():
    work, seen = Work(lambda item: 5.0 - item, fails=[2]), []
    with pytest.raises(ValueError, match="^2$"):
        async for result in batch.map(work, range(4), limit=4):
            seen += [result]  # kept when the next one raises
    assert seen == [0, 10]


async def test_without_an_order_the_first_failure_is_the_first_to_come():
    work = Work(lambda item: 5.0 - item, fails=[0, 2])
    with pytest.raises(ValueError, match="^2$"):
        await taken(batch.map(work, range(4), limit=4, ordered=False))
    assert work.running == 0


@pytest.mark.requirement("EXC-1")
async def test_what_nobody_was_there_to_receive_goes_to_the_loop():
    work = Work(lambda item: 1.0 if item < 2 else 60.0, fails=[0, 1], ends_with=OSError("unclean"))
    with Complaints() as complaints:
        with pytest.raises(ValueError, match="^0$"):
            await taken(batch.map(work, range(3), limit=3))
        await settle()
    told = sorted(repr(call["exception"]) for call in complaints.calls)
    assert told == ["OSError('unclean')", "ValueError(1)"]
    assert complaints.messages == ["Job processing failed"] * 2


@pytest.mark.requirement("EXC-1")
@pytest.mark.parametrize("passes", range(3))
async def test_a_failure_that_comes_with_the_cancellation_of_the_consumer_is_not_lost(passes):
    """It is told, unless the consumer was quick enough to receive it: with eager tasks it may be."""
    work = Work(fails=[0])
    consumer = asyncio.create_task(taken(batch.map(work, range(1), limit=1)))
    with Complaints() as complaints:
        await asyncio.sleep(1.0)
        await settle(passes)
        consumer.cancel()
        await asyncio.wait([consumer])
    assert consumer.cancelled() or passes == 2
    received = [] if consumer.cancelled() else [consumer.exception()]
    told = [call["exception"] for call in complaints.calls]
    assert [repr(error) for error in received + told] == ["ValueError(0)"]


async def test_a_function_that_can_not_be_called_fails_as_its_item():
    assert [repr(job.exception()) async for _, job in batch.as_completed(divmod, [1], limit=1)] == [
        "TypeError('divmod expected 2 arguments, got 1')"
    ]


@pytest.mark.requirement("EXC-1")
@pytest.mark.parametrize("ordered", [True, False])
async def test_a_failure_of_the_source_comes_after_all_items_before_it(ordered):
    for source in (Source(3, raises=OSError("gone")), Source(3, raises=OSError("gone")).stream()):
        seen = []
        with pytest.raises(OSError, match="^gone$"):
            async for result in batch.map(Work(), source, limit=2, ordered=ordered):
                seen += [result]  # kept when the next one raises
        assert seen == [0, 10, 20]


async def test_a_source_that_gives_no_iterator_is_a_failure_of_the_source():
    class Broken:
        def __aiter__(self):
            raise OSError("no stream")

    with pytest.raises(OSError, match="^no stream$"):
        await taken(batch.map(Work(), Broken(), limit=2))


async def test_an_item_that_cancels_itself_is_told_as_a_job_that_was_cancelled():
    async def gives_up(_item):
        raise asyncio.CancelledError

    with pytest.raises(JobClosed):
        await taken(batch.map(gives_up, [1], limit=1))
    [(_, job)] = await taken(batch.as_completed(gives_up, [1], limit=1))
    assert job.cancelled()


@pytest.mark.requirement("START-3")
async def test_items_that_a_task_factory_never_runs_hold_up_nobody(flow):
    with losing(lambda number: number % 3 == 0):
        jobs = {item: job async for item, job in batch.as_completed(Work(), flow(Source(5)), limit=2)}
    assert sorted(jobs) == [0, 1, 2, 3, 4]
    assert len([job for job in jobs.values() if job.exception() is not None]) in {1, 2}


@pytest.mark.requirement("START-3")
async def test_a_feeder_that_a_task_factory_never_runs_is_a_failure_of_the_source():
    with losing(lambda number: number == 1), pytest.raises(RuntimeError):
        await taken(batch.map(Work(), Source(5).stream(), limit=2))


@contextlib.contextmanager
def losing(is_lost):
    """Some of the tasks that are made meanwhile never run their coroutines."""
    loop, numbers = asyncio.get_running_loop(), itertools.count(1)

    def factory(loop, coro, **how):
        if not is_lost(next(numbers)):
            return asyncio.Task(coro, loop=loop, **how)
        coro.close()
        return asyncio.Task(asyncio.sleep(0), loop=loop, **how)

    before = loop.get_task_factory()
    loop.set_task_factory(factory)
    yield
    loop.set_task_factory(before)


# --- Leaving early ------------------------------------------------------------------------------------------


@pytest.mark.requirement("SHUT-7")
@pytest.mark.parametrize("ordered", [True, False])
async def test_leaving_early_stops_all_and_closes_the_source(ordered, caplog):
    source, work = Source(100, seconds=0.1), Work(lambda item: 1.0 if item == 0 else 60.0)
    with caplog.at_level(logging.DEBUG, "aiojobs"):
        async with batch.map(work, source.stream(), limit=4, ordered=ordered) as results:
            async for result in results:
                assert result == 0
                break
    assert (work.running, source.closed, now()) == (0, True, 1.0)
    assert [asyncio.current_task()] == list(asyncio.all_tasks())
    assert caplog.records == []


async def test_a_loop_that_is_left_without_closing_is_closed_by_the_event_loop():
    source, work = Source(100).stream(), Work()
    async for _ in batch.map(work, source, limit=4):
        break
    gc.collect()
    await settle()
    assert work.running == 0


async def test_a_plain_source_stays_the_callers():
    source = iter(Source(10))
    async with batch.map(Work(), source, limit=1, window=1) as results:
        await anext(results)
    assert next(source) == 2


async def test_a_source_that_goes_on_although_it_is_told_to_stop_is_asked_no_more():
    async def stubborn():
        yield 0
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            yield 1

    work = Work()
    async with batch.map(work, stubborn(), limit=4) as results:
        await anext(results)
    assert work.began == [0]


async def test_items_that_take_their_time_to_stop_are_waited_for():
    ended = []

    async def lingers(item):
        try:
            await asyncio.sleep(60 * item)
        finally:
            await asyncio.sleep(30)
            ended.append(item)

    async with batch.map(lingers, [0, 1, 2], limit=3) as results:
        await anext(results)
    assert (sorted(ended), now()) == ([0, 1, 2], 60.0)


async def test_a_cancelled_consumer_leaves_nothing():
    work, source = Work(lambda _item: 60.0), Source(100)
    consumer = asyncio.create_task(taken(batch.map(work, source.stream(), limit=4)))
    await asyncio.sleep(1)
    consumer.cancel()
    await asyncio.wait([consumer])
    assert (consumer.cancelled(), work.running, source.closed) == (True, 0, True)


@pytest.mark.parametrize("flow", SOURCES)
@pytest.mark.parametrize("ordered", [True, False])
def test_wherever_it_is_cancelled_nothing_is_left(flow, ordered):
    def make():
        work = Work()
        return work, taken(batch.map(work, SOURCES[flow](Source(5)), limit=2, ordered=ordered))

    cancel_at_every_await(make, lambda work: work.running == 0 and len(work.began) == len(work.ended))


# --- Where it is used ---------------------------------------------------------------------------------------


async def test_maps_inside_jobs_and_inside_maps_wait_for_no_slot_of_theirs():
    async def inner(item):
        return sum(await taken(batch.map(Work(), range(item), limit=2)))

    async with Scheduler(limit=2) as scheduler:
        jobs = [await scheduler.spawn(taken(batch.map(inner, range(4), limit=2))) for _ in range(5)]
    assert [job.result() for job in jobs] == [[0, 0, 10, 30]] * 5


async def test_a_job_that_is_closed_in_a_map_takes_its_items_with_it():
    work = Work(lambda _item: 60.0)
    async with Scheduler() as scheduler:
        job = await scheduler.spawn(taken(batch.map(work, range(100), limit=4)))
        await asyncio.sleep(1)
        await job.close()
        assert (job.cancelled(), work.running, len(work.began)) == (True, 0, 4)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"function": None}, TypeError, "function must be callable, got None"),
        ({"source": 5}, TypeError, "source must be an iterable or an asynchronous one, got 5"),
        ({"limit": 0}, ValueError, "limit must be at least 1"),
        ({"limit": None}, TypeError, "limit must be an int"),
        ({"window": 3}, ValueError, "window must be at least 4, or None for twice the limit"),
        ({"ordered": 1}, TypeError, "ordered must be True or False"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(change, error, match):
    arguments = {"function": Work(), "source": [], "limit": 4, **change}
    with pytest.raises(error, match=match):
        batch.map(arguments.pop("function"), arguments.pop("source"), **arguments)
