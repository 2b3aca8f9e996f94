"""The follower: what a live run tells it beyond a trace, and rules that only a wrong specification can break."""

import dataclasses

import pytest

from aiojobs_verification.follower import RULES, ActionTable, Follower, Violation
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.expressions import Node
from aiojobs_verification.specification.load import load

SPEC = load()
STEPS = {
    "accept": (None, "pending"),
    "start": ("pending", "active"),
    "finish": ("active", "done"),
    "close": ("active", "closing"),
    "cancel": ("closing", "closed"),
}


def following(limit=1, pending_limit=1, *, scheduler=SPEC.scheduler, cancelled=None):
    return Follower(ActionTable(SPEC.job, scheduler, limit, pending_limit), calls=True, cancelled=cancelled)


def tell(follower, job, *events):
    for event in events:
        follower.record(job, event, *STEPS[event], f"call {job}")


def spawn(follower, job, *events):
    follower.call(f"call {job}")
    tell(follower, job, "accept", *events)


def full(cancelled):
    """One job runs, one waits, the spawns of two more are blocked."""
    follower = following(cancelled=cancelled.__contains__)
    spawn(follower, 1, "start")
    spawn(follower, 2)
    follower.call("call 3")
    follower.call("call 4")
    follower.settle()
    return follower


def altered(action, **changes):
    """The specification with one action changed."""
    actions = SPEC.scheduler.actions
    return dataclasses.replace(
        SPEC.scheduler, actions={**actions, action: dataclasses.replace(actions[action], **changes)}
    )


def refused(excinfo, rule, phrase):
    """Whether it was refused by this rule, in these words."""
    violation = excinfo.value
    assert (violation.rule, violation.requirements) == (RULES[rule].place, RULES[rule].requirements)
    assert phrase in violation.text


def test_a_rule_says_its_promise_first_and_all_of_them():
    violation = Violation("LIMIT-4", "a place falls free", others=["LIMIT-5"], rule="here")
    assert (violation.requirement, violation.requirements) == ("LIMIT-4", ("LIMIT-4", "LIMIT-5"))
    assert (violation.text, violation.rule) == ("a place falls free", "here")
    assert str(violation) == "LIMIT-4: a place falls free"
    assert (Violation("", "no line", rule="trace").requirements, str(Violation("", "b", rule="a"))) == (
        (),
        "a: b",
    )


def test_a_crash_speaks_for_no_promise_and_keeps_the_traceback():
    try:
        raise KeyError("planted")
    except KeyError as error:
        crash = Violation.crash("the loop complains", error)
    assert (crash.requirement, crash.text) == ("CRASH", "the loop complains: KeyError('planted')")
    assert "test_follower.py" in crash.trace
    assert Violation.crash("the loop complains", None).trace == ""


def test_every_rule_speaks_for_requirements_that_exist():
    known = SPEC.requirements.by_id
    assert {id_ for rule in RULES.values() for id_ in rule.requirements} <= known.keys()
    assert all(rule.requirements for rule in RULES.values())
    for rule in RULES.values():
        file, _, place = rule.place.partition(": ")
        table, _, name = place.partition(".")
        if file == "scheduler.toml" and table != "phase":
            group = {"balance": "balances", "action": "actions", "step": "steps", "invariant": "invariants"}
            assert name in getattr(SPEC.scheduler, group.get(table, table)), rule


# --- Live runs ------------------------------------------------------------------------------------


def test_a_blocked_call_that_was_cancelled_may_be_passed_over():
    follower = full({"call 3"})
    tell(follower, 1, "finish")
    tell(follower, 2, "start")
    assert follower.in_doubt
    assert not follower.is_whole
    tell(follower, 4, "accept")
    assert follower.is_whole
    assert [*follower.jobs.queue] == [4]
    assert follower.counters.state.blocked == 0


def test_a_blocked_call_that_was_not_cancelled_may_not():
    follower = full({"call 4"})
    tell(follower, 1, "finish")
    tell(follower, 2, "start")
    with pytest.raises(Violation) as excinfo:
        tell(follower, 4, "accept")
    refused(excinfo, "no overtaking", "the job of the call 'call 3', which came earlier than 'call 4'")


