"""The search for seeded faults can itself fail: with faults nobody finds, stale ones, a broken tree."""

import json
import shutil
import subprocess
from collections import deque

import pytest

from aiojobs_verification.cli.commands import FAILED, NO_TOOL, PASSED, main
from aiojobs_verification.cli.mutants import account, failures
from aiojobs_verification.fault_injection import baseline
from aiojobs_verification.fault_injection.catalogue import Catalogue, Edit, Mutant, System, read_catalogue
from aiojobs_verification.fault_injection.killers import KILLED, SURVIVED
from aiojobs_verification.fault_injection.operators import made
from aiojobs_verification.fault_injection.sandbox import ERROR, TIMEOUT, Sandbox, Task
from aiojobs_verification.fault_injection.trials import BaselineError, Court, Trial, trials
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.requirements import read_requirements
from planted.chain import ROOT

ADMISSION = "src/aiojobs/_admission.py"
FAULT = Edit(ADMISSION, "self.running < self.limit", "self.running <= self.limit")
COMMENT = Edit(ADMISSION, "        self.blocked += 1\n", "        self.blocked += 1  # one more\n")
TESTS = ("tests/unit/test_admission.py",)


def a_mutant(edit, name="a fault", **more):
    fields = {"kind": "core", "story": "It is wrong.", "aims": ("LIMIT-1",), "links": ("test",), **more}
    return Mutant(name, edits=(edit,), **fields)


def a_catalogue(*listed, tests=TESTS):
    requirements = read_requirements(ROOT / "spec" / "requirements.toml")
    return Catalogue(listed, (), {}, 0, tests, {}, requirements)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(ROOT) as found:
        yield found


def tried(sandbox, *mutants, full=False):
    catalogue = a_catalogue(*mutants)
    on_trial = trials(catalogue, sandbox.base, full=full)
    Court(catalogue, sandbox, full=full, workers=1, tell=lambda _: None).judge(on_trial)
    return catalogue, on_trial


def test_a_fault_is_found_by_a_test_that_claims_its_requirement(sandbox):
    catalogue, [trial] = tried(sandbox, a_mutant(FAULT))
    assert (trial.verdict, trial.covers) == ("killed", ["LIMIT-1"])
    assert trial.remark().startswith(f"{TESTS[0]}::")
    assert failures(catalogue, [trial], whole=False) == []
    assert account([trial])["covers"] == {"LIMIT-1": ["a fault"]}


def test_a_change_of_a_comment_survives_and_is_a_failure_by_its_name(sandbox):
    catalogue, [trial] = tried(sandbox, a_mutant(COMMENT, "a comment"))
    assert trial.verdict == "survived"
    assert "SURVIVED: a comment (core; aims at LIMIT-1)" in failures(catalogue, [trial], whole=False)
    assert account([trial])["covers"] == {}


def test_an_argument_is_believed_of_what_survives_and_refuted_by_what_is_found(sandbox):
    catalogue, both = tried(
        sandbox,
        a_mutant(COMMENT, "a comment", equivalent="It is a comment."),
        a_mutant(FAULT, "a fault", equivalent="Nobody looks."),
    )
    assert [trial.verdict for trial in both] == ["equivalent", "argued wrongly"]
    assert [line for line in failures(catalogue, both, whole=False) if "ARGUED WRONGLY: a fault" in line]


def test_a_fault_is_not_found_by_tests_that_claim_other_requirements(sandbox):
    """The limit is broken, and tests of BOOK-3 do not care; that no test claims it at all is an error."""
    _, [trial] = tried(sandbox, a_mutant(FAULT, aims=("BOOK-3",)))
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
        catalogue = a_catalogue(a_mutant(FAULT), tests=("tests/unit",))
        on_trial = trials(catalogue, sandbox.base, full=False)
        court = Court(catalogue, sandbox, full=False, workers=1, tell=lambda _: None)
        with pytest.raises(BaselineError, match="tests/unit does not pass on the unchanged tree"):
            court.judge(on_trial)
    assert on_trial[0].said == {}


