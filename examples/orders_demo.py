"""The order service under load: clients that hang up in the middle of a request, and a shutdown in between.

    make demo        or        python -m examples.orders_demo [--orders N] [--clients N] [--trace FILE]

Server and clients live in this one process and talk over loopback. Of every ten clients seven wait for their
answer; one hangs up when half of its order is sent, one when all of it is, one a moment later. When three
quarters of the orders are sent the server is told to stop, with all its clients still running.

Then the books are compared. An order is *accepted* when `spawn` has returned its job. Each accepted order
must be in the database, no other may be, and each answer 202 must be about an accepted one. The exit status
is 1 if anything was lost. With `--trace FILE` every step of every job is written down, and every call of
`spawn`; `python -m aiojobs_verification audit FILE` then says whether the scheduler obeyed its specification.

The observer also counts jobs that were accepted and closed again at once, without a start: a place had fallen
free in the very moment in which the client hung up or lost its patience, so `spawn` never returned them
(SPAWN-1).

How many orders were refused, queued or cut off, and how long all of it took, is chance: server, clients and
disk run against a real clock. What does not vary: nothing is lost, every order sent has one of the four
answers, and the limits hold.
"""

import argparse
import asyncio
import json
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

import aiojobs
from aiojobs.aiohttp import get_scheduler_from_app
from aiojobs.tracing import TraceWriter

from .order_book import stored_orders
from .orders_service import TALLY, Tally, create_app

HELP = "The order service under load, with clients that hang up and a shutdown in between."
LIMIT = 8
PENDING_LIMIT = 24
SHUTDOWN_AT = 0.75
"""Which part of the orders has been sent when the server is told to stop."""
FINISHED = "finish: active -> done"


@dataclass
class Books:
    """What the clients have seen, what the observer has counted, and what is in the database."""

    tally: Tally
    sent: int = 0
    answered: set[int] = field(default_factory=set[int])
    disconnected: set[int] = field(default_factory=set[int])
    busy: int = 0
    """Answers 503."""
    closed: int = 0
    """Clients that found the door closed."""
    steps: Counter[str] = field(default_factory=Counter[str])
    """How often each transition was taken, by `event: source -> dest`."""
    failures: list[str] = field(default_factory=list[str])
    """What the exception handler of the scheduler was told."""
    stored: set[int] = field(default_factory=set[int])
    seconds: float = 0.0
    closing_seconds: float = 0.0

    @property
    def lost(self) -> set[int]:
        """Accepted, or even confirmed, and not stored."""
        return (self.tally.accepted | self.answered) - self.stored

    @property
    def unasked(self) -> set[int]:
        """Stored, although `spawn` never returned."""
        return self.stored - self.tally.accepted

    def broken_promises(self) -> list[str]:
        """What is wrong; empty if every promise was kept."""
        claims = {
            f"{len(self.lost)} accepted orders were lost: {sorted(self.lost)}": self.lost,
            f"{len(self.unasked)} orders were stored without being accepted": self.unasked,
            "an order was confirmed that was never accepted": self.answered - self.tally.accepted,
            f"more than {LIMIT} jobs ran at once (LIMIT-1)": self.tally.most_running > LIMIT,
            f"more than {PENDING_LIMIT} jobs were queued (LIMIT-3)": self.tally.most_queued > PENDING_LIMIT,
            "not every accepted order was finished": self.steps[FINISHED] != len(self.tally.accepted),
            f"the exception handler was called: {self.failures[:3]}": self.failures,
        }
        return [claim for claim, holds in claims.items() if holds]


class Observer:
    """Counts the steps of all jobs, and passes them on to the trace if there is one."""

    def __init__(self, steps: Counter[str], trace: TraceWriter | None) -> None:
        self._steps = steps
        self._trace = trace

    def __call__(self, record: aiojobs.Record) -> None:
        """One step of a job, or of the scheduler."""
        self._steps[f"{record.event}: {record.source or 'new'} -> {record.dest}"] += 1
        if self._trace is not None:
            self._trace(record)


