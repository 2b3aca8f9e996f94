"""Whether a program is in a state in which it was before: its whole content as one digest, or the answer that it
can't be seen.

Rules of this file: two states with the same digest have the same future. So everything counts that a program can
reach: the ready queue in its order, the timers with the time that is left, the place and the variables of every
suspended coroutine, what all these refer to, and the variables of modules and classes that the code names. What
can't be seen into raises `Unseen`, and the state is like no other. Left out is what has no future: addresses, the
loop's time itself (only distances count), tracebacks, and names that tasks get by themselves.

How it works: objects are walked from fixed roots in a fixed order and numbered as they are met, so that addresses
play no part. An instance of a class written in Python is what its attributes are. One of a class written in C is
what `__reduce_ex__` says, as for `copy`. A coroutine is asked for the place where it stands, and the garbage
collector for what it holds. A set has an order that follows addresses: its members are ordered by their content, or
by where else they were met.

It reads two private attributes of tasks and futures, and writes none: nothing public says that a cancellation is on
its way, or that an exception was taken. Where they are missing a task can't be seen into.

Deliberately not here: what follows if two states are the same (`_search`).
"""

from __future__ import annotations

import asyncio
import contextvars
import copyreg
import enum
import functools
import gc
import itertools
import logging
import marshal
import random
import re
import sys
import threading
import traceback
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dis import get_instructions
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from ._handles import TurnHandle, TurnTimer
from ._virtual_loop import VirtualLoop

if TYPE_CHECKING:
    from ._run import StoryLoop
    from ._story import Scenario

__all__ = ("Fingerprints", "Unseen")

_Parts: TypeAlias = "tuple[Any, list[Any]]"
"""What an object is, of plain data, and the objects that it consists of."""
_Taker: TypeAlias = Callable[[Any], _Parts]

_PLAIN: Final = frozenset(
    {int, str, bool, type(None), bytes, float, complex, type(...), type(NotImplemented)}
)
_TRUSTED: Final = frozenset({"aiojobs", "pytest", "_pytest", "pluggy", "builtins"})
"""Packages whose modules and classes have no variables on which a program under test depends; the standard library
is another."""
_STANDARD_LIBRARY: Final = str(Path(asyncio.__file__).parents[1])
_GIVEN_NAME: Final = re.compile(r"Task-\d+")


_empty: Final[Callable[[Any], object]] = dict[str, Any].clear if sys.version_info < (3, 13) else len
"""For the variables of a frame: before 3.13 a copy, which would keep alive what the coroutine has let go."""


class Unseen(Exception):  # noqa: N818  it names a situation
    """Something in the program can't be seen into; the argument says of which type it is."""


