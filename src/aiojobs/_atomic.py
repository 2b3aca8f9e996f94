"""Handlers of which each call is a job; a framework adds how it finds the scheduler among the arguments of a call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from ._scheduler import Scheduler

__all__ = ("run_as_jobs",)

_T = TypeVar("_T")
_P = ParamSpec("_P")


def run_as_jobs(
    handler: Callable[_P, Coroutine[Any, Any, _T]], scheduler_of: Callable[..., Scheduler]
) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """What `handler` does, as a job of the scheduler that `scheduler_of` finds; it is given the same arguments.

    Raises:
        TypeError: `handler` can't be called.
    """
    if not callable(handler):
        raise TypeError(f"handler must be a coroutine function, got {handler!r}")

    @wraps(handler)
    async def run_as_job(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        scheduler = scheduler_of(*args, **kwargs)
        # The job gets no name here: what it raises holds this frame, and that would make a cycle (BOOK-3).
        return await (await scheduler.spawn(handler(*args, **kwargs))).wait()

    return run_as_job
