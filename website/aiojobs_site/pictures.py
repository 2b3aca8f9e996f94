"""Mermaid blocks become SVG in the page, without anybody's server: lifecycles and sequences, as these pages use them.

What this does not know is an error, so that no picture is quietly left out.
"""

import re
from html import escape

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from aiojobs_verification.codegen import picture

_ARROW = re.compile(r"(\S+?)\s*-+>+\s*(\S+?)(?:\s*:\s*(.+))?")
_COLUMN, _ROW, _TOP = 128, 30, 44
_STYLE = (
    "text{font:13px sans-serif;text-anchor:middle;fill:currentColor}"
    "path{fill:none;stroke:currentColor}path.life{opacity:.35;stroke-dasharray:3 4}"
    "marker path{fill:currentColor;stroke:none}"
)
_HEAD = (
    '<defs><marker id="to" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L10 5L0 10z"/></marker></defs>'
)


class Mermaid(SphinxDirective):
    """A fenced block."""

    has_content = True

    def run(self):
        """As inline SVG."""
        kind, *lines = [line.strip() for line in self.content if line.strip()]
        drawn = {"stateDiagram-v2": lifecycle, "sequenceDiagram": sequence}[kind](lines)
        return [nodes.raw("", f'<div class="picture">{drawn}</div>', format="html")]


class Lifecycle:
    """What `picture.svg` asks of a machine, read from a block."""

    def __init__(self, lines):
        """Read the arrows."""
        arrows = [_arrow(line) for line in lines if not line.startswith("direction")]
        self._moves = [arrow for arrow in arrows if "[*]" not in arrow[:2]]
        self.final = {source for source, dest, _ in arrows if dest == "[*]"}
        self.states = list(dict.fromkeys(name for arrow in self._moves for name in arrow[:2]))

    def moves(self):
        """Each transition: from where, by what, to where."""
        return [(source, label, dest) for source, dest, label in self._moves]


def _arrow(line):
    found = _ARROW.fullmatch(line)
    if found is None:
        raise ValueError(f"a picture has a line that is not understood: {line!r}")
    return found[1], found[2], found[3] or ""


def lifecycle(lines):
    """A state diagram."""
    return picture.svg(Lifecycle(lines))


def sequence(lines):
    """A sequence diagram: who calls whom, from top to bottom."""
    names = [line.removeprefix("participant ") for line in lines if line.startswith("participant ")]
    calls = [_arrow(line) for line in lines if not line.startswith("participant ")]
    at = {name: _COLUMN // 2 + number * _COLUMN for number, name in enumerate(names)}
    height = _TOP + _ROW * (len(calls) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_COLUMN * len(names)} {height}" role="img">',
        f"<title>{escape(', '.join(names))}</title><style>{_STYLE}</style>{_HEAD}",
        *(f'<text x="{x}" y="20" font-weight="bold">{escape(name)}</text>' for name, x in at.items()),
        *(f'<path class="life" d="M{x} 30V{height}"/>' for x in at.values()),
        *(
            _call(at[source], at[dest], _TOP + _ROW * (row + 1), label)
            for row, (source, dest, label) in enumerate(calls)
        ),
        "</svg>",
    ]
    return "".join(parts)


def _call(x1, x2, y, label):
    line = f"M{x1} {y}H{x2}" if x1 != x2 else f"M{x1} {y - 8}h24v10h-22"
    middle = (x1 + x2) // 2 if x1 != x2 else x1 + 46
    return f'<path d="{line}" marker-end="url(#to)"/><text x="{middle}" y="{y - 6}">{escape(label)}</text>'


def setup(app):
    """Connect to Sphinx."""
    app.add_directive("mermaid", Mermaid)
