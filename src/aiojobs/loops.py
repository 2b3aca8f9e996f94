"""Jobs that never end by themselves: a function that is called at an interval, a function that is kept running.

Both are coroutines to spawn with ``drain=False``: draining does not wait for them, and stops them when all other jobs
have ended (``SHUT-8``).
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn, TypeAlias, TypeVar

from ._validate import check_count, check_seconds

__all__ = ("every", "supervise")

_T = TypeVar("_T")
_Delay: TypeAlias = float | Callable[[], float]
_Backoff: TypeAlias = float | Callable[[int], float]

_log = logging.getLogger(__name__)


async def every(
    seconds: float,
    function: Callable[[], Awaitable[object]],
    *,
    jitter: _Delay = 0.0,
    first: float = 0.0,
) -> NoReturn:
    """Call `function` at an interval, one call at a time, for ever.

    The moments are those of a grid on the loop's clock, which is monotonic: ``first`` seconds from now, ``first +
    seconds``, and so on. However long the calls take, the grid does not drift. Moments that pass during a call are
    skipped and not made up for.

    Arguments:
        seconds: the interval, more than zero.
        function: called without arguments; what it returns is awaited. If it raises, that is the end.
        jitter: seconds by which each call is late at most, at random, so that many programs don't call at once; or a
            function that returns by how much.
        first: seconds until the first call.

    Raises:
        TypeError, ValueError: an argument makes no sense.
        BaseException: what `function` raises.
    """
    _check_call(function)
    check_seconds("seconds", seconds, more_than_zero=True, finite=True)
    check_seconds("first", first, finite=True)
    late = _delays(jitter)
    loop = asyncio.get_running_loop()
    origin, turn = loop.time() + first, 0
    while True:
        await asyncio.sleep(max(0.0, origin + turn * seconds - loop.time()) + late())
        await function()
        turn = max(turn + 1, math.ceil((loop.time() - origin) / seconds))


async def supervise(
    function: Callable[[], Awaitable[_T]],
    *,
    backoff: _Backoff = 1.0,
    most: int | None = 5,
    within: float | None = 60.0,
) -> _T:
    """Call `function`, and again when it has failed, until it returns or fails too often.

    Each failure but the last goes to the logger ``aiojobs.loops`` at WARNING, with its traceback; the last one is
    raised. A cancellation is no failure and ends it.

    Arguments:
        function: called without arguments; what it returns is awaited, and returned when it returns.
        backoff: seconds to wait before a restart; or a function that returns them for the number of failures within
            the last `within` seconds, 1 for the first.
        most: how many restarts there may be within `within` seconds; one failure more is raised. None for no limit.
        within: the seconds after which a failure no longer counts. None: all count.

    Raises:
        TypeError, ValueError: an argument makes no sense.
        BaseException: what `function` raises if it is no ``Exception``, or the last failure.
    """
    _check_call(function)
    if most is not None:
        check_count("most", most, least=0, none_means="no limit")
    if within is not None:
        check_seconds("within", within, more_than_zero=True, finite=True)
    budget, pause = _Budget(most, within), _pauses(backoff)
    while True:
        try:
            return await function()
        except Exception as exc:  # noqa: BLE001 - logged, or raised again
            seconds, so_far = pause(budget.take(exc)), str(budget)
            _log.warning(
                "%s failed (%s): called again in %g s", _name(function), so_far, seconds, exc_info=exc
            )
        await asyncio.sleep(seconds)


class _Budget:
    """How often a supervised function has failed, and may."""

    def __init__(self, most: int | None, within: float | None) -> None:
        self._most = most
        self._within = within
        # The moments of the failures that count, unless all do.
        self._moments: deque[float] = deque()
        self._number = 0

    def take(self, failure: Exception) -> int:
        """Count a failure, and return how many count now. Raises it again if these are too many."""
        self._number = self._number + 1 if self._within is None else self._recent(self._within)
        if self._most is not None and self._number > self._most:
            within = "in all" if self._within is None else f"in {self._within:g} s"
            failure.add_note(
                f"Failure {self._number}; {self._most} restarts {within} are allowed, so none follows."
            )
            raise failure
        return self._number

    def _recent(self, within: float) -> int:
        now = asyncio.get_running_loop().time()
        self._moments.append(now)
        while self._moments[0] <= now - within:
            self._moments.popleft()
        return len(self._moments)

    def __str__(self) -> str:
        of = "" if self._most is None else f" of {self._most}"
        within = "" if self._within is None else f" in {self._within:g} s"
        return f"{self._number}{of}{within}"


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _delays(jitter: _Delay) -> Callable[[], float]:
    if callable(jitter):
        return jitter
    check_seconds("jitter", jitter, finite=True)
    return partial(random.uniform, 0.0, jitter)  # it is not for secrets


def _pauses(backoff: _Backoff) -> Callable[[int], float]:
    if callable(backoff):
        return backoff
    check_seconds("backoff", backoff, finite=True)
    return lambda _number: backoff


def _check_call(function: object) -> None:
    if not callable(function):
        raise TypeError(f"function must be callable, got {function!r}")
