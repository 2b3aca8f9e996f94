"""The commands of `python -m aiojobs_verification`, found rather than listed.

Rules of this file: a command is a module of this package with a function `register(subparsers)`, which adds
a parser of the module's name and sets its default `run`, a function from the parsed arguments to an exit
code. Nothing else is needed to add one. Only the module of the chosen command is imported, so that what
needs a tool can't break what doesn't.

Exit codes, the same for all commands: 0 all is well; 1 something is wrong with what was checked; 2 the
command was not understood, or can't work here; 77 a tool that it needs is not installed, so that nothing
was checked.

Deliberately not here: what any command does.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import aiojobs_verification.cli
from aiojobs_verification.specification.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType
    from typing import TextIO

__all__ = [
    "FAILED",
    "NOT_HERE",
    "NO_TOOL",
    "PASSED",
    "Subparsers",
    "add_folder",
    "add_json",
    "command",
    "main",
    "stream_beside",
    "write_json",
]

PASSED: Final = 0
FAILED: Final = 1
NOT_HERE: Final = 2
NO_TOOL: Final = 77

Subparsers: TypeAlias = "argparse._SubParsersAction[Any]"
"""What `register` is given."""

_PACKAGE = "aiojobs_verification"
_COMMANDS = aiojobs_verification.cli.__name__
_OUTPUT: Final = "-"


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Give a command the option `--spec`, for looking at other files than the reference."""
    parser.add_argument(
        "--spec",
        metavar="FOLDER",
        type=Path,
        help="the folder of the specification files (default: the reference)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a command the option `--json`, for an account that a program can read."""
    parser.add_argument(
        "--json",
        nargs="?",
        const=_OUTPUT,
        metavar="FILE",
        help="write the account as JSON to FILE, or to standard output and the text to standard error",
    )


def stream_beside(where: str | None) -> TextIO:
    """Where the text for people goes, `where` being the value of `--json`: not into the account."""
    return sys.stderr if where == _OUTPUT else sys.stdout


def write_json(account: Mapping[str, Any], where: str | None) -> None:
    """Write an account to `where`, the value of `--json`; nowhere if it was not asked for."""
    if where is None:
        return
    text = json.dumps(account, indent=2, ensure_ascii=False) + "\n"
    if where == _OUTPUT:
        sys.stdout.write(text)
    else:
        Path(where).write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run the command line; the result is the exit code."""
    chosen = arguments[0] if arguments else ""
    module = f"{_COMMANDS}.{chosen}"
    parser = _parser()
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    try:
        if chosen.isidentifier() and find_module(module) is not None:
            _register(importlib.import_module(module), subparsers)
        else:
            _register_all(subparsers)
        return _run(parser.parse_args(arguments))
    except BrokenPipeError:
        # Whoever was reading has read enough. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("aiojobs"):
            raise
        package = "aiojobs-verification[cluster]" if error.name == "distributed" else "aiojobs-verification"
        print(
            f"'{chosen}' needs {error.name}, which is not installed: pip install '{package}'", file=sys.stderr
        )
        return NO_TOOL


def command() -> NoReturn:
    """The console script ``aiojobs-verification``."""
    sys.exit(main(sys.argv[1:]))


def _run(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.run(arguments)
    except SpecError as error:
        print(error, file=sys.stderr)
        return FAILED
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return NOT_HERE
    return code


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m {_PACKAGE}",
        description="The specification of aiojobs: read it, check it, write what is derived from it.",
        epilog="exit codes: 0 all is well, 1 something is wrong, 2 not understood, 77 a tool is missing",
    )


def _register(module: ModuleType, subparsers: Subparsers) -> None:
    register = getattr(module, "register", None)
    if register is not None:
        register(subparsers)


def _register_all(subparsers: Subparsers) -> None:
    """Every command, for the list that `--help` shows; one whose tool is missing is left out."""
    for found in pkgutil.iter_modules(aiojobs_verification.cli.__path__):
        if found.name.startswith("_"):
            continue
        try:
            _register(importlib.import_module(f"{_COMMANDS}.{found.name}"), subparsers)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("aiojobs"):
                raise
