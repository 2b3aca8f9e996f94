"""Tables as text: aligned for people, and valid Markdown; and the place on a page where they stand.

Deliberately not here: what is in them (`narrate`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiojobs_verification.specification.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["around", "grid"]


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table. A stroke inside a cell is escaped, so that it can't end the cell."""
    table = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = [_line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in table]
    return [lines[0], _line(["-" * max(3, width) for width in widths]), *lines[1:]]


def around(page: str, name: str, file: str) -> tuple[str, str]:
    """A page up to the mark where the block of that name begins, and from the one where it ends.

    Raises:
        SpecError: a mark is missing; it names `file`.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, begins, rest = page.partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise SpecError(f"there is no block '{name}': {begin} or {end} is missing", file=file)
    return before + begin, end + after


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
