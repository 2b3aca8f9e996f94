"""The demonstration with ASGI: what it promises, and that it notices when that does not hold."""

import asyncio
import importlib

import pytest

from .test_examples import ROOT, run
from .test_orders_demo import figures


@pytest.fixture
def demo(monkeypatch):
    """The module, in this process, with orders that take a moment only."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(importlib.import_module("examples.asgi_service"), "WORK", 0.2)
    return importlib.import_module("examples.asgi_demo")


@pytest.mark.requirement("SHUT-4", "CLOSE-1")
def test_no_job_is_lost_while_background_tasks_are():
    text = run("asgi_demo", "--orders", "60", "--clients", "10")
    accepted = [line.rpartition(" ") for line in text.splitlines() if line.startswith("orders accepted")]
    lost = [int(line.split()[-1]) for line in text.splitlines() if line.startswith("  accepted and lost")]
    assert all(int(number) > 0 for _, _, number in accepted)
    assert (lost[0], lost[1] > 0) == (0, True)
    found = figures(text)
    assert found["reports that had begun"] == found["reports that were stopped"] > 0
    assert text.endswith("No job was lost.\n")


def test_a_job_that_is_lost_is_noticed(demo, monkeypatch, capsys):
    service = importlib.import_module("examples.asgi_service")
    monkeypatch.setattr(service.Ledger, "write", lambda self, order: None)
    assert demo.main(["--orders", "4", "--clients", "2"]) == 1
    assert "accepted jobs were lost" in capsys.readouterr().out


def test_a_report_that_goes_on_for_nobody_is_noticed(demo, monkeypatch, capsys):
    async def ends_at_once(ledger):
        ledger.begun_reports += 1
        await asyncio.sleep(0)

    service = importlib.import_module("examples.asgi_service")
    monkeypatch.setattr(service, "compile_report", ends_at_once)
    assert demo.main(["--orders", "20", "--clients", "5"]) == 1
    assert "reports went on without their clients" in capsys.readouterr().out
