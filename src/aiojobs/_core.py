"""The jobs of one scheduler: registries of slots and queue, and what follows an entry or an end.

The rules of this file
----------------------
Policy is asked for, never made: whether a job starts, queues, waits or is refused, and what follows when one ends or
leaves, is what ``Admission`` answers. What is left is order and registries.

*An action is whole before anybody else's code runs* (``BOOK-4``). Each has two halves. The first changes states,
counts and registries, and calls nothing but what changes them: it can't be interrupted, and since those calls
are all of one depth and call no further, a stack that has room for the first has room for the last. The second
half calls out, each call on its own: what one of them does or raises keeps none of the others from being made.

*All or nothing* (``SPAWN-1``): a caller of ``enter`` gets a job that is in the registries, or an exception, and then
nothing is left of what was offered. Checks come first (``SPAWN-3``), then the claim on the coroutine, and for jobs
that are more than ordinary a look whether the stack has room. From the claim on somebody has to close it.

How it works
------------
*Registries.* A job is in ``queue`` while it is pending and in ``slots`` while it holds a slot, and counted
nowhere else. Both are ordered, and since jobs start first in, first out, the running ones followed by the
queue are in the order of spawning (``BOOK-2``). No set of jobs exists, so nothing depends on the order of
hashes.

*The other parts* are connected by the scheduler: what makes the tasks (`Starter`) and knows them (`Tasks`), the
blocked callers (`Line`), the time limits (`Clock`), and what to call when nothing is left (``on_idle``). What it needs
of them is in ``_parts``.

``ended`` completes the registries, wakes who waits, lets the next job start, and reports to the handler last.

What is deliberately not here
-----------------------------
No helper task: nothing that a stray ``task.cancel()`` could hit (``SHUT-5``). No search: every step finds its
job by position or by hash (``COST-1``). No closing, no shields. No threads: one loop, its thread.
"""

from __future__ import annotations

from asyncio import Future, Task, get_running_loop
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from . import _validate
from ._admission import Admission, Next, Verdict
from ._bound_loop import BoundLoop
from ._callgraph import CALL_GRAPH, unlink
from ._calling import cancel, close_coro, make_room, name_of, name_of_stock, resolve, tell
from ._events import ACCEPT
from ._exceptions import PendingQueueFull
from ._job import Job
from ._job_state import Caller, Owner, accept, fire, let_go, wake
from ._lifecycle import Event, Outcome, PhaseEvent, State
from ._ownership import claim, foreign, qualified_name, release
from ._parts import Failure, Starter
from ._queue import Queue
from ._reporting import Reporting
from ._tasks import is_within
from ._terms import Terms

if TYPE_CHECKING:
    from ._parts import Clock, Line, Tasks

__all__ = ("Core",)

_T = TypeVar("_T")

# Asked for at every job, and to look a member up in its class costs several times as much as to compare it.
_START, _QUEUE, _FULL = Verdict.START, Verdict.QUEUE, Verdict.FULL
_NOTHING, _START_NEXT, _ADMIT = Next.NOTHING, Next.START, Next.ADMIT
_PENDING = State.PENDING
_GIVE_SLOT, _CLOSE, _FINISH = Event.START, Event.CLOSE, Event.FINISH
_RETURNED, _RAISED, _NEVER_STARTED = Outcome.RETURNED, Outcome.RAISED, Outcome.NEVER_STARTED
_CANCELLED, _TIMED_OUT = Outcome.CANCELLED, Outcome.TIMED_OUT


