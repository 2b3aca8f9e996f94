"""What the reference says of `aiojobs.testing`: every name, with the signature that it has."""

import inspect
import re

import pytest

from aiojobs import testing
from docs import pages

PAGE = "docs/reference/testing.md"
HEADINGS = dict(re.findall(r"^### `(?:await )?([\w.]+)(\(.*\))?`$", pages.text(PAGE), re.MULTILINE))
OF_PYTEST = {"jobs_scheduler", "jobs_failures"}


def test_every_public_name_has_its_section_and_no_other_has_one():
    methods = {f"Story.{name}" for name, value in vars(testing.Story).items() if _is_said(name, value)}
    assert set(HEADINGS) == {*testing.__all__, *methods, "Explored.replay", *OF_PYTEST} - {"Explored"}


def _is_said(name, value):
    return inspect.isfunction(value) and not name.startswith("_")


@pytest.mark.parametrize("name", [name for name, arguments in HEADINGS.items() if arguments])
def test_a_signature_is_the_one_that_the_code_has(name):
    owner, _, method = name.partition(".")
    called = getattr(testing, owner)
    signature = inspect.signature(getattr(called, method) if method else called)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()
    ]
    shown = [parameter for parameter in bare if parameter.name != "self"]
    assert str(inspect.Signature(shown)) == HEADINGS[name]
