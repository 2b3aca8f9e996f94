"""Tests of one's own jobs."""

import asyncio
from typing import assert_type

import aiojobs
from aiojobs.testing import Explored, Story, cancel_at_every_await, explore, run


class Pool:
    free = 1


@explore(hasty=2, seconds=10)
async def test_story(story: Story, limit: int) -> None:
    calls = ["a"]
    async with aiojobs.Scheduler(limit=limit) as scheduler:
        assert_type(await story.io("call", answers=["tea", "milk"], fails=OSError), str)
        await story.io("call", fails=[OSError, KeyError("key")])
        story.task("now", story.io("call"), cancel=True, raises=(LookupError, OSError))
        story.task("later", scheduler.close)
        story.tasks("client", 3, asyncio.sleep)
        story.may("the service closes", scheduler.close)
        story.may("a function", calls.clear)
        story.check(lambda: len(scheduler) <= limit)
        await story.rest()
        story.task("a name is a text", 5)  # error: mypy[arg-type] pyright[reportArgumentType]


assert_type(test_story, Explored)
test_story(limit=1)
test_story.replay(["call 1 answers 'tea'", ("now is cancelled", 1)], limit=2)
test_story.replay([1])  # error: mypy[list-item] pyright[reportArgumentType]

explore(hasty="much")  # error: mypy[arg-type] pyright[reportArgumentType]


@explore()  # error: mypy[arg-type] pyright[reportArgumentType]
def test_not_async(story: Story) -> None:
    story.check(bool)


async def answer() -> int:
    return 42


def make() -> tuple[Pool, "asyncio.Future[int]"]:
    raise NotImplementedError


assert_type(run(answer()), int)
cancel_at_every_await(lambda: (Pool(), answer()), lambda pool: pool.free == 1)
pools = (Pool(), answer())
cancel_at_every_await(lambda: pools, str.upper)  # error: mypy[misc] pyright[reportArgumentType]
cancel_at_every_await(make, bool)  # error: mypy[arg-type] pyright[reportArgumentType]
