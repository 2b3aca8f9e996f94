"""`python -m aiojobs_verification symbolic` can fail: every way in which CrossHair misleads is found out."""

import json
import re
import shutil
import textwrap

import pytest

from aiojobs._admission import Admission
from aiojobs_verification.cli import symbolic
from aiojobs_verification.cli.commands import main
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.load import load
from aiojobs_verification.specification.locate import repository
from aiojobs_verification.symbolic import check, contracts

ROOT = repository()
CONTRACTS = ROOT / "verification/src/aiojobs_verification/symbolic/proofs"

PLANTED = """
from aiojobs._admission import Admission


def holds(limit: int) -> None:
    assert limit >= 1
    it = Admission(limit, 0)
    assert it.running < limit


def wrong(limit: int) -> None:
    assert limit >= 1
    it = Admission(limit, 0)
    assert it.running + 1 < limit


def contradictory(limit: int) -> None:
    assert limit > 7
    assert limit < 7
    it = Admission(limit, 0)
    assert it.running == 12


def raises(limit: int) -> None:
    assert limit >= 1
    it = Admission(limit, 0)
    it.settle()
    assert it.running == 0


def too_hard(text: str) -> None:
    assert len(text) == 12
    number = hash(text)
    assert number != 1


def true_after_all(limit: int) -> None:
    assert limit >= 1
    it = Admission(limit, 0)
    assert it.running == 0


async def later(limit: int) -> None:
    assert limit >= 1
    it = Admission(limit, 0)
    assert it.running == 12


def no_precondition(limit: int) -> None:
    it = Admission(limit, 0)
    assert it.running == 12


def claims_that_count_as_preconditions(limit: int) -> None:
    assert limit >= 1
    assert Admission(limit, 0).running == 12
    assert limit > 0


def leaves_early(limit: int) -> None:
    assert limit >= 1
    it = Admission(limit, 0)
    if limit:
        return
    assert it.running == 12


def claims_nothing(limit: int) -> None:
    assert limit >= 1
    it = Admission(limit, 0)
    it.ended()


def of_no_type(limit) -> None:
    assert limit >= 1
    it = Admission(limit, 0)
    assert it.running == 12


def unlisted(limit: int) -> None:
    assert limit >= 1
    it = Admission(limit, 0)
    assert it.running == 12
"""

EXPECTED = """
[confirmed.planted]
holds = ["LIMIT-1"]
wrong = ["LIMIT-2"]
contradictory = []
raises = []
too_hard = []
later = []
no_precondition = []
claims_that_count_as_preconditions = []
leaves_early = []
claims_nothing = []
of_no_type = []
missing = []
true_after_all = []
"""


