"""What is in a state of the model with named jobs, and a state that is being changed.

Rules of this file: a state never changes and can be hashed; what changes is a `Draft`, and `done` makes a
state of it. Calls and jobs are one row of numbers, 1, 2, 3, in the order in which `spawn` was called, so
"in the order of arrival" is "in the order of the numbers", whatever the queue does.

Deliberately not here: what can happen (`model`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "ANSWERED",
    "ENDED",
    "RUNNING",
    "Caller",
    "Draft",
    "Job",
    "Scope",
    "State",
    "Step",
]

RUNNING: Final = frozenset({"active", "closing"})
"""The states in which a job holds a slot."""

ENDED: Final = frozenset({"done", "closed"})
"""The states that are never left."""

ANSWERED: Final = frozenset({"returned", "withdrawn", "refused"})
"""What can have become of a call: it returned a job, its caller was cancelled, it raised `RuntimeError`."""


class Scope(NamedTuple):
    """How much of the world there is, and how the scheduler was created."""

    jobs: int
    callers: int
    limit: int | None
    pending_limit: int
    deadline: bool
    """Whether closing has a deadline (`close_timeout` is a number)."""
    ends: tuple[str, ...]
    """How coroutines can end: some of returned, raised, cancelled."""


class Job(NamedTuple):
    """A call of `spawn`, and the job that it asks for."""

    call: str = "none"
    """none, blocked, arriving (its caller was woken and has not resumed), returned, withdrawn, refused."""
    state: str = "none"
    """None until the job is accepted, then as in job.toml."""
    code: str = "none"
    """The coroutine: none, fresh, running, dropped without having run, or how it ended."""
    received: bool = False
    """Whether a caller that was waiting when the job failed has received the exception."""
    told: int = 0
    """How often the failure was given to the handler."""
    late: int = 0
    """How often the job was reported for not having stopped in time."""


class Caller(NamedTuple):
    """A caller of `wait` or `close`."""

    mode: str = "idle"
    """idle, waiting, watching (waits for the end, not for the outcome), woken, leaving, answered."""
    job: int = 0
    counted: bool = False
    """Whether an exception of the job is held back for the sake of this caller."""


class State(NamedTuple):
    """A state of the model."""

    phase: str
    taken: int
    jobs: tuple[Job, ...]
    queue: tuple[int, ...]
    outside: tuple[int, ...]
    callers: tuple[Caller, ...]

    def job(self, number: int) -> Job:
        """The job with a number; numbers begin with 1."""
        return self.jobs[number - 1]

    def caller(self, number: int) -> Caller:
        """The caller with a number; numbers begin with 1."""
        return self.callers[number - 1]

    def numbers(self, *states: str) -> list[int]:
        """The numbers of the jobs that are in one of `states`."""
        return [number for number, job in enumerate(self.jobs, 1) if job.state in states]


class Step(NamedTuple):
    """Something that can happen: the action, to which job or caller, how, and what then is."""

    action: str
    subject: int
    how: str
    state: State


class Draft:
    """A state that is being changed."""

    def __init__(self, state: State) -> None:
        self.phase = state.phase
        self.taken = state.taken
        self.jobs = list(state.jobs)
        self.queue = list(state.queue)
        self.outside = list(state.outside)
        self.callers = list(state.callers)

    def done(self) -> State:
        """The state that the changes lead to."""
        return State(
            self.phase,
            self.taken,
            tuple(self.jobs),
            tuple(self.queue),
            tuple(self.outside),
            tuple(self.callers),
        )

    def job(self, number: int) -> Job:
        """The job as it is now."""
        return self.jobs[number - 1]

    def call(self, number: int, value: str) -> None:
        """Change what has become of a call."""
        self.jobs[number - 1] = self.jobs[number - 1]._replace(call=value)

    def state(self, number: int, value: str) -> None:
        """Change the state of a job."""
        self.jobs[number - 1] = self.jobs[number - 1]._replace(state=value)

    def code(self, number: int, value: str) -> None:
        """Change what the coroutine of a job does."""
        self.jobs[number - 1] = self.jobs[number - 1]._replace(code=value)

    def tell(self, number: int) -> None:
        """Give the failure of a job to the handler."""
        job = self.jobs[number - 1]
        self.jobs[number - 1] = job._replace(told=job.told + 1)

    def receive(self, number: int) -> None:
        """A caller has received the failure of a job."""
        self.jobs[number - 1] = self.jobs[number - 1]._replace(received=True)

    def report_late(self, number: int) -> None:
        """Report a job for not having stopped in time."""
        job = self.jobs[number - 1]
        self.jobs[number - 1] = job._replace(late=job.late + 1)

    def caller(self, number: int, mode: str, *, job: int = 0, counted: bool = False) -> None:
        """Change a caller."""
        self.callers[number - 1] = Caller(mode, job, counted)

    def counted(self, job: int) -> list[int]:
        """The callers for whose sake an exception of the job is held back."""
        return [number for number, one in enumerate(self.callers, 1) if one.job == job and one.counted]
