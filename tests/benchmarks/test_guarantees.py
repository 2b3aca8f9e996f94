"""What a guarantee costs is measured on trees that really go without it, and in which jobs still run.

No time is asserted here, and no figure of this machine.
"""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks.__main__ as commands
from aiojobs_verification.fault_injection.changes import Change
from aiojobs_verification.specification.requirements import read_requirements
from benchmarks import costs, guarantees, instructions, machine, publish, rounds
from benchmarks.contenders import BARE, BASELINE, OWN
from benchmarks.guarantees import TOGETHER, Guarantee, StaleError
from benchmarks.rounds import Cell, Sample, Settings

ROOT = Path(__file__).parents[2]
DRAIN = "spawn and drain"

IDLE = Guarantee(
    "jobs run",
    "testing",
    "Nothing runs.",
    (
        Change(
            "async Scheduler.spawn(self, coro, name, *, context, timeout, drain)",
            "job = self.__core.enter(coro, name, context, True, terms)",
            "job = coro.close()\nreturn job",
        ),
    ),
)

TRY_EACH = """
import json, sys
from benchmarks.contenders import OWN, make
from benchmarks.worker import check
from benchmarks.workloads import WORKLOADS

def tried(tree, name):
    row = WORKLOADS[name]._replace(limit=5)
    try:
        contender = make(OWN)
        assert contender.where().startswith(tree)
        return check(contender.find(row.method), row)
    except Exception as error:
        return repr(error)

trees, names = map(json.loads, sys.argv[1:])
found = {}
for label, tree in trees.items():
    for name in [name for name in sys.modules if name.partition(".")[0] == "aiojobs"]:
        del sys.modules[name]
    sys.path.insert(0, tree)
    found[label] = {name: tried(tree, name) for name in names}
    sys.path.remove(tree)
print(json.dumps(found))
"""


# --- The catalogue and the trees ----------------------------------------------------------------------------


def test_the_library_can_go_without_each_row_and_well_behaved_jobs_dont_notice(tmp_path):
    catalogue = guarantees.read()
    trees = guarantees.build(catalogue.rows, ROOT / "src", tmp_path)
    assert list(trees) == [OWN, *(row.name for row in catalogue.rows), TOGETHER]
    trees["broken"] = guarantees.build([IDLE], ROOT / "src", tmp_path / "broken")[IDLE.name]
    told = [json.dumps({label: str(tree) for label, tree in trees.items()}), json.dumps(catalogue.workloads)]
    command = [sys.executable, "-c", TRY_EACH, *told]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    assert found.pop("broken")[DRAIN] == "0 jobs started and 0 ended, expected 60"
    assert found == dict.fromkeys(list(trees)[:-1], dict.fromkeys(catalogue.workloads, ""))


def test_what_a_row_is_for_exists():
    known = read_requirements(ROOT / "spec/requirements.toml").by_id
    asked = {id_ for row in guarantees.read().rows for id_ in re.findall(r"[A-Z]+-\d+", row.sake)}
    assert asked
    assert asked <= set(known)


TEXT = "def go():\n    one()\n    two()\n    two()\n    return 9\n"


@pytest.fixture
def library(tmp_path):
    """A library of one function."""
    package = tmp_path / "src/aiojobs"
    package.mkdir(parents=True)
    (package / "_queue.py").write_text(TEXT, encoding="utf-8")
    return tmp_path / "src"


def row(name, *changes, part_of=""):
    made = tuple(Change("go()", *change) for change in changes)
    return Guarantee(name, "a reason", "It does not.", made, part_of)


def texts(trees):
    """What is done in the function of each tree."""
    found = {}
    for label, tree in trees.items():
        lines = (tree / "aiojobs/_queue.py").read_text(encoding="utf-8").splitlines()
        found[label] = " ".join(line.strip() for line in lines[1:] if line)
    return found


def test_a_tree_lacks_its_row_and_the_last_all_that_are_no_part_of_another(library, tmp_path):
    rows = [
        row("a", ("one()", "")),
        row("b", ("two()", "int()", 2)),
        row("part", ("two()\ntwo()", "two()\nstr()"), part_of="b"),
    ]
    assert texts(guarantees.build(rows, library, tmp_path)) == {
        OWN: "one() two() two() return 9",
        "a": "two() two() return 9",
        "b": "one() int() int() return 9",
        "part": "one() two() str() return 9",
        TOGETHER: "int() int() return 9",
    }


def test_rows_that_agree_may_touch_the_same_piece(library, tmp_path):
    both = [row("a", ("one()", "")), row("b", ("one()", ""))]
    assert texts(guarantees.build(both, library, tmp_path))[TOGETHER] == "two() two() return 9"


