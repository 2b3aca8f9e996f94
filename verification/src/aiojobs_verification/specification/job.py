"""The job's part of the specification: `job.toml`.

Beyond the machine itself the file says what a user sees of a job in each state, and how a job can have ended.

Rules of this file: each state says every visible property; each way into a final state has an outcome; an
outcome comes about by transitions that exist and lead into a final state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiojobs_verification.specification.machine import Machine, read_machine
from aiojobs_verification.specification.tables import Table, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["PROPERTIES", "JobSpec", "Outcome", "read_job"]

PROPERTIES = ("pending", "active", "closed", "done", "holds_slot")
"""What can be seen of a job: its three attributes, its method `done()`, and whether it counts against the
limit."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way in which a job can have ended: by `event`, in one of the states `sources`."""

    meaning: str
    event: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """The validated content of `job.toml`."""

    machine: Machine
    properties: Mapping[str, frozenset[str]]
    """Each visible property and the states in which it holds."""
    outcomes: Mapping[str, Outcome]


def read_job(path: Path) -> JobSpec:
    """Read and validate `job.toml`."""
    file = read_toml(path)
    machine = read_machine(file)
    seen = {state: _read_properties(entry) for state, entry in file.tables("state")}
    properties = {name: frozenset(s for s in seen if name in seen[s]) for name in PROPERTIES}
    outcomes = {name: _read_outcome(entry, machine) for name, entry in file.tables("outcome")}
    _check_outcomes(file.table("outcome"), machine, outcomes)
    file.end()
    return JobSpec(machine, properties, outcomes)


def _read_properties(entry: Table) -> frozenset[str]:
    entry.text("meaning")
    held = frozenset(name for name in PROPERTIES if entry.flag(name))
    entry.end()
    return held


def _read_outcome(entry: Table, machine: Machine) -> Outcome:
    event = entry.one_of("event", machine.events, "event")
    sources = entry.texts("from")
    for state in sources:
        entry.known(state, machine.states, "state", "from")
        dest = machine.cells[state][event]
        if dest not in machine.final or dest == state:
            entry.fault(f"in state '{state}' the event '{event}' does not end the job", "from")
    outcome = Outcome(entry.text("meaning"), event, sources)
    entry.end()
    return outcome


def _check_outcomes(table: Table, machine: Machine, outcomes: Mapping[str, Outcome]) -> None:
    for state, event, dest in machine.moves():
        ended = any(o.event == event and state in o.sources for o in outcomes.values())
        if dest in machine.final and not ended:
            table.fault(f"the end of a job by '{event}' in state '{state}' has no outcome")
