"""The command line: what it understands, what it says, and with which code it ends."""

import os
import subprocess
import sys

import pytest

from aiojobs_verification.cli import commands
from aiojobs_verification.cli.commands import FAILED, NO_TOOL, NOT_HERE, PASSED, main


def test_help_lists_every_command_with_what_it_does(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == PASSED
    lines = capsys.readouterr().out.splitlines()
    for name in ("draw", "generate", "prove", "table", "validate"):
        assert [line for line in lines if line.split()[:1] == [name] and len(line.split()) > 3] != []


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["errors"], ["validate", "--nonsense"], ["../draw"]])
def test_what_is_not_understood_ends_with_2_and_says_what_there_is(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == NOT_HERE
    assert "usage: python -m aiojobs_verification" in capsys.readouterr().err


def test_a_missing_tool_is_named_and_is_neither_a_pass_nor_a_failure(monkeypatch, capsys):
    # Forget the modules that import z3, and make importing it fail as it does where it is not installed.
    for name in ("cli.prove", "smt.questions", "smt.solver"):
        monkeypatch.delitem(sys.modules, f"aiojobs_verification.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "z3", None)
    assert main(["prove"]) == NO_TOOL
    assert (
        capsys.readouterr().err
        == "'prove' needs z3, which is not installed: pip install 'aiojobs-verification'\n"
    )


def test_a_missing_tool_takes_no_other_command_with_it(monkeypatch, capsys):
    for name in ("cli.prove", "smt.questions", "smt.solver", "smt.mutate"):
        monkeypatch.delitem(sys.modules, f"aiojobs_verification.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "z3", None)
    assert main(["validate"]) == PASSED
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == PASSED
    out = capsys.readouterr().out
    assert "validate" in out
    assert "    prove " not in out


@pytest.mark.parametrize("command", ["generate", "draw"])
def test_a_command_for_source_trees_says_so_where_there_is_none(monkeypatch, capsys, command):
    monkeypatch.setattr("aiojobs_verification.specification.locate.find_repository", lambda: None)
    assert main([command, "--check"]) == NOT_HERE
    assert capsys.readouterr().err == "this works on a source tree: run it in a copy of the repository\n"


def test_a_folder_without_the_files_is_named(tmp_path, capsys):
    assert main(["validate", "--spec", str(tmp_path)]) == FAILED
    assert capsys.readouterr().err == "job.toml: can't be read: No such file or directory\n"


def test_the_files_are_missed_where_they_should_be(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("aiojobs_verification.specification.locate.find_repository", lambda: None)
    monkeypatch.setattr("aiojobs_verification.specification.locate._PACKAGE", tmp_path)
    assert main(["validate"]) == NOT_HERE
    assert capsys.readouterr().err == f"the specification files are not at {tmp_path / 'reference'}\n"


def test_tables_are_printed_by_name(capsys):
    assert main(["table", "phases-table"]) == PASSED
    out = capsys.readouterr().out
    assert out.startswith("phases-table\n============\n\n| phase   | close   | settled |\n")
    assert "| closing | ·       | closed  |" in out


def test_the_usual_tables_are_printed_without_a_name(capsys):
    assert main(["table"]) == PASSED
    out = capsys.readouterr().out
    assert "| pending | active | ✗      | ✗      | closed  |" in out
    assert "`spawn_start`" in out


def test_an_unknown_table_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["table", "colours"])
    assert caught.value.code == NOT_HERE
    assert "unknown table 'colours' (there are: lifecycle-picture," in capsys.readouterr().err


def test_a_reader_that_goes_away_causes_no_traceback(root):
    command = [sys.executable, "-m", "aiojobs_verification", "table"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (FAILED, "")


def test_a_command_that_is_broken_is_not_mistaken_for_a_missing_tool(monkeypatch):
    def broken(name):
        raise ModuleNotFoundError("No module named 'aiojobs.gone'", name="aiojobs.gone")

    monkeypatch.setattr(commands.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        main(["validate"])
    with pytest.raises(ModuleNotFoundError):
        main(["--help"])
