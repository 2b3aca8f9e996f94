"""Faults that are planted in a copy of the library, to show that the explorer and the fuzzer find them.

Each is planted in a freshly loaded package of its own name: the library under test is never touched. A fault replaces
one function, and says which requirement it breaks and by which words it is told: a fault that is found for another
reason has not been found. One whose target is gone, or takes other arguments than its replacement, is not planted:
`Stale` says which, and what has changed.
"""

import asyncio
import contextlib
import dataclasses
import importlib
import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiojobs
from aiojobs_verification.simulation.search.scopes import read_cases
from aiojobs_verification.simulation.search.walk import with_stranger
from aiojobs_verification.simulation.world import packages
from aiojobs_verification.simulation.world.scope import PLAIN, Scope
from support.inside import core


class Stale(Exception):  # noqa: N818 - it names what a fault has become
    """What a fault replaces has changed, so that it may be another fault by now, or none."""


@dataclass(frozen=True)
class Fault:
    """A replacement of one function of the library."""

    make: Callable[[Any, Any], Any]
    """From the original, and the modules of the package by name, to the replacement."""
    target: str
    scope: Scope
    """A small scope in which it can show itself."""
    breaks: Mapping[str, str]
    """The requirements of which one must be found broken, each with a phrase of its story."""

    @property
    def name(self):
        """What it is called."""
        return self.make.__name__

    def plant(self, package):
        """Put it into a package.

        Raises:
            Stale: its target is not what it was.
        """
        path, _, name = self.target.rpartition(".")
        holder = _holder(package, path)
        original = getattr(holder, name, None)
        if original is None:
            raise Stale(f"{self.name}: there is no {self.target} any more")
        replacement = self.make(original, lambda module: _module(package, module))
        if _parameters(original) != _parameters(replacement):
            raise Stale(
                f"{self.name}: {self.target} takes {_parameters(original)}, its replacement {_parameters(replacement)}"
            )
        setattr(holder, name, replacement)

    def is_told_by(self, finding):
        """Whether this is the fault that was found, and not another one."""
        return self.breaks.get(finding.requirement, "\0") in finding.text


def _module(package, name):
    # Some are imported when they are needed.
    return importlib.import_module(f"{package.module.__name__}.{name}")


def _holder(package, path):
    module, _, kind = path.partition(".")
    holder = _module(package, module)
    return getattr(holder, kind, None) if kind else holder


def _parameters(function):
    """What a function takes, without what it says of the types."""
    taken = inspect.signature(function).parameters.values()
    return [str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in taken]


FAULTS = {}
"""Every fault by its name."""


STRANGE_FAULTS = {}
"""Those that show themselves among strangers only."""


def fault(target, scope, **breaks):
    """Make a function the replacement of another one."""

    def register(make):
        phrases = {requirement.replace("_", "-"): phrase for requirement, phrase in breaks.items()}
        found = STRANGE_FAULTS if set().union(*scope.surroundings().values()) - PLAIN else FAULTS
        found[make.__name__] = Fault(make, target, scope, phrases)
        return make

    return register


def _scope(**bounds):
    """A world of obedient jobs that return, with what a fault needs beside that."""
    plain = {"ends": ("return",), "spawns": ("spawn",), "tempers": ("obedient",), "calls": (), "cancels": 0}
    return Scope(**{**plain, "callers": 1, **bounds})


def among(stranger):
    """The scope of the smoke tier that has this stranger, with nobody else in it."""
    kinds = (case for case in read_cases() if case.tier == "smoke")
    scope = next(
        case.scope for case in kinds if any(stranger in names for names in case.scope.surroundings().values())
    )
    return with_stranger(scope, stranger)


@fault(
    "_admission.Admission.ended",
    _scope(jobs=3),
    LIMIT_1="a job starts although no slot is free for it",
    BOOK_1="active=-1",
)
def slot_released_twice(original, modules):
    def ended(self):
        last = self.running == 1 and self.pending == 0
        following = original(self)
        self.running -= last
        return following

    return ended


