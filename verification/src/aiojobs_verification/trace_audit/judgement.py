"""Whether the monitor judges rightly: it and a second opinion look at corrupted copies of a trace.

A monitor that is too lenient accepts a copy that no run explains; one that is too strict refuses a copy that
some run does explain. Both are disagreements, and there must be none.

Deliberately not here: the copies (`corrupt`), the two opinions (`monitor`, `rehearsal`).
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from aiojobs.tracing import BrokenTraceError
from aiojobs_verification.trace_audit.corrupt import corrupted, headers
from aiojobs_verification.trace_audit.monitor import Monitor
from aiojobs_verification.trace_audit.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aiojobs.tracing import Header
    from aiojobs_verification.specification.load import Spec

__all__ = ["SEED", "Judgement", "judge"]

SEED: Final = 1
"""Of the choice of places, when not every copy is judged."""

_OFTEN: Final = 2000
"""After so many copies progress is told."""


@dataclass
class Judgement:
    """What became of the corrupted copies of one trace, or of several."""

    copies: Counter[str] = field(default_factory=Counter)
    """How many of each kind."""
    legal: Counter[str] = field(default_factory=Counter)
    """How many of each kind are legal, in both opinions."""
    refused_for: Counter[str] = field(default_factory=Counter)
    """How many were refused on account of each requirement."""
    disagreements: list[str] = field(default_factory=list)
    """Copies about which the monitor and the second opinion differ."""

    def add(self, other: Judgement) -> None:
        """Count another one in."""
        self.copies += other.copies
        self.legal += other.legal
        self.refused_for += other.refused_for
        self.disagreements += other.disagreements

    def figures(self, of: str) -> dict[str, int]:
        """What was counted."""
        return {
            f"corrupted copies of {of}": self.copies.total(),
            f"disagreements about {of}": len(self.disagreements),
        }


def judge(
    header: Header,
    lines: Sequence[Mapping[str, Any]],
    spec: Spec,
    *,
    at_most: int | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Judgement:
    """Have every corrupted copy judged by both, or `at_most` so many from places all over the trace."""
    monitors, rehearsals = [Monitor(spec, header)], [Rehearsal(header)]
    for line in lines:
        monitors.append(monitors[-1].fork())
        monitors[-1].feed(line)
        rehearsals.append(rehearsals[-1].then(line))
    places = range(len(lines)) if at_most is None else _places(len(lines))
    found = Judgement()
    for number, copy in enumerate(islice(corrupted(lines, spec, places), at_most)):
        rest = copy.lines[copy.at :]
        story = f"{copy.kind}, line {copy.at + 2}"
        broken = _refusal(monitors[copy.at].fork(), rest)
        _compare(found, copy.kind, story, broken, legal=rehearsals[copy.at].explains(rest))
        if number % _OFTEN == _OFTEN - 1:
            say(f"{number + 1} corrupted copies judged")
    for kind, other in headers(header):
        broken = _refusal(Monitor(spec, other), lines)
        _compare(found, "another scheduler", kind, broken, legal=Rehearsal(other).explains(lines))
    return found


def _places(count: int) -> list[int]:
    places = list(range(count))
    random.Random(SEED).shuffle(places)  # noqa: S311 - the same places every time
    return places


def _compare(
    found: Judgement, kind: str, story: str, broken: BrokenTraceError | None, *, legal: bool
) -> None:
    found.copies[kind] += 1
    if legal and broken is None:
        found.legal[kind] += 1
    elif legal:
        found.disagreements.append(f"{story}: refused ({broken}), but a run explains it")
    elif broken is None:
        found.disagreements.append(f"{story}: accepted, but no run explains it")
    else:
        for requirement in broken.requirements:
            found.refused_for[requirement] += 1


def _refusal(monitor: Monitor, lines: Iterable[Mapping[str, Any]]) -> BrokenTraceError | None:
    try:
        for line in lines:
            monitor.feed(line)
        monitor.finish()
    except BrokenTraceError as broken:
        return broken
    return None
