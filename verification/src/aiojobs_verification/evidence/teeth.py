"""The teeth of each kind of check: the seeded faults that it finds by itself, for each requirement.

Rules of this file: a pure function. A fault counts for a kind only if the evidence of this run, or the record of
the last full run, says that this kind found it. Where a run that tried every seeded fault left a place without
one it is empty, also for the lesser runs that follow: a kind of check that was never seen to notice that a
promise is broken does not speak for it.

Deliberately not here: finding the faults, and what an empty place means for the verdict (`verdict`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiojobs_verification.evidence.evidence import Evidence

    Found = Mapping[str, Mapping[str, Iterable[str]]]
    """Requirement -> kind of check -> names of the seeded faults that it found by itself."""

SEEDED: Final = "mutant"
"""The kind that seeds the faults which the others have to find."""


class Seen(StrEnum):
    """When a kind of check was last seen to find a fault of a requirement."""

    NOW = "this run"
    BEFORE = "last full run"
    NOT_DUE = "not due"
    NEVER = "empty"


@dataclass(frozen=True, slots=True)
class Tooth:
    """One kind of check of one requirement, and the faults that show that it can fail."""

    kind: str
    seen: Seen
    faults: tuple[str, ...] = ()


def teeth(
    counted: Mapping[str, Sequence[str]], now: Found, before: Found, *, complete: bool
) -> dict[str, tuple[Tooth, ...]]:
    """The matrix for the kinds that each requirement counts on; `complete` if this run tried every fault."""
    return {
        name: tuple(_tooth(name, kind, now, before, complete) for kind in kinds if kind != SEEDED)
        for name, kinds in counted.items()
    }


def _tooth(name: str, kind: str, now: Found, before: Found, complete: bool) -> Tooth:
    for seen, found in ((Seen.NOW, now), (Seen.BEFORE, {} if complete else before)):
        if faults := tuple(sorted(found.get(name, {}).get(kind, ()))):
            return Tooth(kind, seen, faults)
    tried = complete or kind in before.get(name, {})
    return Tooth(kind, Seen.NEVER if tried else Seen.NOT_DUE)


def shown(evidence: Iterable[Evidence]) -> dict[str, dict[str, set[str]]]:
    """What the steps of one run have shown, together."""
    found: dict[str, dict[str, set[str]]] = {}
    for step in evidence:
        for name, by_kind in step.findings.teeth.items():
            for kind, faults in by_kind.items():
                found.setdefault(name, {}).setdefault(kind, set()).update(faults)
    return found