def test_a_row_may_take_away_all_that_another_changes(library, tmp_path):
    within = [row("a", ("one()", "int()")), row("b", ("one()\ntwo()", ""))]
    assert texts(guarantees.build(within, library, tmp_path))[TOGETHER] == "two() return 9"


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([row("a", ("three()", ""))], "'a': stale: {} 'three()' occurs 0 times, expected was 1"),
        ([row("b", ("two()", ""))], "'b': stale: {} 'two()' occurs 2 times, expected was 1"),
        ([row("c", ("one()", "one("))], "'c': stale: 'one(' is not Python"),
        (
            [row("d", ("one()\ntwo()", "")), row("e", ("two()\ntwo()", ""))],
            "'all of them together': stale: in go() 'two() two()' is replaced by another change too",
        ),
    ],
)
def test_a_stale_row_is_named_with_its_place_and_nothing_is_made(rows, fault, library, tmp_path):
    fine = row("fine", ("return 9", "return 8"))
    with pytest.raises(StaleError) as caught:
        guarantees.build([fine, *rows], library, tmp_path / "out")
    (line,) = str(caught.value).splitlines()
    assert fault.format("_queue.py:1: in go()") in line
    assert not (tmp_path / "out").exists()


def test_all_that_is_stale_is_told_at_once(library, tmp_path):
    lost = row("lost", ("lost()", ""))
    gone = Guarantee("gone", "a reason", "It does not.", (Change("_gone.py", "one()", ""),))
    with pytest.raises(StaleError) as caught:
        guarantees.build([lost, gone], library, tmp_path)
    assert [line.split("'")[1] for line in str(caught.value).splitlines()] == ["lost", "gone"]


ENTRY = '[[guarantee]]\nname = "a"\nfor = "b"\nwhat = "c"\nchange = []\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f'workloads = ["spawn and drain"]\n{ENTRY}part = "d"\n', "unexpected keyword argument 'part'"),
        ('workloads = ["spawn and drain"]\n[[guarantee]]\nname = "a"\nchange = []\n', "'for'"),
        (ENTRY, "'workloads'"),
        (f'workloads = ["spawn"]\n{ENTRY}', "no such workload or row, or one too many: spawn"),
        (f'workloads = []\n{ENTRY}part_of = "d"\n', "one too many: d"),
        (f"workloads = []\n{ENTRY}{ENTRY}", "one too many: a"),
    ],
)
def test_a_catalogue_that_makes_no_sense_is_refused(text, fault, tmp_path):
    path = tmp_path / "guarantees.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(fault)):
        guarantees.read(path)


# --- Figures ------------------------------------------------------------------------------------------------

ABOUT = {
    "cpu": "a cpu", "cores": "2", "system": "Linux", "python": "CPython 3.11", "commit": "abc",
    "loop": "asyncio", "began": "now", "ended": "later", "load at start": "1", "load at end": "2",
}  # fmt: skip
ROWS = [row("checks"), row("probe", part_of="checks")]
MICROSECONDS = {
    OWN: (5, 6, 7), "checks": (4, 4, 4), "probe": (5, 5.5, 6), TOGETHER: (3, 3, 3), BARE: (2, 2, 2)
}  # fmt: skip


def samples(workload=DRAIN, **more):
    return [
        Sample(number, workload, 20_000, label, {"cpu": cost * 1e-6, "version": "9", "wrong": "", **more})
        for label, all_rounds in MICROSECONDS.items()
        for number, cost in enumerate(all_rounds)
    ]


def lines(text):
    rows = [line.strip("|").split("|") for line in text.splitlines() if "|" in line]
    return [[cell.strip() for cell in cells] for cells in rows]


def test_the_tables_have_what_each_row_saves_round_by_round_and_what_is_left_without_all():
    counts = {DRAIN: {OWN: 40_000, "checks": 35_000, TOGETHER: 30_000, BARE: 20_000}}
    text = costs.text(json.loads(json.dumps(costs.document(ABOUT, ROWS, samples(), counts, ["A remark."]))))
    found = lines(text)
    assert ["checks", "2.00", "1.50–2.50", "5,000", "a reason"] in found
    assert ["– probe", "0.50", "0.25–0.75", "-", "a reason"] in found
    assert [f"**{TOGETHER}**", "3.00", "2.50–3.50", "10,000", ""] in found
    assert [BARE, "2.00", "2.00–2.00", "1.00", "1.00–1.00", "-", "-", "20,000"] in found
    assert [BASELINE, *["-"] * 7] in found
    assert ["this package", "6.00", "5.50–6.50", "3.00", "2.75–3.25", "-", "-", "40,000"] in found
    assert ["without all of them", "3.00", "3.00–3.00", "1.50", "1.50–1.50", "-", "-", "30,000"] in found
    assert "commit abc" in text
    assert "20,000 jobs, rounds: 3" in text
    assert "- *probe*: It does not." in text
    assert text.endswith("\n\nA remark.")


def test_a_run_without_time_shows_what_was_counted_and_one_that_went_wrong_says_so():
    text = costs.text(costs.document(ABOUT, ROWS, [], {DRAIN: {OWN: 40_000, "checks": 35_000}}, []))
    assert ["checks", "-", "-", "5,000", "a reason"] in lines(text)
    text = costs.text(costs.document(ABOUT, ROWS, samples(wrong="3 jobs started"), {}, []))
    assert f"WRONG: checks, {DRAIN}: 3 jobs started" in text


