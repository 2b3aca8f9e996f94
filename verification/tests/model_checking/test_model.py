"""TLC checks the model with named jobs: what is planted is found, and what comes out otherwise is a failure."""

import json
import re
from dataclasses import replace
from io import StringIO

import pytest

from aiojobs_verification.cli.check import Check, never_taken
from aiojobs_verification.cli.commands import FAILED, NO_TOOL, PASSED, main
from aiojobs_verification.codegen.tla import moves_text
from aiojobs_verification.model_checking import tlc
from aiojobs_verification.model_checking.constants import Constants
from aiojobs_verification.model_checking.dumped import dumped
from aiojobs_verification.model_checking.figures import drawn
from aiojobs_verification.model_checking.manifest import by_requirement, read_manifest, requirement
from aiojobs_verification.model_checking.runs import faults, run
from aiojobs_verification.model_checking.tla_text import read_config, read_value
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.job import read_job
from aiojobs_verification.specification.load import load
from aiojobs_verification.specification.locate import find_spec

FOLDER = find_spec() / "tla"
SPEC = load()
MANIFEST = read_manifest(FOLDER)
BY_NAME = {configuration.name: configuration for configuration in MANIFEST.configurations}
PLANTED = [one for one in MANIFEST.configurations if one.kind == "fault"]
JOBS = (FOLDER / "Jobs.tla").read_text(encoding="utf-8")
LANES = (FOLDER / "Lanes.tla").read_text(encoding="utf-8")
ACTIONS = {
    model: [name for name in MANIFEST.actions if re.search(rf"^{name}\b.*==", text, re.MULTILINE)]
    for model, text in (("Jobs", JOBS), ("Lanes", LANES))
}
"""The actions of each model."""
SMALL = BY_NAME["model_time_j2_c1_l1_p1"]
NOWHERE = tlc.Missing("there is none here")


def check_of(*configurations, toolbox=NOWHERE, tier="smoke"):
    """A check of these configurations, and what it says of them."""
    check = Check(SPEC, MANIFEST, tier=tier, out=StringIO(), partial=True)
    check.chosen = list(configurations)
    check.run(toolbox)
    return check


@pytest.fixture(scope="module")
def toolbox():
    """TLC and a Java runtime; where there is none a skip says so, and the verdict is not a PASS."""
    found = tlc.find()
    if isinstance(found, tlc.Missing):
        pytest.skip(found.reason)
    return found


@pytest.fixture(scope="module")
def found(toolbox):
    """What TLC finds in a small model."""
    return run(replace(SMALL, complete=True), toolbox, FOLDER)


# Seeded faults and witnesses


def test_every_requirement_that_a_model_speaks_for_has_a_rule_and_a_fault_aimed_at_it():
    rules = by_requirement(MANIFEST.configurations, "model")
    aimed = by_requirement(MANIFEST.configurations, "fault")
    due = {id_ for id_, found in SPEC.requirements.by_id.items() if "model" in found.checks}
    assert due <= rules.keys() & aimed.keys()
    assert len(due) >= 24


def test_every_fault_is_put_in_place_by_a_configuration():
    put = {name for one in PLANTED for name in one.config.replaced.values()}
    texts = [(FOLDER / f"{module}.tla").read_text(encoding="utf-8") for module in ("Faults", "LaneFaults")]
    written = set(re.findall(r"^(\w+)(?:\(.*\))? ==", "".join(texts), re.MULTILINE))
    assert put == written


def test_every_situation_is_asked_for_by_a_configuration():
    asked = {one.expected.rule for one in MANIFEST.configurations if one.kind == "witness"}
    written = set(re.findall(r"^(Never_\w+) ==", (FOLDER / "Witnesses.tla").read_text(), re.MULTILINE))
    assert written == {rule for rule in asked if rule.startswith("Never_")}


def followed(fault, toolbox):
    """What checking a seeded fault comes to, the lines that tell its story, and the steps among them."""
    said = StringIO()
    check = Check(SPEC, MANIFEST, tier="smoke", out=said, partial=True, stories=True)
    check.chosen = [BY_NAME[fault]]
    check.run(toolbox)
    assert check.code == PASSED
    lines = [line.strip() for line in said.getvalue().splitlines()]
    return check.planted[fault], lines, [line for line in lines if re.match(r"\d\. ", line)]


