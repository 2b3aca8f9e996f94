"""What OpenTelemetry gets: the spans and the figures of the SDK's own exporters."""

import asyncio
import contextvars
import gc
import io
import json
import weakref

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv.attributes import code_attributes, error_attributes
from opentelemetry.trace import StatusCode

from aiojobs import Job, PendingQueueFull, Scheduler
from aiojobs.opentelemetry import Metrics, Tracing
from aiojobs.testing import settle

FUNCTION = code_attributes.CODE_FUNCTION_NAME
ERROR = error_attributes.ERROR_TYPE
OUTCOME = "aiojobs.job.outcome"
EVERYWHERE = pytest.mark.loops("virtual", "eager")


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def tracer(provider):
    return provider.get_tracer("the program")


def quiet(**options):
    return Scheduler(exception_handler=lambda *_: None, **options)


async def returns():
    return 42


async def fails():
    raise LookupError("no such order")


async def rests(seconds=60):
    await asyncio.sleep(seconds)


def by_name(exporter):
    return {span.name: span for span in exporter.get_finished_spans()}


def lines(exporter):
    """Each span that has ended: name, outcome, what kind of error."""
    return [
        (span.name, span.attributes.get(OUTCOME), span.attributes.get(ERROR), span.status.status_code)
        for span in exporter.get_finished_spans()
    ]


# Whose child it is.


@EVERYWHERE
@pytest.mark.requirement("SPAWN-4")
async def test_a_job_is_a_child_of_its_spawners_span_and_what_it_opens_is_its_own(exporter, provider, tracer):
    async def works():
        with tracer.start_as_current_span("query"):
            await asyncio.sleep(0)

    tracing = Tracing(tracer_provider=provider)
    async with Scheduler(limit=1) as scheduler:
        await scheduler.spawn(rests(1))  # so that it starts when the request is long over
        with tracer.start_as_current_span("request") as request:
            await tracing.spawn(scheduler, works(), "order 17")
            assert trace.get_current_span() is request
    await settle()
    spans = by_name(exporter)
    job = spans[f"{works.__qualname__}"]
    assert job.parent == spans["request"].context
    assert spans["query"].parent == job.context
    assert job.links == ()
    assert dict(job.attributes) == {
        FUNCTION: works.__qualname__,
        "aiojobs.job.name": "order 17",
        OUTCOME: "returned",
    }
    assert (job.status.status_code, job.instrumentation_scope.name) == (StatusCode.UNSET, "aiojobs")


@EVERYWHERE
async def test_a_linked_job_begins_a_trace_of_its_own(exporter, provider, tracer):
    tracing = Tracing(tracer_provider=provider, linked=True)
    async with Scheduler() as scheduler:
        with tracer.start_as_current_span("request"):
            await tracing.spawn(scheduler, returns())
        await tracing.spawn(scheduler, fails_not(), "from nowhere")
    await settle()
    spans = by_name(exporter)
    assert spans["returns"].parent is None
    assert [link.context for link in spans["returns"].links] == [spans["request"].context]
    assert spans["returns"].context.trace_id != spans["request"].context.trace_id
    assert (spans["fails_not"].parent, spans["fails_not"].links) == (None, ())


async def fails_not():
    pass


async def test_the_job_sees_the_baggage_and_the_variables_of_its_spawner(provider):
    variable = contextvars.ContextVar("variable")
    seen = []

    async def looks():
        seen.append((baggage.get_baggage("tenant"), variable.get()))

    async with Scheduler() as scheduler:
        for linked in (False, True):
            token = context.attach(baggage.set_baggage("tenant", "acme"))
            variable.set(linked)
            await Tracing(tracer_provider=provider, linked=linked).spawn(scheduler, looks())
            context.detach(token)
    assert seen == [("acme", False), ("acme", True)]


@pytest.mark.requirement("SPAWN-4")
async def test_a_context_that_is_given_is_copied_so_that_spans_do_not_pile_up_in_it(
    exporter, provider, tracer
):
    variable = contextvars.ContextVar("variable", default=None)
    given = contextvars.copy_context()
    given.run(variable.set, "given")
    seen = []

    async def looks():
        seen.append(variable.get())
        variable.set("changed")

    tracing = Tracing(tracer_provider=provider)
    async with Scheduler() as scheduler:
        with tracer.start_as_current_span("elsewhere"):
            for _ in range(2):
                await tracing.spawn(scheduler, looks(), context=given)
    await settle()
    assert seen == ["given", "given"]
    first, second = (span for span in exporter.get_finished_spans() if span.name != "elsewhere")
    assert (first.parent, second.parent) == (None, None)


