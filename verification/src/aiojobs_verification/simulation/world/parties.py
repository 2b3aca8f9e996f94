"""Foreign code that the library calls, and what it can do to the library meanwhile.

Rules of this file: a *place* is where the library calls out to code that is not its own; a *deed* is what
that code does there. Each is an entry of `PLACES` or `DEEDS`, and every sensible pair of them is an entry of
`PARTIES`. What is raised is written down first (`Thrown`), so that it can be seen afterwards whether somebody
was told of it, and how often. Whoever calls back does so there and then, not in a task of its own.

How it works: the world asks its `Environment` for everything that a stranger may have made: tasks, names,
coroutines, callbacks. A stranger misbehaves only while the world *acts*, and not while it misbehaves already.

Deliberately not here: task factories and coroutines (`environment`), and what is right (`strangers`).
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiojobs_verification.simulation.world.calls import Call
from aiojobs_verification.simulation.world.environment import COROUTINES, FACTORIES, ClosesBadly, install
from aiojobs_verification.simulation.world.probes import BodyFailure
from aiojobs_verification.simulation.world.scope import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from aiojobs_verification.simulation.world.probes import Body
    from aiojobs_verification.simulation.world.world import World

__all__ = [
    "DEEDS",
    "PARTIES",
    "PLACES",
    "Environment",
    "Party",
    "PartyExit",
    "PartyFailure",
    "Thrown",
    "strangers",
]


class PartyFailure(Exception):  # noqa: N818 - what a stranger raises, told from what the library raises
    """What foreign code raises."""


class PartyExit(SystemExit):
    """What foreign code raises that wants the program to end."""


@dataclass
class Thrown:
    """What foreign code has raised, and how often somebody was told of it."""

    error: BaseException
    where: str
    owed: bool = True
    """Somebody has to be told; what Python itself, or a broken loop, keeps to itself is not owed."""
    told: int = 0

    def forget(self) -> None:
        """Let go of what it came out of: the frames would keep it alive."""
        BaseException.with_traceback(self.error, None)
        self.error.__context__ = None


# What is done.


def _raise(environment: Environment, place: str) -> None:
    owed = PLACES[place].told and not _in_repr() and not _in_log_record()
    raise environment.owe(PartyFailure(place), PLACES[place].words, owed=owed)


def _exit(environment: Environment, place: str) -> None:
    owed = PLACES[place].ends and not _in_repr()
    raise environment.owe(PartyExit(place), PLACES[place].words, owed=owed)


_REPRS: Final = frozenset({"__repr__", "_task_repr_info", "_task_repr"})
"""Functions that make one; a task's own is in C, and calls one of the latter two."""


def _in_repr() -> bool:
    """Whether it is a repr that will fail: of that the text tells that it was wanted for."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name not in _REPRS:
        frame = frame.f_back
    return frame is not None


def _in_log_record() -> bool:
    """Whether it is a log record that wants to know the name of the task, as from Python 3.12 on: it does without."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not (
        frame.f_code.co_name == "__init__" and frame.f_globals["__name__"] == "logging"
    ):
        frame = frame.f_back
    return frame is not None


def _look(environment: Environment, place: str) -> None:
    world = environment.world
    here = [body for body in world.bodies if body.job is not None]
    halves = [body.name for body in here if world.is_half_done(body)]
    world.note("peeked", world.view(), place, halves)


def _spawn(environment: Environment, _: str) -> None:
    world = environment.world
    if world.spent.jobs < world.scope.jobs and world.package.nowait and not world.winding_up:
        world.let_happen(("nowait", world.scope.tempers[0]))


def _close_job(environment: Environment, _: str) -> None:
    world = environment.world
    body = next((b for b in world.bodies if b.job is not None and not world.seen_as_ended(b)), None)
    if body is not None:
        _ask_by_hand(world, "close", body, body.job.close())


def _shut(environment: Environment, _: str) -> None:
    world = environment.world
    if not world.scheduler.closed:
        doomed = world.doomed()
        if _ask_by_hand(world, "shut", None, world.scheduler.close()):
            world.note("closing", doomed)


def _ask_by_hand(world: World, kind: str, body: Body | None, asking: Any) -> bool:
    """Take the first step of a call, and leave: what was asked for is under way, unless it was refused."""
    call = Call(world, -1, kind, body)
    call.called_at, call.answered = world.now(), True
    world.by_hand.append(call)
    try:
        asking.send(None)
    except StopIteration:
        pass
    except BaseException as error:
        error.__context__ = None  # what was handled where this is called from
        if body is not None and world.seen_as_ended(body) and body.caused(error):
            body.receivers += 1  # what the job came to is the answer, whatever it is
        elif isinstance(error, RuntimeError):  # from inside a job (WAIT-4): nothing was asked
            world.suspect(f"{kind}, asked by foreign code,", error)
            world.by_hand.remove(call)
        elif not isinstance(error, Exception):
            raise
        else:
            world.note("failed_inside", kind, error)  # where it is raised, Python may keep it to itself
    finally:
        asking.close()
    return call in world.by_hand


