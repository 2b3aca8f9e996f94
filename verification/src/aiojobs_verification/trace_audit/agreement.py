"""Whether the monitor and the second opinion agree about every trace of a few jobs, whatever is in it.

How it works: from the beginning, every line that can be written with so many jobs and names of calls is tried
after every sequence of lines that both accept. Two sequences that leave both in the same situation are
followed once, so the search ends; there is no bound on the length of a trace. Time stands still.

Deliberately not here: wrong keys, wrong types, wrong times. Corrupted copies (`judgement`) have those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiojobs.tracing import BrokenTraceError, Header
from aiojobs_verification.trace_audit.monitor import Monitor
from aiojobs_verification.trace_audit.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from aiojobs_verification.specification.load import Spec

__all__ = ["SCOPES", "Agreement", "Scope", "agreement"]

Line = dict[str, Any]


class Scope(NamedTuple):
    """How much there is in the traces that are tried."""

    limit: int | None
    pending_limit: int
    jobs: int
    names: tuple[str, ...] = ()
    """Of calls; none if calls are not announced."""


SCOPES: Final[Mapping[bool, tuple[Scope, ...]]] = {
    False: (
        Scope(1, 1, 3),
        Scope(1, 0, 3),
        Scope(2, 1, 3),
        Scope(None, 0, 3),
        Scope(1, 2, 4),
        Scope(1, 1, 2, ("a", "b")),
    ),
    True: (Scope(1, 1, 3, ("a", "b", "c")), Scope(1, 2, 4, ("a", "b"))),
}
"""What is searched in both tiers, and what in the full one as well."""


class Agreement(NamedTuple):
    """What the search came by."""

    situations: int
    tried: int
    """Lines that were tried, in all situations."""
    disagreement: str = ""
    """The first line about which the two differ, with the lines before it; empty if there is none."""


def agreement(spec: Spec, scope: Scope) -> Agreement:
    """Try every line after everything that both accept."""
    header = Header(scope.limit, scope.pending_limit, calls=bool(scope.names), spec="")
    letters = [*_letters(spec, scope)]
    begin = (Monitor(spec, header), Rehearsal(header), ())
    seen: set[Hashable] = {_situation(*begin[:2])}
    todo: list[tuple[Monitor, Rehearsal, tuple[Line, ...]]] = [begin]
    tried = 0
    while todo:
        monitor, rehearsal, lines = todo.pop()
        end = {"end": monitor.lines, "jobs": [*monitor.roster.live], "calls": monitor.callers.unanswered}
        for line in (*letters, end):
            tried += 1
            after, fault = _fed(monitor, line)
            now = rehearsal.then(line)
            if (not fault) is not now.possible:
                story = " ".join(map(str, (*lines, line)))
                return Agreement(len(seen), tried, f"monitor: {fault or 'accepted'}, after {story}")
            situation = _situation(after, now)
            if not fault and line is not end and situation not in seen:
                seen.add(situation)
                todo.append((after, now, (*lines, line)))
    return Agreement(len(seen), tried)


def _fed(monitor: Monitor, line: Line) -> tuple[Monitor, str]:
    twin = monitor.fork()
    try:
        twin.feed(line)
    except BrokenTraceError as broken:
        return twin, str(broken)
    return twin, ""


def _situation(monitor: Monitor, rehearsal: Rehearsal) -> Hashable:
    return monitor.situation(), rehearsal.scenes


def _letters(spec: Spec, scope: Scope) -> Iterator[Line]:
    machine = spec.job.machine
    for job in range(1, scope.jobs + 1):
        new = {"job": job, "event": "accept", "source": None, "dest": machine.initial, "time": 0}
        yield from ({**new, "name": name} for name in scope.names) if scope.names else [new]
        yield from _moves(job, machine.moves())
    yield from _moves(None, spec.scheduler.phase.moves())
    for name in scope.names:
        yield {"call": name, "event": "call", "time": 0}
        yield {"call": name, "event": "return", "time": 0}
        for error in ("CancelledError", "PendingQueueFull", "RuntimeError"):
            yield {"call": name, "event": "raise", "error": error, "time": 0}


def _moves(job: int | None, moves: tuple[tuple[str, str, str], ...]) -> Iterator[Line]:
    for source, event, dest in moves:
        yield {"job": job, "event": event, "source": source, "dest": dest, "time": 0}