def write(folder, modules, expected):
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    (folder / "expected.toml").write_text(expected, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The planted contracts, checked once, as (verdict, fault, at) by name."""
    folder = write(tmp_path_factory.mktemp("planted"), {"planted": PLANTED}, EXPECTED)
    account = check.check(ROOT, folder, seconds=1, jobs=2)
    assert not account.holds
    return {result.contract.name: result for result in account.results}


def test_a_contract_that_holds_is_confirmed(planted):
    assert (planted["holds"].verdict, planted["holds"].fault) == ("confirmed", "")


def test_a_wrong_contract_is_refuted_with_a_counterexample_and_its_line(planted):
    wrong = planted["wrong"]
    assert wrong.verdict == "refuted"
    assert "wrong(1)" in wrong.fault
    assert "assert it.running + 1 < limit" in wrong.at


def test_an_exception_counts_as_a_counterexample(planted):
    assert planted["raises"].verdict == "refuted"
    assert "RuntimeError" in planted["raises"].fault


def test_a_contradictory_precondition_is_vacuous_although_crosshair_confirms_it(planted):
    assert planted["contradictory"].verdict == "vacuous"
    assert "no input" in planted["contradictory"].fault


def test_what_crosshair_gives_up_on_is_not_confirmed(planted):
    assert planted["too_hard"].verdict == "not confirmed"
    assert planted["too_hard"].fault


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("later", "coroutine"),
        ("no_precondition", "precondition"),
        ("claims_that_count_as_preconditions", "before its first claim"),
        ("leaves_early", "only assignments"),
        ("claims_nothing", "end with a claim"),
        ("of_no_type", "type"),
        ("missing", "no such function"),
        ("unlisted", "not in expected.toml"),
    ],
)
def test_what_crosshair_would_pass_over_in_silence_is_a_failure(planted, name, word):
    assert planted[name].verdict == "not checked"
    assert word in planted[name].fault


def test_what_is_false_on_purpose_must_be_refuted(tmp_path):
    source = PLANTED.partition("def contradictory")[0]
    expected = "[refuted.planted]\nholds = []\nwrong = []\n"
    account = check.check(ROOT, write(tmp_path, {"planted": source}, expected), seconds=2)
    found = {result.contract.name: result.fault for result in account.results}
    assert found == {"holds": "it is false, and was confirmed", "wrong": ""}
    assert not account.holds  # and a run that confirms nothing at all is none


def copy_library(folder):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "aiojobs", folder / "src" / "aiojobs", ignore=ignored)


def mutated(folder, before, after):
    """A copy of the library and its specification with one change in the core."""
    shutil.copytree(
        ROOT / "src" / "aiojobs", folder / "src" / "aiojobs", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "spec", folder / "spec")
    core = folder / "src" / "aiojobs" / "_admission.py"
    text = core.read_text("utf-8")
    assert before in text
    core.write_text(text.replace(before, after, 1), encoding="utf-8")
    return folder


OFFER, FREE, CLOSE = "Admission.offer", "Admission.ended and withdrawn", "Admission.shutdown and move"
LIMIT = "Admission.set_limit, resume and ended"

MUTANTS = [
    (OFFER, "self.running < self.limit", "self.running <= self.limit",
     "a_job_starts_at_once_exactly_when_a_slot_is_free"),
    (OFFER, "self.running < self.limit", "self.running + 1 < self.limit",
     "an_offer_keeps_the_rules"),
    (OFFER, "self.pending < self.pending_limit", "self.pending <= self.pending_limit",
     "an_offer_keeps_the_rules"),
    (OFFER, "self.pending_limit == 0 or", "",
     "a_job_queues_exactly_when_slots_are_taken_and_places_are_not"),
    (OFFER, "if not may_block:", "if may_block:",
     "a_call_waits_exactly_when_the_queue_is_full_and_it_may"),
    (OFFER, "self.blocked += 1", "self.blocked += 0",
     "an_offer_is_counted_once_or_not_at_all"),
    (OFFER, "            return Verdict.REFUSE", "            pass",
     "nothing_is_accepted_once_closing_has_begun"),
    (FREE, "or self.phase is not _OPEN:", "or False:",
     "nothing_starts_by_an_end_once_closing_has_begun"),
    (FREE, "            self.running -= 1", "            self.running -= 2",
     "an_end_gives_one_slot_back_and_on_at_most_once"),
    (FREE, "return Next.START_AND_ADMIT", "return Next.START",
     "an_end_starts_the_next_job_exactly_when_one_waits_and_not_too_many_run"),
    (FREE, "return Next.ADMIT", "return Next.NOTHING",
     "a_withdrawal_frees_one_place_and_starts_nobody"),
    (LIMIT, "or self.surplus or", "or",
     "an_end_starts_nobody_while_too_many_run"),
    (LIMIT, "max(0, self.running - limit)", "0",
     "a_limit_that_is_set_stops_nobody_and_drops_nobody"),
    (LIMIT, "and self.running >= self.limit:\n", "and self.running > self.limit:\n",
     "whoever_waits_starts_exactly_when_the_limit_allows_one_more"),
    (LIMIT, "        self.running += 1\n        return self.ended()", "        return self.ended()",
     "each_start_that_follows_leaves_what_the_whole_comes_to"),
    (LIMIT, "if self.pending == 0 or self.surplus", "if self.pending <= 1 or self.surplus",
     "a_limit_that_lets_somebody_in_begins_the_action_of_the_specification"),
    (LIMIT, "        self.limit = limit\n        self.surplus", "        self.surplus",
     "a_limit_that_lets_nobody_in_is_the_action_of_the_specification"),
    (CLOSE, "self.move(PhaseEvent.CLOSE)\n        self.pending = 0", "self.move(PhaseEvent.CLOSE)",
     "closing_dismisses_whoever_waits_and_nobody_else"),
    (CLOSE, "if dest is None:", "if False:",
     "an_illegal_move_raises_and_changes_nothing"),
]  # fmt: skip


def refute(folder, before, after, name):
    root = mutated(folder, before, after)
    account = check.check(root, CONTRACTS, only=[name])
    assert not account.faults
    (result,) = account.results
    assert result.verdict == "refuted"
    assert f"{name}(" in result.fault


def test_a_limit_that_is_off_by_one_is_refuted(tmp_path):
    refute(tmp_path, *MUTANTS[0][1:])


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS[1:], ids=lambda mutant: f"{mutant[0]} {mutant[2]!r}")
def test_every_mutant_of_the_core_is_refuted_by_the_contract_that_it_breaks(tmp_path, mutant):
    refute(tmp_path, *mutant[1:])


def test_a_tree_without_the_library_is_told_from_one_with_it(tmp_path):
    mutated(tmp_path, "self.running < self.limit", "self.running < self.limit")
    (tmp_path / "src" / "aiojobs" / "_admission.py").write_text("Admission = 1 / 0\n", encoding="utf-8")
    account = check.check(tmp_path, CONTRACTS)
    assert not account.holds
    assert "can't be imported: ZeroDivisionError" in account.faults[0]


def test_a_library_from_elsewhere_is_not_checked_by_mistake(tmp_path, monkeypatch):
    copy_library(tmp_path)
    (tmp_path / "src" / "aiojobs" / "__init__.py").rename(
        tmp_path / "gone"
    )  # a folder without it loses to a package elsewhere
    monkeypatch.setenv("PYTHONPATH", "")
    account = check.check(tmp_path, CONTRACTS, only=[])
    assert "would speak of" in account.faults[0]


def test_probes_stand_where_the_contracts_stand_and_say_that_they_were_reached():
    source = (CONTRACTS / "proofs_closing.py").read_text("utf-8")
    text = contracts.probes(source)
    assert text.count(contracts.REACHED) == len(re.findall(r"^def [a-z]", source, re.MULTILINE))
    assert compile(text, "probes", "exec")


def test_the_contracts_of_this_project_are_well_formed_and_speak_for_requirements_that_exist():
    known = load().requirements.by_id
    found = contracts.read_contracts(CONTRACTS, full=True)
    assert len(found) > 40
    assert [(contract.title, contract.flaw) for contract in found if contract.flaw] == []
    assert {id_ for contract in found for id_ in contract.requirements} <= set(known)
    needed = {id_ for id_, requirement in known.items() if "symbolic" in requirement.checks}
    assert needed <= {id_ for contract in found for id_ in contract.requirements}


def test_every_method_of_the_core_is_spoken_of():
    text = "".join(path.read_text("utf-8") for path in sorted(CONTRACTS.glob("proofs_*.py")))
    methods = [
        name for name in vars(Admission) if not name.startswith("_") and callable(getattr(Admission, name))
    ]
    assert len(methods) == 11
    assert [name for name in methods if f".{name}(" not in text and f".{name}," not in text] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[confirmed.nowhere]\nholds = []\n", "nowhere.py can't be read"),
        ("[confirmed.planted]\nholds = 3\n", "must be an array"),
        ("[surely.planted]\nholds = []\n", "unknown key"),
    ],
)
def test_a_malformed_list_is_refused(tmp_path, text, fault):
    write(tmp_path, {"planted": PLANTED}, text)
    with pytest.raises(SpecError, match=re.escape(fault)):
        contracts.read_contracts(tmp_path, full=False)


def test_the_command_tells_a_person_and_a_machine(monkeypatch, capsys):
    good = contracts.Contract("planted", "holds", contracts.CONFIRMED, ("LIMIT-1",))
    bad = contracts.Contract("planted", "wrong", contracts.CONFIRMED, ("LIMIT-2",))
    false = contracts.Contract("planted", "false", contracts.REFUTED, ())
    results = (
        check.Confirmation(good, "confirmed"),
        check.Confirmation(false, "refuted"),
        check.Confirmation(
            bad, "refuted", "counterexample: wrong(1)", "line 14: assert it.running + 1 < limit"
        ),
    )
    monkeypatch.setattr(symbolic, "check", lambda *_, **__: check.SymbolicResults(results, {}))
    assert main(["symbolic", "--json"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["status"] == "fail"
    assert found["covers"] == {"LIMIT-1": ["planted.holds"]}
    assert found["figures"]["confirmed over all paths"] == 1
    assert found["planted"] == {"planted.false": "false on purpose; refuted"}
    assert "REFUTED: planted.wrong (LIMIT-2)" in said.err
    assert "counterexample: wrong(1)\n  line 14: assert" in said.err


def test_without_crosshair_nothing_is_claimed(monkeypatch, capsys):
    monkeypatch.setattr(symbolic, "find_module", lambda _name: None)
    assert main(["symbolic"]) == 77
    assert "crosshair-tool" in capsys.readouterr().err