def _meddle(environment: Environment, _: str) -> None:
    """Try everything that would change the scheduler: each must be refused."""
    world = environment.world
    before = world.view()
    world.misusing = True
    try:
        refused = {what: _refused(act) for what, act in _changes(world).items()}
    finally:
        world.misusing = False
    world.note("meddled", refused, before, world.view())


def _changes(world: World) -> dict[str, Callable[[], Any]]:
    """Whatever would change an open scheduler or a job in it, by name."""
    scheduler = world.scheduler
    if scheduler.closed:
        return {}
    jobs = [body.job for body in world.bodies if body.job is not None and not world.seen_as_ended(body)]
    return {
        "spawn": lambda: _give_away(scheduler.spawn),
        "spawn_nowait": lambda: _give_away(scheduler.spawn_nowait),
        "shield": lambda: _give_away(scheduler.shield),
        "set_limit": lambda: scheduler.set_limit((scheduler.limit or 0) + 1),
        "close": lambda: _first_step(scheduler.close()),
        "wait_and_close": lambda: _first_step(scheduler.wait_and_close()),
        **{f"close of {job.get_name()}": partial(_begin_to_close, job) for job in jobs[:1]},
    }


def _begin_to_close(job: Any) -> None:
    _first_step(job.close())


def _give_away(action: Callable[[Any], Any]) -> None:
    coroutine = asyncio.sleep(0)
    try:
        given = action(coroutine)
        if asyncio.iscoroutine(given):
            _first_step(given)
    finally:
        coroutine.close()


def _first_step(asking: Any) -> None:
    with suppress(StopIteration), closing(asking):
        asking.send(None)


def _refused(act: Callable[[], Any]) -> BaseException | None:
    """What comes of doing it."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - the oracle wants to know
        return BaseException.with_traceback(error, None)
    return None


DEEDS: Final[dict[str, Callable[[Environment, str], None]]] = {
    "raises": _raise,
    "exits": _exit,
    "looks": _look,
    "spawns": _spawn,
    "closes": _close_job,
    "shuts": _shut,
    "meddles": _meddle,
}
"""What foreign code does when it is called: raises, wants the program to end, or calls back. To meddle is to do all
that an observer may not."""

_RAISE: Final = ("raises", "exits")
_CALL_BACK: Final = ("looks", "spawns", "closes", "shuts")


# Where it is done.


class CallSite(NamedTuple):
    """One place at which the library calls out."""

    words: str
    deeds: tuple[str, ...]
    told: bool = True
    """Of what is raised here somebody has to be told."""
    ends: bool = True
    """The same, of what wants the program to end."""


PLACES: Final[dict[str, CallSite]] = {
    "cancel": CallSite("the cancel() of a task", (*_RAISE, *_CALL_BACK)),
    "create-task": CallSite("a task factory", _CALL_BACK),
    "get-name": CallSite("the get_name() of a task", (*_RAISE, *_CALL_BACK)),
    "handler": CallSite("the exception handler", (*_RAISE, *_CALL_BACK)),
    "observer": CallSite("the observer", (*_RAISE, "looks", "meddles")),
    "reports": CallSite("the loop's exception handler", (*_RAISE, *_CALL_BACK), told=False),
    "callback": CallSite("a done callback", (*_RAISE, *_CALL_BACK)),
    "name": CallSite("the repr of a name", (*_RAISE, "looks"), told=False, ends=False),
    "finalizer": CallSite("a finalizer", (*_RAISE, *_CALL_BACK)),
}
"""Where the library calls code that is not its own. What a coroutine's ``close`` or a task factory raises is a kind
of coroutine or of factory; an observer may not change anything."""


class Party(NamedTuple):
    """Foreign code at one place that does one thing."""

    place: str
    deed: str

    @property
    def words(self) -> str:
        """For the stories."""
        return f"{PLACES[self.place].words} {_WORDS[self.deed]}" if self.place else "everybody else is polite"

    @property
    def replaces_tasks(self) -> bool:
        """Tasks have to be of a class of their own."""
        return self.place in {"cancel", "create-task", "get-name"}


_WORDS: Final = {
    "raises": "raises",
    "exits": "raises SystemExit",
    "looks": "looks at the scheduler",
    "spawns": "spawns a job",
    "closes": "closes a job",
    "shuts": "begins to close the scheduler",
    "meddles": "does what it may not: spawns, shields, closes, sets the limit",
}

PARTIES: Final[dict[str, Party]] = {
    "polite": Party("", ""),
    **{f"{place} {deed}": Party(place, deed) for place, at in PLACES.items() for deed in at.deeds},
}
"""Every deed at every place."""


def strangers() -> frozenset[str]:
    """Every kind of stranger that there can be on this Python."""
    factories = {name for name, kind in FACTORIES.items() if kind.here}
    parties = {name for name, party in PARTIES.items() if party.place != "finalizer" or _frees_on_close()}
    return frozenset(factories | COROUTINES.keys() | parties) - PLAIN


def _frees_on_close() -> bool:
    """Whether a coroutine that has not begun lets go of its arguments when it is closed.

    In CPython 3.12 and 3.13 it does so when it is freed itself, and here the world holds it, to look at it.
    """

    async def holds(_argument: object) -> None:
        """Never begun."""

    argument = _Argument()
    freed = weakref.ref(argument)
    coroutine = holds(argument)
    del argument
    coroutine.close()
    return freed() is None


class _Argument:
    """Something that can be told to be gone."""


# Strangers.


class OddTask(asyncio.Task[Any]):
    """A task whose methods are foreign code."""

    environment: Environment

    def cancel(self, msg: Any = None) -> bool:
        """Do as asked, and something else."""
        try:
            return super().cancel(msg)
        finally:
            self.environment.act("cancel")

    def get_name(self) -> str:
        """Something else, and the name."""
        self.environment.act("get-name")
        return super().get_name()


class OddName(str):
    """A name whose repr is foreign code."""

    __slots__ = ("environment",)
    environment: Environment

    def __repr__(self) -> str:
        self.environment.act("name")
        return super().__repr__()


class Argument:
    """What a coroutine was called with, and what its finalizer does if nothing of that coroutine ran."""

    def __init__(self, environment: Environment, body: Body) -> None:
        self.environment = environment
        self.body = body

    def __del__(self) -> None:
        if self.environment.acting and not self.body.began:
            self.environment.act("finalizer")


class _LookedAt:
    """While it is entered the world does not act.

    It is no generator: what that raises at its end is seen in the state of a coroutine that uses it.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(self.environment.acting)
        self.environment.acting = False

    def __exit__(self, *_: object) -> None:
        self.environment.acting = self.before.pop()


