"""Teeth as a matrix: for each requirement and kind of check, the faults that this kind has found by itself.

Rules of this file: a cell is wanted if `requirements.toml` counts the kind for the requirement. It is filled
by a fault that this kind of check found on account of this requirement, without help of another kind. A cell
that the whole catalogue leaves empty is a failure: a check that has never been seen to find anything is not
evidence. What the model finds is said by the manifest of `spec/tla`, and shown by the step `check`.

How it works: a run of all faults writes the matrix to `spec/mutants/teeth.toml`. The report of a run of some
shows its own cells, and for the others names the faults of the last full run.

Deliberately not here: finding (`finders`) and showing (`mutants`, the report).
"""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiojobs_verification.fault_injection.catalogue import FOLDER, KIND
from aiojobs_verification.specification.tables import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from aiojobs_verification.fault_injection.trials import Trial
    from aiojobs_verification.specification.requirements import Requirements

__all__ = ["Matrix", "empty", "matrix", "of_the_model", "write_matrix"]

Matrix: TypeAlias = "dict[str, dict[str, list[str]]]"
"""Requirement -> kind of check -> names of faults."""

FILE: Final = "teeth.toml"
_MODEL: Final = "model"
_MANIFEST: Final = ("tla", "manifest.toml")
_RULE: Final = re.compile(r"([A-Z]+)_(\d+)")
_SHOWN: Final = 5
"""So many names say enough in the file."""
_HEAD: Final = """\
# Which seeded faults each kind of check has found by itself, requirement by requirement: up to {shown} of them, the
# first ones of the catalogue. Written by `python -m aiojobs_verification mutants --tier full`; a run of the
# representative few shows it beside its own.

commit = "{commit}"
date = "{date}"
"""


def matrix(requirements: Requirements, tried: Iterable[Trial], spec: Path) -> Matrix:
    """Every cell that is wanted, with those that have filled it."""
    found: Matrix = {
        name: {kind: [] for kind in one.checks if kind != KIND} for name, one in requirements.by_id.items()
    }
    cells = [(*cell, trial.fault.name) for trial in tried for cell in trial.found()]
    for requirement, kind, name in [*cells, *of_the_model(spec)]:
        names = found.get(requirement, {}).get(kind)
        if names is not None and name not in names:
            names.append(name)
    return found


def of_the_model(spec: Path) -> Iterable[tuple[str, str, str]]:
    """The cells that the faults of the TLA+ model fill: each is refuted by a rule that is named after one."""
    for name, fault in read_toml(spec.joinpath(*_MANIFEST)).tables("fault"):
        if rule := _RULE.match(fault.text("refutes")):
            yield f"{rule[1]}-{rule[2]}", _MODEL, name


def empty(found: Matrix) -> list[tuple[str, str]]:
    """The cells that nothing has filled."""
    return [(name, kind) for name, row in found.items() for kind, names in row.items() if not names]


def write_matrix(spec: Path, found: Mapping[str, Mapping[str, list[str]]], root: Path) -> None:
    """Leave the matrix of a full run for those that try a few."""
    today = datetime.now(tz=UTC).date().isoformat()
    lines = [_HEAD.format(shown=_SHOWN, commit=_commit(root), date=today)]
    for name, row in found.items():
        lines.append(f'[teeth."{name}"]')
        lines += [f"{kind} = {_list(names[:_SHOWN])}" for kind, names in row.items()]
        lines.append("")
    (spec / FOLDER / FILE).write_text("\n".join(lines), encoding="utf-8")


def _list(names: Iterable[Any]) -> str:
    return json.dumps(list(names), ensure_ascii=False)


def _commit(root: Path) -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
