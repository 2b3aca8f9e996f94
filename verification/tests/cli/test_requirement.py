"""Does `requirement` lead from an id to every place, and does a changed text stop its evidence from counting?"""

import json
import shutil

import pytest

from aiojobs_verification.cli import report, requirement
from aiojobs_verification.cli.commands import FAILED, NOT_HERE, PASSED, main
from aiojobs_verification.evidence import evidence
from aiojobs_verification.evidence.chain import CHAIN
from aiojobs_verification.evidence.verdict import Standing, Verdict, judge
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.requirements import read_requirements, review
from planted.chain import ROOT, evidence_of, passed


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A source tree of one function, one test and the real specification, with evidence of a run."""
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    write(
        tmp_path / "src/aiojobs/_queue.py",
        '"""The line."""\n\n\ndef join():\n    """First in (``LIMIT-5``)."""\n',
    )
    test = '@pytest.mark.requirement("LIMIT-5")\ndef test_first_in_first_out():\n    pass\n'
    write(tmp_path / "tests/unit/test_queue.py", f"import pytest\n\n\n{test}")
    covers = passed("LIMIT-5")
    evidence.write(evidence_of("unit", covers), tmp_path / evidence.EVIDENCE)
    monkeypatch.setattr(requirement, "repository", lambda: tmp_path)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def line_of(path, text):
    return path.read_text(encoding="utf-8").splitlines().index(text) + 1


def test_an_id_leads_to_its_text_rules_code_tests_faults_and_evidence_with_file_and_line(tree, capsys):
    assert main(["requirement", "limit-5"]) == PASSED
    said = capsys.readouterr().out
    assert said.startswith(
        "LIMIT-5  (Limit and queue; revision 1, reviewed)\n  FIFO: jobs start in the order"
    )
    assert "\n    src/aiojobs/_queue.py:4  join\n" in said
    assert "\n    tests/unit/test_queue.py:4  test_first_in_first_out\n" in said
    assert "  the queue is last in, first out\n" in said
    assert "\n    spec/tla/fault_lifo.cfg:" in said
    assert (
        "\n    build/evidence/unit.json  test: 1 (check of LIMIT-5)  (tier smoke, commit unknown, 2026-01-01)\n"
        in said
    )
    rule = line_of(tree / "spec/scheduler.toml", "[step.starts_within_limit]")
    assert main(["requirement", "LIMIT-1"]) == PASSED
    assert f"\n    spec/scheduler.toml:{rule}  step.starts_within_limit\n" in capsys.readouterr().out


def test_several_ids_give_one_account_for_a_program(tree, capsys):
    assert main(["requirement", "LIMIT-5", "EXC-1", "--json"]) == PASSED
    captured = capsys.readouterr()
    one, two = json.loads(captured.out)["requirements"]
    assert (one["id"], two["id"]) == ("LIMIT-5", "EXC-1")
    assert one["places"]["code"] == [{"path": "src/aiojobs/_queue.py", "line": 4, "name": "join"}]
    assert one["evidence"][0]["by"] == ["check of LIMIT-5"]
    assert captured.err.startswith("LIMIT-5  (")


@pytest.mark.parametrize(
    ("id_", "near"), [("LIMIT-55", "LIMIT-5"), ("SHUTDOWN-2", "SHUT-2"), ("?", "LIMIT-1")]
)
def test_an_unknown_id_is_an_error_that_names_those_near_it(tree, capsys, id_, near):
    assert main(["requirement", "LIMIT-5", id_]) == NOT_HERE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"unknown requirement '{id_}': there is ")
    assert near in captured.err


def test_evidence_that_can_not_be_read_is_said_and_not_counted(tree, capsys):
    (tree / evidence.EVIDENCE / "unit.json").write_text("{}")
    assert main(["requirement", "LIMIT-5"]) == PASSED
    captured = capsys.readouterr()
    assert "not read: unit.json: key 'step' is missing" in captured.err
    assert "\n    none: make verify\n" in captured.out


# --- Fingerprints: what is planted here was noticed by nothing before -----------------------------------------

CHANGES = [
    ("LIMIT-6", "has really ended, never earlier.", "has ended, hardly ever earlier."),
    ("SHUT-2", '"explore", "fuzz", ', ""),
]


@pytest.mark.parametrize(("id_", "old", "new"), CHANGES)
def test_a_changed_text_or_kind_fails_the_step_of_the_specification_until_it_is_reviewed(
    tree, capsys, id_, old, new
):
    path = tree / "spec/requirements.toml"
    before = read_requirements(path).by_id[id_]
    assert main(["validate", "--spec", str(path.parent)]) == PASSED
    change(path, id_, old, new)
    capsys.readouterr()
    assert main(["validate", "--spec", str(path.parent)]) == FAILED
    assert f"FAULT: {id_} is outdated" in capsys.readouterr().err
    assert main(["requirement", id_, "--reviewed"]) == PASSED
    assert f"revision {before.revision + 1}, reviewed" in capsys.readouterr().out
    after = read_requirements(path).by_id[id_]
    assert after.reviewed == (*before.reviewed, after.fingerprint)
    assert main(["validate", "--spec", str(path.parent)]) == PASSED


@pytest.mark.parametrize(("id_", "old", "new"), CHANGES)
def test_the_verdict_names_a_requirement_that_was_changed_and_is_no_pass(tree, id_, old, new):
    change(tree / "spec/requirements.toml", id_, old, new)
    sources = report.gather(tree)
    found = judge(CHAIN, sources.promises, sources.evidence)
    assert found.verdict is not Verdict.PASS
    assert [gap for gap in found.gaps if gap.startswith(f"requirement {id_} is outdated")] != []
    assert {way.standing for way in found.checks[id_]} == {Standing.OUTDATED}


def change(path, id_, old, new):
    """Change the entry of one requirement."""
    before, head, entry = path.read_text(encoding="utf-8").partition(f'id = "{id_}"\n')
    assert old in entry
    path.write_text(before + head + entry.replace(old, new, 1), encoding="utf-8")


def test_a_text_that_is_only_wrapped_anew_and_kinds_in_another_order_are_the_same(tree):
    path = tree / "spec/requirements.toml"
    revision = read_requirements(path).by_id["SHUT-2"].revision
    change(
        path, "SHUT-2", "every cancellation has been \\\ndelivered", "every cancellation\nhas been delivered"
    )
    change(path, "SHUT-2", '"explore", "fuzz"', '"fuzz", "explore"')
    assert not read_requirements(path).by_id["SHUT-2"].outdated
    text = path.read_text(encoding="utf-8")
    assert review(path, "SHUT-2").revision == revision
    assert path.read_text(encoding="utf-8") == text


def test_a_requirement_that_nobody_reviewed_is_outdated_and_gets_its_first_revision(tree):
    path = tree / "spec/requirements.toml"
    fingerprint = read_requirements(path).by_id["LIMIT-3"].fingerprint
    change(path, "LIMIT-3", f'reviewed = ["{fingerprint}"]\n', "")
    assert read_requirements(path).by_id["LIMIT-3"].outdated
    assert review(path, "LIMIT-3").reviewed == (fingerprint,)


def test_what_is_no_fingerprint_is_refused(tree):
    path = tree / "spec/requirements.toml"
    change(path, "LIMIT-1", "reviewed = [", 'reviewed = ["yes", ')
    with pytest.raises(SpecError, match="'yes' is not a fingerprint"):
        read_requirements(path)
