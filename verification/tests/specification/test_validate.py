"""The reference is well-formed, and the command that says so can say the opposite."""

import subprocess
import sys
from pathlib import Path

import pytest

from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.load import FILES, load

SOURCES = Path("verification", "src")


def validate(sources, *arguments):
    # Not even the library is on the path, and -S leaves out all that was ever installed.
    command = [sys.executable, "-S", "-m", "aiojobs_verification", "validate", *arguments]
    environment = {"PYTHONPATH": str(sources)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_reference_has_every_requirement_of_the_design(spec):
    groups = {
        "LIMIT": 7,
        "SPAWN": 7,
        "START": 3,
        "WAIT": 6,
        "CLOSE": 4,
        "SHUT": 8,
        "EXC": 5,
        "BOOK": 4,
        "SEE": 2,
        "LANE": 10,
        "COST": 1,
    }
    expected = [f"{group}-{number + 1}" for group, size in groups.items() for number in range(size)]
    assert [*spec.requirements.by_id] == expected


def test_each_requirement_is_checked_in_some_way_and_tested_in_any_case(spec):
    assert all("test" in requirement.checks for requirement in spec.requirements.by_id.values())
    used = {kind for requirement in spec.requirements.by_id.values() for kind in requirement.checks}
    assert used == {*spec.requirements.kinds}


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(edited, file):
    folder = edited("job.toml", "# The life of one job.\n", "#\n")
    (folder / file).unlink()
    with pytest.raises(SpecError, match=f"^{file}: can't be read: No such file"):
        load(folder)


def test_a_file_that_is_no_text_is_named(edited):
    folder = edited("job.toml", "# The life of one job.\n", "#\n")
    (folder / "job.toml").write_bytes(b"\xff")
    with pytest.raises(SpecError, match=r"^job\.toml: is not TOML: 'utf-8' codec"):
        load(folder)


def test_the_command_needs_the_standard_library_alone(root):
    done = validate(root / SOURCES)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("job.toml           5 states × 5 events = 25 cells")


def test_the_command_fails_and_names_the_place(root, edited):
    folder = edited("job.toml", 'initial = "pending"', 'initial = "new"')
    done = validate(root / SOURCES, "--spec", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "job.toml, table [machine], key 'initial': "
        "unknown state 'new' (declared: pending, active, closing, done, closed)\n"
    )


def test_an_installed_package_finds_the_files_that_it_was_shipped_with(tmp_path, root):
    """Without a source tree around it, the files are those beside the package, as the wheel has them."""
    import shutil

    package = tmp_path / "site" / "aiojobs_verification"
    shutil.copytree(root / "verification" / "src" / "aiojobs_verification", package)
    shutil.copytree(root / "spec", package / "reference")
    done = validate(package.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{Path('aiojobs_verification', 'reference')}: well-formed\n")
