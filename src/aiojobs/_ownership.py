"""Ownership of coroutines: each belongs to one job or shield at most, in whatever scheduler (``SPAWN-3``).

The rules of this file
----------------------
A coroutine that is offered is claimed before anything else happens to it. One that has begun, or is claimed
already, is refused and left as it is. A claim ends with the coroutine: whoever claimed it sees to its end.

How it works
------------
*Nothing of it has run.* See ``_probe``.

*The claim is written on the coroutine*: its qualified name, which Python lets anyone set, is replaced by the
same text as a ``Claimed``. That takes no memory, and nothing has to be taken back: when a job is over so is
its coroutine, and that is refused anyway. One ``Claimed`` for each name is kept, up to a bound.

*What is no coroutine object of Python's own* - a coroutine is also what merely has the methods of one - may
bear no name, or one that can't be set. It is remembered by its address, and forgotten when its job ends. Its name
is remembered too: that of a compiled coroutine is gone when it has ended. Whether it has begun it may tell by the
attributes of Python's own; to probe it as those are probed could be its end.

What is deliberately not here
-----------------------------
No table of all coroutines: it would be the largest part of a pending job. No reference to any: it would keep
alive the coroutines of a scheduler that was dropped; they stay claimed, and nobody else may have them. And no
defence against whoever gives a claimed coroutine another name, or its name to another coroutine.
"""

from __future__ import annotations

import inspect
from types import CoroutineType, GeneratorType
from typing import Any, NoReturn

from ._calling import plain, shown
from ._probe import is_untouched

__all__ = ("Claimed", "check", "claim", "foreign", "name_of_type", "qualified_name", "release")

_MOST_NAMES = 10_000
"""Programs that make up functions without end exist; a name that has to be made again is no harm."""


class Claimed(str):
    """The name of a coroutine that belongs to somebody."""

    __slots__ = ("plain",)

    plain: str
    """The same as a plain string, for whoever shows it."""

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (self.plain,))


_names: dict[str, Claimed] = {}
"""The one `Claimed` for each name."""


def _new_name(name: str) -> Claimed:
    if len(_names) >= _MOST_NAMES:
        _names.clear()
    claimed = _names[name] = Claimed(name)
    claimed.plain = name
    return claimed


_names_of_foreign: dict[int, str] = {}
"""What claimed coroutines that are not of Python's own type were called when they were claimed, by their ids."""

foreign = _names_of_foreign.keys()
"""These ids."""


def claim(coro: Any) -> None:
    """Write down that `coro` belongs to somebody, who has to see to its end.

    Raises:
        RuntimeError: it has begun or belongs to somebody already; it is as it was.
    """
    if type(coro) is not CoroutineType:
        _claim_foreign(coro)
        return
    name = coro.__qualname__
    is_claimed = type(name) is Claimed
    if is_claimed or coro.cr_suspended or not is_untouched(coro):
        _refuse(coro, is_claimed)
    if type(name) is not str:
        name = str.__str__(name)
    coro.__qualname__ = _names.get(name) or _new_name(name)


def check(coro: Any) -> None:
    """What ``claim`` would refuse is refused, and nothing is claimed.

    Raises:
        RuntimeError: as ``claim``.
    """
    if type(coro) is CoroutineType:
        name = coro.__qualname__
        claim(coro)
        coro.__qualname__ = name
    else:
        _claim_foreign(coro)
        release(coro)


def _claim_foreign(coro: Any) -> None:
    """The same for what only has the methods of a coroutine, and may not tell whether it has begun."""
    is_claimed = id(coro) in foreign
    if is_claimed or _has_begun(coro):
        _refuse(coro, is_claimed)
    _names_of_foreign[id(coro)] = qualified_name(coro)


def _has_begun(coro: Any) -> bool:
    """Whether what is no coroutine of Python's own says that some of it has run."""
    if isinstance(coro, GeneratorType):
        return inspect.getgeneratorstate(coro) != inspect.GEN_CREATED
    if not all(hasattr(type(coro), name) for name in ("cr_running", "cr_await", "cr_code")):
        return False
    try:
        # No code: over, in what Cython has compiled.
        return bool(coro.cr_running or coro.cr_await is not None or coro.cr_code is None)
    except BaseException:  # noqa: BLE001 - what is not Python's own may answer anything
        return False


def _refuse(coro: Any, is_claimed: bool) -> NoReturn:
    is_over = type(coro) is CoroutineType and inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
    if is_claimed and not is_over:
        wrong = "belongs to another job already, or to a shield"
    else:
        wrong = "must not have been started before"
    raise RuntimeError(f"coro {wrong}, got {shown(coro)}; call its function again")


def release(coro: Any) -> None:
    """Whoever `coro` belonged to has done with it."""
    _names_of_foreign.pop(id(coro), None)


def qualified_name(coro: Any) -> str:
    """The name of a coroutine for people; of an exotic one, that of its type."""
    if (known := _names_of_foreign.get(id(coro))) is not None:
        return known
    try:
        name = coro.__qualname__
    except BaseException:  # noqa: BLE001 - what is not Python's own may answer anything
        name = None
    plainly = plain(name)
    return name_of_type(coro) if plainly is None else plainly


def name_of_type(value: object) -> str:
    """The qualified name of its type, which no metaclass is asked for."""
    return str.__str__(_qualname_of_type(type(value)))


_qualname_of_type = type.__dict__["__qualname__"].__get__
