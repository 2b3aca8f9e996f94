"""What the evidence adds up to: PASS, FAIL or INCOMPLETE, and why.

Rules of this file
    It is a pure function: no clock, no disk, no environment. The same evidence gives the same judgement.

    FAIL       a step failed; an evidence file can't be taken at its word, or belongs to no step; or a
               requirement lacks a kind of check that it declares although every step of that kind ran and
               passed, for then nothing will ever check it.
    INCOMPLETE nothing failed, but something is not known: a link is not built, a step was skipped or left no
               evidence, or the evidence is of different sources.
    PASS       neither. There is no fourth word, and no rounding up.

    A requirement counts as checked in a way only if a step of that kind passed in this run and names it.
    Steps outside the tier are not due; what only they could check is listed as "not due", and a requirement
    of which nothing at all was due and checked is a gap like any other.

Deliberately not here: how a judgement is shown (`report`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from aiojobs_verification.evidence.evidence import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiojobs_verification.evidence.chain import Chain
    from aiojobs_verification.evidence.evidence import Evidence
    from aiojobs_verification.specification.requirements import Requirement


class Verdict(StrEnum):
    """The three words."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCOMPLETE = "INCOMPLETE"


class Standing(StrEnum):
    """How one requirement stands with one kind of check in this run."""

    CHECKED = "checked"
    NOT_BUILT = "not built"
    NOT_RUN = "not run"
    NOT_DUE = "not due"
    LACKING = "lacking"


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of check of one requirement."""

    kind: str
    standing: Standing
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, everything that stands against a PASS, and every requirement's checks."""

    verdict: Verdict
    tier: str
    failures: tuple[str, ...]
    gaps: tuple[str, ...]
    checks: Mapping[str, tuple[Check, ...]]


def judge(
    chain: Chain,
    requirements: Sequence[Requirement],
    evidence: Mapping[str, Evidence],
    unreadable: Iterable[str] = (),
) -> Judgement:
    """Judge a run: `evidence` by step, and what is wrong with the files that could not be read."""
    tier = _tier(evidence)
    checks = {
        requirement.id: tuple(
            _check(requirement.id, kind, chain, tier, evidence)
            for kind in sorted(_kinds(requirement, evidence), key=chain.order)
        )
        for requirement in requirements
    }
    failures = [
        *unreadable,
        *_failed_steps(chain, evidence),
        *_unknown_names(chain, requirements, evidence),
        *_lacking(checks),
    ]
    gaps = [
        *_links_not_built(chain, checks),
        *_steps_not_run(chain, tier, evidence),
        *_mixed_subjects(evidence),
        *_not_run(checks),
        *_unchecked(checks),
    ]
    verdict = Verdict.FAIL if failures else Verdict.INCOMPLETE if gaps else Verdict.PASS
    return Judgement(verdict, tier, tuple(failures), tuple(gaps), checks)


def settled_so_far(ways: Iterable[Check]) -> bool:
    """Whether a requirement was checked, and in every way it needs for which a step was due."""
    standings = {way.standing for way in ways}
    return Standing.CHECKED in standings and not standings & {Standing.LACKING, Standing.NOT_RUN}


def _tier(evidence: Mapping[str, Evidence]) -> str:
    """One step of a lesser tier makes the whole run one of that tier."""
    tiers = {found.tier for found in evidence.values()}
    return "full" if tiers == {"full"} else "smoke"


def _kinds(requirement: Requirement, evidence: Mapping[str, Evidence]) -> frozenset[str]:
    """The kinds it declares, and those in which it was checked although it declares no need of them."""
    also = {
        cover.kind
        for found in evidence.values()
        for cover in found.findings.covers
        if cover.requirement == requirement.id
    }
    return frozenset(requirement.checks) | also


def _check(requirement: str, kind: str, chain: Chain, tier: str, evidence: Mapping[str, Evidence]) -> Check:
    providers = [step for step in chain.steps if step.kind == kind]
    due = [step for step in providers if tier in step.tiers]
    by = tuple(
        name
        for step in due
        if step.name in evidence
        for cover in evidence[step.name].findings.covers
        if (cover.requirement, cover.kind) == (requirement, kind)
        for name in cover.by
    )
    if by:
        return Check(kind, Standing.CHECKED, tuple(sorted(by)))
    if not providers:
        return Check(kind, Standing.NOT_BUILT)
    if not due:
        return Check(kind, Standing.NOT_DUE)
    passed = all(step.name in evidence and _status(evidence[step.name]) is Status.PASS for step in due)
    return Check(kind, Standing.LACKING if passed else Standing.NOT_RUN)


