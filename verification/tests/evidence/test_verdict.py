"""Can the verdict be anything but PASS? Each rule of `verdict` is shown with a planted fault."""

from dataclasses import replace

import pytest

from aiojobs_verification.evidence.chain import Chain, Link
from aiojobs_verification.evidence.evidence import Evidence, Findings, Status
from aiojobs_verification.evidence.teeth import Seen
from aiojobs_verification.evidence.verdict import Standing, Verdict, judge, settled_so_far
from planted.chain import (
    FAILED,
    LINKS,
    PROOFS,
    SKIPPED,
    SUBJECT,
    TWO,
    UNIT,
    a_requirement,
    a_step,
    evidence_of,
    passed,
)

A, B = a_requirement("A-1", "test", "prove"), a_requirement("B-1", "test")


def judged(unit, proofs, requirements=(A, B), chain=TWO, unreadable=()):
    found = {"unit": unit, "proofs": proofs}
    files = {
        name: each if isinstance(each, Evidence) else evidence_of(name, each)
        for name, each in found.items()
        if each is not None
    }
    return judge(chain, requirements, files, unreadable)


def test_everything_ran_and_passed_and_every_requirement_has_its_checks():
    judgement = judged(passed("A-1", "B-1"), passed("A-1", kind="prove"))
    assert (judgement.verdict, judgement.failures, judgement.gaps) == (Verdict.PASS, (), ())


def test_a_failing_step_is_a_failure():
    judgement = judged(passed("A-1", "B-1"), FAILED)
    assert judgement.verdict is Verdict.FAIL
    assert judgement.failures == ("step proofs failed: exit code 1: it broke",)


def test_a_failure_outweighs_whatever_else_is_open():
    assert judged(FAILED, None).verdict is Verdict.FAIL


def test_a_skipped_step_is_never_a_pass():
    judgement = judged(passed("A-1", "B-1"), SKIPPED)
    assert judgement.verdict is Verdict.INCOMPLETE
    assert "step proofs was skipped: not installed: z3" in judgement.gaps


def test_a_step_without_evidence_is_never_a_pass():
    judgement = judged(passed("A-1", "B-1"), None)
    assert judgement.verdict is Verdict.INCOMPLETE
    assert "step proofs left no evidence" in judgement.gaps


def test_no_evidence_at_all_is_not_a_pass():
    assert judged(None, None).verdict is Verdict.INCOMPLETE


def test_a_link_that_is_not_built_is_never_a_pass():
    chain = Chain(LINKS, (UNIT,))
    judgement = judged(passed("A-1", "B-1"), None, chain=chain)
    assert judgement.verdict is Verdict.INCOMPLETE
    assert judgement.gaps == ("link 1 is not built: Proofs (1 requirements need it)",)
    assert [way.standing for way in judgement.checks["A-1"]] == [Standing.CHECKED, Standing.NOT_BUILT]


def test_a_requirement_that_no_step_of_the_kind_speaks_for_is_a_failure():
    judgement = judged(passed("A-1"), passed("A-1", kind="prove"))
    assert judgement.verdict is Verdict.FAIL
    assert judgement.failures == ("every step of kind test passed, and none speaks for B-1",)


def test_a_requirement_whose_step_was_skipped_is_open_not_failed():
    judgement = judged(SKIPPED, passed("A-1", kind="prove"))
    assert judgement.verdict is Verdict.INCOMPLETE
    assert [way.standing for way in judgement.checks["B-1"]] == [Standing.NOT_RUN]
    assert "requirements not checked in any way in this run: 1 of 2" in judgement.gaps
    assert not settled_so_far(judgement.checks["A-1"])


def test_a_requirement_that_nothing_checked_is_a_gap_even_if_it_asks_for_nothing():
    judgement = judged(passed("A-1", "B-1"), passed("A-1", kind="prove"), (A, B, a_requirement("C-1")))
    assert judgement.gaps == ("requirements not checked in any way in this run: 1 of 3",)


def test_no_requirements_means_that_nothing_was_shown():
    assert judged(passed(), passed(), requirements=()).verdict is Verdict.INCOMPLETE


def test_a_kind_that_no_link_provides_is_a_failure():
    judgement = judged(
        passed("A-1", "B-1"), passed("A-1", kind="prove"), (A, B, a_requirement("C-1", "guess"))
    )
    assert judgement.failures == ("requirement C-1 needs a kind of check that no link provides: guess",)