class _Nothing:
    """Nobody is strange: nobody has to be kept from misbehaving."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class Environment:
    """What surrounds the scheduler of one world, and everything that strangers have raised there."""

    acting = False
    """Something happens to the world just now; otherwise it is only looked at, and nobody misbehaves."""

    def __init__(self, world: World, factory: str, coroutine: str, party: str) -> None:
        self.world = world
        self.names = (factory, coroutine, party)
        self.factory = FACTORIES[factory]
        self.coroutine = COROUTINES[coroutine]
        self.party = PARTIES[party]
        self.thrown: list[Thrown] = []
        self.met = False
        """A stranger has done what it is strange for."""
        self.strangers = {factory, coroutine, party} - PLAIN
        self.copies_contexts = self.factory.by == "old factory"
        """A context that is given can only be copied: nobody is able to pass it on."""
        self.is_strange = bool(self.strangers)
        self.served: Body | None = None
        """For whom the loop is making a task just now: its job has started."""
        self.looked_at: _LookedAt | _Nothing = _LookedAt(self) if self.is_strange else _Nothing()
        """For a while the world is only looked at."""
        self._busy = False

    def install(self) -> None:
        """Let the loop have it."""
        install(self.world, self.factory)
        if self.party.place == "reports":
            loop: Any = self.world.virtual
            loop.call_exception_handler = self._report

    def act(self, place: str) -> None:
        """Foreign code is called at this place."""
        if place != self.party.place or not self.acting or self._busy:
            return
        self._busy = self.met = True
        try:
            DEEDS[self.party.deed](self, place)
        finally:
            self._busy = False

    def owe(self, error: BaseException, where: str, *, owed: bool = True) -> BaseException:
        """Write down what is about to be raised."""
        self.thrown.append(Thrown(error, where, owed))
        return error

    def owns(self, error: BaseException) -> bool:
        """Whether it was raised by a stranger."""
        return any(thrown.error is error for thrown in self.thrown)

    def untold(self) -> int:
        """Of how much that was raised nobody was told yet."""
        return sum(thrown.owed and not thrown.told for thrown in self.thrown)

    # What strangers have made.

    def task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """A task of the kind that there is here."""
        if not self.party.replaces_tasks:
            return asyncio.Task(coro, loop=self.world.loop, **options)
        task = OddTask(coro, loop=self.world.loop, **options)
        task.environment = self
        return task

    def name(self, body: Body) -> str:
        """What a job is called."""
        if self.party.place != "name":
            return body.name
        name = OddName(body.name)
        name.environment = self
        return name

    def coroutine_of(self, body: Body) -> Any:
        """The coroutine itself: it may have been called with something that has a finalizer."""
        return body.run_with(Argument(self, body)) if self.party.place == "finalizer" else body.run()

    def given(self, body: Body, coroutine: Any) -> Any:
        """What is given away for it."""
        kind = self.coroutine.given
        if kind is None or body.shielded:
            return coroutine
        self.met = self.met or not issubclass(kind, ClosesBadly)
        return kind(body, coroutine)

    def failure(self, body: Body) -> BodyFailure:
        """What the coroutine fails with."""
        kind = self.coroutine.failure
        if kind is None or body.shielded:
            return BodyFailure(body.name)
        self.met = True
        return kind(body.name, self.world)

    def greet(self, job: Any) -> None:
        """A job has been returned by its spawn."""
        if self.party.place == "callback":
            job.add_done_callback(self._call_back)

    def _call_back(self, _: Any) -> None:
        self.act("callback")

    def _report(self, context: dict[str, Any]) -> None:
        self.world.complain(context)
        self.act("reports")
