"""The search for seeded faults can itself fail: with faults nobody finds, stale ones, a broken tree."""

import json
import shutil
import subprocess
import tomllib
from collections import deque

import pytest

from aiojobs_verification.cli.commands import FAILED, NO_TOOL, PASSED, main
from aiojobs_verification.cli.mutants import account, failures
from aiojobs_verification.fault_injection import baseline, teeth
from aiojobs_verification.fault_injection.catalogue import Catalogue, Fault, Target, read_catalogue
from aiojobs_verification.fault_injection.finders import KILLED, SURVIVED
from aiojobs_verification.fault_injection.operators import made
from aiojobs_verification.fault_injection.sandbox import ERROR, TIMEOUT, Attempt, Sandbox
from aiojobs_verification.fault_injection.trials import BaselineError, Trial, Trials, everything, trials
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.requirements import read_requirements
from planted.chain import ROOT

ADMISSION = "src/aiojobs/_admission.py"
TESTS = ("tests/unit/test_admission.py",)


def with_text(file, old, new):
    """The file with another text in place of one that occurs once."""
    text = (ROOT / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    return {file: text.replace(old, new)}


FAULT = with_text(ADMISSION, "self.running < self.limit", "self.running <= self.limit")
COMMENT = with_text(ADMISSION, "        self.blocked += 1\n", "        self.blocked += 1  # one more\n")


def a_fault(files, name="a fault", **more):
    fields = {"group": "core", "story": "It is wrong.", "breaks": ("LIMIT-1",), "found_by": ("test",), **more}
    return Fault(name, files=files, **fields)


def a_catalogue(*listed, tests=TESTS):
    requirements = read_requirements(ROOT / "spec" / "requirements.toml")
    return Catalogue(listed, (), {}, 0, tests, {}, requirements)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(ROOT) as found:
        yield found


def tried(sandbox, *faults, full=False):
    catalogue = a_catalogue(*faults)
    found = trials(everything(catalogue, sandbox.base), full=full)
    Trials(catalogue, sandbox, full=full, workers=1, tell=lambda _: None).judge(found)
    return catalogue, found


def test_a_fault_is_found_by_a_test_that_claims_its_requirement(sandbox):
    catalogue, [trial] = tried(sandbox, a_fault(FAULT))
    assert (trial.verdict, trial.covers) == ("killed", ["LIMIT-1"])
    assert trial.remark().startswith(f"{TESTS[0]}::")
    assert failures(catalogue, [trial], whole=False) == []
    assert account([trial])["covers"] == {"LIMIT-1": ["a fault"]}


def test_a_change_of_a_comment_survives_and_is_a_failure_by_its_name(sandbox):
    catalogue, [trial] = tried(sandbox, a_fault(COMMENT, "a comment"))
    assert trial.verdict == "survived"
    assert "SURVIVED: a comment (core; breaks LIMIT-1)" in failures(catalogue, [trial], whole=False)
    assert account([trial])["covers"] == {}


def test_an_argument_is_believed_of_what_survives_and_refuted_by_what_is_found(sandbox):
    catalogue, both = tried(
        sandbox,
        a_fault(COMMENT, "a comment", equivalent="It is a comment."),
        a_fault(FAULT, "a fault", equivalent="Nobody looks."),
    )
    assert [trial.verdict for trial in both] == ["equivalent", "argued wrongly"]
    assert [line for line in failures(catalogue, both, whole=False) if "ARGUED WRONGLY: a fault" in line]


def test_a_fault_is_not_found_by_tests_that_claim_other_requirements(sandbox):
    """The limit is broken, and tests of BOOK-3 do not care; that no test claims it at all is an error."""
    _, [trial] = tried(sandbox, a_fault(FAULT, breaks=("BOOK-3",)))
    assert trial.verdict == "error"
    assert "no test speaks for it" in trial.remark()


def test_a_failing_baseline_is_an_error_and_there_is_no_verdict(tmp_path):
    for part in ("src", "spec"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    broken = "import pytest\n\n@pytest.mark.requirement('LIMIT-1')\ndef test_it():\n    assert False\n"
    (tmp_path / "tests" / "unit" / "test_broken.py").write_text(broken, encoding="utf-8")
    with Sandbox(tmp_path) as sandbox:
        catalogue = a_catalogue(a_fault(FAULT), tests=("tests/unit",))
        found = trials(catalogue.listed, full=False)
        judge = Trials(catalogue, sandbox, full=False, workers=1, tell=lambda _: None)
        with pytest.raises(BaselineError, match="test_it does not pass on the unchanged tree"):
            judge.judge(found)


DOC = '"""The reader of the specification refuses it."""'
KILLERS = "verification/src/aiojobs_verification/fault_injection/finders.py"


def ask(sandbox, what, seconds=20.0, files=None, **told):
    tasks = deque([Attempt("a task", what, told, seconds, files or {})])
    [answer] = [news[1] for news in sandbox.run(tasks, 1) if news]
    return answer


def test_what_does_not_come_back_is_killed_and_has_found_nothing(sandbox):
    endless = with_text(KILLERS, DOC, "while True: pass")
    assert ask(sandbox, "validate", 0.5, endless)["status"] == TIMEOUT


def test_what_falls_over_is_an_error_and_not_a_find(sandbox):
    lost = with_text(KILLERS, DOC, "raise KeyError")
    assert ask(sandbox, "validate", files=lost)["status"] == ERROR
    broken = with_text(KILLERS, "import re\n", "import regular_expressions\n")
    assert ask(sandbox, "validate", files=broken)["status"] == ERROR


def test_a_mutant_leaves_no_trace_in_the_unchanged_tree(sandbox):
    folder = (sandbox.base / ADMISSION).read_text(encoding="utf-8")
    assert ask(sandbox, "validate", files=FAULT)["status"] == SURVIVED
    assert (sandbox.base / ADMISSION).read_text(encoding="utf-8") == folder
    assert sandbox.intact()
    (sandbox.base / "spec" / "left behind").write_text("", encoding="utf-8")
    assert not sandbox.intact()
    (sandbox.base / "spec" / "left behind").unlink()


def answer(status, *requirements):
    return {"status": status, "by": "somebody", "requirements": list(requirements), "story": "a story"}


def test_each_link_that_a_listed_mutant_names_must_find_it_when_all_are_asked():
    fault = a_fault(FAULT, found_by=("test", "explore"))
    found = {"test": answer(KILLED, "LIMIT-1"), "explore": answer(SURVIVED)}
    assert Trial(fault, True, found).verdict == "missed"
    assert Trial(fault, False, found).verdict == "killed"
    assert Trial(fault, True, {"test": answer(KILLED, "LIMIT-1")}).next_finder() == "explore"
    assert Trial(fault, False, {"test": answer(KILLED, "LIMIT-1")}).next_finder() is None
    assert Trial(fault, False, {"test": answer(SURVIVED)}).next_finder() == "explore"


def test_requirements_for_which_nothing_was_found_and_defects_that_no_fault_is_are_failures():
    wrong = failures(a_catalogue(), [])
    assert [line for line in wrong if line.startswith("NO FAULT was found for LIMIT-1, ")]
    assert [line for line in wrong if line.startswith("NO FAULT is the known defect: Closing a pending job")]


def test_what_is_stale_is_a_failure_by_its_name_and_the_others_are_tried(sandbox):
    stale = a_fault({}, "a lost one", stale="spec/mutants/core.toml:9: there is no Core.go(self) any more")
    catalogue, both = tried(sandbox, stale, a_fault(FAULT))
    assert [trial.verdict for trial in both] == ["stale", "killed"]
    wrong = failures(catalogue, both, whole=False)
    assert "STALE: a lost one (core; breaks LIMIT-1)" in wrong
    assert "  spec/mutants/core.toml:9: there is no Core.go(self) any more" in wrong


# Teeth.


def test_a_cell_is_filled_by_what_its_kind_has_found_by_itself():
    fault = a_fault(FAULT, breaks=("LIMIT-1", "LIMIT-6"), found_by=("conformance", "explore"))
    said = {"conformance": answer(KILLED, "LIMIT-1"), "explore": answer(SURVIVED)}
    found = teeth.matrix(a_catalogue().requirements, [Trial(fault, True, said)], ROOT / "spec")
    assert found["LIMIT-1"]["test"] == ["a fault"]
    assert found["LIMIT-1"]["explore"] == []
    assert found["LIMIT-6"]["test"] == []
    assert found["LIMIT-5"]["model"]
    assert "mutant" not in found["LIMIT-1"]
    assert ("LIMIT-1", "explore") in teeth.empty(found)
    assert ("LIMIT-1", "test") not in teeth.empty(found)


def test_the_matrix_of_a_full_run_is_kept_with_its_commit_and_date(tmp_path):
    (tmp_path / "mutants").mkdir()
    rows = {"LIMIT-1": {"test": ['the "first"', *"bcdefg"], "explore": []}}
    teeth.write_matrix(tmp_path, rows, ROOT)
    found = tomllib.loads((tmp_path / "mutants" / "teeth.toml").read_text(encoding="utf-8"))
    assert found["teeth"] == {"LIMIT-1": {"test": ['the "first"', *"bcde"], "explore": []}}
    assert set(found) == {"commit", "date", "teeth"}


# The catalogue.


LISTED = """
group = "core"
[[fault]]
name = "a fault"
story = "It is wrong."
breaks = ["LIMIT-1"]
found_by = ["test"]
in = "Admission.offer(self, may_block)"
replace = "self.running < self.limit"
by = "self.running <= self.limit"
"""
SYSTEMATIC = """
target = []
[search]
tests = ["tests/unit"]
[search.scope]
[counters]
smoke_every = 0
"""


def read(tmp_path, listed=LISTED, systematic=SYSTEMATIC):
    shutil.copytree(ROOT / "spec", tmp_path / "spec", ignore=shutil.ignore_patterns("mutants", "tla"))
    (tmp_path / "spec" / "mutants").mkdir()
    (tmp_path / "spec" / "mutants" / "listed.toml").write_text(listed, encoding="utf-8")
    (tmp_path / "spec" / "mutants" / "systematic.toml").write_text(systematic, encoding="utf-8")
    return read_catalogue(tmp_path / "spec", ROOT)


def test_a_fault_is_read(tmp_path):
    [fault] = read(tmp_path).listed
    assert (fault.name, fault.breaks, list(fault.files), fault.stale) == (
        "a fault",
        ("LIMIT-1",),
        [ADMISSION],
        "",
    )
    assert "self.running <= self.limit" in fault.files[ADMISSION]


def test_a_fault_that_does_not_fit_any_more_is_stale_where_it_is_listed(tmp_path):
    [fault] = read(tmp_path, LISTED.replace("may_block)", "block)")).listed
    assert fault.stale.startswith("spec/mutants/listed.toml:4: _admission.py:")
    assert fault.stale.endswith(
        "the signature is Admission.offer(self, may_block), expected was Admission.offer(self, block)"
    )
    assert fault.files == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("LIMIT-1", "LIMIT-99", "unknown requirement 'LIMIT-99'"),
        ('found_by = ["test"]', 'found_by = ["luck"]', "unknown finder 'luck'"),
        ('found_by = ["test"]', 'found_by = ["explore"]', "a scope is named exactly by those"),
        ('found_by = ["test"]', 'found_by = ["test"]\nrecreates = ["nothing"]', "unknown defect 'nothing'"),
        ('found_by = ["test"]', 'found_by = ["test"]\nsmok = true', "unknown key"),
    ],
)
def test_a_catalogue_that_is_misspelt_is_refused(tmp_path, old, new, message):
    with pytest.raises(SpecError) as error:
        read(tmp_path, LISTED.replace(old, new))
    assert message in str(error.value)


