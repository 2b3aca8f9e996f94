"""The contenders, by name. A module is imported only in the process that measures it.

`PEERS` are those that are installed in the benchmark's environment alone (`requirements/bench.lock`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, NamedTuple

from .base import Contender, Method

__all__ = [
    "BARE",
    "BASELINE",
    "BUILDS",
    "CHAIN",
    "COMPILED",
    "KINDS",
    "LABELS",
    "OWN",
    "PEERS",
    "PLAIN",
    "PURE",
    "Contender",
    "Kind",
    "Method",
    "make",
]

OWN: Final = "aiojobs"
BASELINE: Final = "aiojobs 1.4.0"
BARE: Final = "create_task"
COMPILED: Final = "aiojobs, compiled"
PURE: Final = "aiojobs, pure"
BUILDS: Final = {"compiled": COMPILED, "pure": PURE}
"""The builds of this package, which are contestants of one kind."""
CHAIN: Final = "chained tasks"
PLAIN: Final = (BARE, CHAIN)
"""Plain asyncio without a limit, a queue or a shutdown: a floor, and nobody's alternative."""


class Kind(NamedTuple):
    """Where a contender is written down."""

    module: str
    cls: str
    only: str = ""
    """The one workload that it is there for; empty for all."""


KINDS: Final = {
    OWN: Kind("jobs", "Jobs"),
    BASELINE: Kind("jobs", "Jobs"),
    BARE: Kind("bare", "Bare"),
    CHAIN: Kind("bare", "Chained", only="slot latency"),
    "TaskGroup": Kind("groups", "Group"),
    "TaskGroup + Semaphore": Kind("groups", "LimitedGroup"),
    "anyio + CapacityLimiter": Kind("anyio_group", "AnyioGroup"),
    "aiometer": Kind("aiometer_pool", "AiometerPool"),
    "aiostream": Kind("streams", "Aiostream"),
}
LABELS: Final = (*BUILDS.values(), *KINDS)
"""Whatever takes part in a run, in the order of the tables."""
PEERS: Final = (BASELINE, "anyio + CapacityLimiter", "aiometer", "aiostream")


def make(kind: str) -> Contender:
    """The contender of that name, its library imported."""
    found = KINDS[kind]
    made = getattr(import_module(f".{found.module}", __name__), found.cls)()
    assert isinstance(made, Contender)
    return made
