"""Does the report say what the evidence says, in every form, and the same for the same evidence?"""

import json
import re
import shutil
from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from aiojobs_verification.cli import report, verify
from aiojobs_verification.cli.commands import FAILED, NOT_HERE, PASSED, main
from aiojobs_verification.codegen.picture import svg
from aiojobs_verification.evidence import evidence, findings
from aiojobs_verification.evidence.chain import CHAIN, Chain, Link
from aiojobs_verification.evidence.evidence import EvidenceError
from aiojobs_verification.evidence.quotation import quotation, with_quotation
from aiojobs_verification.specification.job import read_job
from planted.chain import LINKS, ROOT, TWO, a_step, evidence_of, passed

_SCHEMA = ROOT / "verification/src/aiojobs_verification/evidence/report.schema.json"
SCHEMA = json.loads(_SCHEMA.read_text(encoding="utf-8"))


def published(root, chain=TWO):
    """What a run with these steps prints and writes, for a copy of the real specification."""
    shutil.copytree(ROOT / "spec", root / "spec", dirs_exist_ok=True)
    verify.run(root, chain.steps, "smoke")
    stream = StringIO()
    code = report.publish(root, stream, chain)
    texts = {path.name: path.read_text(encoding="utf-8") for path in (root / "build").glob("report.*")}
    return code, stream.getvalue(), texts


@pytest.mark.parametrize(
    ("code", "exit_code", "word"),
    [
        ("pass", 3, "INCOMPLETE"),
        ("raise SystemExit(1)", 1, "FAIL"),
        ("raise SystemExit(77)", 3, "INCOMPLETE"),
    ],
)
def test_the_report_says_the_verdict_in_every_form(tmp_path, code, exit_code, word):
    chain = Chain(CHAIN.links, (a_step("unit", code=code, kind=""),))
    got, said, texts = published(tmp_path, chain)
    assert got == exit_code
    assert re.search(rf"^{word}, tier smoke:", said, re.MULTILINE)
    assert json.loads(texts["report.json"])["verdict"] == word
    assert texts["report.md"].startswith(f"# {word}\n")
    assert f'<p class="verdict {word}">{word}</p>' in texts["report.html"]
    jsonschema.validate(json.loads(texts["report.json"]), SCHEMA)


@pytest.mark.parametrize(
    ("imported", "said", "repeat"),
    [
        (["pure"], "pure", "TIER=smoke BUILD=pure"),
        (["compiled"], "compiled", "TIER=smoke BUILD=compiled"),
        (["pure", "compiled"], "compiled, pure", "TIER=smoke"),
        ([], "none", "TIER=smoke"),
    ],
)
def test_the_report_says_on_which_builds_steps_passed_as_they_were_imported(tmp_path, imported, said, repeat):
    (tmp_path / "hatch_compile.py").write_text("import os, sys; os.execv(sys.argv[1], sys.argv[1:])")
    read = findings.document("test")
    steps = [
        a_step(build, 0, "test", f"print({json.dumps({'figures': {'build': build}})!r})", read, build=build)
        for build in imported
    ]
    text = 'print(\'{"figures": {"build": "pure"}}\')'
    _, _, texts = published(tmp_path, Chain(LINKS, (*steps, a_step("of the text", 0, "test", text, read))))
    assert f"\nBuilds of the library that passed a step: {said}.\n" in texts["report.md"]
    assert f"Repeat it: `make verify {repeat}`." in texts["report.md"]
    assert f"<dt>Builds</dt><dd>{said}</dd>" in texts["report.html"]
    jsonschema.validate(json.loads(texts["report.json"]), SCHEMA)


def test_a_run_in_which_everything_passed_ends_with_0(tmp_path):
    known = report.gather(ROOT).promises
    covers = json.dumps({"figures": {"n": 1}, "covers": {one.id: ["a check"] for one in known}})
    kinds = sorted({kind for one in known for kind in one.checks})
    steps = [
        a_step(kind, link, kind, f"print({covers!r})", findings.document(kind))
        for link, kind in enumerate(kinds)
    ]
    chain = Chain([Link(link, kind, kind) for link, kind in enumerate(kinds)], steps)
    code, said, texts = published(tmp_path, chain)
    assert code == 0
    assert f"PASS, tier smoke: 0 failed, 0 open; {len(known)} of {len(known)}" in said
    jsonschema.validate(json.loads(texts["report.json"]), SCHEMA)


