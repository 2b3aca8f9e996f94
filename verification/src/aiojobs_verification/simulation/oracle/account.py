"""What closing does to the jobs that were accepted: the numbers that a shutdown has to tell (``SHUT-7``).

Rules of this file: it counts what the observer is told of jobs, and how their coroutines really ended, never what the
scheduler says of its own closing. Whoever was accepted and had not ended when closing began is counted once; a job
whose call of `spawn` has not been answered by then was withdrawn with it, and is not.

Deliberately not here: when the numbers must be there, and who gets them (`quiescence`, `answers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiojobs_verification.simulation.world.probes import Body

__all__ = ["Account", "Numbers"]

_COUNTED_AS: Final = {
    "returned": "finished",
    "raised": "finished",
    "cancelled": "cancelled",
    "never": "never_started",
    "timed_out": "timed_out",
}
"""As what a job is counted that has come to that when closing is over; one that still runs is late."""


class Numbers(NamedTuple):
    """The numbers of a report, or of one kind of job in it."""

    finished: int = 0
    cancelled: int = 0
    never_started: int = 0
    timed_out: int = 0
    late: int = 0

    @classmethod
    def of(cls, said: object) -> Numbers:
        """What something says that has such numbers."""
        return cls(*[getattr(said, name) for name in cls._fields])

    @classmethod
    def counted(cls, counted: Iterable[str]) -> Numbers:
        """Of jobs that are counted as these."""
        told = [*counted]
        return cls(*[told.count(name) for name in cls._fields])


class Account:
    """The jobs that closing has found, and what became of them."""

    def __init__(self) -> None:
        self.found: list[Body] | None = None
        """Whoever was there when closing began; None before that."""
        self.began_at = 0.0
        self.seconds = 0.0
        """How long closing has taken."""
        self.wanted: Numbers | None = None
        """What is to be told, once closing is over."""
        self.by_qualname: dict[str, Numbers] = {}
        self.is_checked = False
        self.dropped = 0
        """How many are late, or were dropped and draining would have waited for them: that is to be said aloud."""

    def begin(self, bodies: Iterable[Body], now: float) -> None:
        """Closing begins, with these jobs alive."""
        self.found = [*bodies]
        self.began_at = now

    def end(self, now: float, running: Iterable[Body]) -> None:
        """Closing is over, and these run on."""
        late = set(running)
        counted = {
            body: "late" if body in late else _COUNTED_AS.get(str(body.fate), "late") for body in self.found or ()
        }
        self.seconds = now - self.began_at
        self.wanted = Numbers.counted(counted.values())
        self.by_qualname = {
            kind: Numbers.counted(what for body, what in counted.items() if body.qualname == kind)
            for kind in dict.fromkeys(body.qualname for body in counted)
        }
        dropped = ("cancelled", "never_started")
        self.dropped = self.wanted.late + sum(
            what in dropped for body, what in counted.items() if body.is_drained
        )

    def key(self) -> tuple[int, ...] | None:
        """What has a bearing on what is to be told: who is counted, as long as that is not over."""
        if self.found is None or self.wanted is not None:
            return None
        return tuple(body.number for body in self.found)
