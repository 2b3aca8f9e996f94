"""The checks of the documentation can fail: each finds the fault that was planted for it."""

import logging
import os

import pytest

from aiojobs.testing import VirtualLoop
from docs import pages

PAGE = """# Title

<!-- not run: needs a database -->
```python
raise SystemExit
```

```python
import asyncio

async def main():
    await asyncio.sleep(1000)
    print("a", asyncio.get_running_loop().time())

asyncio.run(main())
```

```output
a 1000.0
```

## `Some.heading(x, *, y=None)`

Text with [a link](other.md#there), [one outside](https://example.org/), and `LIMIT-1`.

```python
from pathlib import Path

Path("left.txt").write_text("no output is shown for this\\n")
```

```sh
make nothing-of-this
```

```sh
cat left.txt
python -c "raise SystemExit(f'{6 * 7} seconds')"
```

```output
no output is shown for this
… seconds
```

## Last

<!-- file jobs.py, run by tests/compat/pages/test_page.py -->
```python
FIRST = 1
```

<!-- file jobs.py, run by tests/compat/pages/test_page.py -->
```python
SECOND = FIRST + 1
```

<!-- not run: from examples/quickstart.py, which a test runs over loopback -->
```python
def greet():
    print("hello")


def main():
    print("something else")
```

```output
hello
```
"""
PROGRAM = '''"""A program, which prints

    hello

and no more."""

def greet():
    print("hello")
'''


