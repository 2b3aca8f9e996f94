"""Wheels with and without a compiler: which one you get, that you always get one, and that it says which it is."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import hatch_compile
import pytest

import aiojobs
from docs import pages

ROOT = Path(__file__).parents[2]
PURE = f"aiojobs-{aiojobs.__version__}-py3-none-any.whl"
MODULES = sorted(aiojobs._CORE)
FREE = {name: value for name, value in os.environ.items() if not name.startswith("AIOJOBS_") and name != "CC"}


def build(folder, *arguments, source=ROOT, **environment):
    """Run `python -m build`; what it said, and the names of the wheels and sdists that are there then."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, *arguments, source]
    env = {**FREE, **environment}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done, sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    done, (name,) = build(folder := tmp_path_factory.mktemp("sdist"), "--sdist")
    assert done.returncode == 0, done.stderr
    return folder / name


@pytest.fixture(scope="module")
def compiled(sdist, tmp_path_factory):
    """The platform wheel, from what the sdist holds."""
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked := tmp_path_factory.mktemp("unpacked"), filter="data")
    (source,) = unpacked.iterdir()
    folder = tmp_path_factory.mktemp("compiled")
    done, (name,) = build(folder, "--wheel", source=source, AIOJOBS_COMPILED="1")
    assert done.returncode == 0, done.stderr
    assert "aiojobs: the compiled build" in done.stdout + done.stderr
    return folder / name


@pytest.fixture(scope="module")
def installed(compiled, tmp_path_factory):
    """A folder with the platform wheel, and the environment of processes that import it from there."""
    folder = tmp_path_factory.mktemp("installed")
    install = ["-m", "pip", "install", "--no-index", "--no-deps", "--target", folder, compiled]
    subprocess.run([sys.executable, *install], capture_output=True, check=True)
    return {**FREE, "PYTHONPATH": str(folder)}


# Without a compiler


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"AIOJOBS_PURE": "1"}, "AIOJOBS_PURE asks for it"),
        ({"CC": "/no/such/cc"}, "there is no C compiler: /no/such/cc"),
        ({"CC": "/bin/false"}, "compiling failed: .*"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_there_is_always_a_wheel_and_it_says_why_it_is_the_pure_one(tmp_path, environment, why):
    done, names = build(tmp_path, "--wheel", **environment)
    assert (done.returncode, names) == (0, [PURE])
    assert re.search(f"^aiojobs: the pure build: {why}$", done.stdout + done.stderr, re.MULTILINE)
    members = zipfile.ZipFile(tmp_path / PURE).namelist()
    assert not [name for name in members if name.endswith((".so", ".pyd", ".c", ".pxd"))]


def test_the_line_that_the_page_shows_is_said(tmp_path):
    (line,) = pages.texts("docs/explanation/two-builds.md")
    compiler = line.strip().rpartition(" ")[2]
    done, _ = build(tmp_path, "--wheel", CC=compiler, PATH="")
    assert line.strip() in (done.stdout + done.stderr).splitlines()


def test_without_any_program_on_the_path_there_is_a_wheel(tmp_path):
    done, names = build(tmp_path, "--wheel", PATH="")
    assert (done.returncode, names) == (0, [PURE])


@pytest.mark.parametrize("compiler", ["/bin/false", "/no/such/cc"])
def test_a_compiled_build_that_is_demanded_and_can_not_be_had_is_an_error(tmp_path, compiler):
    done, names = build(tmp_path, "--wheel", AIOJOBS_COMPILED="1", CC=compiler)
    assert (done.returncode, names) == (1, [])
    assert "AIOJOBS_COMPILED asks for the compiled build of aiojobs, but" in done.stdout + done.stderr


def test_to_ask_for_both_is_an_error(tmp_path):
    done, names = build(tmp_path, "--wheel", AIOJOBS_COMPILED="1", AIOJOBS_PURE="1")
    assert (done.returncode, names) == (1, [])
    assert "AIOJOBS_PURE asks for it" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (("platform.python_implementation", lambda: "PyPy"), "compiled for CPython"),
        (
            ("sysconfig.get_path", lambda name: f"/no/such/{name}"),
            "headers are not installed: /no/such/include",
        ),
    ],
)
def test_where_compiling_can_not_work_it_is_not_tried(monkeypatch, changed, why):
    for name in ("AIOJOBS_PURE", "AIOJOBS_COMPILED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CC", sys.executable)
    assert hatch_compile.obstacle() == ""
    monkeypatch.setattr(*changed)
    assert why in hatch_compile.obstacle()