# How it ends.


@EVERYWHERE
@pytest.mark.requirement("START-2", "SPAWN-6", "EXC-1")
async def test_status_and_error_type_tell_each_outcome(exporter, provider):
    tracing = Tracing(tracer_provider=provider)
    async with quiet(limit=1) as scheduler:
        for coro in (returns(), fails()):
            await tracing.spawn(scheduler, coro)
        await tracing.spawn(scheduler, rests(), timeout=1)
        running = await tracing.spawn(scheduler, rests())
        dropped = await tracing.spawn(scheduler, rests())
        await asyncio.sleep(2)
        assert running.active
        await dropped.close()
        await running.close()
    await settle()
    assert lines(exporter) == [
        ("returns", "returned", None, StatusCode.UNSET),
        ("fails", "raised", "LookupError", StatusCode.ERROR),
        ("rests", "timed_out", "timed_out", StatusCode.ERROR),
        ("rests", "never_started", "never_started", StatusCode.ERROR),
        ("rests", "cancelled", None, StatusCode.UNSET),
    ]


async def test_what_a_job_raised_is_an_event_of_its_span_with_its_traceback(exporter, provider):
    async with quiet() as scheduler:
        await Tracing(tracer_provider=provider).spawn(scheduler, fails())
    await settle()
    (span,) = exporter.get_finished_spans()
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == span.attributes[ERROR]
    assert event.attributes["exception.message"] == "no such order"
    assert "in fails\n" in event.attributes["exception.stacktrace"]


async def test_the_class_of_an_exception_is_named_as_the_sdk_names_it(exporter, provider):
    async def decodes():
        json.loads("{")

    async with quiet() as scheduler:
        await Tracing(tracer_provider=provider).spawn(scheduler, decodes())
    await settle()
    (span,) = exporter.get_finished_spans()
    assert (
        span.attributes[ERROR]
        == span.events[0].attributes["exception.type"]
        == "json.decoder.JSONDecodeError"
    )


@pytest.mark.requirement("SPAWN-1", "SPAWN-2", "SPAWN-5")
async def test_a_spawn_that_is_refused_or_withdrawn_has_a_span_that_says_so(exporter, provider):
    tracing = Tracing(tracer_provider=provider)
    scheduler = quiet(limit=1, pending_limit=1)
    for _ in range(2):
        tracing.spawn_nowait(scheduler, rests())
    with pytest.raises(PendingQueueFull):
        tracing.spawn_nowait(scheduler, returns())
    blocked = asyncio.ensure_future(tracing.spawn(scheduler, returns()))
    await settle()
    blocked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await blocked
    await scheduler.close()
    with pytest.raises(RuntimeError):
        await tracing.spawn(scheduler, returns())
    refused = [line for line in lines(exporter) if line[1] is None]
    assert refused == [
        ("returns", None, "aiojobs._exceptions.PendingQueueFull", StatusCode.ERROR),
        ("returns", None, "asyncio.exceptions.CancelledError", StatusCode.ERROR),
        ("returns", None, "RuntimeError", StatusCode.ERROR),
    ]


@pytest.mark.requirement("SPAWN-3")
async def test_an_argument_that_makes_no_sense_is_refused_as_without_spans(exporter, provider):
    async with quiet() as scheduler:
        with pytest.raises(TypeError, match="coroutine"):
            await Tracing(tracer_provider=provider).spawn(scheduler, returns)
    assert lines(exporter) == [("returns", None, "TypeError", StatusCode.ERROR)]


@pytest.mark.requirement("START-2", "SHUT-1")
async def test_no_coroutine_is_wrapped(provider):
    async with quiet(limit=1) as scheduler:
        tracing = Tracing(tracer_provider=provider)
        running = await tracing.spawn(scheduler, rests())
        pending = await tracing.spawn(scheduler, coro := rests(), "later", drain=False)
        assert (running.qualname, pending.qualname) == ("rests", "rests")
        assert pending.get_name() == "later"
        await scheduler.close()
    assert coro.cr_frame is None  # closed without having run: a warning would fail this test


# When.


