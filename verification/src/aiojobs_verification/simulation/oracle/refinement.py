"""The code refines the model: every step of the real scheduler is one of `spec/tla/Jobs.tla`, or none.

Rules of this file: after every callback of the loop and every outside event the scheduler is projected onto the
variables of the model (`projection`). Before and after must be equal, or joined by a path of the model's steps,
each of which whoever ran may cause: a caller that waits for a job may not close another one, the end of a
coroutine may not refuse a call. When the loop is at rest no step of its own may be left undone, what is closing
must have a timer, and everything that was taken on credit must have come about.

How it works: what the model's steps are is said by the graph that TLC has dumped (`ModelGraph`), never by a second
text of the model. A step of it is labelled with a name alone; whom it is about and by what it comes about can be
read off the two states. What was found for two states and a cause is kept for all worlds of a scope.

A divergence is noted, and ends nothing: the oracle may know a promise that is broken, soon or a little later.

What two histories that lead to the same world may leave behind differently, and the model remembers, is over: which
number an answered caller had, in which way a call was answered. No step of the model asks for it, so the fingerprint
of a world need not hold it, and exploration has the same states with the model and without.

Deliberately not here: how the graph is come by (`model_checking.dumped`), and strangers: the model knows none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from aiojobs_verification.simulation.oracle.projection import REFINEMENT, ModelState, Projection
from aiojobs_verification.simulation.oracle.reference import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from aiojobs_verification.simulation.world.calls import Call
    from aiojobs_verification.simulation.world.world import World

__all__ = ["Cause", "Model", "ModelGraph", "ModelStep", "Refinement", "step_between"]

_LONGEST: Final = 8
"""So many steps of the model at most are one callback of the code; 3 are the most that were seen."""

_HOLDING: Final = frozenset({"active", "closing"})
_OF_ALL: Final = frozenset({"shutdown", "settle", "set_limit_idle", "set_limit_start"})
"""Steps that are about no job and no caller of their own."""
_OF_NOBODY: Final = frozenset({"set-limit", "sweep", "misuse"})
"""Outside events that act at once, and for nobody who waits for an answer."""
_OF_LOOP: Final = frozenset({"arrive", "refuse", "watch", "resume"})
"""Steps that the loop takes by itself, and that must not be left undone when it is at rest."""


class ModelGraph(Protocol):
    """The states and steps of the model, as TLC found them, by the numbers of the states."""

    jobs: int
    callers: int

    def find(self, state: Mapping[str, Any]) -> int | None:
        """The number of a state; None if the model has no such state."""

    def state(self, number: int) -> Mapping[str, Any]:
        """The variables of a state."""
        ...

    def steps(self, number: int) -> Iterable[tuple[str, int]]:
        """The steps that lead out of a state: an action, and where it leads."""
        ...


class ModelStep(NamedTuple):
    """A step of the model: its action, the job and the caller that it is about, and by what it comes about."""

    action: str
    job: int = 0
    caller: int = 0
    how: str = ""

    @property
    def kind(self) -> str:
        """The step without its numbers."""
        return f"{self.action} {self.how}".strip()


class Cause(NamedTuple):
    """Who ran between two states: a kind, and the job and the caller whose it is."""

    kind: str
    job: int = 0
    caller: int = 0


def step_between(action: str, before: ModelState, after: ModelState) -> ModelStep:
    """The step of this name that leads from one state to the other."""
    if action in _OF_ALL:
        return ModelStep(action)
    if action == "report_late":
        return ModelStep(action, _changed(before.late, after.late))
    if action in {"wait", "stop", "cancel_waiter", "expire", "watch", "resume"}:
        caller = _changed(before.waiter, after.waiter)
        mode = before.waiter[caller - 1] if action not in {"wait", "stop"} else ""
        job = after.on[caller - 1] or before.on[caller - 1]
        return ModelStep(action, job, caller, mode)
    if not action.startswith(("end_", "close_pending")):
        job = _changed(before.call, after.call) or _changed(before.code, after.code)
        return ModelStep(action, job or _changed(before.state, after.state))
    job = next(
        number
        for number, (old, new) in enumerate(zip(before.state, after.state, strict=True), 1)
        if old != new and new in {"done", "closed"}
    )
    code = after.code[job - 1]
    if code == "dropped":
        code = "withdrawn" if after.call[job - 1] == "withdrawn" else "closed"
    return ModelStep(action, job, how=code)


def _changed(before: tuple[object, ...], after: tuple[object, ...]) -> int:
    """The first number for which two tuples differ; 0 if there is none."""
    pairs = enumerate(zip(before, after, strict=True), 1)
    return next((number for number, (old, new) in pairs if old != new), 0)


# Who may cause what.


def may_cause(cause: Cause, step: ModelStep, *, eager: bool) -> bool:
    """Whether whoever ran may have taken this step; with eager tasks everybody may begin coroutines, and end them."""
    if eager and (_sees(step) or _runs(step)):
        return True
    if _sees(step):
        return cause.kind in _SEERS
    if step.action == "settle":  # whoever sees the last job end
        return cause.kind in {"job", *_SEERS}
    return cause.kind in _CAUSES and _CAUSES[cause.kind](cause, step)


def _sees(step: ModelStep) -> bool:
    """Whether it is the seeing of a failure, which whoever asks for the job may bring forward."""
    return step.action.startswith("end_") and step.how == "raised"


_OWN_ENDS: Final = frozenset({"returned", "cancelled", "timed_out"})


def _runs(step: ModelStep) -> bool:
    """Whether it is a coroutine that comes to its end."""
    return step.action == "fail" or (step.action.startswith("end_") and step.how in _OWN_ENDS)


def _stops(step: ModelStep) -> bool:
    """Whether it is somebody's asking a job to stop."""
    return step.action == "close_active" or step.how == "closed"


