"""What a contender is: a library, or an idiom, with a method for each workload that makes sense for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

__all__ = ["Contender"]


class Contender:
    """A way to run many coroutines.

    The method for the workload ``spawn-and-drain`` is ``spawn_and_drain``, a coroutine function that is given
    a `Stage`. It prepares everything, does the work that counts inside ``with stage.measured``, and leaves
    nothing running.
    """

    cannot: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Workload -> why there is no method for it."""

    def __init__(self) -> None:
        """Import the library: only the process that measures it does."""

    def version(self) -> str:
        """The version of the library; empty if it is part of Python."""
        return ""

    def where(self) -> str:
        """Where the library was imported from; empty if it is part of Python."""
        return ""
