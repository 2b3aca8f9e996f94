"""A small chain of evidence for the tests of its runner and its report: two steps, two requirements."""

from pathlib import Path

from aiojobs_verification.cli import verify
from aiojobs_verification.evidence import evidence, findings
from aiojobs_verification.evidence.chain import PYTHON, Chain, Link, Step
from aiojobs_verification.evidence.evidence import Cover, Evidence, Findings, Status, Subject, Timing
from aiojobs_verification.evidence.verdict import Promise

ROOT = Path(__file__).parents[3]

LINKS = (Link(0, "test", "Tests"), Link(1, "prove", "Proofs"))
SUBJECT = Subject(source="sha256:" + "0" * 64, commit="unknown", versions={"python": "3"})


def a_step(name, link=0, kind="test", code="pass", reader=findings.exit_code, **more):
    return Step(name, link, f"what {name} checks", (PYTHON, "-c", code), reader, kind=kind, **more)


def a_requirement(name, *checks, **more):
    return Promise(name, checks, **{"group": "Group", "text": "text", "goal": "goal", **more})


def evidence_of(name, found, kind="test", link=0, **more):
    fields = {"tier": "smoke", "subject": SUBJECT, "timing": Timing("2026-01-01T00:00:00+00:00", 1.0), **more}
    return Evidence(
        step=name, link=link, title=f"what {name} checks", repeat="true", findings=found, **fields
    )


def passed(*ids, kind="test"):
    covers = tuple(Cover(name, kind, (f"check of {name}",)) for name in ids)
    return Findings(Status.PASS, figures={"checks": len(ids)}, covers=covers)


FAILED = Findings(Status.FAIL, "exit code 1: it broke")
SKIPPED = Findings(Status.SKIPPED, "not installed: z3")

UNIT, PROOFS = a_step("unit"), a_step("proofs", 1, "prove")
TWO = Chain(LINKS, (UNIT, PROOFS))


def ran(root, *steps):
    """Run these steps below `root`, and read what they left."""
    verify.run(root, steps, "smoke")
    paths = (root / evidence.EVIDENCE).glob("*.json")
    return {found.step: found.findings for found in map(evidence.read, paths)}
