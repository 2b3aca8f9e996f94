"""docs/differences.md is true of this version: every situation that it describes is acted out.

Each row names the requirements that ask for what is different, and speaks for them here. The other column,
aiojobs 1.4.0, needs that package: differences.py says how to run it there.
"""

import re

import pytest

import aiojobs
from docs import differences, pages
from support.builds import IS_COMPILED

PAGE = "docs/differences.md"
ROWS = dict(re.findall(r'^\| <a id="([^"]+)"></a>.*\| ([^|]+) \|$', pages.text(PAGE), re.MULTILINE))
"""The last column of each row, by the name of the row."""

NONE_ASKS = "–"
OF_THE_PURE_BUILD = ("task-coroutine", "task-location")
"""The compiled build does in these situations what aiojobs 1.4.0 does."""


def _situation(name):
    asked = re.findall(r"`([A-Z]+-[0-9]+)`", ROWS.get(name, ""))
    return pytest.param(name, marks=[pytest.mark.requirement(*asked)] if asked else [])


@pytest.mark.parametrize("name", [_situation(name) for name in differences.PROBES])
def test_this_version_does_what_the_page_says_it_does(name):
    probe, before, now = differences.PROBES[name]
    is_none = IS_COMPILED and name in OF_THE_PURE_BUILD
    assert differences.observe(probe, aiojobs) == (before if is_none else now)
    assert before != now


def test_differences_of_the_pure_build_are_called_so():
    page = pages.text(PAGE)
    called = re.findall(r'^\| <a id="([^"]+)"></a>.*\(pure build\)', page, re.MULTILINE)
    assert called == list(OF_THE_PURE_BUILD)


def test_every_row_with_a_name_is_acted_out_and_every_situation_has_its_row():
    assert sorted(ROWS) == sorted(differences.PROBES)


def test_every_row_names_the_requirements_that_ask_for_it():
    unasked = [name for name, asked in ROWS.items() if "`" not in asked and asked != NONE_ASKS]
    assert unasked == []


def test_a_version_that_does_otherwise_is_told():
    async def nothing_like_it(aiojobs):
        return "something else"

    async def hangs(aiojobs):
        await differences.asyncio.get_running_loop().create_future()

    async def spins(aiojobs):
        while True:
            await differences.asyncio.sleep(0)

    seen = [differences.observe(probe, aiojobs) for probe in (nothing_like_it, hangs, spins)]
    assert seen == ["something else", "hangs for ever", "spins"]
