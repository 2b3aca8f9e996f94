"""What the recipes of the how-to guides promise, beyond what the pages show: in the awkward moments.

The code is that of the pages. What needs a framework or a package is tested in tests/compat/pages.
"""

import asyncio
import gc
from contextlib import suppress

import pytest

import aiojobs
from aiojobs.testing import VirtualLoop, settle
from docs import pages
from support.observing import Recorder


def recipe(page, definition):
    """The names that the one example of a page defines which has this definition."""
    (found,) = [example for example in pages.examples(page) if f"\n{definition}" in example.source]
    return pages.define(found)


# --- Keyed --------------------------------------------------------------------------------------------------

KEYED_PAGE = "docs/howto/periodic-and-keyed-work.md"


@pytest.fixture
def keyed_class():
    return recipe(KEYED_PAGE, "class Keyed")["Keyed"]


class Deliveries:
    """Jobs that write down when they began and ended, and how many ran at once."""

    def __init__(self):
        self.log = []
        self.running = self.most = 0

    async def __call__(self, key, number, seconds=1, error=None):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
            if error is not None:
                raise error
            self.log.append((key, number))
        finally:
            self.running -= 1

    def of(self, key):
        return [number for name, number in self.log if name == key]


@pytest.mark.requirement("SHUT-4", "LIMIT-1", "LIMIT-5")
@pytest.mark.loops("virtual", "eager")
async def test_keyed_work_is_all_done_in_order_and_within_the_limit_when_the_scheduler_drains(keyed_class):
    deliver = Deliveries()
    scheduler = aiojobs.Scheduler(limit=3, pending_limit=1)
    keyed = keyed_class(scheduler)
    for number in range(10):
        for key in range(5):
            keyed.spawn(key, deliver, key, number, 1 + key / 10)
    await scheduler.wait_and_close()
    assert all(deliver.of(key) == list(range(10)) for key in range(5))
    assert deliver.most == 3
    assert keyed.unfinished == 0


@pytest.mark.requirement("SHUT-4")
async def test_keyed_work_may_be_added_while_the_scheduler_drains(keyed_class):
    deliver = Deliveries()
    scheduler = aiojobs.Scheduler()
    keyed = keyed_class(scheduler)

    async def deliver_and_ask_for_more(number):
        await deliver("Ada", number)
        if number < 5:
            keyed.spawn("Ada", deliver_and_ask_for_more, number + 1)

    keyed.spawn("Ada", deliver_and_ask_for_more, 0)
    await scheduler.wait_and_close()
    assert deliver.of("Ada") == [0, 1, 2, 3, 4, 5]


@pytest.mark.requirement("LIMIT-5")
async def test_a_busy_key_does_not_starve_the_others(keyed_class):
    deliver = Deliveries()
    async with aiojobs.Scheduler(limit=1, wait_timeout=None) as scheduler:
        keyed = keyed_class(scheduler)
        for number in range(100):
            keyed.spawn("busy", deliver, "busy", number)
        keyed.spawn("rare", deliver, "rare", 0)
    assert deliver.log.index(("rare", 0)) == 1


@pytest.mark.requirement("EXC-1")
async def test_a_failure_is_reported_once_and_the_next_of_its_key_runs(keyed_class):
    deliver, handler = Deliveries(), Recorder()
    async with aiojobs.Scheduler(exception_handler=handler) as scheduler:
        keyed = keyed_class(scheduler)
        keyed.spawn("Ada", deliver, "Ada", 1, 1, OSError("lost"))
        keyed.spawn("Ada", 5)  # can't be called at all
        keyed.spawn("Ada", deliver, "Ada", 2)
    assert [type(error) for error in handler.exceptions] == [OSError, TypeError]
    assert deliver.of("Ada") == [2]


