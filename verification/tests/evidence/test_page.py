"""The report as somebody sees it: in Chromium where there is one, and as far as its text can tell elsewhere."""

import json
import re
from dataclasses import replace

import pytest

from aiojobs_verification.evidence import page_html
from aiojobs_verification.evidence.chain import CHAIN
from aiojobs_verification.evidence.evidence import Findings, Status
from aiojobs_verification.evidence.report import Sources, compose
from aiojobs_verification.evidence.verdict import judge
from planted.browser import Browser, find
from planted.chain import a_requirement, evidence_of, passed

LONG = "tests/unit/test_a.py::test_" + "a_name_that_is_as_long_as_names_of_tests_are_here_" * 3 + "[1-0]"
PROMISES = [
    a_requirement("LIMIT-1", "test", "prove", "explore", "mutant", text="Running ≤ `L`, as `LIMIT-2` says."),
    a_requirement("LIMIT-2", "test", "explore"),
    a_requirement("SHUT-1", "test", "fuzz", outdated=True, text="Nothing starts." * 30),
]
PLACES = {"LIMIT-1": {"Kept by": [{"path": "src/aiojobs/_queue.py", "line": 7, "name": "Queue.join"}]}}
TEETH = {"LIMIT-1": {"prove": ["one too many", "a" * 300]}}
CRASHED = Findings(
    Status.FAIL,
    "exit code 1: CRASH: the library fails with ZeroDivisionError\nFile 'src/aiojobs/_shields.py', line 7",
)


def document():
    tests = passed("LIMIT-1", "LIMIT-2", "SHUT-1")
    tests = replace(tests, figures={"passed": 1234567}, left_out={"tests": 29})
    seeded = Findings(Status.PASS, figures={"killed": 2}, teeth=TEETH)
    found = {
        "tests": evidence_of("tests", tests),
        "exploration": evidence_of("exploration", CRASHED, kind="explore", link=5),
        "mutants": evidence_of("mutants", seeded, kind="mutant", link=8),
    }
    before = {"commit": "0123456789abcdef", "date": "2026-01-02", "teeth": {"LIMIT-1": {"test": ["LIFO"]}}}
    sources = Sources(found, PROMISES, places=PLACES, last_teeth=before)
    return compose(sources, judge(CHAIN, PROMISES, found, (), before["teeth"]), CHAIN)


@pytest.fixture(scope="module")
def page():
    return page_html.page(document(), "")


# --- What its text tells -----------------------------------------------------------------------------------------


