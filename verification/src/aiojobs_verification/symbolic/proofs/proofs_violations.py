"""`Admission.violations` complains whenever the numbers break a rule: a debug check can be believed."""

from __future__ import annotations

from counters import Numbers  # noqa: TC002 - CrossHair looks at the types

from aiojobs._lifecycle import Phase


def it_complains_exactly_of_numbers_that_break_a_rule(it: Numbers) -> None:
    assert it.limit >= 1
    assert it.pending_limit >= 0
    assert it.active >= 0
    assert it.closing >= 0
    broken = it.admission().violations()
    assert (broken == []) == it.keeps_the_rules()


def it_names_the_rule(it: Numbers) -> None:
    assert it.limit >= 1
    assert it.pending_limit >= 0
    assert not it.unlimited
    broken = it.admission().violations()
    assert ("LIMIT-1" in broken) == (it.running > it.limit + it.surplus)
    assert ("LIMIT-2" in broken) == (it.pending > 0 and it.running < it.limit)
    assert ("LIMIT-3" in broken) == (it.pending_limit > 0 and it.pending > it.pending_limit)
    assert ("LIMIT-4" in broken) == (it.blocked > 0 and not 0 < it.pending_limit <= it.pending)
    assert ("SHUT-1" in broken) == (it.phase is not Phase.OPEN and (it.pending > 0 or it.blocked > 0))
    assert ("BOOK-1" in broken) == (it.running < 0 or it.pending < 0 or it.blocked < 0 or it.surplus < 0)
