"""The callers: each asks something of the scheduler, waits for the answer, and may be cancelled meanwhile.

Rules of this file: a `Call` is a task of its own. It makes one call, notes when it was made and what came
back, and has no opinion about it. Whoever spawns does so in a context that says who it is, so that a job
can be asked in whose context it runs.

Deliberately not here: when a call is made (`world`), and what its answer should be (`answers`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiojobs_verification.simulation.world.probes import ORIGIN, WithFailure

if TYPE_CHECKING:
    from aiojobs_verification.simulation.world.probes import Body
    from aiojobs_verification.simulation.world.world import World

__all__ = ["Call"]


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
        """When the oracle first found its time over with nothing left to run."""
        self.open_before = True
        """The scheduler was open when the call was made."""
        self.open_after = True
        """The scheduler was open when the answer came."""
        self.over_after = True
        """Closing was over when the answer came."""
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
        self.at_home = True
        """The answer came in the context in which the call was made, with nothing changed in it."""
        self.answered = False
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def name(self) -> str:
        """How the stories call it."""
        return f"call {self.number} ({self.kind})"

    @property
    def origin(self) -> str:
        """What its context says of it."""
        return "a caller" if self.body is None else self.body.name

    @property
    def open(self) -> bool:
        """It was made and has no answer yet."""
        return self.called_at is not None and not self.answered

    @property
    def over(self) -> bool:
        """Its task has ended, with or without having made the call."""
        return self.task is None or self.task.done()

    def is_elsewhere(self) -> bool:
        """Whether it is somebody else who runs now, while this waits."""
        return self.task is not None and asyncio.current_task() is not self.task

    def start(self) -> None:
        """Have it called in a task of its own."""
        loop = asyncio.get_running_loop()
        # Where strangers make the tasks of jobs, those of callers are made by nobody but asyncio.
        strange = self.world.environment.is_strange
        self.task = (asyncio.Task if strange else loop.create_task)(self._run(), name=self.name)

    async def _run(self) -> None:
        world = self.world
        ORIGIN.set(self.origin)
        self.called_at = world.now()
        self.called_in = world.turns
        self.open_before = not world.scheduler.closed
        self.late = self.body is not None and world.seen_as_ended(self.body)
        world.note("called", self)
        try:
            self.value = await self._perform()
        except BaseException as error:  # noqa: BLE001 - every answer is an answer
            self.error = error
            world.suspect(self.name, error)
        self.at_home = ORIGIN.get() == self.origin
        if self.kind == "idle":
            self.value = world.oracle.is_drained()
        self.answered = True
        self.answered_in = world.turns
        self.open_after = not world.scheduler.closed
        self.over_after = not world.package.phases or world.scheduler.phase == "closed"
        world.note("answered", self)

    async def _perform(self) -> Any:
        """Make the call; what it answers is what comes out of here."""
        if self.kind == "with":
            return await self._with()
        if self.kind in {"shut", "drain", "drain-for"}:
            return await self._end()
        if self.kind == "idle":
            return await self.world.scheduler.idle()
        body = self.body
        assert body is not None
        if self.kind == "spawn":
            return await self._spawn(body)
        if self.kind == "shield":
            return await self.world.scheduler.shield(body.make())
        return await self._ask(body.job)

    async def _spawn(self, body: Body) -> Any:
        # No name for the coroutine: the traceback of an eager task that fails holds this frame.
        world = self.world
        body.job = await world.scheduler.spawn(world.make(body), **world.options(body))
        world.environment.greet(body.job)
        return body.job

    async def _ask(self, job: Any) -> Any:
        if self.kind == "await":
            return await job
        action = job.wait if self.kind.startswith("wait") else job.close
        return await (action(timeout=self.world.scope.timeout) if self.kind.endswith("-for") else action())

    async def _end(self) -> Any:
        world = self.world
        if self.kind == "shut":
            world.note_doomed()
            return await world.scheduler.close()
        within = [world.scope.timeout] if self.kind == "drain-for" else []
        return await world.scheduler.wait_and_close(*within)

    async def _with(self) -> None:
        world = self.world
        async with world.scheduler:
            self.gate = asyncio.get_running_loop().create_future()
            try:
                self.left = await self.gate
            finally:
                self.left_at = world.now()
            if self.left == "leave-raise":
                raise WithFailure
