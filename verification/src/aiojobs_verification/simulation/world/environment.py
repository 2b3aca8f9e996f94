"""The environment: every kind of task factory and coroutine that real programs have.

Rules of this file: each kind is one function or class that says by its name what it does, and an entry of
`FACTORIES` or `COROUTINES`; nothing else here tells kinds apart. A kind does what some program does: a tracer
that awaits the coroutine in one of its own, a test double that never runs it, a generator whose ``close()``
raises. How the job of such a coroutine has to end is said by the `Carrier`, which watches the task and not
the scheduler.

How it works: whose coroutine a factory is given it can tell by its context, in which the spawner has left its
name (`truth.ORIGIN`). A kind that runs the library's own coroutine in a plain task needs no carrier: there
the task ends as the coroutine does. Everything odd is odd only while the world *acts*: whoever looks at it
from outside must be able to.

Deliberately not here: what foreign code does when it is called (`parties`), and what is right (`strangers`).
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.world.probes import ORIGIN, BodyFailure

if TYPE_CHECKING:
    from aiojobs_verification.simulation.world.probes import Body
    from aiojobs_verification.simulation.world.world import World

__all__ = [
    "COROUTINES",
    "FACTORIES",
    "Carrier",
    "CloseExit",
    "CloseFailure",
    "CoroutineKind",
    "FactoryExit",
    "FactoryFailure",
    "FactoryKind",
    "Making",
    "install",
]


class FactoryFailure(Exception):  # noqa: N818 - what a stranger raises, told from what the library raises
    """What a task factory, or the task that it made, raises."""


class FactoryExit(SystemExit):
    """What a task factory raises that wants the program to end."""


class CloseFailure(Exception):  # noqa: N818
    """What the ``close()`` of a coroutine raises."""


class CloseExit(SystemExit):
    """What the ``close()`` of a coroutine raises that wants the program to end."""


# How tasks are made.


@dataclass
class Carrier:
    """What a factory made of the coroutine of one job, and how that ended."""

    task: asyncio.Future[Any] | None
    judged: bool = False
    """The oracle has looked at the task, and let it go."""
    how: str | None = None
    """``returned``, ``raised``, ``cancelled``; ``refused`` if the loop has made no task at all."""
    error: BaseException | None = None
    """What the task, or the factory, raised; or what the library made of a task that raised nothing."""

    def look(self) -> None:
        """Notice that the task has ended. What it raised is not taken from it: that is the library's."""
        task: Any = self.task
        if self.how is not None or task is None or task._state == "PENDING":
            return
        self.error = task._exception
        self.how = "raised" if self.error else {"CANCELLED": "cancelled"}.get(task._state, "returned")

    def fate(self, ended: str | None) -> str | None:
        """How the job has to end whose coroutine has ended like that: by that, or else by the task."""
        if self.how is None or ended in {"returned", "raised", "cancelled"}:
            return None if self.how is None else ended
        return "cancelled" if self.how == "cancelled" else "raised"

    def caused(self, error: object) -> bool:
        """Whether a job that has not ended by its coroutine fails with this."""
        if self.error is None and self.how == "refused":
            return isinstance(error, (TypeError, AttributeError))
        if self.error is None and type(error) is RuntimeError:
            self.error = error  # the library's words for it; from now on it is this one
        return error is self.error


@dataclass
class Making:
    """One call of a factory: for whom, and what it was given."""

    world: World
    body: Body
    coro: Any
    options: dict[str, Any]
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def task(self, coro: Any) -> asyncio.Task[Any]:
        """A task of the kind that the loop has here."""
        return self.world.environment.task(coro, **self.options)

    def failure(self) -> FactoryFailure:
        """What a wrapper raises; beside an end of the coroutine somebody has to be told of it."""
        error = FactoryFailure(self.body.name)
        if self.body.ended in {"returned", "raised", "cancelled"}:
            self.world.environment.owe(error, "a task beside its coroutine")
        return error


def _runs_it(made: Making) -> Any:
    return made.task(made.coro)


