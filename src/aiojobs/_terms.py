"""The terms of a job, if it has any: how long it may run, and whether draining waits for it.

Most jobs have no terms, and pay nothing for those that do. A job that has some runs in a context of its own, so that
whoever launches it takes the careful path anyway.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context

from . import _validate

__all__ = ("Terms", "agreed")


class Terms:
    """The terms of one job."""

    __slots__ = ("drains", "failure", "is_told_late", "timeout", "timer")

    timeout: float | None
    """Seconds from its start; None for no limit (``SPAWN-6``)."""
    drains: bool
    """Whether draining waits for its end (``SHUT-8``)."""
    timer: asyncio.TimerHandle | None
    """What comes next: the end of its time, or, when that is over, the moment when it is late."""
    failure: TimeoutError | None
    """Set when its time was over and it was asked to stop for that: what it comes to if it does."""
    is_told_late: bool
    """Whether it was reported as late, which happens once."""

    def __init__(self, timeout: float | None, drains: bool) -> None:
        self.timeout = timeout
        self.drains = drains
        self.timer = None
        self.failure = None
        self.is_told_late = False


def agreed(timeout: object, drain: object, context: Context | None) -> tuple[Terms | None, Context | None]:
    """The terms that these arguments of ``spawn`` make, if they are not the ordinary ones, and the job's context.

    Raises:
        TypeError, ValueError: one of them makes no sense (``SPAWN-3``).
    """
    within = _validate.seconds("timeout", timeout)
    _validate.check_flag("drain", drain)
    if within is None and drain:
        return None, context
    return Terms(within, bool(drain)), copy_context() if context is None else context
