"""The results of a run, put into the documentation: tables between marks on a page, pictures beside it.

Rules of this file: the page says which run it was. Nothing is typed in by hand, so every figure in the tables
was measured.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from . import costs, report
from .document import samples_of
from .machine import ROOT
from .table import Samples

__all__ = ["PAGE", "publish", "with_tables"]

PAGE: Final = ROOT / "docs" / "explanation" / "performance.md"
_PICTURES: Final = PAGE.with_name("performance")


def publish(document: dict[str, Any]) -> list[Path]:
    """Write the page and the pictures, if it is a run that has some; what was written."""
    page = with_tables(PAGE.read_text(encoding="utf-8"), document)
    PAGE.write_text(page, encoding="utf-8")
    if "guarantees" in document:
        return [PAGE]
    from . import plots

    return [PAGE, *plots.draw(Samples(samples_of(document)), _PICTURES)]


def with_tables(page: str, document: dict[str, Any]) -> str:
    """The page with the tables of that run between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    if "guarantees" in document:
        return _between(page, "guarantees", costs.text(document))
    return _between(page, "measured", report.page(document))


def _between(page: str, mark: str, tables: str) -> str:
    marked = re.compile(rf"(?<=<!-- {mark} -->\n).*?(?=<!-- /{mark} -->)", re.DOTALL)
    page, count = marked.subn(lambda _: f"\n{tables}\n\n", page)
    if count != 1:
        raise ValueError(f"the page needs one place that begins with <!-- {mark} --> and ends likewise")
    return page
