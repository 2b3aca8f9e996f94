"""A small world around one scheduler, in which every outside event is chosen by somebody else.

Rules of this file: everything that can happen to a scheduler from outside is an *event*, a short tuple
such as ``("spawn", "obedient")``, ``("raise", 0)`` or ``("turn",)``. What is possible now is
`World.enabled`; `World.apply` lets one happen. The same events give the same run, on any machine, in any
process.

How it works: asyncio itself is deterministic. What is open in a real program is when outside events
arrive, relative to the turns of the loop and to each other. So the loop takes a turn, and time passes,
only when the event says so, and between two turns any number of other events may happen. After each of
them the `judge` compares the scheduler with the specification.

A `Scope` bounds the world: so many jobs, so many callers, so many cancellations, and which kinds of each.
Within its scope the world is finite but for the passing of time, and even that repeats itself.

Deliberately not here: the choice of events (`explore`, `fuzz`), and what is right (`judge`, `books`).
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiojobs.spec.driving.judge import Judge
from aiojobs.spec.driving.truth import ENDS, SELF_CALLS, Body, Call, WithFailure
from aiojobs.spec.driving.virtual_loop import VirtualLoop

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from aiojobs.spec.driving.packages import Package

__all__ = ["CALLS", "EPOCH", "Event", "HandlerFailure", "Scope", "World", "watching"]

Event: TypeAlias = tuple[Any, ...]

EPOCH: Final = 1_000_000.0
"""When a world begins. So late that no duration can be mistaken for a point of time."""

_WIND_UP_ROUNDS: Final = 100
"""So often what still runs is let go, or time passes, at the end of a world; it takes far less."""

_SPINNING: Final = 1000
"""A loop that is not quiet after so many turns never will be."""

JOB_CALLS: Final = ("wait", "await", "wait-for", "close", "close-for")
SCHEDULER_CALLS: Final = ("shut", "drain", "drain-for", "with", "shield")
CALLS: Final = (*JOB_CALLS, *SCHEDULER_CALLS)
"""What a caller can do besides spawning: about a job, and about the scheduler."""


class HandlerFailure(Exception):  # noqa: N818 - what a handler raises that is told to
    """What the exception handler raises in a world where it does."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The bounds of a world. Durations are so different that no two sums of them are equal by accident."""

    limit: int | None = 1
    pending_limit: int = 1
    jobs: int = 2
    """How many coroutines are spawned at most."""
    tempers: tuple[str, ...] = ("obedient", "stubborn")
    spawns: tuple[str, ...] = ("spawn", "nowait")
    ends: tuple[str, ...] = ENDS
    calls: tuple[str, ...] = CALLS
    callers: int = 2
    """How many calls there are besides those of `spawn`."""
    shields: tuple[str, ...] = ("obedient",)
    """The tempers of shielded coroutines."""
    cancels: int = 1
    """How many callers are cancelled."""
    sweeps: int = 0
    """How often every task of the loop is cancelled."""
    handler: str = "keeps"
    """``keeps``, ``raises``, or ``loop`` for a scheduler without a handler of its own."""
    eager: bool = False
    slow: bool = False
    """Time may pass while callbacks are ready, as it does in a real program whose callbacks are slow."""
    close_timeout: float = 1.0
    wait_timeout: float = 16.0
    timeout: float = 4.0
    """Of ``wait-for``, ``close-for`` and ``drain-for``."""

    @classmethod
    def of(cls, bounds: Mapping[str, Any]) -> Self:
        """The scope of a document, where tuples are lists."""
        given: dict[str, Any] = {}
        for name, value in bounds.items():
            given[name] = tuple(value) if isinstance(value, list) else value
        return cls(**given)

    def describe(self) -> str:
        """The bounds that matter most, in a few words."""
        extras = [name for name in ("eager", "slow") if getattr(self, name)]
        extras += [f"handler {self.handler}"] if self.handler != "keeps" else []
        extras += ["sweep"] if self.sweeps else []
        bounds = f"limit {self.limit}, pending limit {self.pending_limit}, {self.jobs} jobs"
        return ", ".join([bounds, f"{self.callers} callers", f"{self.cancels} cancels", *extras])


@dataclass(slots=True)
class Spent:
    """How much of the scope has been used."""

    jobs: int = 0
    callers: int = 0
    cancels: int = 0
    sweeps: int = 0

    def key(self) -> tuple[int, ...]:
        """For the fingerprint."""
        return (self.jobs, self.callers, self.cancels, self.sweeps)


