"""The reference registry: the state that the specification demands, kept beside the real scheduler.

Rules of this file: it decides nothing. What was noted of the world is told to the follower, which knows the
specification, and what the scheduler says of itself is compared with where the follower is. What is told by the end
of a turn is whole.

Deliberately not here: what callers are told (`answers`), and what may follow what (`aiojobs_verification.follower`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aiojobs_verification.follower import CRASH, ActionTable, Follower, Violation
from aiojobs_verification.simulation.world.packages import View
from aiojobs_verification.specification.job import read_job
from aiojobs_verification.specification.locate import find_spec
from aiojobs_verification.specification.scheduler import read_scheduler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiojobs_verification.simulation.world.probes import Body
    from aiojobs_verification.specification.interpret import Counters

__all__ = ["CRASH", "Reference", "Violation", "action_names", "moves", "seen"]


@cache
def _spec() -> tuple[Any, Any]:
    folder = find_spec()
    job = read_job(folder / "job.toml")
    return job, read_scheduler(folder / "scheduler.toml", job)


@cache
def _table(limit: int | None, pending_limit: int) -> ActionTable:
    return ActionTable(*_spec(), limit, pending_limit)


@cache
def seen() -> Mapping[str, frozenset[str]]:
    """For each visible property of a job the states in which it holds."""
    properties: Mapping[str, frozenset[str]] = _spec()[0].properties
    return properties


def action_names() -> frozenset[str]:
    """Every action of `scheduler.toml`."""
    return frozenset(_spec()[1].actions)


def moves() -> frozenset[tuple[str, str]]:
    """Every cell of `job.toml` that changes the state: source and event."""
    return frozenset((source, event) for source, event, _ in _spec()[0].machine.moves())


class Reference:
    """Where the follower is, in terms of one world: its bodies are the jobs, and the calls that spawn them."""

    def __init__(self, limit: int | None, pending_limit: int) -> None:
        # No method of this object is given away: it would be in a circle, and not go at once with its world.
        self._callers = callers = dict[str, "Body"]()
        self._ended = ended = set[int]()
        self._follower = Follower(
            _table(limit, pending_limit),
            calls=True,
            cancelled=lambda name: callers[name].calling_cancelled,
            ended=lambda number: number in ended,
        )
        self._jobs: dict[int, Body] = {}
        self._started: set[Body] = set()
        self.states: dict[Body, str] = {}
        self.cells: set[tuple[str, str]] = set()
        """Every transition that happened: source and event."""
        self.between: list[View] = []
        """What was to be seen between two actions that were told together."""

    @property
    def counters(self) -> Counters:
        """The counters of the specification."""
        return self._follower.counters.state

    @property
    def phase(self) -> str:
        """The phase of the scheduler."""
        return self._follower.phase

    @property
    def actions(self) -> set[str]:
        """Every action that happened, for the report."""
        return set(self._follower.counters.actions)

    # What was noted.

    def called(self, body: Body) -> None:
        """A spawn was called; unless it is accepted by the next record, it is blocked."""
        self._callers[body.name] = body
        self._follower.call(body.name, may_block=body.call is not None)

    def ended(self, body: Body) -> None:
        """A coroutine has come to its end."""
        self._ended.add(body.number)

    def has_ended(self, body: Body) -> bool:
        """Whether its coroutine has come to its end, as far as was told."""
        return body.number in self._ended

    def turned_away(self, body: Body, error: BaseException | None) -> None:
        """A spawn has raised: it was refused on the spot, or was blocked and gave up, or its job was withdrawn."""
        if self._follower.is_under_way(body.name):
            self._follower.raised(body.name, type(error).__name__)

    def record(self, body: Body | None, event: str, source: str | None, dest: str) -> None:
        """One record of the observer."""
        follower = self._follower
        if follower.in_doubt and event != "accept":
            follower.settle()
            self.between = [self._wanted()]
        elif follower.phase != "open" and event in {"finish", "cancel"}:
            self.between.append(self._wanted())
        else:
            self.between.clear()
        if body is None:
            follower.record(None, event, source, dest)
            return
        follower.record(body.number, event, source, dest, body.name)
        self._jobs[body.number] = body
        self.states[body] = dest
        if source is not None:
            self.cells.add((source, event))
        if event == "start":
            self._started.add(body)

    def running(self) -> int:
        """How many jobs hold a slot."""
        return sum(state in {"active", "closing"} for state in self.states.values())

    def limit(self, limit: int | None) -> None:
        """The limit is set."""
        self._follower.limit(limit)

    def settle(self) -> None:
        """What was noted so far is complete."""
        self._follower.settle()
        self._follower.calls.demand_answers(self._follower.calls.late)

    def was_active(self, body: Body) -> bool:
        """Whether this job has been given a slot."""
        return body in self._started

    # Comparison.

    def agree(self, view: View) -> bool:
        """Whether this is where the follower is, or was between two actions that were told together."""
        whole = self._follower.is_whole or self.phase != "open"
        return (whole and view == self._wanted()) or view in self.between

    def _wanted(self) -> View:
        """What the scheduler has to say of itself."""
        counters = self.counters
        jobs = self.listed()
        running = counters.active + counters.closing
        return View(self.phase, running, counters.pending, len(jobs), tuple([body.name for body in jobs]))

    def listed(self) -> list[Body]:
        """The jobs in the order in which they were spawned; once closing begins none is pending any more."""
        live = self._follower.jobs.live
        is_open = self.phase == "open"
        jobs = [self._jobs[job] for job, state in live.items() if is_open or state != "pending"]
        return sorted(jobs, key=lambda body: body.arrival)

    def compare(self, view: View) -> None:
        """What the scheduler says of itself must be where the follower is."""
        wanted = self._wanted()
        if view == wanted:
            return
        if view.phase != wanted.phase:
            raise Violation("SHUT-1", f"the phase is {view.phase}, and should be {wanted.phase}")
        if view[1:4] != wanted[1:4]:
            counted = f"active {view.active}, pending {view.pending}, len {view.size}"
            there = f"there are {wanted.active} running and {wanted.pending} pending"
            raise Violation("BOOK-1", f"{counted}; {there}")
        listed, right = list(view.listed), ", ".join(map(str, wanted.listed)) or "none"
        raise Violation("BOOK-2", f"iteration gives {listed}, in spawn order it is {right}")
