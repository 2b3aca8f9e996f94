"""The code refines the model: what is planted in the one alone, or in the other alone, is noticed."""

import json
import sys

import pytest

from aiojobs_verification.cli import refine
from aiojobs_verification.cli.commands import NO_TOOL, main
from aiojobs_verification.model_checking import tlc
from aiojobs_verification.model_checking.dumped import dumped
from aiojobs_verification.model_checking.manifest import FOLDER
from aiojobs_verification.simulation.oracle.oracle import Oracle
from aiojobs_verification.simulation.oracle.projection import REFINEMENT
from aiojobs_verification.simulation.oracle.refinement import Cause, Model, ModelStep, may_cause
from aiojobs_verification.simulation.search.counterexample import tell
from aiojobs_verification.simulation.search.explorer import explore
from aiojobs_verification.simulation.search.scopes import Case, read_cases
from aiojobs_verification.simulation.world.packages import own
from aiojobs_verification.simulation.world.world import Scope, watching
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.locate import find_repository, find_spec
from planted.faults import FAULTS, fresh, planted
from support.inside import core

OBEDIENT = {"ends": ("return",), "spawns": ("spawn",), "tempers": ("obedient",)}
FOUR = Scope(**OBEDIENT, jobs=4, callers=0, cancels=0, calls=())
CLOSING = Scope(**OBEDIENT, jobs=3, callers=1, calls=("close",))
SHUTTING = Scope(**OBEDIENT, jobs=2, callers=1, cancels=0, calls=("shut",))
FAILING = Scope(**{**OBEDIENT, "ends": ("raise",)}, jobs=1, callers=2, calls=("wait", "wait-for"))
STUBBORN = Scope(
    **{**OBEDIENT, "tempers": ("stubborn",)}, jobs=1, callers=1, cancels=0, calls=("close", "shut")
)
TIMED = Scope(**OBEDIENT, terms=("timed",), jobs=1, callers=1, cancels=0, calls=("wait", "close"))
OUTLIVING = Scope(
    **{**OBEDIENT, "tempers": ("stubborn",)}, terms=("timed",), jobs=1, callers=1, cancels=0, calls=("shut",)
)
QUITTING = Scope(
    **{**OBEDIENT, "ends": ("quit",), "tempers": ("stubborn",)}, terms=("timed",), jobs=1, callers=1, cancels=0,
    calls=("close",),
)  # fmt: skip
RAISED = Scope(**OBEDIENT, limits=(3,), resizes=1, jobs=3, pending_limit=2, callers=0, cancels=0, calls=())
LOWERED = Scope(**OBEDIENT, limit=2, limits=(1,), resizes=1, jobs=3, callers=0, cancels=0, calls=())

pytestmark = pytest.mark.skipif(isinstance(tlc.find(), tlc.Missing), reason="there is no TLC")
SLOW = pytest.mark.slow


def quickest_first(cases):
    """The first of the cases in every run, the others where there is time."""
    return [pytest.param(*case, marks=[SLOW] if number else []) for number, case in enumerate(cases)]


@pytest.fixture
def silent(monkeypatch):
    """An oracle that says nothing: what is found, the model has found."""
    for name in ("look", "glance", "settle"):
        monkeypatch.setattr(Oracle, name, lambda self, **_: None)


def model_for(scope, replaced=None):
    """The model of a scope, with a fault in it if one is named."""
    cache = find_repository() / "build" / "graphs"
    graph = dumped(refine.constants(scope), find_spec() / FOLDER, tlc.find(), cache, replaced)
    return Model(graph, eager=scope.eager)


def divergence(scope, package, model):
    """How the code leaves the model, and after how many events."""
    finding = explore(scope, package, model=model).findings[REFINEMENT]
    return finding.text, len(finding.events)


