"""The machine instructions of a job: a measurement without noise, for changes of the hot path.

Rules of this file: valgrind counts, and is needed; it is not on the package index. A whole process is counted
with few jobs and with many, without the collector and with hashes fixed, and the difference is shared among
the jobs in between. What is the same in both - the interpreter's start, imports - falls out. A first process,
which is not counted, leaves behind what Python compiles: else the one with few jobs would do that.

Instructions are not time: one that waits for memory counts as much as one that does not. `compare` measures
time.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from .contenders import make
from .contenders.stage import Stage
from .machine import ROOT
from .rounds import Contestant
from .worker import run_once
from .workloads import WORKLOADS

__all__ = ["MANY", "for_each_job", "missing"]

_FEW, MANY = 1_000, 3_000
_VALGRIND: Final = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}")


def missing() -> str | None:
    """What is needed and not there, for people."""
    return None if shutil.which("valgrind") else "valgrind is needed and not on the PATH: install it"


def for_each_job(contestant: Contestant, workload: str, python: str) -> int:
    """The instructions that one more job takes.

    Raises:
        RuntimeError: the process failed; the message is what it said.
    """
    _run([], contestant, workload, _FEW, python)
    few, many = (_counted(contestant, workload, size, python) for size in (_FEW, MANY))
    return (many - few) // (MANY - _FEW)


def _counted(contestant: Contestant, workload: str, size: int, python: str) -> int:
    said = _run(_VALGRIND, contestant, workload, size, python)
    found = re.search(r"Collected : (\d+)", said)
    if found is None:
        raise RuntimeError(said)
    return int(found[1])


def _run(under: Sequence[str], contestant: Contestant, workload: str, size: int, python: str) -> str:
    """What a process with so many jobs said on standard error."""
    order = json.dumps({"contender": contestant.kind, "workload": workload, "size": size})
    paths = [path for path in (contestant.path, str(ROOT)) if path]
    process = subprocess.run(
        [*under, python, "-m", "benchmarks.instructions", order],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(process.stderr)
    return process.stderr


def main(argv: list[str]) -> None:
    """What is counted: run a workload once."""
    order: dict[str, Any] = json.loads(argv[0])
    workload = WORKLOADS[order["workload"]]
    method = make(order["contender"]).find(workload.method)
    if isinstance(method, str):
        sys.exit(method)
    gc.disable()
    run_once(method, Stage(order["size"], workload.limit, workload.variant))


if __name__ == "__main__":
    main(sys.argv[1:])