@fault("_queue.Queue.pop", _scope(jobs=3, pending_limit=2), LIMIT_5="which came earlier")
def last_in_first_out(original, modules):
    def pop(self):
        job = self.before
        self.leave(job)
        return job

    return pop


@fault(
    "_admission.Admission.withdrawn",
    _scope(jobs=3, calls=("close",)),
    LIMIT_4="the blocked spawn does not get it",
)
def lost_wakeup(original, modules):
    admission = modules("_admission")

    def withdrawn(self):
        self.pending -= 1
        return admission.Next.NOTHING

    return withdrawn


@fault(
    "_closing.Closing._ask_all",
    _scope(jobs=1, callers=2, tempers=("stubborn",), calls=("close", "shut")),
    CLOSE_1="is cancelled 2 times",
)
def two_cancellations(original, modules):
    def ask_all(self, running):
        closing = [job for job, is_asked in running.items() if not is_asked]
        original(self, running)
        for job in closing:
            job.task.cancel()

    return ask_all


@fault(
    "_job.Job._leave",
    _scope(jobs=1, ends=("raise",), calls=("wait",), cancels=1),
    EXC_1="0 callers received it, the handler heard of it 0 times",
)
def failure_lost_with_its_waiter(original, modules):
    def leave(self, waiter, owner):
        if self.waiters is not None:
            self.waiters.pop(waiter, None)

    return leave


@fault(
    "_core.Core.tell",
    _scope(jobs=1, ends=("raise",), calls=("wait",)),
    EXC_1="1 callers received it, the handler heard of it 1 times",
)
def failure_told_twice(original, modules):
    def tell(self, job, received=False):
        waited_for = bool(job.waiters)
        original(self, job, received=received)
        if waited_for and job.outcome == "raised":
            self.reporting.report_failure(job)

    return tell


@fault(
    "_job.Job._until_end",
    _scope(jobs=1, tempers=("obedient", "stubborn"), calls=("wait-for",)),
    WAIT_2="is not asked to stop",
)
def expired_wait_closes_nothing(original, modules):
    async def until_end(self, owner, within, *, ask=False, receive=True):
        return await original(self, owner, within, ask=ask and receive, receive=receive)

    return until_end


@fault(
    "_closing.Closing._arm",
    _scope(jobs=1, calls=("shut",), tempers=("obedient", "stubborn")),
    SHUT_2="closing is over before its deadline",
)
def closing_without_patience(original, modules):
    def arm(self):
        self._expire()

    return arm


@fault(
    "_closing.Closing._arm",
    _scope(jobs=1, calls=("shut",), tempers=("obedient", "stubborn")),
    SHUT_2="is not answered at the deadline of closing",
)
def closing_without_a_deadline(original, modules):
    def arm(self):
        pass

    return arm


@fault(
    "_job.Job._until_end",
    _scope(jobs=1, calls=("close",), tempers=("obedient", "stubborn")),
    CLOSE_2="is not answered at its deadline",
    WAIT_2="has expired twice over",
)
def close_without_a_deadline(original, modules):
    async def until_end(self, owner, within, *, ask=False, receive=True):
        return await original(self, owner, None if ask else within, ask=ask, receive=receive)

    return until_end


@fault(
    "_scheduler.Scheduler.shield",
    _scope(jobs=0, callers=2, calls=("shut", "shield")),
    SPAWN_1="the coroutine of shielded",
)
def refused_shield_left_behind(original, modules):
    def shield(self, arg):
        if not self.closed:
            return original(self, arg)
        _kept.append(arg)
        raise RuntimeError("Shielding an awaitable after closing")

    return shield


@fault(
    "_closing.Closing.consider",
    _scope(jobs=1, calls=("drain",)),
    SHUT_4="still waits although nothing is left",
)
def drain_never_told(original, modules):
    def consider(self):
        self._drainers, kept = {}, self._drainers
        original(self)
        self._drainers = kept

    return consider


@fault("_closing.Closing.drain", _scope(jobs=1, calls=("drain",)), SHUT_4="the loop spins")
def drain_that_spins(original, modules):
    async def drain(self, within):
        while not self._is_idle():  # noqa: ASYNC110 - to wait like this is the fault
            await asyncio.sleep(0)

    return drain


