"""The benchmark measures what it says: contenders do their jobs, statistics are right, goals can be missed.

No time is asserted here. Contenders that need libraries of the benchmark's own environment are checked there:
each of its workers makes the same counted run first, and tells what was wrong.
"""

import asyncio
import gc
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import aiojobs
from benchmarks import (
    calls,
    compare,
    figures,
    goals,
    guarantees,
    instructions,
    plan,
    publish,
    report,
    rounds,
    table,
    worker,
    workloads,
)
from benchmarks.__main__ import main
from benchmarks.contenders import BARE, BASELINE, KINDS, OWN, PEERS, Contender, make
from benchmarks.contenders.stage import Bodies, Scale, Stage
from benchmarks.document import document, samples_of
from benchmarks.rounds import Cell, Contestant, Sample, Settings
from benchmarks.table import Samples
from benchmarks.worker import check

ROOT = Path(__file__).parents[2]
IMPORTED = aiojobs.__file__
HERE = [label for label in KINDS if label not in PEERS]
ROWS = [row for row in workloads.WORKLOADS.values() if not row.method.startswith("import_")]


# --- Contenders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", HERE)
def test_a_contender_does_every_workload_or_says_why_not(label):
    contender = make(label)
    found = {row.name: contender.find(row.method) for row in ROWS}
    assert all(found.values())
    done = {row.name: check(found[row.name], row) for row in ROWS if not isinstance(found[row.name], str)}
    assert done == dict.fromkeys(done, "")


def test_this_package_and_bare_asyncio_do_everything_that_goals_are_about():
    for goal in goals.read():
        for label in {OWN, goal.against} - {BASELINE, ""}:
            assert not isinstance(make(label).find(workloads.WORKLOADS[goal.workload].method), str)


class Lazy(Contender):
    """Does half of its work."""

    async def spawn_and_drain(self, stage):
        for _ in range(stage.n // 2):
            await stage.bodies.nothing()

    async def spawn_and_fail(self, stage):
        for _ in range(stage.n):
            await asyncio.gather(stage.bodies.fail(), return_exceptions=True)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("spawn and drain", "30 jobs started and 30 ended, expected 60"),
        ("spawn and fail", "0 of 60 failures were reported"),
    ],
)
def test_a_contender_that_does_less_is_found(name, wrong):
    row = workloads.WORKLOADS[name]
    assert check(Lazy().find(row.method), row) == wrong


class Leaking(Contender):
    """Leaves something to complain about."""

    async def spawn_and_drain(self, stage):
        await asyncio.gather(*(stage.bodies.nothing() for _ in range(stage.n)))
        asyncio.get_running_loop().call_exception_handler({"message": "planted"})


def test_a_contender_that_has_the_loop_complain_is_found():
    row = workloads.WORKLOADS["spawn and drain"]
    assert check(Leaking().find(row.method), row) == "the loop complains: planted"


def test_a_contender_that_starts_what_must_not_start_is_found():
    row = workloads.WORKLOADS["spawn and drain"]._replace(counts="none")
    assert check(make(BARE).find(row.method), row) == "60 jobs started and 60 ended, expected 0"


def test_what_is_closed_one_by_one_comes_from_the_part_of_the_line_that_is_named():
    chosen = {where: Stage(50, 1, where).chosen(range(50)) for where in ("front", "middle", "back")}
    assert chosen == {
        "front": [0, 1, 2, 3, 4],
        "middle": [22, 23, 24, 25, 26],
        "back": [49, 48, 47, 46, 45],
    }


def test_only_reports_of_jobs_that_are_said_not_to_have_stopped_are_late():
    stage = Stage(1, 1)
    stage.hear(None, {"message": "Job closing timed out"})
    stage.hear(None, {"message": "Job processing failed"})
    assert (stage.late, stage.failures) == (1, 1)


def test_the_scale_weighs_what_is_kept_and_nothing_else():
    scale, kept = Scale(), []
    with scale:
        kept.append(bytes(100_000))
        bytes(300_000)
    assert 100_000 <= scale.reading()["bytes"] < 110_000


def test_the_bodies_that_are_measured_count_nothing():
    assert vars(Bodies()) == {}


