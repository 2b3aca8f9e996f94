"""Readers for the text of TLA+ tools: values, states, configurations.

Rules of this file: it reads the part of the language that `spec/tla` uses, and refuses the rest by name.
A value becomes a Python value that can be hashed: a function on 1 … n and a sequence a tuple, a set a
frozenset.

Deliberately not here: running TLC (`tlc`), and the graphs that it dumps (`dumped`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from aiojobs_verification.specification.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Config", "read_config", "read_state", "read_value"]

_TOKEN: Final = re.compile(r'\s*(<<|>>|[{},]|"[^"]*"|-?\d+|TRUE|FALSE)')
_CLOSING: Final = {"<<": ">>", "{": "}"}
_SECTIONS: Final = ("SPECIFICATION", "CONSTANTS", "INVARIANTS", "PROPERTIES")

# Values and states.


def read_value(text: str) -> Any:
    """A value as TLC prints it."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s", "", text):
        raise ValueError(f"not a value: {text}")
    value, rest = _read(tokens)
    if rest:
        raise ValueError(f"not one value: {text}")
    return value


def _read(tokens: list[str]) -> tuple[Any, list[str]]:
    if not tokens:
        raise ValueError("the value ends too early")
    first, rest = tokens[0], tokens[1:]
    if first in _CLOSING:
        return _read_members(rest, _CLOSING[first])
    if first in {"TRUE", "FALSE"}:
        return first == "TRUE", rest
    if first.startswith('"'):
        return first[1:-1], rest
    return int(first), rest


def _read_members(rest: list[str], closing: str) -> tuple[Any, list[str]]:
    members: list[Any] = []
    while rest and rest[0] != closing:
        value, rest = _read(rest)
        members.append(value)
        if rest and rest[0] == ",":
            rest = rest[1:]
    if not rest:
        raise ValueError(f"{closing} is missing")
    return (tuple(members) if closing == ">>" else frozenset(members)), rest[1:]


def read_state(lines: Iterable[str], seen: dict[str, Any] | None = None) -> dict[str, Any]:
    r"""A state: lines of the form `/\\ name = value`. Values that were `seen` before are not read again."""
    seen = {} if seen is None else seen
    state: dict[str, Any] = {}
    for line in lines:
        name, _, text = line.removeprefix("/\\ ").partition(" = ")
        if text not in seen:
            seen[text] = read_value(text)
        state[name] = seen[text]
    return state


# Configurations.


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration: what TLC is to check of a module."""

    specification: str
    constants: Mapping[str, Any]
    replaced: Mapping[str, str]
    """Operators, and what is put in their place."""
    invariants: tuple[str, ...]
    properties: tuple[str, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        """Everything that is to be checked."""
        return self.invariants + self.properties


def read_config(path: Path) -> Config:
    """Read a .cfg file: each section a line of its own, one entry per line below it."""
    sections: dict[str, list[str]] = {section: [] for section in _SECTIONS}
    section = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("\\*")[0].strip()
        head, _, rest = text.partition(" ")
        if head in sections:
            section, text = head, rest
        elif text and not section:
            _refuse(path, number, f"'{text}' belongs to no section")
        if text:
            sections[section].append(text)
    return _config(path, sections)


def _config(path: Path, sections: Mapping[str, list[str]]) -> Config:
    constants: dict[str, Any] = {}
    replaced: dict[str, str] = {}
    for entry in sections["CONSTANTS"]:
        left, arrow, right = entry.partition(" <- ")
        if arrow:
            replaced[left] = right
            continue
        left, _, right = entry.partition(" = ")
        try:
            constants[left] = read_value(right)
        except ValueError as error:
            _refuse(path, 0, f"constant '{left}': {error}")
    if len(sections["SPECIFICATION"]) != 1:
        _refuse(path, 0, "there must be one SPECIFICATION")
    return Config(
        sections["SPECIFICATION"][0],
        constants,
        replaced,
        tuple(sections["INVARIANTS"]),
        tuple(sections["PROPERTIES"]),
    )


def _refuse(path: Path, line: int, fault: str) -> NoReturn:
    raise SpecError(fault, file=f"tla/{path.name}" + (f", line {line}" if line else ""))
