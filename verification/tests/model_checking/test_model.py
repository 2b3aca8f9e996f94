"""Two engines check the model with named jobs: each finds what is planted, and both are needed."""

import json
import re
from dataclasses import replace
from io import StringIO

import pytest

from aiojobs_verification.cli.check import Check, _never_taken
from aiojobs_verification.cli.commands import FAILED, NO_TOOL, PASSED, main
from aiojobs_verification.model_checking import tlc
from aiojobs_verification.model_checking.endings import ENDINGS
from aiojobs_verification.model_checking.faults import FAULTS
from aiojobs_verification.model_checking.figures import drawn
from aiojobs_verification.model_checking.graph import Edge, Fairness, Graph, Group, explore, leads_to, parts
from aiojobs_verification.model_checking.manifest import by_requirement, read_manifest
from aiojobs_verification.model_checking.model import Model
from aiojobs_verification.model_checking.rules import STATES, STEPS
from aiojobs_verification.model_checking.runs import explored, faults
from aiojobs_verification.model_checking.terms import requirement
from aiojobs_verification.model_checking.tla_text import Dump, read_config, read_dump, read_value
from aiojobs_verification.model_checking.view import differences, shown, story
from aiojobs_verification.model_checking.witnesses import WITNESSES
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.load import load
from aiojobs_verification.specification.locate import find_spec

FOLDER = find_spec() / "tla"
SPEC = load()
MANIFEST = read_manifest(FOLDER)
BY_NAME = {configuration.name: configuration for configuration in MANIFEST.configurations}
PLANTED = [one for one in MANIFEST.configurations if one.kind == "fault"]
SITUATIONS = [one for one in MANIFEST.configurations if one.kind == "witness"]
SMALL = BY_NAME["model_graph_j2_c1_l1_p1_patient"]
JOBS = (FOLDER / "Jobs.tla").read_text(encoding="utf-8")
TINY = BY_NAME["model_time_j2_c1_l1_p1"]
NOWHERE = tlc.Missing("there is none here")


def names(configurations):
    return [configuration.name for configuration in configurations]


def check_of(*configurations, tier="smoke"):
    """A check of these configurations, by the explorer alone, and what it says of them."""
    check = Check(SPEC, MANIFEST, tier=tier, out=StringIO(), partial=True)
    check.chosen = list(configurations)
    check.run(NOWHERE)
    return check


@pytest.fixture(scope="module")
def toolbox():
    """TLC and a Java runtime; where there is none a skip says so, and the verdict is not a PASS."""
    found = tlc.find()
    if isinstance(found, tlc.Missing):
        pytest.skip(found.reason)
    return found


@pytest.fixture(scope="module")
def run_of_tlc(toolbox):
    """One run over a small model, with everything that TLC can tell of it."""
    return toolbox.run(FOLDER, TINY.module, TINY.name, dump=True, coverage=True)


# Seeded faults and witnesses


@pytest.mark.parametrize("configuration", PLANTED, ids=names(PLANTED))
def test_the_explorer_finds_every_seeded_fault_by_the_rule_that_it_breaks(configuration):
    found = explored(configuration, SPEC).outcome
    assert found.rule == configuration.expected.rule
    assert faults(configuration, found) == []


@pytest.mark.parametrize("configuration", PLANTED, ids=names(PLANTED))
def test_without_the_fault_the_same_rule_holds_in_the_same_scope(configuration):
    assert explored(replace(configuration, system=Model), SPEC).outcome.rule == ""


@pytest.mark.parametrize("configuration", SITUATIONS, ids=names(SITUATIONS))
def test_the_explorer_reaches_every_witness(configuration):
    assert faults(configuration, explored(configuration, SPEC).outcome) == []


