"""The follower: replays the records of a scheduler, one by one, as actions of `scheduler.toml`.

Rules of this file. What may happen is the specification's: the job's table says what a job does, the actions of
`scheduler.toml` say what that does to the counters, their ledger entries say what else must happen in the same step,
and the invariants are checked after every action. The follower adds what counters can't say: who, in which order, and
when. It keeps the jobs that are alive and the calls that are under way, and nothing else.

It is the only place of the verification in which the order of arrival is written by hand, and everything that watches
a scheduler has it from here: the oracle of the simulation and of the Hypothesis machines, and the audit of traces.

How it works: which records belong together
-------------------------------------------
An action of the specification is atomic, and the scheduler tells of it in several records, with nothing between
them. The first record says what came from outside; from it and from the counters follows which action it is, and
from the ledger of that action which records it still *owes*:

    spawn_start                      accept J, start J
    spawn_queue                      accept J
    end_…_idle                       finish or cancel J
    end_…_next                       finish or cancel J, start (the head of the queue)
    end_…_refill                     the same, then accept (a call that was blocked)
    set_limit_start                  start (the head of the queue), accept (a call that was blocked), as often as fits
    close_active                     close J
    close_pending                    close J
    close_pending_refill             close J, accept (a call that was blocked)
    shutdown                         close (of the scheduler), then a record for each job pending or active
    settle                           settled

Between the first record and the last one owed any other is refused. After the last one the counters of the
specification must agree with the jobs themselves, counted by state. In a shutdown the pending jobs are dropped in
their order, and since the counters say "asked to stop" of all active ones at once, an end in between is an
`end_closing_idle`. That includes a job whose coroutine had failed unseen, which goes from active to done (`CLOSE-3`).

Setting the limit is announced (`limit`) before what comes of it is told; how many it must be is known when something
else is told. While more run than the limit allows since it was lowered, an end starts nobody.

`spawn_block` and `give_up` leave no record. If the calls are announced, the follower knows of them: a call that is
not answered before something else is told has been blocked. One that was cancelled gives up when its task wakes, or
before that when a place is released. So while calls are blocked it is in doubt whether an end is a refill until the
next record: the job of a blocked call, and then those before it have given up, or anything else, and then all have.
Whoever is passed over must have been cancelled: a live run knows whether it was (`cancelled`), a trace shows it later.
If the calls are not announced, nobody is taken to be blocked. That accepts the same records, because a refill then
looks like an end and a new spawn, and the specification allows these one after the other.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiojobs_verification.follower.calls import CallRegistry
from aiojobs_verification.follower.counters import CounterState
from aiojobs_verification.follower.jobs import JobRegistry
from aiojobs_verification.follower.rules import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiojobs_verification.follower.table import ActionTable

__all__ = ["Follower"]


@dataclass(slots=True)
class _Raise:
    """The limit is set, and this has been told since then."""

    limit: int
    """To what; 0 for no limit."""
    started: int = 0
    admitted: int = 0
    """How many blocked calls have moved up."""
    gone: int = 0
    """How many were passed over."""
    called: tuple[str, ...] = ()
    """Whose calls, which can't block, were made before anything else was told."""