class Fingerprints:
    """Makes fingerprints of the states of one program, and knows the variables that live longer than a run."""

    def __init__(self) -> None:
        self._takers = _Takers(self)
        self._code: set[types.CodeType] = set()
        self._lasting: list[tuple[Mapping[str, Any], str]] = []
        """Variables of modules: the namespace and the name."""
        self._noted: set[tuple[int, str]] = set()
        self._classes: set[type] = set()
        self._lasting_objects: list[Any] = []
        """Classes with variables, and defaults of arguments that can change."""

    def digest(self, loop: StoryLoop, scenario: Scenario) -> bytes:
        """The digest of the state in which a scenario and its loop are.

        Raises:
            Unseen: part of the program can't be seen into.
        """
        walk = _Walk(self._takers)
        walk.take([*loop.ready(), *(_due_in(timer, loop.time()) for timer in loop.timers())])
        walk.take(
            [loop.main, *((party.name, party.task, party.cancel) for party in scenario.parties.values())]
        )
        walk.take([scenario.resting, [line[-1].name for line in scenario.lines], *scenario.checks])
        walk.take([*scenario.chances, *scenario.chances.values()])
        walk.take([party.make for line in scenario.lines for party in line])
        walk.take(self._lasting_values())
        walk.take_unordered([io.future for io in scenario.ios])
        walk.finish()
        # Version 2 of the format writes every object anew; later ones write references, which depend on sharing.
        return blake2b(marshal.dumps(walk.tokens, 2), digest_size=16).digest()

    def learn(self, function: types.FunctionType) -> None:
        """Note the variables of modules that a function names, and those of the functions that it names."""
        code = function.__code__
        if code in self._code:
            return
        self._code.add(code)
        space = function.__globals__
        if _is_trusted(space.get("__name__", "")):
            return
        self._lasting_objects.extend(default for default in _defaults(function) if not _is_plain(default))
        names = {name: None for each in _nested(code) for name in each.co_names}
        for name in names:
            if name in space:
                self._note(space, name, names)
        for name in _assigned(code):
            self._note_variable(space, name)

    def learn_class(self, kind: type) -> None:
        """Note what the methods of a class name, and its own variables."""
        if kind in self._classes or _is_trusted(kind.__module__):
            return
        self._classes.add(kind)
        for base in kind.__mro__:
            for value in list(vars(base).values()):
                inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
                if isinstance(inner, types.FunctionType):
                    self.learn(inner)

    def _note(self, space: Mapping[str, Any], name: str, names: dict[str, None]) -> None:
        value = space[name]
        if isinstance(value, types.FunctionType):
            self.learn(value)
        elif isinstance(value, types.ModuleType):
            self._note_module(value, names)
        elif isinstance(value, type):
            self._note_class(value)
        else:
            self._note_variable(space, name)

    def _note_variable(self, space: Mapping[str, Any], name: str) -> None:
        if (id(space), name) not in self._noted:
            self._noted.add((id(space), name))
            self._lasting.append((space, name))

    def _note_class(self, kind: type) -> None:
        if kind not in self._classes and not _is_trusted(kind.__module__):
            self.learn_class(kind)
            self._lasting_objects.append(kind)

    def _note_module(self, module: types.ModuleType, names: dict[str, None]) -> None:
        if module is random:
            self._note_variable(vars(random), "random")  # the method, and so the generator that it belongs to
        if not _is_trusted(module.__name__):
            for name in names:
                if name in vars(module):
                    self._note(vars(module), name, names)

    def _lasting_values(self) -> list[Any]:
        return [*(space.get(name) for space, name in self._lasting), *self._lasting_objects]


class _Walk:
    """A walk over all objects that the roots lead to; `tokens` is what was met, in order."""

    def __init__(self, takers: _Takers) -> None:
        self.tokens: list[Any] = []
        self._takers = takers
        self._numbers: dict[int, int] = {}
        self._met: list[Any] = []  # what is made on the way too, so that no address is used twice
        self._later: list[list[Any]] = []  # members of sets

    def take(self, roots: list[Any]) -> None:
        """Walk on from more roots."""
        numbers, tokens, takers, met = self._numbers, self.tokens, self._takers, self._met
        begin = len(met)
        met.append(roots)
        for item in itertools.islice(met, begin, None) if begin else met:
            head, parts = takers[type(item)](item)
            tokens += (head, len(parts))
            if type(head) is tuple and head[0] == "set":
                self._later.append(parts)
                continue
            for part in parts:
                if type(part) in _PLAIN:
                    tokens.append(part)
                    continue
                number = numbers.get(id(part))
                if number is None:
                    numbers[id(part)] = number = len(numbers)
                    met.append(part)
                tokens.append((number,))

    def take_unordered(self, items: list[Any]) -> None:
        """Take objects whose order says nothing: by where they were met, or by their content."""
        known = [item for item in items if id(item) in self._numbers]
        unknown = [item for item in items if id(item) not in self._numbers]
        self.tokens.append(sorted(self._numbers[id(item)] for item in known))
        if len(unknown) > 1 and not all(map(_is_plain, unknown)):
            raise Unseen(f"the order of a set of {type(unknown[0]).__qualname__}")
        self.take(sorted(unknown, key=lambda item: (type(item).__qualname__, repr(item))))

    def finish(self) -> None:
        """Take the members of all sets, when everything else was met."""
        while self._later:
            self.take_unordered([_referent(item) for item in self._later.pop(0)])


