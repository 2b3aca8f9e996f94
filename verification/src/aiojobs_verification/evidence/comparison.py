"""Two runs side by side: ``python -m aiojobs_verification report --compare A B``.

Rules of this file: of two runs on the same sources, with the same tools, every line of the reports and of the
evidence is the same, except those that are marked as timings. How a line is marked depends on the kind of
file, and on nothing else. What only one of them has is a difference.

Deliberately not here: whether the two runs are of the same sources. If not, the lines that say so differ.
"""

from __future__ import annotations

import re
from difflib import unified_diff
from typing import TYPE_CHECKING, Final

from aiojobs_verification.evidence.evidence import EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["compared", "differences"]

_REPORTS: Final = ("report.json", "report.md", "report.html")
_TIMING: Final = {
    ".json": re.compile(r'\s*"timing_'),
    ".md": re.compile("timing "),
    ".html": re.compile(r'<\w+ class="timing">'),
}


def compared(one: Path, two: Path) -> list[str]:
    """The files of two build folders that have to be alike, by their names in there.

    Raises:
        FileNotFoundError: one of the folders has no report.
    """
    for folder in (one, two):
        if not (folder / _REPORTS[0]).is_file():
            raise FileNotFoundError(f"{folder} has no {_REPORTS[0]}: give two build folders of make verify")
    evidence = EVIDENCE.partition("/")[2]
    found = {
        f"{evidence}/{path.name}" for folder in (one, two) for path in (folder / evidence).glob("*.json")
    }
    return [*_REPORTS, *sorted(found)]


def differences(one: Path, two: Path) -> Iterator[str]:
    """Every line that differs, below the name of its file; nothing if the two runs are alike."""
    for name in compared(one, two):
        before, after = (_lasting(folder / name) for folder in (one, two))
        yield from unified_diff(before, after, f"{one / name}", f"{two / name}", n=0, lineterm="")


def _lasting(path: Path) -> list[str]:
    """The lines that are not timings."""
    if not path.is_file():
        return []
    is_timing = _TIMING[path.suffix].match
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not is_timing(line)]
