"""Reads online features through Feast: a vector per key, each view with its time."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streamflow.catalog.contract import Contract
from streamflow.catalog.layout import NO_KEY
from streamflow.errors import ConfigurationError
from streamflow.feast.registry.open import translated
from streamflow.feast.registry.request_inputs import asked_by, is_computed, view_of
from streamflow.online.vectors import Key, Vector

if TYPE_CHECKING:
    from feast import FeatureStore

Times = list[datetime | None]


def read(store: "FeatureStore", contract: Contract, keys: Sequence[str | Key]) -> list[Vector]:
    """The vectors of `keys`, in their order; one that is unknown is empty (`found` is False).

    Args:
        keys: what asked_by.py says that the service is asked by; the bare value where that is one.

    Raises:
        ConfigurationError: Feast cannot answer the service as it is.
        StoreUnavailable: PostgreSQL does not answer.
        SchemaMissing: nothing was applied.
    """
    if not (keys and contract.features):
        return [Vector({}, {}) for _ in keys]
    from feast import FeatureService

    with translated():
        # By a reference to it: Feast compares what it is handed with the registry's, which fails
        # where a view is in the service twice.
        service = FeatureService(name=contract.service, features=[contract.features[0].reference])
        projections = store.get_feature_service(
            contract.service, allow_cache=True
        ).feature_view_projections
        views = {one.name_to_use(): view_of(store, one) for one in projections}
        computed = {name: view for name, view in views.items() if is_computed(view)}
        only = next((one.name for one in asked_by(store, contract.service)), NO_KEY)
        asked: list[Key] = [{only: key} if isinstance(key, str) else key for key in keys]
        full_names = has_equal_names(contract, computed.values())
        answer = store.get_online_features(
            features=service,
            entity_rows=[dict(key) or {NO_KEY: ""} for key in asked],
            full_feature_names=full_names,
        ).proto
        oldest = {name: times_of_inputs(store, view, asked) for name, view in computed.items()}
    found = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    columns = {}
    for one in contract.features:
        name = f"{one.view}__{one.name}" if full_names else one.name
        if name not in found:
            raise ConfigurationError(
                f"{one.reference}: Feast does not compute it beside features of the same name; ask "
                "for it in a service of its own"
            )
        columns[one.reference] = found[name]
    return [vector(contract, columns, oldest, key, row) for row, key in enumerate(asked)]


def read_single(store: "FeatureStore", contract: Contract, keys: Sequence[Key]) -> list[Vector]:
    """The vectors of `keys` with features that are of no service, called as in the registry.

    Raises as `read` does; none of them may be computed on demand.
    """
    with translated():
        answer = store.get_online_features(
            features=[one.reference for one in contract.features],
            entity_rows=[dict(key) for key in keys],
            full_feature_names=True,
        ).proto
    found = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    columns = {one.reference: found[f"{one.view}__{one.name}"] for one in contract.features}
    return [vector(contract, columns, {}, key, row) for row, key in enumerate(keys)]


def has_equal_names(contract: Contract, computed: Iterable[Any]) -> bool:
    """Tells if features need the names of their views to be told apart, inputs included.

    Else Feast is asked without: under full names it loses what is computed in Python, and guesses
    the types of the rest.
    """
    pairs = {(one.view, one.name) for one in contract.features} | {
        (source.name, feature.name)
        for view in computed
        for source in view.source_feature_view_projections.values()
        for feature in source.features
    }
    return len({name for _, name in pairs}) < len(pairs)


def times_of_inputs(store: "FeatureStore", view: Any, asked: Sequence[Key]) -> Times:
    """By key: the oldest instant of the rows that an on-demand view is computed from."""
    rows: list[list[datetime]] = [[] for _ in asked]
    for one in view.source_feature_view_projections.values():
        names = [key.name for key in view_of(store, one).entity_columns if key.name != NO_KEY]
        given = [
            {name: key[one.join_key_map.get(name, name)] for name in names} or {NO_KEY: ""}
            for key in asked
        ]
        answer = store.get_online_features(
            features=[f"{one.name}:{one.features[0].name}"],
            entity_rows=given,
            full_feature_names=True,
        ).proto
        for row, found in enumerate(rows):
            if time := time_of(answer.results[-1], row):
                found.append(time)
    return [min(found, default=None) for found in rows]


def time_of(column: Any, row: int) -> datetime | None:
    """The instant of a row of a column of Feast's answer; None where the key has no row."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    if column.statuses[row] in (FieldStatus.NOT_FOUND, FieldStatus.INVALID):
        return None
    found: datetime = column.event_timestamps[row].ToDatetime(UTC)
    return found


def vector(
    contract: Contract, columns: dict[str, Any], oldest: dict[str, Times], key: Key, row: int
) -> Vector:
    """Row `row` of Feast's columns, by reference, as the vector of `key`.

    Args:
        oldest: by view that is computed on demand, the instants of its inputs.
    """
    from feast.type_map import feast_value_type_to_python_type

    values: dict[str, Any] = {}
    as_of: dict[str, datetime | None] = {}
    for feature in contract.features:
        column = columns[feature.reference]
        time = oldest[feature.view][row] if feature.view in oldest else time_of(column, row)
        # A row that an older definition wrote may lack a newer feature; its view has a time.
        as_of[feature.view] = as_of.get(feature.view) or time
        values[feature.reference] = feast_value_type_to_python_type(column.values[row])
    return Vector(key, values, as_of)
