"""The recipe for Prometheus with the real client: what is scraped over HTTP, and that it does not grow."""

import asyncio
import sys
import types
import urllib.request

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

import aiojobs
from docs import pages

PAGE = "docs/howto/metrics.md"
FILE = "exporter.py"
LABELS = ("scheduler", "task", "outcome")

pytestmark = pytest.mark.loops("stock")


@pytest.fixture
def exporter(monkeypatch):
    """The names that the file of the page defines, with a registry of their own."""
    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())
    registered = prometheus_client.REGISTRY
    for metric in ("Counter", "Histogram"):
        real = getattr(prometheus_client, metric)
        monkeypatch.setattr(
            prometheus_client, metric, lambda *args, real=real: real(*args, registry=registered)
        )
    (example,) = [one for one in pages.examples(PAGE) if "\nclass Watch" in one.source]
    monkeypatch.setitem(sys.modules, "watch", types.SimpleNamespace(**pages.define(example)))
    (file,) = pages.files(PAGE)
    assert file.name == FILE
    names = {}
    exec(compile(file.source, file.page, "exec"), names)
    return names


async def scrape(port):
    """The samples of a real scrape by name and labels, without buckets and times of creation."""
    url = f"http://127.0.0.1:{port}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        (sample.name, *(sample.labels[label] for label in LABELS if label in sample.labels)): sample.value
        for sample in samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


@pytest.fixture
def port(exporter):
    server, thread = prometheus_client.start_http_server(
        0, addr="127.0.0.1", registry=prometheus_client.REGISTRY
    )
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


async def store(number):
    if number == 3:
        raise LookupError(number)


@pytest.mark.requirement("BOOK-1", "BOOK-3")
async def test_a_scrape_has_one_series_for_each_task_and_outcome_however_many_jobs_there_were(exporter, port):
    shop = exporter["Measured"]("shop", limit=2, exception_handler=lambda *_: None)
    mail = exporter["Measured"]("mail", limit=None, wait_timeout=0)
    async with shop.scheduler, mail.scheduler:
        held = await mail.spawn(asyncio.sleep(60))
        for number in range(1000):
            await shop.spawn(store(number), f"order {number}")
        await shop.scheduler.wait_and_close()
        await asyncio.sleep(0)
        found = await scrape(port)
        assert held.active
    assert found.pop(("aiojobs_job_wait_seconds_sum", "shop", "store")) >= 0
    assert found.pop(("aiojobs_job_run_seconds_sum", "shop", "store")) >= 0
    assert found == {
        ("aiojobs_jobs_total", "shop", "store", "returned"): 999,
        ("aiojobs_jobs_total", "shop", "store", "raised"): 1,
        ("aiojobs_job_wait_seconds_count", "shop", "store"): 1000,
        ("aiojobs_job_run_seconds_count", "shop", "store"): 1000,
        ("aiojobs_active_count", "shop"): 0,
        ("aiojobs_active_count", "mail"): 1,
        ("aiojobs_pending_count", "shop"): 0,
        ("aiojobs_pending_count", "mail"): 0,
        ("aiojobs_limit", "shop"): 2,
        ("aiojobs_limit", "mail"): float("inf"),
    }


@pytest.mark.requirement("START-2")
async def test_a_job_that_never_started_has_waited_and_not_run(exporter, port):
    shop = exporter["Measured"]("shop", limit=1)
    running = await shop.spawn(asyncio.sleep(60))
    await shop.spawn(store(1))
    await asyncio.sleep(0)
    await shop.scheduler.close()
    await asyncio.sleep(0)
    found = await scrape(port)
    assert running.outcome == aiojobs.Outcome.CANCELLED
    assert found["aiojobs_jobs_total", "shop", "store", "never_started"] == 1
    assert found["aiojobs_job_wait_seconds_count", "shop", "store"] == 1
    assert ("aiojobs_job_run_seconds_count", "shop", "store") not in found
    assert found["aiojobs_job_run_seconds_count", "shop", "sleep"] == 1
