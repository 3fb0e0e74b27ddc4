"""The times of entity rows and spines as instants, whatever type a column has."""

import pyarrow as pa

from streamflow.offline.arrow import INSTANT
from streamflow.offline.copy import microseconds
from streamflow.offline.join.refusals import NotATime

NO_TIME = "the column with the times of the entity rows holds no times"


def instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as UTC instants; dates, naive times and text without a zone are UTC.

    Raises:
        NotATime: they are no times.
    """
    kind = column.type
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), INSTANT)])
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(INSTANT)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        import pandas as pd  # which takes a quarter of a second, and times are seldom text

        try:
            read = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
        except ValueError as error:
            raise NotATime(NO_TIME) from error
        column = pa.chunked_array([pa.array(read)])
    if not pa.types.is_timestamp(column.type):
        raise NotATime(NO_TIME)
    return microseconds(column).cast(INSTANT)
