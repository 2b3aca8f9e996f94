"""The whole specification, read and validated as one.

Rules of this file: each file is valid by itself (`job`, `scheduler`, `requirements` see to that), and
together they are linked: a statement speaks only for requirements that exist and that say they are proved,
a requirement that says it is proved has a statement that speaks for it, and a liveness rule rests on
assumptions that exist.

Deliberately not here: where the files are (`locate`) and whether what they say is true (`prove`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.job import JobSpec, read_job
from aiojobs_verification.specification.locate import find_spec
from aiojobs_verification.specification.requirements import (
    Assumption,
    Requirements,
    read_assumptions,
    read_requirements,
)
from aiojobs_verification.specification.scheduler import SchedulerSpec, read_scheduler

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FILES", "Spec", "load"]

FILES = ("job.toml", "scheduler.toml", "requirements.toml", "assumptions.toml")
"""The files of a specification."""

PROOF = "prove"
"""The kind of check that the statements of scheduler.toml are for."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A specification whose files are valid by themselves and together."""

    folder: Path
    job: JobSpec
    scheduler: SchedulerSpec
    requirements: Requirements
    assumptions: Mapping[str, Assumption]


def load(folder: Path | None = None) -> Spec:
    """Read the specification in `folder`, by default the reference; a fault is a `SpecError`."""
    folder = folder or find_spec()
    job = read_job(folder / "job.toml")
    spec = Spec(
        folder=folder,
        job=job,
        scheduler=read_scheduler(folder / "scheduler.toml", job),
        requirements=read_requirements(folder / "requirements.toml"),
        assumptions=read_assumptions(folder / "assumptions.toml"),
    )
    _check_links(spec)
    _check_assumptions(spec)
    return spec


def _check_links(spec: Spec) -> None:
    known = spec.requirements.by_id
    linked: set[str] = set()
    for table, name, ids in spec.scheduler.links():
        place = f"{table}.{name}" if name else table
        for id_ in ids:
            if id_ not in known:
                raise SpecError(
                    f"unknown requirement '{id_}'", file=FILES[1], table=place, key="requirements"
                )
            if PROOF not in known[id_].checks:
                fault = f"'{id_}' is not among the requirements that are checked by '{PROOF}'"
                raise SpecError(fault, file=FILES[1], table=place, key="requirements")
            linked.add(id_)
    for id_, requirement in known.items():
        if PROOF in requirement.checks and id_ not in linked:
            fault = f"'{PROOF}' is listed, but no statement of {FILES[1]} speaks for '{id_}'"
            raise SpecError(fault, file=FILES[2], table=f"requirement {id_}", key="checks")


def _check_assumptions(spec: Spec) -> None:
    for name, rule in spec.scheduler.liveness.items():
        for id_ in rule.assumes:
            if id_ not in spec.assumptions:
                fault = f"unknown assumption '{id_}'"
                raise SpecError(fault, file=FILES[1], table=f"liveness.{name}", key="assumes")
