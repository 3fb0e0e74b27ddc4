"""Reads online features through Feast: one vector per user, each view with its time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_repo.contract import Contract
from feature_repo.store import translated

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class Vector:
    """A user's online features."""

    user_id: str
    values: dict[str, Any]
    """By feature reference (`view:name`), in the contract's order; null and missing are None.

    A 32-bit float is the Python float it equals, so 29.85 is 29.850000381469727.
    """
    as_of: dict[str, datetime | None] = field(default_factory=dict)
    """By view: the instant its values describe, UTC; None where the user has no row."""

    @property
    def found(self) -> bool:
        """Whether any view has a row of this user."""
        return any(instant is not None for instant in self.as_of.values())


def read(store: "FeatureStore", contract: Contract, user_ids: Sequence[str]) -> list[Vector]:
    """The vectors of `user_ids`, in their order; an unknown user's is empty (`found` is False).

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
        SchemaMissing: nothing was applied.
    """
    if not user_ids:
        return []
    with translated():
        answer = store.get_online_features(
            features=[feature.reference for feature in contract.features],
            entity_rows=[{"user_id": user_id} for user_id in user_ids],
            full_feature_names=True,
        ).proto
    columns = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    return [vector(contract, columns, user_id, row) for row, user_id in enumerate(user_ids)]


def vector(contract: Contract, columns: dict[str, Any], user_id: str, row: int) -> Vector:
    """Row `row` of Feast's columns (named `view__feature`) as the vector of `user_id`."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
    from feast.type_map import feast_value_type_to_python_type

    values: dict[str, Any] = {}
    as_of: dict[str, datetime | None] = {}
    for feature in contract.features:
        column = columns[f"{feature.view}__{feature.name}"]
        there = column.statuses[row] in (FieldStatus.PRESENT, FieldStatus.NULL_VALUE)
        time = column.event_timestamps[row].ToDatetime(UTC) if there else None
        # A row that an older definition wrote may lack a newer feature; its view has a time.
        as_of[feature.view] = as_of.get(feature.view) or time
        values[feature.reference] = (
            feast_value_type_to_python_type(column.values[row]) if there else None
        )
    return Vector(user_id, values, as_of)
