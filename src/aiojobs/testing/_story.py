"""What a test that is explored says about the world around the code: who comes, what may fail, what must hold.

Rules of this file: a story lists the events that are possible and lets one happen; it never chooses. Events that
*must* happen some time (arrivals, answers) and events that *may* (cancellations, `may`) are told apart, since the
world is at rest only when none of the former is left. An event has a name, the same in every run.

Deliberately not here: the loop and its turns (`_run`), which events to try in which order (`_search`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar, cast, overload

from ._where import place_in_users_code

if TYPE_CHECKING:
    from ._run import StoryLoop

__all__ = ("Event", "Io", "Party", "Scenario", "Story", "is_injected")

_T = TypeVar("_T")
_Errors: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]
_Failure: TypeAlias = BaseException | type[BaseException]

_INJECTED: Final = "_injected_by_a_story"


class Event(NamedTuple):
    """Something that the world can do now."""

    name: str
    act: Callable[[], object]
    must: bool
    """Whether it has to happen before the world can be at rest."""
    where: Callable[[], str]
    """Where in the code it strikes, for the report."""


class Io:
    """One call of fake input or output that has not been answered."""

    __slots__ = ("answers", "fails", "future", "label", "task")

    def __init__(
        self,
        label: str,
        future: asyncio.Future[Any],
        answers: tuple[Any, ...],
        fails: tuple[_Failure, ...],
        task: asyncio.Task[Any] | None,
    ) -> None:
        self.label: str = label
        self.future: asyncio.Future[Any] = future
        self.answers: tuple[Any, ...] = answers
        self.fails: tuple[_Failure, ...] = fails
        self.task: asyncio.Task[Any] | None = task

    def where(self) -> str:
        """Where its caller waits."""
        return "" if self.task is None else place_in_users_code(self.task.get_coro())

    def events(self) -> Iterator[Event]:
        """Each of its answers and failures."""
        for answer in self.answers:
            said = f"{self.label} answers" if len(self.answers) == 1 else f"{self.label} answers {answer!r}"
            yield Event(said, partial(self.future.set_result, answer), True, self.where)
        for failure in self.fails:
            kind = failure if isinstance(failure, type) else type(failure)
            said = f"{self.label} fails with {kind.__name__}"
            yield Event(said, partial(self._fail, failure), True, self.where)

    def _fail(self, failure: _Failure) -> None:
        error = failure(f"{self.label} fails") if isinstance(failure, type) else failure
        vars(error)[_INJECTED] = True
        self.future.set_exception(error)


class Party:
    """Somebody whose task runs now, or comes at any moment."""

    __slots__ = ("cancel", "make", "name", "raises", "seen", "task")

    def __init__(self, name: str, make: Callable[[], Any] | None, cancel: bool, raises: _Errors) -> None:
        self.name: str = name
        self.make: Callable[[], Any] | None = make
        self.cancel: bool = cancel
        self.raises: _Errors = raises
        self.task: asyncio.Task[Any] | None = None
        self.seen: bool = False
        """Whether its end was looked at."""

    def where(self) -> str:
        """Where it is suspended."""
        return "" if self.task is None else place_in_users_code(self.task.get_coro())

    def ended(self) -> bool:
        """Whether it has come and gone."""
        return self.task is not None and self.task.done()


class Scenario:
    """What a story has said, and what of it can happen."""

    def __init__(self, loop: StoryLoop) -> None:
        self.loop: StoryLoop = loop
        self.calls: Counter[str] = Counter()
        self.ios: list[Io] = []
        self.parties: dict[str, Party] = {}
        self.lines: list[list[Party]] = []
        """Who comes only after the one before has come; the next one is last."""
        self.chances: dict[str, Callable[[], object]] = {}
        self.checks: list[Callable[[], object]] = []
        self.resting: asyncio.Future[None] | None = None
        """What `Story.rest` waits for."""

    def obligations(self) -> list[Event]:
        """The events that must happen some time and can now."""
        events = [self._arrival(line) for line in self.lines]
        for io in self.ios:
            if not io.future.done():
                events.extend(io.events())
        return events

    def options(self) -> list[Event]:
        """The events that can happen now or never."""
        events = [
            Event(f"{party.name} is cancelled", partial(_cancel, party, party.task), False, party.where)
            for party in self.parties.values()
            if party.cancel and party.task is not None and not party.task.done()
        ]
        chances = [Event(name, partial(self._happens, name), False, _nowhere) for name in self.chances]
        return [*events, *chances]

    def call(self, name: str, answers: tuple[Any, ...], fails: tuple[_Failure, ...]) -> Io:
        """Begin a call of the outside world."""
        self.calls[name] += 1
        task = asyncio.current_task(self.loop)
        io = Io(f"{name} {self.calls[name]}", self.loop.create_future(), answers, fails, task)
        self.ios.append(io)
        return io

    def unfinished(self) -> list[Party]:
        """Who has not come, or has come and not ended."""
        return [party for party in self.parties.values() if not party.ended()]

    def come_to_rest(self) -> None:
        """Let `rest` return; what had the chance to happen has lost it."""
        self.chances.clear()
        assert self.resting is not None  # noqa: S101  nobody is told of rest who does not wait for it
        self.resting.set_result(None)

    def party(self, name: str, cancel: bool, raises: _Errors) -> Party:
        """Somebody new.

        Raises:
            ValueError: the name is taken.
        """
        if name in self.parties:
            raise ValueError(f"there is a task {name!r} already")
        party = self.parties[name] = Party(name, None, cancel, raises)
        return party

    def _arrival(self, line: list[Party]) -> Event:
        return Event(f"{line[-1].name} comes", partial(self._comes, line), True, _nowhere)

    def _comes(self, line: list[Party]) -> None:
        party = line.pop()
        if not line:
            self.lines.remove(line)
        make, party.make = party.make, None
        assert make is not None  # noqa: S101  it has not come before
        self.start(party, make())

    def start(self, party: Party, coro: Coroutine[Any, Any, Any]) -> None:
        """Have somebody come."""
        party.task = self.loop.create_task(coro, name=party.name)

    def _happens(self, name: str) -> None:
        result = self.chances.pop(name)()
        if inspect.isawaitable(result):
            party = self.party(name, cancel=False, raises=())
            self.start(party, _awaiting(result))


class Story:
    """What an explored test gets as its argument; all events that it names are tried at every moment."""

    __slots__ = ("_scenario",)

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    @overload
    async def io(self, name: str, *, fails: _Failure | Iterable[_Failure] = ()) -> None: ...
    @overload
    async def io(
        self, name: str, *, answers: Iterable[_T], fails: _Failure | Iterable[_Failure] = ()
    ) -> _T: ...
    async def io(
        self, name: str, *, answers: Iterable[Any] = (None,), fails: _Failure | Iterable[_Failure] = ()
    ) -> Any:
        """Stand for a call of the outside world: await it where the program would wait for one.

        It is answered at any moment after it was called, with each of the answers, or fails with each of the
        failures; each is tried.

        Arguments:
            name: what the report calls it; the calls of one name are numbered.
            answers: what it can return.
            fails: what it can raise: an exception, its class, or several.

        Raises:
            BaseException: one of the failures.
        """
        failures = (fails,) if isinstance(fails, type | BaseException) else tuple(fails)
        io = self._scenario.call(name, tuple(answers), failures)
        try:
            return await io.future
        finally:
            self._scenario.ios.remove(io)

    def task(
        self,
        name: str,
        coro: Coroutine[Any, Any, Any] | Callable[[], Coroutine[Any, Any, Any]],
        *,
        cancel: bool = False,
        raises: _Errors = (),
    ) -> None:
        """Run a coroutine as a task: now, or, if it is a function that makes one, from any moment on.

        It must have ended when the world is at rest. What it raises fails the test, unless `io` was told to raise
        it, or it is one of `raises`.

        Arguments:
            name: what the report calls it; no two have the same.
            coro: the coroutine, or a function without arguments that returns it.
            cancel: whether it may be cancelled, once, at any moment while it runs.
            raises: exceptions that it may end with.

        Raises:
            ValueError: the name is taken.
        """
        party = self._scenario.party(name, cancel, raises)
        if inspect.iscoroutine(coro):
            self._scenario.start(party, coro)
            return
        party.make = coro  # type: ignore[assignment]
        self._scenario.lines.append([party])

    def tasks(
        self,
        name: str,
        count: int,
        make: Callable[[int], Coroutine[Any, Any, Any]],
        *,
        cancel: bool = False,
        raises: _Errors = (),
    ) -> None:
        """Have `count` clients come at any moment, one after the other, where it does not matter who is first.

        The same as `task` for each, but that orders which differ in nothing but their names are not tried.

        Arguments:
            name: what the report calls them; each bears its number.
            count: how many.
            make: makes the coroutine of each; it gets the number, from 1 on.
            cancel: as in `task`.
            raises: as in `task`.
        """
        line: list[Party] = []
        for number in range(count, 0, -1):
            party = self._scenario.party(f"{name} {number}", cancel, raises)
            party.make = partial(make, number)
            line.append(party)
        self._scenario.lines.append(line)

    def may(self, name: str, act: Callable[[], object]) -> None:
        """Have a function called once, at any moment, or never; if it returns an awaitable, that is run as a task.

        Arguments:
            name: what the report says when it happens.
            act: the function, without arguments.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._scenario.chances:
            raise ValueError(f"there is an event {name!r} already")
        self._scenario.chances[name] = act

    def check(self, holds: Callable[[], object]) -> None:
        """Have a function called after every event and every turn of the loop; False or an exception fails the test.

        Arguments:
            holds: the function, without arguments. It must change nothing.
        """
        self._scenario.checks.append(holds)

    async def rest(self) -> None:
        """Wait until nothing is left to happen: all have come and ended, all calls are answered, no timer is set.

        What `may` happen, or may be cancelled, has happened by then or never does.
        """
        scenario = self._scenario
        if scenario.resting is not None:
            raise RuntimeError("the story is waiting for rest already")
        scenario.resting = scenario.loop.create_future()
        try:
            await scenario.resting
        finally:
            scenario.resting = None


def _cancel(party: Party, task: asyncio.Task[Any]) -> None:
    party.cancel = False
    task.cancel()


async def _awaiting(awaitable: Awaitable[Any]) -> None:
    await awaitable


def _nowhere() -> str:
    return ""


def is_injected(error: BaseException) -> bool:
    """Whether a failure is one that a story has told, or was raised because of one."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_injected, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    current: BaseException | None = error
    while current is not None and not isinstance(current, AssertionError):
        if _INJECTED in vars(current):
            return True
        current = current.__cause__ or current.__context__
    return False
