"""One process of the benchmark: one contender, one workload, one size.

    python -m benchmarks.worker '{"contender": …, "workload": …, "size": …, "seconds": …, "loop": …}'

Rules of this file: it prints one line of JSON, the best of its repeats, and nothing else. First comes a small
counted run, which checks the contender and warms it up; what it finds wrong is told, not hidden. Before each
repeat the garbage is collected; while it runs the collector is on, as it is for users, unless the order says
otherwise: that is for finding out what the collector costs.

What is best: the repeat with the least CPU time. Noise only ever adds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import Any, NamedTuple

from .contenders import Method, make
from .contenders.stage import Bodies, Counted, Scale, Stage, Stopwatch
from .workloads import WORKLOADS, Workload

__all__ = ["check", "main", "run_once"]

_FEW = 60
"""Jobs in the counted run."""
_LEAST, _MOST = 2, 15
"""Repeats: the first one alone pays for memory that the process did not have before."""
_LONG = 1.0
"""Seconds after which one repeat is enough."""


class Order(NamedTuple):
    """What a worker is asked for."""

    contender: str
    workload: str
    size: int
    seconds: float = 0.3
    """How long to go on repeating, once there are enough."""
    loop: str = "asyncio"
    collector: bool = True
    """Whether Python's garbage collector runs meanwhile."""


def main(argv: list[str]) -> None:
    """Do what the order says, and print what was measured."""
    order = Order(**json.loads(argv[0]))
    if not order.collector:
        gc.disable()
    workload = WORKLOADS[order.workload]
    contender = make(order.contender)
    found: dict[str, Any] = {"version": contender.version(), "where": contender.where()}
    method = contender.find(workload.method)
    if isinstance(method, str):
        found["cannot"] = method
    else:
        found |= {"wrong": check(method, workload, order.loop), **_best(method, workload, order)}
    print(json.dumps(found))


def check(method: Method, workload: Workload, loop: str = "asyncio") -> str:
    """Run a few counted jobs; what was wrong with their number, or nothing."""
    counted = Counted()
    stage = _stage(workload, min(_FEW, workload.goal_size), counted)
    complaints = run_once(method, stage, loop)
    expected = {"all": stage.n, "none": 0}.get(workload.counts)
    if workload.method == "spawn_and_fail" and stage.failures != stage.n:
        return f"{stage.failures} of {stage.n} failures were reported"
    if expected is not None and (counted.started, counted.ended) != (expected, expected):
        return f"{counted.started} jobs started and {counted.ended} ended, expected {expected}"
    return "; ".join(f"the loop complains: {text}" for text in dict.fromkeys(complaints))


def _best(method: Method, workload: Workload, order: Order) -> dict[str, float | int]:
    """Repeat for as long as allowed; the best reading of one job, and how many false reports there were."""
    readings: list[dict[str, float | int]] = []
    until = time.monotonic() + order.seconds
    while len(readings) < _LEAST or (time.monotonic() < until and len(readings) < _MOST):
        stage = _stage(workload, order.size, Bodies())
        gc.collect()
        began = time.monotonic()
        run_once(method, stage, order.loop)
        took = time.monotonic() - began
        jobs = stage.one_by_one if workload.some else stage.n
        reading = {name: value / jobs for name, value in stage.measured.reading().items()}
        readings.append({**reading, "late": stage.late, "seconds": took})
        if workload.unit == "bytes" or took > _LONG:
            break
    best = min(readings, key=lambda reading: reading.get("cpu", 0.0))
    return {**best, "late": max(reading["late"] for reading in readings), "repeats": len(readings)}


def _stage(workload: Workload, size: int, bodies: Bodies) -> Stage:
    meter = Scale() if workload.unit == "bytes" else Stopwatch()
    return Stage(size, workload.limit, workload.variant, bodies, meter)


def run_once(method: Method, stage: Stage, loop: str = "asyncio") -> list[str]:
    """Run a method on a loop of its own; what that loop complained of."""
    complaints: list[str] = []
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop

    async def run() -> None:
        await method(stage)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
        runner.run(run())
    return complaints


if __name__ == "__main__":
    main(sys.argv[1:])
