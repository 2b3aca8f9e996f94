"""`Admission.shutdown`, `settle` and `move`: the phase goes one way, and takes along whatever waits."""

from __future__ import annotations

from counters import Numbers, refused

from aiojobs._lifecycle import PHASES, Phase, PhaseEvent

_AGE = {Phase.OPEN: 0, Phase.CLOSING: 1, Phase.CLOSED: 2}


def closing_dismisses_whoever_waits_and_nobody_else(before: Numbers) -> None:
    assert before.sound()
    assert before.phase is Phase.OPEN
    it = before.admission()
    it.shutdown()
    now = before.after(it)
    assert now.sound()
    assert now.phase is Phase.CLOSING
    assert now.running == before.running
    assert now.pending == 0
    assert now.blocked == 0


def closing_is_the_action_of_the_specification(before: Numbers) -> None:
    assert before.sound()
    assert before.phase is Phase.OPEN
    it = before.admission()
    it.shutdown()
    assert before.is_followed_by("shutdown", it)


def the_end_of_closing_keeps_the_rules(before: Numbers) -> None:
    assert before.sound()
    assert before.phase is Phase.CLOSING
    it = before.admission()
    it.settle()
    now = before.after(it)
    assert now.sound()
    assert now.running == before.running


def the_end_of_closing_is_the_action_of_the_specification(before: Numbers) -> None:
    assert before.sound()
    assert before.phase is Phase.CLOSING
    it = before.admission()
    it.settle()
    assert before.is_followed_by("settle", it)


def a_move_is_that_of_the_table_and_changes_no_number(before: Numbers, event: PhaseEvent) -> None:
    assert PHASES[before.phase][event] is not None
    it = before.admission()
    it.move(event)
    assert it.phase is PHASES[before.phase][event]
    assert _AGE[it.phase] >= _AGE[before.phase]
    assert it.running == before.running
    assert it.pending == before.pending
    assert it.blocked == before.blocked


def an_illegal_move_raises_and_changes_nothing(before: Numbers, event: PhaseEvent) -> None:
    assert PHASES[before.phase][event] is None
    it = before.admission()
    refusal = refused(it.move, event)
    assert refusal is RuntimeError
    assert it.phase is before.phase
    assert it.running == before.running
    assert it.pending == before.pending
    assert it.blocked == before.blocked
