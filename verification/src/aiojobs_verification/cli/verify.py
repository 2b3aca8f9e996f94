"""The chain of evidence, run: ``python -m aiojobs_verification verify --tier smoke|full``.

How it works: evidence of earlier runs is removed first, so that what lies in ``build/evidence`` afterwards is
of this run. Each step of `chain` then runs in its turn, its output goes to ``build/logs/<step>.out`` and
``.err``, its reader (`findings`) turns what it left into an evidence file, and at the end `report` makes the
verdict of the files alone.

Rules of this file
    A step that runs out of its time budget has failed. A step whose tool is not installed is skipped, and a
    skip is never a pass.

    Nothing that a step does can stop the run: the next step runs, and the report tells.

Exit codes: 0 PASS, 1 FAIL, 3 INCOMPLETE, 130 interrupted.

Deliberately not here: running steps side by side. They would compete for the same cores, and the time budgets
would mean nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiojobs_verification.cli import report
from aiojobs_verification.evidence import evidence
from aiojobs_verification.evidence.chain import PYTHON, STEPS, TIERS, WRITTEN, Step
from aiojobs_verification.evidence.evidence import EVIDENCE, Evidence, Findings, Status, Subject, Timing
from aiojobs_verification.evidence.findings import Left
from aiojobs_verification.evidence.progress import Progress
from aiojobs_verification.specification.locate import find_repository

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from aiojobs_verification.cli.commands import Subparsers

_TICK: Final = 0.25


def register(subparsers: Subparsers) -> None:
    """Add ``verify`` to the command line."""
    parser = subparsers.add_parser("verify", help="run the chain of evidence and report")
    parser.add_argument("--tier", choices=TIERS, default="smoke", help="how far to go (default: smoke)")
    parser.add_argument(
        "--step",
        choices=[step.name for step in STEPS],
        action="append",
        help="only this step; may be given several times; the evidence of the others stays",
    )
    parser.set_defaults(run=_main)


def _main(arguments: argparse.Namespace) -> int:
    root = find_repository()
    if root is None:
        sys.stderr.write("verify checks a source tree: run it in one, not on an installed package\n")
        return 2
    chosen = [step for step in STEPS if arguments.tier in step.tiers]
    if arguments.step:
        chosen = [step for step in chosen if step.name in arguments.step]
        if not chosen:
            sys.stderr.write(f"not a step of tier {arguments.tier}: {', '.join(arguments.step)}\n")
            return 2
    else:
        for stale in (EVIDENCE, "build/coverage"):
            shutil.rmtree(root / stale, ignore_errors=True)
    try:
        run(root, chosen, arguments.tier)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: the evidence is not complete, no report was made\n")
        return 130
    return report.publish(root, sys.stdout)


def run(root: Path, steps: Iterable[Step], tier: str) -> None:
    """Run `steps` in their order; each leaves its evidence file under ``build/evidence``."""
    steps = list(steps)
    folder = root / EVIDENCE
    for step in steps:
        (folder / f"{step.name}.json").unlink(missing_ok=True)
    subject = evidence.subject(root)
    progress = Progress(sys.stdout, [step.name for step in steps])
    for step in steps:
        progress.begin(step.name, step.title)
        found = _perform(step, root, tier, subject, progress)
        evidence.write(found, folder)
        progress.end(found)


def _perform(step: Step, root: Path, tier: str, subject: Subject, progress: Progress) -> Evidence:
    started, clock = datetime.now(UTC), time.monotonic()
    missing = [module for module in step.needs if find_spec(module) is None]
    if missing:
        found = Findings(Status.SKIPPED, f"not installed: {', '.join(missing)}")
    else:
        found = _execute(step, root, tier, progress)
    seconds = round(time.monotonic() - clock, 2)
    return Evidence(
        step=step.name,
        link=step.link,
        tier=tier,
        title=step.title,
        repeat=step.repeat(tier),
        findings=found,
        subject=subject,
        timing=Timing(started.isoformat(timespec="seconds"), seconds),
    )


def _execute(step: Step, root: Path, tier: str, progress: Progress) -> Findings:
    logs = root / "build" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    out, err, written = (logs / f"{step.name}.{end}" for end in ("out", "err", "written"))
    written.unlink(missing_ok=True)
    values = {PYTHON: sys.executable, WRITTEN: str(written)}
    command = [_filled(word, values) for word in step.arguments(tier)]
    with out.open("wb") as to_out, err.open("wb") as to_err:
        try:
            process = subprocess.Popen(
                command,
                cwd=root,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err,
                start_new_session=True,
            )
        except OSError as error:
            return Findings(Status.FAIL, f"it could not be started: {error}")
        code = _wait(process, step, [out, err], progress)
    if code is None:
        return Findings(Status.FAIL, f"its time budget of {step.seconds} s ran out")
    return step.reader(Left(code, _text(out, root), _text(err, root), written))


def _wait(process: subprocess.Popen[bytes], step: Step, logs: list[Path], progress: Progress) -> int | None:
    """The exit code, or None when the time budget ran out. Whatever happens, the process has ended."""
    begun = time.monotonic()
    try:
        while (passed := time.monotonic() - begun) < step.seconds:
            progress.tick(passed, _last_line(logs))
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_TICK)
        return None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the step, its own children included."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    """That of this process; tools that ask for `python` get the one that runs the chain."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path}


def _filled(word: str, values: dict[str, str]) -> str:
    for placeholder, value in values.items():
        word = word.replace(placeholder, value)
    return word


def _text(log: Path, root: Path) -> str:
    """What a step said, without the place of the source tree on this disk."""
    return log.read_text(encoding="utf-8", errors="replace").replace(f"{root}{os.sep}", "")


def _last_line(logs: list[Path]) -> str:
    """The last thing the step said, in whichever of its logs it spoke last."""
    latest = max(logs, key=lambda path: path.stat().st_mtime_ns)
    with latest.open("rb") as file:
        file.seek(max(0, latest.stat().st_size - 400))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
