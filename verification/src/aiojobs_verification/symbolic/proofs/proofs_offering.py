"""`Admission.offer`: the decision on a coroutine, for all limits and all numbers that they allow."""

from __future__ import annotations

from counters import Numbers

from aiojobs._admission import Admission, Verdict
from aiojobs._lifecycle import Phase

_ACTION = {Verdict.START: "spawn_start", Verdict.QUEUE: "spawn_queue", Verdict.BLOCK: "spawn_block"}


def a_new_scheduler_is_sound(unlimited: bool, limit: int, pending_limit: int) -> None:
    assert limit >= 1
    assert pending_limit >= 0
    it = Admission(None if unlimited else limit, pending_limit)
    numbers = (it.phase, it.running, 0, it.pending, it.blocked, it.surplus)
    assert Numbers(unlimited, limit, pending_limit, *numbers).sound()
    assert it.phase is Phase.OPEN
    assert it.running == 0
    assert it.violations() == []


def an_offer_keeps_the_rules(before: Numbers, may_block: bool) -> None:
    assert before.sound()
    it = before.admission()
    it.offer(may_block=may_block)
    now = before.after(it)
    assert now.sound()
    assert now[:4] == before[:4]


def an_offer_is_counted_once_or_not_at_all(before: Numbers, may_block: bool) -> None:
    assert before.sound()
    it = before.admission()
    verdict = it.offer(may_block=may_block)
    assert it.running - before.running == (1 if verdict is Verdict.START else 0)
    assert it.pending - before.pending == (1 if verdict is Verdict.QUEUE else 0)
    assert it.blocked - before.blocked == (1 if verdict is Verdict.BLOCK else 0)


def a_job_starts_at_once_exactly_when_a_slot_is_free(before: Numbers, may_block: bool) -> None:
    assert before.sound()
    verdict = before.admission().offer(may_block=may_block)
    free = before.unlimited or before.running + 1 <= before.limit
    assert (verdict is Verdict.START) == (before.phase is Phase.OPEN and free)


def a_job_queues_exactly_when_slots_are_taken_and_places_are_not(before: Numbers, may_block: bool) -> None:
    assert before.sound()
    verdict = before.admission().offer(may_block=may_block)
    full = not before.unlimited and before.running >= before.limit
    room = before.pending_limit == 0 or before.pending + 1 <= before.pending_limit
    assert (verdict is Verdict.QUEUE) == (before.phase is Phase.OPEN and full and room)


def a_call_waits_exactly_when_the_queue_is_full_and_it_may(before: Numbers, may_block: bool) -> None:
    assert before.sound()
    verdict = before.admission().offer(may_block=may_block)
    full = not before.unlimited and before.running >= before.limit
    packed = before.pending_limit > 0 and before.pending == before.pending_limit
    waits = before.phase is Phase.OPEN and full and packed
    assert (verdict is Verdict.BLOCK) == (waits and may_block)
    assert (verdict is Verdict.FULL) == (waits and not may_block)


def a_call_would_block_exactly_when_it_does(before: Numbers) -> None:
    assert before.sound()
    it = before.admission()
    would = it.would_block()
    assert before.after(it)[2:] == (before.pending_limit, before.phase, before.running, 0, *before[6:])
    verdict = it.offer(may_block=True)
    assert would == (verdict is Verdict.BLOCK)


def a_call_that_cannot_wait_is_otherwise_treated_the_same(before: Numbers) -> None:
    assert before.sound()
    patient, hurried = before.admission(), before.admission()
    answer = patient.offer(may_block=True)
    other = hurried.offer(may_block=False)
    assert other is (Verdict.FULL if answer is Verdict.BLOCK else answer)
    assert hurried.running == patient.running
    assert hurried.pending == patient.pending
    assert hurried.blocked == before.blocked


def nothing_is_accepted_once_closing_has_begun(before: Numbers, may_block: bool) -> None:
    assert before.sound()
    it = before.admission()
    verdict = it.offer(may_block=may_block)
    assert (verdict is Verdict.REFUSE) == (before.phase is not Phase.OPEN)


def an_offer_is_the_action_of_the_specification(before: Numbers) -> None:
    assert before.sound()
    assert before.phase is Phase.OPEN
    it = before.admission()
    verdict = it.offer(may_block=True)
    assert before.is_followed_by(_ACTION[verdict], it)
