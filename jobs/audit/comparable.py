"""Brings served and trained values into one form, in which only identical values are equal."""

import base64
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from jobs.run.instants import iso

OBJECTS = re.compile(r"(Json|Map|Struct|(Array|Set)\((Json|Map|Struct|Array|Set)\b).*")
"""Feast's types whose values are JSON text in training and objects in serving."""
SETS = re.compile(r"Set\(\w+\)")


def trained(value: Any, feast_type: str, is_json: bool) -> Any:
    """Converts a value of a training set for the comparison.

    Args:
        feast_type: by name, as contracts have it.
        is_json: in the form of the API's answers, in which NaN and the infinities are null.
    """
    if OBJECTS.fullmatch(feast_type):
        value = list(map(parsed, value)) if isinstance(value, list) else parsed(value)
    return served(value, feast_type, is_json)


def served(value: Any, feast_type: str, is_json: bool) -> Any:
    """Converts a value that the API (`is_json`) or Feast's SDK served for the comparison."""
    if isinstance(value, list) and SETS.fullmatch(feast_type):
        value = set(value)
    return comparable(value, is_json)


def comparable(value: Any, is_json: bool) -> Any:
    """Reduces a value to numbers, texts, lists and objects; the elements of a set get an order."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) or not is_json else None
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


def parsed(text: str | None) -> Any:
    """Parses a JSON text; gives back a text that is not JSON."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
