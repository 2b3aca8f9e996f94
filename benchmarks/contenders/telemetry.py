"""OpenTelemetry's SDK as the contenders use it: it keeps what it is told, and exports nowhere.

Deliberately not here: exporters. What they cost depends on where to, and is the same for everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["meters", "tracers"]


@contextmanager
def meters() -> Iterator[MeterProvider]:
    """Keeps figures for a reader that nobody asks."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    try:
        yield provider
    finally:
        provider.shutdown()


@contextmanager
def tracers() -> Iterator[TracerProvider]:
    """Records each span, and hands it to nobody."""
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(shutdown_on_exit=False)
    try:
        yield provider
    finally:
        provider.shutdown()
