"""The report as one self-contained HTML page, from the document that `report.compose` makes.

Rules of this file: a pure function of the document and the picture. Nothing is loaded from anywhere: no
script, no font, no image; links lead to places on the page itself. Every text is escaped where it is put in,
and nowhere else. Whatever differs between two runs of the same sources stands in a line that begins with an
element of class "timing".
"""

from __future__ import annotations

import re
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Document = Mapping[str, Any]

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
:root { --good: #1a7f37; --bad: #c62828; --open: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; --open: #d4a72c; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 1.5rem auto 4rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { margin: 2.5rem 0 .5rem; border-bottom: 2px solid var(--line); }
h3 { margin: 1.5rem 0 .3rem; font-size: 1.05rem; }
header { display: flex; gap: 1rem 1.5rem; align-items: center; flex-wrap: wrap; }
nav { margin: .5rem 0 1rem; } nav a { margin-right: 1.2rem; }
.verdict { font-size: 1.6rem; font-weight: bold; padding: .1rem 1rem; margin: 0; }
.verdict { color: white; border-radius: .4rem; }
.PASS { background: #1a7f37; } .FAIL { background: #c62828; } .INCOMPLETE { background: #9a6700; }
.counts { display: flex; flex-wrap: wrap; gap: .6rem; padding: 0; margin: 1rem 0; list-style: none; }
.counts li { background: var(--soft); border-radius: .4rem; padding: .4rem .9rem; }
.counts b { font-size: 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: var(--soft); }
tr.group td { background: var(--soft); font-weight: bold; }
td.id { white-space: nowrap; font-weight: bold; }
td.count, th.count { text-align: center; width: 4.2rem; padding: .3rem .2rem; }
td.none { color: var(--line); }
td.step { width: 7.5rem; } td.found { width: 48%; }
td.story { white-space: pre-wrap; }
code, pre { font-size: 12.5px; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; }
.pass, .checked { color: var(--good); } .fail, .lacking { color: var(--bad); font-weight: bold; }
.skipped, .not { color: var(--open); }
.figures { columns: 2 15rem; list-style: none; margin: 0; padding: 0; }
.figures li { break-inside: avoid; overflow-wrap: anywhere; }
details { margin: .2rem 0; } details ul { margin: .2rem 0 .6rem; overflow-wrap: anywhere; font-size: 13px; }
summary { cursor: pointer; }
.quiet { color: color-mix(in srgb, currentColor 65%, transparent); font-size: 13px; }
svg { max-width: 100%; height: auto; }
"""


def page(document: Document, picture: str) -> str:
    """The whole page; `picture` is the lifecycle as inline SVG, or empty."""
    lines = [*_head(document)]
    for name, title, section in _SECTIONS:
        drawn = [picture] if section is _lifecycle else []
        lines += [f'<h2 id="{name}">{title}</h2>', *drawn, *section(document)]
    body = "\n".join(lines)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>aiojobs: {escape(document['verdict'])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def _head(document: Document) -> Iterator[str]:
    verdict, tier = document["verdict"], document["tier"]
    yield "<header>"
    yield "<h1>aiojobs: the chain of evidence</h1>"
    yield f'<p class="verdict {escape(verdict)}">{escape(verdict)}</p>'
    yield f"<p>Tier {escape(tier)}. Repeat it: <code>make verify TIER={escape(tier)}</code></p>"
    yield "</header>"
    yield _counts(document["counts"])
    links = "\n".join(f'<a href="#{name}">{name}</a>' for name, _, _ in _SECTIONS)
    yield f"<nav>{links}</nav>"
    if document["failures"]:
        yield '<h2 class="fail">Failed</h2>'
        yield _list(document["failures"])
        for step in document["steps"]:
            if step["status"] == "fail":
                yield f"<p>What step {escape(step['step'])} said:</p>\n<pre>{escape(step['reason'])}</pre>"
    if document["gaps"]:
        yield '<h2 class="not">Open: not known, and therefore no PASS</h2>'
        yield _list(document["gaps"])


def _counts(counts: Mapping[str, int]) -> str:
    told = (
        (f"{counts['passed']} of {counts['steps']}", "steps passed"),
        (f"{counts['settled']} of {counts['requirements']}", "requirements checked in every way they need"),
        (str(counts["planted"]), "planted faults found"),
        (str(counts["skips"]), "skipped"),
    )
    items = "".join(f"<li><b>{escape(number)}</b> {what}</li>" for number, what in told)
    return f'<ul class="counts">{items}</ul>'


def _requirements(document: Document) -> Iterator[str]:
    kinds = [link["kind"] for link in document["links"] if link["kind"]]
    yield "<p>How many checks of each kind speak for a promise and passed in this run:</p>"
    yield _list(f"{kind}: {document['kinds'].get(kind, '')}" for kind in kinds)
    yield '<div class="scroll"><table>'
    counts = "".join(f'<th class="count">{escape(kind)}</th>' for kind in kinds)
    yield f"<tr><th>id</th><th>promise</th>{counts}</tr>"
    for group, promises in groupby(document["requirements"], key=lambda one: one["group"]):
        yield f'<tr class="group"><td colspan="{2 + len(kinds)}">{escape(str(group))}</td></tr>'
        for one in promises:
            yield _promise(one, kinds)
    yield "</table></div>"


def _promise(one: Mapping[str, Any], kinds: Sequence[str]) -> str:
    ways = {way["kind"]: way for way in one["checks"]}
    cells = "".join(_count(ways.get(kind)) for kind in kinds)
    by = "".join(f"<div>{escape(kind)}</div>{_list(way['by'])}" for kind, way in ways.items() if way["by"])
    details = f'<details><summary class="quiet">by what</summary>{by}</details>' if by else ""
    return f'<tr><td class="id">{escape(one["id"])}</td><td>{_prose(one["text"])}{details}</td>{cells}</tr>'


def _count(way: Mapping[str, Any] | None) -> str:
    if way is None:
        return '<td class="count none">·</td>'
    said = str(len(way["by"])) if way["by"] else escape(way["standing"])
    return f'<td class="count {escape(way["standing"])}">{said}</td>'


def _lifecycle(document: Document) -> Iterator[str]:
    lifecycle = document["lifecycle"]
    if lifecycle is None:
        yield '<p class="not">The specification of it could not be read.</p>'
        return
    events = list(lifecycle["events"])
    rows = [
        [f"<b>{escape(state)}</b>", *("·" if row[e] == state else escape(row[e] or "✗") for e in events)]
        for state, row in lifecycle["cells"].items()
    ]
    yield _table(("state", *events), rows)
    yield '<p class="quiet">✗: illegal, raises and changes nothing. ·: a declared no-op.</p>'


def _chain(document: Document) -> Iterator[str]:
    steps = {step["step"]: step for step in document["steps"]}
    for link in document["links"]:
        yield f"<h3>{link['number']}. {escape(link['title'])}</h3>"
        if not link["built"]:
            yield '<p class="not">Not built.</p>'
            continue
        yield "<table>"
        yield from (_step(name, steps.get(name)) for name in link["steps"])
        yield "</table>"


def _step(name: str, step: Mapping[str, Any] | None) -> str:
    if step is None:
        head = f'<td class="step"><b>{escape(name)}</b><br><span class="not">no evidence</span></td>'
        return f"<tr>{head}<td></td><td></td></tr>"
    status = f'<span class="{escape(step["status"])}">{escape(step["status"])}</span>'
    what = f"{escape(step['title'])}<br><code>{escape(step['repeat'])}</code>"
    return (
        f'<tr><td class="step"><b>{escape(name)}</b><br>{status}</td>'
        f'<td>{what}</td><td class="found">{_found(step)}</td></tr>'
    )


def _found(step: Mapping[str, Any]) -> str:
    told = [(name, str(value)) for name, value in step["figures"].items()]
    told += [(f"seed of {name}", str(value)) for name, value in step["seeds"].items()]
    items = "".join(f"<li>{escape(name)} <b>{escape(value)}</b></li>" for name, value in told)
    figures = f'<ul class="figures">{items}</ul>' if items else ""
    return figures + (f"<p>{escape(step['reason'].splitlines()[0])}</p>" if step["reason"] else "")


def _planted(document: Document) -> Iterator[str]:
    yield "<p>A check that can't fail shows nothing. This was wrong on purpose, and was found:</p>"
    for step in document["steps"]:
        if not step["planted"]:
            continue
        rows = "".join(
            f'<tr><td>{escape(one["fault"])}</td><td class="story">{escape(one["found"])}</td></tr>'
            for one in step["planted"]
        )
        head = f"<b>{escape(step['step'])}</b>: {len(step['planted'])} found. {escape(step['title'])}"
        yield f"<details><summary>{head}</summary>\n<table>{rows}</table></details>"
    yield '<p class="quiet">That each checker can fail is shown by tests as well: tests/quality.</p>'


def _skips(document: Document) -> Iterator[str]:
    lines = [f"{skip['step']} {skip['id']}: {skip['reason']}" for skip in document["skips"]]
    yield _list(lines or ["Nothing was skipped."])


def _assumptions(document: Document) -> Iterator[str]:
    keys = ("id", "text", "why", "checked_by", "without")
    rows = [[_prose(one[key]) for key in keys] for one in document["assumptions"]]
    yield _table(("id", "assumption", "why", "who checks it", "what breaks without it"), rows)


def _differences(document: Document) -> Iterator[str]:
    rows = [(one["id"], text) for one in document["requirements"] for text in one["differences"]]
    yield _table(("id", "difference"), [[_prose(cell) for cell in row] for row in rows])


def _subject(document: Document) -> Iterator[str]:
    subject = document["subject"]
    rows = [
        *(["commit", commit] for commit in subject["commits"]),
        *(["digest of everything that was checked", source] for source in subject["sources"]),
        *([f"spec/{name}", digest] for name, digest in subject["specification"].items()),
        *([name, ", ".join(found)] for name, found in subject["versions"].items()),
    ]
    yield _table(("what", "which"), [[escape(cell) for cell in row] for row in rows])


def _timings(document: Document) -> Iterator[str]:
    yield "<p>Only these lines differ between two runs of the same sources.</p>\n<ul>"
    for name, timing in document["timings"].items():
        text = f"{name}: {timing['timing_seconds']} s, started {timing['timing_started']}"
        yield f'<li class="timing">{escape(text)}</li>'
    yield "</ul>"


_SECTIONS: Final[tuple[tuple[str, str, Callable[[Document], Iterator[str]]], ...]] = (
    ("lifecycle", "The lifecycle of a job", _lifecycle),
    ("requirements", "The requirements, and how each was checked in this run", _requirements),
    ("chain", "The links of the chain", _chain),
    ("planted", "Negative evidence", _planted),
    ("skips", "What did not run", _skips),
    ("assumptions", "What is assumed", _assumptions),
    ("differences", "What aiojobs 1.4.0 does instead", _differences),
    ("subject", "What was checked, and with what", _subject),
    ("timings", "Timings", _timings),
)


def _prose(text: str) -> str:
    """A text of the specification, with its code as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _table(head: Iterable[str], rows: Iterable[list[str]]) -> str:
    """A table; the cells of `rows` are HTML already."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table>\n<tr>{top}</tr>\n{body}\n</table></div>'
