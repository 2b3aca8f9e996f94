"""The results of a run, put into the documentation: tables between marks on pages, pictures beside one of them.

Rules of this file: the page says which run it was. Nothing is typed in by hand, so every figure in the tables
was measured.

The front page, the first paragraph and the pictures are of Python 3.11. A run with another Python has its own marks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from . import costs, front, report
from .document import samples_of
from .machine import ROOT
from .table import Samples

__all__ = ["FRONT", "PAGE", "publish", "with_costs", "with_tables"]

PAGE: Final = ROOT / "docs" / "explanation" / "performance.md"
FRONT: Final = ROOT / "README.md"
_FIRST: Final = "3.11"
"""The Python whose figures stand in front."""
_PICTURES: Final = PAGE.with_name("performance")


def publish(document: dict[str, Any]) -> list[Path]:
    """Write the pages and the pictures, if it is a run that has some; what was written."""
    page = with_tables(PAGE.read_text(encoding="utf-8"), document)
    PAGE.write_text(page, encoding="utf-8")
    if "guarantees" in document or _python(document) != _FIRST:
        return [PAGE]
    FRONT.write_text(with_costs(FRONT.read_text(encoding="utf-8"), document), encoding="utf-8")
    from . import plots

    return [PAGE, FRONT, *plots.draw(Samples(samples_of(document)), _PICTURES)]


def with_tables(page: str, document: dict[str, Any]) -> str:
    """The page with the tables of that run between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    if "guarantees" in document:
        return _between(page, "guarantees", costs.text(document))
    if _python(document) != _FIRST:
        return _between(page, f"measured on {_python(document)}", report.beside(document))
    page = _between(page, "cost", front.opening(document))
    return _between(page, "measured", report.page(document))


def with_costs(page: str, document: dict[str, Any]) -> str:
    """The front page with what a job costs in that run between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    return _between(page, "costs", front.table(document))


def _python(document: dict[str, Any]) -> str:
    """The version, as "3.11"."""
    return ".".join(document["about"]["python"].split()[1].split(".")[:2])


def _between(page: str, mark: str, tables: str) -> str:
    marked = re.compile(rf"(?<=<!-- {mark} -->\n).*?(?=<!-- /{mark} -->)", re.DOTALL)
    page, count = marked.subn(lambda _: f"\n{tables}\n\n", page)
    if count != 1:
        raise ValueError(f"the page needs one place that begins with <!-- {mark} --> and ends likewise")
    return page