@fault("_core.let_go", _scope(jobs=1), BOOK_3="there is left: [<Task finished")
def finished_job_keeps_its_task(original, modules):
    def let_go(job, outcome, result):
        task = job.task
        original(job, outcome, result)
        job.task = task

    return let_go


@fault(
    "_backpressure.Backpressure.withdraw",
    _scope(jobs=3, cancels=1),
    SPAWN_1="runs although its spawn was cancelled",
)
def cancelled_spawn_runs_all_the_same(original, modules):
    def withdraw(self, place, job):
        if self._core.places.get(place) is not job:
            self._core.arriving.pop(job, None)
            self._core.starter.soon()
        else:
            original(self, place, job)

    return withdraw


@fault("_core.copy_context", _scope(), SPAWN_4="runs in a context that is not its own")
def queued_job_in_another_context(original, modules):
    return lambda: None


@fault(
    "_scheduler.Scheduler.spawn_nowait",
    _scope(jobs=1, misuse=True),
    SPAWN_3="an argument error has changed something",
)
def bad_argument_takes_a_slot(original, modules):
    def spawn_nowait(self, coro, name=None, *, context=None, timeout=None, drain=True):
        try:
            return original(self, coro, name, context=context, timeout=timeout, drain=drain)
        except TypeError:
            core(self).admission.running += 1
            raise

    return spawn_nowait


@fault("_core.let_go", _scope(calls=("close",)), START_2="never began; outcome cancelled")
def dropped_job_says_that_it_was_cancelled(original, modules):
    cancelled = modules("_lifecycle").Outcome.CANCELLED

    def let_go(job, outcome, result):
        original(job, cancelled if outcome == "never_started" else outcome, result)

    return let_go


@fault(
    "_core.let_go",
    _scope(jobs=1),
    WAIT_5="returned; outcome cancelled",
    WAIT_3="of a job that returned",
)
def returned_job_says_that_it_was_cancelled(original, modules):
    cancelled = modules("_lifecycle").Outcome.CANCELLED

    def let_go(job, outcome, result):
        original(job, cancelled if outcome == "returned" else outcome, result)

    return let_go


@fault("_admission.Admission.offer", _scope(), LIMIT_1="a job starts although no slot is free for it")
def limit_off_by_one(original, modules):
    admission = modules("_admission")

    def offer(self, may_block):
        if self.phase == "open" and self.running == self.limit:
            self.running += 1
            return admission.Verdict.START
        return original(self, may_block)

    return offer


@fault("_admission.Admission.ended", _scope(), LIMIT_2="the job that waits for it is not started")
def waiting_job_waits_on(original, modules):
    admission = modules("_admission")

    def ended(self):
        self.running -= 1
        return admission.Next.NOTHING

    return ended


@fault("_admission.Admission.offer", _scope(jobs=3), LIMIT_3="a job is queued although the queue is full")
def queue_of_two_places_at_least(original, modules):
    admission = modules("_admission")

    def offer(self, may_block):
        if self.phase == "open" and self.running == self.limit and self.pending == 1:
            self.pending += 1
            return admission.Verdict.QUEUE
        return original(self, may_block)

    return offer


@fault("_backpressure.Backpressure.admit", _scope(jobs=4), LIMIT_5="which came earlier")
def last_of_the_blocked_is_first(original, modules):
    def admit(self):
        places = self._core.places
        places.move_to_end(next(reversed(places)), last=False)
        original(self)

    return admit


@fault("_core.Core.enter", _scope(jobs=1, calls=("shut",)), SPAWN_2="answers None after close")
def spawn_after_closing_returns_nothing(original, modules):
    def enter(self, coro, name, context, may_block, terms=None):  # noqa: PLR0917 - as the original
        if self.admission.phase != "open":
            coro.close()
            return object()
        return original(self, coro, name, context, may_block, terms)

    return enter


