"""A Starlette service on uvicorn, started with `ddtrace-run` as a process of its own, and ended with SIGTERM."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from compat.datadog_settings import QUIET
from support.library import SOURCES

TESTS = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent

TOO_LONG = 60
"""Seconds after which the service hangs: starting takes two or three, ending as long as its orders."""


class Service:
    """The process."""

    def __init__(self, folder, loop):
        self.orders = folder / "orders"
        self.log = folder / "log"
        environment = {
            **os.environ, **QUIET,
            "ORDERS": str(self.orders), "PYTHONPATH": f"{TESTS}{os.pathsep}{SOURCES}",
        }  # fmt: skip
        serve = [SCRIPTS / "uvicorn", "compat.orders_app:app", "--loop", loop, "--port", "0"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [SCRIPTS / "ddtrace-run", *serve], cwd=folder, env=environment, stdout=log, stderr=log
            )

    def address(self):
        """Where it listens, once it does."""
        end = time.monotonic() + TOO_LONG
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(r"running on (http://\S+)", self.log.read_text())
            if found:
                return found[1]
            time.sleep(0.05)
        pytest.fail(f"the service did not start:\n{self.log.read_text()}")

    def done(self):
        """The orders that are done, and what ran them."""
        lines = self.orders.read_text().splitlines() if self.orders.exists() else []
        return dict(line.split() for line in lines)


WRAPPED = {"asyncio": True, "uvloop": False}
"""On which loops the tracer wraps tasks: it replaces a method that uvloop does not have from asyncio."""


@pytest.fixture(params=WRAPPED)
def loop(request):
    return request.param


@pytest.fixture
def service(tmp_path, loop):
    started = Service(tmp_path, loop)
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()


@pytest.mark.requirement("START-3", "SHUT-4", "SHUT-6")
def test_every_order_that_was_accepted_is_done_before_the_process_ends(service, loop):
    with httpx2.Client(base_url=service.address(), trust_env=False, timeout=5) as client:
        answers = [client.post(f"/orders/{number}").status_code for number in range(7)]
        assert answers == [202] * 7
        assert len(service.done()) < 7, "some orders still wait"
        service.process.send_signal(signal.SIGTERM)
    service.process.wait(TOO_LONG)
    log = service.log.read_text()
    done = service.done()
    assert done.keys() == {str(number) for number in range(7)}, log
    assert ("traced_coro" in done.values()) == WRAPPED[loop]
    assert "Application shutdown complete" in log
    assert "Traceback" not in log