def test_an_argument_about_a_fault_that_is_not_made_is_stale(tmp_path):
    argued = SYSTEMATIC.replace("target = []", "") + '[[equivalent]]\nfaults = ["gone"]\nreason = "it was"\n'
    catalogue = read(tmp_path, systematic=f"target = []\n{argued}")
    gone = [fault for fault in everything(catalogue, ROOT) if fault.stale]
    assert [(fault.name, fault.stale) for fault in gone] == [
        ("gone", "systematic.toml: argued equivalent, and no operator makes it")
    ]


def test_the_catalogue_of_this_tree_is_up_to_date():
    catalogue = read_catalogue(ROOT / "spec", ROOT)
    assert len(catalogue.listed) >= 40
    faults = everything(catalogue, ROOT)
    assert [fault.stale for fault in faults if fault.stale] == []
    names = [fault.name for fault in faults]
    assert len(names) == len(set(names))


# The operators.


def test_every_cell_of_a_table_is_changed_to_everything_else():
    faults = made(Target("spec/job.toml", "table", {}, ("validate",), 1), ROOT)
    assert len(faults) == 25 * 5
    assert len({fault.files["spec/job.toml"] for fault in faults}) == 25 * 5
    phases = made(Target("spec/scheduler.toml", "table", {}, ("validate",), 1), ROOT)
    assert len(phases) == 6 * 3


