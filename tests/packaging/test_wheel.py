"""The wheel where nothing else is installed: does it work, import nothing else, and carry the specification?

Both distributions are built once: the sdist from the source tree, the wheel from that sdist, so that an
incomplete sdist can't go unnoticed. The wheel is then installed, without network and without dependencies, in
a virtual environment that holds nothing else, not even pip.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import aiojobs

ROOT = Path(__file__).parents[2]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment that holds the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(sys.executable, "-m", "pip", "--python", found, "install", "--no-index", "--no-deps", wheel)
    return found


def alone(python, *arguments, cwd=None):
    """Run that interpreter by itself: no PYTHONPATH, no user site, a warning is an error."""
    return run(python, "-I", "-W", "error", *arguments, cwd=cwd)


def test_nothing_outside_the_standard_library_is_imported(python):
    code = (
        "import sys; before = set(sys.modules); import aiojobs; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "import json; print(json.dumps([sorted(new - sys.stdlib_module_names), aiojobs.__file__]))"
    )
    imported, place = json.loads(alone(python, "-c", code).stdout)
    # A part of the standard library of Python 3.15 that its own list leaves out.
    assert set(imported) - {"_missing_stdlib_info"} == {"aiojobs"}
    assert not Path(place).is_relative_to(ROOT), "the source tree was imported, not the wheel"


def test_every_public_name_is_there(python):
    code = "import aiojobs; print([name for name in aiojobs.__all__ if not hasattr(aiojobs, name)])"
    assert alone(python, "-c", code).stdout.strip() == "[]"


def test_the_aiohttp_part_says_what_it_needs(python):
    code = "import aiojobs.aiohttp"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"ModuleNotFoundError: .*aiohttp", done.stderr)


def test_the_first_example_of_the_readme_runs(python, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)[1]
    assert "aiojobs" in example
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    done = alone(python, "example.py", cwd=tmp_path)
    assert done.stdout, "an example that shows nothing proves nothing"
    assert done.stderr == ""


def test_the_specification_is_in_the_wheel_byte_by_byte(members):
    prefix = "aiojobs/spec/reference/"
    carried = {name.removeprefix(prefix): text for name, text in members.items() if name.startswith(prefix)}
    source = {
        path.relative_to(ROOT / "spec").as_posix(): path.read_bytes()
        for path in (ROOT / "spec").rglob("*")
        if path.is_file()
    }
    assert {
        "job.toml",
        "scheduler.toml",
        "requirements.toml",
        "assumptions.toml",
        "README.md",
    } <= carried.keys()
    assert carried == source


def test_the_specification_in_the_wheel_is_valid_without_any_extra(python, tmp_path):
    alone(python, "-m", "aiojobs_verification", "validate", cwd=tmp_path)


def test_a_trace_is_written_and_audited_without_any_extra(python, tmp_path):
    page = (ROOT / "docs/howto/observe-and-trace.md").read_text(encoding="utf-8")
    (program,) = re.findall(
        r"^```python\n((?:(?!^```).)*?TraceWriter.*?)^```", page, re.DOTALL | re.MULTILINE
    )
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    alone(python, "program.py", cwd=tmp_path)
    done = alone(python, "-m", "aiojobs_verification", "audit", "trace.jsonl", cwd=tmp_path)
    assert done.stdout.startswith("OBEYS: trace.jsonl, 8 lines, 2 jobs")


def test_the_wheel_has_the_name_by_which_the_readme_installs_it(wheel):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"pip install 'dist/{wheel.name}[aiohttp]'" in readme


def test_the_wheel_is_typed_and_has_no_strangers(members):
    assert {"aiojobs/py.typed", "aiojobs/spec/report.schema.json"} <= members.keys()
    assert {name.partition("/")[0] for name in members} == {
        "aiojobs",
        f"aiojobs-{aiojobs.__version__}.dist-info",
    }
    assert not [name for name in members if "__pycache__" in name]


def test_the_metadata_say_what_installing_it_means(members):
    info = f"aiojobs-{aiojobs.__version__}.dist-info"
    metadata = Parser().parsestr(members[f"{info}/METADATA"].decode())
    assert (metadata["Name"], metadata["Version"]) == ("aiojobs", aiojobs.__version__)
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{info}/licenses/LICENSE" in members
    needed = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert needed == [], "the runtime has no dependencies"
    assert {"aiohttp", "spec"} <= set(metadata.get_all("Provides-Extra"))


def test_the_sdist_has_what_is_needed_to_repeat_every_check(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {"Makefile", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"}
    below = {
        path.relative_to(ROOT).as_posix()
        for folder in (".ci", "docs", "examples", "requirements", "spec", "src", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert top | below <= names


def test_the_version_stands_in_one_place():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)[1]
    assert latest == aiojobs.__version__ == "2.0.0"
