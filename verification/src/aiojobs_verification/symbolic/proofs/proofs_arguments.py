"""The checks of arguments, as far as they are arithmetic.

What a refusal prints is a value and takes the symbol out of it, so refusals are confirmed in a small range.
"""

from __future__ import annotations

from counters import refused

from aiojobs._validate import check_count, seconds


def a_count_that_is_large_enough_is_accepted(value: int, least: int) -> None:
    assert value >= least
    refusal = refused(check_count, "limit", value, least=least)
    assert refusal is None


def a_count_that_is_too_small_is_refused(short_by: int) -> None:
    assert 1 <= short_by <= 4
    limit = refused(check_count, "limit", 1 - short_by, least=1)
    pending_limit = refused(check_count, "pending_limit", -short_by, least=0)
    assert limit is ValueError
    assert pending_limit is ValueError


def a_truth_value_is_neither_a_count_nor_a_duration(value: bool) -> None:
    assert value in (True, False)
    count = refused(check_count, "limit", value, least=0)
    duration = refused(seconds, "timeout", value)
    assert count is TypeError
    assert duration is TypeError


def a_duration_is_taken_as_it_is_and_more_than_a_lifetime_is_none(value: float) -> None:
    assert value >= 0
    taken = seconds("timeout", value)
    assert (taken is None) == (value > 1e9)
    assert taken is None or taken == value
