"""A timer fires between what an event from outside asks for and the reaction: an order of its own, and it is seen."""

from dataclasses import replace

from aiojobs_verification.simulation.search.explorer import explore
from aiojobs_verification.simulation.world.packages import own
from planted.faults import FAULTS, planted

FAULT = FAULTS["deadline_of_a_drain_closes_by_itself"]


def test_a_fault_that_needs_this_order_is_found_in_it_and_in_no_other():
    (finding,) = explore(FAULT.scope, planted(FAULT)).findings.values()
    assert FAULT.is_told_by(finding)
    assert ("fire",) in finding.events
    assert not explore(replace(FAULT.scope, timers_first=False), planted(FAULT)).findings


def test_this_order_leads_to_states_that_no_other_leads_to():
    first, last = (explore(replace(FAULT.scope, timers_first=first), own()) for first in (True, False))
    assert first.states > last.states
    assert first.depth >= last.depth
