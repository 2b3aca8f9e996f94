"""`Admission.set_limit` and `resume`: whatever the limit was, and whatever it becomes.

How it works: raising the limit is one action of the specification and several answers of the code. So it is shown of
each answer that it leaves what the whole comes to as it was, and of the last one that nothing is left to be done.
"""

from __future__ import annotations

from counters import GUARDS, Numbers

from aiojobs._admission import Next
from aiojobs._lifecycle import Phase

_STARTS = (Next.START, Next.START_AND_ADMIT)


def a_limit_that_is_set_stops_nobody_and_drops_nobody(before: Numbers, unlimited: bool, limit: int) -> None:
    assert before.sound()
    assert limit >= 1
    it = before.admission()
    it.set_limit(None if unlimited else limit)
    now = before.after(it)
    assert it.limit == (None if unlimited else limit)
    assert now[2:8] == (before.pending_limit, before.phase, before.running, 0, before.pending, before.blocked)
    assert now.knows_its_surplus()
    assert now.is_on_the_way()


def a_limit_that_lets_nobody_in_is_the_action_of_the_specification(
    before: Numbers, unlimited: bool, limit: int
) -> None:
    assert before.sound()
    assert limit >= 1
    assert (0 if unlimited else limit) != (0 if before.unlimited else before.limit)
    assert before.pending == 0 or (not unlimited and before.running >= limit)
    it = before.admission()
    it.set_limit(None if unlimited else limit)
    answer = it.resume()
    assert answer is Next.NOTHING
    assert before.is_followed_by("set_limit_idle", it, 0 if unlimited else limit)


def a_limit_that_lets_somebody_in_begins_the_action_of_the_specification(
    before: Numbers, unlimited: bool, limit: int
) -> None:
    assert before.sound()
    assert limit >= 1
    assert before.pending > 0
    assert unlimited or before.running + 1 <= limit
    it = before.admission()
    it.set_limit(None if unlimited else limit)
    answer = it.resume()
    assert answer in _STARTS
    assert GUARDS["set_limit_start"](*before.in_the_order_of_the_file(0 if unlimited else limit))


def each_start_that_follows_leaves_what_the_whole_comes_to(before: Numbers) -> None:
    assert before.is_on_the_way()
    assert before.knows_its_surplus()
    assert before.pending > 0
    assert before.unlimited or before.running + 1 <= before.limit
    it = before.admission()
    it.resume()
    now = before.after(it)
    assert now.is_on_the_way()
    assert now.knows_its_surplus()
    assert now.running == before.running + 1
    chosen = 0 if before.unlimited else before.limit
    assert now.comes_to("set_limit_start", chosen) == before.comes_to("set_limit_start", chosen)


def when_nothing_follows_nobody_waits_for_a_slot_that_is_free(before: Numbers) -> None:
    assert before.is_on_the_way()
    assert before.knows_its_surplus()
    assert before.pending == 0 or (not before.unlimited and before.running >= before.limit)
    it = before.admission()
    answer = it.resume()
    assert answer is Next.NOTHING
    assert before.sound()
    assert before.after(it)[3:] == (before.phase, before.running, 0, *before[6:])


def whoever_waits_starts_exactly_when_the_limit_allows_one_more(before: Numbers) -> None:
    assert before.is_on_the_way()
    assert before.knows_its_surplus()
    answer = before.admission().resume()
    free = before.unlimited or before.running + 1 <= before.limit
    assert (answer in _STARTS) == (before.pending > 0 and free)
    assert (answer is Next.START_AND_ADMIT) == (before.blocked > 0 and free)


def nothing_starts_by_a_limit_once_closing_has_begun(before: Numbers, unlimited: bool, limit: int) -> None:
    assert before.sound()
    assert before.phase is not Phase.OPEN
    assert limit >= 1
    it = before.admission()
    it.set_limit(None if unlimited else limit)
    answer = it.resume()
    assert answer is Next.NOTHING
    assert it.running == before.running
