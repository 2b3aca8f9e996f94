"""Traces and metrics for OpenTelemetry: a span for each job, and instruments that tell how jobs do.

    from aiojobs.opentelemetry import Metrics, Tracing

    tracing = Tracing()
    scheduler = aiojobs.Scheduler(observer=Metrics("shop"))
    await tracing.spawn(scheduler, send(order))

It needs the package ``opentelemetry-api``: ``pip install 'aiojobs[opentelemetry]'``. What becomes of spans and
figures is decided by the SDK that the program sets up; without one nothing is recorded.

Spans
-----
A span covers a job from the call of ``spawn`` to its end, so the time in the queue is part of it. It is named after
the coroutine, and is current in the job: spans that the job opens are its children. No coroutine is wrapped: the span
stands in the context in which the job runs (``SPAWN-4``), and a done callback ends it.

=======================  ==================================================================================
``code.function.name``   the qualified name of the coroutine
``aiojobs.job.name``     the name that was given to ``spawn``, if one was
``aiojobs.job.outcome``  how the job ended: returned, raised, cancelled, never_started, timed_out
``error.type``           if the status is an error: the class of the exception that the job raised; or
                         ``never_started`` or ``timed_out``; or of what ``spawn`` raised, without an outcome
=======================  ==================================================================================

A job that was cancelled, because somebody asked it to stop, is no error; work that was accepted and never done, or
not done in its time, is one.

Metrics
-------
=============================  =======================  =====================================================
``aiojobs.jobs.ended``         counter, {job}           by outcome; by ``error.type`` as in spans
``aiojobs.job.wait.duration``  histogram, s             from acceptance to the start, or to the end before it
``aiojobs.job.run.duration``   histogram, s             from the start to the end
``aiojobs.jobs.running``       up-down counter, {job}   jobs that hold a slot
``aiojobs.jobs.pending``       up-down counter, {job}   jobs that wait for a slot
``aiojobs.jobs.limit``         up-down counter, {job}   how many may run at once; absent if there is no limit
``aiojobs.spawns.blocked``     up-down counter, {call}  calls of ``spawn`` that wait for a place in the queue
=============================  =======================  =====================================================

All have the attribute ``aiojobs.scheduler.name``, the first three ``code.function.name`` as well.
"""

from __future__ import annotations

import contextvars
import math
import time
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar, cast
from weakref import WeakKeyDictionary

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation, get_meter
from opentelemetry.trace import Link, Span, Status, StatusCode, TracerProvider, get_tracer

import aiojobs

from ._events import Record
from ._job import Job
from ._lifecycle import Event, Outcome, State
from ._measuring import BUCKETS, Counts, Measured, NamedMetrics
from ._scheduler import Scheduler

__all__ = ("Metrics", "Tracing")

_T = TypeVar("_T")

_FUNCTION: Final = "code.function.name"
_ERROR: Final = "error.type"
_OUTCOME: Final = "aiojobs.job.outcome"
_SCHEDULER: Final = "aiojobs.scheduler.name"
_DROPPED: Final = (Outcome.NEVER_STARTED, Outcome.TIMED_OUT)
"""Ends that are errors, though the job raised none."""
_ENDS: Final = (State.DONE, State.CLOSED)
_TOLD: Final = (Event.START, Event.CLOSE, Event.EXPIRE)
"""Steps of a job that its span has as events."""


