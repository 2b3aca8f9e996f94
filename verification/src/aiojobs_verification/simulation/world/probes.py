"""Probes: the coroutines that are scheduled, instrumented to note what really happens.

Rules of this file: it knows what was done to it and believes nobody. A `Body` notes its own first step,
each cancellation that reaches it, and its end. Everything is noted in one list, in the order in which it
happened, together with what callers are answered (`calls`) and what the scheduler says about itself
(observer, exception handler). The oracle compares the two.

How it works: a body waits on a gate until somebody tells it how to go on, so that when and how it ends is
an outside event. What it does with a cancellation is its temper:

* ``obedient``  ends with it;
* ``stubborn``  swallows each one, and ends only when told;
* ``tidy``      needs another pass of the loop for its clean-up, and then ends with it;
* ``instant``   returns in its first step, ``failing`` raises in it: neither ever waits.

Whose context it runs in it can tell by a variable: `ORIGIN` names who called `spawn`.

Deliberately not here: any judgement.
"""

from __future__ import annotations

import asyncio
import weakref
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiojobs_verification.simulation.world.calls import Call
    from aiojobs_verification.simulation.world.environment import Carrier
    from aiojobs_verification.simulation.world.world import World

__all__ = [
    "CONTEXTS",
    "ENDS",
    "ORIGIN",
    "SELF_CALLS",
    "TEMPERS",
    "TERMS",
    "BaseFailure",
    "Body",
    "BodyFailure",
    "WithFailure",
]

TEMPERS: Final = ("obedient", "stubborn", "tidy", "instant", "failing")

ENDS: Final = ("return", "raise", "base", "exit", "quit")
"""How a body can be told to end: by a value, an exception, a `BaseException`, `SystemExit`, its own
`CancelledError`."""

SELF_CALLS: Final = ("self-wait", "self-close", "self-shut", "self-idle")
"""What a body can be told to try from inside: to wait for itself, close itself, close its own scheduler, wait until
that has nothing left."""

TERMS: Final = ("plain", "timed", "endless", "timed-endless")
"""What can be agreed about a job when it is spawned: nothing, a time limit, that draining does not wait for it."""

CONTEXTS: Final = ("copied", "given", "shared", "unwatched")
"""In which context a job is to run: a copy of its spawner's; one of its own, given as ``context=``; one that
is given to all jobs. ``unwatched`` is the first, and nobody looks."""

ORIGIN: Final = ContextVar("origin", default="outside")
"""Whose context this is: of the caller who spawns the body of this name, or of the inside of that body."""


class BodyFailure(Exception):  # noqa: N818 - the exception of a job, told from every other one
    """What a body raises when told ``raise``."""


class BaseFailure(BaseException):
    """What a body raises when told ``base``."""


class WithFailure(Exception):  # noqa: N818
    """What the inside of an ``async with`` raises when told."""