@pytest.mark.slow
def test_a_seeded_fault_is_found_by_the_rule_that_it_breaks_and_its_story_can_be_followed(toolbox):
    found, lines, steps = followed("fault_lifo", toolbox)
    assert found.endswith("LIMIT_5 is refuted, in 5 states")
    assert [line.split()[1] for line in steps] == [
        "spawn_start",
        "spawn_queue",
        "spawn_queue",
        "end_active_next",
    ]
    assert "job 3: state pending → active" in steps[3]
    assert "queue ⟨2, 3⟩ → ⟨2⟩" in steps[3]
    assert "and this breaks LIMIT_5" in lines


@pytest.mark.slow
def test_a_seeded_fault_of_lanes_is_found_by_the_rule_that_it_breaks_and_its_story_can_be_followed(toolbox):
    found, lines, steps = followed("fault_lanes_turn_after_turn", toolbox)
    assert found.endswith("LANE_1_Step is refuted, in 6 states")
    assert [step.split()[1] for step in steps] == ["enter", "enter", "enter", "hand_over", "hand_over"]
    assert "piece 3: state waiting → running" in steps[4]
    assert "key 2: waiting ⟨3⟩ → ⟨⟩, entered 1 → 2" in steps[4]
    assert "and this breaks LANE_1_Step" in lines


# The manifest


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["distinct", "generated", "depth"])
def test_a_figure_that_is_wrong_in_the_manifest_is_found(found, figure):
    expected = replace(SMALL.expected, **{figure: getattr(SMALL.expected, figure) + 1})
    (fault,) = faults(replace(SMALL, expected=expected), found)
    assert fault == f"the manifest says {figure} {getattr(expected, figure)}, found {getattr(found, figure)}"
    assert faults(SMALL, found) == []


@pytest.mark.slow
def test_a_fault_that_is_not_found_and_a_story_of_another_length_are_failures(toolbox):
    one = BY_NAME["fault_lifo"]
    longer = replace(one, expected=replace(one.expected, story=one.expected.story + 1))
    harmless = replace(one, module="Jobs", name="model_graph_j4_c0_l1_p2")
    check = check_of(longer, harmless, toolbox=toolbox)
    assert check.problems == [
        "fault_lifo: the manifest says story 6, found 5",
        "model_graph_j4_c0_l1_p2: LIMIT_5 must be refuted; everything holds",
    ]
    assert check.figures()["faults found"] == 0
    assert check.code == FAILED


@pytest.mark.slow
def test_a_model_in_which_something_breaks_is_a_failure_and_tells_its_story(toolbox):
    said = StringIO()
    check = Check(SPEC, MANIFEST, tier="smoke", out=said, partial=True)
    check.chosen = [replace(BY_NAME["fault_lifo"], kind="model", expected=replace(SMALL.expected, rule=""))]
    check.run(toolbox)
    assert check.problems == ["fault_lifo: everything must hold; LIMIT_5 is refuted"]
    assert "4. end_active_next" in said.getvalue()