def test_at_the_end_of_a_turn_nobody_else_gets_the_place():
    follower = full({"call 3"})
    tell(follower, 1, "finish")
    tell(follower, 2, "start")
    with pytest.raises(Violation) as excinfo:
        follower.settle()
    refused(excinfo, "place handed on", "the job of the call 'call 4', which is blocked")


def test_at_the_end_of_a_turn_a_slot_has_been_handed_on():
    follower = following()
    spawn(follower, 1, "start")
    spawn(follower, 2)
    tell(follower, 1, "finish")
    with pytest.raises(Violation) as excinfo:
        follower.settle()
    refused(excinfo, "slot handed on", "the start of job 2 at once, because of what happened to job 1")


def test_at_the_end_of_a_turn_closing_has_reached_everybody():
    follower = following()
    spawn(follower, 1, "start")
    follower.record(None, "close", "open", "closing")
    with pytest.raises(Violation) as excinfo:
        follower.settle()
    refused(excinfo, "everybody asked", "job 1 is dropped or asked to stop first")


def test_a_call_that_cannot_block_may_be_in_the_middle_of_something_else():
    follower = following(limit=2)
    spawn(follower, 1, "start")
    follower.call("call 2", may_block=False)
    tell(follower, 1, "finish")
    follower.settle()
    assert follower.counters.actions["spawn_block"] == 0
    tell(follower, 2, "accept", "start")
    assert follower.jobs.live == {2: "active"}


def test_a_call_that_comes_too_late_is_answered_in_its_turn():
    follower = following()
    follower.record(None, "close", "open", "closing")
    follower.call("call 1")
    follower.call("call 2")
    follower.raised("call 2", "RuntimeError")
    follower.settle()
    with pytest.raises(Violation) as excinfo:
        follower.calls.demand_answers(follower.calls.late)
    refused(excinfo, "answered", "an answer to the call 'call 1'")
    follower.raised("call 1", "RuntimeError")
    follower.calls.demand_answers(follower.calls.late)


def test_a_fork_goes_on_by_itself():
    follower = full(set())
    twin = follower.fork()
    tell(twin, 1, "close", "cancel")
    assert (follower.jobs.live, follower.counters.owed) == ({1: "active", 2: "pending"}, ())
    assert twin.jobs.live == {2: "pending"}
    assert follower.told["stopped"] == 0
    tell(follower, 1, "finish")


# --- Wrong specifications --------------------------------------------------------------------------


def test_jobs_and_counters_that_disagree_are_noticed():
    follower = following(scheduler=altered("close_active", effect={}))
    spawn(follower, 1, "start")
    with pytest.raises(Violation) as excinfo:
        tell(follower, 1, "close")
    refused(excinfo, "counted", "jobs that agree with Counters(phase='open', pending=0, active=1, closing=0")


def test_the_invariants_are_checked_after_every_action():
    follower = following(scheduler=altered("spawn_queue", guard=Node("bool", "bool", value=True)))
    spawn(follower, 1, "start")
    spawn(follower, 2)
    with pytest.raises(Violation, match="LIMIT-3: Never more pending jobs") as excinfo:
        spawn(follower, 3)
    assert excinfo.value.rule == "scheduler.toml: invariant.within_pending_limit"


def test_an_action_that_the_follower_needs_is_missed():
    actions = {name: action for name, action in SPEC.scheduler.actions.items() if name != "spawn_queue"}
    with pytest.raises(SpecError, match="the follower needs this action, with an entry for accepted"):
        following(scheduler=dataclasses.replace(SPEC.scheduler, actions=actions))


# A limit that moves.


def raising(limit, *, cancelled=()):
    """One job runs, one waits, two calls are blocked, and the limit of 1 is about to be set."""
    follower = full(cancelled)
    follower.limit(limit)
    return follower


def move_up(follower, job):
    tell(follower, job, "accept", "start")


@pytest.mark.requirement("LIMIT-7")
def test_raising_the_limit_starts_as_many_as_fit_and_lets_as_many_in():
    follower = raising(3)
    assert not follower.is_whole
    tell(follower, 2, "start")
    tell(follower, 3, "accept", "start")
    tell(follower, 4, "accept")
    follower.settle()
    assert follower.is_whole
    assert follower.counters.state == ("open", 1, 3, 0, 0, 3)
    assert follower.calls.blocked == {}


