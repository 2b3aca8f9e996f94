"""Which build of the library this is: what was really imported says so."""

import sys
from pathlib import Path

import pytest

import aiojobs

CORE = [sys.modules[f"aiojobs.{name}"] for name in aiojobs._CORE]


def test_the_modules_that_can_be_compiled_are_those_with_declarations():
    package = Path(__file__).parents[2] / "src/aiojobs"
    assert sorted(path.stem for path in package.glob("*.pxd")) == sorted(aiojobs._CORE)


def test_the_build_is_told_from_the_files_that_were_imported():
    compiled = {module.__file__.endswith((".so", ".pyd")) for module in CORE}
    assert compiled == {aiojobs.__build__ == "compiled"}


@pytest.mark.parametrize(("suffix", "build"), [(".py", "pure"), (".so", "compiled"), (".pyd", "compiled")])
def test_a_whole_core_is_one_build(monkeypatch, suffix, build):
    for module in CORE:
        monkeypatch.setattr(module, "__file__", f"core{suffix}")
    assert aiojobs._which_build() == build


def test_a_core_that_is_compiled_in_parts_is_refused_and_names_the_other_part(monkeypatch):
    for module, file in zip((aiojobs._core, aiojobs._job), ("_core.so", "_job.py"), strict=True):
        monkeypatch.setattr(module, "__file__", file)
    monkeypatch.setattr(aiojobs, "_CORE", ("_core", "_job"))
    with pytest.raises(ImportError, match=r"in parts, install it again: not compiled are _job\.py$"):
        aiojobs._which_build()
