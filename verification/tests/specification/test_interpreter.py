"""The counters, run as a program: against the proofs' reading of the same text, and through small scopes."""

import itertools

import pytest
import z3

from aiojobs_verification.smt.solver import Terms
from aiojobs_verification.specification.interpret import Counters, Interpreter, NotEnabledError, parameters

SCOPES = [*itertools.product((1, 2, 3, None), (0, 1, 2))]


def interpreter(spec, limit=1, pending_limit=1):
    return Interpreter(spec.scheduler, parameters(limit, pending_limit))


def test_the_story_of_one_slot_one_place_and_one_call_too_many(spec):
    machine = interpreter(spec)
    state = machine.initial
    for action, expected in [
        ("spawn_start", ("open", 0, 1, 0, 0)),
        ("spawn_queue", ("open", 1, 1, 0, 0)),
        ("spawn_block", ("open", 1, 1, 0, 1)),
        ("close_active", ("open", 1, 0, 1, 1)),
        ("end_closing_refill", ("open", 1, 1, 0, 0)),
        ("close_pending", ("open", 0, 1, 0, 0)),
        ("shutdown", ("closing", 0, 0, 1, 0)),
        ("settle", ("closed", 0, 0, 1, 0)),
        ("end_closing_idle", ("closed", 0, 0, 0, 0)),
    ]:
        state = machine.step(state, action)
        assert state == Counters(*expected)
    assert machine.enabled(state) == ()


def test_effects_happen_all_at_once(spec):
    # `closing + active` must see the active jobs that the same action takes away.
    state = Counters("open", 0, 2, 1, 0)
    assert interpreter(spec, 3).step(state, "shutdown") == Counters("closing", 0, 0, 3, 0)


def test_what_can_not_happen_raises_and_names_action_and_state(spec):
    machine = interpreter(spec)
    with pytest.raises(NotEnabledError, match=r"give_up can't happen in Counters\(phase='open', pending=0"):
        machine.step(machine.initial, "give_up")


def test_a_broken_invariant_is_named(spec):
    machine = interpreter(spec)
    assert machine.broken(Counters("open", 0, 2, 0, 0)) == ("within_limit",)
    assert machine.broken(Counters("open", 1, 0, 0, -1)) == ("never_negative", "no_idle_slot")
    assert not machine.holds(Counters("closing", 1, 0, 0, 0))


def test_the_ledger_of_a_shutdown_counts_everybody(spec):
    entries = interpreter(spec, 2, 3).entries(Counters("open", 3, 1, 1, 4), "shutdown")
    assert {name: number for name, number in entries.items() if number} == {
        "dropped": 3,
        "asked": 1,
        "refused": 4,
    }


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (parameters(0, 1), "the parameter L can't be 0"),
        (parameters(1, -1), "the parameter P can't be -1"),
        ({"L": 1, "P": 0}, "the parameter unlimited has no value"),
    ],
)
def test_parameters_outside_their_domain_are_refused(spec, values, fault):
    with pytest.raises(ValueError, match=fault):
        Interpreter(spec.scheduler, values)


@pytest.mark.requirement("LIMIT-1", "LIMIT-2", "LIMIT-3", "LIMIT-4", "SHUT-1", "BOOK-1")
@pytest.mark.parametrize(("limit", "pending_limit"), SCOPES)
def test_every_state_that_is_reached_keeps_every_invariant(spec, limit, pending_limit):
    machine = interpreter(spec, limit, pending_limit)
    states = 0
    for run, state in machine.runs(8):
        assert machine.broken(state) == (), run
        states += 1
    assert states > 15


@pytest.mark.requirement("SPAWN-1", "LIMIT-6", "BOOK-1")
@pytest.mark.parametrize(("limit", "pending_limit"), SCOPES)
def test_the_balances_hold_over_every_shortest_run(spec, limit, pending_limit):
    machine = interpreter(spec, limit, pending_limit)
    for run, state in machine.runs(6):
        totals = dict.fromkeys(spec.scheduler.ledger, 0)
        at = machine.initial
        for action in run:
            for column, number in machine.entries(at, action).items():
                totals[column] += number
            at = machine.step(at, action)
        assert at == state
        assert totals["accepted"] == totals["admitted"]
        assert (
            state.blocked == totals["called"] - totals["admitted"] - totals["withdrawn"] - totals["refused"]
        )
        assert state.pending == totals["accepted"] - totals["started"] - totals["dropped"]
        assert state.active + state.closing == totals["started"] - totals["ended"] - totals["stopped"]


@pytest.mark.parametrize(("limit", "pending_limit"), [(1, 1), (2, 0), (None, 2)])
def test_python_and_z3_agree_on_every_guard_effect_and_invariant(spec, limit, pending_limit):
    """Over all small values, also those that are never reached: where a guard is false in both, and so on."""
    scheduler = spec.scheduler
    machine, terms = interpreter(spec, limit, pending_limit), Terms(scheduler)
    before = terms.any_state()
    known = {"L": limit or 1, "P": pending_limit}
    values = [(terms.parameters[name], terms.number(number)) for name, number in known.items()]
    values.append((terms.parameters["unlimited"], terms.every([]) if limit is None else terms.some([])))
    guards = {name: terms.term(action.guard, before.terms) for name, action in scheduler.actions.items()}
    afters = {name: terms.after(before, action) for name, action in scheduler.actions.items()}
    rules = {name: terms.term(rule.whole, before.terms) for name, rule in scheduler.invariants.items()}

    for phase, *counts in itertools.product(scheduler.phase.states, (0, 1, 2), (0, 1, 2), (0, 1), (0, 1)):
        state = Counters(phase, *counts)
        here = [
            (before.terms[name], terms.phase(number) if name == "phase" else terms.number(number))
            for name, number in state._asdict().items()
        ]

        def known_to_z3(term, here=here):
            return z3.simplify(z3.substitute(term, *values, *here))

        enabled = tuple(name for name, guard in guards.items() if z3.is_true(known_to_z3(guard)))
        assert enabled == machine.enabled(state)
        broken = tuple(name for name, rule in rules.items() if z3.is_false(known_to_z3(rule)))
        assert broken == machine.broken(state)
        for action in enabled:
            after = [str(known_to_z3(afters[action].terms[name])) for name in Counters._fields]
            assert after == [str(number) for number in machine.step(state, action)]
