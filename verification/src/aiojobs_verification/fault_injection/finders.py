"""The finders of seeded faults: each link of the chain that can be asked about one tree.

Rules of this file: every function here runs in a process of its own whose library is the tree in question
(`sandbox`), and answers with a plain dictionary: whether it has found something, by what, and for which
requirements that speaks. What is found must be claimed: a test that says that it speaks for one of the
requirements that the fault aims at, a statement of the proof that does, a counterexample in which the oracle says
so. A test that fails by accident, for another promise, has not found the fault.

How it works: what these functions use is what the steps of the chain use, cut down to the question. The
story of an explorer or fuzzer is told a second time to the unchanged library, which must not be impressed.

Deliberately not here: mutants, copies and time limits.
"""

# ruff: noqa: PLC0415 - each finder imports what it needs, in its own process, and nobody else's tools

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CONFORMANCE", "KILLED", "NOT_HERE", "PASSED", "SURVIVED"]

Answer: TypeAlias = dict[str, Any]

KILLED: Final = "killed"
SURVIVED: Final = "survived"
NOT_HERE: Final = "not here"
"""The finder can't be asked in this environment."""
PASSED: Final = "passed"

_PROOFS: Final = "verification/src/aiojobs_verification/symbolic/proofs"
CONFORMANCE: Final = ("tests/conformance/test_lifecycle_table.py", "tests/quality/test_survivors.py")
"""The tests that compare the tables with the reference machine, and with what was written down once more."""

_TABLE: Final = "proofs_lifecycle"
"""The contracts of the table itself, whatever requirement they speak for."""
_NOTHING_COLLECTED: Final = 5
_ADDRESS: Final = re.compile(r"0x[0-9a-f]+")
_WIDTH: Final = 160


def _killed(by: str, requirements: Iterable[str], story: str) -> Answer:
    first = next(iter(story.strip().splitlines()), "")
    return {
        "status": KILLED,
        "by": by,
        "requirements": sorted(requirements),
        "story": _ADDRESS.sub("0x…", first)[:_WIDTH],
    }


def _survived(story: str = "") -> Answer:
    return {"status": SURVIVED, "story": story}


# Link 1: the specification by itself, and the table against the reference machine.


def validate(folder: Path, _: Mapping[str, Any]) -> Answer:
    """The reader of the specification refuses it."""
    from aiojobs_verification.specification.errors import SpecError
    from aiojobs_verification.specification.load import load

    try:
        load(folder / "spec")
    except SpecError as error:
        return _killed("the validator", (), str(error))
    return _survived()


def conformance(_: Path, told: Mapping[str, Any]) -> Answer:
    """The table is not what it has to be; these tests speak for the table, and some for a requirement too."""
    return _tests({**told, "aims": None, "allowed": None, "files": CONFORMANCE})


# Link 2.


def prove(folder: Path, told: Mapping[str, Any]) -> Answer:
    """The proof refutes the counters."""
    from aiojobs_verification.smt.proof import prove as ask
    from aiojobs_verification.specification.load import load

    aims = set(told["aims"])
    for answer in ask(load(folder / "spec").scheduler).failures():
        claimed = aims & set(answer.statement.requirements)
        if claimed or not aims:
            return _killed(answer.statement.place, claimed, f"{answer.verdict}: {answer.title}")
    return _survived()


def counters(folder: Path, told: Mapping[str, Any]) -> Answer:
    """What becomes of some of the faults of the counters, by their numbers."""
    from aiojobs_verification.smt.mutate import mutants
    from aiojobs_verification.specification.load import load

    original = load(folder / "spec").scheduler
    wanted = set(told["numbers"])
    fates = {
        str(number): _fate(original, mutant, full=told["full"])
        for number, mutant in enumerate(mutants(original))
        if number in wanted
    }
    return {"status": PASSED, "fates": fates}