@pytest.mark.requirement("EXC-1", "WAIT-1")
async def test_who_waits_gets_the_failure_and_who_gives_up_changes_nothing(keyed_class):
    deliver, handler = Deliveries(), Recorder()
    async with aiojobs.Scheduler(exception_handler=handler) as scheduler:
        keyed = keyed_class(scheduler)
        first = keyed.spawn("Ada", deliver, "Ada", 1, 1, OSError("lost"))
        second = keyed.spawn("Ada", deliver, "Ada", 2)
        with pytest.raises(OSError, match="lost"):
            await (await first)
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await second
        second.cancel()
    assert handler.calls == []
    assert deliver.of("Ada") == [2]


@pytest.mark.requirement("LIMIT-6")
async def test_closing_one_job_in_the_middle_lets_the_next_of_its_key_begin_when_it_has_ended(keyed_class):
    begun = []

    async def stubborn():
        begun.append("stubborn")
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(5)

    async def second():
        begun.append(asyncio.get_running_loop().time())

    async with aiojobs.Scheduler(close_timeout=1) as scheduler:
        keyed = keyed_class(scheduler)
        turn = keyed.spawn("Ada", stubborn)
        keyed.spawn("Ada", second)
        job = await turn
        await settle()
        with pytest.raises(TimeoutError):
            await job.close()
    assert begun == ["stubborn", 5]


@pytest.mark.requirement("SHUT-1", "SPAWN-2")
@pytest.mark.parametrize("passes", range(6))
@pytest.mark.parametrize("limit", [1, 2])
async def test_closing_cancels_the_futures_of_what_never_became_a_job(keyed_class, passes, limit):
    deliver = Deliveries()
    scheduler = aiojobs.Scheduler(limit=limit, pending_limit=1)
    keyed = keyed_class(scheduler)
    turns = [keyed.spawn(key, deliver, key, number) for number in range(3) for key in range(4)]
    await settle(passes)
    await scheduler.close()
    await settle()
    assert all(turn.done() for turn in turns)
    jobs = [turn.result() for turn in turns if not turn.cancelled()]
    assert {job.outcome for job in jobs} <= {"cancelled", "never_started"}
    assert (deliver.log, keyed.unfinished, len(scheduler)) == ([], 0, 0)
    with pytest.raises(RuntimeError, match="closing has begun"):
        keyed.spawn(0, deliver, 0, 9)


@pytest.mark.requirement("SHUT-5")
async def test_a_lane_that_somebody_cancels_is_opened_anew_by_the_next_call(keyed_class):
    deliver = Deliveries()
    async with aiojobs.Scheduler() as scheduler:
        keyed = keyed_class(scheduler)
        lost = keyed.spawn("Ada", deliver, "Ada", 1)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await settle()
        assert lost.cancelled()
        keyed.spawn("Ada", deliver, "Ada", 2)
    assert deliver.of("Ada") == [2]


@pytest.mark.requirement("SPAWN-5")
async def test_what_is_accepted_is_bounded_and_a_key_without_work_takes_nothing(keyed_class):
    deliver = Deliveries()
    async with aiojobs.Scheduler() as scheduler:
        keyed = keyed_class(scheduler, capacity=2)
        turn = keyed.spawn("Ada", deliver, "Ada", 1)
        keyed.spawn("Alan", deliver, "Alan", 1)
        with pytest.raises(aiojobs.PendingQueueFull):
            keyed.spawn("Ada", deliver, "Ada", 2)
        await (await turn)
        await settle()
        assert keyed._lanes == {}
        keyed.spawn("Ada", deliver, "Ada", 3)
    assert deliver.of("Ada") == [1, 3]


@pytest.mark.requirement("SHUT-4")
@pytest.mark.parametrize("passes", range(6))
async def test_a_call_that_comes_while_the_last_of_its_key_is_ending_is_not_forgotten(keyed_class, passes):
    deliver = Deliveries()
    async with aiojobs.Scheduler() as scheduler:
        keyed = keyed_class(scheduler)
        job = await keyed.spawn("Ada", deliver, "Ada", 1)
        await job
        await settle(passes)
        keyed.spawn("Ada", deliver, "Ada", 2)
        keyed.spawn("Ada", deliver, "Ada", 3)
    assert deliver.of("Ada") == [1, 2, 3]
    assert (keyed._lanes, keyed.unfinished) == ({}, 0)