def _referent(item: Any) -> Any:
    """What a set is of whose members are weak references."""
    return cast("Any", item()) if isinstance(item, weakref.ref) else item


class _Takers(dict[type, _Taker]):
    """How objects of each type are taken apart."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        super().__init__()
        self._fingerprints = fingerprints
        self[types.FunctionType] = self._of_function

    def __missing__(self, kind: type) -> _Taker:
        self[kind] = taker = self._find(kind)
        return taker

    def _find(self, kind: type) -> _Taker:
        if issubclass(kind, type):
            return self._of_class
        if issubclass(kind, VirtualLoop):
            return _named  # its queue and its timers are roots
        for kinds, taker in _KNOWN:
            if issubclass(kind, kinds):
                return taker if kind in _each(kinds) else self._of_subclass(kind, taker)
        if kind.__name__ in _REFERENTS_ARE_ALL and kind.__module__ in _OF_C:
            return _of_referents
        self._fingerprints.learn_class(kind)
        return self._of_class_in_c(kind) if _hides_something(kind) else self._of_attributes(kind)

    def _of_subclass(self, kind: type, taker: _Taker) -> _Taker:
        """For a class that adds attributes to one of which the content is known."""
        self._fingerprints.learn_class(kind)
        attributes = self._of_attributes(kind)

        def take(item: Any) -> _Parts:
            head, parts = taker(item)
            own, more = attributes(item)
            return (own, head), [*parts, *more]

        return take

    def _of_attributes(self, kind: type) -> _Taker:
        members = [member for base in kind.__mro__ for member in vars(base).values()]
        slots = [member for member in members if isinstance(member, types.MemberDescriptorType)]
        head = (kind.__module__, kind.__qualname__)
        owner = [] if _is_trusted(kind.__module__) else [kind]
        if not _shows_its_dict(kind):
            return lambda item: (head, [*owner, *[_member(slot, item) for slot in slots]])

        def take(item: Any) -> _Parts:
            attributes = object.__getattribute__(item, "__dict__")
            found = [_member(slot, item) for slot in slots] if slots else []
            return (head, *attributes), [*owner, *found, *attributes.values()]

        return take

    def _of_class_in_c(self, kind: type) -> _Taker:
        name = f"{kind.__module__}.{kind.__qualname__}"
        # Patterns of `re`, for one, have no way of their own.
        registered: Callable[[Any], Any] | None = copyreg.dispatch_table.get(kind)

        def take(item: Any) -> _Parts:
            try:
                content = item.__reduce_ex__(4) if registered is None else registered(item)
            except Exception as error:
                raise Unseen(name) from error
            return name, [content] if isinstance(content, str) else list(content)

        return take

    def _of_function(self, function: types.FunctionType) -> _Parts:
        self._fingerprints.learn(function)
        return ("function", id(function.__code__)), [*(function.__closure__ or ()), *_defaults(function)]

    def _of_class(self, kind: type) -> _Parts:
        self._fingerprints.learn_class(kind)
        name = (kind.__module__, kind.__qualname__)
        if _is_trusted(kind.__module__):
            return name, []
        own = [base for base in kind.__mro__ if not _is_trusted(base.__module__)]
        found = [
            (key, value)
            for base in own
            for key, value in list(vars(base).items())
            if _is_variable(key, value)
        ]
        return (*name, *[key for key, _ in found]), [value for _, value in found]


def _is_variable(key: str, value: object) -> bool:
    """Whether an entry of a class is one of its variables, rather than a method or something that Python put there."""
    of_python = (key.startswith("__") and key.endswith("__")) or key == "_abc_impl"
    return not of_python and not hasattr(type(value), "__get__")


def _each(kinds: Any) -> tuple[type, ...]:
    return cast("tuple[type, ...]", kinds if isinstance(kinds, tuple) else (kinds,))


@functools.cache
def _is_trusted(module: str) -> bool:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        # A file of the program may bear the name of a module that it does not import.
        place = getattr(sys.modules.get(top), "__file__", None)
        return place is None or str(place).startswith(_STANDARD_LIBRARY)
    return top in _TRUSTED


def _is_plain(item: object) -> bool:
    if isinstance(item, tuple | frozenset):
        return all(map(_is_plain, item))
    return type(item) in _PLAIN or isinstance(item, enum.Enum)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code and that of all that it defines."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _assigned(code: types.CodeType) -> list[str]:
    """The variables of its module that a function assigns, if only some time."""
    steps = [step for each in _nested(code) for step in get_instructions(each)]
    return [str(step.argval) for step in steps if step.opname == "STORE_GLOBAL"]


def _defaults(function: types.FunctionType) -> list[Any]:
    return [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]


def _shows_its_dict(kind: type) -> bool:
    """Not so asyncio's futures in C: the garbage collector knows theirs."""
    return any("__dict__" in vars(base) for base in kind.__mro__)


