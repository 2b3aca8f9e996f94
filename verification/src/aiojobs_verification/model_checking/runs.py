"""One configuration, run by TLC and compared with its expected result.

Rules of this file: a rule that TLC refutes without a name is the only one that the configuration checks, or else
it is unknown, and wrong.

Deliberately not here: which configurations are run, and what their sum says (`check`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiojobs_verification.model_checking.tlc import UNNAMED

if TYPE_CHECKING:
    from pathlib import Path

    from aiojobs_verification.model_checking.manifest import Configuration
    from aiojobs_verification.model_checking.tlc import Result, Toolbox

__all__ = ["faults", "run"]

_MANY: Final = 5000
"""States from which on a run of TLC takes long enough for Java to compile it well."""


def run(configuration: Configuration, toolbox: Toolbox, folder: Path) -> Result:
    """What TLC finds."""
    result = toolbox.run(
        folder,
        configuration.module,
        configuration.name,
        coverage=configuration.complete,
        long=configuration.expected.distinct > _MANY,
    )
    rules = configuration.config.rules
    named = rules[0] if result.rule == UNNAMED and len(rules) == 1 else result.rule
    actions = {name: taken for name, taken in result.actions.items() if name != "Init"}
    return replace(result, rule=named, actions=actions)


def faults(configuration: Configuration, result: Result) -> list[str]:
    """How what was found differs from what the manifest says."""
    expected = configuration.expected
    if result.rule != expected.rule:
        wanted = f"{expected.rule} must be refuted" if expected.rule else "everything must hold"
        return [f"{wanted}; {result.rule + ' is refuted' if result.rule else 'everything holds'}"]
    found = {"exit": (expected.code, result.code)}
    if expected.rule and expected.story:
        found["story"] = (expected.story, len(result.story))
    else:
        found["distinct"] = (expected.distinct, result.distinct)
        found["generated"] = (expected.generated, result.generated)
    if not expected.rule:
        found["depth"] = (expected.depth, result.depth)
    return [
        f"the manifest says {name} {wanted}, found {was}"
        for name, (wanted, was) in found.items()
        if wanted != was
    ]