class Tracing:
    """Spawns jobs with a span each.

    Given to a scheduler as its observer as well, it adds to the spans when the job started and was asked to stop, and
    ends them at the very moment at which the job ended. Otherwise they end a pass of the loop later.

    Arguments:
        tracer_provider: whose spans they are; None for the global one.
        linked: whether a job begins a trace of its own, with a link to the span of whoever spawned it, in place of a
            child of that span. For jobs that outlive the request from which they come.
    """

    def __init__(self, *, tracer_provider: TracerProvider | None = None, linked: bool = False) -> None:
        self._tracer = get_tracer("aiojobs", aiojobs.__version__, tracer_provider)
        self._linked = linked
        # In nanoseconds since the epoch: the steps of jobs that have not ended, and the ends of those that have.
        self._steps: WeakKeyDictionary[Job[Any], list[tuple[str, int]]] = WeakKeyDictionary()
        self._ends: WeakKeyDictionary[Job[Any], int] = WeakKeyDictionary()

    async def spawn(
        self,
        scheduler: Scheduler,
        coro: Coroutine[Any, Any, _T],
        name: str | None = None,
        *,
        context: contextvars.Context | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as in Scheduler.spawn
        drain: bool = True,
    ) -> Job[_T]:
        """As ``scheduler.spawn``, with a span.

        The job runs in a copy of the caller's context, or of `context`, in which its span is the current one.

        Raises:
            Exception: whatever ``scheduler.spawn`` raises; the span tells of it.
        """
        with self._begun(coro, name, context) as (span, within):
            job = await scheduler.spawn(coro, name, context=within, timeout=timeout, drain=drain)
        return self._follow(span, job)

    def spawn_nowait(
        self,
        scheduler: Scheduler,
        coro: Coroutine[Any, Any, _T],
        name: str | None = None,
        *,
        context: contextvars.Context | None = None,
        timeout: float | None = None,
        drain: bool = True,
    ) -> Job[_T]:
        """As ``spawn``, for callers that can't wait (``SPAWN-5``)."""
        with self._begun(coro, name, context) as (span, within):
            job = scheduler.spawn_nowait(coro, name, context=within, timeout=timeout, drain=drain)
        return self._follow(span, job)

    def __call__(self, record: Record) -> None:
        """Note when a job takes a step: this is what makes it an observer."""
        job = record.job
        if job is None:
            return
        if record.event in _TOLD:
            self._steps.setdefault(job, []).append((f"aiojobs.job.{record.event}", time.time_ns()))
        if record.dest in _ENDS:
            self._ends[job] = time.time_ns()

    @contextmanager
    def _begun(
        self, coro: Coroutine[Any, Any, Any], name: str | None, context: contextvars.Context | None
    ) -> Generator[tuple[Span, contextvars.Context]]:
        """A span that has begun, and the context in which it is the current one; what the body raises ends it."""
        within = contextvars.copy_context() if context is None else context.copy()
        span = within.run(self._start, coro, name)
        try:
            yield span, within
        except BaseException as exc:
            _fail(span, _type_of(exc))
            span.end()
            raise

    def _start(self, coro: Coroutine[Any, Any, Any], name: str | None) -> Span:
        function = getattr(coro, "__qualname__", type(coro).__qualname__)
        attributes = {_FUNCTION: function} | ({} if name is None else {"aiojobs.job.name": name})
        spawner = trace.get_current_span().get_span_context()
        links = [Link(spawner)] if self._linked else []
        parent = otel.Context() if self._linked else None
        span = self._tracer.start_span(function, parent, attributes=attributes, links=links)
        otel.attach(trace.set_span_in_context(span))
        return span

    def _follow(self, span: Span, job: Job[_T]) -> Job[_T]:
        if span.is_recording():
            job.add_done_callback(partial(self._end, span))
        return job

    def _end(self, span: Span, job: Job[Any]) -> None:
        for step, when in self._steps.pop(job, []):
            span.add_event(step, timestamp=when)
        span.set_attribute(_OUTCOME, cast("Outcome", job.outcome).value)
        if job.outcome is Outcome.RAISED:
            span.record_exception(cast("BaseException", job.exception()))
        error = _error_of(job)
        if error is not None:
            _fail(span, error)
        span.end(self._ends.pop(job, None))


