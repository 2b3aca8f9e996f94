"""The reference, and copies of it in which one thing is changed: fixtures, a pytest plugin named in conftest.py."""

import re
import shutil
from pathlib import Path

import pytest

from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.load import FILES, Spec, load
from aiojobs_verification.specification.locate import repository


@pytest.fixture(scope="session")
def root() -> Path:
    return repository()


@pytest.fixture(scope="session")
def spec(root) -> Spec:
    return load(root / "spec")


@pytest.fixture
def edited(root, tmp_path):
    """A function that copies the reference, changes one place of one file, and returns the folder."""

    def edit(file: str, old: str, new: str) -> Path:
        folder = tmp_path / "spec"
        folder.mkdir(exist_ok=True)
        for name in FILES:
            if not (folder / name).exists():
                shutil.copy(root / "spec" / name, folder)
        text = (folder / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, (
            f"{old!r} must be in {file} exactly once, to be the one thing that changes"
        )
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        return folder

    return edit


@pytest.fixture
def refused(edited):
    """A function that plants a fault and checks by which place and words the file is refused."""

    def check(file: str, old: str, new: str, *said: str) -> None:
        table, key, words = said
        with pytest.raises(SpecError) as caught:
            load(edited(file, old, new))
        error = caught.value
        assert (error.file, error.table, error.key) == (file, table, key)
        place = [file, *([f"table [{table}]"] if table else []), *([f"key '{key}'"] if key else [])]
        # Inside an expression the column comes between the place and the words.
        assert re.match(re.escape(", ".join(place)) + r"(, column [0-9]+)?: ", str(error))
        assert words in str(error)

    return check
