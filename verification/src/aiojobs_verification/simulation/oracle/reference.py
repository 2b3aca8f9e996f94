"""The reference registry: what the specification says must be the case, kept beside the real scheduler.

Rules of this file: it is written from `spec/` alone. What may follow what in the life of a job is read
from `job.toml` (not from the table that was generated for the runtime), what may happen to the counters
from `scheduler.toml`. Order is that of arrival: a call of `spawn` gets its place when it is made, and
keeps it, blocked or queued.

How it works: the registry is kept by reading what was noted, in order. Records of the observer that belong
together are one action of `scheduler.toml`: an end, the start of the next job and the admission of the
first blocked call are one step, and between two steps every invariant holds. An action that its guard does
not allow, a start out of turn, a transition that the table does not have: each is a `Violation`, and names
its requirement.

Deliberately not here: what callers are told (`judge`).
"""

from __future__ import annotations

from functools import cache
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiojobs_verification.simulation.world.packages import View
from aiojobs_verification.specification.interpret import Interpreter, parameters
from aiojobs_verification.specification.job import read_job
from aiojobs_verification.specification.locate import find_spec
from aiojobs_verification.specification.scheduler import read_scheduler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiojobs_verification.simulation.world.probes import Body

__all__ = ["CRASH", "Reference", "Violation", "action_names", "moves"]

_UNEXPLAINED: Final = {
    "spawn_start": ("LIMIT-1", "a job starts although no slot is free for it"),
    "spawn_queue": ("LIMIT-2", "a job is queued although a slot is free"),
    "spawn_block": ("LIMIT-4", "a spawn blocks although there is a slot or a place for it"),
    "give_up": ("SPAWN-1", "a spawn gives up that was not blocked"),
    "end_active_idle": ("LIMIT-2", "a slot falls free, and the job that waits for it is not started"),
    "end_active_next": ("LIMIT-4", "a place in the queue falls free, and the blocked spawn does not get it"),
    "end_active_refill": ("LIMIT-4", "a spawn is admitted that was not blocked"),
    "end_closing_idle": ("LIMIT-2", "a slot falls free, and the job that waits for it is not started"),
    "end_closing_next": ("LIMIT-4", "a place in the queue falls free, and the blocked spawn does not get it"),
    "end_closing_refill": ("LIMIT-4", "a spawn is admitted that was not blocked"),
    "close_active": ("CLOSE-1", "a job is asked to stop that is not active"),
    "close_pending": ("LIMIT-4", "a place in the queue falls free, and the blocked spawn does not get it"),
    "close_pending_refill": ("LIMIT-4", "a spawn is admitted that was not blocked"),
    "shutdown": ("SHUT-1", "closing begins twice"),
    "settle": ("SHUT-2", "closing is over before it began"),
}
"""The promise that is broken, and how, when an action happens that the specification does not allow."""


class _Step(NamedTuple):
    """A record, or a call, as part of an action."""

    name: str
    body: Body | None
    source: str | None


CRASH: Final = "CRASH"
"""In place of a requirement: the library fails with an error of its own, or the loop complains and nothing explains
it. That is a verdict of its own, and counts neither for nor against any promise."""


class Violation(Exception):  # noqa: N818 - it names what was found
    """A requirement is broken: `requirement` says which, the text says by what."""

    def __init__(self, requirement: str, text: str, trace: str = "") -> None:
        super().__init__(f"{requirement}: {text}")
        self.requirement = requirement
        self.text = text
        self.trace = trace
        """Of a crash, the traceback."""

    @classmethod
    def crash(cls, what: str, error: object) -> Violation:
        """The library fails with this error, or there is something that nothing explains."""
        trace = "".join(format_exception(error)) if isinstance(error, BaseException) else ""
        return cls(CRASH, f"{what}: {error!r}", trace)


@cache
def _spec() -> tuple[Any, Any]:
    folder = find_spec()
    job = read_job(folder / "job.toml")
    return job, read_scheduler(folder / "scheduler.toml", job)


@cache
def _interpreter(limit: int | None, pending_limit: int) -> Interpreter:
    return Interpreter(_spec()[1], parameters(limit, pending_limit))


