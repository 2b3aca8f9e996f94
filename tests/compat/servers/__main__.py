"""The figures of docs/howto/fastapi-and-starlette.md, measured: two tables in Markdown. It takes some minutes.

LOCK=compat sh .ci/env python -m tests.compat.servers [runs]
"""

import asyncio
import importlib.metadata
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from .driving import SERVERS, stop_under_load

SECONDS = 4
ENOUGH = 80

HYPERCORN, GRANIAN = SERVERS["hypercorn"], SERVERS["granian"]
IN_TIME = (
    ("uvicorn, SIGINT while requests are in progress", SERVERS["uvicorn"], ((signal.SIGINT, 0.3),)),
    ("uvicorn, SIGTERM then", SERVERS["uvicorn"], ((signal.SIGTERM, 0.3),)),
    (
        "uvicorn, two SIGINTs while jobs are drained",
        SERVERS["uvicorn"],
        ((signal.SIGINT, 2), (signal.SIGINT, 0.5)),
    ),
    ("uvicorn with 2 workers, SIGINT", SERVERS["uvicorn-workers"], ((signal.SIGINT, 2),)),
    (
        "uvicorn with 2 workers, two SIGINTs",
        SERVERS["uvicorn-workers"],
        ((signal.SIGINT, 2), (signal.SIGINT, 0.5)),
    ),
    ("hypercorn, a second SIGTERM", HYPERCORN, ((signal.SIGTERM, 2),)),
    (
        "hypercorn, `shutdown_timeout = 2`",
        replace(HYPERCORN, settings=f"{HYPERCORN.settings}\nshutdown_timeout = 2"),
        (),
    ),
    ("granian, a second SIGTERM", GRANIAN, ((signal.SIGTERM, 2),)),
    (
        "granian, `--workers-kill-timeout 2`",
        replace(GRANIAN, command=(*GRANIAN.command, "--workers-kill-timeout", "2")),
        (),
    ),
)
"""What might end a drain: what it is, the server, and the signals that follow the first SIGTERM."""


def once(server, **options):
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(stop_under_load(server, Path(folder), seconds=SECONDS, **options))


def of(outcome, kind):
    return f"{len(outcome.lost[kind])} of {len(outcome.accepted[kind])}"


def main(runs=3):
    packages = ("uvicorn", "hypercorn", "granian", "starlette", "fastapi")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))
    print(f"\nOrders of {SECONDS} s each. Accepted and never done, in {runs} runs each:\n")
    print("| Server | Jobs | `BackgroundTasks` | Seconds to stop |\n|---|---|---|---|")
    for server in SERVERS.values():
        outcomes = [once(server, enough=ENOUGH) for _ in range(runs)]
        lost = [", ".join(of(outcome, kind) for outcome in outcomes) for kind in ("job", "background")]
        seconds = ", ".join(f"{outcome.seconds:.0f}" for outcome in outcomes)
        print(f"| {server.name} | {lost[0]} | {lost[1]} | {seconds} |", flush=True)
    alone = [once(GRANIAN, enough=ENOUGH, kinds=("background",)) for _ in range(runs)]
    lost = ", ".join(of(outcome, "background") for outcome in alone)
    seconds = ", ".join(f"{outcome.seconds:.0f}" for outcome in alone)
    print(f"| {GRANIAN.name}, without jobs | | {lost} | {seconds} |", flush=True)
    print("\nJobs that were accepted and never done, by what came while they were drained:\n")
    print("| What | Lost | Seconds to stop |\n|---|---|---|")
    for what, server, more in IN_TIME:
        outcome = once(server, enough=ENOUGH, more=more)
        print(f"| {what} | {of(outcome, 'job')} | {outcome.seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
