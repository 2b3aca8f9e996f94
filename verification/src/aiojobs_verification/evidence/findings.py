"""Readers for the output of the chain's steps: from it they take what a step found.

Rules of this file
    A reader is a function from `Left` (exit code, output, the file it was asked to write) to `Findings`. It
    never trusts one of them alone: a pass needs an exit code that says so *and* an account of what was
    checked. Some tools end with 0 when they had nothing to check.

    Exit code 77 means "could not run here" and is a skip; the last line of the output says why.

    What a step covers is what it names and what passed. A requirement that one of its checks in a step let
    down is not covered by that step, however many others passed.

    `story` reads the same once more for the person who waits: what may differ from run to run is in there, and
    stays out of the evidence.

Deliberately not here: which step uses which reader. The table in `chain` says so.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.evidence.evidence import Cover, Findings, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


SKIP: Final = 77

# What a command says of the time it took ("3 passed in 0.52s") would make two equal runs differ.
_WALL_TIME: Final = re.compile(r" in \d+(\.\d+)?s\b.*")
# So would the place of an object in memory, also one of which a shortened text shows the end alone.
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{6,}|(?<=\.\.\.)[0-9a-f]{4,}(?=>)")

# The line in which a checker of this package says what is wrong: the end of a story, or the head of an
# account.
_END: Final = "  => "
_FAULT: Final = re.compile(
    rf"^(?:{_END}|CRASH: |REFUTED: |FAULT: |BROKEN: |FAIL |NO [A-Z]+:? |NOT CAUGHT: "
    r"|THE UNCHANGED TREE |[A-Z ]+: .*; (?:aims at|breaks) ).+",
    re.MULTILINE,
)

# Where the random search keeps what it found, and in which scope the exploration found it.
_KEPT: Final = re.compile(r"^kept as (\S+\.json)", re.MULTILINE)
_SCOPE: Final = re.compile(r"^FAIL (\S+): (\S+)", re.MULTILINE)

# How much of a failing command's output goes into the report; all of it is in build/logs.
_TAIL: Final = 12
_STORY: Final = 40


@dataclass(frozen=True, slots=True)
class Left:
    """What a finished command left behind."""

    code: int
    out: str
    err: str
    written: Path


def on_build(build: str, reader: Callable[[Left], Findings]) -> Callable[[Left], Findings]:
    """For what runs the library: its account must say that it was this build, as imported."""

    def checked(left: Left) -> Findings:
        found = reader(left)
        ran = found.figures.get("build", "no build of the library")
        if found.status is Status.PASS and ran != build:
            return Findings(
                Status.FAIL, f"it was to check the {build} build, and has run: {ran}", found.figures
            )
        return found

    return checked


def exit_code(left: Left) -> Findings:
    """For commands that check one thing and say everything with their exit code."""
    if left.code == 0:
        return Findings(Status.PASS)
    return _not_passed(left)


def document(kind: str) -> Callable[[Left], Findings]:
    """For this package's own checkers, which print one JSON object when asked with ``--json``.

    Its keys, all optional but ``figures``: ``figures``, ``covers`` (requirement id -> names of what checked
    it), ``skips`` (name -> reason), ``left_out`` (what the tier left out -> how many), ``planted`` (what was
    wrong on purpose -> how it was found), ``seeds``.
    """

    def reader(left: Left) -> Findings:
        if left.code != 0:
            return _not_passed(left)
        try:
            found = json.loads(left.out)
            return Findings(
                Status.PASS,
                figures=_nonempty(found["figures"]),
                covers=_covers(found.get("covers", {}), kind),
                skips=found.get("skips", {}),
                left_out=_counted(found.get("left_out", {})),
                planted=_reproducible(found.get("planted", {})),
                teeth=found.get("teeth", {}),
                seeds=found.get("seeds", {}),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Findings(Status.FAIL, f"it ended with 0 but its account can't be read: {error!r}")

    return reader


def tests(kind: str) -> Callable[[Left], Findings]:
    """For pytest with ``aiojobs_verification.evidence.pytest_plugin`` and ``--evidence``."""

    def reader(left: Left) -> Findings:
        try:
            found = json.loads(left.written.read_text(encoding="utf-8"))
            if left.code != 0 or not found["figures"].get("passed"):
                return Findings(Status.FAIL, _let_down(left.code, found["tests"]), found["figures"])
            return Findings(
                Status.PASS,
                figures=found["figures"],
                covers=_covers(_spoken_for(found["tests"]), kind),
                skips={skip["id"]: skip["reason"] for skip in found["skips"]},
                left_out=_counted(found.get("left_out", {})),
                seeds=found["seeds"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if left.code != 0:
                return _not_passed(left)
            return Findings(Status.FAIL, f"pytest ended with 0 but its account can't be read: {error!r}")

    return reader


def _let_down(code: int, tests: Iterable[Mapping[str, Any]]) -> str:
    """Which tests failed, and the promises for which they speak, most often named first.

    Their stories name temporary folders and addresses, so they stay in the logs.
    """
    # What was skipped or expected to fail has not failed; it covers nothing either, and skips are counted.
    failed = [test for test in tests if test["outcome"] not in {"passed", "skipped", "xfailed"}]
    if not failed:
        return f"exit code {code}, and no test passed"
    promises = Counter(requirement for test in failed for requirement in test["requirements"])
    broken = f"; they speak for {', '.join(name for name, _ in promises.most_common())}" if promises else ""
    return "\n".join([f"exit code {code}: {len(failed)} failed{broken}", *(test["id"] for test in failed)])


def coverage(floor: int) -> Callable[[Left], Findings]:
    """For ``coverage json``: of lines and branches together, at least `floor` percent, or it is not a pass."""

    def reader(left: Left) -> Findings:
        if left.code not in {0, 2}:  # 2: below the threshold that pyproject.toml sets
            return _not_passed(left)
        try:
            report = json.loads(left.written.read_text(encoding="utf-8"))
            totals = report["totals"]
            short = sorted(name for name, file in report["files"].items() if _missing(file["summary"]))
            figures = {
                "branches": totals["num_branches"],
                "branches missing": totals["missing_branches"],
                "files": len(report["files"]),
                "lines": totals["num_statements"],
                "lines missing": totals["missing_lines"],
            }
            reached = _percent(totals)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return Findings(Status.FAIL, f"its account can't be read: {error!r}")
        if reached < floor or not totals["num_statements"]:
            said = f"{reached:.1f} % instead of {floor} %; not executed everywhere: "
            return Findings(Status.FAIL, said + (", ".join(short) or "nothing was"), figures)
        return Findings(Status.PASS, figures=figures | {"percent, at least": floor})

    return reader


def _percent(summary: Mapping[str, int]) -> float:
    of = summary["num_statements"] + summary["num_branches"]
    return 100 * (of - _missing(summary)) / of if of else 0.0


def _missing(summary: Mapping[str, int]) -> int:
    return summary["missing_lines"] + summary["missing_branches"]


def _spoken_for(tests: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Requirement -> the tests that passed, for requirements that no test let down."""
    passed: defaultdict[str, list[str]] = defaultdict(list)
    let_down = set[str]()
    for test in tests:
        for requirement in test["requirements"]:
            if test["outcome"] == "passed":
                passed[requirement].append(test["id"])
            elif test["outcome"] != "skipped":
                let_down.add(requirement)
    return {requirement: names for requirement, names in passed.items() if requirement not in let_down}


