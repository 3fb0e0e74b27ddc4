"""The results of measurements: rows of samples by side, with targets."""

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

OURS, STOCK = "ours", "stock Feast"
LESS_IS_BETTER = ("s", "ms", "µs", "MB", "MB of WAL")
"""Units of which less is better; of the others (requests/s) more is."""


@dataclass
class Row:
    """One piece of work, done by each side; a side that did not do it says why."""

    work: str
    unit: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    """By side, in the order they were measured."""
    missing: dict[str, str] = field(default_factory=dict)
    """By side: why there is no figure."""
    targets: dict[str, float] = field(default_factory=dict)
    """By peer: how many times as good as it ours has to be."""
    at_most: float | None = None
    """The most that ours may take, in the row's unit."""

    def add(self, side: str, sample: float) -> None:
        """One more sample of a side."""
        self.samples.setdefault(side, []).append(sample)

    def median(self, side: str) -> float | None:
        """The median of a side, None where it has no sample."""
        found = self.samples.get(side)
        return statistics.median(found) if found else None

    def ratio(self, peer: str) -> float | None:
        """Returns how many times as good as `peer` ours is; above 1 ours is better.

        Where both have as many rounds it is the median of the rounds' ratios, which a machine
        that slows down for a while does not change; else the ratio of the medians.
        """
        ours, theirs = self.samples.get(OURS), self.samples.get(peer)
        if not ours or not theirs:
            return None
        if len(ours) != len(theirs):
            ours, theirs = [statistics.median(ours)], [statistics.median(theirs)]
        pairs = (
            zip(theirs, ours, strict=True)
            if self.less_is_better
            else zip(ours, theirs, strict=True)
        )
        return statistics.median(above / below for above, below in pairs)

    @property
    def less_is_better(self) -> bool:
        """True if less is better in the row's unit."""
        return self.unit in LESS_IS_BETTER

    def misses(self) -> list[str]:
        """The targets that ours misses, in words."""
        found = []
        for peer, target in self.targets.items():
            ratio = self.ratio(peer)
            if ratio is not None and ratio < target:
                found.append(f"{self.work}: {ratio:.2g}× {peer}, target {target:.2g}×")
        ours = self.median(OURS)
        if self.at_most is not None and ours is not None and ours > self.at_most:
            found.append(f"{self.work}: {ours:.3g} {self.unit}, target {self.at_most:g}")
        return found


@dataclass
class Section:
    """A table of the document."""

    title: str
    peers: list[str]
    """The sides after ours, in the order of the columns."""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    series: dict[str, dict[float, float]] = field(default_factory=dict)
    """For the plot: by side, median seconds by size."""
    picture: str = ""
    """File name of the plot, its title and the name of its axis of sizes, separated by |."""
    failed: str = ""

    def row(self, work: str, unit: str, **more: Any) -> Row:
        """A new row at the end."""
        self.rows.append(Row(work, unit, **more))
        return self.rows[-1]

    def growth(self, size_name: str) -> str:
        """Describes, for each size, the cost of a thousand `size_name`; equal costs are linear."""
        sides = [
            f"{side} "
            + ", ".join(
                f"{number(1e6 * cost / size)} at {size:,.0f}" for size, cost in points.items()
            )
            for side, points in self.series.items()
        ]
        return f"Milliseconds for a thousand {size_name}: {'; '.join(sides)}."

    def document(self) -> dict[str, Any]:
        """The section as plain JSON."""
        return asdict(self)


def section_of(document: Mapping[str, Any]) -> Section:
    """Rebuilds a section from `Section.document`, also after a round trip through JSON."""
    rows = [Row(**row) for row in document["rows"]]
    series = {
        side: {float(size): value for size, value in points.items()}
        for side, points in document["series"].items()
    }
    return Section(**{**document, "rows": rows, "series": series})


def number(value: float) -> str:
    """Formats a number with three significant digits and a separator of thousands."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
