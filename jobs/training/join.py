"""Joins the labels of a day point-in-time with a service's features, by Feast's offline store."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from psycopg import sql

from streamflow import settings, snapshots
from streamflow.catalog.contract import Contract
from streamflow.errors import ConfigurationError
from streamflow.feast.registry.contracts import registered_names

if TYPE_CHECKING:
    from feast import FeatureStore

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
    store: "FeatureStore", contract: Contract, instant: datetime
) -> Iterator[pa.RecordBatchReader]:
    """Yields the point-in-time join in batches, in the types of the contract and sorted by user."""
    names = registered_names(store, contract)
    job = store.get_historical_features(
        entity_df=labels_of(instant),
        features=[f"{names[one.view]}:{one.name}" for one in contract.features],
    )
    final = columns(contract)
    with job.to_record_batches() as batches:
        typed = (batch.select(final.names).cast(final) for batch in batches)
        yield pa.RecordBatchReader.from_batches(final, typed)


def labels_of(instant: datetime) -> str:
    """The query of the labels of an instant."""
    declared = snapshots.load(settings.streamflow().feature_repo)
    query = sql.SQL(LABELS).format(
        label=sql.Identifier(declared.label),
        table=sql.Identifier("source", declared.labels.table),
        as_of=instant.isoformat(),
    )
    return query.as_string()


def require_no_request_data(store: "FeatureStore", service: str) -> None:
    """Refuses a service with features that need values of a request.

    Raises:
        ConfigurationError: an on-demand view takes values from the request; names it and them.
    """
    views = {one.name: one for one in store.list_on_demand_feature_views()}
    for projection in store.get_feature_service(service).feature_view_projections:
        view = views.get(projection.name)
        if view is not None and (names := sorted(view.get_request_data_schema())):
            raise ConfigurationError(
                f"feature service {service}: on-demand feature view {view.name} takes "
                f"{', '.join(names)} from the request, which labels do not have"
            )


def columns(contract: Contract) -> pa.Schema:
    """The columns of a training set and their exact types, Float32 as 32 bits."""
    return pa.schema(
        [
            pa.field("user_id", pa.string()),
            pa.field("event_timestamp", pa.timestamp("us", tz="UTC")),
            *(pa.field(one.name, arrow_type(one.type)) for one in contract.features),
            label_field(),
        ]
    )


def label_field() -> pa.Field:
    """The label's name and type."""
    declared = snapshots.load(settings.streamflow().feature_repo)
    (column,) = declared.labels.columns.values()
    return pa.field(declared.label, LABEL_TYPES[column.type])


def arrow_type(feast_type: str) -> pa.DataType:
    """The Arrow type of a Feast type by its name: Int64, Float32, Array(String), Map, …

    Maps, structs and lists of lists are their JSON text.
    """
    from feast import types

    if feast_type.endswith("Bytes"):
        return pa.binary()
    if (listed := re.fullmatch(r"(?:Array|Set)\((\w+)\)", feast_type)) and listed[1] != "Map":
        return pa.list_(arrow_type(listed[1]))
    if "(" in feast_type or feast_type in ("Map", "ScalarMap"):
        return pa.string()
    return types.from_feast_to_pyarrow_type(getattr(types, feast_type))