def test_every_requirement_that_a_model_speaks_for_has_a_rule_and_a_fault_aimed_at_it():
    rules = by_requirement(MANIFEST.configurations, "model")
    aimed = by_requirement(MANIFEST.configurations, "fault")
    due = {id_ for id_, found in SPEC.requirements.by_id.items() if "model" in found.checks}
    assert due <= rules.keys() & aimed.keys()
    assert len(due) >= 16


def test_every_fault_of_the_two_languages_is_put_in_place_by_a_configuration():
    put = {" ".join(sorted(one.config.replaced.values())) for one in PLANTED}
    written = set(re.findall(r"^(\w+)(?:\(.*\))? ==", (FOLDER / "Faults.tla").read_text(), re.MULTILINE))
    assert put == FAULTS.keys()
    assert {name for entry in put for name in entry.split()} == written


def test_a_story_can_be_followed_from_the_first_step_to_the_fault():
    outcome = explored(BY_NAME["fault_lifo"], SPEC).outcome
    lines = story(outcome.run, "and this breaks LIMIT_5")
    assert [line.split()[1] for line in lines[:4]] == [
        "spawn_start",
        "spawn_queue",
        "spawn_queue",
        "end_active_next",
    ]
    assert "job 3: state pending → active" in lines[3]
    assert "queue ⟨2, 3⟩ → ⟨2⟩" in lines[3]


# The manifest


@pytest.mark.parametrize("figure", ["distinct", "generated", "depth"])
def test_a_figure_that_is_wrong_in_the_manifest_is_found(figure):
    expected = replace(SMALL.expected, **{figure: getattr(SMALL.expected, figure) + 1})
    check = check_of(replace(SMALL, expected=expected))
    assert check.code == FAILED
    assert [figure in problem for problem in check.problems] == [True]


def test_a_wrong_length_of_a_story_is_found():
    one = BY_NAME["fault_lifo"]
    check = check_of(replace(one, expected=replace(one.expected, story=one.expected.story + 1)))
    assert check.problems == ["fault_lifo: explorer: the manifest says story 6, found 5"]


def test_a_fault_that_is_not_found_is_a_failure():
    check = check_of(replace(BY_NAME["fault_lifo"], system=Model))
    assert check.problems == ["fault_lifo: explorer: LIMIT_5 must be refuted; everything holds"]
    assert check.figures()["faults found"] == 0


def test_a_model_in_which_something_breaks_is_a_failure_and_tells_its_story():
    said = StringIO()
    check = Check(SPEC, MANIFEST, tier="smoke", out=said, partial=True)
    check.chosen = [replace(BY_NAME["model_graph_j4_c0_l1_p2"], system=FAULTS["FirstIsLast RestWithoutLast"])]
    check.run(NOWHERE)
    assert check.problems == ["model_graph_j4_c0_l1_p2: explorer: everything must hold; LIMIT_5 is refuted"]
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
        ("fault_lifo.cfg", "    N = 3\n", "", "must give"),
        ("fault_lifo.cfg", "N = 3", "N = three", "constant 'N'"),
        ("fault_lifo.cfg", "SPECIFICATION Spec", "SPECIFICATION SlowSpec", "unknown specification"),
        ("fault_lifo.cfg", "SPECIFICATION Spec", "", "SPECIFICATION"),
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


def test_a_rule_whose_condition_is_never_met_is_a_failure():
    check = check_of(BY_NAME["model_graph_j2_c1_none_p1"])
    assert check.problems == []
    vacuous = [gap for gap in check._gaps() if "never met" in gap]
    assert [gap.split()[1] for gap in vacuous] == [
        "LIMIT_1", "LIMIT_2", "LIMIT_3", "LIMIT_4", "LIMIT_5", "START_2", "START_2_Step",
    ]  # fmt: skip


def test_a_requirement_without_rule_or_fault_is_a_failure():
    check = check_of(SMALL)
    gaps = list(check._gaps())
    assert "requirement WAIT-4 has no rule in this tier" in gaps
    assert "requirement LIMIT-5 has no fault that is aimed at it" in gaps
    assert "no configuration requires every action to happen" in gaps


