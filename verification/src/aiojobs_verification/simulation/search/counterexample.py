"""Counterexamples: a list of events that a person can follow, shorten, and paste into a test.

Rules of this file: a story tells what somebody outside did and what could be seen of it, in plain words,
numbered, in order; no name of a class; only a crash ends with a traceback. A story is *shrunk* when no event
can be left out without losing the violation: of the same requirement, since another one would be another story.

Deliberately not here: how the events were found.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.simulation.oracle.reference import CRASH, Violation
from aiojobs_verification.simulation.search.ending import wind_up
from aiojobs_verification.simulation.world.environment import COROUTINES, FACTORIES
from aiojobs_verification.simulation.world.parties import PARTIES, PLACES
from aiojobs_verification.simulation.world.world import Event, Scope, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from aiojobs_verification.simulation.world.packages import Package

__all__ = ["WIND_UP", "Finding", "paste", "replay", "shrink", "tell"]

WIND_UP: Final = ("wind-up",)
"""The pseudo event at the end of a story whose violation shows only when everything is brought to its end."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation and the events that lead to it."""

    scope: Scope
    events: tuple[Event, ...]
    requirement: str
    text: str
    trace: str = ""
    """Of a crash, the traceback."""

    @classmethod
    def of(cls, scope: Scope, events: Iterable[Event], violation: Violation) -> Self:
        """What was found, and where."""
        return cls(scope, tuple(events), violation.requirement, violation.text, violation.trace)

    @property
    def verdict(self) -> str:
        """What is to be said of it: that a requirement is broken, or that the library has crashed."""
        return CRASH if self.requirement == CRASH else f"{self.requirement} is broken"


def replay(scope: Scope, package: Package, events: Iterable[Event], *, to_end: bool = True) -> Finding | None:
    """Let these events happen, leaving out what is impossible, and bring the world to its end.

    Returns the first violation, with the events that really happened, or None.
    """
    done: list[Event] = []
    with World(scope, package) as world:
        try:
            for event in events:
                if event in world.enabled():
                    done.append(event)
                    world.apply(event)
            if to_end:
                done.append(WIND_UP)
                wind_up(world)
        except Violation as violation:
            return Finding.of(scope, done, violation)
    return None


