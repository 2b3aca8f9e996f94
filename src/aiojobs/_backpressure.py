"""Blocked callers: their ``spawn`` waits for a place, because all slots and all places in the queue are taken.

The rules of this file
----------------------
All or nothing (``SPAWN-1``): a caller gets a job that is in the registries, or an exception, and then nothing is left
of what was offered, whenever the caller is cancelled.

How it works
------------
A caller waits on a future of its own, first in, first out. When a place is released, the first one is admitted: its
job is accepted at once, and the caller wakes a loop pass later. In between the job is in ``arriving``: it has its
place, even a slot, but no task, because the caller may be cancelled in that very pass and the job must then never run.
The job is handed over when the caller wakes, which launches it; jobs that started behind it wait for that
(``LIMIT-5``).
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from ._admission import Verdict
from ._calling import resolve
from ._core import Core
from ._job import Job, new_job
from ._lifecycle import Event, Outcome, Phase, State

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextvars import Context

    from ._terms import Terms

__all__ = ("Backpressure",)

_T = TypeVar("_T")


class Backpressure:
    """The line of the blocked callers of one scheduler."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    async def spawn(
        self,
        coro: Coroutine[Any, Any, _T],
        name: str | None,
        context: Context | None,
        terms: Terms | None,
    ) -> Job[_T]:
        """Wait until a place is released, or closing begins, or the caller is cancelled."""
        job: Job[_T] = new_job(coro, self._core, name, copy_context() if context is None else context)
        del coro  # what is raised while it is closed may hold this frame (BOOK-3)
        place = self.join(job, terms)
        try:
            await place
        except BaseException:
            self.withdraw(place, job)
            raise
        try:
            return self.arrive(place, job)
        finally:
            del job  # a traceback of an eager first step may hold this frame (BOOK-3)

    def join(self, job: Job[Any], terms: Terms | None = None) -> asyncio.Future[None]:
        """Stand at the end of the line; what is to be waited for."""
        core = self._core
        if terms is not None:
            core.terms[job] = terms
        try:
            place: asyncio.Future[None] = core.bound.loop.create_future()
        except BaseException:
            core.disown(job)
            raise
        core.admission.offer(True)
        core.places[place] = job
        core.reporting.remember_caller(job)
        return place

    def arrive(self, place: asyncio.Future[None], job: Job[_T]) -> Job[_T]:
        """The caller has woken, and its job is launched."""
        core = self._core
        if core.admission.phase is not Phase.OPEN:
            self.withdraw(place, job)
            raise core.refusal(Verdict.REFUSE)
        del core.arriving[job]
        failure = None
        if core.waiting and core.waiting[0] is job and job.owner is not None:
            core.waiting.popleft()
            failure = core.starter.launch(job)
        core.starter.soon()
        if failure is not None:
            if job.owner is not None:
                core.ended(job, Event.FINISH, Outcome.RAISED, failure, True)
            try:
                raise failure[0]
            finally:
                del job, failure  # a traceback of an eager first step may hold this frame (BOOK-3)
        return job

    def withdraw(self, place: asyncio.Future[None], job: Job[Any]) -> None:
        """A blocked spawn was cancelled or refused, before or after its job was accepted (``SPAWN-1``)."""
        core = self._core
        if core.places.pop(place, None) is not None:
            core.admission.give_up()
            core.disown(job)
            core.reconsider()
            return
        if job in core.arriving:
            del core.arriving[job]
            if job.current is State.PENDING:
                core.stop_pending(job)
            elif job.owner is not None:
                core.stop_arriving(job)
            core.starter.soon()

    def forget_gone(self) -> list[Job[Any]]:
        """Callers at the head of the line that were cancelled in this very pass are not let in any more.

        Returns their jobs, whose coroutines are to be closed.
        """
        places = self._core.places
        gone: list[Job[Any]] = []
        while places:
            place = next(iter(places))
            if not place.cancelled():
                break
            gone.append(places.pop(place))
            self._core.admission.give_up()
        return gone

    def admit(self) -> None:
        """Accept the job of the call that has waited longest, on the call's behalf: the end of a first half."""
        self._core.bound.call_out("a waiter", resolve, self.accept_first(), None)

    def accept_first(self) -> asyncio.Future[None]:
        """The same without telling the caller; what is to be resolved for that."""
        core = self._core
        place, job = core.places.popitem(last=False)
        core.queue.join(job)
        core.arriving[job] = None
        core.note_acceptance(job, core.terms.get(job))
        return place
