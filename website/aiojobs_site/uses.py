"""Below each public name: the pages with an example that uses it.

Rules of this file
    An example is a program of a page, or one under examples/, which `docs/examples.md` lists. It uses a name if it
    imports it, or reaches it by a module that it imports. It uses a member of a class, such as ``Scheduler.spawn``,
    if it uses the module of the class and has an attribute of that name. That is what the text says: what an object
    is nobody asks.

    A name that a module gives on from another one, as `aiojobs.fastapi` does, is the same name.
"""

import ast
import importlib
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(?:<!-- file ([\w.]+),[^>]*-->\n)?^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MOST = 4
"""Pages that are named for one thing."""
_ORDER = ["docs", "howto", "reference", "explanation"]
_PAGES = sorted((_ROOT / "docs").rglob("*.md"), key=lambda path: (_ORDER.index(path.parts[-2]), path.name))
_SHOWN = {"class", "exception", "function", "method", "property", "data"}
_PUBLIC = sorted(path for path in (_ROOT / "src/aiojobs").glob("[!_]*") if path.suffix in {"", ".py"})
MODULES = ["aiojobs", *(f"aiojobs.{path.stem}" for path in _PUBLIC)]


@dataclass(frozen=True)
class _Program:
    """What a program imports of the library, and which attributes it mentions."""

    page: str
    names: frozenset[str]
    attributes: frozenset[str]


def _program(page, source):
    tree = ast.parse(source)
    names, modules = set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {one.asname or "aiojobs": one.name if one.asname else "aiojobs" for one in _ours(node)}
        elif isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "aiojobs":
            names |= {f"{node.module}.{one.name}" for one in node.names}
            modules |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    dotted = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    for name in dotted:
        first, _, rest = name.partition(".")
        if first in modules:
            names.add(f"{modules[first]}.{rest}")
    return _Program(page, frozenset(names), frozenset(name.rpartition(".")[2] for name in dotted))


def _ours(node):
    return [one for one in node.names if one.name.partition(".")[0] == "aiojobs"]


@cache
def _programs():
    found = []
    for path in _PAGES:
        sources = defaultdict(str)
        for number, (file, source) in enumerate(_BLOCK.findall(path.read_text(encoding="utf-8"))):
            sources[file or number] += source
        page = path.relative_to(_ROOT).with_suffix("").as_posix()
        found += [_program(page, source) for source in sources.values() if not source.startswith(" ")]
    sources = [path.read_text(encoding="utf-8") for path in sorted((_ROOT / "examples").glob("*.py"))]
    return [*found, *(_program("docs/examples", source) for source in sources)]


@cache
def _same(name):
    """The names under which public modules have what has this one."""
    module, _, last = name.rpartition(".")
    thing = getattr(importlib.import_module(module), last)
    return {f"{one}.{last}" for one in MODULES if getattr(importlib.import_module(one), last, None) is thing}


def _home(name):
    return max((one for one in MODULES if name.startswith(f"{one}.")), key=len)


def pages_with(name):
    """The pages whose examples use what has this full name, such as ``aiojobs.Scheduler.spawn``, once each."""
    home = _home(name)
    first, *members = name.removeprefix(f"{home}.").split(".")
    names = _same(f"{home}.{first}")
    if members:
        homes = {_home(one) for one in names}
        found = [one.page for one in _programs() if _of(homes, one) and members[-1] in one.attributes]
    else:
        found = [one.page for one in _programs() if one.names & names]
    return list(dict.fromkeys(found))


def _of(homes, program):
    return any(_home(f"{name}.") in homes or name in homes for name in program.names)


def _add_uses(_app, what, name, _object, _options, lines):
    if what in _SHOWN:
        found = pages_with(name)[:_MOST]
        if found:
            lines += ["", "Examples: " + ", ".join(f":doc:`/{page}`" for page in found) + ".", ""]


def setup(app):
    """Connect to Sphinx."""
    app.connect("autodoc-process-docstring", _add_uses, priority=900)
