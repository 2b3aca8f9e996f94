"""`run`: `asyncio.run` on virtual time."""

import asyncio

import pytest

from aiojobs.testing import Deadlock, run


def test_a_program_runs_on_virtual_time():
    async def main():
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run(main()) == 3600


def test_debug_mode_is_that_of_asyncio():
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert [run(main(), debug=debug) for debug in (True, False)] == [True, False]


def test_a_hang_and_an_error_that_reaches_nobody_fail():
    async def hangs():
        await asyncio.Event().wait()

    async def complains():
        asyncio.get_running_loop().call_exception_handler({"message": "odd"})

    with pytest.raises(Deadlock):
        run(hangs())
    with pytest.raises(AssertionError, match="odd"):
        run(complains())
