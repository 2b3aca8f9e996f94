"""The verdict of one run, for a page that is read before any run: README.md quotes it.

Rules of this file: pure functions from the report's document to text. What is quoted names the commit, the
tier, the day and the Python of its run; a reader can see how old it is, and by which command it is renewed.
Beside the figures stand their bounds, and what the tier left out.

Deliberately not here: the verdict itself (`verdict`), and a check that the quotation is of today. Whoever
changes the library later makes it older, not wrong.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.evidence.evidence import EvidenceError
from aiojobs_verification.evidence.page_markdown import table
from aiojobs_verification.evidence.report import left_out_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["quotation", "with_quotation"]

_FIGURES: Final[Mapping[str, tuple[str, ...]]] = {
    "conformance": ("passed",),
    "proofs": ("questions",),
    "model": ("states of all models", "models checked", "faults found"),
    "symbolic": ("confirmed over all paths", "false on purpose and refuted"),
    "tests": ("passed",),
    "exploration": ("scopes", "states", "events", "steps with replays"),
    "fuzzing": ("steps: walks", "pairs of event and state"),
    "traces": ("recorded runs", "kinds of corruption", "corrupted copies of the recorded runs"),
    "mutants": ("mutants", "killed", "equivalent"),
    "coverage": ("branches", "branches missing"),
}
"""The figures that a reader in a hurry wants, by step. A step that is not here is quoted without."""

_BOUNDED: Final = ("job", "caller", "cancel")
_BOUND: Final = re.compile(rf"\b(\d+) ({'|'.join(_BOUNDED)})s?\b")
"""How the names of checks say within which bounds they hold."""


def quotation(document: Mapping[str, Any]) -> str:
    """A sentence, and a table of the steps with their main figures."""
    rows = [(step["title"], step["status"], _figures(step)) for step in document["steps"]]
    return "\n".join([_sentence(document), "", *table(("step", "", "figures"), rows)]).rstrip()


def _sentence(document: Mapping[str, Any]) -> str:
    subject, counts = document["subject"], document["counts"]
    commits = ", ".join(commit[:12] for commit in subject["commits"])
    python = ", ".join(subject["versions"].get("python", ["?"]))
    day = min(timing["timing_started"] for timing in document["timings"].values())[:10]
    return textwrap.fill(
        f"**{document['verdict']}**, tier {document['tier']}, commit {commits}, {day}, {python}: "
        f"{counts['settled']} of {counts['requirements']} requirements were checked in every way they "
        f"declare; skipped: {counts['skips']}; {_left_out(document)}.",
        width=120,
    )


def _left_out(document: Mapping[str, Any]) -> str:
    told = ", ".join(map(left_out_in_words, document["left_out"]))
    return f"left out by this tier: {told}" if told else "this tier leaves out nothing"


def _figures(step: Mapping[str, Any]) -> str:
    figures: Mapping[str, Any] = step["figures"]
    wanted = [name for name in _FIGURES.get(step["step"].removesuffix("-compiled"), ()) if name in figures]
    told = ", ".join(f"{name} {_plain(figures[name])}" for name in wanted)
    return "; ".join(filter(None, (told, _bounds(step))))


def _bounds(step: Mapping[str, Any]) -> str:
    """How far a step went: as it says, or as the names of its checks do ("3 jobs, 1 caller")."""
    if "bounds" in step["figures"]:
        return str(step["figures"]["bounds"])
    names = {name for cover in step["covers"] for name in cover["by"]}
    most: dict[str, int] = {}
    for number, what in (found for name in names for found in _BOUND.findall(name)):
        most[what] = max(most.get(what, 0), int(number))
    return ", ".join(
        f"up to {most[what]} {what}{'s' * (most[what] > 1)}" for what in _BOUNDED if what in most
    )


def _plain(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def with_quotation(text: str, document: Mapping[str, Any]) -> str:
    """The text of a page with its quotation renewed.

    Raises:
        EvidenceError: the page has no place for one.
    """
    begin, end = "<!-- verdict -->", "<!-- /verdict -->"
    before, begins, rest = text.partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise EvidenceError(f"the page has no block for the verdict: {begin} or {end} is missing")
    return f"{before}{begin}\n\n{quotation(document)}\n\n{end}{after}"