def test_evidence_of_no_known_step_is_a_failure():
    judgement = judge(
        TWO, (A, B), {"unit": evidence_of("unit", passed()), "ghost": evidence_of("ghost", passed())}
    )
    assert "evidence of ghost, which is no step of the chain" in judgement.failures


def test_speaking_for_no_known_requirement_is_a_failure():
    judgement = judged(passed("A-1", "B-1", "Z-9"), passed("A-1", kind="prove"))
    assert judgement.failures == ("step unit speaks for Z-9, which is no requirement",)


def test_a_step_can_only_speak_in_its_own_kind():
    judgement = judged(passed("A-1", "B-1"), passed("A-1", kind="test"))
    assert "step proofs claims a check of kind test, which is not what it does" in judgement.failures


@pytest.mark.parametrize(
    "other", [replace(SUBJECT, source="sha256:" + "1" * 64), replace(SUBJECT, versions={"python": "4"})]
)
def test_evidence_of_different_subjects_is_never_a_pass(other):
    stale = evidence_of("proofs", passed("A-1", kind="prove"), subject=other)
    judgement = judged(passed("A-1", "B-1"), stale)
    assert judgement.verdict is Verdict.INCOMPLETE
    assert "run the whole chain again" in judgement.gaps[0]


def test_what_can_not_be_read_is_a_failure():
    good = passed("A-1", "B-1"), passed("A-1", kind="prove")
    assert judged(*good, unreadable=["unit.json: key 'step' is missing"]).verdict is Verdict.FAIL


def test_a_step_outside_the_tier_is_not_due_and_its_requirement_not_checked_by_it():
    deep = Chain(LINKS, (UNIT, replace(PROOFS, tiers=("full",))))
    judgement = judged(passed("A-1", "B-1"), None, chain=deep)
    assert judgement.verdict is Verdict.PASS
    assert judgement.tier == "smoke"
    assert [way.standing for way in judgement.checks["A-1"]] == [Standing.CHECKED, Standing.NOT_DUE]
    only_deep = judged(passed("B-1"), None, (a_requirement("A-1", "prove"), B), chain=deep)
    assert only_deep.verdict is Verdict.INCOMPLETE


def test_a_run_is_as_deep_as_its_shallowest_step():
    deep = Chain(LINKS, (UNIT, replace(PROOFS, tiers=("full",))))
    unit, proofs = (
        evidence_of("unit", passed("A-1", "B-1"), tier="full"),
        evidence_of("proofs", passed("A-1", kind="prove"), tier="full"),
    )
    assert judged(unit, proofs, chain=deep).tier == "full"
    assert judged(replace(unit, tier="smoke"), proofs, chain=deep).tier == "smoke"


def test_a_requirement_that_was_changed_and_not_reviewed_is_outdated_and_nothing_counts_for_it():
    changed = replace(A, outdated=True, revision=3)
    judgement = judged(passed("A-1", "B-1"), passed("A-1", kind="prove"), (changed, B))
    assert judgement.verdict is Verdict.INCOMPLETE
    assert "requirement A-1 is outdated" in judgement.gaps[0]
    assert "revision 3" in judgement.gaps[0]
    assert [way.standing for way in judgement.checks["A-1"]] == [Standing.OUTDATED] * 2
    assert not settled_so_far(judgement.checks["A-1"])
    assert settled_so_far(judgement.checks["B-1"])


def test_a_crash_is_a_failure_of_its_own_and_speaks_for_no_requirement():
    story = Findings(Status.FAIL, "exit code 1: CRASH: the library fails with ZeroDivisionError\nTraceback")
    judgement = judged(passed("A-1", "B-1"), story)
    assert judgement.verdict is Verdict.FAIL
    assert judgement.failures == (f"step proofs found a crash: {story.headline}",)
    assert judgement.checks["A-1"][1].by == ()


# --- Teeth ------------------------------------------------------------------------------------------------

SEEDED = evidence_of("seeded", passed("A-1", kind="mutant"), tier="full")
THREE = Chain(
    (*LINKS, Link(2, "mutant", "Teeth")), (*TWO.steps, replace(UNIT, name="seeded", link=2, kind="mutant"))
)


def bitten(found, tier="full", last_full=None):
    """What a run comes to in which seeded faults were found so."""
    seeded = replace(SEEDED, tier=tier, findings=replace(SEEDED.findings, teeth=found))
    unit = evidence_of("unit", passed("A-1"), tier=tier)
    proofs = evidence_of("proofs", passed("A-1", kind="prove"), tier=tier)
    one = replace(A, checks=("test", "prove", "mutant"))
    return judge(THREE, [one], {"unit": unit, "proofs": proofs, "seeded": seeded}, (), last_full)


