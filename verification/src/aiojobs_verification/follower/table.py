"""The actions under given limits, compiled from the specification once.

How it works: guard and effects of an action are written down as one Python expression, from the same trees as those
of `interpret`, which is asked for everything that is not asked at every record. An action of the specification is
atomic, and an observer hears of it in several records; the ledger entries of the action say in which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.expressions import PYTHON, Node, written
from aiojobs_verification.specification.interpret import Interpreter, parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiojobs_verification.specification.job import JobSpec
    from aiojobs_verification.specification.scheduler import SchedulerSpec

__all__ = ["ActionTable"]

_LEADING: Final = {
    "accepted": ("spawn_start", "spawn_queue"),
    "ended": ("end_active_idle", "end_active_next", "end_active_refill"),
    "stopped": ("end_closing_idle", "end_closing_next", "end_closing_refill"),
    "asked": ("close_active",),
    "dropped": ("close_pending", "close_pending_refill"),
}
"""The actions whose first record is counted in that column of the ledger. None begins with a start."""


class ActionTable:
    """The actions of a scheduler with these limits; immutable, so that many followers share one."""

    def __init__(self, job: JobSpec, scheduler: SchedulerSpec, limit: int | None, pending_limit: int) -> None:
        self.job = job
        self.scheduler = scheduler
        self.limit = limit
        self.pending_limit = pending_limit
        self.interpreter = Interpreter(scheduler, parameters(limit, pending_limit))
        self.steps = {name: _step(scheduler, name, self.interpreter.values) for name in scheduler.actions}
        """For each action a function of the counters, and of what it chooses if it chooses: what they are after it,
        or None if it can't happen.
        """
        self.owed = _debts(scheduler)
        """For each action the columns of the records that must follow its first one at once."""
        self.leading = {
            column: tuple((name, self.steps[name]) for name in names) for column, names in _LEADING.items()
        }
        """For each column of the ledger the actions that a record counted in it can begin."""
        self.cells = {
            (cell.state, cell.event): (name, str(job.machine.cells[cell.state][cell.event]))
            for name, column in scheduler.ledger.items()
            for cell in column.cells
        }
        """For each cell of the job's table that changes a state the column it is counted in, and the state after."""
        self.phases = {(source, event): dest for source, event, dest in scheduler.phase.moves()}
        self.phase_actions = {
            action.phase_event: name for name, action in scheduler.actions.items() if action.phase_event
        }


def _step(
    spec: SchedulerSpec, action: str, values: Mapping[str, int | bool]
) -> Callable[..., tuple[Any, ...] | None]:
    def text(node: Node) -> str:
        return written(node, PYTHON, spec.abbreviations)

    kept = {name: Node("name", counter.sort, name) for name, counter in spec.counters.items()}
    effect = {**kept, **spec.actions[action].effect}
    after = ", ".join(text(effect[name]) for name in spec.counters)
    given = [*spec.counters, *filter(None, [spec.actions[action].choice])]
    source = f"lambda {', '.join(given)}: ({after}) if {text(spec.actions[action].guard)} else None"
    function: Callable[..., tuple[Any, ...] | None] = eval(source, {**values, "__builtins__": {}})  # noqa: S307
    return function


def _debts(spec: SchedulerSpec) -> dict[str, tuple[str, ...]]:
    """A job that is new to the queue comes last, unless the action began with it."""
    told = [name for name, column in spec.ledger.items() if column.cells]
    told += [name for name, column in spec.ledger.items() if column.births]
    debts: dict[str, tuple[str, ...]] = {}
    for leading, names in _LEADING.items():
        for name in names:
            action = spec.actions.get(name)
            if action is None or leading not in action.ledger:
                fault = f"the follower needs this action, with an entry for {leading}"
                raise SpecError(fault, file="scheduler.toml", table=f"action.{name}")
            debts[name] = tuple(column for column in told if column in action.ledger and column != leading)
    return debts
