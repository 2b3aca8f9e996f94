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
        assert state == Counters(*expected, 1)
    assert machine.enabled(state) == ()


@pytest.mark.requirement("LIMIT-7")
def test_the_story_of_a_limit_that_is_raised_lowered_and_removed(spec):
    machine = interpreter(spec, 1, 2)
    state = machine.initial
    for action, chosen, expected in [
        ("spawn_start", None, ("open", 0, 1, 0, 0, 1)),
        ("spawn_queue", None, ("open", 1, 1, 0, 0, 1)),
        ("spawn_queue", None, ("open", 2, 1, 0, 0, 1)),
        ("spawn_block", None, ("open", 2, 1, 0, 1, 1)),
        ("spawn_block", None, ("open", 2, 1, 0, 2, 1)),
        # Three more fit: two of the queue, and the first of the calls, behind which the second gets a place.
        ("set_limit_start", 4, ("open", 1, 4, 0, 0, 4)),
        ("set_limit_idle", 2, ("open", 1, 4, 0, 0, 2)),
        ("end_active_idle", None, ("open", 1, 3, 0, 0, 2)),
        ("end_active_idle", None, ("open", 1, 2, 0, 0, 2)),
        ("end_active_next", None, ("open", 0, 2, 0, 0, 2)),
        ("set_limit_idle", 0, ("open", 0, 2, 0, 0, 0)),
        ("spawn_start", None, ("open", 0, 3, 0, 0, 0)),
        ("shutdown", None, ("closing", 0, 0, 3, 0, 0)),
        ("set_limit_idle", 1, ("closing", 0, 0, 3, 0, 1)),
    ]:
        state = machine.step(state, action, chosen)
        assert state == Counters(*expected)


@pytest.mark.requirement("LIMIT-7")
def test_what_is_chosen_must_be_said_and_be_in_the_domain(spec):
    machine = interpreter(spec)
    assert machine.can("set_limit_idle", machine.initial, 2)
    assert not machine.can("set_limit_idle", machine.initial, 1), "the limit that it has"
    assert not machine.can("set_limit_idle", machine.initial, -1)
    assert not machine.can("set_limit_idle", machine.initial)
    with pytest.raises(NotEnabledError, match=r"set_limit_start\(2\) can't happen in"):
        machine.step(machine.initial, "set_limit_start", 2)


def test_effects_happen_all_at_once(spec):
    # `closing + active` must see the active jobs that the same action takes away.
    state = Counters("open", 0, 2, 1, 0, 3)
    assert interpreter(spec, 3).step(state, "shutdown") == Counters("closing", 0, 0, 3, 0, 3)


def test_what_can_not_happen_raises_and_names_action_and_state(spec):
    machine = interpreter(spec)
    with pytest.raises(NotEnabledError, match=r"give_up can't happen in Counters\(phase='open', pending=0"):
        machine.step(machine.initial, "give_up")


def test_a_broken_invariant_is_named(spec):
    machine = interpreter(spec)
    assert machine.broken(Counters("open", 2, 2, 0, 0, 1)) == ("within_pending_limit",)
    assert machine.broken(Counters("open", 1, 0, 0, -1, 1)) == ("never_negative", "no_idle_slot")
    assert not machine.holds(Counters("closing", 1, 0, 0, 0, 1))


def test_the_ledger_of_a_shutdown_counts_everybody(spec):
    entries = interpreter(spec, 2, 3).entries(Counters("open", 3, 1, 1, 4, 2), "shutdown")
    assert {name: number for name, number in entries.items() if number} == {
        "dropped": 3,
        "asked": 1,
        "refused": 4,
        "due": 5,
        "unstarted": 3,
    }


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (parameters(-1, 1), "the parameter L0 can't be -1"),
        (parameters(1, -1), "the parameter P can't be -1"),
        ({"L0": 1}, "the parameter P has no value"),
    ],
)
def test_parameters_outside_their_domain_are_refused(spec, values, fault):
    with pytest.raises(ValueError, match=fault):
        Interpreter(spec.scheduler, values)


def test_a_limit_of_0_is_not_taken_for_none():
    with pytest.raises(ValueError, match="a limit can't be 0"):
        parameters(0, 1)


