"""Corrupted copies of a trace, as a broken scheduler or a forger would leave them.

Rules of this file: each corruption breaks one rule, says which, and where that is certain. The copy differs from the
trace in one respect and is looked at from that line on, so nothing has to be put right behind it: the first line that
is refused must be refused for that rule, in its own words.

How it works: a corruption looks at one line of a trace, with the follower as it was before that line, and makes the
lines that stand there in the copy; nothing if it can't be made there. Nothing is left to chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from aiojobs_verification.follower import RULES, Follower, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aiojobs_verification.trace_audit.reading import Header, TraceReader

__all__ = ["CORRUPTIONS", "Corruption", "Refusal", "TracePlace", "other_headers", "verdict"]

Line: TypeAlias = "dict[str, Any]"

_STRANGER: Final = "nobody's call"


class TracePlace(NamedTuple):
    """One line of a trace, and what was known before it."""

    lines: list[Line]
    at: int
    follower: Follower
    calls: bool

    @property
    def line(self) -> Line:
        """The line."""
        return self.lines[self.at]

    @property
    def rest(self) -> list[Line]:
        """The lines after it."""
        return self.lines[self.at + 1 :]

    @property
    def following(self) -> Line:
        """The line after it; empty after the last."""
        return self.rest[0] if self.rest else {}

    def is_step(self, *events: str, source: str | None = None) -> bool:
        """Whether this is a record of one of these events of a job, in the state `source` if it is given."""
        line = self.line
        return bool(line.get("job") and line["event"] in events and source in {None, line["source"]})

    @property
    def ends(self) -> bool:
        """Whether this is the last record of a job."""
        return bool(self.line.get("job") and self.line["dest"] in {"done", "closed"})

    @property
    def is_last(self) -> bool:
        """Whether this is the last line."""
        return "end" in self.line

    @property
    def is_served(self) -> bool:
        """Whether this is a call that gets its job at once."""
        return self.line.get("event") == "call" and self.following.get("name") == self.line["call"]

    @property
    def is_open(self) -> bool:
        """Whether closing has not begun, and anything may happen here: no action has begun, and no call."""
        return self._is_between and self.follower.phase == "open"

    @property
    def is_over(self) -> bool:
        """Whether closing has begun and everybody has been told."""
        return self._is_between and self.follower.phase != "open"

    @property
    def shuts_down(self) -> bool:
        """Whether closing has begun and somebody has not been told yet."""
        return not self.follower.is_whole and self.follower.phase != "open"

    @property
    def queue(self) -> list[int]:
        """The pending jobs, in order."""
        return [*self.follower.jobs.queue]

    @property
    def blocked(self) -> list[str]:
        """The blocked calls, in order."""
        return [*self.follower.calls.blocked]

    @property
    def is_full(self) -> bool:
        """Whether as many jobs are pending as may be."""
        return 0 < self.follower.table.pending_limit == self.follower.counters.state.pending

    def but(self, **changes: object) -> Line:
        """The line, with something changed."""
        return self.line | changes

    def record(self, job: int | None, event: str, source: str | None, dest: str) -> Line:
        """A record that comes here."""
        return {"job": job, "event": event, "source": source, "dest": dest, "time": self._time}

    def limit(self, limit: object) -> Line:
        """The limit is said to be set here."""
        return {"limit": limit, "time": self._time}

    def stranger(self, event: str) -> Line:
        """A line about a call that nobody made in truth."""
        return {"call": _STRANGER, "event": event, "time": self._time}

    def intruder(self) -> list[Line]:
        """One job more is spawned here."""
        accept = self.record(self.follower.jobs.born + 1, "accept", None, "pending")
        return [self.stranger("call"), accept | {"name": _STRANGER}] if self.calls else [accept]

    @property
    def _is_between(self) -> bool:
        return self.follower.is_whole and self.follower.calls.made is None

    @property
    def _time(self) -> float:
        earlier = (line["time"] for line in reversed(self.lines[: self.at + 1]) if "time" in line)
        return float(next(earlier, 0.0))


class Refusal(NamedTuple):
    """What must be said of a forged trace."""

    rule: str
    """By its name in `RULES`, or a part of the format."""
    phrase: str

    def is_told_by(self, violation: Violation) -> bool:
        """Whether it is refused for what it is."""
        rule = RULES.get(self.rule)
        place, requirements = (
            (rule.place, rule.requirements) if rule else (f"trace: {self.rule}", violation.requirements)
        )
        broken = rule.broken if rule else "the format"
        same = (violation.rule, violation.requirements) == (place, requirements)
        return same and violation.text.startswith(broken) and self.phrase in violation.text


class Corruption(NamedTuple):
    """One way to forge a trace."""

    refusal: Refusal
    make: Callable[[TracePlace], object]
    """The list of lines that stand in the copy from this place on; anything else if it can't be made here."""


