"""Views with other join keys and of every type, and rows in them, written through Feast."""

from datetime import UTC, datetime, timedelta
from typing import Any

from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    ScalarMap,
    Set,
    String,
    Struct,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)

AS_OF = datetime(2024, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
BERLIN = "Europe/Berlin"
UUID = "3f6f2a0e-5d0c-4f6e-9a35-9e2b8c1d7a10"
TYPES: dict[str, tuple[Any, Any, Any, Any]] = {
    # name: Feast's type, protobuf's field with its value, what /features says, Feast's server
    "int32": (Int32, {"int32_val": -(2**31)}, -(2**31), -(2**31)),
    "int64": (Int64, {"int64_val": 2**63 - 1}, 2**63 - 1, 2**63 - 1),
    "float32": (Float32, {"float_val": 29.85}, 29.850000381469727, 29.850000381469727),
    "float64": (Float64, {"double_val": 0.1}, 0.1, 0.1),
    "nan": (Float64, {"double_val": float("nan")}, None, "NaN"),
    "infinite": (Float32, {"float_val": float("-inf")}, None, "-Infinity"),
    "bool": (Bool, {"bool_val": True}, True, True),
    "string": (String, {"string_val": 'Zoë "🎬"\n'}, 'Zoë "🎬"\n', 'Zoë "🎬"\n'),
    "empty": (String, {"string_val": ""}, "", ""),
    "bytes": (Bytes, {"bytes_val": b"\xff\x00"}, "/wA=", "/wA="),
    "image": (ImageBytes, {"bytes_val": b"\x89PNG"}, "iVBORw==", "iVBORw=="),
    "instant": (
        UnixTimestamp,
        {"unix_timestamp_val": 1_700_000_000},
        "2023-11-14T22:13:20Z",
        1_700_000_000,
    ),
    "far": (
        UnixTimestamp,
        {"unix_timestamp_val": 253_402_300_799},
        "9999-12-31T23:59:59Z",
        253_402_300_799,
    ),
    "uuid": (Uuid, {"uuid_val": UUID}, UUID, UUID),
    "decimal": (Decimal, {"decimal_val": "1.10"}, "1.10", "1.10"),
    "json": (Json, {"json_val": '{"a": [1, null]}'}, {"a": [1, None]}, '{"a": [1, null]}'),
    "no_json": (Json, {"json_val": "{"}, "{", "{"),
    "ints": (Array(Int64), {"int64_list_val": [1, 2**60]}, [1, 2**60], [1, 2**60]),
    "floats": (
        Array(Float32),
        {"float_list_val": [29.85, float("nan")]},
        [29.850000381469727, None],
        [29.850000381469727, "NaN"],
    ),
    "strings": (Array(String), {"string_list_val": ["a", ""]}, ["a", ""], ["a", ""]),
    "nothing": (Array(String), {"string_list_val": []}, [], []),
    "instants": (
        Array(UnixTimestamp),
        {"unix_timestamp_list_val": [0]},
        ["1970-01-01T00:00:00Z"],
        [0],
    ),
    "contents": (Array(Bytes), {"bytes_list_val": [b"\xff"]}, ["/w=="], ["/w=="]),
    "jsons": (Array(Json), {"json_list_val": ["[1]", "x"]}, [[1], "x"], ["[1]", "x"]),
    "set": (Set(Int64), {"int64_set_val": [3]}, [3], [3]),
    "map": (
        Map,
        {
            "map_val": {
                "n": Value(int64_val=2**60),
                "f": Value(float_val=29.85),
                "none": Value(),
                "nan": Value(double_val=float("nan")),
                "t": Value(unix_timestamp_val=0),
                "b": Value(bytes_val=b"\xff"),
            }
        },
        {
            "n": 2**60,
            "f": 29.850000381469727,
            "none": None,
            "nan": None,
            "t": "1970-01-01T00:00:00Z",
            "b": "/w==",
        },
        {"n": 2**60, "f": 29.850000381469727, "none": None, "nan": "NaN", "t": 0, "b": "/w=="},
    ),
    "struct": (Struct({"a": Int64}), {"struct_val": {"a": Value(int64_val=1)}}, *[{"a": 1}] * 2),
    "maps": (
        Array(Map),
        {"map_list_val": [{"val": {"a": Value(bool_val=True)}}]},
        *[[{"a": True}]] * 2,
    ),
    "lists": (
        Array(Array(Int64)),
        {"list_val": [Value(int64_list_val={"val": [1, 2]}), Value(int64_list_val={"val": []})]},
        *[[[1, 2], []]] * 2,
    ),
    "pairs": (
        ScalarMap,
        {"scalar_map_val": [{"key": {"int64_key": 5}, "value": Value(string_val="x")}]},
        {"5": "x"},
        None,
    ),
    "zoned": (
        ZonedTimestamp,
        {"zoned_timestamp_val": {"unix_timestamp": 0, "zone": BERLIN}},
        *["1970-01-01T01:00:00+01:00"] * 2,
    ),
    "offset": (
        ZonedTimestamp,
        {"zoned_timestamp_val": {"unix_timestamp": 0, "zone": "UTC-05:30"}},
        *["1969-12-31T18:30:00-05:30"] * 2,
    ),
}
"""A value of every type of Feast's, as it is written and as it is answered."""

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)


