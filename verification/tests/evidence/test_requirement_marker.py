"""The link between tests and requirements: the plugin notes what it sees, and refuses a link to nothing."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from planted.chain import ROOT

STORY = """
import pytest

@pytest.mark.requirement("LIMIT-1", "LIMIT-2")
def test_passes(): pass

@pytest.mark.requirement("LIMIT-1")
def test_is_skipped(): pytest.skip("no reason")

@pytest.mark.requirement("LIMIT-3")
@pytest.mark.xfail(reason="known", strict=True)
def test_is_expected_to_fail(): assert False

@pytest.fixture
def breaks():
    yield
    raise OSError

@pytest.mark.requirement("LIMIT-4")
def test_breaks_afterwards(breaks): pass

def test_speaks_for_nothing(): pass
"""


def pytest_on(tmp_path, text):
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_story.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "aiojobs_verification.evidence.pytest_plugin",
        "--evidence=seen/account",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


def test_the_plugin_notes_which_test_spoke_for_what_and_how_it_ended(tmp_path):
    assert pytest_on(tmp_path, STORY).returncode == 1
    account = json.loads((tmp_path / "seen" / "account").read_text())
    ends = {
        each["id"].partition("::")[2]: (each["outcome"], each["requirements"]) for each in account["tests"]
    }
    assert ends == {
        "test_passes": ("passed", ["LIMIT-1", "LIMIT-2"]),
        "test_is_skipped": ("skipped", ["LIMIT-1"]),
        "test_is_expected_to_fail": ("xfailed", ["LIMIT-3"]),
        "test_breaks_afterwards": ("error", ["LIMIT-4"]),
        "test_speaks_for_nothing": ("passed", []),
    }
    assert account["skips"] == [{"id": "test_story.py::test_is_skipped", "reason": "Skipped: no reason"}]


@pytest.mark.parametrize(
    ("mark", "complaint"),
    [
        ('requirement("LIMIT-99")', "speaks for unknown requirements: LIMIT-99"),
        ("requirement()", "at least one"),
        ("requirement", "at least one"),
        ('requirement(id="LIMIT-1")', "at least one"),
    ],
)
def test_the_plugin_refuses_a_link_to_nothing(tmp_path, mark, complaint):
    done = pytest_on(tmp_path, f"import pytest\n\n@pytest.mark.{mark}\ndef test_it(): pass\n")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert complaint in done.stderr
