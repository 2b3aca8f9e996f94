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
    front,
    goals,
    guarantees,
    instructions,
    machine,
    plan,
    publish,
    report,
    rounds,
    table,
    worker,
    workloads,
)
from benchmarks.__main__ import main
from benchmarks.colours import DARK, GRID, INK, LINES, OTHERS, PAPER, following_the_scheme
from benchmarks.contenders import (
    BARE,
    BASELINE,
    BUILDS,
    COMPILED,
    KINDS,
    LABELS,
    OWN,
    PEERS,
    PURE,
    Contender,
    make,
)
from benchmarks.contenders.stage import Bodies, Scale, Stage
from benchmarks.document import document, samples_of
from benchmarks.rounds import Cell, Contestant, Sample, Settings
from benchmarks.table import Samples
from benchmarks.worker import check

ROOT = Path(__file__).parents[2]
IMPORTED = ROOT / "src/aiojobs/__init__.py"
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
        for label in {OWN, goal.against} - {BASELINE, goals.BEST, ""}:
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
            "aiojobs 2.0.0 pure is installed: use LOCK=bench sh .ci/env python …",
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
    assert {label for label, seconds in patience.items() if seconds == most} == {COMPILED, PURE, BARE}


def test_both_builds_are_measured_each_from_its_folder_and_the_other_library_as_it_is_installed():
    paths = {one.label: one.path for one in plan.contestants([], (1, 1))}
    assert paths.pop(COMPILED) == str(ROOT / "build/compiled-{}.{}".format(*sys.version_info))
    assert paths.pop(PURE) == str(ROOT / "src")
    assert paths == dict.fromkeys([label for label in KINDS if label != OWN], "")