# --- Workers and rounds -------------------------------------------------------------------------------------


def measured(cells, contestants, **settings):
    told = []
    found = rounds.run(
        cells, contestants, Settings(sys.executable, **settings), lambda *how_far: told.append(how_far[:2])
    )
    assert told == [(number + 1, len(told)) for number in range(len(told))]
    return found


def test_a_worker_measures_the_source_tree_it_is_given():
    here = Contestant("here", OWN, str(ROOT / "src"))
    (sample,) = measured([Cell("spawn and wait", 50, 1, 1)], [here], seconds=0.0)
    assert sample.found["where"] == str(IMPORTED)
    assert (sample.found["wrong"], sample.found["repeats"], sample.found["late"]) == ("", 2, 0)
    assert sample.found["cpu"] > 0
    assert sample.found["wall"] > 0


def test_a_worker_that_fails_is_a_sample_with_the_reason(tmp_path):
    (tmp_path / "aiojobs").mkdir()
    (tmp_path / "aiojobs/__init__.py").write_text("raise KeyError('planted')\n")
    (sample,) = measured([Cell("spawn and wait", 50, 1, 1)], [Contestant("broken", OWN, str(tmp_path))])
    assert sample.found == {"wrong": "the process failed: KeyError: 'planted'"}
    assert Samples([sample]).wrong() == ["broken, spawn and wait: the process failed: KeyError: 'planted'"]


@pytest.mark.parametrize(
    ("contestant", "reason"),
    [
        (
            Contestant(BASELINE, OWN),
            f"aiojobs 2.0.0 {aiojobs.__build__} is installed: use LOCK=bench sh .ci/env python …",
        ),
        (Contestant("here", OWN, "/elsewhere"), f"not that of /elsewhere but of {IMPORTED} was imported"),
    ],
)
def test_another_library_of_the_same_name_is_not_measured(contestant, reason):
    (sample,) = measured([Cell("spawn and wait", 50, 1, 1)], [contestant], seconds=0.0)
    assert sample.found == {"wrong": reason}


def test_a_worker_that_takes_too_long_is_a_sample_with_the_reason():
    cell, bare = Cell("spawn and wait", 50, 1, 1), Contestant(BARE, BARE)
    (sample,) = measured([cell], [bare], patience=0.001)
    assert sample.found == {"cannot": "took more than 0 s"}


@pytest.mark.parametrize("collector", [True, False])
def test_the_collector_runs_in_a_worker_unless_the_settings_say_otherwise(collector, monkeypatch, capsys):
    ordered = []

    def process(command, **_):
        ordered.append(command[-1])
        return subprocess.CompletedProcess(command, 1, "", "not today")

    monkeypatch.setattr(rounds.subprocess, "run", process)
    measured([Cell("spawn and wait", 50, 1, 1)], [Contestant(BARE, BARE)], collector=collector)
    monkeypatch.setattr(worker, "_best", lambda *_: {"collector": gc.isenabled()})
    try:
        worker.main(ordered)
    finally:
        gc.enable()
    assert json.loads(capsys.readouterr().out)["collector"] is collector


def test_a_worker_that_needs_more_memory_than_is_free_is_not_started(monkeypatch):
    monkeypatch.setattr(rounds, "free_memory", lambda: 500_000)
    cells = [Cell("spawn and wait", size, 1, 1) for size in (50, 100)]
    small, large = measured(cells, [Contestant(BARE, BARE)], seconds=0.0)
    assert "cpu" in small.found
    assert large.found == {"cannot": "needs more memory than is free"}


@pytest.fixture
def asked(monkeypatch):
    """Rounds without processes: every worker takes a second for each job."""
    asked = []

    def work(cell, contestant, _settings):
        asked.append((cell.workload, cell.size, contestant.label))
        return {"cpu": 1.0, "seconds": float(cell.size)}

    monkeypatch.setattr(rounds, "_work", work)
    return asked


