"""The table that the library obeys is the one that an independent machine makes of the same file.

The whole product of states and events is enumerated, not sampled.
"""

import itertools
import subprocess
import sys

import pytest

from aiojobs import _lifecycle
from aiojobs._lifecycle import (
    HOLDS_SLOT,
    INITIAL,
    PHASES,
    SEEN_AS_CLOSED,
    TERMINAL,
    TRANSITIONS,
    Event,
    Outcome,
    Phase,
    PhaseEvent,
    State,
)
from aiojobs_verification.codegen.lifecycle import digest
from aiojobs_verification.specification.reference_machine import LifecycleMachine
from support.library import SOURCES


@pytest.mark.parametrize(("state", "event"), [*itertools.product(State, Event)])
def test_every_cell_of_the_job_table_is_what_the_reference_machine_does(spec, state, event):
    assert TRANSITIONS[state][event] == LifecycleMachine(spec.job.machine).fire(state.value, event.value)


@pytest.mark.parametrize(("phase", "event"), [*itertools.product(Phase, PhaseEvent)])
def test_every_cell_of_the_phase_table_is_what_the_reference_machine_does(spec, phase, event):
    assert PHASES[phase][event] == LifecycleMachine(spec.scheduler.phase).fire(phase.value, event.value)


def test_there_are_no_other_states_events_outcomes_and_cells(spec):
    job, phase = spec.job.machine, spec.scheduler.phase
    assert [*State] == [*job.states] == [*TRANSITIONS]
    assert [*Event] == [*job.events]
    assert [*Outcome] == [*spec.job.outcomes]
    assert [*Phase] == [*phase.states] == [*PHASES]
    assert [*PhaseEvent] == [*phase.events]
    assert all([*row] == [*Event] for row in TRANSITIONS.values())
    assert all([*row] == [*PhaseEvent] for row in PHASES.values())


def test_the_three_kinds_of_cells_are_all_there():
    cells = [(state, dest) for state, row in TRANSITIONS.items() for dest in row.values()]
    assert sum(dest is None for _, dest in cells) == 13
    assert sum(dest is state for state, dest in cells) == 4
    assert sum(dest is not None and dest is not state for state, dest in cells) == 8


def test_cells_are_the_members_themselves_so_that_identity_can_be_compared():
    dests = [dest for row in [*TRANSITIONS.values(), *PHASES.values()] for dest in row.values()]
    assert {type(dest) for dest in dests} == {State, Phase, type(None)}


def test_the_sets_are_those_of_the_file(spec):
    job = spec.job
    assert job.machine.initial == INITIAL
    assert job.machine.final == TERMINAL == job.properties["done"]
    assert job.properties["holds_slot"] == HOLDS_SLOT
    assert job.properties["closed"] == SEEN_AS_CLOSED


def test_terminal_states_are_never_left_and_all_others_are():
    for state, row in TRANSITIONS.items():
        dests = {dest for dest in row.values() if dest is not None} - {state}
        assert bool(dests) is (state not in TERMINAL)


@pytest.mark.requirement("START-2")
def test_no_event_leads_from_a_job_closed_while_pending_to_one_that_runs():
    assert TRANSITIONS[State.PENDING][Event.CLOSE] is State.CLOSED
    assert all(dest in {None, State.CLOSED} for dest in TRANSITIONS[State.CLOSED].values())


@pytest.mark.requirement("CLOSE-3")
@pytest.mark.parametrize("state", [State.CLOSING, *sorted(TERMINAL)])
def test_closing_a_job_that_was_asked_already_or_has_ended_changes_nothing(state):
    assert TRANSITIONS[state][Event.CLOSE] is state


@pytest.mark.requirement("LIMIT-6")
@pytest.mark.parametrize(("state", "event"), [*itertools.product(State, Event)])
def test_a_slot_is_taken_by_start_alone_and_given_back_by_an_end_alone(state, event):
    dest = TRANSITIONS[state][event]
    taken = dest in HOLDS_SLOT and state not in HOLDS_SLOT
    given_back = dest is not None and dest not in HOLDS_SLOT and state in HOLDS_SLOT
    assert not taken or event is Event.START
    assert not given_back or event in {Event.FINISH, Event.CANCEL}


def test_the_digest_is_that_of_the_sources(root):
    assert digest(root / "spec") == _lifecycle.SPEC_DIGEST


def test_the_digest_can_be_repeated_with_a_tool_that_everybody_has(root):
    sources = [root / "spec" / "job.toml", root / "spec" / "scheduler.toml"]
    script = "import hashlib,sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    content = b"".join(path.read_bytes() for path in sources)
    done = subprocess.run([sys.executable, "-c", script], input=content, capture_output=True, check=True)
    assert f"sha256:{done.stdout.decode().strip()}" == _lifecycle.SPEC_DIGEST


def test_the_module_needs_nothing_but_the_standard_library():
    # -S leaves site-packages out, so that nothing that was ever installed can be found.
    script = "import aiojobs._lifecycle as m; print(m.INITIAL)"
    command = [sys.executable, "-S", "-W", "error", "-c", script]
    environment = {"PYTHONPATH": SOURCES, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "pending\n", "")


def test_the_oracle_notices_a_cell_that_was_changed(edited):
    """The comparison above can fail: with one cell redirected in the file, the table no longer agrees."""
    from aiojobs_verification.specification.job import read_job

    old = '{ trigger = "cancel", source = "active",  dest = "closed" }'
    folder = edited("job.toml", old, old.replace("closed", "done"))
    oracle = LifecycleMachine(read_job(folder / "job.toml").machine)
    differing = [
        (state, event)
        for state, event in itertools.product(State, Event)
        if TRANSITIONS[state][event] != oracle.fire(state.value, event.value)
    ]
    assert differing == [(State.ACTIVE, Event.CANCEL)]
