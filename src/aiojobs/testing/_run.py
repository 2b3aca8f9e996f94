"""One run of a test that is explored: the loop, one event at a time, and what went wrong.

Rules of this file: whoever guides a run chooses at each *moment*, that is between two turns of the loop; the run does
what it says, keeps the steps, and looks after each of them whether anything is wrong. The ready queue is never
touched: the order inside a turn is asyncio's. A run is over when the test has ended, when something is wrong, or
when its guide has seen enough.

How it works: between two turns the guide either lets the loop turn or names an event. While callbacks are ready, an
event is *hasty*: it comes so soon after the one before that the program has not come to rest. When nothing is ready an
event must come, or else the program waits for ever.

Deliberately not here: which choice to make (`_search`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import warnings
import weakref
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Protocol, TypeAlias

from ._story import Event, Party, Scenario, Story, is_injected
from ._virtual_loop import VirtualLoop
from ._where import suspended_at

if TYPE_CHECKING:
    from contextvars import Context

__all__ = ("REST", "CannotExplore", "Failure", "Guide", "Run", "Step", "StoryLoop", "Test", "undisturbed")

Test: TypeAlias = Callable[[Story], Coroutine[Any, Any, object]]

REST: Final = "all is at rest"
"""The name of the event by which `Story.rest` returns."""

_SPIN_LIMIT: Final = 1000
"""The number of turns after an event from which on the loop is taken to spin."""

_LONGEST: Final = 1000
"""After this many events a run is taken to have no end."""

_CLOSINGS: Final = 20
"""The number of times that a coroutine that is left over may go on although it is told to end."""


class CannotExplore(RuntimeError):  # noqa: N818  it names a situation
    """The test does something that can't be explored, or is not the same in every run; the message says what."""


class Step(NamedTuple):
    """An event that happened.

    Attributes:
        name: which.
        turns: None if it came when the loop was at rest; else how many turns of the loop after the step before.
    """

    name: str
    turns: int | None


class Failure(NamedTuple):
    """What went wrong in a run."""

    said: str
    error: BaseException | None

    def kind(self) -> str:
        """What two runs must have in common to have failed in the same way."""
        return self.said if self.error is None else type(self.error).__qualname__


class Guide(Protocol):
    """Whoever chooses what happens in a run."""

    def choose(self, run: Run, *, busy: bool) -> Event | None:
        """What to do at this moment; None lets the loop turn, if there was no `Run.stop` or `Run.spins`."""
        ...


class StoryLoop(VirtualLoop):
    """The virtual loop of one run: quiet about complaints, which it keeps, and clear about what it refuses."""

    main: asyncio.Task[object]

    def __init__(self) -> None:
        super().__init__()
        self.over = False
        self.refused: CannotExplore | None = None
        self._named = 0
        self._made: list[weakref.ref[asyncio.Task[Any]]] = []

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **options: Any
    ) -> Any:
        """A task whose name, if none is given, is the same in every run."""
        if name is None:
            self._named += 1
            name = f"Task-{self._named}"
        task = super().create_task(coro, name=name, context=context, **options)
        self._made.append(weakref.ref(task))
        return task

    def tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that have not ended, in the order in which they were made."""
        made = [reference() for reference in self._made]
        return [task for task in made if task is not None and not task.done()]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep the complaint, or hand it to the handler that the test has set."""
        if self.over:
            return
        handler = self.get_exception_handler()
        if handler is None:
            self.complaints.append(context)
        else:
            handler(self, context)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> Any:
        """From another thread refused: when it arrives is chance."""
        try:
            return super().call_soon_threadsafe(callback, *args, context=context)
        except RuntimeError:
            self._refuse("a call from another thread", callback)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]  # noqa: ARG002
        """Refused: when a thread ends is chance."""
        self._refuse("a thread", func)

    async def create_connection(self, protocol_factory: Any, *args: Any, **_options: Any) -> NoReturn:  # noqa: ARG002
        """Refused: there is no network."""
        self._refuse("a connection", protocol_factory)

    async def getaddrinfo(self, host: Any, port: Any, **_options: Any) -> NoReturn:
        """Refused: there is no network."""
        self._refuse("a look-up of an address", (host, port))

    def _refuse(self, what: str, which: object) -> NoReturn:
        self.refused = CannotExplore(
            f"the test asks for {what} ({which!r}): when it answers is chance. Let the test put "
            "`story.io(name)` in its place: that answers at every moment there is"
        )
        raise self.refused

    def _close_generator(self, generator: Any) -> None:
        if not self.over:
            super()._close_generator(generator)


