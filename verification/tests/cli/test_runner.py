"""What the runner of the chain makes of steps that break, hang, are missing or say nothing."""

import os
import re
import subprocess
import time
import tomllib
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from aiojobs_verification.evidence import findings
from aiojobs_verification.evidence.chain import CHAIN, PYTHON, WRITTEN, Step
from aiojobs_verification.evidence.evidence import Findings, Status
from aiojobs_verification.evidence.progress import Progress
from planted.chain import ROOT, a_step, evidence_of, passed, ran


def test_each_step_leaves_its_evidence_and_a_failure_stops_nothing(tmp_path, capsys):
    found = ran(tmp_path, a_step("bad", code="raise SystemExit('it broke')"), a_step("good"))
    assert (found["bad"].status, found["bad"].reason.splitlines()[0]) == (
        Status.FAIL, "exit code 1: it broke",
    )  # fmt: skip
    assert found["good"].status is Status.PASS
    assert re.search(r"\[1/2\] bad +FAIL +\d+ s  exit code 1: it broke", capsys.readouterr().out)


def test_a_step_whose_tool_is_missing_is_skipped_and_says_which(tmp_path):
    found = ran(tmp_path, a_step("tool", needs=("json", "no_such_module")))
    assert found["tool"] == Findings(Status.SKIPPED, "not installed: no_such_module")


def test_a_step_that_can_not_be_started_has_failed(tmp_path):
    lost = Step("lost", 0, "title", (str(tmp_path / "no such program"),), findings.exit_code)
    assert ran(tmp_path, lost)["lost"].reason.startswith("it could not be started")


def test_a_step_beyond_its_time_budget_has_failed_and_so_have_its_children(tmp_path):
    # The child says who it is and then waits longer than any test.
    code = (
        "import subprocess, sys; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "open('child', 'w').write(str(p.pid)); p.wait()"
    )
    found = ran(tmp_path, a_step("slow", code=code, seconds=2))
    assert found["slow"] == Findings(Status.FAIL, "its time budget of 2 s ran out")
    child = int((tmp_path / "child").read_text())
    assert gone(child)


def gone(process):
    """Killed, and either reaped or waiting for its new parent to notice."""
    for _ in range(100):
        try:
            os.kill(process, 0)
            state = Path(f"/proc/{process}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


class Terminal(StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_step_has_one_line_that_is_rewritten():
    screen = Terminal()
    progress = Progress(screen, ["unit"])
    progress.begin("unit", "what unit checks")
    progress.tick(1.0, "half of it")
    progress.end(evidence_of("unit", passed("A-1")))
    assert screen.getvalue().count("\n") == 1
    last = screen.getvalue().rpartition("\r")[2]
    assert "half of it" in screen.getvalue()
    assert "half of it" not in last
    assert re.search(r"\[1/1\] unit .*pass.* checks 1\n$", last)


def test_the_place_of_the_source_tree_is_not_in_the_evidence(tmp_path):
    found = ran(tmp_path, a_step("bad", code="raise SystemExit(__import__('os').getcwd() + '/src/a.py:1')"))
    assert found["bad"].reason.splitlines()[0] == "exit code 1: src/a.py:1"


def test_a_step_can_write_its_account_to_a_file_and_names_a_command_to_repeat_it(tmp_path):
    account = "{'exit': 0, 'figures': {'passed': 1}, 'seeds': {}, 'skips': [], 'tests': []}"
    code = f"import json, sys; json.dump({account}, open(sys.argv[1], 'w'))"
    writes = Step("writes", 0, "title", (PYTHON, "-c", code, WRITTEN), findings.tests("test"))
    assert ran(tmp_path, writes)["writes"].figures == {"passed": 1}
    assert replace(writes, command=(PYTHON, "-m", "pytest", WRITTEN, "-k", "a b")).repeat("smoke") == (
        "sh .ci/env python -m pytest -k 'a b'"
    )


def test_a_tier_can_ask_for_more(tmp_path):
    code = "import sys; raise SystemExit(' '.join(sys.argv[1:]))"
    deep = a_step("deep", code=code, extra={"smoke": ("--jobs", "2"), "full": ("--jobs", "3")})
    assert ran(tmp_path, deep)["deep"].reason.splitlines()[0] == "exit code 1: --jobs 2"
    assert deep.repeat("full").endswith("--jobs 3")


# The chain of this project


def test_the_table_is_sound():
    names = [each.name for each in CHAIN.steps]
    assert len(set(names)) == len(names)
    assert {each.link for each in CHAIN.steps} <= {link.number for link in CHAIN.links}
    declared = tomllib.loads((ROOT / "spec" / "requirements.toml").read_text(encoding="utf-8"))["kind"]
    assert set(CHAIN.kinds()) == set(declared)
    by_number = {link.number: link.kind for link in CHAIN.links}
    assert all(each.kind in {"", "test", by_number[each.link]} for each in CHAIN.steps)


def test_every_link_has_tests_that_see_a_planted_fault_being_found():
    """What tests/README.md says about it names every link, every command, and tests that exist."""
    page = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert {link.number for link in CHAIN.links} <= {int(number) for number, _, _ in rows}
    checkers = "".join(what for _, what, _ in rows)
    assert [name for name in sorted(_own_commands()) if f"`{name}" not in checkers] == []
    for _, _, where in rows:
        for test in where.split(", "):
            file, _, name = test.strip("`").partition("::")
            assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8")


def _own_commands():
    return {each.command[3] for each in CHAIN.steps if each.command[1:3] == ("-m", "aiojobs_verification")}


@pytest.mark.parametrize(("code", "strict", "expected"), [(0, "", 0), (1, "", 1), (3, "", 0), (3, "1", 3)])
def test_incomplete_is_loud_but_lets_a_build_go_on_unless_it_is_strict(tmp_path, code, strict, expected):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {code}\n")
    python.chmod(0o755)
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "STRICT": strict}
    done = subprocess.run(
        ["sh", ROOT / ".ci" / "verify", "smoke"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == expected
    assert ("INCOMPLETE" in done.stdout + done.stderr) is (code == 3)
