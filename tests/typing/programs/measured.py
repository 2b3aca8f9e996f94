"""Metrics and spans as a user writes them."""

import contextvars
from collections.abc import Coroutine
from typing import Any, assert_type

from opentelemetry.metrics import get_meter_provider
from opentelemetry.trace import get_tracer_provider
from prometheus_client import CollectorRegistry

import aiojobs
from aiojobs import opentelemetry, prometheus


async def count() -> int:
    return 1


async def main(registry: CollectorRegistry, context: contextvars.Context) -> None:
    metrics = prometheus.Metrics("shop", registry=registry, buckets=[0.1, 1], max_tasks=10)
    shop = aiojobs.Scheduler(observer=metrics)
    mail = aiojobs.Scheduler(observer=metrics.named("mail"))
    metrics.attach(mail)
    tracing = opentelemetry.Tracing(tracer_provider=get_tracer_provider(), linked=True)
    both = aiojobs.Scheduler(observer=[opentelemetry.Metrics(meter_provider=get_meter_provider()), tracing])

    job = await tracing.spawn(shop, count(), "one", context=context, timeout=1, drain=False)
    assert_type(job, aiojobs.Job[int])
    assert_type(await job, int)
    assert_type(tracing.spawn_nowait(both, count()), aiojobs.Job[int])
    assert_type(prometheus.BUCKETS[0], float)

    await tracing.spawn(coro=count())  # error: mypy[call-arg] pyright[reportCallIssue]
    await tracing.spawn(shop, count)  # error: mypy[arg-type] pyright[reportArgumentType]
    prometheus.Metrics(shop)  # error: mypy[arg-type] pyright[reportArgumentType]
    prometheus.Metrics(register=registry)  # error: mypy[call-arg] pyright[reportCallIssue]
    opentelemetry.Tracing(get_tracer_provider())  # error: mypy[call-arg] pyright[reportCallIssue]


def spawn_traced(scheduler: aiojobs.Scheduler, coro: Coroutine[Any, Any, str]) -> None:
    assert_type(opentelemetry.Tracing().spawn_nowait(scheduler, coro), aiojobs.Job[str])
