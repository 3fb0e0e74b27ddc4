"""The statistics of a training set's own columns, in the bins that a feature has already."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.training.stored import Stored
from jobs.training.target import Target
from jobs.training.verify import contract_in
from streamflow.errors import ConfigurationError
from streamflow.offline.features import feature_fields
from streamflow.statistics.counting.measured import LONGEST
from streamflow.statistics.counting.numbers import LARGEST
from streamflow.statistics.summary import PROBABILITIES, TOP, Summary, TableSummary

SECONDS = 86_400


@dataclass(frozen=True)
class SetOfRows:
    """The columns of a training set whose rows are of many times."""

    newest: datetime
    """The latest time of a row."""
    columns: Mapping[tuple[str, str], pa.ChunkedArray]
    """By view and feature."""

    def summary(self, view: str, like: TableSummary, days: frozenset[str]) -> TableSummary:
        """The statistics of a view's features.

        Args:
            like: tells the kind of each feature, and has the edges of its bins.
            days: the features that are counted in days.
        """
        found = {
            name: summary_of(self.columns[view, name], one, name in days)
            for name, one in like.columns.items()
        }
        rows = max((one.rows for one in found.values()), default=0)
        return TableSummary(view, self.newest, rows, found)


def read(out: str) -> SetOfRows:
    """The columns of a training set, which has to be the one that its manifest describes.

    Raises:
        ConfigurationError: it is not, or cannot be read.
    """
    target = Target(out)
    sha256, manifest = target.described()
    if sha256 != manifest.sha256:
        raise ConfigurationError(
            f"--against {target.out}: the file is not the one that its manifest describes"
        )
    contract = contract_in(target, manifest)
    stored = Stored(target, manifest, target.form(manifest.rows_per_file), contract)
    timestamp = manifest.spine["timestamp"]
    names = [one.name for one in feature_fields(contract)]
    table = pa.Table.from_batches(
        [one.select([timestamp, *names]) for one in stored.batches()],
        schema=pa.schema([stored.schema().field(one) for one in (timestamp, *names)]),
    )
    newest = pc.max(table.column(0).cast(pa.timestamp("us", tz="UTC"))).as_py()
    if newest is None:
        raise ConfigurationError(f"--against {target.out}: that training set has no row")
    references = [(one.view, one.name) for one in contract.features]
    return SetOfRows(newest, dict(zip(references, table.columns[1:], strict=True)))


def summary_of(values: pa.ChunkedArray, like: Summary, is_day: bool) -> Summary:
    """The statistics of a column as a month of the feature has them."""
    if like.kind == "number":
        return number(values, like, is_day)
    if like.kind == "category":
        return category(values)
    return Summary(kind="other", rows=len(values), nulls=values.null_count)


def number(values: pa.ChunkedArray, like: Summary, is_day: bool) -> Summary:
    """The statistics of a number."""
    known = values.drop_null()
    if pa.types.is_timestamp(known.type):
        seconds = known.cast(pa.timestamp("us", known.type.tz)).cast(pa.int64()).to_numpy() / 1e6
        every = seconds / SECONDS if is_day else seconds
    else:
        every = known.cast(pa.float64()).to_numpy()
    finite = every[np.abs(every) < LARGEST]
    edges = like.edges if finite.size else ()
    bins = np.bincount(np.searchsorted(edges, finite, "right"), minlength=len(edges) + 1)
    return Summary(
        kind="number",
        rows=len(values),
        nulls=values.null_count,
        not_finite=every.size - finite.size,
        distinct=np.unique(finite).size,
        minimum=float(finite.min()) if finite.size else None,
        maximum=float(finite.max()) if finite.size else None,
        mean=float(finite.mean()) if finite.size else None,
        deviation=float(finite.std(ddof=1)) if finite.size > 1 else None,
        quantiles=tuple(np.quantile(finite, PROBABILITIES, method="inverted_cdf").tolist())
        if finite.size
        else (),
        edges=tuple(like.edges),
        bins=tuple(bins.tolist()) if finite.size else (0,) * len(like.bins),
    )


def category(values: pa.ChunkedArray) -> Summary:
    """The statistics of a text or truth."""
    counted: Counter[str] = Counter()
    for one in pc.value_counts(values.drop_null().cast(pa.string())).to_pylist():
        counted[one["values"][:LONGEST]] += one["counts"]
    top = sorted(counted.items(), key=lambda one: (-one[1], one[0].encode()))[:TOP]
    return Summary(
        kind="category",
        rows=len(values),
        nulls=values.null_count,
        distinct=len(counted),
        categories=dict(top),
        others=counted.total() - sum(count for _, count in top),
    )