def test_contenders_follow_each_other_and_take_turns_in_going_first(asked):
    a, b = Contestant("a", BARE), Contestant("b", BARE)
    measured([Cell("many waiters", 1, 2, 2), Cell("slot latency", 1, 2, 2)], [a, b])
    assert asked == [
        ("many waiters", 1, "a"), ("many waiters", 1, "b"),
        ("slot latency", 1, "a"), ("slot latency", 1, "b"),
        ("many waiters", 1, "b"), ("many waiters", 1, "a"),
        ("slot latency", 1, "b"), ("slot latency", 1, "a"),
    ]  # fmt: skip


def test_who_is_only_beside_or_there_for_one_workload_takes_part_in_no_more(asked):
    beside = Contestant("beside", BARE, compared=False)
    latency = Contestant("latency", BARE, only="slot latency")
    measured([Cell("many waiters", 1, 3, 1), Cell("slot latency", 1, 1, 1)], [beside, latency])
    assert sorted(asked) == [
        ("many waiters", 1, "beside"),
        ("slot latency", 1, "beside"),
        ("slot latency", 1, "latency"),
    ]


def test_a_size_is_not_tried_when_a_fifteenth_of_the_patience_was_spent_on_a_smaller_one(asked):
    sizes = [Cell("many waiters", size, 2, 2) for size in (1, 5, 6, 7)]
    found = measured(sizes, [Contestant("a", BARE)], patience=75)
    assert asked == [("many waiters", size, "a") for size in (1, 5, 6, 1, 5, 6)]
    (reason,) = {sample.found["cannot"] for sample in found if sample.size == 7}
    assert reason == "would take more than 75 s: a smaller size took 6 s"


def test_one_may_be_waited_for_longer_than_the_others(asked):
    sizes = [Cell("many waiters", size, 1, 1) for size in (6, 7)]
    patient, other = Contestant("patient", BARE, patience=150), Contestant("other", BARE)
    found = measured(sizes, [patient, other], patience=75)
    assert [one.contender for one in found if "cannot" in one.found] == ["other"]
    assert ("many waiters", 7, "patient") in asked


# --- Plans --------------------------------------------------------------------------------------------------


def test_every_tier_measures_every_workload_and_all_but_the_quick_one_the_sizes_of_the_goals():
    for tier in workloads.TIERS:
        planned = {(cell.workload, cell.size) for cell in plan.cells(tier, [], None, None)}
        assert {name for name, _ in planned} == set(workloads.WORKLOADS)
        if tier != "quick":
            assert {(row.name, row.goal_size) for row in workloads.WORKLOADS.values()} <= planned


def test_the_full_tier_goes_to_a_million_jobs():
    planned = plan.cells("full", ["close active"], None, None)
    assert [cell.size for cell in planned] == [1_000, 10_000, 100_000, 1_000_000]
    assert planned[-1].rounds == 1


def test_those_that_goals_about_growth_speak_of_are_waited_for_the_longest():
    effort = plan.EFFORTS["full"]
    patience = {one.label: one.patience for one in plan.contestants([], effort.patience)}
    most = max(effort.patience)
    assert {label for label, seconds in patience.items() if seconds == most} == {OWN, BARE}


def test_this_package_is_measured_from_its_source_and_the_other_one_as_it_is_installed():
    for build, folder in ("pure", "src"), ("compiled", "build/compiled-{}.{}".format(*sys.version_info)):
        paths = {one.label: one.path for one in plan.contestants([], (1, 1), build)}
        assert paths.pop(OWN) == str(ROOT / folder)
        assert set(paths.values()) == {""}


def test_a_report_names_the_build_as_it_was_imported():
    assert make(OWN).version() == f"{aiojobs.__version__} {aiojobs.__build__}"


# --- Statistics ---------------------------------------------------------------------------------------------


def test_a_spread_is_the_median_and_the_quartiles():
    assert figures.spread([5.0, 1.0, 4.0, 2.0, 3.0]) == (3.0, 2.0, 4.0, 5)
    assert figures.spread([7.0]) == (7.0, 7.0, 7.0, 1)
    with pytest.raises(ValueError, match="no values"):
        figures.spread([])


def test_ratios_are_taken_within_a_round():
    assert figures.ratios({0: 2.0, 1: 30.0, 2: 5.0}, {0: 4.0, 1: 10.0, 3: 1.0}) == [0.5, 3.0]


