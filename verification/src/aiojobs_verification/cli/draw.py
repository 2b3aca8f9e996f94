"""`python -m aiojobs_verification draw`: draw the specification into the documentation.

Rules of this file: between `<!-- generated:NAME -->` and `<!-- /generated:NAME -->` stands the block of
that name, and nothing else is touched. A name that doesn't exist, and a mark without its other half, are
errors.

How it works: the files are README.md, spec/README.md and every Markdown file below docs/; one page,
docs/reference/traceability.md, and one picture, docs/reference/lifecycle.svg, are written whole. With
`--check` nothing is written, and a block that differs from what the specification gives is an error.

Deliberately not here: what a block says (`narrate`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiojobs_verification.cli.commands import Subparsers
from aiojobs_verification.cli.generate import settle_files
from aiojobs_verification.codegen import picture, traceability
from aiojobs_verification.codegen.narrate import BLOCKS
from aiojobs_verification.specification.errors import SpecError
from aiojobs_verification.specification.load import load
from aiojobs_verification.specification.locate import repository

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from aiojobs_verification.specification.load import Spec

__all__ = ["drawn", "register", "with_blocks"]

PICTURE: Final = "docs/reference/lifecycle.svg"
"""For pages that are read where nobody draws Mermaid."""
_MARK = re.compile(r"<!-- (/?)generated:(\S+) -->")


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("draw", help="draw the pictures and tables of the documentation")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a block is stale")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    return settle_files(drawn(repository()), check=arguments.check)


def drawn(root: Path) -> dict[Path, str]:
    """Every file of the source tree at `root` that has blocks, with the text that it should have."""
    spec = load(root / "spec")
    found: dict[Path, str] = {}
    for path in _documents(root):
        text = path.read_text(encoding="utf-8")
        if _MARK.search(text):
            found[path] = with_blocks(text, spec, path.relative_to(root).as_posix())
    return {
        **found,
        root / PICTURE: picture.standalone(spec.job.machine),
        root / traceability.PAGE: traceability.page(spec, traceability.places(root)),
    }


def _documents(root: Path) -> Iterator[Path]:
    yield from (path for path in (root / "README.md", root / "spec" / "README.md") if path.is_file())
    yield from sorted((root / "docs").rglob("*.md"))


def with_blocks(text: str, spec: Spec, file: str) -> str:
    """The text with every block replaced by what the specification gives; `file` is named in errors."""
    lines: list[str] = []
    inside = ""
    for number, line in enumerate(text.split("\n"), start=1):
        mark = _MARK.fullmatch(line.strip())
        if mark is None:
            if not inside:
                lines.append(line)
            continue
        closes, name = mark.groups()
        if closes:
            if name != inside:
                raise SpecError(f"line {number}: the end of block '{name}', which did not begin", file=file)
            inside = ""
        else:
            if inside:
                raise SpecError(f"line {number}: block '{name}' begins inside block '{inside}'", file=file)
            inside = name
        lines += [line, *([] if closes else ["", _block(name, spec, file, number), ""])]
    if inside:
        raise SpecError(f"block '{inside}' begins and does not end", file=file)
    return "\n".join(lines)


def _block(name: str, spec: Spec, file: str, number: int) -> str:
    if name not in BLOCKS:
        raise SpecError(f"line {number}: unknown block '{name}' (there are: {', '.join(BLOCKS)})", file=file)
    return "\n".join(BLOCKS[name](spec))
