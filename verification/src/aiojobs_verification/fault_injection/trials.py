"""Trials of seeded faults: each goes to its finders, one after the other, until one finds it.

Rules of this file: the unchanged tree goes first. A fault is killed when a check that passes on the
unchanged tree fails on the changed one and claims a requirement that the fault aims at. A check that does
not come back has found nothing, unless the fault says that it makes it hang.

How it works: a `Trial` is a fault and what its finders have said so far. `next_finder` says whom to ask next:
in the smoke tier until somebody finds it; in the full tier a listed mutant has to be found by every finder
that it names.

Deliberately not here: what the verdicts add up to (`mutants`), and how a finder looks (`finders`).
"""

from __future__ import annotations

import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.codegen.lifecycle import derived
from aiojobs_verification.fault_injection import finders
from aiojobs_verification.fault_injection.catalogue import KINDS, Catalogue, Fault
from aiojobs_verification.fault_injection.operators import made
from aiojobs_verification.fault_injection.sandbox import ERROR, TIMEOUT, Attempt, Sandbox
from aiojobs_verification.smt import mutate
from aiojobs_verification.specification.load import FILES, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aiojobs_verification.fault_injection.finders import Answer

__all__ = ["BaselineError", "Trial", "Trials", "everything", "trials"]

_SECONDS: Final = {"validate": 60, "prove": 120, "symbolic": 600, "trace": 60, "explore": 600, "fuzz": 300}
"""What a finder may take, however busy the machine is."""
_PATIENT: Final = 300
"""What tests may take; each of them has so many seconds of its own (`claims`)."""
_HANGING: Final = 15
"""What it may take for a fault of which a hang is expected."""
_STATES: Final = 20_000
"""How many states the explorer looks at before it gives a fault up."""
_WALKS: Final = 1500
"""How many random walks the fuzzer takes before it gives a fault up."""
_CHUNK: Final = 40
"""So many mutants of the counters are asked about in one process."""


class BaselineError(Exception):
    """Something is wrong with the unchanged tree, so nothing can be said about mutants."""


@dataclass(slots=True)
class Trial:
    """A mutant and what was said of it: finder -> answer."""

    fault: Fault
    each: bool
    """Whether every finder is to be asked."""
    said: dict[str, Answer] = field(default_factory=dict)

    def next_finder(self) -> str | None:
        """Whom to ask next; None if it is clear what became of the fault."""
        if self.fault.stale or (self.killers and not self.each):
            return None
        if any(answer["status"] == ERROR for answer in self.said.values()):
            return None
        return next((finder for finder in self.fault.found_by if finder not in self.said), None)

    @property
    def killers(self) -> list[tuple[str, Answer]]:
        """The finders that have found it, with their answers."""
        return [
            (finder, answer) for finder, answer in self.said.items() if answer["status"] == finders.KILLED
        ]

    @property
    def verdict(self) -> str:
        """In one word; only `killed` and `equivalent` are good news."""
        if self.fault.stale:
            return "stale"
        statuses = {finder: answer["status"] for finder, answer in self.said.items()}
        if {ERROR, TIMEOUT} & set(statuses.values()):
            return "error"
        if self.fault.equivalent:
            return "argued wrongly" if self.killers else "equivalent"
        if "equivalent" in statuses.values():
            return "equivalent"
        if not self.killers:
            return "not tried" if set(statuses.values()) <= {finders.NOT_HERE} else "survived"
        return "missed" if self.each and finders.SURVIVED in statuses.values() else "killed"

    def found(self) -> Iterator[tuple[str, str]]:
        """The requirements for which it was found, and the kinds of check that have found it by themselves."""
        for finder, answer in self.killers:
            yield from ((requirement, KINDS[finder]) for requirement in answer["requirements"])

    @property
    def covers(self) -> list[str]:
        """The requirements for which somebody has found it."""
        return sorted({id_ for _, answer in self.killers for id_ in answer["requirements"]})

    def remark(self) -> str:
        """Who found it and how, or what else there is to say."""
        if self.fault.stale:
            return self.fault.stale
        if self.verdict == "equivalent" and self.fault.equivalent:
            return self.fault.equivalent
        wanted = finders.KILLED if self.verdict in {"killed", "argued wrongly"} else None
        said = [
            f"{answer.get('by', finder)}: {answer.get('story', '')}".strip(": ")
            for finder, answer in self.said.items()
            if wanted in {None, answer["status"]}
        ]
        return "; ".join(said)


