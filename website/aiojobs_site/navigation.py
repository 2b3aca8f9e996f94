"""The menu: the pages in the order in which docs/index.md names them, under the headings of their folders."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_GROUPS = {
    "Start": ["README.md", "docs/tutorial.md"],
    "How-to guides": "docs/howto/",
    "Reference": "docs/reference/",
    "Explanation": "docs/",
    "The specification": ["spec/README.md", "spec/tla/README.md", "spec/mutants/README.md"],
    "The project": ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md"],
}


def groups():
    """Each heading of the menu with its pages, in order."""
    named = dict.fromkeys(
        re.findall(r"\]\(([\w./-]+\.md)[)#]", (_ROOT / "docs/index.md").read_text(encoding="utf-8"))
    )
    order = [f"docs/{page}" for page in named]
    order += sorted(path.relative_to(_ROOT).as_posix() for path in (_ROOT / "docs").rglob("*.md"))
    free = [page for page in dict.fromkeys(order) if page not in {"docs/index.md", "docs/tutorial.md"}]
    found = {}
    for caption, pages in _GROUPS.items():
        found[caption] = (
            pages if isinstance(pages, list) else [page for page in free if page.startswith(pages)]
        )
        free = [page for page in free if page not in found[caption]]
    found["Reference"] = [*found["Reference"], "docs/reference/python/index.rst"]
    return found


def _add_menu(_app, docname, content):
    if docname != "docs/index":
        return
    for caption, pages in groups().items():
        listed = "\n".join(f"/{page}" for page in pages)
        content[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n:maxdepth: 2\n\n{listed}\n```\n"


def setup(app):
    """Connect to Sphinx."""
    app.connect("source-read", _add_menu)