def _wraps(made: Making) -> Any:
    async def wrapper() -> Any:
        return await made.coro

    return made.task(wrapper())


def _wraps_eagerly(made: Making) -> Any:
    async def wrapper() -> Any:
        return await made.coro

    factory = asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]
    return factory(made.world.loop, wrapper(), **made.options)


def _waits_first(made: Making) -> Any:
    async def wrapper() -> Any:
        await asyncio.sleep(0)
        return await made.coro

    return made.task(wrapper())


def _lingers(made: Making) -> Any:
    async def wrapper() -> Any:
        try:
            return await made.coro
        finally:
            await asyncio.sleep(0)

    return made.task(wrapper())


def _yields_from(made: Making) -> Any:
    @types.coroutine
    def delegate() -> Generator[Any, Any, Any]:
        return (yield from made.coro)

    async def wrapper() -> Any:
        return await delegate()

    return made.task(wrapper())


class Forwarding(Coroutine[Any, Any, Any]):
    """An object that passes on whatever is done to it, and is not the coroutine."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def send(self, value: Any) -> Any:
        """As the coroutine."""
        return self.inner.send(value)

    def throw(self, *what: Any) -> Any:
        """As the coroutine."""
        try:
            return self.inner.throw(*what)
        finally:
            del what  # the traceback holds this frame, and would be held by it

    def close(self) -> None:
        """As the coroutine."""
        self.inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.inner.__await__()  # type: ignore[no-any-return]


def _forwards(made: Making) -> Any:
    return made.task(Forwarding(made.coro))


def _fails_before(made: Making) -> Any:
    async def wrapper() -> Any:
        raise made.failure()

    return made.task(wrapper())


def _fails_after(made: Making) -> Any:
    async def wrapper() -> Any:
        try:
            await made.coro
        finally:
            raise made.failure()

    return made.task(wrapper())


def _swallows(made: Making) -> Any:
    async def wrapper() -> Any:
        try:
            return await made.coro
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - that is what it is here for
            return "swallowed"

    return made.task(wrapper())


async def _something_else() -> str:
    return "something else"


def _drops_it(made: Making) -> Any:
    return made.task(_something_else())


class NamedFuture(asyncio.Future[Any]):
    """A future that passes for a task."""

    name = ""

    def set_name(self, name: str) -> None:
        """As a task."""
        self.name = name

    def get_name(self) -> str:
        """As a task."""
        return self.name


def _is_done(made: Making) -> Any:
    future = NamedFuture(loop=made.world.loop)
    future.set_result("done before it began")
    return future


def _cancels_first(made: Making) -> Any:
    task = made.task(made.coro)
    made.body.hit = True
    task.cancel()
    return task


def _cancels_wrapped(made: Making) -> Any:
    task: asyncio.Task[Any] = _wraps(made)
    task.cancel()
    return task


def _raises(made: Making) -> Any:
    raise FactoryFailure(made.body.name)


def _exits(made: Making) -> Any:
    raise FactoryExit(made.body.name)


def _returns_none(_: Making) -> Any:
    return None


class FactoryKind(NamedTuple):
    """One way in which a loop makes tasks."""

    make: Callable[[Making], Any]
    words: str
    """What it does, for the stories: "The loop …"."""
    by: str = "factory"
    """How the loop comes by it: see `install`."""
    carried: bool = True
    """What runs the library's coroutine is something of the factory's own."""
    prompt: bool = True
    """The coroutine is reached in the first step of the task: so it begins whatever happens (START-1)."""
    since: tuple[int, int] = (3, 11)

    @property
    def here(self) -> bool:
        """Whether this Python has it."""
        return sys.version_info >= self.since


FACTORIES: Final[dict[str, FactoryKind]] = {
    "stock": FactoryKind(_runs_it, "makes tasks as always", by="stock", carried=False),
    "wraps": FactoryKind(_wraps, "awaits the coroutine of a job in one of its own"),
    "wraps-eagerly": FactoryKind(_wraps_eagerly, "does so, and begins at once", since=(3, 12)),
    "waits-first": FactoryKind(_waits_first, "awaits something else before the coroutine", prompt=False),
    "lingers": FactoryKind(_lingers, "awaits something else after the coroutine"),
    "yields-from": FactoryKind(_yields_from, "runs the coroutine in a generator"),
    "forwards": FactoryKind(_forwards, "runs an object that passes everything on to the coroutine"),
    "fails-before": FactoryKind(_fails_before, "fails before the coroutine could begin", prompt=False),
    "fails-after": FactoryKind(_fails_after, "fails when the coroutine has ended"),
    "swallows": FactoryKind(_swallows, "swallows what the coroutine raises"),
    "drops-it": FactoryKind(_drops_it, "runs something else instead", prompt=False),
    "is-done": FactoryKind(_is_done, "returns a future that is done", prompt=False),
    "cancels-first": FactoryKind(_cancels_first, "cancels each task that it makes", carried=False),
    "cancels-wrapped": FactoryKind(_cancels_wrapped, "wraps the coroutine and cancels that", prompt=False),
    "without-context": FactoryKind(_runs_it, "knows no context=", by="old factory", carried=False),
    "without-name": FactoryKind(_runs_it, "knows no name=", by="old create_task", carried=False),
    "replaced": FactoryKind(_wraps, "has a create_task that awaits the coroutine itself", by="create_task"),
    "raises": FactoryKind(_raises, "can't make a task", prompt=False),
    "exits": FactoryKind(_exits, "wants the program to end instead of making a task", prompt=False),
    "returns-none": FactoryKind(_returns_none, "returns None instead of a task", prompt=False),
}
"""What a loop can make of the coroutine of a job."""


def install(world: World, kind: FactoryKind) -> None:
    """Have the loop of this world make tasks in this way."""
    loop: Any = world.loop

    def make(_: Any, coro: Any, **options: Any) -> Any:
        return _make(world, kind, coro, options)

    def old_factory(_: Any, coro: Any) -> Any:
        return make(_, coro)

    def replacement(coro: Any, *, name: str | None = None, context: Any = None) -> Any:
        made = make(loop, coro, **({} if context is None else {"context": context}))
        if name is not None:
            made.set_name(name)
        return made

    def old_replacement(coro: Any, *, context: Any = None) -> Any:
        return replacement(coro, context=context)

    if kind.by == "factory" or (kind.by == "stock" and world.environment.party.replaces_tasks):
        loop.set_task_factory(make)
    elif kind.by == "old factory":
        loop.set_task_factory(old_factory)
    elif kind.by == "create_task":
        loop.create_task = replacement
    elif kind.by == "old create_task":
        loop.create_task = old_replacement


def _make(world: World, kind: FactoryKind, coro: Any, options: dict[str, Any]) -> Any:
    made = Making(world, _body(world, options.get("context")), coro, options)
    if made.body.shielded:
        return made.task(coro)
    world.environment.served = made.body
    try:
        world.environment.act("create-task")
    finally:
        world.environment.served = None
    if not kind.carried:
        world.environment.met = world.environment.met or kind.by != "stock"
        return kind.make(made)
    world.environment.met = True
    made.body.carrier = carrier = Carrier(None, how="refused")
    try:
        future = kind.make(made)
    except (FactoryFailure, FactoryExit) as error:
        carrier.error = error
        raise
    if future is not None:
        carrier.task, carrier.how = future, None
    return future


def _body(world: World, context: Any) -> Body:
    """Whose coroutine it is: that of the job whose name is in the context."""
    origin = ORIGIN.get() if context is None else context.get(ORIGIN, "")
    for body in reversed(world.bodies):
        if body.name == origin:
            return body
    raise Violation("SPAWN-4", f"a task is made in the context of {origin!r}, who has spawned nothing")


# What is run.


class ForeignCoroutine(Forwarding):
    """A coroutine of a class that is not Python's."""

    def __init__(self, body: Body, inner: Any) -> None:
        super().__init__(inner)
        self.body = body


