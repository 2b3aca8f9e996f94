"""The way in: what becomes of a coroutine that is offered to a scheduler, from the verdict to the job.

The rules of this file
----------------------
Whether it starts, queues, waits outside or is refused is the verdict of ``Admission``, which is carried out
here. All or nothing (``SPAWN-1``): a caller gets a job that is in the registries, or an exception, and then
nothing is left of what was offered, whenever the caller is cancelled. What a job does once it is in, and how
it leaves, is ``_engine``'s.

How it works
------------
*A slot or a place is free.* The job is made and in the registries before ``spawn`` gives way for the first
time. With a slot it is launched on the spot, unless others that were started earlier have yet to be.

*Nothing is free.* The call waits outside, on a future in ``_blocked``, in order of arrival. When a place
falls free the job of the first one is accepted there and then, and its caller wakes a loop pass later. In
between the job is *arriving*: it has its place, even a slot, but no task, because the caller may be cancelled
in that very pass and the job must then never run. The caller launches the job when it wakes, and
``_to_launch`` keeps those that were started behind it from overtaking (``LIMIT-5``).

*Checks come first* (``SPAWN-3``), then the claim on the coroutine, and for jobs that are more than ordinary a look
whether the stack has room. From the claim on somebody has to close it, whatever becomes of the call.
"""

from __future__ import annotations

from asyncio import get_running_loop
from contextvars import copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _arguments
from ._admission import Verdict
from ._calling import make_room
from ._claims import claim, release
from ._engine import Engine
from ._exceptions import PendingQueueFull
from ._job import Job
from ._lifecycle import Event, Outcome, Phase, State
from ._records import ACCEPT
from ._tasks import is_within

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine
    from contextvars import Context

    from ._machine import JobMachine

__all__ = ("Entrance",)

_T = TypeVar("_T")

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_START, _QUEUE, _FULL = Verdict.START, Verdict.QUEUE, Verdict.FULL
_GIVE_SLOT, _FINISH = Event.START, Event.FINISH
_RAISED = Outcome.RAISED


