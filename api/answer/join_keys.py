"""Join keys of requests: checked, and converted into the types of the tables' key columns.

One rule for a path, for a body and for Feast's protocol: what is the key without a loss is taken,
in the forms in which pandas and Feast hand it over (`"1"` and `1.0` for 1, 7 for `"7"`); all else
is refused with its value and type.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

from api.errors import InvalidRequest
from streamflow.errors import shorten

RANGES = {"bigint": 1 << 63, "integer": 1 << 31}
EXACT = 1 << 53
"""Up to here a 64-bit float is one whole number and not several."""
LONGEST = 40
"""Digits and letters of a value that a refusal shows."""
FAULTS_SHOWN = 10
"""Faults of one request that are named in its refusal."""


def require_few(count: int, most: int, where: str, noun: str) -> None:
    """Refuse a request for more than `most` users or rows.

    Args:
        count: how many it asks for.
        most: how many it may ask for.
        where: the place in the request, for the message.
        noun: `users` or `rows`, for the message.

    Raises:
        InvalidRequest: says what to do.
    """
    if count > most:
        what = (
            f"more than {most} {noun}: {count}. Ask for them in several requests, "
            "or have the service's limit raised (STREAMFLOW_API_MAX_USERS)"
        )
        raise InvalidRequest([(where, what)])


def from_text(text: str, type_: str, where: str) -> Any:
    """A user's id in a path as a key of PostgreSQL's type `type_`.

    Raises:
        InvalidRequest: it cannot be one.
    """
    try:
        return CHECKS[type_](text, type_)
    except ValueError as error:
        raise InvalidRequest([(where, str(error))]) from None


def from_json(values: Sequence[Any], type_: str, where: str) -> list[Any]:
    """A column of keys as they stand in JSON.

    Raises:
        InvalidRequest: some cannot be; names the first ones.
    """
    found, faults, check = [], [], CHECKS[type_]
    for at, value in enumerate(values):
        try:
            found.append(check(value, type_))
        except ValueError as error:
            faults.append((f"{where}.{at}", str(error)))
            if len(faults) == FAULTS_SHOWN:
                break
    if faults:
        raise InvalidRequest(faults)
    return found


def whole_number(value: Any, type_: str) -> int:
    """A whole number that the column can hold: also in digits, or as a float that is one."""
    number = value
    if type(value) is not int:
        if not is_whole(value):
            raise ValueError(f"should be a whole number ({type_}), not {shown(value)}")
        number = int(value)
    if not -RANGES[type_] <= number < RANGES[type_]:
        raise ValueError(f"is a larger number than the key can be ({type_}): {shown(value)}")
    return int(number)


def is_whole(value: Any) -> bool:
    """True if a float is one whole number, or a text is the digits of one."""
    if type(value) is float:
        return abs(value) <= EXACT and value.is_integer()
    if type(value) is not str or len(value) > LONGEST:
        return False
    return value.isascii() and value.removeprefix("-").isdecimal()


def text_of(value: Any, _: str) -> str:
    """A text that PostgreSQL can hold; a whole number is its digits.

    A float is refused: whether 7.0 was "7" or "7.0" before somebody read it as a number, nobody
    can tell.
    """
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        raise ValueError(f"should be a text, not {shown(value)}")
    if "\0" in value:
        raise ValueError("a NUL character cannot be in a key")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character cannot be in a key") from None
    return value


TRUTH_VALUES: dict[Any, bool] = {"true": True, "false": False, 1: True, 0: False}


def truth_value(value: Any, _: str) -> bool:
    """A truth value, also by name or as 1 or 0."""
    if type(value) in (bool, str, int, float) and value in TRUTH_VALUES:
        return TRUTH_VALUES[value]
    raise ValueError(f"should be true or false, not {shown(value)}")


def decoded(value: Any, _: str) -> bytes:
    """Bytes, from a text in base64."""
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, binascii.Error, ValueError):
        raise ValueError(f"should be bytes in base64, not {shown(value)}") from None


def shown(value: Any) -> str:
    """A value of JSON with its type, as a refusal shows it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {shorten(value, LONGEST)}"
    if isinstance(value, int | float):
        is_short = isinstance(value, float) or value.bit_length() <= 100
        return f"the number {value}" if is_short else "a number of more than 30 digits"
    return "a list" if isinstance(value, list) else "an object"


Check = Callable[[Any, str], Any]
CHECKS: dict[str, Check] = {
    "text": text_of,
    "bigint": whole_number,
    "integer": whole_number,
    "boolean": truth_value,
    "bytea": decoded,
}


def as_text(key: Any) -> str:
    """A key as a user's id, however it was written."""
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return base64.b64encode(key).decode()
    return str(key).lower()


def as_json(key: Any) -> Any:
    """A key as JSON has it."""
    return as_text(key) if isinstance(key, bytes) else key