@pytest.mark.slow
def test_an_action_that_never_happens_is_a_failure(run_of_tlc):
    silent = [line.split()[1] for line in _never_taken("TLC", run_of_tlc.actions)]
    assert silent == [
        "arrive", "close_pending_refill", "end_active_refill", "end_closing_refill",
        "give_up", "refuse", "spawn_block", "withdraw",
    ]  # fmt: skip
    assert len(run_of_tlc.actions) == 25, "24 and the beginning"
    assert list(_never_taken("TLC", {})) == ["TLC tells nothing about actions"]


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


def test_without_tlc_what_the_explorer_finds_is_a_failure_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA", str(tmp_path / "gone"))
    monkeypatch.setattr("aiojobs_verification.cli.check.faults", lambda *_: ["planted"])
    assert main(["check", "--only", "model_time_j2*"]) == FAILED


def test_a_java_that_does_not_run_is_missing(monkeypatch, tmp_path):
    broken = tmp_path / "java"
    broken.write_text("not a program")
    monkeypatch.setenv("JAVA", str(broken))
    monkeypatch.setenv("TLA2TOOLS_JAR", str(broken))
    assert "does not run" in tlc.find().reason


# TLC


@pytest.mark.slow
def test_tlc_finds_a_seeded_fault_and_the_account_of_both_is_a_pass(toolbox, capsys):
    assert main(["check", "--only", "fault_lifo", "--json"]) == PASSED
    account = json.loads(capsys.readouterr().out)
    assert account["status"] == "pass"
    assert account["figures"]["faults found by TLC too"] == 1
    assert account["figures"]["tla2tools.jar"].startswith("sha256:")
    assert account["covers"] == {}, "a part of the whole covers nothing"
    assert "LIMIT_5 is refuted by both engines, in 5 states" in account["planted"]["fault_lifo"]


@pytest.mark.slow
def test_both_engines_have_the_same_states_and_steps_and_a_difference_is_found(run_of_tlc):
    found = explored(TINY, SPEC)
    assert differences(found.graph, run_of_tlc.dump) == []
    assert (run_of_tlc.distinct, run_of_tlc.generated) == (found.outcome.distinct, found.outcome.generated)
    differ = differences(explore(FAULTS["SettleReportsAll"](TINY.scope)), run_of_tlc.dump)
    assert [line.split(" has ")[0] for line in differ] == ["the explorer", "TLC"] * 2


@pytest.mark.slow
def test_a_run_of_tlc_that_comes_to_no_verdict_is_none(toolbox, tmp_path):
    folder = edited(tmp_path, "Jobs.tla", "Init ==", "Init = =")
    with pytest.raises(tlc.TlcError, match="came to no verdict"):
        toolbox.run(folder, "Jobs", "model_time_j2_c1_l1_p1")


def test_an_exit_code_alone_is_no_verdict():
    said = "12 states generated, 9 distinct states found, 0 states left on queue.\n"
    with pytest.raises(tlc.TlcError):
        tlc._result(0, said, None)
    with pytest.raises(tlc.TlcError):
        tlc._result(12, said, None)
    with pytest.raises(tlc.TlcError):
        tlc._result(0, said + "Error: Invariant LIMIT_1 is violated.\n" + tlc._SAYS_IT_HOLDS, None)
    assert tlc._result(0, said + tlc._SAYS_IT_HOLDS, None).distinct == 9
    assert tlc._result(13, said + "Error: Temporal properties were violated.", None).rule == tlc.UNNAMED


def dump_of(graph):
    """A graph as TLC would dump it."""
    states = {str(number): shown(state) for number, state in enumerate(graph.states)}
    steps = {
        (str(source), edge.action, str(edge.target))
        for source, edges in enumerate(graph.edges)
        for edge in edges
    }
    return Dump(states, frozenset(steps))


