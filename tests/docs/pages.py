"""The pages of the documentation, taken apart: examples, links, headings, ids.

Rules of this file
    A page is Markdown as far as these pages use it. An example is a fenced block marked ``python``; it is a
    whole program. An ``output`` block after it is exactly what the program prints. An example that can't run
    by itself is preceded by ``<!-- not run: the reason -->``, so that leaving one out is a decision that can
    be read.

Deliberately not here: what is checked about all this.
"""

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: [^>]+-->\s*\Z")
_HEADING = re.compile(r"^(#+) +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_ANCHOR = re.compile(r'<a id="([^"]+)">')


@dataclass(frozen=True)
class Example:
    """One program of a page, and what it prints, if the page says so."""

    page: str
    line: int
    source: str
    output: str | None

    def __str__(self):
        return f"{self.page}:{self.line}"


def names():
    """The pages, as paths from the root of the repository."""
    return ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]


def text(page):
    """What stands in a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page):
    """A page without its fenced blocks."""
    return _FENCE.sub("", text(page))


def examples(page):
    """The programs of a page."""
    content = text(page)
    blocks = list(_FENCE.finditer(content))
    found = []
    for number, block in enumerate(blocks):
        if block[1] != "python" or _NOT_RUN.search(content, 0, block.start()):
            continue
        line = content.count("\n", 0, block.start()) + 2
        follower = blocks[number + 1] if number + 1 < len(blocks) else None
        shown = follower is not None and follower[1] == "output"
        found.append(Example(page, line, block[2], follower[2] if shown else None))
    return found


def orphans(page):
    """The lines of ``output`` blocks that follow no example that runs."""
    content = text(page)
    outputs = [block for block in _FENCE.finditer(content) if block[1] == "output"]
    return len(outputs) - sum(example.output is not None for example in examples(page))


def headings(page):
    """Level and text of each heading, in order."""
    return [(len(found[1]), found[2]) for found in _HEADING.finditer(prose(page))]


def section(page, heading):
    """What stands under a heading, up to the next one of the same level or above, blocks included."""
    content = text(page)
    level = heading.index(" ")
    start = content.index(f"\n{heading}\n") + 1
    end = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(content, start + len(heading))
    return content[start : end.start() if end else len(content)]


def links(page):
    """The links to places in this repository."""
    return [target for target in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", target)]


def anchors(page):
    """What ``#…`` can name on a page: its headings, as GitHub makes anchors of them, and explicit ones."""
    return {slug(heading) for _, heading in headings(page)} | set(_ANCHOR.findall(text(page)))


def slug(heading):
    """The anchor of a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def run(example, loop_factory):
    """Run an example on a loop of its own, and return what it printed."""
    import asyncio

    def on_virtual_time(main, *, debug=None):
        with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
            return runner.run(main)

    code = compile("\n" * (example.line - 1) + example.source, example.page, "exec")
    printed = io.StringIO()
    really_run = asyncio.run
    asyncio.run = on_virtual_time
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, {"__name__": "__main__"})
    finally:
        asyncio.run = really_run
    return printed.getvalue()
