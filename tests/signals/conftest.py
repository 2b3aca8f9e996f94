"""Whatever the tests of this folder raise, it does not end the run: what comes through to it is kept."""

import signal

import pytest

from unit.stepping import no_test_hangs

__all__ = ("came_through", "no_test_hangs")

STOPPING = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def came_through():
    """The signals that reached the handlers of before, which must be there again when the test has ended."""
    kept = []

    def keep(number, _frame):
        kept.append(signal.Signals(number))

    before = {signum: signal.signal(signum, keep) for signum in STOPPING}
    yield kept
    left = {signum: signal.signal(signum, handler) for signum, handler in before.items()}
    assert left == dict.fromkeys(STOPPING, keep)
