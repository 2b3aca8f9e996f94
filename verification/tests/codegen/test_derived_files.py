"""What is derived from the specification is what the specification gives, and a stale file is noticed."""

import io
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import pytest
from transitions.extensions import GraphMachine

from aiojobs_verification.cli.commands import FAILED, PASSED
from aiojobs_verification.cli.draw import drawn, with_blocks
from aiojobs_verification.cli.generate import settle_files
from aiojobs_verification.codegen.lifecycle import derived, lifecycle_text
from aiojobs_verification.codegen.narrate import BLOCKS
from aiojobs_verification.codegen.tla import counters_text
from aiojobs_verification.specification.errors import SpecError


def settled(files, *, check):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = settle_files(files, check=check)
    return code, out.getvalue(), err.getvalue()


def test_every_derived_file_in_the_tree_is_fresh(root):
    files = {**derived(root), **drawn(root)}
    assert {path.relative_to(root).as_posix() for path in files} >= {
        "src/aiojobs/_lifecycle.py",
        "spec/tla/Counters.tla",
        "spec/README.md",
        "docs/reference/lifecycle.svg",
    }
    code, out, err = settled(files, check=True)
    assert (code, err) == (PASSED, "")
    assert [line.split()[0] for line in out.splitlines()] == ["fresh"] * len(files)


def test_a_stale_file_is_named_its_difference_shown_and_nothing_written(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n")
    code, out, err = settled({path: "two\n"}, check=True)
    assert (code, out) == (FAILED, f"stale    {path}\n")
    assert "-one\n+two" in err
    assert path.read_text() == "one\n"


def test_a_missing_file_is_stale(tmp_path):
    code, out, _ = settled({tmp_path / "a.txt": "one\n"}, check=True)
    assert (code, out[:5]) == (FAILED, "stale")


def test_other_line_ends_are_stale(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\n")
    assert settled({path: "one\n"}, check=True)[0] == FAILED


def test_writing_makes_fresh_and_writing_again_changes_nothing(tmp_path):
    path = tmp_path / "new" / "a.txt"
    code, out, _ = settled({path: "one\n"}, check=False)
    assert (code, out, path.read_bytes()) == (PASSED, f"written  {path}\n", b"one\n")
    code, out, _ = settled({path: "one\n"}, check=True)
    assert (code, out) == (PASSED, f"fresh    {path}\n")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("job.toml", "# The life of one job.\n", "# The life of a job.\n"),
        ("scheduler.toml", 'meaning = "Accepts jobs."', 'meaning = "Takes jobs."'),
        (
            "job.toml",
            '{ trigger = "cancel", source = "active",  dest = "closed" }',
            '{ trigger = "cancel", source = "active",  dest = "done" }',
        ),
    ],
)
def test_any_change_of_a_source_makes_the_lifecycle_module_stale(root, edited, file, old, new):
    present = (root / "src" / "aiojobs" / "_lifecycle.py").read_text(encoding="utf-8")
    assert lifecycle_text(edited(file, old, new)) != present


def test_the_lifecycle_module_follows_the_file_and_can_be_executed(edited):
    folder = edited("job.toml", 'meaning = "A slot was given to the job."', f'meaning = "{"A slot. " * 30}"')
    text = lifecycle_text(folder)
    names: dict[str, object] = {}
    exec(compile(text, "_lifecycle.py", "exec"), names)
    assert set(names["__all__"]) < set(names)
    assert max(len(line) for line in text.splitlines()) <= 110


def test_the_tla_module_follows_the_file(root, edited):
    from aiojobs_verification.specification.load import load

    action = 'cancelled."\nguard = "blocked > {}"'
    folder = edited("scheduler.toml", action.format(0), action.format(1))
    present = (root / "spec" / "tla" / "Counters.tla").read_text(encoding="utf-8")
    changed = counters_text(load(folder).scheduler)
    differing = [
        new for old, new in zip(present.splitlines(), changed.splitlines(), strict=True) if old != new
    ]
    assert differing == ["    /\\ blocked > 1"]


def test_a_block_is_replaced_and_nothing_else(spec):
    text = "before\n<!-- generated:outcomes -->\nold\nolder\n<!-- /generated:outcomes -->\nafter\n"
    new = with_blocks(text, spec, "a.md")
    table = "\n".join(BLOCKS["outcomes"](spec))
    assert new == f"before\n<!-- generated:outcomes -->\n\n{table}\n\n<!-- /generated:outcomes -->\nafter\n"
    assert with_blocks(new, spec, "a.md") == new


def test_text_without_blocks_stays_as_it_is(spec):
    text = "`<!-- generated:x -->` is how a block begins.\n"
    assert with_blocks(text, spec, "a.md") == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "<!-- generated:colours -->\n<!-- /generated:colours -->",
            "line 1: unknown block 'colours' (there are: ",
        ),
        ("<!-- generated:states -->", "block 'states' begins and does not end"),
        ("\n<!-- /generated:states -->", "line 2: the end of block 'states', which did not begin"),
        ("<!-- generated:states -->\n<!-- /generated:events -->", "line 2: the end of block 'events', which"),
        (
            "<!-- generated:states -->\n<!-- generated:events -->",
            "line 2: block 'events' begins inside block 'states'",
        ),
    ],
)
def test_marks_that_make_no_sense_are_refused(spec, text, fault):
    with pytest.raises(SpecError) as caught:
        with_blocks(text, spec, "docs/a.md")
    assert str(caught.value).startswith(f"docs/a.md: {fault}")


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_says_something_and_tables_are_whole(spec, name):
    lines = [*BLOCKS[name](spec)]
    assert len([line for line in lines if line.strip()]) >= 3
    rows = [line for line in lines if line.startswith("|")]
    assert len({row.replace(r"\|", "").count("|") for row in rows}) <= 1


def arrows(lines):
    """Every arrow between states of a Mermaid picture, one for each event that it is labelled with."""
    found = [re.fullmatch(r"(\w+) --> (\w+): (.+)", line.strip()) for line in lines]
    return {(m[1], event, m[2]) for m in found if m for event in re.split(r", | \| ", m[3])}


def test_the_picture_has_an_arrow_for_each_transition_and_no_other(spec):
    lines = [*BLOCKS["lifecycle-picture"](spec)]
    assert arrows(lines) == {*spec.job.machine.moves()}
    assert "    [*] --> pending" in lines
    assert {line.split()[0] for line in lines if line.endswith("--> [*]")} == {"done", "closed"}


def test_the_picture_agrees_with_the_one_that_the_reference_machine_draws(spec):
    """`transitions` draws declared no-ops as well; here they are in the table beside the picture."""
    model = SimpleNamespace()
    GraphMachine(model=model, graph_engine="mermaid", **spec.job.machine.arguments)
    theirs = arrows(model.get_graph().source.splitlines())
    noops = {(state, "close", state) for state in ("closing", "done", "closed")}
    noops.add(("closing", "expire", "closing"))
    assert theirs == arrows(BLOCKS["lifecycle-picture"](spec)) | noops


@pytest.mark.parametrize("command", ["generate", "draw"])
def test_the_commands_check_the_tree_with_the_standard_library_alone(root, command):
    done = subprocess.run(
        [sys.executable, "-S", "-m", "aiojobs_verification", command, "--check"],
        env={"PYTHONPATH": str(root / "verification" / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fresh")