class ClosesBadly(ForeignCoroutine):
    """Its ``close()`` raises when it has closed; only as long as nothing of it has run."""

    failure: type[BaseException] = CloseFailure

    def close(self) -> None:
        """Close and complain."""
        self.inner.close()
        environment = self.body.world.environment
        if environment.acting and not self.body.began:
            environment.met = True
            raise environment.owe(self.failure(self.body.name), "the close() of a coroutine")


class ClosesAndExits(ClosesBadly):
    """The same, and it wants the program to end."""

    failure = CloseExit


class Hides(ForeignCoroutine):
    """It has no name and can't be shown."""

    def __getattribute__(self, name: str) -> Any:
        environment = object.__getattribute__(self, "body").world.environment
        if name in {"__name__", "__qualname__", "cr_frame", "cr_code"} and environment.acting:
            raise LookupError(f"nobody may know {name}")
        return super().__getattribute__(name)

    def __repr__(self) -> str:
        if self.body.world.environment.acting:
            raise LookupError("nobody may see it")
        return super().__repr__()


class OddFailure(BodyFailure):
    """An exception that objects to what is done with it, as long as the world acts."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name)
        self.world = world

    def object(self) -> None:
        """Refuse, unless it is only looked at."""
        if self.world.environment.acting:
            raise LookupError("nobody may do that with this exception")


class RefusesTraceback(OddFailure):
    """``with_traceback`` raises."""

    def with_traceback(self, traceback: Any) -> Any:
        """Refuse."""
        self.object()
        return super().with_traceback(traceback)


class LosesItself(OddFailure):
    """``with_traceback`` returns nothing."""

    def with_traceback(self, traceback: Any) -> Any:
        """Not what is expected of it."""
        super().with_traceback(traceback)
        return None if self.world.environment.acting else self


_TRACEBACK: Final[Any] = vars(BaseException)["__traceback__"]


class HidesTraceback(OddFailure):
    """Its traceback can be neither read nor set."""

    @property
    def __traceback__(self) -> Any:
        self.object()
        return _TRACEBACK.__get__(self)

    @__traceback__.setter
    def __traceback__(self, traceback: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.object()
        _TRACEBACK.__set__(self, traceback)


class HidesClass(OddFailure):
    """It can't be asked what it is."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.object()
        return type(self)


