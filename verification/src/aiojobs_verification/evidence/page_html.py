"""The report as one self-contained HTML page, from the document that `report.compose` makes.

Rules of this file
    A pure function of the document and the picture. Nothing is loaded from anywhere: style and script stand
    in the page (``report.css`` and ``report.js`` beside this file). Links lead to places on the page, and to
    files of the source tree in whose ``build`` folder it lies.

    Every text is escaped where it is put in, and nowhere else. Every id is the anchor of what it names.

    Whatever differs between two runs of the same sources stands in a line that begins with an element of
    class "timing".

Deliberately not here: any judgement. A cell says what the document says.
"""

from __future__ import annotations

import re
from collections import Counter
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Document = Mapping[str, Any]

_ID = re.compile(r"\b[A-Z]+-[1-9][0-9]*\b")
_CODE = re.compile("`([^`]+)`")
_PATH = re.compile(r"\b(?:src|tests|verification|spec|benchmarks|examples|docs)/[\w./-]*\w\.\w+")
_TEST = re.compile(r"([\w./-]+\.py)::(.+?)(\[.*\])?", re.DOTALL)

# What a cell of "what was checked" says where no check counts.
_SHORT: Final = {
    "not due": "–", "not run": "not run", "not built": "no link", "lacking": "none", "outdated": "old",
}  # fmt: skip
_OPEN: Final = frozenset({"not run", "not built", "outdated"})
_SEEN: Final = {"this run": "now", "last full run": "before", "not due": "none", "empty": "empty"}


def page(document: Document, picture: str) -> str:
    """The whole page; `picture` is the lifecycle as inline SVG, or empty."""
    return "\n".join(_Page(document, picture).lines()) + "\n"


