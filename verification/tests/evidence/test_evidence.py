"""Evidence is taken at its word or not at all: files, and the readers that make them, with planted faults."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from aiojobs_verification.evidence import evidence, findings
from aiojobs_verification.evidence.evidence import Cover, EvidenceError, Findings, Status
from aiojobs_verification.evidence.findings import Left
from planted.chain import FAILED, evidence_of, passed

# The package


def foreign(sources):
    """The packages of this distribution, other than evidence, that these sources import."""
    names = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names.update(".".join(name.split(".")[:2]) for name in modules if name.startswith("aiojobs"))
    return names - {"aiojobs_verification.evidence"}


def test_the_package_knows_none_of_the_others_nor_the_library():
    sources = [path.read_text(encoding="utf-8") for path in Path(evidence.__file__).parent.glob("*.py")]
    assert len(sources) > 5
    assert foreign(sources) == set()
    assert foreign(["import aiojobs\nfrom aiojobs_verification.smt import solver\n"]) == {
        "aiojobs", "aiojobs_verification.smt",
    }  # fmt: skip


# Evidence files


def test_an_evidence_file_reads_back_as_it_was_written(tmp_path):
    whole = replace(
        passed("A-1"),
        skips={"a test": "no uvloop"},
        left_out={"tests": 2},
        seeds={"hypothesis": 0},
        planted={"a": "b"},
    )
    whole = replace(whole, teeth={"A-1": {"test": ["LIFO"]}})
    before = evidence_of("unit", whole)
    assert evidence.read(evidence.write(before, tmp_path)) == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("status", "passed"),
        ("status", "skipped"),
        ("reason", "it passed, but"),
        ("step", "another"),
        ("schema", 1),
        ("figures", None),
        ("covers", [{"requirement": "A-1", "kind": "test", "by": "one"}]),
        ("covers", [{"requirement": "A-1", "kind": "test", "by": ["b", "a"]}]),
        ("covers", [{"requirement": "A-1"}]),
        ("left_out", {"tests": 0}),
        ("teeth", {"A-1": {"test": ["b", "a"]}}),
        ("surplus", 1),
    ],
)
def test_an_evidence_file_is_taken_at_its_word_or_not_at_all(tmp_path, key, value):
    path = evidence.write(evidence_of("unit", passed("A-1")), tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(EvidenceError, match=r"^unit\.json: "):
        evidence.read(path)


@pytest.mark.parametrize("key", evidence_of("unit", passed("A-1")).as_dict())
def test_an_evidence_file_without_one_of_its_keys_is_refused(tmp_path, key):
    path = evidence.write(evidence_of("unit", passed("A-1")), tmp_path)
    data = json.loads(path.read_text())
    del data[key]
    path.write_text(json.dumps(data))
    with pytest.raises(EvidenceError):
        evidence.read(path)


def test_what_did_not_pass_covers_nothing():
    with pytest.raises(ValueError, match="covers nothing"):
        replace(FAILED, covers=(Cover("A-1", "test", ("t",)),))


def test_the_digest_of_the_subject_sees_content_and_names_but_no_caches(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("1")
    first = evidence.source_digest(tmp_path)
    (tmp_path / "src" / "__pycache__").mkdir()
    (tmp_path / "src" / "__pycache__" / "a.pyc").write_text("1")
    assert evidence.source_digest(tmp_path) == first
    (tmp_path / "src" / "a.py").write_text("2")
    second = evidence.source_digest(tmp_path)
    (tmp_path / "src" / "a.py").rename(tmp_path / "src" / "b.py")
    assert len({first, second, evidence.source_digest(tmp_path)}) == 3


# Readers


def left(code=0, out="", err="", written=Path("nowhere")):
    return Left(code, out, err, written)


def pytest_account(tmp_path, *tests):
    outcomes = [outcome for outcome, _ in tests]
    data = {
        "exit": 0,
        "figures": {outcome: outcomes.count(outcome) for outcome in outcomes},
        "seeds": {},
        "skips": [],
        "tests": [
            {"id": f"t{number}", "outcome": outcome, "requirements": ids}
            for number, (outcome, ids) in enumerate(tests)
        ],
    }
    path = tmp_path / "account"
    path.write_text(json.dumps(data))
    return left(written=path)


def test_an_exit_code_is_read_for_what_it_is():
    assert findings.exit_code(left(0)).status is Status.PASS
    failed = findings.exit_code(left(2, out="line\nlast line\n"))
    assert (failed.status, failed.reason.splitlines()[0]) == (Status.FAIL, "exit code 2: last line")
    assert findings.exit_code(left(77, err="no Java\n")) == Findings(Status.SKIPPED, "no Java")
    assert findings.exit_code(left(-9)).reason.startswith("exit code -9: it said nothing")


def test_wall_time_in_what_a_step_said_does_not_reach_the_evidence():
    said = findings.exit_code(left(1, out="1 failed, 2 passed in 3.21s"))
    assert said == findings.exit_code(left(1, out="1 failed, 2 passed in 4.56s (0:00:04)"))


@pytest.mark.parametrize(
    "out", ["", "[]", "{}", '{"figures": {}}', "Traceback", '{"figures": {"n": 1}, "covers": []}']
)
def test_a_checker_that_ends_with_0_but_gives_no_account_has_failed(out):
    assert findings.document("prove")(left(out=out)).status is Status.FAIL


@pytest.mark.parametrize("build", ["pure", "compiled"])
def test_what_runs_the_library_has_run_the_build_that_it_was_to_run(build):
    read = findings.on_build("compiled", findings.document("explore"))
    found = read(left(out=json.dumps({"figures": {"build": build, "scopes": 1}})))
    other = "it was to check the compiled build, and has run: pure"
    assert (found.status, found.reason) == (
        (Status.PASS, "") if build == "compiled" else (Status.FAIL, other)
    )
    assert read(left(out='{"figures": {"scopes": 1}}')).status is Status.FAIL


def test_a_build_that_can_not_be_made_is_a_skip_and_one_that_fails_a_failure():
    read = findings.on_build("compiled", findings.document("explore"))
    said = "the core can't be compiled here: there is no C compiler: cc"
    assert read(left(77, err=f"{said}\n")) == Findings(Status.SKIPPED, said)
    assert read(left(1, err="CompileError: command 'cc' failed")).status is Status.FAIL


SHORT = """\
A scheduler with limit=1.
  1. Somebody spawns job 0.
  => LIMIT-5 is broken: job 0 at 0x7fbfa7dd5810 moves up."""


def test_of_what_a_checker_found_the_shortest_story_is_told_and_its_end_is_the_headline():
    longer = SHORT.replace("  1.", "  0. The loop takes a turn.\n  1.").replace("LIMIT-5", "LIMIT-1")
    found = findings.document("fuzz")(left(1, err=f"25 worlds\n\n{longer}\n\n{SHORT}\n\nkept\n\n28.1 s"))
    headline, *story = found.reason.splitlines()
    assert headline == "exit code 1: LIMIT-5 is broken: job 0 at 0x… moves up. (and 1 more)"
    assert story == SHORT.replace("0x7fbfa7dd5810", "0x…").splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "REFUTED: invariant.within_limit (LIMIT-1)",
        "FAULT: the demo, line 40: LIMIT-5 (trace: arrival)",
        "FAIL model_x: TLC found 3",
        "SURVIVED: the queue is last in, first out (shell; aims at LIMIT-5)",
        "SURVIVED: the queue is last in, first out (shell; breaks LIMIT-5)",
        "NO MUTANT was killed for LIMIT-5",
        "NO TEETH: explore counts for LIMIT-5, and has found no fault that breaks it",
        "THE UNCHANGED TREE FAILS: a test fails",
    ],
)
def test_what_is_wrong_is_the_headline_whatever_is_said_afterwards(line):
    said = (
        f"WARNING: a mirror was ignored\n\n3 copies judged\n{line}\n  more\n\nNOT AS EXPECTED: 1 of 2, 0.3 s"
    )
    assert findings.document("prove")(left(1, err=said)).reason == f"exit code 1: {line}\n{line}\n  more"


def test_a_checker_covers_what_it_names():
    out = json.dumps({"figures": {"queries": 3}, "covers": {"A-1": ["inv", "act"], "B-1": []}})
    assert findings.document("prove")(left(out=out)).covers == (Cover("A-1", "prove", ("act", "inv")),)


def test_what_was_wrong_on_purpose_is_kept_with_how_it_was_found():
    out = json.dumps({"figures": {"mutants": 1}, "planted": {"one too many": "LIMIT-1 is refuted"}})
    assert findings.document("mutant")(left(out=out)).planted == {"one too many": "LIMIT-1 is refuted"}


def test_an_account_says_which_kind_found_which_fault_by_itself():
    teeth = {"A-1": {"prove": ["LIFO"], "test": []}}
    out = json.dumps({"figures": {"mutants": 1}, "teeth": teeth})
    assert findings.document("mutant")(left(out=out)).teeth == teeth
    broken = json.dumps({"figures": {"mutants": 1}, "teeth": ["LIFO"]})
    assert findings.document("mutant")(left(out=broken)).status is Status.FAIL


def test_where_an_object_was_in_memory_is_not_kept():
    planted = {"a": "<Task at 0x7fbfa7dd5810>, <Job active ...9f533c57e0>>>, ...added"}
    out = json.dumps({"figures": {"mutants": 1}, "planted": planted})
    found = findings.document("mutant")(left(out=out)).planted
    assert found == {"a": "<Task at 0x…>, <Job active ...0x…>>>, ...added"}


def test_tests_cover_what_passed_and_only_if_none_let_it_down(tmp_path):
    account = pytest_account(
        tmp_path, ("passed", ["A-1", "B-1"]), ("skipped", ["A-1", "C-1"]), ("xfailed", ["B-1"])
    )
    assert findings.tests("test")(account).covers == (Cover("A-1", "test", ("t0",)),)


def test_failing_tests_are_named_without_their_stories(tmp_path):
    account = replace(pytest_account(tmp_path, ("passed", []), ("failed", []), ("error", [])), code=1)
    found = findings.tests("test")(account)
    assert (found.status, found.reason) == (Status.FAIL, "exit code 1: 2 failed\nt1\nt2")
    said = pytest_account(tmp_path, ("passed", ["A-1"]), ("failed", ["B-1", "C-1"]), ("failed", ["C-1"]))
    head = findings.tests("test")(replace(said, code=1)).reason.splitlines()[0]
    assert head == "exit code 1: 2 failed; they speak for C-1, B-1"
    assert found.figures == {"passed": 1, "failed": 1, "error": 1}


def test_what_was_left_out_is_counted_and_nothing_is_said_of_nothing(tmp_path):
    out = json.dumps({"figures": {"scopes": 1}, "left_out": {"scopes": 20, "loops": 0}})
    assert findings.document("explore")(left(out=out)).left_out == {"scopes": 20}
    account = pytest_account(tmp_path, ("passed", ["A-1"]))
    account.written.write_text(
        json.dumps({**json.loads(account.written.read_text()), "left_out": {"tests": 3}})
    )
    assert findings.tests("test")(account).left_out == {"tests": 3}


def test_the_story_of_a_failing_test_is_its_own_with_the_command_for_it_alone(tmp_path):
    account = replace(
        pytest_account(tmp_path, ("passed", []), ("failed", [])),
        code=1,
        out="=== FAILURES ===\n____ t1 ____\n\n    assert 1 == 2\nE   assert 1 == 2\n\n=== short test summary ===\n",
    )
    account.written.write_text(account.written.read_text().replace('"t1"', '"tests/a.py::t1"'))
    lines, repeat = findings.story(account)
    assert lines == ["tests/a.py::t1", "    assert 1 == 2", "E   assert 1 == 2"]
    assert repeat == "sh .ci/env python -m pytest 'tests/a.py::t1'"


def test_the_story_of_a_scope_is_repeated_by_exploring_that_scope():
    said = f"two-1-1  3 states\n\n{SHORT}\n\n9 steps\nFAIL other: LIMIT-1 is broken\nFAIL two-1-1: LIMIT-5 is broken\n"
    lines, repeat = findings.story(left(1, err=said))
    assert lines[-1].startswith("  => LIMIT-5 is broken")
    assert repeat == "sh .ci/env python -m aiojobs_verification explore --scope two-1-1"
    assert findings.story(left(1, err="Traceback")) == ([], "")
    crash = said.replace("LIMIT-5 is broken:", "CRASH:").replace("LIMIT-5 is broken", "CRASH")
    assert findings.story(left(1, err=crash))[1] == repeat


def test_tests_that_were_all_skipped_are_a_failure(tmp_path):
    assert findings.tests("test")(pytest_account(tmp_path, ("skipped", ["A-1"]))).status is Status.FAIL


def test_pytest_without_an_account_is_a_failure():
    assert findings.tests("test")(left()).status is Status.FAIL
    assert findings.tests("test")(left(1, out="1 failed")).status is Status.FAIL


@pytest.mark.parametrize(("lines", "branches", "total"), [(1, 0, 9), (0, 1, 9), (0, 0, 0)])
def test_one_missing_line_or_branch_or_nothing_measured_is_a_failure(tmp_path, lines, branches, total):
    assert findings.coverage(100)(coverage_account(tmp_path, lines, branches, total)).status is Status.FAIL


def test_full_coverage_passes_with_its_figures(tmp_path):
    found = findings.coverage(100)(coverage_account(tmp_path, 0, 0, 9))
    assert (found.status, found.figures["lines"]) == (Status.PASS, 9)
    assert findings.coverage(100)(left(1, err="No data to report.")).status is Status.FAIL
    assert findings.coverage(100)(left(0)).status is Status.FAIL


def test_a_floor_below_everything_is_a_floor(tmp_path):
    account = coverage_account(tmp_path, 1, 1, 16)  # 18 of 20
    assert findings.coverage(90)(account).figures["percent, at least"] == 90
    failed = findings.coverage(91)(account)
    assert failed.reason == "90.0 % instead of 91 %; not executed everywhere: src/a.py"


def coverage_account(tmp_path, lines, branches, total):
    summary = {
        "missing_lines": lines, "missing_branches": branches, "num_statements": total, "num_branches": 4,
    }  # fmt: skip
    path = tmp_path / "coverage"
    path.write_text(json.dumps({"totals": summary, "files": {"src/a.py": {"summary": summary}}}))
    return left(written=path)
