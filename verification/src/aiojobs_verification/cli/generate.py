"""`python -m aiojobs_verification generate`: write the files that are derived from the specification.

Deliberately not here: what is in them (`codegen.lifecycle`), and pictures and tables of the documentation
(`draw`).
"""

from __future__ import annotations

import difflib
import sys
from itertools import islice
from typing import TYPE_CHECKING

from aiojobs_verification.cli.commands import FAILED, PASSED, Subparsers
from aiojobs_verification.codegen.lifecycle import derived
from aiojobs_verification.specification.locate import repository

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["register", "settle_files"]


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("generate", help="write the files that are derived from the specification")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    return settle_files(derived(repository()), check=arguments.check)


def settle_files(files: Mapping[Path, str], *, check: bool) -> int:
    """Write the files that differ from their text, or, to `check`, show how they differ; the exit code."""
    stale = {path: text for path, text in files.items() if _content(path) != text}
    for path in files:
        said = "fresh" if path not in stale else "stale" if check else "written"
        print(f"{said:8} {path}")
    for path, text in stale.items():
        if check:
            _show_difference(path, text)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    return FAILED if stale and check else PASSED


def _content(path: Path) -> str | None:
    # Bytes, so that line ends count: a file is fresh only if writing it again would change nothing.
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else None


def _show_difference(path: Path, text: str) -> None:
    old = (_content(path) or "").splitlines()
    lines = difflib.unified_diff(
        old, text.splitlines(), f"{path} as it is", f"{path} as it should be", lineterm=""
    )
    print("\n".join(islice(lines, 20)), file=sys.stderr)
