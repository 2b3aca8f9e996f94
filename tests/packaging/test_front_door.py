"""The lock file and the Makefile: what a newcomer's first command stands on."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
DEV = ROOT / "requirements" / "dev.lock"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]


def pins(lock):
    """Name -> version, and the hashes of every entry of a lock."""
    text = re.sub(r"^(#|--no-binary ).*\n", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = re.split(r"\n(?=\S)", text.strip())
    heads = [re.match(r"([a-z0-9-]+)==(\S+)", entry) for entry in entries]
    assert all(heads), "every entry pins one version"
    return {
        head[1]: (head[2], re.findall(r"--hash=sha256:[0-9a-f]{64}", entry))
        for head, entry in zip(heads, entries, strict=True)
    }


def needed(group):
    """The requirements of a group, those of the groups it includes among them."""
    for entry in GROUPS[group]:
        if isinstance(entry, str):
            yield Requirement(entry)
        else:
            yield from needed(entry["include-group"])


def test_the_tools_of_the_verification_are_in_the_environment_of_the_project():
    metadata = tomllib.loads((ROOT / "verification" / "pyproject.toml").read_text(encoding="utf-8"))
    own = [line for line in metadata["project"]["dependencies"] if line != "aiojobs"]
    assert own == GROUPS["verification"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_everything_by_hash_and_names_no_index(lock):
    assert all(hashes for _, hashes in pins(lock).values())
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links", lock.read_text(encoding="utf-8"))


def test_only_the_lock_of_other_peoples_packages_has_one_that_exists_as_source_only():
    sources = {
        lock.name: re.findall(r"^--no-binary (\S+)$", lock.read_text(), re.MULTILINE) for lock in LOCKS
    }
    assert sources == {"bench.lock": [], "compat.lock": ["forbiddenfruit"], "dev.lock": [], "docs.lock": []}


def test_the_lock_satisfies_what_the_project_asks_for():
    locked = pins(DEV)
    wanted = [*needed("dev"), *(Requirement(line) for extra in EXTRAS.values() for line in extra)]
    unmet = [str(one) for one in wanted if not one.specifier.contains(locked.get(one.name, ("0",))[0])]
    assert unmet == [], "run make lock"


def test_help_explains_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    explained = dict(re.findall(r"^  make (\S+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert explained.keys() == set(targets)


@pytest.mark.parametrize("python", ["/no/such/python", "false"])
def test_a_python_that_does_not_start_is_said_so(python):
    done = subprocess.run(
        ["sh", ".ci/env", "true"], cwd=ROOT, env={"PYTHON": python, "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 90
    assert f"ENVIRONMENT: PYTHON={python} does not start" in done.stderr


# Whose fault it was


FAKE = """#!/bin/sh
case "$*" in
    *version_info*) exit {old} ;;
    *sysconfig*) ;;
    *platform*) echo "{version} $0" ;;
    "-m venv "*) {venv}; mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    "-m pip "*) echo '{said}'; exit {code} ;;
    *) echo "ran: $*"; exit {tests} ;;
