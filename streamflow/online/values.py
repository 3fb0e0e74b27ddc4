"""Stored values as Python has them, as Feast's SDK gives them to its callers."""

import decimal
import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any


def instant(seconds: int) -> datetime:
    """The instant of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def parsed(text: str) -> Any:
    """The value that a JSON text says; the text itself where it is none."""
    with suppress(ValueError):
        return json.loads(text)
    return text


MADE: dict[str, Callable[[Any], Any]] = {
    "UNIX_TIMESTAMP": instant,
    "JSON": parsed,
    "UUID": uuid.UUID,
    "TIME_UUID": uuid.UUID,
    "DECIMAL": decimal.Decimal,
}
"""Of what the driver gives, by value type; all others are as the driver gives them."""
UNREADABLE = (TypeError, ValueError, ArithmeticError, OSError)
"""Errors of a stored value that is none of its type: no date has the instant, for example."""


def python_value(value_type: str, found: Any) -> Any:
    """A value of a column, which may be null, as Python has it: datetime, UUID, Decimal, set, …

    Raises:
        TypeError, ValueError, ArithmeticError, OSError: see UNREADABLE.
    """
    if found is None:
        return None
    base, _, collection = value_type.rpartition("_")
    if collection not in ("LIST", "SET"):
        make = MADE.get(value_type)
        return make(found) if make else found
    make = MADE.get(base)
    values = list(map(make, found)) if make else list(found)
    return set(values) if collection == "SET" else values
