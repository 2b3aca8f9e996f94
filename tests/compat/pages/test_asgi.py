"""The programs of the page about FastAPI and Starlette in real processes: clients under load, SIGTERM in between.

Everything that runs here is written on the page. Time is real, because servers and sockets are; no figure of
it decides anything.
"""

import asyncio
import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from itertools import count

import httpx2
import pytest
import websockets
from fastapi.testclient import TestClient

from aiojobs.fastapi import get_scheduler_from_app
from docs import pages
from support.library import SOURCES

PAGE = "docs/howto/fastapi-and-starlette.md"
SERVICE, PLACES, PLAIN, REPORTS = "service.py", "places.py", "plain.py", "reports.py"
TESTS = ["test_service.py", "test_async.py"]

ENOUGH = 30
"""So many orders are accepted when the server is stopped, in the middle of the requests of all clients."""

pytestmark = pytest.mark.loops("stock")


@pytest.fixture
def folder(tmp_path):
    """A folder with the files of the page."""
    pages.write_files(PAGE, tmp_path)
    return tmp_path


def environment():
    return {**os.environ, "PYTHONPATH": SOURCES, "PYTHONWARNINGS": "error"}


class Server:
    """uvicorn in a process of its own, and what was accepted by it."""

    def __init__(self, process, lines):
        self.process = process
        self.lines = lines
        self.address = re.search(r"http://(127\.0\.0\.1:\d+)", lines[-1])[1]
        self.accepted = set()
        self.enough = asyncio.Event()

    async def ask(self, client, path, number):
        """Send one order; the name of its job is kept if the server promised to store it."""
        answer = await client.post(f"http://{self.address}{path}/{number}")
        assert answer.status_code == 202, answer.text
        assert answer.json() == {"accepted": f"order {number}"}
        self.accepted.add(answer.json()["accepted"])
        if len(self.accepted) >= ENOUGH:
            self.enough.set()

    async def stop(self):
        """Send SIGTERM and wait for the end; returns what the server has logged."""
        self.process.send_signal(signal.SIGTERM)
        rest = await self.process.stderr.read()
        await self.process.wait()
        return "".join(self.lines) + rest.decode()


@contextlib.asynccontextmanager
async def serving(application, folder):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", application, "--port", "0", "--no-access-log",
        cwd=folder, env=environment(), stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        lines = []
        while not lines or "running on" not in lines[-1]:
            line = await process.stderr.readline()
            assert line, "".join(lines)
            lines.append(line.decode())
        yield Server(process, lines)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def stored(folder):
    ledger = folder / "ledger.txt"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    assert len(lines) == len(set(lines)), "an order was stored twice"
    return set(lines)


@pytest.mark.requirement("SHUT-4", "SPAWN-2")
@pytest.mark.parametrize(
    ("application", "paths"),
    [
        ("places:app", ["/orders", "/in-a-thread", "/admin/orders"]),
        ("plain:app", ["/orders", "/stored", "/admin/orders"]),
    ],
)
async def test_nothing_that_was_accepted_is_lost_when_the_server_is_stopped_under_load(
    folder, application, paths
):
    numbers = count()

    async def keep_asking(path):
        with contextlib.suppress(httpx2.TransportError):
            while True:
                await server.ask(client, path, next(numbers))

    async with (
        serving(application, folder) as server,
        httpx2.AsyncClient() as client,
        asyncio.TaskGroup() as group,
    ):
        for path in paths * 3:
            group.create_task(keep_asking(path))
        await server.enough.wait()
        assert server.accepted - stored(folder), "the server is stopped while it has something to lose"
        log = await server.stop()
    assert server.accepted <= stored(folder)
    assert "Application shutdown complete" in log
    assert not re.search(r"ERROR|Traceback|never awaited", log), log


@pytest.mark.requirement("SHUT-4")
async def test_a_websocket_spawns_jobs_that_outlive_it(folder):
    async with serving("places:app", folder) as server:
        async with websockets.connect(f"ws://{server.address}/feed") as feed:
            for number in range(3):
                await feed.send(str(number))
                assert json.loads(await feed.recv()) == {"accepted": f"order {number}"}
        log = await server.stop()
    assert stored(folder) == {"order 0", "order 1", "order 2"}
    assert "Traceback" not in log


@pytest.mark.requirement("CLOSE-1")
async def test_a_report_for_a_client_that_leaves_is_stopped(folder):
    async with serving("reports:app", folder) as server:
        host, port = server.address.split(":")
        _, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /reports/2026 HTTP/1.1\r\nHost: test\r\n\r\n")
        await asyncio.sleep(
            0.2
        )  # time is real: the server has read the request by then, or it reads it later
        writer.transport.abort()
        async with asyncio.timeout(10):
            while not (folder / "stopped.txt").exists():
                await asyncio.sleep(0.02)
        log = await server.stop()
    assert (folder / "stopped.txt").read_text() == "report 2026\n"
    assert "Traceback" not in log


def test_the_tests_on_the_page_pass(folder):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder, env={**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def modules(folder, monkeypatch):
    """The files of the page as modules of this process."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    names = {file.name.removesuffix(".py") for file in pages.files(PAGE)}
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def test_without_a_lifespan_the_error_says_so(modules):
    with pytest.raises(RuntimeError, match="the lifespan of the application was not run"):
        TestClient(modules("service").app).post("/orders/1")


@pytest.mark.requirement("SPAWN-5")
def test_what_is_too_much_is_refused(modules):
    async def fill():
        gate = asyncio.Event()
        scheduler = get_scheduler_from_app(app)
        scheduler.set_limit(1)
        scheduler.spawn_nowait(gate.wait())
        for _ in range(1000):
            scheduler.spawn_nowait(asyncio.sleep(0))
        return gate

    app = modules("service").app
    with TestClient(app) as client:
        gate = client.portal.call(fill)
        answer = client.post("/orders/1")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        client.portal.call(gate.set)


def test_an_application_that_is_started_again_gets_a_new_scheduler(modules, folder):
    app = modules("service").app
    for number in range(2):
        with TestClient(app) as client:
            assert client.post(f"/orders/{number}").status_code == 202
    assert stored(folder) == {"order 0", "order 1"}


def test_every_file_of_the_page_is_run_here():
    here = {SERVICE, PLACES, PLAIN, REPORTS, *TESTS}
    assert {file.name for file in pages.files(PAGE)} == here