class World:
    """One scheduler, its loop, and everybody around it."""

    def __init__(self, scope: Scope, package: Package, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.scope = scope
        self.package = package
        # typeshed calls abstract what asyncio leaves to raise NotImplementedError: everything with sockets.
        self.virtual = VirtualLoop(start=EPOCH) if loop is None else None  # type: ignore[abstract]
        self.loop = loop or self.virtual
        self.turns = 0
        self.spent = Spent()
        self.winding_up = False
        """Everything is being brought to its end."""
        self.bodies: list[Body] = []
        self.calls: list[Call] = []
        self.by_name: dict[str | None, Body] = {}
        self.facts: list[tuple[Any, ...]] = []
        """What was noted, in the order in which it happened."""
        self.complaints: list[dict[str, Any]] = []
        """What reached the exception handler of the loop."""
        self.warnings: list[warnings.WarningMessage] = []
        """What Python warned of, such as a coroutine that was never awaited."""
        self.scheduler: Any = None
        self.judge = Judge(self)
        self._entered: Any = None

    def __enter__(self) -> Self:
        self.warnings = _warned
        self.warnings.clear()
        if self.virtual is not None:
            self.virtual.set_exception_handler(lambda _, context: self.complaints.append(context))
            self._entered = self.virtual.entered()
            self._entered.__enter__()
        assert self.loop is not None
        if self.scope.eager:
            self.loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        self.scheduler = self.package.scheduler(
            limit=self.scope.limit,
            pending_limit=self.scope.pending_limit,
            close_timeout=self.scope.close_timeout,
            wait_timeout=self.scope.wait_timeout,
            exception_handler=None if self.scope.handler == "loop" else self._handle,
            observer=self._observe,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.virtual is not None:
            self._dispose()
            self._entered.__exit__(None, None, None)
            self.virtual.close()

    # What the others ask.

    def now(self) -> float:
        """The clock of the loop."""
        assert self.loop is not None
        return self.loop.time()

    def note(self, kind: str, *things: Any) -> None:
        """Write down that something happened."""
        self.facts.append((kind, *things))

    def seen_as_ended(self, body: Body) -> bool:
        """Whether the job of this body says that it has ended."""
        return body.job is not None and self.package.ended(body.job)

    async def perform(self, call: Call) -> Any:
        """Make the call; what it answers is what comes out of here."""
        if call.kind == "with":
            return await self._with(call)
        if call.kind in {"shut", "drain", "drain-for"}:
            return await self._end(call.kind)
        body = call.body
        assert body is not None
        if call.kind == "spawn":
            return await self._spawn(body)
        if call.kind == "shield":
            return await self.scheduler.shield(body.make())
        return await self._ask(call.kind, body.job)

    async def _end(self, kind: str) -> Any:
        if kind == "shut":
            self._note_doomed()
            return await self.scheduler.close()
        within = [self.scope.timeout] if kind == "drain-for" else []
        return await self.scheduler.wait_and_close(*within)

    async def _ask(self, kind: str, job: Any) -> Any:
        if kind == "await":
            return await job
        action = job.wait if kind.startswith("wait") else job.close
        return await (action(timeout=self.scope.timeout) if kind.endswith("-for") else action())

    async def call_from_inside(self, body: Body, order: str) -> None:
        """What a job tries that no job may do."""
        if order == "self-shut":
            await self.scheduler.close()
        else:
            await (body.job.wait() if order == "self-wait" else body.job.close())

    async def _spawn(self, body: Body) -> Any:
        # No name for the coroutine: the traceback of an eager task that fails holds this frame.
        body.job = await self.scheduler.spawn(self._make(body), name=body.name)
        return body.job

    def _make(self, body: Body) -> Coroutine[Any, Any, Any]:
        self.note("spawning", body)
        return body.make()

    async def _with(self, call: Call) -> None:
        assert self.loop is not None
        async with self.scheduler:
            call.gate = self.loop.create_future()
            try:
                call.left = await call.gate
            finally:
                call.left_at = self.now()
            if call.left == "leave-raise":
                raise WithFailure

    def _note_doomed(self) -> None:
        """Closing begins with the next step: what waits now must never run (SHUT-1)."""
        if not self.scheduler.closed:
            doomed = [
                body
                for body in self.bodies
                if not body.began
                and (body.job.pending if body.job is not None else body.call and body.call.open)
            ]
            self.note("closing", doomed)

    def _handle(self, _: Any, context: dict[str, Any]) -> None:
        self.note("report", context)
        if self.scope.handler == "raises":
            raise HandlerFailure

    def _observe(self, record: Any) -> None:
        body = None if record.job is None else self.by_name[record.job.get_name()]
        source = None if record.source is None else str(record.source)
        self.note("record", body, str(record.event), source, str(record.dest))

    # What can happen.

    def enabled(self) -> list[Event]:
        """Every event that can happen now, in a fixed order."""
        events: list[Event] = []
        loop = self.virtual
        if loop is not None:
            quiet = loop.quiet()
            if not quiet:
                events.append(("turn",))
            if self._time_can_pass(loop, quiet=quiet):
                events.append(("tick",))
        events += self._spawns()
        for body in self.bodies:
            if body.idle():
                events += self._orders(body)
        if self.spent.callers < self.scope.callers:
            events += self._new_calls()
        events += self._about_calls()
        if self.spent.sweeps < self.scope.sweeps:
            events.append(("sweep",))
        return events

    def _time_can_pass(self, loop: VirtualLoop, *, quiet: bool) -> bool:
        """Up to the next timer, or to a promised deadline: that comes even if nobody has set a timer."""
        if not quiet:
            return self.scope.slow and bool(loop.timers())
        return bool(loop.timers()) or self.judge.next_deadline() is not None

    def _spawns(self) -> list[Event]:
        if self.spent.jobs >= self.scope.jobs:
            return []
        kinds = [kind for kind in self.scope.spawns if kind == "spawn" or self.package.nowait]
        return [(kind, temper) for kind in kinds for temper in self.scope.tempers]

    def _orders(self, body: Body) -> list[Event]:
        if body.shielded:
            return [(end, body.number) for end in self.scope.ends if end in {"return", "raise"}]
        selfish = [order for order in SELF_CALLS if order in self.scope.calls and body.job is not None]
        if self.spent.callers >= self.scope.callers:
            selfish = []
        return [(order, body.number) for order in (*self.scope.ends, *selfish)]

    def _new_calls(self) -> list[Event]:
        events: list[Event] = []
        for kind in self.scope.calls:
            if kind == "await" and not self.package.awaitable:
                continue
            if kind in JOB_CALLS:
                events += [(kind, body.number) for body in self.bodies if body.job is not None]
            elif kind == "shield":
                events += [(kind, temper) for temper in self.scope.shields]
            elif kind in SCHEDULER_CALLS:
                events.append((kind,))
        return events

    def _about_calls(self) -> list[Event]:
        events: list[Event] = []
        for call in self.calls:
            if call.over:
                continue
            if call.gate is not None and not call.gate.done():
                events += [("leave", call.number), ("leave-raise", call.number)]
            if call.called_at is not None and not call.cancelled and self.spent.cancels < self.scope.cancels:
                events.append(("cancel", call.number))
        return events

    # Letting it happen.

    def apply(self, event: Event, *, again: bool = False) -> None:
        """Let an event happen and have the judge look, who raises `Violation`; in a replay, glance."""
        self.let_happen(event)
        self.look(again=again)

    def let_happen(self, event: Event) -> None:
        """Let an event happen, and nothing else."""
        self.facts.append(("event", event))
        _MOVES[event[0]](self, *event[1:])

    def look(self, *, again: bool = False) -> None:
        """Have the judge look at everything since the last time."""
        quiet = self.virtual.quiet() if self.virtual is not None else False
        if again:
            self.judge.glance(quiet=quiet)
        else:
            self.judge.look(quiet=quiet)

    def _turn(self) -> None:
        assert self.virtual is not None
        self.turns += 1
        try:
            self.virtual.turn()
        except SystemExit as error:
            if all(error is not body.error for body in self.bodies):
                raise

    def _tick(self) -> None:
        assert self.virtual is not None
        if not self.virtual.advance():
            deadline = self.judge.next_deadline()
            assert deadline is not None
            self.virtual.advance(deadline - self.now())

    def _new_body(self, temper: str, *, shielded: bool = False) -> Body:
        body = Body(self, len(self.bodies), temper, shielded=shielded)
        self.bodies.append(body)
        self.by_name[body.name] = body
        return body

    def _start_spawn(self, temper: str) -> None:
        self.spent.jobs += 1
        body = self._new_body(temper)
        call = Call(self, len(self.calls), "spawn", body)
        body.call = call
        self.calls.append(call)
        call.start()

    def _spawn_nowait(self, temper: str) -> None:
        self.spent.jobs += 1
        body = self._new_body(temper)
        before = self.package.view(self.scheduler)
        error: BaseException | None = None
        try:
            body.job = self.scheduler.spawn_nowait(self._make(body), name=body.name)
        except Exception as caught:  # noqa: BLE001 - the judge wants to know
            error = caught.with_traceback(None)
        self.note("nowait", body, before, error)

    def _start_call(self, kind: str, target: Any) -> None:
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

    def _cancel_call(self, call: Call) -> None:
        self.spent.cancels += 1
        assert call.task is not None
        call.cancelled = True
        call.cancels += 1
        call.cancelled_first = call.body is not None and call.body.ended is None
        call.task.cancel()

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
        for task in sorted(left.values(), key=lambda task: task.get_name()):
            task.cancel()

    # The end.

    def wind_up(self) -> None:
        """Bring everything to its end, closing the scheduler, and have the judge settle the accounts."""
        assert self.virtual is not None
        self.winding_up = True
        self._run_quiet()
        self._start_call("shut", None)
        self._run_quiet()
        for _ in range(_WIND_UP_ROUNDS):
            let_go = self.let_go()
            if not let_go and not self.virtual.timers() and self.virtual.quiet():
                break
            if not let_go:
                self.virtual.advance()
            self._run_quiet()
        self.judge.settle()

    def let_go(self) -> int:
        """Tell every coroutine that waits to be told to return; how many there were."""
        idle = [body for body in self.bodies if body.idle()]
        for body in idle:
            body.tell("return")
        for call in self.calls:
            if call.gate is not None and not call.gate.done():
                call.gate.set_result("leave")
        return len(idle)

    def _run_quiet(self) -> None:
        assert self.virtual is not None
        for _ in range(_SPINNING):
            if self.virtual.quiet():
                return
            self.apply(("turn",))
        raise self.judge.spinning()

    def _dispose(self) -> None:
        """Let what still runs end, so that the garbage collector finds nothing of this world to run."""
        assert self.virtual is not None
        for body in self.bodies:
            body.temper = "obedient"
        for _ in range(_WIND_UP_ROUNDS):
            for task in self._tasks():
                with suppress(RecursionError):  # another package can tie tasks into a circle
                    task.cancel()
            if self.virtual.quiet():
                break
            with suppress(SystemExit):
                self.virtual.turn()
        for body in self.bodies:
            if body.coroutine is not None:
                body.coroutine.close()

    def _tasks(self) -> list[asyncio.Task[Any]]:
        """Every task that has not ended."""
        assert self.virtual is not None
        if not self.package.observed:
            return list(asyncio.all_tasks(self.virtual))
        own: list[asyncio.Task[Any] | None] = [call.task for call in self.calls]
        own += [body.task() for body in self.bodies if body.task is not None]
        return [task for task in own if task is not None and not task.done()]


_warned: list[warnings.WarningMessage] = []
"""Where the warnings of the present world are collected, see `watching`."""


@contextmanager
def watching() -> Generator[None]:
    """Have worlds hear of Python's warnings; once around many worlds, since it costs as much as one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        global _warned  # noqa: PLW0603 - there is one such list in a process, as there is one set of filters
        before, _warned = _warned, caught
        try:
            yield
        finally:
            _warned = before


def _moves() -> dict[str, Callable[..., None]]:
    moves: dict[str, Callable[..., None]] = {
        "turn": World._turn,
        "tick": World._tick,
        "spawn": World._start_spawn,
        "nowait": World._spawn_nowait,
        "cancel": lambda world, number: world._cancel_call(world.calls[number]),
        "sweep": World._sweep,
        "leave": lambda world, number: world._leave(number, "leave"),
        "leave-raise": lambda world, number: world._leave(number, "leave-raise"),
    }
    for end in ENDS:
        moves[end] = lambda world, number, order=end: world.bodies[number].tell(order)
    for order in SELF_CALLS:
        moves[order] = lambda world, number, order=order: world._try_inside(number, order)
    for kind in CALLS:
        moves[kind] = lambda world, target=None, kind=kind: world._start_call(kind, target)
    return moves


_MOVES: Final = _moves()
"""How each kind of event is let happen."""
