"""Each rule of the oracle is needed: there is a fault that only the rules of one requirement tell."""

import pytest

from aiojobs_verification.simulation.oracle.oracle import Oracle
from aiojobs_verification.simulation.oracle.reference import CRASH
from aiojobs_verification.simulation.search.explorer import ReplayError, explore
from aiojobs_verification.simulation.world.world import World
from aiojobs_verification.specification.locate import find_spec
from aiojobs_verification.specification.requirements import read_requirements
from planted.faults import FAULTS, STRANGE_FAULTS, planted

ALL = {**FAULTS, **STRANGE_FAULTS}
ALONE = {
    **{next(iter(fault.breaks)): name for name, fault in reversed(ALL.items())},
    "LIMIT-1": "limit_off_by_one",
    "CLOSE-2": "close_without_a_deadline",
    "START-3": "wrapped_job_never_ends",
    "SHUT-4": "drain_never_told",
    "SHUT-5": "close_raises_what_a_job_failed_with",
}
"""For each requirement, and for a crash, a fault that the rules of this one find first."""


def deaf(monkeypatch, requirement):
    """The oracle ignores what breaks this requirement, and whatever confuses it in that world afterwards."""
    for name in ("apply", "settle"):
        monkeypatch.setattr(World, name, _ignoring(getattr(World, name), requirement))


def _ignoring(original, requirement):
    def ignoring(self, *args, **options):
        try:
            original(self, *args, **options)
        except Exception as error:
            self.confused = (
                getattr(self, "confused", False) or getattr(error, "requirement", "") == requirement
            )
            if not self.confused:
                raise

    return ignoring


def is_told(fault):
    try:
        findings = explore(fault.scope, planted(fault), wanted=99).findings.values()
    except ReplayError:  # of a world that confuses the oracle
        return False
    return any(fault.is_told_by(finding) for finding in findings)


def test_each_requirement_that_exploring_is_counted_for_has_a_fault_of_its_own():
    counted = {
        id_
        for id_, requirement in read_requirements(find_spec() / "requirements.toml").by_id.items()
        if "explore" in requirement.checks
    }
    assert counted | {CRASH} <= ALONE.keys()


@pytest.mark.parametrize("requirement", sorted(ALONE))
def test_a_fault_is_seen_first_by_one_requirement_and_without_its_rules_it_is_not_told(
    requirement, monkeypatch
):
    fault = ALL[ALONE[requirement]]
    found = explore(fault.scope, planted(fault), wanted=99)
    assert found.findings.keys() == {requirement}
    assert fault.is_told_by(found.findings[requirement])
    deaf(monkeypatch, requirement)
    assert not is_told(fault)


def test_an_oracle_that_does_not_hear_the_loop_complain_finds_no_crash(monkeypatch):
    fault = FAULTS["end_of_a_shield_crashes"]
    monkeypatch.setattr(Oracle, "check_crashes", lambda self: None)
    monkeypatch.setattr(Oracle, "_check_complaints", lambda self: None)
    assert CRASH not in explore(fault.scope, planted(fault)).findings
