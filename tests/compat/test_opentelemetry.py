"""opentelemetry-instrumentation-asyncio: functions of asyncio are replaced, spans and metrics kept in memory."""

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aiojobs
from compat import bodies
from compat.stories import tell
from compat.stories import test_story as test_story
from compat.tools import Tool


class Instrumented(Tool):
    """`AsyncioInstrumentor().instrument()` before the loop runs."""

    def __init__(self):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    def run(self, main):
        instrumentor = AsyncioInstrumentor()
        instrumentor.instrument(tracer_provider=self.provider, meter_provider=MeterProvider([self.reader]))
        try:
            super().run(main)
        finally:
            instrumentor.uninstrument()

    @property
    def parents(self):
        """The name of each span, and that of its parent."""
        spans = self.exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans}
        return {span.name: names.get(span.parent.span_id) if span.parent else None for span in spans}


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE", "yields,fails,waits,presents_itself")
    monkeypatch.setenv("OTEL_PYTHON_ASYNCIO_FUTURE_TRACE_ENABLED", "true")
    return Instrumented()


@pytest.mark.requirement("SPAWN-4")
def test_the_spans_of_a_job_hang_under_the_span_in_which_it_was_spawned(tool):
    async def traced(name):
        with tool.tracer.start_as_current_span(name):
            await asyncio.sleep(0)

    async def story(tool):
        async with aiojobs.Scheduler(limit=1) as scheduler:
            for request in ("first", "second"):
                with tool.tracer.start_as_current_span(f"{request} request"):
                    await scheduler.spawn(traced(f"{request} job"))

    tell(story, tool)
    assert tool.parents == {
        "first request": None,
        "first job": "first request",
        "second request": None,
        "second job": "second request",
    }


@pytest.mark.requirement("EXC-4", "WAIT-5")
def test_a_shielded_coroutine_is_answered_and_its_failure_is_in_the_trace_of_the_caller(tool):
    async def story(tool):
        async with aiojobs.Scheduler() as scheduler:
            with tool.tracer.start_as_current_span("caller"):
                assert await scheduler.shield(bodies.yields(42)) == 42
                with pytest.raises(bodies.Failure):
                    await scheduler.shield(bodies.fails(bodies.Failure("shielded")))

    tell(story, tool)
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert "caller" in tool.parents