def test_differences_are_taken_within_a_round():
    assert figures.differences({0: 2.0, 1: 30.0, 2: 5.0}, {0: 4.0, 1: 10.0, 3: 1.0}) == [-2.0, 20.0]


@pytest.mark.parametrize("power", [0.0, 1.0, 1.3, 2.0])
def test_the_exponent_is_that_of_the_cost_of_all_jobs(power):
    costs = {size: 3e-6 * size ** (power - 1) for size in (1_000, 10_000, 100_000)}
    assert figures.exponent(costs) == pytest.approx(power)
    assert figures.exponent({1_000: 1.0}) is None


# --- Goals --------------------------------------------------------------------------------------------------


def sample(workload, size, label, cpu, *, number=0, late=0):
    found = {"cpu": cpu, "wall": 2 * cpu, "late": late, "version": "9", "wrong": ""}
    return Sample(number, workload, size, label, found)


def verdict(goal, *samples):
    (one,) = goals.verdicts([goal], Samples(samples))
    return one


RATIO = goals.Goal("spawn and wait", 0.5, against=BARE)


@pytest.mark.parametrize(("ours", "met"), [(0.4, True), (0.5, True), (0.6, False)])
def test_a_ratio_is_met_up_to_its_goal(ours, met):
    samples = [sample(RATIO.workload, 20_000, OWN, ours), sample(RATIO.workload, 20_000, BARE, 1.0)]
    assert verdict(RATIO, *samples).met is met


def test_a_ratio_is_that_of_the_size_of_the_goal():
    other = [sample(RATIO.workload, 1_000, OWN, 9.0), sample(RATIO.workload, 1_000, BARE, 1.0)]
    right = [sample(RATIO.workload, 20_000, OWN, 0.4), sample(RATIO.workload, 20_000, BARE, 1.0)]
    assert verdict(RATIO, *other, *right).measured.median == 0.4
    assert verdict(RATIO, *other).size == 1_000


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert verdict(RATIO, sample(RATIO.workload, 20_000, OWN, 0.1)).met is None
    assert goals.verdicts([RATIO], Samples([sample("many waiters", 5, OWN, 1.0)])) == []
    power = goals.Goal("many waiters", 1.05, "exponent")
    assert goals.verdicts([power], Samples([sample("many waiters", 5, OWN, 1.0)])) == []


@pytest.mark.parametrize(("power", "met"), [(1.0, True), (1.2, False)])
def test_an_exponent_is_that_of_this_package(power, met):
    goal = goals.Goal("close active", 1.05, "exponent")
    sizes = (1_000, 10_000, 100_000)
    samples = [sample(goal.workload, size, OWN, size ** (power - 1)) for size in sizes]
    found = verdict(goal, *samples, *(sample(goal.workload, size, BARE, float(size)) for size in sizes))
    assert (found.met, found.size) == (met, 100_000)
    assert (found.growth.least, found.growth.most) == (1_000, 100_000)


def test_a_verdict_about_growth_carries_that_of_plain_asyncio():
    goal = goals.Goal("close active", 1.05, "exponent")
    ours = [sample(goal.workload, size, OWN, 1.0) for size in (1_000, 10_000, 100_000)]
    bare = [sample(goal.workload, size, BARE, float(size)) for size in (1_000, 10_000)]
    found = verdict(goal, *ours, *bare)
    assert found.bare == pytest.approx((2.0, 1_000, 10_000))
    assert found.met is True
    assert verdict(goal, *ours).bare is None
    assert verdict(goal, *bare, sample(goal.workload, 100_000, OWN, 1.0)).met is None


def test_one_false_report_at_any_size_is_too_many():
    goal = goals.Goal("close active", 0, "late")
    good = [sample(goal.workload, size, OWN, 1.0) for size in (1_000, 100_000)]
    assert verdict(goal, *good).met is True
    assert verdict(goal, *good, sample(goal.workload, 10_000, OWN, 1.0, late=1)).met is False