class Entrance(Engine):
    """The part of a scheduler that lets jobs in."""

    def _enter(  # noqa: C901, PLR0912 - a call less is a call less, at every job
        self, coro: Coroutine[Any, Any, _T], name: str | None, context: Context | None, may_block: bool
    ) -> Job[_T] | None:
        """Carry out the verdict on a coroutine; None if its caller has to wait outside.

        A job that waits keeps a copy of the context of this moment; one that starts now gets one anyway.
        """
        if type(coro) is CoroutineType and name is None is context and get_running_loop() is self._loop:
            claim(coro)  # what most callers come to; the same in short
        else:
            self._check_offer(coro, name, context)
        is_special = self._is_special or context is not None
        if is_special:
            self._make_room(coro)
        job: Job[_T] = Job(coro, self, name, context)
        verdict = self._admission.offer(False)
        if verdict is _QUEUE:
            if context is None:
                job._context = copy_context()
            self._queue.join(job)
            if is_special:
                self._accept(job)
                self._tell_of_acceptance(job)
            return job
        if verdict is not _START:
            if verdict is _FULL and may_block:
                return None
            self._disown(job)
            raise self._refusal(verdict)
        self._running[job] = None
        if is_special:
            self._accept(job)
        job._fire(_GIVE_SLOT)
        failure = self._start_with_care(job) if is_special or self._to_launch else self._launch(job)
        if failure is None and job._outcome is None:
            return job
        try:
            if failure is None:
                return job
            if job._outcome is None:
                try:
                    self._ended(job, _FINISH, _RAISED, failure, True)
                except RecursionError:  # there is no room on the stack but for this
                    del self._running[job]
                    job._fire(_FINISH)
                    job._end(_RAISED, failure)
                    self._admission.ended()
            raise failure[0]
        finally:
            del job, coro, failure  # a traceback of an eager first step may hold this frame (BOOK-3)

    def _make_room(self, coro: Any) -> None:
        """Refuse a coroutine while nothing has changed, if the stack is too full for all that is to be called."""
        try:
            make_room()
        except RecursionError:
            release(coro)
            coro.close()
            raise

    def _start_with_care(self, job: JobMachine) -> tuple[BaseException, Any] | None:
        """Launch a job behind those started before it, or when its context is free."""
        self._tell_of_acceptance(job)
        context = job._context
        is_entered = context is not None and self._is_special and is_within(context)
        if not is_entered and not self._to_launch:
            try:
                return self._launch(job)
            finally:
                del job, context  # a traceback of an eager first step may hold this frame (BOOK-3)
        if context is None:
            job._context = copy_context()
        self._to_launch.append(job)
        if is_entered:
            self._call_soon(self._launch_all)
        return None

    def _check_offer(self, coro: Any, name: object, context: object) -> None:
        """All that ``SPAWN-3`` asks, in its order: type, loop, ownership.

        On success the loop is bound, and the coroutine belongs to the caller, who has to see to its end.
        """
        if type(coro) is not CoroutineType:
            _arguments.check_coroutine(coro)
        if name is not None or context is not None:
            _arguments.check_name(name)
            _arguments.check_context(context)
        loop = self._check_loop()
        claim(coro)
        self._bind(loop)

    def _accept(self, job: JobMachine) -> None:
        """Note for the observer that there is a new job."""
        if self._observer is not None:
            self._untold.append((job, ACCEPT, None, job._state))

    def _tell_of_acceptance(self, job: JobMachine) -> None:
        """A new job, as far as anybody takes an interest."""
        if self._is_debugged:
            self._call_out("traceback", self._remember_caller, job)
        if self._observer is not None:
            self._tell_observer()

    async def _spawn_blocked(
        self, coro: Coroutine[Any, Any, _T], name: str | None, context: Context | None
    ) -> Job[_T]:
        """Wait outside until a place falls free, or closing begins, or the caller is cancelled."""
        job: Job[_T] = Job(coro, self, name, copy_context() if context is None else context)
        del coro  # what is raised while it is closed may hold this frame (BOOK-3)
        try:
            place: asyncio.Future[None] = self._loop.create_future()
        except BaseException:
            self._disown(job)
            raise
        self._admission.offer(True)
        self._blocked[place] = job
        if self._is_debugged:
            self._call_out("traceback", self._remember_caller, job)
        try:
            await place
        except BaseException:
            self._withdraw(place, job)
            raise
        if self._admission.phase is not Phase.OPEN:
            self._withdraw(place, job)
            raise self._refusal(Verdict.REFUSE)
        del self._arriving[job]
        failure = None
        if self._to_launch and self._to_launch[0] is job and job._outcome is None:
            self._to_launch.popleft()
            failure = self._launch(job)
        self._launch_soon()
        if failure is not None:
            if job._outcome is None:
                self._ended(job, _FINISH, _RAISED, failure, True)
            try:
                raise failure[0]
            finally:
                del job, failure  # a traceback of an eager first step may hold this frame (BOOK-3)
        return job

    def _withdraw(self, place: asyncio.Future[None], job: JobMachine) -> None:
        """A blocked spawn was cancelled or refused: outside, or with its job accepted (``SPAWN-1``)."""
        if self._blocked.pop(place, None) is not None:
            self._admission.give_up()
            self._disown(job)
            return
        if job in self._arriving:
            del self._arriving[job]
            if job._state is State.PENDING:
                self._stop_pending(job)
            elif job._outcome is None:
                self._stop_arriving(job)
            self._launch_soon()

    def _refusal(self, verdict: Verdict) -> Exception:
        if verdict is _FULL:
            limits = f"all {self._admission.limit} slots and all {self._admission.pending_limit} queue places"
            return PendingQueueFull(f"{limits} are taken; await spawn() to wait for one")
        return RuntimeError("Scheduling a new job after closing")
