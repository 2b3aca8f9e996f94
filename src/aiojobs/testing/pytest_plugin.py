"""A pytest plugin: the fixture `jobs_scheduler`, a scheduler that fails the test for what it leaves undone.

Rules of this file: the fixture is a plain one, so it works under pytest-asyncio, under anyio's plugin, and in a test
that calls `asyncio.run`. When it looks back the loop is gone, so everything is noted while it happens. Each message
says what to do.

How it works: an observer follows every job. A job that ends with `CancelledError` and was not asked to stop was
cancelled by the end of the loop, so it was left over. A job that was asked to stop and returns instead has swallowed
its cancellation, if it was told: a job may end by itself in the very turn in which it is asked, which a callback tells
apart that stands behind its last step.

It is found by pytest through the entry point `pytest11`, and imported by nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import suppress
from typing import Any, Final, cast

import pytest

import aiojobs

__all__ = ("jobs_failures", "jobs_scheduler")

_NOT_OPTIONS: Final = ("exception_handler", "observer")
_FAILED: Final = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "jobs_scheduler(*, may_swallow=False, **options): arguments of the scheduler of the fixture jobs_scheduler",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether the test itself has failed: then what it left behind is no news."""
    report = yield
    if call.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest.fixture
def jobs_failures() -> list[aiojobs.ExceptionContext]:
    """What the scheduler of the test was told and nobody received: a test that expects it takes it out."""
    return []


@pytest.fixture
def jobs_scheduler(
    request: pytest.FixtureRequest, jobs_failures: list[aiojobs.ExceptionContext]
) -> Generator[aiojobs.Scheduler]:
    """A scheduler; the test fails if it leaves jobs, exceptions that nobody received, or swallowed cancellations."""
    options, may_swallow = _options(request)
    watch = _Watch()
    scheduler = aiojobs.Scheduler(
        exception_handler=lambda _, context: jobs_failures.append(context), observer=watch, **options
    )
    yield scheduler
    if cast("pytest.Item", request.node).stash.get(_FAILED, True):
        return
    findings = [*watch.left_over(scheduler), *map(_unreceived, jobs_failures)]
    if not may_swallow:
        findings += watch.swallowed()
    if findings:
        pytest.fail("\n".join(["jobs_scheduler:", *findings]), pytrace=False)


def _options(request: pytest.FixtureRequest) -> tuple[dict[str, Any], bool]:
    item = cast("pytest.Item", request.node)
    marker = item.get_closest_marker("jobs_scheduler")
    options: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    for name in _NOT_OPTIONS:
        if name in options:
            raise pytest.UsageError(
                f"jobs_scheduler({name}=...): the fixture has its own; `jobs_failures` has what it was told"
            )
    return options, bool(options.pop("may_swallow", False))


class _Watch:
    """An observer that notes what a test should not leave behind."""

    def __init__(self) -> None:
        self._asked: dict[aiojobs.Job[Any], bool] = {}
        """The jobs that are closing, and whether each was told."""
        self._left_over: dict[aiojobs.Job[Any], None] = {}
        self._swallowed: dict[aiojobs.Job[Any], None] = {}

    def __call__(self, record: aiojobs.Record) -> None:
        """Note a step of a job."""
        job = record.job
        if job is None:
            return
        if record.dest == "closing":
            self._asked[job] = False
            with suppress(RuntimeError):  # the loop is gone, and nobody is told any more
                asyncio.get_running_loop().call_soon(self._told, job)
        elif record.event == "cancel" and record.source == "active":
            self._left_over[job] = None
        elif record.event == "finish" and self._asked.get(job, False) and job.outcome != "raised":
            self._swallowed[job] = None

    def _told(self, job: aiojobs.Job[Any]) -> None:
        self._asked[job] = True

    def left_over(self, scheduler: aiojobs.Scheduler) -> list[str]:
        """The jobs that had not ended when the test had."""
        return [
            f"{_shown(job)} was left over when the test ended. Wait for it (`await job`), or end the test with "
            "`await jobs_scheduler.wait_and_close()`, or with `close()` to have it stopped."
            for job in [*self._left_over, *scheduler]
        ]

    def swallowed(self) -> list[str]:
        """The jobs that went on although they were asked to stop."""
        return [
            f"{_shown(job)} swallowed its cancellation: it was asked to stop, caught CancelledError and returned. "
            "Raise it again (`except asyncio.CancelledError: ...; raise`), or use `finally`; where returning is "
            "meant, mark the test with `@pytest.mark.jobs_scheduler(may_swallow=True)`."
            for job in self._swallowed
        ]


def _unreceived(context: aiojobs.ExceptionContext) -> str:
    job = context["job"]
    whose = "an awaitable that was shielded" if job is None else _shown(job)
    return (
        f"{context['message']}: {context['exception']!r} of {whose} reached nobody. Wait for the job where the test "
        "expects this, or ask for the fixture `jobs_failures`, look at it, and empty it."
    )


def _shown(job: aiojobs.Job[Any]) -> str:
    name = job.get_name()
    return f"job ({job.qualname})" if name is None else f"job {name!r} ({job.qualname})"
