"""A world: one scheduler, its callers and their environment, in which every outside event is chosen.

Rules of this file: everything that can happen to a scheduler from outside is an *event*, a short tuple
such as ``("spawn", "obedient")``, ``("raise", 0)`` or ``("turn",)``. What is possible now is
`World.enabled`; `World.apply` lets one happen. The same events give the same run, on any machine, in any
process.

How it works: asyncio itself is deterministic. What is open in a real program is when outside events
arrive, relative to the turns of the loop and to each other. So the loop takes a turn, and time passes,
only when the event says so, and between two turns any number of other events may happen. After each of
them the `oracle` compares the scheduler with the specification.

Jobs have names, but for the last one that a scope has room for: it is given none, and is told from the
others by that.

Deliberately not here: what can happen now (`choices`) and within which bounds (`scope`), who is in the
world (`probes`, `calls`), how it ends (`ending`), the choice of events (`explorer`, `walk`, `machines`), and
what is right (`oracle`).
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.simulation.oracle.oracle import Oracle
from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.oracle.refinement import Model, Refinement
from aiojobs_verification.simulation.search.ending import dispose
from aiojobs_verification.simulation.world.calls import Call
from aiojobs_verification.simulation.world.choices import enabled, environments
from aiojobs_verification.simulation.world.misuse import misuse
from aiojobs_verification.simulation.world.parties import Environment, PartyExit, PartyFailure
from aiojobs_verification.simulation.world.probes import ENDS, ORIGIN, SELF_CALLS, Body
from aiojobs_verification.simulation.world.scope import (
    CALLS,
    EPOCH,
    JOB_CALLS,
    SCHEDULER_CALLS,
    Event,
    Scope,
    Spent,
)
from aiojobs_verification.simulation.world.threads import ThreadCall
from aiojobs_verification.simulation.world.watched_loop import WatchedLoop

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from aiojobs_verification.simulation.world.packages import Package, View

__all__ = [
    "CALLS",
    "EPOCH",
    "EVENT_KINDS",
    "JOB_CALLS",
    "SCHEDULER_CALLS",
    "Event",
    "HandlerFailure",
    "Scope",
    "World",
    "watching",
]


class HandlerFailure(Exception):  # noqa: N818 - what a handler raises that is told to
    """What the exception handler raises in a world where it does."""


class World:
    """One scheduler, its loop, and everybody around it."""

    def __init__(
        self,
        scope: Scope,
        package: Package,
        loop: asyncio.AbstractEventLoop | None = None,
        model: Model | None = None,
    ) -> None:
        self.scope = scope
        self.package = package
        # typeshed calls abstract what asyncio leaves to raise NotImplementedError: everything with sockets.
        self.virtual = WatchedLoop(start=EPOCH) if loop is None else None  # type: ignore[abstract]
        self.loop = loop or self.virtual
        self.turns = 0
        self.limit = scope.limit
        """What the limit was last set to."""
        self.spent = Spent()
        self.winding_up = False
        """Everything is being brought to its end."""
        self.bodies: list[Body] = []
        self.calls: list[Call] = []
        self.by_hand: list[Call] = []
        """Calls that foreign code has made while the library called it; it does not wait for the answers."""
        self.by_name: dict[str | None, Body] = {}
        self.unnamed: Body | None = None
        """The body whose job is given no name."""
        self.misusing = False
        """Somebody is doing what nobody may do: nothing that is told now can be right."""
        self._shared = Context()
        self.facts: list[tuple[Any, ...]] = []
        """What was noted, in the order in which it happened."""
        self.complaints: list[dict[str, Any]] = []
        """What reached the exception handler of the loop."""
        self.complained_at: list[float] = []
        """When each of them did."""
        self.crashes: list[tuple[str, BaseException]] = []
        """Errors that the library can't have meant, and where they came out of it."""
        self.warnings: list[warnings.WarningMessage] = []
        """What Python warned of, such as a coroutine that was never awaited."""
        self.logged: list[logging.LogRecord] = []
        """What was said to the logger of the library."""
        self.untold: deque[Any] = deque()
        """Records that the first observer was told of and the second not yet."""
        self.scheduler: Any = None
        self.settled_in = False
        """It is chosen what the scheduler lives among."""
        self.environment = Environment(self, "stock", "ordinary", "polite")
        self.oracle = Oracle(self)
        self.refinement = None if model is None else Refinement(self, model)
        self._entered: Any = None

    def __enter__(self) -> Self:
        self.warnings = _warned
        self.warnings.clear()
        _unraisable.clear()
        if self.virtual is not None:
            self.virtual.set_exception_handler(lambda _, context: self.complain(context))
            self._entered = self.virtual.entered()
            self._entered.__enter__()
        assert self.loop is not None
        _journal.listen(self.logged)
        if self.scope.eager:
            self.loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        self.scheduler = self.package.scheduler(
            limit=self.limit,
            pending_limit=self.scope.pending_limit,
            close_timeout=self.scope.close_timeout,
            wait_timeout=self.scope.wait_timeout,
            exception_handler=None if self.scope.handler == "loop" else self._handle,
            observers=(self._observe, self._observe_too),
        )
        chosen = environments(self.scope)
        if len(chosen) == 1:
            self._settle_in(*chosen[0][1:])
        if self.virtual is not None:
            self.virtual.watcher = self.refinement
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.virtual is not None:
            self.virtual.watcher = None  # what is left is thrown away, which is no step
            dispose(self)
            self._entered.__exit__(None, None, None)
            self.virtual.close()
        _journal.listen(None)

    # What the others ask.

    def now(self) -> float:
        """The clock of the loop."""
        assert self.loop is not None
        return self.loop.time()

    def note(self, kind: str, *things: Any) -> None:
        """Write down that something happened."""
        self.facts.append((kind, *things))
        if self.refinement is not None:
            self.refinement.projection.heard(kind, things)

    def complain(self, context: dict[str, Any]) -> None:
        """The exception handler of the loop hears of this."""
        self.complaints.append(context)
        self.complained_at.append(self.now())

    def suspect(self, what: str, error: BaseException) -> None:
        """Keep an error if the library can't have meant it: whatever follows from that speaks for no promise."""
        if self.package.crashed(error):
            self.crashes.append((what, error))

    def seen_as_ended(self, body: Body) -> bool:
        """Whether the job of this body says that it has ended."""
        return body.job is not None and self.package.ended(body.job)

    def is_half_done(self, body: Body) -> bool:
        """Whether the job of this body runs on though closing has begun, or has ended and is still counted."""
        if not self.package.states:
            return False
        if self.scheduler.closed and body.ended is None and body.job.active:
            return True
        return str(body.job.state) in {"closed", "done"} and body.job in self.scheduler

    async def call_from_inside(self, body: Body, order: str) -> None:
        """What a job tries that no job may do."""
        if order == "self-shut":
            await self.scheduler.close()
        elif order == "self-idle":
            await self.scheduler.idle()
        else:
            await (body.job.wait() if order == "self-wait" else body.job.close())

    def make(self, body: Body) -> Coroutine[Any, Any, Any]:
        """A coroutine that is spawned at this very moment."""
        self.note("spawning", body)
        return body.make()

    def options(self, body: Body) -> dict[str, Any]:
        """What is said of a job when it is spawned."""
        options: dict[str, Any] = {} if body is self.unnamed else {"name": body.name}
        if "name" in options:
            options["name"] = self.environment.name(body)
        if body.given is not None:
            options["context"] = body.given
        if body.is_timed:
            options["timeout"] = self.scope.time_limit
        if not body.is_drained:
            options["drain"] = False
        return options

    def view(self) -> View:
        """What the scheduler says about itself now, whose job is unnamed being known."""
        with self.environment.looked_at:
            view = self.package.view(self.scheduler)
        if self.unnamed is None:
            return view
        unnamed, known = self.unnamed.name, self.by_name
        return view._replace(listed=tuple([name if name in known else unnamed for name in view.listed]))

    def body_of(self, job: Any) -> Body:
        """What a job of the scheduler runs."""
        with self.environment.looked_at:
            body = self.by_name.get(job.get_name(), self.unnamed)
        assert body is not None
        return body

    def note_doomed(self) -> None:
        """Closing begins with the next step: what waits now must never run (SHUT-1)."""
        if not self.scheduler.closed:
            self.note("closing", self.doomed())

    def doomed(self) -> list[Body]:
        """Whoever must never run if closing begins now."""
        return [
            body
            for body in self.bodies
            if not body.began
            and body is not self.environment.served
            and (body.job.pending if body.job is not None else body.call and body.call.open)
        ]

    def _handle(self, _: Any, context: dict[str, Any]) -> None:
        self.note("report", context)
        self.environment.act("handler")
        if self.scope.handler == "raises":
            raise HandlerFailure

    def _observe(self, record: Any) -> None:
        if self.misusing:
            return
        body = None if record.job is None else self.body_of(record.job)
        source = None if record.source is None else str(record.source)
        if body is None and record.event == "close":
            self.note("found", [other for other in self.bodies if other.entry and not self._arrives(other)])
        if body is not None and record.event == "start":
            body.started_at = self.now()
        if body is not None and source is None:
            body.entry, body.accepted_at = record.job, self.now()
            body.arrives = body.call is not None and body.call.is_elsewhere()
        if body is not None and record.job is not None:
            body.told_outcome = record.job.outcome
        self.untold.append(record)
        self.note("record", body, str(record.event), source, str(record.dest))
        self.environment.act("observer")

    @staticmethod
    def _arrives(body: Body) -> bool:
        return body.arrives and body.job is None

    def _observe_too(self, record: Any) -> None:
        """The second observer: it hears what the first one has heard, and no more."""
        if not self.misusing and (not self.untold or self.untold.popleft() is not record):
            self.note("misled", record)

    # Letting it happen.

    def enabled(self) -> list[Event]:
        """Every event that can happen now, in a fixed order."""
        return enabled(self)

    def apply(self, event: Event, *, again: bool = False) -> None:
        """Let an event happen and have the oracle look, who raises `Violation`; in a replay, glance."""
        try:
            self.let_happen(event)
            if self.refinement is not None:
                self.refinement.happened(event)
            self.look(again=again)
        except Exception as error:
            raise self.verdict_on(error) from error

    def verdict_on(self, error: Exception) -> Exception:
        """The same, or a crash if it is no verdict and comes out of the library."""
        return error if not self.package.raised(error) else Violation.crash("the library fails", error)

    def settle(self) -> None:
        """Everything is over: have the oracle settle everything."""
        try:
            self.oracle.settle()
        except Exception as error:
            raise self.verdict_on(error) from error

    def let_happen(self, event: Event) -> None:
        """Let an event happen, and nothing else."""
        self.facts.append(("event", event))
        before, self.environment.acting = self.environment.acting, True
        try:
            _MOVES[event[0]](self, *event[1:])
        finally:
            self.environment.acting = before
        while _unraisable:
            self.note("left_to_python", _unraisable.pop(0))

    def look(self, *, again: bool = False) -> None:
        """Have the oracle look at everything since the last time."""
        quiet = self.virtual.quiet() if self.virtual is not None else False
        if again:
            self.oracle.glance(quiet=quiet)
        else:
            self.oracle.look(quiet=quiet)
        if self.refinement is not None and quiet:
            self.refinement.rest()

    def _settle_in(self, *names: str) -> None:
        """Let the scheduler live among these: a task factory, a kind of coroutines, and foreign code."""
        self.settled_in = True
        self.environment = Environment(self, *names)
        self.environment.install()

    def _turn(self) -> None:
        assert self.virtual is not None
        self.turns += 1
        self._run(self.virtual.turn)

    def _fire(self) -> None:
        assert self.virtual is not None
        self._run(self.virtual.fire)

    def _run(self, ready: Callable[[], object]) -> None:
        """Have the loop run something; what is meant to come out of it does no harm."""
        try:
            ready()
        except BaseException as error:
            if self.environment.owns(error):
                self.note("left_loop", error)
            elif not isinstance(error, SystemExit) or not any(body.exits_with(error) for body in self.bodies):
                raise

    def _tick(self) -> None:
        assert self.virtual is not None
        if not self.virtual.advance():
            deadline = self.oracle.next_deadline()
            assert deadline is not None
            self.virtual.advance(deadline - self.now())

    def _new_job(self, temper: str, terms: str) -> Body:
        self.spent.jobs += 1
        body = self._new_body(temper, terms=terms)
        if self.scope.contexts in {"given", "shared"}:
            body.given = self._shared if self.scope.contexts == "shared" else Context()
        if body.given is not None and self.environment.is_strange:
            body.given.run(ORIGIN.set, body.name)  # a task factory has to tell for whom it is called
        if self.spent.jobs == self.scope.jobs:
            self.unnamed = body
        else:
            self.by_name[body.name] = body
        return body

    def _new_body(self, temper: str, *, shielded: bool = False, terms: str = "plain") -> Body:
        body = Body(self, len(self.bodies), temper, shielded=shielded, terms=terms)
        self.bodies.append(body)
        return body

    def _start_spawn(self, temper: str, terms: str = "plain") -> None:
        body = self._new_job(temper, terms)
        call = Call(self, len(self.calls), "spawn", body)
        body.call = call
        self.calls.append(call)
        call.start()

    def _spawn_from_thread(self, temper: str) -> None:
        body = self._new_job(temper, "plain")
        body.given = None
        call = ThreadCall(self, len(self.calls), "thread", body)
        body.call = call
        self.calls.append(call)
        call.start()

    def is_full(self) -> bool:
        """Whether a spawn that is made now has to wait for a place."""
        view, room = self.view(), self.scope.pending_limit
        return (
            view.phase == "open"
            and view.active >= (self.limit or view.active + 1)
            and 0 < room <= view.pending
        )

    def _spawn_nowait(self, temper: str, terms: str = "plain") -> None:
        body = self._new_job(temper, terms)
        before = self.view()
        error, at_home = copy_context().run(self._give, body)
        self.note("nowait", body, before, error, at_home)

    def _give(self, body: Body) -> tuple[BaseException | None, bool]:
        """Spawn without waiting, in a context of its own: the error, and whether that is as it was."""
        ORIGIN.set(body.name)
        error: BaseException | None = None
        try:
            body.job = self.scheduler.spawn_nowait(self.make(body), **self.options(body))
            self.environment.greet(body.job)
        except (Exception, SystemExit) as caught:  # noqa: BLE001 - the oracle wants to know
            self.suspect("spawn_nowait", caught)
            error = BaseException.with_traceback(caught, None)
            error.__context__ = None  # it may have been handled where foreign code spawns this
        return error, ORIGIN.get() == body.name

    def start_call(self, kind: str, target: Any) -> None:
        """Have somebody ask something of the scheduler, or of one of its jobs."""
        self.spent.callers += 1
        body: Body | None = None
        if kind == "shield":
            body = self._new_body(target, shielded=True)
        elif target is not None:
            body = self.bodies[target]
        call = Call(self, len(self.calls), kind, body)
        self.calls.append(call)
        call.start()

    def _try_inside(self, number: int, order: str) -> None:
        self.spent.callers += 1
        self.bodies[number].tell(order)

    def _set_limit(self, to: str) -> None:
        """Have somebody change the limit, and note what was to be seen before and after it."""
        self.spent.resizes += 1
        before, self.limit = self.view(), None if to == "none" else int(to)
        blocked = self.oracle.blocked(), self.oracle.withdrawing()
        self.note("limit", self.limit)
        error: BaseException | None = None
        try:
            self.scheduler.set_limit(self.limit)
        except (Exception, SystemExit) as caught:  # noqa: BLE001 - the judge wants to know
            self.suspect("set_limit", caught)
            error = BaseException.with_traceback(caught, None)
        self.note("limit_set", before, blocked, self.view(), error)

    def _cancel_call(self, call: Call) -> None:
        self.spent.cancels += 1
        assert call.task is not None
        call.cancelled = True
        call.cancels += 1
        call.cancelled_first = call.body is not None and call.body.ended is None
        if not call.cancel():
            call.cancelled = False
            self.note("kept", call, call.answered)

    def _leave(self, number: int, how: str) -> None:
        gate = self.calls[number].gate
        assert gate is not None
        gate.set_result(how)

    def _sweep(self) -> None:
        """Cancel every task there is: the callers' in order, then those of jobs, then what else is left."""
        self.spent.sweeps += 1
        assert self.loop is not None
        left = {id(task): task for task in asyncio.all_tasks(self.loop)}
        for call in self.calls:
            if call.task is not None and left.pop(id(call.task), None) is not None:
                self._cancel_call(call)
                self.spent.cancels -= 1
        for body in self.bodies:
            body.hit = body.hit or body.ended is None
        with self.environment.looked_at:
            for task in sorted(left.values(), key=lambda task: (len(task.get_name()), task.get_name())):
                task.cancel()


