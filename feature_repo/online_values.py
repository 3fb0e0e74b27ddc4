"""Between Feast's protobuf values and what PostgreSQL's driver takes and gives."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from feast.protos.feast.types import Value_pb2
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE
from google.protobuf import json_format

from feature_repo.online_layout import JSON, column_type

AS_BYTES = ("PDF_BYTES", "IMAGE_BYTES")
"""Value types that Feast keeps in the field of plain bytes."""


def field_of(value_type: str) -> str:
    """The field of Feast's Value that holds a value type: INT64 is in `int64_val`."""
    return "bytes_val" if value_type in AS_BYTES else f"{value_type.lower()}_val"


@cache
def reader(value_type: str) -> Callable[[Any], Value]:
    """Makes Feast's Value of a column's value; null is the empty Value."""
    if column_type(value_type) == JSON:
        return lambda found: Value() if found is None else json_format.ParseDict(found, Value())
    field = field_of(value_type)
    if column_type(value_type).endswith("[]"):
        message = type(getattr(Value(), field))
        return lambda found: Value() if found is None else Value(**{field: message(val=found)})
    return lambda found: Value() if found is None else Value(**{field: found})


def written(value: Value, value_type: str) -> Any:
    """What the driver writes into the column of `value_type`; None for null.

    Raises:
        ValueError: the value is of another type, or a text that PostgreSQL cannot hold.
    """
    field = value.WhichOneof("val")
    if field is None or field == "null_val":
        return None
    if column_type(value_type) == JSON:
        return json_format.MessageToJson(value, indent=None)
    wanted = field_of(value_type)
    if field != wanted:
        raise ValueError(
            f"{field.removesuffix('_val')} where {wanted.removesuffix('_val')} belongs"
        )
    found = getattr(value, field)
    if value_type == "UNIX_TIMESTAMP" and found == NULL_TIMESTAMP_INT_VALUE:
        return None
    if column_type(value_type).endswith("[]"):
        found = list(found.val)
    texts = found if isinstance(found, list) else [found]
    if any(isinstance(text, str) and "\0" in text for text in texts):
        raise ValueError("a text with a NUL character, which PostgreSQL cannot hold")
    return found


def key_of(entity_key: EntityKey, join_keys: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of a row's primary key, in the order of `join_keys`.

    Raises:
        ValueError: a key is missing, null, or a text that PostgreSQL cannot hold.
    """
    given = dict(zip(entity_key.join_keys, entity_key.entity_values, strict=True))
    if given.keys() != set(join_keys):
        raise ValueError(f"join keys {sorted(given)} where {list(join_keys)} belong")
    found = []
    for name in join_keys:
        field = given[name].WhichOneof("val")
        value = getattr(given[name], field) if field and field != "null_val" else None
        if value is None:
            raise ValueError(f"join key {name} is null")
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"join key {name} has a NUL character, which PostgreSQL cannot hold")
        found.append(value)
    return tuple(found)


def key_types(entity_key: EntityKey) -> dict[str, str]:
    """The value types by join key of an entity key, as far as its values tell."""
    fields = Value_pb2.Value.DESCRIPTOR.fields_by_name
    return {
        name: (value.WhichOneof("val") or "string_val").removesuffix("_val").upper()
        for name, value in zip(entity_key.join_keys, entity_key.entity_values, strict=True)
        if (value.WhichOneof("val") or "string_val") in fields
    }


def in_utc(instant: datetime) -> datetime:
    """An aware instant; Feast's naive ones are UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
