"""What mypy --strict and pyright say of users' programs: the right passes, the wrong is found in its line.

The programs are in programs/. A line that must be refused says by which rule of each tool:

    setup(app, limt=5)  # error: mypy[call-arg] pyright[reportCallIssue]

Every other line must pass, so an `assert_type` there is a promise. The settings are a user's, not those of
this project; the tools find the library as an installed package, by its `py.typed`. planted/ has expectations
that are wrong on purpose: each has to be noticed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import aiojobs

HERE = Path(__file__).parent
PROGRAMS = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("programs/*.py"))
PLANTED = "planted/faults.py"
TOOLS = ("mypy", "pyright")

_MARKER = re.compile(r"# error: (.*)")


def run(tool, *arguments, path=""):
    """What a tool prints, run where the programs are and without anybody's settings."""
    env = {name: value for name, value in os.environ.items() if name != "MYPYPATH"}
    env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=HERE, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1, f"{tool} found nothing, not even what is planted, or failed\n{done}"
    return done.stdout


def mypy(cache):
    """Each error as file, line and rule."""
    said = run(
        "mypy", "--strict", "--config-file=", "--cache-dir", cache, "--output=json", *PROGRAMS, PLANTED
    )
    for found in map(json.loads, said.splitlines()):
        if found["severity"] == "error":
            yield found["file"], found["line"], found["code"]


def pyright(*arguments, path=""):
    """Its report."""
    return json.loads(run("pyright", "--pythonpath", sys.executable, "--outputjson", *arguments, path=path))


def pyright_errors():
    """Each error as file, line and rule."""
    for found in pyright("--project", ".")["generalDiagnostics"]:
        file = Path(found["file"]).relative_to(HERE).as_posix()
        yield file, found["range"]["start"]["line"] + 1, found["rule"]


def expected(tool, program):
    """What the markers of a program say of a tool, as line and rule."""
    for number, line in enumerate((HERE / program).read_text(encoding="utf-8").splitlines(), 1):
        if marker := _MARKER.search(line):
            rules = dict(re.findall(r"(\w+)\[([^\]]+)\]", marker[1]))
            assert rules.keys() <= set(TOOLS), f"{program}:{number}: {marker[1]}"
            yield from ((number, rule) for rule in rules.get(tool, "").split(", ") if rule)


def differences(tool, program, found):
    """Sorted: what was expected and did not come, and what came unexpected."""
    came = {(line, rule) for file, line, rule in found if file == program}
    awaited = set(expected(tool, program))
    lines = [f"{line}: no {rule}" for line, rule in awaited - came]
    return sorted(lines + [f"{line}: {rule}" for line, rule in came - awaited])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each tool found, in one run of each over all programs."""
    return {"mypy": list(mypy(tmp_path_factory.mktemp("mypy"))), "pyright": list(pyright_errors())}


@pytest.mark.requirement("SPAWN-3", "EXC-2")
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_right_passes_and_what_is_wrong_is_found_in_its_line(found, tool, program):
    assert differences(tool, program, found[tool]) == []


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_something_that_must_be_refused(tool, program):
    assert list(expected(tool, program)) != []


def test_a_program_names_everything_that_is_public():
    text = (HERE / "programs/names.py").read_text(encoding="utf-8")
    assert set(re.findall(r"^    aiojobs\.(\w+),$", text, re.MULTILINE)) == {*aiojobs.__all__} - {
        "create_scheduler"
    }


def test_wrong_expectations_are_noticed(found):
    assert differences("mypy", PLANTED, found["mypy"]) == [
        "5: no call-arg",
        "6: call-arg",
        "7: call-arg",
        "7: no arg-type",
    ]
    assert differences("pyright", PLANTED, found["pyright"]) == [
        "5: no reportCallIssue",
        "6: reportCallIssue",
        "7: no reportArgumentType",
        "7: reportCallIssue",
        "8: reportCallIssue",
    ]


def test_a_marker_that_names_no_tool_is_noticed(monkeypatch, tmp_path):
    (tmp_path / "wrong.py").write_text("x = 1  # error: mipy[call-arg]\n")
    monkeypatch.setitem(globals(), "HERE", tmp_path)
    with pytest.raises(AssertionError, match=r"wrong.py:1: mipy\[call-arg\]"):
        list(expected("mypy", "wrong.py"))


# The public names themselves.

UNTYPED = """
def colour():
    return "red"
"""


@pytest.fixture
def package(tmp_path):
    """The library without the executable specification, and with a name whose type is not written down."""
    source = Path(aiojobs.__file__).parent
    shutil.copytree(source, tmp_path / "aiojobs", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "aiojobs/planted.py").write_text(UNTYPED)
    return tmp_path


def test_every_public_name_has_a_type_that_is_written_down_and_one_without_is_found(package):
    report = pyright("--verifytypes", "aiojobs", "--ignoreexternal", path=package)["typeCompleteness"]
    assert report["pyTypedPath"] == str(package / "aiojobs/py.typed")
    names = {symbol["name"] for symbol in report["symbols"]}
    assert {"aiojobs.Scheduler", "aiojobs.signals.Stop.unfinished", "aiojobs.aiohttp.setup"} <= names
    assert [symbol["name"] for symbol in report["symbols"] if symbol["diagnostics"]] == [
        "aiojobs.planted.colour"
    ]