_warned: list[warnings.WarningMessage] = []
"""Where the warnings of the present world are collected, see `watching`."""


@contextmanager
def watching() -> Generator[None]:
    """Have worlds hear of Python's warnings; once around many worlds, since it costs as much as one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        global _warned  # noqa: PLW0603 - there is one such list in a process, as there is one set of filters
        before, _warned = _warned, caught
        hook = sys.unraisablehook
        sys.unraisablehook = _keep_unraisable
        try:
            yield
        finally:
            _warned = before
            sys.unraisablehook = hook


class _Journal(logging.Handler):
    """Hears what is said to the logger of the library, for the world that there is at the time."""

    logger = logging.getLogger("aiojobs")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.page: list[logging.LogRecord] | None = None

    def listen(self, page: list[logging.LogRecord] | None) -> None:
        """From now on write into this; None for nothing more."""
        if (page is None) is not (self.page is None):
            (self.logger.addHandler if page is not None else self.logger.removeHandler)(self)
            self.logger.propagate = page is None
        self.page = page

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if self.page is not None:
            self.page.append(record)


_journal: Final = _Journal()

_unraisable: list[BaseException] = []
"""What Python was left with that nobody could receive, in the present world."""


def _keep_unraisable(about: sys.UnraisableHookArgs) -> None:
    if isinstance(about.exc_value, (PartyFailure, PartyExit, HandlerFailure)):
        _unraisable.append(about.exc_value)
    else:
        sys.__unraisablehook__(about)


def _moves() -> dict[str, Callable[..., None]]:
    moves: dict[str, Callable[..., None]] = {
        "turn": World._turn,
        "tick": World._tick,
        "fire": World._fire,
        "spawn": World._start_spawn,
        "nowait": World._spawn_nowait,
        "thread": World._spawn_from_thread,
        "cancel": lambda world, number: world._cancel_call(world.calls[number]),
        "sweep": World._sweep,
        "set-limit": World._set_limit,
        "environment": World._settle_in,
        "misuse": misuse,
        "leave": lambda world, number: world._leave(number, "leave"),
        "leave-raise": lambda world, number: world._leave(number, "leave-raise"),
    }
    for end in ENDS:
        moves[end] = lambda world, number, order=end: world.bodies[number].tell(order)
    for order in SELF_CALLS:
        moves[order] = lambda world, number, order=order: world._try_inside(number, order)
    for kind in CALLS:
        moves[kind] = lambda world, target=None, kind=kind: world.start_call(kind, target)
    return moves


_MOVES: Final = _moves()
"""How each kind of event is let happen."""

EVENT_KINDS: Final = frozenset(_MOVES) - {"environment"}
"""Everything that can be done to a scheduler; what it lives among is chosen before."""
