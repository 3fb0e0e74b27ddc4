"""Training sets by Feast's registry: what a service needs of a spine, and the join with it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from streamflow.catalog.contract import Contract
from streamflow.feast.registry.contracts import contract_of_service, registered_names
from streamflow.feast.registry.request_inputs import join_keys, view_of
from streamflow.offline.spine.entities import SpineQuery, SpineRows

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


@dataclass(frozen=True)
class Needs:
    """The columns that a spine must have for a contract, and those that it may not have."""

    keys: Sequence[str]
    """The join keys of the views, by the names that the service gives them."""
    inputs: Sequence[str]
    """The values that on-demand views take from a request, which a spine has as columns."""
    taken: Sequence[str]
    """The names of the features, and of those that on-demand views are computed from."""
    joined: Sequence[str]
    """The names of the features that no on-demand view computes."""


def needs_of(store: "FeatureStore", contract: Contract) -> Needs:
    """Looks up what a spine has to have for a contract."""
    keys: dict[str, None] = {}
    inputs: dict[str, None] = {}
    names = [field.name for field in feature_fields(contract)]
    taken, computed = dict.fromkeys(names), set()
    for projection in projections(store, contract):
        view = view_of(store, projection)
        parts = [projection]
        if hasattr(view, "source_feature_view_projections"):
            # Feast keeps inputs in maps of protobuf, whose order changes between processes.
            parts = sorted(
                view.source_feature_view_projections.values(), key=lambda one: one.name_to_use()
            )
            computed.add(projection.name_to_use())
            inputs |= dict.fromkeys(sorted(view.get_request_data_schema()))
            taken |= dict.fromkeys(one.name for part in parts for one in part.features)
        for part in parts:
            keys |= dict.fromkeys(key.name for key in join_keys(view_of(store, part), part))
    owners = zip(names, contract.features, strict=True)
    return Needs(
        list(keys),
        [name for name in inputs if name not in keys],
        list(taken),
        [name for name, feature in owners if feature.view not in computed],
    )


def current(store: "FeatureStore", contract: Contract) -> "FeatureService | None":
    """The service that has a contract now; None where it has another by now, or is gone."""
    for service in store.list_feature_services():
        if service.name == contract.service:
            now = contract_of_service(service, store.list_on_demand_feature_views())
            return service if now.hash == contract.hash else None
    return None


def projections(store: "FeatureStore", contract: Contract) -> list[Any]:
    """The views of a contract as its service has them, or as they are where it has them no more."""
    if service := current(store, contract):
        return list(service.feature_view_projections)
    names = registered_names(store, contract).values()
    return [
        store.registry.get_any_feature_view(name.partition("@")[0], store.project).projection
        for name in names
    ]


def with_views(contract: Contract) -> bool:
    """True where features of two views have one name, so that columns need the views' names."""
    names = [one.name for one in contract.features]
    return len(set(names)) < len(names)


def feature_fields(contract: Contract) -> list[pa.Field]:
    """The features' columns of a training set in their exact types, Float32 as 32 bits.

    Each is called as its feature; `view__feature` where two views have features of one name.
    """
    full = with_views(contract)
    return [
        pa.field(f"{one.view}__{one.name}" if full else one.name, arrow_type(one.type))
        for one in contract.features
    ]


@contextmanager
def joined(
    store: "FeatureStore", contract: Contract, spine: SpineRows | SpineQuery
) -> Iterator[pa.RecordBatchReader]:
    """Yields the point-in-time join in batches: the columns of the spine, then the features.

    Raises:
        SpineRefused: the spine is not fit for it.
        QueryRefused: PostgreSQL does not take the spine's query.
        KeyMismatch: a key cannot be of the source's type.
    """
    features: Any = current(store, contract)
    if features is None:
        names = registered_names(store, contract)
        features = [f"{names[one.view]}:{one.name}" for one in contract.features]
    job = store.get_historical_features(
        entity_df=spine, features=features, full_feature_names=with_views(contract)
    )
    with job.to_record_batches() as batches:
        own = [batches.schema.field(name) for name in spine.columns]
        final = pa.schema([*own, *feature_fields(contract)])
        typed = (batch.select(final.names).cast(final) for batch in batches)
        yield pa.RecordBatchReader.from_batches(final, typed)


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
