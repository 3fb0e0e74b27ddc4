"""Brings served and trained values into one form, in which only identical values are equal."""

import base64
import json
import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from jobs.run.instants import iso

OBJECTS = re.compile(r"(Map|Struct|(Array|Set)\((Map|Struct|Array|Set)\b).*")
"""Feast's types whose values are JSON text in training and objects in serving."""
JSON = re.compile(r"Json|(Array|Set)\(Json\)")
"""Those that Feast's SDK parses, and the API answers as their text."""
SETS = re.compile(r"Set\(\w+\)")
INSTANTS = re.compile(r"(?:Array\(|Set\()?(UnixTimestamp|ZonedTimestamp)\)?")


def trained(value: Any, feast_type: str, is_json: bool) -> Any:
    """Converts a value of a training set for the comparison.

    Args:
        feast_type: by name, as contracts have it.
        is_json: in the form in which the API answers Feast's clients: NaN and the infinities are
            words.
    """
    if OBJECTS.fullmatch(feast_type) or (JSON.fullmatch(feast_type) and not is_json):
        value = list(map(parsed, value)) if isinstance(value, list) else parsed(value)
    return comparable(as_set(value, feast_type), is_json)


def served(value: Any, feast_type: str, is_json: bool) -> Any:
    """Converts a value that the API (`is_json`) or Feast's SDK served for the comparison."""
    if is_json and value is not None and (found := INSTANTS.fullmatch(feast_type)):
        read = INSTANT[found[1]]
        with suppress(ValueError, OverflowError, OSError):  # no date has the instant: it differs
            value = list(map(read, value)) if isinstance(value, list) else read(value)
    return comparable(as_set(value, feast_type), is_json)


def as_set(value: Any, feast_type: str) -> Any:
    """The list of a set's elements as a set."""
    return set(value) if isinstance(value, list) and SETS.fullmatch(feast_type) else value


def comparable(value: Any, is_json: bool) -> Any:
    """Reduces a value to numbers, texts, lists and objects; the elements of a set get an order."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) or not is_json else word(value)
        case datetime():
            return iso(value.astimezone(UTC))
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [comparable(one, is_json) for one in value]
        case set():
            return sorted((comparable(one, is_json) for one in value), key=repr)
        case dict():
            return {key: comparable(one, is_json) for key, one in sorted(value.items(), key=repr)}
    return str(value)  # a UUID, a decimal number


def word(value: float) -> str:
    """Protobuf's word for a float that JSON has no number for."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def parsed(text: str | None) -> Any:
    """Parses a JSON text; gives back a text that is not JSON."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def from_seconds(seconds: int) -> datetime:
    """An instant of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


INSTANT: dict[str, Any] = {"UnixTimestamp": from_seconds, "ZonedTimestamp": datetime.fromisoformat}
"""By Feast's type, the instant that the API answers its clients as seconds or as text."""
