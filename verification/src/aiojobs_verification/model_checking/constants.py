"""The constants of the model: its size, and the ways in which coroutines can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Constants"]


@dataclass(frozen=True, slots=True)
class Constants:
    """The constants of `Jobs.tla`, under plainer names."""

    jobs: int
    callers: int
    limit: int | None
    pending_limit: int
    ends: tuple[str, ...]
    deadline: bool = True

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Those of a configuration.

        Raises:
            KeyError: one is missing.
        """
        return cls(
            jobs=given["N"],
            callers=given["W"],
            limit=None if given["unlimited"] else given["L"],
            pending_limit=given["P"],
            ends=tuple(sorted(given["Ends"])),
            deadline=given["Deadline"],
        )

    def config(self, replaced: Mapping[str, str]) -> str:
        """A configuration that checks nothing, for who wants the graph alone; `replaced` puts a fault in place."""
        values = {
            "N": self.jobs,
            "W": self.callers,
            "L": self.limit or 1,
            "P": self.pending_limit,
            "unlimited": str(self.limit is None).upper(),
            "Deadline": str(self.deadline).upper(),
            "Ends": "{" + ", ".join(f'"{end}"' for end in self.ends) + "}",
        }
        lines = [f"    {name} = {value}" for name, value in values.items()]
        lines += [f"    {name} <- {fault}" for name, fault in replaced.items()]
        return "\n".join(["SPECIFICATION Spec", "CONSTANTS", *lines]) + "\n"

    def covers(self, other: Constants) -> bool:
        """Whether the graph of these has that of the others in it."""
        return (
            (self.limit, self.pending_limit, self.deadline)
            == (other.limit, other.pending_limit, other.deadline)
            and self.jobs >= other.jobs
            and self.callers >= other.callers
            and set(self.ends) >= set(other.ends)
        )