_LIMITED: Final = Refusal("slot handed on", "the start of job")
_UNLIMITED: Final = Refusal("limit", "no slot was given back")
_OVERFULL: Final = Refusal("pending limit", "as many pending as may be")
_BLOCKED: Final = Refusal("blocks", "at once")
_ANNOUNCED: Final = Refusal("calls", "no calls")
_UNANNOUNCED: Final = Refusal("called", "a call of spawn")


def verdict(refusal: Refusal, reader: TraceReader, lines: Sequence[Line]) -> str:
    """What is wrong with the judgement of a copy, read on from where it differs; empty if it is right."""
    try:
        for line in lines:
            reader.feed(line)
        reader.finish()
    except Violation as violation:
        return "" if refusal.is_told_by(violation) else f"refused for something else: {violation}"
    return "accepted"


def other_headers(header: Header, ran: Follower) -> Iterator[tuple[str, Refusal, Header]]:
    """The trace of the same run, said to be of another scheduler, where the run has come to the point that tells."""
    did, limit, pending_limit = ran.counters.actions, header.limit, header.pending_limit
    moves = did["set_limit_start"] or did["set_limit_idle"]
    if limit is not None and did["spawn_queue"] and not moves:
        yield "a limit of one more", _LIMITED, header._replace(limit=limit + 1)
        yield "no limit", _LIMITED, header._replace(limit=None)
        if limit > 1:
            yield "a limit of one less", _UNLIMITED, header._replace(limit=limit - 1)
    if 1 < pending_limit == ran.most_pending:
        yield "a pending limit of one less", _OVERFULL, header._replace(pending_limit=pending_limit - 1)
    if did["spawn_block"] and (header.calls or not moves):
        yield "a pending limit of one more", _BLOCKED, header._replace(pending_limit=pending_limit + 1)
    if header.calls:
        yield "calls not announced", _ANNOUNCED, header._replace(calls=False)
    else:
        yield "calls announced", _UNANNOUNCED, header._replace(calls=True)


_STEPS: Final = ("start", "finish", "cancel", "close")
_START: Final = ("start", "pending", "active")
_CLOSE: Final = ("close", "open", "closing")
_SETTLED: Final = ("settled", "closing", "closed")