def test_a_difference_is_in_microseconds():
    goal = goals.Goal("transition", 0.1, "difference", BARE)
    samples = [sample(goal.workload, 20_000, OWN, 0.15e-6), sample(goal.workload, 20_000, BARE, 0.04e-6)]
    found = verdict(goal, *samples)
    assert found.measured.median == pytest.approx(0.11)
    assert found.met is False


def test_the_file_of_goals_can_be_read_and_speaks_of_every_growing_workload():
    exponents = {goal.workload for goal in goals.read() if goal.metric == "exponent"}
    assert exponents == {row.name for row in workloads.WORKLOADS.values() if row.growing}


@pytest.mark.parametrize(
    "entry",
    [
        'workload = "spawn"\nagainst = "create_task"',
        'workload = "spawn and wait"\nagainst = "tasks"',
        'workload = "spawn and wait"\nmetric = "rato"\nagainst = "create_task"',
    ],
)
def test_a_goal_about_nothing_that_there_is_is_refused(tmp_path, entry):
    path = tmp_path / "goals.toml"
    path.write_text(f"[[goal]]\nmost = 1\n{entry}\n")
    with pytest.raises(ValueError, match="no such workload"):
        goals.read(path)


# --- Calls --------------------------------------------------------------------------------------------------


def test_calls_are_counted_exactly_and_only_in_the_part_that_is_measured():
    found = calls.profile(make(BARE), workloads.WORKLOADS["close pending"], 300, "asyncio")
    counted = {one.name: one.calls for one in found if one.calls >= 1}
    # Only Python 3.11 enters a coroutine that never began, to close it.
    assert counted.pop("stage.Bodies.park", 0.0) == (sys.version_info < (3, 12))
    assert counted == {"method 'close' of 'coroutine' objects": 1.0}
    assert sum(one.share for one in found) == pytest.approx(1)
    assert "| all " in calls.table(found)
    assert calls.profile(make("TaskGroup"), workloads.WORKLOADS["close pending"], 3, "asyncio") == (
        "a task group has no limit, so nothing is ever pending"
    )


# --- Reports ------------------------------------------------------------------------------------------------

ABOUT = {
    "cpu": "a cpu", "cores": "2", "system": "Linux", "python": "CPython 3.11", "commit": "abc",
    "loop": "asyncio", "tier": "default",
    "began": "now", "ended": "later", "load at start": "1", "load at end": "2",
}  # fmt: skip
SAMPLES = [
    *(sample("close active", 10_000, OWN, cpu * 1e-6, number=number) for number, cpu in enumerate((3, 5, 4))),
    *(sample("close active", 10_000, BASELINE, 8e-6, number=number, late=7) for number in range(3)),
    sample("close active", 1_000, OWN, 4e-6),
    Sample(0, "close active", 1_000, BASELINE, {"cannot": "planted reason"}),
]


def test_a_document_survives_its_file_and_carries_figures_ratios_verdicts_and_reasons():
    made = json.loads(json.dumps(document(ABOUT, SAMPLES)))
    assert sorted(samples_of(made), key=str) == sorted(SAMPLES, key=str)
    by_size = {cell["size"]: cell["contenders"] for cell in made["figures"]}
    assert by_size[10_000][OWN]["cpu"] == pytest.approx(
        {"median": 4e-6, "low": 3.5e-6, "high": 4.5e-6, "rounds": 3}
    )
    assert by_size[10_000][OWN][f"ratio to {BASELINE}"]["median"] == 0.5
    assert by_size[10_000][BASELINE]["late"] == 7
    assert by_size[1_000][BASELINE] == {"remarks": ["planted reason"]}
    verdicts = {(goal["metric"], goal["against"]): goal["met"] for goal in made["goals"]}
    assert verdicts == {
        ("ratio", BASELINE): False,
        ("ratio", BARE): None,
        ("late", ""): True,
        ("exponent", ""): True,
    }


def cells(line):
    return [text.strip() for text in line.strip("|").split("|")]


def test_the_overview_shows_goals_costs_and_where_they_were_measured():
    text = report.overview(document(ABOUT, SAMPLES))
    assert "a cpu, 2 cores" in text
    assert "commit abc" in text
    lines = [cells(line) for line in text.splitlines() if line.startswith("|")]
    assert ["close active", "10,000", BASELINE, "0.500", "0.438–0.562", "0.16", "not met"] in lines
    assert ["close active, µs", "10,000", "4.00", "8.00"] in lines


