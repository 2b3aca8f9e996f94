"""The plain, typed data that observers and exception handlers get.

Annotations are no strings here: to import this file, each of them would be compiled.
"""

import asyncio
import traceback
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, Required, TypeAlias, TypedDict

from ._job import Job
from ._lifecycle import Event, Phase, PhaseEvent, State

__all__ = ("ACCEPT", "ExceptionContext", "Observer", "Record")

ACCEPT: Final = "accept"
"""The event of the record that tells of a new job; it has no source, since the job had no state before."""


class Record(NamedTuple):
    """One step of one job, or of the scheduler itself, as the observer is told of it.

    Attributes:
        job: the job; None for a change of the scheduler's own phase.
        event: ``"accept"`` for a new job, an `Event` for a transition, a `PhaseEvent` for a phase.
        source: the state or phase before; None on acceptance.
        dest: the state or phase after.
        time: the loop's clock, in seconds.
    """

    job: Job[Any] | None
    event: Event | PhaseEvent | Literal["accept"]
    source: State | Phase | None
    dest: State | Phase
    time: float


class ExceptionContext(TypedDict, total=False):
    """What an exception handler gets (``EXC-2``).

    ``message``, ``job`` and ``exception`` are always there. ``job`` is None and ``future`` is there if it
    is about a shielded awaitable. ``source_traceback`` tells where the job was spawned, in debug mode.
    """

    message: Required[str]
    job: Required[Job[Any] | None]
    exception: Required[BaseException]
    future: asyncio.Future[Any]
    source_traceback: traceback.StackSummary


Observer: TypeAlias = Callable[[Record], object]
"""What a scheduler calls with each record, in order; what it returns is not looked at (``SEE-1``)."""
