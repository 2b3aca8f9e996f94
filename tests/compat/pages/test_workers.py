"""The service of the page about several workers, on a real uvicorn with two of them.

Time is real, because servers and signals are; no figure of it decides anything.
"""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager

import httpx2
import pytest

from docs import pages
from support.library import SOURCES

PAGE = "docs/howto/several-workers.md"
FILE = "service.py"
ALL, WORKERS = 8, 2
"""So many connections there are for all of them, as the page has it, and so many workers."""
SOME = 8
"""More than a worker runs at once, and fewer than may wait in it."""
PATIENCE = 30
"""Seconds after which something that should come about has not."""

pytestmark = pytest.mark.loops("stock")


class Service:
    """uvicorn with its workers, and who has accepted what."""

    def __init__(self, process, client):
        self.process = process
        self.client = client
        self.accepted = {}

    async def order(self, number, client=None):
        """One order; a worker that has been given far more than the other may refuse it."""
        answer = await (client or self.client).post(f"/orders/{number}")
        assert answer.status_code in {202, 503}, answer.text
        if answer.status_code == 202:
            self.accepted[number] = answer.json()["worker"]
        return answer

    async def order_until_full(self):
        """Order from one worker, until it refuses or has taken a thousand; its last answer."""
        async with client(self.client.base_url.port, keep_alive=True) as connection:
            for number in range(1000):
                answer = await self.order(number, connection)
                if answer.status_code != httpx2.codes.ACCEPTED:
                    break
        return answer

    async def order_of_each(self, at_least):
        """Order until each worker has so many orders."""
        numbers = itertools.count()
        async with asyncio.timeout(PATIENCE):
            while len(orders := Counter(self.accepted.values())) < WORKERS or min(orders.values()) < at_least:
                await asyncio.gather(*(self.order(next(numbers)) for _ in range(10)))

    async def health_of_each(self):
        """What each worker says of itself."""
        found = {}
        async with asyncio.timeout(PATIENCE):
            while len(found) < WORKERS:
                health = (await self.client.get("/health")).json()
                found[health.pop("worker")] = health
        return found

    async def serves(self):
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await self.health_of_each()
                except httpx2.TransportError:
                    assert self.process.returncode is None, (await self.process.communicate())[0].decode()
                    await asyncio.sleep(0.05)

    async def stop(self):
        """Send SIGTERM to the server; what jobs began and ended, in order, by worker and number."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            said, _ = await self.process.communicate()
        lines = [line.split() for line in said.decode().splitlines()]
        return [
            (int(line[0]), line[1], int(line[2])) for line in lines if len(line) == 3 and line[0].isdigit()
        ]


@pytest.fixture
def folder(tmp_path):
    pages.write_files(PAGE, tmp_path)
    assert (tmp_path / FILE).exists()
    return tmp_path


@pytest.fixture
async def service(folder):
    async with serving(folder) as service:
        yield service


def client(port, keep_alive):
    return httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE,
        limits=httpx2.Limits(max_keepalive_connections=None if keep_alive else 0),
    )  # fmt: skip


def environment(workers):
    """Unbuffered, as in a container: what is written in several pieces is mixed with what the other worker says."""
    return {
        **os.environ, "PYTHONPATH": SOURCES, "PYTHONUNBUFFERED": "1", "WEB_CONCURRENCY": str(workers),
    }  # fmt: skip


@asynccontextmanager
async def serving(folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "service:app", "--port", str(port), "--no-access-log",
        cwd=folder, env=environment(WORKERS), start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        # Each request has a connection of its own, so that the kernel chooses among the workers.
        async with client(port, keep_alive=False) as asking:
            service = Service(process, asking)
            await service.serves()
            yield service
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # workers too
            await process.wait()


def most_at_once(events):
    """How many jobs ran at once, at most."""
    running = most = 0
    for _, what, _ in events:
        running += 1 if what == "begins" else -1
        most = max(most, running)
    return most


@pytest.mark.requirement("LIMIT-1", "SHUT-4")
async def test_a_limit_is_per_process_and_divided_and_each_worker_drains(service):
    await service.order_of_each(at_least=SOME)
    events = await service.stop()
    for worker in set(service.accepted.values()):
        own = [event for event in events if event[0] == worker]
        assert most_at_once(own) == ALL // WORKERS
        accepted = {number for number, by in service.accepted.items() if by == worker}
        assert {number for _, what, number in own if what == "ends"} == accepted
    assert ALL // WORKERS < most_at_once(events) <= ALL


@pytest.mark.requirement("SEE-2")
async def test_an_answer_is_one_workers_and_says_whose(service):
    await service.order_of_each(at_least=SOME)
    health = await service.health_of_each()
    assert health.keys() == set(service.accepted.values())
    assert [one["limit"] for one in health.values()] == [ALL // WORKERS] * WORKERS
    for worker, by in Counter(service.accepted.values()).items():
        assert health[worker]["running"] <= ALL // WORKERS
        assert 0 < health[worker]["running"] + health[worker]["waiting"] <= by


async def test_a_worker_that_is_killed_takes_its_jobs_with_it_and_the_other_goes_on(service):
    await service.order_of_each(at_least=SOME)
    victim, other = set(service.accepted.values())
    os.kill(victim, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        while victim in await service.health_of_each():
            await asyncio.sleep(0.05)
    ended = {number for _, what, number in await service.stop() if what == "ends"}
    assert {number for number, by in service.accepted.items() if by == other} <= ended
    assert ended != service.accepted.keys()


@pytest.mark.requirement("SPAWN-5")
async def test_one_queue_may_be_full_while_the_other_worker_has_slots_to_spare(service):
    refused = await service.order_until_full()
    [worker] = set(service.accepted.values())
    assert (refused.status_code, refused.json()) == (503, {"detail": f"worker {worker} has enough to do"})
    health = await service.health_of_each()
    assert [one["running"] for other, one in health.items() if other != worker] == [0]


@pytest.mark.requirement("SHUT-4")
async def test_what_a_full_queue_holds_is_done_within_the_grace(service):
    await service.order_until_full()
    ended = {number for _, what, number in await service.stop() if what == "ends"}
    assert ended == service.accepted.keys()


def test_with_more_workers_than_there_is_to_divide_each_has_one(folder):
    look = (
        "import service, starlette.testclient\n"
        "with starlette.testclient.TestClient(service.app) as client: print(client.get('/health').json())"
    )
    done = subprocess.run(
        [sys.executable, "-c", look],
        cwd=folder,
        env=environment(16),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'limit': 1," in done.stdout