def test_a_step_that_one_engine_lacks_is_found():
    one = explored(TINY, SPEC)
    dump = dump_of(one.graph)
    assert differences(one.graph, dump) == []
    (source, action, target), *rest = sorted(dump.steps)
    missing = differences(one.graph, replace(dump, steps=frozenset(rest)))
    assert [action in line and "the explorer has 1 steps" in line for line in missing] == [True]
    renamed = differences(one.graph, replace(dump, steps=frozenset([(source, "other", target), *rest])))
    assert len(renamed) == 2


# The explorer itself


def graph_of(edges, size):
    """A graph from steps of the form (source, action, target)."""
    of_state = [[Edge(a, 0, "", t) for s, a, t in edges if s == number] for number in range(size)]
    return Graph(range(size), of_state, [max(0, n - 1) for n in range(size)], 0, 0, None)


def ends(edges, size, *fair):
    """Whether state 0 leads to the last state if these actions are fair."""
    groups = [Group(name, lambda edge, name=name: edge.action == name) for name in fair]
    fairness = Fairness(graph_of(edges, size), groups)
    return leads_to(fairness, "rule", lambda n: n == 0, lambda n: n == size - 1) is None


def test_what_is_possible_need_not_happen_unless_it_is_fair():
    line = [(0, "a", 1), (1, "b", 2)]
    assert not ends(line, 3)
    assert not ends(line, 3, "a")
    assert not ends(line, 3, "b")
    assert ends(line, 3, "a", "b")


def test_a_circle_is_left_only_by_what_is_possible_all_the_way_round():
    circle = [(0, "on", 1), (1, "on", 0)]
    assert not ends([*circle, (0, "out", 2)], 3, "on", "out"), "once round, `out` is not possible"
    assert ends([*circle, (0, "out", 2), (1, "out", 2)], 3, "on", "out")
    assert not ends([*circle, (0, "out", 2), (1, "out", 2)], 3, "on")


def test_a_step_that_changes_nothing_serves_nobody():
    assert ends([(0, "a", 0), (0, "b", 1)], 2, "a", "b")
    assert not ends([(0, "a", 0), (0, "b", 1)], 2, "a")


def test_a_dead_end_before_the_goal_is_found_with_the_way_to_it():
    fairness = Fairness(graph_of([(0, "a", 1), (0, "b", 2)], 3), [Group("all", lambda _: True)])
    found = leads_to(fairness, "rule", lambda n: n == 0, lambda n: n == 2)
    assert found.run == (0, 1)
    assert found.stays == 1


def test_parts_are_the_maximal_ones():
    graph = graph_of([(0, "", 1), (1, "", 2), (2, "", 0), (2, "", 3), (3, "", 4), (4, "", 3), (4, "", 5)], 6)
    assert sorted(map(sorted, parts(graph, range(6)))) == [[0, 1, 2], [3, 4], [5]]
    assert sorted(map(sorted, parts(graph, [0, 1, 3]))) == [[0], [1], [3]]


class Counting:
    """Counts up to three, one or two at a time."""

    def initial(self):
        return 0

    def steps(self, state):
        return [(f"plus {n}", 0, "", state + n) for n in (1, 2) if state + n <= 3]


def test_exploration_is_whole_and_its_stories_are_shortest():
    graph = explore(Counting())
    assert list(graph.states) == [0, 1, 2, 3]
    assert (graph.generated, graph.depth) == (6, 3)
    assert explore(Counting(), lambda state: "big" * (state == 3)).broken.run == (0, 1, 3)
    assert explore(Counting(), lambda state: "any").broken.run == (0,)
    assert explore(Counting(), step_breaks=lambda _b, a, _a: "two" * (a == "plus 2")).broken.run == (0, 2)


# What TLA+ writes


