"""The queue of pending jobs: first in, first out, and anyone may leave from anywhere at no more cost.

The rules of this file
----------------------
It knows order and nothing else: neither why a job comes nor why it goes. A job is in one queue at most, and
how many there are is counted in ``_admission``, not here.

How it works
------------
A ring. Each queued job holds its two neighbours, and the queue itself stands between the last and the first,
so that joining and leaving change a few links whatever the length (``COST-1``, ``LIMIT-5``). A job that has
left holds nothing and is held by nobody (``BOOK-3``); its links are gone, so that leaving twice is an error.

What is deliberately not here
-----------------------------
No dict and no deque. An ordered dict costs three times the memory of two links for every pending job; a deque
can't be left in the middle, unless what has left stays in it as a mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._machine import JobMachine

__all__ = ("Link", "Queue")


class Link:
    """A place in the ring: the jobs have one each, and the queue itself is one."""

    __slots__ = ("_after", "_before")

    _before: Link
    """Who came just before; the queue itself if nobody did. Absent while not in a queue."""
    _after: Link
    """Who came just after; the queue itself if nobody has. Absent while not in a queue."""

    def _is_queued(self) -> bool:
        return hasattr(self, "_after")


class Queue(Link):
    """The pending jobs of one scheduler in the order of spawning."""

    __slots__ = ()

    def __init__(self) -> None:
        self._before = self._after = self

    def __bool__(self) -> bool:
        return self._after is not self

    def __iter__(self) -> Iterator[JobMachine]:
        link = self._after
        while link is not self:
            yield link  # type: ignore[misc]
            link = link._after

    def clear(self) -> list[JobMachine]:
        """All leave at once, and are returned in order."""
        jobs: list[JobMachine] = []
        link = self._after
        while link is not self:
            job, link = link, link._after
            del job._before, job._after
            jobs.append(job)  # type: ignore[arg-type]
        self._before = self._after = self
        return jobs

    def join(self, job: JobMachine) -> None:
        """Go to the end of the queue."""
        last = self._before
        job._before = last
        job._after = self
        last._after = self._before = job

    def leave(self, job: JobMachine) -> None:
        """Go, from wherever in the queue."""
        before, after = job._before, job._after
        before._after = after
        after._before = before
        del job._before, job._after

    def pop(self) -> JobMachine:
        """The job that has waited longest leaves, and is returned; there must be one."""
        job = self._after
        after = self._after = job._after
        after._before = self
        del job._before, job._after
        return job  # type: ignore[return-value]
