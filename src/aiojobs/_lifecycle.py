# Generated from spec/job.toml and spec/scheduler.toml by `make generate`. Do not edit.
"""The lifecycle tables: the states of a job, the phases of a scheduler, and every step between them.

Rules of this file: it is data, and the only place where the library says what may follow what. Each table is
total: a cell holds the next state, the same state where the event is a declared no-op, or None where it is
illegal. To change one, change its source and run `make generate`.

`SPEC_DIGEST` is the SHA-256 of the sources: `cat spec/job.toml spec/scheduler.toml | sha256sum`.

Deliberately not here: any decision (`_admission`) and any effect (`_job`, `_scheduler`). The tables are plain
dictionaries because they are read three times in the life of every job; nothing may write to them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HOLDS_SLOT",
    "INITIAL",
    "PHASES",
    "SEEN_AS_CLOSED",
    "SPEC_DIGEST",
    "TERMINAL",
    "TRANSITIONS",
    "Event",
    "Outcome",
    "Phase",
    "PhaseEvent",
    "State",
]

SPEC_DIGEST: Final = "sha256:5e65fdfa384ef9b28b673c6b287ce21dc3e6395b00f6a7b60c28bc1aa35cd848"
"""The digest of the files that this one was generated from."""


class State(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    """Accepted and waiting for a slot. No task exists, none of the job's code has run."""

    ACTIVE = "active"
    """Owns a slot, and its task exists."""

    CLOSING = "closing"
    """Was asked to stop. Still owns its slot, because its coroutine has not ended."""

    DONE = "done"
    """The coroutine ended by itself: it returned or raised, and nobody had asked it to stop."""

    CLOSED = "closed"
    """Was stopped: dropped before it started, cancelled, or ended after it had been asked to stop."""


class Event(StrEnum):
    """What can happen to a job."""

    START = "start"
    """A slot was given to the job."""

    FINISH = "finish"
    """The coroutine returned or raised an exception."""

    CANCEL = "cancel"
    """The coroutine ended with `CancelledError`."""

    CLOSE = "close"
    """Someone asked the job to stop."""

    EXPIRE = "expire"
    """The time that the job was given is over."""


class Outcome(StrEnum):
    """How a job ended."""

    RETURNED = "returned"
    """The coroutine returned a value."""

    RAISED = "raised"
    """The coroutine raised an exception other than `CancelledError`."""

    CANCELLED = "cancelled"
    """The coroutine ended with `CancelledError`."""

    TIMED_OUT = "timed_out"
    """Its time was over, and it stopped for that: the coroutine ended with `CancelledError`."""

    NEVER_STARTED = "never_started"
    """The job was closed while it was pending. None of its code has run."""


class Phase(StrEnum):
    """Where a scheduler is in its life."""

    OPEN = "open"
    """Accepts jobs."""

    CLOSING = "closing"
    """Accepts nothing and starts nothing. Every job was asked to stop; their end, or the deadline, is
    awaited."""

    CLOSED = "closed"
    """Closing is over. A job that did not stop in time keeps its place in the books until it really ends."""


class PhaseEvent(StrEnum):
    """What can happen to a scheduler."""

    CLOSE = "close"
    """Somebody asked the scheduler to close."""

    SETTLED = "settled"
    """No job is running any more, or the deadline has passed."""


TRANSITIONS: Final[Mapping[State, Mapping[Event, State | None]]] = {
    State.PENDING: {
        Event.START: State.ACTIVE,
        Event.FINISH: None,
        Event.CANCEL: None,
        Event.CLOSE: State.CLOSED,
        Event.EXPIRE: None,
    },
    State.ACTIVE: {
        Event.START: None,
        Event.FINISH: State.DONE,
        Event.CANCEL: State.CLOSED,
        Event.CLOSE: State.CLOSING,
        Event.EXPIRE: State.CLOSING,
    },
    State.CLOSING: {
        Event.START: None,
        Event.FINISH: State.CLOSED,
        Event.CANCEL: State.CLOSED,
        Event.CLOSE: State.CLOSING,
        Event.EXPIRE: State.CLOSING,
    },
    State.DONE: {
        Event.START: None,
        Event.FINISH: None,
        Event.CANCEL: None,
        Event.CLOSE: State.DONE,
        Event.EXPIRE: None,
    },
    State.CLOSED: {
        Event.START: None,
        Event.FINISH: None,
        Event.CANCEL: None,
        Event.CLOSE: State.CLOSED,
        Event.EXPIRE: None,
    },
}
"""What each event does to a job in each state."""


PHASES: Final[Mapping[Phase, Mapping[PhaseEvent, Phase | None]]] = {
    Phase.OPEN: {
        PhaseEvent.CLOSE: Phase.CLOSING,
        PhaseEvent.SETTLED: None,
    },
    Phase.CLOSING: {
        PhaseEvent.CLOSE: Phase.CLOSING,
        PhaseEvent.SETTLED: Phase.CLOSED,
    },
    Phase.CLOSED: {
        PhaseEvent.CLOSE: Phase.CLOSED,
        PhaseEvent.SETTLED: None,
    },
}
"""What each event does to a scheduler in each phase."""

INITIAL: Final = State.PENDING
"""The state of every new job."""

TERMINAL: Final[frozenset[State]] = frozenset({State.DONE, State.CLOSED})
"""The states that are never left."""

HOLDS_SLOT: Final[frozenset[State]] = frozenset({State.ACTIVE, State.CLOSING})
"""The states in which a job counts against the limit."""

SEEN_AS_CLOSED: Final[frozenset[State]] = frozenset({State.CLOSING, State.DONE, State.CLOSED})
"""The states in which `Job.closed` is true."""