def _fate(original: Any, mutant: Any, *, full: bool) -> Answer:
    """What becomes of one; `full`: with all that it is refuted for, and not the first alone."""
    from aiojobs_verification.smt import mutate, proof
    from aiojobs_verification.smt.questions import Questions

    questions = Questions(mutant.spec, about={mutant.action} if mutant.action else None)
    answers = proof.answers(questions, questions)
    refuted = (answer for answer in answers if answer.verdict != proof.PROVED)
    if (first := next(refuted, None)) is not None:
        found = [first, *(refuted if full else ())]
        claimed = {id_ for answer in found for id_ in answer.statement.requirements}
        return _killed(first.statement.place, claimed, f"{first.verdict}: {first.title}")
    word = mutate.fate(original, mutant)
    if word == "refuted":
        return _killed("the interpreter", (), "an action never comes about")
    return {"status": word, "story": "z3: it does the same wherever the invariants hold"}


# Links 0 and 1: tests.


def test(_: Path, told: Mapping[str, Any]) -> Answer:
    """A test fails that speaks for a requirement that was aimed at."""
    if not told["files"]:
        return {"status": "error", "story": f"no test speaks for it: {', '.join(told['aims']) or 'no aims'}"}
    return _tests(told)


def _tests(told: Mapping[str, Any]) -> Answer:
    from aiojobs_verification.fault_injection.claims import ClaimedTests, run

    probe = ClaimedTests(told["aims"], told["allowed"])
    try:
        code = run(probe, ["-x", *told["files"]], full=told["full"])
    except Exception as error:  # noqa: BLE001 - what is left of a test that has failed may fail once more at the end
        code = 1
        probe.broken = probe.broken or repr(error)
    if probe.failure is not None:
        name, story = probe.failure
        return _killed(name, probe.claims.get(name, ()), story)
    if probe.broken:
        return {"status": "error", "story": f"the tests can't be read: {probe.broken}"}
    if not probe.outcomes:
        return {"status": "error", "story": f"no test speaks for it (pytest ended with {code})"}
    if code:
        return {"status": "error", "story": f"pytest ended with {code}, and no test failed"}
    return _survived(f"{len(probe.outcomes)} tests passed")


def claims(_: Path, told: Mapping[str, Any]) -> Answer:
    """The tests of the unchanged tree that speak for the requirements in question; none of them is run."""
    from aiojobs_verification.fault_injection.claims import ClaimedTests, run

    probe = ClaimedTests(told["aims"], None)
    code = run(probe, ["--collect-only", *told["files"]], full=told["full"])
    if probe.broken or code not in {0, _NOTHING_COLLECTED}:
        return {"status": "error", "story": probe.broken or f"pytest ended with {code}"}
    return {"status": PASSED, "tests": {name: claimed for name, claimed in probe.claims.items() if claimed}}


def confirm(_: Path, told: Mapping[str, Any]) -> Answer:
    """A test that has found a fault, in the unchanged tree, where it has to pass."""
    from aiojobs_verification.fault_injection.claims import PATIENCE, ClaimedTests, run

    probe = ClaimedTests(None, [told["test"]], seconds=10 * PATIENCE)
    code = run(probe, [told["test"].partition("::")[0]], full=told["full"])
    if probe.outcomes.get(told["test"]) == "passed" and not code:
        return {"status": PASSED}
    story = probe.broken or "; ".join(probe.failure or ()) or f"pytest ended with {code}"
    return {"status": "error", "story": story}


# Link 4.


def symbolic(folder: Path, told: Mapping[str, Any]) -> Answer:
    """CrossHair has a counterexample to a contract that speaks for a requirement that was aimed at."""
    from importlib.util import find_spec

    if find_spec("crosshair") is None:
        return {"status": NOT_HERE, "story": "crosshair-tool is not installed"}
    from aiojobs_verification.symbolic.check import check
    from aiojobs_verification.symbolic.contracts import CONFIRMED, read_contracts

    aims = set(told["aims"])
    contracts = [
        contract
        for contract in read_contracts(folder / _PROOFS, full=False)
        if contract.wanted == CONFIRMED
        and (aims & set(contract.requirements) if aims else contract.module == _TABLE)
    ]
    names = [contract.name for contract in contracts]
    account = check(folder, folder / _PROOFS, only=names)
    if account.faults:
        return {"status": "error", "story": account.faults[0]}
    refuted = [result for result in account.results if result.fault.startswith("counterexample")]
    if refuted:
        unchanged = Path(told["unchanged"])
        held = [result.contract.name for result in refuted]
        if not check(unchanged, unchanged / _PROOFS, only=held).holds:
            return {"status": "error", "story": f"not all of {held} hold of the unchanged library"}
        claimed = aims & {id_ for result in refuted for id_ in result.contract.requirements}
        return _killed(f"contract {refuted[0].contract.title}", claimed, refuted[0].fault)
    return _survived(f"{len(account.results)} contracts have no counterexample")


