"""The real scheduler as a state of the model with named jobs: its variables are those of `spec/tla/Jobs.tla`.

Rules of this file: a variable is read where the truth about it is. What a coroutine does is told by the probe
that it is, what a caller waits for by the future that was made in its task, what it has received by its
answer, what the handler was told by the handler; what the scheduler says of itself is taken for the states
of its jobs, their order, its phase, and, the only thing that is private, the count of slots. Nothing is
computed by a rule of the model: that would hide the fault for which it is here.

How it works: `heard` and `made` keep what the world could not tell later; `state` puts it together. Three things
are taken on *credit*, because the model does them at once and the code a pass later: a job that has its slot
and its caller runs; a call that was cancelled while it was blocked is gone, and its coroutine is closed.
`unpaid` says which of them are still owed, and when the loop is at rest that must be none.

Deliberately not here: which steps there are between two such states (`refinement`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.world.scope import JOB_CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiojobs_verification.simulation.world.calls import Call
    from aiojobs_verification.simulation.world.probes import Body
    from aiojobs_verification.simulation.world.world import World

__all__ = ["REFINEMENT", "ModelState", "Projection"]

REFINEMENT: Final = "REFINEMENT"
"""In place of a requirement: the code does what the model does not."""

_HOLDING: Final = frozenset({"active", "closing"})
_ENDED: Final = frozenset({"done", "closed"})
_TIMED_OUT: Final = "timed_out"


class ModelState(NamedTuple):
    """A state of `Jobs.tla`: what is one for each job or caller is a tuple in the order of their numbers."""

    phase: str
    limit: int
    taken: int
    queue: tuple[int, ...]
    blocked: tuple[int, ...]
    call: tuple[str, ...]
    state: tuple[str, ...]
    code: tuple[str, ...]
    received: tuple[bool, ...]
    told: tuple[int, ...]
    late: tuple[int, ...]
    waiter: tuple[str, ...]
    on: tuple[int, ...]


class Projection:
    """What is known of one world that its scheduler does not tell, and the state that it makes."""

    def __init__(self, world: World, jobs: int, callers: int) -> None:
        self.world = world
        self.jobs, self.callers = jobs, callers
        self.spawned: list[Body] = []
        """Whoever was given to `spawn`, in that order: their places, from 1 on, are the numbers of the jobs."""
        self.waiting: list[Call] = []
        """The callers that have ever waited for the end of a job, in that order."""
        self._answers: dict[Body, str] = {}
        self._places: dict[Body, asyncio.Future[Any]] = {}
        self._futures: dict[Call, list[asyncio.Future[Any]]] = {}
        self._received: set[Body] = set()
        self._told: dict[Body, list[str]] = {}
        self._expired: set[Body] = set()
        self._complaints = 0

    # What is kept.

    def made(self, future: asyncio.Future[Any]) -> None:
        """A future was made: if by a caller, it is what that caller waits for."""
        call = self._caller()
        if call is None or call.body is None:
            return
        if call.kind == "spawn":
            self._places[call.body] = future
        elif call.kind in JOB_CALLS:
            if call not in self._futures:
                self.waiting.append(call)
            self._futures.setdefault(call, []).append(future)

    def _caller(self) -> Call | None:
        """The call that runs now; an eager one is not known as a task yet."""
        task = asyncio.current_task()
        if task is None:
            return None
        for call in self.world.calls:
            if call.task is task or (call.task is None and call.called_at is not None):
                return call
        return None

    def heard(self, kind: str, things: tuple[Any, ...]) -> None:
        """Something was noted by the world."""
        if kind == "spawning":
            self.spawned.append(things[0])
        elif kind == "nowait":
            self._on_nowait(things[0], things[2])
        elif kind == "answered":
            self._on_answered(things[0])
        elif kind == "report":
            self._on_report(things[0])
        elif kind == "record" and things[1] == "expire":
            self._expired.add(things[0])

    def _on_nowait(self, body: Body, error: BaseException | None) -> None:
        if isinstance(error, self.world.package.full):
            self.spawned.remove(body)  # to the model that is no step
        else:
            self._answers[body] = "returned" if error is None else "refused"

    def _on_answered(self, call: Call) -> None:
        body = call.body
        if body is None:
            return
        if call.kind == "spawn":
            refused = "withdrawn" if call.cancelled else "refused"
            self._answers[body] = "returned" if call.error is None else refused
        elif call in self._futures:
            self._futures[call].clear()
            if call.error is not None and body.caused(call.error):
                self._received.add(body)

    def _on_report(self, context: dict[str, Any]) -> None:
        job = context.get("job")
        body = next((body for body in self.spawned if job is not None and body.entry is job), None)
        if body is not None:
            failed = body.caused(context.get("exception"))
            self._told.setdefault(body, []).append("failed" if failed else "late")

    # What it comes to.

    def state(self) -> ModelState:
        """The state of the model in which the real scheduler is."""
        self._read_complaints()
        scheduler = self.world.scheduler
        bodies, none = self.spawned, self.jobs - len(self.spawned)
        calls = [self._call(body) for body in bodies]
        states = ["none" if body.entry is None else str(body.entry.state) for body in bodies]
        codes = [self._code(*row) for row in zip(bodies, calls, states, strict=True)]
        modes = [self._mode(call) for call in self.waiting]
        idle = self.callers - len(self.waiting)
        return ModelState(
            phase=str(scheduler.phase),
            limit=scheduler.limit or 0,
            taken=scheduler.active_count,
            queue=self._queue(),
            blocked=tuple([number for number, call in enumerate(calls, 1) if call == "blocked"]),
            call=(*calls, *["none"] * none),
            state=(*states, *["none"] * none),
            code=(*codes, *["none"] * none),
            received=(*[body in self._received for body in bodies], *[False] * none),
            told=(*[self._times(body, "failed") for body in bodies], *[0] * none),
            late=(*[self._times(body, "late") for body in bodies], *[0] * none),
            waiter=(*modes, *["idle"] * idle),
            on=(*[self._number(call) for call in self.waiting], *[0] * idle),
        )

    def _read_complaints(self) -> None:
        """Of a scheduler that has no handler the loop's is told."""
        complaints = self.world.complaints
        if self.world.scope.handler == "loop":
            for context in complaints[self._complaints :]:
                self._on_report(context)
        self._complaints = len(complaints)

    def _times(self, body: Body, what: str) -> int:
        return self._told.get(body, []).count(what)

    def number(self, body: Body | None) -> int:
        """The number of a job; 0 if it has none."""
        return self.spawned.index(body) + 1 if body in self.spawned else 0

    def _number(self, call: Call) -> int:
        return 0 if call.answered else self.number(call.body)

    def _queue(self) -> tuple[int, ...]:
        """The pending jobs in the order in which the scheduler has them; what it says of itself must agree."""
        scheduler = self.world.scheduler
        by_job = {id(body.entry): number for number, body in enumerate(self.spawned, 1)}
        listed = [(by_job.get(id(job), 0), str(job.state)) for job in scheduler]
        queue = tuple([number for number, state in listed if state == "pending"])
        running = sum(state in _HOLDING for _, state in listed)
        counted = (scheduler.pending_count, scheduler.active_count, self.world.package.size(scheduler))
        if counted != (len(queue), running, len(listed)):
            raise Violation(REFINEMENT, f"the registries disagree: counted {counted}, listed {listed}")
        return queue

    def _call(self, body: Body) -> str:
        """What has become of a call of `spawn`."""
        if body in self._answers:
            return self._answers[body]
        place = self._places.get(body)
        if place is None:
            return "none"
        if not place.done():
            return "blocked"
        return "withdrawn" if place.cancelled() else "arriving"

    def _code(self, body: Body, call: str, state: str) -> str:
        """What has become of a coroutine."""
        fate = "never" if _is_dropped(body) else body.fate
        if fate == "never" or (call == "withdrawn" and state == "none"):
            return "dropped"
        if fate == "raised":
            return "raised" if state in _ENDED else "failed"
        if fate in {"cancelled", _TIMED_OUT}:
            return _TIMED_OUT if _has_timed_out(body) else "cancelled"
        if fate is not None:
            return fate
        if not body.began and not (call == "returned" and state in _HOLDING):
            return "fresh"
        return "overdue" if body in self._expired else "running"

    def _mode(self, call: Call) -> str:
        """What a caller of wait or close does."""
        if call.answered:
            return "answered"
        *before, future = self._futures[call]
        if call.cancelled or future.cancelled():
            return "leaving"
        if not future.done():
            return "watching" if before else "stopping" if call.kind.startswith("close") else "waiting"
        if before:
            return "leaving"
        if future.result():
            return "leaving" if call.kind.startswith("close") and _has_timed_out(call.body) else "woken"
        return "expired" if call.kind.startswith("wait") else "leaving"

    def unpaid(self, state: ModelState) -> Iterator[str]:
        """What was taken on credit and has not come about."""
        for number, body in enumerate(self.spawned, 1):
            code = state.code[number - 1]
            if code in {"running", "overdue"} and not body.began:
                yield f"job {number} has a slot, and never takes its first step"
            if code == "dropped" and body.ended != "never" and not _is_dropped(body):
                yield f"the call of job {number} is over, and its coroutine is not closed"


def _has_timed_out(body: Body | None) -> bool:
    """Whether the job says that it has: to who closes it that is only an end."""
    return body is not None and str(getattr(body.entry, "outcome", None)) == _TIMED_OUT


def _is_dropped(body: Body) -> bool:
    """Whether a coroutine was closed before its first step; the world notices that only when it looks."""
    coroutine: Any = body.coroutine
    return body.ended == "never" or (coroutine is not None and not body.began and coroutine.cr_frame is None)
