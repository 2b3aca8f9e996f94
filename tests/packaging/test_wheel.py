"""The wheels where nothing else is installed: do they work, import nothing else, and carry the specification?

All are built once: the sdist from the source tree, the library's wheel from that sdist, so that an incomplete
sdist can't go unnoticed, and the wheel of the verification from the source tree. They are then installed, without
network and without dependencies, in virtual environments that hold nothing else, not even pip.

The library's wheel is the pure one here; `test_two_builds` is about the other.
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
    env = {**os.environ, "AIOJOBS_PURE": "1"}
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, env=env)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def verification_wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verification")
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT / "verification")
    (found,) = folder.glob("*.whl")
    return found


def members_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def members(wheel):
    return members_of(wheel)


@pytest.fixture(scope="module")
def verification_members(verification_wheel):
    return members_of(verification_wheel)


def environment(folder, *wheels):
    """The interpreter of an environment that holds these wheels and nothing else."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(sys.executable, "-m", "pip", "--python", found, "install", "--no-index", "--no-deps", *wheels)
    return found


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    return environment(tmp_path_factory.mktemp("empty"), wheel)


@pytest.fixture(scope="module")
def auditors_python(wheel, verification_wheel, tmp_path_factory):
    return environment(tmp_path_factory.mktemp("auditor"), wheel, verification_wheel)


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


def test_the_test_kit_needs_no_pytest_and_pytest_finds_the_fixture(python, members):
    code = (
        "import sys; from aiojobs.testing import explore, run, settle; run(settle()); "
        "print(sorted(name for name in sys.modules if 'pytest' in name))"
    )
    assert alone(python, "-c", code).stdout.strip() == "[]"
    points = members[f"aiojobs-{aiojobs.__version__}.dist-info/entry_points.txt"].decode()
    assert "[pytest11]\naiojobs = aiojobs.testing.pytest_plugin\n" in points
    assert "aiojobs/testing/pytest_plugin.py" in members


def test_importing_the_library_imports_no_test_kit(python):
    code = "import sys, aiojobs; print([name for name in sys.modules if name.startswith('aiojobs.testing')])"
    assert alone(python, "-c", code).stdout.strip() == "[]"


@pytest.mark.parametrize("needed", ["aiohttp", "starlette", "fastapi"])
def test_an_integration_says_what_it_needs(python, needed):
    code = f"import aiojobs.{needed}"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(rf"ModuleNotFoundError: .*{needed}", done.stderr)


def test_the_asgi_part_needs_nothing(python):
    assert alone(python, "-c", "from aiojobs.asgi import Jobs; print(Jobs.__name__)").stdout == "Jobs\n"


@pytest.mark.parametrize(
    ("module", "package"), [("prometheus", "prometheus_client"), ("opentelemetry", "opentelemetry")]
)
def test_an_exporter_says_what_it_needs(python, module, package):
    code = f"import aiojobs.{module}"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(rf"ModuleNotFoundError: .*{package}", done.stderr)


def test_the_first_example_of_the_readme_runs(python, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)[1]
    assert "aiojobs" in example
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    done = alone(python, "example.py", cwd=tmp_path)
    assert done.stdout, "an example that shows nothing proves nothing"
    assert done.stderr == ""


def test_the_specification_is_in_the_wheel_byte_by_byte(verification_members):
    prefix = "aiojobs_verification/reference/"
    carried = {
        name.removeprefix(prefix): text
        for name, text in verification_members.items()
        if name.startswith(prefix)
    }
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


def test_the_specification_in_the_wheel_is_valid_without_any_tool(auditors_python, tmp_path):
    alone(auditors_python, "-m", "aiojobs_verification", "validate", cwd=tmp_path)


def test_a_trace_is_written_and_audited_without_any_tool(python, auditors_python, tmp_path):
    page = (ROOT / "docs/howto/observe-and-trace.md").read_text(encoding="utf-8")
    (program,) = re.findall(
        r"^```python\n((?:(?!^```).)*?TraceWriter.*?)^```", page, re.DOTALL | re.MULTILINE
    )
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    alone(python, "program.py", cwd=tmp_path)
    done = alone(auditors_python, "-m", "aiojobs_verification", "audit", "trace.jsonl", cwd=tmp_path)
    assert done.stdout.startswith("OBEYS: trace.jsonl, 8 lines, 2 jobs")