def _covers(by_requirement: Mapping[str, Iterable[str]], kind: str) -> tuple[Cover, ...]:
    covers = (Cover(requirement, kind, tuple(sorted(by))) for requirement, by in by_requirement.items())
    return tuple(sorted(cover for cover in covers if cover.by))


def _nonempty(figures: Mapping[str, int | float | str]) -> Mapping[str, int | float | str]:
    if not figures:
        raise ValueError("no figures: nothing says that anything was checked")
    return figures


def _counted(left_out: Mapping[str, int]) -> dict[str, int]:
    """What was left out; of what nothing was, nothing is said."""
    return {what: count for what, count in left_out.items() if count}


def _reproducible(told: Mapping[str, str]) -> Mapping[str, str]:
    return {name: _ADDRESS.sub("0x…", text) for name, text in told.items()}


def _not_passed(left: Left) -> Findings:
    said = _WALL_TIME.sub("", left.out + "\n" + left.err).strip()
    lines = said.splitlines()
    last = lines[-1].strip() if lines else "it said nothing"
    if left.code == SKIP:
        return Findings(Status.SKIPPED, last)
    headline, excerpt = _shortest_fault(said) or (last, lines[-_TAIL:])
    return Findings(Status.FAIL, "\n".join([f"exit code {left.code}: {headline}", *excerpt]))


