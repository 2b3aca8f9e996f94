"""One text, several readers: what is accepted, what is refused and where, and that all readers agree."""

import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

from aiojobs_verification.smt.solver import Terms
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.expressions import TLA, WORDS, Vocabulary, compiled, parse, written
from aiojobs_verification.specification.tables import Table

NAMES = {"a": "int", "b": "int", "c": "int", "on": "bool", "phase": "phase", "few": "bool"}
SCOPE = Vocabulary(NAMES, ("open", "closing", "closed"))
ARGUMENTS = ("a", "b", "c", "on", "phase")
FEW = "a + b < 3"


def read(text, sort=None, scope=SCOPE):
    return parse(Table({"guard": text}, file="scheduler.toml", name="action.x"), "guard", scope, sort)


DEFINITIONS = {"few": read(FEW)}


def value(text, **values):
    values = {"a": 0, "b": 0, "c": 0, "on": False, "phase": "open", **values}
    return compiled(read(text), ARGUMENTS, DEFINITIONS, {})(*(values[name] for name in ARGUMENTS))


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("a", {"a": 7}, 7),
        ("0", {}, 0),
        ("a + 2 * b - c", {"a": 1, "b": 5, "c": 3}, 8),
        ("a - (b - c)", {"a": 9, "b": 5, "c": 3}, 7),
        ("(a + b) * 2", {"a": 1, "b": 2}, 6),
        ("True", {}, True),
        ("not on", {"on": False}, True),
        ("on or a > 0 and b > 0", {"on": True}, True),
        ("(on or a > 0) and b > 0", {"on": True}, False),
        ("0 <= a <= b", {"a": 1, "b": 2}, True),
        ("0 <= a <= b", {"a": 3, "b": 2}, False),
        ("0 < a < b < c", {"a": 1, "b": 2, "c": 2}, False),
        ("phase == 'closing'", {"phase": "closing"}, True),
        ("phase != 'open'", {"phase": "open"}, False),
        ("a if on else b", {"a": 1, "b": 2, "on": False}, 2),
        ("1 if phase == 'open' else 0", {}, 1),
        ("few", {"a": 1, "b": 1}, True),
        ("not few", {"a": 1, "b": 1}, False),
    ],
)
def test_what_is_accepted_means_what_it_means_in_python(text, values, expected):
    assert value(text, **values) == expected


@pytest.mark.parametrize(
    ("text", "column", "fault"),
    [
        ("a + nobody", 5, "unknown name 'nobody' (declared: a, b, c, on, phase, few)"),
        ("phase == 'shut'", 10, "unknown phase 'shut' (declared: open, closing, closed)"),
        ("len(a)", 1, "'len(a)' is outside the language of expressions"),
        ("a.real", 1, "'a.real' is outside the language of expressions"),
        ("a > 0 and a // 2 == 1", 11, "'a // 2' is outside the language of expressions"),
        ("a / 2", 1, "'a / 2' is outside the language of expressions"),
        ("a % 2 == 0", 1, "'a % 2' is outside the language of expressions"),
        ("a ** 2", 1, "'a ** 2' is outside the language of expressions"),
        ("-a", 1, "'-a' is outside the language of expressions"),
        ("~a", 1, "'~a' is outside the language of expressions"),
        ("1.5", 1, "'1.5' is outside the language of expressions"),
        ("None", 1, "'None' is outside the language of expressions"),
        ("b'x'", 1, "is outside the language of expressions"),
        ("u'open' == phase", 1, "is outside the language of expressions"),
        ("f'{a}'", 1, "is outside the language of expressions"),
        ("lambda: a", 1, "is outside the language of expressions"),
        ("[a]", 1, "is outside the language of expressions"),
        ("a[0]", 1, "is outside the language of expressions"),
        ("(a := 1)", 2, "is outside the language of expressions"),
        ("a is b", 6, "'a is b' is outside the language of expressions"),
        ("a in b", 6, "'a in b' is outside the language of expressions"),
        ("a * b", 1, "one side of a product must be a number"),
        ("on + 1", 1, "a number is needed here, not a truth value"),
        ("a and on", 1, "a truth value is needed here, not a number"),
        ("not a", 5, "a truth value is needed here, not a number"),
        ("on == True", 1, "truth values are not compared: say `x` or `not x`"),
        ("a == phase", 6, "a number is needed here, not a phase"),
        ("phase < 'open'", 1, "a number is needed here, not a phase"),
        ("phase == 1", 10, "a phase is needed here, not a number"),
        ("a if b else c", 6, "a truth value is needed here, not a number"),
        ("a if on else on", 14, "a number is needed here, not a truth value"),
        (" a", 1, "an expression is one line without blanks around it"),
        ("a\n+ b", 1, "an expression is one line without blanks around it"),
        ("on and 'é' == phase and nobody", 8, "unknown phase 'é'"),
    ],
)
def test_what_is_outside_is_refused_with_file_table_key_and_column(text, column, fault):
    with pytest.raises(SpecError) as caught:
        read(text)
    error = caught.value
    assert (error.file, error.table, error.key, error.column) == (
        "scheduler.toml",
        "action.x",
        "guard",
        column,
    )
    assert str(error).startswith(f"scheduler.toml, table [action.x], key 'guard', column {column}: ")
    assert fault in error.fault


