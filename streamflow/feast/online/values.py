"""Between Feast's protobuf values and what PostgreSQL's driver takes and gives."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, feast_value_type_to_python_type
from google.protobuf import json_format

from streamflow.catalog.layout import JSON, column_type

FIELDS = {
    "PDF_BYTES": "bytes_val",
    "IMAGE_BYTES": "bytes_val",
    "VALUE_LIST": "list_val",
    "VALUE_SET": "set_val",
}
"""The fields of Feast's Value that are not called as the value type that they hold."""
ALSO = {"UNIX_TIMESTAMP_LIST": "int64_list_val"}
"""Fields in which Feast hands over a value type besides its own (a list that came as JSON)."""


UNREADABLE = (TypeError, ValueError, ArithmeticError, OSError)
"""Errors of Feast's SDK, for all that was asked with it, where it cannot make an object of a
value: an instant that no date can name, a UUID or decimal number that is none."""


def field_of(value_type: str) -> str:
    """The field of Feast's Value that holds a value type: INT64 is in `int64_val`."""
    return FIELDS.get(value_type, f"{value_type.lower()}_val")


@cache
def reader(value_type: str) -> Callable[[Value, Any], Any]:
    """Puts what the driver gives for a column, not null, into an empty Value of Feast's.

    It raises one of UNREADABLE for what Feast's SDK cannot read. No write stores such a value,
    but one of an earlier version did.
    """
    put = plain_reader(value_type)
    if not may_be_unreadable(value_type):
        return put

    def put_readable(value: Value, found: Any) -> None:
        put(value, found)
        feast_value_type_to_python_type(value)

    return put_readable


def plain_reader(value_type: str) -> Callable[[Value, Any], Any]:
    """The reader without a look at what the SDK can read."""
    field = field_of(value_type)
    if column_type(value_type) == JSON:
        return lambda value, found: json_format.ParseDict(found, value)
    if column_type(value_type).endswith("[]"):
        message = type(getattr(Value(), field))
        return lambda value, found: getattr(value, field).CopyFrom(message(val=found))
    return lambda value, found: setattr(value, field, found)


def may_be_unreadable(value_type: str) -> bool:
    """True for a type with values of which Feast's SDK cannot make an object."""
    return column_type(value_type) == JSON or value_type.startswith(
        ("UNIX_TIMESTAMP", "UUID", "TIME_UUID", "DECIMAL")
    )


@cache
def writer(value_type: str) -> Callable[[Value], Any]:
    """Makes what the driver writes into a column of Feast's Value; None for null.

    It raises ValueError for a value of another type, for a text that PostgreSQL cannot hold, and
    for what Feast's SDK cannot read.
    """
    field, also, kind = field_of(value_type), ALSO.get(value_type), column_type(value_type)
    taken: Callable[[Value, str], Any] = getattr
    if kind == JSON:
        taken = as_json
    elif kind.endswith("[]"):
        taken = as_list
    elif kind == "text":
        taken = as_text
    elif value_type == "UNIX_TIMESTAMP":
        taken = as_seconds

    careful = may_be_unreadable(value_type)

    def written(value: Value) -> Any:
        found = value.WhichOneof("val")
        if careful:
            require_readable(value)
        if found == field:
            return taken(value, field)
        if found is None or found == "null_val":
            return None
        if found == also:
            return taken(value, found)
        raise ValueError(f"{named(found)} where {named(field)} belongs")

    return written


def require_readable(value: Value) -> None:
    """Returns when Feast's SDK can make an object of a value, else raises ValueError."""
    try:
        feast_value_type_to_python_type(value)
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"a value that Feast's SDK cannot read ({reason})") from None


def named(field: str) -> str:
    """A field of Feast's Value as a message names it."""
    return field.removesuffix("_val")


def as_json(value: Value, field: str) -> str:
    """The whole Value as protobuf's JSON."""
    found: str = json_format.MessageToJson(value, indent=None)
    return found


def as_list(value: Value, field: str) -> list[Any]:
    """The elements of a list or set."""
    found = list(getattr(value, field).val)
    if any(isinstance(one, str) and "\0" in one for one in found):
        raise ValueError("a text with a NUL character, which PostgreSQL cannot hold")
    return found


def as_seconds(value: Value, field: str) -> int | None:
    """An instant; Feast's own engine writes null as the smallest number there is."""
    found: int = getattr(value, field)
    return None if found == NULL_TIMESTAMP_INT_VALUE else found


def as_text(value: Value, field: str) -> str:
    """A text."""
    found: str = getattr(value, field)
    if "\0" in found:
        raise ValueError("a text with a NUL character, which PostgreSQL cannot hold")
    return found


def in_utc(instant: datetime) -> datetime:
    """An aware instant; Feast's naive ones are UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
