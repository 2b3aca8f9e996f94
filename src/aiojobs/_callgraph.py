"""The call graph: tells asyncio who waits for whom; `print_call_graph` and `pstree` show it (``WAIT-6``).

From CPython 3.14 on each task knows the tasks that wait for it. asyncio finds them by itself where one task
awaits another; a caller of ``wait`` awaits a future of its own, so it has to be said.

The rules of this file
----------------------
What is named is the caller's *task*: with a plain future in between the picture ends at that future.
What every job passes asks ``CALL_GRAPH`` first, so that older versions pay for a look at a constant.
A link is a reference from the awaited to the caller: whoever makes one takes it back when the wait is over.

asyncio passes over what is no task or future of its own, and nobody has to ask: the None of a job that has no
task yet, that of a caller outside every task, a task of somebody else's making.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, Final

__all__ = ("CALL_GRAPH", "link", "link_each", "unlink", "unlink_each", "waits_by")

CALL_GRAPH: Final[bool] = hasattr(asyncio, "future_add_to_awaited_by")
"""Whether this Python has a call graph. Without one the functions below do nothing."""


def _nothing(_awaited: object, _caller: object, /) -> None:
    """There is no call graph."""


link: Final[Callable[[object, object], None]] = getattr(asyncio, "future_add_to_awaited_by", _nothing)
"""``link(awaited, caller)``: the second, a task, now waits for the first."""
unlink: Final[Callable[[object, object], None]] = getattr(asyncio, "future_discard_from_awaited_by", _nothing)
"""``unlink(awaited, caller)``: it does not any more."""


def waits_by(callback: object, loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any] | None:
    """The task that waits by this callback: that of a caller of ``asyncio.wait``, which takes jobs as they are.

    Whoever else has something called goes on meanwhile, and is not seen to wait.
    """
    if isinstance(callback, FunctionType) and callback.__module__ == asyncio.wait.__module__:
        return asyncio.current_task(loop)
    return None


def link_each(awaited: Iterable[object], callers: Iterable[object]) -> None:
    """Each of the callers now waits for each of the awaited."""
    for one in awaited:
        for caller in callers:
            link(one, caller)


def unlink_each(awaited: Iterable[object], callers: Iterable[object]) -> None:
    """None of the callers waits for any of the awaited any more."""
    for one in awaited:
        for caller in callers:
            unlink(one, caller)