@pytest.mark.requirement("SEE-2")
def test_the_live_page_is_in_the_wheel(python, tmp_path):
    (tmp_path / "program.py").write_text(
        "import asyncio\n"
        "from aiojobs.inspect import LivePage\n"
        "page = LivePage(allow=lambda request: True)\n"
        "print(asyncio.run(page.answer(None, 'GET', '')).body[:15].decode())\n",
        encoding="utf-8",
    )
    assert alone(python, "program.py", cwd=tmp_path).stdout.strip() == "<!doctype html>"


def test_the_wheel_has_the_name_by_which_the_readme_installs_it(wheel):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"pip install 'dist/{wheel.name}[aiohttp]'" in readme


def test_the_wheels_are_typed_and_have_no_strangers(members, verification_members):
    for package, found in (("aiojobs", members), ("aiojobs_verification", verification_members)):
        assert f"{package}/py.typed" in found
        assert {name.partition("/")[0] for name in found} == {
            package,
            f"{package}-{aiojobs.__version__}.dist-info",
        }
        assert not [name for name in found if "__pycache__" in name]


def test_the_library_does_not_carry_its_verification(members, verification_members):
    assert not [name for name in members if re.search(r"\bspec\b|verification", name)]
    assert "aiojobs_verification/evidence/report.schema.json" in verification_members


def test_the_verification_says_what_it_needs(verification_members):
    info = f"aiojobs_verification-{aiojobs.__version__}.dist-info"
    metadata = Parser().parsestr(verification_members[f"{info}/METADATA"].decode())
    assert (metadata["Name"], metadata["Version"]) == ("aiojobs-verification", aiojobs.__version__)
    needed = {re.match(r"[\w-]+", one)[0] for one in metadata.get_all("Requires-Dist")}
    assert {"aiojobs", "crosshair-tool", "hypothesis", "transitions", "z3-solver"} <= needed


def test_the_metadata_say_what_installing_it_means(members):
    info = f"aiojobs-{aiojobs.__version__}.dist-info"
    metadata = Parser().parsestr(members[f"{info}/METADATA"].decode())
    assert (metadata["Name"], metadata["Version"]) == ("aiojobs", aiojobs.__version__)
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{info}/licenses/LICENSE" in members
    needed = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert needed == [], "the runtime has no dependencies"
    assert {"aiohttp"} <= set(metadata.get_all("Provides-Extra"))


def test_the_description_leads_to_no_file_that_an_index_does_not_have(members):
    (metadata,) = [text.decode() for name, text in members.items() if name.endswith("/METADATA")]
    description = Parser().parsestr(metadata).get_payload()
    assert description.startswith("# aiojobs\n")
    assert len(description) > 10_000
    assert re.findall(r"\]\((?![a-z]+:|#)[^)]*\)|```mermaid|^<!--", description, re.MULTILINE) == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("", "A page, *a picture*, [here](#d), [there](https://x.org/)."),
        (
            "https://x.org/s/",
            "A [page](https://x.org/s/docs/a.md#b), ![a picture](https://x.org/s/c.svg), [here](#d), [there](https://x.org/).",
        ),
    ],
)
def test_links_of_the_description_lead_to_where_the_source_is_said_to_be(address, shown):
    text = "<!-- mark -->\nA [page](docs/a.md#b), ![a picture](c.svg), [here](#d), [there](https://x.org/)."
    code = "import json, sys; from hatch_build import described_for_an_index as f; print(f(*json.load(sys.stdin)))"
    done = run(sys.executable, "-c", code, input=json.dumps([text, address]), cwd=ROOT)
    assert done.stdout == f"{shown}\n"


def test_the_sdist_has_what_is_needed_to_repeat_every_check(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {"Makefile", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"}
    below = {
        path.relative_to(ROOT).as_posix()
        for folder in (
            ".ci",
            "docs",
            "examples",
            "requirements",
            "spec",
            "src",
            "tests",
            "verification",
            "benchmarks",
        )
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert top | below <= names


def test_the_version_stands_in_one_place():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)[1]
    assert latest == aiojobs.__version__ == "2.0.0"
