"""What leaves the process by the pages on metrics and traces: OTLP to a collector, and a scrape of several workers."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from docs import pages
from support.library import SOURCES

PAGE = "docs/howto/trace-with-opentelemetry.md"
FILE = "export.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": SOURCES}
UVICORN = [sys.executable, "-m", "uvicorn", "service:app", "--workers", "2", "--log-level", "error"]
PATIENCE = 30
"""Seconds after which a server that does not answer has failed; nothing here takes a part of it."""


# OTLP.


@contextmanager
def collector():
    """A collector that keeps the bodies of what it is sent, by path; and where it is."""
    received = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()


PROGRAM = """
import asyncio
from opentelemetry import trace
import export, aiojobs
from aiojobs.opentelemetry import Metrics, Tracing

export.set_up()
tracing = Tracing()

async def send(order):
    if order == 2:
        raise LookupError("no such order")

async def main():
    options = {"observer": [Metrics("shop"), tracing], "exception_handler": lambda *_: None}
    async with aiojobs.Scheduler(limit=1, **options) as scheduler:
        with trace.get_tracer("shop").start_as_current_span("request"):
            for order in (1, 2):
                await tracing.spawn(scheduler, send(order), f"order {order}")

asyncio.run(main())
"""


def attributes(thing):
    return {pair.key: pair.value.string_value for pair in thing.attributes}


def test_a_collector_gets_spans_and_figures_by_otlp_when_the_program_ends(tmp_path):
    pages.write_files(PAGE, tmp_path)
    assert (tmp_path / FILE).exists()
    with collector() as (endpoint, received):
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=tmp_path, env={**ENVIRONMENT, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, check=True,
        )  # fmt: skip
    (traces,) = map(ExportTraceServiceRequest.FromString, received["/v1/traces"])
    assert attributes(traces.resource_spans[0].resource)["service.name"] == "shop"
    spans = {span.name: [] for scope in traces.resource_spans[0].scope_spans for span in scope.spans}
    for scope in traces.resource_spans[0].scope_spans:
        for span in scope.spans:
            spans[span.name].append(span)
    (request,) = spans["request"]
    sent, failed = spans["send"]
    assert [span.parent_span_id for span in (sent, failed)] == [request.span_id] * 2
    assert attributes(failed) == {
        "code.function.name": "send",
        "aiojobs.job.name": "order 2",
        "aiojobs.job.outcome": "raised",
        "error.type": "LookupError",
    }
    assert [event.name for event in failed.events] == ["aiojobs.job.start", "exception"]
    (figures,) = map(ExportMetricsServiceRequest.FromString, received["/v1/metrics"])
    (scope,) = figures.resource_metrics[0].scope_metrics
    (ended,) = [metric for metric in scope.metrics if metric.name == "aiojobs.jobs.ended"]
    counted = {attributes(point)["aiojobs.job.outcome"]: point.as_int for point in ended.sum.data_points}
    assert counted == {"returned": 1, "raised": 1}


# A scrape of several workers.


APPLICATION = """
import asyncio
import contextlib
import os
from prometheus_client import CollectorRegistry, make_asgi_app
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
import aiojobs
from aiojobs.prometheus import Metrics

async def order():
    await asyncio.sleep(0)

@contextlib.asynccontextmanager
async def lifespan(app):
    async with aiojobs.Scheduler(limit=5, observer=Metrics("web")) as app.state.jobs:
        yield

async def accept(request):
    await request.app.state.jobs.spawn(order())
    await request.app.state.jobs.idle()
    return JSONResponse(os.getpid())

registry = CollectorRegistry()
MultiProcessCollector(registry)
routes = [Route("/order", accept), Mount("/metrics", make_asgi_app(registry))]
app = Starlette(routes=routes, lifespan=lifespan)
"""


def fetch(url):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def workers_and_orders(url):
    """Order until each of two workers has had one; how many workers there were, and how many orders."""
    workers, orders = set(), 0
    while len(workers) < 2 and orders < 1000:
        workers.add(fetch(f"{url}/order"))
        orders += 1
    return len(workers), orders


@pytest.mark.requirement("SEE-1")
def test_a_scrape_adds_up_the_workers_of_uvicorn(tmp_path):
    (tmp_path / "service.py").write_text(APPLICATION, encoding="utf-8")
    (tmp_path / "figures").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [*UVICORN, "--port", str(port)],
        cwd=tmp_path, env={**ENVIRONMENT, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "figures")},
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        workers, orders = workers_and_orders(url)
        found = {
            (sample.name, sample.labels.get("outcome")): sample.value
            for family in text_string_to_metric_families(fetch(f"{url}/metrics/"))
            for sample in family.samples
        }
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)
    assert workers == 2
    assert found["aiojobs_jobs_total", "returned"] == orders
    assert found["aiojobs_job_wait_seconds_count", None] == orders
    assert found["aiojobs_jobs_limit", None] == 10
    assert found["aiojobs_jobs_running", None] == 0
