"""The report as one plain document, from the evidence and the promises; its pages show that document.

Rules of this file: pure functions. The same evidence and the same promises give the same document; what differs
between two runs is the timings. ``report.schema.json`` beside this file describes the document.

Deliberately not here: the verdict's rules (`verdict`), reading and writing files (the command ``report``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.evidence.evidence import Status
from aiojobs_verification.evidence.verdict import Standing, builds, settled_so_far

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiojobs_verification.evidence.chain import Chain, Link
    from aiojobs_verification.evidence.evidence import Evidence
    from aiojobs_verification.evidence.teeth import Tooth
    from aiojobs_verification.evidence.verdict import Assessment, Covered, Promise

__all__ = ["SCHEMA", "Sources", "closing_words", "compose", "left_out_in_words"]

SCHEMA: Final = 2

_SAID_ELSEWHERE: Final = frozenset(
    {"schema", "tier", "skips", "teeth", "versions", "source", "commit", "timing_started", "timing_seconds"}
)


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that a report is made from."""

    evidence: Mapping[str, Evidence]
    promises: Sequence[Promise]
    kinds: Mapping[str, str] = field(default_factory=dict)
    assumptions: Sequence[Mapping[str, str]] = ()
    lifecycle: Mapping[str, Any] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]] = field(default_factory=dict)
    """Requirement -> title -> where it is said, kept and checked: {path, line, name}."""
    unreadable: Sequence[str] = ()
    last_full: Mapping[str, Any] | None = None
    """The report of the last full run on this machine, if there was one."""
    last_teeth: Mapping[str, Any] = field(default_factory=dict)
    """What the last run that tried every seeded fault has found: commit, date, teeth; empty if unknown."""


def compose(sources: Sources, assessment: Assessment, chain: Chain) -> dict[str, Any]:
    """The report as a plain document."""
    steps = [sources.evidence[step.name] for step in chain.steps if step.name in sources.evidence]
    return {
        "schema": SCHEMA,
        "verdict": str(assessment.verdict),
        "tier": assessment.tier,
        "failures": list(assessment.failures),
        "gaps": list(assessment.gaps),
        "crashes": [_crash(step) for step in steps if step.findings.crashed],
        "counts": _counts(steps, assessment),
        "subject": _subject(steps, sources.digests, chain),
        "last_teeth": {key: str(sources.last_teeth.get(key, "")) for key in ("commit", "date")},
        "lifecycle": sources.lifecycle,
        "links": [_link(link, chain) for link in chain.links],
        "steps": [_step(step) for step in steps],
        "kinds": dict(sources.kinds),
        "requirements": [_requirement(one, sources, assessment) for one in sources.promises],
        "assumptions": [dict(one) for one in sources.assumptions],
        "left_out": [
            *_not_due(chain, assessment.tier, sources.evidence),
            *(one for step in steps for one in _left_out(step)),
        ],
        "skips": [skip for step in steps for skip in _skips(step)],
        "timings": {step.step: _timing(step) for step in steps},
    }


def closing_words(assessment: Assessment, document: Mapping[str, Any]) -> str:
    """What the person who ran the chain reads last."""
    total = (
        f"{assessment.verdict}, tier {assessment.tier}: {len(assessment.failures)} failed, "
        f"{len(assessment.gaps)} open; {_settled(assessment)} of {len(assessment.checks)} "
        "requirements were checked in every way they need that is built."
    )
    failures = [f"  failed: {line}" for line in assessment.failures]
    gaps = [f"  open:   {line}" for line in assessment.gaps]
    left = ", ".join(map(left_out_in_words, document["left_out"]))
    told = [f"Left out by this tier: {left}."] if left else []
    where = "Report: build/report.html, build/report.md, build/report.json"
    return "\n".join(["", *failures, *gaps, "", total, *told, where, ""])


def left_out_in_words(one: Mapping[str, Any]) -> str:
    """What the tier left out of one step."""
    return f"{one['count']:,} {one['what']} ({one['step']})"


def _settled(assessment: Assessment) -> int:
    return sum(settled_so_far(ways) for ways in assessment.checks.values())


def _counts(steps: Sequence[Evidence], assessment: Assessment) -> dict[str, int]:
    """The run in a few numbers."""
    return {
        "steps": len(steps),
        "passed": sum(step.findings.status is Status.PASS for step in steps),
        "requirements": len(assessment.checks),
        "settled": _settled(assessment),
        "planted": sum(len(step.findings.planted) for step in steps),
        "skips": sum(len(list(_skips(step))) for step in steps),
    }


