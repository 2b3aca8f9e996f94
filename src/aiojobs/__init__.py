"""Background jobs for asyncio, whose promises are specified, enforced and checked by machines.

A `Scheduler` runs coroutines as jobs: up to a limit at once, more in a bounded queue, and then callers wait. It keeps
their results, finds a receiver for every exception, and stops all of them in bounded time.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from ._events import ExceptionContext, Observer, Record
from ._exceptions import JobClosed, PendingQueueFull
from ._job import Job
from ._job_state import IllegalTransition
from ._lifecycle import Event, Outcome, Phase, PhaseEvent, State
from ._scheduler import ExceptionHandler, Scheduler
from ._shutdown_report import ShutdownReport, Tally

if TYPE_CHECKING:
    from ._snapshot import BlockedSpawn, JobSnapshot, Location, Snapshot, TaskSnapshot, Wait

__version__ = "2.0.0"

_CORE = (
    *("_admission", "_bound_loop", "_core", "_following", "_job_state", "_launching"),
    *("_ownership", "_parts", "_probe", "_queue", "_run"),
)
"""The modules that can be compiled: those with declarations beside them."""


def _which_build() -> str:
    """What was really imported. Half of a core is none: its modules rely on each other's layout."""
    files = [str(sys.modules[f"{__name__}.{name}"].__file__) for name in _CORE]
    plain = [file for file in files if not file.endswith((".so", ".pyd"))]
    if plain and len(plain) < len(files):
        raise ImportError(
            f"aiojobs is compiled in parts, install it again: not compiled are {', '.join(plain)}"
        )
    return "pure" if plain else "compiled"


__build__: str = _which_build()
"""Which build of the library this is: "pure", or "compiled"."""

__all__ = (
    "BlockedSpawn",
    "Event",
    "ExceptionContext",
    "ExceptionHandler",
    "IllegalTransition",
    "Job",
    "JobClosed",
    "JobSnapshot",
    "Location",
    "Observer",
    "Outcome",
    "PendingQueueFull",
    "Phase",
    "PhaseEvent",
    "Record",
    "Scheduler",
    "ShutdownReport",
    "Snapshot",
    "State",
    "Tally",
    "TaskSnapshot",
    "Wait",
    "create_scheduler",
)


async def create_scheduler(
    *,
    close_timeout: float | None = 0.1,
    limit: int | None = 100,
    pending_limit: int = 10000,
    exception_handler: ExceptionHandler | None = None,
) -> Scheduler:
    """Create a scheduler; deprecated, as in aiojobs 1.4: call `Scheduler` instead."""
    warnings.warn(
        "create_scheduler() is deprecated: call Scheduler() directly", DeprecationWarning, stacklevel=2
    )
    return Scheduler(
        close_timeout=close_timeout,
        limit=limit,
        pending_limit=pending_limit,
        exception_handler=exception_handler,
    )


# A type checker that saw it would take every name for one of the package.
if not TYPE_CHECKING:  # pragma: no branch

    def __getattr__(name: str) -> object:
        """What pictures are made of: most programs take none, so it is imported when it is asked for."""
        if name in ("BlockedSpawn", "JobSnapshot", "Location", "Snapshot", "TaskSnapshot", "Wait"):
            from . import _snapshot  # noqa: PLC0415

            return getattr(_snapshot, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