class Progress:
    """A line that is rewritten in place on a terminal; elsewhere a line now and then."""

    def __init__(self, books: Books, total: int) -> None:
        self._books = books
        self._total = total
        self._live = sys.stdout.isatty()
        self._next = 0

    def show(self, note: str = "") -> None:
        """Show how far things are."""
        books = self._books
        if not self._live and not note and books.sent < self._next:
            return
        self._next = books.sent + self._total // 4
        filled = 24 * books.sent // self._total
        line = (
            f"[{'#' * filled:.<24}] sent {books.sent:>4}  accepted {len(books.tally.accepted):>4}  "
            f"hung up {len(books.disconnected):>3}  refused {books.busy + books.closed:>3}  {note}"
        )
        if self._live:
            print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        else:
            print(line, flush=True)

    def end(self) -> None:
        """Leave the line."""
        print("\n" if self._live else "")


# --- The clients --------------------------------------------------------------------------------------


@dataclass
class Shop:
    """What a client needs to know."""

    session: aiohttp.ClientSession
    host: str
    port: int
    books: Books
    orders: int
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when so many of the orders were sent that the server is to be stopped."""


async def wait_for_answer(shop: Shop, number: int) -> None:
    """A client that stays."""
    order = {"number": number, "item": "tea"}
    try:
        async with shop.session.post(f"http://{shop.host}:{shop.port}/orders", json=order) as response:
            await response.read()
    except (aiohttp.ClientConnectionError, TimeoutError):
        shop.books.closed += 1
        return
    if response.status == web.HTTPAccepted.status_code:
        shop.books.answered.add(number)
    elif response.status == web.HTTPServiceUnavailable.status_code:
        shop.books.busy += 1
    else:
        raise RuntimeError(f"order {number} was answered with {response.status}")


def hang_up(share: float, seconds: float) -> Callable[[Shop, int], Awaitable[None]]:
    """A client that cuts the line when it has sent `share` of its body, after so many `seconds`."""

    async def client(shop: Shop, number: int) -> None:
        body = json.dumps({"number": number, "item": "coffee"}).encode()
        head = f"POST /orders HTTP/1.1\r\nHost: {shop.host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        try:
            _, writer = await asyncio.open_connection(shop.host, shop.port)
        except ConnectionError:
            shop.books.closed += 1
            return
        writer.write(head + body[: int(len(body) * share)])
        with suppress(ConnectionError):
            await writer.drain()
            await asyncio.sleep(seconds)
        writer.transport.abort()
        shop.books.disconnected.add(number)
        with suppress(ConnectionError):
            await writer.wait_closed()

    return client


MANNERS: Sequence[Callable[[Shop, int], Awaitable[None]]] = (
    wait_for_answer,
    wait_for_answer,
    hang_up(0.5, 0),
    wait_for_answer,
    wait_for_answer,
    hang_up(1, 0),
    wait_for_answer,
    wait_for_answer,
    hang_up(1, 0.05),
    wait_for_answer,
)
"""How the client of an order behaves, by the last digit of its number."""


async def send_orders(shop: Shop, progress: Progress) -> None:
    """One client after the other, until there are no more orders."""
    while shop.books.sent < shop.orders:
        number = shop.books.sent
        shop.books.sent += 1
        if shop.books.sent >= shop.orders * SHUTDOWN_AT:
            shop.enough.set()
        await MANNERS[number % len(MANNERS)](shop, number)
        progress.show()


# --- The run ------------------------------------------------------------------------------------------


async def run(orders: int, clients: int, database: Path, trace: TraceWriter | None) -> Books:
    """Start the server, let the clients loose, stop the server among them, and collect the books."""
    steps, failures = Counter[str](), list[str]()

    def note_failure(_scheduler: aiojobs.Scheduler, context: aiojobs.ExceptionContext) -> None:
        failures.append(repr(context))

    app = create_app(
        database,
        announce=nullcontext if trace is None else trace.call,
        limit=LIMIT,
        pending_limit=PENDING_LIMIT,
        wait_timeout=60,
        observer=Observer(steps, trace),
        exception_handler=note_failure,
    )
    books = Books(tally=app[TALLY], steps=steps, failures=failures)
    progress = Progress(books, orders)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    door = socket.create_server(("127.0.0.1", 0))
    host, port = door.getsockname()
    await web.SockSite(runner, door).start()
    begin = time.perf_counter()
    patience = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=patience) as session, asyncio.TaskGroup() as group:
        shop = Shop(session, host, port, books, orders)
        for _ in range(clients):
            group.create_task(send_orders(shop, progress))
        await shop.enough.wait()
        books.closing_seconds = await stop(runner, app, door, progress)
    books.seconds = time.perf_counter() - begin
    progress.show("done")
    progress.end()
    books.stored = stored_orders(database)
    return books


async def stop(runner: web.AppRunner, app: web.Application, door: socket.socket, progress: Progress) -> float:
    """The graceful shutdown, as it follows SIGTERM under `web.run_app`; how long it took."""
    # asyncio forgets a client that comes in at the moment of closing (CPython issue 109564), and here clients
    # and server run in step: so first let nobody else in, and those who are on the doorstep.
    asyncio.get_running_loop().remove_reader(door)
    for _ in range(3):
        await asyncio.sleep(0)
    scheduler = get_scheduler_from_app(app)
    jobs = 0 if scheduler is None else len(scheduler)
    progress.show(f"told to stop, with {jobs} jobs")
    begin = time.perf_counter()
    await runner.cleanup()
    return time.perf_counter() - begin


def table(books: Books) -> str:
    """The books, for people."""
    tally = books.tally
    rows: list[tuple[str, Any]] = [
        ("orders sent", books.sent),
        ("  answered 202", len(books.answered)),
        ("  disconnected in mid-request", len(books.disconnected)),
        ("  refused, 503", books.busy),
        ("  refused, server closed", books.closed),
        ("orders accepted", len(tally.accepted)),
        ("  of clients that hung up", len(tally.accepted & books.disconnected)),
        ("orders withdrawn while waiting for a place", tally.withdrawn),
        ("orders stored", len(books.stored)),
        ("  accepted and lost", len(books.lost)),
        ("  stored without being accepted", len(books.unasked)),
        ("most jobs running at once", f"{tally.most_running} of {LIMIT}"),
        ("most jobs queued at once", f"{tally.most_queued} of {PENDING_LIMIT}"),
        ("most orders waiting for a place", tally.most_waiting),
        *((f"  {step}", count) for step, count in sorted(books.steps.items())),
        ("seconds", f"{books.seconds:.2f}"),
        ("  of the shutdown", f"{books.closing_seconds:.2f}"),
    ]
    return "\n".join(f"{label:<46}{value:>10}" for label, value in rows)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.orders_demo", description=HELP)
    parser.add_argument("--orders", type=at_least(4), default=1000, help="how many orders are sent (1000)")
    parser.add_argument("--clients", type=at_least(1), default=60, help="how many clients at a time (60)")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write every step of every job to FILE")
    return parser.parse_args(arguments)


def at_least(least: int) -> Callable[[str], int]:
    """The type of a command-line argument that is a number."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {text}")
        return int(text)

    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; 0 if every promise was kept."""
    options = parse(arguments)
    with ExitStack() as stack:
        trace = None
        if options.trace is not None:
            trace = stack.enter_context(
                TraceWriter.to_file(options.trace, limit=LIMIT, pending_limit=PENDING_LIMIT, calls=True)
            )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        books = asyncio.run(run(options.orders, options.clients, folder / "orders.sqlite", trace))
    print(table(books))
    broken = books.broken_promises()
    print("\n".join(["", *(f"BROKEN: {claim}" for claim in broken)] if broken else ["", "Nothing was lost."]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