def _shortest_fault(said: str) -> tuple[str, list[str]] | None:
    """Of the faults that a checker tells, each in a paragraph, the one told in the fewest lines.

    A story counts before an account: the summary at the end is short, and says the least.
    """
    found = [(fault, each) for each in said.split("\n\n") if (fault := _FAULT.search(each))]
    stories = [(fault, each) for fault, each in found if fault[0].startswith(_END)]
    told = [_told(fault, each) for fault, each in stories or found]
    if not told:
        return None
    headline, lines = min(told, key=lambda one: len(one[1]))
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return headline + more, lines[-_STORY:]


def _told(fault: re.Match[str], paragraph: str) -> tuple[str, list[str]]:
    """The headline, and what belongs to it: a story before it, or an account after it."""
    ends_a_story = fault[0].startswith(_END)
    text = paragraph if ends_a_story else paragraph[fault.start() :]
    lines = _ADDRESS.sub("0x…", text).strip("\n").splitlines()
    return (lines[-1] if ends_a_story else lines[0]).removeprefix(_END), lines


def story(left: Left) -> tuple[list[str], str]:
    """What went wrong, for the person who waits, and the shortest command that repeats it; "" if none is known."""
    said = _ADDRESS.sub("0x…", f"{left.out}\n{left.err}")
    if failed := _first_failed(left.written):
        return _of_test(said, failed), f"sh .ci/env python -m pytest '{failed}'"
    fault = _shortest_fault(said)
    return (fault[1], _again(said, *fault)) if fault else ([], "")


def _again(said: str, headline: str, lines: list[str]) -> str:
    """The command that repeats this one story: a finding that was kept, or a scope."""
    _, _, after = said.partition(lines[-1])
    verdict = headline.partition(" ")[0].rstrip(":")
    if kept := _KEPT.search(after):
        return f"sh .ci/env python -m aiojobs_verification fuzz --replay {kept[1]}"
    scopes = [found[1] for found in _SCOPE.finditer(said) if found[2] == verdict]
    return f"sh .ci/env python -m aiojobs_verification explore --scope {scopes[0]}" if scopes else ""


def _first_failed(account: Path) -> str:
    """The first test that failed, by an account of pytest; "" if it is none, or if none failed."""
    try:
        tests = json.loads(account.read_text(encoding="utf-8"))["tests"]
        return next((test["id"] for test in tests if test["outcome"] in {"failed", "error", "xpassed"}), "")
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _of_test(said: str, test: str) -> list[str]:
    """What pytest tells of one test, its end; its name alone if pytest tells nothing of it."""
    name = re.escape(test.partition("::")[2].replace("::", "."))
    told = re.search(rf"^_+ .*{name} _+$\n(.*?)(?=^_{{3,}} |^={{3,}} )", said, re.MULTILINE | re.DOTALL)
    return [test, *(told[1].strip("\n").splitlines()[-_STORY:] if told else ())]
