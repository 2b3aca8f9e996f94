"""The trace writer: each record is a line, each announced call is two, and the last line says what is left."""

import asyncio
import io
import json
import re

import pytest

from aiojobs import Scheduler, tracing
from aiojobs.testing import settle
from aiojobs.tracing import TraceWriter
from support.observing import Complaints


def parsed(text):
    """Header, lines, and the last line of a trace."""
    header, *lines, end = map(json.loads, text.splitlines())
    return header, lines, end


async def test_a_trace_tells_every_record_in_order():
    file, records = io.StringIO(), []
    writer = TraceWriter(file, limit=1, pending_limit=2)

    def observe(record):
        records.append(record)
        writer(record)

    async with Scheduler(limit=1, pending_limit=2, observer=observe) as scheduler:
        jobs = [await scheduler.spawn(settle(2), name) for name in ("one", None, "three")]
        await jobs[2].close()
    writer.end()
    header, lines, end = parsed(file.getvalue())
    assert header == {
        "format": "aiojobs-trace",
        "version": 2,
        "limit": 1,
        "pending_limit": 2,
        "calls": False,
        "spec": tracing.SPEC_DIGEST,
    }
    told = [(line["event"], line["source"], line["dest"]) for line in lines]
    assert told == [(record.event, record.source, record.dest) for record in records]
    assert [line["name"] for line in lines if "name" in line] == ["one", "three"]
    assert [line["job"] for line in lines if line["event"] == "accept"] == [1, 2, 3]
    assert [line["job"] for line in lines[-2:]] == [None, None]
    assert end == {"end": len(records), "jobs": [], "calls": []}


@pytest.mark.requirement("BOOK-3")
async def test_the_writer_keeps_nothing_of_jobs_that_have_ended():
    writer = TraceWriter(io.StringIO(), limit=1, pending_limit=0)
    async with Scheduler(limit=1, pending_limit=0, observer=writer) as scheduler:
        first = await scheduler.spawn(asyncio.sleep(1))
        second = await scheduler.spawn(asyncio.sleep(1))
        assert [*writer._numbers] == [first, second]
        await first
        assert [*writer._numbers] == [second]
    assert writer._numbers == {}


async def test_a_trace_that_ends_early_says_what_is_left(tmp_path):
    path = tmp_path / "trace.jsonl"
    with TraceWriter.to_file(path, limit=1, pending_limit=1, calls=True) as writer:
        scheduler = Scheduler(limit=1, pending_limit=1, observer=writer)

        async def spawned(name):
            with writer.call(name):
                return await scheduler.spawn(asyncio.sleep(9), name)

        await spawned("runs")
        await spawned("waits")
        blocked = asyncio.create_task(spawned("blocked"))
        await settle()
    text = path.read_text("utf-8")
    assert parsed(text)[2] == {"end": 8, "jobs": [1, 2], "calls": ["blocked"]}
    # The scheduler goes on without its trace: that the file is closed is reported, and does no harm.
    with Complaints() as complaints:
        await scheduler.close()
        with pytest.raises(ValueError, match="closed file"):
            await blocked
    assert {str(context["exception"]) for context in complaints.calls} == {"I/O operation on closed file."}
    assert path.read_text("utf-8") == text


async def test_a_call_is_announced_and_answered_by_what_the_body_does():
    file = io.StringIO()
    writer = TraceWriter(file, limit=None, pending_limit=0, calls=True)
    with writer.call("good"):
        pass
    with pytest.raises(KeyError), writer.call("bad"):
        raise KeyError
    writer.end()
    header, lines, _ = parsed(file.getvalue())
    assert (header["limit"], header["pending_limit"], header["calls"]) == (None, 0, True)
    assert [(line["call"], line["event"], line.get("error")) for line in lines] == [
        ("good", "call", None),
        ("good", "return", None),
        ("bad", "call", None),
        ("bad", "raise", "KeyError"),
    ]


async def test_time_is_that_since_the_first_line():
    file = io.StringIO()
    writer = TraceWriter(file, limit=None, pending_limit=0, calls=True)
    await asyncio.sleep(5)
    with writer.call("a"):
        await asyncio.sleep(1.25)
    writer.end()
    assert [line["time"] for line in parsed(file.getvalue())[1]] == [0.0, 1.25]


async def test_names_of_calls_that_are_under_way_differ():
    writer = TraceWriter(io.StringIO(), limit=1, pending_limit=1, calls=True)
    with writer.call("a"), pytest.raises(ValueError, match="is under way"), writer.call("a"):
        raise AssertionError("not reached")
    with writer.call("a"):
        assert [*writer._calls] == ["a"]


async def test_calls_are_announced_only_if_the_header_says_so():
    file = io.StringIO()
    writer = TraceWriter(file, limit=1, pending_limit=1)
    with pytest.raises(ValueError, match="calls=True"), writer.call("a"):
        raise AssertionError("not reached")
    assert len(file.getvalue().splitlines()) == 1


def test_a_call_that_could_not_be_written_is_not_under_way():
    writer = TraceWriter(io.StringIO(), limit=1, pending_limit=1, calls=True)
    with pytest.raises(RuntimeError, match="no running event loop"), writer.call("a"):
        raise AssertionError("not reached")
    assert writer._calls == {}


async def test_the_page_of_the_format_shows_every_kind_of_line_with_its_keys(tmp_path):
    path = tmp_path / "trace.jsonl"
    with TraceWriter.to_file(path, limit=1, pending_limit=1, calls=True) as writer:
        async with Scheduler(limit=1, pending_limit=1, observer=writer) as scheduler:
            scheduler.set_limit(2)
            with writer.call("a"):
                await scheduler.spawn(settle(), "a")
        with pytest.raises(RuntimeError, match="after closing"), writer.call("b"):
            await scheduler.spawn(settle(), "b")
    shown = re.findall(r"^    (\{.*?\})$", tracing.__doc__.replace("\n     ", " "), re.MULTILINE)
    written = {tuple(json.loads(line)) for line in path.read_text("utf-8").splitlines()}
    assert {tuple(json.loads(line)) for line in shown} == written
    assert len(shown) == 9


@pytest.mark.requirement("LIMIT-7")
async def test_a_limit_that_moves_is_told_before_what_comes_of_it():
    file = io.StringIO()
    writer = TraceWriter(file, limit=1, pending_limit=2, calls=True)
    async with Scheduler(limit=1, pending_limit=2, observer=writer) as scheduler:
        for name in ("one", "two"):
            with writer.call(name):
                await scheduler.spawn(settle(), name)
        scheduler.set_limit(4)
        scheduler.set_limit(None)
        scheduler.set_limit(None)
        with writer.call("three"):
            await scheduler.spawn(settle(), "three")
        scheduler.set_limit(1)
    writer.end()
    told = [line.get("event") or line["limit"] for line in parsed(file.getvalue())[1]]
    spawned = ["call", "accept", "start", "return"]
    assert told[:7] == [*spawned, "call", "accept", "return"]
    assert told[7:14] == [4, "start", None, *spawned]
    assert told[14] == 1
    assert told.count(1) == 1


async def test_a_writer_inside_of_another_observer_does_not_know_the_scheduler():
    file = io.StringIO()
    writer = TraceWriter(file, limit=1, pending_limit=0)
    async with Scheduler(limit=1, observer=lambda record: writer(record)) as scheduler:
        scheduler.set_limit(2)
    writer.end()
    assert [line["event"] for line in parsed(file.getvalue())[1]] == ["close", "settled"]

