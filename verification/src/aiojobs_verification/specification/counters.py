"""The content of `scheduler.toml`: parameters, counters, actions, and statements about them.

Rules of this file: it is data. A `SchedulerSpec` is valid by construction, because only `scheduler` makes
one from a file; who changes one (`mutate`) keeps its expressions well-sorted.

Deliberately not here: reading (`scheduler`), running (`interpret`) and proving (`prove`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from aiojobs_verification.specification.expressions import Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiojobs_verification.specification.expressions import Sort
    from aiojobs_verification.specification.machine import Machine

__all__ = [
    "Action",
    "Cell",
    "Choice",
    "Column",
    "Counter",
    "Definition",
    "Enabled",
    "Liveness",
    "Parameter",
    "Rule",
    "SchedulerSpec",
]


class Cell(NamedTuple):
    """A cell of the job's table."""

    state: str
    event: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a scheduler is created with; `domain` is what may be assumed of it."""

    meaning: str
    sort: Sort
    domain: Node | None


@dataclass(frozen=True, slots=True)
class Choice:
    """A number that the caller of an action chooses; `domain` is what may be chosen at all."""

    meaning: str
    domain: Node


@dataclass(frozen=True, slots=True)
class Counter:
    """A part of the scheduler's state; `counts` is the state of the jobs it counts, if it counts jobs."""

    meaning: str
    sort: Sort
    initial: Node
    """Over the parameters."""
    counts: str | None


@dataclass(frozen=True, slots=True)
class Definition:
    """An abbreviation."""

    meaning: str
    value: Node


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the ledger: the cells of the job's table that it counts, or that it counts new jobs."""

    meaning: str
    cells: tuple[Cell, ...]
    births: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that always holds: an invariant, a balance, a rule for single steps."""

    meaning: str
    requirements: tuple[str, ...]
    when: Node | None
    holds: Node
    actions: tuple[str, ...] = ()
    """For a rule for single steps: the actions it is about. For `stuck`: those that it is not about."""

    @property
    def whole(self) -> Node:
        """The rule as one expression: `holds`, or not `when`."""
        if self.when is None:
            return self.holds
        return Node("or", "bool", parts=(Node("not", "bool", parts=(self.when,)), self.holds))


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can happen: when, what it changes, and what it does to single jobs and calls."""

    meaning: str
    choice: str | None
    """The number that is chosen when it happens, if one is."""
    guard: Node
    effect: Mapping[str, Node]
    ledger: Mapping[str, Node]
    phase_event: str | None


@dataclass(frozen=True, slots=True)
class Enabled:
    """Of these actions one can happen if `when` holds (`exactly_one`, or at least one), and none
    otherwise.
    """

    meaning: str
    requirements: tuple[str, ...]
    actions: tuple[str, ...]
    exactly_one: bool
    when: Node


@dataclass(frozen=True, slots=True)
class Liveness:
    """Something that must happen in the end, and the rank by which that is proved."""

    meaning: str
    requirements: tuple[str, ...]
    assumes: tuple[str, ...]
    given: Node
    goal: Node
    rank: Node
    helpful: tuple[str, ...]
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SchedulerSpec:
    """The validated content of `scheduler.toml`."""

    phase: Machine
    job_initial: str
    """The state of every new job."""
    job_moves: Mapping[Cell, str]
    """The cells of the job's table that change a state, and where they lead."""
    parameters: Mapping[str, Parameter]
    choices: Mapping[str, Choice]
    counters: Mapping[str, Counter]
    definitions: Mapping[str, Definition]
    ledger: Mapping[str, Column]
    balances: Mapping[str, Rule]
    actions: Mapping[str, Action]
    invariants: Mapping[str, Rule]
    steps: Mapping[str, Rule]
    enabled: Mapping[str, Enabled]
    stuck: Rule
    """When nothing can happen any more, but the actions that it names."""
    liveness: Mapping[str, Liveness]

    @property
    def abbreviations(self) -> dict[str, Node]:
        """What each abbreviation stands for."""
        return {name: definition.value for name, definition in self.definitions.items()}

    def links(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Every statement that speaks for requirements: its table, its name, and their ids."""
        groups: dict[str, Mapping[str, Rule] | Mapping[str, Enabled] | Mapping[str, Liveness]] = {
            "balance": self.balances,
            "invariant": self.invariants,
            "step": self.steps,
            "enabled": self.enabled,
            "liveness": self.liveness,
        }
        for table, statements in groups.items():
            for name, statement in statements.items():
                yield table, name, statement.requirements
        yield "stuck", "", self.stuck.requirements
