"""Is every place that names a requirement found, under the name of what it stands in, and is the page fresh?"""

import pytest

from aiojobs_verification.cli.draw import drawn
from aiojobs_verification.codegen.traceability import PAGE, SORTS, page, places
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.load import load

FILES = {
    "src/aiojobs/_core.py": '''
"""Rules: ``LIMIT-2``."""

class Core:
    """Not here."""

    @property
    def start(self):
        # LIMIT-1, in a comment
        def inner():
            return "LIMIT-3"
        return inner
''',
    "tests/unit/test_core.py": '''
import pytest

pytestmark = pytest.mark.requirement("LIMIT-4")

class TestCore:
    @pytest.mark.requirement("LIMIT-1", "LIMIT-2")
    @pytest.mark.parametrize("n", [1])
    def test_start(self, n):
        """It mentions LIMIT-9 and speaks for nothing by that."""
''',
    "spec/scheduler.toml": """
# LIMIT-1 in a comment is no rule
[invariant.within_limit]
requirements = ["LIMIT-1", "LIMIT-2"]
holds = "running <= L"
""",
    "spec/mutants/some.toml": """
[[mutant]]
name = "one too many"
aims = ["LIMIT-1"]

[[mutant]]
name = "two too many"
aims = ["LIMIT-10"]
""",
    "spec/tla/Jobs.tla": "LIMIT_1 == TRUE\nLIMIT_1_Step == [][TRUE]_vars\nLIMIT_10 == LIMIT_1\nLIMIT == 1\n",
    "spec/tla/fault_lifo.cfg": "INVARIANTS\n    LIMIT_1\n    TypeOK\n",
    "verification/src/aiojobs_verification/symbolic/proofs/expected.toml": 'an_end_is_kept = ["LIMIT-1", "LIMIT-2"]\n',
}


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_each_place_is_found_under_the_name_of_what_it_stands_in(tree):
    found = {
        (id_, sort): [(place.line, place.name) for place in named]
        for id_, by_sort in places(tree).items()
        for sort, named in by_sort.items()
    }
    assert found == {
        ("LIMIT-2", "code"): [(2, "")],
        ("LIMIT-1", "code"): [(7, "Core.start")],
        ("LIMIT-3", "code"): [(10, "Core.start.inner")],
        ("LIMIT-4", "tests"): [(4, "")],
        ("LIMIT-1", "tests"): [(7, "TestCore.test_start")],
        ("LIMIT-2", "tests"): [(7, "TestCore.test_start")],
        ("LIMIT-1", "rules"): [(3, "invariant.within_limit")],
        ("LIMIT-2", "rules"): [(3, "invariant.within_limit")],
        ("LIMIT-1", "faults"): [(2, "one too many")],
        ("LIMIT-10", "faults"): [(6, "two too many")],
        ("LIMIT-1", "tla"): [(1, "LIMIT_1"), (2, "LIMIT_1_Step")],
        ("LIMIT-10", "tla"): [(3, "LIMIT_10")],
        ("LIMIT-1", "model faults"): [(2, "")],
        ("LIMIT-1", "contracts"): [(1, "an_end_is_kept")],
        ("LIMIT-2", "contracts"): [(1, "an_end_is_kept")],
    }


def test_the_page_has_a_heading_for_every_requirement_and_no_line_numbers(tree, root):
    spec = load(root / "spec")
    text = page(spec, places(tree))
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [*spec.requirements.by_id]
    entry = text.partition("## LIMIT-1\n")[2].partition("\n## ")[0]
    assert "(Revision 2.)" in entry
    assert "- Kept by:\n  - [src/aiojobs/_core.py](../../src/aiojobs/_core.py): `Core.start`\n" in entry
    moved = FILES["src/aiojobs/_core.py"].replace("class", "\n\n\nclass")
    (tree / "src/aiojobs/_core.py").write_text(moved, encoding="utf-8")
    assert page(spec, places(tree)) == text


def test_the_page_is_stale_when_a_function_that_keeps_a_promise_gets_another_name(tree, root):
    spec = load(root / "spec")
    before = page(spec, places(tree))
    renamed = FILES["src/aiojobs/_core.py"].replace("start", "begin")
    (tree / "src/aiojobs/_core.py").write_text(renamed, encoding="utf-8")
    assert page(spec, places(tree)) != before


def test_a_file_that_is_not_python_is_named(tree):
    (tree / "src/aiojobs/_core.py").write_text("def start(:\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"^src/aiojobs/_core\.py: line 1 is not Python"):
        places(tree)


def test_drawing_writes_the_page(root):
    assert root / PAGE in drawn(root)


KINDS = {"prove": "rules", "model": "tla", "symbolic": "contracts", "test": "tests", "mutant": "faults"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_requirement_that_counts_on_a_kind_of_check_has_a_place_where_that_kind_names_it(root, kind):
    found = places(root)
    counting = [one for one in load(root / "spec").requirements.by_id.values() if kind in one.checks]
    assert KINDS[kind] in SORTS
    assert [one.id for one in counting if KINDS[kind] not in found.get(one.id, {})] == []
