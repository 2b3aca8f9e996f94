"""Which public names of the library the programs of the documentation use, and where.

Rules of this file
    A *program* is whatever the tests run: the examples of a page, its files, and the programs under examples/.
    It uses a name if it imports it, or reaches it from a module that it imports. It uses a member of a class,
    such as ``Scheduler.spawn``, if it uses the class, or something that gives one, and has an attribute of that
    name. That is what the text says; what an object is nobody has asked.
"""

import ast
import importlib
import inspect
from collections import defaultdict
from dataclasses import dataclass

from docs import pages

MODULES = sorted(
    f"aiojobs.{path.stem}".removesuffix(".__init__")
    for path in (pages.ROOT / "src/aiojobs").iterdir()
    if not path.stem.startswith("_") and (path.suffix == ".py" or path.is_dir())
)
