"""`python -m aiojobs_verification generate`: write the files that are derived from the specification.

Rules of this file: what is written is a function of the specification files and nothing else (no date, no
version, no path), so that writing it twice gives the same bytes and a check can compare. What is written says
from what, and by which command.

Deliberately not here: pictures and tables of the documentation (`draw`).
"""

from __future__ import annotations

import difflib
import hashlib
import sys
import textwrap
from itertools import islice
from typing import TYPE_CHECKING

from aiojobs_verification.cli.commands import FAILED, PASSED, Subparsers
from aiojobs_verification.codegen.tla import counters_text, moves_text
from aiojobs_verification.specification.job import JobSpec, read_job
from aiojobs_verification.specification.load import load
from aiojobs_verification.specification.locate import repository
from aiojobs_verification.specification.machine import Machine, read_machine
from aiojobs_verification.specification.tables import read_toml

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["derived", "digest", "lifecycle_text", "register", "settle_files"]

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


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("generate", help="write the files that are derived from the specification")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    return settle_files(derived(repository()), check=arguments.check)


def derived(root: Path) -> dict[Path, str]:
    """Every derived file of the source tree at `root`, with the text that it should have."""
    folder = root / "spec"
    spec = load(folder)
    return {
        root / "src" / "aiojobs" / "_lifecycle.py": lifecycle_text(folder),
        folder / "tla" / "Counters.tla": counters_text(spec.scheduler),
        folder / "tla" / "Lifecycle.tla": moves_text(spec.job.machine),
    }


def settle_files(files: Mapping[Path, str], *, check: bool) -> int:
    """Write the files that differ from their text, or, to `check`, show how they differ; the exit code."""
    stale = {path: text for path, text in files.items() if _content(path) != text}
    for path in files:
        said = "fresh" if path not in stale else "stale" if check else "written"
        print(f"{said:8} {path}")
    for path, text in stale.items():
        if check:
            _show_difference(path, text)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    return FAILED if stale and check else PASSED


def _content(path: Path) -> str | None:
    # Bytes, so that line ends count: a file is fresh only if writing it again would change nothing.
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else None


def _show_difference(path: Path, text: str) -> None:
    old = (_content(path) or "").splitlines()
    lines = difflib.unified_diff(
        old, text.splitlines(), f"{path} as it is", f"{path} as it should be", lineterm=""
    )
    print("\n".join(islice(lines, 20)), file=sys.stderr)


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