def everything(catalogue: Catalogue, root: Path) -> list[Fault]:
    """All faults, in an order that depends on the files alone."""
    return [
        *catalogue.listed,
        *catalogue.argued([fault for target in catalogue.targets for fault in made(target, root)]),
        *_of_counters(catalogue, root),
    ]


def trials(faults: Iterable[Fault], *, full: bool) -> list[Trial]:
    """Those that belong to the tier; what is stale belongs to each."""
    return [Trial(fault, fault.each and full) for fault in faults if full or fault.smoke or fault.stale]


def _of_counters(catalogue: Catalogue, root: Path) -> Iterator[Fault]:
    if not catalogue.counters_every:
        return
    for number, changed in enumerate(mutate.mutants(load(root / "spec").scheduler)):
        name = f"{changed.place}: {changed.text}"
        smoke = number % catalogue.counters_every == 0
        yield Fault(name, "counters", name, (), ("prove",), smoke=smoke, number=number)


class Trials:
    """Tries mutants in a sandbox, and says how it goes on."""

    def __init__(
        self,
        catalogue: Catalogue,
        sandbox: Sandbox,
        *,
        full: bool,
        workers: int,
        tell: Callable[[str], object],
    ) -> None:
        self._catalogue = catalogue
        self._sandbox = sandbox
        self._full = full
        self._workers = workers
        self._tell = tell
        self._tests: dict[str, list[str]] = {}
        """Test -> the requirements that it speaks for."""
        self._confirming: set[str] = set()
        """The tests that have found something, and that pass on the unchanged tree or will be asked to."""

    def judge(self, tried: Sequence[Trial]) -> None:
        """Ask the finders about each of them, the unchanged tree first.

        Raises:
            BaselineError: the unchanged tree does not pass.
        """
        self._ask_about_unchanged(tried)
        self._ask_about_counters(tried)
        self._ask_about_text(tried)
        if not self._sandbox.intact():
            raise BaselineError("something has written to the unchanged tree: no answer can be relied on")

    # The unchanged tree.

    def _ask_about_unchanged(self, tried: Sequence[Trial]) -> None:
        fresh = [trial.fault for trial in tried if not trial.fault.stale]
        asked = {finder for fault in fresh for finder in fault.found_by}
        aims = {aim for fault in fresh for aim in fault.breaks}
        tasks = deque(self._checks_of_unchanged(asked, sorted(aims)))
        claimed: dict[str, dict[str, list[str]]] = {}
        for task, answer in self._run(tasks, lambda: "the unchanged tree goes first"):
            claimed[task.name] = answer.get("tests", {})
            if answer["status"] not in {finders.PASSED, finders.SURVIVED, finders.NOT_HERE}:
                story = answer["story"] if "by" not in answer else f"{answer['by']}: {answer['story']}"
                raise BaselineError(f"{task.name} does not pass on the unchanged tree:\n{story}")
        for folder in self._catalogue.tests:  # in this order, whoever was first
            self._tests |= claimed.get(folder, {})

    def _checks_of_unchanged(self, asked: set[str], aims: list[str]) -> Iterator[Attempt]:
        told: dict[str, Any] = {"aims": [], "full": self._full}
        for finder in ("validate", "prove", "conformance", "trace"):
            if finder in asked:
                yield Attempt(finder, finder, told, _SECONDS.get(finder, _PATIENT), in_base=True)
        if "test" in asked:
            for folder in self._catalogue.tests:
                yield Attempt(
                    folder, "claims", told | {"aims": aims, "files": [folder]}, _PATIENT, in_base=True
                )

    # Faults of the counters, many at a time.

    def _ask_about_counters(self, tried: Sequence[Trial]) -> None:
        waiting = {trial.fault.number: trial for trial in tried if trial.fault.number >= 0}
        numbers = list(waiting)
        tasks = deque(
            Attempt(
                waiting[numbers[start]].fault.name,
                "counters",
                {"numbers": numbers[start : start + _CHUNK], "full": self._full},
                300,
            )
            for start in range(0, len(numbers), _CHUNK)
        )
        for task, answer in self._run(tasks, lambda: _standing(tried)):
            for number in task.told["numbers"]:
                waiting[number].said["prove"] = answer.get("fates", {}).get(str(number), answer)

    # The others, one by one.

    def _ask_about_text(self, tried: Sequence[Trial]) -> None:
        tasks: deque[Attempt] = deque()
        waiting: dict[int, tuple[Trial, str]] = {}

        def ask(trial: Trial) -> None:
            finder = trial.next_finder()
            if finder is not None:
                task = self._task(trial, finder)
                waiting[id(task)] = trial, finder
                tasks.append(task)

        for trial in tried:
            if trial.fault.number < 0:
                ask(trial)
        for task, answer in self._run(tasks, lambda: _standing(tried)):
            if id(task) not in waiting:
                self._confirmed(task, answer)
                continue
            trial, finder = waiting.pop(id(task))
            hangs = answer["status"] == TIMEOUT and trial.fault.hangs
            found = {"status": finders.KILLED, "by": finder, "requirements": list(trial.fault.breaks)}
            trial.said[finder] = answer | found if hangs else answer
            tasks += self._confirmation(finder, trial.said[finder])
            ask(trial)

    def _confirmation(self, finder: str, answer: Answer) -> Iterator[Attempt]:
        """Have the test that has found a fault pass on the unchanged tree, once."""
        test = answer.get("by", "")
        if finder == "test" and answer["status"] == finders.KILLED and test not in self._confirming:
            self._confirming.add(test)
            told = {"test": test, "full": self._full}
            yield Attempt(test, "confirm", told, _PATIENT, in_base=True)

    def _confirmed(self, task: Attempt, answer: Answer) -> None:
        if answer["status"] != finders.PASSED:
            raise BaselineError(f"{task.name} does not pass on the unchanged tree:\n{answer['story']}")

    def _task(self, trial: Trial, finder: str) -> Attempt:
        fault = trial.fault
        seconds = _HANGING if fault.hangs else _SECONDS.get(finder, _PATIENT)
        files = dict(fault.files)
        if fault.group == "table" and finder != "validate":
            files |= _derived(fault, self._sandbox.base)
        return Attempt(fault.name, finder, self._told(fault, finder), seconds, files)

    def _told(self, fault: Fault, finder: str) -> dict[str, Any]:
        told: dict[str, Any] = {"aims": list(fault.breaks), "full": self._full}
        if finder == "test":
            allowed = [test for test, claims in self._tests.items() if set(claims) & set(fault.breaks)]
            told |= {
                "allowed": allowed,
                "files": list(dict.fromkeys(test.partition("::")[0] for test in allowed)),
            }
        if finder == "explore":
            told |= {"scope": self._catalogue.scopes[fault.scope], "states": _STATES}
        if finder in {"symbolic", "explore", "fuzz"}:
            told |= {"walks": _WALKS, "unchanged": str(self._sandbox.base)}
        return told

    def _run(self, tasks: deque[Attempt], standing: Callable[[], str]) -> Iterator[tuple[Attempt, Answer]]:
        for news in self._sandbox.run(tasks, self._workers):
            if news is not None:
                yield news
            elif self._sandbox.at_work:
                self._tell(f"{standing()}; now: {self._sandbox.at_work[0]}")


def _standing(tried: Sequence[Trial]) -> str:
    over = [
        trial.verdict for trial in tried if (trial.said or trial.fault.stale) and trial.next_finder() is None
    ]
    bad = len(over) - over.count("killed") - over.count("equivalent")
    survived = f", {bad} NOT FOUND" if bad else ""
    return f"{over.count('killed')} killed of {len(over)} tried of {len(tried)}{survived}"


def _derived(fault: Fault, root: Path) -> Mapping[str, str]:
    """What is generated from the specification with this fault, so that the whole tree has it."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        (tree / "spec").mkdir()
        for file in FILES:
            (tree / "spec" / file).write_bytes((root / "spec" / file).read_bytes())
        for name, text in fault.files.items():
            (tree / name).write_text(text, encoding="utf-8")
        return {str(path.relative_to(tree)): text for path, text in derived(tree).items()}
