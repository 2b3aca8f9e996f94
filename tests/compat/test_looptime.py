"""looptime: the time of the loop jumps to the next timer; by its loop, and by its plugin for pytest."""

import asyncio
import subprocess
import sys
import textwrap
import time

import looptime
import pytest

import aiojobs
from aiojobs.testing import settle
from compat import bodies
from compat.stories import tell
from compat.stories import test_story as test_story
from compat.tools import Tool
from support.observing import Recorder


class Compacted(Tool):
    patience = 1_000_000

    def loop_factory(self):
        return looptime.new_event_loop()


@pytest.fixture
def tool():
    return Compacted()


@pytest.mark.requirement("WAIT-2", "SHUT-4", "SHUT-2")
def test_hours_of_timeouts_pass_at_once(tool):
    async def story(tool):
        loop = asyncio.get_running_loop()
        scheduler = aiojobs.Scheduler(
            close_timeout=3600, wait_timeout=7200, exception_handler=(recorder := Recorder())
        )
        began, wall = loop.time(), time.monotonic()
        log, event = [], asyncio.Event()
        job = await scheduler.spawn(bodies.cleans_up(log))
        with pytest.raises(TimeoutError):
            await job.wait(timeout=1800)
        assert log == ["began", "cancelled", "cleaned up"]
        assert loop.time() - began == pytest.approx(1800, abs=1)
        slept = await scheduler.spawn(asyncio.sleep(5000, "slept"))
        late = await scheduler.spawn(bodies.will_not_stop(event, []))
        await scheduler.wait_and_close()
        assert loop.time() - began == pytest.approx(1800 + 7200 + 3600, abs=3)
        assert (slept.result(), recorder.messages) == ("slept", ["Job closing timed out"])
        assert time.monotonic() - wall < 5
        event.set()
        await settle()
        assert late.done()

    tell(story, tool)


SETTINGS = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.mark.requirement("WAIT-2")
def test_its_marker_works_with_pytest_asyncio(tmp_path):
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "test_jobs.py").write_text(
        textwrap.dedent(
            """
            import asyncio
            import pytest
            import aiojobs

            @pytest.mark.looptime
            async def test_an_hour_passes_at_once(looptime):
                async with aiojobs.Scheduler(limit=1) as scheduler:
                    slow = await scheduler.spawn(asyncio.sleep(3600, "slept"))
                    queued = await scheduler.spawn(asyncio.sleep(10, "queued"))
                    with pytest.raises(TimeoutError):
                        await slow.wait(timeout=600)
                    assert await queued == "queued"
                assert 610 <= looptime < 611
            """
        )
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "asyncio", "-p", "looptime_plugin"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert time.monotonic() - began < 30