@fault(
    "_core.Core.refusal",
    _scope(jobs=3, spawns=("nowait",)),
    SPAWN_5="gives RuntimeError('no') although all places are taken",
)
def full_queue_is_an_ordinary_error(original, modules):
    return lambda self, verdict: RuntimeError("no")


@fault("_following.Following.stop", among("wraps"), START_1="was active, and never took its first step")
def wrapper_is_cancelled_before_it_begins(original, modules):
    return lambda self, job: original(self, job) if job.task is None else job.task.cancel()


@fault("_following.Following.follow", among("wraps"), START_3="has ended, and its job has not")
def nobody_follows_the_task(original, modules):
    def follow(self, job, task, run):
        job.task = task

    return follow


@fault(
    "_job.Job._leave",
    _scope(jobs=1, calls=("wait",), cancels=1),
    WAIT_1="is cancelled although nobody asked it to stop",
)
def cancelled_waiter_takes_the_job_along(original, modules):
    def leave(self, waiter, owner):
        if waiter.cancelled() and self.task is not None:
            self.task.cancel()
        original(self, waiter, owner)

    return leave


@fault(
    "_job.Job.wait",
    _scope(callers=2, calls=("wait", "close")),
    WAIT_3="answers CancelledError() of a job that was stopped",
)
def waiter_of_a_dropped_job_believes_it_was_cancelled(original, modules):
    async def wait(self, *, timeout=None):  # noqa: ASYNC109 - the signature of what it replaces
        try:
            return await original(self, timeout=timeout)
        except modules("_exceptions").JobClosed:
            if self.outcome != "never_started":
                raise
        raise asyncio.CancelledError

    return wait


@fault("_core.Core.tell", _scope(callers=2, calls=("wait", "close")), WAIT_4="is never answered")
def waiter_of_a_dropped_job_is_not_told(original, modules):
    def tell(self, job, received=False):
        if job.outcome != "never_started":
            original(self, job, received=received)

    return tell


@fault("_job.Job.exception", _scope(jobs=1, ends=("raise",)), WAIT_5="), None")
def failed_job_has_no_exception(original, modules):
    return lambda self: None if self.outcome == "raised" else original(self)


@fault("_job.Job.close", _scope(jobs=1, calls=("close",)), CLOSE_3="answers LookupError(")
def close_raises_what_the_job_returned(original, modules):
    async def close(self, *, timeout=None):  # noqa: ASYNC109 - the signature of what it replaces
        await original(self, timeout=timeout)
        if self.outcome == "returned":
            raise LookupError(self.result())

    return close


@fault(
    "_job.Job.close",
    _scope(jobs=1, calls=("close",), cancels=1, tempers=("stubborn",)),
    CLOSE_4="was cancelled and answers None",
)
def close_keeps_the_cancellation_of_its_caller(original, modules):
    async def close(self, *, timeout=None):  # noqa: ASYNC109 - the signature of what it replaces
        with contextlib.suppress(asyncio.CancelledError):
            await original(self, timeout=timeout)

    return close


@fault("_queue.Queue.clear", _scope(jobs=3, pending_limit=2, calls=("shut",)), SHUT_1="closing drops job")
def queue_is_dismissed_last_first(original, modules):
    return lambda self: original(self)[::-1]


@fault(
    "_closing.Closing.close",
    _scope(jobs=1, callers=2, calls=("shut",), tempers=("stubborn",)),
    SHUT_3="closing is",
)
def second_close_returns_at_once(original, modules):
    async def close(self):
        if self._core.admission.phase == "open":
            await original(self)

    return close


@fault(
    "_closing.Closing._wake",
    _scope(jobs=1, calls=("drain-for",), cancels=1, timers_first=True),
    SHUT_4="closing begins while jobs run, and nobody asked for it",
)
def deadline_of_a_drain_closes_by_itself(original, modules):
    def wake(self, waiters, value=True):
        original(self, waiters, value)
        if not value and self._core.admission.phase == "open":
            self._begin()

    return wake


