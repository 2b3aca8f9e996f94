"""`cancel_at_every_await`: every place, both moments, and what is said of those that break the check."""

import asyncio
import re

import pytest

from aiojobs.testing import cancel_at_every_await

from .faults import LeakyPool, Pool


async def client(pool):
    await pool.acquire()
    try:
        await asyncio.sleep(1)
    finally:
        pool.release()


def busy(kind):
    """A client that has to wait for another one."""

    def make():
        pool = kind(1)

        async def second():
            first = asyncio.create_task(client(pool))
            await asyncio.sleep(0)
            await client(pool)
            await first

        return pool, second()

    return make


def free(pool):
    return pool.free == 1


def test_a_pool_that_takes_back_what_was_handed_over_passes():
    cancel_at_every_await(busy(Pool), free)


def test_the_await_at_which_a_connection_leaks_is_named():
    with pytest.raises(AssertionError) as caught:
        cancel_at_every_await(busy(LeakyPool), free)
    assert re.fullmatch(
        r"a cancellation breaks the check at 1 of the moments:\n"
        r"await 2, when the answer has come, unseen: line \d+ of .*faults.py, in LeakyPool.handed_over\n"
        r"    AssertionError: the check is False",
        str(caught.value),
    )


def test_every_await_is_met_in_both_moments_if_it_has_both():
    met = []

    def make():
        places = []

        async def work():
            for number in range(3):
                try:
                    await (asyncio.sleep(0) if number == 1 else asyncio.sleep(1))
                except asyncio.CancelledError:
                    places.append((number, asyncio.get_running_loop().time()))
                    raise

        return places, work()

    cancel_at_every_await(make, lambda places: met.append(tuple(places)))
    # A bare yield is answered at once: it has one moment, and in the other run nothing is cancelled.
    assert met == [(), ((0, 0),), ((0, 1),), ((1, 1),), (), ((2, 1),), ((2, 2),)]


def test_no_more_than_so_many_awaits_are_looked_at():
    runs = []
    cancel_at_every_await(lambda: (None, asyncio.sleep(1)), runs.append, most=0)
    assert len(runs) == 1


def test_a_check_that_does_not_hold_anyway_says_so():
    with pytest.raises(AssertionError, match="^AssertionError: the check is False, without any cancellation"):
        cancel_at_every_await(busy(Pool), lambda pool: pool.free == 2)


def test_a_coroutine_that_does_not_end_raises_something_else_or_loses_it_is_named():
    def make():
        async def lost():
            raise KeyError

        async def work():
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                await asyncio.Event().wait()
            try:
                await asyncio.sleep(2)
            except asyncio.CancelledError:
                raise LookupError("late") from None
            try:
                await asyncio.sleep(3)
            except asyncio.CancelledError:
                asyncio.create_task(lost())  # noqa: RUF006
                await asyncio.sleep(0)
                raise

        return None, work()

    with pytest.raises(AssertionError) as caught:
        cancel_at_every_await(make, lambda _: True)
    said = re.findall(r"^    (.*)$", str(caught.value), re.MULTILINE)
    assert [line.split(":")[0] for line in said] == [
        *["Deadlock"] * 2,
        *["LookupError"] * 2,
        *["AssertionError"] * 2,
    ]
    assert said[2] == "LookupError: late"
    assert "the loop was told: Task exception was never retrieved: KeyError()" in said[4]


def test_what_is_thrown_and_sent_reaches_the_coroutine():
    """It sees what it would see without being watched: results, exceptions, its own task."""
    seen = []

    def make():
        async def fails():
            await asyncio.sleep(0)
            raise KeyError("inner")

        async def work():
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(1, future.set_result, "tea")
            seen.append(await future)
            try:
                await asyncio.create_task(fails())
            except KeyError as error:
                seen.append(str(error))
            async with asyncio.timeout(1):
                await asyncio.sleep(0)

        return None, work()

    cancel_at_every_await(make, lambda _: True, most=0)
    assert seen == ["tea", "'inner'"]