@cache
def table() -> Mapping[str, Mapping[str, str | None]]:
    """The total table of `job.toml`."""
    cells: Mapping[str, Mapping[str, str | None]] = _spec()[0].machine.cells
    return cells


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
    """Who waits outside, who is queued, who runs, and the counters, as the specification wants them."""

    def __init__(self, limit: int | None, pending_limit: int) -> None:
        self._interpreter = _interpreter(limit, pending_limit)
        self.counters = self._interpreter.initial
        self.blocked: list[Body] = []
        self.queue: list[Body] = []
        self.running: list[Body] = []
        self.states: dict[Body, str] = {}
        self._started: set[Body] = set()
        self.actions: set[str] = set()
        """Every action that happened, for the report."""
        self.cells: set[tuple[str, str]] = set()
        """Every transition that happened: source and event."""
        self._group: list[_Step] = []
        self._interrupted: dict[Body, _Step] = {}
        """Spawns that foreign code has made in the middle of an action, of which the observer hears before them."""
        self.between: list[View] = []
        """What was to be seen between closing and the ends that were told together with it."""

    @property
    def phase(self) -> str:
        """The phase of the scheduler."""
        return str(self.counters.phase)

    # Notes.

    def called(self, body: Body) -> None:
        """A spawn was called; unless it is accepted by the next record, it waits outside."""
        self.interrupt()
        self._group.append(_Step("called", body, None))

    def turned_away(self, body: Body) -> None:
        """A spawn has raised: it was refused on the spot, or was blocked and gave up."""
        self._interrupted.pop(body, None)
        if len(self._group) == 1 and self._group[0][:2] == ("called", body):
            self._group.clear()
            return
        self.settle_group()
        if body in self.blocked:
            self._give_up(body)

    def record(self, body: Body | None, event: str, source: str | None, dest: str) -> None:
        """One record of the observer."""
        if body is not None and event != "accept":
            self._check_cell(body, event, source, dest)
        step = event if body is not None else f"phase {event}"
        if event == "close" and source == "pending":
            step = "drop"
        if not self._continues(step, body):
            self.interrupt()
        if body in self._interrupted and event == "accept":
            self._group.append(self._interrupted.pop(body))
        if event == "accept" and body in self.blocked:
            step = "admit"
        self._group.append(_Step(step, body, source))
        if body is not None:
            self.states[body] = dest
            if event == "start":
                self._started.add(body)

    def interrupt(self) -> None:
        """Something else begins; a spawn that does not wait, or is being refused, may be in the middle of it."""
        if len(self._group) == 1 and self._group[0].name == "called":
            body = self._group[0].body
            if body is not None and (body.call is None or self.phase != "open"):
                self._interrupted[body] = self._group.pop()
                return
        self.settle_group()

    def settle_group(self) -> None:
        """What was noted since the last step is complete: take it as one action."""
        group, self._group = self._group, []
        if group:
            self._take(group)
            broken = self._interpreter.broken(self.counters)
            if broken:
                rules = self._interpreter.spec.invariants
                ids = rules[broken[0]].requirements
                raise Violation(ids[0], f"{rules[broken[0]].meaning} Now: {self.counters}")

    def _check_cell(self, body: Body, event: str, source: str | None, dest: str) -> None:
        state = self.states.get(body)
        if state != source or source is None:
            raise Violation("BOOK-1", f"{body.name} is told to be {source}, but it was {state}")
        wanted = table()[source][event]
        self.cells.add((source, event))
        if wanted != dest:
            moved = f"{body.name} goes from {source} to {dest} by {event}"
            raise Violation("CLOSE-3", f"{moved}; the table says {wanted or 'illegal'}")

    def _continues(self, step: str, body: Body | None) -> bool:
        """Whether a record belongs to the step that has begun, rather than beginning one."""
        if not self._group:
            return True
        first, last = self._group[0], self._group[-1]
        if body in self._interrupted:
            return False
        if first.name == "called":
            follows = {"called": "accept", "accept": "start"}
            return first.body is body and step == follows.get(last.name)
        if first.name == "phase close":
            return step in {"drop", "close", "finish", "cancel"}
        if first.name in {"finish", "cancel"}:
            return (step == "start" and last is first) or (step == "accept" and last.name != "admit")
        return first.name == "drop" and step == "accept" and last is first

    # Actions.

    def _take(self, group: list[_Step]) -> None:
        first, body, source = group[0]
        names = [step.name for step in group]
        if first == "phase close":
            self._shut(group)
        elif first == "phase settled":
            self._do("settle")
        elif body is None:
            raise Violation("BOOK-1", f"a record that explains nothing: {names}")
        elif first == "called":
            self._called(body, names)
        elif first in {"finish", "cancel"}:
            self._end(body, source, group[1:])
        elif first == "drop":
            self._drop(body, group[1:])
        elif first == "close":
            self._do("close_active")
        else:
            raise Violation("LIMIT-2", f"{body.name}: {first} comes out of nowhere")

    def _called(self, body: Body, names: list[str]) -> None:
        if names == ["called", "accept", "start"]:
            self._do("spawn_start")
            self.running.append(body)
        elif names == ["called", "accept"]:
            self._do("spawn_queue")
            self.queue.append(body)
        else:
            self._do("spawn_block")
            self.blocked.append(body)

    def _end(self, body: Body, source: str | None, rest: list[_Step]) -> None:
        names = [step.name for step in rest]
        if names not in [[], ["start"], ["start", "admit"]]:
            raise Violation("LIMIT-2", f"the end of {body.name} is followed by {', '.join(names)}")
        self.running.remove(body)
        self._move_up(rest)
        self._do(f"end_{source}_{('idle', 'next', 'refill')[len(rest)]}")

    def _drop(self, body: Body, rest: list[_Step]) -> None:
        if body not in self.queue:
            raise Violation("BOOK-1", f"{body.name} leaves the queue in which it was not")
        self.queue.remove(body)
        self._move_up(rest)
        self._do("close_pending_refill" if rest else "close_pending")

    def _shut(self, group: list[_Step]) -> None:
        dropped = [body for name, body, _ in group if name == "drop" and body]
        ended = [body for name, body, _ in group if name in {"finish", "cancel"} and body]
        if dropped != self.queue:
            raise Violation("SHUT-1", f"closing drops {_names(dropped)}; in the queue: {_names(self.queue)}")
        left_out = [body for body in self.running if self.states[body] == "active"]
        if left_out:
            raise Violation("SHUT-1", f"closing begins, and {_names(left_out)} are not asked to stop")
        self.queue.clear()
        self.blocked.clear()
        self._do("shutdown")
        self.between = []
        for body in ended:
            self.between.append(self._wanted())
            self.running.remove(body)
            self._do("end_closing_idle")

    def _move_up(self, rest: list[_Step]) -> None:
        """The head of the queue starts, the first of the blocked calls comes in."""
        admitted = next((step.body for step in rest if step.name == "admit"), None)
        self._pass_over_cancelled(admitted)
        for step, body, _ in rest:
            assert body is not None
            line = self.queue if step == "start" else self.blocked
            if not line or line[0] is not body:
                first = line[0].name if line else "nobody"
                raise Violation("LIMIT-5", f"{body.name} moves up before {first}, which came earlier")
            line.pop(0)
            (self.running if step == "start" else self.queue).append(body)

    def _pass_over_cancelled(self, admitted: Body | None) -> None:
        """A blocked call that was cancelled in this pass may be passed over before it can say so itself."""
        while self.blocked and self.blocked[0] is not admitted and self.blocked[0].calling_cancelled:
            self._give_up(self.blocked[0])

    def _give_up(self, body: Body) -> None:
        self.blocked.remove(body)
        self._do("give_up")

    def _do(self, action: str) -> None:
        interpreter = self._interpreter
        if not interpreter.can(action, self.counters):
            requirement, text = _UNEXPLAINED[action]
            if action == "spawn_queue" and interpreter.can("spawn_block", self.counters):
                requirement, text = "LIMIT-3", "a job is queued although the queue is full"
            if self.phase != "open" and action.startswith("spawn"):
                requirement, text = "SPAWN-2", "a spawn is accepted after closing has begun"
            raise Violation(requirement, f"{text} ({action} in {self.counters})")
        self.actions.add(action)
        self.counters = interpreter.step(self.counters, action)

    def was_active(self, body: Body) -> bool:
        """Whether this job has been given a slot."""
        return body in self._started

    # Comparison.

    def agree(self, view: View) -> bool:
        """Whether this is what is written here, or was between two actions that were taken together."""
        return view in (self._wanted(), *self.between)

    def _wanted(self) -> View:
        """What the scheduler has to say of itself."""
        pending, active = len(self.queue), len(self.running)
        jobs = sorted([*self.running, *self.queue], key=lambda body: body.arrival)
        return View(self.phase, active, pending, active + pending, tuple([body.name for body in jobs]))

    def compare(self, view: View) -> None:
        """What the scheduler says of itself must be what is written here."""
        if view.phase != self.phase:
            raise Violation("SHUT-1", f"the phase is {view.phase}, and should be {self.phase}")
        pending, active = len(self.queue), len(self.running)
        if (view.active, view.pending, view.size) != (active, pending, active + pending):
            counted = f"active {view.active}, pending {view.pending}, len {view.size}"
            raise Violation("BOOK-1", f"{counted}; there are {active} running and {pending} pending")
        jobs = sorted([*self.running, *self.queue], key=lambda body: body.arrival)
        if list(view.listed) != [body.name for body in jobs]:
            raise Violation(
                "BOOK-2", f"iteration gives {list(view.listed)}, in spawn order it is {_names(jobs)}"
            )


def _names(bodies: list[Body]) -> str:
    return ", ".join(body.name for body in bodies) or "none"
