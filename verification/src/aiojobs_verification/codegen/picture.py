"""The lifecycle as an inline SVG picture, drawn from the machine of the specification.

How it works: a state's column is the length of the longest way to it, so that every arrow points to the
right; states of one column stand below each other. Arrows between neighbouring columns are straight, longer
ones pass above or below in an arc. Nothing is measured and nothing is random: the same machine gives the same
bytes.

Deliberately not here: declared no-ops and illegal cells. They are in the table beside the picture.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiojobs_verification.specification.machine import Machine

_WIDTH: Final = 110
_HEIGHT: Final = 44
_COLUMN: Final = 230
_ROW: Final = 110
_RISE: Final = 36
_MARGIN: Final = 20
_ABOVE: Final = 110

_STYLE: Final = (
    "text{font:14px sans-serif;text-anchor:middle;dominant-baseline:middle;fill:currentColor}"
    "text.event{font-style:italic;font-size:13px}"
    "rect,path{fill:none;stroke:currentColor;stroke-width:1.5}"
    "rect.final{stroke-width:4}"
    "marker path{fill:currentColor;stroke:none}"
)
_INK: Final = "svg{color:#1f2328}@media (prefers-color-scheme:dark){svg{color:#e6edf3}}"
_HEAD: Final = (
    '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path d="M0 0L10 5L0 10z"/></marker></defs>'
)


def svg(machine: Machine) -> str:
    """The picture: states are boxes, final ones with a heavy border; transitions are arrows."""
    places = _places(machine)
    width = max(x for x, _ in places.values()) + _WIDTH + _MARGIN
    height = max(y for _, y in places.values()) + _HEIGHT + _MARGIN
    label = escape(", ".join(machine.states))
    arrows = _arrows(machine).items()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>The lifecycle: {label}</title>",
        f"<style>{_STYLE}</style>",
        _HEAD,
        *(_box(state, place, state in machine.final) for state, place in places.items()),
        *(_arrow(places[source], places[dest], events) for (source, dest), events in arrows),
        "</svg>",
    ]
    return "\n".join(parts)


def standalone(machine: Machine) -> str:
    """The same as a file, for pages that show it as an image: its ink follows the colour scheme of the reader."""
    return svg(machine).replace("<style>", f"<style>{_INK}", 1) + "\n"


def _arrows(machine: Machine) -> dict[tuple[str, str], str]:
    """One arrow per pair of states, labelled with every event that leads along it."""
    arrows: dict[tuple[str, str], str] = {}
    for source, event, dest in machine.moves():
        known = arrows.get((source, dest))
        arrows[source, dest] = f"{known}, {event}" if known else event
    return arrows


def _places(machine: Machine) -> dict[str, tuple[int, int]]:
    """The upper left corner of each state's box."""
    columns = _columns(machine)
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for state in machine.states:
        column = columns[state]
        row = rows[column] = rows.get(column, -1) + 1
        places[state] = (_MARGIN + column * _COLUMN, _ABOVE + row * _ROW)
    return places


def _columns(machine: Machine) -> dict[str, int]:
    """The longest way to each state. A lifecycle has no circle; for one that had, the bound ends this."""
    columns = dict.fromkeys(machine.states, 0)
    for _ in machine.states:
        for source, _event, dest in machine.moves():
            columns[dest] = max(columns[dest], min(columns[source] + 1, len(columns) - 1))
    return columns


def _box(state: str, place: tuple[int, int], final: bool) -> str:
    x, y = place
    kind = ' class="final"' if final else ""
    return (
        f'<rect{kind} x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>'
        f'<text x="{x + _WIDTH // 2}" y="{y + _HEIGHT // 2}">{escape(state)}</text>'
    )


def _arrow(source: tuple[int, int], dest: tuple[int, int], label: str) -> str:
    (x1, y1), (x2, y2) = source, dest
    if x1 == x2:
        return _straight(x1 + _WIDTH // 2, y1 + _HEIGHT, x2 + _WIDTH // 2, y2, label)
    if x2 - x1 > _COLUMN:
        return _arc(x1 + _WIDTH // 2, y1, x2 + _WIDTH // 2, y2, label)
    return _straight(x1 + _WIDTH, y1 + _HEIGHT // 2, x2, y2 + _HEIGHT // 2, label)


def _straight(x1: int, y1: int, x2: int, y2: int, label: str) -> str:
    """A line; the label stands above it, or beside it where it is steep."""
    line = f'<path d="M{x1} {y1}L{x2} {y2}" marker-end="url(#head)"/>'
    beside = 0 if y1 == y2 else 34
    return line + _label((x1 + x2) // 2 + beside, (y1 + y2) // 2 - 12, label)


def _arc(x1: int, y1: int, x2: int, y2: int, label: str) -> str:
    """Over the boxes, from top to top; the longer, the higher, so that no two of them coincide."""
    top = min(y1, y2)
    rise = (x2 - x1) * _RISE // _COLUMN
    curve = f"M{x1} {y1}C{x1 + 30} {top - rise} {x2 - 30} {top - rise} {x2} {y2}"
    # The curve itself rises to three quarters of the height of its control points.
    return f'<path d="{curve}" marker-end="url(#head)"/>' + _label(
        (x1 + x2) // 2, top - rise * 3 // 4 - 10, label
    )


def _label(x: int, y: int, text: str) -> str:
    return f'<text class="event" x="{x}" y="{y}">{escape(text)}</text>'
