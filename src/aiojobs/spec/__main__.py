"""`python -m aiojobs.spec`: see `commands`.

Run as a folder, `python src/aiojobs/spec generate` does the same without importing the library. That is the
way out when the library can't be imported because the table that is generated for it is stale or broken.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType


def _stand_in_for_the_library() -> None:
    folder = Path(__file__).resolve().parent
    sys.path[0] = str(folder.parents[1])
    package = ModuleType("aiojobs")
    package.__path__ = [str(folder.parent)]
    sys.modules[package.__name__] = package


if __name__ == "__main__":
    if not __package__:
        _stand_in_for_the_library()

    from aiojobs.spec.commands import main

    sys.exit(main(sys.argv[1:]))
