"""A recorded run, from the lines of its file to what the monitor says of them.

How it works: the lines are read one by one and each is given to the `monitor`, so memory is that of the jobs
that are alive. The first line that breaks a rule is named with the rule, the requirements it stands for, and
what would have been right. Nothing after it is looked at, since nothing can be said about it.

Deliberately not here: the rules (`monitor`) and the command (`audit`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aiojobs.tracing import BrokenTraceError, Header
from aiojobs_verification.trace_audit.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiojobs_verification.specification.load import Spec

__all__ = ["Audit", "Finding", "audit"]

_DECODE = json.JSONDecoder().raw_decode


class Finding(NamedTuple):
    """The first line that breaks a rule."""

    line: int
    """Its number in the file, from 1; the one after the last if a line is missing."""
    text: str
    rule: str
    requirements: tuple[str, ...]
    expected: str

    def told(self) -> str:
        """For people."""
        ids = f"{', '.join(self.requirements)} " if self.requirements else ""
        return f"line {self.line}: {ids}({self.rule})\n  expected {self.expected}\n  found    {self.text}"


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of one trace."""

    finding: Finding | None
    monitor: Monitor | None
    """None if there was no header to begin with."""
    seconds: float
    """CPU time, reading included."""

    @property
    def speed(self) -> int:
        """Lines a second."""
        return round(self.monitor.lines / self.seconds) if self.monitor and self.seconds else 0

    def as_dict(self) -> dict[str, Any]:
        """The plain form."""
        monitor = self.monitor
        seen: dict[str, Any] = {}
        if monitor is not None:
            seen = {
                "lines": monitor.lines,
                "jobs": monitor.roster.born,
                "most jobs alive": monitor.roster.most_live,
            }
            seen |= {
                "actions": dict(sorted(monitor.counting.actions.items())),
                "exercised": monitor.exercised(),
            }
        finding = self.finding._asdict() if self.finding else None
        return {"status": "fail" if finding else "pass", "finding": finding, **seen}


def audit(lines: Iterable[bytes], spec: Spec) -> Audit:
    """Follow the lines of a trace to the end, or to the first one that breaks a rule."""
    begun = time.process_time()
    monitor, finding = None, None
    number, text = 1, b""
    rest = iter(lines)
    try:
        text = next(rest, b"")
        monitor = Monitor(spec, _header(text))
        for text in rest:
            number += 1
            monitor.feed(_parsed(text))
        number, text = number + 1, b""
        monitor.finish()
    except BrokenTraceError as broken:
        said = text.decode("utf-8", "replace").rstrip("\n") or "nothing"
        finding = Finding(number, said, broken.rule, broken.requirements, broken.expected)
    return Audit(finding, monitor, time.process_time() - begun)


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        said = text.decode("utf-8")
        line, end = _DECODE(said)
    except (ValueError, RecursionError) as error:
        raise BrokenTraceError("trace: line", f"one JSON object in UTF-8 ({error})") from None
    if type(line) is not dict or said[end:] != "\n":
        raise BrokenTraceError("trace: line", "one JSON object, and a line feed after it")
    return line


def _header(text: bytes) -> Header:
    try:
        return Header.from_line(_parsed(text))
    except (ValueError, TypeError) as error:
        raise BrokenTraceError("trace: header", f"a header: {error}") from None