def _beside(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


class _Page:
    """One page in the making."""

    def __init__(self, document: Document, picture: str) -> None:
        self.document = document
        self.picture = picture
        self.kinds = [link["kind"] for link in document["links"] if link["kind"]]
        self.promises: list[Mapping[str, Any]] = document["requirements"]
        self.ids = {one["id"] for one in self.promises}
        self.sections: tuple[tuple[str, str, Callable[[], Iterator[str]]], ...] = (
            ("verdict", "Verdict", self.verdict),
            ("requirements", "Requirements", self.requirements),
            ("checked", "What was checked", self.checked),
            ("teeth", "Teeth", self.teeth),
            ("chain", "The links of the chain", self.chain),
            ("planted", "Negative evidence", self.planted),
            ("left-out", "What did not run", self.left_out),
            ("lifecycle", "The lifecycle of a job", self.lifecycle),
            ("assumptions", "What is assumed", self.assumptions),
            ("differences", "What aiojobs 1.4.0 does instead", self.differences),
            ("subject", "What was checked, with what", self.subject),
            ("timings", "Timings", self.timings),
        )

    def lines(self) -> Iterator[str]:
        title = escape(self.document["verdict"])
        yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield f"<title>{title}: the evidence of aiojobs</title>\n<style>\n{_beside('report.css')}</style>"
        yield '</head>\n<body>\n<div id="layout">'
        yield from self.head()
        yield from self.contents()
        yield "<main>"
        for name, heading, section in self.sections:
            yield f'<h2 id="{name}">{heading}</h2>'
            yield from section()
        yield f"</main>\n</div>\n<script>\n{_beside('report.js')}</script>\n</body>\n</html>"

    # ------------------------------------------------------------------------------------------------
    # What stands above and beside

    def head(self) -> Iterator[str]:
        verdict, tier, subject = self.document["verdict"], self.document["tier"], self.document["subject"]
        versions = subject["versions"]
        machine = [*versions.get("platform", ()), *versions.get("machine", ()), *versions.get("python", ())]
        yield '<header id="top">\n<div class="line">'
        yield f'<p class="verdict {escape(verdict)}">{escape(verdict)}</p>'
        yield '<h1>aiojobs: the chain of evidence</h1>\n</div>\n<dl class="run">'
        yield _fact("Tier", f"{escape(tier)}, <code>make verify TIER={escape(tier)}</code>")
        yield _fact("Commit", ", ".join(f"<code>{escape(one[:12])}</code>" for one in subject["commits"]))
        yield _fact("Builds", escape(", ".join(subject["builds"]) or "none"))
        yield _fact("Machine", escape(", ".join(machine)))
        started = min((one["timing_started"] for one in self.document["timings"].values()), default="never")
        yield f'<div class="timing"><dt>Date</dt><dd>{escape(started)}</dd></div>'
        yield "</dl>\n</header>"

    def contents(self) -> Iterator[str]:
        yield '<details id="contents" open><summary>Contents: <b id="here"></b></summary>\n<ul>'
        for name, heading, _ in self.sections:
            groups = self.groups() if name == "requirements" else []
            items = "".join(f'<li><a href="#{_slug(one)}">{escape(one)}</a></li>' for one in groups)
            below = f"<ul>{items}</ul>" if items else ""
            yield f'<li><a href="#{name}">{heading}</a>{below}</li>'
        yield "</ul></details>"

    def groups(self) -> list[str]:
        return list(dict.fromkeys(one["group"] for one in self.promises))

    # ------------------------------------------------------------------------------------------------
    # The sections

    def verdict(self) -> Iterator[str]:
        counts = self.document["counts"]
        told = {
            "steps passed": f"{counts['passed']} of {counts['steps']}",
            "requirements checked in every way they need": f"{counts['settled']} of {counts['requirements']}",
            "planted faults found": str(counts["planted"]),
            "skipped": str(counts["skips"]),
        }
        items = "".join(f"<li><b>{escape(number)}</b> {what}</li>" for what, number in told.items())
        yield f'<ul class="counts">{items}</ul>'
        if self.document["left_out"]:
            sums: Counter[str] = Counter()
            for one in self.document["left_out"]:
                sums[one["what"]] += one["count"]
            left = ", ".join(f"{count:,} {what}" for what, count in sums.items())
            yield f'<p>Left out by this tier: {escape(left)}. <a href="#left-out">By step</a></p>'
        for crash in self.document["crashes"]:
            yield f'<div class="note bad"><h3>CRASH in step {self.step_link(crash["step"])}</h3>'
            yield "<p>The code under test failed by itself. This speaks for or against no requirement.</p>"
            yield f"<pre>{_linked(escape(crash['story']))}</pre></div>"
        yield from self.note("bad", "Failed", self.document["failures"])
        crashed = {crash["step"] for crash in self.document["crashes"]}
        for step in self.document["steps"]:
            if step["status"] == "fail" and step["step"] not in crashed:
                yield f"<p>What step {self.step_link(step['step'])} said:</p>"
                yield f"<pre>{_linked(escape(step['reason']))}</pre>"
        yield from self.note("open", "Open: not known, and therefore no PASS", self.document["gaps"])

    def note(self, kind: str, heading: str, lines: Iterable[str]) -> Iterator[str]:
        if lines:
            items = "".join(f"<li>{self.prose(line)}</li>" for line in lines)
            yield f'<div class="note {kind}"><h3>{heading}</h3><ul>{items}</ul></div>'

    def requirements(self) -> Iterator[str]:
        options = "".join(f"<option>{escape(kind)}</option>" for kind in self.kinds)
        yield '<form id="filter" role="search">'
        yield '<label>Requirement<input type="search" name="wanted" placeholder="LIMIT, queue, …"></label>'
        yield f'<label>Kind of check<select name="kind"><option value="">all</option>{options}</select></label>'
        yield '<label>Standing<select name="standing"><option value="">all</option>'
        yield '<option value="open">not settled</option></select></label>'
        yield '<output name="count"></output></form>'
        meanings = self.document["kinds"].items()
        told = "".join(f"<dt>{escape(kind)}</dt><dd>{escape(text)}</dd>" for kind, text in meanings)
        yield f'<details><summary>What each kind can say</summary><dl class="told">{told}</dl></details>'
        for group, promises in groupby(self.promises, key=lambda one: str(one["group"])):
            yield f'<section class="group"><h3 id="{_slug(group)}">{escape(group)}</h3>'
            for one in promises:
                yield from self.promise(one)
            yield "</section>"

    def promise(self, one: Mapping[str, Any]) -> Iterator[str]:
        name = escape(one["id"])
        state = "outdated" if one["outdated"] else "reviewed"
        yield f'<article class="promise" id="{name}" {self.sieve(one)}>'
        yield f'<h4><a href="#{name}">{name}</a> <span class="quiet">revision {one["revision"]}, {state}</span></h4>'
        yield f"<p>{self.prose(one['text'])}</p>"
        yield f'<ul class="ways">{"".join(_chip(way) for way in one["checks"])}</ul>'
        yield from self.why(one)
        yield from _folded("Kept and checked by", one["places"], _by_file)
        yield from _folded("Checks that passed", {w["kind"]: w["by"] for w in one["checks"]}, _by_test)
        yield from _folded("Seeded faults found", {t["kind"]: t["faults"] for t in one["teeth"]}, _plainly)
        yield "</article>"

    def why(self, one: Mapping[str, Any]) -> Iterator[str]:
        told = {
            "Why": [one["goal"]],
            "Keeps of aiojobs 1.4": [one["keeps"]],
            "aiojobs 1.4.0": one["differences"],
        }
        yield "<details><summary>Why</summary>"
        for title, texts in told.items():
            yield from (f"<p><b>{title}</b>: {self.prose(text)}</p>" for text in texts if text)
        yield "</details>"

    def sieve(self, one: Mapping[str, Any]) -> str:
        """What the filter looks at."""
        words = escape(f"{one['id']} {one['group']} {one['text']}".lower())
        kinds = escape(" ".join(way["kind"] for way in one["checks"]))
        settled = all(way["standing"] in {"checked", "not due"} for way in one["checks"])
        toothed = all(tooth["seen"] != "empty" for tooth in one["teeth"])
        is_open = "" if settled and toothed else "open"
        return f'data-promise="{words}" data-kinds="{kinds}" data-open="{is_open}"'

    def checked(self) -> Iterator[str]:
        yield "<p>How many checks of each kind ran and passed in this run, and speak for the requirement.</p>"
        yield _key(
            checked="3: ran in this run",
            before="3: in the last full run only",
            open="not known",
            empty="none: every step of the kind passed, none speaks for it",
        )
        cells = {one["id"]: {way["kind"]: _count(one, way) for way in one["checks"]} for one in self.promises}
        yield from self.matrix(self.kinds, cells)

    def teeth(self) -> Iterator[str]:
        last = self.document["last_teeth"]
        when = f"of {last['date']}, commit {last['commit'][:12]}" if last["date"] else "(there was none yet)"
        yield "<p>A kind of check that was never seen to fail shows nothing. How many seeded faults, each of "
        yield "which breaks the requirement, each kind has found by itself. Their names stand at the requirement.</p>"
        yield _key(
            now="3: in this run",
            before=f"3: in the last full run {escape(when)}",
            none="–: a full run tries it",
            empty="none: counted, and has no teeth",
        )
        cells = {one["id"]: {t["kind"]: _bite(one, t) for t in one["teeth"]} for one in self.promises}
        toothed = {kind for row in cells.values() for kind in row}
        yield from self.matrix([kind for kind in self.kinds if kind in toothed], cells)

    def matrix(self, kinds: Sequence[str], cells: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
        heads = "".join(f'<th data-kind="{escape(kind)}">{escape(kind)}</th>' for kind in kinds)
        yield f'<table class="matrix"><thead><tr><th>id</th>{heads}</tr></thead><tbody>'
        for one in self.promises:
            told, name = cells[one["id"]], escape(one["id"])
            row = "".join(told.get(kind, f'<td data-kind="{escape(kind)}"></td>') for kind in kinds)
            yield f'<tr {self.sieve(one)}><th><a href="#{name}">{name}</a></th>{row}</tr>'
        yield "</tbody></table>"

    def chain(self) -> Iterator[str]:
        steps = {step["step"]: step for step in self.document["steps"]}
        for link in self.document["links"]:
            yield f'<h3 id="link-{link["number"]}">{link["number"]}. {escape(link["title"])}</h3>'
            if not link["built"]:
                yield '<p class="not">Not built.</p>'
            for name in link["steps"]:
                yield from self.step(name, steps.get(name))

    def step(self, name: str, step: Mapping[str, Any] | None) -> Iterator[str]:
        yield f'<div class="entry" id="step-{escape(name)}">'
        if step is None:
            yield f'<h4>{escape(name)} <span class="not">no evidence</span></h4></div>'
            return
        status = "CRASH" if name in {one["step"] for one in self.document["crashes"]} else step["status"]
        yield f'<h4>{escape(name)} <span class="{escape(step["status"])}">{escape(status)}</span></h4>'
        yield f"<p>{escape(step['title'])}</p>"
        if step["reason"]:
            yield f"<p>{self.prose(step['reason'].splitlines()[0])}</p>"
        told = [
            *step["figures"].items(),
            *((f"seed of {what}", seed) for what, seed in step["seeds"].items()),
        ]
        items = "".join(f"<li>{escape(what)} <b>{escape(_number(value))}</b></li>" for what, value in told)
        yield f'<ul class="figures">{items}</ul>' if items else ""
        yield f'<p class="quiet"><code>{escape(step["repeat"])}</code></p></div>'

    def step_link(self, name: str) -> str:
        return f'<a href="#step-{escape(name)}">{escape(name)}</a>'

    def planted(self) -> Iterator[str]:
        yield "<p>A check that can't fail shows nothing. This was wrong on purpose, and was found:</p>"
        for step in self.document["steps"]:
            if step["planted"]:
                head = f"<b>{escape(step['step'])}</b>: {len(step['planted'])} found. {escape(step['title'])}"
                yield f'<details><summary>{head}</summary><dl class="told">'
                for one in step["planted"]:
                    yield f'<dt>{escape(one["fault"])}</dt><dd class="story">{escape(one["found"])}</dd>'
                yield "</dl></details>"

    def left_out(self) -> Iterator[str]:
        lines = [f"{one['step']}: {one['count']:,} {one['what']}" for one in self.document["left_out"]]
        yield f"<h3>Left out, tier {escape(self.document['tier'])} being what it is</h3>"
        yield _list(lines or ["Nothing."])
        skips = [f"{skip['step']} {skip['id']}: {skip['reason']}" for skip in self.document["skips"]]
        yield "<h3>Skipped, because this machine can't do it</h3>"
        yield _list(skips or ["Nothing."])

    def lifecycle(self) -> Iterator[str]:
        lifecycle = self.document["lifecycle"]
        if lifecycle is None:
            yield '<p class="not">The specification of it could not be read.</p>'
            return
        yield f'<div class="picture">{self.picture}</div>'
        events = list(lifecycle["events"])
        yield f'<table class="cells"><tr><th>state</th>{"".join(f"<th>{escape(e)}</th>" for e in events)}</tr>'
        for state, row in lifecycle["cells"].items():
            cells = "".join(f"<td>{'·' if row[e] == state else escape(row[e] or '✗')}</td>" for e in events)
            yield f"<tr><th>{escape(state)}</th>{cells}</tr>"
        yield '</table>\n<p class="quiet">✗: illegal, raises and changes nothing. ·: a declared no-op.</p>'

    def assumptions(self) -> Iterator[str]:
        told = {"Why": "why", "Checked by": "checked_by", "Without it": "without"}
        for one in self.document["assumptions"]:
            name = escape(one["id"])
            yield f'<div class="entry" id="{name}"><h4><a href="#{name}">{name}</a></h4>'
            yield f"<p>{self.prose(one['text'])}</p>"
            items = "".join(f"<dt>{title}</dt><dd>{self.prose(one[key])}</dd>" for title, key in told.items())
            yield f'<dl class="told">{items}</dl></div>'

    def differences(self) -> Iterator[str]:
        items = "".join(
            f"<li>{self.prose(one['id'])}: {self.prose(text)}</li>"
            for one in self.promises
            for text in one["differences"]
        )
        yield f"<ul>{items}</ul>"

    def subject(self) -> Iterator[str]:
        subject = self.document["subject"]
        facts = [
            *(("commit", commit) for commit in subject["commits"]),
            *(("digest of everything that was checked", source) for source in subject["sources"]),
            *((f"spec/{name}", digest) for name, digest in subject["specification"].items()),
            *((name, ", ".join(found)) for name, found in subject["versions"].items()),
        ]
        items = "".join(
            f"<dt>{escape(name)}</dt><dd><code>{escape(what)}</code></dd>" for name, what in facts
        )
        yield f'<dl class="told">{items}</dl>'

    def timings(self) -> Iterator[str]:
        yield "<p>Only these lines, and the date above, differ between two runs of the same sources.</p>\n<ul>"
        for name, timing in self.document["timings"].items():
            text = f"{name}: {timing['timing_seconds']} s, started {timing['timing_started']}"
            yield f'<li class="timing">{escape(text)}</li>'
        yield "</ul>"

    def prose(self, text: str) -> str:
        """A text with its code as code, and its requirements and files as links."""
        coded = _linked(_CODE.sub(r"<code>\1</code>", escape(text)))
        return _ID.sub(lambda id_: self.id_link(id_[0]), coded)

    def id_link(self, name: str) -> str:
        return f'<a href="#{name}">{name}</a>' if name in self.ids else name


def _slug(group: str) -> str:
    return "group-" + re.sub(r"\W+", "-", group.lower())


def _fact(name: str, what: str) -> str:
    return f"<div><dt>{name}</dt><dd>{what}</dd></div>"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _key(**told: str) -> str:
    """What the colours mean: class of a cell -> what stands in it, and what that says."""
    items = []
    for name, text in told.items():
        sign, _, meaning = text.rpartition(": ")
        items.append(f'<li><b class="{name}">{sign or "…"}</b> {meaning}</li>')
    return f'<ul class="key">{"".join(items)}</ul>'


def _chip(way: Mapping[str, Any]) -> str:
    standing, kind = way["standing"], escape(way["kind"])
    said = f"<b>{len(way['by'])}</b>" if way["by"] else escape(standing)
    shown = "open" if standing in _OPEN else escape(standing)
    return f'<li class="{shown}" data-kind="{kind}">{kind} {said}</li>'


def _count(one: Mapping[str, Any], way: Mapping[str, Any]) -> str:
    standing = way["standing"]
    if standing == "not due" and way["last_full"]:
        return _cell(one, way["kind"], "before", str(way["last_full"]))
    said = str(len(way["by"])) if way["by"] else _SHORT[standing]
    shown = "open" if standing in _OPEN else "none" if standing == "not due" else standing
    return _cell(one, way["kind"], shown, said)


def _bite(one: Mapping[str, Any], tooth: Mapping[str, Any]) -> str:
    said = str(len(tooth["faults"])) if tooth["faults"] else "none" if tooth["seen"] == "empty" else "–"
    return _cell(one, tooth["kind"], _SEEN[tooth["seen"]], said, "\n".join(tooth["faults"]))


def _cell(one: Mapping[str, Any], kind: str, shown: str, said: str, names: str = "") -> str:
    title = f' title="{escape(names)}"' if names else ""
    link = f'<a href="#{escape(one["id"])}">{escape(said)}</a>'
    return f'<td class="{escape(shown)}" data-kind="{escape(kind)}"{title}>{link}</td>'


def _folded(
    title: str, told: Mapping[str, list[Any]], items: Callable[[list[Any]], Iterator[str]]
) -> Iterator[str]:
    """A list that opens on demand, in parts; nothing if there is nothing in it."""
    count = sum(len(found) for found in told.values())
    if not count:
        return
    yield f"<details><summary>{title}: {count}</summary>"
    for part, found in told.items():
        if found:
            yield f"<div>{escape(part)}</div><ul>{''.join(f'<li>{item}</li>' for item in items(found))}</ul>"
    yield "</details>"


def _file(path: str) -> str:
    return f'<a href="../{escape(path)}">{escape(path)}</a>'


def _linked(text: str) -> str:
    """A text that is HTML already, with the files that it names as links."""
    return _PATH.sub(lambda path: f'<a href="../{path[0]}">{path[0]}</a>', text)


def _plainly(names: Iterable[str]) -> Iterator[str]:
    yield from (escape(name) for name in names)


def _by_file(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for path, group in groupby(found, key=lambda one: str(one["path"])):
        named = ((one["name"], f"line {one['line']}") for one in group)
        told = ", ".join(f"{name} ({line})" if name else line for name, line in named)
        yield f"{_file(path)}: {escape(told)}"


def _by_test(names: Iterable[str]) -> Iterator[str]:
    """Tests by their file, each once however many parameters it ran with; other names as they are."""
    ran: dict[str, dict[str, int]] = {}
    for name in names:
        test = _TEST.fullmatch(name)
        if test is None:
            yield escape(name)
            continue
        times = ran.setdefault(test[1], {})
        times[test[2]] = times.get(test[2], 0) + 1
    for path, tests in ran.items():
        told = ", ".join(f"{name} × {count}" if count > 1 else name for name, count in tests.items())
        yield f"{_file(path)}: {escape(told)}"
