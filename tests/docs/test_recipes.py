"""What the recipes of the how-to guides promise, beyond what the pages show: in the awkward moments.

The code is that of the pages. What needs a framework or a package is tested in tests/compat/pages.
"""

import asyncio
import gc
import re

import pytest

import aiojobs
from aiojobs.testing import VirtualLoop
from docs import pages
from support.observing import Recorder


def recipe(page, definition):
    """The names that the one example of a page defines which has this definition."""
    (found,) = [example for example in pages.examples(page) if f"\n{definition}" in example.source]
    return pages.define(found)


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


@pytest.mark.slow
@pytest.mark.real_time
def test_on_a_real_clock_the_adaptive_limit_finds_the_room_too(adaptive_program, tmp_path):
    printed = pages.run_by_itself(adaptive_program, tmp_path)
    found = [
        tuple(map(int, pair))
        for pair in re.findall(r"^room for +(\d+), limit +(\d+) ", printed, re.MULTILINE)
    ]
    assert len(found) == 18
    for last in (found[3:6], found[9:12], found[15:18]):
        room = last[0][0]
        assert sum(limit for _, limit in last) / len(last) == pytest.approx(room, rel=1 / 3)


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


@pytest.mark.real_time
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
