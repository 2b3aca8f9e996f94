"""The oracle: the requirements, checked against a real run after every turn of the loop.

Rules of this file: it compares what the scheduler says and answers with what really happened (`probes`),
and with the specification's own registry (`reference`). Each rule names the requirement that it speaks for. A
rule that would only follow from how this scheduler happens to be written has no place here: the same oracle
tries other packages.

How it works, at three moments.

* *What was noted* since the last look is read in order: a first step, an end, a report, an answer to a
  caller.
* *After every turn*: the counts, the states, the iteration.
* *When the loop is quiet*, so that nothing more will happen by itself: whoever could have been answered
  must have been, no slot and no place may lie idle, every failure must have reached somebody, exactly
  once.

Time: an answer is due when the loop is quiet and its deadline has come. A deadline that passes while
callbacks are ready may be seen late, so between the end of a job and the next quiet moment both outcomes
are right.

`spoken` collects the requirements about which this run has really said something: a rule whose occasion
never came up does not count.

Where: `answers` has the rules about answers and reports, `quiescence` those about quiet moments, this file the
rest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.simulation.oracle.account import Numbers
from aiojobs_verification.simulation.oracle.answers import Answers
from aiojobs_verification.simulation.oracle.bench import how
from aiojobs_verification.simulation.oracle.pictures import differences
from aiojobs_verification.simulation.oracle.quiescence import Quiescence
from aiojobs_verification.simulation.oracle.reference import Violation, seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiojobs_verification.simulation.world.calls import Call
    from aiojobs_verification.simulation.world.packages import View
    from aiojobs_verification.simulation.world.probes import Body

__all__ = ["Oracle", "Violation"]

_OUTCOMES: Final = {
    "returned": "returned",
    "raised": "raised",
    "cancelled": "cancelled",
    "never": "never_started",
    "timed_out": "timed_out",
}
"""What `Job.outcome` must be for each way in which a body ended."""

_FINAL: Final = frozenset({"done", "closed"})
_TIME: Final = "SPAWN-6"
_LIMIT: Final = "LIMIT-7"
_REPORT: Final = "SHUT-7"

_FAR: Final = 99.0
"""An age at which everything is over that depended on it."""


class Oracle(Answers, Quiescence):
    """Watches one world."""

    # The three moments.

    def look(self, *, quiet: bool) -> None:
        """Look at everything that happened since the last time."""
        self.check_crashes()
        self.read()
        view = self.world.view()
        self._after_turn(view)
        if self.world.package.pictures and self.world.scope.pictures:
            self._check_picture(quiet=quiet)
        if quiet:
            self._when_quiet(view)

    def glance(self, *, quiet: bool) -> None:
        """Keep up with what happens without comparing anything: for a replay of what was looked at before."""
        self.read()
        if self.world.scheduler.closed:
            self._begin_closing()
        self._check_complaints()
        if quiet:
            self._note_quiet()

    def read(self) -> None:
        """Read what was noted."""
        facts = self.world.facts
        if self.world.environment.is_strange:
            for body in self.world.bodies:
                if body.carrier is not None:
                    body.carrier.look()
        while self._read < len(facts):
            fact = facts[self._read]
            self._read += 1
            getattr(self, f"_on_{fact[0]}")(*fact[1:])
            if self.seen_inside:
                self._explain_seen(over=False)
        if self.reference is not None:
            self.reference.settle()
            self._count_down(self.reference.running)
            if self.seen_inside:
                self._explain_seen(over=True)
        for body in self.world.bodies:
            if not body.began and body.coroutine is not None:
                body.look()

    # What was noted.

    def _on_event(self, event: Any) -> None:
        """An outside event: the world's doing."""

    def _on_spawning(self, body: Body) -> None:
        body.arrival = self.arrivals
        self.arrivals += 1
        if self.reference is not None:
            self.reference.called(body)

    def _on_called(self, call: Call) -> None:
        pass

    def _on_kept(self, call: Call, answered: bool) -> None:
        self.demand(answered, "SPAWN-7", f"{call.name} can't be cancelled, and has no answer")

    def _on_closing(self, doomed: list[Body]) -> None:
        self._begin_closing()
        self.doomed.update(doomed)

    def _on_began(self, body: Body) -> None:
        if body.shielded:
            return
        if self.allowed is not None:
            alive = sum(1 for other in self.world.bodies if other.alive and not other.shielded)
            limit = self.world.limit
            self.demand(alive <= self.allowed, "LIMIT-1", f"{alive} coroutines run under a limit of {limit}")
        self.demand(
            body not in self.doomed, "SHUT-1", f"{body.name} waited when closing began, and then starts"
        )
        self.demand(
            not (body.calling_cancelled and body.job is None),
            "SPAWN-7" if body.call is not None and body.call.kind == "thread" else "SPAWN-1",
            f"{body.name} runs although its spawn was cancelled before it returned",
        )
        self.spoken.add("START-1")
        if self.world.scope.contexts != "unwatched":
            self.demand(body.at_home, "SPAWN-4", f"{body.name} runs in a context that is not its own")

    def _on_hit(self, body: Body) -> None:
        if body.hit or body.shielded:
            return
        self.demand(body.cancels <= 1, "CLOSE-1", f"{body.name} is cancelled {body.cancels} times")
        if body.is_timed:
            self.demand(self._was_asked(body), _TIME, f"{body.name} is told to stop before its time is over")
            return
        asked = self._was_asked(body)
        left = any(
            call.body is body and call.cancelled and call.kind in {"wait", "await", "wait-for"}
            for call in self.world.calls
        )
        requirement = "WAIT-1" if left else "CLOSE-1"
        self.demand(asked, requirement, f"{body.name} is cancelled although nobody asked it to stop")

    def _on_ended(self, body: Body) -> None:
        if self.reference is not None:
            self.reference.ended(body)
        if body.ended == "destroyed":
            raise Violation("START-1", f"the running coroutine of {body.name} was thrown away")
        if body.ended == "never" and not body.shielded and not body.hit:
            began_before = (
                body.job is not None and self.reference is not None and self.reference.was_active(body)
            )
            began_before = began_before and self.world.environment.factory.prompt
            self.demand(not began_before, "START-1", f"{body.name} was active, and never took its first step")

    def _on_tried(self, body: Body, order: str, answer: str) -> None:
        if answer == "None" and order in {"self-shut", "self-idle"} and self._closed:
            return  # closing is over: there is nothing that could be refused
        if order == "self-idle" and self.closing_since is not None and answer == "None":
            return  # it had begun to wait before, and was told to stop
        if order == "self-idle" and not body.is_drained and self.closing_since is None:
            self.demand(
                answer == "None", "WAIT-4", f"{body.name}, which nobody waits for: {order} gives {answer}"
            )
            return
        self.demand(
            answer == "RuntimeError", "WAIT-4", f"{body.name}: {order} gives {answer}, not a RuntimeError"
        )

    def _on_record(self, body: Body | None, event: str, source: str | None, dest: str) -> None:
        assert self.reference is not None
        if body is None:
            self._on_phase(event)
        elif event == "expire":
            self._on_expiry(body)
        elif event == "close":
            asked = self._was_asked(body, by_time=False)
            self.demand(asked, "CLOSE-1", f"{body.name} is closed although nobody asked for it")
        elif event in {"finish", "cancel"}:
            body.look()
            right = {"finish": {"returned", "raised"}, "cancel": {"cancelled", "never", "timed_out"}}[event]
            really = body.fate in right or body.hit
            self.demand(really, "LIMIT-6", f"{event} of {body.name}, whose coroutine {how(body)}")
        if body is not None and dest in _FINAL:
            self._demand_told_outcome(body)
        self.reference.record(body, event, source, dest)

    def _on_expiry(self, body: Body) -> None:
        """The time of a job is over, and it is asked to stop for that."""
        self.demand(
            self._time_is_over(body), _TIME, f"the time of {body.name} is said to be over, and is not"
        )
        body.expired_at = self.world.now()
        body.in_time = self.reference is not None and self.reference.has_ended(body)

    def _demand_told_outcome(self, body: Body) -> None:
        """The observer finds the outcome when it hears of the end."""
        found, outcome = body.told_outcome, body.entry.outcome
        told = found is not None and found == outcome
        self.demand(
            told, "SEE-1", f"{body.name} has ended, and its observer finds {found}, later on {outcome}"
        )

    def _on_misled(self, record: Any) -> None:
        self.demand(False, "SEE-1", f"the second observer hears of {record}, and the first has not")

    def _on_meddled(self, refused: dict[str, BaseException | None], before: View, after: View) -> None:
        """An observer has tried to change the scheduler."""
        for what, error in refused.items():
            right = isinstance(error, RuntimeError) and "observer" in str(error)
            self.demand(right, "SEE-1", f"an observer calls {what} and is answered {error!r}")
        self.demand(before == after, "SEE-1", f"an observer has changed {before} to {after}")

    def _count_down(self, running: Callable[[], int]) -> None:
        """Since the limit was lowered fewer may run with every end, until as many do as it allows."""
        limit = self.world.limit
        if limit is not None and self.allowed is not None and self.allowed > limit:
            self.allowed = max(limit, min(self.allowed, running()))

    def _on_limit(self, limit: int | None) -> None:
        """The limit is about to be changed; those that run go on."""
        assert self.reference is not None
        running = self.reference.running()
        self.allowed = None if limit is None else max(limit, running)
        self.reference.limit(limit)

    def _on_limit_set(
        self, before: View, blocked: tuple[int, int], after: View, error: BaseException | None
    ) -> None:
        """The limit was changed: as many start as fit, and nobody stops."""
        limit = self.world.limit
        self.demand(error is None, _LIMIT, f"set_limit({limit}) raises {error!r}")
        said = self.world.scheduler.limit
        self.demand(said == limit, _LIMIT, f"the limit was set to {limit}, and is {said}")
        if self.world.environment.is_strange or self.world.scope.eager:
            return
        sure, gone = blocked
        self.demand(
            (after.active, after.pending) in {self._resized(before, sure + more) for more in range(gone + 1)},
            _LIMIT,
            f"the limit is set to {limit}: of {before} and {sure} blocked calls there comes {after}",
        )

    def _resized(self, before: View, blocked: int) -> tuple[int, int]:
        """How many must run and wait when the limit has been set, so many calls having been blocked."""
        if before.phase != "open":
            return before.active, before.pending
        limit, room = self.world.limit, self.world.scope.pending_limit
        waiting = before.pending + blocked
        started = waiting if limit is None else min(waiting, max(0, limit - before.active))
        left = waiting - started
        return before.active + started, min(left, room) if room else left

    def _on_found(self, bodies: list[Body]) -> None:
        """Closing begins, and finds these jobs, and those that have ended."""
        assert self.reference is not None
        states = self.reference.states
        self.account.begin((body for body in bodies if states[body] not in _FINAL), self.world.now())

    def _on_phase(self, event: str) -> None:
        if event == "close":
            self._begin_closing()
            self._demand_reason_to_close()
        else:
            self._demand_settled()
            assert self.reference is not None
            states = self.reference.states
            for body in self.account.found or ():
                body.look()
            running = [body for body in self.account.found or () if states[body] not in _FINAL]
            self.account.end(self.world.now(), running)

    def _demand_reason_to_close(self) -> None:
        world = self.world
        for call in (*world.calls, *world.by_hand):
            if call.called_at is None or (call.kind in {"drain", "drain-for"} and call.cancelled):
                continue  # a drain that is cancelled leaves the scheduler open
            if call.kind == "shut" or (call.kind == "with" and call.left_at is not None):
                return
            if (
                call.kind in {"drain", "drain-for"}
                and world.now() >= self._drain_deadline(call) - self.coarse
            ):
                return
        draining = any(
            call.kind in {"drain", "drain-for"} and call.called_at and not call.cancelled
            for call in world.calls
        )
        self.demand(
            draining and self.is_drained(), "SHUT-4", "closing begins while jobs run, and nobody asked for it"
        )

    def _demand_settled(self) -> None:
        """Closing is over when nothing runs any more, or at its deadline."""
        running = [body.name for body in self.world.bodies if body.lives]
        self.demand(
            not running or self._close_deadline_has_come(),
            "SHUT-2",
            f"closing is over before its deadline, and {', '.join(running)} still runs",
        )

    # After every turn.

    def _after_turn(self, view: View) -> None:
        world = self.world
        if view.phase != "open":
            self._begin_closing()
            self.demand(
                view.pending == 0, "SHUT-1", f"{view.pending} jobs are pending although closing has begun"
            )
        self._check_counts(view)
        if self.reference is not None:
            self.reference.compare(view)
            if len(view.listed) > 1:
                self.spoken.add("BOOK-2")
            for body in world.bodies:
                if body.job is not None and body.inspected != self.reference.states[body]:
                    self._check_job(body)
            self.demand(not world.untold, "SEE-1", "the second observer is not told what the first has heard")
            if world.package.reports:
                self._check_report(view.phase)
        if len(world.complaints) > self._complaints:
            self._check_complaints()
        if world.warnings:
            raise Violation("SPAWN-1", f"Python warns: {world.warnings[0].message}")

    def _check_report(self, phase: str) -> None:
        """What was done to accepted work is told, and said aloud if any of it was dropped (SHUT-7)."""
        account, report = self.account, self.world.scheduler.shutdown_report
        if phase != "closed":
            self.demand(report is None, _REPORT, f"closing is not over, and there is {report!r}")
            return
        if account.is_checked or account.wanted is None:
            return
        account.is_checked = True
        self.demand(report is not None, _REPORT, "closing is over, and nothing is told of it")
        self.demand(
            Numbers.of(report) == account.wanted,
            _REPORT,
            f"told is {report!r}; of the jobs that closing found there came {account.wanted}",
        )
        self._check_tallies(report)
        self.demand(
            report.dropped == account.dropped,
            _REPORT,
            f"{report.dropped} jobs are said to be dropped, of those that were counted on {account.dropped} were",
        )
        late = abs(report.seconds - account.seconds) > self.coarse + self.grace
        self.demand(not late, _REPORT, f"closing took {account.seconds} s, and {report.seconds} are told")
        said = [record.getMessage() for record in self.world.logged]
        if self.world.environment.party.place == "get-name":
            return  # a log record asks for it from Python 3.12 on, and may come to nothing
        self.demand(
            len(said) == bool(account.dropped),
            _REPORT,
            f"of {account.wanted} the logger hears {said or 'nothing'}",
        )

    def _check_tallies(self, report: Any) -> None:
        """By the qualified names of coroutines, as far as they can be known."""
        tallies = {kind: Numbers.of(tally) for kind, tally in report.by_qualname.items()}
        if self.world.environment.coroutine.given is None:
            right = tallies == self.account.by_qualname
        else:
            summed = Numbers(*[sum(column) for column in zip(*tallies.values(), strict=True)])
            right = summed == self.account.wanted
        self.demand(right, _REPORT, f"by kind is told {tallies}, and there came {self.account.by_qualname}")

    def _check_picture(self, *, quiet: bool) -> None:
        """A picture that is taken now shows what there is (SEE-2)."""
        assert self.reference is not None
        with self.world.environment.looked_at:
            picture = self.world.scheduler.snapshot()
        wrong = next(differences(self.world, self.reference, picture, quiet=quiet), None)
        self.demand(wrong is None, "SEE-2", f"in the picture {wrong}")

    def _check_counts(self, view: View) -> None:
        limit, room = self.world.limit, self.world.scope.pending_limit
        if view.size != view.active + view.pending or view.size != len(view.listed) or min(view[1:3]) < 0:
            raise Violation("BOOK-1", f"the counts disagree: {view}")
        if self.allowed is not None and view.active > self.allowed:
            raise Violation("LIMIT-1", f"{view.active} jobs hold a slot under a limit of {limit}")
        if view.pending:
            full = limit is not None and view.active >= limit
            self.demand(
                full, "LIMIT-2", f"{view.pending} jobs are pending, {view.active} of {limit} slots are taken"
            )
            if room:
                self.demand(
                    view.pending <= room, "LIMIT-3", f"{view.pending} are pending, the limit is {room}"
                )

    def _check_job(self, body: Body) -> None:
        """What a job says of itself must be what the registry says of it."""
        assert self.reference is not None
        job, state = body.job, self.reference.states[body]
        body.inspected = state
        self.demand(job.state == state, "WAIT-5", f"{body.name} is {job.state}, and should be {state}")
        shown = {"pending": job.pending, "active": job.active, "closed": job.closed, "done": job.done()}
        wanted = {name: state in states for name, states in seen().items() if name in shown}
        self.demand(shown == wanted, "WAIT-5", f"{body.name} is {state} and shows {shown}")
        inside = state in {"pending", "active", "closing"}
        self.demand(
            (job in self.world.scheduler) is inside, "BOOK-1", f"{body.name} is {state}: in the scheduler?"
        )
        self._check_result(body, ended=not inside)

    def _check_result(self, body: Body, *, ended: bool) -> None:
        job = body.job
        result, exception = _ask(job.result), _ask(job.exception)
        if not ended:
            right = job.outcome is None and all(
                type(a) is asyncio.InvalidStateError for a in (result, exception)
            )
            self.demand(right, "WAIT-5", f"{body.name} has not ended and answers {result!r}, {exception!r}")
            return
        way = body.fate or "cancelled"
        assert self.reference is not None
        if not self.reference.was_active(body):
            self.demand(way == "never", "START-2", f"{body.name} was dropped, and its coroutine is open")
        requirement = "START-2" if way == "never" else _TIME if body.is_timed else "WAIT-5"
        self.demand(
            job.outcome == _OUTCOMES[way], requirement, f"{body.name} {how(body)}; outcome {job.outcome}"
        )
        if way == "returned":
            right = result == body.value and exception is None
        elif way == "raised":
            right = result is exception and body.caused(exception)
        elif way == "timed_out":
            self.demand(
                not job.cancelled(), _TIME, f"{body.name} has timed out, and says that it was cancelled"
            )
            right = result is exception and type(exception) is TimeoutError
        else:
            right = all(isinstance(answer, self.world.package.stopped) for answer in (result, exception))
        requirement = _TIME if way == "timed_out" else "WAIT-5"
        self.demand(right, requirement, f"{body.name} {how(body)} and answers {result!r}, {exception!r}")

    # The end.

    def settle(self) -> None:
        """Everything is over: nothing may be left of it."""
        world = self.world
        for call in world.calls:
            self.demand(call.over, "WAIT-4", f"{call.name} is never answered")
        for body in world.bodies:
            body.look()
            self.demand(
                body.ended or body.trace is None, "SPAWN-1", f"the coroutine of {body.name} is left behind"
            )
            if not body.shielded:
                self._check_freed(body)
        view = world.view()
        self.demand(view.size == 0, "BOOK-1", f"everything has ended, and there is left: {view}")
        if world.virtual is not None:
            left = world.virtual.timers()
            self.demand(not left, "COST-1", f"timers are left behind: {left}")

    def _check_freed(self, body: Body) -> None:
        if body.failed_inside or (body.carrier is not None and body.fate != body.ended):
            return  # its traceback holds the frames that called it, the caller's own among them
        kept = [what for what in (body.trace, body.task) if what is not None and what() is not None]
        self.demand(not kept, "BOOK-3", f"of {body.name} there is left: {[what() for what in kept]}")

    def spinning(self) -> Violation:
        """What a loop that never becomes quiet is."""
        return Violation(
            "SHUT-4", "the loop spins: something is ready in every turn, and nothing ever changes"
        )

    def key(self) -> tuple[Any, ...]:
        """What this oracle remembers that has a bearing on what it will say."""
        now = self.world.now()
        since = None if self.closing_since is None else round(min(now - self.closing_since, _FAR), 6)
        base = None if self.closing_base is None else round(min(now - self.closing_base, _FAR), 6)
        untold = self.world.environment.untold()
        above = 0 if self.allowed is None else self.allowed - (self.world.limit or 0)
        doomed = tuple(sorted(body.number for body in self.doomed))
        return (since, base, doomed, self.handled, untold, above, self.account.key())


def _ask(question: Any) -> Any:
    """What a method answers, be it by raising."""
    try:
        return question()
    except BaseException as error:  # noqa: BLE001 - every answer is an answer
        # What says that there is no answer yet is nobody's but ours; its traceback would hold us.
        passing = isinstance(error, (asyncio.CancelledError, asyncio.InvalidStateError))
        return error.with_traceback(None) if passing else error
