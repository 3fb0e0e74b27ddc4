"""The features of a contract by Feast's registry and its SDK."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from streamflow.catalog.contract import Contract
from streamflow.feast.registry.contracts import contract_of_service, registered_names
from streamflow.feast.registry.request_inputs import join_keys, view_of
from streamflow.offline.features import (
    Features,
    Needs,
    Spine,
    feature_fields,
    in_types,
    with_views,
)

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


def features_of(store: "FeatureStore", contract: Contract) -> Features:
    """The features of a contract, joined by Feast's SDK."""
    return Features(contract, needs_of(store, contract), partial(joined, store, contract))


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


@contextmanager
def joined(
    store: "FeatureStore", contract: Contract, spine: Spine
) -> Iterator[pa.RecordBatchReader]:
    """Yields the point-in-time join as Features.joined does."""
    features: Any = current(store, contract)
    if features is None:
        names = registered_names(store, contract)
        features = [f"{names[one.view]}:{one.name}" for one in contract.features]
    job = store.get_historical_features(
        entity_df=spine, features=features, full_feature_names=with_views(contract)
    )
    with (
        job.to_record_batches() as batches,
        in_types(batches, spine, contract) as typed,
    ):
        yield typed