@pytest.mark.requirement("LIMIT-7")
@pytest.mark.parametrize(
    ("steps", "rule", "phrase"),
    [
        ([], "limit raised", "2 to start and 2 blocked calls to move up, not 0 and 0"),
        ([(2, "start"), (3, "accept")], "limit raised", "not 1 and 1"),
        ([(2, "start"), (3, "accept"), (4, "accept"), (3, "start"), (4, "start")], "limit", "the limit is 3"),
        ([(2, "start"), (4, "accept")], "no overtaking", "'call 3'"),
    ],
)
def test_raising_the_limit_starts_neither_fewer_nor_more_nor_others(steps, rule, phrase):
    follower = raising(3)
    with pytest.raises(Violation) as excinfo:
        for job, event in steps:
            tell(follower, job, event)
        follower.settle()
    refused(excinfo, rule, phrase)


def test_callers_that_are_cancelled_while_the_limit_is_raised_are_passed_over():
    follower = raising(None, cancelled={"call 3"})
    tell(follower, 2, "start")
    move_up(follower, 4)
    follower.settle()
    assert follower.counters.state == ("open", 0, 3, 0, 0, 0)
    follower = raising(2, cancelled={"call 3", "call 4"})
    tell(follower, 2, "start")
    follower.settle()
    assert follower.counters.state == ("open", 0, 2, 0, 0, 2)


@pytest.mark.requirement("LIMIT-7", "LIMIT-1")
def test_after_the_limit_was_lowered_an_end_starts_nobody_until_it_holds_again():
    follower = following(limit=2, cancelled={}.__contains__)
    for job in (1, 2):
        spawn(follower, job, "start")
    spawn(follower, 3)
    follower.call("call 4")
    follower.limit(1)
    follower.settle()
    tell(follower, 1, "finish")
    follower.settle()
    assert follower.counters.state == ("open", 1, 1, 0, 1, 1)
    tell(follower, 2, "finish")
    with pytest.raises(Violation) as excinfo:
        follower.settle()
    refused(excinfo, "slot handed on", "the start of job 3")


def test_a_fork_goes_on_with_a_limit_that_is_being_raised():
    follower = raising(2)
    twin = follower.fork()
    tell(follower, 2, "start")
    tell(follower, 3, "accept")
    follower.settle()
    with pytest.raises(Violation, match="not 0 and 0"):
        twin.settle()


def test_closing_may_find_a_job_that_ended_with_a_cancellation_of_its_own():
    follower = following()
    follower._has_ended = {1}.__contains__
    spawn(follower, 1, "start")
    follower.record(None, "close", "open", "closing")
    follower.record(1, "cancel", "active", "closed")
    follower.settle()
    assert follower.counters.state.active == follower.counters.state.closing == 0


def called_while_the_limit_is_set():
    """The limit is raised to two, one job waits, and somebody calls before its start is told."""
    follower = following()
    spawn(follower, 1, "start")
    spawn(follower, 2)
    follower.limit(2)
    follower.call("call 3", may_block=False)
    return follower


def test_foreign_code_may_call_while_the_limit_is_set_and_before_that_is_told():
    follower = called_while_the_limit_is_set()
    assert follower.is_under_way("call 3")
    tell(follower, 2, "start")
    tell(follower, 3, "accept")
    follower.returned("call 3")
    follower.settle()
    assert (follower.jobs.running(), follower.is_under_way("call 3")) == (2, False)


def test_a_call_while_the_limit_is_set_hides_no_start_that_is_missing():
    follower = called_while_the_limit_is_set()
    with pytest.raises(Violation) as excinfo:
        follower.raised("call 3", "PendingQueueFull")
    refused(excinfo, "limit raised", "1 to start and 0 blocked calls to move up, not 0 and 0")


def test_a_call_while_the_limit_is_set_finds_the_room_that_there_is_then():
    follower = called_while_the_limit_is_set()
    tell(follower, 2, "start")
    with pytest.raises(Violation) as excinfo:
        follower.raised("call 3", "PendingQueueFull")
    refused(excinfo, "full", "there is room for it")
