"""A loop that a test drives itself, turn by turn: for what happens between two callbacks."""

import asyncio
import signal

import pytest

from support.loops import StrictLoop


class SteppedLoop(StrictLoop):
    """Between two turns the test may do what a callback does: cancel, call, look."""

    def turn_until(self, condition):
        """Take turns until the condition holds; at the earliest boundary at which it does, stop."""
        for _ in range(100):
            if condition():
                return
            self.turn()
        raise AssertionError("it never came to that")

    def settle(self):
        """Take turns until nothing is ready, without letting time pass."""
        self.turn_until(self.quiet)

    def run(self, coro):
        """Take turns, and let time pass, until a coroutine has ended; return what it returns."""
        task = asyncio.ensure_future(coro)
        while not task.done():
            if self.quiet():
                assert self.advance(), "a deadlock"
            self.turn()
        return task.result()


@pytest.fixture
def steps():
    """A loop that runs only when the test says so, but counts as running for all that asks asyncio."""
    loop = SteppedLoop()
    with loop.entered():
        yield loop
    loop.close()


@pytest.fixture(autouse=True)
def no_test_hangs():
    """On a loop with real time a lost wake-up would hang the suite; here it becomes a failure."""

    if not hasattr(signal, "SIGALRM"):  # an operating system without it does without this net
        yield
        return

    def give_up(_signal, _frame):
        raise TimeoutError("a test on a loop with real time hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