def _crash(step: Evidence) -> dict[str, str]:
    return {"step": step.step, "headline": step.findings.headline, "story": step.findings.reason}


def _subject(steps: Sequence[Evidence], digests: Mapping[str, str], chain: Chain) -> dict[str, Any]:
    """What was checked; more than one value under a key means that the evidence is of different runs."""
    subjects = [step.subject for step in steps]
    of_builds = {step.name for step in chain.steps if step.build}
    passed = [one.findings for one in steps if one.step in of_builds and one.findings.status is Status.PASS]
    versions: dict[str, set[str]] = {}
    for subject in subjects:
        for name, version in subject.versions.items():
            versions.setdefault(name, set()).add(version)
    return {
        "builds": sorted({str(found.figures["build"]) for found in passed if "build" in found.figures}),
        "commits": sorted({subject.commit for subject in subjects}),
        "sources": sorted({subject.source for subject in subjects}),
        "specification": dict(digests),
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
    }


def _link(link: Link, chain: Chain) -> dict[str, Any]:
    steps = [step.name for step in chain.steps if step.link == link.number]
    return {**asdict(link), "built": bool(steps), "steps": steps}


def _step(step: Evidence) -> dict[str, Any]:
    """The evidence without what is said once for all (`_subject`), apart (timings), or by requirement."""
    return {key: value for key, value in step.as_dict().items() if key not in _SAID_ELSEWHERE}


def _not_due(chain: Chain, tier: str, evidence: Mapping[str, Evidence]) -> Iterator[dict[str, Any]]:
    """The steps of a full run that this one leaves out. A step of lesser tiers alone is a part of one of those."""
    due = chain.due(tier, builds(chain, tier, evidence))
    if left := [step for step in chain.due("full") if step not in due]:
        yield {"step": "all", "what": "steps", "count": len(left)}


def _left_out(step: Evidence) -> Iterator[dict[str, Any]]:
    """What the tier left out of a step; it was not due, so it is neither a skip nor a gap."""
    for what, count in sorted(step.findings.left_out.items()):
        yield {"step": step.step, "what": what, "count": count}


def _skips(step: Evidence) -> Iterator[dict[str, str]]:
    """What of a step did not run: all of it (``id`` is empty), or parts."""
    found = step.findings
    if found.status is Status.SKIPPED:
        yield {"step": step.step, "id": "", "reason": found.reason}
    for name, reason in sorted(found.skips.items()):
        yield {"step": step.step, "id": name, "reason": reason}


def _timing(step: Evidence) -> dict[str, Any]:
    return {"timing_started": step.timing.started, "timing_seconds": step.timing.seconds}


def _requirement(one: Promise, sources: Sources, assessment: Assessment) -> dict[str, Any]:
    before = _checked_before(one.id, sources.last_full)
    return {
        "id": one.id,
        "group": one.group,
        "text": one.text,
        "revision": one.revision,
        "outdated": one.outdated,
        "goal": one.goal,
        "keeps": one.keeps,
        "differences": list(one.differences),
        "checks": [_way(way, before) for way in assessment.checks[one.id]],
        "teeth": [_tooth(tooth) for tooth in assessment.teeth[one.id]],
        "places": {title: [dict(place) for place in found] for title, found in _places(one.id, sources)},
    }


def _places(id_: str, sources: Sources) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    yield from sources.places.get(id_, {}).items()


def _checked_before(id_: str, last_full: Mapping[str, Any] | None) -> dict[str, int]:
    """Kind -> how many checks of it spoke for a requirement in the last full run."""
    told = (last_full or {"requirements": []})["requirements"]
    return {way["kind"]: len(way["by"]) for one in told if one["id"] == id_ for way in one["checks"]}


def _way(way: Covered, before: Mapping[str, int]) -> dict[str, Any]:
    last = before.get(way.kind, 0) if way.standing is not Standing.CHECKED else 0
    return {"kind": way.kind, "standing": str(way.standing), "by": list(way.by), "last_full": last}


def _tooth(tooth: Tooth) -> dict[str, Any]:
    return {"kind": tooth.kind, "seen": str(tooth.seen), "faults": list(tooth.faults)}
