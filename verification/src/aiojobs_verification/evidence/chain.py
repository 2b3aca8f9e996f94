"""The chain of evidence as a table: which links it has, and which steps check them.

Rules of this file
    `LINKS` says what the chain consists of, built or not. `STEPS` is the chain as it stands: to add a check,
    add a row. A link, or a kind of check, that no row provides is not built, and the verdict says INCOMPLETE
    until it is.

    A step is a command of its own, run in a process of its own, from the root of the source tree. Each can be
    repeated by hand with the command that its evidence names. Nothing of one step reaches another unless that
    one names it in `after`.

    `STEPS` stands in the order of the links, in which the report tells it. `ORDER` is the order in which steps
    begin: first what says the most in the least time, then what takes longest, so that no core idles at the
    end.

    The library has two builds of one text. A step that runs the library is there once for each of them
    (`both`), and what it leaves must say that it was this one. A run of the smoke tier has the steps of one
    build, the full tier those of both. All other steps look at the text, or at its pure build: seeded faults
    are changes of the text.

    A kind is the way in which a requirement was checked. ``spec/requirements.toml`` says for each requirement
    which kinds it needs; only a step of that kind can provide it.

Deliberately not here: how a step is run (`verify`), how its result is read (`findings`), what the results add
up to (`verdict`).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.evidence import findings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from aiojobs_verification.evidence.evidence import Findings

TIERS: Final = ("smoke", "full")
PURE: Final = "pure"
COMPILED: Final = "compiled"
BUILDS: Final = (PURE, COMPILED)

PYTHON: Final = "{python}"
WRITTEN: Final = "{written}"
CORES: Final = "{cores}"


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
    seconds: int = 3600
    """The time budget. What runs out of it is not finished, which is neither a pass nor a failure."""
    kind: str = ""
    """The kind of check it provides; "" if it speaks for no requirement."""
    tiers: tuple[str, ...] = TIERS
    needs: tuple[str, ...] = ()
    """Modules without which it is skipped."""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further arguments by tier."""
    spread: tuple[str, ...] = ()
    """The arguments that give it one process for each core."""
    failfast: tuple[str, ...] = ()
    """The arguments that make it stop at the first failure."""
    after: tuple[str, ...] = ()
    """Steps that must have ended before it begins."""
    build: str = ""
    """The build of the library that it runs; "" if the builds make no difference to it."""

    def due(self, tier: str, builds: Collection[str]) -> bool:
        """Whether a run of this tier, on these builds, has to have evidence of it."""
        return tier in self.tiers and self.build in {"", *builds}

    def arguments(self, tier: str) -> tuple[str, ...]:
        """The command for a tier, its placeholders still in place."""
        return (*(_COMPILING if self.build == COMPILED else ()), *self.command, *self.extra.get(tier, ()))

    def repeat(self, tier: str) -> str:
        """The command as a person would type it at the root of the source tree."""
        words = (*self.command, *self.extra.get(tier, ()))
        words = tuple(word for word in words if not word.endswith(WRITTEN))
        words = tuple("python" if word == PYTHON else word.replace(WRITTEN, "/dev/stdout") for word in words)
        return self.by_hand("sh .ci/env " + shlex.join(words))

    def by_hand(self, command: str) -> str:
        """A command of a person, for the build that this step runs."""
        return f"BUILD={COMPILED} {command}" if self.build == COMPILED else command


@dataclass(frozen=True, slots=True)
class Chain:
    """Links and steps together: the table against which evidence is read."""

    links: Sequence[Link]
    steps: Sequence[Step]

    def due(self, tier: str, builds: Collection[str] = BUILDS) -> list[Step]:
        """The steps that a run of this tier, on these builds, has to have evidence of."""
        return [step for step in self.steps if step.due(tier, builds)]

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