def test_two_runs_on_the_same_sources_differ_only_in_lines_that_say_timing(tmp_path, capsys):
    chain = Chain(
        LINKS, (a_step("unit", code="raise SystemExit('3 passed in 0.1s')"), a_step("proofs", 1, "prove"))
    )

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        published(tmp_path / name, chain)
    builds = tmp_path / "one" / "build", tmp_path / "two" / "build"
    assert main(["report", "--compare", *map(str, builds)]) == PASSED
    assert capsys.readouterr().out.endswith("\nalike but for timings: 5 files\n")
    compared = list(builds[0].glob("report.*")) + list((builds[0] / "evidence").glob("*"))
    assert len(compared) == 5
    assert all("timing" in path.read_text(encoding="utf-8") for path in compared)


def test_runs_that_differ_in_more_than_timings_are_told_apart(tmp_path, capsys):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        published(tmp_path / name)
    one, two = tmp_path / "one" / "build", tmp_path / "two" / "build"
    page = (two / "report.md").read_text(encoding="utf-8")
    (two / "report.md").write_text(page.replace("LIMIT-1", "a timing of LIMIT-1"), encoding="utf-8")
    (two / evidence.EVIDENCE.removeprefix("build/") / "unit.json").unlink()
    assert main(["report", "--compare", str(one), str(two)]) == FAILED
    said = capsys.readouterr().out
    assert "+| **a timing of LIMIT-1** |" in said
    assert '-  "step": "unit",' in said
    assert "timing_seconds" not in said


def test_there_is_nothing_to_compare_without_two_reports(tmp_path, capsys):
    assert main(["report", "--compare", str(tmp_path), str(tmp_path)]) == NOT_HERE
    assert "has no report.json" in capsys.readouterr().err


def test_the_same_evidence_gives_the_same_bytes(tmp_path):
    _, _, first = published(tmp_path)
    report.publish(tmp_path, StringIO(), TWO)
    assert first == {
        path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "build").glob("report.*")
    }


def test_a_broken_evidence_file_is_reported_and_fails(tmp_path):
    published(tmp_path)
    (tmp_path / evidence.EVIDENCE / "unit.json").write_text("{}")
    stream = StringIO()
    assert report.publish(tmp_path, stream, TWO) == 1
    assert "failed: unit.json: key 'step' is missing" in stream.getvalue()


def test_the_report_shows_which_faults_the_last_full_run_found(tmp_path):
    shutil.copytree(ROOT / "spec", tmp_path / "spec", dirs_exist_ok=True)
    teeth = tmp_path / report.LAST_TEETH
    teeth.write_text('commit = "0123"\ndate = "2026-01-02"\n[teeth."LIMIT-1"]\nprove = ["one too many"]\n')
    report.publish(tmp_path, StringIO(), TWO)
    document = json.loads((tmp_path / "build" / "report.json").read_text(encoding="utf-8"))
    assert document["last_teeth"] == {"commit": "0123", "date": "2026-01-02"}
    first = next(one for one in document["requirements"] if one["id"] == "LIMIT-1")
    assert {"kind": "prove", "seen": "last full run", "faults": ["one too many"]} in first["teeth"]
    jsonschema.validate(document, SCHEMA)
    teeth.write_text("teeth = 1\n")
    stream = StringIO()
    assert report.publish(tmp_path, stream, TWO) == 1
    assert "failed: teeth.toml: KeyError('commit')" in stream.getvalue()


