"""What the task of a job runs: the job's coroutine, and in the same step in which that ends, the end of the job.

This module exists twice, because what is quick in Python is slow in C and the other way round. ``_run.py``, this one,
is the plain build's: a coroutine that awaits the job's. ``_run.pyx`` is the compiled build's: an object in C that
hands on what the task sends and throws. Both have the same names, and nothing but ``_launching`` asks which it is.

The rules of this file
----------------------
Whatever is done here is done there, in the same order, so that no test and no exploration can tell them apart but by
the kind of what `make_run` returns.

How it works
------------
A cancellation that reaches a coroutine of Python's before its first step ends it without running any of it. So as soon
as there is a task that drives the run and nothing else, the run is advanced to its gate: it is entered whatever
happens. A cancellation that comes before the first step finds it there, lets the job's coroutine take that step, and
is delivered after it (``START-1``).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Coroutine
from typing import Any, Final, cast

from ._following import Following
from ._job import Job
from ._lifecycle import Event, Outcome
from ._ownership import qualified_name
from ._steps import after_gate, cancelled_after_first_step, fail

__all__ = ("IS_COROUTINE", "is_untouched", "make_run", "take_name", "to_gate")

_FINISH, _CANCEL = Event.FINISH, Event.CANCEL
_RETURNED, _CANCELLED = Outcome.RETURNED, Outcome.CANCELLED


IS_COROUTINE: Final = True
"""Whether a run is a coroutine of Python's, which has to be given its name and to be advanced to its gate."""


def take_name(run: Any, coro: Any) -> None:
    """Give a run the name of a coroutine that is not Python's own (``EXC-5``)."""
    run.__qualname__ = qualified_name(coro)
    run.__name__ = run.__qualname__.rpartition(".")[2]


def to_gate(run: Any) -> None:
    """Nothing but its task drives a run: from here on it is entered whatever happens."""
    run.send(None)


def is_untouched(run: Any) -> bool:
    """Whether nobody has begun or closed a run."""
    return inspect.getcoroutinestate(run) == inspect.CORO_CREATED


async def _run(job: Job[Any], following: Following, coro: Coroutine[Any, Any, Any]) -> Any:
    """What the task runs: the coroutine, and in the same step the end of the job."""
    steps: Awaitable[Any] = coro
    if job.task is None or (following.jobs and job in following.jobs):
        if following.entered(job):
            steps = cancelled_after_first_step(following, job, coro, None)
    else:
        try:
            await _GATE
        except GeneratorExit:
            raise  # as below
        except BaseException as exc:  # noqa: BLE001 - a cancellation, or thrown in beside the task
            steps = after_gate(following, job, coro, exc)
    try:
        result = await steps
    except asyncio.CancelledError:
        following.finished(job, _CANCEL, _CANCELLED, None)
        del job, following, coro, steps
        raise
    except GeneratorExit as exc:
        if asyncio.current_task(following.core.bound.loop) is not job.task:
            raise  # nobody runs this task any more: it is being destroyed, and nothing can follow
        fail(job, following, exc)
        del job, following, coro, steps
        raise
    except BaseException as exc:
        fail(job, following, exc)
        del job, following, coro, steps  # from 3.12 on the frame in the traceback holds this one
        raise
    if following.jobs or job.owner is None:
        following.finished(job, _FINISH, _RETURNED, result)
    else:
        following.core.ended(job, _FINISH, _RETURNED, result)
    # An exception that the coroutine has caught, and whoever has it keeps, may know this frame.
    del job, following, coro, steps
    try:
        return result
    finally:
        del result


make_run: Final = _run
"""Makes a run of a job; called with the job, who is told of its end, and the job's coroutine."""


class _Gate(list[None]):
    """Awaiting it takes one step, in which None is passed up.

    There is nothing to build each time but an iterator, in C; of those of the standard types, the one that
    goes backwards is the quickest to come by, since it is a method and not a slot.
    """

    __slots__ = ()
    __await__ = list.__reversed__  # pyright: ignore[reportUnknownVariableType]


_GATE = cast("Awaitable[None]", _Gate((None,)))
"""Where a run stands when its task gets it; the task's first step passes."""
