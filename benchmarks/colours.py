"""The colours of the pictures: what follows the reader's scheme, light or dark, and what can be seen on both.

Rules of this file: paper, ink and grid are two colours each, and the file of a picture chooses by the scheme. A line
has one colour, which stands out from either paper by 3 to 1 at least, as WCAG asks of graphics.
"""

from __future__ import annotations

from typing import Final

from .contenders import LABELS

__all__ = ["DARK", "GRID", "INK", "LINES", "OTHERS", "PAPER", "following_the_scheme"]

PAPER: Final = "#ffffff"
INK: Final = "#1f2328"
GRID: Final = "#e0e3e7"
DARK: Final = {PAPER: "#0d1117", INK: "#e6edf3", GRID: "#2d333b"}
"""Colour in the light -> colour in the dark."""
LINES: Final = dict(
    zip(
        LABELS,
        (
            "#1f7ae0",  # this package, compiled: blue
            "#0f98a6",  # pure: teal
            "#1f7ae0",  # a tree of it
            "#e03c31",  # aiojobs 1.4.0: red
            "#7d7d7d",  # bare tasks: grey
            "#a0785a",  # in a chain: brown
            "#3a9d23",  # a group: green
            "#8a8f00",  # with a semaphore: olive
            "#a667d1",  # anyio: purple
            "#d9730d",  # aiometer: orange
            "#d6509a",  # aiostream: pink
        ),
        strict=True,
    )
)
"""Label -> colour."""
OTHERS: Final = "#7d7d7d"
_NAMES: Final = {PAPER: "--paper", INK: "--ink", GRID: "--grid"}


def following_the_scheme(svg: str) -> str:
    """A picture whose paper, ink and grid are chosen by whoever shows it."""
    for colour, name in _NAMES.items():
        svg = svg.replace(f": {colour}", f": var({name}, {colour})")
    light = "".join(f"{name}:{colour};" for colour, name in _NAMES.items())
    dark = "".join(f"{name}:{DARK[colour]};" for colour, name in _NAMES.items())
    style = f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    return svg.replace("<defs>", f"<defs>\n  {style}", 1)