_OF_JOBS: Final = {
    "something is told of a job that is not there": Corruption(
        Refusal("known", "before it is accepted"),
        lambda at: at.is_step(*_STEPS) and [at.but(job=at.follower.jobs.highest + 1)],
    ),
    "a job begins in the middle": Corruption(
        Refusal("new", "a new job without a source"),
        lambda at: at.is_step("accept") and [at.but(dest="active")],
    ),
    "a job is said to be elsewhere": Corruption(
        Refusal("state", "where it is"), lambda at: at.is_step(*_STEPS) and [at.but(source="done")]
    ),
    "a job goes where the table does not": Corruption(
        Refusal("table", "not pending"), lambda at: at.is_step(*_STEPS) and [at.but(dest="pending")]
    ),
    "a job that runs starts": Corruption(
        Refusal("table", "no event 'start'"),
        lambda at: at.is_step("finish", "cancel", "close", source="active") and [at.but(event="start")],
    ),
    "a job ends twice": Corruption(
        Refusal("ended once", "which has ended"), lambda at: at.ends and [at.line, at.line]
    ),
    "a dropped job starts": Corruption(
        Refusal("dropped for good", "which has ended"),
        lambda at: at.is_step("close", source="pending") and [at.line, at.record(at.line["job"], *_START)],
    ),
    "a queued job starts at once": Corruption(
        Refusal("limit", "no slot was given back"),
        lambda at: (
            at.is_step("accept")
            and not at.follower.raises
            and at.following.get("event") != "start"
            and [at.line, at.record(at.line["job"], *_START)]
        ),
    ),
    "a slot is not handed on": Corruption(
        Refusal("slot handed on", "the start of job"),
        lambda at: (
            at.is_step("start")
            and not at.follower.raises
            and at.following.get("job") != at.line["job"]
            and at.rest
        ),
    ),
    "the second of the queue starts": Corruption(
        Refusal("queue order", "which came earlier than job"),
        lambda at: at.is_step("start") and len(at.queue) > 1 and [at.but(job=at.queue[1])],
    ),
    "one job more is queued": Corruption(
        Refusal("pending limit", "as many pending as may be"),
        lambda at: at.is_open and at.is_full and not at.blocked and at.intruder(),
    ),
}

_OF_LIMITS: Final = {
    "the limit is said to be raised, and nobody starts": Corruption(
        Refusal("limit raised", "to start"),
        lambda at: (
            at.is_open
            and len(at.queue) > 0
            and at.line.get("event") != "start"
            and [at.limit(at.follower.counters.state.L + at.follower.jobs.running() + 1), at.line, *at.rest]
        ),
    ),
    "the limit is raised, and one job more starts": Corruption(
        Refusal("limit", "the limit is"),
        lambda at: (
            at.is_step("start")
            and at.follower.raises
            and len(at.queue) > 1
            and at.follower.jobs.running() + 1 == at.follower.limit_now
            and [at.line, at.but(job=at.queue[1])]
        ),
    ),
    "the limit is said to be what it is": Corruption(
        Refusal("another limit", "another limit than before"),
        lambda at: at.is_open and [at.limit(at.follower.limit_now or None)],
    ),
    "the limit is none that a scheduler can have": Corruption(
        Refusal("another limit", "at least 1"), lambda at: at.is_open and [at.limit(0)]
    ),
}

_OF_CALLS: Final = {
    "a call was not made": Corruption(
        Refusal("called", "a call of spawn before"), lambda at: at.is_served and at.rest
    ),
    "a call waits for nothing": Corruption(
        Refusal("blocks", "at once"), lambda at: at.is_served and [at.line, at.stranger("call")]
    ),
    "a call says that the queue is full": Corruption(
        Refusal("full", "there is room for it"),
        lambda at: at.is_served and [at.line, at.but(event="raise", error="PendingQueueFull")],
    ),
    "a call overtakes": Corruption(
        Refusal("no overtaking", "which is blocked"),
        lambda at: at.is_open and len(at.blocked) > 0 and at.intruder(),
    ),
    "the second of the callers is served, and the first returns": Corruption(
        Refusal("place handed on", "is cancelled"),
        lambda at: (
            at.is_step("accept")
            and at.line.get("name") in at.blocked[:-1]
            and [at.but(name=at.blocked[-1]), at.stranger("return") | {"call": at.line["name"]}]
        ),
    ),
    "a call returns without a job": Corruption(
        Refusal("returns with a job", "it has no job"),
        lambda at: at.calls and at.is_open and [at.stranger("call"), at.stranger("return")],
    ),
    "a call raises and leaves its job": Corruption(
        Refusal("raises without a job", "has ended first"),
        lambda at: (
            at.line.get("event") == "return"
            and at.lines[at.at - 1].get("event") == "start"
            and at.lines[at.at - 2].get("name") == at.line["call"]
            and [at.but(event="raise", error="CancelledError")]
        ),
    ),
    "a call returns after closing began": Corruption(
        Refusal("refused by closing", "closing has begun"),
        lambda at: at.calls and at.is_over and [at.stranger("call"), at.stranger("return")],
    ),
    "a call is never answered": Corruption(
        Refusal("answered", "an answer to the call"),
        lambda at: at.calls and at.is_over and [at.stranger("call"), at.line, *at.rest],
    ),
}

