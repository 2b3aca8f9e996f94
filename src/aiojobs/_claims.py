"""Which coroutines belong to a job, in whatever scheduler (``SPAWN-3``).

The rules of this file
----------------------
A claim is made when a job is made and ends with the coroutine. The check of arguments asks for it, the engine
makes it, and gives back those that are remembered by their address.

How it works
------------
*The claim is written on the coroutine*: its qualified name, which Python lets anyone set, is replaced by the
same text as a ``Claimed``. That takes no memory, and nothing has to be taken back: when a job is over so is
its coroutine, and that is refused anyway. One ``Claimed`` for each name is kept, up to a bound.

*What is no coroutine object of Python's own* - a coroutine is also what merely has the methods of one - may
bear no name, or one that can't be set. It is remembered by its address, and forgotten when its job ends.

What is deliberately not here
-----------------------------
No table of all coroutines: it would be the largest part of a pending job. No reference to any: it would keep
alive the coroutines of a scheduler that was dropped; they stay claimed, and nobody else may have them. And no
defence against whoever gives a claimed coroutine another name, or its name to another coroutine.
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any

__all__ = ("Claimed", "claim", "foreign", "is_claimed", "release")

_MOST_NAMES = 10_000
"""Programs that make up functions without end exist; a name that has to be made again is no harm."""


class Claimed(str):
    """The name of a coroutine that belongs to a job."""

    __slots__ = ("plain",)

    plain: str
    """The same as a plain string, for whoever shows it."""

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (self.plain,))


class _Names(dict[str, Claimed]):
    """The one `Claimed` for each name."""

    def __missing__(self, name: str) -> Claimed:
        if len(self) >= _MOST_NAMES:
            self.clear()
        claimed = self[name] = Claimed(name)
        claimed.plain = name
        return claimed


_names = _Names()

foreign: set[int] = set()
"""The ids of claimed coroutines that are not of Python's own type."""


def claim(coro: Any) -> None:
    """Write down that `coro` belongs to a job."""
    if type(coro) is CoroutineType:
        name = coro.__qualname__
        coro.__qualname__ = _names[name if type(name) is str else str.__str__(name)]
    else:
        foreign.add(id(coro))


def is_claimed(coro: Any) -> bool:
    """Whether `coro` belongs to a job."""
    if type(coro) is CoroutineType:
        return type(coro.__qualname__) is Claimed
    return id(coro) in foreign


def release(coro: Any) -> None:
    """The job of `coro` has ended."""
    foreign.discard(id(coro))
