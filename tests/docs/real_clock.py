"""Runs programs on the real clock, many at once: `python -u -W error real_clock.py FOLDER …`.

Each folder has a ``program.py``; what it prints, its complaints included, goes to ``printed.txt`` beside it.

Starting Python and importing the library costs more than most programs do, and on a machine with few cores it would
disturb the clocks of the others. So this process has done both, and forks one for each program; a fork ends as a
process of Python does, exit handlers and all. It has no threads, with which forking is unsafe.
"""

import os
import runpy
import sys
import time
from collections import deque

import aiojobs  # noqa: F401 - what every program imports

AT_ONCE = 32
"""Most of what they do is to sleep."""
BETWEEN = 0.05
"""Seconds between two starts: what costs time is to begin, and the clocks of the others run meanwhile."""


def main(folders):
    """Run all of them. It returns in each fork, too, which has run one program then."""
    waiting, running = deque(folders), 0
    while waiting or running:
        if waiting and running < AT_ONCE:
            folder = waiting.popleft()
            if os.fork() == 0:
                return run(folder)
            running += 1
            time.sleep(BETWEEN)
        else:
            os.wait()
            running -= 1
    return None


def run(folder):
    """In a fork: become the program."""
    os.chdir(folder)
    printed = os.open("printed.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    runpy.run_path("program.py", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
