"""Values as expressions take and give them, and as Python has them elsewhere."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from streamflow.expressions.arithmetic import single
from streamflow.expressions.tree import BOOL, FLOAT32, FLOAT64, INSTANT, INT32, INT64, STRING

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    INT32: int,
    INT64: int,
    FLOAT32: single,
    FLOAT64: float,
    BOOL: bool,
    STRING: str,
}


def taken(value: Any, type_: str) -> Any:
    """A value as an expression takes it: instants as whole seconds since 1970, cut off.

    An instant without a zone is in UTC.
    """
    if value is None:
        return None
    if type_ != INSTANT:
        return CONVERSIONS[type_](value)
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (aware - EPOCH) // timedelta(seconds=1)
    return int(value)


def instant(seconds: int | None) -> datetime | None:
    """An instant that an expression gave, in UTC."""
    return None if seconds is None else EPOCH + timedelta(seconds=seconds)