def edited(tmp_path, file, old, new):
    """A copy of the folder in which one file says something else."""
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("manifest.toml", "[fault.lifo]", "[fault.fifo]", r"fault_fifo\.cfg"),
        ("manifest.toml", 'tier = "smoke"', 'tier = "sometimes"', "unknown tier 'sometimes'"),
        ("manifest.toml", "distinct =", "distinkt =", "distinct"),
        ("manifest.toml", 'refutes = "LIMIT_5"', 'refutes = "LIMIT_4"', "unknown rule"),
        ("manifest.toml", "exit = 12", "exit = 0", "refuted gives 12"),
        ("fault_lifo.cfg", "    LIMIT_5", "    LIMIT_9", "unknown rule 'LIMIT_9'"),
        ("fault_lifo.cfg", "    LIMIT_5", "    LIMIT_5\n    LIMIT_1", "one rule must be refuted"),
        ("fault_lifo.cfg", "INVARIANTS\n    LIMIT_5", "", "checks nothing"),
        ("fault_lifo.cfg", "INVARIANTS", "PROPERTIES", "belongs under INVARIANTS"),
        ("fault_lifo.cfg", "RestWithoutLast", "Tail", "unknown fault"),
        (
            "fault_lifo.cfg",
            "    First <- FirstIsLast\n    Rest <- RestWithoutLast\n",
            "",
            "in the place of another",
        ),
        ("fault_lifo.cfg", "    N = 3\n", "", "must give"),
        ("fault_lifo.cfg", "N = 3", "N = three", "constant 'N'"),
        ("fault_lifo.cfg", "SPECIFICATION Spec", "SPECIFICATION SlowSpec", "unknown specification"),
        ("fault_lifo.cfg", "SPECIFICATION Spec", "", "SPECIFICATION"),
        ("fault_lanes_lifo.cfg", "    K = 1\n", "", "must give"),
        ("fault_lanes_lifo.cfg", "    LANE_2", "    LIMIT_5", "unknown rule 'LIMIT_5'"),
        ("witness_well.cfg", "    N = 3", "    N = 3\n    First <- FirstIsLast", "only a fault"),
    ],
)
def test_a_manifest_or_configuration_that_is_not_in_order_is_refused(tmp_path, file, old, new, fault):
    with pytest.raises(SpecError, match=fault):
        read_manifest(edited(tmp_path, file, old, new))


def test_a_configuration_of_which_the_manifest_says_nothing_is_refused(tmp_path):
    folder = edited(tmp_path, "manifest.toml", "", "")
    (folder / "model_more.cfg").write_bytes((folder / "fault_lifo.cfg").read_bytes())
    with pytest.raises(SpecError, match=r"says nothing of model_more\.cfg"):
        read_manifest(folder)


# What would be missing although everything came out as it should


def test_a_rule_that_no_fault_breaks_is_a_failure():
    kept = [one for one in MANIFEST.configurations if one.expected.rule != "LIMIT_5"]
    check = Check(SPEC, replace(MANIFEST, configurations=tuple(kept)), tier="full", out=StringIO())
    assert check.choose()
    gaps = [gap for gap in check._gaps() if "may hold" in gap]
    assert gaps == ["rule LIMIT_5 may hold because nothing comes near it: no fault breaks it"]


def test_a_requirement_without_rule_or_fault_is_a_failure():
    gaps = list(check_of(SMALL)._gaps())
    assert "requirement WAIT-4 has no rule in this tier" in gaps
    assert "requirement SHUT-2 has no fault that is aimed at it" in gaps
    assert "action shutdown never happens" in gaps


@pytest.mark.slow
def test_an_action_that_never_happens_is_a_failure(found):
    silent = [line.split()[1] for line in never_taken(ACTIONS["Jobs"], found.actions)]
    assert silent == [
        "arrive", "close_pending_refill", "end_active_refill", "end_closing_refill", "expire_active", "fail",
        "give_up", "refuse", "report_late", "set_limit_idle", "set_limit_start", "spawn_block", "withdraw",
    ]  # fmt: skip
    assert len(ACTIONS["Jobs"]) == 30
    assert {*found.actions} <= {*ACTIONS["Jobs"]}


def test_actions_of_different_models_have_different_names():
    assert len(ACTIONS["Lanes"]) == 19
    assert {*ACTIONS["Jobs"]}.isdisjoint(ACTIONS["Lanes"])
    assert MANIFEST.actions == (*ACTIONS["Jobs"], *ACTIONS["Lanes"])


def test_a_model_of_whose_actions_nothing_is_told_is_a_failure():
    counted = next(one for one in MANIFEST.configurations if one.complete)
    expected = counted.expected
    found = tlc.Result(0, "", expected.distinct, expected.generated, expected.depth, {}, (), "")
    assert check_of(counted)._wrong(counted, found) == ["TLC tells nothing about actions"]
    some = replace(found, actions={"shutdown": 3, "settle": 0})
    check = check_of(counted)
    assert check._wrong(counted, some) == []
    assert check.figures()["actions, each of which happens"] == 1
    assert "action settle never happens" in check._gaps()


# Without Java