@SLOW
@pytest.mark.parametrize(
    "scope", [FOUR, CLOSING, SHUTTING, FAILING, STUBBORN, TIMED, OUTLIVING, QUITTING, RAISED, LOWERED]
)
def test_the_code_refines_the_model_and_the_states_are_the_same_without_it(scope):
    model = model_for(scope)
    found = explore(scope, own(), model=model)
    assert found.findings == {}
    assert found.figures() == explore(scope, own()).figures()
    assert found.in_model == len(model.states) > 10
    assert {"spawn_start", "end_active_idle returned"} - found.modelled == (
        {"end_active_idle returned"} if scope in {FAILING, QUITTING} else set()
    )


# Planted in the code alone


def blocked_callers_last_first(package):
    backpressure = sys.modules[f"{package.module.__name__}._backpressure"].Backpressure
    admit = backpressure.admit

    def last(self):
        places = self._core.places
        places.move_to_end(next(reversed(places)), last=False)
        admit(self)

    backpressure.admit = last


def counts_one_more(package):
    package.module.Scheduler.pending_count = property(lambda self: core(self).admission.pending * 2)


def closing_that_nobody_ends(package):
    sys.modules[f"{package.module.__name__}._closing"].Closing.consider = lambda self: None


def failed_jobs_are_asked_to_stop(package):
    closing = sys.modules[f"{package.module.__name__}._closing"].Closing
    fire = sys.modules[f"{package.module.__name__}._job_state"].fire
    begin = closing._begin

    def begin_and_ask(self):
        for job in self._core.slots:
            if job.kept is not None:
                fire(job, "close")
        begin(self)

    closing._begin = begin_and_ask


def blocked_coroutine_stays_open(package):
    sys.modules[f"{package.module.__name__}._core"].Core.disown = lambda self, job: None


def a_raised_limit_starts_one(package):
    """Another start has to wait for an end."""
    admission = sys.modules[f"{package.module.__name__}._admission"].Admission
    resume, set_limit = admission.resume, admission.set_limit
    asked = []

    def set_anew(self, limit):
        asked.clear()
        set_limit(self, limit)

    def resume_once(self):
        asked.append(self)
        return resume(self) if len(asked) == 1 else sys.modules[admission.__module__].Next.NOTHING

    admission.resume, admission.set_limit = resume_once, set_anew


def who_times_out_is_cancelled(package):
    """That the time of a job was over is forgotten before it ends."""
    core = sys.modules[f"{package.module.__name__}._core"].Core
    part_with = core.part_with

    def part_and_forget(self, job):
        terms = part_with(self, job)
        terms.failure = None
        return terms

    core.part_with = part_and_forget


IN_CODE = [
    (blocked_callers_last_first, FOUR, "blocked ⟨3, 4⟩ → ⟨3⟩", 8),
    (counts_one_more, CLOSING, "the registries disagree: counted (2, 1, 2)", 3),
    (closing_that_nobody_ends, SHUTTING, "closing is not over, although nothing runs", 3),
    (failed_jobs_are_asked_to_stop, Scope(**{**OBEDIENT, "ends": ("raise",)}, jobs=1, callers=1, calls=("shut",)),
     "state ⟨active⟩ → ⟨closed⟩", 7),
    (blocked_coroutine_stays_open, CLOSING, "its coroutine is not closed", 9),
    (a_raised_limit_starts_one, RAISED, "limit 1 → 3; taken 1 → 2; queue ⟨2, 3⟩ → ⟨3⟩", 7),
    (who_times_out_is_cancelled, TIMED, "code ⟨overdue⟩ → ⟨cancelled⟩", 7),
]  # fmt: skip
WITH_THE_ORACLE = [
    ("slot_released_twice", CLOSING, "the registries disagree: counted (0, -1, -1)"),
    (
        "last_in_first_out",
        Scope(**OBEDIENT, jobs=3, pending_limit=2, callers=0, cancels=0),
        "queue ⟨2, 3⟩ → ⟨2⟩",
    ),
    ("lost_wakeup", CLOSING, "queue ⟨2⟩ → ⟨⟩"),
    ("failure_lost_with_its_waiter", FAILING, "code ⟨failed⟩ → ⟨raised⟩"),
    ("expired_wait_closes_nothing", FAILING, "waiter ⟨expired, idle⟩ → ⟨watching, idle⟩"),
    ("closing_without_a_deadline", STUBBORN, "closing has no timer"),
    (
        "cancelled_spawn_runs_all_the_same",
        CLOSING,
        "call ⟨returned, returned, arriving⟩ → ⟨returned, returned, withdrawn⟩",
    ),
]


