"""Pytest from within: runs the tests of some requirements, and says which failed first.

Rules of this file: a test is run only if it claims one of the requirements in question, and every test has
so many seconds. What counts as a failure is what pytest says; a file that can't be read as tests is no
failure of a test.

Deliberately not here: what a failure means (`finders`).
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["ClaimedTests", "run"]

PATIENCE: Final = 5
"""Seconds for one test. On the unchanged tree it takes milliseconds, so one that takes longer hangs."""
_AGAIN: Final = 0.5
"""So many seconds later it is interrupted once more, should it have caught that."""
_QUIET: Final = ("-q", "-p", "no:cacheprovider", "--hypothesis-seed=0")


class Hangs(BaseException):
    """A test takes too long."""


class ClaimedTests:
    """A plugin of pytest: runs the tests that speak for the aims, and keeps what the first failure was."""

    def __init__(
        self, aims: Iterable[str] | None, allowed: Iterable[str] | None, *, seconds: int = PATIENCE
    ) -> None:
        self.seconds = seconds
        self.aims = None if aims is None else set(aims)
        self.allowed = None if allowed is None else set(allowed)
        self.claims: dict[str, list[str]] = {}
        """Test -> the requirements that it speaks for."""
        self.outcomes: dict[str, str] = {}
        self.failure: tuple[str, str] | None = None
        self.broken = ""
        """Why a file could not be read as tests."""
        self._present = ""

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what claims nothing of interest."""
        for item in items:
            named = {id_ for mark in item.iter_markers("requirement") for id_ in mark.args}
            self.claims[item.nodeid] = sorted(named if self.aims is None else named & self.aims)
        chosen = [item for item in items if self._wanted(item.nodeid)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen

    def _wanted(self, test: str) -> bool:
        claimed = self.aims is None or bool(self.claims[test])
        return claimed and (self.allowed is None or test in self.allowed)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that can't be imported."""
        if report.failed:
            self.broken = f"{report.nodeid}: {_crash(report)}"

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Remember which test runs."""
        self._present = nodeid

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        """It has so many seconds, without its fixtures: some of those have a handler of their own, which stays."""
        if signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:
            signal.signal(signal.SIGALRM, _give_up)
        signal.setitimer(signal.ITIMER_REAL, self.seconds, _AGAIN)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep outcomes, and the first failure."""
        before = self.outcomes.get(report.nodeid, "passed")
        self.outcomes[report.nodeid] = report.outcome if before == "passed" else before
        if report.failed and self.failure is None:
            self.failure = (report.nodeid, _crash(report))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """An interrupt that escapes from a test is a failure of that test."""
        if self.failure is None and self._present:
            self.failure = (self._present, f"{excinfo.typename} escapes from the test")


def _give_up(_signal: int, _frame: object) -> None:
    raise Hangs("it hangs")


def _crash(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr)


def run(probe: ClaimedTests, arguments: Sequence[str], *, full: bool) -> int:
    """Run pytest with this probe; its exit code."""
    # Some tools were imported before pytest could rewrite their assertions: they have none that matter.
    quiet = (*_QUIET, "-W", "ignore::pytest.PytestAssertRewriteWarning")
    tier = () if full else ("-m", "not slow")
    return int(pytest.main([*quiet, *tier, *arguments], plugins=[probe]))
