"""The programs of the pages that set up a whole process: each is run by itself, and says what the page says."""

import os
import re
import socket
import subprocess
import sys
import urllib.request

import pytest

from docs import pages
from support.library import SOURCES

METRICS = "docs/howto/metrics.md"
TRACES = "docs/howto/trace-with-opentelemetry.md"
LOGGING = "docs/howto/logging.md"


@pytest.fixture
def start(tmp_path):
    """Starts a program of a page, after replacing some text of it."""
    started = []

    def start(page, name, *replaced):
        pages.write_files(page, tmp_path)
        file = tmp_path / name
        source = file.read_text(encoding="utf-8")
        for old, new in replaced:
            assert source.count(old) == 1
            source = source.replace(old, new)
        file.write_text(source, encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-W", "error", name],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": SOURCES, "PYTHONASYNCIODEBUG": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def shown(page, name):
    """The block of text that follows a file on its page."""
    return pages.text(page).split(f"<!-- file {name},", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.requirement("SEE-1")
def test_the_service_of_the_page_is_scraped(start):
    name, port = "shop.py", free_port()
    process = start(METRICS, name, ("start_http_server(9000)", f"start_http_server({port}, '127.0.0.1')"))
    assert process.stdout.readline() == "all sent\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines(keepends=True)
    own = [line for line in lines if line.startswith("aiojobs_jobs") and "_created" not in line]
    assert "".join(own) == shown(METRICS, name)


def test_the_spans_of_the_page_hang_together_as_it_shows(start):
    name = "traced.py"
    printed, _ = start(TRACES, name).communicate()
    assert shape(printed) == shape(shown(TRACES, name))


def shape(text):
    """Spans with their numbers replaced by the order in which they come."""
    numbers = {}
    return re.sub(
        r"\b[0-9a-f]{13,16}\b", lambda found: f"#{numbers.setdefault(found[0], len(numbers))}", text
    )


def test_the_figures_of_the_page_are_those_that_it_shows(start):
    name = "measured.py"
    printed, _ = start(TRACES, name).communicate()
    assert sorted(printed.splitlines()) == sorted(shown(TRACES, name).splitlines())


@pytest.mark.requirement("SHUT-7", "EXC-1")
def test_the_log_of_the_page_is_what_it_shows(start):
    name = "plain.py"
    printed, logged = start(LOGGING, name).communicate()
    assert printed == ""
    without_markers = re.sub(r"^ +[~^]+\n", "", logged, flags=re.MULTILINE)  # which newer versions add
    assert pages.Example(LOGGING, 0, "", shown(LOGGING, name)).says(without_markers), logged


MESSAGES = re.compile(
    r'(?:_log\.\w+\(|"logging", warning,|_about\(job,|(?:^ +|\{)"message":|\bmessage =(?=.* if job)|RAISED else)'
    r'\s*f?"([^"]+)"',
    re.MULTILINE,
)
"""Where the library logs, or hands something to a handler that does."""


def test_the_page_on_logging_has_every_message_that_the_library_logs():
    sources = "".join(path.read_text(encoding="utf-8") for path in (pages.ROOT / "src/aiojobs").glob("*.py"))
    fixed = [
        max(re.split(r"%[sdg]|\{[^}]*\}", message), key=len).strip(" :,(")
        for message in MESSAGES.findall(sources)
    ]
    assert {"Job processing failed", "Closing dropped accepted work", "shutdown"} <= set(fixed)
    table = pages.section(LOGGING, "## What is logged by whom")
    assert [message for message in fixed if message not in table] == []
