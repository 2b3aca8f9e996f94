"""Datadog's tracer without its agent: what would be sent is kept."""

import os

QUIET = {
    "DD_TRACE_STARTUP_LOGS": "false",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_CRASHTRACKING_ENABLED": "false",
    "DD_RUNTIME_METRICS_ENABLED": "false",
    # Nothing listens there. No span is sent; whatever else wants to be finds nobody.
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
}
"""Nothing but spans. The tracer reads this when it is imported."""

os.environ.update(QUIET)

from ddtrace import patch, tracer  # noqa: E402
from ddtrace.trace import TraceFilter  # noqa: E402

from compat.tools import Tool  # noqa: E402


class Kept(TraceFilter):
    """Takes what the tracer would send over the network."""

    def __init__(self):
        self.spans = []

    def process_trace(self, trace):
        self.spans.extend(trace)


KEPT = Kept()
tracer.configure(trace_processors=[KEPT])


class Datadog(Tool):
    """`patch(asyncio=True)`, and the program inside a span: only there tasks are wrapped."""

    async def program(self, main):
        patch(asyncio=True)
        KEPT.spans.clear()
        with tracer.trace("program"):
            await main()


class Idle(Tool):
    """Patched, but nobody traces."""

    async def program(self, main):
        patch(asyncio=True)
        await main()
