"""Faults that are planted in a copy of the library, to show that the explorer and the fuzzer find them.

Each is planted in a freshly loaded package of its own name: the library under test is never touched. A fault
says which requirement it breaks; one whose target has moved fails here, loudly, and is not planted nowhere.
"""

import asyncio
import itertools
import sys
from pathlib import Path

import aiojobs
from aiojobs_verification.simulation.world import packages


def _module(package, name):
    return sys.modules[f"{package.module.__name__}.{name}"]


def _patch(target, name, make):
    assert hasattr(target, name), f"{target!r} has no {name} any more: the fault has to be planted elsewhere"
    setattr(target, name, make(getattr(target, name)))


def slot_released_twice(package):
    def make(original):
        def ended(self):
            last = self.running == 1 and self.pending == 0
            following = original(self)
            self.running -= last
            return following

        return ended

    _patch(_module(package, "_admission").Admission, "ended", make)


def last_in_first_out(package):
    def make(original):
        def pop(self):
            job = self._before
            self.leave(job)
            return job

        return pop

    _patch(_module(package, "_queue").Queue, "pop", make)


def lost_wakeup(package):
    admission = _module(package, "_admission")

    def make(original):
        def withdrawn(self):
            self.pending -= 1
            return admission.Next.NOTHING

        return withdrawn

    _patch(admission.Admission, "withdrawn", make)


def two_cancellations(package):
    def make(original):
        def ask_all(self, asked):
            closing = [job for job in self._scheduler._running if job not in asked]
            original(self, asked)
            for job in closing:
                job._task.cancel()

        return ask_all

    _patch(_module(package, "_shutdown").Shutdown, "_ask_all", make)


def failure_lost_with_its_waiter(package):
    def make(original):
        def leave(self, waiter, scheduler):
            if self._waiters is not None:
                self._waiters.pop(waiter, None)

        return leave

    _patch(_module(package, "_machine").JobMachine, "_leave", make)


def failure_told_twice(package):
    def make(original):
        def tell(self, job, received=False):
            waited_for = bool(job._waiters)
            original(self, job, received=received)
            if waited_for and job._outcome == "raised":
                self._report_failure(job)

        return tell

    _patch(_module(package, "_engine").Engine, "_tell", make)


def expired_wait_closes_nothing(package):
    def make(original):
        async def until_end(self, scheduler, within, *, ask=False, receive=True):
            return await original(self, scheduler, within, ask=ask and receive, receive=receive)

        return until_end

    _patch(_module(package, "_machine").JobMachine, "_until_end", make)


def closing_without_patience(package):
    def make(original):
        def arm(self):
            self._expire()

        return arm

    _patch(_module(package, "_shutdown").Shutdown, "_arm", make)


def closing_without_a_deadline(package):
    def make(original):
        def arm(self):
            pass

        return arm

    _patch(_module(package, "_shutdown").Shutdown, "_arm", make)


def close_without_a_deadline(package):
    def make(original):
        async def until_end(self, scheduler, within, *, ask=False, receive=True):
            return await original(self, scheduler, None if ask else within, ask=ask, receive=receive)

        return until_end

    _patch(_module(package, "_machine").JobMachine, "_until_end", make)


def refused_shield_left_behind(package):
    def make(original):
        def shield(self, arg):
            return original(self, arg) if not self.closed else self._refuse_and_leave(arg)

        return shield

    def refuse(self, arg):
        _kept.append(arg)
        raise RuntimeError("Shielding an awaitable after closing")

    scheduler = _module(package, "_scheduler").Scheduler
    _patch(scheduler, "shield", make)
    scheduler._refuse_and_leave = refuse


def drain_never_told(package):
    def make(original):
        def consider(self):
            self._drainers, kept = {}, self._drainers
            original(self)
            self._drainers = kept

        return consider

    _patch(_module(package, "_shutdown").Shutdown, "consider", make)


def drain_that_spins(package):
    def make(original):
        async def drain(self, within):
            while not self._is_idle():  # noqa: ASYNC110 - to wait like this is the fault
                await asyncio.sleep(0)

        return drain

    _patch(_module(package, "_shutdown").Shutdown, "drain", make)


def finished_job_keeps_its_task(package):
    def make(original):
        def end(self, outcome, result):
            task = self._task
            original(self, outcome, result)
            self._task = task

        return end

    _patch(_module(package, "_machine").JobMachine, "_end", make)


def cancelled_spawn_runs_all_the_same(package):
    def make(original):
        def withdraw(self, place, job):
            if self._blocked.get(place) is not job:
                self._arriving.pop(job, None)
                self._launch_soon()
            else:
                original(self, place, job)

        return withdraw

    _patch(_module(package, "_entrance").Entrance, "_withdraw", make)


def queued_job_in_another_context(package):
    _patch(_module(package, "_entrance"), "copy_context", lambda original: lambda: None)


