"""The checks of arguments: each runs before anything changes, and names the argument and what would do.

A check returns the value to use, or raises ``TypeError`` for the wrong kind of value and ``ValueError``
for a value that makes no sense (``SPAWN-3``). None of them runs any of the coroutine it looks at.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any, cast

from ._calling import shown

__all__ = (
    "check_context",
    "check_coroutine",
    "check_count",
    "check_flag",
    "check_function",
    "check_name",
    "check_seconds",
    "functions",
    "seconds",
)

_LIFETIME = 1e9
"""Thirty years in seconds. Event loops differ in what they make of longer timers; nobody waits for them."""


def check_count(argument: str, value: object, *, least: int, none_means: str | None = None) -> None:
    """A whole number of at least `least`; None too, if it has a meaning."""
    if value is None and none_means is not None:
        return
    or_none = f", or None for {none_means}" if none_means is not None else ""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} must be an int{or_none}, got {shown(value)}")
    if value < least:
        raise ValueError(f"{argument} must be at least {least}{or_none}, got {shown(value)}")


def check_seconds(
    argument: str,
    value: object,
    *,
    more_than_zero: bool = False,
    finite: bool = False,
    none_means: str | None = None,
) -> None:
    """A number of seconds, zero or more; None too, if it has a meaning."""
    if value is None and none_means is not None:
        return
    or_none = f", or None for {none_means}" if none_means is not None else ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{argument} must be a number of seconds{or_none}, got {shown(value)}")
    is_less = not value > 0 if more_than_zero else not value >= 0
    if is_less or (finite and value == math.inf):
        least = "more than zero" if more_than_zero else "zero or more"
        raise ValueError(f"{argument} must be {least} seconds{or_none}, got {shown(value)}")


def seconds(argument: str, value: object) -> float | None:
    """A duration in seconds, zero or more; None for no deadline, which is also what a lifetime means."""
    check_seconds(argument, value, none_means="no deadline")
    within = cast("float | None", value)
    return None if within is None or within > _LIFETIME else within


def check_function(argument: str, value: object, *, or_none: bool = False) -> None:
    """Something that can be called and has then done its work: nobody awaits what it returns. None too, if told."""
    if value is None and or_none:
        return
    if not callable(value):
        raise TypeError(f"{argument} must be callable{' or None' if or_none else ''}, got {shown(value)}")
    for called in (value, type(value).__call__):
        if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
            raise TypeError(
                f"{argument} must be a plain function, got {shown(value)}: nobody would await what it returns; "
                "let it create a task, or spawn a job in another scheduler"
            )


def functions(argument: str, value: object) -> tuple[Callable[..., object], ...]:
    """One function, or several; None for none of them."""
    if value is None:
        return ()
    if callable(value) or isinstance(value, str) or not isinstance(value, Iterable):
        check_function(argument, value, or_none=True)
        return (cast("Callable[..., object]", value),)
    several: list[Any] = [*value]
    for function in several:
        check_function(argument, function)
    return tuple(several)


def check_flag(argument: str, value: object) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be True or False, got {shown(value)}")


def check_name(value: object) -> None:
    """The name of a job."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"name must be a str or None, got {shown(value)}")


def check_context(value: object) -> None:
    """The context that a job is to run in."""
    if value is not None and not isinstance(value, contextvars.Context):
        raise TypeError(f"context must be a contextvars.Context or None, got {shown(value)}")


def check_coroutine(value: object) -> None:
    """Anything that asyncio runs as a task and that can be awaited."""
    if type(value) is not CoroutineType and not (asyncio.iscoroutine(value) and inspect.isawaitable(value)):
        hint = " (call the coroutine function: f(), not f)" if callable(value) else ""
        raise TypeError(f"coro must be a coroutine, got {shown(value)}{hint}")
