"""Joins the labels of a day point-in-time with a service's features, by Feast's offline store."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from streamflow.catalog.contract import Contract, registered_names
from streamflow.errors import ConfigurationError

if TYPE_CHECKING:
    from feast import FeatureStore

LABEL = "churn_label"
LABELS = """
    SELECT user_id, as_of AS event_timestamp, churn_label
    FROM source.labels_snapshots WHERE as_of = '{as_of}' ORDER BY user_id COLLATE "C" """
"""One row per user of the month: the entities, their time and their label.

Sorted by the bytes of user_id, so that no locale decides the order."""


@contextmanager
def joined(
    store: "FeatureStore", contract: Contract, instant: datetime
) -> Iterator[pa.RecordBatchReader]:
    """Yields the point-in-time join in batches, in the types of the contract and sorted by user."""
    names = registered_names(store, contract)
    job = store.get_historical_features(
        entity_df=LABELS.format(as_of=instant.isoformat()),
        features=[f"{names[one.view]}:{one.name}" for one in contract.features],
    )
    final = columns(contract)
    with job.to_record_batches() as batches:
        typed = (batch.select(final.names).cast(final) for batch in batches)
        yield pa.RecordBatchReader.from_batches(final, typed)


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
            pa.field(LABEL, pa.bool_()),
        ]
    )


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
