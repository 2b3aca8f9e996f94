"""Which jobs of a picture can't go on: what follows from who waits for whom, and from nothing else (SEE-2)."""

import itertools

import pytest

from aiojobs import BlockedSpawn, JobSnapshot, Phase, Snapshot, State, Wait
from aiojobs._snapshot import stuck_among

pytestmark = pytest.mark.requirement("SEE-2")


def job(number, place=None, *, drain=True):
    state = State.ACTIVE if place is None else State.PENDING
    task = -number if place is None else None
    return JobSnapshot(number, None, "work", state, None, None, place, (), drain, None, task)


def picture(
    running, pending=(), waits=(), *, limit="full", idlers=(), blocked=0, endless=(), phase=Phase.OPEN
):
    """Jobs by their numbers, tasks of jobs by the negative ones; a wait is a pair, the second None for a slot."""
    jobs = [job(number, drain=number not in endless) for number in running]
    jobs += [job(number, place) for place, number in enumerate(pending, 1)]
    return Snapshot(
        phase=phase,
        limit=len(running) if limit == "full" else limit,
        pending_limit=0,
        active_count=len(running),
        pending_count=len(pending),
        blocked_count=blocked,
        shielded_count=0,
        jobs=tuple(jobs),
        blocked=(BlockedSpawn(None, "work", ()),) * blocked,
        tasks=(),
        waits=tuple(Wait(*wait) for wait in waits),
        idlers=tuple(idlers),
    )


def stuck(*pictures):
    return [job.id for job in stuck_among(pictures)]


def test_nobody_is_stuck_where_nobody_waits():
    assert stuck(picture([1, 2], [3, 4])) == []
    assert stuck(picture([])) == []


def test_the_jobs_that_hold_all_slots_and_wait_for_pending_ones_are():
    assert stuck(picture([1, 2], [3, 4], [(1, 3), (2, 4)])) == [1, 2]


def test_one_slot_that_falls_free_is_enough_for_all_that_are_pending():
    assert stuck(picture([1, 2], [3, 4], [(1, 3)])) == []


def test_no_limit_means_no_waiting_for_a_slot():
    assert stuck(picture([1], [3], [(1, 3)], limit=None)) == []


def test_after_the_limit_was_lowered_more_than_one_has_to_end():
    assert stuck(picture([1, 2, 3], [4], [(1, 4)], limit=2)) == []
    assert stuck(picture([1, 2, 3], [4], [(1, 4), (2, 4)], limit=2)) == [1, 2]
    assert stuck(picture([1, 2, 3], [4], [(1, 4), (2, 4)], limit=3)) == []


def test_one_that_waits_for_itself_or_in_a_circle_is_however_many_slots_there_are():
    assert stuck(picture([1, 2, 3], waits=[(1, 1)])) == [1]
    assert stuck(picture([1, 2, 3], waits=[(1, 2), (2, 1)])) == [1, 2]
    assert stuck(picture([1, 2, 3], waits=[(3, 1), (1, 2), (2, 1)], limit=None)) == [1, 2, 3]


def test_a_chain_to_one_that_can_go_on_is_none():
    assert stuck(picture([1, 2, 3], waits=[(1, 2), (2, 3)])) == []


def test_what_is_between_two_jobs_hands_it_on():
    assert stuck(picture([1], [3], [(1, 50), (50, 3)])) == [1]
    assert stuck(picture([1], [3], [(1, 50), (1, 51), (50, 3)])) == [1]
    assert stuck(picture([1, 2], [3], [(1, 50), (50, 3)])) == []


def test_a_blocked_spawn_waits_for_a_slot():
    assert stuck(picture([1], [3], [(1, None)], blocked=1)) == [1]
    assert stuck(picture([1, 2], [3], [(1, None)], blocked=1)) == []


def test_whoever_waits_for_the_end_of_everything_waits_for_each():
    assert stuck(picture([1, 2], waits=[(1, 50)], idlers=[50])) == [1]
    assert stuck(picture([1, 2], [3], waits=[(1, 50), (2, 3)], idlers=[50])) == [1, 2]


def test_draining_waits_neither_for_endless_jobs_nor_closing_for_less_than_all():
    ticker = {"idlers": [1], "endless": [1]}
    assert stuck(picture([1, 2], **ticker)) == []
    assert stuck(picture([1, 2], [3], **ticker)) == []
    assert stuck(picture([1], [3], **ticker)) == [1]
    assert stuck(picture([1, 2], phase=Phase.CLOSING, **ticker)) == [1]


def test_draining_waits_for_blocked_callers():
    assert stuck(picture([1], idlers=[1], endless=[1], blocked=1)) == [1]
    assert stuck(picture([1, 2], idlers=[1], endless=[1], blocked=1)) == []


def test_the_first_of_several_is_taken_to_come():
    assert stuck(picture([1], [3, 4], [(1, 3, True), (1, 4, True)])) == []
    assert stuck(picture([1], [3, 4], [(1, 3, True), (1, 4)])) == [1]


def test_what_is_a_task_in_one_picture_and_a_job_in_the_other_is_one():
    ours = picture([1], [2], [(-3, 2)])  # a task, which is job 3 of theirs, waits for our pending one
    theirs = picture([3], [4], [(-1, 4)])
    assert stuck(ours) == stuck(theirs) == []
    assert stuck(ours, theirs) == stuck(*iter([ours, theirs])) == [1, 3]


def test_whoever_waits_for_the_end_of_another_scheduler_is_known_there_by_its_task():
    ours = picture([1], [2], [])
    theirs = picture([3], [], [(-1, 3)], idlers=[-1])
    assert stuck(ours, theirs) == []
    assert stuck(picture([1], [2], [(-3, 2)]), theirs) == [1, 3]


def by_exhaustion(limit, pending, waits):
    """The same by the text: a set that can go on grows until nothing is added."""
    running = list(range(limit))
    going = set()
    for _ in range(10):
        free = any(number in going for number in running)
        for number in [*running, *pending]:
            needs = [awaited for waiter, awaited in waits if waiter == number]
            can = all((free if awaited is None else awaited in going) for awaited in needs)
            if can and (number in running or free):
                going.add(number)
    return [number for number in running if number not in going]


def test_all_small_pictures_agree_with_the_definition():
    edges = [(waiter, awaited) for waiter in (0, 1) for awaited in (0, 1, 2, 3, None)]
    seen = set()
    for count in range(4):
        for waits in itertools.combinations(edges, count):
            expected = by_exhaustion(2, (2, 3), waits)
            assert stuck(picture([0, 1], [2, 3], waits)) == expected, waits
            seen.add(tuple(expected))
    assert seen == {(), (0,), (1,), (0, 1)}


def test_ten_thousand_in_a_row_take_no_time_to_speak_of():
    chain = [(number, number + 1) for number in range(10_000)]
    assert stuck(picture(range(10_001), waits=chain)) == []
    assert len(stuck(picture(range(10_001), waits=[*chain, (10_000, 0)]))) == 10_001
