"""The graph of the model for each scope of the exploration, and the steps of it that the code never takes.

Rules of this file: both ways. That each step of the code is one of the model is seen in each scope; that each kind
of step of the model is taken by the code is asked of a whole tier. What the code never does is declared in
`spec/tla/refinement.toml`, with the reason. What is neither taken nor declared is a failure, and so is what is
declared and taken.

Deliberately not here: the comparison (`simulation.oracle.refinement`), and the model itself (`check`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiojobs_verification.model_checking import tlc
from aiojobs_verification.model_checking.constants import Constants
from aiojobs_verification.model_checking.dumped import DumpedGraph, dumped
from aiojobs_verification.model_checking.manifest import FOLDER
from aiojobs_verification.simulation.oracle.refinement import Model
from aiojobs_verification.simulation.world.scope import JOB_CALLS, PLAIN
from aiojobs_verification.specification.locate import find_repository, find_spec
from aiojobs_verification.specification.tables import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aiojobs_verification.simulation.search.scopes import Case
    from aiojobs_verification.simulation.world.scope import Scope

__all__ = ["Never", "constants", "differences", "graph_of", "kinds", "model_of", "models", "read_never"]

DECLARED: Final = "refinement.toml"

_ENDS: Final = {
    "return": "returned",
    "raise": "raised",
    "base": "raised",
    "exit": "raised",
    "quit": "cancelled",
    "instant": "returned",
    "failing": "raised",
    "obedient": "cancelled",
    "tidy": "cancelled",
}
"""To what a coroutine comes that is told so, or is of this temper."""


def is_modelled(scope: Scope) -> bool:
    """Whether the model speaks of such a world: it knows no strangers."""
    return all(set(kinds) <= PLAIN for kinds in scope.surroundings().values())


def constants(scope: Scope) -> Constants:
    """The smallest constants of the model that have room for a scope."""
    ends = {_ENDS[kind] for kind in (*scope.ends, *scope.tempers) if kind in _ENDS}
    return Constants(
        jobs=max(scope.jobs, 1),
        callers=scope.callers if set(scope.calls) & set(JOB_CALLS) else 0,
        limit=scope.limit,
        pending_limit=scope.pending_limit,
        # At the end of a world whatever still runs is told to return, and a sweep cancels whatever runs.
        ends=tuple(sorted(ends | {"returned"} | ({"cancelled"} if scope.sweeps else set()))),
        limits=_limits(scope),
        timed=any(terms.startswith("timed") for terms in scope.terms),
    )


def _limits(scope: Scope) -> tuple[int, ...]:
    """What the limit can be set to there, as the model says it."""
    given = {0 if limit == "none" else int(limit) for limit in scope.limits}
    return tuple(sorted(given)) if scope.resizes else ()


def models(cases: Iterable[Case]) -> dict[str, Constants]:
    """For each case that is modelled the constants of a graph that has room for it: as few as will do."""
    wanted = {case.name: constants(case.scope) for case in cases if is_modelled(case.scope)}
    largest: list[Constants] = []
    for one in sorted(set(wanted.values()), key=_size, reverse=True):
        if not any(other.covers(one) for other in largest):
            largest.append(one)
    return {name: next(other for other in largest if other.covers(one)) for name, one in wanted.items()}


def _size(one: Constants) -> tuple[int, ...]:
    return one.jobs, one.callers, len(one.ends), len(one.limits), one.timed


@cache
def graph_of(one: Constants) -> DumpedGraph:
    """The graph of the model for these constants; TLC dumps it if nobody has.

    Raises:
        TlcError: there is no TLC.
    """
    toolbox = tlc.find()
    if isinstance(toolbox, tlc.Missing):
        raise tlc.TlcError(toolbox.reason)
    root = find_repository() or Path.cwd()
    return dumped(one, find_spec() / FOLDER, toolbox, root / "build" / "graphs")


def model_of(scope: Scope, one: Constants) -> Model:
    """What the worlds of a scope are held against."""
    return Model(graph_of(one), eager=scope.eager)


# Both ways.


@dataclass(frozen=True, slots=True)
class Never:
    """A kind of step of the model that the code never takes, and why."""

    step: str
    reason: str
    tier: str
    """The tier up to which that is so."""


def read_never(path: Path | None = None) -> tuple[Never, ...]:
    """What is declared."""
    file = read_toml(path or find_spec() / FOLDER / DECLARED)
    found: list[Never] = []
    for entry in file.array("never"):
        tier = entry.one_of("tier", ("smoke", "full"), "tier")
        found.append(Never(entry.text("step"), entry.text("reason"), tier))
        entry.end()
    file.end()
    return tuple(found)


def kinds(graph: DumpedGraph) -> set[str]:
    """Every kind of step in a graph."""
    model = Model(graph)
    return {step.kind for number in graph.numbers() for step, _ in model.steps(number)}


def differences(taken: set[str], possible: set[str], never: Sequence[Never], tier: str) -> Iterator[str]:
    """What the code never does and nobody declares, and the other way round."""
    declared = {one.step for one in never if one.tier == "full" or tier == "smoke"}
    for step in sorted(possible - taken - declared):
        yield f"the model has the step '{step}', and the code never takes it"
    for step in sorted(taken & declared):
        yield f"{DECLARED} says that the code never takes the step '{step}', and it does"
    if tier == "full":
        for step in sorted(declared - possible):
            yield f"{DECLARED} speaks of a step '{step}', which the model does not have"