CODE = '''
def decide(limit, running):
    """Not this: 1 < 2."""
    if limit is None or running < limit:
        return 1
    running += 1
    return running
'''


def test_the_operators_change_signs_numbers_conditions_and_statements(tmp_path):
    (tmp_path / "core.py").write_text(CODE, encoding="utf-8")
    faults = made(Target("core.py", "core", {"decide": ("LIMIT-1",)}, ("test",), 1), tmp_path)
    names = {fault.name.removeprefix("decide: ") for fault in faults}
    assert {
        "limit is None or running < limit → True",
        "limit is None or running < limit → ((limit is None) and (running < limit))",
        "limit is None or running < limit → ((running < limit))",
        "limit is None → limit is not None",
        "running < limit → running <= limit",
        "return 1 → return 2",
        "return 1 → pass",
        "running += 1 → running -= 1",
        "running += 1 → running += 0",
        "return running → pass",
    } <= names
    for fault in faults:
        compile(fault.files["core.py"], "core.py", "exec")


def test_a_function_that_nobody_aims_at_and_an_aim_at_none_are_stale_and_the_others_made(tmp_path):
    (tmp_path / "core.py").write_text(CODE, encoding="utf-8")
    faults = made(Target("core.py", "core", {"decided": ("LIMIT-1",)}, ("test",), 1), tmp_path)
    assert [fault.stale for fault in faults if fault.stale] == [
        "core.py: decided: aimed at, and it is not there",
        "core.py: decide: nobody aims at it",
    ]
    assert len(faults) > 10


