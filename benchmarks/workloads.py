"""The list of workloads, each with its jobs, its sizes, and its equivalent in bare asyncio.

Rules of this file: it is data, read by everything else. Adding a workload is a row here and a method of each
contender that can do it.

How to read a row: ``method`` names the contenders' method, ``variant`` what is handed to it. ``counts`` says
what the counted run has to see of its jobs: each of them started and ended, or none. The sizes grow with
the tier; the one at which the goals are stated is in every tier but the quick one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["TIERS", "WORKLOADS", "Workload", "sizes"]

TIERS: Final = ("quick", "default", "full")

_GROWING: Final = (1_000, 10_000, 100_000, 1_000_000)
_LIMITS: Final = (1, 10, 100, 10_000)


class Workload(NamedTuple):
    """One row."""

    name: str
    what: str
    bare: str
    """What plain asyncio does to the same end."""
    method: str
    unit: str = "µs"
    """``µs`` of CPU time or ``bytes``, in either case for each job."""
    counts: str = "all"
    """``all``, ``none`` or ``any``: how many of the counted jobs have started, and ended."""
    goal_size: int = 20_000
    variant: str = ""
    limit: int = 100
    growing: bool = True
    """Whether it is measured with growing numbers of jobs, for the exponent."""
    some: bool = False
    """Whether only some of the jobs are worked on, one by one (`Stage.one_by_one`)."""


def _close_one(which: str, where: str) -> Workload:
    row = Workload(
        f"close one {which}, {where}",
        f"{{n}} jobs are {which}; some of them are closed one after the other, from the {where} on",
        "`task.cancel()` and `asyncio.wait([task])`" if which == "active" else "`coro.close()`",
        f"close_one_{which}",
        counts="all" if which == "active" else "any",
        variant=where,
        some=True,
        goal_size=10_000,
    )
    return row._replace(growing=where == "middle")


_EACH_AWAITED = "`create_task` for all, then `await` each"

WORKLOADS: Final = {
    row.name: row
    for row in (
        Workload(
            "spawn and drain",
            "spawn {n} jobs that return at once, then look once per pass of the loop until nothing is left",
            _EACH_AWAITED,
            "spawn_and_drain",
        ),
        Workload(
            "spawn and wait",
            "spawn {n} jobs that return at once, then wait for each",
            _EACH_AWAITED,
            "spawn_and_wait",
        ),
        Workload(
            "spawn and wait_and_close",
            "spawn {n} jobs that return at once, then have the scheduler wait for all of them and close",
            _EACH_AWAITED,
            "spawn_and_wait_and_close",
        ),
        Workload(
            "spawn and fail",
            "spawn {n} jobs that raise at once; the handler hears of each",
            "a done callback that asks for the exception and tells the handler, then `asyncio.wait`",
            "spawn_and_fail",
            growing=False,
        ),
        Workload(
            "slot latency",
            "limit 1: from the end of one job to the first step of the next, over a queue of {n}",
            "`await create_task(coro)` for one coroutine after the other, all made before",
            "slot_latency",
            limit=1,
        ),
        Workload(
            "many waiters",
            "{n} tasks wait for one job, which then ends: from making the tasks until all have returned",
            "the same with one task, awaited through `asyncio.shield`: cancelling a waiter must do no harm",
            "many_waiters",
            counts="any",
        ),
        *(
            Workload(
                f"sustained load, limit {limit:,}",
                f"limit {limit:,}, a queue as long: spawn {{n}} jobs that give way once, the caller blocking",
                "take a semaphore, `create_task`, give it back in a done callback",
                "sustained_load",
                limit=limit,
                growing=False,
            )
            for limit in _LIMITS
        ),
        Workload(
            "close active",
            "`Scheduler.close()` while {n} jobs run that stop when they are told to",
            "`task.cancel()` for all, then `asyncio.wait`",
            "close_active",
            goal_size=10_000,
        ),
        Workload(
            "close pending",
            "`Scheduler.close()` while {n} jobs stand in the queue",
            "`coro.close()` for each",
            "close_pending",
            counts="none",
            goal_size=10_000,
        ),
        *(_close_one("active", where) for where in ("front", "middle", "back")),
        *(_close_one("pending", where) for where in ("front", "middle", "back")),
        Workload(
            "blocked spawns cancelled",
            "{n} tasks are blocked in `spawn`; all are cancelled and waited for",
            "the same with tasks that await a future each",
            "blocked_cancelled",
            counts="none",
            goal_size=10_000,
        ),
        Workload(
            "import",
            "import the package in a process that has imported nothing else; the best of {n}",
            "`import asyncio`",
            "import_alone",
            counts="any",
            goal_size=5,
            growing=False,
        ),
        Workload(
            "import beside asyncio",
            "import the package in a process that has imported asyncio; the best of {n}",
            "nothing",
            "import_beside_asyncio",
            counts="any",
            goal_size=5,
            growing=False,
        ),
        Workload(
            "transition",
            "one step of the table for each of {n} jobs: look up, check, assign, test for an observer",
            "a method that assigns an attribute",
            "transition",
            counts="any",
            goal_size=10_000,
            growing=False,
        ),
        Workload(
            "spawn and drain, observed",
            "as spawn and drain, with an observer that does nothing",
            "nothing",
            "observed",
            growing=False,
        ),
        Workload(
            "spawn and drain, Prometheus",
            "as spawn and drain, with `aiojobs.prometheus.Metrics` as the observer",
            "a done callback that increments a counter and observes two histograms, looked up before",
            "counted_by_prometheus",
            growing=False,
        ),
        Workload(
            "spawn and drain, OpenTelemetry metrics",
            "as spawn and drain, with `aiojobs.opentelemetry.Metrics` as the observer; the SDK keeps the figures",
            "a done callback that adds to a counter and records two histograms",
            "counted_by_opentelemetry",
            growing=False,
        ),
        Workload(
            "spawn and drain, OpenTelemetry spans",
            "as spawn and drain, by `aiojobs.opentelemetry.Tracing.spawn`; the SDK exports nowhere",
            "`start_span`, `create_task` in a context that has it, a done callback that ends it",
            "traced",
            growing=False,
        ),
        Workload(
            "map, a plain source",
            "`aiojobs.batch.map` with a function that gives way once, over {n} items of a range; each result is taken",
            "`asyncio.gather` of coroutines that take a semaphore; all of them are there from the start",
            "map_plain",
            growing=False,
        ),
        Workload(
            "map, an asynchronous source",
            "the same over an asynchronous generator",
            "the source is read to its end, then the same",
            "map_stream",
            growing=False,
        ),
        Workload(
            "lanes, a hundred keys",
            "`aiojobs.lanes`: accept {n} pieces of work that give way once, for a hundred keys in turn, then drain",
            "`create_task` for each, which takes the semaphore of its key and then a common one; all tasks are there",
            "in_lanes",
            limit=50,
            growing=False,
        ),
        Workload(
            "memory, lanes",
            "what one of {n} keys takes that has a piece waiting in its lane, the coroutine included",
            "a task that has the semaphore of its key and waits for a common one",
            "bytes_in_lanes",
            unit="bytes",
            goal_size=100_000,
            limit=1,
            growing=False,
        ),
        Workload(
            "memory, pending",
            "what one of {n} jobs takes that stand in the queue, its coroutine included",
            "a coroutine that has not started",
            "bytes_pending",
            unit="bytes",
            counts="none",
            goal_size=10_000,
        ),
        Workload(
            "memory, active",
            "what one of {n} jobs takes that wait for a future each, coroutine, task and future included",
            "a task that waits for a future",
            "bytes_active",
            unit="bytes",
            goal_size=10_000,
        ),
        Workload(
            "memory, finished",
            "what one of {n} jobs takes that have ended and are still referred to",
            "a task that has ended",
            "bytes_finished",
            unit="bytes",
            goal_size=10_000,
        ),
    )
}


def sizes(workload: Workload, tier: str) -> list[int]:
    """How many jobs a workload has in a tier, smallest first."""
    if tier == "quick":
        return [min(2_000, workload.goal_size)]
    if not workload.growing:
        return [workload.goal_size]
    most = 1_000_000 if tier == "full" else 100_000
    return sorted({workload.goal_size, *(size for size in _GROWING if size <= most)})
