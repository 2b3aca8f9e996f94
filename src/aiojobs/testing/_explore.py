"""The decorator that turns a test into a search through all orders of its events, and what it says of what was found.

Rules of this file: a search that found nothing and was not exhausted fails, and so does one in which the test never
came to its end: neither says anything. A failure is told as numbered steps, and as a test that does them again.

Deliberately not here: the search (`_search`).
"""

from __future__ import annotations

import enum
import functools
import gc
import inspect
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from types import CoroutineType
from typing import Any, Protocol, TypeAlias, cast

from ._run import CannotExplore, Failure, Run, Step, Test, undisturbed
from ._search import Found, Script, Search
from ._story import Event, Story

__all__ = ("Counterexample", "Explored", "NotExhausted", "explore")

_Steps: TypeAlias = Iterable[str | tuple[str, int]]


class Counterexample(AssertionError):  # noqa: N818  it names what it is
    """An order of events in which the test fails, told step by step; the cause is what went wrong."""


class NotExhausted(AssertionError):  # noqa: N818
    """Nothing failed, but that says nothing: not every order of events was tried, or none came to its end."""


class Explored(Protocol):
    """A test that is explored when it is called."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Try every order of events.

        Raises:
            Counterexample: it fails in one.
            NotExhausted: it fails in none of those that were tried, which were not all.
            CannotExplore: it uses threads or the network, or is not the same in every run.
        """
        ...

    def replay(self, steps: _Steps, *args: Any, **kwargs: Any) -> None:
        """Repeat a `Counterexample`: its steps, as it prints them.

        Arguments:
            steps: the names of the events; a pair of name and number for one that comes that many turns of the loop
                after the step before, when the loop is not at rest.
            args: what else the test takes, but for the story.
            kwargs: likewise.

        Raises:
            Counterexample: the test fails.
            CannotExplore: a step is not possible.
        """
        ...


def explore(
    *, hasty: int = 1, seconds: float = 10.0, runs: int | None = None
) -> Callable[[Callable[..., Coroutine[Any, Any, object]]], Explored]:
    """Run an async test in every order of the events that its argument `story` is told of, instead of once.

    Arguments:
        hasty: how many events of one run may come so soon after another that the program has not come to rest.
            More finds more and takes longer; with 0 no cancellation meets a wake-up that is on its way.
        seconds: how long to search, in real seconds. A search that was not exhausted by then fails.
        runs: how many runs to make at most; None means that time alone is the limit.

    Raises:
        TypeError: what is decorated is not an async function with a parameter `story`.
        ValueError: a bound makes no sense.
    """
    if hasty < 0 or seconds <= 0 or (runs is not None and runs < 1):
        raise ValueError(f"explore(hasty={hasty}, seconds={seconds}, runs={runs}): no run fits into this")

    def decorate(test: Callable[..., Coroutine[Any, Any, object]]) -> Explored:
        signature, place = _signature(test)

        def explored(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            _refuse_what_lasts(args, kwargs)
            told = partial(_call, test, place, args, kwargs)
            _search(test.__name__, told, hasty, seconds, runs)

        def replay(steps: _Steps, *args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            script = [Step(step, None) if isinstance(step, str) else Step(*step) for step in steps]
            _replay(partial(_call, test, place, args, kwargs), script)

        functools.update_wrapper(explored, test)
        vars(explored).update(__signature__=signature, replay=replay)
        return cast("Explored", explored)

    return decorate


def _call(test: Any, place: int, args: tuple[Any, ...], kwargs: dict[str, Any], story: Story) -> Any:
    return test(*args[:place], story, *args[place:], **kwargs)


def _signature(test: Callable[..., Any]) -> tuple[inspect.Signature, int]:
    """What is left for a caller to give (pytest takes every parameter for a fixture), and the place of `story`."""
    if not inspect.iscoroutinefunction(test):
        raise TypeError(f"explore is for async functions: {test!r} is none")
    signature = inspect.signature(test)
    names = [*signature.parameters]
    if "story" not in names:
        raise TypeError(f"{test.__qualname__} has no parameter `story`, by which it says what can happen")
    others = [parameter for name, parameter in signature.parameters.items() if name != "story"]
    return signature.replace(parameters=others), names.index("story")


def _refuse_what_lasts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """An argument that can change would carry what one run does into the next."""
    for place, value in enumerate(args):
        if not _is_constant(value) and (place or vars(value)):
            raise CannotExplore(_lasts(type(value).__qualname__))
    for name, value in kwargs.items():
        if not _is_constant(value):
            raise CannotExplore(_lasts(name))


def _lasts(what: str) -> str:
    return (
        f"the test is given {what!r}, which lives as long as all runs together: what one run does to it the next one "
        "would see. Make it inside the test; a fixture may only give what can't change"
    )


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_is_constant, value))
    kinds = int | str | bytes | float | complex | None | enum.Enum | type
    return isinstance(value, kinds) or inspect.isfunction(value) or inspect.isbuiltin(value)


