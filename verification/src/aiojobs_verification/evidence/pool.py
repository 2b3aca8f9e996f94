"""Commands that run side by side, on the cores that are there.

Rules of this file: whatever happens, a command that was started has ended when its owner is done with it, and
so have its children. It is asked first (SIGINT), so that it can clear away what it has made, and killed if
that takes too long.

Deliberately not here: which command, when, and what its end means (`cli.verify`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PATIENCE: Final = 3.0
"""Seconds that a command has for clearing away."""
_TICK: Final = 0.05
_LAST_WORDS: Final = 400
_QUOTA: Final = "sys/fs/cgroup/cpu.max"
_OLDER_QUOTA: Final = ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "sys/fs/cgroup/cpu/cpu.cfs_period_us")


def cores(root: Path = Path("/")) -> int:
    """How many cores this process may use: what it may run on, and what its container grants."""
    here = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = _quota(root)
    return here if quota is None else max(1, min(here, round(quota)))


def _quota(root: Path) -> float | None:
    """The cores that a container grants; None if it grants all, or if there is none."""
    try:
        if (root / _QUOTA).is_file():
            quota, period = (root / _QUOTA).read_text(encoding="ascii").split()
        else:
            quota, period = ((root / path).read_text(encoding="ascii") for path in _OLDER_QUOTA)
        granted = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number: no quota
        return None
    return granted if granted > 0 else None


@dataclass(slots=True)
class Command:
    """A command that was started; its output is in two files."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    begun: float = field(default_factory=time.monotonic)
    cleared: bool = False
    """Whether what it left running has been killed."""

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.begun

    def ended(self) -> bool:
        """Whether it has ended; what it left running is killed."""
        if self.process.poll() is None:
            return False
        if not self.cleared:
            self.cleared = True
            self._signal(signal.SIGKILL)
        return True

    def last_line(self) -> str:
        """The last thing it said, in whichever of its files it spoke last."""
        latest = max((self.out, self.err), key=lambda path: path.stat().st_mtime_ns)
        with latest.open("rb") as file:
            file.seek(max(0, latest.stat().st_size - _LAST_WORDS))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nobody is left, or, on macOS, nobody who lives
            os.killpg(self.process.pid, number)


def start(
    words: Sequence[str], folder: Path, out: Path, err: Path, environment: Mapping[str, str]
) -> Command:
    """Start a command in `folder`, in a group of its own.

    Raises:
        OSError: it can't be started.
    """
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=to_out,
            stderr=to_err,
            start_new_session=True,
        )
    return Command(process, out, err)


def stop(commands: Iterable[Command]) -> None:
    """End these commands and their children: ask, wait a little, kill."""
    left = [command for command in commands if not command.ended()]
    for command in left:
        command._signal(signal.SIGINT)  # noqa: SLF001 - of this module
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and (left := [command for command in left if not command.ended()]):
        time.sleep(_TICK)
    for command in left:
        command._signal(signal.SIGKILL)  # noqa: SLF001
        command.process.wait()