# Link 7.


def trace(folder: Path, told: Mapping[str, Any]) -> Answer:
    """A recorded run whose audit says that a requirement that was aimed at is broken."""
    from aiojobs_verification.specification.load import load
    from aiojobs_verification.trace_audit.replay import audit
    from aiojobs_verification.trace_audit.runs import RUNS, record

    spec, aims = load(folder / "spec"), set(told["aims"])
    others: dict[str, None] = {}
    for name, run in RUNS.items():
        try:
            lines = record(run).encode().splitlines(keepends=True)
        except Exception as error:  # noqa: BLE001 - a run that falls over claims nothing
            others[f"a run that fell over: {error!r}"] = None
            continue
        finding = audit(lines, spec).finding
        if finding is not None:
            if claimed := aims & set(finding.requirements):
                return _killed(f"trace: {name}", claimed, f"line {finding.line}: {finding.rule}")
            others |= dict.fromkeys(finding.requirements or (finding.rule,))
    return _survived(f"every recorded run obeys{', but for ' if others else ''}{', '.join(others)}")


# Link 5.


def explore(_: Path, told: Mapping[str, Any]) -> Answer:
    """A shortest story at whose end a requirement that was aimed at is broken."""
    from aiojobs_verification.simulation.world.world import Scope

    bounds: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in told["scope"].items()
    }
    findings, states = _explored(Scope(**bounds), set(told["aims"]), told["states"])
    claimed = [finding for requirement, finding in findings.items() if requirement in told["aims"]]
    if claimed:
        return _found("explore", claimed[0], told)
    others = f", but {', '.join(findings)}" if findings else ""
    return _survived(f"nothing in {states:,} states{others}")


class _Enough(Exception):  # noqa: N818 - not an error: what was looked for is found, or it is too far away
    """Explored far enough."""


def _explored(scope: Any, aims: set[str], most: int) -> tuple[dict[str, Any], int]:
    """Requirement -> a shortest story that breaks it, and how many states were looked at."""
    from aiojobs_verification.simulation.search.explorer import explore as search
    from aiojobs_verification.simulation.world.packages import own

    seen: list[Any] = []

    def far_enough(found: Any, states: int) -> None:
        seen[:] = [found, states]
        if aims & set(found.findings) or states >= most:
            raise _Enough

    for wanted in (1, len(aims) + 99):  # the first violation is nearly always the one; if not, those after it
        try:
            found = search(scope, own(), wanted=wanted, progress=far_enough)
            seen[:] = [found, found.states]
        except _Enough:
            pass
        if aims & set(seen[0].findings) or not seen[0].findings:
            break
    return seen[0].findings, seen[1]


# Link 6.


def fuzz(_: Path, told: Mapping[str, Any]) -> Answer:
    """A random walk at whose end a requirement that was aimed at is broken; the seeds are always the same."""
    from aiojobs_verification.simulation.search.walk import walk
    from aiojobs_verification.simulation.world.packages import own
    from aiojobs_verification.simulation.world.world import watching

    package, steps = own(), 0
    with watching():
        for number in range(told["walks"]):
            walked = walk(package, f"mutant {number}")
            steps += walked.steps
            for requirement, finding in walked.findings.items():
                if requirement in told["aims"]:
                    return _found("fuzz", finding, told)
    return _survived(f"nothing in {told['walks']} walks of {steps:,} steps")


def _found(finder: str, finding: Any, told: Mapping[str, Any]) -> Answer:
    """A story that the unchanged library passes: otherwise it tells nothing about the fault."""
    from aiojobs_verification.simulation.search.counterexample import replay
    from aiojobs_verification.simulation.world.packages import load

    unchanged = load(Path(told["unchanged"]) / "src" / "aiojobs", "unchanged")
    if (same := replay(finding.scope, unchanged, finding.events)) is not None:
        return {
            "status": "error",
            "story": f"the unchanged library breaks {same.requirement} too: {same.text}",
        }
    by = f"{finder}: a story of {len(finding.events)} events"
    return _killed(by, [finding.requirement], finding.text)
