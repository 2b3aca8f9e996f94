"""What a run found, put into the documentation: the tables between marks on a page, the pictures beside it.

Rules of this file: the page says which run it was. Nothing is typed in by hand, so every figure in the tables
was measured.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from . import report
from .document import samples_of
from .machine import ROOT
from .table import Samples

__all__ = ["PAGE", "publish", "with_tables"]

PAGE: Final = ROOT / "docs" / "explanation" / "performance.md"
_PICTURES: Final = PAGE.with_name("performance")
_MARKED: Final = re.compile(r"(?<=<!-- measured -->\n).*?(?=<!-- /measured -->)", re.DOTALL)


def publish(document: dict[str, Any]) -> list[Path]:
    """Write the page and the pictures; what was written."""
    from . import plots

    page = with_tables(PAGE.read_text(encoding="utf-8"), document)
    PAGE.write_text(page, encoding="utf-8")
    return [PAGE, *plots.draw(Samples(samples_of(document)), _PICTURES)]


def with_tables(page: str, document: dict[str, Any]) -> str:
    """The page with the tables of that run between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    tables = report.page(document)
    page, count = _MARKED.subn(lambda _: f"\n{tables}\n\n", page)
    if count != 1:
        raise ValueError("the page needs one place that begins with <!-- measured --> and ends likewise")
    return page
