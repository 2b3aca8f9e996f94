"""What runs on the workers. Each call says in a file of its own when it begins and when it ends."""

import os
import signal
import time

from examples.dask_cluster.on_cluster import Stopped


def _say(file, word):
    with file.open("a", encoding="utf-8") as target:
        target.write(f"{word} {os.getpid()}\n")


def work(stop, file, steps=100, seconds=0.02):
    """Stops between two steps if it is asked to."""
    _say(file, "begun")
    try:
        for _ in range(steps):
            time.sleep(seconds)
            stop.check()
    except Stopped:
        _say(file, "stopped")
        raise
    _say(file, "ended")
    return steps


def deaf(_stop, file, seconds):
    """Can't be stopped."""
    _say(file, "begun")
    time.sleep(seconds)
    _say(file, "ended")
    return "all"


def dies_once(stop, file):
    """Kills its worker the first time, and says later whether it was stopped before it was called again."""
    first = not file.exists()
    _say(file, "begun")
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    stop.check()
    _say(file, "ended")
    return "all"


def waits_and_dies(_stop, file, killed):
    """Kills its worker as soon as it may."""
    _say(file, "begun")
    while not killed.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def dies(_stop, file):
    """Kills its worker, however often it is called."""
    _say(file, "begun")
    os.kill(os.getpid(), signal.SIGKILL)


def fails(_stop):
    """Raises."""
    raise LookupError("no such page")
