"""The effect of a shutdown on the jobs that had been accepted (``SHUT-7``): numbers, and a line for the log.

Pure: it looks at jobs that have ended, and at what of those that have not was promised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast

from ._job import Job
from ._lifecycle import Outcome

__all__ = ("ShutdownReport", "Tally", "report_on")

_KINDS: Final = ("finished", "cancelled", "never_started", "timed_out", "late")
_KIND_OF: Final = {
    Outcome.CANCELLED: "cancelled",
    Outcome.NEVER_STARTED: "never_started",
    Outcome.RETURNED: "finished",
    Outcome.RAISED: "finished",
    Outcome.TIMED_OUT: "timed_out",
}
_MOST_NAMES: Final = 5


class Tally:
    """Numbers of jobs, by what became of them while their scheduler closed. It can't be changed.

    Attributes:
        finished: returned or raised, asked to stop or not.
        cancelled: ended with a cancellation.
        never_started: were dropped from the queue; none of their code has run.
        timed_out: stopped because their own time was over.
        late: had not stopped by the deadline.
    """

    __slots__ = _KINDS

    finished: int
    cancelled: int
    never_started: int
    timed_out: int
    late: int

    def __init__(self, counts: Mapping[str, int]) -> None:
        for kind in _KINDS:
            object.__setattr__(self, kind, counts.get(kind, 0))

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, kind) for kind in _KINDS)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} can't be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} can't be changed")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ({kind: getattr(self, kind) for kind in _KINDS},)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown()})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, kind) for kind in _KINDS)

    def _shown(self) -> str:
        return ", ".join(f"{kind}={getattr(self, kind)}" for kind in _KINDS)


class ShutdownReport(Tally):
    """What a shutdown did to the jobs that were accepted and had not ended when it began (``SHUT-7``).

    A job whose ``spawn`` was still blocked, and was refused by the shutdown, was not accepted.

    Attributes:
        dropped: how much work that somebody counted on was not done: jobs that were cancelled, never started or late,
            but for those of ``drain=False`` that stopped in time.
        seconds: how long closing took, by the loop's clock.
        by_qualname: the same numbers for each `Job.qualname`.
    """

    __slots__ = ("by_qualname", "dropped", "seconds")

    dropped: int
    seconds: float
    by_qualname: Mapping[str, Tally]

    def __init__(
        self, counts: Mapping[str, int], dropped: int, seconds: float, by_qualname: Mapping[str, Tally]
    ) -> None:
        super().__init__(counts)
        object.__setattr__(self, "dropped", dropped)
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "by_qualname", MappingProxyType(dict(by_qualname)))

    def __reduce__(self) -> tuple[Any, ...]:
        counts = {kind: getattr(self, kind) for kind in _KINDS}
        return type(self), (counts, self.dropped, self.seconds, dict(self.by_qualname))

    def _values(self) -> tuple[Any, ...]:
        return (*super()._values(), self.dropped, self.seconds, dict(self.by_qualname))

    def _shown(self) -> str:
        return f"{super()._shown()}, dropped={self.dropped}, seconds={round(self.seconds, 3):g}"

    def __str__(self) -> str:
        names = sorted(self.by_qualname.items(), key=lambda item: -item[1].total)
        shown = [f"{name}: {_in_words(tally)}" for name, tally in names[:_MOST_NAMES]]
        if len(names) > _MOST_NAMES:
            shown.append(f"{len(names) - _MOST_NAMES} more")
        return f"{_in_words(self)} in {round(self.seconds, 3):g} s" + (
            f" ({'; '.join(shown)})" if shown else ""
        )


def report_on(
    jobs: list[Job[Any]], late: list[Job[Any]], endless: Iterable[Job[Any]], seconds: float
) -> ShutdownReport:
    """The report on these jobs, of which some are late and some never end by themselves, at the end of closing."""
    whole: Counter[str] = Counter()
    names: dict[str, Counter[str]] = {}
    for kind, counts in _counted(jobs, late):
        for name, number in counts.items():
            whole[kind] += number
            names.setdefault(name, Counter())[kind] += number
    stopped = sum(job.outcome in (Outcome.CANCELLED, Outcome.NEVER_STARTED) for job in endless)
    dropped = whole["cancelled"] + whole["never_started"] + whole["late"] - stopped
    tallies = {name: Tally(names[name]) for name in sorted(names)}
    return ShutdownReport(whole, dropped, seconds, tallies)


def _counted(jobs: list[Job[Any]], late: list[Job[Any]]) -> Iterator[tuple[str, Counter[str]]]:
    """For each kind the number of jobs of each name. There may be many jobs, so C counts them.

    Their names are plain strings before they are: one of somebody's own class may hash as it likes.
    """
    if late:
        yield "late", Counter([job.qualname for job in late])
    ended = [job for job in jobs if job.owner is None] if late else jobs
    endings = [job.ending for job in ended]
    rest = len(ended)
    for outcome, kind in _KIND_OF.items():
        number = endings.count(outcome) if rest else 0
        if number == len(ended):
            yield kind, Counter(map(str.__str__, cast("list[str]", [job.coro for job in ended])))
        elif number:
            names = cast("list[str]", [job.coro for job in ended if job.ending is outcome])
            yield kind, Counter(map(str.__str__, names))
        rest -= number


def _in_words(tally: Tally) -> str:
    counts = [(getattr(tally, kind), kind.replace("_", " ")) for kind in _KINDS]
    return ", ".join(f"{number} {kind}" for number, kind in counts if number) or "nothing was left"