def _drops(step: ModelStep) -> bool:
    """Whether it is the end of a job that had a slot and whose spawn has not returned, after closing has begun."""
    return step.action.startswith("end_closing_") and step.how == "closed"


_SEERS: Final = frozenset({"soon", "timer", "wait-for", "close", "end"})
_SPAWNS: Final = frozenset({"spawn_start", "spawn_queue", "spawn_refuse"})
_CALLS: Final = _SPAWNS | {"spawn_block", "arrive", "refuse", "withdraw"}


def _of_spawn(cause: Cause, step: ModelStep) -> bool:
    return step.job == cause.job and (step.action in _CALLS or step.how == "withdrawn")


def _of_wait(cause: Cause, step: ModelStep) -> bool:
    return step.caller == cause.caller and step.action in {"wait", "resume"}


def _of_wait_for(cause: Cause, step: ModelStep) -> bool:
    return (
        _of_wait(cause, step)
        or (step.caller == cause.caller and step.action == "watch")
        or (step.job == cause.job and _stops(step))
    )


def _of_close(cause: Cause, step: ModelStep) -> bool:
    own = step.caller == cause.caller and step.action in {"stop", "resume"}
    return own or (step.job == cause.job and _stops(step))


def _of_cancel(cause: Cause, step: ModelStep) -> bool:
    return (step.job == cause.job and step.action == "give_up") or (
        step.caller == cause.caller and step.action == "cancel_waiter"
    )


_CAUSES: Final[dict[str, Callable[[Cause, ModelStep], bool]]] = {
    "spawn": _of_spawn,
    "nowait": lambda cause, step: step.job == cause.job and step.action in _SPAWNS,
    "wait": _of_wait,
    "wait-for": _of_wait_for,
    "close": _of_close,
    "end": lambda _, step: step.action == "shutdown" or _drops(step),
    "job": lambda cause, step: step.job == cause.job and _runs(step),
    "timer": lambda _, step: step.action in {"expire", "expire_active", "report_late"},
    "cancel": _of_cancel,
    "set-limit": lambda _, step: step.action in {"set_limit_idle", "set_limit_start"},
    "sweep": lambda _, step: step.action in {"give_up", "cancel_waiter"},
}
"""What each kind of cause may do; what sees a failure may do so besides."""

