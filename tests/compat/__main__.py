"""Run each file of this folder in a process of its own: the packages patch asyncio, and must not meet.

    python -m tests.compat                    all of them, as many at once as there are processors
    python -m tests.compat sentry -k close    one of them, with options for pytest

What a group prints is shown if it fails. The last line counts the tests of all of them.
"""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

PLUGINS = {"anyio", "ddtrace", "looptime_chronometers", "looptime_plugin", "looptime_timeproxies"}
"""The plugins of pytest that these packages bring along. They would be loaded in every group, and patch there."""

UNUSABLE = {
    "nest_asyncio": ((3, 14), "asyncio.timeout refuses to work under it there, jobs or no jobs"),
}
"""The first version of Python on which a package does not do what it is for, and how that shows."""

TOO_LONG = 600
"""Seconds after which a group hangs."""


def groups():
    """Name and place of each group: a file, or a folder of files that may share a process."""
    files = {path.stem.removeprefix("test_"): path for path in HERE.glob("test_*.py")}
    return dict(
        sorted((files | {path.parent.name: path.parent for path in HERE.glob("*/test_*.py")}).items())
    )


def usable(name):
    """Whether a group can be run on this Python; if not, say why."""
    if name not in UNUSABLE or sys.version_info < UNUSABLE[name][0]:
        return True
    (major, minor), why = UNUSABLE[name]
    print(f"{name:24} left out from Python {major}.{minor} on: {why}")
    return False


def command(place, options):
    """How a group is run."""
    without = [word for plugin in sorted(PLUGINS) for word in ("-p", f"no:{plugin}")]
    settings = ["-q", "-o", "faulthandler_timeout=30", *without]
    return [sys.executable, "-m", "pytest", *settings, *options, str(place.relative_to(ROOT))]


def run(place, options):
    """Run a group and say how it ended: its exit code, what it printed, and the seconds that it took."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            command(place, options),
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=TOO_LONG, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        printed = (expired.stdout or b"").decode(errors="replace")
        return 1, f"{printed}\nstill running after {TOO_LONG} s", time.monotonic() - began
    return done.returncode, done.stdout, time.monotonic() - began


def figures(printed):
    """How many tests passed, failed, …: what the last lines of pytest say."""
    last = re.findall(r"^(?:=+ )?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", printed, re.MULTILINE)
    return Counter({kind: int(n) for n, kind in re.findall(r"(\d+) ([a-z]+)", last[-1] if last else "")})


def main(arguments):
    """Run what was asked for; the exit code is 1 if anything failed, or was skipped, or if no test ran."""
    known = groups()
    options = [word for word in arguments if word not in known]
    wanted = [name for name in [word for word in arguments if word in known] or known if usable(name)]
    total, failed = Counter(), []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2) as pool:
        runs = {name: pool.submit(run, known[name], options) for name in wanted}
        for name, running in runs.items():
            code, printed, seconds = running.result()
            found = figures(printed)
            total += found
            if code or found.keys() - {"passed", "deselected"}:
                failed.append(name)
                print(printed)
            counted = ", ".join(f"{n} {kind}" for kind, n in found.items()) or "no test ran"
            print(f"{name:24} {counted} in {seconds:.1f} s", flush=True)
    if failed:
        print(
            f"\nFailed: {', '.join(failed)}. One alone: LOCK=compat .ci/env python -m tests.compat {failed[0]}"
        )
    print(", ".join(f"{total[kind]} {kind}" for kind in ("passed", *sorted(total.keys() - {"passed"}))))
    return 1 if failed or not total["passed"] else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
