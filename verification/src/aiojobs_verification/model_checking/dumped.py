"""The graph of `Jobs.tla` as TLC dumps it: its states, and the steps between them.

Rules of this file: nothing here knows the model. A graph is dumped once for a text of the model and its constants,
and kept in a file that is named by both, so that none is ever read for another model. Of the file only what is used
is read: the lines are sorted by what they begin with, and a state becomes values when somebody asks for it.

Deliberately not here: what is compared with it (`simulation.oracle.refinement`).
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import tempfile
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.model_checking.tla_text import read_state

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from aiojobs_verification.model_checking.constants import Constants
    from aiojobs_verification.model_checking.tlc import Toolbox

__all__ = ["DumpedGraph", "dumped"]

_MODULES: Final = ("Jobs", "Counters", "Lifecycle")
_NODE: Final = re.compile(r'^(-?\d+) \[label="((?:[^"\\]|\\.)*)"', re.MULTILINE)
_EDGE: Final = re.compile(r'^(-?\d+) -> (-?\d+) \[label="(\w+)', re.MULTILINE)


class DumpedGraph:
    """A graph that TLC has dumped."""

    def __init__(self, path: Path, constants: Constants, replaced: Mapping[str, str]) -> None:
        self.jobs, self.callers = constants.jobs, constants.callers
        # TLC writes a sequence and a function differently when there is nothing in it.
        text = path.read_text(encoding="utf-8").replace("<< >>", "<<>>")
        self._labels = dict(_NODE.findall(text))
        self._numbers = {label: int(name) for name, label in self._labels.items()}
        # A step of a faulty action bears the name of the fault.
        meant = {fault: name for name, fault in replaced.items()}
        self._steps: dict[int, list[tuple[str, int]]] = {}
        for edge in _EDGE.finditer(text):
            source, target, action = int(edge[1]), int(edge[2]), str(edge[3])
            self._steps.setdefault(source, []).append((meant.get(action, action), target))
        self._seen: dict[str, Any] = {}

    @cached_property
    def _names(self) -> list[str]:
        """The variables, in the order in which TLC writes them."""
        return list(self.state(next(iter(self._numbers.values()))))

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self) -> Sequence[int]:
        """Every state."""
        return list(self._numbers.values())

    def find(self, state: Mapping[str, Any]) -> int | None:
        """The number of a state; None if the model has no such state."""
        return self._numbers.get(r"\n".join(rf"/\\ {name} = {_written(state[name])}" for name in self._names))

    def state(self, number: int) -> Mapping[str, Any]:
        """The variables of a state."""
        text = self._labels[str(number)].replace(r"\"", '"').replace("\\\\", "\\")
        return read_state(text.split("\\n"), self._seen)

    def steps(self, number: int) -> Sequence[tuple[str, int]]:
        """The steps that lead out of a state: an action, and where it leads."""
        return self._steps.get(number, ())


def _written(value: Any) -> str:
    """A value as TLC writes it in a label."""
    if isinstance(value, tuple):
        return f"<<{', '.join(map(_written, value))}>>"
    if isinstance(value, str):
        return rf"\"{value}\""
    return str(value).upper() if isinstance(value, bool) else str(value)


def dumped(
    constants: Constants,
    folder: Path,
    toolbox: Toolbox,
    cache: Path,
    replaced: Mapping[str, str] | None = None,
) -> DumpedGraph:
    """The graph of the model in `folder` for these constants, from the cache or by TLC.

    `replaced` makes it that of a faulty model: operators, and what of `Faults.tla` is put in their place.
    """
    main, config = "Faults" if replaced else "Jobs", constants.config(replaced or {})
    files = {f"{name}.tla": (folder / f"{name}.tla").read_bytes() for name in (*_MODULES, main)}
    files["dump.cfg"] = config.encode()
    digest = hashlib.sha256(b"\0".join([*files.values(), str(toolbox.jar).encode()]))
    path = cache / f"{digest.hexdigest()[:32]}.dot"
    with _alone(path.with_suffix(".lock")):
        if not path.is_file():
            _dump(main, files, toolbox, path)
    return DumpedGraph(path, constants, replaced or {})


def _dump(main: str, files: Mapping[str, bytes], toolbox: Toolbox, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="model-") as name:
        own = Path(name)
        for file, content in files.items():
            (own / file).write_bytes(content)
        toolbox.run(own, main, "dump", dump=path.with_suffix(".new"), seconds=1800)
    path.with_suffix(".new").replace(path)


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Nobody else, in whatever process, is in here for the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
