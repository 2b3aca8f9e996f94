"""The recipes of the page on logging with the real structlog and the real Sentry, which keeps what it would send.

Time is virtual: what is dropped at the end depends on it.
"""

import asyncio
import json
import os
import subprocess
import sys

import pytest
import sentry_sdk

import aiojobs.testing
from compat.sentry import DSN, Kept
from docs import pages
from support.library import SOURCES

PAGE = "docs/howto/logging.md"
STRUCTURED = "structured.py"
REPORTING = "reporting.py"

ON_VIRTUAL_TIME = "import asyncio, aiojobs.testing; asyncio.run = aiojobs.testing.run\n"

pytestmark = pytest.mark.loops("stock")


def source(name):
    (found,) = [file.source for file in pages.files(PAGE) if file.name == name]
    return found


@pytest.mark.requirement("SPAWN-4", "SHUT-7", "EXC-1")
def test_structlog_has_what_was_bound_where_a_job_was_spawned():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ON_VIRTUAL_TIME + source(STRUCTURED)],
        env={**os.environ, "PYTHONPATH": SOURCES},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    first, failed, second, dropped = map(json.loads, done.stdout.splitlines())
    assert (first["event"], first["order"], first["request"]) == ("sending", 1, 1)
    assert (second["event"], second["order"], second["request"]) == ("sending", 60, 60)
    assert failed.pop("exception").endswith("LookupError: no such order")
    assert failed == {
        "event": "Job processing failed",
        "job": "order 1",
        "task": "send",
        "request": 1,
        "level": "error",
        "logger": "__main__",
    }
    assert dropped["event"].startswith("Closing dropped accepted work: 1 cancelled in ")
    assert (dropped["level"], dropped["logger"]) == ("warning", "aiojobs")
    assert dropped["shutdown_report"].startswith("1 cancelled in ")
    shown = next(block for block in pages.texts(PAGE) if block.startswith("{"))
    assert pages.Example(PAGE, 0, "", shown).says(done.stdout), done.stdout


@pytest.fixture
def kept(monkeypatch):
    """Runs the program of the page with a transport that keeps what it would send, and returns that."""
    transport, really_init = Kept(), sentry_sdk.init
    monkeypatch.setattr(sentry_sdk, "init", lambda _dsn: really_init(DSN, transport=transport))
    monkeypatch.setattr(asyncio, "run", aiojobs.testing.run)
    exec(compile(source(REPORTING), PAGE, "exec"), {"__name__": "__main__"})
    sentry_sdk.get_client().close()
    return transport


@pytest.mark.requirement("EXC-1", "SHUT-7")
def test_sentry_hears_of_each_failure_once_with_its_job_and_of_what_was_dropped(kept):
    failures = [event for event in kept.payloads("event") if "exception" in event]
    messages = [event for event in kept.payloads("event") if "exception" not in event]
    told = [
        (event["exception"]["values"][-1]["value"], event["tags"], event["contexts"]["job"])
        for event in failures
    ]
    assert told == [
        ("no such order", {"order": 1, "task": "send"}, {"name": "order 1", "outcome": "raised"}),
        ("no such order", {"order": 2, "task": "send"}, {"name": "order 2", "outcome": "raised"}),
    ]
    ((level, message),) = [(event["level"], event["message"]) for event in messages]
    assert (level, message[:58]) == ("warning", "jobs dropped at shutdown: 1 cancelled, 2 never started in ")