@pytest.mark.requirement("SPAWN-3")
def test_a_call_on_another_loop_is_refused_and_leaves_nothing_behind(keyed_class):
    scheduler = aiojobs.Scheduler()
    keyed = keyed_class(scheduler)
    deliver = Deliveries()

    async def spawn():
        return await (await keyed.spawn("Ada", deliver, "Ada", 1))

    first = asyncio.Runner()
    with first, asyncio.Runner() as second:
        first.run(scheduler.spawn(asyncio.sleep(0)))
        with pytest.raises(RuntimeError, match="different event loop"):
            second.run(spawn())
        assert (keyed._lanes, keyed.unfinished) == ({}, 0)
        gc.collect()  # no coroutine that was never awaited


# --- Metrics ------------------------------------------------------------------------------------------------

METRICS_PAGE = "docs/howto/metrics.md"


def size(thing):
    """How many objects can be reached from here without going through modules, classes and functions."""
    seen, new = set(), [thing]
    while new:
        one = new.pop()
        if id(one) not in seen and not isinstance(one, type | type(gc) | type(size)):
            seen.add(id(one))
            new.extend(gc.get_referents(one))
    return len(seen)


@pytest.mark.requirement("BOOK-3")
async def test_figures_are_as_large_after_ten_thousand_jobs_as_after_a_hundred():
    figures = recipe(METRICS_PAGE, "class Figures")["Figures"]()
    sizes = []

    async def work(number):
        if number % 10 == 0:
            raise LookupError

    async with aiojobs.Scheduler(limit=7, observer=figures, exception_handler=Recorder()) as scheduler:
        for number in range(10_000):
            await scheduler.spawn(work(number), f"number {number}")
            if number in {99, 9_999}:
                await asyncio.sleep(1)
                sizes.append(size(figures))
    assert sum(figures.jobs.values()) == 10_000
    jobs = {(task.rpartition(".")[2], str(outcome)): jobs for (task, outcome), jobs in figures.jobs.items()}
    assert jobs == {("work", "returned"): 9_000, ("work", "raised"): 1_000}
    assert sizes[0] == sizes[1]
    assert len(figures._since) == 0


