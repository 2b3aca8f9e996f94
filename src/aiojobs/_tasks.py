"""The task of a job, whoever makes it: with which keywords it is asked for, and what it says of its end.

The rules of this file
----------------------
A loop's ``create_task`` may be anybody's: a task factory may wrap the coroutine, begin it at once, or never run
it, and a tracing tool may have replaced the method. Nothing is taken for granted but that what comes back can be
followed to its end (``START-3``).

How it works
------------
*Keywords.* A task is asked for with those that are needed and no others. One that is refused is left out: a name
is set afterwards, and a context is entered around the call, so that the task copies it.

*Following.* Most tasks drive the job's own coroutine, and nobody need look at them again: their job ends in that
coroutine's last step. Any other is followed: a `Followed` remembers what the coroutine came to, and the job ends
when the task does.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._calling import call_out
from ._lifecycle import Event, Outcome

if TYPE_CHECKING:
    import contextvars

__all__ = ("End", "Followed", "create_plainly", "end_of", "failure_of", "is_untouched", "without_frame")

End = tuple[Event, Outcome, Any]
"""What ends a job: the event, the outcome, and what it returned or the pair of what it raised and where."""


class Followed:
    """A job whose task may do something else beside driving the job's coroutine."""

    __slots__ = ("end", "entered", "run")

    run: Any
    """The coroutine that was given to the task."""
    entered: bool
    """Whether somebody has begun it."""
    end: End | None
    """What the user's coroutine came to, if it has ended before the task."""

    def __init__(self) -> None:
        self.run = None
        self.entered = False
        self.end = None


def create_plainly(
    loop: asyncio.AbstractEventLoop,
    run: Any,
    name: str | None,
    context: contextvars.Context | None,
    refusal: TypeError,
) -> Any:
    """The task from a ``create_task`` that knows no ``name=``, or no ``context=``, or neither.

    Raises:
        BaseException: what the last attempt raised, or `refusal` if there was nothing to leave out.
    """
    create = loop.create_task
    attempts: list[Callable[[], Any]] = []
    if name is not None and context is not None:
        attempts.append(lambda: create(run, context=context))
        attempts.append(lambda: context.run(create, run, name=name))
    if context is not None:
        attempts.append(lambda: context.run(create, run))
    elif name is not None:
        attempts.append(lambda: create(run))
    for attempt in attempts:
        if not is_untouched(run):
            break
        try:
            task: Any = attempt()
        except TypeError as exc:
            refusal = exc
        else:
            if name is not None and hasattr(task, "set_name"):
                call_out(loop, "set_name of a task", task.set_name, name)
            return task
    raise refusal


def is_untouched(coro: Any) -> bool:
    """Whether nobody has begun or closed a coroutine of Python's own."""
    return inspect.getcoroutinestate(coro) == inspect.CORO_CREATED


def end_of(failure: BaseException | None) -> End:
    """What a job came to whose task has ended with `failure`, or with none, and not run its coroutine to the end."""
    if failure is None:
        failure = RuntimeError("the job's task has ended without running its coroutine to the end")
    elif issubclass(type(failure), asyncio.CancelledError):
        return Event.CANCEL, Outcome.CANCELLED, None
    return Event.FINISH, Outcome.RAISED, without_frame(failure, own=False)


def failure_of(task: Any) -> BaseException | None:
    """What a task that is done raised, a cancellation included; asking counts as having received it."""
    try:
        exc: BaseException | None = task.exception()
    except BaseException as raised:  # noqa: BLE001 - a cancelled one raises that; others may raise anything
        return raised
    return exc


def without_frame(exc: BaseException, *, own: bool) -> tuple[BaseException, Any]:
    """An exception and its traceback, without the frame that caught it if that is this package's `own`.

    An exception's own class may have replaced ``with_traceback`` and ``__traceback__``, so these are not asked.
    """
    traceback = _traceback_of(exc)
    if own and traceback is not None:
        traceback = traceback.tb_next
        BaseException.with_traceback(exc, traceback)
    return exc, traceback


_traceback_of = BaseException.__dict__["__traceback__"].__get__
