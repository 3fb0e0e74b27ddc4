"""Generated values of every type that Feast has, and rows and requests of them."""

import string
from datetime import UTC, datetime
from typing import Any

from feast.protos.feast.types import Value_pb2
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    FeastType,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    PdfBytes,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)
from hypothesis import strategies as st

from streamflow.feast.online.values import field_of

SCALARS = {
    "bytes": Bytes,
    "pdf": PdfBytes,
    "image": ImageBytes,
    "string": String,
    "int32": Int32,
    "int64": Int64,
    "double": Float64,
    "float": Float32,
    "bool": Bool,
    "seconds": UnixTimestamp,
    "uuid": Uuid,
    "time_uuid": TimeUuid,
    "decimal": Decimal,
    "json": Json,
}
LISTED = [name for name in SCALARS if name not in ("pdf", "image")]
TYPES: dict[str, FeastType] = {
    **SCALARS,
    **{f"{name}_list": Array(SCALARS[name]) for name in LISTED},
    **{f"{name}_set": Set(SCALARS[name]) for name in LISTED if name != "json"},
    "map": Map,
    "map_list": Array(Map),
    "scalar_map": ScalarMap,
    "zoned": ZonedTimestamp,
    "struct": Struct({"x": Int64, "y": String}),
    "struct_list": Array(Struct({"x": Int64})),
    "nested": Array(Array(Int64)),
    "nested_set": Array(Set(String)),
    "set_of_lists": Set(Array(Float64)),
}
"""Types by the name of a feature, but for what Feast cannot declare: an array of PdfBytes or
ZonedTimestamp, a set of Json or Map, a list or set of ScalarMap."""

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
int32s = st.integers(-(2**31), 2**31 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
seconds = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(
    lambda instant: int(instant.timestamp())
)
"""Instants that a date can name; Feast's SDK cannot read any other."""
raw: dict[str, st.SearchStrategy[Any]] = {
    "bytes": st.binary(max_size=12),
    "pdf": st.binary(max_size=12),
    "image": st.binary(max_size=12),
    "string": texts,
    "int32": int32s,
    "int64": int64s,
    "double": st.floats(),
    "float": st.floats(width=32),
    "bool": st.booleans(),
    "seconds": seconds,
    "uuid": st.uuids().map(str),
    "time_uuid": st.uuids().map(str),
    "decimal": st.decimals().filter(lambda one: not one.is_snan()).map(str),  # it has no hash
    "json": st.sampled_from(
        ["{}", ' {"a" : 1.0 , "a": "\\u0000"}', "null", "[1e400]", '"\\u00fc"']
    ),
}
"""Strategies for the field of Feast's Value, by scalar type."""


def value(name: str) -> st.SearchStrategy[Value]:
    """Values of the type that `TYPES` has under `name`; also the empty one, which is null."""
    return st.one_of(st.just(Value()), filled(name))


def filled(name: str) -> st.SearchStrategy[Value]:
    """Values that are not null."""
    field = field_of(TYPES[name].to_value_type().name)
    if name in raw:
        return raw[name].map(lambda found: Value(**{field: found}))
    base, _, kind = name.rpartition("_")
    if base in raw:
        message = type(getattr(Value(), field))
        elements = st.lists(raw[base], max_size=4, unique=kind == "set")
        return elements.map(lambda found: Value(**{field: message(val=found)}))
    return {
        "map": maps.map(lambda found: Value(map_val=found)),
        "map_list": st.lists(maps, max_size=3).map(
            lambda found: Value(map_list_val=Value_pb2.MapList(val=found))
        ),
        "struct": maps.map(lambda found: Value(struct_val=found)),
        "struct_list": st.lists(maps, max_size=3).map(
            lambda found: Value(struct_list_val=Value_pb2.MapList(val=found))
        ),
        "scalar_map": scalar_maps.map(lambda found: Value(scalar_map_val=found)),
        "zoned": st.builds(
            lambda seconds, zone: Value(
                zoned_timestamp_val=Value_pb2.ZonedTimestamp(unix_timestamp=seconds, zone=zone)
            ),
            seconds,
            st.sampled_from(["", "UTC", "Europe/Vienna", "UTC-07:00"]),
        ),
        "nested": nested("int64_list").map(lambda found: Value(list_val=found)),
        "nested_set": nested("string_set").map(lambda found: Value(list_val=found)),
        "set_of_lists": nested("double_list").map(lambda found: Value(set_val=found)),
    }[name]


def nested(name: str) -> st.SearchStrategy[Any]:
    """Lists of lists."""
    return st.lists(value(name), max_size=3).map(lambda found: Value_pb2.RepeatedValue(val=found))


inner = st.one_of(
    value("string"),
    value("double"),
    value("int64"),
    value("bytes"),
    value("bool_list"),
    value("float"),
    st.just(Value(string_val="\0")),
    st.just(Value(map_val=Value_pb2.Map(val={"deep": Value(list_val=Value_pb2.RepeatedValue())}))),
)
maps = st.dictionaries(st.text(string.ascii_letters, max_size=3), inner, max_size=3).map(
    lambda found: Value_pb2.Map(val=found)
)
map_keys = st.one_of(
    int64s.map(lambda key: Value_pb2.MapKey(int64_key=key)),
    st.floats().map(lambda key: Value_pb2.MapKey(double_key=key)),
    st.binary(max_size=4).map(lambda key: Value_pb2.MapKey(bytes_key=key)),
)
scalar_maps = st.lists(
    st.builds(lambda key, one: Value_pb2.ScalarMapEntry(key=key, value=one), map_keys, inner),
    max_size=3,
).map(lambda found: Value_pb2.ScalarMap(val=found))
