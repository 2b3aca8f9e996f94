"""Every example runs by itself, warnings and all, and prints what it says, whatever the clock.

Started by itself an example runs in real time. Those that need no sockets run on the virtual clock as well.
"""

import asyncio
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aiojobs.testing import VirtualLoop
from support.library import SOURCES

ROOT = Path(__file__).parents[2]


def run(module, *arguments):
    """What `python -m examples.<module>` prints, as a reader would start it."""
    path = os.pathsep.join(filter(None, [SOURCES, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", f"examples.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # In debug mode asyncio also remarks on a slow machine.
    assert re.sub(r"^Executing .* took [\d.]+ seconds\n", "", done.stderr, flags=re.MULTILINE) == ""
    assert done.returncode == 0
    return done.stdout


def test_there_is_a_test_for_every_example():
    here = Path(__file__).parent
    tested = {
        name for file in here.glob("test_*.py") for name in re.findall(r'run\(\s*"(\w+)"', file.read_text())
    }
    files = {file.stem for file in (ROOT / "examples").glob("*.py")}
    parts_of_the_demo = {"asgi_service", "orders_service"}
    assert files - parts_of_the_demo == tested


def test_quickstart():
    assert run("quickstart").splitlines() == ["Hello, Ada!", "Hello, Grace!", "Hello, Edsger!"]


def test_collect():
    assert run("collect").splitlines() == ["about: 5", "news: 4", "index: 5", "archive: it is not there"]


@pytest.mark.requirement("SPAWN-5", "SHUT-6")
def test_shed_load():
    assert run("shed_load") == "served [0, 1, 2, 3, 4], refused 15\n"


@pytest.mark.requirement("SPAWN-4")
def test_request_context():
    assert run("request_context").splitlines() == [
        "Ada: logged in",
        "Grace: logged in",
        "Edsger: logged in",
        "counted in the shared context: 3, in that of main: 0",
    ]


@pytest.mark.requirement("SHUT-4")
def test_aiohttp_handlers():
    assert run("aiohttp_handlers").splitlines() == [
        "POST /register 202 registered",
        'GET /admin/health 200 {"running": 1, "queued": 0}',
        "POST /upload 200 1000 bytes, clean",
        "POST /transfer?amount=7 200 7 transferred",
        "DELETE /accounts/ada 200 account ada deleted",
        "GET /reports/2026 200 Orders of 2026",
        "mail sent to ada@example.org",
        "stopped",
    ]


NEEDS_SOCKETS = frozenset({"aiohttp_handlers", "asgi_demo", "asgi_service", "orders_demo", "orders_service"})
WITHOUT_SOCKETS = sorted({file.stem for file in (ROOT / "examples").glob("*.py")} - NEEDS_SOCKETS)


@pytest.mark.parametrize("name", WITHOUT_SOCKETS)
def test_the_output_is_the_same_on_a_virtual_clock(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    main = importlib.import_module(f"examples.{name}").main
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
        assert runner.get_loop().complaints == []
    assert capsys.readouterr().out == run(name)


def test_the_how_to_about_aiohttp_quotes_the_examples_as_they_are():
    page = (ROOT / "docs/howto/aiohttp.md").read_text(encoding="utf-8")
    quoted = re.findall(
        r"<!-- not run: from (examples/\w+\.py)[^>]*-->\s*```python\n(.*?)```", page, re.DOTALL
    )
    assert len(quoted) == page.count("```python\n") > 4
    for file, block in quoted:
        source = (ROOT / file).read_text(encoding="utf-8")
        missing = [part for part in block.split("\n\n\n") if part.strip() not in source]
        assert missing == []
