"""The fixture `jobs_scheduler`: what fails a test, what does not, and what is said; under three ways to run a test.

A run of pytest inside pytest takes a second, so each way has one run, in which every case is a test.
"""

import re
import textwrap

import pytest

HEAD = {
    "pytest-asyncio": "",
    "anyio": """
        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """,
    "asyncio.run": """
        def runs(test):
            @functools.wraps(test)
            def run(**fixtures):
                asyncio.run(test(**fixtures))
            return run
        """,
}
OPTIONS = {
    "pytest-asyncio": ["--asyncio-mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"],
    "anyio": ["-p", "no:asyncio"],
    "asyncio.run": ["-p", "no:asyncio", "-p", "no:anyio"],
}
CASES = """
    import asyncio
    import contextlib
    import functools
    import pytest
    HEAD
    async def returns():
        return 1

    async def fails():
        raise KeyError("lost")

    async def fails_when_stopped():
        try:
            await asyncio.sleep(60)
        finally:
            await fails()

    async def swallows():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    async def test_leaves_nothing(jobs_scheduler):
        job = await jobs_scheduler.spawn(returns())
        assert await job == 1
        pending = await jobs_scheduler.spawn(asyncio.sleep(60))
        await jobs_scheduler.close()
        assert pending.outcome == "cancelled"

    async def test_drains(jobs_scheduler):
        async with jobs_scheduler:
            await jobs_scheduler.spawn(returns())

    def test_runs_no_loop(jobs_scheduler):
        assert len(jobs_scheduler) == 0

    async def test_leaves_a_job(jobs_scheduler):
        await jobs_scheduler.spawn(asyncio.sleep(60), name="sleeper")
        await asyncio.sleep(0)

    async def test_loses_an_exception(jobs_scheduler):
        async with jobs_scheduler:
            await jobs_scheduler.spawn(fails())

    async def test_loses_a_shielded_exception(jobs_scheduler):
        async with jobs_scheduler:
            caller = asyncio.ensure_future(jobs_scheduler.shield(fails()))
            await asyncio.sleep(0)
            caller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await caller

    async def test_takes_an_exception(jobs_scheduler, jobs_failures):
        async with jobs_scheduler:
            await jobs_scheduler.spawn(fails())
        assert isinstance(jobs_failures.pop()["exception"], KeyError)

    async def test_swallows_a_cancellation(jobs_scheduler):
        await jobs_scheduler.spawn(swallows())
        await asyncio.sleep(0)
        await jobs_scheduler.close()

    @pytest.mark.jobs_scheduler(may_swallow=True)
    async def test_means_to_swallow(jobs_scheduler):
        await jobs_scheduler.spawn(swallows())
        await asyncio.sleep(0)
        await jobs_scheduler.close()

    async def test_has_a_job_that_ends_when_it_is_asked(jobs_scheduler):
        job = await jobs_scheduler.spawn(returns())
        await jobs_scheduler.close()
        assert job.outcome == "returned"

    async def test_has_a_job_that_fails_when_it_is_asked(jobs_scheduler):
        job = await jobs_scheduler.spawn(fails_when_stopped())
        with pytest.raises(KeyError):
            await job.close()

    @pytest.mark.jobs_scheduler(limit=3)
    async def test_is_configured(jobs_scheduler):
        assert jobs_scheduler.limit == 3

    @pytest.mark.jobs_scheduler(observer=print)
    async def test_is_configured_too_much(jobs_scheduler):
        raise AssertionError("not reached")

    async def test_fails_anyway(jobs_scheduler):
        await jobs_scheduler.spawn(asyncio.sleep(60))
        raise ValueError("the test itself")
    """
FINDINGS = {
    "leaves_a_job": [
        "teardown",
        r"job 'sleeper' \(sleep\) was left over when the test ended. Wait for",
    ],
    "loses_an_exception": [
        "teardown",
        r"KeyError\('lost'\) of job.* \(fails\) reached nobody. Wait for the job where the",
    ],
    "loses_a_shielded_exception": [
        "teardown",
        r"KeyError\('lost'\) of an awaitable that was shielded reached nobody",
    ],
    "swallows_a_cancellation": [
        "teardown",
        r"job.* \(swallows\) swallowed its cancellation: .* Raise it again",
    ],
    "is_configured_too_much": [
        "setup",
        r"jobs_scheduler\(observer=...\): the fixture has its own; `jobs_failures`",
    ],
    "fails_anyway": ["call", "ValueError: the test itself"],
}
PASSING = {
    *("leaves_nothing", "drains", "runs_no_loop", "takes_an_exception", "means_to_swallow", "is_configured"),
    *("has_a_job_that_ends_when_it_is_asked", "has_a_job_that_fails_when_it_is_asked"),
}


@pytest.mark.parametrize("how", HEAD)
def test_every_case_ends_as_it_should_and_says_what_to_do(pytester, how):
    source = textwrap.dedent(CASES)
    if how == "asyncio.run":
        source = source.replace("async def test", "@runs\nasync def test")
    pytester.makepyfile(source.replace("HEAD", textwrap.dedent(HEAD[how])))
    # Loaded by hand: the tests run from the sources, where no entry point leads to it.
    plugin = ("-p", "aiojobs.testing.pytest_plugin", "--strict-markers", "-W", "error")
    reports = pytester.inline_run(*plugin, *OPTIONS[how]).getreports("pytest_runtest_logreport")
    failed = {report.nodeid.partition("::test_")[2]: report for report in reports if report.failed}
    assert {name.partition("[")[0] for name in failed} == set(FINDINGS)
    for name, report in failed.items():
        when, said = FINDINGS[name.partition("[")[0]]
        assert report.when == when
        assert re.search(said, report.longreprtext.replace("\n", " "))
    ran = {report.nodeid.partition("::test_")[2].partition("[")[0] for report in reports}
    assert ran - set(FINDINGS) == PASSING


def test_a_job_that_is_stopped_when_no_loop_runs_is_no_swallower(pytester):
    """Its record comes when nobody can be told any more."""
    pytester.makepyfile("""
        import asyncio

        async def forever():
            await asyncio.Event().wait()

        def test_it(jobs_scheduler):
            async def main():
                return jobs_scheduler.spawn_nowait(forever())

            loop = asyncio.new_event_loop()
            job = loop.run_until_complete(main())
            closing = job.close()
            try:
                closing.send(None)
            except RuntimeError:
                pass
            finally:
                closing.close()
            job = None
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
        """)
    result = pytester.runpytest_inprocess("-p", "aiojobs.testing.pytest_plugin", "-p", "no:asyncio")
    result.stdout.fnmatch_lines(["*was left over when the test ended*"])
