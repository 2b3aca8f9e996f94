"""A change is given by function, signature and syntax: it survives another layout, and is stale where it must be."""

import ast

import pytest

from aiojobs_verification.fault_injection.changes import Change, StaleError, applied
from aiojobs_verification.fault_injection.names import unset_names

CORE = '''\
LIMIT = 1


class Core:
    """A class."""

    size = 3

    def launch(self, job, *, at_once: bool = False) -> int:
        """Not this:
        self.running < limit.
        """
        if (self.running  # a comment
                < self.limit):
            self.running += 1
            return 1
        self.queue.append(job)
        return 0

    async def wait(self):
        return await self.end


def launch(job):
    job.go()
    job.go()
'''
OTHER = "class Other:\n    def stop(self):\n        self.stop()\n"
TEXTS = {"core.py": CORE, "parts/other.py": OTHER}
LAUNCH = "Core.launch(self, job, *, at_once)"


def changed(*changes, texts=TEXTS):
    return applied([Change(*change) for change in changes], texts)


def the_same(text, old, new):
    assert CORE.count(old) == 1
    return ast.dump(ast.parse(text)) == ast.dump(ast.parse(CORE.replace(old, new)))


@pytest.mark.parametrize(
    ("place", "replace", "by", "old", "new"),
    [
        (LAUNCH, "self.running<self.limit", "self.running <= self.limit", "< self.limit", "<= self.limit"),
        (
            LAUNCH,
            "self.running += 1\nreturn 1",
            "return 2",
            "self.running += 1\n            return 1",
            "return 2",
        ),
        (LAUNCH, "self.queue.append(job)", "", "self.queue.append(job)", ""),
        (
            LAUNCH,
            "return 0",
            "if job:\n    return 2\nreturn 0",
            "return 0",
            "if job: return 2\n        return 0",
        ),
        ("async Core.wait(self)", "return await self.end", "", "return await self.end", "pass"),
        ("Core", "size = 3", "size = 4", "size = 3", "size = 4"),
        ("core.py", "LIMIT = 1", "LIMIT = 2", "LIMIT = 1", "LIMIT = 2"),
        ("core.py::launch(job)", "job.go()\njob.go()", "job.go()", "job.go()\n    job.go()", "job.go()"),
    ],
)
def test_a_piece_is_found_by_its_syntax_and_replaced(place, replace, by, old, new):
    found = changed((place, replace, by))
    assert list(found) == ["core.py"]
    assert the_same(found["core.py"], old, new)


def test_what_stands_behind_stays_on_its_line():
    [text] = changed((LAUNCH, "self.running < self.limit", "True")).values()
    assert text.splitlines()[17:] == CORE.splitlines()[17:][: len(text.splitlines()) - 17]
    assert text.splitlines().index("def launch(job):") == CORE.splitlines().index("def launch(job):")


def test_a_function_that_has_moved_to_another_file_is_found_there():
    moved = {"engine.py": CORE, "core.py": "LIMIT = 1\n"}
    assert list(changed((LAUNCH, "return 0", "return 1"), texts=moved)) == ["engine.py"]


def test_one_of_several_is_told_by_its_number():
    two = ("launch(job)", "job.go()", "job.come()", 2)
    assert changed(two)["core.py"].count("job.come()") == 2
    assert changed((*two, 2))["core.py"].endswith("job.go()\n    job.come()\n")


def test_changes_are_looked_for_in_the_unchanged_sources_and_may_touch():
    agreed = changed((LAUNCH, "return 0", "return 9"), (LAUNCH, "return 0", "return 9"))
    assert agreed["core.py"].count("return 9") == 1
    inner, outer = (LAUNCH, "return 1", "return 8"), (LAUNCH, "self.running += 1\nreturn 1", "return 7")
    for both in (inner, outer), (outer, inner):
        found = changed(*both)["core.py"]
        assert "return 7" in found
        assert "return 8" not in found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("Core.lunch(self)", "return 0", ""), "there is no Core.lunch(self) any more"),
        (("gone.py", "LIMIT = 1", ""), "there is no file gone.py any more"),
        ((LAUNCH, "return 5", ""), f"core.py:9: in {LAUNCH} 'return 5' occurs 0 times, expected was 1"),
        (
            ("launch(job)", "job.go()", ""),
            "core.py:24: in launch(job) 'job.go()' occurs 2 times, expected was 1",
        ),
        (
            ("Core.launch(self, job)", "return 0", ""),
            f"core.py:9: the signature is {LAUNCH}, expected was Core.launch(self, job)",
        ),
        (("Core.wait(self)", "return await self.end", ""), "the signature is async Core.wait(self)"),
        ((LAUNCH, "return", "return +"), "'return +' is not Python: invalid syntax"),
        ((LAUNCH, "return  0", "return 0"), "'return 0' is replaced by itself"),
    ],
)
def test_what_does_not_fit_any_more_is_told_with_its_place_and_what_was_expected(change, told):
    with pytest.raises(StaleError) as caught:
        changed(change)
    assert told in str(caught.value)


NAMES = """\
from typing import TYPE_CHECKING

import job as known

if TYPE_CHECKING:
    from types import Typed
else:
    typed = 1


class Kind:
    inside = 1
    same = [inside for _ in (known,)]


def one(given):
    global late
    late = __name__
    return [other for other in given if print(other, known, late, typed)]
"""


def test_a_change_may_use_what_the_file_has():
    assert unset_names(NAMES) == frozenset({"inside"}), "a class is not around its comprehensions"
    text = changed(
        ("one(given)", "late = __name__", "late = (Kind, given, known)"), texts={"names.py": NAMES}
    )
    assert "late = (Kind, given, known)" in text["names.py"]


@pytest.mark.parametrize(
    ("by", "lost"),
    [
        ("fire(given)", "fire"),
        ("(lambda: [inner for inner in lost])()", "lost"),
        ("Typed", "Typed"),
        ("other", "other"),
        ("fire(lost)", "fire, lost"),
    ],
)
def test_a_change_that_asks_for_what_is_not_there_is_stale_and_not_found_because_it_falls_over(by, lost):
    with pytest.raises(StaleError) as caught:
        changed(("one(given)", "late = __name__", f"late = {by}"), texts={"names.py": NAMES})
    assert str(caught.value) == f"names.py: with this change {lost} is asked for and not there"


def test_two_functions_of_one_name_have_to_be_told_apart():
    twice = {"a.py": OTHER, "b.py": OTHER}
    change = ("Other.stop(self)", "self.stop()", "pass")
    with pytest.raises(StaleError, match=r"Other\.stop\(self\) is in a\.py:2, b\.py:2"):
        changed(change, texts=twice)
    assert list(changed((f"b.py::{change[0]}", *change[1:]), texts=twice)) == ["b.py"]


def test_two_changes_of_one_piece_that_differ_are_refused():
    with pytest.raises(StaleError, match="is replaced by another change too"):
        changed((LAUNCH, "return 0", "return 1"), (LAUNCH, "return 0", "return 2"))
    rows = {"rows.py": "def go(job):\n    job.one()\n    job.two()\n    job.three()\n"}
    first, last = ("go(job)", "job.one()\njob.two()", ""), ("go(job)", "job.two()\njob.three()", "")
    with pytest.raises(StaleError, match="is replaced by another change too"):
        changed(first, last, texts=rows)
