"""Functions over many items."""

from collections.abc import AsyncIterator
from typing import assert_type

from aiojobs import Job, batch


async def length(text: str) -> int:
    """An async function of one argument."""
    return len(text)


async def lines() -> AsyncIterator[str]:
    """An asynchronous source."""
    yield "line"


async def use() -> None:
    """Results and pairs have the types of the function."""
    async for result in batch.map(length, ["a", "b"], limit=2):
        assert_type(result, int)
    async with batch.map(length, lines(), limit=2, window=9, ordered=False) as results:
        assert_type(results, batch.Results[int])
        assert_type(await anext(results), int)
        await results.aclose()
    async for item, job in batch.as_completed(length, lines(), limit=2):
        assert_type(item, str)
        assert_type(job, Job[int])


async def wrong() -> None:
    """Mistakes."""
    batch.map(length, [1, 2], limit=2)  # error: mypy[arg-type] pyright[reportArgumentType]
    batch.map(length, lines())  # error: mypy[call-arg] pyright[reportCallIssue]
    batch.map(len, ["a"], limit=2)  # error: mypy[arg-type] pyright[reportArgumentType]
    batch.as_completed(length, ["a"], limit=2, ordered=True)  # error: mypy[call-arg] pyright[reportCallIssue]
    len(batch.map(length, ["a"], limit=2))  # error: mypy[arg-type] pyright[reportArgumentType]
