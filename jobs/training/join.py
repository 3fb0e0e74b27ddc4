"""Joins the labels of a day point-in-time with a service's features: a spine with a label."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
from psycopg import sql

from streamflow import settings, snapshots, training
from streamflow.catalog.contract import Contract
from streamflow.errors import ConfigurationError
from streamflow.offline.features import Features, feature_fields
from streamflow.offline.spine.spine import Spine

LABELS = """
    SELECT user_id, as_of AS event_timestamp, {label}
    FROM {table} WHERE as_of = {as_of} ORDER BY user_id COLLATE "C" """
"""One row per user of the month: the entities, their time and their label.

Sorted by the bytes of user_id, so that no locale decides the order."""
LABEL_TYPES = {
    "boolean": pa.bool_(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "text": pa.string(),
    "date": pa.date32(),
}
"""Arrow's type of a label, by PostgreSQL's."""


@contextmanager
def joined(
    features: Features, labels: str | Spine, split: training.Split | None
) -> Iterator[training.TrainingSet]:
    """Yields the training set of a month's labels, in the types of `columns`, sorted by user.

    Args:
        labels: the rows of the month, or the query of them.
    """
    with training.opened(labels, features, split=split) as made:
        final = columns(features.contract)
        if split is not None:
            final = final.append(made.reader.schema.field(training.SPLIT))
        typed = (batch.select(final.names).cast(final) for batch in made.reader)
        yield replace(made, reader=pa.RecordBatchReader.from_batches(final, typed))


def labels_query(instant: datetime) -> str:
    """The query of the labels of an instant."""
    declared = snapshots.load(settings.streamflow().feature_repo)
    query = sql.SQL(LABELS).format(
        label=sql.Identifier(declared.label),
        table=sql.Identifier("source", declared.labels.table),
        as_of=instant.isoformat(),
    )
    return query.as_string()


def require_no_request_data(features: Features) -> None:
    """Refuses a service with features that need values of a request.

    Raises:
        ConfigurationError: an on-demand view takes values from the request; names them.
    """
    if inputs := features.needs.inputs:
        raise ConfigurationError(
            f"feature service {features.contract.service} takes {', '.join(inputs)} from the "
            "request, which labels do not have"
        )


def columns(contract: Contract) -> pa.Schema:
    """The columns of a training set and their exact types, Float32 as 32 bits."""
    return pa.schema(
        [
            pa.field("user_id", pa.string()),
            pa.field("event_timestamp", pa.timestamp("us", tz="UTC")),
            *feature_fields(contract),
            label_field(),
        ]
    )


def label_field() -> pa.Field:
    """The label's name and type."""
    declared = snapshots.load(settings.streamflow().feature_repo)
    (column,) = declared.labels.columns.values()
    return pa.field(declared.label, LABEL_TYPES[column.type])
