"""Copies of the source tree, and processes in which something may go wrong.

Rules of this file: the working tree is read once, at the beginning, and never written. Whatever is tried is
tried in a copy of its own and in a process of its own, which imports the library and the tests from that
copy and from nowhere else. A process has so many seconds; then it is killed, with all that it has started.

How it works: this process has imported the tools, and forks; the child forgets every module of the library
that it inherited, so that `import aiojobs` finds the copy. That takes a tenth of the time of starting
Python and the tools anew. A copy consists of links, but for the files that are changed; that nobody has
written through one of them is checked at the end (`intact`). Compiled files are there too, but never those
of a file that was changed: Python would tell old from new by the second and the size.

Deliberately not here: what is tried (`finders`), and in which order (`mutants`).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["ERROR", "TIMEOUT", "Attempt", "Sandbox"]

_PARTS: Final = ("src", "spec", "tests", "verification", "docs", "pyproject.toml", "conftest.py")
"""What the checks need of the tree."""
_PACKAGE: Final = "aiojobs"
_TOOLS: Final = ("pytest", "hypothesis.strategies", "aiohttp.web", "z3", "tomllib")
"""What is imported once, before the first process."""
_TICK: Final = 0.01
_LAST_WORDS: Final = 2000

ERROR: Final = "error"
TIMEOUT: Final = "timeout"


@dataclass(slots=True)
class Attempt:
    """Something to be tried: a function of `finders`, and what it is told."""

    name: str
    what: str
    told: Mapping[str, Any]
    seconds: float
    files: Mapping[str, str] = field(default_factory=dict)
    """Files of the copy that are to have another text: path -> text."""
    in_base: bool = False
    """To be tried in the unchanged copy itself; what is compiled there is copied with it from then on."""


@dataclass(slots=True)
class _Running:
    task: Attempt
    folder: Path
    answer: Path
    process: int
    until: float


class Sandbox:
    """A folder with a copy of the tree at `root`, and the processes that are at work in it."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="aiojobs-mutants-"))
        self.base = self.folder / "unchanged"
        self._running: list[_Running] = []
        self._made = 0
        self.base.mkdir()
        for part in _PARTS:
            source = root / part
            if source.is_dir():
                shutil.copytree(source, self.base / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.is_file():
                shutil.copy2(source, self.base / part)
        self._digest = _digest(self.base)
        for tool in _TOOLS:
            with suppress(ImportError):
                importlib.import_module(tool)

    def intact(self) -> bool:
        """Whether the unchanged copy is still unchanged."""
        return _digest(self.base) == self._digest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self._running:
            _kill(running.process)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def at_work(self) -> list[str]:
        """The names of what is being tried, the oldest first."""
        return [running.task.name for running in self._running]

    def run(self, tasks: deque[Attempt], workers: int) -> Iterator[tuple[Attempt, dict[str, Any]] | None]:
        """Try `tasks`, so many at a time; each with its answer as they come, or None when there is no news.

        More tasks may be added meanwhile.
        """
        while tasks or self._running:
            while tasks and len(self._running) < workers:
                self._running.append(self._start(tasks.popleft()))
            for running in list(self._running):
                answer = _answer(running)
                if answer is not None:
                    self._running.remove(running)
                    if not running.task.in_base:
                        shutil.rmtree(running.folder, ignore_errors=True)
                    yield running.task, answer
            yield None
            time.sleep(_TICK)

    def _start(self, task: Attempt) -> _Running:
        self._made += 1
        folder = self.base if task.in_base else self.folder / str(self._made)
        if not task.in_base:
            shutil.copytree(self.base, folder, copy_function=os.link)
        _change(folder, task)
        answer = self.folder / f"{self._made}.json"
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process == 0:
            _work(task, folder, answer)
        return _Running(task, folder, answer, process, time.monotonic() + task.seconds)


def _digest(folder: Path) -> str:
    """Of all that was copied; not of what is compiled or remembered from it."""
    digest = hashlib.sha256()
    for part in _PARTS:
        for path in sorted([folder / part, *(folder / part).rglob("*")]):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(folder)}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _change(folder: Path, task: Attempt) -> None:
    """Put the fault into the copy."""
    for name, text in task.files.items():
        path = folder / name
        path.unlink(missing_ok=True)  # it is a link to the unchanged file
        path.write_text(text, encoding="utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()


def _answer(running: _Running) -> dict[str, Any] | None:
    """What came out of it; None as long as it is at work."""
    ended, status = os.waitpid(running.process, os.WNOHANG)
    if not ended:
        if time.monotonic() < running.until:
            return None
        _kill(running.process)
        return {"status": TIMEOUT, "story": f"it did not come back within {running.task.seconds:g} s"}
    try:
        answer: dict[str, Any] = json.loads(running.answer.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = _last_words(running.answer)
        return {"status": ERROR, "story": f"it ended with status {status} and without an answer\n{said}"}
    return answer


def _kill(process: int) -> None:
    """Kill a child and everything that it has started."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(process, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(process, 0)


def _last_words(answer: Path) -> str:
    said = answer.with_suffix(".out")
    return said.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:] if said.is_file() else ""


# In the child.


def _work(task: Attempt, folder: Path, answer: Path) -> NoReturn:
    """Do what was asked, in the copy at `folder`; never returns."""
    code = 1
    try:
        _settle(folder, answer.with_suffix(".out"))
        finders = importlib.import_module("aiojobs_verification.fault_injection.finders")
        found = getattr(finders, task.what)(folder, dict(task.told))
        answer.write_text(json.dumps(found), encoding="utf-8")
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent has to hear of it
        traceback.print_exc()
        story = "".join(traceback.format_exception_only(error)).strip()
        answer.write_text(json.dumps({"status": ERROR, "story": story}), encoding="utf-8")
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)


def _settle(folder: Path, out: Path) -> None:
    """Become a process of its own, whose library is the copy."""
    os.setsid()
    to = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(to, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    sources = [str(folder / "src"), str(folder / "verification" / "src")]
    os.environ["PYTHONPATH"] = os.pathsep.join(sources)
    for name in _of_the_unchanged_tree():
        del sys.modules[name]
    sys.path[:0] = sources
    importlib.invalidate_caches()
    sys.dont_write_bytecode = False


def _of_the_unchanged_tree() -> list[str]:
    """The modules of the library, and those that tests have left behind: each knows the unchanged library."""
    package = importlib.import_module(_PACKAGE)
    tests = Path(str(package.__file__)).parents[2] / "tests"
    return [
        name
        for name, module in sys.modules.items()
        if name.partition(".")[0] in {_PACKAGE, "aiojobs_verification"}
        or str(getattr(module, "__file__", None)).startswith(f"{tests}{os.sep}")
    ]
