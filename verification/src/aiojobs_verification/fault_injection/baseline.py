"""The baseline: aiojobs 1.4.0 from the package index, which links 5 and 6 have to refuse.

Rules of this file: it is the same harness with another library, and a failure if that is found to be in
order. Which requirements it must be found to break, and in which scopes, is written down where the harness
is (`spec/explore.toml`, `fuzz`). Without the package index there is nothing to try, and that is a skip,
never a pass.

How it works: the package is fetched into ``build/baseline``, where no import by name can find it; then the
commands ``explore --baseline`` and ``fuzz --baseline`` are run, and their accounts and stories put together.

Deliberately not here: how another library is driven (`packages`, `world`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, Final

from aiojobs_verification.simulation.world import packages
from aiojobs_verification.specification.locate import repository

__all__ = ["Catch", "UnreachableError", "catch"]

_LINKS: Final = ("explore", "fuzz")
_SECONDS: Final = 600
_STORY: Final = re.compile(
    r"^A scheduler of [^\n]*(?:\n +[^\n]*)*\n  => ([A-Z]+-\d+) is broken[^\n]*", re.MULTILINE
)
"""A story that a link tells, and the requirement that it ends with."""


@dataclass(slots=True)
class Catch:
    """What became of it."""

    missed: list[str] = field(default_factory=list)
    """The links that have not caught it."""
    told: list[str] = field(default_factory=list)
    """For people."""
    figures: dict[str, Any] = field(default_factory=dict)
    planted: dict[str, str] = field(default_factory=dict)
    """Link and requirement -> the story."""


class UnreachableError(Exception):
    """There is nothing to try."""


def catch() -> Catch:
    """Have both links catch it.

    Raises:
        UnreachableError: the package index is out of reach.
    """
    try:
        packages.fetch(packages.BASELINE, repository() / "build" / "baseline")
    except (subprocess.CalledProcessError, OSError) as error:
        fault = f"aiojobs {packages.BASELINE} can't be fetched from the package index: {error}"
        raise UnreachableError(fault) from error
    found = Catch()
    for link in _LINKS:
        command = [sys.executable, "-m", "aiojobs_verification", link, "--baseline", "--json"]
        left = subprocess.run(
            command, cwd=repository(), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        found.told.append(left.stderr.strip())
        if left.returncode:
            found.missed.append(link)
            continue
        counted = json.loads(left.stdout)["figures"]
        found.figures |= {f"{link}: {name}": value for name, value in counted.items()}
        found.planted |= {f"{link}: {story[1]}": story[0] for story in _STORY.finditer(left.stderr)}
    is_caught = f"is not caught by {' and '.join(found.missed)}" if found.missed else "is caught"
    found.told.append(f"aiojobs {packages.BASELINE} {is_caught}")
    return found
