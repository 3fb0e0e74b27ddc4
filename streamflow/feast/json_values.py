"""Feast's messages of maps, structs and nested lists, made of JSON; nothing of it becomes another.

Feast's own conversion makes 0 or "" of a null in a list, and takes no list of different types.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from feast.protos.feast.types.Value_pb2 import Map, MapList, RepeatedValue, Value, ZonedTimestamp
from feast.types import Array, FeastType, Set

from streamflow.errors import ValueRefused
from streamflow.postgres.refusals import SHOWN

LEAVES: dict[str, tuple[tuple[type, ...], str]] = {
    "INT32": ((int,), "whole number"),
    "INT64": ((int,), "whole number"),
    "FLOAT": ((int, float), "number"),
    "DOUBLE": ((int, float), "number"),
    "BOOL": ((bool,), "boolean"),
}
"""By value type, what Python makes of its JSON, and what that is called; of all others, texts."""
LISTS: tuple[tuple[type, str], ...] = (
    (bool, "bool_list_val"),
    (int, "int64_list_val"),
    (float, "double_list_val"),
    (str, "string_list_val"),
)


def maker(label: str, dtype: FeastType) -> Callable[[Any], Value]:
    """Makes the message of a feature of the type out of what `SourceValue.stored` gives for it.

    It raises ValueRefused, which begins with `label` and says what no feature of the type can be.
    """
    make = plain_maker(dtype)

    def made(found: Any) -> Value:
        try:
            return make(found)
        except ValueError as error:
            raise ValueRefused(f"{label}: {str(found)[:SHOWN]} {error}") from None

    return made


def plain_maker(dtype: FeastType) -> Callable[[Any], Value]:
    """Makes the message as `maker` does; its ValueError says what there is to say of the value."""
    value_type = dtype.to_value_type().name
    if value_type == "ZONED_TIMESTAMP":
        return lambda found: Value(
            zoned_timestamp_val=ZonedTimestamp(unix_timestamp=found, zone="UTC")
        )
    if value_type in ("MAP", "STRUCT"):
        field = f"{value_type.lower()}_val"
        return lambda found: Value(**{field: map_of(read(found))})
    if value_type in ("MAP_LIST", "STRUCT_LIST"):
        field = f"{value_type.lower()}_val"
        return lambda found: Value(**{field: maps_of(read(found))})
    field = "list_val" if value_type == "VALUE_LIST" else "set_val"
    return lambda found: Value(**{field: nested_of(read(found), dtype)})


def read(text: str) -> Any:
    """The object that a JSON text says."""
    return json.loads(text)


def map_of(found: dict[str, Any]) -> Map:
    """An object as Feast's Map."""
    return Map(val={key: any_of(one) for key, one in found.items()})


def maps_of(found: list[Any]) -> MapList:
    """A list of objects as Feast's MapList."""
    if not all(isinstance(one, dict) for one in found):
        raise ValueError("is no list of JSON objects")
    return MapList(val=map(map_of, found))


def nested_of(found: list[Any], dtype: FeastType) -> RepeatedValue:
    """A list of lists, whose elements have to be what the type says."""
    require(found, dtype)
    return RepeatedValue(val=map(any_of, found))


def require(found: Any, dtype: FeastType) -> None:
    """Returns when a value that is not null has the type; raises ValueError."""
    if found is None:
        return
    if isinstance(dtype, Array | Set):
        if not isinstance(found, list):
            raise ValueError("has an element that is no list")
        for one in found:
            require(one, dtype.base_type)
        return
    types, called = LEAVES.get(dtype.to_value_type().name, ((str,), "text"))
    if not isinstance(found, types) or (isinstance(found, bool) and bool not in types):
        raise ValueError(f"has an element that is no {called}")


def any_of(found: Any) -> Value:
    """Feast's Value of anything that JSON can say, the empty one for null."""
    match found:
        case None:
            return Value()
        case bool():
            return Value(bool_val=found)
        case int():
            require_in_range(found)
            return Value(int64_val=found)
        case float():
            require_in_range(found)
            return Value(double_val=found)
        case str():
            return Value(string_val=found)
        case dict():
            return Value(map_val=map_of(found))
    return list_of(found)


def list_of(found: list[Any]) -> Value:
    """A list: of one type where its elements have one, else of Values."""
    kinds = set(map(type, found))
    for kind, field in LISTS:
        if kinds == {kind}:
            if kind in (int, float):
                for one in found:
                    require_in_range(one)
            value = Value()
            getattr(value, field).val.extend(found)
            return value
    if kinds == {dict}:
        return Value(map_list_val=maps_of(found))
    return Value(list_val=RepeatedValue(val=map(any_of, found)))


def require_in_range(number: float) -> None:
    """Returns when 64 bits hold a number; raises ValueError."""
    if not (-(2**63) <= number < 2**63 if isinstance(number, int) else math.isfinite(number)):
        raise ValueError("has a number that is out of range")
