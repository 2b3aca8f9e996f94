"""Below each public class and function: the pages with an example that uses it."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MOST = 4
"""Pages that are named for one thing."""
_ORDER = ["docs", "howto", "reference", "explanation"]
_CODE = {
    path.relative_to(_ROOT).with_suffix("").as_posix(): "\n".join(
        _BLOCK.findall(path.read_text(encoding="utf-8"))
    )
    for path in sorted(
        (_ROOT / "docs").rglob("*.md"), key=lambda path: (_ORDER.index(path.parts[-2]), path.name)
    )
}


def pages_with(name):
    """The pages whose examples use what has this qualified name, such as ``aiojobs.Scheduler.spawn``."""
    home = re.match(r"aiojobs(\.[a-z]\w*(?=\.))?", name)[0]
    parts = name.removeprefix(f"{home}.").split(".")
    word = re.compile(rf"\b{parts[0]}\b" if len(parts) == 1 else rf"\.{parts[-1]}\b")
    return [page for page, code in _CODE.items() if word.search(code) and re.search(rf"\b{home}\b", code)]


def _add_uses(_app, what, name, _object, _options, lines):
    if what in {"class", "exception", "function", "method"}:
        found = pages_with(name)[:_MOST]
        if found:
            lines += ["", "Examples: " + ", ".join(f":doc:`/{page}`" for page in found) + ".", ""]


def setup(app):
    """Connect to Sphinx."""
    app.connect("autodoc-process-docstring", _add_uses, priority=900)