def _pytest(*arguments: str, measured: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Tests; what they execute is counted if it is said what is measured."""
    counted = () if measured is None else (*_COUNTED, *measured)
    return (PYTHON, "-W", "error", *counted, *_TESTED, *arguments)


def _pytests(*arguments: str) -> dict[str, tuple[str, ...]]:
    """By build. Of what is compiled no line is seen to be executed, so the pure build alone is measured."""
    return {PURE: _pytest(*arguments, measured=_LIBRARY), COMPILED: _pytest(*arguments)}


def _owns(*arguments: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(BUILDS, _own(*arguments))


def _both(
    name: str,
    link: int,
    title: str,
    commands: Mapping[str, tuple[str, ...]],
    reader: Callable[[findings.Left], Findings],
    *,
    needs: tuple[str, ...],
    **more: Any,
) -> tuple[Step, Step]:
    """A step for each build of the library."""
    compiled = f"{name}-compiled"
    return (
        Step(name, link, title, commands[PURE], findings.on_build(PURE, reader), needs=needs, build=PURE, **more),
        Step(
            compiled, link, f"the same, compiled: {title}", commands[COMPILED],
            findings.on_build(COMPILED, reader), needs=(*needs, *_TO_COMPILE), build=COMPILED, **more,
        ),
    )  # fmt: skip


def _coverage(*measured: str) -> tuple[str, ...]:
    """What the steps under one file of data executed, together."""
    combined = f"python -m coverage combine --keep -q {' '.join(measured)}"
    return ("sh", "-c", f"{combined} && python -m coverage json -q {' '.join(measured)} -o '{WRITTEN}'")


_TESTED: Final = ("-m", "pytest", "-q", f"--evidence={WRITTEN}", "--hypothesis-seed=0")
# Tests run side by side, so each step counts into a file of its own; a step "coverage" looks at the sum.
_COUNTED: Final = ("-m", "coverage", "run", "--parallel-mode")
_COMPILING: Final = (PYTHON, "hatch_compile.py")
_TO_COMPILE: Final = ("Cython", "hatchling", "setuptools")
_LIBRARY: Final[tuple[str, ...]] = ()  # what pyproject.toml names
_CHECKERS: Final = ("--source=verification/src/aiojobs_verification", "--data-file=build/coverage/checkers")
_CHECKERS_FLOOR: Final = 85
"""Percent of the lines and branches of the verification that its own tests execute, as far as was reached."""
# A run for every commit leaves out the tests that take seconds, as `make test` does; the full tier has them.
_NO_SLOW_ONES: Final = {"smoke": ("-m", "not slow")}
_FIRST_ONE: Final = ("--maxfail=1",)
_FOR_TESTS: Final = (
    "aiohttp", "coverage", "fastapi", "httpx2", "hypothesis", "jsonschema", "pytest", "pytest_asyncio", "starlette",
    "transitions", "uvicorn", "z3",
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
    *_both(
        "conformance", 1, "every state and event: the library does what the reference machine does",
        _pytests("tests/conformance"), findings.tests("test"), needs=_FOR_TESTS, kind="test",
        extra=_NO_SLOW_ONES, failfast=_FIRST_ONE,
    ),
    Step(
        "proofs", 2, "the invariants hold for every limit and pending limit",
        _own("prove", "--json"), findings.document("prove"), kind="prove", needs=("z3",),
    ),
    Step(
        "model", 3, "the model with named jobs: TLC finds each rule kept, and each fault",
        _own("check", "--json"), findings.document("model"), kind="model",
        extra={tier: ("--tier", tier) for tier in TIERS}, spread=("--workers", CORES),
    ),
    Step(
        "symbolic", 4, "the pure core keeps its contracts over all paths",
        _own("symbolic", "--json"), findings.document("symbolic"), kind="symbolic",
        extra={"full": ("--tier", "full")}, needs=("crosshair", "z3"), spread=("--jobs", CORES),
    ),
    *_both(
        "unit", 0, "what each public name promises, a warning being an error",
        _pytests("tests/unit", "tests/testing", "tests/regression"), findings.tests("test"), needs=_FOR_TESTS,
        kind="test", extra=_NO_SLOW_ONES, failfast=_FIRST_ONE,
    ),
    *_both(
        "tests", 0, "the other tests of the library, a warning being an error",
        _pytests(
            "tests",
            *(f"--ignore=tests/{one}" for one in ("conformance", "unit", "testing", "regression", "packaging")),
        ),
        findings.tests("test"), needs=_FOR_TESTS, kind="test", extra=_NO_SLOW_ONES, failfast=_FIRST_ONE,
    ),
    Step(
        "checkers", 0, "each checker of this chain finds the faults that are planted for it",
        _pytest("verification/tests"), findings.tests("test"), kind="test",
        tiers=("smoke",), needs=_FOR_TESTS, extra=_NO_SLOW_ONES, failfast=_FIRST_ONE,
    ),
    # What the checkers' tests execute is counted in the full tier alone: that takes as long again.
    Step(
        "checkers-all", 0, "the same, with those that take seconds, and counting what they execute",
        _pytest("verification/tests", measured=_CHECKERS), findings.tests("test"), kind="test",
        tiers=("full",), needs=_FOR_TESTS, failfast=_FIRST_ONE,
    ),
    Step(
        "packaging", 0, "the wheels, installed where nothing else is, work and carry the specification",
        _pytest("tests/packaging", measured=_LIBRARY), findings.tests("test"), kind="test",
        needs=(*_FOR_TESTS, *_TO_COMPILE, "build"), extra=_NO_SLOW_ONES, failfast=_FIRST_ONE,
    ),
    *_both(
        "exploration", 5, "the real scheduler, run through every sequence of outside events, refines the model",
        _owns("explore", "--json"), findings.document("explore"), needs=("transitions",), kind="explore",
        seconds=7200, extra={"full": ("--tier", "full")}, spread=("--workers", CORES), failfast=("--failfast",),
    ),
    *_both(
        "fuzzing", 6, "the real scheduler, driven at random and far",
        _owns("fuzz", "--json"), findings.document("fuzz"), needs=("hypothesis", "uvloop"), kind="fuzz",
        extra={tier: ("--tier", tier) for tier in TIERS}, spread=("--workers", CORES),
        failfast=("--failfast",),
    ),
    *_both(
        "traces", 7, "recorded runs obey the specification, and corrupted copies of them are rejected",
        _owns("audit", "--demo", "--json"), findings.document("trace"), needs=("aiohttp",), kind="trace",
        extra={"full": ("--tier", "full")},
    ),
    Step(
        "mutants", 8, "seeded faults in table, counters, core and shell are found by a link that should",
        _own("mutants", "--json"), findings.document("mutant"), kind="mutant", seconds=7200,
        extra={"full": ("--tier", "full")}, spread=("--workers", CORES),
        needs=("pytest", "pytest_asyncio", "hypothesis", "z3", "crosshair", "aiohttp"),
    ),
    Step(
        "baseline", 8, "aiojobs 1.4.0, the natural mutant, is caught by exploration and fuzzing",
        _own("mutants", "--baseline", "--json"), findings.document("mutant"),
    ),
    Step(
        "coverage", 0, "the tests execute every branch of the runtime",
        _coverage(*_LIBRARY), findings.coverage(100), needs=("coverage",),
        after=("conformance", "unit", "tests", "packaging"), build=PURE,
    ),
    Step(
        "coverage-checkers", 0, f"the tests of the checkers execute {_CHECKERS_FLOOR} % of the verification",
        _coverage(_CHECKERS[1]), findings.coverage(_CHECKERS_FLOOR), tiers=("full",), needs=("coverage",),
        after=("checkers-all",),
    ),
    Step("ruff", 0, "lint", (PYTHON, "-m", "ruff", "check", "."), findings.exit_code, needs=("ruff",)),
    Step(
        "format", 0, "one layout of the text",
        (PYTHON, "-m", "ruff", "format", "--check", "."), findings.exit_code, needs=("ruff",),
    ),
    Step("mypy", 0, "types, strictly", (PYTHON, "-m", "mypy"), findings.exit_code, needs=("mypy",)),
    Step(
        "pyright", 0, "types, by a second opinion",
        (PYTHON, "-m", "pyright", "--warnings"), findings.exit_code, needs=("pyright",),
    ),
)  # fmt: skip

ORDER: Final = (
    "fuzzing", "fuzzing-compiled", "spec", "generated", "proofs", "exploration", "exploration-compiled",
    "unit", "unit-compiled", "conformance", "conformance-compiled", "tests", "tests-compiled", "checkers",
    "checkers-all", "baseline", "mutants", "model", "pyright", "packaging", "symbolic", "traces",
    "traces-compiled", "mypy", "ruff", "format", "drawn", "coverage", "coverage-checkers",
)  # fmt: skip
"""The steps as they begin: quickest and sharpest first, then the longest first."""

CHAIN: Final = Chain(LINKS, STEPS)
