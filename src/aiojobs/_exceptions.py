"""The errors of this package, each a subclass of the error that existing code already catches."""

from __future__ import annotations

import asyncio

__all__ = ("JobClosed", "PendingQueueFull")


class JobClosed(asyncio.CancelledError):
    """The job that was waited for was closed or cancelled, so it has no result (``WAIT-3``).

    A subclass of :exc:`asyncio.CancelledError`, as code written for aiojobs 1.4 expects. A waiter that
    was cancelled itself gets a plain ``CancelledError``: ``except JobClosed`` tells the two apart.

    Before CPython 3.13 ``asyncio.TaskGroup`` and ``asyncio.timeout`` compare exact types: out of the body of a
    group it comes in a ``BaseExceptionGroup`` there, and out of a timeout that has expired as it is; from 3.13 on
    it is a cancellation to both. ``except JobClosed`` inside the block does the same on every version.
    """


class PendingQueueFull(asyncio.QueueFull):
    """``spawn_nowait`` found every slot and every place in the queue taken (``SPAWN-5``).

    ``await scheduler.spawn(...)`` would have waited. The coroutine has been closed.
    """
