"""Metrics for Prometheus: how jobs ended, how long they waited and ran, and how many there are.

    from aiojobs.prometheus import Metrics

    scheduler = aiojobs.Scheduler(observer=Metrics("shop"))

It needs the package ``prometheus-client``: ``pip install 'aiojobs[prometheus]'``.

What is exported
----------------
==============================================  =========  ======================================================
``aiojobs_jobs_total{scheduler,task,outcome}``  counter    jobs that have ended
``aiojobs_job_wait_seconds{scheduler,task}``    histogram  from acceptance to the start, or to the end of those
                                                           that were closed before it
``aiojobs_job_run_seconds{scheduler,task}``     histogram  from the start to the end
``aiojobs_jobs_running{scheduler}``             gauge      jobs that hold a slot, stopping ones included
``aiojobs_jobs_pending{scheduler}``             gauge      jobs that wait for a slot
``aiojobs_jobs_limit{scheduler}``               gauge      how many may run at once; ``+Inf`` without a limit
``aiojobs_spawns_blocked{scheduler}``           gauge      calls of ``spawn`` that wait for a place in the queue
==============================================  =========  ======================================================

``task`` is the qualified name of the coroutine. The counters of all outcomes begin at 0 with the first job of their
task, so that the first failure is an increase. Gauges are read when they are scraped.

*Multiprocess mode* (``PROMETHEUS_MULTIPROC_DIR``) exports what was written to files, and a collector writes none.
There the gauges are written after each step of a job, and added up over the processes that live (``livesum``). A
blocked call or another limit shows after the next step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ._job import Job
from ._lifecycle import Outcome
from ._measuring import BUCKETS, Counts, Measured, NamedMetrics

__all__ = ("BUCKETS", "Metrics")

_TASK: Final = ("scheduler", "task")
_GAUGES: Final = {
    "aiojobs_jobs_running": "Jobs that hold a slot",
    "aiojobs_jobs_pending": "Jobs that wait for a slot",
    "aiojobs_spawns_blocked": "Calls of spawn that wait for a place in the queue",
    "aiojobs_jobs_limit": "How many jobs may run at once",
}
"""In the order of `Counts`."""


class Metrics(NamedMetrics):
    """An observer that keeps the metrics of the schedulers that it is given to (``SEE-1``).

    One object makes the metrics of a registry; `named` gives observers for schedulers of other names. Schedulers of
    the same name are added up, so it may be given to one after the other.

    Arguments:
        scheduler: the label ``scheduler``; a name of your own, from a small set.
        registry: where the metrics are registered.
        buckets: upper bounds of the histograms, in seconds, in increasing order.
        max_tasks: how many tasks of each scheduler have metrics of their own, at least 1; further ones share the
            label ``other``.

    Raises:
        ValueError: the registry has these metrics already, or an argument makes no sense.
    """

    def __init__(
        self,
        scheduler: str = "default",
        *,
        registry: CollectorRegistry = REGISTRY,
        buckets: Sequence[float] = BUCKETS,
        max_tasks: int = 100,
    ) -> None:
        super().__init__(_Families(registry, buckets, max_tasks).measured, scheduler)


class _Families:
    """The metrics of one registry."""

    def __init__(self, registry: CollectorRegistry, buckets: Sequence[float], max_tasks: int) -> None:
        self._written = [*map(_live_gauge, _GAUGES)] if _is_multiprocess() else []
        self.measured = Measured(self._series, max_tasks, self._write if self._written else None)
        self._jobs = Counter("aiojobs_jobs", "Jobs that have ended", (*_TASK, "outcome"), registry=None)
        self._waited = _histogram("wait", "Seconds that jobs waited for a slot", buckets)
        self._ran = _histogram("run", "Seconds that jobs ran", buckets)
        gauges: Sequence[Collector] = self._written or [_Gauges(self.measured)]
        try:
            for family in (self._jobs, self._waited, self._ran, *gauges):
                registry.register(family)
        except ValueError as exc:
            raise ValueError(
                "this registry has the metrics of jobs already: make the observers of further schedulers"
                " by named() of the first"
            ) from exc

    def _series(self, scheduler: str, task: str) -> _Series:
        return _Series(
            self._waited.labels(scheduler, task),
            self._ran.labels(scheduler, task),
            {outcome: self._jobs.labels(scheduler, task, outcome.value) for outcome in Outcome},
        )

    def _write(self, scheduler: str, counts: Counts) -> None:
        for gauge, value in zip(self._written, counts, strict=True):
            gauge.labels(scheduler).set(value)


class _Series:
    """What is exported of one task of one scheduler: children of the families, looked up once."""

    __slots__ = ("_jobs", "_ran", "_waited")

    def __init__(self, waited: Histogram, ran: Histogram, jobs: dict[Outcome, Counter]) -> None:
        self._waited = waited
        self._ran = ran
        self._jobs = jobs

    def waited(self, seconds: float) -> None:
        self._waited.observe(seconds)

    def ended(self, job: Job[Any], seconds: float | None) -> None:
        if seconds is not None:
            self._ran.observe(seconds)
        self._jobs[cast("Outcome", job.outcome)].inc()


class _Gauges(Collector):
    """Reads the counts when they are asked for, so nothing has to keep them up to date."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def describe(self) -> Iterable[Metric]:
        return _gauge_families()

    def collect(self) -> Iterable[Metric]:
        families = _gauge_families()
        for name, counts in self._measured.counts():
            for family, value in zip(families, counts, strict=True):
                family.add_metric([name], value)
        return families


def _gauge_families() -> list[GaugeMetricFamily]:
    return [GaugeMetricFamily(name, text, labels=["scheduler"]) for name, text in _GAUGES.items()]


def _live_gauge(name: str) -> Gauge:
    return Gauge(name, _GAUGES[name], ("scheduler",), registry=None, multiprocess_mode="livesum")


def _histogram(what: str, text: str, buckets: Sequence[float]) -> Histogram:
    return Histogram(f"aiojobs_job_{what}_seconds", text, _TASK, registry=None, buckets=buckets)


def _is_multiprocess() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ or "prometheus_multiproc_dir" in os.environ