def _search(name: str, test: Test, hasty: int, seconds: float, runs: int | None) -> None:
    __tracebackhide__ = True
    search, began = Search(test, hasty), time.monotonic()
    found = search.look(seconds, runs)
    took = time.monotonic() - began
    if found is not None:
        _tell(name, test, found, search)
    if not (search.exhausted and search.ends):
        raise NotExhausted(_not_exhausted(search, took))
    sys.stdout.write(
        f"{name}: exhausted, hasty={hasty}: {search.runs} runs, {search.states} states, {search.ends} ends\n"
    )


def _not_exhausted(search: Search, took: float) -> str:
    lines = [
        f"nothing failed in {search.runs} runs ({took:.1f} s, {search.states} states, {search.ends} ends), but"
    ]
    if search.left:
        lines.append(
            f"{len(search.left)} moments are left at which something else could happen. Use fewer clients or calls, "
            "`story.tasks` for clients that are alike, a smaller `hasty`, or more `seconds`."
        )
    if search.endless or not search.ends:
        lines.append(
            f"{search.endless or 'all'} of the runs have no end: `story.rest()` waits until no timer is set, and "
            "something sets one again and again. Stop it before, or do not wait for rest."
        )
    if search.unseen:
        kinds = ", ".join(search.unseen)
        lines.append(f"Equal states were not found to be equal, because of what can't be seen into: {kinds}.")
    return "\n".join(lines)


class _Telling:
    """A guide that does what another says, and writes down where each step strikes."""

    def __init__(self, guide: Script) -> None:
        self._guide = guide
        self.places: list[str] = []

    def choose(self, run: Run, *, busy: bool) -> Event | None:
        event = self._guide.choose(run, busy=busy)
        if event is not None:
            self.places.append(event.where())
        return event


def _tell(name: str, test: Test, found: Found, search: Search) -> None:
    __tracebackhide__ = True
    failure, story = _told(test, found.steps)
    if failure is None:
        raise CannotExplore(f"{found.kind}: but not when the same steps are done again, {found.steps}")
    steps = "\n".join(f"        {_literal(step)}," for step in found.steps)
    listed = f"[\n{steps}\n    ]" if steps else "[]"
    raise Counterexample(
        f"{_headline(failure)}\n\n{story}\n\nFound after {search.runs} runs. To see it again:\n\n"
        f"def {name}_again():\n    {name}.replay({listed})\n"
    ) from failure.error


def _replay(test: Test, script: list[Step]) -> None:
    __tracebackhide__ = True
    failure, story = _told(test, script)
    if failure is not None:
        raise Counterexample(f"{_headline(failure)}\n\n{story}\n") from failure.error


def _told(test: Test, script: list[Step]) -> tuple[Failure | None, str]:
    """Run a story once more, aloud; what failed, and the story in words."""
    telling = _Telling(Script(script))
    with undisturbed(quiet=False):
        before = _coroutines()
        run = Run(test, telling).go()
        for coroutine in _coroutines():
            # What a traceback of this run keeps is let go at any time later, and must not complain then.
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED and coroutine not in before:
                coroutine.close()
    return run.failure, _numbered(run.steps, telling.places)


def _coroutines() -> list[CoroutineType[Any, Any, Any]]:
    return [each for each in gc.get_objects() if type(each) is CoroutineType]


def _headline(failure: Failure) -> str:
    if failure.error is None:
        return failure.said
    said = str(failure.error).partition("\n")[0]
    return f"{failure.said} {type(failure.error).__qualname__}{said and ': '}{said}"


def _numbered(steps: list[Step], places: list[str]) -> str:
    lines = ["Events in their order:"]
    for number, (step, place) in enumerate(zip(steps, places, strict=False), 1):
        lines.append(f"{number:3}. {step.name}{_haste(step)}")
        if place:
            lines.append(f"       at {place}")
    return "\n".join(lines if steps else ["No event is needed."])


def _haste(step: Step) -> str:
    if step.turns is None:
        return ""
    when = {0: "at once", 1: "one turn of the loop later"}.get(
        step.turns, f"{step.turns} turns of the loop later"
    )
    return f", {when}, before the program has come to rest"


def _literal(step: Step) -> str:
    return repr(step.name) if step.turns is None else repr(tuple(step))