_KINDS: Final = {
    "await": "wait",
    "close-for": "close",
    "shut": "end",
    "drain": "end",
    "drain-for": "end",
    "with": "end",
}
"""Calls that may cause the same as another kind."""


# The graph.


class Model:
    """The graph of the model for all worlds of one scope, and what was found in it."""

    def __init__(self, graph: ModelGraph, *, eager: bool = False) -> None:
        self.graph = graph
        self.eager = eager
        self.met: set[str] = set()
        """The kinds of steps that the code has taken."""
        self.states: set[int] = set()
        self.longest = 0
        self._paths: dict[tuple[int, int, Cause], bool] = {}
        self._read: dict[int, ModelState] = {}
        self._steps: dict[int, list[tuple[ModelStep, int]]] = {}

    def find(self, state: ModelState) -> int | None:
        """The number of a state."""
        number = self.graph.find(state._asdict())
        if number is not None:
            self.states.add(number)
        return number

    def joins(self, before: int, after: int, cause: Cause) -> bool:
        """Whether a path of steps leads from one state to another that this cause may have taken."""
        key = before, after, cause
        found = self._paths.get(key)
        if found is None:
            path = self._path(before, after, cause)
            self.longest = max(self.longest, len(path or ()))
            self.met.update(step.kind for step in path or ())
            self._paths[key] = found = path is not None
        return found

    def _path(self, before: int, after: int, cause: Cause) -> tuple[ModelStep, ...] | None:
        """The shortest one."""
        queue: deque[tuple[int, tuple[ModelStep, ...]]] = deque([(before, ())])
        seen = {before}
        while queue:
            state, path = queue.popleft()
            for step, target in self.steps(state):
                if target in seen or not may_cause(cause, step, eager=self.eager):
                    continue
                if target == after:
                    return (*path, step)
                seen.add(target)
                if len(path) < _LONGEST - 1:
                    queue.append((target, (*path, step)))
        return None

    def steps(self, number: int) -> list[tuple[ModelStep, int]]:
        """The steps out of a state."""
        found = self._steps.get(number)
        if found is None:
            here = self._state(number)
            found = [
                (step_between(action, here, self._state(target)), target)
                for action, target in self.graph.steps(number)
            ]
            self._steps[number] = found
        return found

    def _state(self, number: int) -> ModelState:
        if number not in self._read:
            self._read[number] = ModelState(**self.graph.state(number))
        return self._read[number]


# One world.


