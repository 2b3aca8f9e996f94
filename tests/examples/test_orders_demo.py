"""The demonstration: what it promises, that its trace is a trace of it, and that it notices a loss."""

import importlib
import io
import json
import re

import pytest

from aiojobs import Scheduler
from aiojobs._lifecycle import PHASES, SPEC_DIGEST, TRANSITIONS
from aiojobs.testing import settle
from aiojobs.tracing import TraceWriter

from .test_examples import ROOT, run


@pytest.fixture
def demo(monkeypatch):
    """The module, in this process."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("examples.orders_demo")


def figures(text):
    """The table at the end, by label."""
    rows = re.findall(r"^ *([a-z][^\n]*?) {2,}([\d.]+)(?: of \d+)?$", text, re.MULTILINE)
    return {label: float(value) for label, value in rows}


def replay(lines):
    """Go through a trace as its format says; returns the numbers of the jobs by the state they ended in."""
    header, *records, end = map(json.loads, lines)
    assert set(header) == {"format", "version", "limit", "pending_limit", "calls", "spec"}
    assert (header["format"], header["version"], header["spec"]) == ("aiojobs-trace", 2, SPEC_DIGEST)
    assert end == {"end": len(records), "jobs": [], "calls": []}
    states, ended, phase, clock, starts = {}, {}, "open", 0.0, []
    for record in records:
        if "call" in record:
            continue
        assert list(record)[:5] == ["job", "event", "source", "dest", "time"]
        job, event, source, dest, time = list(record.values())[:5]
        assert time >= clock
        clock = time
        if job is None:
            assert source == phase
            assert PHASES[source][event] == dest
            phase = dest
            continue
        if event == "accept":
            assert (source, dest, phase) == (None, "pending", "open")
            assert job == len(states) + len(ended) + 1
        else:
            assert states.pop(job) == source
            assert TRANSITIONS[source][event] == dest
            assert dest != source
        (ended if dest in {"done", "closed"} else states)[job] = dest
        if event == "start":
            starts.append(job)
        held = list(states.values())
        assert held.count("active") + held.count("closing") <= header["limit"]
    assert starts == sorted(starts)
    assert (states, phase) == ({}, "closed")
    return ended


@pytest.mark.requirement("SPAWN-1", "WAIT-1", "SHUT-4", "LIMIT-1", "LIMIT-3")
def test_nothing_is_lost_under_load_and_the_trace_tells_the_same(tmp_path):
    trace = tmp_path / "trace.jsonl"
    text = run("orders_demo", "--orders", "240", "--clients", "40", "--trace", str(trace))
    found = figures(text)
    assert text.endswith("Nothing was lost.\n")
    assert found["accepted and lost"] == 0
    assert found["stored without being accepted"] == 0
    assert found["orders accepted"] == found["orders stored"] >= found["answered 202"] > 0
    assert found["disconnected in mid-request"] > 0
    assert found["refused, server closed"] > 0
    assert 0 < found["most jobs running at once"] <= 8
    assert 0 < found["most jobs queued at once"] <= 24
    answers = ("answered 202", "disconnected in mid-request", "refused, 503", "refused, server closed")
    assert found["orders sent"] == 240 == sum(found[label] for label in answers)
    ended = list(replay(trace.read_text(encoding="utf-8").splitlines()).values())
    assert ended.count("done") == found["orders accepted"]
    assert len(ended) == found["accept: new -> pending"]


def test_an_order_that_is_lost_is_noticed(demo, monkeypatch, capsys):
    def forget(book, number, item):
        if number % 10 != 4:
            write(book, number, item)

    book = importlib.import_module("examples.order_book").OrderBook
    write = book.write
    monkeypatch.setattr(book, "write", forget)
    assert demo.main(["--orders", "40", "--clients", "10"]) == 1
    printed = capsys.readouterr().out
    assert "BROKEN" in printed
    assert re.search(r"accepted orders were lost: \[4,", printed)
    assert "Nothing was lost" not in printed


def test_an_order_that_nobody_promised_is_noticed(demo, monkeypatch, capsys):
    stored = demo.stored_orders
    monkeypatch.setattr(demo, "stored_orders", lambda database: {10**6} | stored(database))
    assert demo.main(["--orders", "8", "--clients", "4"]) == 1
    assert "1 orders were stored without being accepted" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--orders", "3"], ["--clients", "0"], ["--orders", "many"], ["--unknown"]]
)
def test_arguments_that_make_no_sense_are_refused(demo, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        demo.main(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda lines: [*lines[:1], *lines[2:]], id="the first accept is missing"),
        pytest.param(lambda lines: [*lines[:2], *lines[3:]], id="the first start is missing"),
        pytest.param(lambda lines: lines[:-1], id="the end is missing"),
        pytest.param(lambda lines: [lines[0].replace('"limit": 1', '"limit": 0'), *lines[1:]], id="too many"),
        pytest.param(lambda lines: [line.replace('"job": 2', '"job": 3') for line in lines], id="a gap"),
        pytest.param(lambda lines: [line.replace("finish", "cancel") for line in lines], id="another event"),
    ],
)
async def test_the_replay_refuses_a_trace_that_was_tampered_with(demo, wrong):
    file = io.StringIO()
    trace = TraceWriter(file, limit=1, pending_limit=0)
    async with Scheduler(limit=1, pending_limit=0, observer=trace) as scheduler:
        await scheduler.spawn(settle(2))
        await scheduler.spawn(settle(2))
    trace.end()
    lines = file.getvalue().splitlines()
    assert replay(lines) == {1: "done", 2: "done"}
    with pytest.raises((AssertionError, KeyError)):
        replay(wrong(lines))
