"""An error that comes out of the library is a crash, wherever it comes out and whoever has it run."""

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from aiojobs_verification.cli import fuzz
from aiojobs_verification.simulation.oracle.reference import CRASH, Violation
from aiojobs_verification.simulation.search.counterexample import paste, shrink, tell
from aiojobs_verification.simulation.search.explorer import explore
from aiojobs_verification.simulation.search.live import live, loops
from aiojobs_verification.simulation.search.machines import LimitMachine
from aiojobs_verification.simulation.search.walk import Walked
from aiojobs_verification.simulation.world.packages import own
from aiojobs_verification.simulation.world.world import World, watching
from planted.faults import FAULTS, fresh, planted
from support.inside import core

CRASHES = {name: fault for name, fault in FAULTS.items() if CRASH in fault.breaks}
AT_THE_END = CRASHES["end_of_a_job_crashes"]
BRIEFLY = settings(
    max_examples=20,
    stateful_step_count=20,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.quiet,
    report_multiple_bugs=False,
)


@pytest.mark.parametrize("fault", CRASHES.values(), ids=CRASHES)
def test_a_crash_counts_for_no_requirement_and_shows_where_it_happened(fault):
    found = explore(fault.scope, planted(fault), wanted=99)
    assert found.findings.keys() == {CRASH}
    with watching():
        story = tell(found.findings[CRASH], planted(fault))
    assert "=> CRASH: " in story
    assert "Traceback (most recent call last)" in story
    assert "is broken" not in story


def test_a_crash_while_the_accounts_are_settled_is_one_too():
    with watching(), World(AT_THE_END.scope, fresh()) as world:
        del core(world.scheduler).queue
        with pytest.raises(Violation, match="object has no attribute 'queue'") as crash:
            world.settle()
    assert crash.value.requirement == CRASH


def test_hypothesis_machines_find_a_crash_as_a_crash():
    machine = type("Crashing", (LimitMachine,), {"package": planted(AT_THE_END), "walked": Walked()})
    with watching(), pytest.raises((Violation, ExceptionGroup)):
        run_state_machine_as_test(seeded(1)(machine), settings=BRIEFLY)
    assert machine.walked.findings.keys() == {CRASH}


def test_walks_in_real_time_find_a_crash_as_a_crash():
    total = Walked()
    with watching():
        for seed in range(3):
            total.add(live(planted(AT_THE_END), seed, loops()["stock"]))
    assert total.findings.keys() == {CRASH}


def test_walks_find_a_crash_and_shrink_it():
    fault = CRASHES["end_of_a_shield_crashes"]
    package = planted(fault)
    finding = fuzz.search(package, range(1000), until=[CRASH]).findings[CRASH]
    with watching():
        small = shrink(finding, package)
    assert fault.is_told_by(small)
    assert f'"{CRASH}"' not in paste(small)


def test_what_is_meant_and_what_is_somebody_elses_is_no_crash():
    def raised_by(function):
        try:
            function()
        except Exception as error:
            return error

    package = own()
    scheduler = package.module.Scheduler()
    meant = raised_by(lambda: package.module.Scheduler(limit=0))
    assert not package.crashed(meant)
    assert not package.crashed(raised_by(lambda: {}["nothing"]))
    assert not package.crashed(asyncio.CancelledError())
    del core(scheduler).admission
    assert package.crashed(raised_by(lambda: len(scheduler)))
