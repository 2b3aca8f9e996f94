"""The state of a job: what it holds from its acceptance to its end, and the steps that it takes.

The rules of this file
----------------------
``fire`` looks the event up in the table that was generated from ``spec/job.toml``, raises if the cell is illegal,
and assigns the state. Nothing else in the package assigns it (``accept`` writes the initial one), and a check of
the source says so.

A job knows its `Owner`, whoever runs it, by a few members and nothing more. What has no underscore here and is not in
the API page is for the owner: this module is private, and its modules know each other by plain names.

Why it is a class of its own
----------------------------
`Job` is what users know, with coroutines of Python's own, of which tools can see where they stand. What it inherits
from here every step of every job reads and writes. In the compiled build that is a struct in C; no class that users
subclass and subscript can be one.

*The steps are functions.* No user meets them on a job; and in the compiled build a call costs nothing, while a method
would be looked up, or take eight bytes of every job.

*What is kept.* A job that has ended keeps its name, its outcome and its result, and the name of its coroutine for
the repr; coroutine, task, context and owner are let go (``BOOK-3``).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Final

from ._bound_loop import BoundLoop
from ._calling import tell
from ._lifecycle import INITIAL, TRANSITIONS, Event, Outcome, State
from ._ownership import name_of_type
from ._queue import Node

__all__ = (
    "FOR_THE_OWNER",
    "Callbacks",
    "Caller",
    "IllegalTransition",
    "JobState",
    "Owner",
    "accept",
    "fire",
    "let_go",
    "wake",
)

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_RAISED, _TIMED_OUT = Outcome.RAISED, Outcome.TIMED_OUT

Caller = asyncio.Task[Any] | None
"""The task of a caller that waits, where there is a call graph."""
Callbacks = list[tuple[Callable[[Any], object], contextvars.Context, Caller]]
"""What to call after the end of a job, in the context of whoever asked for it, and who waits for the call."""


FOR_THE_OWNER: Final = (
    *("after", "before", "context", "coro", "current", "ending"),
    *("given_name", "is_queued", "kept", "owner", "task", "waiters"),
)
"""What of a job is no part of the API, though it has no underscore: this package's modules know each other."""


class Owner:
    """Whoever runs a job, as far as the job knows: what it asks for, and what `_core` answers.

    A class to inherit from and no protocol, so that the compiled build calls what stands in for it without a look-up.
    """

    __slots__ = ("bound", "callbacks", "close_within", "untold")

    bound: BoundLoop
    """The loop that it runs on."""
    close_within: float | None
    """Seconds that a job has to stop if nothing else is said; None for no deadline."""
    untold: Any
    """What the observer has yet to be told; None if nobody observes."""
    callbacks: dict[Any, Callbacks]
    """What is to be called after the end of which job."""

    def runs(self, job: Any, task: object) -> bool:
        """Whether a task is the one that runs a job."""
        raise NotImplementedError

    def ask_to_stop(self, job: Any) -> None:
        """``close`` was asked of a job that has not ended."""
        raise NotImplementedError

    def see_end(self, job: Any) -> bool:
        """Take notice of an end that has come and was not seen yet; whether there was one."""
        raise NotImplementedError

    def unreceived(self, job: Any) -> None:
        """A job has failed, and nobody is left to receive that."""
        raise NotImplementedError


class IllegalTransition(RuntimeError):  # noqa: N818 - the noun of the specification
    """An event reached a job in a state for which the table of ``spec/job.toml`` declares it illegal.

    The job is left as it was. Nothing that a user calls leads here: the error means that the
    package broke its own specification, and says where.

    Attributes:
        job: the job, unchanged.
        state: the state it was and still is in.
        event: the event that was refused.
    """

    def __init__(self, job: Any, state: State, event: Event) -> None:
        super().__init__(
            f"event {event.value!r} is illegal in state {state.value!r} (spec/job.toml); {job!r} is unchanged"
        )
        self.job = job
        self.state = state
        self.event = event


class JobState(Node):
    """What a job holds: for its owner alone."""

    __slots__ = (
        "__weakref__",
        "context",
        "coro",
        "current",
        "ending",
        "given_name",
        "kept",
        "owner",
        "task",
        "waiters",
    )

    before: Any
    after: Any
    current: State
    """Only `fire` changes it."""
    ending: Outcome | None
    """How it ended; set by `let_go`, once. None as long as the state is not terminal."""
    kept: Any
    """What it returned, or what it raised with its traceback. Before the end it is None, or the pair of an exception
    and its traceback if the coroutine has failed and the owner has not seen it yet."""
    coro: Coroutine[Any, Any, Any] | str
    """After the end only its name."""
    task: asyncio.Task[Any] | None
    """Set when the job is launched or takes its first step, whichever is first; dropped by `let_go`."""
    context: contextvars.Context | None
    """What to start in, if not in a copy of the starter's own. Dropped when the task has taken it over."""
    owner: Owner | None
    """Whoever runs it; None after the end, and only then."""
    given_name: str | None
    """The name that was given, if one was."""
    waiters: dict[asyncio.Future[bool], Caller] | None
    """Before the end who waits, after a failure who may still receive it: in order of arrival, each with the task of
    the caller where there is a call graph."""

    def __init__(self, *_args: object, **_named: object) -> None:
        raise TypeError(
            "a Job is not made by calling its class: await scheduler.spawn(coro), which returns it"
        )


def accept(
    job: JobState,
    coro: Coroutine[Any, Any, Any],
    owner: Owner,
    name: str | None,
    context: contextvars.Context | None,
) -> None:
    """The beginning of a job that was made by ``__new__``: calling its class would cost as much as all of this."""
    job.before = job.after = None
    job.current = INITIAL
    job.ending = None
    job.kept = None
    job.coro = coro
    job.task = None
    job.context = context
    job.owner = owner
    job.given_name = name
    job.waiters = None


def fire(job: JobState, event: Event) -> bool:
    """Take one step of the table; whether the state has changed.

    The observer is told by whoever fires, when the registries are complete (``BOOK-4``).

    Raises:
        IllegalTransition: the table forbids `event` here; nothing has changed.
    """
    source = job.current
    dest = TRANSITIONS[source][event]
    if dest is None:
        raise IllegalTransition(job, source, event)
    if dest is source:
        return False
    job.current = dest
    untold = job.owner.untold  # type: ignore[union-attr]
    if untold is not None:
        untold.append((job, event, source, dest))
    return True


def let_go(job: JobState, outcome: Outcome, result: object) -> None:
    """Keep the outcome and let go of everything else (``BOOK-3``).

    The caller holds coroutine and task until the registries are complete: to free them may run anything.
    """
    job.ending = outcome
    job.kept = result
    coro = job.coro
    job.coro = coro.__qualname__ if type(coro) is CoroutineType else name_of_type(coro)
    job.task = job.context = job.owner = None


def wake(job: JobState, loop: asyncio.AbstractEventLoop, received: bool) -> None:
    """Wake the waiters.

    A failure stays open until one of them has received it, unless somebody has already.
    """
    waiters: Any = job.waiters
    if received or (job.ending is not _RAISED and job.ending is not _TIMED_OUT):
        job.waiters = None
    for waiter in waiters:
        try:
            if not waiter.done():
                waiter.set_result(True)
        except BaseException as exc:  # noqa: BLE001 - the others are to be woken all the same
            tell(loop, "a waiter", exc)
