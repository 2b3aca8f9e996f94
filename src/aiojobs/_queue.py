"""The queue of pending jobs: first in, first out; a job may leave from anywhere at the same cost.

The rules of this file
----------------------
It knows order and nothing else: neither what its nodes are, nor why one comes or goes. A node is in one queue at
most, and how many there are is counted in ``_admission``, not here.

How it works
------------
A ring. Each node holds its two neighbours, and the queue itself stands between the last and the first, so that
joining and leaving change a few links whatever the length (``COST-1``, ``LIMIT-5``). A node that has left holds
nothing and is held by nobody (``BOOK-3``); its links are None, so that leaving twice is an error.

What is deliberately not here
-----------------------------
No dict and no deque. An ordered dict costs three times the memory of two links for every pending job; a deque
can't be left in the middle, unless what has left stays in it as a mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ("Node", "Queue")


class Node:
    """What can stand in a queue, and the links that it then has: what is to be queued inherits them."""

    __slots__ = ("after", "before")

    before: Any
    """Who came just before; the queue itself if nobody did; None while it stands in none."""
    after: Any
    """Who came just after; the queue itself if nobody has; None while it stands in none."""

    def __init__(self) -> None:
        self.before = self.after = None

    def is_queued(self) -> bool:
        """Whether it stands in a queue."""
        return self.after is not None


class Queue(Node):
    """Nodes in the order in which they have joined; itself the node between the last and the first."""

    __slots__ = ()

    def __init__(self) -> None:
        self.before = self.after = self

    def __bool__(self) -> bool:
        return self.after is not self

    def __iter__(self) -> Iterator[Any]:
        node = self.after
        while node is not self:
            yield node
            node = node.after

    def clear(self) -> list[Any]:
        """All leave at once, and are returned in order."""
        nodes: list[Any] = []
        node = self.after
        while node is not self:
            after = node.after
            node.before = node.after = None
            nodes.append(node)
            node = after
        self.before = self.after = self
        return nodes

    def join(self, node: Node) -> None:
        """Go to the end of the queue."""
        last = self.before
        node.before = last
        node.after = self
        last.after = self.before = node

    def leave(self, node: Node) -> None:
        """Go, from wherever in the queue."""
        before, after = node.before, node.after
        before.after = after
        after.before = before
        node.before = node.after = None

    def pop(self) -> Any:
        """The node that has waited longest leaves, and is returned; there must be one."""
        node = self.after
        after = self.after = node.after
        after.before = self
        node.before = node.after = None
        return node
