"""A program that writes a trace."""

import asyncio
import io
from pathlib import Path
from typing import assert_type

from aiojobs import Observer, Scheduler
from aiojobs.tracing import FORMAT, VERSION, TraceWriter


async def main() -> None:
    """A writer to a file, and one to anything that text can be written to."""
    with TraceWriter.to_file(Path("trace.jsonl"), limit=1, pending_limit=10, calls=True) as trace:
        assert_type(trace, TraceWriter)
        async with Scheduler(limit=1, pending_limit=10, observer=trace) as scheduler:
            with trace.call("tea") as nothing:
                assert_type(nothing, None)
                await scheduler.spawn(asyncio.sleep(1), name="tea")
            trace.call(7)  # error: mypy[arg-type] pyright[reportArgumentType]


with io.StringIO() as file:
    observer: Observer = TraceWriter(file, limit=None, pending_limit=0)
    TraceWriter(file, limit=None, pending_limit=0).end()
    TraceWriter(file)  # error: mypy[call-arg] pyright[reportCallIssue]
    TraceWriter(io.BytesIO(), limit=1, pending_limit=0)  # error: mypy[arg-type] pyright[reportArgumentType]
to_file = TraceWriter.to_file
to_file("trace", limit=1, pending_limit=0)  # error: mypy[arg-type] pyright[reportArgumentType]
text: str = FORMAT
number: int = VERSION
asyncio.run(main())
