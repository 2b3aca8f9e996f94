"""The files that are derived from the specification: the lifecycle tables and the counters for TLC.

Rules of this file: a text is a function of the specification files and nothing else (no date, no version, no
path), so that writing it twice gives the same bytes. It says from what it was made, and by which command.

Deliberately not here: pictures and tables of the documentation (`narrate`), and writing (`generate`).
"""

from __future__ import annotations

import hashlib
import textwrap
from typing import TYPE_CHECKING

from aiojobs_verification.codegen.tla import counters_text, moves_text
from aiojobs_verification.specification.job import JobSpec, read_job
from aiojobs_verification.specification.load import load
from aiojobs_verification.specification.machine import Machine, read_machine
from aiojobs_verification.specification.tables import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["derived", "digest", "lifecycle_text"]

_SOURCES = ("job.toml", "scheduler.toml")
_WIDTH = 110

_HEADER = '''\
# Generated from spec/job.toml and spec/scheduler.toml by `make generate`. Do not edit.
"""The lifecycle tables: the states of a job, the phases of a scheduler, and every step between them.

Rules of this file: it is data, and the only place where the library says what may follow what. Each table is
total: a cell holds the next state, the same state where the event is a declared no-op, or None where it is
illegal. To change one, change its source and run `make generate`.

`SPEC_DIGEST` is the SHA-256 of the sources: `cat spec/job.toml spec/scheduler.toml | sha256sum`.

Deliberately not here: any decision (`_admission`) and any effect (`_job`, `_scheduler`). The tables are plain
dictionaries because they are read three times in the life of every job; nothing may write to them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HOLDS_SLOT",
    "INITIAL",
    "PHASES",
    "SEEN_AS_CLOSED",
    "SPEC_DIGEST",
    "TERMINAL",
    "TRANSITIONS",
    "Event",
    "Outcome",
    "Phase",
    "PhaseEvent",
    "State",
]
'''
_DIGEST_DOC = "The digest of the files that this one was generated from."


def derived(root: Path) -> dict[Path, str]:
    """Every derived file of the source tree at `root`, with the text that it should have."""
    folder = root / "spec"
    spec = load(folder)
    return {
        root / "src" / "aiojobs" / "_lifecycle.py": lifecycle_text(folder),
        folder / "tla" / "Counters.tla": counters_text(spec.scheduler),
        folder / "tla" / "Lifecycle.tla": moves_text(spec.job.machine),
    }


def digest(folder: Path) -> str:
    """The digest that the generated table carries: of the bytes of its sources, one after the other."""
    content = b"".join((folder / name).read_bytes() for name in _SOURCES)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def lifecycle_text(folder: Path) -> str:
    """The text of `src/aiojobs/_lifecycle.py`."""
    job = read_job(folder / "job.toml")
    phase = read_machine(read_toml(folder / "scheduler.toml").table("phase"))
    outcomes = {name: outcome.meaning for name, outcome in job.outcomes.items()}
    parts = [
        _HEADER,
        f'SPEC_DIGEST: Final = "{digest(folder)}"\n"""{_DIGEST_DOC}"""\n',
        _enum("State", "Where a job is in its life.", job.machine.states),
        _enum("Event", "What can happen to a job.", job.machine.events),
        _enum("Outcome", "How a job ended.", outcomes),
        _enum("Phase", "Where a scheduler is in its life.", phase.states),
        _enum("PhaseEvent", "What can happen to a scheduler.", phase.events),
        _table("TRANSITIONS", "State", "Event", job.machine, "What each event does to a job in each state."),
        _table("PHASES", "Phase", "PhaseEvent", phase, "What each event does to a scheduler in each phase."),
        _sets(job),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _doc(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(f'"""{text}"""', _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _enum(name: str, doc: str, members: Mapping[str, str]) -> str:
    lines = [f"\nclass {name}(StrEnum):", *_doc(doc, "    ")]
    for member, meaning in members.items():
        lines += ["", f'    {member.upper()} = "{member}"', *_doc(meaning, "    ")]
    return "\n".join(lines)


def _table(name: str, states: str, events: str, machine: Machine, doc: str) -> str:
    lines = [f"\n{name}: Final[Mapping[{states}, Mapping[{events}, {states} | None]]] = {{"]
    for state, row in machine.cells.items():
        lines.append(f"    {states}.{state.upper()}: {{")
        for event, dest in row.items():
            value = "None" if dest is None else f"{states}.{dest.upper()}"
            lines.append(f"        {events}.{event.upper()}: {value},")
        lines.append("    },")
    return "\n".join([*lines, "}", *_doc(doc)])


def _sets(job: JobSpec) -> str:
    sets = {
        "TERMINAL": (job.machine.final, "The states that are never left."),
        "HOLDS_SLOT": (job.properties["holds_slot"], "The states in which a job counts against the limit."),
        "SEEN_AS_CLOSED": (job.properties["closed"], "The states in which `Job.closed` is true."),
    }
    lines = [f"INITIAL: Final = State.{job.machine.initial.upper()}", *_doc("The state of every new job.")]
    for name, (states, doc) in sets.items():
        members = _members(state for state in job.machine.states if state in states)
        lines += ["", f"{name}: Final[frozenset[State]] = frozenset({{{members}}})", *_doc(doc)]
    return "\n".join(lines)


def _members(states: Iterable[str]) -> str:
    return ", ".join(f"State.{state.upper()}" for state in states)
