"""Where portions of work are done: in processes of this machine, or on the workers of a Dask cluster.

Rules of this file: whoever has a `Pool` can't tell which it is. A portion is a function of its arguments alone, so
where it is done, and how often, makes no difference to what comes of it.

A worker that is not as this process is would explore something else. So each is asked what it is (`identity`) before
any work, and once more with each portion, since workers come and go. One that differs is refused by its address, with
what differs. A worker has one thread: two worlds in one process would hear each other's warnings. And it has no
profiler, which every ten milliseconds takes hold of the frames of all threads: a world whose jobs have ended would
find something left of them (`BOOK-3`).

How a loss is mended: Dask does a portion again whose worker has died, on another one. It gives up after the fourth.

Deliberately not here: what a portion is (`fuzz`, `explore`).
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import platform
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import aiojobs
import aiojobs_verification
from aiojobs_verification.evidence.evidence import commit
from aiojobs_verification.specification.locate import find_repository, find_spec

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Iterable, Mapping
    from contextlib import AbstractContextManager

__all__ = ["ClusterError", "Pool", "add_pool", "differences", "identity", "open_pool"]

_T = TypeVar("_T")

_PATIENCE: Final = 30.0
"""Seconds in which a first worker has to come."""

_PROFILE: Final = "distributed.worker.profile.enabled"


class ClusterError(Exception):
    """The cluster can't be used, and why: every worker that is refused is named."""


class Pool(Protocol):
    """Does portions of work, in any order, several at a time."""

    def submit(self, function: Callable[..., _T], /, *args: Any) -> Future[_T]:
        """Have a portion done."""
        ...

    def room(self) -> int:
        """How many portions keep it busy."""
        ...

    def abandon(self) -> None:
        """Begin nothing more. What has begun is ended if it can be; nobody waits for it."""


def add_pool(parser: argparse.ArgumentParser) -> None:
    """Give a command the options `--workers` and `--cluster`."""
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="the workers of this Dask cluster instead, such as tcp://10.0.0.1:8786 (not with --baseline)",
    )


def open_pool(workers: int, cluster: str | None) -> AbstractContextManager[Pool]:
    """So many processes, or the cluster at an address, for as long as a block.

    Raises:
        ClusterError: there is no such cluster, or it has a worker that is refused.
    """
    return _processes(max(1, workers)) if cluster is None else _cluster(cluster)


# Processes.


class _Processes:
    def __init__(self, executor: ProcessPoolExecutor, workers: int) -> None:
        self._executor = executor
        self._workers = workers

    def submit(self, function: Callable[..., _T], /, *args: Any) -> Future[_T]:
        return self._executor.submit(function, *args)

    def room(self) -> int:
        return self._workers

    def abandon(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()


@contextmanager
def _processes(workers: int) -> Generator[Pool]:
    with ProcessPoolExecutor(workers, initializer=_leave_ctrl_c_to_the_parent) as executor:
        pool = _Processes(executor, workers)
        try:
            yield pool
        except KeyboardInterrupt:
            pool.abandon()
            raise


def _leave_ctrl_c_to_the_parent() -> None:
    """A terminal interrupts all processes. One that held the lock of the queue then would leave the others waiting."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# A cluster.


class _Cluster:
    def __init__(self, client: Any, here: Mapping[str, str]) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._here = here

    def submit(self, function: Callable[..., _T], /, *args: Any) -> Future[_T]:
        future: Future[_T] = self._executor.submit(_portion, self._here, function, *args)
        return future

    def room(self) -> int:
        """Twice the workers: the next portion is there when one is done."""
        return 2 * max(1, len(self._client.nthreads()))

    def abandon(self) -> None:
        self._executor.shutdown(wait=False)


@contextmanager
def _cluster(address: str) -> Generator[Pool]:
    with _connected(address) as client:
        here = identity()
        _refuse(client, here)
        pool = _Cluster(client, here)
        try:
            yield pool
        finally:
            pool.abandon()


def _connected(address: str) -> Any:
    distributed = import_module("distributed")
    try:
        client = distributed.Client(address, timeout=_PATIENCE)
    except OSError as error:
        raise ClusterError(f"there is no cluster at {address}: {error}") from error
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except OSError as error:
        client.close()
        raise ClusterError(f"the cluster at {address} has no worker: {error}") from error
    return client


def _portion(wanted: Mapping[str, str], function: Callable[..., _T], *args: Any) -> _T:
    """On a worker: do a portion, unless this worker is another than is wanted."""
    worker = import_module("distributed").get_worker()
    if why := _objections(wanted, worker):
        raise ClusterError(_refusal({worker.address: why}))
    return function(*args)


# Who is refused.


@cache
def identity() -> dict[str, str]:
    """What must be the same wherever a portion is done, or its figures mean nothing.

    It is that of this process, as it was when it was first asked for.
    """
    root = find_repository()
    packages = [Path(str(package.__file__)).parent for package in (aiojobs, aiojobs_verification)]
    return {
        "commit": "unknown" if root is None else commit(root),
        "specification": _digest([find_spec()], "*"),
        "code": _digest(packages, "*.py", "*.pyx", "*.pxd"),  # with what is not committed
        "build": aiojobs.__build__,
        "Python": platform.python_version(),
    }


def _digest(folders: Iterable[Path], *patterns: str) -> str:
    """One digest over names and contents."""
    total = hashlib.sha256()
    for folder in folders:
        found = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
        for path in sorted(found):
            total.update(path.relative_to(folder).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What another process is that this one is not."""
    return [
        f"{name} {found.get(name, 'unknown')}, not {own}"
        for name, own in wanted.items()
        if found.get(name) != own
    ]


def _refuse(client: Any, here: Mapping[str, str]) -> None:
    """Name every worker on which nothing can be done.

    Raises:
        ClusterError: there is one.
    """
    said: dict[str, list[str] | BaseException] = client.run(_objections, here, on_error="return")
    refused = {
        address: [f"it can't say what it is ({why})"] if isinstance(why, BaseException) else why
        for address, why in said.items()
    }
    if any(refused.values()):
        raise ClusterError(_refusal(refused))


def _objections(wanted: Mapping[str, str], dask_worker: Any) -> list[str]:
    """On a worker: why nothing can be done on it. Dask gives it by the name of the argument."""
    why = differences(wanted, identity())
    if dask_worker.state.nthreads != 1:
        why.append(f"{dask_worker.state.nthreads} threads, not 1 (dask worker --nthreads 1)")
    if import_module("dask").config.get(_PROFILE, default=True):
        why.append("Dask's profiler is on (DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False dask worker)")
    return why


def _refusal(refused: Mapping[str, list[str]]) -> str:
    return "\n".join(
        f"{address} is refused: {'; '.join(why)}" for address, why in sorted(refused.items()) if why
    )
