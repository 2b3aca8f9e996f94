"""The chain of evidence as a table: which links it has, and which steps check them.

Rules of this file
    `LINKS` says what the chain consists of, built or not. `STEPS` is the chain as it stands: to add a check,
    add a row. A link, or a kind of check, that no row provides is not built, and the verdict says INCOMPLETE
    until it is.

    A step is a command of its own, run in a process of its own, from the root of the source tree. Nothing of
    one step reaches the next, and each can be repeated by hand with the command that its evidence names.

    A kind is the way in which a requirement was checked. ``spec/requirements.toml`` says for each requirement
    which kinds it needs; only a step of that kind can provide it.

Deliberately not here: how a step is run (`verify`), how its result is read (`findings`), what the results add
up to (`verdict`).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiojobs_verification.evidence import findings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiojobs_verification.evidence.evidence import Findings

TIERS: Final = ("smoke", "full")

PYTHON: Final = "{python}"
WRITTEN: Final = "{written}"


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain, and the kind of check that it provides for requirements ("" if none)."""

    number: int
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the chain: a command that can fail, and how to read what it leaves."""

    name: str
    link: int
    title: str
    command: tuple[str, ...]
    reader: Callable[[findings.Left], Findings]
    seconds: int = 120
    """The time budget; running out of it is a failure."""
    kind: str = ""
    """The kind of check it provides; "" if it speaks for no requirement."""
    tiers: tuple[str, ...] = TIERS
    needs: tuple[str, ...] = ()
    """Modules without which it is skipped."""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further arguments by tier."""

    def arguments(self, tier: str) -> tuple[str, ...]:
        """The command for a tier, its placeholders still in place."""
        return self.command + self.extra.get(tier, ())

    def repeat(self, tier: str) -> str:
        """The command as a person would type it at the root of the source tree."""
        words = (word for word in self.arguments(tier) if WRITTEN not in word)
        return "sh .ci/env " + shlex.join("python" if word == PYTHON else word for word in words)


@dataclass(frozen=True, slots=True)
class Chain:
    """Links and steps together: the table against which evidence is read."""

    links: Sequence[Link]
    steps: Sequence[Step]

    def due(self, tier: str) -> list[Step]:
        """The steps that a run of this tier has to have evidence of."""
        return [step for step in self.steps if tier in step.tiers]

    def kinds(self) -> tuple[str, ...]:
        """Every kind that some link provides, built or not, in the order of the links."""
        return tuple(link.kind for link in self.links if link.kind)

    def order(self, kind: str) -> tuple[int, str]:
        """The place of a kind among its like; what no link provides comes last."""
        kinds = self.kinds()
        return (kinds.index(kind) if kind in kinds else len(kinds), kind)


LINKS: Final = (
    Link(0, "test", "The ground: tests, types, packaging"),
    Link(1, "", "Well-formed specification, obeyed as it is written"),
    Link(2, "prove", "All limits, proved"),
    Link(3, "model", "Identities, model-checked"),
    Link(4, "symbolic", "Pure core, symbolically"),
    Link(5, "explore", "The real scheduler, exhaustively in small scopes"),
    Link(6, "fuzz", "The real scheduler, at random and far"),
    Link(7, "trace", "Traces of real runs"),
    Link(8, "mutant", "Teeth: every seeded fault is found"),
)


def _own(*arguments: str) -> tuple[str, ...]:
    return (PYTHON, "-m", "aiojobs_verification", *arguments)


def _pytest(*arguments: str) -> tuple[str, ...]:
    return (PYTHON, "-W", "error", *_COUNTED, "-m", "pytest", "-q", f"--evidence={WRITTEN}", *arguments)


# Each folder of tests is run once; what they execute adds up, and the step "coverage" looks at the sum.
_COUNTED: Final = ("-m", "coverage", "run", "--append")
# A run for every commit leaves out the tests that take seconds, as `make test` does; the full tier has them.
_NO_SLOW_ONES: Final = {"smoke": ("-m", "not slow")}
_FOR_TESTS: Final = (
    "aiohttp", "coverage", "hypothesis", "jsonschema", "pytest", "pytest_asyncio", "transitions", "z3",
)  # fmt: skip