class Body:
    """One coroutine that is given to the scheduler: as a job, or behind a shield."""

    arrives = False
    """Its spawn was blocked: its job is accepted before that returns."""
    told_outcome: Any = None
    """Its outcome when the observer was last told of it."""
    trying = ""
    """What it tries from inside, and has no answer to."""
    began_at = 0.0
    accepted_at: float | None = None
    started_at: float | None = None
    """When its job was given a slot."""
    expired_at: float | None = None
    """When its time was over, nobody having asked it to stop before."""
    in_time = False
    """It had ended when its time was over, and only its task went on."""
    told_at: float | None = None
    """When the loop was first quiet after that: it has been told to stop."""
    receivers = 0
    """Callers that were waiting when it failed, and received the failure."""
    reports = 0
    """How often the exception handler heard of its failure."""
    late_reports = 0
    """How often the exception handler heard that it did not stop in time."""
    inspected = ""
    """The state in which the answers of its job were last compared."""

    def __init__(
        self, world: World, number: int, temper: str, *, shielded: bool = False, terms: str = "plain"
    ) -> None:
        self.world = world
        self.number = number
        self.temper = temper
        self.terms = terms
        self.is_timed = terms.startswith("timed")
        self.is_drained = not terms.endswith("endless")
        """Draining waits for its end."""
        self.shielded = shielded
        self.name = f"shielded {number}" if shielded else f"job {number}"
        self.coroutine: Coroutine[Any, Any, Any] | None = None
        """Held until it has begun or was closed, so that the latter can be seen; never longer (BOOK-3)."""
        self.trace: weakref.ref[Any] | None = None
        """The coroutine, without holding it."""
        self.task: weakref.ref[asyncio.Task[Any]] | None = None
        self.kept: Any = None
        """The same, until the oracle has compared how it ended with how the coroutine did."""
        self.arrival = -1
        """The place of its spawn among all calls of `spawn`, in the order in which they were made."""
        self.call: Call | None = None
        """Who spawns it, if the spawn is a call of its own that can be cancelled."""
        self.job: Any = None
        """The job object, once a spawn has returned it."""
        self.entry: Any = None
        """The same, from the moment at which the scheduler has accepted it."""
        self.given: Context | None = None
        """The context that it was given to run in, if it is not a copy of the spawner's."""
        self.at_home = True
        """It runs in the context that it was promised."""
        self.carrier: Carrier | None = None
        """What a task factory has made of it, if that is more than a task."""
        self.gate: asyncio.Future[str] | None = None
        self.began = False
        self.cancels = 0
        self.ended: str | None = None
        """``returned``, ``raised``, ``cancelled``; ``never`` if it was closed before its first step."""
        self.ended_at = 0.0
        self.error: BaseException | None = None
        self.hit = False
        """Its task was cancelled from outside, behind the back of the scheduler."""
        self.told = ""
        """The order that it has been given and has not yet carried out."""
        self.failed_inside = False
        """It failed before its spawn had returned, as an eager task can."""
        # Kept by the oracle.
        self.quiet_at: float | None = None
        """When the loop was first quiet after its end."""

    def make(self) -> Coroutine[Any, Any, Any]:
        """The coroutine, to be given away."""
        environment = self.world.environment
        coroutine = environment.coroutine_of(self)
        coroutine.__qualname__ = self.qualname
        self.coroutine = coroutine
        self.trace = weakref.ref(coroutine)
        given: Coroutine[Any, Any, Any] = environment.given(self, coroutine)
        return given

    @property
    def qualname(self) -> str:
        """The qualified name of its coroutine: jobs of one temper are of one kind."""
        return f"Body.{self.temper}"

    @property
    def call_cancelled(self) -> bool:
        """Whether the caller of its shield was cancelled."""
        return any(call.cancelled for call in self.world.calls if call.body is self)

    @property
    def call_cancelled_before_end(self) -> bool:
        """Whether that was before the coroutine ended."""
        return any(call.cancelled and call.cancelled_first for call in self.world.calls if call.body is self)

    @property
    def calling_cancelled(self) -> bool:
        """Whether the caller of its spawn was cancelled before there was an answer."""
        return self.call is not None and self.call.cancelled

    @property
    def alive(self) -> bool:
        """It has begun and not ended."""
        return self.began and self.ended is None

    @property
    def fate(self) -> str | None:
        """How its job has to end, as in `ended`; None as long as it must not.

        As the coroutine did; if that never came to its end, as the task that was to run it (START-3).
        """
        carrier = self.carrier
        fate = self.ended if carrier is None else carrier.fate(self.ended)
        is_late = self.expired_at is not None and not self.in_time
        return "timed_out" if fate == "cancelled" and is_late else fate

    @property
    def fails(self) -> bool:
        """Whether its job comes to an exception that somebody has to receive."""
        return self.fate in {"raised", "timed_out"}

    @property
    def lives(self) -> bool:
        """Its job has to hold a slot."""
        return self.alive if self.carrier is None else self.carrier.how is None

    def exits_with(self, error: BaseException) -> bool:
        """Whether the loop may end with this, for it or for the task that was to run it."""
        return error is self.error or (self.carrier is not None and error is self.carrier.error)

    def caused(self, error: object) -> bool:
        """Whether this is what its job fails with."""
        if self.fate == "timed_out":  # its words are the library's, which may not have seen the end yet
            job = self.entry
            return type(error) is TimeoutError and job.outcome is not None and error is job.exception()
        carrier = self.carrier
        return error is self.error if carrier is None or self.ended == "raised" else carrier.caused(error)

    @property
    def value(self) -> str:
        """What it returns."""
        return f"value of {self.name}"

    def tell(self, order: str) -> None:
        """Have it go on in this way, in its next step."""
        assert self.gate is not None
        self.told = order
        self.gate.set_result(order)

    def idle(self) -> bool:
        """Whether it waits to be told how to go on."""
        return self.alive and self.gate is not None and not self.gate.done()

    def look(self) -> None:
        """Notice that the coroutine was closed before its first step."""
        coroutine: Any = self.coroutine
        if coroutine is not None and not self.began and coroutine.cr_frame is None:
            self.coroutine = None
            self._end("never")

    async def run_with(self, _argument: object) -> str:
        """The coroutine, called with something."""
        return await self.run()

    async def run(self) -> str:
        """The coroutine."""
        self.began = True
        self.began_at = self.world.now()
        self.coroutine = None
        task = asyncio.current_task()
        assert task is not None
        self.task = weakref.ref(task)
        self.kept = task
        del task
        self.at_home = self._looks_around()
        self.world.note("began", self)
        try:
            await self._live()
        except asyncio.CancelledError:
            self._end("cancelled")
            raise
        except GeneratorExit:
            self._end("destroyed")
            raise
        except BaseException:
            self._end("raised")
            raise
        self._end("returned")
        return self.value

    def _looks_around(self) -> bool:
        """Whether this is the context that was promised; from now on it can be told from the spawner's."""
        found, inside = ORIGIN.get(), f"inside {self.name}"
        ORIGIN.set(inside)
        copied = self.given is None or self.world.environment.copies_contexts
        return found == self.name if copied or self.given is None else self.given.get(ORIGIN) == inside

    def _end(self, how: str) -> None:
        self.ended = how
        self.ended_at = self.world.now()
        self.failed_inside = how == "raised" and self.job is None
        self.gate = None
        self.told = ""
        self.world.note("ended", self)

    async def _live(self) -> None:
        if self.temper == "instant":
            return
        if self.temper == "failing":
            self.error = self.world.environment.failure(self)
            raise self.error
        loop = asyncio.get_running_loop()
        while True:
            if self.gate is None or self.gate.done():
                self.gate = loop.create_future()
            try:
                order = await self.gate
            except asyncio.CancelledError:
                if await self._gives_in():
                    raise
                continue
            if order in SELF_CALLS:
                await self._try(order)  # a job that nobody waits for may wait until nothing else is left
            else:
                self._obey(order)
                return

    async def _gives_in(self) -> bool:
        """Whether this temper ends with the cancellation that has just reached it."""
        self.cancels += 1
        self.told = ""
        self.world.note("hit", self)
        if self.temper == "tidy":
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self.cancels += 1
                self.world.note("hit", self)
        return self.temper != "stubborn"

    def _obey(self, order: str) -> None:
        if order == "return":
            return
        if order == "quit":
            raise asyncio.CancelledError
        if order == "raise":
            self.error = self.world.environment.failure(self)
        else:
            self.error = (BaseFailure if order == "base" else SystemExit)(self.name)
        raise self.error

    async def _try(self, order: str) -> None:
        """Do what nobody may do from inside; what happens is noted."""
        self.told, self.trying = "", order
        answer = "None"
        try:
            await self.world.call_from_inside(self, order)
        except asyncio.CancelledError:
            if await self._gives_in():
                raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the oracle wants to know
            answer = type(error).__name__
            self.world.suspect(f"{order} of {self.name}", error)
        finally:
            self.trying = ""
        self.world.note("tried", self, order, answer)