esac
"""
HEALTHY = {"old": 0, "version": "3.12.1", "venv": ":", "said": "", "code": 0, "tests": 0}
UNREACHABLE = (
    "WARNING: Retrying after connection broken by NewConnectionError\nERROR: No matching distribution found"
)


def front_door(folder, *command, **faults):
    """Run a command in a tree that has nothing but the front door, with a Python that has these faults."""
    for path in (".ci/env", ".ci/pythons", ".ci/whose", "Makefile", "requirements/dev.lock"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((ROOT / path).read_bytes())
    python = folder / "python"
    python.write_text(FAKE.format(**HEALTHY | faults))
    python.chmod(0o755)
    env = {"PYTHON": str(python), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("faults", "code", "word"),
    [
        ({"old": 1, "version": "3.9.2"}, 90, "ENVIRONMENT: PYTHON="),
        ({"venv": "exit 1"}, 90, "ENVIRONMENT: could not make a virtual environment"),
        ({"code": 1, "said": "OSError: [Errno 28] No space left on device"}, 90, "ENVIRONMENT: pip can"),
        ({"code": 1, "said": "Segmentation fault"}, 90, "ENVIRONMENT: pip failed"),
        ({"code": 1, "said": UNREACHABLE}, 91, "NETWORK: could not fetch"),
        (
            {"code": 1, "said": "ERROR: No matching distribution found for a==1"},
            92,
            "LOCK: the index has not",
        ),
        (
            {"code": 1, "said": "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM"},
            92,
            "LOCK: a file is not",
        ),
        ({"tests": 5}, 5, ""),
        ({}, 0, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_without_an_environment_the_exit_code_and_the_message_say_whose_fault_it_is(
    tmp_path, faults, code, word
):
    done = front_door(tmp_path, "sh", ".ci/env", "python", "-m", "pytest", **faults)
    assert done.returncode == code
    assert word in done.stderr
    assert ("ran: -m pytest" in done.stdout) is (code not in {90, 91, 92})


def test_an_environment_that_could_not_be_made_is_made_anew(tmp_path):
    assert front_door(tmp_path, "sh", ".ci/env", "true", code=1, said=UNREACHABLE).returncode == 91
    again = front_door(tmp_path, "sh", ".ci/env", "python", "-m", "pytest")
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "ran: -m pytest")


@pytest.mark.parametrize(
    ("faults", "said", "unsaid"),
    [
        ({"code": 1, "said": UNREACHABLE}, "NETWORK", "test failed"),
        ({"old": 1}, "ENVIRONMENT", "test failed"),
        ({"tests": 1}, "A test failed: its story is above", "no verdict"),
        ({"tests": 4}, "pytest did not come to its end", "test failed"),
    ],
)
def test_a_test_is_blamed_only_if_a_test_failed(tmp_path, faults, said, unsaid):
    done = front_door(tmp_path, "make", "test", **faults)
    assert done.returncode != 0
    assert said in done.stderr
    assert unsaid not in done.stderr


def test_a_machine_without_a_usable_python_is_told_so(tmp_path):
    front_door(tmp_path, "true")
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("dirname", "sh", "sort", "head", "cut", "ls"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}")
    (tmp_path / ".ci" / "pythons").write_text(
        (ROOT / ".ci" / "pythons").read_text().replace("/usr/local/bin/", "/no/").replace("/opt/", "/no/")
    )
    done = subprocess.run(
        ["/bin/sh", ".ci/env", "true"], cwd=tmp_path, env={"PATH": str(tools), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 90
    assert "ENVIRONMENT: no usable Python found" in done.stderr


def test_the_versions_of_python_that_are_tested_are_those_that_are_said_to_be():
    said = re.findall(
        r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text("utf-8")
    )
    done = subprocess.run(
        ["sh", ".ci/pythons", "tested"], cwd=ROOT, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.split() == said


def test_every_tested_python_is_tested_or_said_not_to_be_there(tmp_path):
    """`make` is played by a program that fails for one version."""
    fake = tmp_path / "make"
    fake.write_text(
        '#!/bin/sh\nfor last; do :; done\necho "$last" >>"$0.asked"\n[ "$last" = PYTHON=/some/where ]\n'
    )
    fake.chmod(0o755)
    folder = tmp_path / "tree"
    (folder / ".ci").mkdir(parents=True)
    (folder / ".ci" / "test-all").write_bytes((ROOT / ".ci" / "test-all").read_bytes())
    (folder / ".ci" / "pythons").write_text(
        'case "$1" in tested) echo 3.1 3.2 3.3 ;; all) echo "3.3 /the/other one"; echo "3.1 /some/where" ;; esac\n'
    )
    done = subprocess.run(
        ["sh", ".ci/test-all", str(fake)], cwd=folder, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 1
    assert "passed: 3.1   failed: 3.3   not on this machine, so not tested: 3.2" in done.stdout
    asked = (tmp_path / "make.asked").read_text("utf-8").splitlines()
    assert asked == ["PYTHON=/some/where", "PYTHON=/the/other one"]