def test_every_kind_that_is_counted_has_found_a_fault_of_its_own():
    judgement = bitten({"A-1": {"test": ["one too many"], "prove": ["one too many", "LIFO"]}})
    assert judgement.verdict is Verdict.PASS
    assert [(tooth.kind, tooth.seen, tooth.faults) for tooth in judgement.teeth["A-1"]] == [
        ("test", Seen.NOW, ("one too many",)),
        ("prove", Seen.NOW, ("LIFO", "one too many")),
    ]


@pytest.mark.parametrize("found", [{}, {"A-1": {"test": ["LIFO"]}}, {"A-1": {"test": ["LIFO"], "prove": []}}])
def test_a_kind_that_found_no_fault_although_all_were_tried_is_a_failure(found):
    judgement = bitten(found, last_full={"A-1": {"prove": ["LIFO"]}})
    assert judgement.verdict is Verdict.FAIL
    told = [
        line for line in judgement.failures if line.startswith("no seeded fault was found by prove for A-1")
    ]
    assert len(told) == 1


def test_in_a_lesser_tier_the_last_full_run_is_shown_as_such_and_what_nobody_tried_is_not_due():
    judgement = bitten({"A-1": {"test": ["LIFO"]}}, tier="smoke", last_full={"A-1": {"prove": ["old"]}})
    assert judgement.verdict is Verdict.PASS
    assert [tooth.seen for tooth in judgement.teeth["A-1"]] == [Seen.NOW, Seen.BEFORE]
    assert [tooth.seen for tooth in bitten({}, tier="smoke").teeth["A-1"]] == [Seen.NOT_DUE] * 2


def test_a_place_that_the_last_full_run_left_empty_is_a_failure_until_a_fault_is_found_there():
    empty = {"A-1": {"test": ["LIFO"], "prove": []}}
    judgement = bitten({}, tier="smoke", last_full=empty)
    assert judgement.verdict is Verdict.FAIL
    assert [tooth.seen for tooth in judgement.teeth["A-1"]] == [Seen.BEFORE, Seen.NEVER]
    assert bitten({"A-1": {"prove": ["one too many"]}}, tier="smoke", last_full=empty).verdict is Verdict.PASS


# The two builds of the library


PURE, COMPILED = a_step("unit", build="pure"), a_step("unit-compiled", build="compiled")
BOTH = Chain(LINKS, (PURE, COMPILED, PROOFS))


def judged_on_builds(tier, **steps):
    found = {
        name.replace("_", "-"): one for name, one in {**steps, "proofs": passed("A-1", kind="prove")}.items()
    }
    files = {
        name: evidence_of(name, one, tier=tier, kind="prove" if name == "proofs" else "test")
        for name, one in found.items()
    }
    return judge(BOTH, (A, B), files)


@pytest.mark.parametrize("step", ["unit", "unit_compiled"])
def test_in_a_lesser_tier_one_build_is_enough_and_in_the_full_one_it_is_not(step):
    assert judged_on_builds("smoke", **{step: passed("A-1", "B-1")}).verdict is Verdict.PASS
    judgement = judged_on_builds("full", **{step: passed("A-1", "B-1")})
    other = "unit" if step == "unit_compiled" else "unit-compiled"
    assert (judgement.verdict, f"step {other} left no evidence" in judgement.gaps) == (
        Verdict.INCOMPLETE,
        True,
    )


def test_a_build_that_could_not_be_made_here_is_never_a_pass():
    skipped = Findings(Status.SKIPPED, "the core can't be compiled here: there is no C compiler: cc")
    judgement = judged_on_builds("full", unit=passed("A-1", "B-1"), unit_compiled=skipped)
    assert judgement.verdict is Verdict.INCOMPLETE
    assert f"step unit-compiled was skipped: {skipped.reason}" in judgement.gaps


def test_a_build_that_fails_is_a_failure():
    assert judged_on_builds("full", unit=passed("A-1", "B-1"), unit_compiled=FAILED).verdict is Verdict.FAIL


def test_the_same_check_of_both_builds_is_counted_once():
    both = judged_on_builds("full", unit=passed("A-1", "B-1"), unit_compiled=passed("A-1", "B-1"))
    assert both.verdict is Verdict.PASS
    assert both.checks["B-1"][0].by == ("check of B-1",)
