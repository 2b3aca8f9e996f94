"""The task of a job: the keywords with which it is asked for, and what its end says.

The rules of this file
----------------------
A loop's ``create_task`` may be anybody's: a task factory may wrap the coroutine, begin it at once, or never run
it, and a tracing tool may have replaced the method. Nothing is taken for granted but that what comes back can be
followed to its end (``START-3``).

How it works
------------
*Keywords.* A task is asked for with those that are needed and no others. One that is refused is left out: a name
is set afterwards, and a context is entered around the call, so that the task copies it.

*Contexts.* Asyncio's own ``create_task`` does not look at the context that it is called in, if it is given one. A
replaced one may, so that is called in the job's.

*Following.* Most tasks drive the job's own coroutine, and nobody need look at them again: their job ends in that
coroutine's last step. Any other is followed: a `Followed` remembers what the coroutine came to, and the job ends
when the task does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from ._calling import call_out, coro_of, is_a, shown
from ._lifecycle import Event, Outcome

if TYPE_CHECKING:
    import contextvars

__all__ = (
    "End",
    "Followed",
    "cancel_current",
    "create_inside",
    "create_plainly",
    "drives",
    "end_of",
    "is_within",
    "no_task",
    "rename",
    "without_frames",
)

End = tuple[Event, Outcome, Any]
"""What ends a job: the event, the outcome, and what it returned or the pair of what it raised and where."""


class Followed:
    """A job whose task may do something else beside driving the job's coroutine."""

    __slots__ = ("end", "entered", "is_cancelled", "run", "runner")

    run: Any
    """The coroutine that was given to the task; None while that is being made."""
    runner: Any
    """The task that has begun the coroutine, which need not be the one that was made for the job."""
    entered: bool
    """Whether somebody has begun it."""
    end: End | None
    """What the user's coroutine came to, if it has ended before the task."""
    is_cancelled: bool
    """Whether the task was told that the job is to stop."""

    def __init__(self) -> None:
        self.run = None
        self.runner = None
        self.entered = False
        self.is_cancelled = False
        self.end = None


def create_plainly(  # noqa: PLR0917 - called in one place, with what is there
    loop: asyncio.AbstractEventLoop,
    run: Any,
    name: str | None,
    context: contextvars.Context | None,
    refusal: TypeError,
    is_untouched: Callable[[Any], bool],
) -> Any:
    """The task from a ``create_task`` that knows no ``name=``, or no ``context=``, or neither: it was given one.

    `is_untouched` tells whether nobody has begun a run.

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
    else:
        attempts.append(lambda: create(run))
    try:
        for attempt in attempts:
            if not is_untouched(run):
                break
            try:
                task: Any = attempt()
            except TypeError as exc:
                refusal = exc
            else:
                call_out(loop, "set_name of a task", rename, task, name)
                return task
        raise refusal
    finally:
        del refusal  # its traceback holds this frame (BOOK-3)


def create_inside(
    loop: asyncio.AbstractEventLoop,
    run: Any,
    name: str | None,
    context: contextvars.Context,
    is_untouched: Callable[[Any], bool],
) -> Any:
    """The task from a ``create_task`` that somebody has replaced, called in the job's own context.

    It may look at the context that it is called in, as tracing tools do, and then take one job for a part of
    another that has freed its slot. A context that is entered already can't be entered once more.
    """
    named = {} if name is None else {"name": name}
    create = partial(loop.create_task, run, context=context, **named)
    try:
        return context.run(create)
    except RuntimeError:
        if not is_untouched(run):
            raise
    return create()


def no_task(made: Any) -> TypeError:
    """The error for what a task factory has made that can't be followed."""
    return TypeError(f"the loop's task factory must return a task, got {shown(made)}")


def is_within(context: contextvars.Context) -> bool:
    """Whether a context is entered, so that a task that enters it at once would fail, or stop the loop."""
    try:
        context.run(int)
    except RuntimeError:
        return True
    return False


def drives(task: Any, run: Any) -> bool:
    """Whether a task does nothing but drive `run`; one whose class says so in its own words is not believed."""
    try:
        coro = coro_of(task)
        return coro is run and coro is not None and type(task).get_coro is asyncio.Task.get_coro
    except BaseException:  # noqa: BLE001 - what a factory returns may be anything
        return False


def cancel_current(again: tuple[Any, ...] | None) -> None:
    """Ask the task that runs this step to stop; `again` if it was asked before, with these arguments."""
    task = asyncio.current_task()
    if task is None:
        return
    if again is not None:
        task.uncancel()
    task.cancel(*again or ())


def rename(task: Any, name: str | None) -> None:
    """Give it a name, if there is one and it takes any."""
    if name is not None and hasattr(task, "set_name"):
        task.set_name(name)


def end_of(failure: BaseException | None) -> End:
    """What a job came to whose task has ended with `failure`, or with none, and not run its coroutine to the end."""
    if failure is None:
        failure = RuntimeError("the job's task has ended without running its coroutine to the end")
    elif is_a(failure, asyncio.CancelledError):
        return Event.CANCEL, Outcome.CANCELLED, None
    return Event.FINISH, Outcome.RAISED, without_frames(failure, ())


def without_frames(exc: BaseException, own: Collection[str]) -> tuple[BaseException, Any]:
    """An exception and its traceback, without the frames of the modules named in `own` through which it came here.

    An exception's own class may have replaced ``with_traceback`` and ``__traceback__``: these are not asked.
    """
    traceback = _traceback_of(exc)
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__") in own:
        traceback = traceback.tb_next
    BaseException.with_traceback(exc, traceback)
    return exc, traceback


_traceback_of = BaseException.__dict__["__traceback__"].__get__
