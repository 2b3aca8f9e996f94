"""An ASGI service under load, with clients that leave, and a shutdown in between: jobs beside background tasks.

    make demo        or        python -m examples.asgi_demo [--orders N] [--clients N]

uvicorn and its clients live in this one process and talk over loopback. The clients send orders to be stored by a job
and orders to be stored by a background task of the framework, in turn; some ask for a report and leave before it is
there. When enough orders are accepted the server is told to stop, as SIGTERM does, with all clients still running. It
grants requests in progress one second (`--timeout-graceful-shutdown 1`).

Then what was promised is compared with what was done. The exit status is 1 if the order of a job was lost, or a
report went on for nobody. Orders of background tasks are lost: that is what the demonstration shows.
"""

import argparse
import asyncio
import logging
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import uvicorn

from .asgi_service import WORK, Ledger, create_app

LIMIT = 40
KINDS = ("jobs", "background", "jobs", "background", "reports")
"""What one client after the other asks for."""
PREFIX = {"jobs": "job", "background": "background"}
ACCEPTED = 202


@dataclass
class Books:
    """What the clients have seen, and what the service has done."""

    ledger: Ledger
    accepted: dict[str, set[str]] = field(default_factory=lambda: {kind: set[str]() for kind in PREFIX})
    left: int = 0
    """Clients that left before their report was there."""
    closing_seconds: float = 0.0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    def lost(self, kind: str) -> set[str]:
        """Accepted and not stored."""
        return self.accepted[kind] - self.ledger.stored

    @property
    def total(self) -> int:
        """How many orders were accepted."""
        return sum(map(len, self.accepted.values()))


async def ask(port: int, path: str, patience: float | None = None) -> int | None:
    """Send a request; the status of the answer, or None if the door was closed or patience has ended."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return None
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )
    try:
        async with asyncio.timeout(patience):
            line = await reader.readline()
    except (ConnectionError, TimeoutError):
        line = b""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return int(line.split()[1]) if line else None


async def send_orders(port: int, numbers: Iterator[int], books: Books, orders: int) -> None:
    """One client after the other, until enough orders are accepted and the door is closed."""
    for number in numbers:
        kind = KINDS[number % len(KINDS)]
        if kind == "reports":
            await ask(port, "/reports", patience=0.05)
            books.left += 1
            continue
        status = await ask(port, f"/{kind}/{number}")
        if status == ACCEPTED:
            books.accepted[kind].add(f"{PREFIX[kind]} {number}")
        elif books.enough.is_set():
            return
        if books.total >= orders:
            books.enough.set()
        await asyncio.sleep(0.01)


async def run(orders: int, clients: int) -> Books:
    """Start the server, let the clients loose, stop the server among them."""
    books = Books(Ledger())
    app = create_app(books.ledger, grace=30, reserve=2, limit=LIMIT)
    server = uvicorn.Server(
        uvicorn.Config(app, timeout_graceful_shutdown=1, log_config=None, access_log=False)
    )
    with socket.create_server(("127.0.0.1", 0)) as door:
        serving = asyncio.create_task(server.serve(sockets=[door]))
        numbers = count()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(send_orders(door.getsockname()[1], numbers, books, orders))
            await books.enough.wait()
            begin = time.perf_counter()
            server.should_exit = True
            await serving
            books.closing_seconds = time.perf_counter() - begin
    return books


def broken_promises(books: Books) -> list[str]:
    """What is wrong; empty if every promise was kept."""
    unstopped = books.ledger.begun_reports - books.ledger.stopped_reports
    claims = {
        f"{len(books.lost('jobs'))} accepted jobs were lost": books.lost("jobs"),
        f"{unstopped} reports went on without their clients": unstopped,
    }
    return [claim for claim, holds in claims.items() if holds]


def table(books: Books) -> str:
    """The books, for people."""
    rows: list[tuple[str, int | str]] = [("seconds that an order takes", str(WORK))]
    for kind, by in (("jobs", "by a job"), ("background", "by a background task")):
        rows.append((f"orders accepted, to be stored {by}", len(books.accepted[kind])))
        rows.append(("  accepted and lost", len(books.lost(kind))))
    rows += [
        ("clients that left before their report was there", books.left),
        ("  reports that had begun", books.ledger.begun_reports),
        ("  reports that were stopped", books.ledger.stopped_reports),
        ("seconds of the shutdown", f"{books.closing_seconds:.2f}"),
    ]
    return "\n".join(f"{label:<50}{value:>10}" for label, value in rows)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    summary = "An ASGI service under load, with clients that leave and a shutdown in between."
    parser = argparse.ArgumentParser(prog="python -m examples.asgi_demo", description=summary)
    parser.add_argument("--orders", type=int, default=200, help="stop when so many are accepted (200)")
    parser.add_argument("--clients", type=int, default=20, help="how many clients at a time (20)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; 0 if no job was lost."""
    options = parse(arguments)
    logging.getLogger("uvicorn.error").disabled = True  # it tells of each background task that it cancels
    books = asyncio.run(run(options.orders, options.clients))
    print(table(books))
    broken = broken_promises(books)
    print("\n".join(["", *(f"BROKEN: {claim}" for claim in broken)] if broken else ["", "No job was lost."]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