_OF_CLOSING: Final = {
    "a job is let in late": Corruption(
        Refusal("nothing accepted", "no new job"), lambda at: at.is_over and at.intruder()
    ),
    "a job starts in the shutdown": Corruption(
        Refusal("nothing starts", "is dropped"),
        lambda at: (
            at.shuts_down and at.is_step("close", source="pending") and [at.but(event="start", dest="active")]
        ),
    ),
    "the shutdown leaves some out": Corruption(
        Refusal("everybody asked", "dropped or asked to stop"),
        lambda at: at.shuts_down and [at.record(None, *_SETTLED)],
    ),
    "the queue is dropped out of order": Corruption(
        Refusal("dropped in order", "which came earlier"),
        lambda at: (
            at.shuts_down
            and at.is_step("close", source="pending")
            and len(at.queue) > 1
            and [at.but(job=at.queue[1])]
        ),
    ),
    "the shutdown cancels unasked": Corruption(
        Refusal("asked first", "is asked to stop first"),
        lambda at: (
            at.shuts_down and at.is_step("close", source="active") and [at.but(event="cancel", dest="closed")]
        ),
    ),
    "closing begins twice": Corruption(
        Refusal("closes once", "a step out of the phase"),
        lambda at: at.is_over and [at.record(None, *_CLOSE)],
    ),
    "closing is over before it began": Corruption(
        Refusal("settles after closing", "out of the phase open"),
        lambda at: at.is_open and [at.record(None, *_SETTLED)],
    ),
}

_OF_THE_FORMAT: Final = {
    "a key is missing": Corruption(
        Refusal("line", "the key 'event'"),
        lambda at: "event" in at.line and [{key: word for key, word in at.line.items() if key != "event"}],
    ),
    "a key too many": Corruption(
        Refusal("line", "no others"), lambda at: not at.is_last and [at.but(colour="red")]
    ),
    "time goes back": Corruption(
        Refusal("clock", "it never goes back"), lambda at: not at.is_last and [at.but(time=-0.001)]
    ),
    "a number is left out": Corruption(
        Refusal("numbers", "for the next job"),
        lambda at: at.is_step("accept") and [at.but(job=at.line["job"] + 1)],
    ),
    "a call is made twice": Corruption(
        Refusal("calls", "the answer to the call before another"),
        lambda at: at.line.get("event") == "call" and [at.line, at.line],
    ),
    "an answer to nobody": Corruption(
        Refusal("calls", "a call before its answer"), lambda at: at.calls and [at.stranger("return")]
    ),
    "a job is left that has ended": Corruption(
        Refusal("end", "as last line"), lambda at: at.is_last and [at.but(jobs=[*at.line["jobs"], 1])]
    ),
    "the lines are miscounted": Corruption(
        Refusal("end", "as last line"), lambda at: at.is_last and [at.but(end=at.line["end"] + 1)]
    ),
    "the trace is cut off": Corruption(Refusal("end", "cut off"), lambda at: at.is_last and at.rest),
    "the trace goes on after its end": Corruption(
        Refusal("end", "nothing after the last line"), lambda at: at.is_last and [at.line, at.line]
    ),
}

CORRUPTIONS: Final[Mapping[str, Corruption]] = _OF_JOBS | _OF_LIMITS | _OF_CALLS | _OF_CLOSING | _OF_THE_FORMAT
"""Each by what it does. For every rule but one there is a corruption that only this rule refuses: that the jobs and
the counters agree ("counted") can only be broken by a specification that contradicts itself."""