# What building takes


def required(**environment):
    code = "from hatchling.build import get_requires_for_build_wheel as ask; print(sorted(ask()))"
    env = {**FREE, "CC": sys.executable, **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_cython_is_asked_for_only_where_something_is_compiled():
    assert required(AIOJOBS_PURE="1") == required(CC="/no/such/cc") == "[]"
    assert re.fullmatch(r"\['cython[<>=.,\d]+', 'setuptools[>=\d]+'\]", required(AIOJOBS_COMPILED="1"))


def test_the_sdist_has_the_declarations_and_nothing_that_was_generated(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/aiojobs/{module}.{end}" for module in MODULES for end in ("py", "pxd")} <= names
    assert not [name for name in names if name.endswith((".c", ".so", ".pyd", ".o"))]


# Editable


def editable(folder, **environment):
    code = "import sys; from hatchling.build import build_editable; print(build_editable(sys.argv[1]))"
    env = {**FREE, **environment}
    command = [sys.executable, "-c", code, folder]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_an_editable_install_is_the_source_tree_and_pure(tmp_path):
    done = editable(tmp_path)
    assert "aiojobs: the pure build: an editable install is" in done.stdout + done.stderr
    members = zipfile.ZipFile(tmp_path / PURE)
    (path,) = [members.read(name) for name in members.namelist() if name.endswith(".pth")]
    assert Path(path.decode().strip()) == ROOT / "src"


def test_an_editable_install_that_is_to_be_compiled_is_an_error(tmp_path):
    done = editable(tmp_path, AIOJOBS_COMPILED="1")
    assert done.returncode == 1
    assert "an editable install is" in done.stderr


# With a compiler


@pytest.mark.slow
def test_with_a_compiler_it_is_a_wheel_of_this_platform_with_the_text_of_all_modules(compiled):
    assert re.fullmatch(rf"aiojobs-{aiojobs.__version__}-(cp3\d+)-\1-(?!any)\w+\.whl", compiled.name), (
        compiled.name
    )
    members = zipfile.ZipFile(compiled).namelist()
    text = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    assert text <= set(members)
    assert {f"aiojobs/{module}{hatch_compile.SUFFIX}" for module in MODULES} <= set(members)
    assert not [name for name in members if name.endswith((".c", ".pxd", ".o"))]


@pytest.mark.slow
def test_what_was_installed_says_that_it_is_compiled(installed):
    code = "import aiojobs; print(aiojobs.__build__)"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=installed, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("compiled\n", "")


@pytest.mark.slow
def test_a_traceback_through_the_compiled_core_leads_to_a_line_that_was_installed(installed):
    code = "from aiojobs._queue import Node, Queue; Queue().leave(Node())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=installed, capture_output=True, text=True, check=False
    )
    assert "AttributeError: 'NoneType' object has no attribute 'after'" in done.stderr
    frames = re.findall(
        r'^  File "(aiojobs/_queue\.py)", line (\d+), in .*Queue\.leave$', done.stderr, re.MULTILINE
    )
    file, line = frames[-1]
    text = Path(installed["PYTHONPATH"], file).read_text(encoding="utf-8").splitlines()
    assert text[int(line) - 1].strip() == "before.after = after"


@pytest.mark.slow
def test_tests_of_the_library_pass_on_what_was_installed(installed):
    command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider"]
    tests = [ROOT / "tests/unit" / f"test_{name}.py" for name in ("builds", "limits", "queue", "transitions")]
    done = subprocess.run(
        [*command, *tests], cwd=ROOT, env=installed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"aiojobs: the compiled build in {installed['PYTHONPATH']}" in done.stdout


# No test starts a process that imports another library than the tests


def takes_the_source_tree(line):
    return re.search(r"PYTHONPATH\W.*(ROOT|root|parent) / ['\"]src['\"]", line) is not None


def test_no_test_puts_the_source_tree_on_the_path_of_a_process():
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if takes_the_source_tree(line)
    ]
    assert wrong == [], "take SOURCES from support.library"


def test_a_process_with_the_source_tree_on_its_path_is_found():
    assert takes_the_source_tree('env={"PYTHONPATH": str(ROOT / ' + '"src")}')
    assert not takes_the_source_tree('env={"PYTHONPATH": SOURCES}')