@fault(
    "_scheduler.Scheduler.close",
    _scope(jobs=1, calls=("shut",), ends=("raise",), tempers=("stubborn",)),
    SHUT_5="raises BodyFailure(",
)
def close_raises_what_a_job_failed_with(original, modules):
    async def close(self):
        jobs = list(self)
        report = await original(self)
        for job in jobs:
            if job.outcome == "raised":
                raise job.exception()
        return report

    return close


@fault(
    "_scheduler.Scheduler.__aexit__",
    _scope(jobs=1, calls=("with",), cancels=1),
    SHUT_6="returns, and the scheduler is open",
)
def cancelled_block_is_left_without_closing(original, modules):
    async def leave(self, exc_type, exc_val, exc_tb):
        if exc_type is not asyncio.CancelledError:
            await original(self, exc_type, exc_val, exc_tb)

    return leave


@fault(
    "_scheduler.Scheduler.call_exception_handler",
    _scope(jobs=1, ends=("raise",)),
    EXC_2="the handler gets ['exception', 'message']",
)
def handler_hears_of_no_job(original, modules):
    def call_exception_handler(self, context):
        original(self, {key: context[key] for key in ("message", "exception")})

    return call_exception_handler


@fault(
    "_reporting.Reporting.report_failure",
    _scope(jobs=1, ends=("base",)),
    EXC_3="failed with BaseFailure; 0 callers received it, the handler heard of it 0 times",
)
def base_exception_is_not_reported(original, modules):
    def report_failure(self, job):
        if isinstance(job.exception(), Exception):
            original(self, job)

    return report_failure


@fault(
    "_shields.Shields.settle",
    _scope(jobs=0, calls=("shield",), cancels=1, ends=("raise",)),
    EXC_4="0 callers received it, the handler heard of it 0 times",
)
def failure_of_what_is_shielded_is_lost(original, modules):
    return lambda self, shielded, waiting, failure: original(
        self, shielded, waiting, failure if waiting else None
    )


@fault("_core.Core.say_farewell", _scope(jobs=1, ends=("raise",)), EXC_5="is called None, its task 'Task-")
def unnamed_job_loses_the_name_of_its_task(original, modules):
    def say_farewell(self, job, held, gone):
        named = job.given_name
        original(self, job, held, gone)
        job.given_name = named

    return say_farewell


@fault("_scheduler.Scheduler.__len__", _scope(jobs=3), BOOK_1="the counts disagree")
def blocked_calls_count_as_jobs(original, modules):
    return lambda self: original(self) + len(core(self).places)


@fault("_core.Core.set_limit", _scope(limits=(2,), resizes=1), LIMIT_7="the limit is set to 2")
def raised_limit_starts_nobody(original, modules):
    def set_limit(self, limit):
        self.admission.set_limit(limit)

    return set_limit


@fault(
    "_timing.Timing._allow",
    _scope(jobs=1, terms=("timed",), tempers=("stubborn",)),
    SPAWN_6="outlives its time, and that is not reported",
)
def job_that_outlives_its_time_is_not_reported(original, modules):
    def _allow(self, job):
        pass

    return _allow


@fault(
    "_threads.Threads._cancelled",
    _scope(jobs=3, spawns=("nowait", "thread"), cancels=1),
    SPAWN_7="was cancelled, and",
)
def withdrawn_thread_stays_in_line(original, modules):
    def _cancelled(self, place, future):
        pass

    return _cancelled


@fault("_reporting.Reporting.warn", _scope(jobs=1, calls=("shut",)), SHUT_7="the logger hears nothing")
def work_is_dropped_in_silence(original, modules):
    def warn(self, report):
        pass

    return warn


@fault(
    "_closing.Closing._is_drained",
    _scope(jobs=1, terms=("endless",), calls=("drain", "idle")),
    SHUT_8="still waits although nothing is left",
)
def draining_waits_for_endless_jobs(original, modules):
    def _is_drained(self):
        return self._is_idle() and original(self)

    return _is_drained


@fault("_reporting.Reporting.tell_observers", _scope(jobs=1), SEE_1="the second observer is not told")
def only_the_first_observer_is_told(original, modules):
    def tell_observers(self):
        self._observers = self._observers[:1]
        original(self)

    return tell_observers


