"""The report as one self-contained HTML page, from the document that `report.compose` makes.

Rules of this file: a pure function of the document and the picture. Nothing is loaded from anywhere: no
script, no font, no image. Every text is escaped where it is put in, and nowhere else. Whatever differs
between two runs of the same sources stands in a line with the word "timing".
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Document = Mapping[str, Any]

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { border: 1px solid #8886; padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: #8882; }
code, pre { font-size: 13px; }
pre { background: #8882; padding: .6rem; overflow-x: auto; }
.verdict { font-size: 2rem; font-weight: bold; padding: .4rem 1rem; color: white; display: inline-block; }
.PASS { background: #1a7f37; } .FAIL { background: #c62828; } .INCOMPLETE { background: #9a6700; }
.pass, .checked { color: #1a7f37; } .fail, .lacking { color: #c62828; font-weight: bold; }
.skipped, .not { color: #9a6700; }
svg { max-width: 100%; height: auto; }
summary { cursor: pointer; }
"""


def page(document: Document, picture: str) -> str:
    """The whole page; `picture` is the lifecycle as inline SVG, or empty."""
    parts = (_requirements, _chain, _skips, _assumptions, _differences, _subject, _timings)
    lines = [*_head(document), *_lifecycle(document, picture)]
    lines += [line for part in parts for line in part(document)]
    body = "\n".join(lines)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>aiojobs: {escape(document['verdict'])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def _head(document: Document) -> Iterator[str]:
    verdict, tier = document["verdict"], document["tier"]
    yield "<h1>aiojobs: the chain of evidence</h1>"
    yield f'<p class="verdict {escape(verdict)}">{escape(verdict)}</p>'
    yield f"<p>Tier {escape(tier)}. Repeat it: <code>make verify TIER={escape(tier)}</code></p>"
    if document["failures"]:
        yield "<h2>Failed</h2>"
        yield _list(document["failures"])
    if document["gaps"]:
        yield "<h2>Open: not known, and therefore no PASS</h2>"
        yield _list(document["gaps"])


def _lifecycle(document: Document, picture: str) -> Iterator[str]:
    lifecycle = document["lifecycle"]
    if lifecycle is None:
        return
    yield "<h2>The lifecycle of a job</h2>"
    yield picture
    yield "<p>Empty: illegal, raises and changes nothing. ·: a declared no-op.</p>"
    events = list(lifecycle["events"])
    rows = [
        [f"<b>{escape(state)}</b>", *("·" if row[e] == state else escape(row[e] or "") for e in events)]
        for state, row in lifecycle["cells"].items()
    ]
    yield _table(("state", *events), rows)


def _requirements(document: Document) -> Iterator[str]:
    yield "<h2>The requirements, and how each was checked in this run</h2>"
    rows = [
        [f"<b>{escape(one['id'])}</b>", escape(one["text"]), "".join(_way(way) for way in one["checks"])]
        for one in document["requirements"]
    ]
    yield _table(("id", "promise", "checked"), rows)
    yield "<p>What each kind of check can say:</p>"
    yield _list(f"{kind}: {meaning}" for kind, meaning in document["kinds"].items())


def _way(way: Mapping[str, Any]) -> str:
    head = f'{escape(way["kind"])}: <span class="{escape(way["standing"])}">{escape(way["standing"])}</span>'
    if not way["by"]:
        return f"<div>{head}</div>"
    return f"<details><summary>{head} by {len(way['by'])}</summary>{_list(way['by'])}</details>"


def _chain(document: Document) -> Iterator[str]:
    yield "<h2>The links of the chain</h2>"
    steps = {step["step"]: step for step in document["steps"]}
    for link in document["links"]:
        yield f"<h3>{link['number']}. {escape(link['title'])}</h3>"
        if not link["built"]:
            yield '<p class="not">Not built.</p>'
            continue
        rows = [_row(name, steps.get(name)) for name in link["steps"]]
        yield _table(("step", "status", "what it checks", "found", "repeat"), rows)


def _row(name: str, step: Mapping[str, Any] | None) -> list[str]:
    if step is None:
        return [escape(name), '<span class="not">no evidence</span>', "", "", ""]
    figures = [f"{key}: {value}" for key, value in step["figures"].items()]
    figures += [f"seed of {key}: {value}" for key, value in step["seeds"].items()]
    found = "<br>".join(map(escape, figures))
    if step["reason"]:
        found += f"<pre>{escape(step['reason'])}</pre>"
    status = f'<span class="{escape(step["status"])}">{escape(step["status"])}</span>'
    return [escape(name), status, escape(step["title"]), found, f"<code>{escape(step['repeat'])}</code>"]


def _skips(document: Document) -> Iterator[str]:
    yield "<h2>What did not run</h2>"
    lines = [f"{skip['step']} {skip['id']}: {skip['reason']}" for skip in document["skips"]]
    yield _list(lines or ["Nothing was skipped."])


def _assumptions(document: Document) -> Iterator[str]:
    yield "<h2>What is assumed</h2>"
    keys = ("id", "text", "why", "checked_by", "without")
    rows = [[escape(one[key]) for key in keys] for one in document["assumptions"]]
    yield _table(("id", "assumption", "why", "who checks it", "what breaks without it"), rows)


def _differences(document: Document) -> Iterator[str]:
    yield "<h2>What aiojobs 1.4.0 does instead</h2>"
    rows = [(one["id"], text) for one in document["requirements"] for text in one["differences"]]
    yield _table(("id", "difference"), [[escape(cell) for cell in row] for row in rows])


def _subject(document: Document) -> Iterator[str]:
    subject = document["subject"]
    yield "<h2>What was checked, and with what</h2>"
    rows = [
        *(["commit", commit] for commit in subject["commits"]),
        *(["digest of everything that was checked", source] for source in subject["sources"]),
        *([f"spec/{name}", digest] for name, digest in subject["specification"].items()),
        *([name, ", ".join(found)] for name, found in subject["versions"].items()),
    ]
    yield _table(("what", "which"), [[escape(cell) for cell in row] for row in rows])


def _timings(document: Document) -> Iterator[str]:
    yield "<h2>Timings</h2>\n<p>Only these lines differ between two runs of the same sources.</p>\n<ul>"
    for name, timing in document["timings"].items():
        text = f"{name}: {timing['timing_seconds']} s, started {timing['timing_started']}"
        yield f'<li class="timing">{escape(text)}</li>'
    yield "</ul>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _table(head: Iterable[str], rows: Iterable[list[str]]) -> str:
    """A table; the cells of `rows` are HTML already."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<tr>{top}</tr>\n{body}\n</table>"
