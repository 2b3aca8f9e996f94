"""Datadog's tracer without its agent: what would be sent is kept."""

import os

from compat.datadog_settings import QUIET

os.environ.update(QUIET)

from ddtrace import patch, tracer
from ddtrace.trace import TraceFilter

from compat.tools import Tool


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
    """The same, outside of any span."""

    async def program(self, main):
        patch(asyncio=True)
        KEPT.spans.clear()
        await main()
