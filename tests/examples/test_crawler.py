"""The crawler: what it fetches, how far it is on a terminal, and what Ctrl-C leaves undone."""

import os
import re
import subprocess
import sys

import pytest

from .test_examples import ROOT, environment, run, said

PAGES = 47
SLOW = """
import asyncio, signal
from examples import crawler, sites

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the run of the tests was started with
sites.SECONDS = 0.3
asyncio.run(crawler.main())
"""


def test_every_page_is_fetched_politely():
    assert run("crawler") == said("crawler")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo terminals")
def test_ctrl_c_fetches_what_was_found_and_follows_no_more_links():
    pty = pytest.importorskip("pty")
    # Time is real because it is a terminal, and a server.
    ours, theirs = pty.openpty()
    command = [sys.executable, "-W", "error", "-c", SLOW]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = ""
        while not re.search(r"\] [1-9]\d* of \d+", shown):
            shown += os.read(ours, 1000).decode()
        process.send_signal(2)
        shown += read_to_the_end(ours)
    os.close(ours)
    assert process.returncode == 0, shown
    found = int(re.findall(r" of (\d+)", shown)[-1])
    ((pages, broken),) = re.findall(r"(\d+) pages, (\d+) broken link", shown)
    assert found <= int(pages) + int(broken) < PAGES


def read_to_the_end(terminal):
    """What comes until the other side has been closed, which Linux calls an error."""
    read = b""
    try:
        while some := os.read(terminal, 1000):
            read += some
    except OSError:
        pass
    return read.decode()