def test_both_builds_take_part_in_every_round_side_by_side(asked):
    measured([Cell("spawn and wait", 1, 2, 1)], plan.contestants([OWN, BARE, "TaskGroup"], (60, 60)))
    assert [label for _, _, label in asked] == [COMPILED, PURE, BARE, "TaskGroup", PURE, BARE, COMPILED]


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A text, and the folder of what was made from it; nothing is compiled."""
    folders = {build: tmp_path / build for build in BUILDS}
    for folder in folders.values():
        (folder / "aiojobs").mkdir(parents=True)
        (folder / "aiojobs/_core.py").write_text("first = 1\n")
    monkeypatch.setattr(machine, "sources", folders.__getitem__)
    return folders


def test_the_compiled_build_takes_part_if_it_was_made_from_the_text_as_it_is(built):
    assert machine.builds() == ["compiled", "pure"]
    (built["pure"] / "aiojobs/_core.py").write_text("first = 2\n")
    assert machine.builds() == ["pure"]


def test_the_compiled_build_does_not_take_part_where_it_was_not_made(built):
    (built["compiled"] / "aiojobs/_core.py").unlink()
    assert machine.builds() == ["pure"]


def test_a_build_that_is_not_the_one_that_it_is_called_is_not_measured(monkeypatch):
    told = {"version": "2.0.0 pure", "where": "/tree/aiojobs/__init__.py", "cpu": 1.0, "seconds": 0.0}
    answer = subprocess.CompletedProcess([], 0, json.dumps(told), "")
    monkeypatch.setattr(rounds.subprocess, "run", lambda *_, **__: answer)
    compiled, pure = measured(
        [Cell("spawn and wait", 50, 1, 1)], [Contestant(label, OWN, "/tree") for label in (COMPILED, PURE)]
    )
    assert compiled.found == {"wrong": "this is aiojobs 2.0.0 pure"}
    assert pure.found == told


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
    samples = [sample(RATIO.workload, 20_000, COMPILED, ours), sample(RATIO.workload, 20_000, BARE, 1.0)]
    assert verdict(RATIO, *samples).met is met


def test_a_ratio_is_that_of_the_size_of_the_goal():
    other = [sample(RATIO.workload, 1_000, COMPILED, 9.0), sample(RATIO.workload, 1_000, BARE, 1.0)]
    right = [sample(RATIO.workload, 20_000, COMPILED, 0.4), sample(RATIO.workload, 20_000, BARE, 1.0)]
    assert verdict(RATIO, *other, *right).measured.median == 0.4
    assert verdict(RATIO, *other).size == 1_000


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert verdict(RATIO, sample(RATIO.workload, 20_000, COMPILED, 0.1)).met is None
    assert goals.verdicts([RATIO], Samples([sample("many waiters", 5, COMPILED, 1.0)])) == []
    power = goals.Goal("many waiters", 1.05, "exponent")
    assert goals.verdicts([power], Samples([sample("many waiters", 5, COMPILED, 1.0)])) == []


@pytest.mark.parametrize(("power", "met"), [(1.0, True), (1.2, False)])
def test_an_exponent_is_that_of_this_package(power, met):
    goal = goals.Goal("close active", 1.05, "exponent")
    sizes = (1_000, 10_000, 100_000)
    samples = [sample(goal.workload, size, COMPILED, size ** (power - 1)) for size in sizes]
    found = verdict(goal, *samples, *(sample(goal.workload, size, BARE, float(size)) for size in sizes))
    assert (found.met, found.size) == (met, 100_000)
    assert (found.growth.least, found.growth.most) == (1_000, 100_000)


def test_a_verdict_about_growth_carries_that_of_plain_asyncio():
    goal = goals.Goal("close active", 1.05, "exponent")
    ours = [sample(goal.workload, size, COMPILED, 1.0) for size in (1_000, 10_000, 100_000)]
    bare = [sample(goal.workload, size, BARE, float(size)) for size in (1_000, 10_000)]
    found = verdict(goal, *ours, *bare)
    assert found.bare == pytest.approx((2.0, 1_000, 10_000))
    assert found.met is True
    assert verdict(goal, *ours).bare is None
    assert verdict(goal, *bare, sample(goal.workload, 100_000, COMPILED, 1.0)).met is None


def test_one_false_report_at_any_size_is_too_many():
    goal = goals.Goal("close active", 0, "late")
    good = [sample(goal.workload, size, COMPILED, 1.0) for size in (1_000, 100_000)]
    assert verdict(goal, *good).met is True
    assert verdict(goal, *good, sample(goal.workload, 10_000, COMPILED, 1.0, late=1)).met is False


def test_a_difference_is_in_microseconds():
    goal = goals.Goal("transition", 0.1, "difference", BARE)
    samples = [sample(goal.workload, 20_000, COMPILED, 0.15e-6), sample(goal.workload, 20_000, BARE, 0.04e-6)]
    found = verdict(goal, *samples)
    assert found.measured.median == pytest.approx(0.11)
    assert found.met is False


def test_a_cost_is_in_microseconds_or_bytes():
    taken = sample("import beside asyncio", 5, COMPILED, 2.4e-3)
    assert verdict(goals.Goal("import beside asyncio", 2500, "cost"), taken).measured.median == pytest.approx(
        2400
    )
    kept = Sample(0, "memory, pending", 10_000, COMPILED, {"bytes": 391.0})
    assert verdict(goals.Goal("memory, pending", 390, "cost"), kept).measured.median == 391
    assert verdict(goals.Goal("memory, pending", 390, "cost"), kept).met is False
    assert verdict(goals.Goal("memory, pending", 391, "cost"), kept).met is True


@pytest.mark.parametrize(("ours", "met"), [(1.9, True), (2.0, False)])
def test_the_best_peer_is_whoever_costs_the_least_beside_this_package_and_plain_asyncio(ours, met):
    goal = RATIO._replace(most=1.0, against=goals.BEST)
    costs = {COMPILED: ours, PURE: 0.3, BASELINE: 3.0, BARE: 0.1, "chained tasks": 0.1, "TaskGroup": 2.0}
    found = verdict(goal, *(sample(goal.workload, 20_000, label, cost) for label, cost in costs.items()))
    assert (found.peer, found.measured.median, found.met) == ("TaskGroup", ours / 2, met)


def test_where_no_peer_was_measured_a_goal_about_the_best_is_neither_met_nor_missed():
    goal = RATIO._replace(against=goals.BEST)
    found = verdict(goal, *(sample(goal.workload, 20_000, label, 1.0) for label in (COMPILED, PURE, BARE)))
    assert (found.peer, found.met) == ("", None)


def test_from_python_3_14_on_some_goals_are_others():
    drained = {
        python: {goal.most for goal in goals.read(python=python) if goal[:4:3] == ("spawn and drain", BARE)}
        for python in ("CPython 3.11.7 GCC", "CPython 3.13.0", "CPython 3.14.0rc1 GCC")
    }
    assert list(drained.values()) == [{1.15}, {1.15}, {1.35}]
    assert len(goals.read()) == len(goals.read(python="CPython 3.15.0"))


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
    *(
        sample("close active", 10_000, COMPILED, cpu * 1e-6, number=number)
        for number, cpu in enumerate((3, 5, 4))
    ),
    *(sample("close active", 10_000, BASELINE, 8e-6, number=number, late=7) for number in range(3)),
    sample("close active", 1_000, COMPILED, 4e-6),
    Sample(0, "close active", 1_000, BASELINE, {"cannot": "planted reason"}),
]


def test_a_document_survives_its_file_and_carries_figures_ratios_verdicts_and_reasons():
    made = json.loads(json.dumps(document(ABOUT, SAMPLES)))
    assert sorted(samples_of(made), key=str) == sorted(SAMPLES, key=str)
    by_size = {cell["size"]: cell["contenders"] for cell in made["figures"]}
    assert by_size[10_000][COMPILED]["cpu"] == pytest.approx(
        {"median": 4e-6, "low": 3.5e-6, "high": 4.5e-6, "rounds": 3}
    )
    assert by_size[10_000][COMPILED][f"ratio to {BASELINE}"]["median"] == 0.5
    assert by_size[10_000][BASELINE]["late"] == 7
    assert by_size[1_000][BASELINE] == {"remarks": ["planted reason"]}
    verdicts = {(goal["metric"], goal["against"]): goal["met"] for goal in made["goals"]}
    assert verdicts == {
        ("ratio", goals.BEST): True,
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
    assert [
        "close active",
        "10,000",
        f"the best peer ({BASELINE})",
        "0.50",
        "0.44–0.56",
        "< 1",
        "met",
    ] in lines
    assert ["close active, µs", "10,000", "4.00", "8.00"] in lines


def test_the_account_says_why_a_figure_is_missing_and_shows_spreads_and_false_reports():
    text = report.full(document(ABOUT, SAMPLES))
    assert f"{BASELINE}: planted reason" in text
    assert "`task.cancel()` for all" in text
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {BASELINE} ") and " 7 |" in line]
    assert cells(line)[1:5] == ["8.00", "8.00–8.00", "16.00", "16.00–16.00"]


def test_a_goal_about_growth_names_its_sizes_and_shows_plain_asyncio_beside():
    found = [
        *(
            sample("close active", size, label, 4e-6)
            for size in (1_000, 100_000)
            for label in (COMPILED, BARE)
        ),
        *(sample("many waiters", size, COMPILED, 4e-6) for size in (1_000, 10_000, 100_000)),
        *(sample("many waiters", size, BARE, size * 1e-9) for size in (1_000, 10_000)),
    ]
    text = report.overview(document(ABOUT, found))
    lines = [cells(line) for line in text.splitlines() if line.startswith("|")]
    assert ["close active", "1,000 to 100,000", "1.000", "1.05", "met", "1.000"] in lines
    assert ["many waiters", "1,000 to 100,000", "1.000", "1.05", "met", "2.000 †"] in lines


def test_sizes_that_a_curve_lacks_are_listed_with_the_reason():
    late = Sample(0, "close active", 100_000, BASELINE, {"cannot": "would take too long"})
    found = [
        *(sample("close active", size, COMPILED, 4e-6) for size in (1_000, 10_000, 100_000)),
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


def test_a_quick_run_says_that_it_is_rough():
    assert "small and rough" in report.page(document({**ABOUT, "tier": "quick"}, SAMPLES))
    assert "small and rough" not in report.page(document(ABOUT, SAMPLES))


def test_what_went_wrong_is_said_at_the_end():
    broken = Sample(1, "close active", 10_000, BARE, {"wrong": "3 jobs started"})
    assert report.overview(document(ABOUT, [*SAMPLES, broken])).endswith(
        f"WRONG: {BARE}, close active: 3 jobs started"
    )
    assert "WRONG" not in report.overview(document(ABOUT, SAMPLES))


def test_a_missed_goal_is_named_beneath_the_table_with_what_was_measured():
    found = [
        sample("spawn and drain", 20_000, COMPILED, 5e-6),
        sample("spawn and drain", 20_000, BARE, 4e-6),
        sample("spawn and drain", 20_000, "TaskGroup", 6e-6),
        Sample(0, "memory, pending", 10_000, COMPILED, {"bytes": 401.0}),
    ]
    lines = report.overview(document(ABOUT, found)).splitlines()
    assert "1 of 4 goals of the compiled build are met." in lines
    assert lines[lines.index("Missed:") + 1 :][:3] == [
        "",
        "- spawn and drain 1.25 × create_task, not 1.15",
        "- memory, pending, bytes 401, not 390",
    ]


def test_where_a_peer_is_cheaper_than_a_build_the_page_says_so():
    found = [
        *(sample("spawn and wait", 20_000, label, cost) for label, cost in _costs(4e-6, 6e-6, 3e-6, 5e-6)),
        *(sample("slot latency", 20_000, label, cost) for label, cost in _costs(4e-6, 5e-6, 3e-6, 5e-6)),
    ]
    text = report.page(document(ABOUT, found))
    part = text.partition("### Where another is cheaper")[2].partition("###")[0]
    _, _, *rows = [cells(line) for line in part.splitlines() if line.startswith("|")]
    assert rows == [["spawn and wait, µs", "20,000", "4.00", "6.00", "5.00", "TaskGroup"]]
    assert "Nowhere." in report.page(document(ABOUT, found[4:]))


def _costs(*costs):
    return zip((COMPILED, PURE, BARE, "TaskGroup"), costs, strict=True)


def test_a_peer_that_is_not_beaten_is_named():
    costs = {COMPILED: 5e-6, "TaskGroup": 4e-6}
    found = [sample("spawn and drain", 20_000, label, cost) for label, cost in costs.items()]
    assert (
        "- spawn and drain 1.25 × TaskGroup, not below 1" in report.page(document(ABOUT, found)).splitlines()
    )


def test_a_run_of_the_pure_build_alone_says_so_and_meets_no_goal():
    made = document({**ABOUT, "python": "CPython 3.14.1"}, [sample("spawn and wait", 20_000, PURE, 4e-6)])
    for text in (report.overview(made), report.page(made), report.beside(made)):
        assert "Only the pure build was measured: there was no compiled one." in text
        assert "The goals are about the compiled build, which was not measured." in text
    assert "The compiled build was not measured." in front.table(made)


def test_the_first_paragraph_says_what_a_job_costs_and_when_that_matters():
    found = [
        sample("spawn and drain", 20_000, label, cost) for label, cost in _costs(4e-6, 6e-6, 3.5e-6, 5e-6)
    ]
    assert " ".join(front.opening(document(ABOUT, found)).split()) == (
        "**A job costs 4.0 µs with the compiled build and 6.0 µs with the pure build, where a bare task of asyncio's "
        "costs 3.5**: CPU time of spawning, running and draining, in the run below. It matters when jobs do little. A "
        "thousand jobs a second take 0.4 % of a core. A job that computes for a millisecond gets 0.4 % dearer, one of "
        "ten microseconds 40 %."
    )
    assert front.opening(document(ABOUT, found[1:2])).startswith(
        "**A job costs 6.0 µs with the pure build**: "
    )
    assert front.opening(document(ABOUT, SAMPLES)) == "This run did not measure what a job costs."


def test_the_front_page_shows_both_builds_beside_everybody_and_marks_the_cheapest():
    found = [
        *(sample("spawn and wait", 20_000, label, cost) for label, cost in _costs(5e-6, 6e-6, 3e-6, 4e-6)),
        sample("import beside asyncio", 5, PURE, 2.5e-3),
        *SAMPLES,
    ]
    text = front.table(document(ABOUT, found))
    head, _, *rows = [cells(line) for line in text.splitlines() if line.startswith("|")]
    assert head == ["", "this, compiled", "this, pure", BASELINE, "bare `create_task`", "TaskGroup"]
    assert rows == [
        ["spawn such a job, and wait for it", "5.00 µs", "6.00 µs", "", "3.00 µs", "**4.00 µs**"],
        ["close 10,000 active jobs", "**4.00 µs**", "", "8.00 µs", "", ""],
        ["import, once asyncio is there", "", "**2.5 ms**", "", "", ""],
    ]
    assert f"Of 10,000 active jobs that were closed, {BASELINE} reported 7 falsely as not stopped." in text


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


# --- Colours ------------------------------------------------------------------------------------------------


def contrast(one, other):
    """Of two colours, as WCAG 2 defines it."""
    darker, lighter = sorted(_luminance(colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("paper", [PAPER, DARK[PAPER]])
def test_every_line_of_a_picture_can_be_seen_in_the_light_and_in_the_dark(paper):
    assert list(LINES) == list(LABELS)
    assert {
        colour: contrast(colour, paper) for colour in {*LINES.values(), OTHERS} if contrast(colour, paper) < 3
    } == {}


def test_the_ink_of_a_picture_can_be_read_and_its_grid_can_be_told_from_both():
    for paper, ink, grid in (PAPER, INK, GRID), (DARK[PAPER], DARK[INK], DARK[GRID]):
        assert contrast(ink, paper) > 7
        assert 1.1 < contrast(grid, paper) < 2


def test_two_that_are_drawn_together_have_different_colours():
    together = [colour for label, colour in LINES.items() if label != OWN]
    assert len(set(together)) == len(together)


def test_a_picture_follows_the_scheme_of_whoever_looks_at_it():
    drawn = f'<svg>\n <defs>\n </defs><path style="fill: {PAPER}; stroke: {INK}"/></svg>'
    found = following_the_scheme(drawn)
    assert f'style="fill: var(--paper, {PAPER}); stroke: var(--ink, {INK})"' in found
    assert f"@media (prefers-color-scheme:dark){{svg{{--paper:{DARK[PAPER]};--ink:{DARK[INK]};" in found


def test_the_pictures_of_the_page_follow_the_scheme():
    for picture in publish.PAGE.with_name("performance").glob("*.svg"):
        assert "prefers-color-scheme" in picture.read_text(encoding="utf-8")


# --- The documentation and the lock -------------------------------------------------------------------------


def test_the_tables_of_a_run_go_between_the_marks_of_the_page_and_nowhere_else():
    page = (
        "before\n<!-- cost -->\nstale\n<!-- /cost -->\n<!-- measured -->\nstale\n<!-- /measured -->\nafter\n"
    )
    found = publish.with_tables(page, document(ABOUT, SAMPLES))
    assert found.startswith("before\n<!-- cost -->\n")
    assert found.endswith("<!-- /measured -->\nafter\n")
    assert "commit abc" in found
    assert "stale" not in found
    assert publish.with_tables(found, document(ABOUT, SAMPLES)) == found
    with pytest.raises(ValueError, match="one place"):
        publish.with_tables("nothing", document(ABOUT, SAMPLES))


def test_another_python_has_marks_of_its_own():
    made = document({**ABOUT, "python": "CPython 3.14.1 GCC"}, SAMPLES)
    page = "<!-- measured -->\nkept\n<!-- measured on 3.14 -->\nstale\n<!-- /measured on 3.14 -->\n"
    found = publish.with_tables(page, made)
    assert found.startswith("<!-- measured -->\nkept\n<!-- measured on 3.14 -->\n\n- CPython 3.14.1 GCC")
    assert "stale" not in found


def test_what_a_job_costs_goes_between_the_marks_of_the_front_page():
    found = publish.with_costs(
        "before\n<!-- costs -->\nstale\n<!-- /costs -->\nafter\n", document(ABOUT, SAMPLES)
    )
    assert found.startswith("before\n<!-- costs -->\n\n|  | this, compiled | aiojobs 1.4.0 |\n")
    assert found.endswith("\n\n<!-- /costs -->\nafter\n")


def test_the_pages_have_their_marks_and_pictures():
    text = publish.PAGE.read_text(encoding="utf-8")
    marks = ("cost", "measured", "measured on 3.14", "guarantees")
    assert [len(re.findall(f"<!-- {mark} -->\n", text)) for mark in marks] == [1, 1, 1, 1]
    assert publish.FRONT.read_text(encoding="utf-8").count("<!-- costs -->\n") == 1
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


def test_the_instructions_of_the_import_are_those_that_asyncio_alone_does_not_take(
    tmp_path, monkeypatch, capsys
):
    program = tmp_path / "valgrind"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *asyncio,\\ aiojobs) n=7000000 ;; *) n=5000000 ;; esac\necho "Collected : $n" >&2\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    asked = ["instructions", "--only", "import-beside-asyncio", "--tree", f"now={ROOT / 'src'}"]
    assert main(asked) == 0
    assert capsys.readouterr().out == "import beside asyncio, now: 2,000,000 instructions\n"
    assert main([*asked, "--with", "create_task"]) == 2
    assert "source trees alone" in capsys.readouterr().err


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
