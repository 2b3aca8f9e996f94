"""The arithmetic of a shutdown: what of the time that a platform grants is left to finish jobs."""

from __future__ import annotations

import math

from ._validate import check_seconds

__all__ = ("time_for_jobs",)


def time_for_jobs(grace: float, reserve: float, close_timeout: float | None) -> float:
    """Seconds in which jobs may finish: what stopping the others, and `reserve`, leave of `grace`.

    Raises:
        TypeError: `grace` or `reserve` is no number.
        ValueError: one of them makes no sense, or nothing is left.
    """
    check_seconds("grace", grace)
    check_seconds("reserve", reserve)
    left = grace - reserve - (math.inf if close_timeout is None else close_timeout)
    if not left >= 0:
        raise ValueError(
            f"grace must be at least reserve plus close_timeout, {reserve!r} and {close_timeout!r} seconds, "
            f"got {grace!r}: no time is left to finish a job"
        )
    return left
