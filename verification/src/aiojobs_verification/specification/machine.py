"""A machine: states, events, and a total table.

The job's lifecycle and the scheduler's phases are machines of the same kind and are read by the same code.

Rules of this file. The table is *total*: each pair of a state and an event is a transition, a declared
no-op, or declared illegal, exactly once. One state is initial, each can be reached, a final one is never
left and one that is never left is final. Whatever breaks a rule is a `SpecError`.

How it works: the part named `machine` holds exactly the arguments of `transitions.Machine(model=None,
**machine)`; `illegal` fills the remaining cells; `state` and `event` say what the words mean. `transitions`
itself accepts an unknown state in silence, so nothing is left for it to find.

Deliberately not here: firing an event. The library does that with the generated table, the tests with
`oracle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiojobs_verification.specification.tables import Table

__all__ = ["NOOP", "Machine", "read_machine"]

NOOP = "="
"""How a transition says that it changes nothing; `transitions` calls it reflexive."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A validated machine. `cells[state][event]` is the next state, or None where the event is illegal."""

    initial: str
    states: Mapping[str, str]
    """Each state and what it means, in the order of the file."""
    events: Mapping[str, str]
    """Each event and what it means, in the order of the file."""
    final: frozenset[str]
    cells: Mapping[str, Mapping[str, str | None]]
    arguments: Mapping[str, Any]
    """What `transitions.Machine` is given, as it stands in the file."""

    def moves(self) -> tuple[tuple[str, str, str], ...]:
        """Every transition that changes the state: source, event, destination."""
        return tuple(
            (state, event, dest)
            for state, row in self.cells.items()
            for event, dest in row.items()
            if dest is not None and dest != state
        )


def read_machine(part: Table) -> Machine:
    """Read the tables `machine`, `illegal`, `event` of `part`, and the meanings in `state`."""
    table = part.table("machine")
    states, final = _read_states(table)
    initial = table.raw("initial")
    if not isinstance(initial, str):
        table.fault(f"there must be exactly one initial state, not {initial!r}", "initial")
    table.known(initial, states, "state", "initial")
    if table.flag("auto_transitions"):
        table.fault("must be false: every transition is written down", "auto_transitions")
    events = {name: _read_event(entry) for name, entry in part.tables("event")}
    cells = _read_cells(table, part.table("illegal"), states, final, list(events))
    table.end()
    _check_paths(table, initial, final, cells)
    group = part.table("state")
    meanings = {name: group.table(name).text("meaning") for name in states}
    for name in group.names():
        group.known(name, states, "state", name)
    arguments = {key: table.raw(key) for key in table.names()}
    return Machine(initial, meanings, events, frozenset(final), cells, arguments)


def _read_event(entry: Table) -> str:
    meaning = entry.text("meaning")
    entry.end()
    return meaning


def _read_states(table: Table) -> tuple[list[str], list[str]]:
    states: list[str] = []
    final: list[str] = []
    for entry in table.array("states"):
        name = entry.text("name")
        if name in states:
            table.fault(f"state '{name}' is declared twice", "states")
        states.append(name)
        if entry.flag("final", default=False):
            final.append(name)
        if "initial" in entry:
            entry.fault("the initial state is named once, by `initial` of the machine", "initial")
        entry.end()
    return states, final


def _read_cells(
    table: Table, illegal: Table, states: list[str], final: list[str], events: list[str]
) -> dict[str, dict[str, str | None]]:
    found: dict[tuple[str, str], str | None] = {}
    for entry in table.array("transitions"):
        event = entry.one_of("trigger", events, "event")
        source = entry.one_of("source", states, "state")
        dest = entry.one_of("dest", [*states, NOOP], "state")
        entry.end()
        if (source, event) in found:
            entry.fault(f"the cell of state '{source}' and event '{event}' is declared twice", "source")
        if dest == source:
            entry.fault(f"a no-op is written {NOOP!r}", "dest")
        if source in final and dest != NOOP:
            entry.fault(f"'{source}' is final and must not be left", "source")
        found[source, event] = source if dest == NOOP else dest
    for state, event in _read_illegal(illegal, states, events):
        if (state, event) in found:
            illegal.fault(f"the cell of state '{state}' and event '{event}' is declared twice", state)
        found[state, event] = None
    for state in states:
        for event in events:
            if (state, event) not in found:
                illegal.fault(f"the cell of state '{state}' and event '{event}' is missing", state)
    return {state: {event: found[state, event] for event in events} for state in states}


def _read_illegal(illegal: Table, states: list[str], events: list[str]) -> list[tuple[str, str]]:
    cells: list[tuple[str, str]] = []
    for state in illegal.names():
        illegal.known(state, states, "state", state)
        for event in illegal.texts(state):
            illegal.known(event, events, "event", state)
            cells.append((state, event))
    return cells


def _check_paths(
    table: Table, initial: str, final: list[str], cells: Mapping[str, Mapping[str, str | None]]
) -> None:
    reached = {initial}
    frontier = [initial]
    while frontier:
        for dest in cells[frontier.pop()].values():
            if dest is not None and dest not in reached:
                reached.add(dest)
                frontier.append(dest)
    for state, row in cells.items():
        if state not in reached:
            table.fault(f"state '{state}' can't be reached from '{initial}'", "states")
        if state not in final and set(row.values()) <= {None, state}:
            table.fault(f"state '{state}' is never left, so it must be final", "states")
