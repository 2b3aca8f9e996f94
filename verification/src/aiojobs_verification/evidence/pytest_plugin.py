"""The link between a test and a requirement: a pytest plugin, loaded with ``-p``.

A test says which promises it speaks for with ``@pytest.mark.requirement("LIMIT-1", …)``. This plugin

* refuses a run in which a test names an id that ``spec/requirements.toml`` does not have, or names none:
  a link to nothing would look like coverage;
* watches every phase of every test (a failing teardown is a failing test);
* with ``--evidence FILE`` writes what it saw: which test spoke for which id, with which outcome, and which
  build of the library was imported.

What counts is decided by the reader of that file, not here; here nothing is rounded up. In particular a
skipped test and an expected failure are recorded as what they are.

Deliberately not here: durations. Two runs on the same commit must give the same file, byte by byte.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MARKER: Final = "requirement"

# An outcome of a later phase replaces that of an earlier one only if it is worse.
_WORSE: Final = ("passed", "xfailed", "skipped", "xpassed", "failed", "error")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--evidence``."""
    group = parser.getgroup("aiojobs", "requirements and evidence")
    group.addoption("--evidence", metavar="FILE", help="write which test spoke for which requirement to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the recorder that keeps this run's outcomes."""
    config.addinivalue_line(
        "markers", f"{MARKER}(*ids): the requirement ids of spec/requirements.toml that this test speaks for"
    )
    config.pluginmanager.register(MarkerRecorder(config), "aiojobs-evidence")


class MarkerRecorder:
    """Collects, per test, the requirement ids it names and the worst outcome of its phases."""

    def __init__(self, config: pytest.Config) -> None:
        target: str | None = config.getoption("--evidence")
        self._target = Path(target) if target else None
        self._root = config.rootpath
        self._seed = config.getoption("--hypothesis-seed", None)
        self._ids: dict[str, list[str]] = {}
        self._outcomes: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._left_out = 0

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count what the command line left out."""
        self._left_out += len(items)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Remember what each selected test speaks for; refuse ids that do not exist."""
        known = known_requirements(self._root)
        for item in items:
            self._ids[item.nodeid] = sorted(_named(item, known))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst outcome of setup, call and teardown."""
        outcome = _outcome(report)
        before = self._outcomes.get(report.nodeid, "passed")
        self._outcomes[report.nodeid] = max(before, outcome, key=_WORSE.index)
        if outcome == "skipped":
            self._reasons[report.nodeid] = _reason(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that can't be imported, or that skips itself whole, is an outcome too."""
        if report.failed:
            self._outcomes[report.nodeid] = "error"
        elif report.skipped:
            self._outcomes[report.nodeid] = "skipped"
            self._reasons[report.nodeid] = str(report.longrepr)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the file, if one was asked for."""
        if self._target is None:
            return
        self._target.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._findings(exitstatus), indent=2, sort_keys=True, ensure_ascii=False)
        self._target.write_text(text + "\n", encoding="utf-8")

    def _findings(self, exitstatus: int) -> dict[str, object]:
        tests = [
            {"id": name, "outcome": self._outcomes[name], "requirements": self._ids.get(name, [])}
            for name in sorted(self._outcomes)
        ]
        return {
            "exit": int(exitstatus),
            "figures": dict(sorted({"build": _build(), **Counter(self._outcomes.values())}.items())),
            "left_out": {"tests": self._left_out} if self._left_out else {},
            "seeds": {} if self._seed is None else {"hypothesis": self._seed},
            "skips": [{"id": name, "reason": reason} for name, reason in sorted(self._reasons.items())],
            "tests": tests,
        }


def _build() -> str:
    """Which build of the library the tests have imported."""
    return str(getattr(sys.modules.get("aiojobs"), "__build__", "none"))


def known_requirements(root: Path) -> frozenset[str] | None:
    """The ids of ``spec/requirements.toml``; None where there is no such file, as in another project."""
    path = root / "spec" / "requirements.toml"
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        return frozenset(one["id"] for one in tomllib.loads(text)["requirement"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise pytest.UsageError(f"{path.name} can't be read: {error!r}") from None


def _named(item: pytest.Item, known: frozenset[str] | None) -> Iterable[str]:
    named: set[str] = set()
    for mark in item.iter_markers(MARKER):
        if not mark.args or mark.kwargs:
            msg = f"{item.nodeid}: write @pytest.mark.{MARKER}('ID-1', …), ids only and at least one"
            raise pytest.UsageError(msg)
        named.update(mark.args)
    unknown = named - known if known is not None else set()
    if unknown:
        msg = f"{item.nodeid} speaks for unknown requirements: {', '.join(sorted(map(str, unknown)))}"
        raise pytest.UsageError(msg)
    return named


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when != "call":
        return "error"
    return report.outcome


def _reason(report: pytest.TestReport) -> str:
    longrepr = report.longrepr
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
