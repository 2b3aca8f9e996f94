"""Reading TOML tables strictly.

Rules of this file: every value is asked for by key and type; every key that was not asked for is an error;
every error is a `SpecError` that names file, table and key. A misspelt key is therefore never silently
ignored, which is how most declarative files go wrong.

How it works: a `Table` wraps one TOML table and remembers its path and which of its keys have been read.
The reader of a table calls `end()` when it has read all it knows; what is left over is refused.

Deliberately not here: what the tables mean.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, final

from aiojobs_verification.specification.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Table", "read_toml"]

T = TypeVar("T")

_KINDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    list: "an array",
    dict: "a table",
}


def read_toml(path: Path) -> Table:
    """The whole file as a table. Text that is not TOML (a key given twice, say) is a fault of the file."""
    try:
        return Table(tomllib.loads(path.read_text(encoding="utf-8")), file=path.name)
    except OSError as error:
        raise SpecError(f"can't be read: {error.strerror}", file=path.name) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"is not TOML: {error}", file=path.name) from None


@final
class Table:
    """One TOML table: typed access by key, and a refusal of what nobody asked for."""

    __slots__ = ("_left", "_values", "file", "name")

    def __init__(self, values: dict[str, Any], *, file: str, name: str = "") -> None:
        self.file = file
        self.name = name
        self._values = values
        self._left = dict.fromkeys(values)

    def fault(self, message: str, key: str = "", column: int | None = None) -> NoReturn:
        """Refuse the file: `message` is what is wrong with `key` of this table."""
        raise SpecError(message, file=self.file, table=self.name, key=key, column=column)

    def names(self) -> tuple[str, ...]:
        """The keys of the table in the order of the file."""
        return tuple(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str) -> str:
        """A string that is not blank."""
        value = self._get(key, str)
        if not value.strip():
            self.fault("must not be blank", key)
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        """A boolean; with a `default`, one that may be absent."""
        if default is not None and key not in self._values:
            return default
        return self._get(key, bool)

    def integer(self, key: str) -> int:
        """An integer."""
        return self._get(key, int)

    def raw(self, key: str) -> Any:
        """The plain value, for what is handed on unchanged."""
        return self._get(key, object)

    def texts(self, key: str, *, optional: bool = False, empty: bool = False) -> tuple[str, ...]:
        """An array of distinct strings, not empty unless `empty`; absent, it counts as empty if
        `optional`.
        """
        if optional and key not in self._values:
            return ()
        values = self._get(key, list)
        if not all(isinstance(value, str) for value in values):
            self.fault("must be an array of strings", key)
        self._refuse_repeats(values, key)
        if not values and not empty:
            self.fault("must not be empty", key)
        return tuple(values)

    def table(self, key: str, *, optional: bool = False) -> Table:
        """The table under `key`; absent, it counts as empty if `optional`."""
        if optional and key not in self._values:
            return Table({}, file=self.file, name=self._path(key))
        return Table(self._get(key, dict), file=self.file, name=self._path(key))

    def tables(self, key: str) -> Iterator[tuple[str, Table]]:
        """The named tables under `key`, as in `[key.one]`, in the order of the file."""
        group = self.table(key)
        for name in group.names():
            yield name, group.table(name)

    def array(self, key: str) -> Iterator[Table]:
        """The tables of an array of tables, each named by its position."""
        for number, value in enumerate(self._get(key, list), start=1):
            if not isinstance(value, dict):
                self.fault(f"entry {number} must be a table", key)
            yield Table(value, file=self.file, name=f"{self._path(key)}, entry {number}")

    def one_of(self, key: str, allowed: Iterable[str], kind: str) -> str:
        """A string that names something declared."""
        value = self.text(key)
        self.known(value, allowed, kind, key)
        return value

    def known(self, value: str, allowed: Iterable[str], kind: str, key: str = "") -> None:
        """Refuse a `value` that is not one of the `allowed`; `kind` says what it should have been."""
        names = list(allowed)
        if value not in names:
            self.fault(f"unknown {kind} '{value}' (declared: {', '.join(names) or 'none'})", key)

    def end(self) -> None:
        """Everything known has been read: what is left is unknown."""
        for key in self._left:
            self.fault("unknown key", key)

    def _path(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def _get(self, key: str, kind: type[T]) -> T:
        if key not in self._values:
            self.fault("is missing", key)
        self._left.pop(key, None)
        value = self._values[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fault(f"must be {_KINDS[kind]}, not {value!r}", key)
        return value

    def _refuse_repeats(self, values: list[str], key: str) -> None:
        for value in values:
            if values.count(value) > 1:
                self.fault(f"'{value}' is given twice", key)