def view(name: str, entities: list[Entity], **features: Any) -> FeatureView:
    """A view whose source is never read."""
    return FeatureView(
        name=name,
        entities=entities,
        schema=[
            *(Field(name=one.join_key, dtype=String if one is user else Int64) for one in entities),
            *(Field(name=feature, dtype=dtype) for feature, dtype in features.items()),
        ],
        source=PostgreSQLSource(
            name=f"{name}_source",
            query="SELECT 1",
            timestamp_field="as_of",
        ),
    )


types_fv = view("types_fv", [user], **{name: one[0] for name, one in TYPES.items()})
shop_fv = view("shop_fv", [shop], city=String, score=Float64)
visits_fv = view("visits_fv", [user, shop], visits=Int64, rating=Float32)
everyone_fv = view("everyone_fv", [], holidays=Int64)


def objects(profile: FeatureView) -> list[Any]:
    """All views and services of this module; `profile` is subs_profile_fv."""
    # Feast cannot compare a service that has a view with and without another name.
    two = profile[["months_active", "net_service"]]
    me, friend = two.with_name("me"), two.with_name("friend")
    here, other = shop_fv.with_name("here"), shop_fv.with_name("other")
    there = other.with_join_key_map({"shop_id": "other_shop_id"})
    return [
        user,
        shop,
        types_fv,
        shop_fv,
        visits_fv,
        everyone_fv,
        FeatureService(name="types_v1", features=[types_fv]),
        FeatureService(name="visits_v1", features=[visits_fv, shop_fv, profile]),
        FeatureService(name="shops_v1", features=[here, there]),
        FeatureService(
            name="friends_v1",
            features=[me, friend.with_join_key_map({"user_id": "friend_id"})],
        ),
        FeatureService(name="everyone_v1", features=[everyone_fv, profile[["months_active"]]]),
        FeatureService(name="holidays_v1", features=[everyone_fv]),
    ]


def message(described: dict[str, Any]) -> Value:
    """A protobuf Value with one field set."""
    [(field, value)] = described.items()
    if isinstance(value, (list, dict)) and field != "zoned_timestamp_val":
        return Value(**{field: {"val": value}})
    return Value(**{field: value})


def write(store: FeatureStore) -> None:
    """Rows of users, shops and both; some values are null, some rows are not there."""
    rows = {
        "types_fv": [
            ({"user_id": "all"}, {name: message(one[1]) for name, one in TYPES.items()}),
            ({"user_id": "none"}, {name: Value() for name in TYPES}),
        ],
        "shop_fv": [
            ({"shop_id": 1}, {"city": Value(string_val="Bonn"), "score": Value(double_val=0.5)}),
            ({"shop_id": 2}, {"city": Value(), "score": Value(double_val=1e300)}),
            ({"shop_id": 5}, {"city": Value(), "score": Value(double_val=float("inf"))}),
            ({"shop_id": -(2**63)}, {"city": Value(string_val=""), "score": Value()}),
        ],
        "visits_fv": [
            (
                {"user_id": user_id, "shop_id": shop_id},
                {"visits": Value(int64_val=number), "rating": Value(float_val=number / 3)},
            )
            for number, (user_id, shop_id) in enumerate(
                [("7590-VHVEG", 1), ("7590-VHVEG", 2), ("0002-ORFBO", 1), ("1", 11), ("11", 1)]
            )
        ],
        "everyone_fv": [({"__dummy_id": ""}, {"holidays": Value(int64_val=11)})],
    }
    online = store._get_provider().online_store
    for name, found in rows.items():
        data = [
            (
                EntityKey(
                    join_keys=list(keys),
                    entity_values=[
                        Value(int64_val=key) if isinstance(key, int) else Value(string_val=key)
                        for key in keys.values()
                    ],
                ),
                values,
                AS_OF + timedelta(seconds=at),
                AS_OF,
            )
            for at, (keys, values) in enumerate(found)
        ]
        table = store.get_feature_view(name) if name != "everyone_fv" else everyone_fv
        online.online_write_batch(store.config, table, data, None)
