"""What really happens: the coroutines that are scheduled, and the callers that wait, close and are cancelled.

Rules of this file: it knows what was done to it and believes nobody. A `Body` notes its own first step,
each cancellation that reaches it, and its end; a `Call` notes when it was made and what came back.
Everything is noted in one list, in the order in which it happened, together with what the scheduler says
about itself (observer, exception handler). The judge compares the two.

How it works: a body waits on a gate until somebody tells it how to go on, so that when and how it ends is
an outside event. What it does with a cancellation is its temper:

* ``obedient``  ends with it;
* ``stubborn``  swallows each one, and ends only when told;
* ``tidy``      needs another pass of the loop for its clean-up, and then ends with it;
* ``instant``   returns in its first step, ``failing`` raises in it: neither ever waits.

Deliberately not here: any judgement.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiojobs.spec.driving.driver import World

__all__ = ["ENDS", "SELF_CALLS", "TEMPERS", "BaseFailure", "Body", "BodyFailure", "Call", "WithFailure"]

TEMPERS: Final = ("obedient", "stubborn", "tidy", "instant", "failing")

ENDS: Final = ("return", "raise", "base", "exit", "quit")
"""How a body can be told to end: by a value, an exception, a `BaseException`, `SystemExit`, its own
`CancelledError`."""

SELF_CALLS: Final = ("self-wait", "self-close", "self-shut")
"""What a body can be told to try from inside: to wait for itself, close itself, close its own scheduler."""


class BodyFailure(Exception):  # noqa: N818 - the exception of a job, told from every other one
    """What a body raises when told ``raise``."""


class BaseFailure(BaseException):
    """What a body raises when told ``base``."""


class WithFailure(Exception):  # noqa: N818
    """What the inside of an ``async with`` raises when told."""


class Body:
    """One coroutine that is given to the scheduler: as a job, or behind a shield."""

    def __init__(self, world: World, number: int, temper: str, *, shielded: bool = False) -> None:
        self.world = world
        self.number = number
        self.temper = temper
        self.shielded = shielded
        self.name = f"shielded {number}" if shielded else f"job {number}"
        self.coroutine: Coroutine[Any, Any, Any] | None = None
        """Held until it has begun or was closed, so that the latter can be seen; never longer (BOOK-3)."""
        self.trace: weakref.ref[Any] | None = None
        """The coroutine, without holding it."""
        self.task: weakref.ref[asyncio.Task[Any]] | None = None
        self.arrival = -1
        """The place of its spawn among all calls of `spawn`, in the order in which they were made."""
        self.call: Call | None = None
        """Who spawns it, if the spawn is a call of its own that can be cancelled."""
        self.job: Any = None
        """The job object, once a spawn has returned it."""
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
        # Kept by the judge.
        self.quiet_at: float | None = None
        """When the loop was first quiet after its end."""
        self.receivers = 0
        """Callers that were waiting when it failed, and received the failure."""
        self.reports = 0
        """How often the exception handler heard of its failure."""
        self.late_reports = 0
        """How often the exception handler heard that it did not stop in time."""
        self.inspected = ""
        """The state in which the answers of its job were last compared."""

    def make(self) -> Coroutine[Any, Any, Any]:
        """The coroutine, to be given away."""
        coroutine = self._run()
        self.coroutine = coroutine
        self.trace = weakref.ref(coroutine)
        return coroutine

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

    async def _run(self) -> str:
        self.began = True
        self.coroutine = None
        task = asyncio.current_task()
        assert task is not None
        self.task = weakref.ref(task)
        del task
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
            self.error = BodyFailure(self.name)
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
                await self._try(order)
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
        kind = {"raise": BodyFailure, "base": BaseFailure, "exit": SystemExit}[order]
        self.error = kind(self.name)
        raise self.error

    async def _try(self, order: str) -> None:
        """Do what nobody may do from inside; what happens is noted."""
        self.told = ""
        answer = "None"
        try:
            await self.world.call_from_inside(self, order)
        except asyncio.CancelledError:
            if await self._gives_in():
                raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the judge wants to know
            answer = type(error).__name__
        self.world.note("tried", self, order, answer)


class Call:
    """One call of the scheduler by somebody outside: a task of its own that waits for the answer."""

    def __init__(self, world: World, number: int, kind: str, body: Body | None) -> None:
        self.world = world
        self.number = number
        self.kind = kind
        self.body = body
        self.task: asyncio.Task[None] | None = None
        self.gate: asyncio.Future[str] | None = None
        """For the inside of an ``async with``: how to leave it."""
        self.left: str | None = None
        self.left_at: float | None = None
        """When the inside of the ``async with`` was left, in whatever way."""
        self.called_at: float | None = None
        self.expired_at: float | None = None
        """When the judge first found its time over with nothing left to run."""
        self.open_before = True
        """The scheduler was open when the call was made."""
        self.open_after = True
        """The scheduler was open when the answer came."""
        self.called_in = self.answered_in = -1
        """In which turn that was."""
        self.late = False
        """The job had ended, as the scheduler sees it, when the call was made."""
        self.cancelled = False
        """Its task was cancelled from outside before there was an answer."""
        self.cancels = 0
        """How often."""
        self.cancelled_first = False
        """And before the coroutine that it is about had ended."""
        self.answered = False
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def name(self) -> str:
        """How the stories call it."""
        return f"call {self.number} ({self.kind})"

    @property
    def open(self) -> bool:
        """It was made and has no answer yet."""
        return self.called_at is not None and not self.answered

    @property
    def over(self) -> bool:
        """Its task has ended, with or without having made the call."""
        return self.task is None or self.task.done()

    def start(self) -> None:
        """Have it called in a task of its own."""
        self.task = asyncio.get_running_loop().create_task(self._run(), name=self.name)

    async def _run(self) -> None:
        world = self.world
        self.called_at = world.now()
        self.called_in = world.turns
        self.open_before = not world.scheduler.closed
        self.late = self.body is not None and world.seen_as_ended(self.body)
        world.note("called", self)
        try:
            self.value = await world.perform(self)
        except BaseException as error:  # noqa: BLE001 - every answer is an answer
            self.error = error
        self.answered = True
        self.answered_in = world.turns
        self.open_after = not world.scheduler.closed
        world.note("answered", self)
