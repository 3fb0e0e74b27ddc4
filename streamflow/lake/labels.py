"""The labels of a month from the lake, as the spine of a training set."""

from collections.abc import Iterator
from datetime import datetime

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from streamflow.lake.join import Lake
from streamflow.lake.types import TYPES
from streamflow.offline.arrow import BATCH_ROWS
from streamflow.offline.join.entities import EVENT_TIMESTAMP
from streamflow.offline.spine.spine import Spine, spine_of
from streamflow.snapshots import KEY, TIME


def labels_of(lake: Lake, instant: datetime) -> Spine:
    """The users of a month with its instant and their label, sorted by the bytes of their keys.

    Args:
        instant: one that `lake.labels` has.
    """
    label = lake.declared.label
    schema = pa.schema(
        [
            pa.field(KEY, pa.string()),
            pa.field(EVENT_TIMESTAMP, pa.timestamp("us", "UTC")),
            pa.field(label, TYPES[lake.declared.labels.columns[label].type].arrow),
        ]
    )

    def read() -> Iterator[pa.RecordBatch]:
        # A month is stored in this order.
        with fsspec.open(lake.labels[instant], "rb") as file, pq.ParquetFile(file) as month:
            for batch in month.iter_batches(BATCH_ROWS, columns=[KEY, TIME, label]):
                columns = [batch.column(one) for one in (KEY, TIME, label)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return spine_of("the labels", EVENT_TIMESTAMP, schema, read)
