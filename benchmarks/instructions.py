"""The machine instructions of a job, and of the import: measurements without noise, for changes of the hot path.

Rules of this file: valgrind counts, and is needed; it is not on the package index. A whole process is counted
with few jobs and with many, without the collector and with hashes fixed, and the difference is shared among
the jobs in between. What is the same in both - the interpreter's start, imports - falls out. The import is the
difference between a process that imports asyncio and one that imports this package too. A first process, which
is not counted, leaves behind what Python compiles: else the one that comes first would do that.

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

__all__ = ["IMPORT", "MANY", "for_each_job", "missing", "of_import"]

IMPORT: Final = "import beside asyncio"
"""The workload that is no job."""
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
    few, many = (_program(contestant, workload, size) for size in (_FEW, MANY))
    return _difference(contestant, python, few, many) // (MANY - _FEW)


def of_import(tree: Contestant, python: str) -> int:
    """The instructions that it takes to import a tree where asyncio has been imported.

    Raises:
        RuntimeError: as above.
    """
    return _difference(tree, python, ["-c", "import asyncio"], ["-c", "import asyncio, aiojobs"])


def _program(contestant: Contestant, workload: str, size: int) -> list[str]:
    order = json.dumps({"contender": contestant.kind, "workload": workload, "size": size})
    return ["-m", "benchmarks.instructions", order]


def _difference(contestant: Contestant, python: str, less: Sequence[str], more: Sequence[str]) -> int:
    _run([python, *more], contestant)
    counts = [_counted([python, *program], contestant) for program in (less, more)]
    return counts[1] - counts[0]


def _counted(command: Sequence[str], contestant: Contestant) -> int:
    said = _run([*_VALGRIND, *command], contestant)
    found = re.search(r"Collected : (\d+)", said)
    if found is None:
        raise RuntimeError(said)
    return int(found[1])


def _run(command: Sequence[str], contestant: Contestant) -> str:
    """What a process said on standard error; it may keep what Python compiles."""
    paths = [path for path in (contestant.path, str(ROOT)) if path]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.run(
        command,
        cwd=ROOT,
        env=kept | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(paths)},
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
