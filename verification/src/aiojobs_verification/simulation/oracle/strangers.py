"""The invariants of a world with strange task factories, odd coroutines, and foreign code that misbehaves.

Rules of this file: what foreign code raises is told, once: to the exception handler, to the loop's, or, what
wants the program to end, by coming out of the loop. It undoes nothing, and whoever looks from there finds the
scheduler in order (BOOK-4). A job ends as its coroutine did, or else as the task did that was to run it
(START-3); its task tells the truth (EXC-5).

Deliberately not here: the rules that hold in every world. They are asked by way of `Body.fate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.simulation.oracle.bench import Bench, how
from aiojobs_verification.simulation.oracle.reference import Violation

if TYPE_CHECKING:
    from aiojobs_verification.simulation.world.packages import View
    from aiojobs_verification.simulation.world.probes import Body

__all__ = ["Strangers"]

_FOREIGN: Final = "BOOK-4"
_CARRIED: Final = "START-3"
_TRUTH: Final = "EXC-5"


class Strangers(Bench):
    """The rules about foreign code."""

    def _on_peeked(self, view: View, place: str, halves: list[str]) -> None:
        """Foreign code has looked at the scheduler: it must have found it whole."""
        half = f"{place}: {', '.join(halves)} runs on though closing has begun, or has ended and is counted"
        self.demand(not halves or place == "observer", _FOREIGN, half)
        together = view.size == view.active + view.pending == len(view.listed)
        self.demand(together, _FOREIGN, f"{place}: the counts disagree: {view}")
        if self.reference is not None and place != "observer" and not self.reference.agree(view):
            self.seen_inside.append((place, view))  # the observer may hear of the action only now

    def _explain_seen(self, *, over: bool) -> None:
        """What was seen from inside must be the state between two actions; `over`: no more follow."""
        assert self.reference is not None
        self.seen_inside = [seen for seen in self.seen_inside if not self.reference.agree(seen[1])]
        if over and self.seen_inside:
            place, view = self.seen_inside.pop()
            raise Violation(_FOREIGN, f"{place}: an action is not whole: {view}")

    def _on_failed_inside(self, kind: str, error: BaseException) -> None:
        raise Violation.crash(f"{kind}, asked by foreign code, fails", error)

    def _on_left_loop(self, error: BaseException) -> None:
        self._tell_stranger(error)

    def _on_left_to_python(self, error: BaseException) -> None:
        self._tell_stranger(error)

    def _tell_stranger(self, error: object) -> bool:
        """Somebody was told of what a stranger raised; whether it was that."""
        for thrown in self.world.environment.thrown:
            if thrown.error is error:
                thrown.told += 1
                thrown.forget()
                once = thrown.told == 1 or not thrown.owed
                self.demand(once, _FOREIGN, f"what {thrown.where} raised is told twice")
                return True
        return False

    def _on_stranger_report(self, context: dict[str, Any]) -> bool:
        """Of a report to the exception handler: whether it is about a stranger."""
        return self._tell_stranger(context.get("exception"))

    def _check_strangers(self) -> None:
        """When the loop is quiet everything that was raised has been told."""
        for thrown in self.world.environment.thrown:
            if not thrown.owed:
                thrown.forget()
            else:
                self.demand(thrown.told == 1, _FOREIGN, f"nobody is told of what {thrown.where} raised")
        for body in self.world.bodies:
            if body.carrier is not None and body.fate is not None:
                self._check_carried(body)

    def _check_followed(self) -> None:
        """A job ends with its task, whatever that does beside driving the coroutine."""
        for body in self.world.bodies:
            if body.carrier is not None and body.fate is not None:
                ended = body.job is None or self.world.seen_as_ended(body)
                self.demand(ended, _CARRIED, f"the task of {body.name} has ended, and its job has not")

    def _check_carried(self, body: Body) -> None:
        assert body.carrier is not None
        task: Any = body.carrier.task
        if task is not None and not body.carrier.judged:
            body.carrier.judged = True
            self._demand_taken(body, task)
            body.carrier.task = None  # what has ended is kept by nobody (BOOK-3)

    def _check_task(self, body: Body) -> None:
        """The task of a job that has ended, and that was made as always, has ended as the coroutine has."""
        task, body.kept = body.kept, None
        if task is None or body.shielded or body.carrier is not None or not self.world.package.truthful:
            return
        right = (
            task.done()
            and {
                "returned": task._state == "FINISHED" and task._result == body.value,
                "raised": task._exception is body.error,
                "cancelled": task.cancelled(),
            }[str(body.ended)]
        )
        self.demand(right, _TRUTH, f"{body.name} {how(body)}, and its task says {task!r}")
        self._demand_name(body, task)
        self._demand_taken(body, task)

    def _demand_name(self, body: Body, task: Any) -> None:
        """A task bears the name of its job; one without keeps that of its task if it may be reported."""
        known = self.world.environment.party.place != "get-name"  # its task can't be asked for it
        if known and body.job is not None and (body is not self.world.unnamed or body.ended != "returned"):
            job = body.job.get_name()
            self.demand(
                task.get_name() == job, _TRUTH, f"{body.name} is called {job!r}, its task {task.get_name()!r}"
            )

    def _demand_taken(self, body: Body, task: Any) -> None:
        if self.world.package.truthful:
            self.demand(
                not getattr(task, "_log_traceback", False),
                _TRUTH,
                f"what the task of {body.name} raised will be reported as never retrieved",
            )
