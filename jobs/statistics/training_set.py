"""The statistics of a training set's own columns, in the bins that a feature has already."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from jobs.training.stored import Stored
from jobs.training.target import Target
from jobs.training.verify import contract_in
from streamflow.errors import ConfigurationError
from streamflow.offline.features import feature_fields
from streamflow.statistics.counting.in_memory import summary_of
from streamflow.statistics.summary import TableSummary


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
