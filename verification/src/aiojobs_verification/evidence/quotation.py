"""The verdict of one run, for a page that is read before any run: README.md quotes it.

Rules of this file: pure functions from the report's document to text. What is quoted names the commit, the
tier, the day and the Python of its run; a reader can see how old it is, and by which command it is renewed.

Deliberately not here: the verdict itself (`verdict`), and a check that the quotation is of today. Whoever
changes the library later makes it older, not wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.codegen.markdown import around, grid

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["quotation", "with_quotation"]

_FIGURES: Final[Mapping[str, tuple[str, ...]]] = {
    "conformance": ("passed",),
    "proofs": ("questions",),
    "model": ("states of all models", "models checked by both engines", "faults found"),
    "symbolic": ("confirmed over all paths", "false on purpose and refuted"),
    "tests": ("passed",),
    "exploration": ("scopes", "states", "events", "steps with replays"),
    "fuzzing": ("steps: walks", "pairs of event and state"),
    "traces": ("recorded runs", "kinds of corruption", "corrupted copies of the recorded runs"),
    "mutants": ("mutants", "killed", "equivalent"),
    "coverage": ("branches", "branches missing"),
}
"""The figures that a reader in a hurry wants, by step. A step that is not here is quoted without."""


def quotation(document: Mapping[str, Any]) -> str:
    """A sentence, and a table of the steps with their main figures."""
    rows = [(step["title"], step["status"], _figures(step)) for step in document["steps"]]
    return "\n".join([_sentence(document), "", *grid(("step", "", "figures"), rows)])


def _sentence(document: Mapping[str, Any]) -> str:
    subject, counts = document["subject"], document["counts"]
    commits = ", ".join(commit[:12] for commit in subject["commits"])
    python = ", ".join(subject["versions"].get("python", ["?"]))
    day = min(timing["timing_started"] for timing in document["timings"].values())[:10]
    return (
        f"**{document['verdict']}**, tier {document['tier']}, commit {commits}, {day}, {python}: "
        f"{counts['settled']} of {counts['requirements']} requirements were checked in every way they "
        f"declare; skipped: {counts['skips']}."
    )


def _figures(step: Mapping[str, Any]) -> str:
    figures: Mapping[str, Any] = step["figures"]
    wanted = [name for name in _FIGURES.get(step["step"], ()) if name in figures]
    return ", ".join(f"{name} {_plain(figures[name])}" for name in wanted)


def _plain(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def with_quotation(text: str, document: Mapping[str, Any]) -> str:
    """The text of a page with its quotation renewed.

    Raises:
        SpecError: the page has no place for one.
    """
    before, after = around(text, "verdict", "README.md")
    return f"{before}\n\n{quotation(document)}\n\n{after}"
