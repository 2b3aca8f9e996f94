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

from support.library import SOURCES

ROOT = Path(__file__).resolve().parents[3]


NO_PROFILER = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}


def environment_of(root):
    """That of a process which imports the tests from here, and all else from a tree."""
    library = SOURCES if root == ROOT else root / "src"
    places = (library, root / "verification/src", ROOT, ROOT / "tests")
    return {**os.environ, **NO_PROFILER, "PYTHONPATH": os.pathsep.join(map(str, places))}


ENVIRONMENT = environment_of(ROOT)
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
def dask(folder, *, workers=2, threads=1, more=(), path=ENVIRONMENT["PYTHONPATH"], join=False, settings=()):
    """A cluster of so many workers: its address, its scheduler's process and its workers'.

    With `join` the workers are more of those of the cluster that has been started in the folder.
    """
    environment = {**ENVIRONMENT, "PYTHONPATH": path, **dict(settings)}
    file, log = folder / "scheduler.json", folder / "dask.log"
    with log.open("ab") as said, contextlib.ExitStack() as processes:

        def run(*words):
            process = start(
                "-m", "dask", *words, "--no-dashboard", environment=environment, stdout=said, stderr=said
            )
            processes.callback(kill, process)
            return process

        own = ("--host", "127.0.0.1", "--scheduler-file", str(file))
        scheduler = None if join else run("scheduler", *own, "--port", "0")
        until = time.monotonic() + PATIENCE
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        kind = (
            "--nworkers",
            str(workers),
            "--nthreads",
            str(threads),
            "--local-directory",
            str(folder / "workers"),
        )
        worker = run("worker", *own, *kind, *more)
        yield json.loads(file.read_text())["address"], scheduler, worker