DOC = '"""The reader of the specification refuses it."""'
KILLERS = "verification/src/aiojobs_verification/fault_injection/killers.py"


def ask(sandbox, what, seconds=20.0, edits=(), **told):
    tasks = deque([Task("a task", what, told, seconds, edits)])
    [answer] = [news[1] for news in sandbox.run(tasks, 1) if news]
    return answer


def test_what_does_not_come_back_is_killed_and_has_found_nothing(sandbox):
    endless = Edit(KILLERS, DOC, "while True: pass")
    assert ask(sandbox, "validate", 0.5, (endless,))["status"] == TIMEOUT


def test_what_falls_over_is_an_error_and_not_a_find(sandbox):
    lost = Edit(KILLERS, DOC, "raise KeyError")
    assert ask(sandbox, "validate", edits=(lost,))["status"] == ERROR
    broken = Edit(KILLERS, "import re\n", "import regular_expressions\n")
    assert ask(sandbox, "validate", edits=(broken,))["status"] == ERROR


def test_a_mutant_leaves_no_trace_in_the_unchanged_tree(sandbox):
    folder = (sandbox.base / ADMISSION).read_text(encoding="utf-8")
    assert ask(sandbox, "validate", edits=(FAULT,))["status"] == SURVIVED
    assert (sandbox.base / ADMISSION).read_text(encoding="utf-8") == folder
    assert sandbox.intact()
    (sandbox.base / "spec" / "left behind").write_text("", encoding="utf-8")
    assert not sandbox.intact()
    (sandbox.base / "spec" / "left behind").unlink()


def answer(status, *requirements):
    return {"status": status, "by": "somebody", "requirements": list(requirements), "story": "a story"}


def test_each_link_that_a_listed_mutant_names_must_find_it_when_all_are_asked():
    mutant = a_mutant(FAULT, links=("test", "explore"))
    found = {"test": answer(KILLED, "LIMIT-1"), "explore": answer(SURVIVED)}
    assert Trial(mutant, True, found).verdict == "missed"
    assert Trial(mutant, False, found).verdict == "killed"
    assert Trial(mutant, True, {"test": answer(KILLED, "LIMIT-1")}).next_link() == "explore"
    assert Trial(mutant, False, {"test": answer(KILLED, "LIMIT-1")}).next_link() is None
    assert Trial(mutant, False, {"test": answer(SURVIVED)}).next_link() == "explore"


def test_requirements_without_a_killed_mutant_and_defects_without_a_mutant_are_failures():
    wrong = failures(a_catalogue(), [])
    assert [line for line in wrong if line.startswith("NO MUTANT was killed for LIMIT-1, ")]
    assert [line for line in wrong if line.startswith("NO MUTANT is the known defect: Closing a pending job")]


# The catalogue.


MUTANT = """
kind = "core"
[[mutant]]
name = "a fault"
story = "It is wrong."
file = "src/aiojobs/_admission.py"
old = "self.running < self.limit"
new = "self.running <= self.limit"
aims = ["LIMIT-1"]
links = ["test"]
"""
SYSTEMATIC = """
system = []
[search]
tests = ["tests/unit"]
[search.scope]
[counters]
smoke_every = 0
"""


def read(tmp_path, mutant=MUTANT, systematic=SYSTEMATIC):
    shutil.copytree(ROOT / "spec", tmp_path / "spec", ignore=shutil.ignore_patterns("mutants", "tla"))
    (tmp_path / "spec" / "mutants").mkdir()
    (tmp_path / "spec" / "mutants" / "listed.toml").write_text(mutant, encoding="utf-8")
    (tmp_path / "spec" / "mutants" / "systematic.toml").write_text(systematic, encoding="utf-8")
    return read_catalogue(tmp_path / "spec", ROOT)


