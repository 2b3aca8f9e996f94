"""Jobs that never end by themselves: a function that is called at an interval, a function that is kept running.

Both are coroutines to spawn with ``drain=False``: they don't hold up draining, and are stopped when the other jobs have
ended (``SHUT-8``).
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeAlias, TypeVar

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

    The moments are those of a grid on the loop's clock, which is monotonic: ``first``, ``first + seconds``, … from now.
    However long the calls take, the grid does not drift. A call that takes longer than the interval has the moments
    skipped that pass meanwhile; they are not made up for.

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
    _check_seconds("seconds", seconds, more_than_zero=True)
    _check_seconds("first", first)
    late = _delays("jitter", jitter)
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
        backoff: seconds to wait before a restart; or a function that returns them for the number of failures within the
            last `within` seconds, 1 for the first.
        most: how many restarts there may be within `within` seconds; one failure more is raised. None for no limit.
        within: the seconds after which a failure no longer counts. None: all count.

    Raises:
        TypeError, ValueError: an argument makes no sense.
        BaseException: what `function` raises if it is no ``Exception``, or the last failure.
    """
    _check_call(function)
    pause = _pauses(backoff)
    if most is not None:
        check_count("most", most, least=0, none_means="no limit")
    ...
