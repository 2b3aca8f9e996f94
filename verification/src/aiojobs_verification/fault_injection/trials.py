"""Mutants on trial: each shown to its links, one after the other, until it is clear what became of it.

Rules of this file: the unchanged tree goes first. A mutant is killed when a check that passes on the
unchanged tree fails on the changed one and claims a requirement that the mutant aims at. A check that does
not come back has found nothing, unless the mutant says that it makes it hang.

How it works: a `Trial` is a mutant and what its links have said so far. `next_link` says whom to ask next:
in the smoke tier until somebody finds it; in the full tier a listed mutant has to be found by every link
that it names.

Deliberately not here: what the verdicts add up to (`mutants`), and how a link looks (`killers`).
"""

from __future__ import annotations

import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.cli.generate import derived
from aiojobs_verification.fault_injection import killers
from aiojobs_verification.fault_injection.catalogue import Catalogue, Mutant
from aiojobs_verification.fault_injection.operators import made
from aiojobs_verification.fault_injection.sandbox import ERROR, TIMEOUT, Sandbox, Task
from aiojobs_verification.smt import mutate
from aiojobs_verification.specification.load import FILES, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aiojobs_verification.fault_injection.killers import Answer

__all__ = ["BaselineError", "Court", "Trial", "trials"]

_SECONDS: Final = {"validate": 60, "prove": 120, "symbolic": 600, "explore": 600, "fuzz": 300}
"""What a link may take; a test, 60."""
_HANGING: Final = 15
"""What it may take for a mutant of which a hang is expected."""
_STATES: Final = 20_000
"""How many states the explorer looks at before it gives a mutant up."""
_WALKS: Final = 1500
"""How many random walks the fuzzer takes before it gives a mutant up."""
_CHUNK: Final = 40
"""So many mutants of the counters are asked about in one process."""


class BaselineError(Exception):
    """Something is wrong with the unchanged tree, so nothing can be said about mutants."""


@dataclass(slots=True)
class Trial:
    """A mutant and what was said of it: link -> answer."""

    mutant: Mutant
    each: bool
    """Whether every link is to be asked."""
    said: dict[str, Answer] = field(default_factory=dict)

    def next_link(self) -> str | None:
        """Whom to ask next; None if it is clear what became of the mutant."""
        if self.said and not self.each and self.killers:
            return None
        if any(answer["status"] == ERROR for answer in self.said.values()):
            return None
        return next((link for link in self.mutant.links if link not in self.said), None)

    @property
    def killers(self) -> list[tuple[str, Answer]]:
        """The links that have found it, with their answers."""
        return [(link, answer) for link, answer in self.said.items() if answer["status"] == killers.KILLED]

    @property
    def verdict(self) -> str:
        """In one word; only `killed` and `equivalent` are good news."""
        statuses = {link: answer["status"] for link, answer in self.said.items()}
        if {ERROR, TIMEOUT} & set(statuses.values()):
            return "error"
        if self.mutant.equivalent:
            return "argued wrongly" if self.killers else "equivalent"
        if "equivalent" in statuses.values():
            return "equivalent"
        if not self.killers:
            return "not tried" if set(statuses.values()) <= {killers.NOT_HERE} else "survived"
        return "missed" if self.each and killers.SURVIVED in statuses.values() else "killed"

    @property
    def covers(self) -> list[str]:
        """The requirements for which somebody has found it."""
        return sorted({id_ for _, answer in self.killers for id_ in answer["requirements"]})

    def remark(self) -> str:
        """Who found it and how, or what else there is to say."""
        if self.verdict == "equivalent" and self.mutant.equivalent:
            return self.mutant.equivalent
        wanted = killers.KILLED if self.verdict in {"killed", "argued wrongly"} else None
        said = [
            f"{answer.get('by', link)}: {answer.get('story', '')}".strip(": ")
            for link, answer in self.said.items()
            if wanted in {None, answer["status"]}
        ]
        return "; ".join(said)


def trials(catalogue: Catalogue, root: Path, *, full: bool) -> list[Trial]:
    """Everything that is to be tried, in an order that depends on the files alone."""
    mutants = [
        *catalogue.argued([mutant for system in catalogue.systems for mutant in made(system, root)]),
        *_of_counters(catalogue, root),
        *catalogue.listed,
    ]
    return [Trial(mutant, mutant.each and full) for mutant in mutants if full or mutant.smoke]


def _of_counters(catalogue: Catalogue, root: Path) -> Iterator[Mutant]:
    if not catalogue.counters_every:
        return
    for number, mutant in enumerate(mutate.mutants(load(root / "spec").scheduler)):
        name = f"{mutant.place}: {mutant.text}"
        smoke = number % catalogue.counters_every == 0
        yield Mutant(name, "counters", name, (), (), ("prove",), smoke=smoke, number=number)