class Follower:
    """Follows one scheduler: tell it of `record`, `call`, `returned`, `raised`, in the order of events.

    Arguments:
        table: what can happen under the limits of this scheduler.
        calls: whether all calls of ``spawn`` are announced.
        cancelled: of a live run, whether the caller of this call was cancelled.
        ended: of a live run, whether the coroutine of this job is known to have ended: closing may find that it has
            ended with a cancellation of its own, which a trace shows as a job that it has not asked.

    Every method raises `Violation` if what it is told breaks a rule. The follower is then of no more use.
    """

    def __init__(
        self,
        table: ActionTable,
        *,
        calls: bool,
        cancelled: Callable[[str], bool] | None = None,
        ended: Callable[[int], bool] | None = None,
    ) -> None:
        self.table = table
        self.counters = CounterState(table)
        self.jobs = JobRegistry(table)
        self.calls = CallRegistry(announced=calls, cancelled=cancelled)
        self._has_ended = ended
        self.told: Counter[str] = Counter()
        """How many records there were of each column of the ledger."""
        self.most_pending = 0
        self.choices = 0
        """How often a job was started, or a caller admitted, that was not the only one waiting."""
        self.dismissed = 0
        """How many jobs were dropped or asked to stop because the scheduler closed."""
        # The job whose record began the last action.
        self._cause = 0
        # The column of the record of which it is not clear yet which action it began.
        self._doubt = ""
        self._shutting_down = False
        self.raise_: _Raise | None = None
        """What has followed since the limit was set, until something else is told."""

    def fork(self) -> Follower:
        """The same, to go on separately."""
        twin = copy.copy(self)
        twin.counters, twin.jobs, twin.calls = self.counters.fork(), self.jobs.fork(), self.calls.fork()
        twin.told = self.told.copy()
        twin.raise_ = copy.copy(self.raise_)
        return twin

    @property
    def phase(self) -> str:
        """The phase of the scheduler."""
        return self.counters.state.phase

    @property
    def raises(self) -> bool:
        """Whether the limit was set, and what comes of it is being told."""
        return self.raise_ is not None

    @property
    def limit_now(self) -> int:
        """What the limit was last set to; 0 for no limit."""
        return self.counters.state.L if self.raise_ is None else self.raise_.limit

    @property
    def is_whole(self) -> bool:
        """Whether all of the last action has been told: not so while more may follow."""
        return not (self.counters.owed or self._shutting_down or self._doubt or self.raise_)

    @property
    def in_doubt(self) -> bool:
        """Whether only the next record says if a blocked call got the place that fell free."""
        return bool(self._doubt) and not self.counters.owed

    def exercised(self) -> dict[str, int]:
        """How often it came to a point where each requirement could have been broken."""
        did, told = self.counters.actions, self.told
        handed_on = sum(count for action, count in did.items() if action.endswith(("_next", "_refill")))
        filled = 0 < self.table.pending_limit == self.most_pending
        return {
            "LIMIT-1": did["spawn_queue"] + did["spawn_block"] + handed_on,
            "LIMIT-2": handed_on,
            "LIMIT-3": did["spawn_block"] + filled,
            "LIMIT-4": did["spawn_block"],
            "LIMIT-5": self.choices,
            "LIMIT-6": told["ended"] + told["stopped"],
            "LIMIT-7": did["set_limit_start"] + did["set_limit_idle"],
            "SPAWN-1": did["give_up"],
            "SPAWN-2": self.calls.refusals,
            "START-2": told["dropped"],
            "SHUT-1": self.dismissed,
            "BOOK-1": self.jobs.born,
        }

    # --- What is told ------------------------------------------------------------------------------

    def call(self, name: str, *, may_block: bool = True) -> None:
        """A call of ``spawn``, or of ``spawn_nowait`` if it can't block, is made for a job of this name."""
        if self.raise_ is not None and not may_block:
            # It may be foreign code's, which is called while the limit is set, and before that is told.
            self.raise_.called += (name,)
            return
        self._hear(name)
        self._demand_all_told()
        self.calls.call(name, self.counters, may_block=may_block)

    def is_under_way(self, name: str) -> bool:
        """Whether this call was made and not yet answered."""
        return self.calls.is_under_way(name) or (self.raise_ is not None and name in self.raise_.called)

    def returned(self, name: str) -> None:
        """A call that is under way returns."""
        self._hear(name, answers=True)
        self._demand_all_told()
        self.calls.come_back(name)

    def raised(self, name: str, error: str) -> None:
        """A call that is under way raises an exception of this name."""
        self._hear(name, answers=True)
        self._demand_all_told()
        self.calls.fail(name, error, self.jobs.live, self.counters)

    def limit(self, limit: int | None) -> None:
        """The limit is about to be set; None for no limit."""
        self._hear(None)
        self._demand_all_told()
        self._demand_shut_down()
        chosen = 0 if limit is None else limit
        if chosen != self.counters.state.L:
            self.raise_ = _Raise(chosen)

    def record(
        self, job: int | None, event: str, source: object, dest: object, name: str | None = None
    ) -> None:
        """A record of the observer; `name` is that of the call, if a job is accepted."""
        if self.raise_ is not None and self._is_of_raise(job, event, name):
            self._follow_raise(str(event), job, source, dest, name)
            return
        if self.calls.announced or self.raise_ is not None:
            self._hear(name if event == "accept" else None)
        if job is None:
            self._change_phase(event, source, dest)
        elif event == "accept":
            self._accept(job, source, dest, name)
        else:
            self._step(job, event, source, dest)
        if not (self.counters.owed or self._shutting_down or self._doubt):
            self.jobs.compare(self.counters.state)

    def settle(self) -> None:
        """Nothing more is told of what has happened so far: everything that was begun is whole."""
        self._hear(None)
        self._demand_all_told()
        self._demand_shut_down()

    def finish(self) -> None:
        """Nothing more is told at all."""
        self.settle()
        if self.phase == "closed":
            self.calls.demand_answers(self.calls.unanswered)

    def _hear(self, name: str | None, *, answers: bool = False) -> None:
        """Learn about what was told before from whom this is about: the call of this name, or no call."""
        calls = self.calls
        if self.raise_ is not None:
            self._resolve_raise()
        if calls.made is not None and name != calls.made:
            calls.block(self.counters)
        elif self._doubt and not self.counters.owed and (answers or name not in calls.blocked):
            column, self._doubt = self._doubt, ""
            self.counters.resolve(column, calls.pass_over_all())

    # --- The limit ---------------------------------------------------------------------------------

    def _is_of_raise(self, job: int | None, event: str, name: str | None) -> bool:
        """Whether this is told because the limit was raised: a start, or a blocked call that moves up."""
        if job is None or event not in {"start", "accept"}:
            return False
        if event == "start" or name in self.calls.blocked:
            return True
        # Of calls that are not announced nobody knows whether they are blocked, but that they can be.
        return not self.calls.announced and self.counters.can("spawn_block")

    def _follow_raise(
        self, event: str, job: int | None, source: object, dest: object, name: str | None
    ) -> None:
        raised = self.raise_
        assert raised is not None
        assert job is not None
        if event == "accept":
            self.jobs.expect(job, source, dest)
            self.choices += len(self.calls.blocked) > 1
            raised.gone += self.calls.move_up(job, str(name)) if self.calls.announced else 0
            self.jobs.add(job)
            self.told["accepted"] += 1
            raised.admitted += 1
            return
        self.jobs.find(job, event, source, dest)
        if raised.limit and self.jobs.running() >= raised.limit:
            refuse("limit", f"that job {job} waits: the limit is {raised.limit}")
        self._demand_head(job)
        self.told["started"] += 1
        self.jobs.move(job, str(dest))
        raised.started += 1

    def _resolve_raise(self) -> None:
        """Something else is told: as many must have started as fit, and as many moved up as then have a place."""
        raised, self.raise_ = self.raise_, None
        assert raised is not None
        for _ in range(raised.gone):
            self.counters.take("give_up")
        for _ in range(0 if self.calls.announced else raised.admitted):
            self.counters.take("spawn_block")
        wanted = self.counters.set_limit(raised.limit)
        if wanted != (raised.started, raised.admitted) and self.calls.may_be_gone():
            for _ in range(self.calls.pass_over_all()):
                self.counters.take("give_up")
            wanted = self.counters.set_limit(raised.limit)
        if wanted != (raised.started, raised.admitted):
            expected = f"{wanted[0]} to start and {wanted[1]} blocked calls to move up"
            refuse("limit raised", f"{expected}, not {raised.started} and {raised.admitted}")
        self.counters.choose(raised.limit)
        self.jobs.compare(self.counters.state)
        for name in raised.called:
            self.calls.call(name, self.counters, may_block=False)

    # --- Jobs --------------------------------------------------------------------------------------

    def _accept(self, job: int, source: object, dest: object, name: str | None) -> None:
        self.jobs.expect(job, source, dest)
        self._demand_all_told()
        if self._doubt:
            self._move_up(job, str(name))
        else:
            self._let_in(job, name)
        self.jobs.add(job)
        self.told["accepted"] += 1

    def _let_in(self, job: int, name: str | None) -> None:
        """A job whose call was not blocked."""
        counters = self.counters
        if counters.state.phase != "open":
            refuse("nothing accepted", "no new job once closing has begun")
        self.calls.let_in(job, name)
        if not counters.begin("accepted"):
            refuse("pending limit", "no new job: there are as many pending as may be")
        self.most_pending = max(self.most_pending, counters.state.pending)
        self._cause = job

    def _move_up(self, job: int, name: str) -> None:
        """A job whose call was blocked and now gets the place in the queue that fell free."""
        self.choices += len(self.calls.blocked) > 1
        column, self._doubt = self._doubt, ""
        self.counters.resolve(column, self.calls.move_up(job, name))

    def _step(self, job: int, event: str, source: object, dest: object) -> None:
        column = self.jobs.find(job, event, source, dest)
        if self.counters.owed:
            self._pay(job, column)
        elif self._shutting_down:
            self._dismiss(job, event, column)
        else:
            self._lead(job, column)
        self.told[column] += 1
        self.jobs.move(job, str(dest))
        if self._shutting_down:
            self._shutting_down = self.jobs.left() > 0

    def _lead(self, job: int, column: str) -> None:
        """The first record of an action."""
        if column == "started":
            refuse("limit", f"that job {job} waits: no slot was given back")
        elif column != "asked" and self.calls.blocked and not self.counters.starts_nobody(column):
            self._doubt = column
            self.counters.owed = () if column == "dropped" else ("started",)
        else:
            self.counters.begin(column)
        self._cause = job

    def _pay(self, job: int, column: str) -> None:
        """The start that an action owes."""
        if column != "started":
            self._demand_all_told()
        self._demand_head(job)
        self.counters.pay()

    def _demand_head(self, job: int) -> None:
        """A job is started: it must be the one that has waited longest."""
        head = self.jobs.head
        if job != head:
            refuse("queue order", f"job {head}, which came earlier than job {job}")
        self.choices += len(self.jobs.queue) > 1

    def _dismiss(self, job: int, event: str, column: str) -> None:
        """A job in the shutdown."""
        if column == "started":
            refuse("nothing starts", f"that job {job} is dropped: closing has begun")
        elif column == "dropped" and job != self.jobs.head:
            refuse("dropped in order", f"job {self.jobs.head}, which came earlier than job {job}")
        elif column == "ended" and event != "finish" and not (self._has_ended and self._has_ended(job)):
            refuse("asked first", f"that job {job} is asked to stop first")
        if column in {"ended", "stopped"}:
            self.counters.begin("stopped")

    def _demand_all_told(self) -> None:
        """Something else is told: nothing may be owed."""
        if self.counters.owed:
            head = self.jobs.head
            because = f"because of what happened to job {self._cause}"
            refuse("slot handed on", f"the start of job {head} at once, {because}")

    # --- The scheduler -----------------------------------------------------------------------------

    def _change_phase(self, event: str, source: object, dest: object) -> None:
        phase = self.counters.state.phase
        self._demand_all_told()
        self._demand_shut_down()
        after = self.table.phases.get((phase, event))
        if source != phase or after is None or dest != after:
            rule = "settles after closing" if event == "settled" else "closes once"
            refuse(rule, f"a step out of the phase {phase}")
        self.counters.take(self.table.phase_actions[event])
        if left := self.jobs.left():
            self._shutting_down = True
            self.dismissed += left
        self.calls.shut_out()

    def _demand_shut_down(self) -> None:
        """Something else is told: nobody may have been left out by closing."""
        if self._shutting_down:
            refuse("everybody asked", f"that job {self.jobs.first_left()} is dropped or asked to stop first")
