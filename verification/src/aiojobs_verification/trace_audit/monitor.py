"""The monitor: follows a trace line by line and refuses the first one that breaks a rule.

Rules of this file. What may happen is the specification's: the job's table says what a job does, the
actions of `scheduler.toml` say what that does to the counters, their ledger entries say what else must
happen in the same step, and the invariants are checked after every action. The monitor adds what counters
can't say: who, in which order, and when. It keeps the jobs that are alive and the calls that are under way,
and nothing else.

How it works: which lines belong together
-----------------------------------------
An action of the specification is atomic, and the scheduler tells of it in several lines, with nothing
between them. The first line says what came from outside; from it and from the counters follows which action
it is, and from the ledger of that action which lines it still *owes*:

    spawn_start                      accept J, start J
    spawn_queue                      accept J
    end_…_idle                       finish or cancel J
    end_…_next                       finish or cancel J, start (the head of the queue)
    end_…_refill                     the same, then accept (a call that was blocked)
    close_active                     close J
    close_pending                    close J
    close_pending_refill             close J, accept (a call that was blocked)
    shutdown                         close (of the scheduler), then a line for each job pending or active
    settle                           settled

Between the first line and the last one owed any other line is refused. After the last one the counters of
the specification must agree with the jobs themselves, counted by state. In a shutdown the order of the jobs
is free, and since the counters say "asked to stop" of all of them at once, an end in between is an
`end_closing_idle`. That includes a job whose coroutine had failed unseen, which goes from active to done
(`CLOSE-3`).

`spawn_block` and `give_up` leave no record. If the calls are announced, the monitor knows of them: a call
whose next line is not its own has been blocked. One that was cancelled gives up when its task wakes, or
before that when a place falls free. So while calls are blocked it is in doubt whether an end is a refill
until the line after it: the job of a blocked call, and then those before it have given up, or anything
else, and then all have. `callers` sees to it that they really raise `CancelledError`. If the calls are not
announced, nobody is taken to be blocked. That accepts the same records, because a refill then looks like an
end and a new spawn, and the specification allows these one after the other.

Deliberately not here: the counters (`counting`), the jobs (`roster`), the calls (`callers`), reading files
(`replay`), and the other opinion (`rehearsal`).
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

from aiojobs.tracing import BrokenTraceError
from aiojobs_verification.trace_audit.callers import Callers
from aiojobs_verification.trace_audit.counting import Counting
from aiojobs_verification.trace_audit.roster import Roster

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from aiojobs.tracing import Header
    from aiojobs_verification.specification.load import Spec

__all__ = ["Monitor"]


class Monitor:
    """Follows one trace: `feed` it the lines after the header, then call `finish`."""

    def __init__(self, spec: Spec, header: Header) -> None:
        self.header = header
        self.counting = Counting(spec.scheduler, header)
        self.roster = Roster(spec)
        self.callers = Callers(announced=header.calls)
        self.lines = 0
        self.clock = 0.0
        self.told: Counter[str] = Counter()
        """How many lines there were of each column of the ledger."""
        self.most_pending = 0
        self.choices = 0
        """How often a job was started, or a call moved up, that was not the only one waiting."""
        self.dismissed = 0
        """How many jobs were dropped or asked to stop because the scheduler closed."""
        actions, phase = spec.scheduler.actions, spec.scheduler.phase
        self._phases = {(source, event): dest for source, event, dest in phase.moves()}
        self._phase_actions = {a.phase_event: name for name, a in actions.items() if a.phase_event}
        # The job whose line began the last action.
        self._cause = 0
        # The column of the line of which it is not clear yet which action it began.
        self._doubt = ""
        self._shutting_down = False
        self._over = False

    def fork(self) -> Monitor:
        """The same, to go on separately."""
        twin = copy.copy(self)
        twin.counting, twin.roster, twin.callers = (
            self.counting.fork(),
            self.roster.fork(),
            self.callers.fork(),
        )
        twin.told = self.told.copy()
        return twin

    def feed(self, line: Mapping[str, Any]) -> None:
        """Follow one line.

        Raises:
            BrokenTraceError: the line breaks a rule. The monitor is then of no more use.
        """
        if self._over:
            raise BrokenTraceError("trace: end", "nothing after the last line")
        if "job" in line:
            self._feed_record(line)
        elif "call" in line:
            self._feed_call(line)
        else:
            self._feed_end(line)

    def finish(self) -> None:
        """The trace has no more lines."""
        if not self._over:
            raise BrokenTraceError("trace: end", "a last line that says what is left: this trace was cut off")

    def situation(self) -> Hashable:
        """All that the rest of the trace depends on, apart from the clock and the number of lines."""
        counting, jobs, calls = self.counting, self.roster.situation(), self.callers.situation()
        return (counting.state, counting.owed, self._doubt, self._shutting_down, jobs, calls)

    def exercised(self) -> dict[str, int]:
        """How often the trace came to a point where each requirement could have been broken."""
        did, told = self.counting.actions, self.told
        handed_on = sum(count for action, count in did.items() if action.endswith(("_next", "_refill")))
        filled = self.header.pending_limit > 0 and self.most_pending == self.header.pending_limit
        return {
            "LIMIT-1": did["spawn_queue"] + did["spawn_block"] + handed_on,
            "LIMIT-2": handed_on,
            "LIMIT-3": did["spawn_block"] + filled,
            "LIMIT-4": did["spawn_block"],
            "LIMIT-5": self.choices,
            "LIMIT-6": told["ended"] + told["stopped"],
            "SPAWN-1": did["give_up"],
            "SPAWN-2": self.callers.refusals,
            "START-2": told["dropped"],
            "SHUT-1": self.dismissed,
            "BOOK-1": self.roster.born,
        }

    # --- Lines -------------------------------------------------------------------------------------

    def _feed_record(self, line: Mapping[str, Any]) -> None:
        try:
            job, event, source, dest = line["job"], line["event"], line["source"], line["dest"]
            self._tick(line["time"])
        except KeyError as error:
            raise BrokenTraceError("trace: line", f"the key {error}") from None
        name = line.get("name") if event == "accept" else None
        if len(line) != (5 if name is None else 6) or type(event) is not str:
            raise BrokenTraceError("trace: line", "the keys of a record and no others, and an event")
        if self.callers.announced:
            self._hear(name if event == "accept" else None)
        if job is None:
            self._change_phase(event, source, dest)
        elif type(job) is not int:
            raise BrokenTraceError("trace: line", "the number of a job, or null for the scheduler")
        elif event == "accept":
            self._accept(job, source, dest, name)
        else:
            self._step(job, event, source, dest)
        if not (self.counting.owed or self._shutting_down or self._doubt):
            self.roster.compare(self.counting.state)

    def _feed_call(self, line: Mapping[str, Any]) -> None:
        try:
            name, event = line["call"], line["event"]
            self._tick(line["time"])
        except KeyError as error:
            raise BrokenTraceError("trace: line", f"the key {error}") from None
        if len(line) != (4 if event == "raise" else 3) or not isinstance(name, str):
            raise BrokenTraceError("trace: line", "the keys of a call and no others, and a name")
        if not self.header.calls:
            raise BrokenTraceError("trace: calls", "no calls, as the header says")
        self._hear(name, answers=event != "call")
        if self.counting.owed:
            self._refuse_owed()
        if event == "call":
            self.callers.call(name)
        elif event == "return":
            self.callers.come_back(name)
        elif event == "raise":
            self.callers.fail(name, line.get("error"), self.roster.live, self.counting)
        else:
            raise BrokenTraceError("trace: line", "call, return or raise as the event of a call")

    def _feed_end(self, line: Mapping[str, Any]) -> None:
        self._hear(None)
        if self.counting.owed:
            self._refuse_owed()
        if self._shutting_down:
            self._refuse_unfinished()
        calls = self.callers.unanswered
        if self.counting.state.phase == "closed" and calls:
            raise BrokenTraceError("trace: calls", f"an answer to the call {calls[0]!r}", "SPAWN-2")
        left = {"end": self.lines, "jobs": [*self.roster.live], "calls": calls}
        if line != left:
            raise BrokenTraceError("trace: end", f"as last line {left}", "BOOK-1")
        self._over = True

    def _hear(self, name: object, *, answers: bool = False) -> None:
        """Learn about the lines before from whom this line is about: the call of this name, or no call."""
        callers, counting = self.callers, self.counting
        if callers.made is not None and name != callers.made:
            callers.block(counting)
        elif self._doubt and not counting.owed and (answers or name not in callers.outside):
            column, self._doubt = self._doubt, ""
            counting.resolve(column, callers.pass_over_all())

    def _tick(self, time: object) -> None:
        if type(time) is not float and type(time) is not int:
            raise BrokenTraceError("trace: line", "a number of seconds as time")
        if not self.clock <= time < math.inf:
            raise BrokenTraceError("trace: clock", f"a time from {self.clock} on: it never goes back")
        self.clock = time
        self.lines += 1

    # --- Jobs --------------------------------------------------------------------------------------

    def _accept(self, job: int, source: object, dest: object, name: object) -> None:
        self.roster.expect(job, source, dest)
        if self.counting.owed:
            self._refuse_owed()
        if self._doubt:
            self._move_up(job, str(name))
        else:
            self._let_in(job, name)
        self.roster.add(job)
        self.told["accepted"] += 1

    def _let_in(self, job: int, name: object) -> None:
        """A job whose call does not wait outside."""
        counting = self.counting
        if counting.state.phase != "open":
            rule = "scheduler.toml: step.nothing_starts_after_close"
            raise BrokenTraceError(rule, "no new job once closing has begun", "SHUT-1", "SPAWN-2")
        self.callers.let_in(job, name)
        if not counting.begin("accepted"):
            rule = "scheduler.toml: invariant.within_pending_limit"
            raise BrokenTraceError(rule, "no new job: there are as many pending as may be", "LIMIT-3")
        self.most_pending = max(self.most_pending, counting.state.pending)
        self._cause = job

    def _move_up(self, job: int, name: str) -> None:
        """A job whose call was blocked and now gets the place in the queue that fell free."""
        self.choices += len(self.callers.outside) > 1
        column, self._doubt = self._doubt, ""
        self.counting.resolve(column, self.callers.move_up(job, name))

    def _step(self, job: int, event: str, source: object, dest: str) -> None:
        column = self.roster.find(job, event, source, dest)
        if self.counting.owed:
            self._pay(job, column)
        elif self._shutting_down:
            self._dismiss(job, event, column)
        else:
            self._lead(job, event, column)
        self.told[column] += 1
        self.roster.move(job, dest)
        if self._shutting_down:
            self._shutting_down = self.roster.left() > 0

    def _lead(self, job: int, event: str, column: str) -> None:
        """The first line of an action."""
        if column == "started":
            rule = "scheduler.toml: invariant.within_limit"
            raise BrokenTraceError(rule, f"that job {job} waits: no slot was given back", "LIMIT-1")
        if column != "asked" and self.callers.outside:
            self._doubt = column
            self.counting.owed = () if column == "dropped" else ("started",)
        elif not self.counting.begin(column):
            raise BrokenTraceError("scheduler.toml: guards", f"no {event} in {self.counting.state}")
        self._cause = job

    def _pay(self, job: int, column: str) -> None:
        """The start that an action owes."""
        if column != "started":
            self._refuse_owed()
        head = self.roster.head
        if job != head:
            raise BrokenTraceError("trace: arrival", f"job {head}, which came before job {job}", "LIMIT-5")
        self.choices += len(self.roster.queue) > 1
        self.counting.pay()

    def _dismiss(self, job: int, event: str, column: str) -> None:
        """A job in the shutdown."""
        if column == "started":
            rule = "scheduler.toml: step.nothing_starts_by_closing"
            expected = f"that job {job} is dropped: closing has begun"
            raise BrokenTraceError(rule, expected, "SHUT-1", "START-2")
        if column == "ended" and event != "finish":
            rule = "scheduler.toml: action.shutdown"
            raise BrokenTraceError(rule, f"that job {job} is asked to stop first", "SHUT-1")
        if column in {"ended", "stopped"}:
            self.counting.begin("stopped")

    def _refuse_owed(self) -> NoReturn:
        head = self.roster.head
        rule = "scheduler.toml: step.slot_is_handed_on"
        expected = f"the start of job {head} at once, because of what happened to job {self._cause}"
        raise BrokenTraceError(rule, expected, "LIMIT-2")

    # --- The scheduler -----------------------------------------------------------------------------

    def _change_phase(self, event: str, source: object, dest: object) -> None:
        phase = self.counting.state.phase
        if self.counting.owed:
            self._refuse_owed()
        if self._shutting_down:
            self._refuse_unfinished()
        after = self._phases.get((phase, event))
        if source != phase or after is None or dest != after:
            raise BrokenTraceError("scheduler.toml: phase", f"a step out of the phase {phase}", "SHUT-1")
        self.counting.take(self._phase_actions[event])
        if left := self.roster.left():
            self._shutting_down = True
            self.dismissed += left
        self.callers.shut_out()

    def _refuse_unfinished(self) -> NoReturn:
        rule = "scheduler.toml: invariant.quiet_after_close"
        raise BrokenTraceError(
            rule, f"that job {self.roster.first_left()} is dropped or asked to stop first", "SHUT-1"
        )
