"""The scheduler package under test: this one, or another with the same API, such as aiojobs 1.4.0.

Rules of this file: it is the only one here that knows that packages differ. What a package does not have
(an observer, `spawn_nowait`, `Job.state`) is found out by looking, and the oracle then goes without it.

How another package is loaded: from a folder, under a name of its own, so that it can never be mistaken for
this one and both can be in one process. Its jobs may be kept in a `set`, whose order depends on addresses;
since the explorer needs the same run twice, such a set is exchanged for one that remembers its order. That
is the only thing done to it.
"""

from __future__ import annotations

import asyncio
import dis
import importlib.util
import inspect
import linecache
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, MutableSet, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiojobs

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["BASELINE", "Package", "View", "fetch", "load", "own"]

BASELINE: Final = "1.4.0"
"""The version of aiojobs from the package index that the same harness must catch."""


class View(NamedTuple):
    """What a scheduler says about itself at one moment."""

    phase: str
    """``open``, ``closing``, ``closed``; of a package without phases ``open`` or ``not open``."""
    active: int
    pending: int
    size: int
    listed: tuple[str | None, ...]
    """The names of its jobs, in the order of its iteration."""


class Package:
    """A package with `Scheduler` and `Job`, and what it can do."""

    def __init__(self, module: Any, label: str) -> None:
        self.module = module
        self.label = label
        parameters = inspect.signature(module.Scheduler).parameters
        self.observed = "observer" in parameters
        """It tells every step to an observer."""
        self.nowait = hasattr(module.Scheduler, "spawn_nowait")
        self.awaitable = hasattr(module.Job, "__await__")
        self.states = hasattr(module.Job, "state")
        self.phases = hasattr(module.Scheduler, "phase")
        self.resizes = hasattr(module.Scheduler, "set_limit")
        """Its limit can be set anew, and one can wait until it is idle."""
        self.has_terms = "timeout" in inspect.signature(module.Scheduler.spawn).parameters
        """Jobs can be given a time limit, and be left out of draining."""
        self.threads = hasattr(module.Scheduler, "spawn_threadsafe")
        """It can be given coroutines in another thread."""
        self.reports = hasattr(module.Scheduler, "shutdown_report")
        """It says what closing did to the jobs that were left."""
        self.pictures = hasattr(module.Scheduler, "snapshot")
        """It can be looked at as a whole."""
        self.truthful = hasattr(module.Job, "cancelled")
        """Its tasks end as the coroutines of its jobs do."""
        self.folder = str(Path(module.__file__).parent)
        self.stopped: type[BaseException] = getattr(module, "JobClosed", asyncio.CancelledError)
        """What a waiter of a stopped job gets."""
        self.full: type[BaseException] = getattr(module, "PendingQueueFull", asyncio.QueueFull)

    def scheduler(
        self,
        *,
        limit: int | None,
        pending_limit: int,
        close_timeout: float,
        wait_timeout: float,
        exception_handler: Callable[..., object] | None,
        observers: Sequence[Callable[..., object]],
    ) -> Any:
        """A new scheduler; the observers are given to those that take them."""
        extra: dict[str, Any] = {"observer": observers} if self.observed else {}
        made = self.module.Scheduler(
            limit=limit,
            pending_limit=pending_limit,
            close_timeout=close_timeout,
            wait_timeout=wait_timeout,
            exception_handler=exception_handler,
            **extra,
        )
        for name in ("_jobs", "_shields"):
            if type(getattr(made, name, None)) is set:
                setattr(made, name, _Ordered())
        return made

    def view(self, scheduler: Any) -> View:
        """What the scheduler says about itself now."""
        phase = str(scheduler.phase) if self.phases else ("not open" if scheduler.closed else "open")
        listed = tuple([job.get_name() for job in scheduler])
        return View(phase, scheduler.active_count, scheduler.pending_count, self.size(scheduler), listed)

    def size(self, scheduler: Any) -> int:
        """How many jobs the scheduler says that it has."""
        try:
            return len(scheduler)
        except ValueError:  # below zero, says Python
            return -1

    def raised(self, error: BaseException) -> bool:
        """Whether this comes out of the package, and neither the world nor its loop has raised it there."""
        files = [_file(trace) for trace in _frames(error)]
        own = any(str(Path(file).parent) == self.folder for file in files)
        outside = [file for file in files if not _is_library(file)]
        return own and not outside[-1].startswith(_WORLD)

    def crashed(self, error: object) -> bool:
        """Whether it comes from there, and the package can't have meant it: no ``raise`` of its own has raised it."""
        if not isinstance(error, Exception) or _is_of_the_world(error) or not self.raised(error):
            return False
        last = _frames(error)[-1]
        if _is_library(_file(last)):
            return not isinstance(error, TimeoutError)
        return (
            not _is_meant(last)
            or isinstance(error, _NEVER_MEANT)
            or type(error).__name__ == "IllegalTransition"
        )

    def ended(self, job: Any) -> bool:
        """Whether the job says that it has ended."""
        return bool(job.done()) if self.states else bool(job.closed)


