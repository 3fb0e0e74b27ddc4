"""Values as expressions take and give them, and as Python has them elsewhere."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from streamflow.expressions.arithmetic import NoValue, single
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


EXACT = 2**53
"""Up to here, a float is one whole number."""
TRUTH_VALUES: dict[Any, bool] = {"true": True, "false": False, 1: True, 0: False}


def given(value: Any, type_: str) -> Any:
    """A value of a request in a row of Python values, as an expression takes it.

    The API takes the same from JSON: numbers also in digits, instants also as RFC 3339 or in
    seconds, no number that the type would change. A date is its midnight in UTC.

    Raises:
        ValueError: it cannot be of its type.
    """
    return None if value is None else GIVEN[type_](value)


def whole(value: Any, bits: int = 64) -> int:
    """A whole number that fits a signed integer of so many bits."""
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdecimal():
        value = int(value)
    elif isinstance(value, Decimal) or (isinstance(value, float) and abs(value) <= EXACT):
        value = int(value) if value == value // 1 else None
    if type(value) is not int or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise ValueError
    return value


def number(value: Any) -> float:
    """A number, also in digits."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError
    try:
        return float(value)
    except OverflowError:
        raise ValueError from None


def single_number(value: Any) -> float:
    """A number as a 32-bit float."""
    try:
        return single(number(value))
    except NoValue:
        raise ValueError from None


def truth_value(value: Any) -> bool:
    """A truth value, also by name or as 1 or 0."""
    if not isinstance(value, bool | str | int | float) or value not in TRUTH_VALUES:
        raise ValueError
    return TRUTH_VALUES[value]


def text(value: Any) -> str:
    """A text; a whole number is its digits."""
    if type(value) not in (str, int) or "\0" in str(value):
        raise ValueError
    return str(value)


def seconds(value: Any) -> int:
    """An instant in whole seconds since 1970."""
    if isinstance(value, str) and not value.lstrip("-").isdecimal():
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return int(taken(value, INSTANT)) if isinstance(value, datetime) else whole(value)


GIVEN: dict[str, Callable[[Any], Any]] = {
    INT32: lambda value: whole(value, 32),
    INT64: whole,
    FLOAT32: single_number,
    FLOAT64: number,
    BOOL: truth_value,
    STRING: text,
    INSTANT: seconds,
}
"""By Feast's type: the conversion of a value of a request."""