class Metrics(NamedMetrics):
    """An observer that keeps the metrics of the schedulers that it is given to (``SEE-1``).

    One object makes the instruments of a provider; `named` gives observers for schedulers of other names. Schedulers
    of the same name are added up, so it may be given to one after the other.

    Arguments:
        scheduler: the attribute ``aiojobs.scheduler.name``; a name of your own, from a small set.
        meter_provider: whose instruments they are; None for the global one.
        max_tasks: how many tasks of each scheduler have attributes of their own, at least 1; further ones share the
            name ``other``.

    Raises:
        ValueError: `max_tasks` makes no sense.
    """

    def __init__(
        self, scheduler: str = "default", *, meter_provider: MeterProvider | None = None, max_tasks: int = 100
    ) -> None:
        meter = get_meter("aiojobs", aiojobs.__version__, meter_provider)
        measured = Measured(_Instruments(meter).series, max_tasks)
        super().__init__(measured, scheduler)
        for name, unit, text, read in _GAUGES:
            meter.create_observable_up_down_counter(name, [partial(_observe, measured, read)], unit, text)


_GAUGES: Final[tuple[tuple[str, str, str, Callable[[Counts], float]], ...]] = (
    ("aiojobs.jobs.running", "{job}", "Jobs that hold a slot", lambda counts: counts.running),
    ("aiojobs.jobs.pending", "{job}", "Jobs that wait for a slot", lambda counts: counts.pending),
    ("aiojobs.jobs.limit", "{job}", "How many jobs may run at once", lambda counts: counts.limit),
    (
        "aiojobs.spawns.blocked",
        "{call}",
        "Calls of spawn that wait for a place in the queue",
        lambda counts: counts.blocked,
    ),
)


class _Instruments:
    """Those that are written to when something happens."""

    def __init__(self, meter: Meter) -> None:
        self.ended = meter.create_counter("aiojobs.jobs.ended", "{job}", "Jobs that have ended")
        self.waited = _histogram(meter, "wait", "How long jobs waited for a slot")
        self.ran = _histogram(meter, "run", "How long jobs ran")

    def series(self, scheduler: str, task: str) -> _Series:
        """Those for one task of one scheduler."""
        return _Series(self, {_SCHEDULER: scheduler, _FUNCTION: task})


class _Series:
    """What is told of one task of one scheduler."""

    __slots__ = ("_attributes", "_instruments")

    def __init__(self, instruments: _Instruments, attributes: dict[str, str]) -> None:
        self._instruments = instruments
        self._attributes = attributes

    def waited(self, seconds: float) -> None:
        self._instruments.waited.record(seconds, self._attributes)

    def ended(self, job: Job[Any], seconds: float | None) -> None:
        if seconds is not None:
            self._instruments.ran.record(seconds, self._attributes)
        error = _error_of(job)
        more = {} if error is None else {_ERROR: error}
        outcome = cast("Outcome", job.outcome).value
        self._instruments.ended.add(1, {**self._attributes, _OUTCOME: outcome, **more})


def _histogram(meter: Meter, what: str, text: str) -> Histogram:
    name = f"aiojobs.job.{what}.duration"
    return meter.create_histogram(name, "s", text, explicit_bucket_boundaries_advisory=BUCKETS)


def _observe(
    measured: Measured, read: Callable[[Counts], float], _options: CallbackOptions
) -> Iterable[Observation]:
    return [
        Observation(read(counts), {_SCHEDULER: name})
        for name, counts in measured.counts()
        if read(counts) < math.inf
    ]


def _error_of(job: Job[Any]) -> str | None:
    """What kind of error the end of a job is; None if it is none."""
    outcome = cast("Outcome", job.outcome)
    if outcome is Outcome.RAISED:
        return _type_of(cast("BaseException", job.exception()))
    return outcome.value if outcome in _DROPPED else None


def _type_of(exc: BaseException) -> str:
    """The name of its class, as the SDK writes it into ``exception.type``."""
    kind = type(exc)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _fail(span: Span, error: str) -> None:
    span.set_attribute(_ERROR, error)
    span.set_status(Status(StatusCode.ERROR))
