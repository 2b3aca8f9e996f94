"""SIGTERM under load, and clients that leave, with real servers. Time is real; no figure of it decides anything."""

import asyncio
import contextlib
import signal

import pytest

from compat.servers.driving import SERVERS, ask, request, serving, stop_under_load

pytestmark = pytest.mark.loops("stock")


@pytest.mark.requirement("SHUT-4", "SPAWN-2")
@pytest.mark.parametrize("name", SERVERS)
async def test_of_what_was_answered_202_no_job_is_lost(name, tmp_path):
    outcome = await stop_under_load(SERVERS[name], tmp_path, seconds=1.5, enough=60)
    assert outcome.under_way["job"], "the server is stopped while it has something to lose"
    assert outcome.accepted["background"], "and it serves both kinds"
    assert outcome.lost["job"] == set()
    assert "never awaited" not in outcome.said


async def test_what_the_platform_kills_is_lost_and_that_is_seen(tmp_path):
    killed = ((signal.SIGKILL, 1.5),)
    outcome = await stop_under_load(SERVERS["uvicorn"], tmp_path, seconds=4, enough=30, more=killed)
    assert outcome.lost["job"] == outcome.accepted["job"]


@pytest.mark.requirement("CLOSE-1")
@pytest.mark.parametrize("name", ["uvicorn", "hypercorn", "granian"])
async def test_work_for_a_client_that_leaves_is_stopped_behind_a_base_http_middleware(name, tmp_path):
    async with serving(SERVERS[name], tmp_path, 1) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request("GET", "/report"))
        async with asyncio.timeout(10):
            while "begun" not in running.done():
                await asyncio.sleep(0.02)
            writer.transport.abort()
            while "stopped" not in running.done():
                await asyncio.sleep(0.02)
        assert await ask(running.port, "GET", "/") == 200
        said = await running.stop()
    assert "Traceback" not in said, said
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
