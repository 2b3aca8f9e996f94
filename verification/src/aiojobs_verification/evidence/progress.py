"""The progress of the chain of evidence, for a person who watches.

On a terminal one line is rewritten in place: which steps run, for how long, and the last thing they said.
Anywhere else (a file, the log of a build) nothing is rewritten: a line when a step begins, a line when it
ends, and every few seconds a line for each that still runs. At the end the figures stand in a table.

Deliberately not here: any part of the evidence. What is shown here is for the eye and is lost.
"""

from __future__ import annotations

import shutil
import textwrap
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from aiojobs_verification.evidence.evidence import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TextIO

    from aiojobs_verification.evidence.evidence import Evidence

EVERY: Final = 15.0
"""Seconds between two lines about a step that runs, where no line can be rewritten."""

_WORDS: Final = {Status.PASS: "pass", Status.FAIL: "FAIL", Status.SKIPPED: "skip"}
_COLOURS: Final = {Status.PASS: "\x1b[32m", Status.FAIL: "\x1b[31m", Status.SKIPPED: "\x1b[33m"}
_PLAIN: Final = "\x1b[0m"
_CLEAR: Final = "\r\x1b[K"


class Now(NamedTuple):
    """One step that runs: since when, and the last thing it said."""

    name: str
    seconds: float
    said: str


class Progress:
    """Shows steps that run side by side on `stream`."""

    def __init__(
        self, stream: TextIO, names: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._clock = clock
        self._total = len(names)
        self._name_width = max(map(len, names), default=0)
        self._ended = 0
        self._told: dict[str, float] = {}

    def begin(self, name: str, title: str) -> None:
        """A step begins."""
        self._told[name] = self._clock()
        if not self._live:
            self._write(f"{'':>{self._head_width()}} {name:<{self._name_width}}  begins: {title}")

    def tick(self, running: Iterable[Now]) -> None:
        """These steps are still running."""
        if self._live:
            said = "; ".join(f"{now.name} {now.seconds:.0f} s {now.said}".rstrip() for now in running)
            self._stream.write(_CLEAR + f"{self._head()} {said}"[: width() - 1])
            self._stream.flush()
            return
        for now in running:
            if self._clock() - self._told[now.name] >= EVERY:
                self._told[now.name] = self._clock()
                head = f"{'':>{self._head_width()}} {now.name:<{self._name_width}}"
                self._write(f"{head}  … {now.seconds:6.0f} s  {now.said}")

    def end(self, evidence: Evidence) -> None:
        """The step has ended, and this is what it left."""
        found = evidence.findings
        self._ended += 1
        word = _WORDS[found.status]
        said = evidence.title if found.status is Status.PASS else found.headline
        head = f"{self._head()} {evidence.step:<{self._name_width}}  "
        tail = f" {evidence.timing.seconds:6.0f} s  {said}"[: max(0, width() - 1 - len(head) - len(word))]
        if self._live:
            word = f"{_COLOURS[found.status]}{word}{_PLAIN}"
            self._stream.write(_CLEAR)
        self._stream.write(f"{head}{word}{tail}".rstrip() + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Nothing runs any more, or something else is to be said."""
        if self._live:
            self._stream.write(_CLEAR)

    def _write(self, line: str) -> None:
        self._stream.write(line[: width() - 1].rstrip() + "\n")
        self._stream.flush()

    def _head(self) -> str:
        return f"[{self._ended:>{len(str(self._total))}}/{self._total}]"

    def _head_width(self) -> int:
        return len(self._head())


def width() -> int:
    """How many columns a line has; 80 where nobody says."""
    return shutil.get_terminal_size((80, 24)).columns


def figures(run: Sequence[Evidence], columns: int) -> Iterator[str]:
    """What each step counted, as a table that is `columns` wide at most."""
    names = max((len(evidence.step) for evidence in run), default=0)
    yield f"{'step':<{names}}  result  seconds  what was counted"
    for evidence in run:
        found = evidence.findings
        head = f"{evidence.step:<{names}}  {_WORDS[found.status]:<6}  {evidence.timing.seconds:7.1f}  "
        lines = textwrap.wrap(_counted(evidence), max(20, columns - 1 - len(head))) or [""]
        yield (head + lines[0]).rstrip()
        yield from (" " * len(head) + line for line in lines[1:])


def _counted(evidence: Evidence) -> str:
    found = evidence.findings
    if found.status is Status.SKIPPED:
        return found.headline
    return ", ".join(f"{_figure(value)} {name}" for name, value in sorted(found.figures.items()))


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"