@pytest.mark.slow
def test_the_command_finds_a_seeded_fault_and_writes_its_account(tmp_path, capsys):
    target = tmp_path / "account.json"
    assert main(["mutants", "--only", "the limit is off by one", "--json", str(target)]) == PASSED
    found = json.loads(target.read_text(encoding="utf-8"))
    assert found["figures"]["killed"] == 1
    assert found["covers"]["LIMIT-1"] == ["the limit is off by one"]
    assert "One job more than the limit starts." in found["planted"]["the limit is off by one"]
    assert "1 of 1 faults are found or equivalent" in capsys.readouterr().out
    assert main(["mutants", "--only", "no such fault"]) not in {PASSED, FAILED}


# --- aiojobs 1.4.0 ------------------------------------------------------------------------------------------

CAUGHT = {
    "explore": """\
baseline-close: 283 states in 0.7 s

A scheduler of aiojobs 1.4.0 with limit=1, pending_limit=1, close_timeout=1.
  1. Call 0: somebody spawns job 0; it ends when it is cancelled.
  2. The loop takes a turn.
       call 0 (spawn) has its answer
  => CLOSE-4 is broken: call 1 (close) was cancelled and answers None.

baseline-shields: 56 states in 0.1 s
""",
    "fuzz": "",
}


def trying(monkeypatch, codes):
    """Have the baseline tried by links that end with these codes; the exit code."""

    def run(command, **_):
        link = command[3]
        said = json.dumps({"figures": {"requirements found broken": 1}})
        return subprocess.CompletedProcess(command, codes[link], said, CAUGHT[link])

    monkeypatch.setattr(baseline.packages, "fetch", lambda *_: None)
    monkeypatch.setattr(baseline.subprocess, "run", run)
    return main(["mutants", "--baseline", "--json"])


def test_the_baseline_is_caught_by_two_links_and_their_stories_are_kept(monkeypatch, capsys):
    assert trying(monkeypatch, {"explore": PASSED, "fuzz": PASSED}) == PASSED
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["fuzz: requirements found broken"] == 1
    assert list(found["planted"]) == ["explore: CLOSE-4"]
    story = found["planted"]["explore: CLOSE-4"].splitlines()
    assert (story[0][:30], story[-1][:23]) == ("A scheduler of aiojobs 1.4.0 w", "  => CLOSE-4 is broken:")


@pytest.mark.parametrize("link", ["explore", "fuzz"])
def test_an_baseline_that_a_link_lets_pass_is_a_failure(monkeypatch, capsys, link):
    assert trying(monkeypatch, {"explore": PASSED, "fuzz": PASSED, link: FAILED}) == FAILED
    said = capsys.readouterr()
    assert f"aiojobs 1.4.0 is not caught by {link}" in said.err
    assert said.out == ""


def test_without_a_package_index_the_baseline_is_not_tried_and_that_is_no_pass(monkeypatch, capsys):
    def out_of_reach(*_):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(baseline.packages, "fetch", out_of_reach)
    assert main(["mutants", "--baseline"]) == NO_TOOL
    assert "can't be fetched from the package index" in capsys.readouterr().err
