"""Which coroutines belong to a job, in whatever scheduler (``SPAWN-3``).

The rules of this file
----------------------
A claim is made when a job is made and ends with the coroutine. Nobody else writes here, and nobody asks but
the check of arguments.

How it works
------------
*The claim is written on the coroutine*: its qualified name, which Python lets anyone set, is replaced by the
same text as a ``Claimed``. That takes no memory and no entry in any table, and nothing has to be taken back:
when a job is over so is its coroutine, and that is refused anyway.

*What bears no name*, or one that can't be set - a coroutine is also what merely has the methods of one - is
remembered by its address instead, and forgotten when its job ends.

What is deliberately not here
-----------------------------
No table of all coroutines: it would be the largest part of a pending job. No reference to any: it would keep
alive the coroutines of a scheduler that was dropped.
"""

from __future__ import annotations

from typing import Any

__all__ = ("Claimed", "claim", "is_claimed", "nameless", "release")

_MOST_NAMES = 10_000
"""Programs that make up functions without end exist; a name that has to be made again is no harm."""


class Claimed(str):
    """The name of a coroutine that belongs to a job."""

    __slots__ = ()


class _Names(dict[str, Claimed]):
    """The one `Claimed` for each name."""

    def __missing__(self, name: str) -> Claimed:
        if len(self) >= _MOST_NAMES:
            self.clear()
        claimed = self[name] = Claimed(name)
        return claimed


_names = _Names()

nameless: set[int] = set()
"""The ids of claimed coroutines that bear no name."""


def claim(coro: Any) -> None:
    """Write down that `coro` belongs to a job."""
    try:
        coro.__qualname__ = _names[coro.__qualname__]
    except (AttributeError, TypeError):
        nameless.add(id(coro))


def is_claimed(coro: Any) -> bool:
    """Whether `coro` belongs to a job."""
    return type(getattr(coro, "__qualname__", None)) is Claimed or id(coro) in nameless


def release(coro: Any) -> None:
    """The job of `coro` has ended."""
    nameless.discard(id(coro))