class Core(Owner):
    """The registries of one scheduler, and what changes them.

    Arguments:
        admission: decides; nobody else writes to it.
        bound: the loop.
        reporting: tells observer and handler.
        close_within: seconds that jobs have to stop; None for no deadline.
    """

    __slots__ = (
        "admission",
        "arriving",
        "clock",
        "endless",
        "is_special",
        "line",
        "on_idle",
        "places",
        "queue",
        "reporting",
        "slots",
        "starter",
        "tasks",
        "terms",
        "waiters",
        "waiting",
    )

    admission: Admission
    reporting: Reporting
    slots: dict[Job[Any], None]
    """Jobs that hold a slot, in the order of spawning. Whenever user code runs, as many as admission counts."""
    queue: Queue
    """Jobs that wait for a slot, likewise."""
    waiting: deque[Job[Any]]
    """Jobs that have a slot and are to be launched in their turn. Nothing stays for more than a loop pass."""
    places: OrderedDict[Future[None], Job[Any]]
    """The future of each blocked caller, with its job: first in, first out."""
    arriving: dict[Job[Any], None]
    """Jobs that were accepted for one of them whose call has not returned yet."""
    terms: dict[Job[Any], Terms]
    """What was agreed about those jobs with which anything was."""
    endless: int
    """How many of the jobs in ``slots`` and ``queue`` draining does not wait for: ``0 <= endless``."""
    is_special: bool
    """Whether there is more to do for a new job than to launch it on asyncio's own kind of task: somebody observes,
    or debugs, or has a say in how tasks are made. True for good once that was seen."""
    waiters: dict[Future[bool], Caller]
    """Who waits for the end of everything, each with the caller's task where there is a call graph."""
    starter: Starter
    tasks: Tasks
    line: Line
    clock: Clock
    on_idle: Callable[[], None] | None
    """Called when no job may be left to wait for; None while nobody wants to know."""

    def __init__(
        self, admission: Admission, bound: BoundLoop, reporting: Reporting, close_within: float | None
    ) -> None:
        self.admission = admission
        self.bound = bound
        self.reporting = reporting
        self.close_within = close_within
        self.slots = {}
        self.queue = Queue()
        self.waiting = deque()
        self.places = OrderedDict()
        self.arriving = {}
        self.callbacks = {}
        self.terms = {}
        self.endless = 0
        self.untold = reporting.untold
        self.is_special = self.untold is not None
        self.waiters = {}
        self.on_idle = None

    def __del__(self) -> None:
        try:
            for job in (*self.slots, *self.queue, *self.places.values()):
                release(job.coro)
        except (AttributeError, TypeError, NameError):  # never built, or at the end of the interpreter
            pass

    def __iter__(self) -> Iterator[Job[Any]]:
        """The jobs that have not ended, in spawn order, as they are now (``BOOK-2``)."""
        return iter([*self.slots, *self.queue])

    # --- Coming in -----------------------------------------------------------------------------------

    def enter(  # noqa: C901 - a call less is a call less, at every job
        self,
        coro: Coroutine[Any, Any, _T],
        name: str | None,
        context: Context | None,
        may_block: bool,
        terms: Terms | None = None,
    ) -> Job[_T] | None:
        """Carry out the verdict on a coroutine; None if its caller is blocked.

        A job that waits keeps a copy of the context of this moment; one that starts now gets one anyway.
        """
        try:
            is_plain = (
                type(coro) is CoroutineType
                and name is None is context
                and get_running_loop() is self.bound.loop
            )
        except RuntimeError:
            is_plain = False  # no loop runs here, which is told in its turn
        if is_plain:
            claim(coro)  # what most callers come to; the same in short
        else:
            self.check_offer(coro, name, context)
        is_special = self.is_special or context is not None
        if is_special:
            self._check_moment(coro)
        # As `new_job` does: a call less, at every job.
        job: Job[_T] = Job.__new__(Job)  # pyright: ignore[reportUnknownVariableType]
        accept(job, coro, self, name, context)
        verdict = self.admission.offer(False)
        if verdict is _QUEUE:
            if context is None:
                job.context = copy_context()
            self.queue.join(job)
            if is_special:
                self._tell_of_acceptance(job, terms)
            return job
        if verdict is not _START:
            self._turn_away(job, verdict, may_block)
            return None
        self.slots[job] = None
        if is_special:
            self.note_acceptance(job, terms)
        fire(job, _GIVE_SLOT)
        failure = self._start_with_care(job) if is_special or self.waiting else self.starter.launch(job)
        if failure is None and job.owner is not None:
            return job
        try:
            if failure is not None:
                self._give_up(job, failure)
            return job
        finally:
            del job, coro, failure  # a traceback of an eager first step may hold this frame (BOOK-3)

    def _turn_away(self, job: Job[Any], verdict: Verdict, may_block: bool) -> None:
        """There is no place for a new job: its caller is to wait, and then there is no job yet; or it is refused."""
        if verdict is not _FULL or not may_block:
            self.disown(job)
            raise self.refusal(verdict)

    def _give_up(self, job: Job[Any], failure: Failure) -> NoReturn:
        """There could no task be made for a new job, which is told to the caller, or it failed at once."""
        try:
            if job.owner is not None:
                try:
                    self.ended(job, _FINISH, _RAISED, failure, True)
                except RecursionError:  # there is no room on the stack but for this
                    del self.slots[job]
                    fire(job, _FINISH)
                    let_go(job, _RAISED, failure)
                    self.part_with(job)
                    self.admission.ended()
            raise failure[0]
        finally:
            del job, failure  # as there

    def check_offer(self, coro: Any, name: object, context: object) -> None:
        """All that ``SPAWN-3`` asks, in its order: type, loop, ownership.

        On success the loop is bound, and the coroutine belongs to the caller, who has to see to its end.
        """
        if type(coro) is not CoroutineType:
            _validate.check_coroutine(coro)
        if name is not None or context is not None:
            _validate.check_name(name)
            _validate.check_context(context)
        loop = self.bound.check()
        claim(coro)
        self.bind(loop)

    def _check_moment(self, coro: Any) -> None:
        """Refuse an observer, and whoever leaves no room on the stack for what follows, while nothing has changed."""
        try:
            self.reporting.refuse_observer()
            make_room()
        except RuntimeError:
            release(coro)
            self.bound.call_out("close of a coroutine", close_coro, coro)
            raise

    def bind(self, loop: Any) -> None:
        """The loop of the first use; nothing changes on any other."""
        if self.bound.loop is None:
            bound = self.bound
            bound.bind(loop)
            self.is_special |= bound.is_debugged or bound.creates_elsewhere or bound.has_task_factory()

    def refusal(self, verdict: Verdict) -> Exception:
        """The error for a caller that is turned away."""
        if verdict is _FULL:
            limits = f"all {self.admission.limit} slots and all {self.admission.pending_limit} queue places"
            return PendingQueueFull(f"{limits} are taken; await spawn() to wait for one")
        return RuntimeError("Scheduling a new job after closing")

    def note_acceptance(self, job: Job[Any], terms: Terms | None) -> None:
        """Note the terms of a new job, and for the observers that there is one."""
        if terms is not None:
            self.terms[job] = terms
            self.endless += not terms.drains
        if self.untold is not None:
            self.untold.append((job, ACCEPT, None, job.current))

    def part_with(self, job: Job[Any]) -> Terms | None:
        """A job that was accepted has come to its end, and what was agreed about it with it."""
        terms = self.terms.pop(job, None)
        if terms is not None:
            self.endless -= not terms.drains
        return terms

    def told(self) -> None:
        """An action is whole: the observers are told of it."""
        if self.untold is not None:
            self.reporting.tell_observers()

    def reconsider(self) -> None:
        """Where jobs are left that draining does not wait for, any step may have been the last to be waited for."""
        if self.endless and self.on_idle is not None:
            self.on_idle()

    def _tell_of_acceptance(self, job: Job[Any], terms: Terms | None) -> None:
        """A new job that waits for a slot: note it, and tell of it, as far as anybody takes an interest."""
        self.note_acceptance(job, terms)
        self._tell_of_offer(job)

    def _tell_of_offer(self, job: Job[Any]) -> None:
        """A new job that is noted already: tell of it, and who spawned it."""
        self.reporting.remember_caller(job)
        self.told()

    def _start_with_care(self, job: Job[Any]) -> Failure | None:
        """Launch a job behind those started before it, or when its context is free."""
        self._tell_of_offer(job)
        context = job.context
        is_entered = context is not None and self.is_special and is_within(context)
        if not is_entered and not self.waiting:
            try:
                return self.starter.launch(job)
            finally:
                del job, context  # a traceback of an eager first step may hold this frame (BOOK-3)
        if context is None:
            job.context = copy_context()
        self.waiting.append(job)
        if is_entered:
            self.bound.soon(self.starter.all)
        return None

    # --- Ending --------------------------------------------------------------------------------------

    def ended(  # noqa: C901, PLR0912 - a call less is a call less, at every job
        self, job: Job[Any], event: Event, outcome: Outcome, result: object, received: bool = False
    ) -> None:
        """A running job has really ended: complete its registries, wake who waits, start the next, report."""
        # To free what a job lets go of may run anything: it is held to the end of the first half, here or by its run.
        held = None
        if outcome is not _RETURNED or self.is_special or self.terms or foreign:
            terms = self.part_with(job) if self.terms else None
            if outcome is _CANCELLED and terms is not None and terms.failure is not None:
                outcome, result = _TIMED_OUT, (terms.failure, None)
            held = (job.coro, job.task, job.context, terms)
        task = job.task if CALL_GRAPH else None
        fire(job, event)
        del self.slots[job]
        let_go(job, outcome, result)
        gone = self.line.forget_gone() if self.places else None
        next_ = self.admission.ended()
        following = None
        is_in_line = False
        if next_ is not _NOTHING:
            following = self.queue.pop()
            self.slots[following] = None
            fire(following, _GIVE_SLOT)
            if next_ is not _START_NEXT:
                self.line.admit()
            if held is not None or gone:
                # Before whatever may be started by those who are called out to.
                self.waiting.append(following)
                is_in_line = True
        # Whole: from here on it calls out.
        if CALL_GRAPH and (job.waiters is not None or self.callbacks or self.waiters):
            self.show_callers(unlink, job, task)
        if held is not None or gone:
            self.say_farewell(job, held, gone)
        held = task = terms = None
        if job.waiters is not None or self.callbacks:
            self.tell(job, received)
        unreceived = (outcome is _RAISED or outcome is _TIMED_OUT) and job.waiters is None and not received
        if following is not None:
            if is_in_line or self.waiting or self.arriving or self.is_special:
                self._launch_in_turn(following, is_in_line)
            elif (failure := self.starter.launch(following)) is not None:
                self.starter.fail_soon(following, failure)
                del failure
            following = None  # what its task raised may hold this frame (BOOK-3)
        if self.on_idle is not None and (self.endless or not self.slots):
            self.on_idle()
        if unreceived:
            self.reporting.report_failure(job)

    def _launch_in_turn(self, following: Job[Any], is_in_line: bool) -> None:
        """Launch a job that has got its slot from another, in its turn and on a stack of its own if need be.

        In the last step of a job that another one follows, a task that begins at once would find the context entered
        that both may share, and one that ended at once would start the next one ever deeper.
        """
        if not is_in_line:
            has_turn = not self.waiting and following not in self.arriving
            if has_turn and not (self.is_special and self.starter.begins_at_once()):
                failure = self.starter.launch(following)
                if failure is not None:
                    self.starter.fail_soon(following, failure)
                del following, failure  # as in `ended`
                return
            self.waiting.append(following)
        self.starter.soon()

    def see_failure(self, job: Job[Any]) -> None:
        """Take notice of what a coroutine has raised, unless that was done before."""
        if job.owner is not None:
            self.ended(job, _FINISH, _RAISED, job.kept)

    def say_farewell(
        self, job: Job[Any], held: tuple[Any, Any, Any, Terms | None] | None, gone: list[Job[Any]] | None
    ) -> None:
        """What seldom has to be done for a job that has ended: names, claims, observer, callers that are gone.

        `held` are its coroutine, task and context, of which nothing else may know any more, and its terms.
        """
        if held is not None:
            coro, task, _, terms = held
            if terms is not None and terms.timer is not None:
                self.bound.call_out("a timer", cancel, terms.timer)
            if type(coro) is not CoroutineType:
                job.coro = qualified_name(coro)
                release(coro)
            if job.ending is not _RETURNED and job.given_name is None and task is not None:
                if type(task) is Task:
                    job.given_name = name_of_stock(task)
                else:
                    job.given_name = self.bound.call_out("get_name of a task", name_of, task)
        for departed in gone or ():
            self.disown(departed)
        self.told()

    def tell(self, job: Job[Any], received: bool = False) -> None:
        """Wake those who wait for a job that has ended."""
        loop = self.bound.loop
        if job.waiters is not None:
            wake(job, loop, received)
        for callback, context, _ in self.callbacks.pop(job, ()) if self.callbacks else ():
            try:
                loop.call_soon(callback, job, context=context)
            except BaseException as exc:  # noqa: BLE001 - a debug loop refuses what it can't call
                tell(loop, "done callback", exc)

    def show_callers(self, act: Callable[[object, object], None], job: Job[Any], task: object) -> None:
        """Link the task of a job with those of all who wait for it, or for everything, or part them (``WAIT-6``)."""
        try:
            if job.waiters is not None:
                for caller in job.waiters.values():
                    act(task, caller)
            if self.callbacks:
                for _, _, watcher in self.callbacks.get(job, ()):
                    act(task, watcher)
            for drainer in self.waiters.values():
                act(task, drainer)
        except BaseException as exc:  # noqa: BLE001 - a task of somebody's own may object
            tell(self.bound.loop, "the call graph", exc)

    # --- Another limit -------------------------------------------------------------------------------

    def set_limit(self, limit: int | None) -> None:
        """Change the limit, and start as many as it lets in, in order (``LIMIT-7``)."""
        self.reporting.refuse_observer()
        make_room()
        gone = self.line.forget_gone()
        places: list[Future[None]] = []
        self.admission.set_limit(limit)
        while (next_ := self.admission.resume()) is not _NOTHING:
            following = self.queue.pop()
            self.slots[following] = None
            self.waiting.append(following)
            fire(following, _GIVE_SLOT)
            if next_ is not _START_NEXT:
                places.append(self.line.accept_first())
                gone += self.line.forget_gone()
        # Whole: from here on it calls out.
        for departed in gone:
            self.disown(departed)
        for place in places:
            self.bound.call_out("a waiter", resolve, place, None)
        self.told()
        self.starter.soon()
        self.reconsider()

    # --- Asking to stop ------------------------------------------------------------------------------

    def ask_to_stop(self, job: Job[Any]) -> None:
        """``close`` was asked of a job that has not ended (``CLOSE-1``, ``CLOSE-3``, ``START-2``)."""
        self.reporting.refuse_observer()
        if job.current is _PENDING:
            self.stop_pending(job)
            return
        make_room()
        if job in self.arriving:
            self.stop_arriving(job)
        elif not self.see_end(job) and fire(job, _CLOSE):
            self.told()
            self.tasks.stop(job)

    def see_end(self, job: Job[Any]) -> bool:
        """Take notice of an end that has come and was not seen yet; whether there was one."""
        if job.kept is not None and job.owner is not None:
            self.see_failure(job)
            return True
        return self.is_special and self.tasks.see_end(job)

    def has_ended_unseen(self, job: Job[Any]) -> bool:
        """Whether `see_end` would find that a job has ended, as far as nobody need be asked for that."""
        return job.kept is not None or (self.is_special and self.tasks.has_ended_unseen(job))

    def stop_pending(self, job: Job[Any]) -> None:
        """A job that waits for a slot ends on the spot, and nothing of it ever runs (``START-2``)."""
        if job.waiters is not None or self.callbacks or self.places or self.is_special:
            make_room()
        coro, context = job.coro, job.context
        fire(job, _CLOSE)
        self.queue.leave(job)
        let_go(job, _NEVER_STARTED, None)
        if self.terms:
            self.part_with(job)
        gone = self.line.forget_gone()
        if self.admission.withdrawn() is _ADMIT:
            self.line.admit()
        # Whole: from here on it calls out, and to free what the job has let go of may run anything.
        del context
        try:
            cast("Coroutine[Any, Any, Any]", coro).close()
        except BaseException as exc:  # noqa: BLE001 - it changes nothing for anybody else
            self.reporting.report_cleanup(job, exc)
        if gone or self.is_special or type(coro) is not CoroutineType:
            self.say_farewell(job, (coro, None, None, None), gone)
        del coro  # as in close_coroutine
        if job.waiters is not None or self.callbacks:
            self.tell(job)
        self.reconsider()

    def is_first_late(self, job: Job[Any]) -> bool:
        """Whether a job that should have stopped by now has yet to be told late; from now on it has (``SHUT-2``)."""
        terms = self.terms.get(job)
        if terms is None:
            return True
        is_first, terms.is_told_late = not terms.is_told_late, True
        return is_first

    def stop_arriving(self, job: Job[Any]) -> None:
        """A job that has a slot, but no task since its spawn has not returned, never runs either (``SPAWN-1``)."""
        coro = job.coro
        fire(job, _CLOSE)
        self.ended(job, Event.CANCEL, Outcome.CANCELLED, None)
        self.close_coroutine(coro, job)
        del coro  # as there

    def disown(self, job: Job[Any]) -> None:
        """Close the coroutine of a job that was never accepted, and forget whose it was."""
        coro: Any = job.coro
        job.coro = qualified_name(coro)
        self.terms.pop(job, None)
        if foreign:
            release(coro)
        try:
            self.close_coroutine(coro, job)
        finally:
            del coro  # as there

    def close_coroutine(self, coro: Any, job: Job[Any]) -> None:
        """Close what will not run any more; what its cleanup raises goes to the handler (``START-2``).

        A finalizer may call back meanwhile, and what is raised then holds the frames that led to it: here and in
        whoever calls this, nothing bears the coroutine any more when it is closed (``BOOK-3``).
        """
        try:
            coro.close()
        except BaseException as exc:  # noqa: BLE001 - it changes nothing for anybody else
            self.reporting.report_cleanup(job, exc)
        finally:
            del coro

    def move(self, event: PhaseEvent) -> None:
        """Change the phase through the table; the observer is told by whoever calls."""
        source = self.admission.phase
        if event is PhaseEvent.CLOSE:
            self.admission.shutdown()
        else:
            self.admission.settle()
        if self.untold is not None:
            self.untold.append((None, event, source, self.admission.phase))

    # --- What a job asks of its owner, beside ``ask_to_stop`` and ``see_end`` ------------------------------

    def runs(self, job: Job[Any], task: object) -> bool:
        """Whether a task is the one that runs a job."""
        return job.task is task or (self.is_special and self.tasks.runs(job, task))

    def unreceived(self, job: Job[Any]) -> None:
        """A job has failed, and nobody is left to receive that (``EXC-1``)."""
        self.reporting.report_failure(job)
