"""What a person sees while the chain of evidence runs: one line per step.

On a terminal the line of the running step is rewritten in place, with the seconds it has taken and the last
thing its command said; when the step ends the line becomes its result. Anywhere else (a file, the log of a
build) nothing is rewritten: one plain line when a step begins, one when it ends.

Deliberately not here: any part of the evidence. What is shown here is for the eye and is lost.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from aiojobs_verification.evidence.evidence import Status

if TYPE_CHECKING:
    from typing import TextIO

    from aiojobs_verification.evidence.evidence import Evidence

_WORDS: Final = {Status.PASS: "pass", Status.FAIL: "FAIL", Status.SKIPPED: "skip"}
_COLOURS: Final = {Status.PASS: "\x1b[32m", Status.FAIL: "\x1b[31m", Status.SKIPPED: "\x1b[33m"}
_PLAIN: Final = "\x1b[0m"
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Shows one step after the other on `stream`."""

    def __init__(self, stream: TextIO, names: list[str]) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._total = len(names)
        self._width = max(map(len, names), default=0)
        self._number = 0
        self._name = ""

    def begin(self, name: str, title: str) -> None:
        """A step begins."""
        self._number += 1
        self._name = name
        if not self._live:
            self._stream.write(f"{self._head()}  {title}\n")
        self._stream.flush()

    def tick(self, seconds: float, said: str) -> None:
        """The step is still running, and this is the last thing it said."""
        if self._live:
            room = shutil.get_terminal_size().columns - 1
            self._stream.write(_CLEAR + f"{self._head()}  …    {seconds:5.0f} s  {said}"[:room])
            self._stream.flush()

    def end(self, evidence: Evidence) -> None:
        """The step has ended, and this is what it left."""
        found = evidence.findings
        word = _WORDS[found.status]
        if self._live:
            self._stream.write(_CLEAR)
            word = f"{_COLOURS[found.status]}{word}{_PLAIN}"
        line = f"{self._head()}  {word} {evidence.timing.seconds:5.0f} s  {summary(evidence)}"
        self._stream.write(line.rstrip() + "\n")
        self._stream.flush()

    def _head(self) -> str:
        number = f"{self._number:>{len(str(self._total))}}"
        return f"[{number}/{self._total}] {self._name:<{self._width}}"


def summary(evidence: Evidence) -> str:
    """What a step found, in a few words: its figures, or why it is not a pass."""
    found = evidence.findings
    if found.status is not Status.PASS:
        return found.reason.splitlines()[0]
    return ", ".join(f"{name} {value}" for name, value in sorted(found.figures.items()))