@pytest.mark.parametrize("variable", ["JAVA", "TLA2TOOLS_JAR"])
def test_without_tlc_the_result_is_skipped_with_the_reason_and_nothing_is_covered(
    monkeypatch, capsys, tmp_path, variable
):
    monkeypatch.setenv(variable, str(tmp_path / "gone"))
    written = tmp_path / "account.json"
    code = main(["check", "--only", "model_time_j2*", "--json", str(written)])
    account = json.loads(written.read_text())
    assert code == NO_TOOL
    assert variable in capsys.readouterr().err.splitlines()[-1]
    assert account["status"] == "skipped"
    assert account["covers"] == {}
    assert variable in account["skips"]["TLC"]


def test_the_reason_for_a_skip_is_the_last_line_whatever_goes_to_the_output(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("JAVA", str(tmp_path / "gone"))
    monkeypatch.setenv("TLA2TOOLS_JAR", __file__)
    assert main(["check", "--only", "model_time_j2*", "--json"]) == NO_TOOL
    said = capsys.readouterr()
    assert json.loads(said.out)["status"] == "skipped"
    assert said.err.splitlines()[-1].startswith("TLC did not run: JAVA names")


def test_a_java_that_does_not_run_is_missing(monkeypatch, tmp_path):
    broken = tmp_path / "java"
    broken.write_text("not a program")
    monkeypatch.setenv("JAVA", str(broken))
    monkeypatch.setenv("TLA2TOOLS_JAR", str(broken))
    assert "does not run" in tlc.find().reason


# TLC


@pytest.mark.slow
def test_the_account_of_a_part_says_what_was_found_and_covers_nothing(toolbox, capsys):
    assert main(["check", "--only", "fault_lifo", "--json"]) == PASSED
    account = json.loads(capsys.readouterr().out)
    assert account["status"] == "pass"
    assert account["figures"]["faults found"] == 1
    assert account["figures"]["tla2tools.jar"].startswith("sha256:")
    assert account["covers"] == {}, "a part of the whole covers nothing"


@pytest.mark.slow
def test_a_graph_is_dumped_once_and_has_every_state_and_step(toolbox, tmp_path, found):
    constants = Constants.of(SMALL.config.constants)
    graph = dumped(constants, FOLDER, toolbox, tmp_path)
    (kept,) = tmp_path.glob("*.dot")
    written = kept.stat().st_mtime_ns
    assert len(graph) == found.distinct
    assert sum(len(graph.steps(number)) for number in graph.numbers()) == found.generated - 1
    assert [graph.find(graph.state(number)) for number in graph.numbers()] == graph.numbers()
    assert graph.find({**graph.state(graph.numbers()[0]), "taken": 7}) is None
    assert len(dumped(constants, FOLDER, toolbox, tmp_path)) == len(graph)
    assert kept.stat().st_mtime_ns == written
    dumped(replace(constants, jobs=1), FOLDER, toolbox, tmp_path)
    assert len(list(tmp_path.glob("*.dot"))) == 2, "other constants, another graph"


@pytest.mark.slow
def test_a_run_of_tlc_that_comes_to_no_verdict_is_none(toolbox, tmp_path):
    folder = edited(tmp_path, "Jobs.tla", "Init ==", "Init = =")
    with pytest.raises(tlc.TlcError, match="came to no verdict"):
        toolbox.run(folder, "Jobs", "model_time_j2_c1_l1_p1")


def test_an_exit_code_alone_is_no_verdict():
    said = "12 states generated, 9 distinct states found, 0 states left on queue.\n"
    with pytest.raises(tlc.TlcError):
        tlc._result(0, said)
    with pytest.raises(tlc.TlcError):
        tlc._result(12, said)
    with pytest.raises(tlc.TlcError):
        tlc._result(0, said + "Error: Invariant LIMIT_1 is violated.\n" + tlc._SAYS_IT_HOLDS)
    assert tlc._result(0, said + tlc._SAYS_IT_HOLDS).distinct == 9
    assert tlc._result(13, said + "Error: Temporal properties were violated.").rule == tlc.UNNAMED


# What TLA+ writes


def test_values_are_read_as_tlc_prints_them():
    assert read_value('<<"a", -1, {2, 3}, << >>, TRUE>>') == ("a", -1, frozenset({2, 3}), (), True)
    for wrong in ("", "<<1", "1 2", "[a |-> 1]", "}"):
        with pytest.raises(ValueError):
            read_value(wrong)


def test_a_configuration_is_read_with_its_comments(tmp_path):
    path = tmp_path / "one.cfg"
    path.write_text(
        "\\* what\nSPECIFICATION Spec\nCONSTANTS\n    N = 1 \\* one\n    A <- B\nINVARIANTS\n    I\n"
    )
    config = read_config(path)
    assert (config.constants, config.replaced, config.rules) == ({"N": 1}, {"A": "B"}, ("I",))
    path.write_text("    N = 1\n")
    with pytest.raises(SpecError, match="line 1"):
        read_config(path)


# One text, told in several places


def test_every_rule_is_checked_by_a_model():
    stated = set(re.findall(r"^(\w+) ==", JOBS + LANES, re.MULTILINE))
    checked = {rule for one in MANIFEST.configurations if one.kind == "model" for rule in one.config.rules}
    assert {name for name in stated if requirement(name) or name.endswith("_Step")} <= checked <= stated


SUSPENDS = [
    (
        '"close",  source = "active",  dest = "closing" },',
        '"suspend", source = "active", dest = "closing" },',
    ),
    ('"close",  source = "closing", dest = "=" },', '"suspend", source = "closing", dest = "=" },'),
    ('pending = ["finish", "cancel"', '"suspend"'),
    ('done    = ["start", "finish", "cancel"', '"suspend"'),
    ('closed  = ["start", "finish", "cancel"', '"suspend"'),
]
"""What an event that suspends a job adds to job.toml, and behind what."""


@pytest.mark.slow
def test_an_event_that_is_added_to_job_toml_alone_is_found(toolbox, tmp_path):
    text = (find_spec() / "job.toml").read_text(encoding="utf-8")
    for behind, added in SUSPENDS:
        assert text.count(behind) == 1
        text = text.replace(
            behind, f"{behind}, {added}" if added == '"suspend"' else f"{behind}\n{{ trigger = {added}"
        )
    (tmp_path / "job.toml").write_text(
        f'{text}\n[event.suspend]\nmeaning = "It is to rest."\n', encoding="utf-8"
    )
    module = moves_text(read_job(tmp_path / "job.toml").machine)
    assert '<<"active", "suspend", "closing">>' in module
    folder = edited(tmp_path, "Lifecycle.tla", "", "")
    (folder / "Lifecycle.tla").write_text(module, encoding="utf-8")
    with pytest.raises(tlc.TlcError, match=r"Assumption .* is false(?s:.)*Jobs.tla:\d+: ASSUME Table ="):
        toolbox.run(folder, SMALL.module, SMALL.name)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ['"active", "close"', '"pending", "start"'])
