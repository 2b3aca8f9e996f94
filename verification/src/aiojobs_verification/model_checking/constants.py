"""The constants of the models: their size, and the ways in which coroutines can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Constants", "LaneConstants"]


@dataclass(frozen=True, slots=True)
class Constants:
    """The constants of `Jobs.tla`, under plainer names."""

    GIVEN: ClassVar = frozenset({"N", "W", "L", "Limits", "P", "Timed", "Deadline", "Ends"})
    """What a configuration calls them."""

    jobs: int
    callers: int
    limit: int | None
    pending_limit: int
    ends: tuple[str, ...]
    deadline: bool = True
    limits: tuple[int, ...] = ()
    """What the limit can be set to; 0 for no limit."""
    timed: bool = False
    """Whether jobs can have a time limit."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Those of a configuration.

        Raises:
            KeyError: one is missing.
        """
        return cls(
            jobs=given["N"],
            callers=given["W"],
            limit=given["L"] or None,
            pending_limit=given["P"],
            ends=tuple(sorted(given["Ends"])),
            deadline=given["Deadline"],
            limits=tuple(sorted(given["Limits"])),
            timed=given["Timed"],
        )

    def config(self, replaced: Mapping[str, str]) -> str:
        """A configuration that checks nothing, for who wants the graph alone; `replaced` puts a fault in place."""
        values = {
            "N": self.jobs,
            "W": self.callers,
            "L": self.limit or 0,
            "Limits": "{" + ", ".join(map(str, self.limits)) + "}",
            "P": self.pending_limit,
            "Timed": str(self.timed).upper(),
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
            and set(self.limits) >= set(other.limits)
            and self.timed >= other.timed
        )


@dataclass(frozen=True, slots=True)
class LaneConstants:
    """The constants of `Lanes.tla`, under plainer names."""

    GIVEN: ClassVar = frozenset({"N", "K", "Others", "S", "SlotLimits", "M", "KeyLimits", "P"})
    """What a configuration calls them."""

    pieces: int
    keys: int
    others: bool
    """Whether other work shares the slots."""
    slots: int
    slot_limits: tuple[int, ...]
    """What the number of slots can be set to."""
    limit: int
    limits: tuple[int, ...]
    """What the limit of a key can be set to."""
    pending_limit: int

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Those of a configuration.

        Raises:
            KeyError: one is missing.
        """
        return cls(
            pieces=given["N"],
            keys=given["K"],
            others=given["Others"],
            slots=given["S"],
            slot_limits=tuple(sorted(given["SlotLimits"])),
            limit=given["M"],
            limits=tuple(sorted(given["KeyLimits"])),
            pending_limit=given["P"],
        )
