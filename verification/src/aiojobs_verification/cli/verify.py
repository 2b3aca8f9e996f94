"""`python -m aiojobs_verification verify --tier smoke|full`: runs the chain of evidence.

How it works: what an earlier run left is removed first, so that what lies in ``build/evidence`` afterwards is
of this run, and a run that is interrupted leaves no old verdict behind. The steps of `chain` run side by side,
as many as there are cores, in the order of `chain.ORDER`. What a step says goes to ``build/logs/<step>.out``
and ``.err``, its reader (`findings`) turns what it left into an evidence file, and at the end `report` makes
the verdict of the files alone.

Rules of this file
    The first failure is told at once: the promise, the shortest counterexample, the command that repeats it.
    Then the run stops, and what was stopped or never begun is evidence too: *not run*, which is no pass. With
    ``--keep-going`` every step runs to its end.

    No time decides a verdict. A step that runs out of its budget is *not finished*: no pass, and no failure.
    A step whose tool is not installed is skipped, and a skip is never a pass.

    It stands on the standard library alone and imports nothing of the library that it checks: that one may be
    broken.

Exit codes: 0 PASS, 1 FAIL, 3 INCOMPLETE, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import textwrap
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiojobs_verification.cli import report
from aiojobs_verification.evidence import evidence, pool
from aiojobs_verification.evidence.chain import (
    BUILDS,
    CORES,
    ORDER,
    PURE,
    PYTHON,
    STEPS,
    TIERS,
    WRITTEN,
    Step,
)
from aiojobs_verification.evidence.evidence import EVIDENCE, Evidence, Findings, Status, Subject, Timing
from aiojobs_verification.evidence.findings import Left, story
from aiojobs_verification.evidence.progress import Now, Progress, figures, width
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.locate import find_repository
from aiojobs_verification.specification.requirements import read_requirements

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from aiojobs_verification.cli.commands import Subparsers

_TICK: Final = 0.1
_PROMISE: Final = re.compile(r"\b[A-Z]+-\d+\b")
_INTERRUPTED: Final = 130


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
    parser.add_argument(
        "--build",
        choices=BUILDS,
        default=PURE,
        help="which build of the library a tier that checks one of them checks (default: %(default)s)",
    )
    parser.add_argument(
        "--keep-going", action="store_true", help="run every step to its end, also after a failure"
    )
    parser.add_argument(
        "--cores", type=int, default=pool.cores(), help="steps at a time (default: %(default)s)"
    )
    parser.set_defaults(run=_main)


def _main(arguments: argparse.Namespace) -> int:
    root = find_repository()
    if root is None:
        sys.stderr.write("verify checks a source tree: run it in one, not on an installed package\n")
        return 2
    chosen = [step for step in STEPS if step.due(arguments.tier, _builds(arguments))]
    if arguments.step:
        chosen = [step for step in chosen if step.name in arguments.step]
        if not chosen:
            sys.stderr.write(f"not a step of tier {arguments.tier}: {', '.join(arguments.step)}\n")
            return 2
    else:
        for stale in (EVIDENCE, "build/coverage"):
            shutil.rmtree(root / stale, ignore_errors=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = run(
            root, chosen, arguments.tier, failfast=not arguments.keep_going, cores=max(1, arguments.cores)
        )
    except KeyboardInterrupt:
        return _INTERRUPTED
    if not arguments.keep_going and any(one.findings.status is Status.FAIL for one in found):
        return _publish_briefly(root)
    counted = figures([one for one in found if one.timing.seconds], width())
    sys.stdout.writelines(f"{line}\n" for line in ("", *counted))
    return report.publish(root, sys.stdout)


def _builds(arguments: argparse.Namespace) -> tuple[str, ...]:
    """A step that is named has its build."""
    return BUILDS if arguments.step or arguments.tier == "full" else (arguments.build,)


def _publish_briefly(root: Path) -> int:
    """After the first failure: its story is what is to be read last, not a list of what was not run."""
    said = StringIO()
    code = report.publish(root, said)
    sys.stdout.write("\n" + said.getvalue().rpartition("\n\n")[2])
    return code


def run(
    root: Path, steps: Iterable[Step], tier: str, *, failfast: bool = False, cores: int = 1
) -> list[Evidence]:
    """Run `steps`, so many at a time; each leaves its evidence file under ``build/evidence``."""
    steps = list(steps)
    for step in steps:
        (root / EVIDENCE / f"{step.name}.json").unlink(missing_ok=True)
    for stale in (root / "build").glob("report.*"):
        stale.unlink()
    found = _Run(root, tier, cores, list(steps), failfast=failfast).go()
    order = [step.name for step in steps]
    return sorted(found, key=lambda one: order.index(one.step))


@dataclass(slots=True)
class _Begun:
    """A step that runs."""

    step: Step
    command: pool.Command
    started: datetime
    written: Path


@dataclass(slots=True)
class _Run:
    """One run of the chain."""

    root: Path
    tier: str
    cores: int
    waiting: list[Step]
    failfast: bool
    running: list[_Begun] = field(default_factory=list)
    found: list[Evidence] = field(default_factory=list)
    subject: Subject = field(init=False)
    progress: Progress = field(init=False)
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.subject = evidence.subject(self.root)
        self.progress = Progress(sys.stdout, [step.name for step in self.waiting])
        self.waiting.sort(key=_rank)

    def go(self) -> list[Evidence]:
        """Run everything, or until the first failure; whatever happens, nothing runs any more then."""
        try:
            while self.waiting or self.running:
                self._begin()
                self._look()
                if self.failfast and any(one.findings.status is Status.FAIL for one in self.found):
                    self._give_up()
        except KeyboardInterrupt:
            self._tell_what_is_incomplete()
            raise
        finally:
            pool.stop(one.command for one in self.running)
        self.progress.clear()
        return self.found

    def _begin(self) -> None:
        """Begin as many steps as there is room for."""
        while len(self.running) < self.cores and (step := self._next()):
            self.waiting.remove(step)
            self._start(step)

    def _next(self) -> Step | None:
        """The first step that nothing keeps waiting."""
        ahead = {step.name for step in self.waiting} | {one.step.name for one in self.running}
        return next((step for step in self.waiting if not ahead.intersection(step.after)), None)

    def _start(self, step: Step) -> None:
        started = datetime.now(UTC)
        self.progress.begin(step.name, step.title)
        missing = [module for module in step.needs if find_spec(module) is None]
        if missing:
            skipped = Findings(Status.SKIPPED, f"not installed: {', '.join(missing)}")
            self._end(step, skipped, started, 0.0)
            return
        logs = self.root / "build" / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        out, err, written = (logs / f"{step.name}.{end}" for end in ("out", "err", "written"))
        written.unlink(missing_ok=True)
        try:
            command = pool.start(self._words(step, written), self.root, out, err, _environment())
        except OSError as error:
            self._end(step, Findings(Status.FAIL, f"it could not be started: {error}"), started, 0.0)
        else:
            self.running.append(_Begun(step, command, started, written))

    def _words(self, step: Step, written: Path) -> list[str]:
        values = {PYTHON: sys.executable, WRITTEN: str(written), CORES: str(self.cores)}
        words = [*step.arguments(self.tier), *step.spread, *(step.failfast if self.failfast else ())]
        return [_filled(word, values) for word in words]

    def _look(self) -> None:
        """Take in what has ended, and say what goes on."""
        for one in list(self.running):
            if one.command.ended():
                self.running.remove(one)
                self._end(one.step, self._read(one), one.started, one.command.seconds)
            elif one.command.seconds > one.step.seconds:
                self.running.remove(one)
                pool.stop([one.command])
                said = f"not finished: its time budget of {one.step.seconds} s ran out"
                self._end(one.step, Findings(Status.SKIPPED, said), one.started, one.command.seconds)
        self.progress.tick(
            [Now(one.step.name, one.command.seconds, one.command.last_line()) for one in self.running]
        )
        if self.running:
            time.sleep(_TICK)

    def _read(self, one: _Begun) -> Findings:
        code = one.command.process.returncode
        out, err = (_text(path, self.root) for path in (one.command.out, one.command.err))
        left = Left(code, out, err, one.written)
        found = one.step.reader(left)
        if found.status is Status.FAIL:
            self.progress.clear()
            seconds = time.monotonic() - self.begun
            told = [*_told(one.step, found, left, self.root, self.tier), *_where(one, self.root)]
            head = f"\nFAIL  {one.step.name}, {seconds:.0f} s after the start"
            sys.stdout.writelines(f"{line}\n" for line in (head, *told, ""))
        return found

    def _end(self, step: Step, found: Findings, started: datetime, seconds: float) -> None:
        self.progress.end(self._note(step, found, started, seconds))

    def _note(self, step: Step, found: Findings, started: datetime, seconds: float) -> Evidence:
        one = Evidence(
            step=step.name,
            link=step.link,
            tier=self.tier,
            title=step.title,
            repeat=step.repeat(self.tier),
            findings=found,
            subject=self.subject,
            timing=Timing(started.isoformat(timespec="seconds"), round(seconds, 2)),
        )
        evidence.write(one, self.root / EVIDENCE)
        self.found.append(one)
        return one

    def _give_up(self) -> None:
        """After a failure: what still runs is stopped, what waits does not begin, and both are told."""
        failed = next(one.step for one in self.found if one.findings.status is Status.FAIL)
        stopped, self.running = self.running, []
        pool.stop(one.command for one in stopped)
        now = datetime.now(UTC)
        for one in stopped:
            why = f"not run: stopped, since step {failed} failed"
            self._end(one.step, Findings(Status.SKIPPED, why), one.started, one.command.seconds)
        for step in self.waiting:
            why = f"not run: step {failed} failed before"
            self._note(step, Findings(Status.SKIPPED, why), now, 0.0)
        names = ", ".join(step.name for step in self.waiting)
        self.waiting.clear()
        told = textwrap.wrap(
            f"Not run, since {failed} failed: {names or 'nothing'}. FAILFAST=0 goes on.", width() - 1
        )
        sys.stdout.writelines(f"{line}\n" for line in told)

    def _tell_what_is_incomplete(self) -> None:
        self.progress.clear()
        done = [one.step for one in self.found]
        open_ = [one.step.name for one in self.running] + [step.name for step in self.waiting]
        sys.stderr.write(
            f"\nInterrupted after {time.monotonic() - self.begun:.0f} s. There is no verdict; the report of the "
            f"last run was removed.\n  finished:   {', '.join(done) or 'nothing'}\n"
            f"  incomplete: {', '.join(open_)}\n"
        )


def _rank(step: Step) -> int:
    return ORDER.index(step.name) if step.name in ORDER else len(ORDER)


def _told(step: Step, found: Findings, left: Left, root: Path, tier: str) -> Iterator[str]:
    """The promise, the counterexample, and the command that repeats it."""
    for name, text in _promises(found.headline, root):
        yield from textwrap.wrap(f"Promise {name}: {text}", width() - 1, subsequent_indent="  ")
    yield ""
    lines, repeat = story(left)
    yield from lines or found.reason.splitlines()[1:] or [found.reason]
    yield ""
    yield f"Repeat it: {step.by_hand(repeat) if repeat else step.repeat(tier)}"


def _promises(headline: str, root: Path) -> Iterator[tuple[str, str]]:
    """The requirements that a headline names, with their texts."""
    try:
        known = read_requirements(root / "spec" / "requirements.toml").by_id
    except SpecError:  # that is what is broken, or there are none
        return
    for name in dict.fromkeys(_PROMISE.findall(headline)):
        if name in known:
            yield name, known[name].text


def _where(one: _Begun, root: Path) -> Iterator[str]:
    out, err = (path.relative_to(root).as_posix() for path in (one.command.out, one.command.err))
    yield f"All that it said: {out}, {err}"


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
