"""Corrupted copies of a trace: what a scheduler would leave that breaks a promise, or a forger.

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

    lines: Sequence[Line]
    at: int
    follower: Follower
    calls: bool

    @property
    def line(self) -> Line:
        """The line."""
        return self.lines[self.at]

    @property
    def rest(self) -> Sequence[Line]:
        """The lines after it."""
        return self.lines[self.at + 1 :]

    def is_step(self, *events: str) -> bool:
        """Whether this is a record of one of these events of a job."""
        return self.line.get("job") is not None and self.line["event"] in events

    def is_call(self, event: str) -> bool:
        """Whether this is a line of a call."""
        return "call" in self.line and self.line["event"] == event

    @property
    def time(self) -> float:
        """A time that is right here."""
        earlier = (line["time"] for line in reversed(self.lines[: self.at + 1]) if "time" in line)
        return float(next(earlier, 0.0))

    @property
    def is_between(self) -> bool:
        """Whether anything may happen here: no action has begun, and no call."""
        return self.follower.is_whole and self.follower.calls.made is None

    @property
    def shuts_down(self) -> bool:
        """Whether closing has begun and somebody has not been told yet."""
        return not self.follower.is_whole and self.follower.phase != "open"

    def record(self, job: int | None, event: str, source: str | None, dest: str) -> Line:
        """A record that comes here."""
        return {"job": job, "event": event, "source": source, "dest": dest, "time": self.time}

    def stranger(self, event: str, **more: str) -> Line:
        """A line about a call that nobody made in truth."""
        return {"call": _STRANGER, "event": event, **more, "time": self.time}

    def intruder(self) -> list[Line]:
        """One job more is spawned here."""
        accept = self.record(self.follower.jobs.born + 1, "accept", None, "pending")
        return [self.stranger("call"), accept | {"name": _STRANGER}] if self.calls else [accept]


_Make: TypeAlias = "Callable[[TracePlace], Sequence[Line] | None]"
"""The lines of the copy from this place on, or None."""


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
    make: _Make


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
    if limit is not None and did["spawn_queue"]:
        yield "a limit of one more", _LIMITED, header._replace(limit=limit + 1)
        yield "no limit", _LIMITED, header._replace(limit=None)
        if limit > 1:
            yield "a limit of one less", _UNLIMITED, header._replace(limit=limit - 1)
    if 1 < pending_limit == ran.most_pending:
        yield "a pending limit of one less", _OVERFULL, header._replace(pending_limit=pending_limit - 1)
    if did["spawn_block"]:
        yield "a pending limit of one more", _BLOCKED, header._replace(pending_limit=pending_limit + 1)
    if header.calls:
        yield "calls not announced", _ANNOUNCED, header._replace(calls=False)
    else:
        yield "calls announced", _UNANNOUNCED, header._replace(calls=True)


# --------------------------------------------------------------------------------------------------------
# What a job does


def _of_nobody(place: TracePlace) -> Sequence[Line] | None:
    if place.is_step("start", "finish", "cancel", "close"):
        return [place.line | {"job": place.follower.jobs.highest + 1}]
    return None


def _half_made(place: TracePlace) -> Sequence[Line] | None:
    return [place.line | {"dest": "active"}] if place.is_step("accept") else None


def _elsewhere(place: TracePlace) -> Sequence[Line] | None:
    if not place.is_step("start", "finish", "cancel", "close"):
        return None
    return [place.line | {"source": "closing" if place.line["source"] != "closing" else "active"}]


def _wrong_turn(place: TracePlace) -> Sequence[Line] | None:
    if not place.is_step("start", "finish", "cancel", "close"):
        return None
    return [place.line | {"dest": "pending"}]


def _starts_again(place: TracePlace) -> Sequence[Line] | None:
    runs = place.is_step("finish", "cancel", "close") and place.line["source"] != "pending"
    return [place.line | {"event": "start"}] if runs else None


def _ends_twice(place: TracePlace) -> Sequence[Line] | None:
    ends = place.line.get("job") is not None and place.line["dest"] in {"done", "closed"}
    return [place.line, place.line] if ends else None


def _starts_dropped(place: TracePlace) -> Sequence[Line] | None:
    if place.is_step("close") and place.line["dest"] == "closed":
        return [place.line, place.record(place.line["job"], "start", "pending", "active")]
    return None


# Slots and the queue


def _starts_early(place: TracePlace) -> Sequence[Line] | None:
    job = place.line.get("job")
    is_queued = place.is_step("accept") and not any(_starts(line, job) for line in place.rest[:1])
    return [place.line, place.record(job, "start", "pending", "active")] if is_queued else None


def _never_starts(place: TracePlace) -> Sequence[Line] | None:
    other = place.rest and place.rest[0].get("job") != place.line.get("job")
    return place.rest if place.is_step("start") and other else None


def _starts_beside(place: TracePlace) -> Sequence[Line] | None:
    queue = [*place.follower.jobs.queue]
    return [place.line | {"job": queue[1]}] if place.is_step("start") and len(queue) > 1 else None


def _queue_overflows(place: TracePlace) -> Sequence[Line] | None:
    follower = place.follower
    full = 0 < follower.table.pending_limit == follower.counters.state.pending
    return place.intruder() if full and place.is_between and not follower.calls.blocked else None


def _starts(line: Line, job: object) -> bool:
    return line.get("job") == job and line["event"] == "start"


# Calls of `spawn`


def _uncalled(place: TracePlace) -> Sequence[Line] | None:
    made = place.rest[0].get("name") if place.is_call("call") else None
    return place.rest if made == place.line.get("call") and made is not None else None


def _waits_for_nothing(place: TracePlace) -> Sequence[Line] | None:
    return [place.line, place.stranger("call")] if _uncalled(place) is not None else None


def _falsely_full(place: TracePlace) -> Sequence[Line] | None:
    if _uncalled(place) is None:
        return None
    return [place.line, place.line | {"event": "raise", "error": "PendingQueueFull"}]


def _overtakes(place: TracePlace) -> Sequence[Line] | None:
    is_open = place.follower.phase == "open"
    return place.intruder() if place.follower.calls.blocked and place.is_between and is_open else None


def _wrong_caller(place: TracePlace) -> Sequence[Line] | None:
    """The place goes to the second of the calls that are blocked, and the first returns all the same."""
    blocked = [*place.follower.calls.blocked]
    if len(blocked) < 2 or not place.is_step("accept") or place.line.get("name") != blocked[0]:  # noqa: PLR2004
        return None
    back = {"call": blocked[0], "event": "return", "time": place.time}
    return [place.line | {"name": blocked[1]}, back]


def _returns_empty(place: TracePlace) -> Sequence[Line] | None:
    if place.calls and place.is_between and place.follower.phase == "open":
        return [place.stranger("call"), place.stranger("return")]
    return None


def _leaves_a_job(place: TracePlace) -> Sequence[Line] | None:
    made = place.lines[place.at - 2 : place.at]
    started = made and made[0].get("name") == place.line.get("call") and made[-1]["event"] == "start"
    if place.is_call("return") and started:
        return [place.line | {"event": "raise", "error": "CancelledError"}]
    return None


def _returns_late(place: TracePlace) -> Sequence[Line] | None:
    if place.calls and place.is_between and place.follower.phase != "open":
        return [place.stranger("call"), place.stranger("return")]
    return None


def _never_answered(place: TracePlace) -> Sequence[Line] | None:
    closes = any(line.get("event") == "settled" for line in place.lines)
    return [place.stranger("call"), *place.lines[place.at :]] if _returns_late(place) and closes else None


# Closing


def _lets_in_late(place: TracePlace) -> Sequence[Line] | None:
    return place.intruder() if place.is_between and place.follower.phase != "open" else None


def _starts_late(place: TracePlace) -> Sequence[Line] | None:
    if place.shuts_down and place.line.get("source") == "pending":
        return [place.line | {"event": "start", "dest": "active"}]
    return None


def _leaves_some_out(place: TracePlace) -> Sequence[Line] | None:
    return [place.record(None, "settled", "closing", "closed")] if place.shuts_down else None


def _drops_out_of_order(place: TracePlace) -> Sequence[Line] | None:
    queue = [*place.follower.jobs.queue]
    if place.shuts_down and place.line.get("source") == "pending" and len(queue) > 1:
        return [place.line | {"job": queue[1]}]
    return None


def _asks_nobody(place: TracePlace) -> Sequence[Line] | None:
    if place.shuts_down and place.line.get("source") == "active" and place.line["event"] == "close":
        return [place.line | {"event": "cancel", "dest": "closed"}]
    return None


def _closes_twice(place: TracePlace) -> Sequence[Line] | None:
    if place.is_between and place.follower.phase != "open":
        return [place.record(None, "close", "open", "closing")]
    return None


def _settles_early(place: TracePlace) -> Sequence[Line] | None:
    if place.is_between and place.follower.phase == "open":
        return [place.record(None, "settled", "closing", "closed")]
    return None


# The format


def _keyless(place: TracePlace) -> Sequence[Line] | None:
    key = next(iter(place.line))
    return None if key == "end" else [{name: value for name, value in place.line.items() if name != "event"}]


def _surplus_key(place: TracePlace) -> Sequence[Line] | None:
    return None if "end" in place.line else [place.line | {"colour": "red"}]


def _back_in_time(place: TracePlace) -> Sequence[Line] | None:
    return [place.line | {"time": -0.001}] if "time" in place.line else None


def _skips_a_number(place: TracePlace) -> Sequence[Line] | None:
    return [place.line | {"job": place.line["job"] + 1}] if place.is_step("accept") else None


def _called_twice(place: TracePlace) -> Sequence[Line] | None:
    return [place.line, place.line] if place.is_call("call") else None


def _answers_nobody(place: TracePlace) -> Sequence[Line] | None:
    return [place.stranger("return")] if place.calls else None


def _loses_an_end(place: TracePlace) -> Sequence[Line] | None:
    if "end" not in place.line:
        return None
    return [place.line | {"jobs": [*place.line["jobs"], place.follower.jobs.highest]}]


def _miscounts(place: TracePlace) -> Sequence[Line] | None:
    return [place.line | {"end": place.line["end"] + 1}] if "end" in place.line else None


def _cut_off(place: TracePlace) -> Sequence[Line] | None:
    return [] if "end" in place.line else None


def _goes_on(place: TracePlace) -> Sequence[Line] | None:
    return [place.line, place.line] if "end" in place.line else None


CORRUPTIONS: Final[Mapping[str, Corruption]] = {
    "something is told of a job that is not there": Corruption(
        Refusal("known", "before it is accepted"), _of_nobody
    ),
    "a job begins in the middle": Corruption(Refusal("new", "a new job without a source"), _half_made),
    "a job is said to be elsewhere": Corruption(Refusal("state", "where it is"), _elsewhere),
    "a job goes where the table does not": Corruption(Refusal("table", "not pending"), _wrong_turn),
    "a job that runs starts": Corruption(Refusal("table", "no event 'start'"), _starts_again),
    "a job ends twice": Corruption(Refusal("ended once", "which has ended"), _ends_twice),
    "a dropped job starts": Corruption(Refusal("dropped for good", "which has ended"), _starts_dropped),
    "a queued job starts at once": Corruption(Refusal("limit", "no slot was given back"), _starts_early),
    "a slot is not handed on": Corruption(Refusal("slot handed on", "the start of job"), _never_starts),
    "the second of the queue starts": Corruption(
        Refusal("queue order", "which came before job"), _starts_beside
    ),
    "one job more is queued": Corruption(
        Refusal("pending limit", "as many pending as may be"), _queue_overflows
    ),
    "a call was not made": Corruption(Refusal("called", "a call of spawn before"), _uncalled),
    "a call waits for nothing": Corruption(Refusal("blocks", "at once"), _waits_for_nothing),
    "a call says that the queue is full": Corruption(Refusal("full", "there is room for it"), _falsely_full),
    "a call overtakes": Corruption(Refusal("no overtaking", "which is blocked"), _overtakes),
    "the second of the callers is served": Corruption(
        Refusal("place handed on", "is cancelled"), _wrong_caller
    ),
    "a call returns without a job": Corruption(
        Refusal("returns with a job", "it has no job"), _returns_empty
    ),
    "a call raises and leaves its job": Corruption(
        Refusal("raises without a job", "has ended first"), _leaves_a_job
    ),
    "a call returns after closing began": Corruption(
        Refusal("refused by closing", "closing has begun"), _returns_late
    ),
    "a call is never answered": Corruption(Refusal("answered", "an answer to the call"), _never_answered),
    "a job is let in late": Corruption(Refusal("nothing accepted", "no new job"), _lets_in_late),
    "a job starts in the shutdown": Corruption(Refusal("nothing starts", "is dropped"), _starts_late),
    "the shutdown leaves some out": Corruption(
        Refusal("everybody asked", "dropped or asked to stop"), _leaves_some_out
    ),
    "the queue is dropped out of order": Corruption(
        Refusal("dropped in order", "which came before"), _drops_out_of_order
    ),
    "the shutdown cancels unasked": Corruption(
        Refusal("asked first", "is asked to stop first"), _asks_nobody
    ),
    "closing begins twice": Corruption(Refusal("closes once", "a step out of the phase"), _closes_twice),
    "closing is over before it began": Corruption(
        Refusal("settles after closing", "out of the phase open"), _settles_early
    ),
    "a key is missing": Corruption(Refusal("line", "the key 'event'"), _keyless),
    "a key too many": Corruption(Refusal("line", "no others"), _surplus_key),
    "time goes back": Corruption(Refusal("clock", "it never goes back"), _back_in_time),
    "a number is left out": Corruption(Refusal("numbers", "for the next job"), _skips_a_number),
    "a call is made twice": Corruption(
        Refusal("calls", "the answer to the call before another"), _called_twice
    ),
    "an answer to nobody": Corruption(Refusal("calls", "a call before its answer"), _answers_nobody),
    "a job is left that has ended": Corruption(Refusal("end", "as last line"), _loses_an_end),
    "the lines are miscounted": Corruption(Refusal("end", "as last line"), _miscounts),
    "the trace is cut off": Corruption(Refusal("end", "cut off"), _cut_off),
    "the trace goes on after its end": Corruption(Refusal("end", "nothing after the last line"), _goes_on),
}
"""Each by what it does. For every rule but one there is a corruption that only this rule refuses: that the jobs and
the counters agree ("counted") can only be broken by a specification that contradicts itself."""