class CantBeShown(OddFailure):
    """``repr`` and ``str`` of it raise."""

    def __repr__(self) -> str:
        self.object()
        return super().__repr__()

    def __str__(self) -> str:
        self.object()
        return super().__str__()


class CoroutineKind(NamedTuple):
    """One kind of coroutine: what is given away, and what it raises when it fails."""

    words: str
    """What it is, for the stories: "Jobs …"."""
    given: type[ForeignCoroutine] | None = None
    """What is wrapped around it before it is given away."""
    failure: type[OddFailure] | None = None


COROUTINES: Final[dict[str, CoroutineKind]] = {
    "ordinary": CoroutineKind("are ordinary coroutines"),
    "foreign": CoroutineKind("are coroutines of a class of their own", ForeignCoroutine),
    "close-raises": CoroutineKind("are coroutines whose close() raises", ClosesBadly),
    "close-exits": CoroutineKind("are coroutines whose close() raises SystemExit", ClosesAndExits),
    "hides": CoroutineKind("are coroutines that tell neither name nor repr", Hides),
    "refuses-traceback": CoroutineKind(
        "fail with an exception whose with_traceback raises", failure=RefusesTraceback
    ),
    "loses-itself": CoroutineKind(
        "fail with an exception whose with_traceback returns None", failure=LosesItself
    ),
    "hides-traceback": CoroutineKind(
        "fail with an exception whose __traceback__ raises", failure=HidesTraceback
    ),
    "hides-class": CoroutineKind("fail with an exception whose __class__ raises", failure=HidesClass),
    "cant-be-shown": CoroutineKind("fail with an exception whose repr raises", failure=CantBeShown),
}
"""What can be spawned."""
