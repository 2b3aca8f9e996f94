"""The proofs go through, say what they were about, and refute what is wrong."""

import json
from dataclasses import replace

import pytest

from aiojobs_verification.cli.commands import FAILED, PASSED, main
from aiojobs_verification.smt import solver
from aiojobs_verification.smt.mutate import fate, mutants
from aiojobs_verification.smt.proof import PROVED, REFUTED, UNKNOWN, answers, prove
from aiojobs_verification.smt.questions import GROUPS, Questions
from aiojobs_verification.specification.interpret import Counters, Interpreter, parameters
from aiojobs_verification.specification.load import load

FILE = "scheduler.toml"


@pytest.fixture(scope="session")
def proof(spec):
    return prove(spec.scheduler)


def test_every_question_is_answered_well(proof):
    assert [answer.title for answer in proof.failures()] == []
    assert proof.holds


def test_every_group_asks_and_each_action_keeps_each_invariant(proof, spec):
    asked = {group: [a for a in proof.answers if a.group == group] for group in GROUPS}
    assert all(asked.values())
    assert {answer.group for answer in proof.answers} == {*GROUPS}
    kept = {(answer.statement.place, answer.action) for answer in asked["kept"]}
    assert kept == {
        (f"invariant.{name}", action)
        for name in spec.scheduler.invariants
        for action in spec.scheduler.actions
    }


def test_what_is_covered_is_exactly_what_the_requirements_say_is_proved(proof, spec):
    claimed = {id_ for id_, requirement in spec.requirements.by_id.items() if "prove" in requirement.checks}
    assert {*proof.as_dict()["covers"]} == claimed


def test_every_action_has_a_run_that_the_interpreter_can_repeat(proof, spec):
    assert {*proof.runs} == {*spec.scheduler.actions}
    for action, run in proof.runs.items():
        place, _, steps = run.partition(": ")
        limit, pending_limit = (part.partition("=")[2] for part in place.split(", "))
        values = parameters(None if limit == "None" else int(limit), int(pending_limit))
        machine = Interpreter(spec.scheduler, values)
        state, name = machine.initial, ""
        for step in steps.split(" → "):
            name, _, chosen = step.removesuffix(")").partition("(")
            state = machine.step(state, name, int(chosen) if chosen else None)
        assert name == action


def test_no_proof_without_questions(proof):
    assert not replace(proof, answers=()).holds


# For each group of questions, a fault: what is replaced, by what, and which statement then fails.
FAULTS = {
    "start": (
        'initial = 0\ncounts = "pending"',
        'initial = 2\ncounts = "pending"',
        "invariant.no_idle_slot",
    ),
    "kept": (
        "phase == 'open' and not free and room and blocked == 0",
        "phase == 'open' and room and blocked == 0",
        "invariant.no_idle_slot",
    ),
    "possible": (
        'cancelled."\nguard = "blocked > 0"',
        'cancelled."\nguard = "blocked > 0 > P"',
        "action.give_up",
    ),
    "phase": ("\"'closing'\", pending", "\"'closed'\", pending", "action.shutdown"),
    "ledger": ("ledger = { stopped = 1, started = 1 }", "ledger = { started = 1 }", "counter.closing"),
    "step": ("ledger = { ended = 1, started = 1 }", "ledger = { ended = 1 }", "step.slot_is_handed_on"),
    "enabled": (
        'guard = "pending > 0 and blocked == 0"',
        'guard = "pending > 1 and blocked == 0"',
        "enabled.pending_job_is_closed",
    ),
    "stuck": ("guard = \"phase == 'closing'\"", "guard = \"phase == 'closing' and closing > 0\"", "stuck"),
    "liveness": (
        'rank = "pending + active + closing + blocked"',
        'rank = "pending + active + closing"',
        "liveness.draining_ends",
    ),
    "speaks": ('when = "P > 0"', 'when = "P > 0 and P < 0"', "invariant.within_pending_limit"),
}


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_of_questions_refutes_a_planted_fault(edited, group):
    old, new, statement = FAULTS[group]
    questions = Questions(load(edited(FILE, old, new)).scheduler)
    about = (
        question for question in questions if (question.group, question.statement.place) == (group, statement)
    )
    assert any(answer.verdict == REFUTED for answer in answers(about, questions))


CLOSE_PENDING = (
    'guard = "pending > 0 and blocked == 0"\neffect = {{ pending = "pending - 1"{} }}\nledger = {{ d'
)

