"""The way in: what becomes of a coroutine that is offered to a scheduler, from the verdict to the job.

The rules of this file
----------------------
Whether it starts, queues, waits outside or is refused is the verdict of ``Admission``, which is carried out
here. All or nothing (``SPAWN-1``): a caller gets a job that is in the books, or an exception, and then
nothing is left of what was offered, whenever the caller is cancelled. What a job does once it is in, and how
it leaves, is ``_engine``'s.

How it works
------------
*A slot or a place is free.* The job is made and in the books before ``spawn`` gives way for the first time.
With a slot it is launched on the spot, unless others that were started earlier have yet to be.

*Nothing is free.* The call waits outside, on a future in ``_blocked``, in order of arrival. When a place
falls free the job of the first one is accepted there and then, and its caller wakes a loop pass later. In
between the job is *arriving*: it has its place, even a slot, but no task, because the caller may be cancelled
in that very pass and the job must then never run. The caller launches the job when it wakes, and
``_to_launch`` keeps those that were started behind it from overtaking (``LIMIT-5``).

What is deliberately not here
-----------------------------
No check of arguments: see ``_scheduler``. By the time a coroutine comes here it is claimed, so whatever
becomes of the call, somebody has to close it.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ._admission import Verdict
from ._engine import Engine
from ._exceptions import PendingQueueFull
from ._job import Job
from ._lifecycle import Event, Phase
from ._records import ACCEPT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine
    from contextvars import Context

    from ._machine import JobMachine

__all__ = ("Entrance",)

_T = TypeVar("_T")

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_START, _QUEUE = Verdict.START, Verdict.QUEUE
_GIVE_SLOT = Event.START


class Entrance(Engine):
    """The part of a scheduler that lets jobs in."""

    def _enter(
        self, verdict: Verdict, coro: Coroutine[Any, Any, _T], name: str | None, context: Context | None
    ) -> Job[_T]:
        """Carry out the verdict on a coroutine that does not have to wait outside.

        A job that waits keeps a copy of the context of this moment; one that starts now gets one anyway.
        """
        if verdict is _QUEUE:
            job: Job[_T] = Job(coro, self, name, copy_context() if context is None else context)
            self._queue.join(job)
            if self._loop.get_debug() or self._observer is not None:
                self._tell_of_acceptance(job)
            return job
        if verdict is not _START:
            self._disown(coro)
            self._refuse(verdict)
        job = Job(coro, self, name, context)
        self._running[job] = None
        if self._loop.get_debug() or self._observer is not None:
            self._tell_of_acceptance(job)
        job._fire(_GIVE_SLOT)
        if self._to_launch:
            if job._context is None:
                job._context = copy_context()
            self._to_launch.append(job)
            return job
        failure = self._launch_for_caller(job)
        try:
            if failure is not None:
                raise failure
            return job
        finally:
            del job, coro, failure  # a traceback of an eager first step may hold this frame (BOOK-3)

    def _tell_of_acceptance(self, job: JobMachine) -> None:
        """A new job, as far as anybody takes an interest."""
        if self._loop.get_debug():
            self._remember_caller(job)
        if self._observer is not None:
            self._observe(job, ACCEPT, None, job._state)

    async def _spawn_blocked(
        self, coro: Coroutine[Any, Any, _T], name: str | None, context: Context | None
    ) -> Job[_T]:
        """Wait outside until a place falls free, or closing begins, or the caller is cancelled."""
        job: Job[_T] = Job(coro, self, name, copy_context() if context is None else context)
        if self._loop.get_debug():
            self._remember_caller(job)
        place: asyncio.Future[None] = self._loop.create_future()
        self._blocked[place] = job
        try:
            await place
        except BaseException:
            self._withdraw(place, job)
            raise
        if self._admission.phase is not Phase.OPEN:
            self._withdraw(place, job)
            self._refuse(Verdict.REFUSE)
        del self._arriving[job]
        failure = None
        if self._to_launch and self._to_launch[0] is job and job._outcome is None:
            self._to_launch.popleft()
            failure = self._launch_for_caller(job)
        self._launch_soon()
        if failure is not None:
            try:
                raise failure
            finally:
                del job, coro, failure
        return job

    def _launch_for_caller(self, job: JobMachine) -> BaseException | None:
        """Launch a job whose caller is there to be told.

        What a task factory or an eager first step raises ends the job, and is returned.
        """
        failure = self._launch(job)
        if failure is not None:
            self._fail_launch(job, failure, received=True)
        try:
            return failure
        finally:
            del job, failure

    def _withdraw(self, place: asyncio.Future[None], job: JobMachine) -> None:
        """A blocked spawn was cancelled or refused: outside, or with its job accepted (``SPAWN-1``)."""
        if self._blocked.pop(place, None) is not None:
            self._admission.give_up()
            self._disown(job._coro)
            return
        if job in self._arriving:
            del self._arriving[job]
            if job._outcome is None:
                self._stop_unlaunched(job)
            self._launch_soon()

    def _refuse(self, verdict: Verdict) -> NoReturn:
        if verdict is Verdict.FULL:
            limits = f"all {self._admission.limit} slots and all {self._admission.pending_limit} queue places"
            raise PendingQueueFull(f"{limits} are taken; await spawn() to wait for one")
        raise RuntimeError("Scheduling a new job after closing")
