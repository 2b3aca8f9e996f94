"""Corrupted copies of a trace: what a scheduler would leave that breaks its promises, or a forger.

Rules of this file: a copy differs from the trace in one respect, and everything that is a mere consequence
of that is put right: the count in the last line, and the numbers of later jobs if one was added or taken
away. Otherwise each copy would be found out by its bookkeeping, and nothing would be learnt about the
rules.

How it works: at each line every operator makes the copies that it can make there. Nothing is left to chance.

Deliberately not here: whether a copy is wrong. Some are not: two jobs that end side by side can change
places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aiojobs.tracing import Header
    from aiojobs_verification.specification.load import Spec

__all__ = ["Copy", "corrupted", "headers"]

Line: TypeAlias = "Mapping[str, Any]"
_Choice: TypeAlias = "Mapping[str, Sequence[str | None]]"

_FAR: Final = 7
"""How far a line is moved that is not just swapped with its neighbour."""


class Copy(NamedTuple):
    """A corrupted copy: what was done, where it first differs, and its lines after the header."""

    kind: str
    at: int
    lines: Sequence[Line]


def corrupted(lines: Sequence[Line], spec: Spec, places: Iterable[int] | None = None) -> Iterator[Copy]:
    """Every copy that can be made at `places`, by default at every line."""
    words = _Words(spec)
    for at in range(len(lines)) if places is None else places:
        for kind, operator in _OPERATORS.items():
            for tail in operator(lines, at, words):
                copy = [*lines[:at], *tail]
                if "end" in copy[-1] and "count" not in kind:
                    copy[-1] = {**copy[-1], "end": len(copy) - 1}
                if copy != lines:
                    yield Copy(kind, at, copy)


def headers(header: Header) -> Iterator[tuple[str, Header]]:
    """The trace of the same run, said to be of another scheduler."""
    if header.limit is not None:
        if header.limit > 1:
            yield "a limit of one less", header._replace(limit=header.limit - 1)
        yield "a limit of one more", header._replace(limit=header.limit + 1)
        yield "no limit", header._replace(limit=None)
    else:
        yield "a limit", header._replace(limit=1)
    if header.pending_limit:
        yield "a pending limit of one less", header._replace(pending_limit=header.pending_limit - 1)
        yield "a pending limit of one more", header._replace(pending_limit=header.pending_limit + 1)
    yield "calls", header._replace(calls=not header.calls)


class _Words:
    """What can be put in place of a word."""

    def __init__(self, spec: Spec) -> None:
        job, phase = spec.job.machine, spec.scheduler.phase
        self.initial = job.initial
        self.job: _Choice = {
            "event": ["accept", *job.events],
            "source": [None, *job.states],
            "dest": [*job.states],
        }
        self.phase: _Choice = {"event": [*phase.events], "source": [*phase.states], "dest": [*phase.states]}
        self.moves = {False: job.moves(), True: phase.moves()}

    def of(self, line: Line) -> _Choice:
        return self.phase if line["job"] is None else self.job


def _is_record(line: Line) -> bool:
    return "job" in line


def _of_job(line: Line) -> bool:
    return line.get("job") is not None


# --------------------------------------------------------------------------------------------------------
# Operators: from the lines and a place to what stands there and after it


def _drop(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    yield lines[at + 1 :] or [{}]


def _repeat(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    yield [lines[at], *lines[at:]]


def _swap(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    """With the next line, each keeping the other's time: the clock is not what should give it away."""
    if at + 1 < len(lines):
        first, second = lines[at], lines[at + 1]
        yield [_timed(second, first), _timed(first, second), *lines[at + 2 :]]