@fault("_scheduler.Scheduler.snapshot", _scope(pictures=True), SEE_2="in the picture pending_count is 0")
def picture_leaves_out_who_waits(original, modules):
    def snapshot(self):
        return dataclasses.replace(original(self), pending_count=0)

    return snapshot


@fault("_scheduler.Scheduler.__iter__", _scope(), BOOK_2="in spawn order it is")
def running_jobs_come_last(original, modules):
    return lambda self: iter([*core(self).queue, *core(self).slots])


@fault(
    "_closing.Closing._expire",
    _scope(jobs=1, calls=("shut",), tempers=("stubborn",)),
    CRASH="division by zero",
)
def deadline_crashes(original, modules):
    return lambda self: 1 / 0


@fault("_shields.Shields.settle", _scope(jobs=0, calls=("shield",)), CRASH="division by zero")
def end_of_a_shield_crashes(original, modules):
    return lambda self, shielded, waiting, failure: 1 / 0


@fault(
    "_scheduler.Scheduler.close",
    _scope(jobs=1, calls=("shut",)),
    CRASH="'NoneType' object has no attribute 'check'",
)
def close_crashes(original, modules):
    async def close(self):
        self._Scheduler__closing = None
        await original(self)

    return close


@fault("_core.Core.ended", _scope(jobs=1), CRASH="KeyError('nothing')")
def end_of_a_job_crashes(original, modules):
    def ended(self, job, event, outcome, result, received=False):  # noqa: PLR0917 - likewise
        raise {}["nothing"]

    return ended


@fault("_following.Following.finished", among("lingers"), LIMIT_6=", whose coroutine ")
def job_ends_before_its_task(original, modules):
    def finished(self, job, event, outcome, result):
        self.jobs.pop(job, None)
        self.core.ended(job, event, outcome, result)

    return finished


@fault(
    "_following.Following._task_ended",
    _scope(jobs=1, factories=("wraps",)),
    START_3="has ended, and its job has not",
)
def wrapped_job_never_ends(original, modules):
    return lambda self, job, task: None


@fault(
    "_following._is_expected",
    among("fails-after"),
    BOOK_4="nobody is told of what a task beside its coroutine raised",
)
def failure_beside_its_coroutine_is_lost(original, modules):
    return lambda failure, end: True


@fault(
    "_core.Core.close_coroutine",
    among("close-raises"),
    SPAWN_2="CloseFailure(",
    SHUT_5="raises CloseFailure(",
    CLOSE_3="answers CloseFailure(",
)
def closing_a_coroutine_is_not_guarded(original, modules):
    def close_coroutine(self, coro, job):
        coro.close()

    return close_coroutine


@fault(
    "_reporting.Reporting.report_cleanup",
    among("close-raises"),
    BOOK_4="what the close() of a coroutine raised is told twice",
)
def failed_cleanup_is_told_twice(original, modules):
    def report_cleanup(self, job, exc):
        original(self, job, exc)
        original(self, job, exc)

    return report_cleanup


@fault(
    "_bound_loop.BoundLoop.call_out",
    among("handler raises"),
    SHUT_5="raises PartyFailure('handler')",
)
def foreign_code_is_not_guarded(original, modules):
    def call_out(self, what, function, *args):
        return function(*args)

    return call_out


@fault(
    "_calling.stop_loop",
    among("handler exits"),
    SHUT_5="raises PartyExit('handler')",
    CLOSE_3="answers PartyExit('handler')",
)
def foreign_code_stops_the_loop_at_once(original, modules):
    def stop_loop(loop, exc):
        raise exc

    return stop_loop


_numbers = itertools.count()
_kept = []


def fresh(label="a copy"):
    """The library once more, under a name of its own."""
    return packages.load(Path(aiojobs.__file__).parent, f"{label} {next(_numbers)}")


def planted(fault):
    """A copy of the library with the fault in it."""
    package = fresh(fault.name)
    fault.plant(package)
    return package