def shrink(finding: Finding, package: Package) -> Finding:
    """A finding of the same requirement from which no event, and no pair of events, can be left out."""
    best = finding
    size = max(1, len(best.events) // 2)
    while size:
        smaller = _without_some(best, package, size)
        if smaller is None:
            size //= 2
        else:
            best = smaller
            size = min(size, len(best.events))
    return best


def _without_some(finding: Finding, package: Package, size: int) -> Finding | None:
    events = [event for event in finding.events if event != WIND_UP]
    for start in range(len(events) - 1, -1, -max(1, size)):
        low = max(0, start - size + 1)
        fewer = renumbered(events, low, start + 1)
        if fewer is None:
            continue
        found = replay(finding.scope, package, fewer)
        if (
            found is not None
            and found.requirement == finding.requirement
            and len(found.events) < len(finding.events)
        ):
            return found
    return None


_MAKES_BODY: Final = ("spawn", "nowait", "thread", "shield")
_MAKES_CALL: Final = (
    "spawn",
    "thread",
    "wait",
    "await",
    "wait-for",
    "close",
    "close-for",
    "shut",
    "drain",
    "drain-for",
    "with",
    "idle",
)
_ABOUT_CALL: Final = ("cancel", "leave", "leave-raise")


def renumbered(events: Sequence[Event], low: int, high: int) -> list[Event] | None:
    """The events without those from `low` to `high`, and what is about them, numbered anew."""
    bodies: dict[int, int | None] = {}
    calls: dict[int, int | None] = {}
    kept: list[Event] = []
    for index, event in enumerate(events):
        gone = low <= index < high
        kind, target = event[0], event[1] if len(event) > 1 else None
        moved = event
        if isinstance(target, int):
            new = (calls if kind in _ABOUT_CALL else bodies).get(target)
            gone = gone or new is None
            moved = (kind, new)
        if kind in _MAKES_BODY:
            bodies[len(bodies)] = None if gone else sum(1 for number in bodies.values() if number is not None)
        if kind in _MAKES_CALL or kind == "shield":
            calls[len(calls)] = None if gone else sum(1 for number in calls.values() if number is not None)
        if not gone:
            kept.append(moved)
    return kept


# Words.

_TEMPERS: Final = {
    "obedient": "it ends when it is cancelled",
    "stubborn": "it swallows cancellations",
    "tidy": "when cancelled it needs one more turn to clean up",
    "instant": "it returns in its first step",
    "failing": "it raises in its first step",
}
_TERMS: Final = {
    "timed": "and it is given {limit:g} s",
    "endless": "and draining does not wait for it",
    "timed-endless": "it is given {limit:g} s, and draining does not wait for it",
}
_WORDS: Final = {
    "turn": "The loop takes a turn.",
    "tick": "Time passes until the next timer is due.",
    "fire": "The timers that are due fire, before what is ready.",
    "return": "{job} is about to return.",
    "raise": "{job} is about to raise an exception.",
    "base": "{job} is about to raise a BaseException.",
    "exit": "{job} is about to raise SystemExit.",
    "quit": "{job} is about to end with a CancelledError of its own.",
    "self-wait": "{job} is about to wait for itself.",
    "self-close": "{job} is about to close itself.",
    "self-shut": "{job} is about to close its own scheduler.",
    "wait": "Call {call}: somebody waits for {job}.",
    "await": "Call {call}: somebody awaits {job}.",
    "wait-for": "Call {call}: somebody waits for {job}, at most {timeout:g} s.",
    "close": "Call {call}: somebody closes {job}.",
    "close-for": "Call {call}: somebody closes {job} with a timeout of {timeout:g} s.",
    "shut": "Call {call}: somebody closes the scheduler.",
    "drain": "Call {call}: somebody calls wait_and_close().",
    "drain-for": "Call {call}: somebody calls wait_and_close({timeout:g}).",
    "with": "Call {call}: somebody enters `async with scheduler`.",
    "leave": "The inside of the `async with` of call {target} is about to end.",
    "leave-raise": "The inside of the `async with` of call {target} is about to raise.",
    "cancel": "The caller of call {target} is cancelled.",
    "idle": "Call {call}: somebody waits until the scheduler is idle.",
    "self-idle": "{job} is about to wait until its own scheduler is idle.",
    "set-limit": "Somebody sets the limit to {target}.",
    "sweep": "Every task of the loop is cancelled.",
    "environment": "{environment}",
    "misuse": "Somebody makes every mistake that can be made in a call of spawn or shield.",
    "wind-up": "Everything is brought to its end: the scheduler is closed, what still runs is let go.",
}


def tell(finding: Finding, package: Package) -> str:
    """The story, line by line: what was done, what could be seen, and what is wrong with it."""
    scope = finding.scope
    handler = {"keeps": "", "raises": ", an exception handler that raises", "loop": ", no exception handler"}
    eager = ", eager tasks" if scope.eager else ""
    contexts = {"given": ", each job in a context given to it", "shared": ", all jobs in one context"}
    limits = (
        f"limit={scope.limit}, pending_limit={scope.pending_limit}, close_timeout={scope.close_timeout:g}"
    )
    extras = f"{handler[scope.handler]}{eager}{contexts.get(scope.contexts, '')}"
    lines = [f"A scheduler of {package.label} with {limits}{extras}."]
    with World(scope, package) as world:
        if world.environment.is_strange:
            words = _surroundings(world.environment.names)
            lines.append(words[0].upper() + words[1:])
        for number, event in enumerate(finding.events, 1):
            lines.append(f"{number:3}. {_say(event, world)}")
            before = len(world.facts)
            error = _let_happen(event, world)
            lines += [f"       {line}" for line in _seen(world.facts[before:])]
            if error is not None:
                break
    lines.append(f"  => {finding.verdict}: {finding.text}.")
    lines += [f"     {line}" for line in finding.trace.splitlines()]
    return "\n".join(lines)


def _surroundings(names: Sequence[str]) -> str:
    """What the scheduler lives among, in words; nothing if nobody is strange."""
    factory, coroutine, party = names
    parts = {
        f"the loop {FACTORIES[factory].words}": factory != "stock",
        f"jobs {COROUTINES[coroutine].words}": coroutine != "ordinary",
        PARTIES[party].words: party != "polite",
    }
    return "; ".join(words for words, strange in parts.items() if strange) + "."


def _let_happen(event: Event, world: World) -> Violation | None:
    try:
        if event == WIND_UP:
            wind_up(world)
        else:
            world.apply(event)
    except Violation as violation:
        return violation
    except AssertionError:
        return None  # what happened in real time need not be possible here
    return None


def _say(event: Event, world: World) -> str:
    kind, target = event[0], event[1] if len(event) > 1 else None
    call = len(world.calls)
    if kind in {"spawn", "nowait", "thread", "shield"}:
        number = len(world.bodies)
        what = {
            "spawn": f"Call {call}: somebody spawns job {number}",
            "thread": f"Call {call}: another thread spawns job {number}",
            "nowait": f"Job {number} is given to spawn_nowait",
            "shield": f"Call {call}: somebody awaits scheduler.shield of a coroutine, shielded {number}",
        }[kind]
        terms = "".join(f", {_TERMS[term]}" for term in event[2:])
        return f"{what}; {_TEMPERS[str(target)]}{terms.format(limit=world.scope.time_limit)}."
    job = world.bodies[target].name if isinstance(target, int) and kind not in _ABOUT_CALL else ""
    environment = _surroundings(event[1:]) if kind == "environment" else ""
    words = _WORDS[kind].format(
        call=call, job=job, target=target, timeout=world.scope.timeout, environment=environment
    )
    return words[0].upper() + words[1:]


def _seen(facts: Sequence[tuple[Any, ...]]) -> list[str]:
    return [_SEEN[kind](*rest) for kind, *rest in facts if kind in _SEEN]


def _seen_end(body: Any) -> str:
    ways = {"never": "is closed before its first step", "destroyed": "is destroyed while it runs"}
    how = "" if body.error is None else f": {type(body.error).__name__}"
    return f"{body.name} {ways.get(body.ended, body.ended)}{how}"


def _seen_record(body: Any, event: str, source: str | None, dest: str) -> str:
    if body is None:
        return f"the scheduler is {dest}"
    if source is None:
        return f"{body.name} is accepted"
    return f"{body.name} goes from {source} to {dest} ({event})"


_SEEN: Final[dict[str, Callable[..., str]]] = {
    "began": lambda body: f"{body.name} takes its first step",
    "hit": lambda body: f"{body.name} receives a cancellation",
    "ended": _seen_end,
    "record": _seen_record,
    "report": lambda about: (
        f"the exception handler hears: {about.get('message')!r} of {about.get('exception')!r}"
    ),
    "answered": lambda call: f"{call.name} has its answer",
    "nowait": lambda _body, _before, error, _at_home: (
        "spawn_nowait " + ("returns" if error is None else f"raises {error!r}")
    ),
    "tried": lambda body, order, answer: f"{body.name} tried {order} and got {answer}",
    "left_loop": lambda error: f"out of the loop comes {error!r}",
    "left_to_python": lambda error: f"nobody can be told of {error!r} but the interpreter",
    "misled": lambda record: f"the second observer hears of {record} only",
    "meddled": lambda refused, _before, _after: (
        "an observer is refused: " + ", ".join(f"{what} ({error!r})" for what, error in refused.items())
    ),
    "limit_set": lambda before, _blocked, after, _error: f"set_limit makes {after} of {before}",
    "peeked": lambda view, place, _halves: f"{PLACES[place].words} sees {view}",
}
"""What can be seen of each kind of fact."""


def paste(finding: Finding) -> str:
    """A test that fails as long as the violation is there."""
    default = Scope()
    given = [
        f"{field.name}={getattr(finding.scope, field.name)!r}"
        for field in fields(Scope)
        if getattr(finding.scope, field.name) != getattr(default, field.name)
    ]
    events = [event for event in finding.events if event != WIND_UP]
    lines = [
        "import pytest",
        "",
        "from aiojobs_verification.simulation.world.world import Scope",
        "from aiojobs_verification.simulation.world.packages import own",
        "from aiojobs_verification.simulation.search.counterexample import replay",
        "",
        "",
        *([] if finding.requirement == CRASH else [f'@pytest.mark.requirement("{finding.requirement}")']),
        "def test_found_by_search():",
        "    events = [",
        *[f"        {event!r}," for event in events],
        "    ]",
        f"    scope = Scope({', '.join(given)})",
        "    finding = replay(scope, own(), events)",
        "    assert finding is None, finding",
    ]
    return "\n".join(lines) + "\n"