STEPS: Final = (
    Step(
        "spec", 1, "the specification files are well-formed and linked",
        _own("validate"), findings.exit_code,
    ),
    Step(
        "generated", 1, "the generated table is the one that the specification gives",
        _own("generate", "--check"), findings.exit_code,
    ),
    Step(
        "drawn", 1, "the pictures and tables of the documentation are the specification's",
        _own("draw", "--check"), findings.exit_code,
    ),
    Step(
        "conformance", 1, "every state and event: the library does what the reference machine does",
        _pytest("tests/conformance", "--hypothesis-seed=0"), findings.tests("test"), kind="test",
        seconds=300, needs=_FOR_TESTS, extra=_NO_SLOW_ONES,
    ),
    Step(
        "proofs", 2, "the invariants hold for every limit and pending limit",
        _own("prove", "--json"), findings.document("prove"), kind="prove", needs=("z3",),
    ),
    Step(
        "model", 3, "the model with named jobs: two engines agree on its states, and find each fault",
        _own("check", "--json"), findings.document("model"), kind="model", seconds=900,
        extra={tier: ("--tier", tier) for tier in TIERS},
    ),
    Step(
        "symbolic", 4, "the pure core keeps its contracts over all paths",
        _own("symbolic", "--json"), findings.document("symbolic"), kind="symbolic", seconds=180,
        extra={"full": ("--tier", "full")}, needs=("crosshair", "z3"),
    ),
    Step(
        "tests", 0, "the other tests, a warning being an error",
        _pytest(
            "tests", "--ignore=tests/conformance", "--ignore=tests/packaging", "--hypothesis-seed=0"
        ),
        findings.tests("test"), kind="test", seconds=600, needs=_FOR_TESTS, extra=_NO_SLOW_ONES,
    ),
    Step(
        "packaging", 0, "the wheel, installed where nothing else is, works and carries the specification",
        _pytest("tests/packaging"), findings.tests("test"), kind="test", seconds=300,
        needs=(*_FOR_TESTS, "build", "hatchling"),
    ),
    Step(
        "exploration", 5, "the real scheduler, run through every sequence of outside events up to the bounds",
        _own("explore", "--json"), findings.document("explore"), kind="explore", seconds=2400,
        extra={"full": ("--tier", "full")}, needs=("transitions",),
    ),
    Step(
        "fuzzing", 6, "the real scheduler, driven at random and far",
        _own("fuzz", "--json"), findings.document("fuzz"), kind="fuzz", seconds=1500,
        extra={tier: ("--tier", tier) for tier in TIERS}, needs=("hypothesis", "uvloop"),
    ),
    Step(
        "traces", 7, "recorded runs obey the specification, and corrupted copies of them are rejected",
        _own("audit", "--demo", "--json"), findings.document("trace"), kind="trace", seconds=600,
        extra={"full": ("--tier", "full")}, needs=("aiohttp",),
    ),
    Step(
        "mutants", 8, "seeded faults in table, counters, core and shell are found by a link that should",
        _own("mutants", "--json"), findings.document("mutant"), kind="mutant", seconds=1500,
        extra={"full": ("--tier", "full")},
        needs=("pytest", "pytest_asyncio", "hypothesis", "z3", "crosshair", "aiohttp"),
    ),
    Step(
        "baseline", 8, "aiojobs 1.4.0, the natural mutant, is caught by exploration and fuzzing",
        _own("mutants", "--baseline", "--json"), findings.document("mutant"), seconds=300,
    ),
    Step(
        "coverage", 0, "the tests execute every branch of the runtime",
        (PYTHON, "-m", "coverage", "json", "-q", f"-o{WRITTEN}"), findings.coverage, needs=("coverage",),
    ),
    Step("ruff", 0, "lint", (PYTHON, "-m", "ruff", "check", "."), findings.exit_code, needs=("ruff",)),
    Step(
        "mypy", 0, "types, strictly",
        (PYTHON, "-m", "mypy"), findings.exit_code, seconds=300, needs=("mypy",),
    ),
    Step(
        "pyright", 0, "types, by a second opinion",
        (PYTHON, "-m", "pyright", "--warnings"), findings.exit_code, seconds=300, needs=("pyright",),
    ),
)  # fmt: skip

CHAIN: Final = Chain(LINKS, STEPS)
