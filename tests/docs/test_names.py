"""Every public name has an example that runs: the very pages to which the site leads from it."""

import asyncio
import importlib
import importlib.util
import inspect

import pytest

from aiojobs._job_state import FOR_THE_OWNER
from docs import pages

_SPEC = importlib.util.spec_from_file_location("uses", pages.ROOT / "website/aiojobs_site/uses.py")
uses = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(uses)

MODULES = [importlib.import_module(name) for name in uses.MODULES]
NAMES = [f"{module.__name__}.{name}" for module in MODULES for name in module.__all__]

NOBODY_CALLS = {
    "attach": "an observer has it; the scheduler calls it",
    **dict.fromkeys(FOR_THE_OWNER, "for the owner of a job"),
    **dict.fromkeys(("has_begun", "withdraw"), "what a LaneJob calls of its Lanes"),
    **dict.fromkeys(("become", "begin", "give_up", "wake"), "what Lanes call of their LaneJob"),
}
"""Members that no program uses, and why."""


def members(name):
    """The methods and properties of a class, those of private bases included, but for what asyncio asks of a loop."""
    cls = getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2])
    if not inspect.isclass(cls) or issubclass(cls, asyncio.AbstractEventLoop):
        return set()
    own = [vars(base) for base in cls.__mro__ if base.__module__.startswith("aiojobs")]
    found = {one for names in own for one, value in names.items() if is_described(value)}
    return {one for one in found if not one.startswith("_")} - set(NOBODY_CALLS)


def is_described(value):
    return (inspect.isfunction(value) or isinstance(value, property)) and value.__doc__ is not None


MEMBERS = sorted(f"{name}.{member}" for name in NAMES for member in members(name))


@pytest.mark.parametrize("name", [*NAMES, *MEMBERS])
def test_a_public_name_has_an_example(name):
    assert uses.pages_with(name) != []


def test_what_no_program_uses_is_there():
    there = {member for module in MODULES for name in module.__all__ for member in dir(getattr(module, name))}
    assert set(NOBODY_CALLS) - there == set()


def test_a_name_is_used_by_import_or_through_its_module_and_by_no_other_of_that_name(tmp_path, monkeypatch):
    page = tmp_path / "docs/howto/page.md"
    programs = [
        "from aiojobs.lanes import Lanes\nLanes",
        "import aiojobs\naiojobs.Scheduler().spawn",
        "Job = run = 1\nrun.wait",
    ]
    page.parent.mkdir(parents=True)
    page.write_text("".join(f"```python\n{program}\n```\n\n" for program in programs))
    monkeypatch.setattr(uses, "_ROOT", tmp_path)
    monkeypatch.setattr(uses, "_PAGES", [page])
    uses._programs.cache_clear()
    try:
        found = ["aiojobs.lanes.Lanes", "aiojobs.Scheduler", "aiojobs.Scheduler.spawn"]
        assert [uses.pages_with(name) for name in found] == [["docs/howto/page"]] * 3
        lost = ["aiojobs.lanes.Lanes.spawn", "aiojobs.Job", "aiojobs.Job.wait", "aiojobs.testing.run"]
        assert [uses.pages_with(name) for name in lost] == [[]] * 4
    finally:
        uses._programs.cache_clear()
