"""Replays a trace, from the lines of its file to the verdict of the audit.

How it works: the lines are read one by one, so memory is that of the jobs that are alive. The first line that breaks
a rule is named with the rule, the requirements it stands for, and what would have been right. Nothing after it is
looked at, since nothing can be said about it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aiojobs_verification.follower import Violation
from aiojobs_verification.trace_audit.reading import Header, TraceReader, malformed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiojobs_verification.specification.load import Spec

__all__ = ["Audit", "BrokenLine", "audit"]

_DECODE = json.JSONDecoder().raw_decode


class BrokenLine(NamedTuple):
    """The first line that breaks a rule."""

    line: int
    """Its number in the file, from 1; the one after the last if a line is missing."""
    text: str
    rule: str
    requirements: tuple[str, ...]
    broken: str
    """What is wrong, and what would have been right."""

    def told(self) -> str:
        """For people."""
        ids = f"{', '.join(self.requirements)} " if self.requirements else ""
        return f"line {self.line}: {ids}({self.rule})\n  {self.broken}\n  found {self.text}"


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of one trace."""

    finding: BrokenLine | None
    reader: TraceReader | None
    """None if there was no header to begin with."""
    seconds: float
    """CPU time, reading included."""

    @property
    def speed(self) -> int:
        """Lines a second."""
        return round(self.reader.lines / self.seconds) if self.reader and self.seconds else 0

    def as_dict(self) -> dict[str, Any]:
        """The plain form."""
        seen: dict[str, Any] = {}
        if self.reader is not None:
            follower = self.reader.follower
            seen = {
                "lines": self.reader.lines,
                "jobs": follower.jobs.born,
                "most jobs alive": follower.jobs.most_live,
                "actions": dict(sorted(follower.counters.actions.items())),
                "exercised": follower.exercised(),
            }
        finding = self.finding._asdict() if self.finding else None
        return {"status": "fail" if finding else "pass", "finding": finding, **seen}


def audit(lines: Iterable[bytes], spec: Spec) -> Audit:
    """Follow the lines of a trace to the end, or to the first one that breaks a rule."""
    begun = time.process_time()
    reader, finding = None, None
    number, text = 1, b""
    rest = iter(lines)
    try:
        text = next(rest, b"")
        reader = TraceReader(spec, _header(text))
        for text in rest:
            number += 1
            reader.feed(_parsed(text))
        number, text = number + 1, b""
        reader.finish()
    except Violation as violation:
        said = text.decode("utf-8", "replace").rstrip("\n") or "nothing"
        finding = BrokenLine(number, said, violation.rule, violation.requirements, violation.text)
    return Audit(finding, reader, time.process_time() - begun)


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        said = text.decode("utf-8")
        line, end = _DECODE(said)
    except (ValueError, RecursionError) as error:
        raise malformed("line", f"one JSON object in UTF-8 ({error})") from None
    if type(line) is not dict or said[end:] != "\n":
        raise malformed("line", "one JSON object, and a line feed after it")
    return line


def _header(text: bytes) -> Header:
    try:
        return Header.from_line(_parsed(text))
    except (ValueError, TypeError) as error:
        raise malformed("header", f"a header: {error}") from None