_RAISE: Final = dis.opmap["RAISE_VARARGS"]
_NEVER_MEANT: Final = (AssertionError, RecursionError)
_LIBRARY: Final = (sysconfig.get_path("stdlib"), "<frozen ")
"""Where Python's own library is."""
_WORLD: Final = (str(Path(__file__).parents[1]), str(Path(aiojobs.__file__).parent / "testing"))
"""Where the coroutines, the callers and the strangers of the simulated world are, and its loop."""


def _frames(error: BaseException) -> list[TracebackType]:
    frames: list[TracebackType] = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    return frames


def _file(trace: TracebackType) -> str:
    """The file of a frame; what is compiled has its name without the folder."""
    file = trace.tb_frame.f_code.co_filename
    if not _is_compiled(trace):
        return file
    return str(Path(trace.tb_frame.f_globals["__file__"]).with_name(Path(file).name))


def _is_compiled(trace: TracebackType) -> bool:
    return str(trace.tb_frame.f_globals.get("__file__")).endswith((".so", ".pyd"))


def _is_meant(trace: TracebackType) -> bool:
    """Whether a ``raise`` has raised it there; of what is compiled there is no bytecode, but the text."""
    if _is_compiled(trace):
        return linecache.getline(_file(trace), trace.tb_lineno).lstrip().startswith("raise ")
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE


def _is_library(file: str) -> bool:
    return file.startswith(_LIBRARY) and "site-packages" not in file


def _is_of_the_world(error: BaseException) -> bool:
    """Whether a coroutine, a handler or a stranger of the simulated world raises such errors."""
    return type(error).__module__.startswith(f"{__name__.partition('.')[0]}.")


class _Ordered(MutableSet[Any]):
    """A set that remembers its order."""

    def __init__(self) -> None:
        self._items: dict[Any, None] = {}

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: Any) -> None:
        self._items[value] = None

    def discard(self, value: Any) -> None:
        self._items.pop(value, None)


def own() -> Package:
    """The package that this file belongs to."""
    return Package(aiojobs, "aiojobs")


def load(folder: Path, label: str) -> Package:
    """The package in `folder` (the one that contains `__init__.py`), under a name of its own."""
    name = "aiojobs_under_test_" + "".join(c if c.isalnum() else "_" for c in label)
    found = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if found is None or found.loader is None:
        raise FileNotFoundError(f"no package in {folder}")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    if not hasattr(module, "Job"):
        module.Job = sys.modules[f"{name}._job"].Job  # type: ignore[attr-defined]
    return Package(module, label)


def fetch(version: str, folder: Path) -> Path:
    """Aiojobs of that version from the package index, in `folder`; it can't be imported by name."""
    target = folder / f"aiojobs-{version}"
    package = target / "aiojobs"
    if not (package / "__init__.py").is_file():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        command += ["--disable-pip-version-check", "--target", str(target), f"aiojobs=={version}"]
        subprocess.run(command, check=True)
    return package
