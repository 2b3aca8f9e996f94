"""What people read keeps to one form: lines that end, words of the field, what .editorconfig says; and the workflows
run what is there.
"""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

from docs import pages

SUFFIXES = {
    *(".cfg", ".css", ".in", ".js", ".json", ".lock", ".md", ".py", ".pyi", ".tla", ".toml", ".yaml", ".yml"),
}
NAMELESS = {"Makefile", "LICENSE", ".editorconfig", ".gitignore"}
LEFT_OUT = {"build", "dist", "__pycache__"}
COLUMNS = 119


def texts(root):
    """Every file that people write, by its path from the root; environments and what was built are not entered."""
    found = {}
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if is_entered(name)]
        for path in (Path(folder) / name for name in names):
            if path.suffix in SUFFIXES or path.name in NAMELESS or path.parent.name == ".ci":
                found[path.relative_to(root).as_posix()] = path
    return dict(sorted(found.items()))


def is_entered(folder):
    return folder in {".ci", ".github"} or not (folder.startswith(".") or folder in LEFT_OUT)


FILES = texts(pages.ROOT)
WRITTEN_BY_HAND = sorted(
    name
    for name in FILES
    if (name.endswith(".md") and not name.startswith("tests/")) or name == "tests/README.md"
)


# What an editor does by itself.


def untidy(name, content):
    """Where a file is not what .editorconfig says; content in bytes."""
    text = content.decode("utf-8")
    lines = text.split("\n")
    found = [
        f"{name}:{number}: ends in a space"
        for number, line in enumerate(lines, 1)
        if line != line.rstrip(" \t")
    ]
    found += [f"{name}: has a carriage return"] if "\r" in text else []
    found += [f"{name}: does not end with one newline"] if text and (lines[-1] or not lines[-2:][0]) else []
    found += [
        f"{name}:{number}: is left of a merge"
        for number, line in enumerate(lines, 1)
        if re.match(r"<{7} |>{7} |={7}$", line)
    ]
    if not name.endswith("Makefile"):
        found += [
            f"{name}:{number}: has a tab" for number, line in enumerate(lines, 1) if line.startswith("\t")
        ]
    return found


def test_every_text_of_the_tree_is_what_the_editor_settings_say():
    assert [finding for name, path in FILES.items() for finding in untidy(name, path.read_bytes())] == []


@pytest.mark.parametrize("breach", [b"x \n", b"x\r\n", b"x", b"x\n\n", b"\tx\n", b"<" * 7 + b" HEAD\n"])
def test_an_untidy_text_is_found(breach):
    assert untidy("some.py", breach)


# Lines of prose.


def long_lines(name, text):
    """Lines of prose that go on beyond the last column; a row of a table can't be broken, a link neither."""
    in_block = False
    for number, line in enumerate(text.splitlines(), 1):
        in_block ^= line.startswith("```")
        free = in_block or line.startswith("|") or re.fullmatch(r"\S+|[-*] \S+|#+ `.*`", line.strip())
        if len(line) > COLUMNS and not free:
            yield f"{name}:{number}"


@pytest.mark.parametrize("name", WRITTEN_BY_HAND)
def test_lines_of_prose_end_before_column_120(name):
    generated = name == "docs/reference/traceability.md"
    text = re.sub(
        r"<!-- (generated:\S+|verdict) -->.*?<!-- /\1 -->",
        _blank,
        FILES[name].read_text("utf-8"),
        flags=re.DOTALL,
    )
    assert generated or list(long_lines(name, text)) == []


def _blank(found):
    return "\n" * found[0].count("\n")


def test_a_long_line_of_prose_is_found():
    long = "word " * 30
    assert list(long_lines("page.md", f"short\n{long}\n1. {long}\n| {long} |\n```\n{long}\n```\n{long}")) == [
        "page.md:2",
        "page.md:3",
        "page.md:8",
    ]


# Words of the field. The glossary has those that are used instead.

NOT_USED = re.compile(
    r"\bbooks?\b(?!-\d)|\b(?:fall|falls|fallen|falling) free\b|\bmov(?:e|es|ed|ing) up\b|"
    r"\b(?:waits?|waiting|calls|callers) outside\b(?! of)|\bincumbent|\brosters?\b|\bspecimens?\b|"
    r"\bplanted faults?\b|\bso many\b",
    re.IGNORECASE,
)
GLOSSARY = "docs/reference/glossary.md"
# These quote the specification, older versions of the text, or name what they are about.
SPEAK_OTHERWISE = {
    GLOSSARY,
    "CHANGELOG.md",
    "docs/reference/requirements.md",
    "docs/reference/traceability.md",
}
USERS_PAGES = [name for name in WRITTEN_BY_HAND if not name.startswith(("spec/", "verification/"))]


