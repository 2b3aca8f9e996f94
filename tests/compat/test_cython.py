"""Coroutines that Cython has compiled: not Python's own type, and with names and states of their own."""

import asyncio
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import aiojobs
from compat import bodies
from compat.stories import all_slots_are_free, tell
from compat.stories import test_story as test_story
from compat.tools import Tool


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """`bodies.py`, compiled."""
    if not any(map(shutil.which, ("cc", "gcc", "clang", "cl"))):
        pytest.fail(
            "there is no C compiler to try Cython's coroutines with; on Debian or Ubuntu: apt install gcc"
        )
    folder = tmp_path_factory.mktemp("compiled")
    source = folder / "compiled_bodies.pyx"
    source.write_text(Path(bodies.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "Cython.Build.Cythonize", "--inplace", "-3", str(source)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    built = [path for path in folder.glob("compiled_bodies.*") if path.suffix in {".so", ".pyd"}]
    if done.returncode or not built:
        pytest.fail(
            "what Cython made could not be compiled. If Python.h is missing, install the headers of this Python "
            f"(on Debian or Ubuntu: apt install python3-dev):\n{done.stdout}{done.stderr}"
        )
    spec = importlib.util.spec_from_file_location("compiled_bodies", built[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Compiled(Tool):
    def __init__(self, module):
        self.bodies = module


@pytest.fixture
def tool(compiled):
    return Compiled(compiled)


@pytest.mark.requirement("SPAWN-3")
def test_they_are_of_a_type_of_their_own(compiled):
    coro = compiled.returns(1)
    assert asyncio.iscoroutine(coro)
    assert type(coro).__module__.startswith("_cython")
    coro.close()


def _begun(module):
    coro = module.yields(1)
    coro.send(None)
    return coro


def _begun_by_await(module):
    coro = module.waits(asyncio.Event())
    coro.__await__().send(None)
    return coro


def _finished(module):
    coro = module.returns(1)
    with pytest.raises(StopIteration):
        coro.send(None)
    return coro


def _closed(module):
    coro = module.returns(1)
    coro.close()
    return coro


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize("make", [_begun, _begun_by_await, _finished, _closed])
def test_one_that_has_begun_or_ended_is_refused_and_left_alone(make, tool):
    async def story(tool):
        async with aiojobs.Scheduler(limit=1) as scheduler:
            coro = make(tool.bodies)
            for accept in (scheduler.spawn_nowait, scheduler.shield):
                with pytest.raises(RuntimeError, match="must not have been started before"):
                    accept(coro)
            with pytest.raises(RuntimeError, match="must not have been started before"):
                await scheduler.spawn(coro)
            assert (coro.cr_code is None) == (make in {_finished, _closed})
            coro.close()
            await all_slots_are_free(scheduler)

    tell(story, tool)


@pytest.mark.requirement("SPAWN-3")
def test_one_that_runs_is_refused(tool):
    async def story(tool):
        async with aiojobs.Scheduler(limit=2) as scheduler:
            log = Spawning(scheduler)
            log.coro = tool.bodies.waits(event := asyncio.Event(), log=log)
            event.set()
            await log.coro
            assert [type(error) for error in log.errors] == [RuntimeError, RuntimeError]

    tell(story, tool)


class Spawning:
    """A log that spawns the coroutine that writes to it."""

    def __init__(self, scheduler):
        self.scheduler, self.errors = scheduler, []

    def append(self, _):
        try:
            self.scheduler.spawn_nowait(self.coro)
        except Exception as error:
            self.errors.append(error)


@pytest.mark.requirement("SPAWN-3")
def test_one_that_belongs_to_a_job_is_refused_by_another(tool):
    async def story(tool):
        async with aiojobs.Scheduler(limit=1) as scheduler, aiojobs.Scheduler() as other:
            event = asyncio.Event()
            await scheduler.spawn(tool.bodies.waits(event))
            queued = tool.bodies.waits(event, "once")
            job = await scheduler.spawn(queued)
            with pytest.raises(RuntimeError, match="belongs to another job"):
                await other.spawn(queued)
            event.set()
            assert await job == "once"

    tell(story, tool)


@pytest.mark.requirement("EXC-5", "EXC-2")
def test_a_job_keeps_the_name_of_its_coroutine(tool):
    async def story(tool):
        async with aiojobs.Scheduler() as scheduler:
            job = await scheduler.spawn(tool.bodies.yields(1))
            await job
            assert repr(job) == "<Job done coro=<yields>>"

    tell(story, tool)