# Faults that schedulers have had, with a requirement that the refutation must name (None: any).
STORIES = {
    "closing a pending job starts one too many": (
        CLOSE_PENDING.format(""),
        CLOSE_PENDING.format(', active = "active + 1"'),
        "LIMIT-1",
    ),
    "closing a pending job while a call is blocked loses the wake-up": (
        CLOSE_PENDING.format(""),
        CLOSE_PENDING.format("").replace(" and blocked == 0", ""),
        "LIMIT-4",
    ),
    "an end lets the waiting job wait": (
        'guard = "active > 0 and (pending == 0 or over)"',
        'guard = "active > 0"',
        "LIMIT-2",
    ),
    "an end is followed by a start although the limit was lowered": (
        'guard = "active > 0 and pending > 0 and blocked == 0 and not over"',
        'guard = "active > 0 and pending > 0 and blocked == 0"',
        "LIMIT-1",
    ),
    "raising the limit starts one and no more": (
        'if n == 0 or running + pending + blocked <= n else n - running"',
        'if n == 0 or running + pending + blocked <= n else 1"',
        "LIMIT-7",
    ),
    "raising the limit starts one too many": (
        'running + pending + blocked <= n else n - running"',
        'running + pending + blocked <= n else n - running + 1"',
        "LIMIT-1",
    ),
    "raising the limit moves no call up": (
        'is = "fits if fits < blocked else blocked"',
        'is = "0 * fits"',
        "LIMIT-4",
    ),
    "lowering the limit asks jobs to stop": (
        'effect = { L = "n" }',
        'effect = { L = "n", active = "active - 1", closing = "closing + 1" }\nledger = { asked = 1 }',
        "LIMIT-7",
    ),
    "an end sets the limit": (
        'effect = { active = "active - 1" }\nledger',
        'effect = { active = "active - 1", L = "L + 1" }\nledger',
        "LIMIT-7",
    ),
    "the report forgets who is late": ('ledger = { late = "running" }\n', "", "SHUT-7"),
    "the report counts who ends after it": (
        "punctual = \"1 if phase == 'closing' else 0\"",
        "punctual = 1",
        "SHUT-7",
    ),
    "the report takes who was asked for who was dropped": (
        'unstarted = "pending"',
        'unstarted = "pending + active"',
        "SHUT-7",
    ),
    "a job gives its slot back when it is asked to stop": (
        'effect = { active = "active - 1", closing = "closing + 1" }',
        'effect = { active = "active - 1" }',
        None,
    ),
    "a blocked call is admitted after closing has begun": (
        'closing = "closing + active", blocked = "0" }',
        'closing = "closing + active" }',
        "SPAWN-2",
    ),
    "closing forgets the pending jobs": (
        '"\'closing\'", pending = "0", active',
        "\"'closing'\", active",
        "SHUT-1",
    ),
    "spawning goes on while the scheduler closes": (
        "\"phase == 'open' and free and pending == 0\"",
        "\"phase != 'closed' and free and pending == 0\"",
        "SHUT-1",
    ),
    "the queue takes one more than it has places": (
        'is = "P == 0 or pending < P"',
        'is = "P == 0 or pending <= P"',
        "LIMIT-3",
    ),
    "the limit is off by one": (
        'is = "unlimited or running < L"',
        'is = "unlimited or running <= L"',
        "LIMIT-1",
    ),
    "closing jobs do not count": ('is = "active + closing"', 'is = "active"', None),
    "no limit is a limit after all": (
        'is = "unlimited or running < L"',
        'is = "running < L"',
        "LIMIT-1",
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_fault_that_a_scheduler_could_have_is_refuted(edited, story):
    old, new, requirement = STORIES[story]
    questions = Questions(load(edited(FILE, old, new)).scheduler)
    about = (question for question in questions if requirement in {None, *question.statement.requirements})
    assert any(answer.verdict == REFUTED for answer in answers(about, questions))


def test_a_counterexample_is_real(edited):
    """The state that is shown can be given to the interpreter, and there the invariant really breaks."""
    old, new, _ = STORIES["an end lets the waiting job wait"]
    scheduler = load(edited(FILE, old, new)).scheduler
    questions = Questions(scheduler)
    about = (question for question in questions if question.statement.place == "invariant.no_idle_slot")
    answer = next(answer for answer in answers(about, questions) if answer.verdict == REFUTED)
    values = {name: int(answer.before[name]) for name in ("L0", "P")}
    machine = Interpreter(scheduler, values)
    before, after = (
        Counters(side["phase"], *(int(side[name]) for name in Counters._fields[1:]))
        for side in (answer.before, answer.after)
    )
    assert machine.holds(before)
    assert machine.step(before, answer.action) == after
    assert "no_idle_slot" in machine.broken(after)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_solver_that_gives_up_has_proved_nothing(spec, monkeypatch, wanted):
    questions = Questions(spec.scheduler)
    question = replace(next(iter(questions)), wanted=wanted)
    monkeypatch.setattr(solver.z3.Solver, "check", lambda *_: solver.z3.unknown)
    [answer] = answers([question], questions)
    assert answer.verdict == UNKNOWN


def test_a_proof_with_a_question_that_nobody_has_answered_does_not_hold(proof):
    open_question = replace(proof.answers[0], verdict=UNKNOWN)
    given_up = replace(proof, answers=(open_question, *proof.answers[1:]))
    assert not given_up.holds
    assert [*given_up.failures()] == [open_question]


def test_a_change_about_which_the_solver_gives_up_is_not_taken_for_none(spec, monkeypatch):
    before = spec.scheduler
    same = next(one for one in mutants(before) if fate(before, one) == "equivalent")
    monkeypatch.setattr("aiojobs_verification.smt.mutate.answers", lambda *_: iter(()))
    monkeypatch.setattr(solver.z3.Solver, "check", lambda *_: solver.z3.unknown)
    assert fate(before, same) == "survived"


PLACES = [
    "spawn_",
    "give_up",
    "end_active_",
    "end_closing_",
    "close_",
    "set_limit_",
    "shutdown",
    "settle",
    "define.",
]


def test_the_places_of_faults_are_all_places(spec):
    for mutant in mutants(spec.scheduler):
        assert [place for place in PLACES if mutant.place.removeprefix("action.").startswith(place)] != []


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_every_single_change_is_refuted_or_proved_to_change_nothing(spec, place):
    fates = {
        f"{mutant.place}: {mutant.text}": fate(spec.scheduler, mutant)
        for mutant in mutants(spec.scheduler)
        if mutant.place.removeprefix("action.").startswith(place)
    }
    assert [name for name, became in fates.items() if became == "survived"] == []
    assert sum(became == "refuted" for became in fates.values()) > len(fates) * 3 // 4


def test_a_change_that_nothing_betrays_and_that_matters_survives(spec):
    """The test above can fail: without its clauses of enabledness the proof has holes, and `fate` says so."""
    blind = replace(spec.scheduler, enabled={})
    fates = {fate(blind, mutant) for mutant in mutants(blind) if mutant.place == "action.give_up, guard"}
    assert "survived" in fates


def test_the_command_proves_and_writes_the_same_account_twice(tmp_path, capsys):
    assert main(["prove", "--json", str(tmp_path / "proof.json")]) == PASSED
    assert "PROVED: " in capsys.readouterr().out
    assert main(["prove", "--json"]) == PASSED
    printed = capsys.readouterr()
    assert printed.out == (tmp_path / "proof.json").read_text(encoding="utf-8")
    assert "PROVED: " in printed.err
    account = json.loads(printed.out)
    assert (account["verdict"], account["figures"]["questions"]) == (PROVED, len(account["answers"]))


def test_the_command_fails_and_shows_state_and_action(edited, capsys):
    old, new, _ = STORIES["the limit is off by one"]
    assert main(["prove", "--spec", str(edited(FILE, old, new))]) == FAILED
    printed = capsys.readouterr()
    assert "REFUTED: step.starts_within_limit · action spawn_start (LIMIT-1)" in printed.out
    assert "|         | before | after spawn_start |" in printed.out
    assert printed.err == ""


def test_what_was_chosen_is_shown(edited):
    old, new, _ = STORIES["raising the limit starts one too many"]
    questions = Questions(load(edited(FILE, old, new)).scheduler)
    about = (question for question in questions if question.statement.place == "step.starts_within_limit")
    answer = next(answer for answer in answers(about, questions) if answer.verdict == REFUTED)
    assert answer.action == "set_limit_start"
    assert int(answer.before["n"]) > int(answer.before["L"])


def test_the_command_keeps_its_account_and_its_story_apart(edited, capsys):
    old, new, _ = STORIES["the limit is off by one"]
    assert main(["prove", "--spec", str(edited(FILE, old, new)), "--json"]) == FAILED
    printed = capsys.readouterr()
    assert json.loads(printed.out)["verdict"] == REFUTED
    assert "REFUTED: step.starts_within_limit" in printed.err
