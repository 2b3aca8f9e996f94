"""A Dask cluster of real processes, started as its users start one."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiojobs

ROOT = Path(__file__).resolve().parents[3]
_PLACES = (ROOT, Path(aiojobs.__file__).parents[1], ROOT / "tests", ROOT / "verification/src")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _PLACES))}
PATIENCE = 60
"""Seconds after which something has failed. No test passes or fails by how long anything takes."""


def start(*words, environment=ENVIRONMENT, **options):
    """A process of this Python that finds the modules of the tests, the leader of a group."""
    return subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=environment, start_new_session=True, **options
    )


def kill(process):
    """Kill a process that `start` has started and whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


async def until(condition):
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def dask(folder, *, workers=2, path=ENVIRONMENT["PYTHONPATH"]):
    """A cluster of so many workers of one thread each: its address, its scheduler's process and its workers'."""
    environment = {**ENVIRONMENT, "PYTHONPATH": path}
    file, log = folder / "scheduler.json", folder / "dask.log"
    with log.open("wb") as said, contextlib.ExitStack() as processes:

        def run(*words):
            process = start(
                "-m", "dask", *words, "--no-dashboard", environment=environment, stdout=said, stderr=said
            )
            processes.callback(kill, process)
            return process

        own = ("--host", "127.0.0.1", "--scheduler-file", str(file))
        scheduler = run("scheduler", *own, "--port", "0")
        until = time.monotonic() + PATIENCE
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        space = str(folder / "workers")
        worker = run(
            "worker", *own, "--nworkers", str(workers), "--nthreads", "1", "--local-directory", space
        )
        yield json.loads(file.read_text())["address"], scheduler, worker
