"""The tables of `spec/tla/README.md`, made from the manifest, between two marks of the page.

Rules of this file: what stands between the marks is a function of the manifest. `check` fails if the page
says something else, `check --draw` writes it anew.

Deliberately not here: the rest of the page, which is written by people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiojobs_verification.codegen.markdown import around, grid
from aiojobs_verification.model_checking.constants import Constants, LaneConstants
from aiojobs_verification.model_checking.manifest import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from aiojobs_verification.model_checking.manifest import Configuration, Manifest

__all__ = ["PAGE", "drawn"]

PAGE: Final = "README.md"


def drawn(manifest: Manifest) -> tuple[Path, str]:
    """The page, and the text that it should have."""
    path = manifest.folder / PAGE
    before, after = around(path.read_text(encoding="utf-8"), "generated:figures", f"{FOLDER}/{PAGE}")
    tables = "\n".join(_tables(manifest.configurations))
    return path, f"{before}\n\n{tables}\n\n{after}"


_MODELS: Final = (
    *("model_…", "jobs", "callers", "limit", "is set to", "pending limit", "time limit", "coroutines"),
    *("fairness", "states", "steps", "depth", "tier"),
)
_LANES: Final = (
    *("model_lanes_…", "pieces", "keys", "other work", "slots", "are set to", "limit", "is set to"),
    *("pending limit", "fairness", "states", "steps", "depth", "tier"),
)
_WITNESSES: Final = ("witness_…", "what comes about", "refuted", "story")
_FAULTS: Final = ("fault_…", "what is wrong", "found by", "story")


def _tables(configurations: Sequence[Configuration]) -> Iterator[str]:
    yield "Everything holds (`model_*.cfg`):"
    yield ""
    models = [(one, one.scope) for one in _of("model", configurations)]
    yield from grid(_MODELS, [_model(one, of) for one, of in models if isinstance(of, Constants)])
    yield ""
    yield "The same, of lanes (`model_lanes_*.cfg`):"
    yield ""
    yield from grid(_LANES, [_lanes(one, of) for one, of in models if isinstance(of, LaneConstants)])
    yield ""
    yield "What must be possible, and assumptions that are needed (`witness_*.cfg`):"
    yield ""
    yield from grid(_WITNESSES, [_refuted(one) for one in _of("witness", configurations)])
    yield ""
    yield "Seeded faults (`fault_*.cfg`):"
    yield ""
    yield from grid(_FAULTS, [_refuted(one) for one in _of("fault", configurations)])


def _of(kind: str, configurations: Iterable[Configuration]) -> list[Configuration]:
    return [one for one in configurations if one.kind == kind]


def _model(one: Configuration, scope: Constants) -> tuple[str, ...]:
    return (
        one.name.removeprefix("model_"),
        str(scope.jobs),
        str(scope.callers),
        _limit(scope.limit),
        ", ".join(_limit(limit or None) for limit in scope.limits),
        str(scope.pending_limit),
        "yes" if scope.timed else "",
        ", ".join(scope.ends),
        *_found(one),
    )


def _lanes(one: Configuration, scope: LaneConstants) -> tuple[str, ...]:
    return (
        one.name.removeprefix("model_lanes_"),
        str(scope.pieces),
        str(scope.keys),
        "yes" if scope.others else "",
        str(scope.slots),
        ", ".join(map(str, scope.slot_limits)),
        str(scope.limit),
        ", ".join(map(str, scope.limits)),
        _limit(scope.pending_limit or None),
        *_found(one),
    )


def _found(one: Configuration) -> tuple[str, ...]:
    """What every model has: what is assumed, its figures, from which tier on it is run."""
    expected = one.expected
    return (
        one.config.specification.removesuffix("Spec").lower() or "none",
        f"{expected.distinct:,}",
        f"{expected.generated - 1:,}",
        str(expected.depth),
        one.tier,
    )


def _limit(limit: int | None) -> str:
    return "none" if limit is None else str(limit)


def _refuted(one: Configuration) -> tuple[str, ...]:
    story = f"{one.expected.story - 1} steps" if one.expected.story else "without end"
    return (one.name.partition("_")[2], one.meaning, f"`{one.expected.rule}`", story)
