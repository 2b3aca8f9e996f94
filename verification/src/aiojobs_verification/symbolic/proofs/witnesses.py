"""Statements that are false and must be refuted: each answer of `Admission` comes about.

A tool that confirms everything is found out by them in every run.
"""

from __future__ import annotations

from counters import Numbers  # noqa: TC002 - CrossHair looks at the types

from aiojobs._admission import Next, Verdict


def no_job_starts_at_once(before: Numbers) -> None:
    assert before.sound()
    verdict = before.admission().offer(may_block=True)
    assert verdict is not Verdict.START


def no_job_queues(before: Numbers) -> None:
    assert before.sound()
    verdict = before.admission().offer(may_block=True)
    assert verdict is not Verdict.QUEUE


def no_call_is_blocked(before: Numbers) -> None:
    assert before.sound()
    verdict = before.admission().offer(may_block=True)
    assert verdict is not Verdict.BLOCK


def no_call_finds_it_full(before: Numbers) -> None:
    assert before.sound()
    verdict = before.admission().offer(may_block=False)
    assert verdict is not Verdict.FULL


def no_call_is_refused(before: Numbers) -> None:
    assert before.sound()
    verdict = before.admission().offer(may_block=True)
    assert verdict is not Verdict.REFUSE


def no_slot_becomes_free(before: Numbers) -> None:
    assert before.sound()
    assert before.running > 0
    answer = before.admission().ended()
    assert answer is not Next.NOTHING


def no_end_starts_a_job(before: Numbers) -> None:
    assert before.sound()
    assert before.running > 0
    answer = before.admission().ended()
    assert answer is not Next.START


def no_end_moves_a_call_up(before: Numbers) -> None:
    assert before.sound()
    assert before.running > 0
    answer = before.admission().ended()
    assert answer is not Next.START_AND_ADMIT


def no_withdrawal_moves_a_call_up(before: Numbers) -> None:
    assert before.sound()
    assert before.pending > 0
    answer = before.admission().withdrawn()
    assert answer is not Next.ADMIT


def no_limit_starts_a_job(before: Numbers, limit: int) -> None:
    assert before.sound()
    assert limit >= 1
    it = before.admission()
    it.set_limit(limit)
    answer = it.resume()
    assert answer is not Next.START


def no_limit_moves_a_call_up(before: Numbers, limit: int) -> None:
    assert before.sound()
    assert limit >= 1
    it = before.admission()
    it.set_limit(limit)
    answer = it.resume()
    assert answer is not Next.START_AND_ADMIT


def no_limit_leaves_too_many_running(before: Numbers, limit: int) -> None:
    assert before.sound()
    assert limit >= 1
    it = before.admission()
    it.set_limit(limit)
    assert it.surplus == 0