@pytest.mark.requirement("SPAWN-1")
async def test_a_spawn_that_is_given_up_leaves_nothing_in_the_figures():
    figures = recipe(METRICS_PAGE, "class Figures")["Figures"]()
    async with aiojobs.Scheduler(limit=1, pending_limit=1, observer=figures) as scheduler:
        for _ in range(2):
            await scheduler.spawn(asyncio.sleep(1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await scheduler.spawn(asyncio.sleep(1))
    assert figures.jobs == {("sleep", "returned"): 2}
    assert len(figures._since) == 0


@pytest.mark.requirement("CLOSE-1")
async def test_the_time_that_a_job_takes_to_stop_counts_as_running():
    figures = recipe(METRICS_PAGE, "class Figures")["Figures"]()

    async def slow_to_stop():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(3)

    async with aiojobs.Scheduler(close_timeout=5, observer=figures) as scheduler:
        job = await scheduler.spawn(slow_to_stop())
        await asyncio.sleep(2)
        await job.close()
    assert ([*figures.waited.values()], [*figures.ran.values()]) == ([0], [5])


# --- Adaptive: a limit that moves by itself -----------------------------------------------------------------

ADAPTIVE_PAGE = "docs/howto/adaptive-limit.md"


@pytest.fixture
def adaptive_program():
    """The file of the page, as a program."""
    (file,) = pages.files("docs/howto/adaptive-limit.md")
    assert file.name == "adaptive.py"
    return pages.Example(file.page, file.line, file.source, None)


@pytest.fixture
def adaptive(adaptive_program):
    """Its `Adaptive`."""
    return pages.define(adaptive_program)["Adaptive"]


@pytest.mark.requirement("LIMIT-7")
def test_the_adaptive_limit_goes_the_way_that_the_page_shows(adaptive_program, tmp_path):
    printed = pages.run(adaptive_program, VirtualLoop, tmp_path)
    assert f"```text\n{printed}```" in pages.text(ADAPTIVE_PAGE)


async def fails_after(seconds):
    await asyncio.sleep(seconds)
    raise ConnectionResetError


async def limits_after(adaptive, work, *, limit, jobs, seconds, **options):
    """The limit after each of these seconds, of a scheduler whose jobs do this work."""
    async with aiojobs.Scheduler(limit=limit, exception_handler=Recorder()) as scheduler:
        moving = adaptive(scheduler, slow=0.5, **options)
        for _ in range(jobs):
            await scheduler.spawn(moving.run(work, 0.2))
        limits = []
        for second in seconds:
            await asyncio.sleep(second)
            limits.append(scheduler.limit)
    return limits


@pytest.mark.requirement("LIMIT-7")
async def test_many_failures_at_once_are_one_overload_and_lower_the_limit_once(adaptive):
    assert await limits_after(adaptive, fails_after, limit=9, jobs=20, seconds=(0.3, 0.2)) == [6, 4]


@pytest.mark.requirement("LIMIT-7")
async def test_one_round_of_successes_raises_the_limit_by_about_one(adaptive):
    assert await limits_after(adaptive, asyncio.sleep, limit=4, jobs=99, seconds=(0.3, 0.4)) == [4, 6]


@pytest.mark.requirement("LIMIT-7")
async def test_a_limit_that_holds_nothing_back_stays_where_it_is(adaptive):
    assert await limits_after(adaptive, asyncio.sleep, limit=10, jobs=10, seconds=(1,)) == [10]


@pytest.mark.requirement("LIMIT-7")
@pytest.mark.parametrize(("work", "bound"), [(fails_after, 3), (asyncio.sleep, 7)])
async def test_the_limit_stays_within_its_bounds(adaptive, work, bound):
    found = await limits_after(adaptive, work, limit=5, jobs=200, seconds=(5,), least=3, most=7)
    assert found == [bound]


@pytest.mark.requirement("EXC-1")
async def test_a_failure_that_lowers_the_limit_stays_a_failure_and_others_lower_nothing(adaptive):
    async def misses():
        raise LookupError("no such order")

    scheduler = aiojobs.Scheduler(limit=6)
    moving = adaptive(scheduler, slow=0.5)
    for work, error in ((misses, LookupError), (lambda: fails_after(1), ConnectionResetError)):
        job = await scheduler.spawn(moving.run(work))
        with pytest.raises(error):
            await job
    assert scheduler.limit == 4
    await scheduler.close()


# --- Calls from threads -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.requirement("SPAWN-7")
def test_threads_hand_work_over_as_the_page_shows(tmp_path):
    page = "docs/howto/call-from-threads.md"
    (file,) = pages.files(page)
    assert file.name == "sensor.py"
    printed = pages.run_by_itself(pages.Example(file.page, file.line, file.source, None), tmp_path)
    assert f"```text\n{printed}```" in pages.text(page)


# --- Tests: the fixture -------------------------------------------------------------------------------------

TESTS_PAGE = "docs/howto/test-code-that-uses-jobs.md"
TESTS_FILE = "test_orders.py"


def test_the_fixture_of_the_page_fails_the_test_that_leaves_a_job(pytester):
    pages.write_files(TESTS_PAGE, pytester.path)
    assert (pytester.path / TESTS_FILE).exists()
    plugins = ("-p", "aiojobs.testing.pytest_plugin", "--asyncio-mode=auto")
    result = pytester.runpytest_inprocess(*plugins, "-o", "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(passed=2, errors=1)
    said = "job 'store' (store) was left over when the test ended. Wait for it"
    assert f"`{said} …`" in pages.text(TESTS_PAGE)
    result.stdout.fnmatch_lines([f"{said} (*"])
