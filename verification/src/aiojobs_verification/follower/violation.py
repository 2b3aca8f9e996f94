"""The error for a run that breaks a promise.

A broken promise speaks for its requirement. A crash speaks for none: the library fails with an error of its own, or
something happens that nothing explains.
"""

from __future__ import annotations

from traceback import format_exception
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CRASH", "Violation"]

CRASH: Final = "CRASH"
"""In place of a requirement: the library fails with an error of its own, or the loop complains and nothing explains
it. That is a verdict of its own, and counts neither for nor against any promise."""


class Violation(Exception):  # noqa: N818 - it names what was found
    """A promise is broken: `requirement` says which, `text` by what.

    `requirements` are all the promises that the broken rule stands for, `requirement` and `others`; there are none if
    what was told is no trace at all. `rule` is the place of the rule in the specification, if it has one, and `trace`
    the traceback of a crash.
    """

    def __init__(
        self, requirement: str, text: str, *, others: Iterable[str] = (), rule: str = "", trace: str = ""
    ) -> None:
        super().__init__(f"{requirement or rule}: {text}")
        self.requirement = requirement
        self.text = text
        self.requirements = (requirement, *others) if requirement else ()
        self.rule = rule
        self.trace = trace

    @classmethod
    def crash(cls, what: str, error: object) -> Violation:
        """The library fails with this error, or there is something that nothing explains."""
        trace = "".join(format_exception(error)) if isinstance(error, BaseException) else ""
        return cls(CRASH, f"{what}: {error!r}", trace=trace)