def bad_argument_takes_a_slot(package):
    def make(original):
        def spawn_nowait(self, *args, **options):
            try:
                return original(self, *args, **options)
            except TypeError:
                self._admission.running += 1
                raise

        return spawn_nowait

    _patch(_module(package, "_scheduler").Scheduler, "spawn_nowait", make)


def dropped_job_says_that_it_was_cancelled(package):
    cancelled = _module(package, "_lifecycle").Outcome.CANCELLED

    def make(original):
        def end(self, outcome, result):
            original(self, cancelled if outcome == "never_started" else outcome, result)

        return end

    _patch(_module(package, "_machine").JobMachine, "_end", make)


def returned_job_says_that_it_was_cancelled(package):
    cancelled = _module(package, "_lifecycle").Outcome.CANCELLED

    def make(original):
        def end(self, outcome, result):
            original(self, cancelled if outcome == "returned" else outcome, result)

        return end

    _patch(_module(package, "_machine").JobMachine, "_end", make)


FAULTS = {
    slot_released_twice: {"LIMIT-1", "LIMIT-6", "BOOK-1", "LIMIT-2"},
    last_in_first_out: {"LIMIT-5"},
    lost_wakeup: {"LIMIT-4"},
    two_cancellations: {"CLOSE-1"},
    failure_lost_with_its_waiter: {"EXC-1"},
    failure_told_twice: {"EXC-1"},
    expired_wait_closes_nothing: {"WAIT-2"},
    closing_without_patience: {"SHUT-2"},
    closing_without_a_deadline: {"SHUT-2"},
    close_without_a_deadline: {"CLOSE-2", "WAIT-2"},
    refused_shield_left_behind: {"SPAWN-1"},
    drain_never_told: {"SHUT-4"},
    drain_that_spins: {"SHUT-4"},
    finished_job_keeps_its_task: {"BOOK-3"},
    cancelled_spawn_runs_all_the_same: {"SPAWN-1"},
    queued_job_in_another_context: {"SPAWN-4"},
    bad_argument_takes_a_slot: {"SPAWN-3"},
    dropped_job_says_that_it_was_cancelled: {"START-2"},
    returned_job_says_that_it_was_cancelled: {"WAIT-5", "WAIT-3"},
}
"""Each fault, and the requirements of which one must be found broken."""


def wrapped_job_never_ends(package):
    _patch(_module(package, "_engine").Engine, "_task_ended", lambda original: lambda self, job, task: None)


def failure_beside_its_coroutine_is_lost(package):
    _patch(_module(package, "_engine"), "_is_expected", lambda original: lambda failure, end: True)


def closing_a_coroutine_is_not_guarded(package):
    def make(original):
        def close_coroutine(self, coro, job):
            coro.close()

        return close_coroutine

    _patch(_module(package, "_engine").Engine, "_close_coroutine", make)


def failed_cleanup_is_told_twice(package):
    def make(original):
        def report_cleanup(self, job, exc):
            original(self, job, exc)
            original(self, job, exc)

        return report_cleanup

    _patch(_module(package, "_outside").Outside, "_report_cleanup", make)


def foreign_code_is_not_guarded(package):
    def make(original):
        def call_out(self, what, function, *args):
            return function(*args)

        return call_out

    _patch(_module(package, "_outside").Outside, "_call_out", make)


def foreign_code_stops_the_loop_at_once(package):
    def make(original):
        def stop_loop(loop, exc):
            raise exc

        return stop_loop

    _patch(_module(package, "_calling"), "stop_loop", make)


STRANGE_FAULTS = {
    wrapped_job_never_ends: ("wraps", {"LIMIT-6", "START-3"}),
    failure_beside_its_coroutine_is_lost: ("fails-after", {"BOOK-4"}),
    closing_a_coroutine_is_not_guarded: ("close-raises", {"SPAWN-2", "SHUT-5", "CLOSE-3"}),
    failed_cleanup_is_told_twice: ("close-raises", {"BOOK-4"}),
    foreign_code_is_not_guarded: ("cancel raises", {"SHUT-5", "CLOSE-3", "LIMIT-6"}),
    foreign_code_stops_the_loop_at_once: (
        "handler exits",
        {"BOOK-4", "EXC-2", "SHUT-5", "LIMIT-6", "CLOSE-3"},
    ),
}
"""Each fault that shows among strangers only: whom it needs, and requirements of which one must be found broken."""

_numbers = itertools.count()
_kept = []


def fresh(label="a copy"):
    """The library once more, under a name of its own."""
    return packages.load(Path(aiojobs.__file__).parent, f"{label} {next(_numbers)}")


def planted(fault):
    """A copy of the library with the fault in it."""
    package = fresh(fault.__name__)
    fault(package)
    return package
