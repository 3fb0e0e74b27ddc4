"""The statistics of a table's columns at one instant, as they are stored and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Kind = Literal["number", "category", "other"]
"""Numbers have bins, categories are counted each, and of anything else only nulls are counted."""

PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The quantiles that are kept of a number."""
TOP = 20
"""So many categories are counted by name; the others together."""
EXACT_ROWS = 100_000
"""Up to so many rows, quantiles and the number of distinct values of a number are exact; above,
they are estimated from about so many rows, which a hash of the key chooses."""


@dataclass(frozen=True)
class Frequent:
    """A value that many more rows have than any other, in a column of many different values."""

    value: str
    count: int
    next_count: int
    """The rows that have the second most frequent value."""
    column: str | None = None
    """Another column of the same rows that has one value in exactly these; None for none."""
    column_value: str | None = None
    """The one value of that column; None where it is null."""


@dataclass(frozen=True)
class Relation:
    """The order in which a number puts rows of a true and of a false label."""

    auc: float | None
    """The area under the ROC curve; None where all labels are alike, or no row has a value."""
    positives: int
    """Rows with a value whose label is true; where the month is large, of a sample."""
    negatives: int


@dataclass(frozen=True)
class Summary:
    """The statistics of one column at one instant."""

    kind: Kind
    rows: int
    nulls: int
    not_finite: int = 0
    """NaN, infinities, and numbers beyond 1e150, of which there would be no standard deviation."""
    distinct: int | None = None
    """The number of different values, without null; None of what is only counted."""
    is_exact: bool = True
    """False where `distinct` and the quantiles are estimates from a sample."""
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None
    """The standard deviation of a sample (n - 1); None for fewer than two values."""
    quantiles: Sequence[float] = ()
    """Values of the column at PROBABILITIES; empty without any value."""
    edges: Sequence[float] = ()
    """The edges between bins, ascending; empty until a month had values. See edges.py."""
    bins: Sequence[int] = ()
    """Values below the first edge, from each edge to the next, and from the last one on."""
    categories: Mapping[str, int] = field(default_factory=dict)
    """The most frequent categories, the first one most."""
    others: int = 0
    """Values of categories that are not among these."""
    frequent: Frequent | None = field(default=None, compare=False)
    """Only of a number."""
    relation: Relation | None = field(default=None, compare=False)
    """Only of a number in a month that has labels."""

    @property
    def values(self) -> int:
        """The number of values that are not null."""
        return self.rows - self.nulls

    @property
    def null_rate(self) -> float | None:
        """The share of nulls; None without a row."""
        return self.nulls / self.rows if self.rows else None

    @property
    def is_constant(self) -> bool:
        """True where every value is the same one; nulls may be beside it."""
        if self.kind == "number":
            return (
                self.not_finite == 0 and self.minimum is not None and self.minimum == self.maximum
            )
        return self.distinct == 1

    @property
    def is_complete(self) -> bool:
        """True where every category is counted by name."""
        return self.others == 0


@dataclass(frozen=True)
class TableSummary:
    """The statistics of a table, or of a feature view, at one instant."""

    name: str
    instant: datetime
    rows: int
    columns: Mapping[str, Summary]
    before: datetime | None = None
    """The instant before this one; None for the first."""
    new: int | None = None
    """Entities that the instant before had not; None for the first."""
    vanished: int | None = None
    """Entities that only the instant before had; None for the first."""
