"""A counterexample of the model, told for a person.

Rules of this file: the names of the variables are those of `spec/tla/Jobs.tla` and `spec/tla/Lanes.tla`; of which
model a state is, is told by the variables that it has.

Deliberately not here: what should come out (`check`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["story"]

_PER_ONE: Final = {
    "job": ("call", "state", "code", "received", "told", "late"),
    "caller": ("waiter", "on"),
    "piece": ("key", "state"),
    "key": ("waiting", "entered"),
}
"""The variables that have a value for each job, caller, piece of work or key."""
_ALONE: Final = ("phase", "slots", "limit", "taken", "queue", "blocked", "ring", "door", "woken", "held")


def story(run: Sequence[tuple[str, Mapping[str, Any]]], end: str) -> list[str]:
    """A run as numbered lines: what happened, and what it changed; `end` says what is wrong with it."""
    width = max((len(action) for action, _ in run[1:]), default=0)
    lines = [
        f"{number:>3}. {action:<{width}}  {'; '.join(_changes(before, after))}"
        for number, ((_, before), (action, after)) in enumerate(pairwise(run), 1)
    ]
    return [*lines, f"     {end}"]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for who, names in _PER_ONE.items():
        if before.keys() >= {*names}:
            yield from _changes_of(who, names, before, after)
    for name in _ALONE:
        if name in before and before[name] != after[name]:
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
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
