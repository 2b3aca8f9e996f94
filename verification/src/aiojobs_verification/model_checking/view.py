"""A state of the model as TLA+ shows it, a graph held against the one that TLC dumped, a run told as a story.

Rules of this file: the names of the variables are those of `spec/tla/Jobs.tla`. Both engines' states come
to this form before they are compared or shown, so that neither is seen through the eyes of the other.

Deliberately not here: what should come out (`check`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aiojobs_verification.model_checking.graph import Graph
    from aiojobs_verification.model_checking.state import State
    from aiojobs_verification.model_checking.tla_text import Dump

__all__ = ["differences", "run_of", "shown", "story"]

_PER_JOB: Final = ("call", "state", "code", "received", "told", "late", "audience")
_PER_CALLER: Final = ("waiter", "on")
_ALONE: Final = ("phase", "taken", "queue", "blocked")


def shown(state: State) -> dict[str, Any]:
    """The state as the variables of Jobs.tla."""
    numbered = list(enumerate(state.callers, 1))
    return {
        "phase": state.phase,
        "taken": state.taken,
        "queue": state.queue,
        "blocked": state.outside,
        "call": tuple(job.call for job in state.jobs),
        "state": tuple(job.state for job in state.jobs),
        "code": tuple(job.code for job in state.jobs),
        "received": tuple(job.received for job in state.jobs),
        "told": tuple(job.told for job in state.jobs),
        "late": tuple(job.late for job in state.jobs),
        "audience": tuple(
            frozenset(number for number, caller in numbered if caller.counted and caller.job == job)
            for job in range(1, len(state.jobs) + 1)
        ),
        "waiter": tuple(caller.mode for caller in state.callers),
        "on": tuple(caller.job for caller in state.callers),
    }


def differences(graph: Graph[State], dump: Dump) -> list[str]:
    """What one engine has and the other has not: states, and labelled steps between them."""
    keys = [_key(shown(state)) for state in graph.states]
    theirs = {name: _key(state) for name, state in dump.states.items()}
    ours = set(keys)
    steps = {
        (keys[source], edge.action, keys[edge.target])
        for source, edges in enumerate(graph.edges)
        for edge in edges
    }
    their_steps = {(theirs[source], action, theirs[target]) for source, action, target in dump.steps}
    found = [
        *_surplus("states", ours, set(theirs.values()), lambda state: str(dict(state))),
        *_surplus("steps", steps, their_steps, _step),
    ]
    if len(theirs) != len(set(theirs.values())):
        found.append("TLC dumped a state under two names")
    return found


def _key(state: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(state.items()))


def _surplus(what: str, ours: set[Any], theirs: set[Any], told: Callable[[Any], str]) -> Iterator[str]:
    for name, more in (("the explorer", ours - theirs), ("TLC", theirs - ours)):
        if more:
            example = told(min(more, key=repr))
            yield f"{name} has {len(more)} {what} that the other has not, for example {example}"


def _step(step: tuple[Any, str, Any]) -> str:
    source, action, target = step
    return f"{action} from {dict(source)} to {dict(target)}"


def run_of(graph: Graph[State], numbers: Sequence[int]) -> list[tuple[str, Mapping[str, Any]]]:
    """A run of the graph: each state, and the action that led to it."""
    run: list[tuple[str, Mapping[str, Any]]] = [("", shown(graph.states[numbers[0]]))]
    for source, target in pairwise(numbers):
        run.append((graph.edge(source, target).action, shown(graph.states[target])))
    return run


def story(run: Sequence[tuple[str, Mapping[str, Any]]], end: str) -> list[str]:
    """A run as numbered lines: what happened, and what it changed; `end` says what is wrong with it."""
    width = max((len(action) for action, _ in run[1:]), default=0)
    lines = [
        f"{number:>3}. {action:<{width}}  {'; '.join(_changes(before, after))}"
        for number, ((_, before), (action, after)) in enumerate(pairwise(run), 1)
    ]
    return [*lines, f"     {end}"]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    yield from _changes_of("job", _PER_JOB, before, after)
    yield from _changes_of("caller", _PER_CALLER, before, after)
    for name in _ALONE:
        if before[name] != after[name]:
            yield f"{name} {_value(before[name])} → {_value(after[name])}"


def _changes_of(
    who: str, names: Iterable[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[str]:
    names = list(names)
    for number in range(len(after[names[0]])):
        changed = [
            f"{name} {_value(before[name][number])} → {_value(after[name][number])}"
            for name in names
            if before[name][number] != after[name][number]
        ]
        if changed:
            yield f"{who} {number + 1}: {', '.join(changed)}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"⟨{', '.join(map(str, value))}⟩"
    if isinstance(value, frozenset):
        return f"{{{', '.join(map(str, sorted(value)))}}}"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