def test_the_account_says_why_a_figure_is_missing_and_shows_spreads_and_false_reports():
    text = report.full(document(ABOUT, SAMPLES))
    assert f"{BASELINE}: planted reason" in text
    assert "`task.cancel()` for all" in text
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {BASELINE} ") and " 7 |" in line]
    assert cells(line)[1:5] == ["8.00", "8.00–8.00", "16.00", "16.00–16.00"]


def test_a_goal_about_growth_names_its_sizes_and_shows_plain_asyncio_beside():
    found = [
        *(sample("close active", size, label, 4e-6) for size in (1_000, 100_000) for label in (OWN, BARE)),
        *(sample("many waiters", size, OWN, 4e-6) for size in (1_000, 10_000, 100_000)),
        *(sample("many waiters", size, BARE, size * 1e-9) for size in (1_000, 10_000)),
    ]
    text = report.overview(document(ABOUT, found))
    lines = [cells(line) for line in text.splitlines() if line.startswith("|")]
    assert ["close active", "1,000 to 100,000", "1.000", "1.05", "met", "1.000"] in lines
    assert ["many waiters", "1,000 to 100,000", "1.000", "1.05", "met", "2.000 †"] in lines


def test_sizes_that_a_curve_lacks_are_listed_with_the_reason():
    late = Sample(0, "close active", 100_000, BASELINE, {"cannot": "would take too long"})
    found = [
        *(sample("close active", size, OWN, 4e-6) for size in (1_000, 10_000, 100_000)),
        *(sample("close active", size, BASELINE, 4e-6) for size in (1_000, 10_000)),
        *(sample("close active", size, "TaskGroup", 4e-6) for size in (1_000, 10_000)),
        *(Sample(0, "close active", size, "chained tasks", {"cannot": "other"}) for size in (1_000, 10_000)),
        late,
    ]
    made = document(ABOUT, found)
    left_out = "- TaskGroup: no goal speaks of them, so the largest numbers are left out"
    for text in (report.overview(made), report.page(made), report.full(made)):
        listed = [line for line in text.splitlines() if line.startswith(("- TaskGroup", "- aiojobs 1.4"))]
        assert listed == [f"- {BASELINE}, close active, 100,000: would take too long", left_out]
        assert "chained tasks: no goal" not in text
    lines = [cells(line) for line in report.page(made).splitlines() if line.startswith("| close active ")]
    assert ["close active", "1,000 to 100,000", "1.000", "1.000 †", "-", "1.000 †"] in lines
    assert report.full(made).count("Not in the plan with so many jobs: TaskGroup") == 1
    assert "Not measured (" not in report.full(document(ABOUT, [*SAMPLES][:3]))


def test_a_run_without_the_collector_says_so_and_meets_no_goal():
    assert "garbage collector" not in report.overview(document(ABOUT, SAMPLES))
    made = document({**ABOUT, "collector": "off"}, SAMPLES)
    assert made["goals"] == []
    text = report.overview(made)
    assert "loop: asyncio · without the garbage collector" in text
    assert "The goals are about programs in which the garbage collector runs." in text
    assert "goals are met" not in text


def test_what_went_wrong_is_said_at_the_end():
    broken = Sample(1, "close active", 10_000, BARE, {"wrong": "3 jobs started"})
    assert report.overview(document(ABOUT, [*SAMPLES, broken])).endswith(
        f"WRONG: {BARE}, close active: 3 jobs started"
    )
    assert "WRONG" not in report.overview(document(ABOUT, SAMPLES))


def test_trees_are_compared_with_the_first():
    trees = [Contestant("base", OWN), Contestant("new", OWN)]
    found = [
        *(sample("many waiters", 9, "base", 2e-6, number=number) for number in range(3)),
        *(
            sample("many waiters", 9, "new", cpu, number=number)
            for number, cpu in enumerate((1e-6, 2e-6, 3e-6))
        ),
    ]
    line = compare.table(found, trees).splitlines()[2]
    assert cells(line) == ["many waiters, µs", "9", "2.00", "2.00", "1.00", "0.75–1.25"]


