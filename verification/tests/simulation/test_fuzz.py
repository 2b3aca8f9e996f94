"""The fuzzer: repeatable, finds what is planted, shrinks it to something short, and keeps it."""

import json
import random
import sys

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from aiojobs_verification.cli import fuzz
from aiojobs_verification.cli.commands import main
from aiojobs_verification.simulation.oracle.reference import Violation
from aiojobs_verification.simulation.search.counterexample import (
    WIND_UP,
    Finding,
    renumbered,
    replay,
    shrink,
    tell,
)
from aiojobs_verification.simulation.search.live import live, loops
from aiojobs_verification.simulation.search.machines import (
    MACHINES,
    ExceptionMachine,
    LimitMachine,
    WorldMachine,
)
from aiojobs_verification.simulation.search.walk import Walked, random_scope, walk
from aiojobs_verification.simulation.world.packages import own
from aiojobs_verification.simulation.world.world import Scope, watching
from planted.faults import FAULTS, fresh, planted

TEETH = settings(
    max_examples=300,
    stateful_step_count=30,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.quiet,
    report_multiple_bugs=False,
)


def told_at_random(fault, package, scopes):
    """The first finding of a walk that tells of this fault."""
    for seed, scope in enumerate(scopes):
        for finding in walk(package, seed, scope).findings.values():
            if fault.is_told_by(finding):
                return finding
    raise AssertionError(f"{fault.name} was not found")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found_at_random_and_shrunk(fault):
    package = planted(fault)
    with watching():
        # Any world will do for most; what needs a rare one is given more of those.
        finding = shrink(told_at_random(fault, package, [None] * 600 + [fault.scope] * 600), package)
        assert finding.requirement in fault.breaks
        assert len(finding.events) <= 20
        assert replay(finding.scope, own(), finding.events) is None
        assert finding.verdict in tell(finding, package)


def test_walks_without_a_fault_are_clean_and_see_much():
    walked = fuzz.search(own(), range(100))
    assert not walked.findings
    assert walked.worlds == 100
    assert len(walked.pairs) > 60
    assert len(walked.spoken) > 25


def test_a_seed_is_a_walk():
    def facts(package):
        walked = fuzz.search(package, range(20))
        return walked.steps, walked.pairs, walked.spoken

    assert facts(own()) == facts(fresh())
    assert random_scope(random.Random(3)) == random_scope(random.Random(3))


def test_searching_stops_when_it_has_what_it_wants():
    package = planted(FAULTS["two_cancellations"])
    walked = fuzz.search(package, range(5000), until=["CLOSE-1"])
    assert "CLOSE-1" in walked.findings
    assert walked.worlds < 5000


@pytest.mark.slow
def test_hypothesis_finds_a_planted_fault_and_shrinks_it():
    package = planted(FAULTS["last_in_first_out"])
    machine = type("Lifo", (LimitMachine,), {"package": package, "walked": Walked()})
    with watching(), pytest.raises((Violation, ExceptionGroup)):
        run_state_machine_as_test(seeded(1)(machine), settings=TEETH)
    finding = machine.walked.findings["LIMIT-5"]
    with watching():
        assert len(shrink(finding, package).events) <= 12


def test_the_machines_are_of_every_emphasis():
    assert ExceptionMachine in MACHINES
    assert all(issubclass(machine, WorldMachine) for machine in MACHINES)
    assert len({machine.scope for machine in MACHINES}) == len(MACHINES)


@pytest.mark.parametrize("name", loops())
def test_walks_in_real_time_are_clean(name):
    total = Walked()
    with watching():
        for seed in range(3):
            total.add(live(own(), seed, loops()[name]))
    assert not total.findings
    assert total.worlds == 3


def test_a_fault_is_found_in_real_time():
    package = planted(FAULTS["slot_released_twice"])
    with watching():
        for seed in range(60):
            walked = live(package, seed, loops()["stock"])
            if walked.findings:
                break
    assert walked.findings


def test_leaving_out_an_event_leaves_out_what_is_about_it():
    events = [
        ("spawn", "obedient"),
        ("spawn", "obedient"),
        ("turn",),
        ("wait", 1),
        ("cancel", 2),
        ("raise", 0),
    ]
    assert renumbered(events, 0, 1) == [("spawn", "obedient"), ("turn",), ("wait", 0), ("cancel", 1)]
    assert renumbered(events, 1, 2) == [("spawn", "obedient"), ("turn",), ("raise", 0)]
    assert renumbered(events, 2, 3) == [event for event in events if event != ("turn",)]
    others = [
        ("nowait", "obedient", "timed"),
        ("thread", "obedient"),
        ("set-limit", "2"),
        ("idle",),
        ("cancel", 1),
    ]
    assert renumbered(others, 1, 2) == [others[0], *others[2:4], ("cancel", 0)]


def test_shrinking_keeps_the_requirement():
    package = planted(FAULTS["failure_lost_with_its_waiter"])
    noise = [("spawn", "obedient"), ("turn",), ("turn",), ("close", 0), ("turn",), ("turn",), ("turn",)]
    story = [("spawn", "obedient"), ("turn",), ("turn",), ("wait", 1), ("turn",), ("raise", 1), ("cancel", 3)]
    scope = Scope(limit=2, jobs=2, callers=4, cancels=2)
    with watching():
        found = replay(scope, package, [*noise, *story])
        assert found is not None
        small = shrink(found, package)
    assert small.requirement == found.requirement == "EXC-1"
    assert len(small.events) < len(found.events)
    assert ("close", 0) not in small.events