async def test_as_an_observer_it_knows_when_a_job_started_was_asked_and_ended(
    exporter, provider, monkeypatch
):
    loop = asyncio.get_running_loop()
    for module in ("time", "opentelemetry.sdk.trace"):
        monkeypatch.setattr(f"{module}.time_ns", lambda: round(loop.time() * 1e9))
    tracing = Tracing(tracer_provider=provider)

    async def lingers():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(3)

    async with quiet(limit=1, observer=tracing, close_timeout=9) as scheduler:
        await scheduler.spawn(rests(1))
        job = await tracing.spawn(scheduler, lingers())
        await asyncio.sleep(3)
        await job.close()
        slow = await tracing.spawn(scheduler, rests(), timeout=2)
        await asyncio.wait([slow])
    await settle()
    seen = [
        (
            span.start_time / 1e9,
            [(event.name, event.timestamp / 1e9) for event in span.events],
            span.end_time / 1e9,
        )
        for span in exporter.get_finished_spans()
    ]
    assert seen == [
        (0, [("aiojobs.job.start", 1), ("aiojobs.job.close", 3)], 6),
        (6, [("aiojobs.job.start", 6), ("aiojobs.job.expire", 8)], 8),
    ]


async def test_as_an_observer_it_ends_a_span_when_the_job_ended_and_not_when_it_is_called_back(
    exporter, provider, monkeypatch
):
    clock = [0]
    for module in ("time", "opentelemetry.sdk.trace"):
        monkeypatch.setattr(f"{module}.time_ns", lambda: clock[0])

    def other_observer(record):
        clock[0] += 5

    tracing = Tracing(tracer_provider=provider)
    async with quiet(observer=[tracing, other_observer]) as scheduler:
        await tracing.spawn(scheduler, returns())  # told of: its acceptance, its start, its end
    await settle()
    (span,) = exporter.get_finished_spans()
    assert span.end_time == 10


@pytest.mark.requirement("SHUT-8", "SPAWN-5", "SPAWN-6")
async def test_what_spawn_is_given_is_handed_on(exporter, provider):
    tracing = Tracing(tracer_provider=provider)
    async with quiet() as scheduler:
        jobs = [
            await tracing.spawn(scheduler, rests(), "endless", drain=False),
            tracing.spawn_nowait(scheduler, rests(), "endless too", drain=False),
            await tracing.spawn(scheduler, rests(), "short", timeout=1),
            tracing.spawn_nowait(scheduler, rests(), "short too", timeout=1),
        ]
    await settle()
    assert asyncio.get_running_loop().time() == 1
    told = [(job.get_name(), job.outcome) for job in jobs]
    spans = {span.attributes["aiojobs.job.name"]: span.attributes for span in exporter.get_finished_spans()}
    assert told == [(name, spans[name][OUTCOME]) for name, _ in told]
    assert [outcome for _, outcome in told] == ["cancelled", "cancelled", "timed_out", "timed_out"]


@pytest.mark.requirement("BOOK-3")
async def test_nothing_is_kept_of_jobs_that_have_ended_traced_or_not(provider):
    tracing = Tracing(tracer_provider=provider)
    async with quiet(observer=tracing) as scheduler:
        jobs = [await tracing.spawn(scheduler, returns()), await scheduler.spawn(returns())]
        gone = [weakref.ref(job) for job in jobs]
        del jobs
        await scheduler.idle()
        await settle()
        gc.collect()
        assert [job() for job in gone] == [None, None]


# Who decides what is recorded.


async def test_a_trace_that_is_not_sampled_is_passed_on_and_costs_no_callback(exporter, monkeypatch):
    monkeypatch.delattr(Job, "add_done_callback")
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    seen = []

    async def looks():
        seen.append(trace.get_current_span().get_span_context())

    async with quiet() as scheduler:
        with provider.get_tracer("the program").start_as_current_span("request") as request:
            await Tracing(tracer_provider=provider).spawn(scheduler, looks())
    await settle()
    assert seen[0].trace_id == request.get_span_context().trace_id
    assert not seen[0].trace_flags.sampled
    assert seen[0].span_id != request.get_span_context().span_id
    assert exporter.get_finished_spans() == ()


async def test_without_an_sdk_everything_runs_and_nothing_is_recorded():
    async with Scheduler(observer=[Metrics("shop"), tracing := Tracing()]) as scheduler:
        job = await tracing.spawn(scheduler, returns())
        assert await job == 42


# Metrics.


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def meters(reader):
    provider = MeterProvider([reader])
    yield provider
    provider.shutdown()


def figures(reader):
    """Each figure by its instrument and attributes; of a histogram how many times, and their sum."""
    data = reader.get_metrics_data()
    return {
        (metric.name, *point.attributes.values()): (
            point.value if hasattr(point, "value") else (point.count, point.sum)
        )
        for metric in (data.resource_metrics[0].scope_metrics[0].metrics if data else ())
        for point in metric.data.data_points
    }


