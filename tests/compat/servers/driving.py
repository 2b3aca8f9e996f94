"""Start a server, let clients loose on it, stop it among them, and compare what was promised with what was done."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from support.library import SOURCES

ROOT = Path(__file__).resolve().parents[3]
SERVICE = "compat.servers.service:app"
PATIENCE = 30
"""Seconds after which a server that has not started, or not ended, has failed."""
CLIENTS = 12


@dataclass(frozen=True)
class Server:
    """How one is started."""

    name: str
    command: tuple[str, ...]
    settings: str = ""
    """Contents of a file that it is pointed to."""

    def arguments(self, port, folder):
        """The whole command line."""
        file = folder / "server.toml"
        file.write_text(self.settings)
        words = [word.format(port=port, app=SERVICE, file=file) for word in self.command]
        return [sys.executable, "-m", *words]


UVICORN = ("uvicorn", "{app}", "--port", "{port}", "--no-access-log")
HYPERCORN = ("hypercorn", "{app}", "--bind", "127.0.0.1:{port}", "--config", "{file}")
GRANIAN = ("granian", "{app}", "--interface", "asgi", "--port", "{port}")

SERVERS = {
    "uvicorn": Server("uvicorn, graceful timeout 1 s", (*UVICORN, "--timeout-graceful-shutdown", "1")),
    "uvicorn-workers": Server(
        "uvicorn, 2 workers, graceful timeout 1 s",
        (*UVICORN, "--workers", "2", "--timeout-graceful-shutdown", "1"),
    ),
    "hypercorn": Server("hypercorn, graceful timeout 1 s", HYPERCORN, "graceful_timeout = 1"),
    "granian": Server("granian", GRANIAN),
}


@dataclass
class Running:
    """A server that runs, and what it has promised."""

    process: asyncio.subprocess.Process
    port: int
    ledger: Path
    accepted: dict[str, set[str]] = field(default_factory=lambda: {"job": set(), "background": set()})
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def done(self):
        """What stands in the ledger."""
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        assert len(lines) == len(set(lines)) or "begun" in lines, "an order was stored twice"
        return set(lines)

    def lost(self):
        """By kind: what was accepted and is not in the ledger."""
        done = self.done()
        return {kind: orders - done for kind, orders in self.accepted.items()}

    async def end(self, patience=PATIENCE):
        """Wait for the process; what it has said."""
        async with asyncio.timeout(patience):
            said, _ = await self.process.communicate()
        return said.decode(errors="replace")

    async def stop(self, *more):
        """SIGTERM, and what was said until the end. `more` are pairs of a signal and the seconds before it."""
        self.process.send_signal(signal.SIGTERM)
        for signum, seconds in more:
            await asyncio.sleep(seconds)
            self.process.send_signal(signum)
        return await self.end()


@contextlib.asynccontextmanager
async def serving(server, folder, seconds):
    """Run a server whose orders take so long."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ledger = folder / "ledger.txt"
    path = os.pathsep.join(map(str, (SOURCES, ROOT / "tests")))
    env = {**os.environ, "PYTHONPATH": path, "SECONDS": str(seconds), "LEDGER": str(ledger)}
    process = await asyncio.create_subprocess_exec(
        *server.arguments(port, folder), cwd=folder, env=env, start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    running = Running(process, port, ledger)
    try:
        await _until_it_serves(running)
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers too
        await process.wait()


async def _until_it_serves(running):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            assert await ask(running.port, "GET", "/") == 200
        except ConnectionError:
            assert running.process.returncode is None, (await running.process.communicate())[0].decode()
            assert time.monotonic() < deadline, "it does not start"
            await asyncio.sleep(0.05)
        else:
            return


async def ask(port, method, path):
    """One request on a connection of its own; the status of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request(method, path, close=True))
        line = await reader.readline()
        await reader.read()
    finally:
        writer.close()
    if not line:
        raise ConnectionResetError
    return int(line.split()[1])


def request(method, path, *, close=False):
    """The bytes of a request without a body."""
    connection = "Connection: close\r\n" if close else ""
    return f"{method} {path} HTTP/1.1\r\nHost: test\r\n{connection}Content-Length: 0\r\n\r\n".encode()


async def load(running, numbers, kinds, enough):
    """One client after the other, until nobody opens the door."""
    for number in numbers:
        kind = kinds[number % len(kinds)]
        with contextlib.suppress(ConnectionError):
            status = await ask(running.port, "POST", f"/{kind}/{number}")
            assert status in {202, 503}, status
            if status == 202:
                running.accepted[kind].add(f"{kind} {number}")
        if running.process.returncode is not None:
            return
        if sum(map(len, running.accepted.values())) >= enough:
            running.answered.set()
        await asyncio.sleep(0.01)


@dataclass
class Outcome:
    """What came of it: orders by kind."""

    accepted: dict[str, set[str]]
    under_way: dict[str, set[str]]
    """Accepted and not yet done at SIGTERM."""
    lost: dict[str, set[str]]
    said: str
    seconds: float
    """From SIGTERM to the end of the process."""


async def stop_under_load(server, folder, *, seconds, enough, kinds=("job", "background"), more=()):
    """SIGTERM when so many orders, which take so long, have been accepted from clients that go on asking."""
    async with serving(server, folder, seconds) as running, asyncio.TaskGroup() as group:
        numbers = count()
        for _ in range(CLIENTS):
            group.create_task(load(running, numbers, kinds, enough))
        async with asyncio.timeout(PATIENCE):
            await running.answered.wait()
        under_way = running.lost()
        before = time.monotonic()
        said = await running.stop(*more)
        return Outcome(running.accepted, under_way, running.lost(), said, time.monotonic() - before)