@pytest.mark.parametrize(("plant", "scope", "phrase", "longest"), quickest_first(IN_CODE))
@pytest.mark.usefixtures("silent")
def test_a_fault_in_the_code_is_noticed_without_the_oracle(plant, scope, phrase, longest):
    package = fresh(plant.__name__)
    plant(package)
    with watching():
        text, events = divergence(scope, package, model_for(scope))
    assert phrase in text
    assert events <= longest


@SLOW
@pytest.mark.parametrize(("name", "scope", "phrase"), WITH_THE_ORACLE)
@pytest.mark.usefixtures("silent")
def test_a_fault_that_the_oracle_finds_is_noticed_without_it(name, scope, phrase):
    text, events = divergence(scope, planted(FAULTS[name]), model_for(scope))
    assert phrase in text
    assert events <= 12


@SLOW
def test_beside_a_divergence_a_broken_promise_is_looked_for_and_told():
    package = planted(FAULTS["closing_without_a_deadline"])
    findings = explore(STUBBORN, package, model=model_for(STUBBORN)).findings
    assert findings.keys() == {REFINEMENT, "SHUT-2"}
    with watching():
        assert "closing has no timer" in tell(findings[REFINEMENT], package).splitlines()[-1]


# Planted in the model alone


IN_MODEL = [
    ({"First": "FirstIsLast", "Rest": "RestWithoutLast"}, FOUR, "blocked ⟨3, 4⟩ → ⟨4⟩"),
    ({"free": "FreeOneTooMany"}, FOUR, "queue ⟨⟩ → ⟨2⟩"),
    ({"shutdown": "ShutdownLeavesQueue"}, SHUTTING, "phase open → closing; queue ⟨2⟩ → ⟨⟩"),
    ({"Leave": "LeaveQuietly"}, FAILING, "told ⟨0⟩ → ⟨1⟩"),
    ({"settle": "SettleSilently"}, STUBBORN, "late ⟨0⟩ → ⟨1⟩"),
    (
        {"end_closing_next": "LeaveNextNever"},
        CLOSING,
        "state ⟨closing, pending, none⟩ → ⟨closed, active, none⟩",
    ),
    ({"Fits": "FitsOne"}, RAISED, "limit 1 → 3; taken 1 → 3; queue ⟨2, 3⟩ → ⟨⟩"),
    ({"over": "NeverOver"}, LOWERED, "taken 2 → 1; state ⟨active, active, pending⟩"),
    ({"CodeAfter": "CodeAfterByAnybody"}, TIMED, "code ⟨overdue⟩ → ⟨timed_out⟩"),
    ({"Conclude": "ConcludeForgetsTime"}, TIMED, "code ⟨overdue⟩ → ⟨timed_out⟩; told ⟨0⟩ → ⟨1⟩"),
    ({"Watches": "WatchesOnly"}, QUITTING, "waiter ⟨stopping⟩ → ⟨leaving⟩"),
    ({"settle": "SettleReportsAgain"}, OUTLIVING, "phase closing → closed"),
]  # fmt: skip


@pytest.mark.parametrize(("replaced", "scope", "phrase"), quickest_first(IN_MODEL))
def test_a_fault_in_the_model_is_noticed_and_no_promise_is_blamed(replaced, scope, phrase):
    findings = explore(scope, own(), model=model_for(scope, replaced)).findings
    assert findings.keys() == {REFINEMENT}
    assert phrase in findings[REFINEMENT].text


