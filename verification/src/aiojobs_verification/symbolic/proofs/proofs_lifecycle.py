"""The tables: total, no way out of an end, no way back, and a slot is given and given back at known cells."""

from __future__ import annotations

from aiojobs._lifecycle import (
    HOLDS_SLOT,
    INITIAL,
    PHASES,
    SEEN_AS_CLOSED,
    TERMINAL,
    TRANSITIONS,
    Event,
    Phase,
    PhaseEvent,
    State,
)
from aiojobs_verification.specification.load import load

_JOB = load().job.machine.cells
_PHASE = load().scheduler.phase.cells
_AGE = {Phase.OPEN: 0, Phase.CLOSING: 1, Phase.CLOSED: 2}


def the_job_table_is_total_and_the_specification(state: State, event: Event) -> None:
    assert state in State
    dest = TRANSITIONS[state][event]
    assert dest == _JOB[state.value][event.value]
    assert dest is None or dest in TRANSITIONS


def the_phase_table_is_total_and_the_specification(phase: Phase, event: PhaseEvent) -> None:
    assert phase in Phase
    dest = PHASES[phase][event]
    assert dest == _PHASE[phase.value][event.value]
    assert dest is None or dest in PHASES


def an_end_is_never_left(state: State, event: Event) -> None:
    assert state in TERMINAL
    dest = TRANSITIONS[state][event]
    assert dest in (None, state)
    assert (dest is state) == (event is Event.CLOSE)


def only_who_was_asked_to_stop_is_asked_in_vain(state: State, event: Event) -> None:
    assert state in State
    dest = TRANSITIONS[state][event]
    by_somebody = event is Event.CLOSE and state in SEEN_AS_CLOSED
    by_time = event is Event.EXPIRE and state is State.CLOSING
    assert (dest is state) == (by_somebody or by_time)


def time_is_over_for_who_holds_a_slot_and_it_keeps_that(state: State) -> None:
    assert state in State
    dest = TRANSITIONS[state][Event.EXPIRE]
    assert dest in (None, State.CLOSING)
    assert (dest is None) == (state not in HOLDS_SLOT)


def closing_can_always_be_asked_for(state: State) -> None:
    assert state in State
    dest = TRANSITIONS[state][Event.CLOSE]
    assert dest in SEEN_AS_CLOSED


def nobody_who_was_asked_to_stop_becomes_active_again(state: State, event: Event) -> None:
    assert state in SEEN_AS_CLOSED
    dest = TRANSITIONS[state][event]
    assert dest is None or dest in SEEN_AS_CLOSED


def a_slot_is_given_by_start_alone(state: State, event: Event) -> None:
    assert state not in HOLDS_SLOT
    dest = TRANSITIONS[state][event]
    assert (dest in HOLDS_SLOT) == (state is INITIAL and event is Event.START)


def a_slot_is_given_back_by_the_end_of_the_coroutine_alone(state: State, event: Event) -> None:
    assert state in HOLDS_SLOT
    dest = TRANSITIONS[state][event]
    assert (dest is None) == (event is Event.START)
    assert (dest in TERMINAL) == (event in (Event.FINISH, Event.CANCEL))
    assert (dest in HOLDS_SLOT) == (event in (Event.CLOSE, Event.EXPIRE))


def a_job_that_is_closed_while_it_waits_never_starts(event: Event) -> None:
    assert event in Event
    dropped = TRANSITIONS[State.PENDING][Event.CLOSE]
    assert dropped is State.CLOSED
    assert TRANSITIONS[dropped][event] in (None, dropped)


def the_phase_never_goes_back(phase: Phase, event: PhaseEvent) -> None:
    assert PHASES[phase][event] is not None
    dest = PHASES[phase][event]
    assert _AGE[dest] - _AGE[phase] in (0, 1)
    assert dest is not Phase.OPEN or event is not PhaseEvent.CLOSE
