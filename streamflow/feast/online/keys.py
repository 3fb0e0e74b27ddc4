"""Primary keys of the online tables, as requests of Feast's SDK give them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from streamflow.catalog.layout import NO_KEY, Layout, column_type
from streamflow.feast.online.values import named
from streamflow.online.read import Row


def keys_of(asked: Mapping[str, Sequence[Value]], names: Sequence[str]) -> list[Row]:
    """The primary keys that a request asks for, in its order.

    Raises:
        KeyError: a join key is not given, or has no values.
        ValueError: one is null.
    """
    columns = []
    for name in names:
        if not asked.get(name):
            raise KeyError(f"Missing join key values for keys: {[name]}; given: {sorted(asked)}")
        fields: list[Any] = [value.WhichOneof("val") for value in asked[name]]
        if not all(fields) or "null_val" in fields:
            raise ValueError(f"join key {name} is null")
        columns.append(
            [getattr(value, field) for value, field in zip(asked[name], fields, strict=True)]
        )
    return list(zip(*columns, strict=True))


def keys_in(entity_keys: Iterable[EntityKey], layout: Layout) -> list[Row]:
    """The primary keys of Feast's entity keys; raises as `key_of` does."""
    return [key_of(one, layout) for one in entity_keys]


def key_of(entity_key: EntityKey, layout: Layout) -> tuple[Any, ...]:
    """The values of a row's primary key, in the layout's order.

    Raises:
        ValueError: a key is missing, null, of another type, or a text that PostgreSQL cannot
            hold.
    """
    if layout.join_keys == (NO_KEY,):
        return ("",)
    given = dict(zip(entity_key.join_keys, entity_key.entity_values, strict=False))
    if given.keys() != set(layout.join_keys):
        raise ValueError(f"join keys {sorted(given)} where {list(layout.join_keys)} belong")
    return tuple(
        key_value(given[name], name, column.type)
        for name, column in zip(layout.join_keys, layout.keys, strict=True)
    )


def key_value(value: Value, name: str, wanted: str) -> Any:
    """The value of the join key `name`, whose column has the type `wanted`; raises as `key_of`."""
    field = value.WhichOneof("val")
    if field is None or field == "null_val":
        raise ValueError(f"join key {name} is null")
    if column_type(named(field).upper()) != wanted:
        raise ValueError(f"join key {name} is {named(field)} where {wanted} belongs")
    found = getattr(value, field)
    if wanted == "text" and "\0" in found:
        raise ValueError(f"join key {name} has a NUL character, which PostgreSQL cannot hold")
    return found