def test_values_are_read_as_tlc_prints_them():
    assert read_value('<<"a", -1, {2, 3}, << >>, TRUE>>') == ("a", -1, frozenset({2, 3}), (), True)
    for wrong in ("", "<<1", "1 2", "[a |-> 1]", "}"):
        with pytest.raises(ValueError):
            read_value(wrong)


def test_a_dump_is_read_state_by_state_and_step_by_step(tmp_path):
    path = tmp_path / "graph.dot"
    path.write_text(
        "strict digraph DiskGraph {\n"
        '-7 [label="/\\\\ phase = \\"open\\"\\n/\\\\ queue = <<1, 2>>",style = filled]\n'
        '-7 -> 8 [label="shutdown",color="black",fontcolor="black"];\n'
        '8 [label="/\\\\ phase = \\"closing\\"\\n/\\\\ queue = <<>>"];\n'
        "{rank = same; 8;}\n}\n"
    )
    dump = read_dump(path)
    assert dump.states == {
        "-7": {"phase": "open", "queue": (1, 2)},
        "8": {"phase": "closing", "queue": ()},
    }
    assert dump.steps == {("-7", "shutdown", "8")}


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


def test_every_rule_is_stated_in_both_languages_and_checked_by_a_model():
    stated = set(re.findall(r"^(\w+) ==", JOBS, re.MULTILINE))
    witnessed = set(re.findall(r"^(Never_\w+) ==", (FOLDER / "Witnesses.tla").read_text(), re.MULTILINE))
    checked = {rule for one in MANIFEST.configurations if one.kind == "model" for rule in one.config.rules}
    mine = {
        *STATES,
        *STEPS,
        *ENDINGS,
        "Table_Step",
        "CountersInvariant",
        "Refinement",
        "Actions_Step",
        "NotStuck",
    }
    assert mine == checked - {"TypeOK"}
    assert mine <= stated
    assert {name for name in stated if requirement(name) or name.endswith("_Step")} <= checked
    assert {one.expected.rule for one in SITUATIONS} - checked == WITNESSES.keys() == witnessed


def test_the_table_of_jobs_tla_is_that_of_job_toml():
    text = re.search(r"^Table == (\{.*?\})$", JOBS, re.MULTILINE | re.DOTALL)[1]
    moves = {(source, dest) for source, _, dest in SPEC.job.machine.moves()}
    assert read_value(text) == moves | {("none", "pending"), ("none", "active")}


def test_the_actions_of_scheduler_toml_have_their_names_here():
    actions = set(
        re.findall(
            r"^    \\/ .*?(\w+)(?:\([^()]*\))?$",
            JOBS.partition("Next ==")[2].partition("Spec ==")[0],
            re.MULTILINE,
        )
    )
    assert SPEC.scheduler.actions.keys() <= actions
    assert len(actions) == 24


def test_the_page_shows_the_figures_of_the_manifest():
    path, text = drawn(MANIFEST)
    assert path.read_text(encoding="utf-8") == text, "stale: python -m aiojobs_verification check --draw"


def test_the_page_names_every_variable_action_and_rule():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    variables = re.search(r"^vars == <<(.*)>>$", JOBS, re.MULTILINE)[1].split(", ")
    actions = set(explored(BY_NAME["model_every_action_j3_c1_l1_p1"], SPEC).outcome.actions)
    rules = {rule for one in MANIFEST.configurations if one.kind == "model" for rule in one.config.rules}
    assert len(actions) == 24
    assert [name for name in (*variables, *sorted(actions), *sorted(rules)) if f"`{name}`" not in page] == []


def test_the_page_that_is_stale_is_found(tmp_path):
    folder = edited(tmp_path, "README.md", "| lifo ", "| fifo ")
    path, text = drawn(read_manifest(folder))
    assert path.read_text(encoding="utf-8") != text
    folder = edited(tmp_path, "README.md", "<!-- /generated:figures -->", "")
    with pytest.raises(SpecError, match="missing"):
        drawn(read_manifest(folder))
