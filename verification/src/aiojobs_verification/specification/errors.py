"""Errors in specification files, with their places.

The one rule of this file: a fault names its place. A person who edits `spec/` must be able to go from the
message to the line without reading any Python, so every error carries the file, the table and the key, and,
inside an expression, the column.

Deliberately not here: any knowledge of what the files say. `tables`, `machine`, `expressions` and `load`
know that.
"""

from __future__ import annotations

from typing import final

__all__ = ["SpecError"]


@final
class SpecError(Exception):
    """A specification file is malformed.

    The attributes `file`, `table`, `key` and `column` say where; an empty string, or None for the column,
    means that the fault concerns the whole of the level above.
    """

    def __init__(
        self, fault: str, *, file: str, table: str = "", key: str = "", column: int | None = None
    ) -> None:
        super().__init__(fault)
        self.fault = fault
        self.file = file
        self.table = table
        self.key = key
        self.column = column

    def __str__(self) -> str:
        place = [self.file]
        if self.table:
            place.append(f"table [{self.table}]")
        if self.key:
            place.append(f"key '{self.key}'")
        if self.column is not None:
            place.append(f"column {self.column}")
        return f"{', '.join(place)}: {self.fault}"