def test_a_full_run_leaves_its_report_for_the_lesser_ones_that_follow(tmp_path):
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    full = evidence_of("unit", passed("LIMIT-1"), tier="full")
    evidence.write(full, tmp_path / evidence.EVIDENCE)
    report.publish(tmp_path, StringIO(), TWO)
    later = Chain(LINKS, (replace(TWO.steps[0], tiers=("full",)), TWO.steps[1]))
    (tmp_path / evidence.EVIDENCE / "unit.json").unlink()
    evidence.write(evidence_of("proofs", passed("LIMIT-1", kind="prove")), tmp_path / evidence.EVIDENCE)
    report.publish(tmp_path, StringIO(), later)
    document = json.loads((tmp_path / "build" / "report.json").read_text(encoding="utf-8"))
    first = next(one for one in document["requirements"] if one["id"] == "LIMIT-1")
    assert {"kind": "test", "standing": "not due", "by": [], "last_full": 1} in first["checks"]
    assert {"step": "all", "what": "steps", "count": 1} in document["left_out"]
    assert document["tier"] == "smoke"


def test_a_full_run_does_not_leave_out_what_lesser_tiers_run_in_place_of_it(tmp_path):
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    part = replace(TWO.steps[1], name="part", tiers=("smoke",))
    evidence.write(evidence_of("unit", passed("LIMIT-1"), tier="full"), tmp_path / evidence.EVIDENCE)
    evidence.write(
        evidence_of("proofs", passed("LIMIT-1", kind="prove"), tier="full"), tmp_path / evidence.EVIDENCE
    )
    report.publish(tmp_path, StringIO(), Chain(LINKS, (*TWO.steps, part)))
    document = json.loads((tmp_path / "build" / "report.json").read_text(encoding="utf-8"))
    assert document["tier"] == "full"
    assert document["left_out"] == []


def test_a_broken_specification_is_reported_and_fails(tmp_path):
    published(tmp_path)
    for name in ("job.toml", "requirements.toml"):
        (tmp_path / "spec" / name).write_text("not toml")
    stream = StringIO()
    assert report.publish(tmp_path, stream, TWO) == 1
    assert "requirements.toml" in stream.getvalue()
    document = json.loads((tmp_path / "build" / "report.json").read_text())
    assert document["lifecycle"] is None
    jsonschema.validate(document, SCHEMA)


def test_a_source_that_is_not_python_is_reported_and_fails_and_there_is_a_report(tmp_path):
    published(tmp_path)
    (tmp_path / "src" / "aiojobs").mkdir(parents=True)
    (tmp_path / "src" / "aiojobs" / "_core.py").write_text("def start(:\n")
    stream = StringIO()
    assert report.publish(tmp_path, stream, TWO) == 1
    assert "failed: src/aiojobs/_core.py: line 1 is not Python" in stream.getvalue()
    jsonschema.validate(json.loads((tmp_path / "build" / "report.json").read_text()), SCHEMA)