def _hides_something(kind: type) -> bool:
    """Whether instances have content beside their attributes: those of classes in C that are larger than they show."""
    if kind.__dictoffset__ and not _shows_its_dict(kind):
        return True
    for base in kind.__mro__[:-1]:
        above = base.__base__
        if above is None or base.__itemsize__:
            return True
        own = sum(isinstance(member, types.MemberDescriptorType) for member in vars(base).values())
        beside = sum(8 for name in ("__dict__", "__weakref__") if name in vars(base))
        if base.__basicsize__ - above.__basicsize__ > 8 * own + beside:
            return True
    return False


def _member(slot: types.MemberDescriptorType, item: object) -> Any:
    try:
        return slot.__get__(item)
    except AttributeError:
        return ...


def _due_in(timer: TurnTimer, now: float) -> tuple[Any, ...]:
    return (timer.deadline - now, timer)


# How objects of known types are taken apart.


def _named(item: Any) -> _Parts:
    return getattr(item, "__qualname__", None) or getattr(item, "__name__", None) or type(
        item
    ).__qualname__, []


def _of_referents(item: Any) -> _Parts:
    return type(item).__qualname__, [part for part in gc.get_referents(item) if not isinstance(part, type)]


def _of_future(future: Any) -> _Parts:
    try:
        head = (type(future).__qualname__, future.done(), future.cancelled(), future._log_traceback)  # noqa: SLF001
    except AttributeError as error:
        raise Unseen("futures of this Python") from error
    return head, _referents_of_future(future)


def _of_task(task: Any) -> _Parts:
    try:
        asked = (task.cancelling(), task._must_cancel, task._log_traceback)  # noqa: SLF001
    except AttributeError as error:
        raise Unseen("tasks of this Python") from error
    name = task.get_name()
    return ("task", task.done(), task.cancelled(), asked), [
        None if _GIVEN_NAME.fullmatch(name) else name,
        *[part for part in _referents_of_future(task) if part is not name],
    ]


def _referents_of_future(future: Any) -> list[Any]:
    return [
        part for part in gc.get_referents(future) if not isinstance(part, type | asyncio.AbstractEventLoop)
    ]


def _of_coroutine(coroutine: Any) -> _Parts:
    frame = coroutine.cr_frame if isinstance(coroutine, types.CoroutineType) else _other_frame(coroutine)
    if frame is None:
        return (str(coroutine.__qualname__), "over"), []
    found = frame.f_locals
    variables = tuple(found)
    _empty(found)
    held = [
        part for part in gc.get_referents(coroutine) if part is not frame and type(part) is not types.CodeType
    ]
    return ("coroutine", id(frame.f_code), frame.f_lasti, variables), held


def _other_frame(generator: Any) -> types.FrameType | None:
    return generator.gi_frame if isinstance(generator, types.GeneratorType) else generator.ag_frame