@pytest.fixture(autouse=True)
def _planted(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/quickstart.py").write_text(PROGRAM)
    (tmp_path / "README.md").write_text("# Readme\n")
    (tmp_path / "docs/page.md").write_text(PAGE)
    (tmp_path / "docs/other.md").write_text('<a id="there"></a>\n# Other\n```output\nnobody\n```\n')
    monkeypatch.setattr(pages, "ROOT", tmp_path)


def test_pages_are_found_in_a_fixed_order():
    assert pages.names() == ["README.md", "docs/other.md", "docs/page.md"]


def test_examples_are_found_with_their_lines_and_outputs_and_those_not_to_run_are_left_out():
    first, second, command = pages.examples("docs/page.md")
    assert (str(first), first.output) == ("docs/page.md:9", "a 1000.0\n")
    assert second.output is None
    assert command.program == second


def test_files_are_found_with_the_test_that_runs_them_and_their_parts_are_joined(tmp_path):
    first, second = pages.files("docs/page.md")
    assert (first.name, first.source) == ("jobs.py", "FIRST = 1\n")
    assert first.test == second.test == "tests/compat/pages/test_page.py"
    pages.write_files("docs/page.md", tmp_path)
    names = {}
    exec((tmp_path / "jobs.py").read_text(), names)
    assert names["SECOND"] == 2


def test_a_block_that_is_left_out_for_any_other_reason_than_a_quote_is_run_by_nobody():
    (quote,) = pages.quotes("docs/page.md")
    assert (quote.file, quote.output) == ("examples/quickstart.py", "hello\n")
    assert pages.python_blocks("docs/page.md") == 6
    run = [example for example in pages.examples("docs/page.md") if example.program is None]
    assert len(run) + len(pages.files("docs/page.md")) + len(pages.quotes("docs/page.md")) == 5


def test_a_quote_that_differs_from_its_program_is_found():
    (quote,) = pages.quotes("docs/page.md")
    assert quote.missing() == ['def main():\n    print("something else")\n']


def test_what_a_program_prints_is_told_by_its_docstring(tmp_path):
    assert pages.says_that_it_prints("examples/quickstart.py") == "hello\n"
    (tmp_path / "examples/quickstart.py").write_text('"""It says nothing that it prints."""')
    assert pages.says_that_it_prints("examples/quickstart.py") is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a program is a fork, and this system has none")
def test_programs_run_on_a_real_clock_each_as_a_process_of_its_own(tmp_path):
    sources = [
        LOGGING,
        "import atexit, sys\natexit.register(print, 'left')\nsys.exit('in a hurry')\n",
        "1 / 0\n",
    ]
    programs = [pages.Example("page.md", line, source, None) for line, source in enumerate(sources)]
    logged, left, failed = pages.run_on_a_real_clock(programs, tmp_path).values()
    assert (logged, left) == ("shown bare\nshown once\n", "in a hurry\nleft\n")
    assert failed.endswith("ZeroDivisionError: division by zero\n")


def test_a_program_that_a_page_calls_slow_is_known(tmp_path):
    (tmp_path / "docs/page.md").write_text("<!-- slow -->\n```python\n1\n```\n\n```python\n2\n```\n")
    assert [example.slow for example in pages.examples("docs/page.md")] == [True, False]


def test_what_an_example_defines_is_had_without_running_it(tmp_path):
    first, *_ = pages.examples("docs/page.md")
    assert set(pages.define(first)) >= {"asyncio", "main"}


def test_an_example_runs_on_the_loop_it_is_given_and_what_it_prints_is_kept(tmp_path):
    first, second, _ = pages.examples("docs/page.md")
    assert pages.run(first, VirtualLoop, tmp_path) == "a 1000.0\n"
    assert pages.run(second, VirtualLoop, tmp_path) == ""
    assert (tmp_path / "left.txt").exists()


def test_a_command_finds_what_the_program_before_it_has_left(tmp_path):
    *_, command = pages.examples("docs/page.md")
    printed = pages.run(command, VirtualLoop, tmp_path)
    assert printed == "no output is shown for this\n42 seconds\n"
    assert command.says(printed)


LOGGING = """
import logging

logging.getLogger("aiojobs").warning("shown bare")
logging.getLogger("of a page").addHandler(logging.StreamHandler())
logging.getLogger("of a page").setLevel(logging.INFO)
logging.getLogger("of a page").info("shown once")
"""


def test_what_a_program_logs_is_printed_as_in_a_new_process_and_its_set_up_ends_with_it(tmp_path):
    program = pages.Example("page.md", 1, LOGGING, None)
    root, own = logging.getLogger(), logging.getLogger("of a page")
    handlers = root.handlers[:]
    shown = "shown bare\nshown once\n"
    assert [pages.run(program, VirtualLoop, tmp_path) for _ in range(2)] == [shown, shown]
    assert pages.run_by_itself(program, tmp_path) == shown
    assert (root.handlers, own.handlers, own.level) == (handlers, [], logging.NOTSET)


def test_an_output_is_all_that_is_printed_apart_from_what_is_left_open():
    example = pages.Example("docs/page.md", 1, "", "a … b.\n")
    assert example.says("a 1 b.\n")
    assert not any(map(example.says, ["", "a 1 b.", "a 1\n2 b.\n", "a 1 bc\n", "a 1 b.\nc\n"]))


def test_an_example_that_raises_fails_at_its_line_of_the_page(tmp_path):
    broken = pages.Example("docs/page.md", 41, "x = 1\nraise KeyError(x)\n", None)
    with pytest.raises(KeyError) as caught:
        pages.run(broken, VirtualLoop, tmp_path)
    assert (caught.traceback[-1].lineno + 1, str(caught.traceback[-1].path)) == (42, "docs/page.md")


def test_an_output_without_an_example_is_found():
    assert pages.orphans("docs/page.md") == 0
    assert pages.orphans("docs/other.md") == 1


def test_links_lead_inside_and_anchors_are_headings_or_explicit():
    assert pages.links("docs/page.md") == ["other.md#there"]
    assert pages.anchors("docs/other.md") == {"there", "other"}
    assert pages.anchors("docs/page.md") == {"title", "someheadingx--ynone", "last"}


def test_a_section_ends_at_the_next_heading_of_its_level():
    section = pages.section("docs/page.md", "## `Some.heading(x, *, y=None)`")
    assert "LIMIT-1" in section
    assert "no output is shown" in section
    assert "Last" not in section
    with pytest.raises(LookupError, match=r"^docs/page.md has no heading '## `Some.heading\(x\)`'$"):
        pages.section("docs/page.md", "## `Some.heading(x)`")