def unused_words(text):
    """Words that the glossary does not have, outside of generated parts, code and links."""
    plain = re.sub(r"<!-- (generated:\S+|verdict) -->.*?<!-- /\1 -->", "", text, flags=re.DOTALL)
    plain = re.sub(r"^```.*?^```", "", plain, flags=re.DOTALL | re.MULTILINE)
    plain = re.sub(r"`[^`\n]*`|\]\([^)]*\)|<a id=\"[^\"]*\">", "", plain)
    return [found[0] for found in NOT_USED.finditer(" ".join(plain.split()))]


@pytest.mark.parametrize("name", [name for name in USERS_PAGES if name not in SPEAK_OTHERWISE])
def test_a_page_uses_the_words_of_the_glossary(name):
    assert unused_words(FILES[name].read_text("utf-8")) == []


def explained(source):
    """The docstrings and comments of a module."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr)]
    texts = [node.value.value for node in nodes if isinstance(node.value, ast.Constant)]
    return "\n".join([*map(str, texts), *re.findall(r"#.*", source)])


# What the tables say is quoted from the specification.
RUNTIME = [
    name for name in FILES if re.fullmatch(r"src/aiojobs/.*\.py", name) and not name.endswith("_lifecycle.py")
]


@pytest.mark.parametrize("name", RUNTIME)
def test_a_module_uses_the_words_of_the_glossary(name):
    assert unused_words(explained(FILES[name].read_text("utf-8"))) == []


def test_a_word_that_is_not_used_is_found():
    page = "A slot\nfalls free, `books` and [it](books.md).\n<!-- verdict -->\nso many\n<!-- /verdict -->\nThe books."
    assert unused_words(page) == ["falls free", "books"]
    assert unused_words(explained('"""Our books."""\nx = "books"  # moves up\n')) == ["books", "moves up"]


def test_the_glossary_explains_each_term_once_and_in_order():
    for section in ("## Jobs and schedulers", "## Verification"):
        rows = re.findall(r"^\| \*([^*]+)\*", pages.section(GLOSSARY, section), re.MULTILINE)
        assert rows == sorted(rows, key=lambda row: row.strip("*").lower())
    terms = re.findall(r"^\| \*([^*]+)\*", pages.text(GLOSSARY), re.MULTILINE)
    assert len(terms) == len(set(terms)) > 40


# Files that are named.

_PATH = re.compile(r"`([\w.\-]+/[\w./\-]*|[\w\-]+\.(?:py|md|toml|tla|yml|cfg|lock|in|json))(?:::\w+)?`")
# What a contributor is about to write, and what commands leave behind.
TO_COME = ("src/aiojobs/structlog.py", "tests/structlog/", "build/", "dist/")


def lost_files(page, text):
    """Files in backticks that are neither there nor written by an example of the page."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    roots = [pages.ROOT, (pages.ROOT / page).parent, pages.ROOT / "spec", pages.ROOT / "src/aiojobs"]
    named = [name for name in _PATH.findall(plain) if not name.startswith(TO_COME)]
    written = set(re.findall(r"<!-- file ([\w.]+),", text))
    return [
        name for name in named if name not in written and not any((root / name).exists() for root in roots)
    ]


@pytest.mark.parametrize("name", [name for name in USERS_PAGES if name != "docs/reference/traceability.md"])
def test_every_file_that_a_page_names_exists(name):
    assert lost_files(name, FILES[name].read_text("utf-8")) == []


def test_a_file_that_is_gone_is_found():
    page = "`tests/README.md`, `tests/gone.py::test_it`, `_engine.py`, `job.toml`, `jobs.py`"
    page += "\n<!-- file jobs.py, run by tests/x.py -->"
    assert lost_files("docs/index.md", page) == ["tests/gone.py", "_engine.py"]


# What the workflows run.


def runs(text):
    return re.findall(r"^\s*- run: (.*)$", text, re.MULTILINE)


def test_a_workflow_runs_targets_of_the_makefile_and_nothing_else():
    makefile = FILES["Makefile"].read_text("utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    commands = [
        run for name, path in FILES.items() if "/workflows/" in name for run in runs(path.read_text("utf-8"))
    ]
    assert commands
    assert [run for run in commands if run.split()[0] != "make" or run.split()[1] not in targets] == []


def test_the_workflow_tests_every_tested_python():
    matrix = re.search(
        r"^ *python: \[(.*)\]$", FILES[".github/workflows/test.yml"].read_text("utf-8"), re.MULTILINE
    )
    done = subprocess.run(
        ["sh", ".ci/pythons", "tested"], cwd=pages.ROOT, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert re.findall(r'"(3\.\d+)"', matrix[1]) == done.stdout.split()
