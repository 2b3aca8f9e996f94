"""The machine and the software of a run: without them a measurement says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "about", "builds", "free_memory", "installed", "load", "now", "sources"]

ROOT: Final = Path(__file__).parents[1]
"""Of the repository."""


def about(python: str) -> dict[str, str]:
    """The machine, the Python of the workers, the commit."""
    describe = (
        "import platform; "
        "print(platform.python_implementation(), platform.python_version(), platform.python_compiler())"
    )
    return {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": _said([python, "-c", describe]),
        "commit": _commit(),
    }


def sources(build: str) -> Path:
    """The folder on the path in which a build of this package is."""
    compiled = ROOT / "build" / f"compiled-{sys.version_info.major}.{sys.version_info.minor}"
    return compiled if build == "compiled" else ROOT / "src"


def builds() -> list[str]:
    """The builds of this package that are there; the compiled one only if it was made from the text as it is now."""
    text = sources("pure") / "aiojobs"
    made = sources("compiled") / "aiojobs"
    files = [path for path in text.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    same = all(_same(path, made / path.relative_to(text)) for path in files)
    return ["compiled", "pure"] if same else ["pure"]


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def installed(python: str, package: str) -> str:
    """The version of a package for an interpreter; "unknown" if it has none."""
    return _said([python, "-c", f"from importlib.metadata import version; print(version({package!r}))"])


def load() -> str:
    """The load average, where there is one."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


def free_memory() -> int:
    """Bytes that processes can still have; a large number where that can't be found out."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 1 << 62
    (free,) = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return free * 1024


def now() -> str:
    """The time, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _commit() -> str:
    commit = _said(["git", "rev-parse", "--short=12", "HEAD"])
    changed = _said(["git", "status", "--porcelain", "--", "src/aiojobs"])
    return commit + (" and changes to src/aiojobs" if changed not in {"", "unknown"} else "")


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
