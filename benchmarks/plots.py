"""The pictures of a run, as SVG, drawn by matplotlib.

Rules of this file: a picture shows medians that are in the tables too, and is the same file for the same
samples. It follows the reader's scheme, light or dark (`colours`). matplotlib is in the benchmark's environment
alone, so this is imported only for pictures.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from .colours import GRID, INK, LINES, OTHERS, PAPER, following_the_scheme
from .contenders import BARE, BASELINE, BUILDS
from .table import Samples
from .workloads import WORKLOADS

__all__ = ["PICTURES", "draw"]

_STYLE: Final[dict[str, Any]] = {
    "svg.hashsalt": "aiojobs",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "text.color"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
}

_LEGEND_INCHES: Final = 2.0
"""The width of one entry."""


def draw(samples: Samples, folder: Path) -> list[Path]:
    """Draw all pictures for which there are samples."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(_STYLE):
        for name, picture in PICTURES.items():
            figure = picture(samples)
            if figure is not None:
                path = folder / f"{name}.svg"
                path.write_text(_svg(figure), encoding="utf-8")
                drawn.append(path)
    return drawn


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    lines = "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
    return following_the_scheme(lines)


def _curves(samples: Samples, workloads: tuple[str, ...], *, total: bool = False) -> Figure | None:
    """Cost against the number of jobs, a panel for each workload."""
    measured = [name for name in workloads if len(samples.sizes(name)) > 1]
    if not measured:
        return None
    rows = (len(measured) + 1) // 2
    figure = Figure(figsize=(8, 2.8 * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, sharey=not total).flat
    for axes, name in zip(panels, measured, strict=False):
        for label in samples.contenders:
            curve = samples.curve(name, label)
            if len(curve) > 1:
                costs = [cost * (size if total else 1e6) for size, cost in curve.items()]
                _line(axes, label, list(curve), costs)
        axes.set(xscale="log", yscale="log", title=name)
        axes.set_xlabel("jobs")
        axes.set_ylabel("CPU seconds for all" if total else "CPU µs for each job")
        if not total:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        for axis, form in ((axes.xaxis, "{x:,.0f}"), (axes.yaxis, "{x:g}")):
            axis.set_major_formatter(form)
            axis.set_minor_formatter("")
    for axes in panels:
        axes.set_axis_off()
    _legend(figure)
    return figure


def _jobs(samples: Samples) -> Figure | None:
    return _curves(samples, ("spawn and drain", "spawn and wait", "spawn and wait_and_close", "slot latency"))


def _shutdown(samples: Samples) -> Figure | None:
    return _curves(samples, ("close active", "close pending"), total=True)


def _limits(samples: Samples) -> Figure | None:
    """Cost under sustained load against the limit."""
    rows = [row for row in WORKLOADS.values() if row.method == "sustained_load" and samples.sizes(row.name)]
    if not rows:
        return None
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for label in samples.contenders:
        costs = {row.limit: samples.cost(row.name, samples.main_size(row.name), label) for row in rows}
        points = {limit: cost.median * 1e6 for limit, cost in costs.items() if cost is not None}
        if points:
            _line(axes, label, list(points), list(points.values()))
    axes.set(xscale="log", title="sustained load", xlabel="limit", ylabel="CPU µs for each job")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(0, None)
    _legend(figure)
    return figure


def _memory(samples: Samples) -> Figure | None:
    """Bytes for each job, a group of bars for each state."""
    names = [row.name for row in WORKLOADS.values() if row.unit == "bytes" and samples.sizes(row.name)]
    if not names:
        return None
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    labels = [label for label in samples.contenders if any(samples.curve(name, label) for name in names)]
    width = 0.8 / max(1, len(labels))
    for place, label in enumerate(labels):
        costs = [samples.cost(name, samples.main_size(name), label) for name in names]
        bars = {group: cost.median for group, cost in enumerate(costs) if cost is not None}
        left = [group + place * width for group in bars]
        axes.bar(left, list(bars.values()), width, label=label, color=_colour(label))
    axes.set(title="memory", ylabel="bytes for each job")
    middles = [group + 0.4 - width / 2 for group in range(len(names))]
    axes.set_xticks(middles, [name.partition(", ")[2] for name in names])
    axes.grid(visible=False, axis="x")
    _legend(figure)
    return figure


def _line(axes: Any, label: str, x: list[int], y: list[float]) -> None:
    strong = label in {*BUILDS.values(), BASELINE, BARE}
    axes.plot(
        x, y, label=label, color=_colour(label), marker="o", markersize=3.5, linewidth=2 if strong else 1
    )


def _colour(label: str) -> str:
    return LINES.get(label, OTHERS)


def _legend(figure: Any) -> None:
    """One for all panels, below them."""
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = int(figure.get_figwidth() / _LEGEND_INCHES)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False)


PICTURES: Final[dict[str, Callable[[Samples], Figure | None]]] = {
    "cost-by-jobs": _jobs,
    "cost-by-limit": _limits,
    "memory": _memory,
    "shutdown": _shutdown,
}
"""Name of the file -> what draws it."""
