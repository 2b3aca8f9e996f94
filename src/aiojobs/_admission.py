"""The decisions, and nothing else: a job starts or queues, a caller is blocked or refused.

The rules of this file
----------------------
It is pure and synchronous. It knows no job, no coroutine, no clock and no asyncio; it knows how many
there are. The scheduler asks it at every turning point, does exactly what it answers, and keeps no
second opinion. That makes this the file to read for the limit and the queue, and the one that
CrossHair and the proofs over ``spec/scheduler.toml`` speak about: each method is one family of
actions there, and bears the same name where there is one.

How it works
------------
Three counts and a phase: ``running`` jobs hold the slots, ``pending`` jobs stand in the queue, ``blocked`` callers
of ``spawn`` wait because the queue is full, and the ``phase`` says whether anything may start.
While the phase is open three facts hold between any two calls (``violations`` writes them down):

* nobody is pending unless every slot is taken (``LIMIT-1``, ``LIMIT-2``);
* the queue is never longer than its limit (``LIMIT-3``);
* nobody is blocked unless the queue is full (``LIMIT-4``).

A limit that is lowered stops nothing: ``surplus`` says how many more hold a slot than may, and while it is not 0 an
end starts nothing (``LIMIT-7``).

So whenever a slot or a place is released, at most one job starts and at most one blocked caller is admitted,
and both happen at once: ``ended`` and ``withdrawn`` return the ``Next`` step, with the numbers already
adjusted to it. There is no moment at which a slot is free beside a job that waits.

What is deliberately not here
-----------------------------
*Order.* The numbers cannot say who is first; the scheduler's queues are first in, first out (``LIMIT-5``).
*The difference between an active and a closing job.* Both hold a slot until the coroutine has ended
(``LIMIT-6``), so for admission they are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lifecycle import PHASES, Phase, PhaseEvent

if TYPE_CHECKING:
    from enum import Enum
else:
    Enum = object  # answers are compared, by identity, and nothing else; an enumeration is much to import

__all__ = ("Admission", "Next", "Verdict")


_OPEN = Phase.OPEN


class Verdict(Enum):
    """What becomes of a coroutine that is offered to the scheduler."""

    START = "start"
    """A slot is free: the job is accepted and starts at once."""
    QUEUE = "queue"
    """Every slot is taken: the job is accepted and waits its turn."""
    BLOCK = "block"
    """The queue is full as well: the caller is blocked, and the job is not accepted yet."""
    FULL = "full"
    """As ``BLOCK``, for a caller that cannot wait: refused."""
    REFUSE = "refuse"
    """Closing has begun: refused."""


class Next(Enum):
    """What must follow, at once, when a slot or a place in the queue was released."""

    NOTHING = "nothing"
    START = "start"
    """The job at the head of the queue starts."""
    ADMIT = "admit"
    """The call that has been blocked longest gets the free place in the queue."""
    START_AND_ADMIT = "start and admit"
    """First the one, then the other."""


# Answered for every job, and to look a member up in its class costs several times as much as to return it.
_START, _QUEUE = Verdict.START, Verdict.QUEUE
_NOTHING, _START_NEXT = Next.NOTHING, Next.START


class Admission:
    """The counters of one scheduler and the decisions that follow from them.

    Arguments:
        limit: how many jobs may run at once (``L``); None for no limit.
        pending_limit: how many jobs may wait in the queue (``P``); 0 for no limit.
    """

    __slots__ = ("blocked", "limit", "pending", "pending_limit", "phase", "running", "surplus")

    limit: int | None
    """``L``. Only ``set_limit`` changes it."""
    pending_limit: int
    """``P``. Never changes."""
    phase: Phase
    """Only ``move`` changes it."""
    running: int
    """Slots taken: ``0 <= running``, and ``running <= limit + surplus`` if there is a limit."""
    surplus: int
    """How many slots more than the limit are taken since it was lowered: ``0 <= surplus``."""
    pending: int
    """Places taken in the queue: ``0 <= pending``, and ``pending <= pending_limit`` unless that is 0."""
    blocked: int
    """Callers that are blocked: ``0 <= blocked``."""

    def __init__(self, limit: int | None, pending_limit: int) -> None:
        self.limit = limit
        self.pending_limit = pending_limit
        self.phase = Phase.OPEN
        self.running = 0
        self.surplus = 0
        self.pending = 0
        self.blocked = 0

    def offer(self, may_block: bool) -> Verdict:
        """Decide on a new coroutine and count it in (``spawn_start``, ``spawn_queue``, ``spawn_block``)."""
        if self.phase is not _OPEN:
            return Verdict.REFUSE
        if self.limit is None or self.running < self.limit:
            self.running += 1
            return _START
        if self.pending_limit == 0 or self.pending < self.pending_limit:
            self.pending += 1
            return _QUEUE
        if not may_block:
            return Verdict.FULL
        self.blocked += 1
        return Verdict.BLOCK

    def would_block(self) -> bool:
        """Whether a call that may wait would have to: where the queue is full, every slot is taken (``LIMIT-2``)."""
        return self.pending_limit != 0 and self.pending >= self.pending_limit

    def set_limit(self, limit: int | None) -> None:
        """Change ``L``; until ``resume`` answers that nothing follows, more may start (``set_limit``)."""
        self.limit = limit
        self.surplus = 0 if limit is None else max(0, self.running - limit)

    def resume(self) -> Next:
        """What follows when the limit has been raised; asked again until it is nothing (``set_limit``)."""
        if self.limit is not None and self.running >= self.limit:
            return _NOTHING
        self.running += 1
        return self.ended()  # a free slot is handed on like one whose job has ended

    def ended(self) -> Next:
        """A running job has really ended and gives its slot back (``end_active_*``, ``end_closing_*``)."""
        if self.pending == 0 or self.surplus or self.phase is not _OPEN:
            self.running -= 1
            if self.surplus:
                self.surplus -= 1
            return _NOTHING
        if self.blocked == 0:
            self.pending -= 1
            return _START_NEXT
        self.blocked -= 1
        return Next.START_AND_ADMIT

    def withdrawn(self) -> Next:
        """A job has left the queue without having started (``close_pending``, ``close_pending_refill``)."""
        if self.blocked == 0:
            self.pending -= 1
            return Next.NOTHING
        self.blocked -= 1
        return Next.ADMIT

    def give_up(self) -> None:
        """A blocked call has been cancelled (``give_up``)."""
        self.blocked -= 1

    def shutdown(self) -> None:
        """Closing begins: the queue and the blocked callers are dismissed (``shutdown``)."""
        self.move(PhaseEvent.CLOSE)
        self.pending = 0
        self.blocked = 0

    def settle(self) -> None:
        """Closing is over: nothing runs any more, or the deadline has passed (``settle``)."""
        self.move(PhaseEvent.SETTLED)

    def move(self, event: PhaseEvent) -> None:
        """Change the phase as the table says; the only place that does.

        Raises:
            RuntimeError: the event is illegal in this phase; nothing has changed.
        """
        dest = PHASES[self.phase][event]
        if dest is None:
            raise RuntimeError(
                f"event {event.value!r} is illegal in phase {self.phase.value!r} (spec/scheduler.toml)"
            )
        self.phase = dest

    def violations(self) -> list[str]:
        """The ids of the requirements that these numbers break; empty in every reachable state."""
        full = self.limit is not None and self.running >= self.limit
        queue_full = self.pending_limit != 0 and self.pending >= self.pending_limit
        broken = {
            "LIMIT-1": self.limit is not None and self.running > self.limit + self.surplus,
            "LIMIT-2": self.pending > 0 and not full,
            "LIMIT-3": queue_full and self.pending > self.pending_limit,
            "LIMIT-4": self.blocked > 0 and not queue_full,
            "SHUT-1": self.phase is not _OPEN and (self.pending > 0 or self.blocked > 0),
            "BOOK-1": min(self.running, self.pending, self.blocked, self.surplus) < 0,
        }
        return [requirement for requirement, is_broken in broken.items() if is_broken]
