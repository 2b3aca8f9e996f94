"""The consumer: SIGTERM loses and doubles nothing, and what a killed one had taken is handled by the next."""

import asyncio
import importlib
import sys

import pytest

from .test_examples import ROOT, environment, run_in_time, said

CONSUMER = """
import asyncio, sys
from examples import consumer

consumer.WORK = 0.1
sys.exit(asyncio.run(consumer.consume(int(sys.argv[1]))))
"""
MESSAGES = range(1, 11)


def test_sigterm_finishes_what_was_accepted_and_gives_the_rest_back():
    assert run_in_time("consumer") == said("consumer")


@pytest.fixture
def broker(monkeypatch):
    """A broker with ten messages."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("examples.broker").Broker(MESSAGES)


def waiting(broker):
    """The messages that nobody has now."""
    return sorted(broker.waiting.get_nowait() for _ in range(broker.waiting.qsize()))


async def with_consumers(broker, *acts):
    """Start a consumer for each act, which says after how many messages and how it ends; their exit statuses."""
    statuses = []
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        for done, end in acts:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", "-c", CONSUMER, port, cwd=ROOT, env=environment()
            )
            enough = len(broker.done) + done
            await broker.until(lambda enough=enough: len(broker.done) >= enough)
            getattr(process, end)()
            statuses.append(await process.wait())
            await broker.until(lambda: not broker.consumers)
    return statuses


def test_what_a_killed_consumer_has_not_done_is_handled_by_the_next(broker):
    # Time is real because processes are.
    statuses = asyncio.run(asyncio.wait_for(with_consumers(broker, (2, "kill"), (8, "terminate")), 60))
    assert statuses == [-9, 0]
    assert sorted(broker.done) == [*MESSAGES]
    assert broker.left != []
    assert waiting(broker) == []


def test_a_message_is_done_or_waits_whenever_the_signal_comes(broker):
    statuses = asyncio.run(asyncio.wait_for(with_consumers(broker, (1, "terminate"), (2, "terminate")), 60))
    assert statuses == [0, 0]
    assert sorted([*broker.done, *waiting(broker)]) == [*MESSAGES]
