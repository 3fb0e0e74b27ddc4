"""Join keys as requests give them: checked, and made what the tables' key columns hold."""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from api.errors import InvalidRequest

RANGES = {"bigint": 1 << 63, "integer": 1 << 31}
SHOWN = 10
"""Faults of one request that are told."""


def require_few(users: int, most: int, where: str) -> None:
    """Returns when one request may ask for so many users, or rows of other keys.

    Raises:
        InvalidRequest: they are more than `most`; says what to do.
    """
    if users > most:
        what = (
            f"{users} at once are more than {most}, the limit of this service "
            "(STREAMFLOW_API_MAX_USERS): ask in several requests, or have it raised"
        )
        raise InvalidRequest([(where, what)])


def from_text(text: str, type_: str, where: str) -> Any:
    """A user's id as a key of PostgreSQL's type `type_`, which is not text.

    Raises:
        InvalidRequest: it cannot be one.
    """
    try:
        return TEXTS[type_](text, type_)
    except ValueError as error:
        raise InvalidRequest([(where, str(error))]) from None


def from_json(values: Iterable[Any], type_: str, where: str) -> list[Any]:
    """A column of keys as they stand in JSON.

    Raises:
        InvalidRequest: some cannot be; names the first ones.
    """
    found, faults, check = [], [], JSON[type_]
    for at, value in enumerate(values):
        try:
            found.append(check(value, type_))
        except ValueError as error:
            faults.append((f"{where}.{at}", str(error)))
            if len(faults) == SHOWN:
                break
    if faults:
        raise InvalidRequest(faults)
    return found


def whole_number(value: Any, type_: str) -> int:
    """A whole number that the column can hold."""
    if type(value) is not int:
        raise ValueError("should be a whole number")
    if not -RANGES[type_] <= value < RANGES[type_]:
        raise ValueError("is a larger number than the key can be")
    return value


def digits(text: str, type_: str) -> int:
    """A whole number in decimal digits."""
    if not (text.isascii() and text.removeprefix("-").isdecimal()):
        raise ValueError("should be a whole number")
    return whole_number(int(text), type_)


def truth(value: Any, _: str) -> bool:
    """True or false."""
    if type(value) is bool:
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ValueError("should be true or false")


def content(value: Any, _: str) -> bytes:
    """Bytes written in base64."""
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, binascii.Error, ValueError):
        raise ValueError("should be bytes in base64") from None


def text_of(value: Any, _: str) -> str:
    """A text that PostgreSQL can hold."""
    if type(value) is not str:
        raise ValueError("should be a text")
    if "\0" in value:
        raise ValueError("a NUL character cannot be in a key")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character cannot be in a key") from None
    return value


def bool_of(value: Any, type_: str) -> bool:
    """True or false, not their names."""
    if type(value) is not bool:
        raise ValueError("should be true or false")
    return truth(value, type_)


Check = Callable[[Any, str], Any]
TEXTS: dict[str, Check] = {
    "bigint": digits,
    "integer": digits,
    "boolean": truth,
    "bytea": content,
}
JSON: dict[str, Check] = {
    "text": text_of,
    "bigint": whole_number,
    "integer": whole_number,
    "boolean": bool_of,
    "bytea": content,
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