@pytest.mark.requirement("SEE-1", "BOOK-1", "SPAWN-6", "START-2")
async def test_the_figures_of_jobs_and_schedulers(meters, reader, caplog):
    metrics = Metrics("shop", meter_provider=meters)
    shop = quiet(limit=1, pending_limit=3, observer=metrics)
    mail = quiet(limit=None, observer=metrics.named("mail"))
    await mail.spawn(rests())
    for coro, timeout in ((rests(2), None), (rests(), 3), (fails(), None)):
        await shop.spawn(coro, timeout=timeout)
    dropped = await shop.spawn(rests())
    blocked = asyncio.ensure_future(shop.spawn(rests()))
    await settle()
    now = figures(reader)
    assert {key: value for key, value in now.items() if not key[0].endswith("duration")} == {
        ("aiojobs.jobs.running", "shop"): 1,
        ("aiojobs.jobs.pending", "shop"): 3,
        ("aiojobs.spawns.blocked", "shop"): 1,
        ("aiojobs.jobs.limit", "shop"): 1,
        ("aiojobs.jobs.running", "mail"): 1,
        ("aiojobs.jobs.pending", "mail"): 0,
        ("aiojobs.spawns.blocked", "mail"): 0,
    }
    await dropped.close()
    await asyncio.sleep(6)
    await blocked
    await shop.close()
    await mail.close()
    assert figures(reader) == {
        ("aiojobs.jobs.ended", "shop", "rests", "returned"): 1,
        ("aiojobs.jobs.ended", "shop", "rests", "timed_out", "timed_out"): 1,
        ("aiojobs.jobs.ended", "shop", "rests", "never_started", "never_started"): 1,
        ("aiojobs.jobs.ended", "shop", "rests", "cancelled"): 1,
        ("aiojobs.jobs.ended", "shop", "fails", "raised", "LookupError"): 1,
        ("aiojobs.jobs.ended", "mail", "rests", "cancelled"): 1,
        ("aiojobs.job.wait.duration", "shop", "rests"): (4, 0 + 2 + 0 + 5),
        ("aiojobs.job.wait.duration", "shop", "fails"): (1, 5),
        ("aiojobs.job.wait.duration", "mail", "rests"): (1, 0),
        ("aiojobs.job.run.duration", "shop", "rests"): (3, 2 + 3 + 1),
        ("aiojobs.job.run.duration", "shop", "fails"): (1, 0),
        ("aiojobs.job.run.duration", "mail", "rests"): (1, 6),
    }
    # The SDK would complain of a limit that is infinite.
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


async def test_instruments_have_units_and_attributes_by_the_conventions(meters, reader):
    scheduler = quiet(observer=Metrics(meter_provider=meters))
    await scheduler.spawn(fails())
    await scheduler.idle()
    scope = reader.get_metrics_data().resource_metrics[0].scope_metrics[0]
    found = {metric.name: metric for metric in scope.metrics}
    assert scope.scope.name == "aiojobs"
    assert {name: metric.unit for name, metric in found.items()} == {
        "aiojobs.jobs.ended": "{job}",
        "aiojobs.job.wait.duration": "s",
        "aiojobs.job.run.duration": "s",
        "aiojobs.jobs.running": "{job}",
        "aiojobs.jobs.pending": "{job}",
        "aiojobs.jobs.limit": "{job}",
        "aiojobs.spawns.blocked": "{call}",
    }
    (ended,) = found["aiojobs.jobs.ended"].data.data_points
    assert ended.attributes == {
        "aiojobs.scheduler.name": "default",
        FUNCTION: "fails",
        OUTCOME: "raised",
        ERROR: "LookupError",
    }
    (ran,) = found["aiojobs.job.run.duration"].data.data_points
    assert (ran.explicit_bounds[0], ran.explicit_bounds[-1]) == (0.005, 1800)
    assert found["aiojobs.jobs.running"].data.is_monotonic is False
    await scheduler.close()


def test_a_bound_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="max_tasks must be at least 1, got 0"):
        Metrics(max_tasks=0)


# A real export.


async def test_the_console_gets_what_ended_as_json(provider):
    spans, metrics = io.StringIO(), io.StringIO()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=spans)))
    meters = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter(out=metrics))])
    async with quiet(observer=Metrics("shop", meter_provider=meters)) as scheduler:
        await Tracing(tracer_provider=provider).spawn(scheduler, fails(), "order 17")
    await settle()
    meters.shutdown()
    span = json.loads(spans.getvalue())
    assert (span["name"], span["status"]["status_code"]) == ("fails", "ERROR")
    exported = json.loads(metrics.getvalue())["resource_metrics"][0]["scope_metrics"][0]["metrics"]
    assert "aiojobs.jobs.ended" in {metric["name"] for metric in exported}
