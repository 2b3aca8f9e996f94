"""What the requirements demand of a real run, checked after every turn of the loop.

Rules of this file: it compares what the scheduler says and answers with what really happened (`truth`),
and with the specification's own books (`books`). Each rule names the requirement that it speaks for. A
rule that would only follow from how this scheduler happens to be written has no place here: the same judge
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
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiojobs.spec.books import Books, Violation, seen
from aiojobs.spec.truth import WithFailure

if TYPE_CHECKING:
    from aiojobs.spec.driver import World
    from aiojobs.spec.packages import View
    from aiojobs.spec.truth import Body, Call

__all__ = ["Judge", "Violation"]

_EPS: Final = 1e-6

_OUTCOMES: Final = {
    "returned": "returned",
    "raised": "raised",
    "cancelled": "cancelled",
    "never": "never_started",
}
"""What `Job.outcome` must be for each way in which a body ended."""

_ON_CANCEL: Final = {
    "spawn": "SPAWN-1",
    "wait": "WAIT-1",
    "await": "WAIT-1",
    "wait-for": "WAIT-1",
    "close": "CLOSE-4",
    "close-for": "CLOSE-4",
    "shut": "SHUT-3",
    "drain": "SHUT-4",
    "drain-for": "SHUT-4",
    "with": "SHUT-6",
    "shield": "EXC-4",
}
"""Which promise a caller relies on when it is cancelled."""


class Judge:
    """Watches one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        scope = world.scope
        self.books = Books(scope.limit, scope.pending_limit) if world.package.observed else None
        self.spoken: set[str] = set()
        self.arrivals = 0
        self.closing_since: float | None = None
        """When closing was first seen to have begun."""
        self.closing_base: float | None = None
        """When the loop was first quiet after that: every cancellation has been delivered."""
        self.doomed: set[Body] = set()
        """Who waited to start when closing began."""
        self.handled = 0
        """How often the handler was called; in a world where it raises, as often the loop must hear of it."""
        self.grace = 0.0
        """How much later than its deadline an answer may come; nothing in virtual time."""
        self.coarse = _EPS
        """By how much a timer may fire early."""
        self._read = 0
        self._complaints = 0

    # The three moments.

    def look(self, *, quiet: bool) -> None:
        """Look at everything that happened since the last time."""
        self.read()
        view = self.world.package.view(self.world.scheduler)
        self._after_turn(view)
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
        while self._read < len(facts):
            fact = facts[self._read]
            self._read += 1
            getattr(self, f"_on_{fact[0]}")(*fact[1:])
        if self.books is not None:
            self.books.settle_group()
        for body in self.world.bodies:
            if not body.began and body.coroutine is not None:
                body.look()

    def demand(self, holds: object, requirement: str, text: str) -> None:
        """A requirement speaks; it is broken if this does not hold."""
        self.spoken.add(requirement)
        if not holds:
            raise Violation(requirement, text)

    # What was noted.

    def _on_event(self, event: Any) -> None:
        """An outside event: the world's doing."""

    def _on_spawning(self, body: Body) -> None:
        body.arrival = self.arrivals
        self.arrivals += 1
        if self.books is not None:
            self.books.called(body)

    def _on_called(self, call: Call) -> None:
        pass

    def _on_closing(self, doomed: list[Body]) -> None:
        self._begin_closing()
        self.doomed.update(doomed)

    def _begin_closing(self) -> None:
        if self.closing_since is None:
            self.closing_since = self.world.now()

    def _on_began(self, body: Body) -> None:
        if body.shielded:
            return
        limit = self.world.scope.limit
        if limit is not None:
            alive = sum(1 for other in self.world.bodies if other.alive and not other.shielded)
            self.demand(alive <= limit, "LIMIT-1", f"{alive} coroutines run under a limit of {limit}")
        self.demand(
            body not in self.doomed, "SHUT-1", f"{body.name} waited when closing began, and then starts"
        )
        self.demand(
            not (body.calling_cancelled and body.job is None),
            "SPAWN-1",
            f"{body.name} runs although its spawn was cancelled before it returned",
        )
        self.spoken.add("START-1")

    def _on_hit(self, body: Body) -> None:
        if body.hit or body.shielded:
            return
        self.demand(body.cancels <= 1, "CLOSE-1", f"{body.name} is cancelled {body.cancels} times")
        asked = self._was_asked(body)
        self.demand(asked, "CLOSE-1", f"{body.name} is cancelled although nobody asked it to stop")

    def _was_asked(self, body: Body) -> bool:
        """Whether somebody has asked this job to stop."""
        if self.closing_since is not None or self.world.scheduler.closed or body.calling_cancelled:
            return True
        return any(self._asks(call) for call in self.world.calls if call.body is body)

    def _asks(self, call: Call) -> bool:
        if call.called_at is None:
            return False
        if call.kind == "wait-for":
            return self.world.now() >= call.called_at + self.world.scope.timeout - self.coarse
        return call.kind in {"close", "close-for"}

    def _on_ended(self, body: Body) -> None:
        if body.ended == "destroyed":
            raise Violation("START-1", f"the running coroutine of {body.name} was thrown away")
        if body.ended == "never" and not body.shielded and not body.hit:
            began_before = body.job is not None and self.books is not None and self.books.was_active(body)
            self.demand(not began_before, "START-1", f"{body.name} was active, and never took its first step")

    def _on_tried(self, body: Body, order: str, answer: str) -> None:
        if answer == "None" and order == "self-shut" and self._closed:
            return  # closing is over: there is nothing that could be refused
        self.demand(
            answer == "RuntimeError", "WAIT-4", f"{body.name}: {order} gives {answer}, not a RuntimeError"
        )

    @property
    def _closed(self) -> bool:
        return self.books is None or self.books.phase == "closed"

    def _on_record(self, body: Body | None, event: str, source: str | None, dest: str) -> None:
        assert self.books is not None
        if body is None:
            self._on_phase(event)
        elif event == "close":
            self.demand(
                self._was_asked(body), "CLOSE-1", f"{body.name} is closed although nobody asked for it"
            )
        elif event in {"finish", "cancel"}:
            body.look()
            right = {"finish": {"returned", "raised"}, "cancel": {"cancelled", "never"}}[event]
            really = body.ended in right or body.hit
            self.demand(really, "LIMIT-6", f"{event} of {body.name}, whose coroutine {_how(body)}")
        self.books.record(body, event, source, dest)

    def _on_phase(self, event: str) -> None:
        if event == "close":
            self._begin_closing()
            self._demand_reason_to_close()
        else:
            self._demand_settled()

    def _demand_reason_to_close(self) -> None:
        world = self.world
        for call in world.calls:
            if call.called_at is None:
                continue
            if call.kind == "shut" or (call.kind == "with" and call.left_at is not None):
                return
            if (
                call.kind in {"drain", "drain-for"}
                and world.now() >= self._drain_deadline(call) - self.coarse
            ):
                return
        draining = any(call.kind in {"drain", "drain-for"} and call.called_at for call in world.calls)
        self.demand(
            draining and self._idle(), "SHUT-4", "closing begins while jobs run, and nobody asked for it"
        )

    def _idle(self) -> bool:
        """Nothing runs and nothing waits to."""
        return not any(body.alive or self._waits(body) for body in self.world.bodies)

    def _waits(self, body: Body) -> bool:
        return not body.began and body.ended is None and body.job is not None

    def _drain_deadline(self, call: Call) -> float:
        since = call.left_at if call.kind == "with" else call.called_at
        assert since is not None
        scope = self.world.scope
        return since + (scope.timeout if call.kind == "drain-for" else scope.wait_timeout)

    def _demand_settled(self) -> None:
        """Closing is over when nothing runs any more, or at its deadline."""
        running = [body.name for body in self.world.bodies if body.alive]
        self.demand(
            not running or self._close_deadline_has_come(),
            "SHUT-2",
            f"closing is over before its deadline, and {', '.join(running)} still runs",
        )

    def _close_deadline_has_come(self) -> bool:
        since = self.closing_since
        return since is not None and self.world.now() >= since + self.world.scope.close_timeout - self.coarse

    # Reports to the exception handler.

    def _on_report(self, context: dict[str, Any]) -> None:
        self.handled += 1
        error, message = context.get("exception"), context.get("message")
        self.demand(
            isinstance(error, BaseException) and isinstance(message, str) and "job" in context,
            "EXC-2",
            f"the handler gets {sorted(context)} with {error!r}",
        )
        body = next((body for body in self.world.bodies if body.error is error), None)
        if body is not None:
            self._on_failure(body, context)
        elif "timed out" in str(message):
            self._on_late(context)
        else:
            raise Violation("EXC-1", f"the handler hears {message!r} of {error!r}, which no job raised")

    def _on_failure(self, body: Body, context: dict[str, Any]) -> None:
        body.reports += 1
        requirement = "EXC-4" if body.shielded else "EXC-1"
        self.demand(body.reports == 1, requirement, f"the handler hears twice of the failure of {body.name}")
        if not body.shielded:
            named = context["job"].get_name() == body.name
            self.demand(named, "EXC-2", f"the failure of {body.name} is reported of {context['job']!r}")

    def _on_late(self, context: dict[str, Any]) -> None:
        body = self._late_body(context)
        body.late_reports += 1
        self.demand(body.late_reports == 1, "SHUT-2", f"{body.name} is reported twice as late")
        self.demand(body.ended is None, "SHUT-2", f"{body.name} is reported as late, and it {_how(body)}")
        self.demand(
            self._close_deadline_has_come(), "SHUT-2", f"{body.name} is reported as late before the deadline"
        )

    def _late_body(self, context: dict[str, Any]) -> Body:
        if context["job"] is not None:
            return self.world.by_name[context["job"].get_name()]
        future = context.get("future")
        for body in self.world.bodies:
            if body.task is not None and body.task() is future:
                return body
        raise Violation("SHUT-2", f"{future!r} is reported as late, and nobody shielded it")

    # Answers.

    def _on_nowait(self, body: Body, before: View, error: BaseException | None) -> None:
        scope, package = self.world.scope, self.world.package
        full = scope.limit is not None and before.active >= scope.limit
        full = full and 0 < scope.pending_limit <= before.pending
        if error is not None and self.books is not None:
            self.books.turned_away(body)
        if before.phase != "open":
            self.demand(
                isinstance(error, RuntimeError), "SPAWN-2", f"spawn_nowait after close gives {error!r}"
            )
        elif full:
            right = isinstance(error, package.full) and isinstance(error, asyncio.QueueFull)
            self.demand(right, "SPAWN-5", f"spawn_nowait gives {error!r} although all places are taken")
        else:
            self.demand(error is None, "SPAWN-5", f"spawn_nowait raises {error!r} although there is a place")

    def _on_answered(self, call: Call) -> None:
        if call.body is not None:
            call.body.look()
        if call.cancelled and not (call.kind == "with" and call.called_in == call.answered_in):
            self._cancelled_answer(call)
        else:
            {
                "spawn": self._spawn_answer,
                "wait": self._wait_answer,
                "await": self._wait_answer,
                "wait-for": self._wait_answer,
                "close": self._close_answer,
                "close-for": self._close_answer,
                "shut": self._end_answer,
                "drain": self._end_answer,
                "drain-for": self._end_answer,
                "with": self._end_answer,
                "shield": self._shield_answer,
            }[call.kind](call)
        call.error = None  # its traceback holds the frames that hold it

    def _cancelled_answer(self, call: Call) -> None:
        own = type(call.error) is asyncio.CancelledError
        self.demand(own, _ON_CANCEL[call.kind], f"{call.name} was cancelled and answers {call.error!r}")
        if call.kind == "spawn" and self.books is not None:
            assert call.body is not None
            self.books.turned_away(call.body)
        if call.kind == "with" and call.cancels == 1:
            self._demand_closed(call, "SHUT-6")

    def _spawn_answer(self, call: Call) -> None:
        body, error = call.body, call.error
        assert body is not None
        waited = call.called_in != call.answered_in
        if error is not None and self.books is not None:
            self.books.turned_away(body)
        if not call.open_before or (waited and not call.open_after):
            self.demand(
                isinstance(error, RuntimeError), "SPAWN-2", f"{call.name} answers {error!r} after close"
            )
        else:
            self.demand(error is None, "SPAWN-1", f"{call.name} raises {error!r}")

    def _wait_answer(self, call: Call) -> None:
        body, error = call.body, call.error
        assert body is not None
        if call.kind == "wait-for" and isinstance(error, TimeoutError):
            self._timeout_answer(call)
            return
        self.demand(body.ended is not None, "WAIT-3", f"{call.name} answers {error!r} while {body.name} runs")
        if call.expired_at is not None:
            raise Violation(
                "WAIT-2", f"{call.name} has expired, and answers {error!r} instead of TimeoutError"
            )
        if body.ended == "returned":
            right = error is None and call.value == body.value
            self.demand(right, "WAIT-3", f"{call.name} answers {error!r} of a job that returned")
        elif body.ended == "raised":
            self.demand(error is body.error, "WAIT-3", f"{call.name} answers {error!r} of a job that raised")
            self._received(call)
        else:
            stopped = isinstance(error, self.world.package.stopped)
            self.demand(stopped, "WAIT-3", f"{call.name} answers {error!r} of a job that was stopped")

    def _received(self, call: Call) -> None:
        if not call.late and call.body is not None:
            call.body.receivers += 1

    def _timeout_answer(self, call: Call) -> None:
        body, now, scope = call.body, self.world.now(), self.world.scope
        assert body is not None
        assert call.called_at is not None
        deadline = call.called_at + scope.timeout
        self.demand(now >= deadline - self.coarse, "WAIT-2", f"{call.name} expires before its time")
        in_time = body.quiet_at is not None and body.quiet_at < deadline - self.coarse
        self.demand(not in_time, "WAIT-2", f"{call.name} expires, but {body.name} had ended in time")
        if body.ended is None:
            late = now >= deadline + scope.close_timeout - self.coarse
            self.demand(late, "WAIT-2", f"{call.name} does not wait for the end of {body.name}")
        self.demand(body.job.closed, "WAIT-2", f"{call.name} expires, and {body.name} is not closed")

    def _close_answer(self, call: Call) -> None:
        body, error = call.body, call.error
        assert body is not None
        assert call.called_at is not None
        within = self.world.scope.timeout if call.kind == "close-for" else self.world.scope.close_timeout
        deadline = call.called_at + within
        if call.late:
            self.demand(error is None, "CLOSE-3", f"{call.name} of an ended job answers {error!r}")
        elif isinstance(error, TimeoutError):
            in_time = body.quiet_at is not None and body.quiet_at < deadline - self.coarse
            on_time = self.world.now() >= deadline - self.coarse and not in_time
            self.demand(on_time, "CLOSE-2", f"{call.name} times out, and {body.name} {_how(body)}")
        elif body.ended == "raised":
            self.demand(error is body.error, "CLOSE-3", f"{call.name} answers {error!r} of a job that raised")
            self._received(call)
        else:
            own = not isinstance(error, asyncio.CancelledError)
            self.demand(own, "CLOSE-4", f"{call.name} answers {error!r} although nobody cancelled the caller")
            self.demand(error is None, "CLOSE-3", f"{call.name} answers {error!r}")
            self.demand(
                body.ended is not None, "CLOSE-2", f"{call.name} returns, and {body.name} {_how(body)}"
            )

    def _end_answer(self, call: Call) -> None:
        """Of `close`, `wait_and_close` and `async with`."""
        error = call.error
        if call.kind == "with":
            right = isinstance(error, WithFailure) if call.left == "leave-raise" else error is None
            self.demand(right, "SHUT-6", f"{call.name} answers {error!r}")
        else:
            self.demand(error is None, "SHUT-5", f"{call.name} raises {error!r}")
        self._demand_closed(call, {"shut": "SHUT-3", "with": "SHUT-6"}.get(call.kind, "SHUT-4"))

    def _demand_closed(self, call: Call, requirement: str) -> None:
        running = [body.name for body in self.world.bodies if body.alive]
        over = not running or self._close_deadline_has_come()
        self.demand(
            over, requirement, f"{call.name} returns before closing is over: {', '.join(running)} still runs"
        )
        self.demand(not call.open_after, requirement, f"{call.name} returns, and the scheduler is open")

    def _shield_answer(self, call: Call) -> None:
        body, error = call.body, call.error
        assert body is not None
        if not call.open_before:
            self.demand(isinstance(error, RuntimeError), "SPAWN-2", f"shield after close answers {error!r}")
        elif body.ended == "returned":
            right = error is None and call.value == body.value
            self.demand(right, "WAIT-4", f"{call.name} answers {error!r} of a coroutine that returned")
        elif body.ended == "raised":
            self.demand(error is body.error, "WAIT-4", f"{call.name} answers {error!r} of a failure")
            self._received(call)
        else:
            stopped = isinstance(error, asyncio.CancelledError)
            self.demand(stopped and body.ended, "WAIT-4", f"{call.name} answers {error!r} of {body.name}")

    # After every turn.

    def _after_turn(self, view: View) -> None:
        world = self.world
        if view.phase != "open":
            self._begin_closing()
            self.demand(
                view.pending == 0, "SHUT-1", f"{view.pending} jobs are pending although closing has begun"
            )
        self._check_counts(view)
        if self.books is not None:
            self.books.compare(view)
            if len(view.listed) > 1:
                self.spoken.add("BOOK-2")
            for body in world.bodies:
                if body.job is not None and body.inspected != self.books.states[body]:
                    self._check_job(body)
        if len(world.complaints) > self._complaints:
            self._check_complaints()
        if world.warnings:
            raise Violation("SPAWN-1", f"Python warns: {world.warnings[0].message}")

    def _check_counts(self, view: View) -> None:
        limit, room = self.world.scope.limit, self.world.scope.pending_limit
        if view.size != view.active + view.pending or view.size != len(view.listed) or min(view[1:3]) < 0:
            raise Violation("BOOK-1", f"the counts disagree: {view}")
        if limit is not None and view.active > limit:
            raise Violation("LIMIT-1", f"{view.active} jobs hold a slot under a limit of {limit}")
        if view.pending:
            full = view.active == limit
            self.demand(
                full, "LIMIT-2", f"{view.pending} jobs are pending, {view.active} of {limit} slots are taken"
            )
            if room:
                self.demand(
                    view.pending <= room, "LIMIT-3", f"{view.pending} are pending, the limit is {room}"
                )

    def _check_job(self, body: Body) -> None:
        """What a job says of itself must be what the books say of it."""
        assert self.books is not None
        job, state = body.job, self.books.states[body]
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
        how = body.ended or "cancelled"
        self.demand(
            job.outcome == _OUTCOMES[how], "WAIT-5", f"{body.name} {_how(body)}; outcome {job.outcome}"
        )
        if how == "returned":
            right = result == body.value and exception is None
        elif how == "raised":
            right = result is body.error and exception is body.error
        else:
            right = all(isinstance(answer, self.world.package.stopped) for answer in (result, exception))
        self.demand(right, "WAIT-5", f"{body.name} {_how(body)} and answers {result!r}, {exception!r}")
        if how == "never":
            self.spoken.add("START-2")

    def _check_complaints(self) -> None:
        world = self.world
        while self._complaints < len(world.complaints):
            context = world.complaints[self._complaints]
            self._complaints += 1
            error = context.get("exception")
            if error is not None and type(error).__name__ == "HandlerFailure":
                error.__traceback__ = None  # it would keep whatever the scheduler was doing
                self.handled -= 1
                self.demand(
                    self.handled >= 0,
                    "EXC-2",
                    "the loop hears of more failures of the handler than there were",
                )
            elif world.scope.handler == "loop" and "job" in context:
                self._on_report(context)
            elif not self._passed_over(error):
                raise Violation("EXC-1", f"the loop complains: {context.get('message')!r} of {error!r}")

    def _passed_over(self, error: object) -> bool:
        """A shielded failure whose caller was cancelled in the very pass in which it was told."""
        return any(
            body.shielded and body.error is error and body.call_cancelled for body in self.world.bodies
        )

    # When nothing more happens by itself.

    def _note_quiet(self) -> None:
        """Remember when it first was quiet after closing began, after an end, after a deadline."""
        now = self.world.now()
        if self.closing_since is not None and self.closing_base is None:
            self.closing_base = now
        for body in self.world.bodies:
            if body.ended is not None and body.quiet_at is None:
                body.quiet_at = now
        for call in self.world.calls:
            if call.kind == "wait-for" and call.open and call.expired_at is None:
                assert call.called_at is not None
                if now >= call.called_at + self.world.scope.timeout + self.grace - _EPS:
                    call.expired_at = now

    def _when_quiet(self, view: View) -> None:
        self._note_quiet()
        alive = [body for body in self.world.bodies if body.alive and not body.shielded]
        self._check_slots(view, alive)
        for body in self.world.bodies:
            self._check_body(body, view)
        for call in self.world.calls:
            if call.open:
                self._check_waiting(call, view)
        self._check_order()
        if self.world.scope.handler == "raises":
            self.demand(self.handled == 0, "EXC-2", "the loop never hears that the handler has failed")
        if view.phase in {"closed", "not open"}:
            self._check_closed()

    def _check_slots(self, view: View, alive: list[Body]) -> None:
        if view.phase != "not open":
            running = ", ".join(body.name for body in alive) or "nothing"
            self.demand(
                view.active == len(alive), "LIMIT-6", f"{view.active} slots are taken; what runs: {running}"
            )
        limit = self.world.scope.limit
        if view.pending and view.phase == "open":
            self.demand(
                len(alive) == limit, "LIMIT-2", f"{len(alive)} coroutines run, {view.pending} jobs wait"
            )

    def _check_body(self, body: Body, view: View) -> None:
        if body.ended is None:
            if body.began and body.cancels == 0 and self._certainly_asked(body, view):
                requirement = "SHUT-2" if body.shielded else "CLOSE-1"
                raise Violation(requirement, f"{body.name} was asked to stop, and is never told")
            return
        if body.ended == "raised":
            self._check_received(body)

    def _certainly_asked(self, body: Body, view: View) -> bool:
        if body.hit:
            return False
        if view.phase != "open":
            return True
        return any(
            call.body is body and call.kind in {"close", "close-for"} and call.called_at is not None
            for call in self.world.calls
        )

    def _check_received(self, body: Body) -> None:
        """A failure has reached a caller or the handler, exactly once in all."""
        if body.shielded:
            self._check_shield_received(body)
            return
        told = f"{body.receivers} callers received it, the handler heard of it {body.reports} times"
        once = body.reports == (0 if body.receivers else 1)
        self.demand(once, "EXC-1", f"{body.name} failed with {type(body.error).__name__}; {told}")
        if not isinstance(body.error, Exception):
            self.spoken.add("EXC-3")

    def _check_shield_received(self, body: Body) -> None:
        told = f"{body.receivers} callers received it, the handler heard of it {body.reports} times"
        if body.call_cancelled_before_end:
            self.demand(body.reports == 1, "EXC-4", f"{body.name} failed behind a caller who is gone; {told}")
        elif not body.call_cancelled:
            self.demand(body.receivers == 1 and not body.reports, "EXC-4", f"{body.name} failed; {told}")

    def _check_waiting(self, call: Call, view: View) -> None:
        """Whoever still waits must have a reason to."""
        kind = call.kind
        if kind == "spawn":
            self._check_blocked(call, view)
        elif kind in {"shut", "drain", "drain-for", "with"}:
            self._check_ending(call, view)
        elif kind == "shield":
            assert call.body is not None
            self.demand(call.body.ended is None, "WAIT-4", f"{call.name} is never answered")
        else:
            self._check_job_waiting(call)

    def _check_blocked(self, call: Call, view: View) -> None:
        scope = self.world.scope
        self.demand(view.phase == "open", "SPAWN-2", f"{call.name} still waits after closing has begun")
        full = 0 < scope.pending_limit == view.pending and view.active == scope.limit
        self.demand(full, "LIMIT-4", f"{call.name} is blocked, and there is a place: {view}")

    def _check_job_waiting(self, call: Call) -> None:
        body, now, scope = call.body, self.world.now(), self.world.scope
        assert body is not None
        assert call.called_at is not None
        self.demand(body.ended is None, "WAIT-4", f"{body.name} has ended, and {call.name} is never answered")
        if call.expired_at is not None:
            over = now >= call.expired_at + scope.close_timeout + self.grace - _EPS
            self.demand(not over, "WAIT-2", f"{call.name} has expired twice over, and is not answered")
            self.demand(
                body.job.closed, "WAIT-2", f"{call.name} has expired, and {body.name} is not asked to stop"
            )
        elif call.kind in {"close", "close-for"}:
            within = scope.timeout if call.kind == "close-for" else scope.close_timeout
            over = now >= call.called_at + within + self.grace - _EPS
            self.demand(not over, "CLOSE-2", f"{call.name} is not answered at its deadline")

    def _check_ending(self, call: Call, view: View) -> None:
        if call.kind == "with" and call.left_at is None:
            return  # still inside
        idle = self._idle()
        if view.phase == "open":
            over = call.kind == "shut" or self.world.now() >= self._drain_deadline(call) + self.grace - _EPS
            requirement = "SHUT-6" if call.kind == "with" else "SHUT-4"
            self.demand(not over, requirement, f"{call.name} has not begun to close")
            self.demand(not idle, requirement, f"{call.name} still waits although nothing is left")
            return
        self.demand(not idle, "SHUT-2", f"{call.name} still waits although nothing runs")
        assert self.closing_base is not None
        over = self.world.now() >= self.closing_base + self.world.scope.close_timeout + self.grace - _EPS
        self.demand(not over, "SHUT-2", f"{call.name} is not answered at the deadline of closing")

    def _check_order(self) -> None:
        """Nobody who came later runs while somebody who came earlier waits."""
        waiting = [body.arrival for body in self.world.bodies if self._stands_in_line(body)]
        if not waiting:
            return
        first = min(waiting)
        for body in self.world.bodies:
            ahead = body.began and body.arrival > first and not body.shielded
            self.demand(not ahead, "LIMIT-5", f"{body.name} has begun before one that came earlier")

    def _stands_in_line(self, body: Body) -> bool:
        if body.shielded or body.began or body.ended is not None or body.arrival < 0:
            return False
        if body.job is not None:
            return bool(body.job.pending)
        return body.call is not None and body.call.open

    def _check_closed(self) -> None:
        """At the end of closing everything that still runs has been reported, once."""
        if self.world.package.phases:
            for body in self.world.bodies:
                if body.alive:
                    late = body.late_reports == 1
                    self.demand(
                        late, "SHUT-2", f"{body.name} outlives closing; reports of that: {body.late_reports}"
                    )

    # The end.

    def settle(self) -> None:
        """Everything is over: nothing may be left of it."""
        world = self.world
        for call in world.calls:
            self.demand(call.over, "WAIT-4", f"{call.name} is never answered")
        for body in world.bodies:
            body.look()
            self.demand(
                body.ended or body.arrival < 0, "SPAWN-1", f"the coroutine of {body.name} is left behind"
            )
            if not body.shielded:
                self._check_freed(body)
        view = world.package.view(world.scheduler)
        self.demand(view.size == 0, "BOOK-1", f"everything has ended, and there is left: {view}")
        if world.virtual is not None:
            left = world.virtual.timers()
            self.demand(not left, "COST-1", f"timers are left behind: {left}")

    def _check_freed(self, body: Body) -> None:
        if body.failed_inside:
            return  # its traceback holds the frames that called it, the caller's own among them
        kept = [what for what in (body.trace, body.task) if what is not None and what() is not None]
        self.demand(not kept, "BOOK-3", f"of {body.name} there is left: {[what() for what in kept]}")

    def spinning(self) -> Violation:
        """What a loop that never becomes quiet is."""
        return Violation(
            "SHUT-4", "the loop spins: something is ready in every turn, and nothing ever changes"
        )

    def key(self) -> tuple[Any, ...]:
        """What this judge remembers that has a bearing on what it will say."""
        now = self.world.now()
        since = None if self.closing_since is None else round(min(now - self.closing_since, 99.0), 6)
        base = None if self.closing_base is None else round(min(now - self.closing_base, 99.0), 6)
        return (since, base, tuple(sorted(body.number for body in self.doomed)), self.handled)


def _how(body: Body) -> str:
    return {None: "has not ended", "never": "never began"}.get(body.ended, body.ended or "")


def _ask(question: Any) -> Any:
    """What a method answers, be it by raising."""
    try:
        return question()
    except BaseException as error:  # noqa: BLE001 - every answer is an answer
        return error.with_traceback(None) if isinstance(error, asyncio.CancelledError) else error
