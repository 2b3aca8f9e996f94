"""The scopes of `spec/explore.toml`: the worlds that are explored, and the size of each.

Rules of this file: it reads and writes the manifest, and knows nothing of exploring. The figures are
pinned for each minor version of Python, since asyncio differs: a task that takes a turn more is other
states. A Python for which nothing is pinned is explored all the same, and its figures are shown.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.simulation.world.world import Scope
from aiojobs_verification.specification.locate import find_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["MANIFEST", "TIERS", "Case", "pin", "read_cases"]

MANIFEST: Final = "explore.toml"

TIERS: Final = ("smoke", "full", "baseline")

_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
_FIGURES: Final = ("states", "events", "depth")


@dataclass(frozen=True, slots=True)
class Case:
    """A scope of the manifest: its name, its tier, and what is expected of it."""

    name: str
    tier: str
    scope: Scope
    expect: Mapping[str, int]
    """The pinned figures for this version of Python; empty if there are none."""
    breaks: tuple[str, ...] = ()
    """For another package: the requirements that it must be found to break."""

    @property
    def applicable(self) -> bool:
        """Eager tasks came with Python 3.12."""
        return not self.scope.eager or sys.version_info >= (3, 12)


def read_cases(source: Path | None = None) -> list[Case]:
    """The cases of the manifest, in its order."""
    path = source or find_spec() / MANIFEST
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["scope"]
    cases: list[Case] = []
    for entry in entries:
        case = _case(dict(entry), path.name)
        if any(case.name == other.name for other in cases):
            raise ValueError(f"{path.name}: the scope {case.name} is there twice")
        cases.append(case)
    return cases


def _case(entry: dict[str, Any], source: str) -> Case:
    name, tier = entry.pop("name"), entry.pop("tier")
    pinned = entry.pop("expect", {}).get(_PYTHON, ())
    breaks = tuple(entry.pop("breaks", ()))
    if entry.pop("unlimited", False):
        entry["limit"] = None
    unknown = set(entry) - {field.name for field in fields(Scope)}
    if unknown or tier not in TIERS:
        raise ValueError(f"{source}, scope {name}: tier {tier}, unknown keys {sorted(unknown)}")
    return Case(name, tier, Scope.of(entry), dict(zip(_FIGURES, pinned, strict=False)), breaks)


def pin(results: Iterable[tuple[Case, Mapping[str, int]]], target: Path | None = None) -> None:
    """Write the figures of this version of Python into the line `expect = …` of each scope."""
    path = target or find_spec() / MANIFEST
    lines = path.read_text(encoding="utf-8").splitlines()
    for case, figures in results:
        index, pinned = _pinned(lines, case)
        pinned[_PYTHON] = [figures[name] for name in _FIGURES]
        shown = ", ".join(f'"{python}" = {pinned[python]}' for python in sorted(pinned))
        lines[index] = f"expect = {{ {shown} }}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pinned(lines: list[str], case: Case) -> tuple[int, dict[str, list[int]]]:
    """The number of a scope's line `expect = …`, which a new scope is given here, and what that says."""
    index = lines.index(f'name = "{case.name}"')
    while index < len(lines) and lines[index].strip():
        if lines[index].startswith("expect ="):
            return index, tomllib.loads(lines[index])["expect"]
        index += 1
    lines.insert(index, "")
    return index, {}