def test_the_tables_go_between_their_own_marks():
    before = "<!-- measured -->\nkept\n<!-- /measured -->\n<!-- guarantees -->\n"
    page = f"{before}stale\n<!-- /guarantees -->\nend\n"
    made = costs.document(ABOUT, ROWS, samples(), {}, [])
    found = publish.with_tables(page, made)
    assert found.startswith(f"{before}\n- CPython")
    assert found.endswith("<!-- /guarantees -->\nend\n")
    assert "stale" not in found
    assert publish.with_tables(publish.PAGE.read_text(encoding="utf-8"), made)
    with pytest.raises(ValueError, match="begins with <!-- guarantees -->"):
        publish.with_tables("<!-- measured -->\n<!-- /measured -->\n", made)


def test_each_tree_is_measured_beside_the_library_and_takes_turns_in_going_first(monkeypatch):
    asked, told = [], []

    def work(_cell, contestant, _settings):
        asked.append(contestant.label)
        return {"cpu": 1.0, "seconds": 1.0}

    monkeypatch.setattr(rounds, "_work", work)
    trees = dict.fromkeys([OWN, "a", "b", TOGETHER], Path("tree"))
    found = costs.measure(
        [Cell(DRAIN, 5, 2, 2)],
        costs.contestants(trees, baseline=True),
        Settings("py"),
        lambda *how_far: told.append(how_far[:2]),
    )
    assert asked == [
        OWN, "a", OWN, "b", OWN, TOGETHER, BARE, BASELINE,
        "a", OWN, "b", OWN, BASELINE, BARE, TOGETHER, OWN,
    ]  # fmt: skip
    assert [sample.contender for sample in found] == asked
    assert [sample.round for sample in found] == [0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]
    assert told == [(number + 1, 16) for number in range(16)]


# --- The command --------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """The command without processes; what it asks for is kept."""
    asked = {}

    def measure(cells, contestants, _settings, _tell):
        asked["cells"] = cells
        asked["trees"] = {one.label: sorted(path.name for path in Path(one.path, "aiojobs").glob("*"))
                          for one in contestants if one.path}  # fmt: skip
        return samples()

    def for_each_job(one, workload, python):
        asked.setdefault("counted", []).append((one.label, workload, python))
        return 1_000

    monkeypatch.setattr(costs, "measure", measure)
    monkeypatch.setattr(instructions, "for_each_job", for_each_job)
    monkeypatch.setattr(instructions, "missing", lambda: None)
    monkeypatch.setattr(machine, "about", lambda _python: dict(ABOUT))
    monkeypatch.setattr(machine, "installed", lambda _python, _package: "1.4.0")
    return asked


def test_the_command_measures_the_runtime_and_each_tree_and_keeps_what_it_found(asked, tmp_path, capsys):
    file = tmp_path / "new/guarantees.json"
    assert commands.main(["guarantees", "--json", str(file), "--rounds", "3", "--python", "py"]) == 0
    names = [OWN, *(one.name for one in guarantees.read().rows), TOGETHER]
    assert list(asked["trees"]) == names
    runtime = sorted(path.name for path in (ROOT / "src/aiojobs").iterdir() if path.is_file())
    assert set(map(tuple, asked["trees"].values())) == {tuple(runtime)}
    assert asked["cells"] == [(DRAIN, 20_000, 3, 3)]
    assert asked["counted"] == [(name, DRAIN, "py") for name in [*names, BARE, BASELINE]]
    shown = capsys.readouterr().out
    assert costs.text(json.loads(file.read_text(encoding="utf-8"))) == shown.removesuffix("\n")
    assert commands.main(["report", str(file)]) == 0
    assert capsys.readouterr().out == shown


def test_what_is_not_measured_is_said(asked, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(machine, "installed", lambda _python, _package: "unknown")
    monkeypatch.setattr(instructions, "missing", lambda: "valgrind is needed")
    command = ["guarantees", "--json", str(tmp_path / "a.json"), "--no-time", "--only", "spawn-and-wait"]
    assert commands.main(command) == 0
    assert asked == {}
    shown = capsys.readouterr().out
    assert f"{BASELINE} is not installed" in shown
    assert "Instructions were not counted: valgrind is needed." in shown


def test_what_does_not_fit_the_trees_or_the_library_stops_the_command(asked, monkeypatch, capsys):
    assert commands.main(["guarantees", "--only", "close-pending"]) == 2
    assert "not made for: close pending" in capsys.readouterr().err
    read = guarantees.read()
    gone = dataclasses.replace(read.rows[0].changes[0], replace="what_was_there_before()")
    stale = read._replace(rows=(read.rows[0]._replace(changes=(gone,)),))
    monkeypatch.setattr(guarantees, "read", lambda: stale)
    assert commands.main(["guarantees"]) == 1
    assert f"'{read.rows[0].name}': stale: " in capsys.readouterr().err
    assert asked == {}