class Refinement:
    """Follows one world through the model."""

    def __init__(self, world: World, model: Model) -> None:
        self.world = world
        self.model = model
        self.projection = Projection(world, model.graph.jobs, model.graph.callers)
        self.here: ModelState | None = None
        """Where the world is in the model; None in a replay, and where it has left the model."""
        self.left: Violation | None = None
        """Where and how it has left the model."""

    # What the world tells.

    def begin(self) -> None:
        """From now on every step is looked at."""
        self.here = self._project()
        if self.here is not None and self.model.find(self.here) is None:
            self._leave(f"the model has no such state: {self.here}")

    def happened(self, event: tuple[Any, ...]) -> None:
        """An outside event has happened; what the loop has called meanwhile was looked at already."""
        cause = None if self.here is None or event[0] == "turn" else self._cause_of_event(event)
        if cause is not None:
            self._look(cause)

    def rest(self) -> None:
        """The loop is at rest."""
        undone = None if self.here is None else next(self._undone(self.here), None)
        if undone is not None:
            self._leave(f"the loop is at rest, and {undone}")

    # What the loop tells.

    def made(self, future: asyncio.Future[Any]) -> None:
        """A future was made by whoever runs now."""
        self.projection.made(future)

    def before(self, handle: Any) -> Any:
        """A callback is about to be called: whose it is."""
        if self.here is None:
            return None
        task = getattr(handle.callback, "__self__", None)
        for call in self.world.calls:
            if call.task is task:
                return call
        if hasattr(task, "get_coro"):
            return task
        return "timer" if isinstance(handle, asyncio.TimerHandle) else "soon"

    def after(self, cause: Any) -> None:
        """It was called."""
        if self.here is None or cause is None:
            return
        if isinstance(cause, str):
            self._look(Cause(cause))
            return
        ours = cause in self.world.calls
        self._look(self._cause_of_call(cause) if ours else self._cause_of_task(cause))

    # Causes.

    def _cause_of_call(self, call: Call) -> Cause:
        waiting = self.projection.waiting
        caller = waiting.index(call) + 1 if call in waiting else 0
        return Cause(_KINDS.get(call.kind, call.kind), self.projection.number(call.body), caller)

    def _cause_of_task(self, task: object) -> Cause:
        bodies = self.projection.spawned
        body = next((body for body in bodies if body.task is not None and body.task() is task), None)
        return Cause("job", self.projection.number(body))

    def _cause_of_event(self, event: tuple[Any, ...]) -> Cause | None:
        """None for what calls nothing of the library: if it changes anything all the same, the next step is wrong."""
        kind, target = event[0], event[1] if len(event) > 1 else None
        if kind == "cancel" and isinstance(target, int):
            return self._cause_of_call(self.world.calls[target])._replace(kind="cancel")
        if kind == "nowait":
            return Cause("nowait", self.projection.number(self.world.bodies[-1]))
        if kind in _OF_NOBODY:
            return Cause(kind)
        if self.model.eager and self.world.calls and kind in {*_CAUSES, *_KINDS}:
            return self._cause_of_call(self.world.calls[-1])  # it has taken its first step
        return None

    # Steps, and rest.

    def _look(self, cause: Cause) -> None:
        before = self.here
        assert before is not None
        now = self._project()
        if now is None or now == before:
            return
        self.here = now
        source, target = self.model.find(before), self.model.find(now)
        if target is None:
            self._leave(f"{cause.kind} leads to a state that the model does not have: {_told(before, now)}")
        elif source is None or not self.model.joins(source, target, cause):
            self._leave(f"no step of the model that {cause.kind} may cause does this: {_told(before, now)}")

    def _project(self) -> ModelState | None:
        try:
            return self.projection.state()
        except Violation as violation:
            self._leave(violation.text)
            return None

    def _leave(self, text: str) -> None:
        self.left = self.left or Violation(REFINEMENT, text)
        self.here = None

    def _undone(self, here: ModelState) -> Iterator[str]:
        """What the loop would have had to do before it came to rest."""
        number = self.model.find(here)
        assert number is not None
        for step, _ in self.model.steps(number):
            if step.action in _OF_LOOP or _sees(step) or (step.how == "closed" and here.phase != "open"):
                yield f"{step.kind} is left undone, of job {step.job}"
        runs = any(state in _HOLDING for state in here.state)
        shielded = any(body.shielded and body.alive for body in self.world.bodies)
        if here.phase == "closing" and not runs and not shielded:
            yield "closing is not over, although nothing runs"
        assert self.world.virtual is not None
        if here.phase == "closing" and not self.world.virtual.timers():
            yield "closing has no timer"
        if "expired" in here.waiter:
            yield "a caller whose time is over does not go on"
        yield from self.projection.unpaid(here)


def _told(before: ModelState, after: ModelState) -> str:
    """What has changed, in words."""
    pairs = zip(before._asdict().items(), after, strict=True)
    return "; ".join(f"{name} {_value(old)} → {_value(new)}" for (name, old), new in pairs if old != new)


def _value(value: object) -> str:
    return f"⟨{', '.join(map(str, value))}⟩" if isinstance(value, tuple) else str(value)
