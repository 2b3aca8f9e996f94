"""The page and the example, as a reader starts them: processes of their own, on a cluster of real processes."""

import os
import subprocess
import sys
import textwrap

import pytest

from compat.dask_cluster.processes import ENVIRONMENT, PATIENCE, ROOT, dask
from docs import pages

PAGE = "docs/howto/govern-a-dask-cluster.md"
FILES = {"on_cluster.py", "primes.py"}

pytestmark = pytest.mark.loops("stock")


def run(*words, folder):
    """What a program prints, which must end well."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def written(tmp_path):
    """The files of the page, in a folder."""
    pages.write_files(PAGE, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    return tmp_path


@pytest.fixture
def promised():
    """What the page says that its program prints."""
    return pages.text(PAGE).split("python primes.py        # ", 1)[1].partition("\n")[0] + "\n"


def test_the_file_of_the_page_is_that_of_the_example():
    (file,) = [file for file in pages.files(PAGE) if file.name == "on_cluster.py"]
    assert file.source == (ROOT / "examples/dask_cluster/on_cluster.py").read_text(encoding="utf-8")


@pytest.mark.requirement("LIMIT-6")
def test_the_program_starts_workers_of_its_own(written, promised):
    assert run("primes.py", folder=written) == promised


@pytest.mark.requirement("LIMIT-6")
def test_the_program_uses_a_cluster_that_is_there(written, promised, tmp_path_factory):
    path = os.pathsep.join([str(written), ENVIRONMENT["PYTHONPATH"]])
    with dask(tmp_path_factory.mktemp("dask"), path=path) as (address, _, _):
        assert run("primes.py", address, folder=written) == promised


@pytest.mark.requirement("LIMIT-6", "CLOSE-1")
def test_the_example_does_what_the_page_shows():
    shown = pages.text(PAGE).split("```text\n", 1)[1].partition("```")[0]
    assert run("-m", "examples.dask_cluster.governor", folder=ROOT) == shown
    docstring = (ROOT / "examples/dask_cluster/governor.py").read_text(encoding="utf-8")
    assert textwrap.indent(shown, "    ") in docstring