class Run:
    """A run of a test under a guide."""

    def __init__(self, test: Test, guide: Guide) -> None:
        self.loop = StoryLoop()  # type: ignore[abstract]
        self.scenario = Scenario(self.loop)
        self.steps: list[Step] = []
        self.turns = 0
        """Turns since the last step."""
        self.failure: Failure | None = None
        self.ended = False
        """Whether the test came to its end."""
        self.endless = False
        """Whether it was broken off because it did not end."""
        self._test = test
        self._guide = guide
        self._stopped = False

    def go(self) -> Run:
        """Run to the end, to a failure, or as far as the guide wants.

        Raises:
            CannotExplore: the test asked for something that was refused.
        """
        random.seed(0)
        with self.loop.entered():
            self.loop.main = self.loop.create_task(self._test(Story(self.scenario)), name="the test")
            try:
                self._go_on()
            finally:
                self.loop.over = True
                self._dispose()
        self.loop.close()
        return self

    def events(self) -> list[Event]:
        """What can happen at this moment, what must happen first."""
        scenario = self.scenario
        must = scenario.obligations()
        if self.loop.timers():
            must.append(self._time())
        if not must and scenario.resting is not None and self.loop.quiet() and not scenario.unfinished():
            must.append(Event(REST, scenario.come_to_rest, True, str))
        return [*must, *scenario.options()]

    def _time(self) -> Event:
        delta = self.loop.timers()[0].deadline - self.loop.time()
        return Event(f"{delta:g} s pass", self._pass, True, str)

    def _pass(self) -> None:
        self.loop.advance()
        self.loop.fire()

    def _go_on(self) -> None:
        while not self._is_over():
            busy = not self.loop.quiet()
            if not busy and self._hangs():
                return
            self.endless = len(self.steps) >= _LONGEST
            if self.endless:
                return
            event = self._guide.choose(self, busy=busy)
            if self._stopped or self.failure is not None:
                return
            if event is None:
                self._turn()
            else:
                self._happen(event, busy=busy)

    def _turn(self) -> None:
        self.loop.turn()
        self.turns += 1
        if self.turns > _SPIN_LIMIT:
            self.spins()

    def _happen(self, event: Event, *, busy: bool) -> None:
        self.steps.append(Step(event.name, self.turns if busy else None))
        self.turns = 0
        try:
            copy_context().run(event.act)  # what it sets there is nobody else's
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  whatever the user's function raises is the finding
            self.failure = Failure(f"{event.name!r} raised", error)

    def stop(self) -> None:
        """Break off: what would follow is known."""
        self._stopped = True

    def spins(self) -> None:
        """Note that turn after turn leads to nothing new."""
        places = "".join(
            f"\n    {task.get_name()}: {suspended_at(task.get_coro())}" for task in self.loop.tasks()
        )
        self.failure = Failure(f"the loop spins: turn after turn, and nothing changes{places}", None)

    # Whether anything is wrong.

    def _is_over(self) -> bool:
        self._look()
        if self.failure is None and self.loop.main.done():
            self._look_at_end()
        return self.failure is not None or self.ended

    def _look(self) -> None:
        if self.loop.refused is not None:
            raise self.loop.refused
        for check in self.scenario.checks:
            self._check(check)
        for party in self.scenario.parties.values():
            if not party.seen and party.ended():
                party.seen = True
                self._look_at_party(party)
        for complaint in self.loop.complaints:
            error = complaint.get("exception")
            if error is None or not is_injected(error):
                self.failure = self.failure or Failure(
                    f"the loop was told: {complaint.get('message')}", error
                )
        self.loop.complaints.clear()

    def _check(self, check: Callable[[], object]) -> None:
        try:
            if check() is False:
                code = getattr(check, "__code__", None)
                place = "" if code is None else f" (line {code.co_firstlineno} of {code.co_filename})"
                self.failure = self.failure or Failure(f"a check is False{place}", None)
        except Exception as error:  # noqa: BLE001  a check says by this that it does not hold
            self.failure = self.failure or Failure("a check raised", error)

    def _look_at_party(self, party: Party) -> None:
        task = party.task
        if task is None or task.cancelled():
            return
        error = task.exception()
        if error is not None and not is_injected(error) and not isinstance(error, party.raises):
            self.failure = self.failure or Failure(f"{party.name!r} raised", error)

    def _look_at_end(self) -> None:
        main = self.loop.main
        error = asyncio.CancelledError() if main.cancelled() else main.exception()
        if error is not None:
            self.failure = Failure("the test raised", error)
        elif self.scenario.unfinished():
            names = ", ".join(party.name for party in self.scenario.unfinished())
            raise CannotExplore(
                f"the test ended before these had come and ended: {names}. Let it `await story.rest()`"
            )
        else:
            self.ended = True

    def _hangs(self) -> bool:
        """Whether nothing must happen any more and yet somebody waits."""
        scenario = self.scenario
        if scenario.obligations() or self.loop.timers():
            return False
        waiting = [(party.name, party.task) for party in scenario.unfinished()]
        if scenario.resting is None:
            waiting.append(("the test", self.loop.main))
        if waiting:
            places = "".join(
                f"\n    {name}: {suspended_at(task.get_coro())}" for name, task in waiting if task
            )
            self.failure = Failure(f"nothing is left to happen, and these wait for ever:{places}", None)
        return bool(waiting)

    # After the end.

    def _dispose(self) -> None:
        """Let go of what was left suspended, while its loop is still there."""
        for task in self.loop.tasks():
            _close(task.get_coro())


def _close(coro: Any) -> None:
    for _ in range(_CLOSINGS):
        with suppress(BaseException):
            coro.close()
            return


@contextmanager
def undisturbed(*, quiet: bool = True) -> Generator[None]:
    """Nothing but the steps decides what a run does: no finalizer at odd times, no chance, no flood of messages."""
    collects, chance, disabled = gc.isenabled(), random.getstate(), logging.root.manager.disable
    gc.disable()
    if quiet:
        logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            # What a run has not begun when it is broken off is never awaited.
            warnings.filterwarnings("ignore", message=".* was never awaited", category=RuntimeWarning)
            try:
                yield
            finally:
                gc.collect()
    finally:
        logging.disable(disabled)
        random.setstate(chance)
        if collects:
            gc.enable()
