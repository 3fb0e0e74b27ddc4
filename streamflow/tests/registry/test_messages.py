"""Feast's messages as they are read without Feast: numbers, types, and what they leave alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.protos.feast.core import (
    DataSource_pb2,
    Feature_pb2,
    FeatureService_pb2,
    FeatureView_pb2,
    FeatureViewProjection_pb2,
    OnDemandFeatureView_pb2,
    StreamFeatureView_pb2,
)
from feast.types import Float32, Int64

from streamflow.catalog.layout import JSON, column_type
from streamflow.registry import messages
from streamflow.registry.intervals import with_intervals
from streamflow.registry.views import CREATED, POSTGRES, VALUE_TYPES

FEASTS = {
    **FeatureView_pb2.DESCRIPTOR.message_types_by_name,
    **StreamFeatureView_pb2.DESCRIPTOR.message_types_by_name,
    **OnDemandFeatureView_pb2.DESCRIPTOR.message_types_by_name,
    **DataSource_pb2.DESCRIPTOR.message_types_by_name,
    **FeatureService_pb2.DESCRIPTOR.message_types_by_name,
    **FeatureViewProjection_pb2.DESCRIPTOR.message_types_by_name,
    **Feature_pb2.DESCRIPTOR.message_types_by_name,
    "CustomSourceOptions": DataSource_pb2.DataSource.CustomSourceOptions.DESCRIPTOR,
    "Mapping": DataSource_pb2.DataSource.DESCRIPTOR.fields_by_name["field_mapping"].message_type,
}
WINDOW = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize("message", messages.FIELDS)
def test_every_field_has_the_number_and_the_type_that_feast_gives_it(message: str) -> None:
    theirs = FEASTS[message].fields_by_name
    for name, (number, kind) in messages.FIELDS[message].items():
        field, base = theirs[name], kind.removesuffix("[]")
        assert (field.number, field.is_repeated) == (number, kind != base), name
        if field.enum_type is not None:
            assert base == "int32"
        elif field.message_type is None:
            assert field.type == messages.SCALARS[base], name
        elif base != "bytes":
            assert base.rpartition(".")[2] in (field.message_type.name, "Mapping"), name


def test_value_types_are_those_that_have_a_column_of_their_own() -> None:
    assert {one.value: one.name for one in ValueType if one.name in VALUE_TYPES.values()} == (
        VALUE_TYPES
    )
    others = {one.name for one in ValueType} - set(VALUE_TYPES.values())
    assert {one for one in others if column_type(one) != JSON} == set()


def test_names_and_numbers_are_feasts() -> None:
    assert f"{PostgreSQLSource.__module__}.{PostgreSQLSource.__qualname__}" == POSTGRES
    assert FeatureView_pb2.FeatureViewState.Value("CREATED") == CREATED


def entry(**meta: Any) -> Any:
    """Feast's message of a view with whatever a view can have."""
    view = FeatureView(
        name="prices",
        entities=[Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)],
        schema=[Field(name="price", dtype=Float32, tags={"unit": "EUR", "b": "2"})],
        source=PostgreSQLSource(
            name="s", query="SELECT 1", timestamp_field="ts", field_mapping={"a": "b", "c": "d"}
        ),
        ttl=timedelta(days=3),
        description="Prices, as they were ❄",
        tags={f"tag {n}": str(n) for n in range(9)},
        owner="a@b",
    )
    view.entity_columns = [Field(name="shop_id", dtype=Int64)]
    found = view.to_proto()
    for name, value in meta.items():
        setattr(found.meta, name, value)
    return found


def test_an_entry_keeps_whatever_is_not_known_here_byte_for_byte() -> None:
    before = entry(version_id="a1", state=2, current_version_number=7)
    written = with_intervals(
        messages.VIEWS["feature_views"], before.SerializeToString(), [WINDOW, WINDOW]
    )
    assert before.spec.SerializeToString(deterministic=True) == (
        type(before).FromString(written).spec.SerializeToString(deterministic=True)
    )
    found = FeatureView.from_proto(type(before).FromString(written))
    assert found.materialization_intervals == [WINDOW]
    assert (found.state.name, found.current_version_number) == ("AVAILABLE_ONLINE", 7)
    assert type(before).FromString(written).meta.version_id == "a1"
    again = with_intervals(messages.VIEWS["feature_views"], written, [WINDOW])
    assert again == written


@pytest.mark.parametrize(
    ("version", "state", "then"), [("v2", 0, 0), ("version3", 2, 4), ("latest", 0, 4), ("", 0, 4)]
)
def test_a_pinned_version_without_a_state_stays_without(
    version: str, state: int, then: int
) -> None:
    before = entry(state=state)
    before.spec.version = version
    written = with_intervals(messages.VIEWS["feature_views"], before.SerializeToString(), [WINDOW])
    assert type(before).FromString(written).meta.state == then
