"""Draws pictures of measurements as SVG: seconds by size, and figures over time.

The same figures give the same text: no date, no random ids. A line is told from the others by
color, dashes and marks together, and a picture brings its white ground along, for dark pages.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
"""The palette of Okabe and Ito, whose colors stay apart for those who see fewer."""
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 2), (2, 2), (8, 2, 2, 2))
MARKS = ("o", "s", "^", "D", "v")
MARKED = 6
"""Marks on a line of many points."""
GRID = "#d9d9d9"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "streamflow",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#7f7f7f",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.xmargin": 0.02,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.handlelength": 4,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
}
WIDTH = 8.0
"""Inches of 72 units, as the heights below."""
GROWTH_HEIGHT, PANEL_HEIGHT, TITLE_HEIGHT = 4.6, 2.0, 0.5

Line = Sequence[tuple[float, float]]
"""Points: seconds from the beginning, and the figure."""


@dataclass(frozen=True)
class Panel:
    """Lines over time that have a unit in common."""

    title: str
    unit: str
    lines: Mapping[str, Line]
    """By what each belongs to; none is empty."""


def draw_growth(title: str, size_name: str, series: Mapping[str, Mapping[float, float]]) -> str:
    """Draws seconds by size, both axes logarithmic, as SVG text.

    Args:
        size_name: what the sizes count, the label of their axis.
        series: by side, seconds by size; a side without a point is left out.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, GROWTH_HEIGHT))
        axes = figure.add_subplot(title=title, xlabel=size_name, ylabel="seconds")
        axes.set(xscale="log", yscale="log")
        for number, (side, points) in enumerate(drawn(series).items()):
            _line(axes, number, side, sorted(points.items()))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(plain)
        _whole_decades(axes)
        figure.legend(loc="outside lower center", ncols=2)
        return _svg(figure, title)


def draw_over_time(title: str, panels: Sequence[Panel]) -> str:
    """Draws panels below each other, with minutes across, as SVG text."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, PANEL_HEIGHT * len(panels) + TITLE_HEIGHT))
        figure.suptitle(title, fontweight="bold")
        rows = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(rows, panels, strict=True):
            axes.set_title(panel.title)
            axes.set_ylabel(panel.unit)
            for number, (name, line) in enumerate(panel.lines.items()):
                _line(axes, number, name, [(at / 60, value) for at, value in line])
            _scale(axes, [value for line in panel.lines.values() for _, value in line])
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes.set_xlabel("minutes from the beginning")
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.set_xlim(left=0)
        figure.align_ylabels()
        return _svg(figure, title)


def drawn(series: Mapping[str, Mapping[float, float]]) -> dict[str, Mapping[float, float]]:
    """The sides that have a point."""
    return {side: points for side, points in series.items() if points}


def plain(value: float, _: float = 0) -> str:
    """A figure at a mark of an axis, written out: 1,000,000 and 0.001."""
    return f"{value:,.10g}"


def _line(axes: Axes, number: int, name: str, points: Sequence[tuple[float, float]]) -> None:
    """Adds a line; where it has many points only some are marked, others than its neighbors'."""
    step = max(1, len(points) // MARKED)
    across, up = zip(*points, strict=True)
    axes.plot(
        across,
        up,
        label=name,
        color=COLORS[number % len(COLORS)],
        dashes=DASHES[number % len(DASHES)],
        marker=MARKS[number % len(MARKS)],
        markevery=(number * step // len(MARKS) % step, step),
        clip_on=False,  # a mark at the edge is seen whole
    )


def _whole_decades(axes: Axes) -> None:
    """Widens both axes to whole powers of ten, so that each has a mark at its ends."""
    data = axes.dataLim
    for widen, low, high in ((axes.set_xlim, *data.intervalx), (axes.set_ylim, *data.intervaly)):
        first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
        widen(10.0**first, 10.0 ** max(last, first + 1))


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Counts from zero, or by powers of ten where the highest is over a hundred times the lowest.

    The lowest is above zero then.
    """
    from matplotlib.ticker import MaxNLocator

    low, high = min(values), max(values)
    if 0 < low < high / 100:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, high * 1.1 or 1.0)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(plain)


def _svg(figure: Figure, title: str) -> str:
    """The picture's text."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", metadata={**nothing, "Title": title})
    return text.getvalue()
