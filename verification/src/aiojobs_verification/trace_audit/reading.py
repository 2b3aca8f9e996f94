"""Reads the lines of a trace into records for the follower.

Rules of this file: it knows the format and nothing of the specification. Each line has the keys of its kind and no
others, time never goes back, jobs are numbered from 1 in the order in which they are accepted, calls that are under
way have different names, and the last line says what is left. What the lines mean is the follower's.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from aiojobs.tracing import FORMAT, VERSION
from aiojobs_verification.follower import ActionTable, Follower, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiojobs_verification.specification.load import Spec

__all__ = ["Header", "TraceReader", "malformed"]


_NAMES = frozenset({str, type(None)})


def malformed(part: str, expected: str, requirement: str = "") -> Violation:
    """What is told is not in the format; mostly that breaks no promise."""
    return Violation(requirement, f"the format: expected {expected}", rule=f"trace: {part}")


class Header(NamedTuple):
    """The first line of a trace."""

    limit: int | None
    pending_limit: int
    calls: bool
    spec: str

    def as_line(self) -> dict[str, Any]:
        """The plain form."""
        return {"format": FORMAT, "version": VERSION, **self._asdict()}

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> Header:
        """The inverse of `as_line`.

        Raises:
            ValueError: for what a trace writer would not have written.
        """
        values: list[Any] = [line.get(name) for name in cls._fields]
        limit, pending_limit, calls, spec = values
        found = cls(*values)
        if line != found.as_line():
            raise ValueError(f"a header has the keys {', '.join(found.as_line())}, and version {VERSION}")
        if not (limit is None or (type(limit) is int and limit >= 1)):
            raise ValueError("the limit is null or at least 1")
        if type(pending_limit) is not int or pending_limit < 0:
            raise ValueError("the pending limit is at least 0")
        if type(calls) is not bool or type(spec) is not str:
            raise ValueError("`calls` is true or false, and `spec` a text")
        return found


class TraceReader:
    """Reads one trace: `feed` it the lines after the header, then call `finish`."""

    def __init__(self, spec: Spec, header: Header) -> None:
        self.header = header
        table = ActionTable(spec.job, spec.scheduler, header.limit, header.pending_limit)
        self.follower = Follower(table, calls=header.calls)
        self.lines = 0
        self.clock = 0.0
        self._over = False

    def fork(self) -> TraceReader:
        """The same, to go on separately."""
        twin = copy.copy(self)
        twin.follower = self.follower.fork()
        return twin

    def feed(self, line: Mapping[str, Any]) -> None:
        """Read one line.

        Raises:
            Violation: the line is none, or breaks a rule. The reader is then of no more use.
        """
        if self._over:
            raise malformed("end", "nothing after the last line")
        if "job" in line:
            self._feed_record(line)
        elif "call" in line:
            self._feed_call(line)
        elif "limit" in line:
            self._feed_limit(line)
        else:
            self._feed_end(line)

    def finish(self) -> None:
        """The trace has no more lines."""
        if not self._over:
            raise malformed("end", "a last line that says what is left: this trace was cut off")

    def _feed_record(self, line: Mapping[str, Any]) -> None:
        try:
            job, event, source, dest = line["job"], line["event"], line["source"], line["dest"]
            self._tick(line["time"])
        except KeyError as error:
            raise malformed("line", f"the key {error}") from None
        name = line.get("name") if event == "accept" else None
        if len(line) != (5 if name is None else 6) or type(event) is not str or type(name) not in _NAMES:
            raise malformed("line", "the keys of a record and no others, and an event")
        if job is not None:
            if type(job) is not int:
                raise malformed("line", "the number of a job, or null for the scheduler")
            if event == "accept" and job != self.follower.jobs.born + 1:
                raise malformed("numbers", f"the number {self.follower.jobs.born + 1} for the next job")
        self.follower.record(job, event, source, dest, name)

    def _feed_call(self, line: Mapping[str, Any]) -> None:
        try:
            name, event = line["call"], line["event"]
            self._tick(line["time"])
            error = line["error"] if event == "raise" else ""
        except KeyError as missing:
            raise malformed("line", f"the key {missing}") from None
        if len(line) != (4 if event == "raise" else 3) or type(name) is not str or type(error) is not str:
            raise malformed("line", "the keys of a call and no others, and a name")
        if not self.header.calls:
            raise malformed("calls", "no calls, as the header says")
        under_way = self.follower.is_under_way(name)
        if event == "call" and not under_way:
            self.follower.call(name)
        elif event == "return" and under_way:
            self.follower.returned(name)
        elif event == "raise" and under_way:
            self.follower.raised(name, error)
        elif event in ("call", "return", "raise"):
            wanted = "the answer to the call before another one" if under_way else "a call before its answer"
            raise malformed("calls", f"{wanted}: {name!r}")
        else:
            raise malformed("line", "call, return or raise as the event of a call")

    def _feed_limit(self, line: Mapping[str, Any]) -> None:
        try:
            limit = line["limit"]
            self._tick(line["time"])
        except KeyError as missing:
            raise malformed("line", f"the key {missing}") from None
        if line.keys() != {"limit", "time"}:
            raise malformed("line", "the keys of a change of the limit and no others")
        makes_sense = limit is None or (type(limit) is int and limit >= 1)
        if not makes_sense or (limit or 0) == self.follower.limit_now:
            raise malformed("another limit", "another limit than before, at least 1, or null")
        self.follower.limit(limit)

    def _feed_end(self, line: Mapping[str, Any]) -> None:
        follower = self.follower
        follower.finish()
        left = {"end": self.lines, "jobs": [*follower.jobs.live], "calls": follower.calls.unanswered}
        if line != left:
            raise malformed("end", f"as last line {left}", "BOOK-1")
        self._over = True

    def _tick(self, time: object) -> None:
        if type(time) is not float and type(time) is not int:
            raise malformed("line", "a number of seconds as time")
        if not self.clock <= time < math.inf:
            raise malformed("clock", f"a time from {self.clock} on: it never goes back")
        self.clock = time
        self.lines += 1
