"""The report as Markdown, from the document that `report.compose` makes.

Rules of this file: a pure function of the document. Whatever differs between two runs of the same sources
stands in a line that begins with "timing", so that ``grep -v ^timing`` makes two reports comparable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiojobs_verification.evidence.report import left_out_in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Document = Mapping[str, Any]


def page(document: Document) -> str:
    """The whole page."""
    first = (_head, _requirements, _teeth, _chain, _planted, _lifecycle)
    parts = (*first, _skips, _assumptions, _differences, _subject, _timings)
    return "\n".join(line for part in parts for line in part(document)) + "\n"


def _head(document: Document) -> Iterator[str]:
    yield f"# {document['verdict']}"
    yield ""
    tier = document["tier"]
    subject = document["subject"]
    build = f" BUILD={subject['builds'][0]}" if tier == "smoke" and len(subject["builds"]) == 1 else ""
    yield f"The chain of evidence of aiojobs, tier {tier}. Repeat it: `make verify TIER={tier}{build}`."
    machine = [subject["versions"].get(name, ["?"])[0] for name in ("platform", "machine", "python")]
    yield f"Commit {', '.join(subject['commits'])}; {', '.join(machine)}."
    yield f"Builds of the library that passed a step: {', '.join(subject['builds']) or 'none'}."
    yield ""
    counts = document["counts"]
    yield from _bullets(
        [
            f"{counts['passed']} of {counts['steps']} steps passed",
            f"{counts['settled']} of {counts['requirements']} requirements checked in every way they need",
            f"{counts['planted']} planted faults found",
            f"{counts['skips']} skipped",
            *(f"left out by this tier: {left_out_in_words(one)}" for one in document["left_out"]),
        ]
    )
    for crash in document["crashes"]:
        yield f"**CRASH in step {crash['step']}**: the code under test failed by itself."
        yield from ("This speaks for or against no requirement.", "", "```", crash["story"], "```", "")
    if document["failures"]:
        yield from ("**Failed**", "", *_bullets(document["failures"]))
    if document["gaps"]:
        yield from ("**Open: not known, and therefore no PASS**", "", *_bullets(document["gaps"]))


def _chain(document: Document) -> Iterator[str]:
    yield from ("## The links of the chain", "")
    steps = {step["step"]: step for step in document["steps"]}
    for link in document["links"]:
        yield from (f"### {link['number']}. {link['title']}", "")
        if not link["built"]:
            yield from ("Not built.", "")
            continue
        rows = [(name, *_row(steps.get(name))) for name in link["steps"]]
        yield from table(("step", "status", "found", "repeat"), rows)
    crashed = {crash["step"] for crash in document["crashes"]}
    for step in document["steps"]:
        if step["status"] == "fail" and step["step"] not in crashed:
            yield from (f"What step {step['step']} said:", "", "```", step["reason"], "```", "")


def _row(step: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if step is None:
        return "no evidence", "", ""
    found = ", ".join(f"{name} {value}" for name, value in step["figures"].items())
    seeds = ", ".join(f"seed of {name} {value}" for name, value in step["seeds"].items())
    said = step["reason"].splitlines()[0] if step["reason"] else "; ".join(filter(None, (found, seeds)))
    return step["status"], f"{step['title']}: {said}" if said else step["title"], f"`{step['repeat']}`"


def _requirements(document: Document) -> Iterator[str]:
    yield from ("## The requirements, and how each was checked in this run", "")
    yield "How many checks of each kind speak for a promise and passed; · where none is needed."
    yield "Their names are in `report.html` and `report.json`."
    yield ""
    kinds = [link["kind"] for link in document["links"] if link["kind"]]
    rows = []
    for one in document["requirements"]:
        ways = {way["kind"]: _way(way) for way in one["checks"]}
        rows.append((f"**{one['id']}**", one["text"], *(ways.get(kind, "·") for kind in kinds)))
    yield from table(("id", "promise", *kinds), rows)
    yield from ("What each kind of check can say:", "")
    yield from _bullets(f"**{kind}**: {meaning}" for kind, meaning in document["kinds"].items())


def _way(way: Mapping[str, Any]) -> str:
    return str(len(way["by"])) if way["by"] else f"**{way['standing']}**"


def _teeth(document: Document) -> Iterator[str]:
    yield from ("## Teeth", "")
    yield "How many seeded faults each kind of check found by itself, in this run or, in brackets, in the last"
    yield "full run; – where only a full run tries it, **none** where a kind is counted and has no teeth."
    yield ""
    kinds = [link["kind"] for link in document["links"] if link["kind"]]
    rows = []
    for one in document["requirements"]:
        seen = {tooth["kind"]: _bite(tooth) for tooth in one["teeth"]}
        rows.append((f"**{one['id']}**", *(seen.get(kind, "") for kind in kinds)))
    yield from table(("id", *kinds), rows)


def _bite(tooth: Mapping[str, Any]) -> str:
    count = len(tooth["faults"])
    said = {"this run": f"{count}", "last full run": f"({count})", "not due": "–", "empty": "**none**"}
    return said[tooth["seen"]]


def _planted(document: Document) -> Iterator[str]:
    yield from ("## Negative evidence", "")
    yield from ("A check that can't fail shows nothing. This was wrong on purpose, and was found:", "")
    for step in document["steps"]:
        if step["planted"]:
            yield from (f"### {step['step']}: {len(step['planted'])}", "")
            yield from _stories(step["planted"])


def _stories(planted: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """A table; and below it in full what an indented text tells."""
    told = [(one["fault"], one["found"]) for one in planted]
    long = {fault for fault, found in told if "\n " in found}
    yield from table(
        ("what", "how it was found"),
        [(fault, found.splitlines()[-1].strip() if fault in long else found) for fault, found in told],
    )
    for fault, found in told:
        if fault in long:
            yield from (f"{fault}:", "", "```", found, "```", "")


def _lifecycle(document: Document) -> Iterator[str]:
    lifecycle = document["lifecycle"]
    if lifecycle is None:
        return
    yield from ("## The lifecycle of a job", "")
    yield from ("✗: illegal, raises and changes nothing. `·`: a declared no-op.", "")
    events = list(lifecycle["events"])
    rows = [
        (state, *("·" if row[event] == state else row[event] or "✗" for event in events))
        for state, row in lifecycle["cells"].items()
    ]
    yield from table(("state", *events), rows)


def _skips(document: Document) -> Iterator[str]:
    yield from ("## What did not run", "")
    lines = [f"{skip['step']} {skip['id']}: {skip['reason']}" for skip in document["skips"]]
    yield from _bullets(lines or ["Nothing was skipped."])


def _assumptions(document: Document) -> Iterator[str]:
    yield from ("## What is assumed", "")
    rows = [(one["id"], one["text"], one["checked_by"], one["without"]) for one in document["assumptions"]]
    yield from table(("id", "assumption", "who checks it", "without it"), rows)


def _differences(document: Document) -> Iterator[str]:
    yield from ("## What aiojobs 1.4.0 does instead", "")
    rows = [(one["id"], text) for one in document["requirements"] for text in one["differences"]]
    yield from table(("id", "difference"), rows)


def _subject(document: Document) -> Iterator[str]:
    subject = document["subject"]
    yield from ("## What was checked, and with what", "")
    yield from _bullets(
        [
            *(f"commit {commit}" for commit in subject["commits"]),
            *(f"digest of everything that was checked: {source}" for source in subject["sources"]),
            *(f"spec/{name}: {digest}" for name, digest in subject["specification"].items()),
            *(f"{name} {', '.join(found)}" for name, found in subject["versions"].items()),
        ]
    )


def _timings(document: Document) -> Iterator[str]:
    yield from ("## Timings", "", "Only these lines differ between two runs of the same sources.", "", "```")
    for name, timing in document["timings"].items():
        yield f"timing {name}: {timing['timing_seconds']} s, started {timing['timing_started']}"
    yield "```"


def _bullets(lines: Iterable[str]) -> Iterator[str]:
    yield from (f"- {line}" for line in lines)
    yield ""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The lines of a table; a stroke inside a cell is escaped, so that it can't end the cell."""
    for row in (head, ("---",) * len(head), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""