@pytest.mark.requirement("LIMIT-2", "LIMIT-3", "LIMIT-4", "LIMIT-7", "SHUT-1", "BOOK-1")
@pytest.mark.parametrize(("limit", "pending_limit"), SCOPES)
def test_every_state_that_is_reached_keeps_every_invariant(spec, limit, pending_limit):
    machine = interpreter(spec, limit, pending_limit)
    states = 0
    for run, state in machine.runs(7, (0, 1, 2)):
        assert machine.broken(state) == (), run
        states += 1
    assert states > 15


@pytest.mark.requirement("LIMIT-1", "LIMIT-7")
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_more_run_than_the_limit_allows_only_after_it_was_lowered(spec, limit):
    machine, exceeded = interpreter(spec, limit, 0), 0
    for run, state in machine.runs(6, (1, 2, 3)):
        if state.active + state.closing > state.L:
            assert any(action.startswith("set_limit") and chosen < limit + 2 for action, chosen in run), run
            exceeded += 1
            for move in machine.moves(state, ()):
                assert machine.entries(state, *move)["started"] == 0, (run, move)
    assert exceeded
    assert all(state.active + state.closing <= state.L for _, state in machine.runs(8))


@pytest.mark.requirement("SPAWN-1", "LIMIT-6", "SHUT-7", "BOOK-1")
@pytest.mark.parametrize(("limit", "pending_limit"), SCOPES)
def test_the_balances_hold_over_every_shortest_run(spec, limit, pending_limit):
    machine = interpreter(spec, limit, pending_limit)
    for run, state in machine.runs(6, (0, 1, 3)):
        totals = dict.fromkeys(spec.scheduler.ledger, 0)
        at = machine.initial
        for move in run:
            for column, number in machine.entries(at, *move).items():
                totals[column] += number
            at = machine.step(at, *move)
        assert at == state
        assert totals["accepted"] == totals["admitted"]
        assert (
            state.blocked == totals["called"] - totals["admitted"] - totals["withdrawn"] - totals["refused"]
        )
        assert state.pending == totals["accepted"] - totals["started"] - totals["dropped"]
        assert state.active + state.closing == totals["started"] - totals["ended"] - totals["stopped"]
        if state.phase == "closed":
            assert totals["due"] == totals["unstarted"] + totals["punctual"] + totals["late"]


@pytest.mark.parametrize(("limit", "pending_limit"), [(1, 1), (2, 0), (None, 2)])
def test_python_and_z3_agree_on_every_guard_effect_and_invariant(spec, limit, pending_limit):
    """Over all small values, also those that are never reached: where a guard is false in both, and so on."""
    scheduler = spec.scheduler
    machine, terms = interpreter(spec, limit, pending_limit), Terms(scheduler)
    before = terms.any_state()
    known = parameters(limit, pending_limit)
    values = [(terms.parameters[name], terms.number(number)) for name, number in known.items()]
    guards = {name: terms.term(action.guard, before.terms) for name, action in scheduler.actions.items()}
    afters = {name: terms.after(before, action) for name, action in scheduler.actions.items()}
    rules = {name: terms.term(rule.whole, before.terms) for name, rule in scheduler.invariants.items()}

    numbers = ((0, 1, 2), (0, 1, 2), (0, 1), (0, 1), (0, 1, 2))
    for chosen, (phase, *counts) in itertools.product(
        (0, 2), itertools.product(scheduler.phase.states, *numbers)
    ):
        state = Counters(phase, *counts)
        here = [
            (before.terms[name], terms.phase(number) if name == "phase" else terms.number(number))
            for name, number in state._asdict().items()
        ]
        here.append((terms.choices["n"], terms.number(chosen)))

        def known_to_z3(term, here=here):
            return z3.simplify(z3.substitute(term, *values, *here))

        enabled = tuple(name for name, guard in guards.items() if z3.is_true(known_to_z3(guard)))
        assert enabled == machine.enabled(state, chosen)
        broken = tuple(name for name, rule in rules.items() if z3.is_false(known_to_z3(rule)))
        assert broken == machine.broken(state)
        for action in enabled:
            after = [str(known_to_z3(afters[action].terms[name])) for name in Counters._fields]
            assert after == [str(number) for number in machine.step(state, action, chosen)]
