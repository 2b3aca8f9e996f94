"""Finds the specification files.

In a source tree they are in `spec/` at the root of the repository; in an installed wheel the same files are
package data at `aiojobs_verification/reference/`. The source tree wins, so that an edit is seen at once.

Deliberately not here: an environment variable. A folder other than the reference is named on the command line
(`--spec`), where it can be seen.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_repository", "find_spec", "repository"]

_PACKAGE = Path(__file__).resolve().parents[1]
_MARK = "job.toml"


def find_repository() -> Path | None:
    """The root of the source tree that this package is run from, or None when it is installed."""
    root = _PACKAGE.parents[2]
    return root if (root / "spec" / _MARK).is_file() and (root / "src").is_dir() else None


def repository() -> Path:
    """The root of the source tree, for commands that work on one."""
    root = find_repository()
    if root is None:
        raise FileNotFoundError("this works on a source tree: run it in a copy of the repository")
    return root


def find_spec() -> Path:
    """The folder of the specification files."""
    root = find_repository()
    folder = root / "spec" if root else _PACKAGE / "reference"
    if not (folder / _MARK).is_file():
        raise FileNotFoundError(f"the specification files are not at {folder}")
    return folder
