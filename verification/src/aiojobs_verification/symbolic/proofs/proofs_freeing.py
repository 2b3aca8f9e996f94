"""`Admission.ended`, `withdrawn` and `give_up`: what follows when a slot or a place is released."""

from __future__ import annotations

from counters import Numbers  # noqa: TC002 - CrossHair looks at the types

from aiojobs._admission import Next
from aiojobs._lifecycle import Phase

_STARTS = (Next.START, Next.START_AND_ADMIT)
_ADMITS = (Next.ADMIT, Next.START_AND_ADMIT)
_END = {Next.NOTHING: "idle", Next.START: "next", Next.START_AND_ADMIT: "refill"}
_CLOSE = {Next.NOTHING: "close_pending", Next.ADMIT: "close_pending_refill"}


def an_end_keeps_the_rules(before: Numbers) -> None:
    assert before.sound()
    assert before.running > 0
    it = before.admission()
    it.ended()
    now = before.after(it)
    assert now.sound()
    assert now[:4] == before[:4]


def an_end_gives_one_slot_back_and_on_at_most_once(before: Numbers) -> None:
    assert before.sound()
    assert before.running > 0
    it = before.admission()
    answer = it.ended()
    started = 1 if answer in _STARTS else 0
    admitted = 1 if answer in _ADMITS else 0
    assert it.running == before.running - 1 + started
    assert it.pending == before.pending - started + admitted
    assert it.blocked == before.blocked - admitted


def an_end_starts_the_next_job_exactly_when_one_waits_and_not_too_many_run(before: Numbers) -> None:
    assert before.sound()
    assert before.running > 0
    answer = before.admission().ended()
    assert (answer in _STARTS) == (before.pending > 0 and before.surplus == 0)
    assert (answer in _ADMITS) == (before.blocked > 0 and before.surplus == 0)


def an_end_starts_nobody_while_too_many_run(before: Numbers) -> None:
    assert before.sound()
    assert before.surplus > 0
    it = before.admission()
    answer = it.ended()
    assert answer is Next.NOTHING
    assert it.surplus == before.surplus - 1


def nothing_starts_by_an_end_once_closing_has_begun(before: Numbers) -> None:
    assert before.phase is not Phase.OPEN
    assert before.running > 0
    it = before.admission()
    answer = it.ended()
    assert answer is Next.NOTHING
    assert it.running == before.running - 1
    assert it.pending == before.pending
    assert it.blocked == before.blocked


def the_end_of_an_active_job_is_the_action_of_the_specification(before: Numbers) -> None:
    assert before.sound()
    assert before.active > 0
    it = before.admission()
    answer = it.ended()
    assert before.is_followed_by(f"end_active_{_END[answer]}", it)


def the_end_of_a_closing_job_is_the_action_of_the_specification(before: Numbers) -> None:
    assert before.sound()
    assert before.closing > 0
    it = before.admission()
    answer = it.ended()
    assert before.is_followed_by(f"end_closing_{_END[answer]}", it)


def a_withdrawal_keeps_the_rules(before: Numbers) -> None:
    assert before.sound()
    assert before.pending > 0
    it = before.admission()
    it.withdrawn()
    now = before.after(it)
    assert now.sound()
    assert now[:4] == before[:4]


def a_withdrawal_frees_one_place_and_starts_nobody(before: Numbers) -> None:
    assert before.sound()
    assert before.pending > 0
    it = before.admission()
    answer = it.withdrawn()
    admitted = 1 if answer is Next.ADMIT else 0
    assert answer in (Next.NOTHING, Next.ADMIT)
    assert (answer is Next.ADMIT) == (before.blocked > 0)
    assert it.running == before.running
    assert it.pending == before.pending - 1 + admitted
    assert it.blocked == before.blocked - admitted


def a_withdrawal_is_the_action_of_the_specification(before: Numbers) -> None:
    assert before.sound()
    assert before.pending > 0
    it = before.admission()
    answer = it.withdrawn()
    assert before.is_followed_by(_CLOSE[answer], it)


def giving_up_keeps_the_rules(before: Numbers) -> None:
    assert before.sound()
    assert before.blocked > 0
    it = before.admission()
    it.give_up()
    now = before.after(it)
    assert now.sound()
    assert now[:4] == before[:4]


def giving_up_is_the_action_of_the_specification(before: Numbers) -> None:
    assert before.sound()
    assert before.blocked > 0
    it = before.admission()
    it.give_up()
    assert before.is_followed_by("give_up", it)
