"""Portions of work, and a worker that is of another Python."""

import os
import platform
import time
from pathlib import Path


def say(file, seconds=0.0):
    """Note where this is done."""
    with Path(file).open("a", encoding="utf-8") as target:
        target.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return os.getpid()


def dask_setup(worker):
    """What `dask worker --preload` calls: from now on this process says that it is an older Python."""
    del worker
    platform.python_version = lambda: "3.11.0"