def test_a_mutant_is_read(tmp_path):
    [mutant] = read(tmp_path).listed
    assert (mutant.name, mutant.aims, mutant.edits) == ("a fault", ("LIMIT-1",), (FAULT,))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("self.running < self.limit", "self.running < other", "stale: 'self.running < other' occurs 0 times"),
        ('old = "self.running < self.limit"', 'old = "self"', "stale: 'self' occurs"),
        ("self.running <= self.limit", "self.running <", "is not Python any more"),
        ("self.running <= self.limit", "self.running < self.limit", "replaces a text by itself"),
        ("_admission.py", "_nothing.py", "there is no file"),
        ("LIMIT-1", "LIMIT-99", "unknown requirement 'LIMIT-99'"),
        ('links = ["test"]', 'links = ["luck"]', "unknown link 'luck'"),
        ('links = ["test"]', 'links = ["explore"]', "a scope is named exactly by those"),
        ('links = ["test"]', 'links = ["test"]\nrecreates = ["nothing"]', "unknown defect 'nothing'"),
        ('links = ["test"]', 'links = ["test"]\nsmok = true', "unknown key"),
    ],
)
def test_a_catalogue_that_is_out_of_date_or_misspelt_is_refused(tmp_path, old, new, message):
    with pytest.raises(SpecError) as error:
        read(tmp_path, MUTANT.replace(old, new))
    assert message in str(error.value)


def test_an_argument_about_a_mutant_that_is_not_made_is_refused(tmp_path):
    argued = SYSTEMATIC.replace("system = []", "") + '[[equivalent]]\nmutants = ["gone"]\nreason = "it was"\n'
    catalogue = read(tmp_path, systematic=f"system = []\n{argued}")
    with pytest.raises(SpecError, match="stale: no operator makes the mutant 'gone'"):
        trials(catalogue, ROOT, full=True)


def test_the_catalogue_of_this_tree_is_up_to_date():
    catalogue = read_catalogue(ROOT / "spec", ROOT)
    assert len(catalogue.listed) >= 40
    everything = trials(catalogue, ROOT, full=True)
    names = [trial.mutant.name for trial in everything]
    assert len(names) == len(set(names))


# The operators.


def test_every_cell_of_a_table_is_changed_to_everything_else():
    mutants = made(System("spec/job.toml", "table", {}, ("validate",), 1), ROOT)
    assert len(mutants) == 20 * 5
    assert len({mutant.edits[0].new for mutant in mutants}) == 20 * 5
    phases = made(System("spec/scheduler.toml", "table", {}, ("validate",), 1), ROOT)
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
    mutants = made(System("core.py", "core", {"decide": ("LIMIT-1",)}, ("test",), 1), tmp_path)
    names = {mutant.name.removeprefix("decide: ") for mutant in mutants}
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
    for mutant in mutants:
        compile(mutant.edits[0].applied(CODE), "core.py", "exec")


def test_a_function_that_nobody_aims_at_is_refused(tmp_path):
    (tmp_path / "core.py").write_text(CODE, encoding="utf-8")
    with pytest.raises(SpecError, match="functions without aims"):
        made(System("core.py", "core", {}, ("test",), 1), tmp_path)


@pytest.mark.slow
def test_the_command_finds_a_seeded_fault_and_writes_its_account(tmp_path, capsys):
    target = tmp_path / "account.json"
    assert main(["mutants", "--only", "the limit is off by one", "--json", str(target)]) == PASSED
    found = json.loads(target.read_text(encoding="utf-8"))
    assert found["figures"]["killed"] == 1
    assert found["covers"]["LIMIT-1"] == ["the limit is off by one"]
    assert "One job more than the limit starts." in found["planted"]["the limit is off by one"]
    assert "1 of 1 mutants are found or equivalent" in capsys.readouterr().out
    assert main(["mutants", "--only", "no such mutant"]) not in {PASSED, FAILED}


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