# What is kept, and the command.


def test_a_finding_is_kept_told_and_replayed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "_folder", lambda: tmp_path)
    fault = FAULTS["lost_wakeup"]
    package = planted(fault)
    finding = fuzz.search(package, range(3000), until=["LIMIT-4"]).findings["LIMIT-4"]
    with watching():
        small = fuzz._keep(finding, package, sys.stdout)
    assert small.requirement == "LIMIT-4"
    (path,) = tmp_path.glob("*.json")
    assert json.loads(path.read_text())["requirement"] == "LIMIT-4"
    assert "LIMIT-4 is broken" in path.with_suffix(".txt").read_text()
    assert "def test_found_by_search" in path.with_suffix(".py").read_text()
    assert main(["fuzz", "--replay", str(path)]) == 0
    assert "not broken any more" in capsys.readouterr().out


def test_a_finding_that_is_still_there_is_told_again(tmp_path, monkeypatch, capsys):
    fault = FAULTS["two_cancellations"]
    package = planted(fault)
    monkeypatch.setattr(fuzz.packages, "own", lambda: package)
    events = [
        ["nowait", "stubborn"],
        ["turn"],
        ["close", 0],
        ["turn"],
        ["turn"],
        ["shut"],
        ["turn"],
        ["turn"],
    ]
    document = {"requirement": "CLOSE-1", "text": "", "scope": {"limit": 1}, "events": events}
    path = tmp_path / "finding.json"
    path.write_text(json.dumps(document))
    assert main(["fuzz", "--replay", str(path)]) == 1
    assert "CLOSE-1 is broken" in capsys.readouterr().out


def test_every_story_is_kept_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "_folder", lambda: tmp_path)
    package = planted(FAULTS["failure_told_twice"])
    monkeypatch.setattr(fuzz.packages, "own", lambda: package)
    scope = Scope(jobs=2, callers=2, tempers=("obedient", "failing"), calls=("wait", "await"))

    def found(*events):
        return Walked(1, 3, findings={"EXC-1": Finding(scope, (*events, WIND_UP), "EXC-1", "")})

    waited = found(("nowait", "failing"), ("wait", 0))
    longer = found(("nowait", "failing"), ("wait", 0), ("nowait", "obedient"))
    awaited = found(("nowait", "failing"), ("await", 0))
    monkeypatch.setattr(fuzz, "_walk_on", lambda *_: iter([waited, longer, awaited, waited]))
    assert main(["fuzz", "--seed", "1"]) == 1
    assert len(list(tmp_path.glob("EXC-1-*.json"))) == 2
    assert capsys.readouterr().out.count("EXC-1 is broken") == 2


@pytest.mark.slow
def test_the_command_stops_when_told(capsys):
    assert main(["fuzz", "--seconds", "0", "--seed", "1", "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "seeds from 1" in out
    assert "250 worlds" in out


def test_the_account_names_what_spoke(tmp_path, monkeypatch):
    monkeypatch.setitem(fuzz._TIERS, "smoke", fuzz._Tier(walks=60, examples=2, steps=5, live=1))
    monkeypatch.setattr(fuzz, "_never_done", lambda _: [])  # they are too few for that
    target = tmp_path / "account.json"
    assert main(["fuzz", "--tier", "smoke", "--workers", "1", "--json", str(target)]) == 0
    account = json.loads(target.read_text())
    assert account["figures"]["worlds: walks"] == 60
    assert "walks" in account["covers"]["LIMIT-1"]
    assert account["seeds"] == {"fuzz": fuzz.SEED}
    assert account["left_out"] == {"walks": fuzz._TIERS["full"].walks - account["figures"]["worlds: walks"]}


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """The command finds two stories in walks over a library that tells a failure twice."""
    monkeypatch.setattr(fuzz, "_folder", lambda: tmp_path)
    fault = FAULTS["failure_told_twice"]
    package = planted(fault)
    monkeypatch.setattr(fuzz.packages, "own", lambda: package)
    events = (("nowait", "failing"), ("wait", 0), WIND_UP)
    scope = Scope(jobs=1, callers=1)
    findings = {
        "EXC-2": Finding(scope, (*events, WIND_UP, WIND_UP), "EXC-2", ""),
        "EXC-1": Finding(scope, events, "EXC-1", ""),
    }
    monkeypatch.setattr(fuzz, "walk_portions", lambda *_, **__: Walked(1, 3, findings=dict(findings)))
    monkeypatch.setitem(fuzz._TIERS, "smoke", fuzz._Tier(walks=1, examples=1, steps=2, live=0))


def test_a_finding_fails_the_command(broken, monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "_run_machines", lambda *_: {"Machines": Walked()})
    assert main(["fuzz", "--tier", "smoke"]) == 1
    out = capsys.readouterr().out
    assert "EXC-1 is broken" in out
    assert out.count("kept as") == 2
    assert "Machines" in out


def test_a_command_that_is_to_stop_at_a_finding_tells_the_shortest_and_looks_no_further(
    broken, monkeypatch, capsys
):
    monkeypatch.setattr(fuzz, "_run_machines", lambda *_: pytest.fail("it goes on"))
    assert main(["fuzz", "--tier", "smoke", "--failfast"]) == 1
    out = capsys.readouterr().out
    assert "EXC-1 is broken" in out
    assert out.count("kept as") == 1
