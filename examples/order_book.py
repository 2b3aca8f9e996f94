"""What the order services have in common: the book of orders, the job behind an order, and a customer to try them.

SQLite is written in a thread. A write may take milliseconds when the disk is busy, and an event loop that
waits for a disk serves nobody. One connection behind a lock is enough, since SQLite has one writer at a time
anyway; the jobs still overlap, because taking the payment, which comes first, is waiting for somebody else.
"""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection
from pathlib import Path

PATIENCE = 0.15
"""Seconds that a client may have to wait for a place in the queue."""
PAYMENT = 0.02
"""Seconds that the payment takes."""


class OrderBook:
    """The orders, in a SQLite file. Its methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False)
        # A commit waits for the system, not for the disk: safe against a crash of this process.
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY, item TEXT)")

    def write(self, number: int, item: str) -> None:
        """Store an order for good."""
        with self._lock, self._connection:
            self._connection.execute("INSERT INTO orders VALUES (?, ?)", (number, item))

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._connection.close()


def stored_orders(path: Path) -> set[int]:
    """The numbers of the orders in the file."""
    connection = sqlite3.connect(path)
    try:
        return {number for (number,) in connection.execute("SELECT number FROM orders")}
    finally:
        connection.close()


async def store(book: OrderBook, number: int, item: str) -> None:
    """The job: take the payment, then store the order."""
    await asyncio.sleep(PAYMENT)
    await asyncio.to_thread(book.write, number, item)


async def try_out(port: int, stop: Callable[[], Awaitable[object]], database: Path) -> None:
    """Send ten orders at once, tell the service to stop, and compare what it said with what it did."""
    numbers = range(1, 11)
    answers = await asyncio.gather(*(asyncio.to_thread(send_order, port, number) for number in numbers))
    await stop()
    print("answers:", *sorted(set(answers)))
    print("stored:", *sorted(stored_orders(database)))


def send_order(port: int, number: int) -> int:
    """A customer who waits for the answer; its status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    order = json.dumps({"number": number, "item": "tea"})
    connection.request("POST", "/orders", order, {"Content-Type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status
