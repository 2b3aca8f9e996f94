"""How many machine instructions a job costs: a figure without noise, for whoever changes the hot path.

Rules of this file: valgrind counts, and is needed; it is not on the package index. A whole process is counted
with few jobs and with many, without the collector and with hashes fixed, and the difference is shared among
the jobs in between. What is the same in both - the interpreter's start, imports - falls out.

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
from typing import Any

from .contenders import make
from .contenders.stage import Stage
from .machine import ROOT
from .rounds import Contestant
from .worker import run_once
from .workloads import WORKLOADS

__all__ = ["for_each_job", "missing"]

_FEW, _MANY = 1_000, 3_000


def missing() -> str | None:
    """What is needed and not there, for people."""
    return None if shutil.which("valgrind") else "valgrind is needed and not on the PATH: install it"


def for_each_job(contestant: Contestant, workload: str, python: str) -> int:
    """The instructions that one more job takes.

    Raises:
        RuntimeError: the process failed; the message is what it said.
    """
    few, many = (_counted(contestant, workload, size, python) for size in (_FEW, _MANY))
    return (many - few) // (_MANY - _FEW)


def _counted(contestant: Contestant, workload: str, size: int, python: str) -> int:
    order = json.dumps({"contender": contestant.kind, "workload": workload, "size": size})
    paths = [path for path in (contestant.path, str(ROOT)) if path]
    process = subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={os.devnull}",
            python,
            "-m",
            "tests.bench.instructions",
            order,
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Collected : (\d+)", process.stderr)
    if process.returncode or found is None:
        raise RuntimeError(process.stderr)
    return int(found[1])


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
