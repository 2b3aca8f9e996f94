"""The rules by which the follower refuses a record or a call, each with its requirements and its place in `spec/`.

Rules of this file. A rule has one name, by which the code that enforces it and the corrupted trace that only it
refuses are found. `place` names the statement in the specification that it follows from; a rule about *who* has no
statement there, because counters know no identity, and names what it adds instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from aiojobs_verification.follower.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RULES", "FollowerRule", "refuse"]


class FollowerRule(NamedTuple):
    """What may not happen, and why."""

    place: str
    requirements: tuple[str, ...]
    broken: str
    """What has happened if the rule is broken."""


RULES: Final[Mapping[str, FollowerRule]] = {
    # What a job does.
    "known": FollowerRule(
        "follower: identity", ("BOOK-1",), "something is told of a job that was never accepted"
    ),
    "new": FollowerRule(
        "job.toml: machine", ("BOOK-1",), "a job is accepted twice, or in another state than the first"
    ),
    "state": FollowerRule(
        "job.toml: machine", ("BOOK-1",), "a job is told to be in a state in which it was not"
    ),
    "table": FollowerRule("job.toml: machine", ("CLOSE-3",), "a job does what the table does not say"),
    "ended once": FollowerRule(
        "scheduler.toml: balance.slots", ("LIMIT-6",), "a job ends twice, or is asked to stop after its end"
    ),
    "dropped for good": FollowerRule("job.toml: machine", ("START-2",), "a job starts that has ended"),
    # Slots and the queue.
    "limit": FollowerRule(
        "scheduler.toml: step.starts_within_limit", ("LIMIT-1",), "a job starts although no slot is free for it"
    ),
    "slot handed on": FollowerRule(
        "scheduler.toml: step.slot_is_handed_on",
        ("LIMIT-2",),
        "a slot is free, and the job that waits for it is not started",
    ),
    "pending limit": FollowerRule(
        "scheduler.toml: invariant.within_pending_limit",
        ("LIMIT-3",),
        "a job is queued although the queue is full",
    ),
    "queue order": FollowerRule(
        "follower: order of arrival", ("LIMIT-5",), "a job starts before one that came earlier"
    ),
    "limit raised": FollowerRule(
        "scheduler.toml: action.set_limit_start",
        ("LIMIT-7", "LIMIT-2"),
        "the limit is set, and not as many start as fit",
    ),
    # Calls of `spawn`.
    "called": FollowerRule(
        "scheduler.toml: balance.one_job_per_call", ("SPAWN-1",), "a job is accepted that nobody spawned"
    ),
    "blocks": FollowerRule(
        "scheduler.toml: enabled.blocks",
        ("LIMIT-4",),
        "a spawn blocks although there is a slot or a place for it",
    ),
    "full": FollowerRule(
        "scheduler.toml: enabled.blocks", ("SPAWN-5",), "a spawn says that the queue is full, and it is not"
    ),
    "no overtaking": FollowerRule(
        "scheduler.toml: step.place_is_handed_on",
        ("LIMIT-5",),
        "a spawn is admitted before one that is blocked",
    ),
    "place handed on": FollowerRule(
        "scheduler.toml: step.place_is_handed_on",
        ("LIMIT-4", "LIMIT-5"),
        "a place in the queue falls free, and the blocked spawn does not get it",
    ),
    "returns with a job": FollowerRule(
        "scheduler.toml: balance.one_job_per_call", ("SPAWN-1",), "a spawn returns and has no job"
    ),
    "raises without a job": FollowerRule(
        "scheduler.toml: balance.one_job_per_call", ("SPAWN-1",), "a spawn raises and leaves its job behind"
    ),
    "refused by closing": FollowerRule(
        "scheduler.toml: balance.blocked_calls", ("SPAWN-2",), "a spawn returns although closing has begun"
    ),
    "answered": FollowerRule(
        "scheduler.toml: balance.blocked_calls",
        ("SPAWN-2",),
        "a spawn is not answered although closing has begun",
    ),
    # Closing.
    "nothing accepted": FollowerRule(
        "scheduler.toml: step.nothing_starts_after_close",
        ("SPAWN-2", "SHUT-1"),
        "a spawn is accepted after closing has begun",
    ),
    "nothing starts": FollowerRule(
        "scheduler.toml: step.nothing_starts_by_closing",
        ("SHUT-1", "START-2"),
        "a job starts although closing has begun",
    ),
    "everybody asked": FollowerRule(
        "scheduler.toml: invariant.quiet_after_close",
        ("SHUT-1",),
        "closing begins, and not everybody is dropped or asked to stop",
    ),
    "dropped in order": FollowerRule(
        "follower: order of arrival", ("SHUT-1",), "closing drops jobs out of their order"
    ),
    "asked first": FollowerRule(
        "scheduler.toml: action.shutdown", ("SHUT-1",), "closing cancels a job that was not asked to stop"
    ),
    "closes once": FollowerRule("scheduler.toml: phase.machine", ("SHUT-1",), "closing begins twice"),
    "settles after closing": FollowerRule(
        "scheduler.toml: phase.machine", ("SHUT-2",), "closing is over before it began, or is over twice"
    ),
    # The counters.
    "counted": FollowerRule(
        "scheduler.toml: balance.books", ("BOOK-1",), "the jobs and the counters disagree"
    ),
}


def refuse(name: str, expected: str) -> None:
    """A rule is broken.

    Raises:
        Violation: always.
    """
    rule = RULES[name]
    first, *others = rule.requirements
    raise Violation(first, f"{rule.broken}; expected {expected}", others=others, rule=rule.place)