# Who may cause what


def test_nobody_may_do_what_is_anothers():
    resume, stop = ModelStep("resume", 1, 2, "woken"), ModelStep("close_active", 1)
    assert may_cause(Cause("wait", 1, 2), resume, eager=False)
    assert not may_cause(Cause("wait", 1, 1), resume, eager=False)
    assert not may_cause(Cause("job", 1), resume, eager=False)
    assert may_cause(Cause("close", 1, 1), stop, eager=False)
    assert not may_cause(Cause("close", 2, 1), stop, eager=False)
    assert not may_cause(Cause("wait", 1, 1), stop, eager=False)
    fail = ModelStep("fail", 1)
    assert [may_cause(Cause("job", job), fail, eager=eager) for job, eager in ((1, False), (2, False), (2, True))] == [
        True, False, True,
    ]  # fmt: skip


# Both ways


def test_what_the_code_never_does_must_be_declared_and_what_is_declared_must_not_happen():
    never = [
        refine.Never("a", "why", "full"),
        refine.Never("b", "why", "smoke"),
        refine.Never("c", "why", "full"),
    ]
    told = list(refine.differences({"x", "a"}, {"x", "y", "a", "b"}, never, "smoke"))
    assert told == [
        "the model has the step 'y', and the code never takes it",
        "refinement.toml says that the code never takes the step 'a', and it does",
    ]
    told = list(refine.differences({"x"}, {"x", "a", "b"}, never, "full"))
    assert told == [
        "the model has the step 'b', and the code never takes it",
        "refinement.toml speaks of a step 'c', which the model does not have",
    ]


def test_a_declaration_needs_a_reason(tmp_path):
    path = tmp_path / "refinement.toml"
    path.write_text('[[never]]\nstep = "settle"\ntier = "full"\n')
    with pytest.raises(SpecError, match="reason"):
        refine.read_never(path)
    assert all(len(one.reason) > 20 for one in refine.read_never())


@SLOW
def test_each_kind_of_step_is_asked_for_in_a_whole_tier(monkeypatch, capsys):
    from aiojobs_verification.cli import explore as command

    case = Case("tiny", "smoke", SHUTTING, {})
    monkeypatch.setattr(command, "read_cases", lambda: [case])
    monkeypatch.setattr(command, "_unseen", lambda _: [])
    assert main(["explore", "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert "the model has the step 'spawn_refuse', and the code never takes it" not in out
    assert "the model has the step 'end_active_next cancelled', and the code never takes it" not in out
    assert "FAIL the model has the step 'end_closing_next returned', and the code never takes it" in out


def test_graphs_are_as_few_as_will_do_and_have_room_for_each_scope():
    cases = [case for case in read_cases() if case.tier == "smoke"]
    chosen = refine.models(cases)
    modelled = [case for case in cases if case.scope.parties == ("polite",) and case.scope.factories == ("stock",)
                and case.scope.coroutines == ("ordinary",) and "thread" not in case.scope.spawns]  # fmt: skip
    assert chosen.keys() == {case.name for case in modelled}
    assert all(chosen[case.name].covers(refine.constants(case.scope)) for case in modelled)
    assert len(set(chosen.values())) < len(modelled) / 2


@SLOW
def test_without_tlc_nothing_is_held_against_the_model_and_the_result_is_skipped(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("JAVA", str(tmp_path / "gone"))
    written = tmp_path / "account.json"
    code = main(["explore", "--scope", "handler-raises", "--workers", "1", "--json", str(written)])
    assert code == NO_TOOL
    assert (
        capsys.readouterr().err.splitlines()[-1].startswith("nothing was held against the model: JAVA names")
    )
    assert json.loads(written.read_text())["figures"]["scopes held against the model"] == 0