def test_a_report_whose_verdict_does_not_fit_its_failures_is_refused_by_the_schema(tmp_path):
    _, _, texts = published(tmp_path)
    document = json.loads(texts["report.json"]) | {"verdict": "PASS"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_the_page_is_self_contained_and_escapes_what_it_shows(tmp_path):
    hostile = "raise SystemExit('<script>alert(1)</script> | & <b>')"
    _, _, texts = published(tmp_path, Chain(LINKS, (a_step("unit", code=hostile),)))
    page = texts["report.html"].replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert page.count("<script") == 1
    assert "&lt;script&gt;" in page
    assert not re.search(r"\bsrc=|href=\"(?!#|\.\./)|@import|url\((?!#)", page)
    places = re.findall(r'\bid="([^"]+)"', page)
    assert len(places) == len(set(places))  # those of the picture included
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(places)
    assert all(one.id in page for one in report.gather(ROOT).promises)


def test_what_was_wrong_on_purpose_is_shown_with_how_it_was_found(tmp_path):
    story = "A scheduler with limit=1.\n  1. Somebody spawns <job> 0.\n  => LIMIT-1 is broken"
    planted = {"one too many": "refuted, in 5 states", "LIMIT-1": story}
    code = f"print({json.dumps({'figures': {'n': 1}, 'planted': planted})!r})"
    steps = (a_step("proofs", 1, "prove", code, findings.document("prove")),)
    _, _, texts = published(tmp_path, Chain(LINKS, steps))
    document = json.loads(texts["report.json"])
    assert document["counts"]["planted"] == 2
    jsonschema.validate(document, SCHEMA)
    assert "| one too many | refuted, in 5 states |" in texts["report.md"]
    assert "\n  1. Somebody spawns <job> 0.\n" in texts["report.md"]
    assert "\n  1. Somebody spawns &lt;job&gt; 0.\n" in texts["report.html"]


def test_the_picture_shows_every_state_and_every_transition():
    machine = read_job(ROOT / "spec" / "job.toml").machine
    picture = svg(machine)
    assert picture == svg(machine)
    words = " ".join(text for text in ET.fromstring(picture).itertext())
    assert all(state in words for state in machine.states)
    assert all(event in words for _, event, _ in machine.moves())
    assert picture.count("marker-end") == len({(source, dest) for source, _, dest in machine.moves()})


# --- The quotation in README.md -------------------------------------------------------------------------


def test_the_front_page_quotes_verdict_tier_and_steps_and_nothing_else_changes(tmp_path, monkeypatch):
    _, _, texts = published(tmp_path)
    document = json.loads(texts["report.json"])
    (tmp_path / "README.md").write_text("before\n<!-- verdict -->\nold\n<!-- /verdict -->\nafter\n", "utf-8")
    monkeypatch.setattr(report, "find_repository", lambda: tmp_path)
    assert main(["report", "--quote", str(tmp_path / "build/report.json")]) == PASSED
    page = (tmp_path / "README.md").read_text("utf-8")
    assert page.startswith("before\n<!-- verdict -->\n\n**FAIL**, tier smoke, commit ")
    assert page.endswith("\n<!-- /verdict -->\nafter\n")
    assert "old" not in page
    assert f"of {document['counts']['requirements']} requirements" in page
    assert all(step["title"] in page for step in document["steps"])
    once = page
    assert main(["report", "--quote", str(tmp_path / "build/report.json")]) == PASSED
    assert (tmp_path / "README.md").read_text("utf-8") == once


def test_a_quoted_step_shows_its_main_figures():
    figures = {"killed": 1005, "of core": 1}
    step = {"step": "mutants", "title": "seeded faults", "status": "pass", "figures": figures, "covers": []}
    subject = {"commits": ["0123456789abcdef"], "versions": {"python": ["CPython 3.11.7"]}}
    counts = {"settled": 3, "requirements": 4, "skips": 6}
    timings = {"mutants": {"timing_started": "2026-11-22T10:00:00+00:00"}}
    told = {"verdict": "FAIL", "tier": "full", "steps": [step], "left_out": []}
    text = quotation(told | {"subject": subject, "counts": counts, "timings": timings})
    assert text.startswith("**FAIL**, tier full, commit 0123456789ab, 2026-11-22, CPython 3.11.7: 3 of 4 ")
    assert "skipped: 6; this tier leaves out nothing." in text
    assert "| seeded faults | pass | killed 1,005 |" in text


def test_a_quoted_step_says_its_bounds_and_the_verdict_what_the_tier_left_out(tmp_path):
    names = [
        "narrow: limit 1, 2 jobs, 2 callers",
        "wide: limit 2, pending limit 1, 4 jobs, 1 caller, 1 cancel",
    ]
    covers = {one.id: names for one in report.gather(ROOT).promises}
    account = {"figures": {"scopes": 2}, "covers": covers}
    step = a_step(
        "exploration", 1, "explore", f"print({json.dumps(account)!r})", findings.document("explore")
    )
    _, _, texts = published(tmp_path, Chain(LINKS, (step,)))
    left_out = [{"step": "exploration", "what": "scopes", "count": 20}]
    text = quotation(json.loads(texts["report.json"]) | {"left_out": left_out})
    assert "| scopes 2; up to 4 jobs, up to 2 callers, up to 1 cancel |" in text
    assert "left out by this tier: 20 scopes" in text


def test_a_page_without_a_place_for_the_verdict_is_an_error():
    with pytest.raises(EvidenceError, match="no block"):
        with_quotation("nothing here", {})