def test_every_id_is_an_anchor_and_every_mention_of_a_requirement_a_link(page):
    places = re.findall(r'\bid="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert {"LIMIT-1", "SHUT-1", "step-tests", "step-mutants", "link-5", "group-group"} <= set(places)
    assert 'as <code><a href="#LIMIT-2">LIMIT-2</a></code> says' in page


def test_the_header_says_verdict_tier_commit_machine_and_date(page):
    head = page.partition("<header")[2].partition("</header>")[0]
    assert '<p class="verdict FAIL">FAIL</p>' in head
    told = dict(re.findall(r"<dt>(\w+)</dt><dd>(.*?)</dd>", head))
    assert told.keys() == {"Tier", "Commit", "Builds", "Machine", "Date"}
    assert told["Tier"].startswith("smoke")
    assert (told["Commit"], told["Machine"], told["Date"][:10]) == ("<code>unknown</code>", "3", "2026-01-01")


def test_files_and_tests_are_links_into_the_tree_around_the_build_folder(page):
    assert '<a href="../src/aiojobs/_queue.py">src/aiojobs/_queue.py</a>: Queue.join (line 7)' in page
    listed = list(page_html._by_test([LONG, LONG.replace("[1-0]", "[1-1]"), "one too many"]))
    assert listed[0] == "one too many"
    assert listed[1].startswith('<a href="../tests/unit/test_a.py">tests/unit/test_a.py</a>: test_a_name')
    assert listed[1].endswith("× 2")


def test_a_crash_is_shown_as_one_with_its_traceback_and_under_no_requirement(page):
    section = page.partition('<h2 id="verdict">')[2].partition('<h2 id="requirements">')[0]
    assert 'CRASH in step <a href="#step-exploration">' in section
    assert '<a href="../src/aiojobs/_shields.py">src/aiojobs/_shields.py</a>' in section
    requirements = page.partition('<h2 id="requirements">')[2].partition('<h2 id="chain">')[0]
    assert "CRASH" not in requirements
    assert '<h4>exploration <span class="fail">CRASH</span></h4>' in page


def cell(page, section, id_, kind):
    """Class and text of one cell of a matrix."""
    table = page.partition(f'<h2 id="{section}">')[2].partition("</table>")[0]
    row = table.partition(f'<th><a href="#{id_}">')[2].partition("</tr>")[0]
    return re.search(rf'<td class="(\w+)" data-kind="{kind}"[^>]*><a [^>]+>([^<]+)</a>', row).groups()


@pytest.mark.parametrize(
    ("section", "id_", "kind", "expected"),
    [
        ("checked", "LIMIT-1", "test", ("checked", "1")),
        ("checked", "LIMIT-1", "explore", ("open", "not run")),
        ("checked", "SHUT-1", "test", ("open", "old")),
        ("teeth", "LIMIT-1", "prove", ("now", "2")),
        ("teeth", "LIMIT-1", "test", ("before", "1")),
        ("teeth", "LIMIT-1", "explore", ("none", "–")),
    ],
)
def test_a_cell_says_what_ran_in_this_run_what_in_the_last_full_one_and_what_is_open(
    page, section, id_, kind, expected
):
    assert cell(page, section, id_, kind) == expected


def test_what_was_checked_in_the_last_full_run_only_is_shown_as_such():
    told = document()
    told["requirements"][0]["checks"] = [{"kind": "fuzz", "standing": "not due", "by": [], "last_full": 6}]
    assert cell(page_html.page(told, ""), "checked", "LIMIT-1", "fuzz") == ("before", "6")


def test_the_last_full_run_is_named(page):
    assert "in the last full run of 2026-01-02, commit 0123456789ab</li>" in page


def test_an_empty_place_of_the_teeth_stands_out():
    told = document()
    told["requirements"][0]["teeth"] = [{"kind": "test", "seen": "empty", "faults": []}]
    assert cell(page_html.page(told, ""), "teeth", "LIMIT-1", "test") == ("empty", "none")


# --- In a browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    path = find()
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with Browser(path, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("build") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


WIDTH = "document.documentElement.scrollWidth"
UNFOLD = "document.querySelectorAll('details').forEach((one) => { one.open = true; });"


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_nothing_is_wider_than_the_screen_even_unfolded(browser, url, dark):
    browser.show(url, 390, dark=dark)
    assert browser.ask("innerWidth") == 390
    assert browser.ask(f"{UNFOLD} {WIDTH}") <= 390
    # A page that is too wide is noticed.
    wide = (
        "const wide = document.createElement('pre'); wide.style.width = '500px'; document.body.append(wide);"
    )
    assert browser.ask(f"{wide} {WIDTH}") > 390


def test_light_and_dark_follow_the_reader_and_text_can_be_read_in_both(browser, url):
    colours = (
        "JSON.stringify(['color', 'backgroundColor'].map((name) => getComputedStyle(document.body)[name]))"
    )
    seen = []
    for dark in (False, True):
        browser.show(url, 1280, dark=dark)
        text, ground = (brightness(colour) for colour in json.loads(browser.ask(colours)))
        assert (text > ground) is dark
        assert abs(text - ground) > 150
        seen.append(ground)
    assert seen[0] != seen[1]


def brightness(colour):
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


SHOWN = "[...document.querySelectorAll('{}')].filter((one) => one.offsetParent !== null).map((one) => one.{})"


def shown(browser, selector, what="id"):
    return browser.ask(SHOWN.format(selector, what))


def choose(browser, **values):
    for name, value in values.items():
        browser.ask(f"filter.elements.{name}.value = {json.dumps(value)}")
    browser.ask("filter.dispatchEvent(new Event('input'))")


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        ({}, ["LIMIT-1", "LIMIT-2", "SHUT-1"]),
        ({"wanted": "limit"}, ["LIMIT-1", "LIMIT-2"]),
        ({"wanted": "nothing STARTS"}, ["SHUT-1"]),
        ({"kind": "explore"}, ["LIMIT-1", "LIMIT-2"]),
        ({"kind": "fuzz"}, ["SHUT-1"]),
        ({"wanted": "shut", "kind": "prove"}, []),
    ],
)
def test_the_requirements_are_filtered_by_words_and_by_kind(browser, url, chosen, left):
    browser.show(url, 1280)
    choose(browser, **chosen)
    assert shown(browser, ".promise") == left
    assert shown(browser, ".matrix tbody tr th", "textContent") == left * 2
    assert browser.ask("filter.elements.count.value") == f"{len(left)} of 3 shown"
    if "kind" in chosen and left:
        assert set(shown(browser, ".matrix thead th[data-kind]", "textContent")) == {chosen["kind"]}


def test_a_link_to_what_the_filter_hides_takes_the_filter_away(browser, url):
    browser.show(url, 1280)
    choose(browser, wanted="limit")
    assert "SHUT-1" not in shown(browser, ".promise")
    browser.ask("location.hash = 'SHUT-1'")
    browser.ask("reveal()")
    assert "SHUT-1" in shown(browser, ".promise")


def test_the_contents_mark_where_the_reader_is(browser, url):
    browser.show(url, 1280)
    current = "document.querySelector('#contents a[aria-current]').textContent"
    assert browser.ask(current) == "Verdict"
    assert browser.ask(f"document.getElementById('teeth').scrollIntoView(); follow(); {current}") == "Teeth"
    browser.show(url, 390)
    assert browser.ask("document.getElementById('contents').open") is False
    seen = "document.getElementById('here').textContent"
    assert (
        browser.ask(f"document.getElementById('chain').scrollIntoView(); follow(); {seen}")
        == "The links of the chain"
    )