class Court:
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
        """Test that passed on the unchanged tree -> the requirements that it speaks for."""

    def judge(self, on_trial: Sequence[Trial]) -> None:
        """Ask the links about each of them, the unchanged tree first.

        Raises:
            BaselineError: the unchanged tree does not pass.
        """
        self._ask_about_unchanged(on_trial)
        self._ask_about_counters(on_trial)
        self._ask_about_text(on_trial)
        if not self._sandbox.intact():
            raise BaselineError("something has written to the unchanged tree: no answer can be relied on")

    # The unchanged tree.

    def _ask_about_unchanged(self, on_trial: Sequence[Trial]) -> None:
        links = {link for trial in on_trial for link in trial.mutant.links}
        aims = {aim for trial in on_trial for aim in trial.mutant.aims}
        tasks = deque(self._checks_of_unchanged(links, sorted(aims)))
        passed: dict[str, dict[str, list[str]]] = {}
        for task, answer in self._run(tasks, lambda: "the unchanged tree goes first"):
            passed[task.name] = answer.get("tests", {})
            if answer["status"] not in {killers.PASSED, killers.SURVIVED, killers.NOT_HERE}:
                story = answer["story"] if "by" not in answer else f"{answer['by']}: {answer['story']}"
                raise BaselineError(f"{task.name} does not pass on the unchanged tree:\n{story}")
        for folder in self._catalogue.tests:  # in this order, whoever was first
            self._tests |= passed.get(folder, {})

    def _checks_of_unchanged(self, links: set[str], aims: list[str]) -> Iterator[Task]:
        for link in ("validate", "prove", "conformance"):
            if link in links:
                told: dict[str, Any] = {"aims": [], "full": self._full}
                yield Task(link, link, told, _SECONDS.get(link, 60), in_base=True)
        if "test" in links:
            for folder in self._catalogue.tests:
                told = {"aims": aims, "files": [folder], "full": self._full}
                yield Task(folder, "baseline", told, 300, in_base=True)

    # Mutants of the counters, many at a time.

    def _ask_about_counters(self, on_trial: Sequence[Trial]) -> None:
        waiting = {trial.mutant.number: trial for trial in on_trial if trial.mutant.kind == "counters"}
        numbers = list(waiting)
        tasks = deque(
            Task(
                waiting[numbers[start]].mutant.name,
                "counters",
                {"numbers": numbers[start : start + _CHUNK]},
                300,
            )
            for start in range(0, len(numbers), _CHUNK)
        )
        for task, answer in self._run(tasks, lambda: _standing(on_trial)):
            for number in task.told["numbers"]:
                waiting[number].said["prove"] = answer.get("fates", {}).get(str(number), answer)

    # Mutants that are a change of text, one by one.

    def _ask_about_text(self, on_trial: Sequence[Trial]) -> None:
        tasks: deque[Task] = deque()
        waiting: dict[int, tuple[Trial, str]] = {}

        def ask(trial: Trial) -> None:
            link = trial.next_link()
            if link is not None:
                task = self._task(trial, link)
                waiting[id(task)] = trial, link
                tasks.append(task)

        for trial in on_trial:
            if trial.mutant.kind != "counters":
                ask(trial)
        for task, answer in self._run(tasks, lambda: _standing(on_trial)):
            trial, link = waiting.pop(id(task))
            hangs = answer["status"] == TIMEOUT and trial.mutant.hangs
            found = {"status": killers.KILLED, "by": link, "requirements": list(trial.mutant.aims)}
            trial.said[link] = answer | found if hangs else answer
            ask(trial)

    def _task(self, trial: Trial, link: str) -> Task:
        mutant = trial.mutant
        seconds = _HANGING if mutant.hangs else _SECONDS.get(link, 60)
        files = _derived(mutant, self._sandbox.base) if mutant.kind == "table" and link != "validate" else {}
        return Task(mutant.name, link, self._told(mutant, link), seconds, mutant.edits, files)

    def _told(self, mutant: Mutant, link: str) -> dict[str, Any]:
        told: dict[str, Any] = {"aims": list(mutant.aims), "full": self._full}
        if link == "test":
            allowed = [test for test, claims in self._tests.items() if set(claims) & set(mutant.aims)]
            told |= {
                "allowed": allowed,
                "files": list(dict.fromkeys(test.partition("::")[0] for test in allowed)),
            }
        if link == "explore":
            told |= {"scope": self._catalogue.scopes[mutant.scope], "states": _STATES}
        if link in {"symbolic", "explore", "fuzz"}:
            told |= {"walks": _WALKS, "unchanged": str(self._sandbox.base)}
        return told

    def _run(self, tasks: deque[Task], standing: Callable[[], str]) -> Iterator[tuple[Task, Answer]]:
        for news in self._sandbox.run(tasks, self._workers):
            if news is not None:
                yield news
            elif self._sandbox.at_work:
                self._tell(f"{standing()}; now: {self._sandbox.at_work[0]}")


def _standing(on_trial: Sequence[Trial]) -> str:
    over = [trial.verdict for trial in on_trial if trial.said and trial.next_link() is None]
    bad = len(over) - over.count("killed") - over.count("equivalent")
    survived = f", {bad} NOT FOUND" if bad else ""
    return f"{over.count('killed')} killed of {len(over)} tried of {len(on_trial)}{survived}"


def _derived(mutant: Mutant, root: Path) -> Mapping[str, str]:
    """What is generated from the specification with this fault, so that the whole tree has it."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        (tree / "spec").mkdir()
        for file in FILES:
            (tree / "spec" / file).write_bytes((root / "spec" / file).read_bytes())
        for edit in mutant.edits:
            path = tree / edit.file
            path.write_text(edit.applied(path.read_text(encoding="utf-8")), encoding="utf-8")
        return {str(path.relative_to(tree)): text for path, text in derived(tree).items()}
