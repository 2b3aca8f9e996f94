"""What Prometheus gets: what is scraped over HTTP from a real client, however many jobs and schedulers there were."""

import asyncio
import gc
import math
import subprocess
import sys
import urllib.request
import weakref
from contextlib import suppress

import prometheus_client
import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from aiojobs import Scheduler
from aiojobs.prometheus import Metrics
from aiojobs.testing import VirtualLoop, settle

LABELS = ("scheduler", "task", "outcome")
OUTCOMES = ("returned", "raised", "cancelled", "never_started", "timed_out")


@pytest.fixture
def registry():
    return prometheus_client.CollectorRegistry()


def samples(families, *ends):
    """The samples by name and labels, without times of creation; of those that end so, or all but the buckets."""
    return {
        (sample.name, *(sample.labels[label] for label in LABELS if label in sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if (sample.name.endswith(ends) if ends else not sample.name.endswith(("_bucket", "_created")))
    }


def observed(metrics, **options):
    """A scheduler that is observed."""
    return Scheduler(observer=metrics, **options)


async def store(number):
    if number == 3:
        raise LookupError(number)


async def rests(seconds):
    await asyncio.sleep(seconds)


# Over HTTP.


@pytest.fixture
def port(registry):
    server, thread = prometheus_client.start_http_server(0, addr="127.0.0.1", registry=registry)
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return list(text_string_to_metric_families(answer.read().decode()))


@pytest.mark.requirement("SEE-1", "BOOK-1")
@pytest.mark.loops("stock")
async def test_a_scrape_has_one_series_for_each_task_and_outcome_however_many_jobs_there_were(registry, port):
    metrics = Metrics("shop", registry=registry)
    mail_metrics = metrics.named("mail")
    async with observed(metrics, limit=2, exception_handler=lambda *_: None) as shop:
        mail = observed(mail_metrics, limit=None)
        await mail.spawn(rests(60))
        for number in range(1000):
            await shop.spawn(store(number), f"order {number}")
        await shop.idle()
        found = samples(await asyncio.to_thread(fetch, port))
        await mail.close()
    sums = [found.pop(key) for key in sorted(found) if key[0].endswith("_sum")]
    assert len(sums) == 4
    assert min(sums) >= 0
    assert found == {
        **{("aiojobs_jobs_total", "shop", "store", outcome): 0 for outcome in OUTCOMES},
        **{("aiojobs_jobs_total", "mail", "rests", outcome): 0 for outcome in OUTCOMES},
        ("aiojobs_jobs_total", "shop", "store", "returned"): 999,
        ("aiojobs_jobs_total", "shop", "store", "raised"): 1,
        ("aiojobs_job_wait_seconds_count", "shop", "store"): 1000,
        ("aiojobs_job_run_seconds_count", "shop", "store"): 1000,
        ("aiojobs_job_wait_seconds_count", "mail", "rests"): 1,
        ("aiojobs_job_run_seconds_count", "mail", "rests"): 0,
        ("aiojobs_jobs_running", "shop"): 0,
        ("aiojobs_jobs_running", "mail"): 1,
        ("aiojobs_jobs_pending", "shop"): 0,
        ("aiojobs_jobs_pending", "mail"): 0,
        ("aiojobs_spawns_blocked", "shop"): 0,
        ("aiojobs_spawns_blocked", "mail"): 0,
        ("aiojobs_jobs_limit", "shop"): 2,
        ("aiojobs_jobs_limit", "mail"): math.inf,
    }


@pytest.mark.loops("stock")
async def test_names_types_and_units_are_by_the_conventions(registry, port):
    async with observed(Metrics(registry=registry)) as scheduler:
        await scheduler.spawn(store(1))
        await scheduler.idle()
        families = await asyncio.to_thread(fetch, port)
    own = {family.name: family.type for family in families if not family.name.endswith("_created")}
    assert own == {
        "aiojobs_jobs": "counter",  # the parser takes off the _total that a counter has to have
        "aiojobs_job_wait_seconds": "histogram",
        "aiojobs_job_run_seconds": "histogram",
        "aiojobs_jobs_running": "gauge",
        "aiojobs_jobs_pending": "gauge",
        "aiojobs_jobs_limit": "gauge",
        "aiojobs_spawns_blocked": "gauge",
    }
    assert all(family.documentation for family in families)


def test_a_scrape_of_one_metric_has_that_alone(registry):
    scheduler = observed(Metrics("shop", registry=registry), limit=7)
    found = samples(registry.restricted_registry(["aiojobs_jobs_limit"]).collect())
    assert found == {("aiojobs_jobs_limit", "shop"): 7}
    assert len(scheduler) == 0


# Times and outcomes.


def outcomes(registry):
    found = samples(registry.collect(), "_total")
    return {labels[-1]: value for labels, value in found.items() if value}


@pytest.mark.requirement("SEE-1", "START-2", "SPAWN-6")
async def test_each_job_has_waited_and_those_that_started_have_run(registry):
    metrics = Metrics("shop", registry=registry)
    async with observed(metrics, limit=1, exception_handler=lambda *_: None) as shop:
        await shop.spawn(rests(2))
        await shop.spawn(rests(60), timeout=3)
        await shop.spawn(rests(60))
        dropped = await shop.spawn(rests(60))
        await asyncio.sleep(6)
        await dropped.close()
        await shop.close()
    found = samples(registry.collect(), "_sum", "_count")
    assert found == {
        ("aiojobs_job_wait_seconds_count", "shop", "rests"): 4,
        ("aiojobs_job_wait_seconds_sum", "shop", "rests"): 0 + 2 + 5 + 6,
        ("aiojobs_job_run_seconds_count", "shop", "rests"): 3,
        ("aiojobs_job_run_seconds_sum", "shop", "rests"): 2 + 3 + 1,
    }
    assert outcomes(registry) == {"returned": 1, "timed_out": 1, "cancelled": 1, "never_started": 1}


async def test_a_job_that_takes_long_to_stop_has_run_until_it_stopped(registry):
    async def lingers():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(5)

    async with observed(Metrics("shop", registry=registry), close_timeout=10) as shop:
        job = await shop.spawn(lingers())
        await asyncio.sleep(1)
        await job.close()
    ((_, run),) = samples(registry.collect(), "_run_seconds_sum").items()
    assert run == 6


async def test_buckets_are_as_asked_for(registry):
    async with observed(Metrics("shop", registry=registry, buckets=(1, 10))) as shop:
        await shop.spawn(rests(5))
    buckets = [
        (sample.labels["le"], sample.value)
        for family in registry.collect()
        if family.name == "aiojobs_job_run_seconds"
        for sample in family.samples
        if sample.name.endswith("_bucket")
    ]
    assert buckets == [("1.0", 0), ("10.0", 1), ("+Inf", 1)]


# Gauges.


def gauges(registry, name="shop"):
    found = samples(registry.collect())
    kinds = ("jobs_running", "jobs_pending", "spawns_blocked", "jobs_limit")
    return [found.get((f"aiojobs_{kind}", name)) for kind in kinds]


@pytest.mark.requirement("BOOK-1", "LIMIT-7")
async def test_gauges_say_what_is_so_when_they_are_scraped(registry):
    shop = observed(Metrics("shop", registry=registry), limit=2, pending_limit=3)
    assert gauges(registry) == [0, 0, 0, 2]
    calls = [asyncio.ensure_future(shop.spawn(rests(9))) for _ in range(9)]
    await settle()
    assert gauges(registry) == [2, 3, 4, 2]
    shop.set_limit(4)
    assert gauges(registry) == [4, 3, 2, 4]
    shop.set_limit(None)
    assert gauges(registry) == [9, 0, 0, math.inf]
    await asyncio.gather(*calls)
    await shop.close()
    assert gauges(registry) == [None] * 4


@pytest.mark.requirement("SHUT-2")
async def test_a_closed_scheduler_has_gauges_as_long_as_a_job_of_it_runs(registry):
    async def stays():
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    shop = observed(
        Metrics("shop", registry=registry), close_timeout=1, limit=1, exception_handler=lambda *_: None
    )
    job = await shop.spawn(stays())
    await settle()
    await shop.close()
    assert gauges(registry) == [1, 0, 0, 1]
    await job.wait()
    assert gauges(registry) == [None] * 4


async def test_schedulers_of_one_name_are_added_up(registry):
    metrics = Metrics(registry=registry)
    assert metrics.named("request") is metrics.named("request")
    async with (
        observed(metrics.named("request"), limit=2) as one,
        observed(metrics.named("request"), limit=3) as two,
    ):
        for scheduler in (one, one, two):
            await scheduler.spawn(rests(1))
        assert gauges(registry, "request") == [3, 0, 0, 5]
    assert outcomes(registry) == {"returned": 3}


# What does not grow.


@pytest.mark.requirement("BOOK-3")
async def test_tasks_beyond_the_bound_share_one_label(registry):
    async def work():
        pass

    metrics = Metrics("shop", registry=registry, max_tasks=2)
    async with observed(metrics) as shop:
        for number in (1, 2, 3, 4, 1):
            coro = work()
            coro.__qualname__ = f"work {number}"
            await shop.spawn(coro)
    found = samples(registry.collect(), "_total")
    returned = {labels[2]: value for labels, value in found.items() if labels[3] == "returned"}
    assert returned == {"work 1": 2, "work 2": 1, "other": 2}


@pytest.mark.requirement("BOOK-3")
def test_a_scheduler_that_goes_away_leaves_nothing_but_its_counters(registry):
    metrics = Metrics("shop", registry=registry)

    async def main():
        scheduler = observed(metrics, limit=1)
        await scheduler.spawn(asyncio.Event().wait())
        await scheduler.spawn(asyncio.Event().wait())
        return weakref.ref(scheduler), [weakref.ref(job) for job in scheduler]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        scheduler, jobs = runner.run(main())
    gc.collect()
    assert scheduler() is None
    assert [job() for job in jobs] == [None, None]
    assert gauges(registry) == [None] * 4
    # The runner has cancelled the job that ran. The next was started by that, and has never ended.
    assert outcomes(registry) == {"cancelled": 1}


def test_what_another_thread_does_during_a_scrape_does_no_harm(registry):
    metrics = Metrics("shop", registry=registry)
    kept = []

    class Scraped(Scheduler):
        @property
        def active_count(self):
            kept.append(observed(metrics.named(f"more {len(kept)}")))
            kept.append(observed(metrics))
            return 7

    kept.append(Scraped(observer=metrics))
    assert gauges(registry) == [7, 0, 0, 100]
    assert gauges(registry, "more 1") == [0, 0, 0, 100]


# What makes no sense.


def test_a_registry_has_these_metrics_once_and_the_error_says_what_to_do(registry):
    Metrics("shop", registry=registry)
    with pytest.raises(ValueError, match=r"make the observers of further schedulers by named\(\)"):
        Metrics("mail", registry=registry)


@pytest.mark.parametrize("arguments", [{"max_tasks": 0}, {"buckets": (3, 2, 1)}, {"buckets": ()}])
def test_what_makes_no_sense_is_refused_and_registers_nothing(registry, arguments):
    with pytest.raises(ValueError):
        Metrics("shop", registry=registry, **arguments)
    assert list(registry.collect()) == []


# Many processes.


async def test_in_multiprocess_mode_the_gauges_are_written_after_each_step(registry, monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    shop = observed(Metrics("shop", registry=registry), limit=1, pending_limit=1)
    assert gauges(registry) == [0, 0, 0, 1]
    calls = [asyncio.ensure_future(shop.spawn(rests(1))) for _ in range(4)]
    await settle()
    assert gauges(registry) == [1, 1, 0, 1]  # nothing has happened since the calls were blocked
    await asyncio.sleep(1)
    assert gauges(registry) == [1, 1, 1, 1]
    await asyncio.gather(*calls)
    await shop.wait_and_close()
    assert gauges(registry) == [0, 0, 0, 0]


WORKER = """
import asyncio, sys
from aiojobs import Scheduler
from aiojobs.prometheus import Metrics

async def order():
    pass

async def main():
    scheduler = Scheduler(limit=3, observer=Metrics("shop"))
    for _ in range(5):
        await scheduler.spawn(order())
    await scheduler.idle()
    for _ in range(4):
        await scheduler.spawn(asyncio.Event().wait())
    print("ready", flush=True)
    sys.stdin.readline()

asyncio.run(main())
"""


@pytest.mark.requirement("SEE-1")
def test_processes_are_added_up_and_those_that_have_died_run_nothing(registry, monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [worker.stdout.readline() for worker in workers] == [b"ready\n", b"ready\n"]
    MultiProcessCollector(registry)
    assert gauges(registry) == [6, 2, 0, 6]
    workers[0].communicate(b"\n")
    prometheus_client.multiprocess.mark_process_dead(workers[0].pid)
    assert gauges(registry) == [3, 1, 0, 3]
    workers[1].communicate(b"\n")
    assert outcomes(registry)["returned"] == 10
    assert [worker.returncode for worker in workers] == [0, 0]


# In a web application.


@pytest.mark.loops("stock")
async def test_the_scheduler_of_an_aiohttp_application_is_observed_and_scraped_by_the_handler_of_the_client(
    registry,
):
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer
    from prometheus_client.aiohttp import make_aiohttp_handler

    from aiojobs.aiohttp import setup, spawn

    async def accept(request):
        await (await spawn(request, store(1))).wait()
        return web.Response(status=202)

    app = web.Application()
    setup(app, limit=4, observer=Metrics("web", registry=registry))
    app.router.add_post("/orders", accept)
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    async with TestClient(TestServer(app)) as client:
        async with client.post("/orders") as answer:
            assert answer.status == 202
        async with client.get("/metrics") as answer:
            found = samples(text_string_to_metric_families(await answer.text()))
    assert found["aiojobs_jobs_total", "web", "store", "returned"] == 1
    assert found["aiojobs_jobs_limit", "web"] == 4
