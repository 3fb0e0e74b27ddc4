"""Conversions of column values into values of an answer, where the two differ.

Two forms: the plain one of /features, and the one that Feast's own feature server writes.
They differ in instants (RFC 3339 or whole seconds), in JSON texts (parsed or as they are) and in
floats that JSON has no number for (null or a word).
"""

import base64
import json
import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from struct import Struct
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from streamflow.catalog.model import StoredFeature

Convert = Callable[[Any], Any]

NO_INSTANT = -(2**63)
"""Stored by Feast in place of an instant that is null."""
TYPE = re.compile(r"(?:Array|Set)\((\w+)\)|(\w+)")
OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d\d):?(\d\d)")
SINGLE = Struct("f")


def plain(feature: StoredFeature) -> Convert | None:
    """The conversion of a feature's values for /features; None where none is needed."""
    if feature.column_type == "json":
        return plain_message
    return for_each(PLAIN.get(element(feature.type)), feature)


def as_feast(feature: StoredFeature) -> Convert | None:
    """The conversion for /get-online-features; single floats need `finite` besides."""
    if feature.column_type == "json":
        return feast_message
    convert = FEAST.get(element(feature.type))
    return for_each(float_or_word if has_floats(feature) and is_list(feature) else convert, feature)


def for_each(convert: Convert | None, feature: StoredFeature) -> Convert | None:
    """`convert` for a value, or for every element where the column is an array.

    No feature can be an array with a null, or with arrays in it; an earlier version stored some.
    """
    if not is_list(feature):
        return convert

    def converted(found: list[Any]) -> Any:
        if None in found or (found and isinstance(found[0], list)):
            return None
        return found if convert is None else list(map(convert, found))

    return converted


def is_list(feature: StoredFeature) -> bool:
    """True where values are arrays."""
    return feature.column_type.endswith("[]")


def element(feast_type: str) -> str:
    """`Int64` of `Int64`, `Array(Int64)` and `Set(Int64)`."""
    found = TYPE.fullmatch(feast_type)
    return (found[1] or found[2]) if found else ""


def has_floats(feature: StoredFeature) -> bool:
    """True where values may be NaN or infinite, for which JSON has no number."""
    return feature.column_type.startswith(("real", "double"))


def finite(values: Iterable[float | None]) -> list[Any]:
    """Floats and nulls, with protobuf's words for NaN and the infinities."""
    return list(map(float_or_word, values))


def float_or_word(value: float | None) -> float | str | None:
    """A float, or protobuf's word for one that is not finite."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def instant(seconds: int) -> Any:
    """An instant as RFC 3339; the seconds themselves where the year has not four digits."""
    if seconds == NO_INSTANT:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return seconds


def parsed(text: str) -> Any:
    """A JSON text as a part of an answer, each number with all its digits; any other as a text."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        if not is_json(text):
            return text
    return orjson.Fragment(text)


def is_json(text: str) -> bool:
    """True for a JSON text, also one with numbers that are too large for 64 bits."""
    try:
        json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def refuse_constant(word: str) -> None:
    """Refuse NaN and Infinity, which Python takes for JSON."""
    raise ValueError(word)


def as_base64(content: bytes) -> str:
    """Bytes as JSON can carry them."""
    return base64.b64encode(content).decode()


BYTES = dict.fromkeys(("Bytes", "PdfBytes", "ImageBytes"), as_base64)
PLAIN: dict[str, Convert] = {"UnixTimestamp": instant, "Json": parsed, **BYTES}
FEAST: dict[str, Convert] = {**BYTES}


def plain_message(text: str) -> Any:
    """The value in a protobuf Value, given as its JSON; in the form of /features."""
    return unwrapped(orjson.loads(text), as_plain=True)


def feast_message(text: str) -> Any:
    """The same in the form of Feast's feature server."""
    return unwrapped(orjson.loads(text), as_plain=False)


def unwrapped(value: dict[str, Any], as_plain: bool) -> Any:
    """A protobuf Value without the names of its types."""
    if not value:
        return None
    [(field, found)] = value.items()
    kind = field.removesuffix("Val")
    if kind in ("map", "struct"):
        return entries(found, as_plain)
    if kind in ("mapList", "structList"):
        return [entries(one, as_plain) for one in found.get("val", ())]
    if kind in ("list", "set"):
        return [unwrapped(one, as_plain) for one in found.get("val", ())]
    if kind == "scalarMap":
        return scalar_entries(found, as_plain) if as_plain else None  # Feast's server has no form
    if kind == "zonedTimestamp":
        return zoned(found, as_plain)
    base = kind.removesuffix("List").removesuffix("Set")
    if base != kind:
        return [leaf(base, one, as_plain) for one in found.get("val", ())]
    return leaf(base, found, as_plain)


def entries(message: dict[str, Any], as_plain: bool) -> dict[str, Any]:
    """A Map as an object."""
    return {key: unwrapped(one, as_plain) for key, one in message.get("val", {}).items()}


def scalar_entries(message: dict[str, Any], as_plain: bool) -> dict[str, Any]:
    """A ScalarMap as an object; its keys, of any type, as text."""
    found = {}
    for entry in message.get("val", ()):
        [(field, key)] = entry.get("key", {"": ""}).items()
        text = leaf(field.removesuffix("Key"), key, as_plain)
        found[text if isinstance(text, str) else orjson.dumps(text).decode()] = unwrapped(
            entry.get("value", {}), as_plain
        )
    return found


def leaf(kind: str, found: Any, as_plain: bool) -> Any:
    """A value without parts, of one of protobuf's types in camel case."""
    if kind in ("int64", "unixTimestamp"):
        seconds = int(found)  # protobuf writes 64 bits as text
        return instant(seconds) if as_plain and kind == "unixTimestamp" else seconds
    if kind in ("float", "double") and isinstance(found, str):
        return None if as_plain else found
    if kind == "float":  # written as the shortest text for 32 bits
        return SINGLE.unpack(SINGLE.pack(found))[0]
    if kind == "json" and as_plain:
        return parsed(found)
    return None if kind == "null" else found


def zoned(message: dict[str, Any], as_plain: bool) -> str | None:
    """A ZonedTimestamp as ISO 8601 in its own zone."""
    seconds = int(message.get("unixTimestamp", 0))
    if seconds == NO_INSTANT:
        return None
    text = datetime.fromtimestamp(seconds, zone(message.get("zone", ""))).isoformat()
    return text.replace("+00:00", "Z") if as_plain else text


def zone(name: str) -> tzinfo:
    """The zone of that name or offset; UTC for one that is not known here."""
    if found := OFFSET.fullmatch(name):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-offset if found[1] == "-" else offset)
    try:
        return ZoneInfo(name or "UTC")
    except (ValueError, OSError):
        return UTC
