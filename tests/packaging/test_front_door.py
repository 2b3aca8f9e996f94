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
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


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


def needed(extra):
    """The requirements of an extra, those of the extras it includes among them."""
    for line in EXTRAS[extra]:
        one = Requirement(line)
        if one.name == "aiojobs":
            for included in one.extras:
                yield from needed(included)
        else:
            yield one


def test_the_tools_of_the_verification_are_in_the_environment_of_the_project():
    metadata = tomllib.loads((ROOT / "verification" / "pyproject.toml").read_text(encoding="utf-8"))
    own = {line for line in metadata["project"]["dependencies"] if line != "aiojobs"}
    assert own <= set(EXTRAS["test"])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_everything_by_hash_and_names_no_index(lock):
    assert all(hashes for _, hashes in pins(lock).values())
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links", lock.read_text(encoding="utf-8"))


def test_only_the_lock_of_other_peoples_packages_has_one_that_exists_as_source_only():
    sources = {
        lock.name: re.findall(r"^--no-binary (\S+)$", lock.read_text(), re.MULTILINE) for lock in LOCKS
    }
    assert sources == {"bench.lock": [], "compat.lock": ["forbiddenfruit"], "dev.lock": []}


def test_the_lock_satisfies_what_the_project_asks_for():
    locked = pins(DEV)
    unmet = [str(one) for one in needed("dev") if not one.specifier.contains(locked.get(one.name, ("0",))[0])]
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


def test_the_versions_of_python_that_are_tested_are_those_that_are_said_to_be():
    said = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    done = subprocess.run(
        ["sh", ".ci/pythons", "tested"], cwd=ROOT, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.split() == said


def test_every_tested_python_is_tested_or_said_not_to_be_there(tmp_path):
    """`make` is played by a program that fails for one version."""
    fake = tmp_path / "make"
    fake.write_text('#!/bin/sh\nfor last; do :; done\necho "$last" >>"$0.asked"\n[ "$last" = PYTHON=/some/where ]\n')
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
