"""The contenders, by name. A module is imported only in the process that measures it.

`PEERS` are those that are installed in the benchmark's environment alone (`requirements/bench.lock`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, NamedTuple

from .base import Contender, Method

__all__ = ["BARE", "BASELINE", "KINDS", "OWN", "PEERS", "Contender", "Kind", "Method", "make"]

OWN: Final = "aiojobs"
BASELINE: Final = "aiojobs 1.4.0"
BARE: Final = "create_task"


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
    "chained tasks": Kind("bare", "Chained", only="slot latency"),
    "TaskGroup": Kind("groups", "Group"),
    "TaskGroup + Semaphore": Kind("groups", "LimitedGroup"),
    "anyio + CapacityLimiter": Kind("anyio_group", "AnyioGroup"),
    "aiometer": Kind("aiometer_pool", "AiometerPool"),
    "aiostream": Kind("streams", "Aiostream"),
}
PEERS: Final = (BASELINE, "anyio + CapacityLimiter", "aiometer", "aiostream")


def make(kind: str) -> Contender:
    """The contender of that name, its library imported."""
    found = KINDS[kind]
    made = getattr(import_module(f".{found.module}", __name__), found.cls)()
    assert isinstance(made, Contender)
    return made