def test_a_table_is_in_line():
    lines = table.markdown(("a", "n"), [("wide cell", "1"), ("b", "1,000")]).splitlines()
    assert lines == [
        "| a         |     n |",
        "|-----------|------:|",
        "| wide cell |     1 |",
        "| b         | 1,000 |",
    ]


# --- The documentation and the lock -------------------------------------------------------------------------


def test_the_tables_of_a_run_go_between_the_marks_of_the_page_and_nowhere_else():
    page = "before\n<!-- measured -->\nstale figures\n<!-- /measured -->\nafter\n"
    found = publish.with_tables(page, document(ABOUT, SAMPLES))
    assert found.startswith("before\n<!-- measured -->\n")
    assert found.endswith("<!-- /measured -->\nafter\n")
    assert "commit abc" in found
    assert "stale" not in found
    assert publish.with_tables(found, document(ABOUT, SAMPLES)) == found
    with pytest.raises(ValueError, match="one place"):
        publish.with_tables("nothing", document(ABOUT, SAMPLES))


def test_the_page_has_its_marks_and_its_pictures():
    text = publish.PAGE.read_text(encoding="utf-8")
    assert [len(re.findall(f"<!-- {mark} -->\n", text)) for mark in ("measured", "guarantees")] == [1, 1]
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert pictures
    assert [name for name in pictures if not (publish.PAGE.parent / name).is_file()] == []


def test_the_lock_pins_by_hash_all_that_is_measured_and_aiojobs_in_the_version_of_the_goals():
    lock = (ROOT / "requirements/bench.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", lock, flags=re.MULTILINE).strip())
    pinned = {entry.partition("==")[0]: entry.split()[0].partition("==")[2] for entry in entries}
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    asked_for = (ROOT / "requirements/bench.in").read_text(encoding="utf-8")
    wanted = [Requirement(line) for line in re.findall(r"^\w.*$", asked_for, re.MULTILINE)]
    assert [str(one) for one in wanted if not one.specifier.contains(pinned[one.name])] == []
    assert f"aiojobs {pinned['aiojobs']}" == BASELINE


# --- Instructions -------------------------------------------------------------------------------------------


def _valgrind(folder, says):
    """A program of that name that says how many instructions it counted."""
    program = folder / "valgrind"
    few, many = says
    program.write_text(f'#!/bin/sh\ncase "$*" in *1000*) {few} ;; *) {many} ;; esac\n', encoding="utf-8")
    program.chmod(0o755)


def test_the_instructions_of_one_job_are_the_difference_shared_among_the_jobs_in_between(
    tmp_path, monkeypatch, capsys
):
    _valgrind(tmp_path, ["echo 'Collected : 5000000' >&2", "echo 'Collected : 7000000' >&2"])
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    asked = ["instructions", "--only", "spawn-and-drain", "--tree", f"now={ROOT / 'src'}"]
    assert main(asked) == 0
    assert capsys.readouterr().out == "spawn and drain, now: 1,000 instructions for each job\n"


def test_what_is_counted_was_compiled_before(tmp_path, monkeypatch):
    _valgrind(tmp_path, ["echo 'Collected : 5000000' >&2", "echo 'Collected : 7000000' >&2"])
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    tree = guarantees.build([], ROOT / "src", tmp_path)[OWN]
    assert list(tree.rglob("*.pyc")) == []
    instructions.for_each_job(Contestant(OWN, OWN, str(tree)), "spawn and drain", sys.executable)
    assert list(tree.rglob("_core.*.pyc")) != []


def test_a_process_that_could_not_be_counted_is_no_figure(tmp_path, monkeypatch):
    _valgrind(tmp_path, ["echo 'out of memory' >&2; exit 1", "exit 1"])
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(RuntimeError, match="out of memory"):
        main(["instructions", "--only", "spawn-and-drain", "--tree", f"now={ROOT / 'src'}"])


def test_without_valgrind_no_instructions_are_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["instructions", "--only", "spawn-and-drain", "--with", "create_task"]) == 77
    assert "valgrind is needed" in capsys.readouterr().err