def _delay(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    if at + _FAR < len(lines):
        passed = lines[at + 1 : at + 1 + _FAR]
        yield [*passed, _timed(lines[at], passed[-1]), *lines[at + 1 + _FAR :]]


def _timed(line: Line, like: Line) -> Line:
    return {**line, "time": like["time"]} if "time" in line and "time" in like else line


def _change(key: str) -> Callable[[Sequence[Line], int, _Words], Iterator[Sequence[Line]]]:
    def operator(lines: Sequence[Line], at: int, words: _Words) -> Iterator[Sequence[Line]]:
        if _is_record(lines[at]):
            for word in words.of(lines[at])[key]:
                yield [{**lines[at], key: word}, *lines[at + 1 :]]

    return operator


def _other_step(lines: Sequence[Line], at: int, words: _Words) -> Iterator[Sequence[Line]]:
    """Another step that the table knows, from the same state."""
    if _is_record(lines[at]):
        for source, event, dest in words.moves[lines[at]["job"] is None]:
            if source == lines[at]["source"]:
                yield [{**lines[at], "event": event, "dest": dest}, *lines[at + 1 :]]


def _other_job(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    """The neighbours in number, nobody, and a number that is none."""
    if _of_job(lines[at]):
        for job in (lines[at]["job"] - 1, lines[at]["job"] + 1, None, "1"):
            yield [{**lines[at], "job": job}, *lines[at + 1 :]]


def _exchange(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    """This line and the next one of its kind change jobs, or calls: two starts, two ends, two acceptances."""
    for later in range(at + 1, len(lines)):
        one, two = lines[at], lines[later]
        key = "job" if _of_job(one) else "call"
        if key in one and two.get(key) is not None and one["event"] == two["event"]:
            between = lines[at + 1 : later]
            yield [{**one, key: two[key]}, *between, {**two, key: one[key]}, *lines[later + 1 :]]
            return


def _exchange_lives(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    """From here on two jobs change names, so that each goes on with the life of the other."""
    one = lines[at].get("job")
    two = next((line["job"] for line in lines[at + 1 :] if _of_job(line) and line["job"] != one), None)
    if one is not None and two is not None:
        swapped = {one: two, two: one}
        yield [
            {**line, "job": swapped.get(line["job"], line["job"])} if _of_job(line) else line
            for line in lines[at:]
        ]


def _bad_time(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    if "time" in lines[at]:
        before = lines[at - 1]["time"] if at else 0.0
        for time in (before - 0.001, float("nan"), float("inf"), None, "0.5"):
            yield [{**lines[at], "time": time}, *lines[at + 1 :]]


def _surplus(events: Sequence[str]) -> Callable[[Sequence[Line], int, _Words], Iterator[Sequence[Line]]]:
    """One job more, here; it is left over at the end."""

    def operator(lines: Sequence[Line], at: int, words: _Words) -> Iterator[Sequence[Line]]:
        job = 1 + sum(line.get("event") == "accept" for line in lines[:at])
        time = next((line["time"] for line in lines[at:] if "time" in line), None)
        if time is None:
            return
        state: str | None = None
        more: list[Line] = []
        for event in events:
            dest = words.initial if state is None else _dest(words, state, event)
            more.append({"job": job, "event": event, "source": state, "dest": dest, "time": time})
            state = dest
        *rest, end = [_shifted(line, job, 1) for line in lines[at:]]
        if "jobs" in end and state not in {"done", "closed"}:
            end = {**end, "jobs": sorted([*end["jobs"], job])}
        yield [*more, *rest, end]

    return operator


def _dest(words: _Words, state: str, event: str) -> str:
    return next(dest for source, name, dest in words.moves[False] if (source, name) == (state, event))


def _lose(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    """Every line of the job that is accepted here."""
    if lines[at].get("event") == "accept" and _of_job(lines[at]):
        job = lines[at]["job"]
        yield [_shifted(line, job, -1) for line in lines[at:] if line.get("job") != job]


def _shifted(line: Line, job: int, by: int) -> Line:
    """With `by` added to every number from `job` on."""
    if _of_job(line):
        return {**line, "job": line["job"] + by * (line["job"] >= job)}
    if "jobs" in line:
        kept = (number for number in line["jobs"] if by > 0 or number != job)
        return {**line, "jobs": [number + by * (number >= job) for number in kept]}
    return line


def _other_answer(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    """A call that came back is said to have raised, or the other way round."""
    line = lines[at]
    if line.get("call") is not None:
        said = {"call": line["call"], "time": line["time"]}
        for answer in ({"event": "return"}, {"event": "raise", "error": "CancelledError"},
                       {"event": "raise", "error": "PendingQueueFull"}, {"event": "call"}):  # fmt: skip
            yield [said | answer, *lines[at + 1 :]]


def _surplus_call(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    """A call that is made here and refused on the spot, or never answered, or answered but never made."""
    time = lines[at].get("time")
    if time is not None:
        made: Line = {"call": "nobody", "event": "call", "time": time}
        answers: list[Line] = [{"call": "nobody", "event": "return", "time": time}]
        answers += [
            {"call": "nobody", "event": "raise", "error": e, "time": time} for e in ("E", "PendingQueueFull")
        ]
        yield [made, *lines[at:]]
        for answer in answers:
            yield [answer, *lines[at:]]
            yield [made, answer, *lines[at:]]


def _wrong_count(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    if "end" in lines[at]:
        end = lines[at]
        for wrong in (
            {"end": end["end"] - 1},
            {"end": end["end"] + 1},
            {"jobs": [*end["jobs"], 1]},
            {"calls": ["x"]},
        ):
            yield [{**end, **wrong}]
        yield [end, end]


def _surplus_key(lines: Sequence[Line], at: int, _: _Words) -> Iterator[Sequence[Line]]:
    yield [{**lines[at], "colour": "red"}, *lines[at + 1 :]]
    key = next(iter(lines[at]))
    yield [{name: value for name, value in lines[at].items() if name != key}, *lines[at + 1 :]]


_OPERATORS: Final[Mapping[str, Callable[[Sequence[Line], int, _Words], Iterable[Sequence[Line]]]]] = {
    "a line is missing": _drop,
    "a line is there twice": _repeat,
    "two lines have changed places": _swap,
    "a line comes late": _delay,
    "another event": _change("event"),
    "another state before": _change("source"),
    "another state after": _change("dest"),
    "another step of the table": _other_step,
    "another job": _other_job,
    "two lines have changed jobs or calls": _exchange,
    "two jobs have changed lives": _exchange_lives,
    "a wrong time": _bad_time,
    "one job more waits": _surplus(["accept"]),
    "one job more runs": _surplus(["accept", "start"]),
    "one job more comes and goes": _surplus(["accept", "start", "finish"]),
    "one job more is dropped": _surplus(["accept", "close"]),
    "a job is missing": _lose,
    "another answer to a call": _other_answer,
    "one call more": _surplus_call,
    "a wrong count at the end": _wrong_count,
    "a wrong key": _surplus_key,
}