def _failed_steps(chain: Chain, evidence: Mapping[str, Evidence]) -> Iterable[str]:
    for step in chain.steps:
        if step.name in evidence and _status(evidence[step.name]) is Status.FAIL:
            yield f"step {step.name} failed: {_headline(evidence[step.name])}"


def _unknown_names(
    chain: Chain, requirements: Sequence[Requirement], evidence: Mapping[str, Evidence]
) -> Iterable[str]:
    """Names that nothing declares: a link to nothing would look like coverage."""
    steps = {step.name: step for step in chain.steps}
    ids = {requirement.id for requirement in requirements}
    for requirement in requirements:
        for kind in sorted(set(requirement.checks).difference(chain.kinds())):
            yield f"requirement {requirement.id} needs a kind of check that no link provides: {kind}"
    for name, found in sorted(evidence.items()):
        if name not in steps:
            yield f"evidence of {name}, which is no step of the chain"
            continue
        for cover in found.findings.covers:
            if cover.requirement not in ids:
                yield f"step {name} speaks for {cover.requirement}, which is no requirement"
            if cover.kind != steps[name].kind:
                yield f"step {name} claims a check of kind {cover.kind}, which is not what it does"


def _links_not_built(chain: Chain, checks: Mapping[str, tuple[Check, ...]]) -> Iterable[str]:
    waiting = _with(checks, Standing.NOT_BUILT)
    built = {step.link for step in chain.steps}
    for link in chain.links:
        if link.number not in built or link.kind in waiting:
            count = len(waiting.get(link.kind, ()))
            yield f"link {link.number} is not built: {link.title} ({count} requirements need it)"


def _steps_not_run(chain: Chain, tier: str, evidence: Mapping[str, Evidence]) -> Iterable[str]:
    for step in chain.due(tier):
        if step.name not in evidence:
            yield f"step {step.name} left no evidence"
        elif _status(evidence[step.name]) is Status.SKIPPED:
            yield f"step {step.name} was skipped: {_headline(evidence[step.name])}"


def _mixed_subjects(evidence: Mapping[str, Evidence]) -> Iterable[str]:
    if len({found.subject.source for found in evidence.values()}) > 1:
        yield "the evidence is of different sources: run the whole chain again"
    if len({tuple(sorted(found.subject.versions.items())) for found in evidence.values()}) > 1:
        yield "the evidence was made with different versions of the tools: run the whole chain again"


def _lacking(checks: Mapping[str, tuple[Check, ...]]) -> Iterable[str]:
    for kind, ids in _with(checks, Standing.LACKING).items():
        yield f"every step of kind {kind} passed, and none speaks for {', '.join(ids)}"


def _not_run(checks: Mapping[str, tuple[Check, ...]]) -> Iterable[str]:
    for kind, ids in _with(checks, Standing.NOT_RUN).items():
        yield f"not every step of kind {kind} ran and passed ({len(ids)} requirements are open for it)"


def _with(checks: Mapping[str, tuple[Check, ...]], standing: Standing) -> dict[str, list[str]]:
    """Kind of check -> the requirements that stand so with it."""
    found: dict[str, list[str]] = {}
    for name, ways in checks.items():
        for way in ways:
            if way.standing is standing:
                found.setdefault(way.kind, []).append(name)
    return dict(sorted(found.items()))


def _unchecked(checks: Mapping[str, tuple[Check, ...]]) -> Iterable[str]:
    if not checks:
        yield "no requirement was read"
    checked = {name for name, ways in checks.items() if any(w.standing is Standing.CHECKED for w in ways)}
    if bare := [name for name in checks if name not in checked]:
        yield f"requirements not checked in any way in this run: {len(bare)} of {len(checks)}"


def _status(found: Evidence) -> Status:
    return found.findings.status


def _headline(found: Evidence) -> str:
    return found.findings.reason.splitlines()[0]