def test_a_cell_that_the_model_does_not_have_is_found(toolbox, tmp_path, cell):
    folder = edited(
        tmp_path, "Lifecycle.tla", f"    <<{cell}", '    <<"pending", "finish", "done">>,\n    <<' + cell
    )
    with pytest.raises(tlc.TlcError, match="Assumption .* is false"):
        toolbox.run(folder, SMALL.module, SMALL.name)


def test_the_actions_of_scheduler_toml_have_their_names_here():
    assert SPEC.scheduler.actions.keys() <= {*MANIFEST.actions}
    assert "Step" not in MANIFEST.actions


def test_the_page_shows_the_figures_of_the_manifest():
    path, text = drawn(MANIFEST)
    assert path.read_text(encoding="utf-8") == text, "stale: python -m aiojobs_verification check --draw"


def test_the_page_names_every_variable_action_and_rule():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^vars == <<(.*)>>$", JOBS + LANES, re.MULTILINE)
    variables = [name for line in listed for name in line.split(", ")]
    rules = {rule for one in MANIFEST.configurations if one.kind == "model" for rule in one.config.rules}
    assert [
        name for name in (*variables, *sorted({*MANIFEST.actions}), *sorted(rules)) if f"`{name}`" not in page
    ] == []


def test_the_page_that_is_stale_is_found(tmp_path):
    folder = edited(tmp_path, "README.md", "| lifo ", "| fifo ")
    path, text = drawn(read_manifest(folder))
    assert path.read_text(encoding="utf-8") != text
    folder = edited(tmp_path, "README.md", "<!-- /generated:figures -->", "")
    with pytest.raises(SpecError, match="missing"):
        drawn(read_manifest(folder))
