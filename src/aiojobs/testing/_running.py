"""Run a program on virtual time, as `asyncio.run` runs it on real time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ._strict import StrictLoop

__all__ = ("run",)

_T = TypeVar("_T")


def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
    """Run a coroutine to its end on a `StrictLoop`, and return what it returned.

    Arguments:
        main: what to run.
        debug: asyncio's debug mode, as in `asyncio.run`.

    Raises:
        Deadlock: what is still waiting would wait for ever.
        Livelock: something spins instead of waiting.
        AssertionError: the loop was told of an error that nobody has taken.
    """
    with asyncio.Runner(debug=debug, loop_factory=StrictLoop) as runner:
        return runner.run(main)
