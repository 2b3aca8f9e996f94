"""The pages of the documentation, taken apart: examples, links, headings, ids.

Rules of this file
    A page is Markdown as far as these pages use it. An example is a fenced block marked ``python``; it is a
    whole program. An ``output`` block after it is exactly what the program prints, its warnings included.

    A block that is no program by itself says so in a comment before it, so that leaving one out is a
    decision that can be read. ``<!-- file NAME, run by TEST -->`` is (a part of) a file that TEST, a file of
    tests, writes and runs where the packages are that it needs. ``<!-- not run: from examples/NAME.py, which
    a test runs -->`` quotes functions and classes of a program; an ``output`` block after it is what that
    program says that it prints. ``<!-- not run: the reason -->`` is anything else.

    ``<!-- slow -->`` before a program says that it takes more than `LONG` seconds of real time.

    A block marked ``sh`` is an example too if an ``output`` block follows. It runs in the folder in which
    the program before it has just been run. In an output ``…`` stands for anything within a line.

Deliberately not here: what is checked about all this.
"""

import ast
import contextlib
import io
import logging
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from support.library import SOURCES

ROOT = Path(__file__).resolve().parents[2]
LONG = 6.5
"""Seconds of real time that a program takes at most, unless its page calls it slow."""

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: [^>]+-->\s*\Z")
_FILE = re.compile(r"<!-- file ([\w.]+), run by (tests/[\w/]+\.py) -->\s*\Z")
_QUOTE = re.compile(r"<!-- not run: from (examples/\w+\.py), which a test runs(?: over loopback)? -->\s*\Z")
_SLOW = re.compile(r"<!-- slow -->\s*\Z")
_PRINTS = re.compile(r"\bprints\n\n((?: {4}.*\n)+)")
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
    program: "Example | None" = None
    """If this is a command: the program before it."""
    slow: bool = False
    """Whether the page says that it takes its time."""

    def __str__(self):
        return f"{self.page}:{self.line}"

    def says(self, printed):
        """Whether this was printed, as far as the page says anything about it."""
        if self.output is None:
            return True
        return re.fullmatch(".*".join(map(re.escape, self.output.split("…"))), printed) is not None


@dataclass(frozen=True)
class File:
    """A block of a page that is a file, or the next part of one, and the tests that run it."""

    page: str
    line: int
    name: str
    test: str
    source: str

    def __str__(self):
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Quote:
    """A block of a page that consists of parts of a program under examples/."""

    page: str
    line: int
    file: str
    source: str
    output: str | None

    def __str__(self):
        return f"{self.page}:{self.line}"

    def missing(self):
        """The parts that the program has not, or has differently."""
        program = text(self.file)
        return [part for part in self.source.split("\n\n\n") if part.strip() not in program]


def says_that_it_prints(file):
    """The output of a program under examples/, as its docstring shows it; None if it shows none."""
    found = _PRINTS.search(ast.get_docstring(ast.parse(text(file))) + "\n")
    return None if found is None else textwrap.dedent(found[1])


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
    """The programs of a page, and the commands of which it shows the output."""
    content = text(page)
    found = []
    program = None
    for block, line, output in _blocks(content):
        if block[1] == "python" and not _left_out(content, block):
            slow = _SLOW.search(content, 0, block.start()) is not None
            program = Example(page, line, block[2], output, slow=slow)
            found.append(program)
        elif block[1] == "sh" and output is not None and program is not None:
            found.append(Example(page, line, block[2], output, program))
    return found


def _blocks(content):
    """Each block with the line of its first line, and with the output that follows it, if one does."""
    blocks = list(_FENCE.finditer(content))
    for block, follower in zip_longest(blocks, blocks[1:]):
        output = follower[2] if follower is not None and follower[1] == "output" else None
        yield block, content.count("\n", 0, block.start()) + 2, output


def _left_out(content, block):
    return any(mark.search(content, 0, block.start()) for mark in (_NOT_RUN, _FILE))


def files(page):
    """The blocks of a page that are files, in order."""
    content = text(page)
    marked = [(block, _FILE.search(content, 0, block.start())) for block in _FENCE.finditer(content)]
    return [
        File(page, content.count("\n", 0, block.start()) + 2, *mark.groups(), block[2])
        for block, mark in marked
        if mark is not None
    ]


