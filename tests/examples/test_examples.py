"""Every example runs by itself, warnings and all, and prints what its docstring says, whatever the clock.

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
from docs import pages
from support.library import SOURCES

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    file.stem: file.read_text(encoding="utf-8")
    for file in (ROOT / "examples").glob("*.py")
    if '\nif __name__ == "__main__":\n' in file.read_text(encoding="utf-8")
}
"""Those that can be started; the others are parts of them."""


def run(module, *arguments):
    """What `python -m examples.<module>` prints, as a reader would start it."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", f"examples.{module}", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # In debug mode asyncio also remarks on a slow machine.
    assert re.sub(r"^Executing .* took [\d.]+ seconds\n", "", done.stderr, flags=re.MULTILINE) == ""
    assert done.returncode == 0
    return done.stdout


def run_in_time(module):
    """The same; again, up to two times, if it is not what it says: a busy machine delays timers, which are real."""
    printed = run(module)
    for _ in range(2):
        if printed != said(module):
            printed = run(module)
    return printed


def environment():
    """That of a process in which the library is found."""
    path = os.pathsep.join(filter(None, [SOURCES, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def said(module):
    """What an example says of itself that it prints."""
    return pages.says_that_it_prints(f"examples/{module}.py")


def test_there_is_a_test_for_every_example():
    here = Path(__file__).parent
    tested = {
        name
        for file in here.glob("test_*.py")
        for name in re.findall(r'run\w*\(\s*"(\w+)"', file.read_text())
    }
    assert set(PROGRAMS) == tested


def test_every_example_says_what_it_prints_but_those_in_which_chance_has_a_part():
    assert {name for name in PROGRAMS if said(name) is None} == {"asgi_demo", "orders_demo"}


def test_quickstart():
    assert run_in_time("quickstart") == said("quickstart")


def test_collect():
    assert run_in_time("collect") == said("collect")


@pytest.mark.requirement("SPAWN-5", "SHUT-6")
def test_shed_load():
    assert run_in_time("shed_load") == said("shed_load")


@pytest.mark.requirement("SPAWN-4")
def test_request_context():
    assert run_in_time("request_context") == said("request_context")


@pytest.mark.requirement("SHUT-4")
def test_aiohttp_handlers():
    assert run("aiohttp_handlers") == said("aiohttp_handlers")


def test_orders_service():
    assert run("orders_service") == said("orders_service")


def test_orders_fastapi():
    assert run("orders_fastapi") == said("orders_fastapi")


def test_webhooks():
    assert run_in_time("webhooks") == said("webhooks")


NEEDS_SOCKETS = {
    "aiohttp_handlers",
    "asgi_demo",
    "consumer",
    "crawler",
    "orders_demo",
    "orders_fastapi",
    "orders_service",
}


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) - NEEDS_SOCKETS))
def test_the_output_is_the_same_on_a_virtual_clock(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    main = importlib.import_module(f"examples.{name}").main
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
        assert runner.get_loop().complaints == []
    assert capsys.readouterr().out == said(name)


QUOTES = [quote for page in pages.names() for quote in pages.quotes(page)]


@pytest.mark.parametrize("quote", QUOTES, ids=str)
def test_a_page_quotes_an_example_as_it_is_with_the_output_that_it_has(quote):
    assert quote.missing() == []
    assert quote.output in {None, pages.says_that_it_prints(quote.file)}


def test_the_page_of_the_examples_shows_and_links_each_of_them():
    page = pages.text("docs/examples.md")
    assert [name for name in PROGRAMS if f"(../examples/{name}.py)" not in page] == []
    shown = {quote.file for quote in QUOTES if quote.page == "docs/examples.md" and quote.output is not None}
    assert shown >= {f"examples/{name}.py" for name in ("consumer", "crawler", "orders_fastapi", "webhooks")}
