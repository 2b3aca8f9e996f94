"""The verdict of a run: PASS, FAIL or INCOMPLETE, and why.

Rules of this file
    It is a pure function: no clock, no disk, no environment. The same evidence gives the same judgement.

    FAIL       a step failed; an evidence file can't be taken at its word, or belongs to no step; or a
               requirement lacks a kind of check that it declares although every step of that kind ran and
               passed, for then nothing will ever check it.
    INCOMPLETE nothing failed, but something is not known: a link is not built, a step was skipped or left no
               evidence, or the evidence is of different sources.
    PASS       neither. There is no fourth word, and no rounding up.

    A requirement counts as checked in a way only if a step of that kind passed in this run and names it.
    Steps outside the tier are not due, nor are those of the build of the library that a run of a lesser
    tier leaves out. What only they could check is listed as "not due", and a requirement of which nothing at
    all was due and checked is a gap like any other.

    A requirement whose text or kinds of check nobody has reviewed since they were changed is outdated: no
    check counts for it, whatever it says of itself, and that is a gap.

    A crash of the code under test fails the run and speaks for or against no requirement.

    A kind of check counts for a requirement only if it has teeth: a run fails if it, or the last one that
    tried every seeded fault, had none that this kind found.

Deliberately not here: how all this is shown (`report`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from aiojobs_verification.evidence.chain import BUILDS, PURE
from aiojobs_verification.evidence.evidence import Status
from aiojobs_verification.evidence.teeth import SEEDED, Seen, Tooth, shown, teeth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiojobs_verification.evidence.chain import Chain, Step
    from aiojobs_verification.evidence.evidence import Evidence
    from aiojobs_verification.evidence.teeth import Found


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
    OUTDATED = "outdated"


@dataclass(frozen=True, slots=True)
class Promise:
    """One requirement, as far as a report is concerned."""

    id: str
    checks: tuple[str, ...]
    group: str = ""
    text: str = ""
    goal: str = ""
    keeps: str = ""
    differences: tuple[str, ...] = ()
    revision: int = 1
    outdated: bool = False
    """Whether its text or its kinds of check have changed since somebody reviewed them."""


@dataclass(frozen=True, slots=True)
class Covered:
    """How one kind of check covers one requirement."""

    kind: str
    standing: Standing
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """The verdict, everything that stands against a PASS, and every requirement's checks."""

    verdict: Verdict
    tier: str
    failures: tuple[str, ...]
    gaps: tuple[str, ...]
    checks: Mapping[str, tuple[Covered, ...]]
    teeth: Mapping[str, tuple[Tooth, ...]]


def judge(
    chain: Chain,
    promises: Sequence[Promise],
    evidence: Mapping[str, Evidence],
    unreadable: Iterable[str] = (),
    last_full: Found | None = None,
) -> Assessment:
    """Judge a run: `evidence` by step, what is wrong with the files that could not be read, and which faults
    the last full run found.
    """
    tier = _tier(evidence)
    due = chain.due(tier, builds(chain, tier, evidence))
    checks = {promise.id: _covered(promise, chain, due, evidence) for promise in promises}
    matrix = teeth(
        {promise.id: sorted(promise.checks, key=chain.order) for promise in promises},
        shown(evidence.values()),
        last_full or {},
        complete=tier == "full" and _seeded(chain, evidence),
    )
    failures = [
        *unreadable,
        *_failed_steps(chain, evidence),
        *_unknown_names(chain, promises, evidence),
        *_lacking(checks),
        *_toothless(matrix),
    ]
    gaps = [
        *_links_not_built(chain, checks),
        *_steps_not_run(due, evidence),
        *_mixed_subjects(evidence),
        *_outdated(promises),
        *_not_run(checks),
        *_unchecked(checks),
    ]
    verdict = Verdict.FAIL if failures else Verdict.INCOMPLETE if gaps else Verdict.PASS
    return Assessment(verdict, tier, tuple(failures), tuple(gaps), checks, matrix)


def settled_so_far(ways: Iterable[Covered]) -> bool:
    """Whether a requirement was checked, and in every way it needs for which a step was due."""
    standings = {way.standing for way in ways}
    return Standing.CHECKED in standings and not standings & {
        Standing.LACKING,
        Standing.NOT_RUN,
        Standing.OUTDATED,
    }


def _tier(evidence: Mapping[str, Evidence]) -> str:
    """One step of a lesser tier makes the whole run one of that tier."""
    tiers = {found.tier for found in evidence.values()}
    return "full" if tiers == {"full"} else "smoke"


def builds(chain: Chain, tier: str, evidence: Mapping[str, Evidence]) -> tuple[str, ...]:
    """The builds of the library that a run is about: in the full tier all that there are."""
    begun = {step.build for step in chain.steps if step.name in evidence}
    return tuple(build for build in BUILDS if tier == "full" or build in (begun - {""} or {PURE}))


def _seeded(chain: Chain, evidence: Mapping[str, Evidence]) -> bool:
    """Whether faults were seeded in this run, and each of them was found."""
    names = [step.name for step in chain.steps if step.kind == SEEDED]
    return bool(names) and all(name in evidence and _status(evidence[name]) is Status.PASS for name in names)


def _covered(
    promise: Promise, chain: Chain, due: Sequence[Step], evidence: Mapping[str, Evidence]
) -> tuple[Covered, ...]:
    kinds = sorted(_kinds(promise, evidence), key=chain.order)
    if promise.outdated:
        return tuple(Covered(kind, Standing.OUTDATED) for kind in kinds)
    return tuple(_check(promise.id, kind, chain, due, evidence) for kind in kinds)


