"""The reference registry: it says what the scheduler must say of itself, also between two actions told together."""

import gc
import weakref

import pytest

from aiojobs_verification.simulation.oracle.reference import Reference, Violation
from aiojobs_verification.simulation.world.packages import View


class Job:
    """What the reference asks of a probe; the spawn of one that `waits` is a call that can be blocked."""

    def __init__(self, number, waits):
        self.number = self.arrival = number
        self.name = f"job {number}"
        self.call = object() if waits else None
        self.calling_cancelled = False


def tell(reference, who, *records):
    for event, source, dest in records:
        reference.record(who, event, source, dest)


ACCEPT = ("accept", None, "pending")
START = ("start", "pending", "active")
FINISH = ("finish", "active", "done")
CLOSE = ("close", "open", "closing")


@pytest.fixture
def reference():
    return Reference(1, 1)


def spawn(reference, number, *records, waits=False):
    made = Job(number, waits)
    reference.called(made)
    tell(reference, made, *records)
    return made


def test_it_counts_and_lists_the_jobs_in_the_order_in_which_they_were_spawned(reference):
    first, second = spawn(reference, 0, ACCEPT, START), spawn(reference, 1, ACCEPT)
    reference.settle()
    reference.compare(View("open", 1, 1, 2, ("job 0", "job 1")))
    assert reference.states == {first: "active", second: "pending"}
    assert reference.was_active(first)
    assert not reference.was_active(second)
    assert reference.actions == {"spawn_start", "spawn_queue"}
    assert reference.cells == {("pending", "start")}


@pytest.mark.parametrize(
    ("view", "requirement", "phrase"),
    [
        (View("closing", 1, 1, 2, ("job 0", "job 1")), "SHUT-1", "the phase is closing, and should be open"),
        (
            View("open", 2, 0, 2, ("job 0", "job 1")),
            "BOOK-1",
            "active 2, pending 0, len 2; there are 1 running",
        ),
        (View("open", 1, 1, 3, ("job 0", "job 1")), "BOOK-1", "len 3"),
        (View("open", 1, 1, 2, ("job 1", "job 0")), "BOOK-2", "in spawn order it is job 0, job 1"),
    ],
)
def test_a_scheduler_that_says_something_else_breaks_a_promise(reference, view, requirement, phrase):
    spawn(reference, 0, ACCEPT, START)
    spawn(reference, 1, ACCEPT)
    with pytest.raises(Violation, match=phrase) as excinfo:
        reference.compare(view)
    assert excinfo.value.requirement == requirement


def test_a_spawn_that_raises_gives_up_if_it_was_blocked_and_is_forgotten_otherwise(reference):
    spawn(reference, 0, ACCEPT, START)
    spawn(reference, 1, ACCEPT)
    blocked, refused = spawn(reference, 2, waits=True), spawn(reference, 3)
    reference.turned_away(refused, RuntimeError())
    assert reference.counters.blocked == 1
    reference.turned_away(blocked, None)
    reference.turned_away(blocked, None)  # its withdrawn job is told of once more
    assert reference.counters.blocked == 0
    assert reference.actions >= {"spawn_block", "give_up"}


def test_it_goes_at_once_with_its_world():
    reference = Reference(1, 1)
    spawn(reference, 0, ACCEPT, START, waits=True)
    gone = weakref.ref(reference)
    gc.disable()
    try:
        del reference
        assert gone() is None
    finally:
        gc.enable()


def test_while_an_action_is_half_told_nothing_agrees(reference):
    first = spawn(reference, 0, ACCEPT, START)
    spawn(reference, 1, ACCEPT)
    tell(reference, first, FINISH)
    assert not reference.agree(View("open", 0, 1, 1, ("job 1",)))


def test_what_was_to_be_seen_between_two_actions_that_were_told_together_agrees(reference):
    first, second = spawn(reference, 0, ACCEPT, START), spawn(reference, 1, ACCEPT)
    third = spawn(reference, 2, waits=True)
    third.calling_cancelled = True
    tell(reference, first, FINISH)
    tell(reference, second, START)
    tell(reference, second, FINISH)
    assert reference.agree(View("open", 1, 0, 1, ("job 1",)))
    assert reference.agree(View("open", 0, 0, 0, ()))
    spawn(reference, 3, ACCEPT, START)
    assert not reference.agree(View("open", 1, 0, 1, ("job 1",)))


def test_ends_that_are_told_with_closing_were_to_be_seen_one_by_one():
    reference = Reference(2, 1)
    first, second = spawn(reference, 0, ACCEPT, START), spawn(reference, 1, ACCEPT, START)
    tell(reference, None, CLOSE)
    assert reference.agree(View("closing", 2, 0, 2, ("job 0", "job 1")))
    tell(reference, first, FINISH)
    tell(reference, second, FINISH)
    for view in [
        View("closing", 2, 0, 2, ("job 0", "job 1")),
        View("closing", 1, 0, 1, ("job 1",)),
        View("closing", 0, 0, 0, ()),
    ]:
        assert reference.agree(view)
    tell(reference, None, ("settled", "closing", "closed"))
    assert not reference.agree(View("closing", 1, 0, 1, ("job 1",)))