@pytest.mark.parametrize("text", ["a +", "a = 1", "a; b", "(a", "a) or (b", "return a", "a b", "\0"])
def test_what_is_no_expression_at_all_is_refused(text):
    with pytest.raises(SpecError, match=r"key 'guard', column [1-9]: not an expression: ") as caught:
        read(text)
    assert caught.value.column <= len(text) + 1


def test_columns_count_characters_not_bytes():
    scope = Vocabulary(NAMES, ("schließt",))
    with pytest.raises(SpecError) as caught:
        read("phase == 'schließt' and nobody", scope=scope)
    assert caught.value.column == 25


def test_the_sort_of_the_whole_is_checked():
    with pytest.raises(SpecError, match="column 1: a truth value is needed here, not a number"):
        read("a + 1", "bool")


@pytest.mark.parametrize(
    ("text", "tla", "words"),
    [
        ("a >= 0 and b != 1", r"a >= 0 /\ b # 1", "a ≥ 0 and b ≠ 1"),
        ("on or a > 0 and b > 0", r"on \/ (a > 0 /\ b > 0)", "on or (a > 0 and b > 0)"),
        ("not (on and few)", r"~(on /\ few)", "not (on and few)"),
        ("not a == b", "~(a = b)", "not (a = b)"),
        ("a - (b - c)", "a - (b - c)", "a − (b − c)"),
        ("a - b - c", "a - b - c", "a − b − c"),
        ("2 * (a + b) <= c", "2 * (a + b) <= c", "2 · (a + b) ≤ c"),
        ("phase != 'open'", 'phase # "open"', "phase is not open"),
        ("1 if phase == 'open' else a", 'IF phase = "open" THEN 1 ELSE a', "1 if phase is open, otherwise a"),
        ("(1 if on else 2) + a", "(IF on THEN 1 ELSE 2) + a", "(1 if on, otherwise 2) + a"),
        ("True", "TRUE", "always"),
        ("0 <= a <= b", r"0 <= a /\ a <= b", "0 ≤ a and a ≤ b"),
    ],
)
def test_how_it_is_written_for_tla_and_for_people(text, tla, words):
    assert written(read(text), TLA) == tla
    assert written(read(text), WORDS) == words


numbers = st.sampled_from(["a", "b", "c", "0", "1", "2", "7"])
sums = st.recursive(
    numbers,
    lambda parts: st.one_of(
        st.tuples(parts, st.sampled_from(["+", "-"]), parts).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(st.integers(0, 3), parts).map(lambda p: f"{p[0]} * ({p[1]})"),
    ),
    max_leaves=4,
)
comparisons = st.tuples(sums, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), sums).map(" ".join)
chains = st.tuples(sums, st.sampled_from(["<", "<="]), sums, st.sampled_from(["<", "<=", "=="]), sums).map(
    " ".join
)
phases = st.tuples(st.sampled_from(["==", "!="]), st.sampled_from(SCOPE.phases)).map(
    lambda p: f"phase {p[0]} '{p[1]}'"
)
truths = st.recursive(
    st.one_of(comparisons, chains, phases, st.sampled_from(["on", "few", "True", "False"])),
    lambda parts: st.one_of(
        parts.map(lambda part: f"not ({part})"),
        st.tuples(parts, st.sampled_from(["and", "or"]), parts).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
        st.tuples(parts, parts, parts).map(lambda p: f"(({p[0]}) if ({p[1]}) else ({p[2]}))"),
    ),
    max_leaves=6,
)
valuations = st.fixed_dictionaries(
    {
        "a": st.integers(-3, 9),
        "b": st.integers(-3, 9),
        "c": st.integers(-3, 9),
        "on": st.booleans(),
        "phase": st.sampled_from(SCOPE.phases),
    }
)


@pytest.fixture(scope="module")
def terms(spec):
    return Terms(spec.scheduler)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=truths, values=valuations)
def test_python_and_z3_read_the_same(terms, text, values):
    node = read(text, "bool")
    known = {name: terms.number(values[name]) for name in ("a", "b", "c")}
    known |= {
        "on": terms.every([]) if values["on"] else terms.some([]),
        "phase": terms.phase(values["phase"]),
    }
    known["few"] = terms.term(DEFINITIONS["few"], known)
    by_z3 = z3.is_true(z3.simplify(terms.term(node, known)))
    assert by_z3 is value(text, **values)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=truths, values=valuations)
def test_what_is_written_back_means_the_same(text, values):
    """The brackets that are left out were not needed: what is written for Python reads like the original."""
    names = {"few": eval(FEW, {}, values), **values}
    assert eval(text, {}, names) is value(text, **values)