def _of_method(method: Any) -> _Parts:
    return "method", [method.__func__, method.__self__]


def _of_builtin(method: Any) -> _Parts:
    owner = method.__self__
    return method.__qualname__, [] if isinstance(owner, types.ModuleType | None) else [owner]


def _of_cell(cell: types.CellType) -> _Parts:
    try:
        return "cell", [cell.cell_contents]
    except ValueError:
        return "empty cell", []


def _of_handle(handle: TurnHandle | TurnTimer) -> _Parts:
    return ("handle", handle.withdrawn), [handle.callback, handle.context, *handle.args]


def _of_context(context: contextvars.Context) -> _Parts:
    items = sorted(context.items(), key=lambda item: item[0].name)
    return ("context", *[variable.name for variable, _ in items]), [value for _, value in items]


def _of_mapping(mapping: Any) -> _Parts:
    pairs = cast("Iterable[tuple[Any, Any]]", dict.items(mapping))
    return ("mapping", len(mapping)), [part for pair in pairs for part in pair]


def _of_defaults(mapping: Any) -> _Parts:
    head, parts = _of_mapping(mapping)
    return head, [mapping.default_factory, *parts]


def _of_deque(items: Any) -> _Parts:
    return ("deque", items.maxlen), list(items)


def _of_error(error: BaseException) -> _Parts:
    head = (type(error).__module__, type(error).__qualname__, error.__suppress_context__, *vars(error))
    return head, [error.args, error.__cause__, error.__context__, *vars(error).values()]


def _of_memo(memo: Any) -> _Parts:
    info = memo.cache_info()
    return ("memo", info.misses, info.currsize), [memo.__wrapped__]


_REFERENTS_ARE_ALL: Final = frozenset(
    {
        "FutureIter",
        "TaskStepMethWrapper",
        "TaskWakeupMethWrapper",
        "async_generator_asend",
        "async_generator_athrow",
    }
    | {"coroutine_wrapper", "dict_items", "dict_keys", "dict_values", "mappingproxy", "anext_awaitable"}
    | {"Run"}  # of the compiled build: between two steps its flags say no more than what it refers to
)
_OF_C: Final = frozenset({"builtins", "_asyncio", "aiojobs._run"})

_KNOWN: Final[tuple[tuple[Any, _Taker], ...]] = (
    (asyncio.Task, _of_task),
    (asyncio.Future, _of_future),
    ((types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType), _of_coroutine),
    ((TurnHandle, TurnTimer), _of_handle),
    (enum.Enum, lambda member: (type(member).__qualname__, [member._value_])),
    ((types.ModuleType, types.CodeType, types.TracebackType, types.FrameType), _named),
    ((contextvars.ContextVar, logging.Logger), lambda item: (item.name, [])),
    (traceback.StackSummary, lambda _: ("traceback", [])),
    (contextvars.Context, _of_context),
    (types.MethodType, _of_method),
    ((types.BuiltinFunctionType, types.MethodWrapperType), _of_builtin),
    ((types.WrapperDescriptorType, types.MethodDescriptorType), _named),
    (types.CellType, _of_cell),
    (weakref.ref, lambda reference: ("weak", [reference()])),
    (type(functools.cache(int)), _of_memo),
    (type(threading.Lock()), lambda lock: (lock.locked(), [])),
    (itertools.count, lambda count: (repr(count), [])),
    (BaseException, _of_error),
    (defaultdict, _of_defaults),
    ((dict, OrderedDict), _of_mapping),
    (deque, _of_deque),
    (list, lambda items: (("list", len(items)), list(list.__iter__(items)))),
    (tuple, lambda items: (("tuple", len(items)), list(tuple.__iter__(items)))),
    ((set, frozenset), lambda items: (("set", len(items)), list(items))),
    (int, lambda number: (int.__index__(number), [])),
    (float, lambda number: (float.__float__(number), [])),
    (str, lambda text: (str.__str__(text), [])),
)
