"""The natural mutant: aiojobs 1.4.0 from the package index, which the links 5 and 6 have to catch.

Rules of this file: it is the same harness with another library, and a failure if that is found to be in
order. Which requirements it must be found to break, and in which scopes, is written down where the harness
is (`spec/explore.toml`, `fuzz`). Without the package index there is nothing to try, and that is a skip,
never a pass.

How it works: the package is fetched into ``build/baseline``, where no import by name can find it; then the
commands ``explore --baseline`` and ``fuzz --baseline`` are run, and their accounts put together. Their
stories are shown.

Deliberately not here: how another library is driven (`packages`, `driver`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any, Final

from aiojobs_verification.cli.commands import FAILED, NO_TOOL, PASSED, stream_beside, write_json
from aiojobs_verification.simulation.world import packages
from aiojobs_verification.specification.locate import repository

__all__ = ["catch"]

_LINKS: Final = ("explore", "fuzz")
_SECONDS: Final = 600
_STORY: Final = re.compile(
    r"^A scheduler of [^\n]*(?:\n +[^\n]*)*\n  => ([A-Z]+-\d+) is broken[^\n]*", re.MULTILINE
)
"""A story that a link tells, and the requirement that it ends with."""


def catch(where: str | None) -> int:
    """Have both links catch it, and write the account to `where`, the value of `--json`; the exit code."""
    try:
        packages.fetch(packages.BASELINE, repository() / "build" / "baseline")
    except (subprocess.CalledProcessError, OSError) as error:
        fault = f"aiojobs {packages.BASELINE} can't be fetched from the package index: {error}"
        print(fault, file=sys.stderr)
        return NO_TOOL
    out = stream_beside(where)
    figures: dict[str, Any] = {}
    planted: dict[str, str] = {}
    missed: list[str] = []
    for link in _LINKS:
        command = [sys.executable, "-m", "aiojobs_verification", link, "--baseline", "--json"]
        left = subprocess.run(
            command, cwd=repository(), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        print(left.stderr.strip(), file=out)
        if left.returncode == PASSED:
            counted = json.loads(left.stdout)["figures"]
            figures |= {f"{link}: {name}": value for name, value in counted.items()}
            planted |= {f"{link}: {story[1]}": story[0] for story in _STORY.finditer(left.stderr)}
        else:
            missed.append(link)
    if missed:
        print(f"NOT CAUGHT: aiojobs {packages.BASELINE} is not caught by {' and '.join(missed)}", file=out)
        return FAILED
    print(f"aiojobs {packages.BASELINE} is caught by {' and '.join(_LINKS)}", file=out)
    write_json({"figures": figures, "planted": planted}, where)
    return PASSED