def write_files(page, folder):
    """Write the files of a page into a folder, parts of the same name one after the other."""
    for file in files(page):
        with (folder / file.name).open("a", encoding="utf-8") as target:
            target.write(f"{file.source}\n\n")


def quotes(page):
    """The blocks of a page that quote a program under examples/."""
    content = text(page)
    return [
        Quote(page, line, mark[1], block[2], output)
        for block, line, output in _blocks(content)
        if (mark := _QUOTE.search(content, 0, block.start())) is not None
    ]


def python_blocks(page):
    """How many blocks of a page are marked as Python."""
    return sum(block[1] == "python" for block in _FENCE.finditer(text(page)))


def texts(page):
    """What the blocks of a page contain that are marked as nothing but text."""
    return [block[2] for block in _FENCE.finditer(text(page)) if block[1] == "text"]


def orphans(page):
    """The lines of ``output`` blocks that follow no example that runs."""
    content = text(page)
    outputs = [block for block in _FENCE.finditer(content) if block[1] == "output"]
    return len(outputs) - sum(block.output is not None for block in (*examples(page), *quotes(page)))


def headings(page):
    """Level and text of each heading, in order."""
    return [(len(found[1]), found[2]) for found in _HEADING.finditer(prose(page))]


def section(page, heading):
    """What stands under a heading, up to the next one of the same level or above, blocks included."""
    content = text(page)
    level = heading.index(" ")
    if f"\n{heading}\n" not in content:
        raise LookupError(f"{page} has no heading {heading!r}")
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


def run(example, loop_factory, folder):
    """Run an example in a folder, on a loop of its own, and return what it printed."""
    if example.program is not None:
        run(example.program, loop_factory, folder)
        return _run_command(example.source, folder)
    with contextlib.chdir(folder):
        return _run_program(example, loop_factory)


def run_by_itself(example, folder):
    """Run a program as a reader would, in a process of its own; what it printed, complaints included."""
    (folder / "program.py").write_text(example.source, encoding="utf-8")
    return _run_command("python -u -W error program.py", folder)  # unbuffered, as on a terminal


def run_on_a_real_clock(examples, folder):
    """Run programs at the same time, each in a process of its own; what each printed."""
    folders = {example: folder / str(number) for number, example in enumerate(examples)}
    for example, place in folders.items():
        place.mkdir()
        (place / "program.py").write_text(example.source, encoding="utf-8")
    runner = [sys.executable, "-u", "-W", "error", str(Path(__file__).with_name("real_clock.py"))]
    subprocess.run([*runner, *map(str, folders.values())], env=_environment(), check=True)
    return {example: (place / "printed.txt").read_text("utf-8") for example, place in folders.items()}


def _environment():
    """That of a reader: in debug mode asyncio would remark on a slow machine."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = {**os.environ, "PATH": path, "PYTHONPATH": SOURCES}
    found.pop("PYTHONASYNCIODEBUG", None)
    return found


def _run_command(command, folder):
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def define(example):
    """The names that an example defines, without running its main program."""
    import asyncio

    really_run = asyncio.run
    asyncio.run = lambda main, **_: main.close()
    try:
        return _execute(example)
    finally:
        asyncio.run = really_run


def _execute(example):
    code = compile("\n" * (example.line - 1) + example.source, example.page, "exec")
    names = {"__name__": "__main__"}
    exec(code, names)
    return names


@contextlib.contextmanager
def _logging_as_in_a_new_process():
    """Nobody has said where logs go, so warnings are printed bare; what a program says about it ends with it."""
    before = {log: (log.level, log.handlers[:], log.filters[:]) for log in _loggers()}
    logging.getLogger().handlers.clear()
    try:
        yield
    finally:
        for log in _loggers():
            level, log.handlers[:], log.filters[:] = before.get(log, (logging.NOTSET, [], []))
            log.setLevel(level)


def _loggers():
    named = logging.getLogger().manager.loggerDict.values()
    return [logging.getLogger(), *(log for log in named if isinstance(log, logging.Logger))]


def _run_program(example, loop_factory):
    import asyncio

    def on_virtual_time(main, *, debug=None):
        with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
            return runner.run(main)

    printed = io.StringIO()
    really_run = asyncio.run
    asyncio.run = on_virtual_time
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            _logging_as_in_a_new_process(),
        ):
            _execute(example)
    finally:
        asyncio.run = really_run
    return printed.getvalue()
