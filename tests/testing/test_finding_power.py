"""What exploration is for: realistic faults are found in few runs, their mended versions are exhausted, and nothing is
told that asyncio can't do."""

import asyncio
import re
import sys
import types

import pytest

import aiojobs
from aiojobs.testing import Counterexample, NotExhausted, _search, explore
from aiojobs.testing._search import Search

from .faults import (
    Cache,
    LeakyPool,
    LosingOrders,
    LostTrigger,
    Orders,
    Pool,
    Trigger,
    TwiceFilledCache,
    cache_story,
    orders_story,
    pool_story,
    trigger_story,
    wait_for_story,
)


def events(counterexample):
    """The numbered events of a report."""
    return re.findall(r"^ +\d+\. (.*)$", str(counterexample), re.MULTILINE)


@pytest.mark.parametrize(
    ("story", "most", "steps"),
    [
        (
            pool_story(LeakyPool),
            100,
            [
                "query 1 answers",
                "waiter is cancelled, one turn of the loop later, before the program has come to rest",
                "all is at rest",
            ],
        ),
        (cache_story(TwiceFilledCache), 20, ["reader 1 comes", "reader 2 comes"]),
        (
            trigger_story(LostTrigger),
            20,
            ["trigger 1 comes", "trigger 2 comes", "refresh 1 answers", "all is at rest"],
        ),
        (orders_story(LosingOrders), 50, None),
    ],
    ids=["leaky pool", "cache filled twice", "lost trigger", "lost order"],
)
def test_a_realistic_fault_is_found_in_few_runs_and_made_short(story, most, steps):
    with pytest.raises(Counterexample) as caught:
        explore(hasty=1, runs=most, seconds=60)(story)()
    assert events(caught.value) == steps or (steps is None and len(events(caught.value)) <= 5)
    assert int(re.search(r"Found after (\d+) runs", str(caught.value))[1]) <= 2 * most


@pytest.mark.parametrize(
    ("story", "most"),
    [
        (pool_story(Pool), 40),
        (cache_story(Cache), 120),
        (trigger_story(Trigger), 40),
        (orders_story(Orders), 700),
    ],
    ids=["pool", "cache", "trigger", "orders"],
)
def test_a_mended_version_is_exhausted(story, most, capsys):
    explore(hasty=1, runs=most, seconds=60)(story)()
    assert "exhausted, hasty=1" in capsys.readouterr().out


def test_without_haste_the_leaky_pool_is_not_found():
    """What `hasty` is for: no cancellation meets a wake-up that is on its way."""
    explore(hasty=0, seconds=60)(pool_story(LeakyPool))()


def test_the_fault_of_cpythons_own_wait_for_is_found_where_it_is():
    found = Search(wait_for_story, hasty=1).look(60, None)
    if sys.version_info >= (3, 12):
        assert found is None
    else:
        assert [step.name for step in found.steps][:2] == ["answer 1 answers", "somebody cancels"]


async def in_turn(story):
    """Correct for whoever relies on callbacks running first in, first out, as asyncio promises."""
    log = []

    async def first():
        log.append("first")

    async def second():
        assert log == ["first"]

    story.task("first", first())
    story.task("second", second())
    await story.rest()


def test_code_that_relies_on_asyncios_order_is_right():
    explore(hasty=3)(in_turn)()


def client_story(count, *, alike):
    async def many(story):
        lock = asyncio.Lock()

        async def client(_=None):
            async with lock:
                await story.io("work")

        if alike:
            story.tasks("client", count, client)
        else:
            for number in range(count):
                story.task(f"client {number}", client)
        await story.rest()

    return many


def test_clients_that_are_alike_come_in_one_order():
    alike, named = (Search(client_story(3, alike=alike), hasty=1) for alike in (True, False))
    for search in (alike, named):
        assert search.look(60, None) is None
        assert search.exhausted
    assert alike.runs * 3 < named.runs


def test_a_search_that_is_not_exhausted_fails_and_says_what_is_left():
    with pytest.raises(NotExhausted, match=r"nothing failed in 15 runs(.|\n)*but\n\d+ moments are left"):
        explore(hasty=2, runs=15)(orders_story(Orders))()


def test_two_searches_are_the_same():
    first, second = (Search(cache_story(Cache), hasty=1) for _ in range(2))
    for search in (first, second):
        search.look(60, None)
    assert (first.runs, first.states, first.ends) == (second.runs, second.states, second.ends)


async def asks(story, name, log):
    for number in range(2):
        log.append((name, await story.io(name, answers=[1, 2] if number else [0])))


async def sleeps(story, name, log):
    await asyncio.sleep(1)
    log.append((name, "slept"))


async def waits_in_time(story, name, log):
    try:
        async with asyncio.timeout(1):
            log.append((name, await story.io(name, answers=["in time"])))
    except TimeoutError:
        log.append((name, "late"))


async def generates(story, name, log):
    async def numbers():
        try:
            for number in range(2):
                yield await story.io(name, answers=[number])
        finally:
            log.append((name, "closed"))

    async for number in numbers():
        log.append((name, number))


async def gathers(story, name, log):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeps(story, name, log))
        await asyncio.gather(story.io(name), asyncio.sleep(0))


async def binds_one_of_two(story, name, log):
    if log:
        one = log[-1]
    else:
        other = None
    await story.io(name)
    log.append((name, "one" in locals(), "other" in locals()))
    del name


async def spawns(story, name, log):
    async with aiojobs.Scheduler(limit=1) as scheduler:
        job = await scheduler.spawn(story.io(name))
        waiting = await scheduler.spawn(sleeps(story, name, log))
        await job
        log.append((name, waiting.state))


def racing(first, second):
    """A program small enough to be explored without merging; it returns all that has happened."""

    async def race(story):
        log = []

        async def client(name, work):
            try:
                await work(story, name, log)
            except asyncio.CancelledError:
                log.append((name, "cancelled"))
                raise

        story.task("a", client("a", first), cancel=True)
        story.task("b", lambda: client("b", second))
        await story.rest()
        return tuple(log)

    return race


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (asks, asks),
        (asks, sleeps),
        (waits_in_time, generates),
        (generates, binds_one_of_two),
        (gathers, waits_in_time),
        (spawns, sleeps),
    ],
)
def test_merging_loses_no_outcome(first, second, monkeypatch):
    """All ends that there are without merging are reached with it, in fewer runs."""
    outcomes, runs = [], []
    for merging in (True, False):
        seen = set()
        search = Search(racing(first, second), hasty=1)
        if not merging:
            marks = iter(range(10**6))
            search.fingerprints.digest = lambda loop, scenario, marks=marks: next(marks)
        monkeypatch.setattr("aiojobs.testing._search.Run.go", _noting_ends(seen))
        assert search.look(60, None) is None
        assert search.exhausted
        outcomes.append(seen)
        runs.append(search.runs)
        monkeypatch.undo()
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) > 3
    assert runs[0] < runs[1]


def test_a_known_state_is_followed_up_again_if_more_haste_is_left():
    search = Search(pool_story(Pool), hasty=2)
    search.fingerprints.digest = lambda loop, scenario: b"the same"

    def is_known(left):
        explorer = _search._Explorer(search, None, 0)
        explorer._hasty = left
        return explorer._is_known(types.SimpleNamespace(loop=None, scenario=None), busy=False)

    assert [is_known(left) for left in (1, 1, 0, 2, 1)] == [False, True, True, False, True]


def _noting_ends(seen):
    from aiojobs.testing._run import Run

    go = Run.go

    def noting(run):
        go(run)
        if run.ended:
            seen.add(run.loop.main.result())
        return run

    return noting