def _kinds(promise: Promise, evidence: Mapping[str, Evidence]) -> frozenset[str]:
    """The kinds it declares, and those in which it was checked although it declares no need of them."""
    also = {
        cover.kind
        for found in evidence.values()
        for cover in found.findings.covers
        if cover.requirement == promise.id
    }
    return frozenset(promise.checks) | also


def _check(
    requirement: str, kind: str, chain: Chain, due: Sequence[Step], evidence: Mapping[str, Evidence]
) -> Covered:
    providers = [step for step in due if step.kind == kind]
    # The same check of both builds is one check.
    by = {
        name
        for step in providers
        if step.name in evidence
        for cover in evidence[step.name].findings.covers
        if (cover.requirement, cover.kind) == (requirement, kind)
        for name in cover.by
    }
    if by:
        return Covered(kind, Standing.CHECKED, tuple(sorted(by)))
    if not providers:
        built = any(step.kind == kind for step in chain.steps)
        return Covered(kind, Standing.NOT_DUE if built else Standing.NOT_BUILT)
    passed = all(step.name in evidence and _status(evidence[step.name]) is Status.PASS for step in providers)
    return Covered(kind, Standing.LACKING if passed else Standing.NOT_RUN)


def _failed_steps(chain: Chain, evidence: Mapping[str, Evidence]) -> Iterable[str]:
    for step in chain.steps:
        if step.name in evidence and _status(evidence[step.name]) is Status.FAIL:
            found = evidence[step.name].findings
            yield f"step {step.name} {'found a crash' if found.crashed else 'failed'}: {found.headline}"


def _unknown_names(
    chain: Chain, promises: Sequence[Promise], evidence: Mapping[str, Evidence]
) -> Iterable[str]:
    """Names that nothing declares: a link to nothing would look like coverage."""
    steps = {step.name: step for step in chain.steps}
    ids = {promise.id for promise in promises}
    for promise in promises:
        for kind in sorted(set(promise.checks).difference(chain.kinds())):
            yield f"requirement {promise.id} needs a kind of check that no link provides: {kind}"
    for name, found in sorted(evidence.items()):
        if name not in steps:
            yield f"evidence of {name}, which is no step of the chain"
            continue
        for cover in found.findings.covers:
            if cover.requirement not in ids:
                yield f"step {name} speaks for {cover.requirement}, which is no requirement"
            if cover.kind != steps[name].kind:
                yield f"step {name} claims a check of kind {cover.kind}, which is not what it does"


def _links_not_built(chain: Chain, checks: Mapping[str, tuple[Covered, ...]]) -> Iterable[str]:
    waiting = _with(checks, Standing.NOT_BUILT)
    built = {step.link for step in chain.steps}
    for link in chain.links:
        if link.number not in built or link.kind in waiting:
            count = len(waiting.get(link.kind, ()))
            yield f"link {link.number} is not built: {link.title} ({count} requirements need it)"


def _steps_not_run(due: Sequence[Step], evidence: Mapping[str, Evidence]) -> Iterable[str]:
    for step in due:
        if step.name not in evidence:
            yield f"step {step.name} left no evidence"
        elif _status(evidence[step.name]) is Status.SKIPPED:
            yield f"step {step.name} was skipped: {evidence[step.name].findings.headline}"


def _mixed_subjects(evidence: Mapping[str, Evidence]) -> Iterable[str]:
    if len({found.subject.source for found in evidence.values()}) > 1:
        yield "the evidence is of different sources: run the whole chain again"
    if len({tuple(sorted(found.subject.versions.items())) for found in evidence.values()}) > 1:
        yield "the evidence was made with different versions of the tools: run the whole chain again"


def _lacking(checks: Mapping[str, tuple[Covered, ...]]) -> Iterable[str]:
    for kind, ids in _with(checks, Standing.LACKING).items():
        yield f"every step of kind {kind} passed, and none speaks for {', '.join(ids)}"


def _toothless(matrix: Mapping[str, tuple[Tooth, ...]]) -> Iterable[str]:
    found: dict[str, list[str]] = {}
    for name, row in matrix.items():
        for tooth in row:
            if tooth.seen is Seen.NEVER:
                found.setdefault(tooth.kind, []).append(name)
    for kind, ids in found.items():
        yield f"no seeded fault was found by {kind} for {', '.join(ids)}: it is counted and has no teeth there"


def _outdated(promises: Sequence[Promise]) -> Iterable[str]:
    for promise in promises:
        if promise.outdated:
            yield (
                f"requirement {promise.id} is outdated: its text or its kinds of check are not those that were "
                f"reviewed as revision {promise.revision}"
            )


def _not_run(checks: Mapping[str, tuple[Covered, ...]]) -> Iterable[str]:
    for kind, ids in _with(checks, Standing.NOT_RUN).items():
        yield f"not every step of kind {kind} ran and passed ({len(ids)} requirements are open for it)"


def _with(checks: Mapping[str, tuple[Covered, ...]], standing: Standing) -> dict[str, list[str]]:
    """Kind of check -> the requirements that stand so with it."""
    found: dict[str, list[str]] = {}
    for name, ways in checks.items():
        for way in ways:
            if way.standing is standing:
                found.setdefault(way.kind, []).append(name)
    return dict(sorted(found.items()))


def _unchecked(checks: Mapping[str, tuple[Covered, ...]]) -> Iterable[str]:
    if not checks:
        yield "no requirement was read"
    checked = {name for name, ways in checks.items() if any(w.standing is Standing.CHECKED for w in ways)}
    if bare := [name for name in checks if name not in checked]:
        yield f"requirements not checked in any way in this run: {len(bare)} of {len(checks)}"


def _status(found: Evidence) -> Status:
    return found.findings.status
