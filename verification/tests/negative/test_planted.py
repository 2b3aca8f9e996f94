"""A planted fault is what it says that it is, or it is not planted; a crash stands for no requirement."""

import dataclasses

import pytest

from aiojobs_verification.simulation.oracle.reference import CRASH
from aiojobs_verification.simulation.search.explorer import explore
from planted.faults import FAULTS, Fault, Stale, fresh, planted

TOLD_TWICE = FAULTS["failure_told_twice"]


def replacing(target, make):
    return Fault(make, target, TOLD_TWICE.scope, TOLD_TWICE.breaks)


def test_a_fault_whose_target_takes_other_arguments_by_now_is_refused_by_name():
    """What happened once: the function had lost a parameter, and a TypeError passed for the fault."""

    def failure_told_twice(original, modules):
        def tell(self, job):
            original(self, job)

        return tell

    with pytest.raises(Stale) as refused:
        replacing("_core.Core.tell", failure_told_twice).plant(fresh())
    said = str(refused.value)
    assert said.startswith("failure_told_twice: _core.Core.tell takes ['self', 'job', 'received")
    assert said.endswith("its replacement ['self', 'job']")


def test_a_fault_whose_target_is_gone_is_refused_by_name():
    for target in ("_core.Core.tell_all", "_core.Machine.tell"):
        with pytest.raises(Stale, match=f"there is no {target} any more"):
            replacing(target, lambda original, modules: original).plant(fresh())


def test_a_fault_that_crashes_is_not_the_fault_that_it_is_said_to_be():
    def failure_told_twice(original, modules):
        def tell(self, job, received=False):
            original(self, job, received=received, twice=True)

        return tell

    fault = replacing("_core.Core.tell", failure_told_twice)
    (finding,) = explore(fault.scope, planted(fault)).findings.values()
    assert finding.requirement == CRASH
    assert "unexpected keyword argument 'twice'" in finding.trace
    assert not fault.is_told_by(finding)


def test_a_fault_is_told_by_its_own_words_only():
    (finding,) = explore(TOLD_TWICE.scope, planted(TOLD_TWICE)).findings.values()
    assert TOLD_TWICE.is_told_by(finding)
    assert not TOLD_TWICE.is_told_by(dataclasses.replace(finding, text="another story"))
    assert not TOLD_TWICE.is_told_by(dataclasses.replace(finding, requirement="EXC-2"))
