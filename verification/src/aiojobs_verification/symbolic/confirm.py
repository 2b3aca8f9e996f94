"""CrossHair as a function: contracts in, what it said of each out.

Rules of this file: it judges nothing. A line of output belongs to the contract in whose lines it points; one
that points elsewhere is a stray. Where nothing was said, as much as is known of the reason is kept.

How it works: CrossHair runs in a process of its own, by its command line, with the flags without which it
finds nothing and says nothing. It is told each contract by file and line, so that no other is checked. The
environment names the library that the contracts import, and never strips `assert`s.

Deliberately not here: what the silence of a tool is worth (`symbolic`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiojobs_verification.symbolic.contracts import Contract, probes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["SURE", "CrossHair", "Message", "Said"]

SURE: Final = "Confirmed over all paths."
"""What CrossHair says of a contract that holds."""

_FLAGS: Final = ("--analysis_kind=asserts", "--report_all")
_LINE: Final = re.compile(r"^(?P<file>.+?):(?P<line>\d+): (?P<kind>info|error): (?P<message>.*)$")
_SPARE: Final = 60
"""Seconds beyond the time for the contracts, for starting up on a busy machine."""


@dataclass(frozen=True, slots=True)
class Message:
    """One line of CrossHair's output."""

    file: str
    line: int
    is_error: bool
    text: str
    at: str = ""
    """The line of source that it points at."""


@dataclass(frozen=True, slots=True)
class Said:
    """What CrossHair said of some contracts."""

    by_name: Mapping[str, list[Message]]
    strays: tuple[str, ...] = ()
    """Errors that belong to none of them."""
    silence: str = ""
    """Why nothing was said, as far as is known."""

    def of(self, contract: Contract) -> list[Message]:
        """What was said of one of them."""
        return self.by_name.get(contract.name, [])


@dataclass(frozen=True, slots=True)
class CrossHair:
    """Runs CrossHair on modules of contracts."""

    root: Path
    folder: Path
    scratch: Path
    seconds: int
    environment: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        folders = (self.root / "src", self.root / "verification" / "src", self.folder)
        path = os.pathsep.join(str(folder.resolve()) for folder in folders)
        # Without asserts nothing would be checked at all.
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"}
        object.__setattr__(self, "environment", {**kept, "PYTHONPATH": path, "PYTHONHASHSEED": "0"})

    def wrong_library(self) -> str:
        """What is wrong if the contracts would speak of a library that is not the one under `root`."""
        script = "import aiojobs._admission, sys; sys.stdout.write(aiojobs._admission.__file__)"
        left = self._run(sys.executable, "-c", script, seconds=_SPARE)
        if left.returncode:
            return f"the library under {self.root} can't be imported: {_last(left.stderr)}"
        if not Path(left.stdout).is_relative_to(self.root.resolve()):
            return f"the contracts would speak of {left.stdout}, not of what is under {self.root}"
        return ""

    def check(self, module: str, contracts: Sequence[Contract]) -> Said:
        """Check these contracts of one module."""
        return self._said(self.folder / f"{module}.py", contracts)

    def probe(self, module: str, contracts: Sequence[Contract]) -> Said:
        """Check instead that the ends of these contracts can't be reached."""
        path = self.scratch / f"probe_{module}.py"
        path.write_text(probes((self.folder / f"{module}.py").read_text("utf-8")), encoding="utf-8")
        return self._said(path, contracts, shifted=True)

    def _said(self, path: Path, contracts: Sequence[Contract], *, shifted: bool = False) -> Said:
        if not contracts:
            return Said({})
        lines = path.read_text("utf-8").splitlines()
        places = _places(lines) if shifted else {c.name: range(c.first, c.last + 1) for c in contracts}
        targets = [f"{path}:{places[contract.name].start}" for contract in contracts]
        flags = (*_FLAGS, f"--per_condition_timeout={self.seconds}")
        try:
            left = self._run(
                sys.executable, "-m", "crosshair", "check", *flags, *targets,
                seconds=self.seconds * len(contracts) + _SPARE,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Said({}, silence="CrossHair did not come back")
        messages = list(_messages(left.stdout, lines))
        return _sorted(messages, path, places, f"CrossHair said nothing of it. {_last(left.stderr)}".strip())

    def _run(self, *command: str, seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.scratch,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def _places(lines: Sequence[str]) -> dict[str, range]:
    """Where the functions of a module are."""
    starts = [number for number, line in enumerate(lines, start=1) if line.startswith("def ")]
    ends = [*starts[1:], len(lines) + 1]
    return {
        lines[start - 1].removeprefix("def ").partition("(")[0]: range(start, end)
        for start, end in zip(starts, ends, strict=True)
    }


def _messages(output: str, lines: Sequence[str]) -> Iterator[Message]:
    for line in output.splitlines():
        found = _LINE.match(line)
        if found is not None:
            number = int(found["line"])
            at = f"line {number}: {lines[number - 1].strip()}" if number <= len(lines) else ""
            yield Message(found["file"], number, found["kind"] == "error", found["message"].strip(), at)


def _sorted(messages: Iterable[Message], path: Path, places: Mapping[str, range], silence: str) -> Said:
    by_name: defaultdict[str, list[Message]] = defaultdict(list)
    strays: list[str] = []
    for message in messages:
        names = [name for name, place in places.items() if message.line in place]
        if Path(message.file).name == path.name and names:
            by_name[names[0]].append(message)
        else:
            strays.append(f"{Path(message.file).name}, line {message.line}: {message.text}")
    return Said(by_name, tuple(strays), silence)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
